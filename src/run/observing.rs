//! The observers of the process's containers and what counts their records, beside the loops that they watch.

use std::sync::Arc;

use tokio::task::JoinHandle;
use tokio_util::task::TaskTracker;

use super::container::Container;
use super::counting::Counter;
use crate::observer::watch::Watcher;

/// Starts an observer and a counter for each container, as tasks of their own. A run that ends when it has caught up has none: nobody reads its
/// metrics.
pub(super) fn start(containers: &[Container], tracker: &TaskTracker) -> Vec<JoinHandle<()>> {
    containers
        .iter()
        .filter(|container| !container.shared().once)
        .flat_map(|container| {
            let shared = container.shared();
            let name = format!("{} observer", container.name());
            let observer = shared.admin.watchdog.watch(name, shared.quiet_max, watcher(container).watch());
            // Nothing waits for what is counted, and a count has its own limit, so no watchdog does.
            [tracker.spawn(observer), tracker.spawn(Counter::of(container).count())]
        })
        .collect()
}

/// Waits until all have left their places.
pub(super) async fn ended(observing: Vec<JoinHandle<()>>) {
    for observer in observing {
        if let Err(error) = observer.await {
            tracing::error!(%error, "observing a container ended by a bug; please report it with the log");
        }
    }
}

fn watcher(container: &Container) -> Watcher {
    let (shared, settings) = (container.shared(), container.settings());
    Watcher {
        leases: container.leases(),
        feed: container.feed(),
        mode: settings.feed,
        timing: shared.leases.clone(),
        owner: shared.owner.clone(),
        observed: shared.admin.progress.observed(&settings.database, &settings.container),
        metrics: container.metrics().clone(),
        request_units: Arc::clone(&shared.request_units),
        drain: shared.drain.clone(),
    }
}
