//! The composition root: the only place where concrete parts meet, and the only spawner.
//!
//! Start-up reads before it writes: the admin port, every source container and the target are proved usable before the
//! first lease or record is written. On SIGTERM or SIGINT every range finishes or abandons its page, its checkpoint and
//! state are saved and its lease is released; draining has a deadline, and what it cuts off is repeated at the next start.

use std::sync::Arc;
use std::time::Duration;

use futures::stream::{FuturesUnordered, StreamExt as _};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::admin::{self, Access, Admin, Heartbeat};
use crate::config::{self, Config, TargetKind};
use crate::cosmos::Account;
use crate::documents::Documents;
use crate::documents::cosmos::CosmosDocuments;
use crate::failure::{Action, CommandError, Exit, Failure, Kind};
use crate::feed::cosmos::CosmosFeed;
use crate::history::unresolved_dead_letters;
use crate::leases::balance::Fleet;
use crate::leases::owner::Owner;
use crate::pace::RequestUnits;
use crate::pace::bytes::Budget;
use crate::pace::requests::Requests;
use crate::retry::Backoff;
use crate::time::HostClock;

mod background;
mod board;
mod container;
mod counting;
mod filling;
mod further;
mod jobs;
mod observing;
mod range;
mod reconciling;
mod rehearsing;
mod signal;
#[cfg(test)]
mod simulation;
mod source;
mod stores;
mod supervisor;
mod target;
mod tiling;
mod versioning;

use container::{Container, Shared};
use further::Further;
use reconciling::Reconciling;
pub use signal::termination;
use stores::Opened;
pub(crate) use stores::open_export;
pub use stores::{open_eraser, open_mirror_store, open_store};

/// How long start-up is tried again while a service does not answer.
const START_PATIENCE: Duration = Duration::from_secs(30);
/// How long draining may take.
const DRAIN_DEADLINE: Duration = Duration::from_secs(25);

/// How to run.
#[derive(Debug, Clone, Default)]
pub struct RunOptions {
    /// Stop when every range has caught up and all is durable.
    pub once: bool,
    /// Reconcile every range of the latest-version containers first.
    pub reconcile: bool,
    /// The name that marks leases as ours; left out, one is made that no other process has.
    pub instance: Option<String>,
}

/// Runs the daemon until it is told to end, or with `once` until it has caught up.
pub async fn run(config: Config, options: RunOptions) -> Result<(), CommandError> {
    let stop = CancellationToken::new();
    let signalled = stop.clone();
    let signal = termination()?;
    let watch = async {
        // Awaited outside the macro, which evaluates nothing where its level is off.
        let signal = signal.await;
        tracing::info!(signal, "draining");
        signalled.cancel();
        std::future::pending::<()>().await;
    };
    tokio::select! {
        result = run_until(config, options, stop) => result,
        () = watch => Ok(()),
    }
}

/// Runs the daemon until `stop` is cancelled.
pub async fn run_until(config: Config, options: RunOptions, stop: CancellationToken) -> Result<(), CommandError> {
    let listener = admin::bind(&config.admin.listen).await?;
    let names: Vec<(String, String)> =
        config.containers.iter().map(|c| (c.database.clone(), c.container.clone())).collect();
    let access = Access::open(&config.admin)?;
    let heartbeat = Heartbeat::configured(&config.admin)?;
    let instance = options.instance.clone().unwrap_or_else(unique_instance);
    let admin = Admin::new(names, access).with_about(&instance, &config);
    let tracker = TaskTracker::new();
    let server_stop = CancellationToken::new();
    let _outside = background::watch_runtime(&admin.watchdog, &tracker, &server_stop);
    let server = tracker.spawn(admin::serve(listener, admin.clone(), server_stop.clone()));
    let started = tokio::select! {
        started = start_patiently(&config, &options, &admin, &stop, &tracker) => started.map(Some),
        () = stop.cancelled() => Ok(None),
    };
    let result = match started {
        Ok(Some(containers)) => {
            background::start(&config, &containers, heartbeat, &admin, &tracker);
            let further = Further::start(&config, &options, &admin, &stop, &tracker);
            let followed = follow(containers, &options, &admin, &stop, &tracker).await;
            let ended = further.ended(options.once && followed.is_ok()).await;
            followed.and(ended)
        }
        Ok(None) => Ok(()),
        Err(error) => Err(error),
    };
    server_stop.cancel();
    // The server ends by the cancellation above, within its own deadline; it has nothing to report by then.
    let _ = server.await;
    result
}

/// Starts, and tries again for a while where that may help; a wrong address should not look like patience.
async fn start_patiently(
    config: &Config,
    options: &RunOptions,
    admin: &Admin,
    stop: &CancellationToken,
    tracker: &TaskTracker,
) -> Result<Vec<Container>, CommandError> {
    if config.containers.is_empty() {
        let remedy = "name the containers to follow in [[containers]], or pass a configuration file with -c";
        return Err(CommandError::new(Exit::Usage, "no containers are configured", remedy));
    }
    let (mut backoff, begun) = (Backoff::default(), Instant::now());
    loop {
        match start(config, options, admin, stop, tracker).await {
            Err(failure) if passes(&failure) && begun.elapsed() < START_PATIENCE => {
                let pause = backoff.next(failure.retry_after);
                tracing::warn!(error = %failure, pause_ms = pause.as_millis(), "start-up failed; trying again");
                admin.progress.not_ready("start-up", failure.to_string());
                tokio::time::sleep(pause).await;
            }
            started => {
                admin.progress.ready("start-up");
                return Ok(started?);
            }
        }
    }
}

/// Whether start-up may succeed the next time: a service does not answer, or what was just read has changed, such as a range that split.
fn passes(failure: &Failure) -> bool {
    matches!(failure.kind.action(), Action::Retry | Action::Look) || failure.kind == Kind::RangeGone
}

/// Builds every container's parts. Everything is read and proved before the first thing is written.
async fn start(
    config: &Config,
    options: &RunOptions,
    admin: &Admin,
    stop: &CancellationToken,
    tracker: &TaskTracker,
) -> Result<Vec<Container>, Failure> {
    let account = Account::connect_counting(&config.source, admin.metrics.requests_to_source()).await?;
    let mut sources = Vec::new();
    for settings in &config.containers {
        sources.push((settings, account.resolve(&settings.database, &settings.container).await?));
    }
    let leases = match account.resolve(&config.leases.database, &config.leases.container).await {
        Ok(resolved) => Some(resolved),
        Err(failure) if failure.kind == Kind::NotFound && config.leases.create => None,
        Err(failure) => return Err(failure),
    };
    let Opened { store, replicated, watched } = stores::open(config, admin)?;
    store.prepare(config.target.create).await?;
    let leases = match leases {
        Some(resolved) => resolved,
        None => create_leases(&account, &config.leases).await?,
    };
    let shared = Shared {
        lease_documents: Arc::new(documents(
            &account,
            leases.clone(),
            &config.leases.database,
            &config.leases.container,
        )),
        lease_key_paths: leases.source.key_paths,
        endpoint: account.endpoint().clone(),
        store,
        replicated,
        prefix: config.target.prefix.clone(),
        source: config.source.clone(),
        leases: config.leases.clone(),
        owner: Owner::new(admin.about.instance.clone()),
        fleet: Fleet::default(),
        once: options.once,
        bytes: Budget::new(config.limits.bytes_in_flight_max, admin.metrics.flow().bytes_in_flight),
        requests: Requests::new(config.limits.requests_in_flight_max, admin.metrics.flow()),
        request_units: Arc::new(RequestUnits::new(config.source.request_units_per_second_max)),
        rehearsal: config.rehearsal.clone(),
        exports: jobs::exports(config)?,
        admin: admin.clone(),
        quiet_max: background::quiet_max(background::longest_pause(config), slowest_kind(config)),
        drain: stop.child_token(),
        tasks: Arc::new(tracker.clone()),
        clock: HostClock::default(),
    };
    let shared = Arc::new(shared);
    let mut containers = Vec::new();
    for (settings, resolved) in sources {
        let name = format!("{}/{}", settings.database, settings.container);
        let feed = Arc::new(CosmosFeed::new(account.clone(), resolved.clone(), name));
        let container = Container::prepare(Arc::clone(&shared), settings.clone(), feed).await?;
        let waiting = unresolved_dead_letters(shared.store.as_ref(), container.paths()).await?;
        container.metrics().dead_letters.set(i64::try_from(waiting).unwrap_or(i64::MAX));
        let of_source = documents(&account, resolved.clone(), &settings.database, &settings.container);
        containers.push(container.with_reconciling(Reconciling {
            documents: Arc::new(of_source.discreet()),
            effective_key: Arc::new(move |key| resolved.effective_key(key)),
            // A run that ends when it has caught up reconciles only where it is asked to.
            interval: if options.once { Duration::ZERO } else { config.reconcile.interval },
            at_once: options.reconcile,
        }));
    }
    for (store, off) in watched {
        background::watch_over_versioning(&store, off, admin, &shared.drain, tracker);
    }
    admin.progress.started();
    Ok(containers)
}

/// The kind of the target whose answers may take longest: of the first, and of those that the checkpoint waits for.
fn slowest_kind(config: &Config) -> TargetKind {
    let mut kinds = config.required_targets().map(|further| further.target.kind).chain([config.target.kind]);
    if kinds.any(|kind| kind == TargetKind::Directory) { TargetKind::Directory } else { TargetKind::Azure }
}

/// Makes the lease container.
async fn create_leases(account: &Account, leases: &config::Leases) -> Result<crate::cosmos::Resolved, Failure> {
    let properties = serde_json::json!({
        "id": leases.container,
        "partitionKey": { "paths": ["/id"], "kind": "Hash", "version": 2 },
        "defaultTtl": -1,
    });
    account.create_container(&leases.database, properties).await?;
    account.resolve(&leases.database, &leases.container).await
}

/// Follows every container until told to end, all have caught up (`once`), or one cannot go on.
async fn follow(
    containers: Vec<Container>,
    options: &RunOptions,
    admin: &Admin,
    stop: &CancellationToken,
    tracker: &TaskTracker,
) -> Result<(), CommandError> {
    let drain = containers.first().map_or_else(|| stop.clone(), |c| c.shared().drain.clone());
    let boards: Vec<_> = containers.iter().map(Container::board).collect();
    let observing = observing::start(&containers, tracker);
    let jobs = jobs::start(&containers, admin, tracker);
    let mut running: FuturesUnordered<_> = containers.into_iter().map(|c| tracker.spawn(c.supervise())).collect();
    let all_caught_up = async {
        for board in &boards {
            board.caught_up().await;
        }
        if !options.once {
            std::future::pending::<()>().await;
        }
    };
    let mut result = tokio::select! {
        () = drain.cancelled() => Ok(()),
        () = all_caught_up => Ok(()),
        Some(ended) = running.next() => supervision(ended),
    };
    drain.cancel();
    admin.progress.not_ready("process", "draining");
    let rest = async {
        while let Some(ended) = running.next().await {
            if let Err(error) = supervision(ended)
                && result.is_ok()
            {
                result = Err(error);
            }
        }
        observing::ended(observing).await;
        jobs::ended(jobs).await;
        result
    };
    tokio::time::timeout(DRAIN_DEADLINE, rest).await.unwrap_or_else(|_| {
        let going = admin.watchdog.going().join(", ");
        let message = format!("draining was not complete after {} s; still going: {going}", DRAIN_DEADLINE.as_secs());
        let remedy = "nothing is lost: what was not checkpointed is read again at the next start";
        Err(CommandError::new(Exit::Failure, message, remedy))
    })
}

fn supervision(ended: Result<Result<(), Failure>, tokio::task::JoinError>) -> Result<(), CommandError> {
    match ended {
        Ok(result) => Ok(result?),
        Err(error) => {
            let remedy = "nothing is lost, by the checkpoints; please report it with the log";
            Err(CommandError::new(Exit::Failure, format!("a task of the mirror ended by a bug: {error}"), remedy))
        }
    }
}

/// The documents of a source container.
pub async fn open_documents(
    source: &config::Source,
    database: &str,
    container: &str,
) -> Result<Arc<dyn Documents>, Failure> {
    open_container(source, database, container).await.map(|(documents, _)| documents)
}

/// The documents of a container of the source's account, and what the service says of it; `Kind::NotFound` where there is none.
pub async fn open_container(
    source: &config::Source,
    database: &str,
    container: &str,
) -> Result<(Arc<dyn Documents>, crate::feed::SourceContainer), Failure> {
    let account = Account::connect(source).await?;
    let resolved = account.resolve(database, container).await?;
    let described = resolved.source.clone();
    Ok((Arc::new(documents(&account, resolved, database, container)), described))
}

fn documents(account: &Account, resolved: crate::cosmos::Resolved, database: &str, container: &str) -> CosmosDocuments {
    CosmosDocuments::new(account.clone(), resolved, format!("{database}/{container}"))
}

/// A name that no other process has, so that two daemons on one host never take each other's leases for their own.
fn unique_instance() -> String {
    let host = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    let host = host.trim();
    let host = if host.is_empty() { "cosmirror" } else { host };
    format!("{host}-{:08x}", rand::random::<u32>())
}
