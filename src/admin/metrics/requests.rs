//! Requests to source and target: how many, by what came back, and how long that took.
//!
//! Every series is made at the start, so that counting one is an addition to a number that is found by the status alone. A status
//! that is not listed counts for its class, so that no service can make series without end.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use prometheus_client::encoding::{EncodeLabelSet, EncodeMetric, MetricEncoder, NoLabelSet};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::registry::Registry;

use super::family;

const REQUESTS: &str = "requests";
const REQUEST_DURATION_SECONDS: &str = "request_duration_seconds";

/// The statuses that are told one by one: what these two services are documented to answer.
const STATUSES: [u16; 20] =
    [200, 201, 202, 204, 206, 304, 400, 401, 403, 404, 408, 409, 410, 412, 413, 429, 449, 500, 502, 503];
/// Their labels, those of the classes of all others, and that of a request without an answer.
const CODES: [&str; 26] = [
    "200", "201", "202", "204", "206", "304", "400", "401", "403", "404", "408", "409", "410", "412", "413", "429",
    "449", "500", "502", "503", "1xx", "2xx", "3xx", "4xx", "5xx", "error",
];
/// Bounds of the buckets in seconds. Both services answer in milliseconds, and no request is waited for longer than a minute.
const BUCKETS: [f64; 14] = [0.002, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 20.0, 60.0];

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct CodeLabels {
    service: &'static str,
    code: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ServiceLabels {
    service: &'static str,
}

/// The requests to one service. Clones share one state.
#[derive(Debug, Clone)]
pub struct RequestMetrics(Arc<Service>);

#[derive(Debug)]
struct Service {
    codes: [Counter; CODES.len()],
    durations: Durations,
}

/// The requests to both services.
#[derive(Debug)]
pub(super) struct Families {
    pub(super) source: RequestMetrics,
    pub(super) target: RequestMetrics,
}

impl Families {
    pub(super) fn register(registry: &mut Registry) -> Self {
        let codes = family(registry, REQUESTS, "Requests by the status of their answers, error where there was none");
        let durations = family(registry, REQUEST_DURATION_SECONDS, "Time from a request to its answer");
        Self {
            source: RequestMetrics::of("source", &codes, &durations),
            target: RequestMetrics::of("target", &codes, &durations),
        }
    }
}

impl RequestMetrics {
    fn of(
        service: &'static str,
        codes: &Family<CodeLabels, Counter>,
        durations: &Family<ServiceLabels, Durations>,
    ) -> Self {
        let codes = CODES.map(|code| codes.get_or_create_owned(&CodeLabels { service, code }));
        Self(Arc::new(Service { codes, durations: durations.get_or_create_owned(&ServiceLabels { service }) }))
    }

    /// Counters that nobody reads, for clients of commands.
    pub fn unread() -> Self {
        let codes = std::array::from_fn(|_| Counter::default());
        Self(Arc::new(Service { codes, durations: Durations::default() }))
    }

    /// Counts a request that was answered with this status, or not at all.
    pub fn count(&self, status: Option<u16>, took: Duration) {
        self.0.codes[place(status)].inc();
        self.0.durations.observe(took);
    }

    /// All of them so far.
    pub fn total(&self) -> u64 {
        self.0.durations.count()
    }
}

fn place(status: Option<u16>) -> usize {
    let Some(status) = status else { return CODES.len() - 1 };
    let class = |status: u16| STATUSES.len() + usize::from((status / 100).clamp(1, 5)) - 1;
    STATUSES.iter().position(|known| *known == status).unwrap_or_else(|| class(status))
}

/// A histogram of durations: additions to numbers, without a lock. Clones share one state.
#[derive(Debug, Clone, Default)]
struct Durations(Arc<Observed>);

#[derive(Debug, Default)]
struct Observed {
    /// The last one is of what took longer than every bound.
    buckets: [AtomicU64; BUCKETS.len() + 1],
    microseconds: AtomicU64,
}

impl Durations {
    fn observe(&self, took: Duration) {
        let seconds = took.as_secs_f64();
        let place = BUCKETS.iter().position(|bound| seconds <= *bound).unwrap_or(BUCKETS.len());
        self.0.buckets[place].fetch_add(1, Ordering::Relaxed);
        self.0.microseconds.fetch_add(took.as_micros().try_into().unwrap_or(u64::MAX), Ordering::Relaxed);
    }

    fn count(&self) -> u64 {
        self.0.buckets.iter().map(|bucket| bucket.load(Ordering::Relaxed)).sum()
    }
}

impl EncodeMetric for Durations {
    fn encode(&self, mut encoder: MetricEncoder<'_>) -> Result<(), std::fmt::Error> {
        let counts = self.0.buckets.iter().map(|bucket| bucket.load(Ordering::Relaxed));
        let bounds = BUCKETS.into_iter().chain([f64::INFINITY]);
        let buckets: Vec<(f64, u64)> = bounds.zip(counts).collect();
        // What is added meanwhile must not make the whole less than its parts.
        let count = buckets.iter().map(|(_, count)| count).sum();
        let sum = Duration::from_micros(self.0.microseconds.load(Ordering::Relaxed)).as_secs_f64();
        encoder.encode_histogram::<NoLabelSet>(sum, count, &buckets, None)
    }

    fn metric_type(&self) -> MetricType {
        MetricType::Histogram
    }
}

impl prometheus_client::metrics::TypedMetric for Durations {
    const TYPE: MetricType = MetricType::Histogram;
}

#[cfg(test)]
mod tests {
    use super::super::Metrics;
    use super::*;
    use crate::admin::Progress;

    #[test]
    fn every_status_counts_once_and_unknown_ones_for_their_class() {
        assert_eq!(CODES[place(Some(412))], "412");
        assert_eq!(CODES[place(Some(418))], "4xx");
        assert_eq!(CODES[place(Some(0))], "1xx");
        assert_eq!(CODES[place(Some(999))], "5xx");
        assert_eq!(CODES[place(None)], "error");
        for (status, code) in STATUSES.iter().zip(CODES) {
            assert_eq!(status.to_string(), code);
        }
    }

    #[tokio::test(start_paused = true)]
    async fn requests_and_their_durations_are_there_from_the_start_and_add_up() {
        let (metrics, progress) = (Metrics::new([("d", "c")]), Progress::new([("d", "c")]));
        let shown = |line: &str| {
            let text = metrics.render(&progress).unwrap();
            assert!(text.lines().any(|found| found == line), "{line}\n{text}");
        };
        shown(r#"cosmirror_requests_total{service="source",code="429"} 0"#);
        shown(r#"cosmirror_request_duration_seconds_count{service="target"} 0"#);
        let target = metrics.requests_to_target();
        target.count(Some(201), Duration::from_millis(4));
        target.count(Some(207), Duration::from_millis(250));
        target.count(None, Duration::from_secs(61));
        shown(r#"cosmirror_requests_total{service="target",code="2xx"} 1"#);
        shown(r#"cosmirror_requests_total{service="target",code="error"} 1"#);
        shown(r#"cosmirror_request_duration_seconds_bucket{le="0.005",service="target"} 1"#);
        shown(r#"cosmirror_request_duration_seconds_bucket{le="60.0",service="target"} 2"#);
        shown(r#"cosmirror_request_duration_seconds_bucket{le="+Inf",service="target"} 3"#);
        shown(r#"cosmirror_request_duration_seconds_sum{service="target"} 61.254"#);
        assert_eq!(target.total(), 3);
    }
}
