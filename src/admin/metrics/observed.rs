//! The metrics that the observer's process reports: of every range, whoever follows it.
//!
//! Ranges come and go with splits and merges, and the place of the observer changes. So these families are made anew at each
//! exposition, from the latest observation; what it does not hold disappears.

use std::collections::BTreeMap;

use cosmirror_formats::EpkRange;
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;

use super::{Labels, Seconds, family};
use crate::admin::observed::Snapshot;
use crate::observer::RangeObservation;

const RANGE_LAG_SECONDS: &str = "range_lag_seconds";
const RANGE_PENDING_CHANGES: &str = "range_pending_changes";
const RANGE_FAILURES: &str = "range_failures";
const RANGE_PROGRESS: &str = "range_progress_timestamp_seconds";
const LEASES_UNOWNED: &str = "leases_unowned";
const LEASE_HOLES: &str = "lease_holes";
const OBSERVER_ACTIVE: &str = "observer_active";

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct RangeLabels {
    database: String,
    container: String,
    range: String,
}

/// The families.
#[derive(Debug)]
pub(super) struct Families {
    lag_seconds: Family<RangeLabels, Seconds>,
    pending_changes: Family<RangeLabels, Gauge>,
    failures: Family<RangeLabels, Gauge>,
    progress: Family<RangeLabels, Gauge>,
    leases_unowned: Family<Labels, Gauge>,
    lease_holes: Family<Labels, Gauge>,
    observer_active: Family<Labels, Gauge>,
}

impl Families {
    pub(super) fn register(r: &mut Registry) -> Self {
        Self {
            lag_seconds: family(
                r,
                RANGE_LAG_SECONDS,
                "Service time minus the range's watermark, as the observer sees it",
            ),
            pending_changes: family(r, RANGE_PENDING_CHANGES, "Changes of the range that the mirror does not hold"),
            failures: family(r, RANGE_FAILURES, "Failures in a row of the range's owner or of the observer's reads"),
            progress: family(r, RANGE_PROGRESS, "Service time at the last completed step of the range's owner"),
            leases_unowned: family(r, LEASES_UNOWNED, "Leases that are free or whose owner has gone"),
            lease_holes: family(r, LEASE_HOLES, "Parts of the key space that no lease covers"),
            observer_active: family(r, OBSERVER_ACTIVE, "1 where this process is the observer of the container"),
        }
    }

    /// Removes what is shown of ranges.
    pub(super) fn clear_ranges(&self) {
        self.lag_seconds.clear();
        self.pending_changes.clear();
        self.failures.clear();
        self.progress.clear();
    }

    /// Shows one container, and gives its pending changes as far as they are known.
    pub(super) fn show(&self, labels: &Labels, now: &Snapshot, own: &BTreeMap<EpkRange, i64>) -> i64 {
        let seen = now.observation();
        self.observer_active.get_or_create_owned(labels).set(now.active.into());
        self.leases_unowned.get_or_create_owned(labels).set(seen.map_or(0, |seen| gauge(seen.unowned() as u64)));
        self.lease_holes.get_or_create_owned(labels).set(seen.map_or(0, |seen| gauge(seen.holes.len() as u64)));
        let Some(seen) = seen else { return 0 };
        for range in &seen.ranges {
            self.show_range(labels, range, now.lag_seconds(seen, range, own));
        }
        gauge(seen.pending_known())
    }

    fn show_range(&self, labels: &Labels, range: &RangeObservation, lag_seconds: f64) {
        let labels = &RangeLabels {
            database: labels.database.clone(),
            container: labels.container.clone(),
            range: format!("{}-{}", range.range.min, range.range.max),
        };
        self.lag_seconds.get_or_create_owned(labels).set(lag_seconds);
        self.failures.get_or_create_owned(labels).set(gauge(range.failures.unwrap_or(0)));
        if let Some(pending) = range.pending {
            self.pending_changes.get_or_create_owned(labels).set(gauge(pending));
        }
        if let Some(seconds) = range.progressed {
            self.progress.get_or_create_owned(labels).set(seconds);
        }
    }
}

fn gauge(count: u64) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tokio::time::{Instant, advance};

    use crate::admin::{Metrics, Observed, Progress};
    use crate::config::Start;
    use crate::mirror::checkpoint::RangeProgress;
    use crate::observer::Observation;

    use super::*;

    fn range(min: &str, max: &str, lag_seconds: i64, pending: Option<u64>) -> RangeObservation {
        RangeObservation {
            range: EpkRange::new(min, max),
            lease: format!("p..{min}"),
            owner: Some("me".to_owned()),
            expired: false,
            giving_way: false,
            progress: RangeProgress {
                watermark: Some(1_000 - lag_seconds),
                ..RangeProgress::new("l".to_owned(), 1, Start::Beginning)
            },
            lag_seconds,
            pending,
            failures: None,
            progressed: None,
            feed_failure: None,
        }
    }

    fn observation(ranges: Vec<RangeObservation>) -> Observation {
        Observation { service_time: 1_000, ranges, holes: Vec::new(), request_units: 0.0 }
    }

    struct Scene {
        metrics: Metrics,
        progress: Progress,
        observed: Observed,
    }

    impl Scene {
        fn new() -> Self {
            let (metrics, progress) = (Metrics::new([("shop", "orders")]), Progress::new([("shop", "orders")]));
            let observed = progress.observed("shop", "orders");
            progress.container("shop", "orders").followed_elsewhere(true);
            Self { metrics, progress, observed }
        }

        /// The value of a metric of the container, or of a range of it.
        fn value(&self, name: &str, range: &str) -> Option<f64> {
            let text = self.metrics.render(&self.progress).unwrap();
            let range = if range.is_empty() { String::new() } else { format!(",range=\"{range}\"") };
            let start = format!("cosmirror_{name}{{database=\"shop\",container=\"orders\"{range}}} ");
            text.lines().find_map(|line| line.strip_prefix(&start)?.parse().ok())
        }
    }

    #[tokio::test(start_paused = true)]
    async fn lag_grows_with_the_age_of_the_observation() {
        let scene = Scene::new();
        let slow = RangeObservation { failures: Some(3), progressed: Some(70), ..range("20", "FF", 40, None) };
        let mut seen = observation(vec![range("", "20", 3, Some(7)), slow]);
        seen.holes = vec![EpkRange::new("30", "40")];
        scene.observed.saw(seen, Instant::now());
        advance(Duration::from_secs(100)).await;
        assert_eq!(
            (scene.value("range_lag_seconds", "-20"), scene.value("range_lag_seconds", "20-FF")),
            (Some(103.0), Some(140.0))
        );
        assert_eq!((scene.value("lag_seconds", ""), scene.value("pending_changes", "")), (Some(140.0), Some(7.0)));
        assert_eq!(
            (scene.value("range_pending_changes", "-20"), scene.value("range_pending_changes", "20-FF")),
            (Some(7.0), None)
        );
        assert_eq!(
            (scene.value("range_failures", "20-FF"), scene.value("range_failures", "-20")),
            (Some(3.0), Some(0.0))
        );
        assert_eq!(scene.value("range_progress_timestamp_seconds", "20-FF"), Some(70.0));
        assert_eq!((scene.value("leases_unowned", ""), scene.value("lease_holes", "")), (Some(0.0), Some(1.0)));
    }

    #[tokio::test(start_paused = true)]
    async fn what_no_longer_exists_disappears() {
        let scene = Scene::new();
        scene.observed.saw(observation(vec![range("", "FF", 9, Some(1))]), Instant::now());
        assert_eq!(scene.value("range_lag_seconds", "-FF"), Some(9.0));
        scene
            .observed
            .saw(observation(vec![range("", "20", 1, Some(1)), range("20", "FF", 1, Some(2))]), Instant::now());
        assert_eq!((scene.value("range_lag_seconds", "-FF"), scene.value("pending_changes", "")), (None, Some(3.0)));
    }

    #[tokio::test(start_paused = true)]
    async fn only_the_observer_tells_of_ranges() {
        let scene = Scene::new();
        assert_eq!((scene.value("observer_active", ""), scene.value("pending_changes", "")), (Some(0.0), Some(0.0)));
        scene.observed.saw(observation(vec![range("", "FF", 50, Some(8))]), Instant::now());
        assert_eq!(scene.value("observer_active", ""), Some(1.0));
        scene.observed.doubtful();
        assert_eq!((scene.value("observer_active", ""), scene.value("pending_changes", "")), (Some(0.0), Some(0.0)));
        assert_eq!((scene.value("range_lag_seconds", "-FF"), scene.value("lag_seconds", "")), (None, Some(50.0)));
        scene.observed.elsewhere();
        assert_eq!((scene.value("lag_seconds", ""), scene.value("range_failures", "-FF")), (Some(0.0), None));
    }

    #[tokio::test(start_paused = true)]
    async fn what_this_process_knows_of_its_own_ranges_is_newer_than_their_leases() {
        let scene = Scene::new();
        let container = scene.progress.container("shop", "orders");
        container.range_started(EpkRange::full());
        container.service_time(1_000);
        container.watermark(&EpkRange::full(), 998);
        scene.observed.saw(observation(vec![range("", "FF", 17, Some(0))]), Instant::now());
        assert_eq!((scene.value("range_lag_seconds", "-FF"), scene.value("lag_seconds", "")), (Some(2.0), Some(2.0)));
    }

    #[tokio::test(start_paused = true)]
    async fn the_manual_lists_every_metric_and_no_other() {
        let scene = Scene::new();
        let seen = RangeObservation { progressed: Some(1), ..range("", "FF", 1, Some(1)) };
        scene.observed.saw(observation(vec![seen]), Instant::now());
        crate::admin::metrics::further::tests::show_one(&scene.metrics);
        let text = scene.metrics.render(&scene.progress).unwrap();
        let metric = |line: &str| {
            let (name, kind) = line.strip_prefix("# TYPE ")?.split_once(' ')?;
            let name = name.strip_prefix("cosmirror_").unwrap_or(name);
            let suffix = match kind {
                "counter" => "_total",
                "info" => "_info",
                _ => "",
            };
            Some(format!("{name}{suffix}"))
        };
        let mut metrics: Vec<String> = text.lines().filter_map(metric).collect();
        let rows = include_str!("../../../docs/metrics.md").lines();
        let mut listed: Vec<String> =
            rows.filter_map(|row| Some(row.strip_prefix("| `")?.split_once('`')?.0.to_owned())).collect();
        metrics.sort();
        listed.sort();
        assert_eq!(metrics, listed);
    }
}
