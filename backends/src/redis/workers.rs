//! Owns the list of live orchestrator workers and of what each hosts.
//! Never decides what a worker's absence means.

use std::collections::BTreeMap;
use std::time::Duration;

use ::redis::{RedisResult, Value};
use bytes::Bytes;
use longhaul_shared::codec;
use longhaul_shared::id::{FunctionName, WorkerId};
use longhaul_shared::port::{StoreError, WorkerRow};

use super::error::unreadable;
use super::hub::{Hub, timestamp};
use super::script::{Call, Lua};
use super::timers::time_of_score;

pub(super) static HEARTBEAT: Lua = Lua::new(include_str!("heartbeat.lua"));

impl Hub {
    /// See [`Store::heartbeat`](longhaul_shared::port::Store::heartbeat).
    pub(super) async fn heartbeat(
        &self,
        worker: &WorkerRow,
        ttl: Duration,
    ) -> Result<Vec<WorkerRow>, StoreError> {
        let workers = self.keys.workers();
        let mut call = Call::new(&HEARTBEAT, &[&workers, &self.keys.hosts()]);
        call.arg(worker.id.as_str())
            .arg(ttl.as_micros().to_string())
            .arg(&codec::encode(&worker.hosts)[..]);
        let (ids, hosts): (Vec<String>, Vec<Option<Bytes>>) = self.call(&workers, call).await?;
        ids.iter()
            .zip(hosts)
            .map(|(id, hosts)| self.worker(id, hosts.as_deref()))
            .collect::<Result<Vec<_>, _>>()
            .map(by_id)
    }

    /// See [`Store::workers`](longhaul_shared::port::Store::workers).
    pub(super) async fn workers(&self) -> Result<Vec<WorkerRow>, StoreError> {
        let (workers, hosts) = (self.keys.workers(), self.keys.hosts());
        let mut questions = ::redis::pipe();
        // As one, so that nobody is listed without what it hosts.
        questions.atomic().ignore_errors();
        questions.cmd("TIME");
        questions
            .cmd("ZRANGE")
            .arg(&workers)
            .arg(0)
            .arg(-1)
            .arg("WITHSCORES");
        questions.cmd("HGETALL").arg(&hosts);
        let answers = self.read_all(&questions).await?;
        let [time, lives, hosted]: [RedisResult<Value>; 3] = answers
            .try_into()
            .map_err(|_| unreadable(&workers, "the answer is missing"))?;
        let (seconds, micros): (i64, i64) = self.answer("the answer to TIME", time)?;
        let now = timestamp(seconds, micros);
        let lives: Vec<(String, f64)> = self.answer(&workers, lives)?;
        let hosted: BTreeMap<String, Bytes> = self.answer(&hosts, hosted)?;
        lives
            .iter()
            .filter(|(_, until)| time_of_score(*until) > now)
            .map(|(id, _)| self.worker(id, hosted.get(id).map(|hosts| &hosts[..])))
            .collect::<Result<Vec<_>, _>>()
            .map(by_id)
    }

    fn worker(&self, id: &str, hosts: Option<&[u8]>) -> Result<WorkerRow, StoreError> {
        let id = WorkerId::new(id).map_err(|error| unreadable(&self.keys.workers(), error.to_string()))?;
        let hosts: Vec<FunctionName> = match hosts {
            Some(stored) => codec::decode("list of hosted names", stored)
                .map_err(|error| unreadable(&self.keys.hosts(), error.to_string()))?,
            None => Vec::new(),
        };
        Ok(WorkerRow { id, hosts })
    }
}

fn by_id(mut workers: Vec<WorkerRow>) -> Vec<WorkerRow> {
    workers.sort_by(|one, other| one.id.cmp(&other.id));
    workers
}
