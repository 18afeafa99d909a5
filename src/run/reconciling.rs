//! Reconciling one range while its lease is ours, beside its follower.
//!
//! The latest-version feed shows no deletes, so at intervals the range is compared with its source, and what is gone gets its tombstone.
//! Two replicas never do the same: only the lease's owner reconciles, and nothing is written when the lease may have run out. A
//! reconciliation that fails or is cut off is begun anew; following never waits for it.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use cosmirror_formats::{EpkRange, PartitionKey};
use futures::FutureExt as _;
use indicatif::ProgressBar;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use super::board::Board;
use super::container::Container;
use crate::config::FeedMode;
use crate::documents::Documents;
use crate::failure::Failure;
use crate::history::MirrorReader;
use crate::mirror::Observer;
use crate::mirror::checkpoint::RangeProgress;
use crate::mirror::guard::Guard;
use crate::reconcile::{Mode, Reconcile, Request, Sample, Scope, Source};
use crate::retry::jittered;

/// Longest pause between two looks at whether it is time, and pause after a reconciliation that failed.
const LOOK_INTERVAL: Duration = Duration::from_mins(1);
/// The shortest such pause.
const LOOK_INTERVAL_MIN: Duration = Duration::from_millis(200);
/// Differences that are logged one by one.
const LIST_MAX: usize = 20;

/// Where a partition key stands among the effective ones.
type EffectiveKey = Arc<dyn Fn(&PartitionKey) -> Result<String, Failure> + Send + Sync>;

/// What reconciling takes beyond following.
#[derive(Clone)]
pub(super) struct Reconciling {
    /// The source's documents.
    pub(super) documents: Arc<dyn Documents>,
    /// Where a partition key stands among the effective ones.
    pub(super) effective_key: EffectiveKey,
    /// How often; zero is never.
    pub(super) interval: Duration,
    /// Reconcile each range once, at once, and let the run wait for it.
    pub(super) at_once: bool,
}

/// Reconciles one range.
pub(super) struct Reconciler {
    pub(super) container: Arc<Container>,
    pub(super) range: EpkRange,
    pub(super) progress: watch::Sender<RangeProgress>,
    pub(super) guard: Arc<Guard>,
    /// Set when the reconciliation that the run waits for is done.
    pub(super) done: Arc<AtomicBool>,
}

/// Reports a range as caught up only when it is reconciled as well.
pub(super) struct WhenReconciled {
    pub(super) board: Arc<Board>,
    pub(super) done: Arc<AtomicBool>,
}

impl Observer for WhenReconciled {
    fn stepped(&self, range: &EpkRange, progress: &RangeProgress, service_time: Option<i64>, caught_up: bool) {
        let caught_up = caught_up && self.done.load(Ordering::Relaxed);
        self.board.stepped(range, progress, service_time, caught_up);
    }
}

impl Reconciler {
    /// Reconciles at intervals until `end` is cancelled.
    pub(super) async fn run(self, end: CancellationToken) {
        let what = self.container.reconciling().cloned();
        let what = what.filter(|what| what.at_once || !what.interval.is_zero());
        let Some(what) = what.filter(|_| self.container.settings().feed == FeedMode::LatestVersion) else {
            self.done.store(true, Ordering::Relaxed);
            return;
        };
        let repeat = async {
            loop {
                let pause = match self.turn(&what).await {
                    Ok(pause) => pause,
                    Err(failure) => {
                        tracing::warn!(range = %self.range, error = %failure, "the range was not reconciled; trying again");
                        jittered(LOOK_INTERVAL)
                    }
                };
                tokio::time::sleep(pause).await;
            }
        };
        tokio::select! {
            biased;
            () = end.cancelled() => {}
            () = repeat => {}
        }
    }

    /// Reconciles if it is time, and gives the pause until the next look.
    async fn turn(&self, what: &Reconciling) -> Result<Duration, Failure> {
        let progress = self.progress.borrow().clone();
        if progress.backfill.is_some() || progress.reads_from_beginning() {
            return Ok(LOOK_INTERVAL_MIN);
        }
        // Following that left out what existed before has nothing to hold the source against.
        let Some(backfilled) = progress.backfilled else {
            self.done.store(true, Ordering::Relaxed);
            return Ok(LOOK_INTERVAL);
        };
        let margin = i64::try_from(self.container.shared().source.staleness_margin.as_secs()).unwrap_or(i64::MAX);
        let now = self.container.feed().service_time().await?;
        let wanted = what.at_once && !self.done.load(Ordering::Relaxed);
        // Deletes are known up to the margin before the start; a window that ended before it begins would be none.
        let opens = backfilled + margin + 1;
        let interval = i64::try_from(what.interval.as_secs()).unwrap_or(i64::MAX);
        let due = match interval {
            _ if wanted => opens,
            0 => return Ok(LOOK_INTERVAL),
            _ => progress.reconciled.unwrap_or(backfilled).saturating_add(interval).max(opens),
        };
        if now < due {
            let left = Duration::from_secs(u64::try_from(due - now).unwrap_or(0));
            return Ok(left.clamp(LOOK_INTERVAL_MIN, LOOK_INTERVAL));
        }
        self.reconcile(what, margin).await?;
        self.done.store(true, Ordering::Relaxed);
        Ok(LOOK_INTERVAL_MIN)
    }

    async fn reconcile(&self, what: &Reconciling, margin: i64) -> Result<(), Failure> {
        let (shared, feed, leases) = (self.container.shared(), self.container.feed(), self.container.leases());
        let mirror = MirrorReader::open(Arc::clone(&shared.store), self.container.paths().clone()).await?;
        let (progress, is_ours) = (|| self.progress.borrow().clone(), || self.guard.is_open());
        let reconcile = Reconcile {
            mirror: &mirror,
            source: Source {
                feed: feed.as_ref(),
                documents: what.documents.as_ref(),
                leases: Some(&leases),
                mode: self.container.settings().feed,
                margin,
                renew_interval: shared.leases.renew_interval,
                units: &shared.request_units,
                effective_key: what.effective_key.as_ref(),
            },
            request: Request { mode: Mode::Presence, sample: Sample::ALL, repair: true, list_max: LIST_MAX },
            scope: Some(Scope { range: &self.range, progress: &progress, is_ours: &is_ours }),
            progress: ProgressBar::hidden(),
        };
        // Boxed, because it is large and most of the time not under way.
        let report = reconcile.run().boxed().await?;
        for difference in &report.differences {
            let (id, reason, repaired) = (&difference.id, &difference.reason, difference.repaired);
            tracing::debug!(range = %self.range, id, reason, repaired, "source and mirror differed");
        }
        let counts = report.counts;
        let settings = self.container.settings();
        shared.admin.metrics.reconciled(&settings.database, &settings.container, &self.range, counts);
        tracing::info!(range = %self.range, documents = counts.documents, extra = counts.extra, missing = counts.missing,
            stale = counts.stale, pending = counts.pending, repaired = counts.repaired, "the range is reconciled");
        self.progress.send_modify(|progress| progress.reconciled = progress.reconciled.max(report.complete_until));
        Ok(())
    }
}
