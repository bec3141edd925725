//! Owns what is measured of any of the programs: who it is, whether it is ready, and how its runtime fares.
//! Never measures what it does: its crates do.

use prometheus::Registry;
use prometheus::process_collector::ProcessCollector;
use tokio::runtime::Handle;

crate::instruments! {
    /// What a program says of itself as a process.
    pub struct Process {
        /// Always 1: what kind of worker this is, and its version.
        info: IntGaugeVec = "longhaul_worker_info" ["kind", "version"];
        /// 1 if `/readyz` says yes.
        ready: IntGauge = "longhaul_worker_ready";
        /// 1 while it finishes what it has begun and takes nothing new.
        draining: IntGauge = "longhaul_worker_draining";
        /// Threads of the async runtime.
        threads: IntGauge = "longhaul_tokio_workers";
        /// Tasks of the async runtime that have not ended.
        tasks: IntGauge = "longhaul_tokio_alive_tasks";
        /// Tasks that can go on and have no thread; it stays low unless something blocks.
        queued: IntGauge = "longhaul_tokio_queue_depth";
    }
}

impl Process {
    /// The set of a program, registered together with what the operating system says of the process.
    ///
    /// # Errors
    /// When the registry has metrics of the same names already.
    pub fn registered(kind: &str, version: &str, registry: &Registry) -> prometheus::Result<Self> {
        let process = Self::default();
        process.info.with_label_values(&[kind, version]).set(1);
        process.register(registry)?;
        registry.register(Box::new(ProcessCollector::for_self()))?;
        Ok(process)
    }

    /// Whether the program is ready.
    pub fn set_ready(&self, is_ready: bool) {
        self.ready.set(i64::from(is_ready));
    }

    /// Whether the program drains.
    pub fn set_draining(&self, drains: bool) {
        self.draining.set(i64::from(drains));
    }

    /// Looks at the async runtime.
    pub fn look(&self, runtime: &Handle) {
        let metrics = runtime.metrics();
        let number = |number: usize| i64::try_from(number).unwrap_or(i64::MAX);
        self.threads.set(number(metrics.num_workers()));
        self.tasks.set(number(metrics.num_alive_tasks()));
        self.queued.set(number(metrics.global_queue_depth()));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn the_process_itself_is_among_what_is_gathered() {
        let registry = Registry::new();
        let process = Process::registered("test", "1", &registry).unwrap();
        process.look(&Handle::current());
        let text = prometheus::TextEncoder::new()
            .encode_to_string(&registry.gather())
            .unwrap();
        assert!(
            text.contains(r#"longhaul_worker_info{kind="test",version="1"} 1"#),
            "{text}"
        );
        assert!(text.contains("process_resident_memory_bytes "), "{text}");
        assert!(text.contains("longhaul_tokio_workers 1"), "{text}");
    }
}
