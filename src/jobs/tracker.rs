//! How far a job is, between its work and its marks.
//!
//! A document counts twice: once when the source shows it and once when it was held against the mirror, so that the time left is not told from the
//! quicker half alone. How many there are is known of the parts that were read; the others are taken to be as large. Work that is no comparison
//! has one part and counts each document once in each of its phases.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use cosmirror_formats::EpkRange;
use cosmirror_formats::job::{JobCounts, JobProgress, JobRecord};
use indicatif::ProgressBar;
use serde_json::Value;
use tokio::sync::Notify;
use tokio::time::Instant;

use crate::reconcile::{Counts, Phase};

/// How much of the latest speed goes into what is told.
const RECENT_PART: f64 = 0.3;
/// A document of a comparison counts when the source shows it and when it was held against the mirror.
const STEPS_OF_COMPARISON: u64 = 2;
/// Between two looks at the speed at least; closer ones tell nothing.
const SPEED_INTERVAL_MIN: Duration = Duration::from_millis(500);

/// See the module.
pub(super) struct Tracker {
    state: Mutex<State>,
    /// A part is done, which a mark should say soon.
    pub(super) changed: Notify,
}

struct State {
    finished: Vec<EpkRange>,
    counts: JobCounts,
    parts_done: u32,
    parts: Option<u32>,
    phase: &'static str,
    /// How often a document counts.
    steps_each: u64,
    result: Option<Value>,
    /// Documents of the present part, once the source was read.
    shown: Option<u64>,
    steps: ProgressBar,
    speed: Speed,
}

struct Speed {
    at: Instant,
    steps: u64,
    /// Steps per second.
    recent: Option<f64>,
}

impl Tracker {
    /// Goes on where the record says.
    pub(super) fn new(record: &JobRecord) -> Self {
        let state = State {
            finished: record.finished.clone(),
            counts: record.counts,
            parts_done: record.progress.parts_done,
            parts: record.progress.parts,
            phase: "",
            steps_each: STEPS_OF_COMPARISON,
            result: record.result.clone(),
            shown: None,
            steps: ProgressBar::hidden(),
            speed: Speed { at: Instant::now(), steps: record.counts.documents * STEPS_OF_COMPARISON, recent: None },
        };
        Self { state: Mutex::new(state), changed: Notify::new() }
    }

    /// A panic while the lock was held leaves whole values: each change is one assignment.
    fn locked(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What is done.
    pub(super) fn finished(&self) -> Vec<EpkRange> {
        self.locked().finished.clone()
    }

    /// A part begins, after which there are so many more; gives where its steps are counted.
    pub(super) fn begin(&self, left: usize) -> ProgressBar {
        let mut state = self.locked();
        state.parts = Some(state.parts_done.saturating_add(u32::try_from(left).unwrap_or(u32::MAX)));
        state.shown = None;
        state.steps = ProgressBar::hidden();
        state.steps.clone()
    }

    /// The part comes to its next phase.
    pub(super) fn phase(&self, phase: Phase) {
        let mut state = self.locked();
        if let Phase::Comparing(shown) = phase {
            state.shown = Some(shown);
        }
        state.phase = phase.word();
    }

    /// Work that is one part comes to its next phase; gives where its documents are counted, whose length is how many there are.
    pub(super) fn whole(&self, phase: &'static str) -> ProgressBar {
        let mut state = self.locked();
        (state.parts, state.steps_each, state.phase) = (Some(1), 1, phase);
        state.steps = ProgressBar::hidden();
        state.speed = Speed { at: Instant::now(), steps: 0, recent: None };
        state.steps.clone()
    }

    /// What came of it, in the end or so far.
    pub(super) fn result(&self, result: Value) {
        self.locked().result = Some(result);
        self.changed.notify_one();
    }

    /// The part is done.
    pub(super) fn done(&self, range: &EpkRange, counts: Counts) {
        let mut state = self.locked();
        state.finished = joined(std::mem::take(&mut state.finished), range.clone());
        state.counts = added(state.counts, counts);
        state.parts_done = state.parts_done.saturating_add(1);
        state.shown = None;
        state.steps = ProgressBar::hidden();
        drop(state);
        self.changed.notify_one();
    }

    /// The record with how far the job is.
    pub(super) fn marked(&self, record: &JobRecord) -> JobRecord {
        let mut state = self.locked();
        let progress = state.progress();
        let (finished, result) = (state.finished.clone(), state.result.clone());
        JobRecord { finished, counts: state.counts, progress, result, ..record.clone() }
    }
}

impl State {
    fn progress(&mut self) -> JobProgress {
        let steps = self.counts.documents * self.steps_each + self.steps.position();
        let per_second = self.speed.seen(steps);
        let total = self.total();
        let left = total.map(|total| (total * self.steps_each).saturating_sub(steps));
        JobProgress {
            phase: self.phase.to_owned(),
            done: (steps / self.steps_each).min(total.unwrap_or(u64::MAX)),
            total,
            parts_done: self.parts_done,
            parts: self.parts,
            #[expect(clippy::cast_precision_loss, reason = "one or two")]
            per_minute: per_second.map(|steps| whole(steps * 60.0 / self.steps_each as f64)),
            seconds_left: left.zip(per_second.filter(|steps| *steps > 0.0)).map(|(left, per_second)| {
                #[expect(clippy::cast_precision_loss, reason = "an estimate")]
                let left = left as f64;
                whole((left / per_second).ceil())
            }),
        }
    }

    /// All documents, as far as the parts that were read tell it.
    fn total(&self) -> Option<u64> {
        if self.steps_each == 1 {
            return self.steps.length();
        }
        let known = u64::from(self.parts_done) + u64::from(self.shown.is_some());
        let documents = self.counts.documents + self.shown.unwrap_or(0);
        let parts = u64::from(self.parts?);
        (known > 0).then(|| documents.saturating_mul(parts).div_ceil(known))
    }
}

impl Speed {
    /// Steps per second lately, when so many are done by now.
    fn seen(&mut self, steps: u64) -> Option<f64> {
        let now = Instant::now();
        let elapsed = now.duration_since(self.at);
        if elapsed >= SPEED_INTERVAL_MIN {
            #[expect(clippy::cast_precision_loss, reason = "an estimate")]
            let latest = steps.saturating_sub(self.steps) as f64 / elapsed.as_secs_f64();
            self.recent = Some(self.recent.map_or(latest, |recent| recent + (latest - recent) * RECENT_PART));
            (self.at, self.steps) = (now, steps);
        }
        self.recent
    }
}

#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a cast of a float keeps to the bounds")]
fn whole(number: f64) -> u64 {
    number as u64
}

fn added(sum: JobCounts, counts: Counts) -> JobCounts {
    JobCounts {
        documents: sum.documents + counts.documents,
        equal: sum.equal + counts.equal,
        missing: sum.missing + counts.missing,
        stale: sum.stale + counts.stale,
        extra: sum.extra + counts.extra,
        different: sum.different + counts.different,
        pending: sum.pending + counts.pending,
        repaired: sum.repaired + counts.repaired,
    }
}

/// Ranges with one more, neighbours as one.
fn joined(mut ranges: Vec<EpkRange>, range: EpkRange) -> Vec<EpkRange> {
    ranges.push(range);
    ranges.sort();
    let mut joined: Vec<EpkRange> = Vec::new();
    for range in ranges {
        match joined.last_mut() {
            Some(last) if range.min <= last.max => last.max = range.max.max(std::mem::take(&mut last.max)),
            _ => joined.push(range),
        }
    }
    joined
}

#[cfg(test)]
mod tests {
    use cosmirror_formats::job::Work;

    use super::super::steps::new;
    use super::*;

    fn counts(documents: u64) -> Counts {
        Counts { documents, equal: documents, ..Counts::default() }
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_left_is_told_once_a_part_was_read_and_goes_on_after_a_restart() {
        let record = new("d", "c", "r", Work::Backfill, 0, 0);
        let tracker = Tracker::new(&record);
        let steps = tracker.begin(2);
        tracker.phase(Phase::Reading);
        steps.inc(60);
        tokio::time::advance(Duration::from_secs(30)).await;
        let progress = tracker.marked(&record).progress;
        assert_eq!((progress.done, progress.total, progress.seconds_left), (30, None, None));
        assert_eq!((progress.phase.as_str(), progress.per_minute), ("reading", Some(60)));
        steps.inc(40);
        tracker.phase(Phase::Comparing(100));
        let progress = tracker.marked(&record).progress;
        assert_eq!((progress.done, progress.total, progress.seconds_left), (50, Some(200), Some(150)));
        tracker.done(&EpkRange::new("", "20"), counts(100));
        let record = tracker.marked(&record);
        assert_eq!((record.progress.done, record.progress.parts_done, record.progress.parts), (100, 1, Some(2)));
        let tracker = Tracker::new(&record);
        assert_eq!(tracker.finished(), [EpkRange::new("", "20")]);
        tracker.begin(1);
        tracker.done(&EpkRange::new("20", "FF"), counts(50));
        let record = tracker.marked(&record);
        assert_eq!((record.progress.done, record.progress.total), (150, Some(150)));
        assert_eq!((record.finished, record.counts.equal), (vec![EpkRange::full()], 150));
    }

    #[test]
    fn neighbours_are_one_range_and_others_are_not() {
        let range = EpkRange::new;
        let ranges = [range("20", "30"), range("40", "FF"), range("", "20")].into_iter().fold(Vec::new(), joined);
        assert_eq!(ranges, [range("", "30"), range("40", "FF")]);
        assert_eq!(joined(ranges, range("10", "40")), [EpkRange::full()]);
    }
}
