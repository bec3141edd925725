//! A Redis server of one's own, durable as Longhaul wants it unless a test says otherwise.
//! Never speaks more of Redis' protocol than PING.

use std::io::{BufRead, BufReader, Write};
use std::net::{Ipv4Addr, TcpStream};
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, bail};
use tempfile::TempDir;

use super::leash::{Launch, Leashed, Signal};
use super::log::log_end;
use super::poll::poll_until;
use super::port::Port;
use super::program::Program;
use super::tls::TlsFiles;

const READY_WITHIN: Duration = Duration::from_secs(30);
const STOPPED_WITHIN: Duration = Duration::from_secs(20);
const ANSWER_WITHIN: Duration = Duration::from_secs(1);

/// What `deploy/redis.conf` asks of an operator: what is answered is on disk, and nothing is ever evicted.
const DURABLE: [(&str, &str); 4] = [
    ("appendonly", "yes"),
    ("appendfsync", "always"),
    ("save", ""),
    ("maxmemory-policy", "noeviction"),
];

/// A private `redis-server` on a loopback port. Dropping it ends it and removes its data.
#[derive(Debug)]
pub struct RedisServer {
    process: Option<Leashed>,
    program: PathBuf,
    settings: Vec<(String, String)>,
    directory: TempDir,
    port: Port,
    tls_port: Port,
}

impl RedisServer {
    /// Starts a server with `appendonly yes`, `appendfsync always`, `maxmemory-policy noeviction`, and waits until
    /// it answers.
    ///
    /// # Errors
    /// A missing program, by name and package; otherwise why the server did not come up, with the end of its log.
    pub fn start() -> anyhow::Result<Self> {
        Self::with_config(&[])
    }

    /// Like [`start`](Self::start), with settings of `redis.conf` that replace or extend the usual ones, such as
    /// `("maxmemory-policy", "allkeys-lru")` or `("requirepass", "secret")`.
    ///
    /// # Errors
    /// As for [`start`](Self::start).
    pub fn with_config(settings: &[(&str, &str)]) -> anyhow::Result<Self> {
        let program = Program::RedisServer.find()?;
        let directory = tempfile::Builder::new().prefix("longhaul-redis-").tempdir()?;
        let usual = DURABLE
            .iter()
            .filter(|(name, _)| settings.iter().all(|(other, _)| other != name));
        let settings = usual
            .chain(settings)
            .map(|&(name, value)| (name.to_owned(), value.to_owned()))
            .collect();
        let mut server = Self {
            process: None,
            program,
            settings,
            directory,
            port: Port::claim()?,
            tls_port: Port::claim()?,
        };
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
        let number = port.number().to_string();
        let [ca, certificate, key] =
            [&files.ca, &files.certificate, &files.key].map(|path| path.to_string_lossy());
        let mut server = Self::with_config(&[
            ("tls-port", &number),
            ("tls-ca-cert-file", &ca),
            ("tls-cert-file", &certificate),
            ("tls-key-file", &key),
            ("tls-auth-clients", "yes"),
        ])?;
        server.tls_port = port;
        Ok(server)
    }

    /// The port on 127.0.0.1 that speaks TLS, of a server that was started [`with_tls`](Self::with_tls).
    #[must_use]
    pub fn tls_port(&self) -> u16 {
        self.tls_port.number()
    }

    /// `redis://127.0.0.1:<port>/`, with the password if `requirepass` was set.
    #[must_use]
    pub fn url(&self) -> String {
        match self.settings.iter().find(|(name, _)| name == "requirepass") {
            Some((_, password)) => format!("redis://:{password}@127.0.0.1:{}/", self.port()),
            None => format!("redis://127.0.0.1:{}/", self.port()),
        }
    }

    /// The TCP port on 127.0.0.1, the same for the server's whole life, also while it is down.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.port.number()
    }

    /// Where its log and its data are.
    #[must_use]
    pub fn directory(&self) -> &Path {
        self.directory.path()
    }

    /// Ends it at once with SIGKILL, as a crash would. Its data stays.
    pub fn kill(&mut self) {
        self.process = None;
    }

    /// Ends it in good order with SIGTERM. Its data stays.
    ///
    /// # Errors
    /// When it does not end in time; it is killed then.
    pub fn stop(&mut self) -> anyhow::Result<()> {
        match self.process.take() {
            Some(process) => process.stop(STOPPED_WITHIN).with_context(|| self.last_words()),
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

    /// Kills it, deletes its data, and starts it again on the same port: a store that forgot everything.
    ///
    /// # Errors
    /// As for [`start`](Self::start).
    pub fn wipe(&mut self) -> anyhow::Result<()> {
        self.kill();
        std::fs::remove_dir_all(self.data()).context("cannot delete the server's data")?;
        self.run()
    }

    /// Freezes it with SIGSTOP: connections stay open, nothing is answered.
    ///
    /// # Errors
    /// When it does not run.
    pub fn freeze(&mut self) -> anyhow::Result<()> {
        self.process
            .as_mut()
            .context("the server does not run")?
            .signal(Signal::Freeze)
    }

    /// Lets it go on after a [`freeze`](Self::freeze).
    ///
    /// # Errors
    /// When it does not run.
    pub fn thaw(&mut self) -> anyhow::Result<()> {
        self.process
            .as_mut()
            .context("the server does not run")?
            .signal(Signal::Thaw)
    }

    fn data(&self) -> PathBuf {
        self.directory().join("data")
    }

    fn log(&self) -> PathBuf {
        self.directory().join("redis.log")
    }

    fn last_words(&self) -> String {
        log_end(&self.log())
    }

    fn run(&mut self) -> anyhow::Result<()> {
        std::fs::create_dir_all(self.data())?;
        let mut arguments = vec![
            "--port".into(),
            self.port().to_string().into(),
            "--dir".into(),
            self.data().into(),
        ];
        // Redis would write its process title over its environment, by which `tests/servers.rs` knows its processes.
        arguments.extend(["--bind", "127.0.0.1", "--set-proc-title", "no"].map(Into::into));
        for (name, value) in &self.settings {
            arguments.extend([format!("--{name}").into(), value.into()]);
        }
        let launch = Launch {
            program: self.program.clone(),
            arguments,
            environment: vec![("HOME", self.directory().into())],
            log: self.log(),
            directory: self.directory().to_path_buf(),
        };
        let process = self.process.insert(Leashed::start(&launch)?);
        let port = self.port.number();
        let ready = poll_until("Redis answers PING", READY_WITHIN, || match process.ended()? {
            Some(status) => bail!("redis-server ended: {status}"),
            None => Ok(answers(port).then_some(())),
        });
        ready.with_context(|| self.last_words())
    }
}

/// A server that wants a password is as ready as one that does not; one that still loads its data is not.
fn answers(port: u16) -> bool {
    let ask = || -> std::io::Result<String> {
        let mut connection = TcpStream::connect((Ipv4Addr::LOCALHOST, port))?;
        connection.set_read_timeout(Some(ANSWER_WITHIN))?;
        connection.write_all(b"PING\r\n")?;
        let mut answer = String::new();
        BufReader::new(connection).read_line(&mut answer)?;
        Ok(answer)
    };
    ask().is_ok_and(|answer| answer.starts_with("+PONG") || answer.starts_with("-NOAUTH"))
}
