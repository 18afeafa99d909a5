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

use tokio::time::Instant;

use super::Observed;
use super::shown::shown;

mod container;

pub use container::{ContainerProgress, RangeProgress, Saved, Whole};

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

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use cosmirror_formats::EpkRange;
    use tokio::time::advance;

    use super::container::COUNT_AGE_MAX;
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
