//! Connections that cannot be held for ever.
//!
//! Whoever asks and never reads the answer, or connects and never asks, is cut off after a while, so that neither the memory of unsent
//! answers nor the number of connections grows without end. The time of a request itself is bounded where it is answered.

use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use axum::serve::Listener;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{Instant, Sleep, sleep};

/// How long a client may take nothing of an answer.
const UNREAD_MAX: Duration = Duration::from_secs(20);
/// How long a client may send nothing.
const SILENT_MAX: Duration = Duration::from_secs(90);
/// Connections at a time; further ones wait.
const CONNECTIONS_MAX: usize = 1_024;

/// A listener whose connections end when nothing moves on them.
pub(super) struct Patient {
    listener: TcpListener,
    places: Arc<Semaphore>,
}

impl Patient {
    pub(super) fn new(listener: TcpListener) -> Self {
        Self { listener, places: Arc::new(Semaphore::new(CONNECTIONS_MAX)) }
    }
}

impl Listener for Patient {
    type Io = Connection;
    type Addr = SocketAddr;

    async fn accept(&mut self) -> (Connection, SocketAddr) {
        // Nobody closes the semaphore; without a place the connection would be uncounted and nothing worse.
        let place = Arc::clone(&self.places).acquire_owned().await.ok();
        let (stream, address) = Listener::accept(&mut self.listener).await;
        let (silent, unread) = (Box::pin(sleep(SILENT_MAX)), Box::pin(sleep(UNREAD_MAX)));
        (Connection { stream, silent, unread, is_stuck: false, _place: place }, address)
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        self.listener.local_addr()
    }
}

/// One connection.
pub(super) struct Connection {
    stream: TcpStream,
    silent: Pin<Box<Sleep>>,
    unread: Pin<Box<Sleep>>,
    /// The last write could not go on, and `unread` counts since then.
    is_stuck: bool,
    _place: Option<OwnedSemaphorePermit>,
}

impl AsyncRead for Connection {
    fn poll_read(mut self: Pin<&mut Self>, context: &mut Context<'_>, into: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        match Pin::new(&mut self.stream).poll_read(context, into) {
            Poll::Ready(read) => {
                self.silent.as_mut().reset(Instant::now() + SILENT_MAX);
                Poll::Ready(read)
            }
            Poll::Pending => {
                ready!(self.silent.as_mut().poll(context));
                Poll::Ready(Err(io::ErrorKind::TimedOut.into()))
            }
        }
    }
}

impl Connection {
    /// What a write came to; too long without any is an error.
    fn judged(&mut self, context: &mut Context<'_>, wrote: Poll<io::Result<usize>>) -> Poll<io::Result<usize>> {
        if wrote.is_ready() {
            self.is_stuck = false;
            // Who reads is not silent.
            self.silent.as_mut().reset(Instant::now() + SILENT_MAX);
            return wrote;
        }
        if !self.is_stuck {
            self.is_stuck = true;
            self.unread.as_mut().reset(Instant::now() + UNREAD_MAX);
        }
        ready!(self.unread.as_mut().poll(context));
        Poll::Ready(Err(io::ErrorKind::TimedOut.into()))
    }
}

impl AsyncWrite for Connection {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let wrote = Pin::new(&mut self.stream).poll_write(context, bytes);
        self.judged(context, wrote)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let wrote = Pin::new(&mut self.stream).poll_write_vectored(context, slices);
        self.judged(context, wrote)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

    use super::*;

    async fn connected() -> (Connection, TcpStream) {
        let mut patient = Patient::new(TcpListener::bind("127.0.0.1:0").await.unwrap());
        let address = patient.local_addr().unwrap();
        let (accepted, client) = tokio::join!(patient.accept(), TcpStream::connect(address));
        (accepted.0, client.unwrap())
    }

    #[tokio::test]
    async fn who_never_reads_is_cut_off() {
        let (mut connection, client) = connected().await;
        tokio::time::pause();
        let begun = Instant::now();
        let answer = vec![b'x'; 64 << 20];
        let error = connection.write_all(&answer).await.unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::TimedOut);
        assert!(begun.elapsed() >= UNREAD_MAX && begun.elapsed() < UNREAD_MAX * 3);
        drop(client);
    }

    #[tokio::test]
    async fn who_never_asks_is_cut_off() {
        let (mut connection, client) = connected().await;
        tokio::time::pause();
        let error = connection.read(&mut [0; 10]).await.unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::TimedOut);
        drop(client);
    }
}
