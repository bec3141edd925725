//! Owns a second handle of a connection's socket, to end what lapin itself would wait for without an end: the
//! opening of the socket, the answer to a handshake or to a farewell.
//! Never reads or writes it, and never uses a clock: lapin's thread may outlive the runtime that a clock needs.

use std::io;
use std::net::{Shutdown, TcpStream};
#[cfg(unix)]
use std::os::fd::AsFd as AsHandle;
#[cfg(windows)]
use std::os::windows::io::AsSocket as AsHandle;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio_util::sync::CancellationToken;

/// The place for the handle, for whoever opens the socket.
#[derive(Clone, Default)]
pub(super) struct Socket(Arc<Place>);

#[derive(Default)]
struct Place {
    hold: Mutex<Hold>,
    severed: CancellationToken,
}

#[derive(Default)]
enum Hold {
    #[default]
    Nothing,
    Held(TcpStream),
    Severed,
}

impl Socket {
    /// Takes a handle of an open socket, and turns off the kernel's waiting for more to send.
    ///
    /// # Errors
    /// When it was severed before, or the system gives no second handle.
    pub(super) fn hold(&self, socket: &impl AsHandle) -> io::Result<()> {
        #[cfg(unix)]
        let handle = TcpStream::from(socket.as_fd().try_clone_to_owned()?);
        #[cfg(windows)]
        let handle = TcpStream::from(socket.as_socket().try_clone_to_owned()?);
        handle.set_nodelay(true)?;
        let mut hold = self.lock();
        if matches!(*hold, Hold::Severed) {
            return Err(io::ErrorKind::TimedOut.into());
        }
        *hold = Hold::Held(handle);
        Ok(())
    }

    /// Completes once it is severed: nobody waits for the socket any more.
    ///
    /// # Cancel safety
    /// Safe: it only looks.
    pub(super) async fn severed(&self) {
        self.0.severed.cancelled().await;
    }

    fn sever(&self) {
        let before = std::mem::replace(&mut *self.lock(), Hold::Severed);
        self.0.severed.cancel();
        if let Hold::Held(stream) = before {
            // It fails only when the peer was faster.
            let _ = stream.shutdown(Shutdown::Both);
        }
    }

    fn lock(&self) -> MutexGuard<'_, Hold> {
        self.0.hold.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Whoever holds it keeps the socket open. Dropping it ends both directions, now or as soon as there is a socket.
#[derive(Default)]
pub(super) struct Lifeline(Socket);

impl Lifeline {
    /// Where the socket is to be put once it is open.
    pub(super) fn socket(&self) -> Socket {
        self.0.clone()
    }

    /// Ends both directions, now or as soon as there is a socket.
    pub(super) fn sever(&self) {
        self.0.sever();
    }
}

impl Drop for Lifeline {
    fn drop(&mut self) {
        self.sever();
    }
}

#[cfg(test)]
mod tests {
    use std::io::Read;
    use std::net::{Ipv4Addr, TcpListener};

    use futures::FutureExt;

    use super::*;

    fn pair() -> (TcpStream, TcpStream) {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let ours = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        (ours, listener.accept().unwrap().0)
    }

    #[test]
    fn severing_ends_the_socket_for_both_sides() {
        let (mut ours, mut theirs) = pair();
        let lifeline = Lifeline::default();
        lifeline.socket().hold(&ours).unwrap();
        drop(lifeline);
        assert_eq!(ours.read(&mut [0]).unwrap(), 0);
        assert_eq!(theirs.read(&mut [0]).unwrap(), 0);
    }

    #[test]
    fn a_socket_that_comes_too_late_is_not_taken() {
        let (ours, _theirs) = pair();
        let lifeline = Lifeline::default();
        let socket = lifeline.socket();
        lifeline.sever();
        assert!(socket.hold(&ours).is_err());
    }

    #[test]
    fn whoever_opens_the_socket_hears_that_nobody_waits_for_it() {
        let lifeline = Lifeline::default();
        let socket = lifeline.socket();
        assert!(socket.severed().now_or_never().is_none());
        drop(lifeline);
        assert!(socket.severed().now_or_never().is_some());
    }
}
