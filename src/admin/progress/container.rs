//! One container: what is known of its ranges, and the lag and ages that follow from it at the instant somebody asks.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use cosmirror_formats::EpkRange;
use tokio::time::Instant;

use super::locked;

/// How long a count of dead letters and gaps is told: several times as long as the pause between two.
pub(super) const COUNT_AGE_MAX: Duration = Duration::from_mins(20);

/// The progress of one container. Clones share one state.
#[derive(Debug, Clone)]
pub struct ContainerProgress(Arc<Mutex<State>>);

#[derive(Debug)]
struct State {
    ranges: BTreeMap<EpkRange, RangeState>,
    /// The service's time in seconds, and when it was learnt.
    service: Option<(i64, Instant)>,
    window: (Option<i64>, Option<i64>),
    deletes_known_until: Option<i64>,
    whole: Whole,
    /// When dead letters and gaps were counted last.
    counted: Option<Instant>,
    /// Since when no range is followed here, for as long as none is.
    idle_since: Instant,
    followed_elsewhere: bool,
}

#[derive(Debug)]
struct RangeState {
    since: Instant,
    watermark: Option<i64>,
    token_time: Option<i64>,
    /// Up to when it was reconciled or backfilled, where it is to be reconciled.
    reconciled_until: Option<i64>,
    saved: Option<Saved>,
    /// When changes were last stored, or nothing more was there to read.
    stepped: Option<Instant>,
}

/// When a range's position was last saved. Clones share one state.
#[derive(Debug, Clone)]
pub struct Saved(Arc<Mutex<Instant>>);

impl Default for Saved {
    fn default() -> Self {
        Self(Arc::new(Mutex::new(Instant::now())))
    }
}

impl Saved {
    /// It was saved just now.
    pub fn now(&self) {
        *locked(&self.0) = Instant::now();
    }

    fn at(&self) -> Instant {
        *locked(&self.0)
    }
}

/// What the leases of all ranges say together, whoever follows them.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Whole {
    /// Up to which service time every range is mirrored, in seconds since 1970.
    pub until: Option<i64>,
    /// Whether every range has stored what was there before it was followed. A container that is followed from now on has no such copy.
    pub is_backfilled: bool,
}

/// One range as it stands now.
#[derive(Debug, Clone, PartialEq)]
pub struct RangeProgress {
    /// The interval of keys.
    pub range: EpkRange,
    /// Up to which service time it is mirrored, in seconds since 1970.
    pub watermark: Option<i64>,
    /// How far that is behind the service, in seconds.
    pub lag_seconds: f64,
}
impl ContainerProgress {
    pub(super) fn new(since: Instant) -> Self {
        let state = State {
            ranges: BTreeMap::new(),
            service: None,
            window: (None, None),
            deletes_known_until: None,
            whole: Whole::default(),
            counted: None,
            idle_since: since,
            followed_elsewhere: false,
        };
        Self(Arc::new(Mutex::new(state)))
    }

    /// This process now follows the range.
    pub fn range_started(&self, range: EpkRange) {
        let since = Instant::now();
        let begun =
            RangeState { since, watermark: None, token_time: None, reconciled_until: None, saved: None, stepped: None };
        locked(&self.0).ranges.entry(range).or_insert(begun);
    }

    /// Where it is told when the range's position was last saved.
    pub fn saves(&self, range: &EpkRange, saved: Saved) {
        if let Some(range) = locked(&self.0).ranges.get_mut(range) {
            range.saved = Some(saved);
        }
    }

    /// Changes of the range were stored, or nothing more was there to read.
    pub fn stepped(&self, range: &EpkRange) {
        if let Some(range) = locked(&self.0).ranges.get_mut(range) {
            range.stepped = Some(Instant::now());
        }
    }

    /// Whether every range of the container is known to go on: those that are followed here have all made a step since then. None where
    /// none is followed here, because other processes follow them.
    pub fn has_progressed_since(&self, then: Instant) -> Option<bool> {
        let state = locked(&self.0);
        if state.ranges.is_empty() {
            return if state.followed_elsewhere { None } else { Some(false) };
        }
        Some(state.ranges.values().all(|range| range.stepped.is_some_and(|at| at >= then)))
    }

    /// The range is another owner's now, or no longer exists. One that was given up after an error is not stopped: nobody follows
    /// it, and its lag must grow.
    pub fn range_stopped(&self, range: &EpkRange) {
        let mut state = locked(&self.0);
        if state.ranges.remove(range).is_some() && state.ranges.is_empty() {
            state.idle_since = Instant::now();
        }
    }

    /// Whether other processes follow every range that this one does not. While this is so and no range is followed here, the
    /// container is not behind as far as this process can tell; the others' metrics say.
    pub fn followed_elsewhere(&self, all: bool) {
        let mut state = locked(&self.0);
        if state.followed_elsewhere && !all {
            state.idle_since = Instant::now();
        }
        state.followed_elsewhere = all;
    }

    /// The range is completely mirrored up to this service time, in seconds since 1970. Moves forward only.
    pub fn watermark(&self, range: &EpkRange, seconds: i64) {
        if let Some(range) = locked(&self.0).ranges.get_mut(range) {
            range.watermark = range.watermark.max(Some(seconds));
        }
    }

    /// The service gave the position that the range now stands at (and would continue from) at this service time.
    pub fn token_time(&self, range: &EpkRange, seconds: i64) {
        if let Some(range) = locked(&self.0).ranges.get_mut(range) {
            range.token_time = Some(seconds);
        }
    }

    /// The range is to be reconciled from time to time, and was last at this service time, or backfilled then and never reconciled.
    pub fn reconciled_until(&self, range: &EpkRange, seconds: i64) {
        if let Some(range) = locked(&self.0).ranges.get_mut(range) {
            range.reconciled_until = Some(seconds);
        }
    }

    /// The service said that it is this late, in seconds since 1970.
    pub fn service_time(&self, seconds: i64) {
        locked(&self.0).service = Some((seconds, Instant::now()));
    }

    /// The window in which every instant can be restored, in seconds since 1970.
    pub fn set_window(&self, from: Option<i64>, until: Option<i64>) {
        locked(&self.0).window = (from, until);
    }

    /// What [`ContainerProgress::set_window`] said last.
    pub fn window(&self) -> (Option<i64>, Option<i64>) {
        locked(&self.0).window
    }

    /// Up to which instant every delete is known, in seconds since 1970.
    pub fn set_deletes_known_until(&self, until: Option<i64>) {
        locked(&self.0).deletes_known_until = until;
    }

    /// What [`ContainerProgress::set_deletes_known_until`] said last.
    pub fn deletes_known_until(&self) -> Option<i64> {
        locked(&self.0).deletes_known_until
    }

    /// What the leases of all ranges say.
    pub fn set_whole(&self, whole: Whole) {
        locked(&self.0).whole = whole;
    }

    /// What [`ContainerProgress::set_whole`] said last.
    pub fn whole(&self) -> Whole {
        locked(&self.0).whole
    }

    /// The metrics of dead letters and gaps say what the mirror holds at present.
    pub fn counted(&self) {
        locked(&self.0).counted = Some(Instant::now());
    }

    /// Whether [`ContainerProgress::counted`] was said lately.
    pub fn is_counted(&self) -> bool {
        locked(&self.0).counted.is_some_and(|at| at.elapsed() <= COUNT_AGE_MAX)
    }

    /// How far the slowest range of all is behind the service, in seconds, by what the leases of the others say. None where others follow
    /// and that is not known.
    pub fn lag_of_all_seconds(&self) -> Option<f64> {
        let state = locked(&self.0);
        let now = Instant::now();
        let own = state.ranges.values().map(|range| state.behind(range.watermark, range.since, now)).reduce(f64::max);
        let all =
            state.whole.until.filter(|_| state.service.is_some()).map(|until| state.behind(Some(until), now, now));
        let idle = (!state.followed_elsewhere).then(|| seconds_between(state.idle_since, now));
        own.into_iter().chain(all).reduce(f64::max).or(idle)
    }

    /// How far the slowest range is behind the service, in seconds.
    pub fn lag_seconds(&self) -> f64 {
        let state = locked(&self.0);
        let now = Instant::now();
        if state.ranges.is_empty() {
            return if state.followed_elsewhere { 0.0 } else { seconds_between(state.idle_since, now) };
        }
        state.ranges.values().map(|range| state.behind(range.watermark, range.since, now)).fold(0.0, f64::max)
    }

    /// The age of the oldest position, in seconds: what a retention window is compared with. None while no range reported one.
    pub fn token_age_seconds(&self) -> Option<f64> {
        let state = locked(&self.0);
        let now = Instant::now();
        let known = state.ranges.values().filter(|range| range.token_time.is_some());
        known.map(|range| state.behind(range.token_time, range.since, now)).reduce(f64::max)
    }

    /// For how long the range has not been reconciled that has waited longest, in seconds; 0 where none is to be.
    pub fn reconciliation_age_seconds(&self) -> f64 {
        let state = locked(&self.0);
        let now = Instant::now();
        let waiting = state.ranges.values().filter(|range| range.reconciled_until.is_some());
        waiting.map(|range| state.behind(range.reconciled_until, range.since, now)).fold(0.0, f64::max)
    }

    /// The age of the oldest saved position among the ranges that are followed here, in seconds.
    pub fn checkpoint_age_seconds(&self) -> f64 {
        let (state, now) = (locked(&self.0), Instant::now());
        let saved = state.ranges.values().map(|range| range.saved.as_ref().map_or(range.since, Saved::at));
        saved.map(|at| seconds_between(at, now)).fold(0.0, f64::max)
    }

    /// The ranges this process follows.
    pub fn ranges(&self) -> Vec<RangeProgress> {
        let state = locked(&self.0);
        let now = Instant::now();
        let shown = |(range, at): (&EpkRange, &RangeState)| RangeProgress {
            range: range.clone(),
            watermark: at.watermark,
            lag_seconds: state.behind(at.watermark, at.since, now),
        };
        state.ranges.iter().map(shown).collect()
    }
}

impl State {
    /// How long before the service's present time an instant of it was; where either is not known, the time since `since`.
    fn behind(&self, instant: Option<i64>, since: Instant, now: Instant) -> f64 {
        let (Some(instant), Some((service, learnt))) = (instant, self.service) else {
            return seconds_between(since, now);
        };
        #[expect(clippy::cast_precision_loss, reason = "differences of seconds are far below 2^52")]
        let known = service.saturating_sub(instant) as f64;
        (known + seconds_between(learnt, now)).max(0.0)
    }
}

fn seconds_between(earlier: Instant, later: Instant) -> f64 {
    later.saturating_duration_since(earlier).as_secs_f64()
}
