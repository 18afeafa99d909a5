//! The jobs of the process's containers, beside their followers.

use std::sync::Arc;

use futures::FutureExt as _;
use tokio::task::JoinHandle;
use tokio_util::task::TaskTracker;

use super::container::Container;
use super::rehearsing;
use super::stores::open_export;
use crate::admin::Admin;
use crate::config::Config;
use crate::export::place::ExportPlace;
use crate::failure::{Failure, Kind};
use crate::jobs::{Exports, Jobs, Parts, Rehearsals};

/// Takes up jobs, as a task for each container, where they are on. A run that ends when it has caught up has none.
pub(super) fn start(containers: &[Container], admin: &Admin, tracker: &TaskTracker) -> Vec<JoinHandle<()>> {
    let Some(first) = containers.first().filter(|first| admin.access.jobs_are_on() && !first.shared().once) else {
        return Vec::new();
    };
    let jobs = Jobs::new(containers.iter().filter_map(parts));
    let watched = |runner| first.shared().admin.watchdog.watch("jobs", None, runner);
    let running =
        jobs.runners(&first.shared().drain).into_iter().map(|runner| tracker.spawn(watched(runner))).collect();
    // Only this function fills the slot, once in a process.
    let _ = admin.jobs.set(jobs);
    running
}

/// Waits until all have left what they were doing.
pub(super) async fn ended(running: Vec<JoinHandle<()>>) {
    for runner in running {
        if let Err(error) = runner.await {
            tracing::error!(%error, "the jobs of a container ended by a bug; please report it with the log");
        }
    }
}

/// Makes rehearsals of a container, if the configuration says where.
fn rehearsals(container: &Container) -> Option<Rehearsals> {
    let settings = &container.shared().rehearsal;
    if settings.into.is_empty() {
        return None;
    }
    let rehearser = Arc::new(rehearsing::rehearser(container, settings));
    Some(Arc::new(move |asked| {
        let rehearser = Arc::clone(&rehearser);
        async move { rehearser.configured(asked).await }.boxed()
    }))
}

/// Where jobs put exports, if the configuration says so.
pub(super) fn exports(config: &Config) -> Result<Option<Exports>, Failure> {
    let Some(place) = &config.admin.export_to else { return Ok(None) };
    let refused = |fault: String| {
        let remedy = "name a directory, or https://ACCOUNT.blob.core.windows.net/CONTAINER[/PREFIX]";
        Failure::new(Kind::Misconfigured, format!("admin.export_to: it {fault}")).remedy(remedy)
    };
    let place = ExportPlace::parse(place).map_err(refused)?;
    let target = config.target.clone();
    Ok(Some(Arc::new(move |job: &str| open_export(&place.within(job).map_err(refused)?, &target, true))))
}

fn parts(container: &Container) -> Option<Parts> {
    let (shared, settings, what) = (container.shared(), container.settings(), container.reconciling()?);
    Some(Parts {
        database: settings.database.clone(),
        container: settings.container.clone(),
        store: Arc::clone(&shared.store),
        paths: container.paths().clone(),
        feed: container.feed(),
        documents: Arc::clone(&what.documents),
        leases: container.leases(),
        effective_key: Arc::clone(&what.effective_key),
        mode: settings.feed,
        margin: i64::try_from(shared.source.staleness_margin.as_secs()).unwrap_or(i64::MAX),
        renew_interval: shared.leases.renew_interval,
        look_interval: shared.leases.acquire_interval,
        expiration: shared.leases.expiration,
        exports: shared.exports.clone(),
        rehearsals: rehearsals(container),
        units: Arc::clone(&shared.request_units),
        owner: shared.owner.clone(),
        metrics: shared.admin.metrics.clone(),
    })
}
