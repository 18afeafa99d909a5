//! What the ranges of one container report, and what the leases say of those that others follow, gathered for health, metrics and
//! `--once`.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

use cosmirror_formats::EpkRange;
use cosmirror_formats::records::{FORMAT, RangeState, Window};
use tokio::sync::watch;

use crate::admin::{ContainerProgress, Whole};
use crate::config::FeedMode;
use crate::mirror::Observer;
use crate::mirror::checkpoint::RangeProgress;

/// The reports of one container's ranges.
pub(super) struct Board {
    progress: ContainerProgress,
    mode: FeedMode,
    ranges: Mutex<BTreeMap<EpkRange, Report>>,
    /// What the leases of all ranges said last. Those that are followed here know better.
    told: Mutex<Vec<RangeState>>,
    expected: Mutex<Option<usize>>,
    caught_up: watch::Sender<bool>,
    window: watch::Sender<Window>,
}

struct Report {
    state: RangeState,
    caught_up: bool,
}

impl Board {
    /// A board without reports.
    pub(super) fn new(progress: ContainerProgress, mode: FeedMode) -> Self {
        Self {
            progress,
            mode,
            ranges: Mutex::default(),
            told: Mutex::default(),
            expected: Mutex::default(),
            caught_up: watch::Sender::new(false),
            window: watch::Sender::new(Window::default()),
        }
    }

    /// How many ranges must catch up; none while another replica holds some or a range was given up.
    pub(super) fn expect(&self, ranges: Option<usize>, all_elsewhere: bool) {
        self.progress.followed_elsewhere(all_elsewhere);
        *self.expected.lock().unwrap_or_else(PoisonError::into_inner) = ranges;
        self.settle();
    }

    /// What the leases of all ranges say: the window is the whole container's, whoever follows it.
    pub(super) fn told(&self, states: Vec<RangeState>) {
        *self.told.lock().unwrap_or_else(PoisonError::into_inner) = states;
        self.settle();
    }

    /// A range begins to be followed here.
    pub(super) fn started(&self, range: &EpkRange) {
        self.progress.range_started(range.clone());
    }

    /// A range is not followed here any more. A range that was given up keeps its watermark on the board of health, so that
    /// its lag goes on growing.
    pub(super) fn stopped(&self, range: &EpkRange, given_up: bool) {
        if !given_up {
            self.progress.range_stopped(range);
        }
        self.ranges.lock().unwrap_or_else(PoisonError::into_inner).remove(range);
    }

    /// Waits until every range has caught up and what the backfill found can be restored.
    pub(super) async fn caught_up(&self) {
        // The sender lives as long as this board, so waiting cannot fail.
        let _ = self.caught_up.subscribe().wait_for(|all| *all).await;
    }

    /// Tells of every change of the restorable window.
    pub(super) fn window(&self) -> watch::Receiver<Window> {
        self.window.subscribe()
    }

    fn settle(&self) {
        let ranges = self.ranges.lock().unwrap_or_else(PoisonError::into_inner);
        let expected = *self.expected.lock().unwrap_or_else(PoisonError::into_inner);
        let all = expected == Some(ranges.len()) && ranges.values().all(|r| r.caught_up);
        let told = self.told.lock().unwrap_or_else(PoisonError::into_inner);
        let elsewhere = told.iter().filter(|state| !ranges.contains_key(&state.range));
        let states: Vec<RangeState> = ranges.values().map(|r| &r.state).chain(elsewhere).cloned().collect();
        drop((ranges, told));
        let window = Window::of(&states, FeedMode::LatestVersion.as_str());
        let until = states
            .iter()
            .map(|state| state.watermark)
            .collect::<Option<Vec<_>>>()
            .and_then(|all| all.into_iter().min());
        let is_backfilled = !states.is_empty() && states.iter().all(|state| state.backfilled.is_some());
        self.progress.set_whole(Whole { until, is_backfilled });
        self.progress.set_window(window.from, window.until);
        self.progress.set_deletes_known_until(window.deletes_until);
        self.window.send_if_modified(|current| {
            let changed = *current != window;
            *current = window;
            changed
        });
        if all {
            self.caught_up.send_replace(true);
        }
    }
}

impl Observer for Board {
    fn stepped(&self, range: &EpkRange, progress: &RangeProgress, service_time: Option<i64>, caught_up: bool) {
        self.progress.stepped(range);
        if let Some(watermark) = progress.watermark {
            self.progress.watermark(range, watermark);
        }
        if let Some(seconds) = service_time {
            self.progress.service_time(seconds);
            if caught_up {
                self.progress.token_time(range, seconds);
            }
        }
        let state = RangeState {
            format: FORMAT,
            lineage: progress.lineage.clone(),
            rid: String::new(),
            range: range.clone(),
            mode: self.mode.as_str().to_owned(),
            since: progress.since,
            backfilled: progress.backfilled,
            reconciled: progress.reconciled,
            watermark: progress.watermark,
            superseded_by: Vec::new(),
        };
        // A window that has not opened yet would make a restore right after the backfill impossible.
        let open = progress.backfilled.is_none_or(|from| progress.watermark.is_some_and(|until| until >= from));
        // Nor would a gap that this run can repair, up to its end.
        let repaired = progress.repaired.as_ref().is_none_or(|repair| progress.watermark >= Some(repair.at));
        let caught_up_whole = caught_up && open && progress.gaps.is_empty() && repaired;
        let report = Report { state, caught_up: caught_up_whole };
        let changed = {
            let mut ranges = self.ranges.lock().unwrap_or_else(PoisonError::into_inner);
            let before = ranges.insert(range.clone(), report);
            before.is_none_or(|b| {
                let before = (b.caught_up, b.state.watermark, b.state.reconciled);
                before != (caught_up_whole, progress.watermark, progress.reconciled)
            })
        };
        if changed {
            self.settle();
        }
    }
}
