//! Reconciling one range while its lease is ours, beside its follower.
//!
//! The latest-version feed shows no deletes, so at intervals the range is compared with its source, and what is gone gets its tombstone.
//! In either mode the same is done once behind a recorded gap, as soon as what exists has been read again: that ends its repair. Two replicas never do the same: only the lease's owner reconciles, and nothing is written when the lease may have run out. A
//! reconciliation that fails or is cut off is begun anew; following never waits for it.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use cosmirror_formats::records::Gap;
use cosmirror_formats::{EpkRange, PartitionKey};
use futures::FutureExt as _;
use indicatif::ProgressBar;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use tracing::Instrument as _;

use super::board::Board;
use super::container::Container;
use crate::config::FeedMode;
use crate::crash::crash_point;
use crate::documents::Documents;
use crate::failure::Failure;
use crate::history::MirrorReader;
use crate::mirror::Observer;
use crate::mirror::checkpoint::RangeProgress;
use crate::mirror::gap;
use crate::mirror::guard::Guard;
use crate::reconcile::{CLOCK_SECONDS, Mode, Reconcile, Repair, Request, Sample, Scope, Source};
use crate::retry::jittered;
use crate::traces;

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
    /// Reconciles when it is time, until `end` is cancelled.
    pub(super) async fn run(self, end: CancellationToken) {
        let latest = self.container.settings().feed == FeedMode::LatestVersion;
        let Some(what) = self.container.reconciling().cloned() else {
            self.done.store(true, Ordering::Relaxed);
            return;
        };
        if !latest || !what.at_once {
            self.done.store(true, Ordering::Relaxed);
        }
        let scheduled = latest && (what.at_once || !what.interval.is_zero());
        let repeat = async {
            loop {
                if !scheduled {
                    self.wait_for_gap().await;
                }
                self.tell_waiting(&what);
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

    /// Waits until what exists has been read again behind a gap.
    async fn wait_for_gap(&self) {
        // The sender lives as long as its receiver here, so waiting cannot fail.
        let _ = self.progress.subscribe().wait_for(|progress| progress.reread_gaps().is_some()).await;
    }

    /// Reconciles if it is time, and gives the pause until the next look.
    async fn turn(&self, what: &Reconciling) -> Result<Duration, Failure> {
        let progress = self.progress.borrow().clone();
        if progress.backfill.is_some() || progress.reads_from_beginning() {
            return Ok(LOOK_INTERVAL_MIN);
        }
        let margin = i64::try_from(self.container.shared().source.staleness_margin.as_secs()).unwrap_or(i64::MAX);
        let now = self.container.feed().service_time().await?;
        let Some(due) = self.due(what, &progress, margin) else { return Ok(LOOK_INTERVAL) };
        if now < due {
            let left = Duration::from_secs(u64::try_from(due - now).unwrap_or(0));
            return Ok(left.clamp(LOOK_INTERVAL_MIN, LOOK_INTERVAL));
        }
        let complete_until = self.reconcile(what, margin).await?;
        self.done.store(true, Ordering::Relaxed);
        if let Some((gaps, reread)) = progress.reread_gaps() {
            if complete_until < Some(reread) {
                return Ok(jittered(LOOK_INTERVAL));
            }
            // Upwards, because what was found to be gone has such a time.
            let at = self.container.feed().service_time().await? + CLOCK_SECONDS + margin;
            self.progress.send_modify(|now| now.end_repair(gaps, reread, at));
            tracing::info!(range = %self.range, gaps = gaps.len(), "the range is complete again behind its gaps");
        }
        // It is due again at once where the range is not mirrored that far yet.
        let due = self.due(what, &self.progress.borrow(), margin);
        Ok(if due.is_some_and(|due| due <= now) { jittered(LOOK_INTERVAL) } else { LOOK_INTERVAL_MIN })
    }

    /// Since when the range waits for a reconciliation, for whoever watches: one that never succeeds shows by that alone.
    fn tell_waiting(&self, what: &Reconciling) {
        if self.container.settings().feed != FeedMode::LatestVersion || what.interval.is_zero() {
            return;
        }
        let progress = self.progress.borrow();
        // What was never backfilled is never reconciled.
        if let Some(backfilled) = progress.backfilled {
            self.container.progress().reconciled_until(&self.range, progress.reconciled.unwrap_or(backfilled));
        }
    }

    /// When the range is to be reconciled; none where it is not.
    fn due(&self, what: &Reconciling, progress: &RangeProgress, margin: i64) -> Option<i64> {
        // Deletes are known up to the margin before the start; before the end of the first reading that says nothing.
        let opens = |since: i64| since + margin + 1;
        if let Some((_, reread)) = progress.reread_gaps() {
            return Some(opens(reread));
        }
        // Following that left out what existed before has nothing to hold the source against.
        let Some(backfilled) = progress.backfilled else {
            self.done.store(true, Ordering::Relaxed);
            return None;
        };
        if what.at_once && !self.done.load(Ordering::Relaxed) {
            return Some(opens(backfilled));
        }
        let interval = i64::try_from(what.interval.as_secs()).unwrap_or(i64::MAX);
        let next = progress.reconciled.unwrap_or(backfilled).saturating_add(interval).max(opens(backfilled));
        (interval > 0 && self.container.settings().feed == FeedMode::LatestVersion).then_some(next)
    }

    /// Reconciles, and gives the instant up to which it is known by that what was deleted.
    async fn reconcile(&self, what: &Reconciling, margin: i64) -> Result<Option<i64>, Failure> {
        let (shared, feed, leases) = (self.container.shared(), self.container.feed(), self.container.leases());
        let mirror = MirrorReader::open(Arc::clone(&shared.store), self.container.paths().clone()).await?;
        let deletes_known_until = self.deletes_known_until(mirror.gaps());
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
            request: Request { mode: Mode::Presence, sample: Sample::ALL, repair: Repair::All, list_max: LIST_MAX },
            scope: Some(Scope { range: &self.range, progress: &progress, deletes_known_until, is_ours: &is_ours }),
            within: self.range.clone(),
            progress: ProgressBar::hidden(),
            on_phase: &|_| {},
        };
        // Boxed, because it is large and most of the time not under way.
        let span = traces::reconcile(&self.container.name(), &self.range);
        let report = traces::failed(&span, reconcile.run().instrument(span.clone()).boxed().await)?;
        traces::found(&span, &report.counts);
        drop(span);
        for difference in &report.differences {
            let (id, reason, repaired) = (&difference.id, &difference.reason, difference.repaired);
            tracing::debug!(range = %self.range, id, reason, repaired, "source and mirror differed");
        }
        let counts = report.counts;
        let settings = self.container.settings();
        shared.admin.metrics.reconciled(&settings.database, &settings.container, &self.range, counts);
        tracing::info!(range = %self.range, documents = counts.documents, extra = counts.extra, missing = counts.missing,
            stale = counts.stale, pending = counts.pending, repaired = counts.repaired, "the range is reconciled");
        crash_point!("range-reconciled");
        self.progress.send_modify(|progress| progress.reconciled = progress.reconciled.max(report.complete_until));
        self.tell_waiting(what);
        Ok(report.complete_until)
    }

    /// Up to which instant every delete is known before this reconciliation.
    fn deletes_known_until(&self, recorded: &[Gap]) -> Option<i64> {
        let progress = self.progress.borrow();
        let shown_until = match self.container.settings().feed {
            FeedMode::AllVersionsAndDeletes => progress.gaps.first(),
            // Before the switch the other feed had shown them.
            FeedMode::LatestVersion => progress.gaps.first().filter(|from| {
                let switched = |gap: &Gap| gap.reason == gap::MODE_SWITCHED && gap.range.overlaps(&self.range);
                recorded.iter().any(|gap| gap.from == **from && switched(gap))
            }),
        };
        progress.reconciled.max(shown_until.map(|from| from - 1))
    }
}
