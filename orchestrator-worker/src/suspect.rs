//! Owns the suspicion that an instance kills whoever runs it: when it is counted, and in whose company it runs.
//! Never parks an instance: a turn does, once too many attempts are counted.
//!
//! Nobody sees a process die from within. But an owner that died did not give its leases back, and what it was
//! running it did not commit. So under such a lease every instance whose code has not run since is counted before
//! it runs, and the commit of that run sets the count back. What is counted a second time runs alone: if
//! the worker dies then, nobody else can have been it, and nobody else is counted for it.
//!
//! The broker's word that a message comes again is not needed: it would miss an embedded hub, whose messages die
//! with it, and would accuse after a restart of the broker, in which no worker died.

use std::sync::Arc;
use std::time::Duration;

use longhaul_shared::id::{InstanceId, PartitionId};
use longhaul_shared::limits::POISON_ATTEMPTS_MAX;
use longhaul_shared::port::{Attempted, Delays, Ports};
use tokio::sync::{OwnedRwLockReadGuard, OwnedRwLockWriteGuard, RwLock};

use crate::session::Session;
use crate::tenure::Tenure;

/// Delays between attempts to count while the store does not answer.
const RETRY_FIRST: Duration = Duration::from_millis(50);
const RETRY_MAX: Duration = Duration::from_secs(2);

/// Lets turns run side by side, but for those that have to run alone. Whoever waits to run alone goes first.
#[derive(Clone, Default)]
pub(crate) struct Company(Arc<RwLock<()>>);

/// The right to run authors' code, until it is dropped.
pub(crate) enum Presence {
    /// Beside others.
    Among(#[expect(dead_code, reason = "held for its drop")] OwnedRwLockReadGuard<()>),
    /// Alone in this worker.
    Alone(Alone),
}

/// Keeps everybody else waiting until it is dropped.
pub(crate) struct Alone(#[expect(dead_code, reason = "held for its drop")] OwnedRwLockWriteGuard<()>);

impl Company {
    async fn among(&self) -> Presence {
        Presence::Among(Arc::clone(&self.0).read_owned().await)
    }

    async fn alone(&self) -> Presence {
        Presence::Alone(Alone(Arc::clone(&self.0).write_owned().await))
    }
}

/// Whether an instance may run.
pub(crate) enum Vetted {
    /// It may, in this company, if any matters.
    May(Option<Presence>),
    /// Too many attempts at it are counted, the last of them `now` or before.
    Stuck { attempts: u32, now: bool },
    /// The partition is somebody else's.
    Fenced,
    /// The instance is gone.
    Gone,
}

/// Asks whether an instance may run, and counts it if it is suspect.
///
/// # Cancel safety
/// Dropping the future may leave an attempt counted that was not made.
pub(crate) async fn vet(ports: &Ports, company: &Company, tenure: &Tenure, session: &mut Session) -> Vetted {
    let before = session.attempts;
    if before > POISON_ATTEMPTS_MAX {
        return Vetted::Stuck {
            attempts: before,
            now: false,
        };
    }
    if !session.suspect {
        return Vetted::May(Some(company.among().await));
    }
    // First the company, then the count: whoever only waits for its turn is not to be counted if the worker dies.
    let presence = match before {
        0 => company.among().await,
        _ => company.alone().await,
    };
    match count(ports, tenure, session.partition, &session.key.instance).await {
        Attempted::Counted(attempts) if attempts > POISON_ATTEMPTS_MAX => {
            Vetted::Stuck { attempts, now: true }
        }
        Attempted::Counted(attempts) => {
            session.attempts = attempts;
            if attempts > 1 {
                tracing::warn!(
                    instance_id = %session.key.instance, orchestration = %session.name, attempts,
                    "this instance was being run when its owners died; it runs alone now"
                );
            }
            Vetted::May(Some(presence))
        }
        Attempted::Fenced => Vetted::Fenced,
        Attempted::Gone => Vetted::Gone,
    }
}

/// Counts an attempt, waiting for the store as long as it takes.
async fn count(ports: &Ports, tenure: &Tenure, partition: PartitionId, instance: &InstanceId) -> Attempted {
    let mut delays = Delays::new(RETRY_FIRST, RETRY_MAX);
    loop {
        match ports
            .store
            .count_attempt(partition, &tenure.token, instance)
            .await
        {
            Ok(attempted) => return attempted,
            Err(error) => {
                let delay = delays.next_delay();
                tracing::warn!(instance_id = %instance, %error, "an attempt cannot be counted; tried again in {delay:?}");
                ports.runtime.sleep(delay).await;
            }
        }
    }
}
