//! What a daemon does beside following: it watches itself, tells of itself, and looks at the target now and then. Each is a task of its
//! own, and none of them holds up or ends the process.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::container::Container;
use super::{rehearsing, target, versioning};
use crate::admin::{Admin, Heartbeat, Watchdog, summary};
use crate::config::{Config, TargetKind};
use crate::store::VersionStore;

/// Beyond its own longest pause, a loop whose services hang is woken by a time-out or the end of a pause within so long. The longest of
/// these is the two minutes that a service may ask for.
const QUIET_MARGIN: Duration = Duration::from_mins(5);
/// The longest pause of a loop that looks at things once a minute.
const LOOK_INTERVAL_MAX: Duration = Duration::from_mins(1);
/// Pause between two ticks of the runtime.
const TICK: Duration = Duration::from_secs(1);
/// Pause between two looks from outside the runtime.
const LOOK_FROM_OUTSIDE: Duration = Duration::from_secs(10);

/// For how long a loop with pauses of this length may be quiet; none where its requests may wait for ever.
pub(super) fn quiet_max(pause: Duration, target: TargetKind) -> Option<Duration> {
    match target {
        TargetKind::Azure => Some(pause + QUIET_MARGIN),
        // What a file system does not do within minutes, starting again does not make it do.
        TargetKind::Directory => None,
    }
}

/// The longest pause of any loop of the containers.
pub(super) fn longest_pause(Config { source, leases, .. }: &Config) -> Duration {
    source.poll_interval_idle_max.max(leases.acquire_interval).max(leases.renew_interval).max(LOOK_INTERVAL_MAX)
}

/// Watches the runtime itself: from within by a task that is woken every second, from outside by a thread, which can tell of what
/// keeps even the answer of `/livez` from being given. Both end with what this gives.
pub(super) fn watch_runtime(watchdog: &Watchdog, tracker: &TaskTracker, stop: &CancellationToken) -> Outside {
    let stopped = stop.clone();
    let ticking = async move {
        let ticking = async {
            loop {
                tokio::time::sleep(TICK).await;
            }
        };
        tokio::select! {
            () = stopped.cancelled() => {}
            () = ticking => {}
        }
    };
    tracker.spawn(watchdog.watch("runtime", Some(TICK), ticking));
    let (ends, ended) = std::sync::mpsc::channel::<()>();
    let watchdog = watchdog.clone();
    let thread = std::thread::Builder::new().name("watchdog".to_owned()).spawn(move || {
        while ended.recv_timeout(LOOK_FROM_OUTSIDE) == Err(std::sync::mpsc::RecvTimeoutError::Timeout) {
            for stuck in watchdog.stuck() {
                tracing::error!(
                    stuck,
                    "a loop does not go round any more; /livez says so, and the process should be restarted"
                );
            }
        }
    });
    if let Err(error) = &thread {
        tracing::warn!(%error, "no thread to watch the runtime from outside; /livez goes on telling");
    }
    Outside { _ends: ends, _thread: thread.ok() }
}

/// The thread that looks from outside; it ends when this is dropped.
pub(super) struct Outside {
    _ends: std::sync::mpsc::Sender<()>,
    _thread: Option<std::thread::JoinHandle<()>>,
}

/// Watches over the target's versioning.
pub(super) fn watch_over_versioning(
    store: &Arc<dyn VersionStore>,
    off: watch::Receiver<bool>,
    admin: &Admin,
    drain: &CancellationToken,
    tracker: &TaskTracker,
) {
    let watching = versioning::watch_over(Arc::clone(store), off, drain.clone());
    tracker.spawn(admin.watchdog.watch("target versioning", None, watching));
}

/// Starts everything else of a daemon that goes on. A run that ends when it has caught up tells nobody of itself.
pub(super) fn start(
    config: &Config,
    containers: &[Container],
    heartbeat: Option<Heartbeat>,
    admin: &Admin,
    tracker: &TaskTracker,
) {
    let Some(shared) = containers.first().map(Container::shared).filter(|shared| !shared.once) else { return };
    let (drain, watchdog) = (&shared.drain, &admin.watchdog);
    let summing = summary::tell(admin.clone(), drain.clone());
    tracker.spawn(watchdog.watch("summary", Some(summary::INTERVAL), summing));
    if let Some(heartbeat) = heartbeat {
        let quiet = heartbeat.rests_at_most() + QUIET_MARGIN;
        tracker.spawn(watchdog.watch("heartbeat", Some(quiet), heartbeat.beat(admin.clone(), drain.clone())));
    }
    let protection = target::tell_protection(Arc::clone(&shared.store), admin.metrics.clone(), drain.clone());
    let quiet = quiet_max(target::PROTECTION_INTERVAL, config.target.kind);
    tracker.spawn(watchdog.watch("target protection", quiet, protection));
    for container in containers {
        let settings = container.settings();
        let telling = target::Restoring {
            store: Arc::clone(&shared.store),
            paths: container.paths().clone(),
            database: settings.database.clone(),
            container: settings.container.clone(),
            metrics: admin.metrics.clone(),
        };
        let quiet = quiet_max(target::RESTORES_INTERVAL, config.target.kind);
        let name = format!("{} restores", container.name());
        tracker.spawn(watchdog.watch(name, quiet, telling.tell(drain.clone())));
        let name = format!("{} rehearsals", container.name());
        // A rehearsal takes as long as it takes; its own requests have limits.
        let rehearser = rehearsing::rehearser(container, &config.rehearsal);
        tracker.spawn(watchdog.watch(name, None, rehearser.run()));
    }
}
