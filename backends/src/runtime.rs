//! Owns the real clock, real tasks and real chance: the one door to tokio's time and `spawn`.
//! Never decides when to wait or what to run; loops do, through the [`Runtime`] port.
//!
//! A task belongs to its handle: dropping the handle aborts it, and a panic inside is logged, not passed on.

use std::panic::AssertUnwindSafe;
use std::time::Duration;

use futures::future::{BoxFuture, FutureExt};
use longhaul_shared::failure::panic_text;
use longhaul_shared::port::{Monotonic, Runtime, TaskHandle};
use tokio::runtime::Handle;
use tracing::Instrument;
use uuid::Uuid;

/// The [`Runtime`] of a real process. Cheap to clone; readings of one instance and its clones compare.
#[derive(Clone, Debug)]
pub struct TokioRuntime {
    handle: Handle,
    origin: tokio::time::Instant,
}

impl TokioRuntime {
    /// Runs everything on this tokio runtime, from whatever thread it is asked to.
    #[must_use]
    pub fn new(handle: Handle) -> Self {
        let origin = {
            let _context = handle.enter();
            tokio::time::Instant::now()
        };
        Self { handle, origin }
    }

    /// Runs everything on the tokio runtime that the caller is in.
    ///
    /// # Panics
    /// Outside a tokio runtime.
    #[must_use]
    pub fn current() -> Self {
        Self::new(Handle::current())
    }
}

impl Runtime for TokioRuntime {
    fn now(&self) -> Monotonic {
        let _context = self.handle.enter();
        Monotonic(tokio::time::Instant::now().saturating_duration_since(self.origin))
    }

    #[expect(clippy::disallowed_methods, reason = "the door through which loops sleep")]
    fn sleep(&self, span: Duration) -> BoxFuture<'static, ()> {
        let _context = self.handle.enter();
        tokio::time::sleep(span).boxed()
    }

    fn spawn(&self, name: &'static str, task: BoxFuture<'static, ()>) -> TaskHandle {
        let span = tracing::info_span!(parent: None, "task", name);
        let guarded = async move {
            if let Err(panic) = AssertUnwindSafe(task).catch_unwind().await {
                tracing::error!(
                    task = name,
                    panic = panic_text(panic.as_ref()).unwrap_or("of an unknown kind"),
                    "a task panicked and is gone"
                );
            }
        };
        let running = self.handle.spawn(guarded.instrument(span));
        let abort = running.abort_handle();
        TaskHandle::new(move || abort.abort(), running.map(drop).boxed())
    }

    fn random(&self) -> u128 {
        // Six bits of a version 4 UUID say that it is one; the turned second covers them with chance.
        Uuid::new_v4().as_u128() ^ Uuid::new_v4().as_u128().rotate_left(64)
    }

    #[cfg(feature = "crash-points")]
    fn reached(&self, step: longhaul_shared::port::Step) {
        crate::crash::reached(step);
    }
}

#[cfg(test)]
mod tests {
    use std::future::pending;
    use std::io::Write;
    use std::sync::{Arc, Mutex};

    use longhaul_shared::port::within;
    use tokio::sync::oneshot;

    use super::*;

    const DEADLINE: Duration = Duration::from_secs(10);

    fn shared() -> Arc<dyn Runtime> {
        Arc::new(TokioRuntime::current())
    }

    #[tokio::test]
    async fn dropping_a_handle_ends_its_task() {
        let runtime = shared();
        let (held, dropped) = oneshot::channel::<()>();
        let task = async move {
            let _held = held;
            pending::<()>().await;
        };
        drop(runtime.spawn("endless", task.boxed()));
        assert!(within(&runtime, DEADLINE, dropped).await.unwrap().is_err());
    }

    #[tokio::test]
    async fn a_task_can_be_awaited_and_stopped() {
        let runtime = shared();
        let mut short = runtime.spawn("short", async {}.boxed());
        within(&runtime, DEADLINE, short.join()).await.unwrap();
        let endless = runtime.spawn("endless", pending().boxed());
        within(&runtime, DEADLINE, endless.stop()).await.unwrap();
    }

    #[tokio::test(start_paused = true)]
    async fn sleeps_last_as_long_as_asked_and_the_clock_shows_it() {
        let runtime = shared();
        let before = runtime.now();
        runtime.sleep(Duration::from_secs(3600)).await;
        assert!(runtime.now().since(before) >= Duration::from_secs(3600));
    }

    #[tokio::test]
    async fn tasks_and_sleeps_begin_from_any_thread() {
        let runtime = shared();
        let elsewhere = Arc::clone(&runtime);
        let begun = std::thread::spawn(move || {
            let sleep = elsewhere.sleep(Duration::ZERO);
            elsewhere.spawn("from outside", sleep)
        });
        let mut task = begun.join().unwrap();
        within(&runtime, DEADLINE, task.join()).await.unwrap();
    }

    #[tokio::test]
    async fn a_panic_is_logged_with_the_name_of_its_task() {
        let log = Log::default();
        let subscriber = tracing_subscriber::fmt()
            .with_writer({
                let log = log.clone();
                move || log.clone()
            })
            .with_ansi(false)
            .finish();
        let _default = tracing::subscriber::set_default(subscriber);
        let runtime = shared();
        let mut task = runtime.spawn("clumsy", async { panic!("dropped the cup") }.boxed());
        within(&runtime, DEADLINE, task.join()).await.unwrap();
        let text = log.text();
        for part in ["ERROR", "clumsy", "dropped the cup"] {
            assert!(text.contains(part), "{part:?} is not in {text:?}");
        }
    }

    #[tokio::test]
    async fn chance_reaches_every_bit() {
        let runtime = shared();
        let (mut ones, mut zeros) = (0, 0);
        for _ in 0..200 {
            let drawn = runtime.random();
            ones |= drawn;
            zeros |= !drawn;
        }
        assert_eq!((ones, zeros), (u128::MAX, u128::MAX));
    }

    #[derive(Clone, Default)]
    struct Log(Arc<Mutex<Vec<u8>>>);

    impl Log {
        fn text(&self) -> String {
            String::from_utf8(self.0.lock().unwrap().clone()).unwrap()
        }
    }

    impl Write for Log {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            self.0.lock().unwrap().extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }
}
