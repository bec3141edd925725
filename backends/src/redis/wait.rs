//! Owns waiting for the end of instances: any number of waiters on one listening connection.
//! Never believes a message or a silence: a waiter returns only with what the row says.
//!
//! A message that says an instance has ended is a hint that may get lost. A waiter therefore enters its name
//! first and reads then; whatever was missed while nobody listened is found by looking again, at once after
//! each new connection and every two seconds for all waiters together.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use ::redis::Pipeline;
use futures::StreamExt;
use longhaul_shared::id::{InstanceId, PartitionId};
use longhaul_shared::instance::InstanceRow;
use longhaul_shared::port::{StoreError, TaskHandle, within};
use tokio::sync::Notify;

use super::create::status;
use super::error::{store_error, unavailable};
use super::hub::Hub;
use super::row;

const LOOK_EVERY: Duration = Duration::from_secs(2);
const CONNECT_AGAIN_AFTER: Duration = Duration::from_millis(250);
/// Rows looked at in one pipeline.
const LOOKS_AT_ONCE: usize = 500;

/// The waiters of one store.
pub(super) struct Waiting {
    hub: Arc<Hub>,
    waiters: Arc<Waiters>,
    /// Begins with the first waiter and ends with the store.
    listener: Mutex<Option<TaskHandle>>,
}

impl Waiting {
    pub(super) fn new(hub: Arc<Hub>) -> Self {
        Self {
            hub,
            waiters: Arc::default(),
            listener: Mutex::new(None),
        }
    }

    /// See [`Store::wait_terminal`](longhaul_shared::port::Store::wait_terminal).
    ///
    /// # Cancel safety
    /// Dropping the future takes the waiter off the list and has no other effect.
    pub(super) async fn wait_terminal(
        &self,
        id: &InstanceId,
        at_most: Duration,
    ) -> Result<Option<InstanceRow>, StoreError> {
        self.listen();
        let waiter = Waiter::enter(&self.waiters, id);
        let mut over = self.hub.runtime.sleep(at_most);
        // Most waiters come long before the end: the first look spares them a row with a large input.
        if !is_open(&self.hub, id).await? {
            return self.hub.row(id).await;
        }
        loop {
            let is_over = tokio::select! {
                biased;
                () = waiter.bell.notified() => false,
                () = &mut over => true,
            };
            let row = self.hub.row(id).await?;
            match row {
                Some(row) if !is_over && !row.status.is_terminal() => {}
                row => return Ok(row),
            }
        }
    }

    fn listen(&self) {
        let mut listener = self.listener.lock().unwrap_or_else(PoisonError::into_inner);
        listener.get_or_insert_with(|| {
            let listening = listen(self.hub.clone(), self.waiters.clone());
            self.hub.runtime.spawn("redis-done", Box::pin(listening))
        });
    }
}

/// Who waits for what; the number tells the waiters of one instance apart.
#[derive(Default)]
struct Waiters {
    bells: Mutex<BTreeMap<(InstanceId, u64), Arc<Notify>>>,
    entered: AtomicU64,
}

impl Waiters {
    fn bells(&self) -> MutexGuard<'_, BTreeMap<(InstanceId, u64), Arc<Notify>>> {
        self.bells.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Lets everybody look who waits for this instance.
    fn ring(&self, id: &InstanceId) {
        let first = (id.clone(), 0);
        let last = (id.clone(), u64::MAX);
        for bell in self.bells().range(first..=last).map(|(_, bell)| bell) {
            bell.notify_one();
        }
    }

    /// The instances waited for, each once.
    fn waited_for(&self) -> Vec<InstanceId> {
        let mut ids: Vec<InstanceId> = self.bells().keys().map(|(id, _)| id.clone()).collect();
        ids.dedup();
        ids
    }
}

/// A place on the list of waiters.
struct Waiter<'a> {
    waiters: &'a Waiters,
    key: (InstanceId, u64),
    bell: Arc<Notify>,
}

impl<'a> Waiter<'a> {
    fn enter(waiters: &'a Waiters, id: &InstanceId) -> Self {
        let key = (id.clone(), waiters.entered.fetch_add(1, Ordering::Relaxed));
        let bell = Arc::new(Notify::new());
        waiters.bells().insert(key.clone(), bell.clone());
        Self { waiters, key, bell }
    }
}

impl Drop for Waiter<'_> {
    fn drop(&mut self) {
        self.waiters.bells().remove(&self.key);
    }
}

/// Listens for ever, on one connection after the other; looks also while there is none.
async fn listen(hub: Arc<Hub>, waiters: Arc<Waiters>) {
    loop {
        if let Err(error) = listen_once(&hub, &waiters).await {
            tracing::info!(%error, "waiters look for themselves until Redis can be listened to again");
        }
        let jitter = u64::try_from(hub.runtime.random() % 250).unwrap_or(0);
        let pause = CONNECT_AGAIN_AFTER + Duration::from_millis(jitter);
        hub.runtime.sleep(pause).await;
        if let Err(error) = look(&hub, &waiters).await {
            tracing::debug!(%error, "the instances waited for cannot be looked at");
        }
    }
}

/// Listens until the connection is lost.
async fn listen_once(hub: &Hub, waiters: &Waiters) -> Result<(), StoreError> {
    let partitions = hub.partitions().await?;
    let channels: Vec<String> = PartitionId::all(partitions)
        .map(|partition| hub.keys.partition(partition).done())
        .collect();
    let (mut sink, mut messages) = hub.server.listen().await?.split();
    let limit = hub.config.timeouts.response;
    let address = hub.server.address();
    let silent = |_| {
        unavailable(
            address,
            format!("the listening connection was silent for {limit:?}"),
        )
    };
    let refused = |error| store_error(address, "the answer to SUBSCRIBE", &error);
    within(&hub.runtime, limit, sink.subscribe(&channels))
        .await
        .map_err(silent)?
        .map_err(refused)?;
    // What ended before this connection listened.
    look(hub, waiters).await?;
    let mut next_look = hub.runtime.sleep(LOOK_EVERY);
    loop {
        let message = tokio::select! {
            biased;
            () = &mut next_look => None,
            message = messages.next() => match message {
                Some(message) => Some(message),
                None => return Err(unavailable(address, "the listening connection was closed")),
            },
        };
        let Some(message) = message else {
            within(&hub.runtime, limit, sink.ping::<::redis::Value>())
                .await
                .map_err(silent)?
                .map_err(refused)?;
            look(hub, waiters).await?;
            next_look = hub.runtime.sleep(LOOK_EVERY);
            continue;
        };
        let id = str::from_utf8(message.get_payload_bytes()).ok();
        if let Some(id) = id.and_then(|id| InstanceId::new(id).ok()) {
            waiters.ring(&id);
        }
    }
}

/// Looks at everything that is waited for, and rings where there is something to see.
async fn look(hub: &Hub, waiters: &Waiters) -> Result<(), StoreError> {
    for ids in waiters.waited_for().chunks(LOOKS_AT_ONCE) {
        let mut pipeline = Pipeline::with_capacity(ids.len());
        pipeline.ignore_errors();
        for id in ids {
            pipeline
                .cmd("HGET")
                .arg(hub.keys_of(id).await?.row(id))
                .arg(row::STATUS);
        }
        for (id, answer) in ids.iter().zip(hub.read_all(&pipeline).await?) {
            let key = hub.keys_of(id).await?.row(id);
            let code: Option<String> = hub.answer(&key, answer)?;
            if !is_open_status(&key, code)? {
                waiters.ring(id);
            }
        }
    }
    Ok(())
}

/// Whether there is such an instance and it has not ended.
async fn is_open(hub: &Hub, id: &InstanceId) -> Result<bool, StoreError> {
    let row = hub.keys_of(id).await?.row(id);
    let mut get = ::redis::cmd("HGET");
    get.arg(&row).arg(row::STATUS);
    is_open_status(&row, hub.read(&row, get).await?)
}

fn is_open_status(key: &str, code: Option<String>) -> Result<bool, StoreError> {
    match code {
        Some(code) => Ok(!status(key, &code)?.is_terminal()),
        None => Ok(false),
    }
}
