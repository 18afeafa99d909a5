//! The admin server: whether the process lives and is ready, how far behind it is, and its metrics.
//!
//! It reads [`Progress`] and [`Metrics`] and changes nothing. Lag and ages are computed when somebody asks, from the time of the
//! last answer, so that they grow when the loop that should report them hangs. No answer holds document content or secrets.
//!
//! | path | answer |
//! |---|---|
//! | `/livez` | 200 while every loop of the process goes round, else 503 with those that do not, one per line |
//! | `/startupz` | 200 once start-up has ended, else 503 |
//! | `/readyz` | 200 when nothing is reported as not ready, else 503 with one reason per line |
//! | `/healthz?max_lag=D` | as `/readyz`, and 503 where a container is further behind than `D`, such as `5m` |
//! | `/metrics` | all metrics, in the OpenMetrics text format; `docs/metrics.md` lists them |

use std::net::SocketAddr;
use std::time::Duration;

use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use crate::failure::{CommandError, Exit};

mod access;
mod health;
mod heartbeat;
mod metrics;
mod observed;
mod progress;
pub mod summary;
mod watchdog;

pub use access::{Access, Refusal};
pub use heartbeat::Heartbeat;
pub use metrics::{
    ContainerMetrics, FlowMetrics, Metrics, Protection, RequestMetrics, RestoreSeen, Restores, StoredMetrics,
};
pub use observed::Observed;
pub use progress::{ContainerProgress, Progress, RangeProgress, Saved};
pub use watchdog::Watchdog;

/// How long connections may finish after the server was told to stop. A probe takes milliseconds; whoever holds one open longer
/// must not hold up the process.
const DRAIN_DEADLINE: Duration = Duration::from_secs(2);

/// What the server shows.
#[derive(Debug, Clone)]
pub struct Admin {
    /// Counters and gauges.
    pub metrics: Metrics,
    /// Readiness, watermarks and windows.
    pub progress: Progress,
    /// Who may see documents and start jobs.
    pub access: Access,
    /// Whether the loops go round.
    pub watchdog: Watchdog,
}

impl Admin {
    /// For these (database, container) pairs, of which nothing is known yet.
    pub fn new<D: Into<String>, C: Into<String>>(containers: impl IntoIterator<Item = (D, C)>, access: Access) -> Self {
        let names: Vec<(String, String)> = containers.into_iter().map(|(d, c)| (d.into(), c.into())).collect();
        Self {
            metrics: Metrics::new(names.clone()),
            progress: Progress::new(names),
            access,
            watchdog: Watchdog::default(),
        }
    }
}

/// Takes the address to listen on.
///
/// # Errors
///
/// With the exit code for configuration, and the remedy, where the address is taken or is not this machine's.
pub async fn bind(listen: &str) -> Result<TcpListener, CommandError> {
    let refused = |message: String, remedy: &str| Err(CommandError::new(Exit::Usage, message, remedy));
    let Ok(address) = listen.parse::<SocketAddr>() else {
        return refused(
            format!("admin.listen: {listen:?} is not an address and port"),
            "set it to one such as 127.0.0.1:9464",
        );
    };
    match TcpListener::bind(address).await {
        Ok(listener) => Ok(listener),
        Err(error) if error.kind() == std::io::ErrorKind::AddrInUse => refused(
            format!("admin.listen: the port of {address} is taken by another process"),
            "end that process, or set admin.listen to a free port",
        ),
        Err(error) => refused(
            format!("admin.listen: cannot listen on {address}: {error}"),
            "set admin.listen to an address of this machine and a port this user may open",
        ),
    }
}

/// Answers requests until `stop` is cancelled, and at most two seconds longer.
pub async fn serve(listener: TcpListener, admin: Admin, stop: CancellationToken) -> std::io::Result<()> {
    // With port 0 the log is the only place that tells it.
    let address = listener.local_addr()?;
    tracing::info!(%address, "health and metrics are served");
    let server = axum::serve(listener, health::router(admin)).with_graceful_shutdown(stop.clone().cancelled_owned());
    let overdue = async {
        stop.cancelled().await;
        tokio::time::sleep(DRAIN_DEADLINE).await;
    };
    tokio::select! {
        served = server => served,
        () = overdue => Ok(()),
    }
}
