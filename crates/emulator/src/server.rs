//! The listeners: connections, body limits, faults and counters. Knows nothing of either service's protocol.
//!
//! Every connection and every HTTP/2 stream runs on one task tracker, so that stopping waits for them (up to
//! [`DRAIN_MAX`]) and leaves none behind.

mod exchange;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use hyper::rt::Executor;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::conn::auto::Builder;
use tokio::net::{TcpListener, TcpStream};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::blob::BlobService;
use crate::clock::Clock;
use crate::cosmos::CosmosService;
use crate::counters::Counters;
use crate::faults::{Faults, Service};
use crate::{BindError, Options, ServeError};

pub(crate) use exchange::{ResponseBody, whole};

/// How long stopping waits for requests in flight.
const DRAIN_MAX: Duration = Duration::from_secs(5);

/// How long accepting waits after a failure that may pass.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// HTTP/2 flow control windows: a whole page or a whole large document without waiting for updates.
const HTTP2_WINDOW_BYTES: u32 = 8 << 20;

/// Requests at once on one HTTP/2 connection; SDKs multiplex a process's whole traffic on a few connections.
const HTTP2_STREAMS_MAX: u32 = 1_000;

/// What all connections share.
pub(crate) struct Shared {
    pub(crate) cosmos: CosmosService,
    pub(crate) cosmos_clock: Arc<Clock>,
    pub(crate) blob: BlobService,
    pub(crate) blob_clock: Arc<Clock>,
    pub(crate) faults: Faults,
    pub(crate) counters: Counters,
    pub(crate) stop: CancellationToken,
}

/// Both listening sockets.
#[derive(Debug)]
pub(crate) struct Listeners {
    cosmos: (TcpListener, SocketAddr),
    blob: (TcpListener, SocketAddr),
}

impl Listeners {
    /// Takes both addresses or none.
    pub(crate) async fn bind(options: Options) -> Result<Self, BindError> {
        Ok(Self {
            cosmos: listen(Service::Cosmos, options.cosmos).await?,
            blob: listen(Service::Blob, options.blob).await?,
        })
    }

    pub(crate) fn cosmos_addr(&self) -> SocketAddr {
        self.cosmos.1
    }

    pub(crate) fn blob_addr(&self) -> SocketAddr {
        self.blob.1
    }
}

async fn listen(service: Service, address: SocketAddr) -> Result<(TcpListener, SocketAddr), BindError> {
    let failed = |source| BindError { service: service.name(), address, source };
    let listener = TcpListener::bind(address).await.map_err(failed)?;
    let bound = listener.local_addr().map_err(failed)?;
    Ok((listener, bound))
}

impl Shared {
    /// Services without any state, for the listeners' addresses.
    pub(crate) fn new(listeners: &Listeners) -> Self {
        let cosmos_clock = Arc::new(Clock::default());
        let blob_clock = Arc::new(Clock::default());
        Self {
            cosmos: CosmosService::new(Arc::clone(&cosmos_clock), listeners.cosmos.1),
            cosmos_clock,
            blob: BlobService::new(Arc::clone(&blob_clock)),
            blob_clock,
            faults: Faults::default(),
            counters: Counters::default(),
            stop: CancellationToken::new(),
        }
    }
}

/// Serves both listeners until `stop`, then drains.
pub(crate) async fn serve(listeners: Listeners, shared: Shared, stop: CancellationToken) -> Result<(), ServeError> {
    let tasks = TaskTracker::new();
    // Cancelled when either listener fails as well, so that the connections of the other one end too.
    let stop = stop.child_token();
    let shared = Arc::new(Shared { stop: stop.clone(), ..shared });
    let served = tokio::try_join!(
        accept(Service::Cosmos, listeners.cosmos.0, &shared, &tasks),
        accept(Service::Blob, listeners.blob.0, &shared, &tasks),
    );
    stop.cancel();
    tasks.close();
    if tokio::time::timeout(DRAIN_MAX, tasks.wait()).await.is_err() {
        tracing::warn!(open = tasks.len(), "connections were still busy at the end of the drain");
    }
    served.map(|_| ())
}

/// Accepts connections until the stop or a lasting failure of the listener.
async fn accept(
    service: Service,
    listener: TcpListener,
    shared: &Arc<Shared>,
    tasks: &TaskTracker,
) -> Result<(), ServeError> {
    loop {
        let accepted = tokio::select! {
            () = shared.stop.cancelled() => return Ok(()),
            accepted = listener.accept() => accepted,
        };
        match accepted {
            Ok((stream, _)) => {
                tasks.spawn(connection(service, stream, Arc::clone(shared), tasks.clone()));
            }
            Err(error) if is_passing(&error) => {
                tracing::warn!(%error, service = service.name(), "a connection was not accepted");
                // Whatever is used up (descriptors, buffers) needs a moment to be given back.
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
            Err(source) => return Err(ServeError { service: service.name(), source }),
        }
    }
}

/// Whether accepting may succeed later: the connection broke, or the process or system is at a limit.
fn is_passing(error: &std::io::Error) -> bool {
    use std::io::ErrorKind;
    // ENFILE, EMFILE and ENOBUFS have no kind of their own.
    const LIMITS: [i32; 3] = [23, 24, 105];
    matches!(
        error.kind(),
        ErrorKind::ConnectionAborted | ErrorKind::ConnectionReset | ErrorKind::Interrupted | ErrorKind::OutOfMemory
    ) || error.raw_os_error().is_some_and(|code| LIMITS.contains(&code))
}

/// Serves one connection to its end; at the stop it finishes the requests it has.
async fn connection(service: Service, stream: TcpStream, shared: Arc<Shared>, tasks: TaskTracker) {
    // Answers are small and asked for one by one: waiting to fill a segment only adds latency.
    if let Err(error) = stream.set_nodelay(true) {
        tracing::debug!(%error, "TCP_NODELAY was refused");
    }
    let mut builder = Builder::new(Tracked(tasks));
    // Clients keep idle connections for minutes and expect to find them open, as the services keep them.
    builder.http1().header_read_timeout(None);
    builder
        .http2()
        .timer(TokioTimer::new())
        .initial_stream_window_size(HTTP2_WINDOW_BYTES)
        .initial_connection_window_size(HTTP2_WINDOW_BYTES)
        .max_concurrent_streams(HTTP2_STREAMS_MAX);
    let stop = shared.stop.clone();
    let answer = service_fn(move |request| exchange::answer(service, Arc::clone(&shared), request));
    let serving = builder.serve_connection(TokioIo::new(stream), answer);
    tokio::pin!(serving);
    let ended = tokio::select! {
        ended = serving.as_mut() => ended,
        () = stop.cancelled() => {
            serving.as_mut().graceful_shutdown();
            serving.await
        }
    };
    if let Err(error) = ended {
        tracing::debug!(%error, service = service.name(), "a connection ended early");
    }
}

/// Runs hyper's HTTP/2 streams on the tracker.
#[derive(Clone)]
struct Tracked(TaskTracker);

impl<F> Executor<F> for Tracked
where
    F: Future + Send + 'static,
    F::Output: Send + 'static,
{
    fn execute(&self, future: F) {
        self.0.spawn(future);
    }
}
