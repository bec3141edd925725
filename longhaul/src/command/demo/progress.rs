//! Owns the progress bar of the backup demo, drawn from the instance's history: the truth, not a counter beside it.
//! Never slows the backup down: it reads what is new a few times a second.

use std::collections::BTreeSet;
use std::convert::Infallible;
use std::time::Duration;

use indicatif::{ProgressBar, ProgressStyle};
use longhaul_examples::contracts::COPY_FILE;
use longhaul_shared::history::{EventKind, HistoryEvent};
use longhaul_shared::id::{EventSeq, ExecutionKey, InstanceId, TaskId};
use longhaul_shared::port::{LoadRequest, Ports, StoreError};

/// How often the bar is brought up to date.
const EVERY: Duration = Duration::from_millis(150);
/// How many events are read at once.
const PAGE: usize = 5_000;

pub(super) struct Progress {
    ports: Ports,
    instance: InstanceId,
    copies: BTreeSet<TaskId>,
    total: u64,
    done: u64,
    bar: ProgressBar,
}

impl Progress {
    pub(super) fn new(ports: Ports, instance: InstanceId) -> Self {
        let style = ProgressStyle::with_template("{bar:40} {pos}/{len} files  {elapsed}  {msg}");
        let bar = ProgressBar::new(0).with_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()));
        Self {
            ports,
            instance,
            copies: BTreeSet::new(),
            total: 0,
            done: 0,
            bar,
        }
    }

    /// Draws until dropped.
    ///
    /// # Errors
    /// When the history cannot be read.
    pub(super) async fn show(mut self) -> Result<Infallible, StoreError> {
        let mut read = EventSeq(0);
        loop {
            if let Some(key) = self.execution().await? {
                loop {
                    let events = self.ports.store.history(&key, read, PAGE).await?;
                    if events.is_empty() {
                        break;
                    }
                    read = read.plus(events.len() as u64);
                    self.take(&events);
                }
                self.bar.set_length(self.total);
                self.bar.set_position(self.done);
            }
            self.ports.runtime.sleep(EVERY).await;
        }
    }

    async fn execution(&self) -> Result<Option<ExecutionKey>, StoreError> {
        let request = LoadRequest {
            id: self.instance.clone(),
            history: false,
        };
        let answer = self.ports.store.load(vec![request]).await.into_iter().next();
        let loaded = answer.transpose()?.flatten();
        Ok(loaded.map(|loaded| ExecutionKey {
            instance: loaded.row.id,
            execution: loaded.row.execution,
        }))
    }

    fn take(&mut self, events: &[HistoryEvent]) {
        for event in events {
            match &event.kind {
                EventKind::TaskScheduled(task) if task.name.as_str() == COPY_FILE.name() => {
                    self.copies.insert(task.task);
                    self.total += 1;
                }
                kind @ (EventKind::TaskCompleted(_) | EventKind::TaskFailed(_))
                    if kind.task().is_some_and(|task| self.copies.remove(&task)) =>
                {
                    self.done += 1;
                }
                _ => {}
            }
        }
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        self.bar.finish_and_clear();
    }
}
