//! A kept-alive connection with one request at a time: hyper and nothing around it.

use std::net::SocketAddr;

use bytes::Bytes;
use http::header::HOST;
use http::{HeaderMap, HeaderValue, Request};
use http_body_util::{BodyExt as _, Full};
use hyper::client::conn::http1::{SendRequest, handshake};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;
use tokio::task::JoinSet;

use crate::Outcome;

/// See the module.
#[derive(Debug)]
pub(crate) struct Connection {
    host: HeaderValue,
    sender: SendRequest<Full<Bytes>>,
    /// The task that moves the bytes; it ends with this.
    _mover: JoinSet<()>,
}

/// An answer, read to its end.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
}

impl Connection {
    /// Connects.
    pub(crate) async fn open(address: SocketAddr) -> Outcome<Self> {
        let stream = TcpStream::connect(address).await?;
        stream.set_nodelay(true)?;
        let (sender, connection) = handshake(TokioIo::new(stream)).await?;
        let mut mover = JoinSet::new();
        mover.spawn(async move {
            // What breaks the connection fails the request that is under way.
            let _ = connection.await;
        });
        Ok(Self { host: address.to_string().try_into()?, sender, _mover: mover })
    }

    /// Connects so many times.
    pub(crate) async fn open_many(address: SocketAddr, count: usize) -> Outcome<Vec<Self>> {
        let mut all = Vec::with_capacity(count);
        for _ in 0..count {
            all.push(Self::open(address).await?);
        }
        Ok(all)
    }

    /// Sends a request; any status but one of success is an error.
    pub(crate) async fn send(&mut self, mut request: Request<Full<Bytes>>) -> Outcome<Answer> {
        request.headers_mut().insert(HOST, self.host.clone());
        self.sender.ready().await?;
        let (head, body) = self.sender.send_request(request).await?.into_parts();
        let body = body.collect().await?.to_bytes();
        if head.status.is_success() {
            return Ok(Answer { headers: head.headers, body });
        }
        Err(format!("{}: {}", head.status, String::from_utf8_lossy(&body)).into())
    }

    /// Asks for something without signature.
    pub(crate) async fn get(&mut self, path: &str) -> Outcome<Bytes> {
        Ok(self.send(Request::get(path).body(Full::default())?).await?.body)
    }
}
