//! What the process does about blob versioning that is switched off under it: tells, and looks until it is on again.
//!
//! The store itself begins no put meanwhile. Ranges that found out rest and try again; this task probes besides, so that the process
//! is ready again soon, whether or not there is anything to write.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use crate::admin::Admin;
use crate::store::VersionStore;
use crate::store::azure::VersioningReport;

/// Pause between two probes.
const PROBE_PAUSE: Duration = Duration::from_secs(5);
/// The component in health.
const COMPONENT: &str = "target";

/// What the store is to call, and where its word arrives: true while versioning is off.
pub(super) fn report(admin: &Admin) -> (VersioningReport, watch::Receiver<bool>) {
    report_of(admin, None)
}

/// The same of a target that the checkpoint waits for besides. The metric is the first one's.
pub(super) fn report_of(admin: &Admin, further: Option<&str>) -> (VersioningReport, watch::Receiver<bool>) {
    let (off, seen) = watch::channel(false);
    let (admin, is_first) = (admin.clone(), further.is_none());
    let component = further.map_or_else(|| COMPONENT.to_owned(), |name| format!("{COMPONENT} {name:?}"));
    let report: VersioningReport = Arc::new(move |reason| {
        if is_first {
            admin.metrics.target_versioning(reason.is_none());
        }
        match reason {
            Some(failure) => admin.progress.not_ready(&component, failure.to_string()),
            None => admin.progress.ready(&component),
        }
        off.send_replace(reason.is_some());
    });
    (report, seen)
}

/// Probes while versioning is off, until the process is to end.
pub(super) async fn watch_over(store: Arc<dyn VersionStore>, mut off: watch::Receiver<bool>, drain: CancellationToken) {
    let watching = async {
        while off.wait_for(|off| *off).await.is_ok() {
            tokio::time::sleep(PROBE_PAUSE).await;
            if let Err(failure) = store.prepare(false).await {
                tracing::debug!(error = %failure, "the target does not keep versions yet");
            }
        }
    };
    tokio::select! {
        () = drain.cancelled() => {}
        () = watching => {}
    }
}
