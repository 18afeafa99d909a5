//! The floor: a server that reads each request and answers at once. What it reaches is the most that this machine,
//! this client and hyper allow.

use std::convert::Infallible;
use std::io::Result;

use bytes::Bytes;
use http::{Request, Response, StatusCode};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

/// What a path starts with that ends in the number of bytes to answer.
pub(crate) const BYTES_PATH: &str = "/bytes/";

/// The longest answer.
const ANSWER_BYTES_MAX: usize = 16 << 20;

static ZEROS: [u8; ANSWER_BYTES_MAX] = [0; ANSWER_BYTES_MAX];

/// Serves until `stop`.
pub(crate) async fn serve(listener: TcpListener, stop: CancellationToken) -> Result<()> {
    let tasks = TaskTracker::new();
    loop {
        let stream = tokio::select! {
            () = stop.cancelled() => return Ok(()),
            accepted = listener.accept() => accepted?.0,
        };
        stream.set_nodelay(true)?;
        let serving = http1::Builder::new().serve_connection(TokioIo::new(stream), service_fn(answer));
        // A connection that breaks is the client's to report.
        tasks.spawn(async move { drop(serving.await) });
    }
}

async fn answer(request: Request<Incoming>) -> std::result::Result<Response<Full<Bytes>>, Infallible> {
    let path = request.uri().path();
    let length = path.strip_prefix(BYTES_PATH).and_then(|length| length.parse().ok()).unwrap_or(0);
    let mut body = request.into_body();
    while let Some(Ok(_)) = body.frame().await {}
    let mut response = Response::new(Full::new(Bytes::from_static(&ZEROS[..ANSWER_BYTES_MAX.min(length)])));
    *response.status_mut() = if length > 0 { StatusCode::OK } else { StatusCode::CREATED };
    Ok(response)
}
