//! The loop that observes one container again and again, in the replica that was elected for it.
//!
//! It has no part in the work: its own task, its own reads, no budget it could starve by, and nothing that it meets ends the
//! process. Every path has a pause.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use cosmirror_formats::EpkRange;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::election::Candidate;
use super::{Observation, Subject};
use crate::admin::{ContainerMetrics, Observed};
use crate::config::{self, FeedMode};
use crate::failure::Failure;
use crate::feed::ChangeFeed;
use crate::leases::LeaseStore;
use crate::leases::owner::Owner;
use crate::pace::RequestUnits;

/// How long stepping down may take before the document is left to expire.
const STEP_DOWN_TIMEOUT: Duration = Duration::from_secs(5);

/// Longest pause that a service is granted.
const RETRY_AFTER_MAX: Duration = Duration::from_secs(120);

/// Observes one container.
pub struct Watcher {
    /// The container's leases.
    pub leases: Arc<LeaseStore>,
    /// Its feed.
    pub feed: Arc<dyn ChangeFeed>,
    /// Which feed is followed.
    pub mode: FeedMode,
    /// How often to observe, and when what was not renewed has expired.
    pub timing: config::Leases,
    /// This process as an owner.
    pub owner: Owner,
    /// Told what was seen.
    pub observed: Observed,
    /// Told what failed, and what it cost.
    pub metrics: ContainerMetrics,
    /// Told what it cost. Observing never waits for it: who is short of request units wants to know how far behind that leaves them.
    pub request_units: Arc<RequestUnits>,
    /// Cancelled when the process is to end.
    pub drain: CancellationToken,
}

/// What the loop knows from one pass to the next.
struct Memory {
    candidate: Candidate,
    /// When it was last certain who observes.
    certain: Instant,
    /// The observer's own failures in a row to read each range.
    failures: BTreeMap<EpkRange, u64>,
}

impl Watcher {
    /// Observes until the process is to end, then leaves the place to another replica.
    pub async fn watch(self) {
        let candidate = Candidate::new(Arc::clone(&self.leases), self.owner.clone(), self.timing.expiration);
        let mut memory = Memory { candidate, certain: Instant::now(), failures: BTreeMap::new() };
        while !self.drain.is_cancelled() {
            let pass = async {
                let mut pause = self.timing.acquire_interval;
                if let Err(failure) = self.pass(&mut memory).await {
                    tracing::warn!(error = %failure, "the container was not observed; trying again");
                    self.metrics.observer_failures.inc();
                    pause = pause.max(failure.retry_after.unwrap_or_default().min(RETRY_AFTER_MAX));
                }
                tokio::time::sleep(pause).await;
            };
            tokio::select! {
                () = pass => {}
                () = self.drain.cancelled() => {}
            }
        }
        self.observed.elsewhere();
        let stepped_down = tokio::time::timeout(STEP_DOWN_TIMEOUT, memory.candidate.step_down()).await;
        if let Ok(Err(failure)) = stepped_down {
            tracing::warn!(error = %failure, "the observer's place was not given up; it is free when it has expired");
        }
    }

    /// Stands for observer and observes.
    async fn pass(&self, memory: &mut Memory) -> Result<(), Failure> {
        match self.stand(memory).await {
            Ok(true) => {
                memory.certain = Instant::now();
                self.observed.active();
            }
            Ok(false) => {
                memory.certain = Instant::now();
                memory.failures.clear();
                self.observed.elsewhere();
                return Ok(());
            }
            Err(failure) => {
                // By now another replica may observe, unless it cannot reach the service either.
                if memory.certain.elapsed() > self.timing.expiration {
                    self.observed.doubtful();
                }
                return Err(failure);
            }
        }
        let begun = Instant::now();
        let subject = Subject {
            leases: &self.leases,
            feed: self.feed.as_ref(),
            mode: self.mode,
            expiration: self.timing.expiration,
        };
        let mut observation = subject.observe().await?;
        self.request_units.spend(observation.request_units);
        self.metrics.request_units.inc_by(observation.request_units);
        count_failures(&mut observation, &mut memory.failures);
        self.observed.saw(observation, begun);
        Ok(())
    }

    async fn stand(&self, memory: &Memory) -> Result<bool, Failure> {
        let service_time = self.feed.service_time().await?;
        memory.candidate.stand(service_time).await
    }
}

/// Puts the observer's own failures in a row beside those that the owners tell of.
fn count_failures(observation: &mut Observation, failures: &mut BTreeMap<EpkRange, u64>) {
    let before = std::mem::take(failures);
    for range in &mut observation.ranges {
        let own = if range.feed_failure.is_some() { before.get(&range.range).unwrap_or(&0) + 1 } else { 0 };
        failures.insert(range.range.clone(), own);
        range.failures = range.failures_with(own);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::admin::{Metrics, Progress};
    use crate::config::Start;
    use crate::failure::Kind;
    use crate::mirror::checkpoint::RangeProgress;
    use crate::observer::RangeObservation;
    use crate::observer::pass::tests::{Scene, followed};

    fn seen(min: &str, owners: Option<u64>, fails: bool) -> RangeObservation {
        RangeObservation {
            range: EpkRange::new(min, "FF"),
            lease: String::new(),
            owner: None,
            expired: false,
            giving_way: false,
            progress: RangeProgress::new(String::new(), 0, Start::Now),
            lag_seconds: 0,
            pending: None,
            failures: owners,
            progressed: None,
            feed_failure: fails.then_some(Kind::Transient),
        }
    }

    #[test]
    fn the_observers_own_failures_in_a_row_count_where_the_owner_tells_of_fewer() {
        let mut own = BTreeMap::new();
        let mut pass = |ranges: Vec<RangeObservation>| {
            let mut seen = Observation { service_time: 0, ranges, holes: Vec::new(), request_units: 0.0 };
            count_failures(&mut seen, &mut own);
            seen.ranges.iter().map(|range| range.failures).collect::<Vec<_>>()
        };
        assert_eq!(pass(vec![seen("", None, true), seen("20", Some(5), true)]), [Some(1), Some(5)]);
        assert_eq!(pass(vec![seen("", Some(0), true), seen("20", Some(0), false)]), [Some(2), Some(0)]);
        assert_eq!(pass(vec![seen("", None, false)]), [None]);
        assert_eq!(pass(vec![seen("", None, true)]), [Some(1)], "not in a row");
    }

    struct Watched {
        watcher: Watcher,
        progress: Progress,
        metrics: Metrics,
        scene: Scene,
    }

    /// A watcher of one range that is 10 s behind.
    async fn watched() -> Watched {
        let scene = Scene::new(&[]).lease("1", "", "FF", &followed(4_000)).await;
        let (progress, metrics) = (Progress::new([("shop", "orders")]), Metrics::new([("shop", "orders")]));
        progress.container("shop", "orders").followed_elsewhere(true);
        let watcher = Watcher {
            leases: Arc::clone(&scene.leases),
            feed: Arc::clone(&scene.feed) as Arc<dyn ChangeFeed>,
            mode: FeedMode::AllVersionsAndDeletes,
            timing: config::Leases::default(),
            owner: Owner::new("me".to_owned()),
            observed: progress.observed("shop", "orders"),
            metrics: metrics.container("shop", "orders"),
            request_units: Arc::new(RequestUnits::new(0)),
            drain: CancellationToken::new(),
        };
        Watched { watcher, progress, metrics, scene }
    }

    /// Who observes, as the document says.
    async fn observer(scene: &Scene) -> Option<String> {
        scene.leases.note("observer").await.unwrap()?.fields["owner"].as_str().map(str::to_owned)
    }

    #[tokio::test(start_paused = true)]
    async fn an_observer_keeps_its_place_until_it_drains_and_then_tells_of_nothing_any_more() {
        let Watched { watcher, progress, metrics, scene } = watched().await;
        let drain = watcher.drain.clone();
        let story = async {
            tokio::time::sleep(Duration::from_secs(30)).await;
            assert_eq!(observer(&scene).await.as_deref(), Some("me"));
            let text = metrics.render(&progress).unwrap();
            assert!(text.contains("observer_active{database=\"shop\",container=\"orders\"} 1\n"), "{text}");
            assert!(text.contains("range_pending_changes{"), "{text}");
            drain.cancel();
        };
        tokio::join!(watcher.watch(), story);
        assert_eq!(observer(&scene).await, None);
        let text = metrics.render(&progress).unwrap();
        assert!(text.contains("observer_active{database=\"shop\",container=\"orders\"} 0\n"), "{text}");
        assert!(
            !text.contains("range_lag_seconds{")
                && text.contains("observer_failures_total{database=\"shop\",container=\"orders\"} 0\n")
        );
    }

    #[tokio::test(start_paused = true)]
    async fn in_an_outage_the_lag_grows_on_and_ranges_are_not_shown_for_ever() {
        let Watched { watcher, progress, metrics, scene } = watched().await;
        let drain = watcher.drain.clone();
        let lag = || {
            let text = metrics.render(&progress).unwrap();
            let lag = text
                .lines()
                .find_map(|line| line.strip_prefix("cosmirror_lag_seconds{")?.rsplit_once(' ')?.1.parse().ok());
            (lag.unwrap_or(f64::NAN), text.contains("range_lag_seconds{"))
        };
        let story = async {
            tokio::time::sleep(Duration::from_secs(1)).await;
            assert_eq!(lag(), (11.0, true));
            scene.feed.down.store(true, std::sync::atomic::Ordering::Relaxed);
            tokio::time::sleep(Duration::from_secs(30)).await;
            assert_eq!(lag(), (41.0, true));
            tokio::time::sleep(Duration::from_secs(60)).await;
            assert_eq!(lag(), (101.0, false), "by now another replica may observe");
            scene.feed.down.store(false, std::sync::atomic::Ordering::Relaxed);
            tokio::time::sleep(config::Leases::default().acquire_interval + Duration::from_secs(1)).await;
            assert!(lag().0 < 30.0 && lag().1);
            drain.cancel();
        };
        tokio::join!(watcher.watch(), story);
    }
}
