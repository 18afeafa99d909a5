//! Connections that cannot be held for ever.
//!
//! Whoever asks and never reads the answer, or connects and never asks, is cut off after a while, so that neither the memory of unsent
//! answers nor the number of connections grows without end. Moving a byte now and then does not help: a request must be whole within
//! [`HEAD_MAX`] of its first byte, and an answer taken within [`ANSWER_MAX`] of its first. The time of the work between them is bounded
//! where it is done, and by [`WORK_MAX`] here.
//!
//! What it does not do: tell one client from another. Whoever reaches the port can take all places again and again, by asking.

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
/// How long a client may take for an answer.
const ANSWER_MAX: Duration = Duration::from_mins(1);
/// How long a client may send nothing between two requests. Probes and scrapes come more often.
const SILENT_MAX: Duration = Duration::from_secs(90);
/// How long a client may take from the first byte of a request to the end of its head.
const HEAD_MAX: Duration = Duration::from_secs(10);
/// How long it may take from the end of a request's head to the first byte of the answer, the request's body included.
const WORK_MAX: Duration = Duration::from_secs(30);
/// Connections at a time; further ones wait.
const CONNECTIONS_MAX: usize = 512;

/// A listener whose connections end when nothing moves on them, or too slowly.
pub(super) struct Patient {
    listener: TcpListener,
    places: Arc<Semaphore>,
}

impl Patient {
    pub(super) fn new(listener: TcpListener) -> Self {
        Self::with_places(listener, CONNECTIONS_MAX)
    }

    fn with_places(listener: TcpListener, places: usize) -> Self {
        Self { listener, places: Arc::new(Semaphore::new(places)) }
    }
}

impl Listener for Patient {
    type Io = Connection;
    type Addr = SocketAddr;

    async fn accept(&mut self) -> (Connection, SocketAddr) {
        // Nobody closes the semaphore; without a place the connection would be uncounted and nothing worse.
        let place = Arc::clone(&self.places).acquire_owned().await.ok();
        let (stream, address) = Listener::accept(&mut self.listener).await;
        (Connection::new(stream, place), address)
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        self.listener.local_addr()
    }
}

/// Whose turn it is on a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Turn {
    /// Nothing was asked yet.
    Idle,
    /// The head of a request is coming; so far its last line is empty, or not.
    Asking { line_is_empty: bool },
    /// The head was whole: the body may come, and the answer is made.
    Asked,
    /// An answer is being taken, to be whole by then; or was, which cannot be seen from here.
    Answering { until: Instant },
}

/// One connection.
pub(super) struct Connection {
    stream: TcpStream,
    turn: Turn,
    /// Until when the client has to send something, or the answer has to begin.
    heard: Pin<Box<Sleep>>,
    /// Until when the client has to take something.
    unread: Pin<Box<Sleep>>,
    /// The last write could not go on, and `unread` counts since then.
    is_stuck: bool,
    _place: Option<OwnedSemaphorePermit>,
}

impl Connection {
    fn new(stream: TcpStream, place: Option<OwnedSemaphorePermit>) -> Self {
        let (heard, unread) = (Box::pin(sleep(SILENT_MAX)), Box::pin(sleep(UNREAD_MAX)));
        Self { stream, turn: Turn::Idle, heard, unread, is_stuck: false, _place: place }
    }

    /// The client sent these bytes.
    fn hear(&mut self, bytes: &[u8]) {
        if bytes.is_empty() {
            return;
        }
        if matches!(self.turn, Turn::Idle | Turn::Answering { .. }) {
            self.turn = Turn::Asking { line_is_empty: false };
            self.heard.as_mut().reset(Instant::now() + HEAD_MAX);
        }
        let Turn::Asking { mut line_is_empty } = self.turn else { return };
        for byte in bytes {
            match byte {
                b'\n' if line_is_empty => {
                    self.turn = Turn::Asked;
                    self.heard.as_mut().reset(Instant::now() + WORK_MAX);
                    return;
                }
                b'\n' => line_is_empty = true,
                b'\r' => {}
                _ => line_is_empty = false,
            }
        }
        self.turn = Turn::Asking { line_is_empty };
    }

    /// The client took something: until when the answer has to be whole.
    fn take(&mut self) -> Instant {
        let until = match self.turn {
            Turn::Answering { until } => until,
            _ => Instant::now() + ANSWER_MAX,
        };
        self.turn = Turn::Answering { until };
        // Who reads is not silent.
        self.heard.as_mut().reset(Instant::now() + SILENT_MAX);
        until
    }

    /// What a write came to; too long without any, or too long in all, is an error.
    fn judged(&mut self, context: &mut Context<'_>, wrote: Poll<io::Result<usize>>) -> Poll<io::Result<usize>> {
        if wrote.is_ready() {
            self.is_stuck = false;
            return if Instant::now() <= self.take() {
                wrote
            } else {
                Poll::Ready(Err(io::ErrorKind::TimedOut.into()))
            };
        }
        if !self.is_stuck {
            self.is_stuck = true;
            let unread = Instant::now() + UNREAD_MAX;
            let until = if let Turn::Answering { until } = self.turn { until.min(unread) } else { unread };
            self.unread.as_mut().reset(until);
        }
        ready!(self.unread.as_mut().poll(context));
        Poll::Ready(Err(io::ErrorKind::TimedOut.into()))
    }
}

impl AsyncRead for Connection {
    fn poll_read(mut self: Pin<&mut Self>, context: &mut Context<'_>, into: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let before = into.filled().len();
        let read = Pin::new(&mut self.stream).poll_read(context, into);
        if read.is_ready() {
            self.hear(into.filled().get(before..).unwrap_or_default());
            let is_late = matches!(self.turn, Turn::Asking { .. }) && self.heard.deadline() < Instant::now();
            return if is_late { Poll::Ready(Err(io::ErrorKind::TimedOut.into())) } else { read };
        }
        ready!(self.heard.as_mut().poll(context));
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
mod tests;
