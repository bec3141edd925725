//! Owns what a watched program has: a registry for everything it measures, and the pages that show it.
//! Never decides whether it is ready: the program says so, each time it is asked.

use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;

use prometheus::{Registry, TextEncoder};
use tokio::runtime::Handle;

use crate::endpoint::{Endpoint, Pages};
use crate::health::Health;
use crate::process::Process;

/// A program that can be watched.
#[derive(Clone)]
pub struct Program {
    registry: Registry,
    process: Process,
    runtime: Handle,
    ready: Arc<dyn Fn() -> Health + Send + Sync>,
    drains: Arc<dyn Fn() -> bool + Send + Sync>,
}

impl fmt::Debug for Program {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Program").finish_non_exhaustive()
    }
}

impl Program {
    /// The program of this kind and version, on the async runtime that calls this. `ready` says whether it does, or
    /// could do, what it is for; `drains` whether it takes nothing new and finishes what it has begun.
    ///
    /// # Errors
    /// When the operating system does not tell of the process.
    pub fn new(
        kind: &str,
        version: &str,
        ready: impl Fn() -> Health + Send + Sync + 'static,
        drains: impl Fn() -> bool + Send + Sync + 'static,
    ) -> prometheus::Result<Self> {
        let registry = Registry::new();
        let process = Process::registered(kind, version, &registry)?;
        Ok(Self {
            registry,
            process,
            runtime: Handle::current(),
            ready: Arc::new(ready),
            drains: Arc::new(drains),
        })
    }

    /// Where its crates register what they measure.
    #[must_use]
    pub const fn registry(&self) -> &Registry {
        &self.registry
    }

    /// Listens here; the future answers for as long as it is polled.
    ///
    /// # Errors
    /// When the address is in use or is none of this machine's.
    pub async fn listen(
        &self,
        address: SocketAddr,
    ) -> io::Result<(SocketAddr, impl Future<Output = ()> + Send + 'static)> {
        let endpoint = Endpoint::bind(address).await?;
        let pages: Arc<dyn Pages> = Arc::new(self.clone());
        Ok((endpoint.address(), endpoint.serve(pages)))
    }
}

impl Pages for Program {
    fn metrics(&self) -> String {
        self.process.set_ready(self.ready().is_good());
        self.process.set_draining((self.drains)());
        self.process.look(&self.runtime);
        let families = self.registry.gather();
        match TextEncoder::new().encode_to_string(&families) {
            Ok(text) => text,
            Err(error) => {
                tracing::error!(%error, "the metrics could not be written down");
                String::new()
            }
        }
    }

    fn ready(&self) -> Health {
        (self.ready)()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::health::Check;
    use crate::probe::probe;

    #[tokio::test]
    async fn a_program_shows_what_was_registered_and_whether_it_is_ready() {
        let ready = || Health {
            checks: vec![Check::that("redis", false, "it is away")],
        };
        let program = Program::new("test", "1.2", ready, || false).unwrap();
        let anywhere = SocketAddr::from(([127, 0, 0, 1], 0));
        let (address, serving) = program.listen(anywhere).await.unwrap();
        let metrics = format!("http://{address}/metrics");
        let text = tokio::select! {
            text = probe(&metrics) => text.unwrap(),
            () = serving => unreachable!("it serves for ever"),
        };
        for line in [
            r#"longhaul_worker_info{kind="test",version="1.2"} 1"#,
            "longhaul_worker_ready 0",
            "longhaul_worker_draining 0",
        ] {
            assert!(text.contains(line), "{line} is not in {text}");
        }
    }
}
