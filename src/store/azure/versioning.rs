//! Whether the account keeps versions at this moment, and what may be overwritten.
//!
//! Versioning can be switched off while the process runs, and the data plane tells it only in the answer to a write. What was stored
//! without a version id is the one copy of its version: with versioning still off, the next put on the same blob would
//! overwrite it for good. So:
//!
//! - after an answer without version id no put is begun until a probe has shown that versions are kept again;
//! - a put on a version that was seen without id, whoever stored it, waits for a probe that says so as well and was begun later;
//! - probes are made one at a time; the answer of the last one counts for a while, so that they are seconds apart while it stays off.
//!
//! Between a probe and the put behind it, versioning may be switched off once more. That moment cannot be closed from here: a put over a
//! version without id then loses that one.

use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use crate::failure::Failure;
use crate::store::Condition;

/// Told when versioning goes off, with the reason, and when it is on again.
pub type VersioningReport = Arc<dyn Fn(Option<&Failure>) + Send + Sync>;

/// How long the answer of a probe counts.
const PROBE_INTERVAL: Duration = Duration::from_secs(3);
/// Etags of versions without id that are remembered. With more of them, every overwrite counts as one of theirs.
const REMEMBERED_MAX: usize = 10_000;

/// What is known. Versions are taken to be kept until an answer says otherwise.
pub(super) struct Versioning {
    known: Mutex<Known>,
    /// Held while a probe is made.
    turn: tokio::sync::Mutex<()>,
    interval: Duration,
    report: Option<VersioningReport>,
}

#[derive(Debug, Default)]
struct Known {
    standing: Standing,
    /// When the last probe was begun, or versioning was last seen to be off, and what it said.
    last: Option<(Instant, bool)>,
    /// The etags of versions without id, and when each was first seen.
    without_id: HashMap<String, Instant>,
    /// When one more was seen than can be remembered.
    too_many: Option<Instant>,
}

impl Known {
    /// When it was seen that a put under this condition replaces a version without id.
    fn only_copy_seen(&self, condition: &Condition) -> Option<Instant> {
        match condition {
            Condition::Absent => None,
            Condition::Matches(etag) => self.without_id.get(etag).copied().max(self.too_many),
        }
    }
}

#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
enum Standing {
    /// Nobody has asked yet.
    #[default]
    Unproved,
    On,
    Off,
}

impl Default for Versioning {
    fn default() -> Self {
        Self { known: Mutex::default(), turn: tokio::sync::Mutex::default(), interval: PROBE_INTERVAL, report: None }
    }
}

impl fmt::Debug for Versioning {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Versioning").field("standing", &self.known().standing).finish_non_exhaustive()
    }
}

impl Versioning {
    pub(super) fn set_report(&mut self, report: VersioningReport) {
        self.report = Some(report);
    }

    pub(super) fn set_interval(&mut self, interval: Duration) {
        self.interval = interval;
    }

    /// A panic while the lock was held leaves whole values: each change stands for itself.
    fn known(&self) -> MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The right to probe.
    pub(super) async fn turn(&self) -> tokio::sync::MutexGuard<'_, ()> {
        self.turn.lock().await
    }

    /// Whether a put under this condition could destroy the one copy of a version.
    pub(super) fn is_in_doubt(&self, condition: &Condition) -> bool {
        let known = self.known();
        known.standing == Standing::Off || known.only_copy_seen(condition).is_some()
    }

    pub(super) fn is_off(&self) -> bool {
        self.known().standing == Standing::Off
    }

    /// What the last probe said, where that still counts for a put under this condition.
    pub(super) fn recently(&self, condition: &Condition) -> Option<bool> {
        let known = self.known();
        let (when, kept) = known.last.filter(|(when, _)| when.elapsed() < self.interval)?;
        // Since the probe, versioning may have been off: that is how such a version comes about.
        let outdated = kept && known.only_copy_seen(condition).is_some_and(|seen| when <= seen);
        (!outdated).then_some(kept)
    }

    /// The current version with this etag has no id.
    pub(super) fn seen_without_id(&self, etag: &str) {
        let mut known = self.known();
        if known.without_id.contains_key(etag) {
            return;
        }
        if known.without_id.len() < REMEMBERED_MAX {
            known.without_id.insert(etag.to_owned(), Instant::now());
        } else {
            known.too_many = Some(Instant::now());
        }
    }

    /// The version with this etag was replaced and is kept.
    pub(super) fn replaced(&self, condition: &Condition) {
        if let Condition::Matches(etag) = condition {
            self.known().without_id.remove(etag);
        }
    }

    /// A put was answered without version id. It stored what it was to store, and the etag of that is `etag`.
    pub(super) fn lost(&self, etag: &str, failure: &Failure) {
        self.seen_without_id(etag);
        let was = {
            let mut known = self.known();
            known.last = Some((Instant::now(), false));
            std::mem::replace(&mut known.standing, Standing::Off)
        };
        if was != Standing::Off {
            self.gone_off(failure);
        }
    }

    /// A probe that was begun then was answered. Whether versions are kept, as far as is known now: a probe from before versioning was
    /// last seen to be off says nothing.
    pub(super) fn probed(&self, begun: Instant, kept: bool, failure: &Failure) -> bool {
        let (was, is) = {
            let mut known = self.known();
            let was = known.standing;
            if known.last.is_some_and(|(when, kept)| !kept && begun < when) {
                return false;
            }
            known.last = Some((begun, kept));
            known.standing = match (was, kept) {
                (_, true) => Standing::On,
                // A start that finds it off is refused as a whole.
                (Standing::Unproved, false) => Standing::Unproved,
                (_, false) => Standing::Off,
            };
            (was, known.standing)
        };
        match (was, is) {
            (Standing::On, Standing::Off) => self.gone_off(failure),
            (Standing::Off, Standing::On) => {
                tracing::warn!("blob versioning is on again; writing goes on");
                self.tell(None);
            }
            _ => {}
        }
        kept
    }

    fn gone_off(&self, failure: &Failure) {
        tracing::error!(
            error = %failure,
            remedy = failure.remedy,
            "the target does not keep versions any more; nothing is written until it does"
        );
        self.tell(Some(failure));
    }

    fn tell(&self, reason: Option<&Failure>) {
        if let Some(report) = &self.report {
            report(reason);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;
    use crate::failure::Kind;

    fn off() -> Failure {
        Failure::new(Kind::Misconfigured, "off")
    }

    fn on(etag: &str) -> Condition {
        Condition::Matches(etag.to_owned())
    }

    #[tokio::test(start_paused = true)]
    async fn after_an_answer_without_id_everything_is_in_doubt_until_a_later_probe() {
        let versioning = Versioning::default();
        let earlier = Instant::now();
        assert!(versioning.probed(earlier, true, &off()) && !versioning.is_in_doubt(&Condition::Absent));
        tokio::time::advance(Duration::from_secs(1)).await;
        versioning.lost("\"1\"", &off());
        assert!(versioning.is_in_doubt(&Condition::Absent) && versioning.recently(&Condition::Absent) == Some(false));
        // It was begun before and its answer was late.
        assert!(!versioning.probed(earlier, true, &off()) && versioning.is_off());
        tokio::time::advance(PROBE_INTERVAL).await;
        assert_eq!(versioning.recently(&Condition::Absent), None);
        assert!(versioning.probed(Instant::now(), true, &off()) && !versioning.is_off());
        assert!(!versioning.is_in_doubt(&Condition::Absent) && !versioning.is_in_doubt(&on("\"2\"")));
        // The only copy stays one until it was replaced.
        assert!(versioning.is_in_doubt(&on("\"1\"")) && versioning.recently(&on("\"1\"")) == Some(true));
        versioning.replaced(&on("\"1\""));
        assert!(!versioning.is_in_doubt(&on("\"1\"")));
    }

    #[tokio::test(start_paused = true)]
    async fn a_probe_from_before_a_version_without_id_was_seen_does_not_count_for_it() {
        let versioning = Versioning::default();
        assert!(versioning.probed(Instant::now(), true, &off()));
        tokio::time::advance(Duration::from_secs(1)).await;
        versioning.seen_without_id("\"1\"");
        assert!(!versioning.is_in_doubt(&Condition::Absent) && versioning.is_in_doubt(&on("\"1\"")));
        assert_eq!([Condition::Absent, on("\"1\"")].map(|put| versioning.recently(&put)), [Some(true), None]);
        tokio::time::advance(Duration::from_secs(1)).await;
        assert!(versioning.probed(Instant::now(), true, &off()));
        versioning.seen_without_id("\"1\"");
        assert_eq!(versioning.recently(&on("\"1\"")), Some(true), "it is no other one");
    }

    #[tokio::test(start_paused = true)]
    async fn it_is_told_once_each_time() {
        let told = Arc::new([AtomicUsize::new(0), AtomicUsize::new(0)]);
        let mut versioning = Versioning::default();
        let counted = Arc::clone(&told);
        versioning.set_report(Arc::new(move |reason| {
            counted[usize::from(reason.is_some())].fetch_add(1, Ordering::Relaxed);
        }));
        // A start that is refused is no alarm.
        assert!(!versioning.probed(Instant::now(), false, &off()) && !versioning.is_off());
        assert!(versioning.probed(Instant::now(), true, &off()));
        for etag in ["\"1\"", "\"2\"", "\"3\""] {
            versioning.lost(etag, &off());
        }
        assert!(!versioning.probed(Instant::now(), false, &off()));
        assert!(versioning.probed(Instant::now(), true, &off()) && versioning.probed(Instant::now(), true, &off()));
        assert_eq!(told.each_ref().map(|count| count.load(Ordering::Relaxed)), [1, 1]);
    }

    #[test]
    fn of_more_only_copies_than_are_remembered_none_is_forgotten() {
        let versioning = Versioning::default();
        for number in 0..=REMEMBERED_MAX {
            versioning.seen_without_id(&number.to_string());
        }
        assert!(versioning.is_in_doubt(&on(&REMEMBERED_MAX.to_string())));
        assert!(versioning.known().without_id.len() == REMEMBERED_MAX && !versioning.is_in_doubt(&Condition::Absent));
    }
}
