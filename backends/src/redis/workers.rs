//! Owns the list of live orchestrator workers and of what each hosts.
//! Never decides what a worker's absence means.

use std::time::Duration;

use bytes::Bytes;
use longhaul_shared::codec;
use longhaul_shared::id::{FunctionName, WorkerId};
use longhaul_shared::port::{StoreError, WorkerRow};

use super::error::unreadable;
use super::hub::Hub;
use super::script::{Call, Lua};

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
        let mut alive = Vec::with_capacity(ids.len());
        for (id, hosts) in ids.iter().zip(hosts) {
            let id = WorkerId::new(id).map_err(|error| unreadable(&workers, error.to_string()))?;
            let hosts: Vec<FunctionName> = match hosts {
                Some(stored) => codec::decode("list of hosted names", &stored)
                    .map_err(|error| unreadable(&self.keys.hosts(), error.to_string()))?,
                None => Vec::new(),
            };
            alive.push(WorkerRow { id, hosts });
        }
        alive.sort_by(|one, other| one.id.cmp(&other.id));
        Ok(alive)
    }
}
