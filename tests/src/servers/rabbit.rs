//! A RabbitMQ broker of one's own, with its own node name, data, cookie and port mapper.
//! Never speaks more of AMQP than the first frame of the handshake.
//!
//! It runs as whoever runs the test, root or not, and costs nothing while it is idle.

use std::ffi::OsString;
use std::io::{Read, Write};
use std::net::{Ipv4Addr, TcpStream};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use anyhow::{Context, bail};
use tempfile::TempDir;

use super::leash::{Launch, Leashed, Signal};
use super::log::log_end;
use super::poll::poll_until;
use super::port::Port;
use super::program::Program;
use super::tls::TlsFiles;

const READY_WITHIN: Duration = Duration::from_secs(60);
const MAPPER_READY_WITHIN: Duration = Duration::from_secs(10);
const STOPPED_WITHIN: Duration = Duration::from_secs(30);
const ON_DISK_WITHIN: Duration = Duration::from_secs(10);
const ANSWER_WITHIN: Duration = Duration::from_secs(2);

/// Two schedulers that do not spin: an idle broker must not take the processor from the tests.
const ERLANG_FLAGS: &str = "-noinput +S 2:2 +sbwt none +sbwtdcpu none +sbwtdio none \
                            -kernel inet_dist_use_interface {127,0,0,1}";

/// A private `rabbitmq-server` on a loopback port. Dropping it ends it and removes its data.
#[derive(Debug)]
pub struct RabbitServer {
    broker: Option<Leashed>,
    _mapper: Leashed,
    program: PathBuf,
    settings: Vec<(String, String)>,
    node: String,
    directory: TempDir,
    port: Port,
    tls_port: Port,
    distribution_port: Port,
    mapper_port: Port,
    /// Where its own metrics are, if they were asked for.
    metrics_port: Option<Port>,
}

impl RabbitServer {
    /// Starts a broker without plugins, and waits until it greets AMQP clients: 5 to 10 seconds.
    ///
    /// # Errors
    /// A missing program, by name and package; otherwise why the broker did not come up, with the end of its log.
    pub fn start() -> anyhow::Result<Self> {
        Self::with_config(&[])
    }

    /// Like [`start`](Self::start), with more settings of `rabbitmq.conf`, such as `("consumer_timeout", "20000")`.
    ///
    /// # Errors
    /// As for [`start`](Self::start).
    pub fn with_config(settings: &[(&str, &str)]) -> anyhow::Result<Self> {
        Self::launch(settings, None)
    }

    /// Like [`start`](Self::start), with the plugin `rabbitmq_prometheus` on [`metrics_port`](Self::metrics_port).
    ///
    /// # Errors
    /// As for [`start`](Self::start).
    pub fn with_metrics() -> anyhow::Result<Self> {
        Self::launch(&[], Some(Port::claim()?))
    }

    fn launch(settings: &[(&str, &str)], metrics_port: Option<Port>) -> anyhow::Result<Self> {
        static STARTED: AtomicU32 = AtomicU32::new(0);
        let program = Program::RabbitmqServer.find()?;
        let directory = tempfile::Builder::new().prefix("longhaul-rabbit-").tempdir()?;
        let mapper_port = Port::claim()?;
        let mut server = Self {
            broker: None,
            _mapper: start_mapper(&mapper_port, directory.path())?,
            program,
            settings: settings
                .iter()
                .map(|&(name, value)| (name.to_owned(), value.to_owned()))
                .collect(),
            node: format!(
                "lh-{}-{}@localhost",
                std::process::id(),
                STARTED.fetch_add(1, Ordering::Relaxed)
            ),
            directory,
            port: Port::claim()?,
            tls_port: Port::claim()?,
            distribution_port: Port::claim()?,
            mapper_port,
            metrics_port,
        };
        server
            .write_configuration()
            .context("cannot write the broker's configuration")?;
        server.run()?;
        Ok(server)
    }

    /// Like [`start`](Self::start), with a second port that speaks TLS, and takes only clients whose certificate
    /// the CA of the files signed.
    ///
    /// # Errors
    /// As for [`start`](Self::start).
    pub fn with_tls(files: &TlsFiles) -> anyhow::Result<Self> {
        let port = Port::claim()?;
        let listener = format!("127.0.0.1:{}", port.number());
        let [ca, certificate, key] =
            [&files.ca, &files.certificate, &files.key].map(|path| path.to_string_lossy());
        let mut server = Self::with_config(&[
            ("listeners.ssl.1", &listener),
            ("ssl_options.cacertfile", &ca),
            ("ssl_options.certfile", &certificate),
            ("ssl_options.keyfile", &key),
            ("ssl_options.verify", "verify_peer"),
            ("ssl_options.fail_if_no_peer_cert", "true"),
        ])?;
        server.tls_port = port;
        Ok(server)
    }

    /// The port on 127.0.0.1 that speaks TLS, of a broker that was started [`with_tls`](Self::with_tls).
    #[must_use]
    pub fn tls_port(&self) -> u16 {
        self.tls_port.number()
    }

    /// `amqp://guest:guest@127.0.0.1:<port>/%2f`.
    #[must_use]
    pub fn url(&self) -> String {
        format!("amqp://guest:guest@127.0.0.1:{}/%2f", self.port())
    }

    /// The AMQP port on 127.0.0.1, the same for the broker's whole life, also while it is down.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.port.number()
    }

    /// Where it answers `GET /metrics` on 127.0.0.1, if it was started [`with_metrics`](Self::with_metrics).
    #[must_use]
    pub fn metrics_port(&self) -> Option<u16> {
        self.metrics_port.as_ref().map(Port::number)
    }

    /// Where its logs and its data are.
    #[must_use]
    pub fn directory(&self) -> &Path {
        self.directory.path()
    }

    /// Waits until the broker could be killed without losing the quorum queue itself.
    ///
    /// RabbitMQ 3.10 writes the registration of a new quorum queue half a second after it has answered the
    /// declaration, also when it has confirmed messages since. After a SIGKILL in between, the queue exists and
    /// never answers. A test that kills the broker waits for this, unless that very wound is its subject.
    ///
    /// # Errors
    /// When the queue is not on disk in time, as one that is not a quorum queue of the vhost `/`.
    pub fn wait_until_on_disk(&self, quorum_queue: &str) -> anyhow::Result<()> {
        let registry = self
            .path("data")
            .join(&self.node)
            .join("quorum")
            .join(&self.node)
            .join("names.dets");
        let internal_name = format!("%2F_{quorum_queue}");
        poll_until(
            &format!("the queue {quorum_queue} is on disk"),
            ON_DISK_WITHIN,
            || {
                let bytes = std::fs::read(&registry).unwrap_or_default();
                Ok(bytes
                    .windows(internal_name.len())
                    .any(|part| part == internal_name.as_bytes())
                    .then_some(()))
            },
        )
    }

    /// Ends it at once with SIGKILL, as a crash would. Its data stays, but see
    /// [`wait_until_on_disk`](Self::wait_until_on_disk).
    pub fn kill(&mut self) {
        self.broker = None;
    }

    /// Ends it in good order with SIGTERM. Its data stays.
    ///
    /// # Errors
    /// When it does not end in time; it is killed then.
    pub fn stop(&mut self) -> anyhow::Result<()> {
        match self.broker.take() {
            Some(broker) => broker.stop(STOPPED_WITHIN).with_context(|| self.last_words()),
            None => Ok(()),
        }
    }

    /// Starts it again on the same port and data; stops it first if it runs.
    ///
    /// # Errors
    /// As for [`stop`](Self::stop) and [`start`](Self::start).
    pub fn restart(&mut self) -> anyhow::Result<()> {
        self.stop()?;
        self.run()
    }

    /// Kills it, deletes its data, and starts it again on the same port: a broker that forgot everything.
    ///
    /// # Errors
    /// As for [`start`](Self::start).
    pub fn wipe(&mut self) -> anyhow::Result<()> {
        self.kill();
        let data = self.path("data");
        // Helpers of the killed broker, which Erlang puts into sessions of their own, may still be leaving.
        poll_until("the broker's data is deleted", STOPPED_WITHIN, || {
            Ok((std::fs::remove_dir_all(&data).is_ok() || !data.exists()).then_some(()))
        })?;
        std::fs::create_dir_all(data)?;
        self.run()
    }

    /// Freezes it with SIGSTOP: connections stay open, nothing is answered.
    ///
    /// # Errors
    /// When it does not run.
    pub fn freeze(&mut self) -> anyhow::Result<()> {
        self.broker
            .as_mut()
            .context("the broker does not run")?
            .signal(Signal::Freeze)
    }

    /// Lets it go on after a [`freeze`](Self::freeze).
    ///
    /// # Errors
    /// When it does not run.
    pub fn thaw(&mut self) -> anyhow::Result<()> {
        self.broker
            .as_mut()
            .context("the broker does not run")?
            .signal(Signal::Thaw)
    }

    fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    fn last_words(&self) -> String {
        let node_log = self.path("log").join(format!("{}.log", self.node));
        format!("{}\n{}", log_end(&self.path("console.log")), log_end(&node_log))
    }

    fn write_configuration(&self) -> anyhow::Result<()> {
        for directory in ["data", "log", "conf.d"] {
            std::fs::create_dir(self.path(directory))?;
        }
        // The limits are low so that the broker starts, and does not block its publishers, on any machine.
        let mut configuration = format!(
            "listeners.tcp.1 = 127.0.0.1:{}\ndisk_free_limit.absolute = 1MB\n\
             vm_memory_high_watermark.absolute = 1GB\nlog.console = false\n",
            self.port()
        );
        let mut plugins = "[].\n";
        if let Some(port) = self.metrics_port() {
            configuration.push_str(&format!(
                "prometheus.tcp.ip = 127.0.0.1\nprometheus.tcp.port = {port}\n"
            ));
            plugins = "[rabbitmq_prometheus].\n";
        }
        for (name, value) in &self.settings {
            configuration.push_str(&format!("{name} = {value}\n"));
        }
        std::fs::write(self.path("rabbitmq.conf"), configuration)?;
        // Empty ones of our own: RabbitMQ would read the machine's where these are not named.
        std::fs::write(self.path("advanced.config"), "[].\n")?;
        std::fs::write(self.path("enabled_plugins"), plugins)?;
        std::fs::write(self.path("rabbitmq-env.conf"), "")?;
        Ok(())
    }

    fn environment(&self) -> Vec<(&'static str, OsString)> {
        let directory = || self.directory.path().into();
        vec![
            // Erlang keeps its cookie in the home directory.
            ("HOME", directory()),
            ("TMPDIR", directory()),
            ("ERL_EPMD_ADDRESS", "127.0.0.1".into()),
            ("ERL_EPMD_PORT", self.mapper_port.number().to_string().into()),
            ("RABBITMQ_NODENAME", (&self.node).into()),
            (
                "RABBITMQ_DIST_PORT",
                self.distribution_port.number().to_string().into(),
            ),
            ("RABBITMQ_MNESIA_BASE", self.path("data").into()),
            ("RABBITMQ_LOG_BASE", self.path("log").into()),
            ("RABBITMQ_PID_FILE", self.path("pid").into()),
            ("RABBITMQ_CONFIG_FILE", self.path("rabbitmq.conf").into()),
            ("RABBITMQ_CONFIG_FILES", self.path("conf.d").into()),
            ("RABBITMQ_CONF_ENV_FILE", self.path("rabbitmq-env.conf").into()),
            (
                "RABBITMQ_ADVANCED_CONFIG_FILE",
                self.path("advanced.config").into(),
            ),
            (
                "RABBITMQ_ENABLED_PLUGINS_FILE",
                self.path("enabled_plugins").into(),
            ),
            // Makes the script become the broker instead of waiting for it: one process, one id. What else it
            // would mean, an Erlang shell on standard input, is undone by `-noinput`.
            ("RABBITMQ_ALLOW_INPUT", "1".into()),
            ("RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS", ERLANG_FLAGS.into()),
        ]
    }

    fn run(&mut self) -> anyhow::Result<()> {
        let launch = Launch {
            program: self.program.clone(),
            arguments: Vec::new(),
            environment: self.environment(),
            log: self.path("console.log"),
            directory: self.directory.path().to_path_buf(),
        };
        let broker = self.broker.insert(Leashed::start(&launch)?);
        let port = self.port.number();
        let ready = poll_until("RabbitMQ greets AMQP clients", READY_WITHIN, || {
            match broker.ended()? {
                Some(status) => bail!("rabbitmq-server ended: {status}"),
                None => Ok(greets(port).then_some(())),
            }
        });
        ready.with_context(|| self.last_words())
    }
}

/// Erlang would start a mapper itself and leave it behind, for all of the machine's nodes: this one is ours alone.
fn start_mapper(port: &Port, directory: &Path) -> anyhow::Result<Leashed> {
    let number = port.number();
    let log = directory.join("epmd.log");
    let mut mapper = Leashed::start(&Launch {
        program: Program::Epmd.find()?,
        arguments: ["-port", &number.to_string(), "-address", "127.0.0.1"]
            .map(Into::into)
            .to_vec(),
        environment: vec![("HOME", directory.into())],
        log: log.clone(),
        directory: directory.to_path_buf(),
    })?;
    let ready = poll_until("epmd listens", MAPPER_READY_WITHIN, || match mapper.ended()? {
        Some(status) => bail!("epmd ended: {status}"),
        None => Ok(TcpStream::connect((Ipv4Addr::LOCALHOST, number)).ok()),
    });
    ready.with_context(|| log_end(&log))?;
    Ok(mapper)
}

/// Sends the protocol header and expects `connection.start`: frame type 1, channel 0, class 10, method 10.
fn greets(port: u16) -> bool {
    let ask = || -> std::io::Result<[u8; 11]> {
        let mut connection = TcpStream::connect((Ipv4Addr::LOCALHOST, port))?;
        connection.set_read_timeout(Some(ANSWER_WITHIN))?;
        connection.write_all(b"AMQP\x00\x00\x09\x01")?;
        let mut frame = [0; 11];
        connection.read_exact(&mut frame)?;
        Ok(frame)
    };
    ask().is_ok_and(|frame| matches!(frame, [1, 0, 0, _, _, _, _, 0, 10, 0, 10]))
}
