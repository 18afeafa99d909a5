//! How far the mirror is: what the loops report, and what follows from it at the instant somebody asks.
//!
//! The loops report facts (a watermark, the service's time, a range begun or handed over); this module alone computes lag and
//! ages. It estimates the service's present time as the last one reported plus what this host's monotonic clock has counted since,
//! so a loop that hangs makes lag grow instead of stopping it. Where nothing is known yet, lag is the time since the container has
//! been without a report, at first since the process started.
//!
//! Nothing here survives the process.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use cosmirror_formats::EpkRange;
use tokio::time::Instant;

use super::Observed;
use super::shown::shown;

/// How long a count of dead letters and gaps is told: several times as long as the pause between two.
const COUNT_AGE_MAX: Duration = Duration::from_mins(20);
/// The component that is not ready until start-up has ended.
const STARTUP: &str = "start-up";

/// What the process reports about itself. Clones share one state.
#[derive(Debug, Clone)]
pub struct Progress(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    since: Instant,
    containers: Mutex<BTreeMap<(String, String), ContainerProgress>>,
    observed: Mutex<BTreeMap<(String, String), Observed>>,
    /// Reasons for not being ready, by component.
    not_ready: Mutex<BTreeMap<String, String>>,
}

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

/// A panic while the lock was held leaves whole values: each change is one assignment.
fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Progress {
    /// For these (database, container) pairs. Not ready until [`Progress::started`].
    pub fn new<D: Into<String>, C: Into<String>>(containers: impl IntoIterator<Item = (D, C)>) -> Self {
        let since = Instant::now();
        let named = containers.into_iter().map(|(d, c)| ((d.into(), c.into()), ContainerProgress::new(since)));
        let starting = BTreeMap::from([(STARTUP.to_owned(), "not complete".to_owned())]);
        Self(Arc::new(Shared {
            since,
            containers: Mutex::new(named.collect()),
            observed: Mutex::default(),
            not_ready: Mutex::new(starting),
        }))
    }

    /// The progress of one container; one that was not named at first is added.
    pub fn container(&self, database: &str, container: &str) -> ContainerProgress {
        let key = (database.to_owned(), container.to_owned());
        locked(&self.0.containers).entry(key).or_insert_with(|| ContainerProgress::new(self.0.since)).clone()
    }

    /// What the observer saw of one container.
    pub fn observed(&self, database: &str, container: &str) -> Observed {
        let key = (database.to_owned(), container.to_owned());
        locked(&self.0.observed).entry(key).or_default().clone()
    }

    /// All containers with their names.
    pub fn containers(&self) -> Vec<((String, String), ContainerProgress)> {
        locked(&self.0.containers).iter().map(|(name, progress)| (name.clone(), progress.clone())).collect()
    }

    /// Start-up has ended: source, leases and target were reached once.
    pub fn started(&self) {
        self.ready(STARTUP);
    }

    /// Whether start-up has ended.
    pub fn is_started(&self) -> bool {
        !locked(&self.0.not_ready).contains_key(STARTUP)
    }

    /// A component cannot do its work, for a reason that a person reads. The latest reason counts. Whoever reaches the port reads it too, so
    /// it is kept without ids and keys of documents.
    pub fn not_ready(&self, component: &str, reason: impl AsRef<str>) {
        locked(&self.0.not_ready).insert(component.to_owned(), shown(reason.as_ref()));
    }

    /// A component does its work again.
    pub fn ready(&self, component: &str) {
        locked(&self.0.not_ready).remove(component);
    }

    /// Why the process is not ready, as `component: reason`; empty when it is.
    pub fn reasons(&self) -> Vec<String> {
        locked(&self.0.not_ready).iter().map(|(component, reason)| format!("{component}: {reason}")).collect()
    }
}

impl ContainerProgress {
    fn new(since: Instant) -> Self {
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

#[cfg(test)]
mod tests {
    use tokio::time::advance;

    use super::*;

    fn one() -> (Progress, ContainerProgress, EpkRange) {
        let progress = Progress::new([("shop", "orders")]);
        let container = progress.container("shop", "orders");
        (progress, container, EpkRange::full())
    }

    #[tokio::test(start_paused = true)]
    async fn lag_grows_while_nothing_is_reported() {
        let (_, container, range) = one();
        container.range_started(range.clone());
        container.service_time(1_000);
        container.watermark(&range, 994);
        container.token_time(&range, 1_000);
        assert_eq!(container.lag_seconds(), 6.0);
        advance(Duration::from_secs(90)).await;
        assert_eq!(container.lag_seconds(), 96.0);
        assert_eq!(container.token_age_seconds(), Some(90.0));
        assert_eq!(container.ranges()[0].lag_seconds, 96.0);
    }

    #[tokio::test(start_paused = true)]
    async fn the_slowest_range_counts() {
        let (_, container, _) = one();
        let (low, high) = (EpkRange::new("", "20"), EpkRange::new("20", "FF"));
        container.range_started(low.clone());
        container.range_started(high.clone());
        container.service_time(1_000);
        container.watermark(&low, 999);
        container.watermark(&high, 900);
        container.watermark(&high, 800);
        assert_eq!(container.lag_seconds(), 100.0);
        container.range_stopped(&high);
        assert_eq!(container.lag_seconds(), 1.0);
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_not_known_counts_from_the_start_of_the_process() {
        let (progress, container, range) = one();
        advance(Duration::from_secs(7)).await;
        assert_eq!(container.lag_seconds(), 7.0);
        assert_eq!(progress.container("shop", "later").lag_seconds(), 7.0);
        container.range_started(range.clone());
        advance(Duration::from_secs(2)).await;
        assert_eq!(container.lag_seconds(), 2.0);
        assert_eq!(container.token_age_seconds(), None);
        container.range_stopped(&range);
        advance(Duration::from_secs(3)).await;
        assert_eq!(container.lag_seconds(), 3.0);
        container.followed_elsewhere(true);
        assert_eq!(container.lag_seconds(), 0.0);
        advance(Duration::from_secs(3)).await;
        container.followed_elsewhere(false);
        assert_eq!(container.lag_seconds(), 0.0);
    }

    #[tokio::test(start_paused = true)]
    async fn a_container_that_others_follow_is_as_far_behind_as_their_leases_say() {
        let (_, container, range) = one();
        container.followed_elsewhere(true);
        assert_eq!((container.lag_seconds(), container.lag_of_all_seconds()), (0.0, None), "nothing is known yet");
        container.service_time(1_000);
        container.set_whole(Whole { until: Some(400), is_backfilled: true });
        assert_eq!(container.lag_of_all_seconds(), Some(600.0));
        advance(Duration::from_secs(5)).await;
        assert_eq!(container.lag_of_all_seconds(), Some(605.0));
        container.range_started(range.clone());
        container.watermark(&range, 1_000);
        assert_eq!((container.lag_seconds(), container.lag_of_all_seconds()), (5.0, Some(605.0)));
    }

    #[tokio::test(start_paused = true)]
    async fn a_count_is_told_until_it_is_old() {
        let (_, container, _) = one();
        assert!(!container.is_counted());
        container.counted();
        assert!(container.is_counted());
        advance(COUNT_AGE_MAX + Duration::from_secs(1)).await;
        assert!(!container.is_counted());
    }

    #[tokio::test(start_paused = true)]
    async fn the_oldest_saved_position_counts_and_grows_while_nothing_is_saved() {
        let (_, container, _) = one();
        assert_eq!(container.checkpoint_age_seconds(), 0.0);
        let (low, high) = (EpkRange::new("", "20"), EpkRange::new("20", "FF"));
        container.range_started(low.clone());
        advance(Duration::from_secs(4)).await;
        assert_eq!(container.checkpoint_age_seconds(), 4.0, "never saved");
        container.range_started(high.clone());
        let (first, second) = (Saved::default(), Saved::default());
        container.saves(&low, first.clone());
        container.saves(&high, second.clone());
        advance(Duration::from_secs(10)).await;
        first.now();
        assert_eq!(container.checkpoint_age_seconds(), 10.0);
        second.now();
        assert_eq!(container.checkpoint_age_seconds(), 0.0);
    }

    #[tokio::test(start_paused = true)]
    async fn a_container_goes_on_only_while_all_its_ranges_do() {
        let (_, container, _) = one();
        let then = Instant::now();
        assert_eq!(container.has_progressed_since(then), Some(false), "nobody follows it");
        container.followed_elsewhere(true);
        assert_eq!(container.has_progressed_since(then), None);
        let (low, high) = (EpkRange::new("", "20"), EpkRange::new("20", "FF"));
        container.range_started(low.clone());
        container.range_started(high.clone());
        container.stepped(&low);
        assert_eq!(container.has_progressed_since(then), Some(false));
        container.stepped(&high);
        assert_eq!(container.has_progressed_since(then), Some(true));
        advance(Duration::from_secs(1)).await;
        assert_eq!(container.has_progressed_since(Instant::now()), Some(false));
    }

    #[tokio::test(start_paused = true)]
    async fn readiness_needs_every_component() {
        let (progress, ..) = one();
        assert_eq!(progress.reasons(), ["start-up: not complete"]);
        progress.not_ready("target", "unreachable");
        progress.started();
        assert!(progress.is_started());
        assert_eq!(progress.reasons(), ["target: unreachable"]);
        progress.ready("target");
        assert!(progress.reasons().is_empty());
    }
}
