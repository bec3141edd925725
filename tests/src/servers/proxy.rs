//! A TCP proxy in front of a server, by which a test breaks connections where and when it wants to.
//! Never understands what passes through it.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, Shutdown, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;

use anyhow::Context;

/// Most bytes that pass at once.
const CHUNK: usize = 16 * 1024;

/// A proxy on a loopback port of its own. Dropping it ends every connection through it.
#[derive(Debug)]
pub struct Proxy {
    port: u16,
    state: Arc<State>,
    listening: Option<JoinHandle<()>>,
}

#[derive(Debug)]
struct State {
    target: u16,
    ended: AtomicBool,
    blocked: AtomicBool,
    /// How many bytes of the next reply that is longer than that still pass.
    tear_after: Mutex<Option<usize>>,
    torn: AtomicUsize,
    connections: Mutex<Vec<TcpStream>>,
}

impl Proxy {
    /// Starts a proxy to this port of 127.0.0.1.
    ///
    /// # Errors
    /// When there is no port to listen on.
    pub fn to(target: u16) -> anyhow::Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).context("no port for a proxy")?;
        let port = listener.local_addr()?.port();
        let state = Arc::new(State {
            target,
            ended: AtomicBool::new(false),
            blocked: AtomicBool::new(false),
            tear_after: Mutex::new(None),
            torn: AtomicUsize::new(0),
            connections: Mutex::new(Vec::new()),
        });
        let listening = Some(std::thread::spawn({
            let state = Arc::clone(&state);
            move || listen(&listener, &state)
        }));
        Ok(Self {
            port,
            state,
            listening,
        })
    }

    /// The port on 127.0.0.1 to connect to.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Ends every connection.
    pub fn cut(&self) {
        for connection in self.state.connections().drain(..) {
            // It may have ended by itself.
            let _ = connection.shutdown(Shutdown::Both);
        }
    }

    /// Ends every connection, and each new one at once, until [`unblock`](Self::unblock).
    pub fn block(&self) {
        self.state.blocked.store(true, Ordering::SeqCst);
        self.cut();
    }

    /// Lets connections pass again.
    pub fn unblock(&self) {
        self.state.blocked.store(false, Ordering::SeqCst);
    }

    /// Lets only so many bytes of the server's next reply that is longer than that pass, and ends its connection:
    /// the server has done what it was asked for, and the client does not learn of it.
    pub fn tear_reply_after(&self, bytes: usize) {
        *self.state.tear_after() = Some(bytes);
    }

    /// How many replies were torn so far.
    #[must_use]
    pub fn torn(&self) -> usize {
        self.state.torn.load(Ordering::SeqCst)
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.state.ended.store(true, Ordering::SeqCst);
        // Wakes the listening thread, which looks whether it is to end.
        let _ = TcpStream::connect((Ipv4Addr::LOCALHOST, self.port));
        if let Some(listening) = self.listening.take() {
            let _ = listening.join();
        }
        self.cut();
    }
}

impl State {
    fn connections(&self) -> std::sync::MutexGuard<'_, Vec<TcpStream>> {
        self.connections.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn tear_after(&self) -> std::sync::MutexGuard<'_, Option<usize>> {
        self.tear_after.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// How much of a reply of this length passes.
    fn passes(&self, length: usize) -> usize {
        let mut tear_after = self.tear_after();
        match *tear_after {
            Some(bytes) if bytes < length => {
                *tear_after = None;
                self.torn.fetch_add(1, Ordering::SeqCst);
                bytes
            }
            _ => length,
        }
    }
}

fn listen(listener: &TcpListener, state: &Arc<State>) {
    while let Ok((client, _)) = listener.accept() {
        if state.ended.load(Ordering::SeqCst) {
            return;
        }
        if state.blocked.load(Ordering::SeqCst) {
            continue;
        }
        // A server that is away ends the client's connection as well.
        if let Ok(server) = TcpStream::connect((Ipv4Addr::LOCALHOST, state.target)) {
            // Whatever fails here ends the connection, which is what a proxy has to say of it.
            let _ = pair(client, server, state);
        }
    }
}

fn pair(client: TcpStream, server: TcpStream, state: &Arc<State>) -> std::io::Result<()> {
    client.set_nodelay(true)?;
    server.set_nodelay(true)?;
    state
        .connections()
        .extend([client.try_clone()?, server.try_clone()?]);
    if state.blocked.load(Ordering::SeqCst) {
        client.shutdown(Shutdown::Both)?;
    }
    let (from_client, to_server) = (client.try_clone()?, server.try_clone()?);
    std::thread::spawn(move || pass(from_client, to_server, |length| length));
    let state = Arc::clone(state);
    std::thread::spawn(move || pass(server, client, |length| state.passes(length)));
    Ok(())
}

/// Passes bytes on until either end closes, or only some of them may pass.
fn pass(mut from: TcpStream, mut to: TcpStream, passes: impl Fn(usize) -> usize) {
    let mut chunk = vec![0; CHUNK];
    while let Ok(read) = from.read(&mut chunk) {
        let passing = passes(read);
        let written = chunk.get(..passing).map_or(Ok(()), |bytes| to.write_all(bytes));
        if read == 0 || passing < read || written.is_err() {
            break;
        }
    }
    let _ = from.shutdown(Shutdown::Both);
    let _ = to.shutdown(Shutdown::Both);
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A server that answers each line with ten bytes.
    fn echo() -> u16 {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let port = listener.local_addr().unwrap().port();
        std::thread::spawn(move || {
            for mut connection in listener.incoming().map_while(Result::ok) {
                std::thread::spawn(move || {
                    let mut byte = [0];
                    while connection.read_exact(&mut byte).is_ok() {
                        if byte == *b"\n" && connection.write_all(b"0123456789").is_err() {
                            break;
                        }
                    }
                });
            }
        });
        port
    }

    fn ask(connection: &mut TcpStream, bytes: usize) -> Vec<u8> {
        let mut answer = vec![0; bytes];
        let mut read = 0;
        if connection.write_all(b"\n").is_ok() {
            while read < bytes {
                match connection.read(&mut answer[read..]) {
                    Ok(0) | Err(_) => break,
                    Ok(more) => read += more,
                }
            }
        }
        answer.truncate(read);
        answer
    }

    #[test]
    fn what_is_cut_blocked_or_torn_ends_where_the_test_says() {
        let proxy = Proxy::to(echo()).unwrap();
        let connect = || TcpStream::connect((Ipv4Addr::LOCALHOST, proxy.port())).unwrap();
        let mut connection = connect();
        assert_eq!(ask(&mut connection, 10), b"0123456789");
        proxy.tear_reply_after(10);
        assert_eq!(ask(&mut connection, 10), b"0123456789", "not longer than that");
        proxy.tear_reply_after(4);
        assert_eq!(ask(&mut connection, 10), b"0123");
        assert_eq!((proxy.torn(), ask(&mut connection, 10).len()), (1, 0));
        let mut connection = connect();
        assert_eq!(ask(&mut connection, 10), b"0123456789", "only one is torn");
        proxy.block();
        assert_eq!(ask(&mut connection, 10), b"");
        assert_eq!(ask(&mut connect(), 10), b"");
        proxy.unblock();
        let mut connection = connect();
        assert_eq!(ask(&mut connection, 10), b"0123456789");
        proxy.cut();
        assert_eq!(ask(&mut connection, 10), b"");
    }
}
