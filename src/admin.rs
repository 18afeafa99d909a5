//! The admin server: whether the process lives and is ready, how far behind it is, and its metrics.
//!
//! It reads [`Progress`] and [`Metrics`] and changes nothing. Lag and ages are computed when somebody asks, from the time of the
//! last answer, so that they grow when the loop that should report them hangs. No answer holds secrets, and none but those under
//! `/browse` documents or their ids.
//!
//! | path | answer |
//! |---|---|
//! | `/livez` | 200 while every loop of the process goes round, else 503 with those that do not, one per line |
//! | `/startupz` | 200 once start-up has ended, else 503 |
//! | `/readyz` | 200 when nothing is reported as not ready, else 503 with one reason per line |
//! | `/healthz?max_lag=D` | as `/readyz`, and 503 where a container is further behind than `D`, such as `5m` |
//! | `/jobs`, `/jobs/ID` | jobs, where they are on, for whoever has the token; `docs/jobs.md` tells of them |
//! | `/metrics` | all metrics, in the OpenMetrics text format; `docs/metrics.md` lists them |
//! | `/status` | what the process knows of every container, as JSON |
//! | `/samples` | lag and throughput of the last hour |
//! | `/` | the page that shows all of it |
//! | `/browse/…` | documents and their versions, where that is allowed |

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::middleware::map_response;
use jiff::Timestamp;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use crate::config::Config;
use crate::failure::{CommandError, Exit};

use patient::Patient;

mod access;
mod browse;
mod further;
mod health;
mod heartbeat;
mod jobs;
mod metrics;
mod observed;
mod page;
mod patient;
mod progress;
mod recent;
mod samples;
mod shown;
mod status;
pub mod summary;
mod watchdog;

pub use access::{Access, Refusal};
pub(crate) use browse::word as shell_word;
pub use heartbeat::Heartbeat;
pub use jobs::JobsSlot;
pub use metrics::{
    ContainerMetrics, FlowMetrics, JobMetrics, Metrics, Protection, RequestMetrics, RestoreSeen, Restores,
    StoredMetrics, VersionProtection,
};
pub use observed::Observed;
pub use progress::{ContainerProgress, Progress, RangeProgress, Saved, Whole};
pub use recent::Recent;
pub use samples::Samples;
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
    /// The process.
    pub about: Arc<About>,
    /// The last problems.
    pub recent: Recent,
    /// The last hour.
    pub samples: Samples,
    /// The jobs, once the process has started up.
    pub jobs: JobsSlot,
    /// What further targets are followed for on their own.
    further: further::Further,
    /// The one that this tells of; none of the first.
    target: Option<String>,
    browse: browse::Browse,
}

/// What does not change while the process runs.
#[derive(Debug, Clone)]
pub struct About {
    /// The name that marks leases as this process's.
    pub instance: String,
    /// When it started, by the host's clock.
    pub started: Timestamp,
    /// What it follows, and where the mirror is.
    pub config: Config,
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
            about: Arc::new(About { instance: String::new(), started: crate::time::now(), config: Config::default() }),
            recent: Recent::of_process(),
            samples: Samples::default(),
            jobs: JobsSlot::default(),
            further: further::Further::default(),
            target: None,
            browse: browse::Browse::default(),
        }
    }

    /// The same, with what the process is called and what it works by.
    #[must_use]
    pub fn with_about(self, instance: &str, config: &Config) -> Self {
        let about = About { instance: instance.to_owned(), started: self.about.started, config: config.clone() };
        Self { about: Arc::new(about), ..self }
    }

    /// How far a container is behind: its slowest range, as this process's loops or its observer know it, whichever is more; without an
    /// observer here, as the leases say. None where that is not known: what others do is not well because this process does nothing.
    fn lag_seconds(&self, database: &str, container: &str) -> Option<f64> {
        let progress = self.progress.container(database, container);
        let observed = self.progress.observed(database, container).snapshot();
        if !observed.has_seen() {
            return progress.lag_of_all_seconds();
        }
        let own = progress.ranges().into_iter().filter_map(|own| Some((own.range, own.watermark?))).collect();
        Some(progress.lag_seconds().max(observed.slowest_seconds(&own)))
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
    let router =
        health::routes().merge(status::routes()).merge(page::routes()).merge(browse::routes()).merge(jobs::routes());
    let router = router.layer(map_response(page::with_headers)).with_state(admin.clone());
    let server = axum::serve(Patient::new(listener), router).with_graceful_shutdown(stop.clone().cancelled_owned());
    let overdue = async {
        stop.cancelled().await;
        tokio::time::sleep(DRAIN_DEADLINE).await;
    };
    tokio::select! {
        served = server => served,
        () = overdue => Ok(()),
        () = Samples::take(&admin) => Ok(()),
    }
}
