//! Optional targets, which are followed for on their own; written just before each exposition. Where none is configured there is nothing.

use std::sync::atomic::Ordering;

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;

use super::{Metrics, Seconds, family};

const READY: &str = "further_target_ready";
const LAG_SECONDS: &str = "further_target_lag_seconds";
const RESTORABLE_FROM: &str = "further_target_restorable_from_timestamp_seconds";
const RESTORABLE_UNTIL: &str = "further_target_restorable_until_timestamp_seconds";
const VERSIONS_WRITTEN: &str = "further_target_versions_written";
const WRITE_FAILURES: &str = "further_target_write_failures";
const GAPS: &str = "further_target_gaps";

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct TargetLabels {
    target: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Labels {
    target: String,
    database: String,
    container: String,
}

/// One container's mirror in a further target.
#[derive(Debug, Clone)]
pub(in crate::admin) struct FurtherSeen {
    pub(in crate::admin) lag_seconds: f64,
    pub(in crate::admin) window: (Option<i64>, Option<i64>),
    pub(in crate::admin) versions_written: u64,
    pub(in crate::admin) write_failures: u64,
    pub(in crate::admin) gaps: i64,
}

#[derive(Debug)]
pub(super) struct Families {
    ready: Family<TargetLabels, Gauge>,
    lag_seconds: Family<Labels, Seconds>,
    restorable_from: Family<Labels, Gauge>,
    restorable_until: Family<Labels, Gauge>,
    versions_written: Family<Labels, Counter>,
    write_failures: Family<Labels, Counter>,
    gaps: Family<Labels, Gauge>,
}

impl Families {
    pub(super) fn register(r: &mut Registry) -> Self {
        Self {
            ready: family(r, READY, "1 while an optional target is followed for"),
            lag_seconds: family(r, LAG_SECONDS, "How far an optional target is behind the service"),
            restorable_from: family(r, RESTORABLE_FROM, "First instant an optional target can restore, 0 if none"),
            restorable_until: family(r, RESTORABLE_UNTIL, "Last instant an optional target can restore, 0 if none"),
            versions_written: family(r, VERSIONS_WRITTEN, "Versions stored in an optional target"),
            write_failures: family(r, WRITE_FAILURES, "Failed writes to an optional target, retried ones included"),
            gaps: family(r, GAPS, "Recorded gaps of an optional target that are not repaired"),
        }
    }

    pub(super) fn ready(&self, target: &str, ready: bool) {
        self.ready.get_or_create(&TargetLabels { target: target.to_owned() }).set(ready.into());
    }

    pub(super) fn show(&self, target: &str, name: &(String, String), seen: &FurtherSeen) {
        let labels = &Labels { target: target.to_owned(), database: name.0.clone(), container: name.1.clone() };
        self.lag_seconds.get_or_create(labels).set(seen.lag_seconds);
        self.restorable_from.get_or_create(labels).set(seen.window.0.unwrap_or(0));
        self.restorable_until.get_or_create(labels).set(seen.window.1.unwrap_or(0));
        // Counted elsewhere, and shown here.
        self.versions_written.get_or_create(labels).inner().store(seen.versions_written, Ordering::Relaxed);
        self.write_failures.get_or_create(labels).inner().store(seen.write_failures, Ordering::Relaxed);
        self.gaps.get_or_create(labels).set(seen.gaps);
    }
}

impl Metrics {
    /// One container's mirror in an optional target.
    pub(in crate::admin) fn further_target(&self, target: &str, name: &(String, String), seen: &FurtherSeen) {
        self.0.further.show(target, name, seen);
    }

    /// Whether an optional target is followed for.
    pub(in crate::admin) fn further_target_ready(&self, target: &str, ready: bool) {
        self.0.further.ready(target, ready);
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use crate::admin::Progress;

    /// One container in one optional target.
    pub(in crate::admin) fn show_one(metrics: &Metrics) {
        let seen = FurtherSeen {
            lag_seconds: 7.0,
            window: (Some(100), Some(200)),
            versions_written: 3,
            write_failures: 2,
            gaps: 1,
        };
        metrics.further_target("south", &("shop".to_owned(), "orders".to_owned()), &seen);
        metrics.further_target_ready("south", false);
    }

    #[tokio::test]
    async fn an_optional_target_has_series_of_its_own_and_without_one_there_are_none() {
        let metrics = Metrics::new([("shop", "orders")]);
        let progress = Progress::new([("shop", "orders")]);
        assert!(!metrics.render(&progress).unwrap().contains("further_target"));
        show_one(&metrics);
        let text = metrics.render(&progress).unwrap();
        let labels = r#"{target="south",database="shop",container="orders"}"#;
        for line in [
            "cosmirror_further_target_ready{target=\"south\"} 0".to_owned(),
            format!("cosmirror_further_target_lag_seconds{labels} 7.0"),
            format!("cosmirror_further_target_restorable_from_timestamp_seconds{labels} 100"),
            format!("cosmirror_further_target_restorable_until_timestamp_seconds{labels} 200"),
            format!("cosmirror_further_target_versions_written_total{labels} 3"),
            format!("cosmirror_further_target_write_failures_total{labels} 2"),
            format!("cosmirror_further_target_gaps{labels} 1"),
        ] {
            assert!(text.lines().any(|found| found == line), "{line}\n{text}");
        }
    }
}
