//! The metrics, by the names that dashboards and alerts rely on.
//!
//! Every family has a child for every configured container from the start, at 0: an alert on a series that does not exist yet
//! never fires. What depends on time (lag, ages, the window) is written just before each exposition, from [`Progress`].

use std::collections::BTreeMap;
use std::sync::atomic::AtomicU64;
use std::sync::{Arc, Mutex, PoisonError};

use cosmirror_formats::EpkRange;
use prometheus_client::encoding::{EncodeLabelSet, text};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::{Family, MetricConstructor};
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::info::Info;
use prometheus_client::registry::{Metric, Registry};

use super::progress::Progress;
use crate::failure::Kind;
use crate::reconcile::Counts;

mod flow;
mod further;
mod jobs;
mod observed;
mod process;
mod rehearsed;
mod requests;
mod stored;
mod target;
mod verified;

pub use flow::FlowMetrics;
pub(super) use further::FurtherSeen;
pub use jobs::JobMetrics;
pub use requests::RequestMetrics;
pub use stored::StoredMetrics;
pub use target::{Protection, RestoreSeen, Restores, VersionProtection};

// The exposition puts `cosmirror_` before every name and, as OpenMetrics demands, `_total` behind counters and `_info` behind
// the build.
const PREFIX: &str = "cosmirror";
const LAG_SECONDS: &str = "lag_seconds";
const RESTORABLE_FROM: &str = "restorable_from_timestamp_seconds";
const RESTORABLE_UNTIL: &str = "restorable_until_timestamp_seconds";
const PENDING_CHANGES: &str = "pending_changes";
const CHANGES_READ: &str = "changes_read";
const VERSIONS_WRITTEN: &str = "versions_written";
const DUPLICATES_SKIPPED: &str = "duplicates_skipped";
const STALE_WRITES_REFUSED: &str = "stale_writes_refused";
const PURGED_SKIPPED: &str = "purged_skipped";
const HOT_DOCUMENTS: &str = "hot_documents";
const VERSIONS_LEFT_OUT: &str = "versions_left_out";
const LEASES_OWNED: &str = "leases_owned";
const LEASES_LOST: &str = "leases_lost";
const DEAD_LETTERS: &str = "dead_letters";
const GAPS: &str = "gaps";
const REQUEST_UNITS: &str = "request_units";
const FEED_TOKEN_AGE_SECONDS: &str = "feed_token_age_seconds";
const FEED_RETENTION_SECONDS: &str = "feed_retention_seconds";
const WRITE_FAILURES: &str = "write_failures";
const OBSERVER_FAILURES: &str = "observer_failures";
const RECONCILIATIONS: &str = "reconciliations";
const VERIFY_AGE_SECONDS: &str = "verify_age_seconds";
const VERIFY_DOCUMENTS: &str = "verify_documents";
const TARGET_VERSIONING: &str = "target_versioning";
const CHECKPOINT_AGE_SECONDS: &str = "checkpoint_age_seconds";
const WATCHDOG_AGE_SECONDS: &str = "watchdog_age_seconds";
const HEARTBEATS: &str = "heartbeats";
const BUILD: &str = "build";

/// The media type of [`Metrics::render`].
pub(super) const CONTENT_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// How a call of the heartbeat's URL may end: answered well, answered otherwise, not answered; or it was due and not made.
pub(super) const HEARTBEAT_RESULTS: [&str; 4] = ["ok", "refused", "failed", "withheld"];

/// A gauge of seconds.
type Seconds = Gauge<f64, AtomicU64>;

#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, EncodeLabelSet)]
struct Labels {
    database: String,
    container: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct FailureLabels {
    database: String,
    container: String,
    kind: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ResultLabels {
    result: &'static str,
}

/// All metrics of the process. Clones share one state.
#[derive(Debug, Clone)]
pub struct Metrics(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    registry: Registry,
    /// Metrics without the prefix.
    unprefixed: Registry,
    lag_seconds: Family<Labels, Seconds>,
    restorable_from: Family<Labels, Gauge>,
    restorable_until: Family<Labels, Gauge>,
    pending_changes: Family<Labels, Gauge>,
    changes_read: Family<Labels, Counter>,
    versions_written: Family<Labels, Counter>,
    duplicates_skipped: Family<Labels, Counter>,
    stale_writes_refused: Family<Labels, Counter>,
    purged_skipped: Family<Labels, Counter>,
    hot_documents: Family<Labels, Counter>,
    versions_left_out: Family<Labels, Counter>,
    leases_owned: Family<Labels, Gauge>,
    leases_lost: Family<Labels, Counter>,
    dead_letters: Family<Labels, Gauge>,
    gaps: Family<Labels, Gauge>,
    request_units: Family<Labels, Counter<f64, AtomicU64>>,
    feed_token_age_seconds: Family<Labels, Seconds>,
    feed_retention_seconds: Family<Labels, Seconds>,
    write_failures: Family<FailureLabels, Counter>,
    observer_failures: Family<Labels, Counter>,
    observed: observed::Families,
    verified: verified::Families,
    stored: stored::Families,
    requests: requests::Families,
    rehearsed: rehearsed::Families,
    target: target::Families,
    further: further::Families,
    checkpoint_age_seconds: Family<Labels, Seconds>,
    watchdog_age_seconds: Seconds,
    heartbeats: Family<ResultLabels, Counter>,
    target_versioning: Gauge,
    flow: FlowMetrics,
    jobs: JobMetrics,
    /// Held while an exposition is made: two at a time would find each other's half.
    rendering: Mutex<()>,
}

/// The metrics of one container. Clones share one state.
#[derive(Debug, Clone)]
pub struct ContainerMetrics {
    /// How far the slowest range is behind the service; written at each exposition.
    pub lag_seconds: Seconds,
    /// The first instant that can be restored, 0 where none can; written at each exposition.
    pub restorable_from: Gauge,
    /// The last instant that can be restored, 0 where none can; written at each exposition.
    pub restorable_until: Gauge,
    /// Changes that the source holds and the mirror does not, where this process observes; written at each exposition.
    pub pending_changes: Gauge,
    /// Changes that came from the feed, repeated ones included.
    pub changes_read: Counter,
    /// Versions that were stored, tombstones included.
    pub versions_written: Counter,
    /// Changes that were stored before and therefore not again.
    pub duplicates_skipped: Counter,
    /// Changes that were not stored because the mirror holds a newer version.
    pub stale_writes_refused: Counter,
    /// Changes that were not stored because their document's history was erased up to a later instant.
    pub purged_skipped: Counter,
    /// Documents of which this process has written a thousand versions.
    pub hot_documents: Counter,
    /// Changes that were left out because their documents change too often.
    pub versions_left_out: Counter,
    /// Leases this process owns.
    pub leases_owned: Gauge,
    /// Leases that were taken from this process.
    pub leases_lost: Counter,
    /// Dead letters that wait for replay.
    pub dead_letters: Gauge,
    /// Recorded gaps that are not repaired.
    pub gaps: Gauge,
    /// Request units that reading and writing the source took.
    pub request_units: Counter<f64, AtomicU64>,
    /// Age of the oldest feed position; written at each exposition once ranges report theirs.
    pub feed_token_age_seconds: Seconds,
    /// How far the feed goes back, by the configuration; 0 where it has no end.
    pub feed_retention_seconds: Seconds,
    /// Passes of the observer that failed as a whole.
    pub observer_failures: Counter,
    /// What was read and stored.
    pub stored: StoredMetrics,
    /// Age of the oldest saved position; written at each exposition.
    pub checkpoint_age_seconds: Seconds,
    write_failures: Vec<(Kind, Counter)>,
}

/// A family that is registered under a name.
fn family<L, M>(registry: &mut Registry, name: &str, help: &str) -> Family<L, M>
where
    L: Clone + std::hash::Hash + Eq + Send + Sync + std::fmt::Debug + 'static,
    M: Default + Send + Sync + std::fmt::Debug + 'static,
    fn() -> M: MetricConstructor<M>,
    Family<L, M>: Metric,
{
    let family = Family::<L, M>::default();
    registry.register(name, help, family.clone());
    family
}

impl Metrics {
    /// With a child at 0 for each of these (database, container) pairs.
    pub fn new<D: Into<String>, C: Into<String>>(containers: impl IntoIterator<Item = (D, C)>) -> Self {
        let mut r = Registry::with_prefix(PREFIX);
        r.register(BUILD, "The version of this program", Info::new(vec![("version", env!("CARGO_PKG_VERSION"))]));
        let target_versioning = Gauge::default();
        target_versioning.set(1);
        let help = "1 while the target keeps versions as far as known, 0 since a write has shown that it does not";
        r.register(TARGET_VERSIONING, help, target_versioning.clone());
        let watchdog_age_seconds = Seconds::default();
        let help = "For how long the slowest loop has been stuck, 0 while all go round";
        r.register(WATCHDOG_AGE_SECONDS, help, watchdog_age_seconds.clone());
        let mut unprefixed = Registry::default();
        unprefixed.register_collector(Box::new(process::Process));
        let metrics = Self(Arc::new(Shared {
            target_versioning,
            watchdog_age_seconds,
            unprefixed,
            heartbeats: family(&mut r, HEARTBEATS, "Calls of the heartbeat's URL by how they ended"),
            lag_seconds: family(&mut r, LAG_SECONDS, "Service time minus the watermark of the slowest range"),
            restorable_from: family(&mut r, RESTORABLE_FROM, "First instant that can be restored, 0 if none"),
            restorable_until: family(&mut r, RESTORABLE_UNTIL, "Last instant that can be restored, 0 if none"),
            pending_changes: family(&mut r, PENDING_CHANGES, "Changes the source holds and the mirror does not"),
            changes_read: family(&mut r, CHANGES_READ, "Changes read from the feed"),
            versions_written: family(&mut r, VERSIONS_WRITTEN, "Versions stored, tombstones included"),
            duplicates_skipped: family(&mut r, DUPLICATES_SKIPPED, "Changes that were already stored"),
            stale_writes_refused: family(&mut r, STALE_WRITES_REFUSED, "Changes older than the stored version"),
            purged_skipped: family(&mut r, PURGED_SKIPPED, "Changes of documents whose history was erased"),
            hot_documents: family(&mut r, HOT_DOCUMENTS, "Documents that reached a thousand versions"),
            versions_left_out: family(&mut r, VERSIONS_LEFT_OUT, "Changes left out by versions_per_minute_max"),
            leases_owned: family(&mut r, LEASES_OWNED, "Leases this process owns"),
            leases_lost: family(&mut r, LEASES_LOST, "Leases taken from this process"),
            dead_letters: family(&mut r, DEAD_LETTERS, "Dead letters waiting for replay"),
            gaps: family(&mut r, GAPS, "Recorded gaps that are not repaired"),
            request_units: family(&mut r, REQUEST_UNITS, "Request units used on the source"),
            feed_token_age_seconds: family(&mut r, FEED_TOKEN_AGE_SECONDS, "Age of the oldest feed position"),
            feed_retention_seconds: family(&mut r, FEED_RETENTION_SECONDS, "How far the feed goes back, 0 if for ever"),
            write_failures: family(
                &mut r,
                WRITE_FAILURES,
                "Failed writes to the target by kind, retried ones included",
            ),
            observer_failures: family(&mut r, OBSERVER_FAILURES, "Passes of the observer that failed as a whole"),
            observed: observed::Families::register(&mut r),
            verified: verified::Families::register(&mut r),
            stored: stored::Families::register(&mut r),
            requests: requests::Families::register(&mut r),
            rehearsed: rehearsed::Families::register(&mut r),
            target: target::Families::register(&mut r),
            further: further::Families::register(&mut r),
            checkpoint_age_seconds: family(&mut r, CHECKPOINT_AGE_SECONDS, "Age of the oldest saved position"),
            flow: FlowMetrics::register(&mut r),
            jobs: JobMetrics::register(&mut r),
            rendering: Mutex::default(),
            registry: r,
        }));
        for (database, container) in containers {
            metrics.container(&database.into(), &container.into());
        }
        for result in HEARTBEAT_RESULTS {
            drop(metrics.heartbeat(result));
        }
        metrics
    }

    /// The metrics of one container; one that was not named at first is added.
    pub fn container(&self, database: &str, container: &str) -> ContainerMetrics {
        let labels = &Labels { database: database.to_owned(), container: container.to_owned() };
        let of_kind = |kind: Kind| {
            let Labels { database, container } = labels.clone();
            let labels = FailureLabels { database, container, kind: kind.name() };
            (kind, self.0.write_failures.get_or_create_owned(&labels))
        };
        self.0.verified.show(labels);
        self.0.jobs.show(labels);
        self.0.rehearsed.show(labels);
        self.0.target.show(labels);
        ContainerMetrics {
            lag_seconds: self.0.lag_seconds.get_or_create_owned(labels),
            restorable_from: self.0.restorable_from.get_or_create_owned(labels),
            restorable_until: self.0.restorable_until.get_or_create_owned(labels),
            pending_changes: self.0.pending_changes.get_or_create_owned(labels),
            changes_read: self.0.changes_read.get_or_create_owned(labels),
            versions_written: self.0.versions_written.get_or_create_owned(labels),
            duplicates_skipped: self.0.duplicates_skipped.get_or_create_owned(labels),
            stale_writes_refused: self.0.stale_writes_refused.get_or_create_owned(labels),
            purged_skipped: self.0.purged_skipped.get_or_create_owned(labels),
            hot_documents: self.0.hot_documents.get_or_create_owned(labels),
            versions_left_out: self.0.versions_left_out.get_or_create_owned(labels),
            leases_owned: self.0.leases_owned.get_or_create_owned(labels),
            leases_lost: self.0.leases_lost.get_or_create_owned(labels),
            dead_letters: self.0.dead_letters.get_or_create_owned(labels),
            gaps: self.0.gaps.get_or_create_owned(labels),
            request_units: self.0.request_units.get_or_create_owned(labels),
            feed_token_age_seconds: self.0.feed_token_age_seconds.get_or_create_owned(labels),
            feed_retention_seconds: self.0.feed_retention_seconds.get_or_create_owned(labels),
            observer_failures: self.0.observer_failures.get_or_create_owned(labels),
            stored: self.0.stored.of(labels),
            checkpoint_age_seconds: self.0.checkpoint_age_seconds.get_or_create_owned(labels),
            write_failures: Kind::ALL.map(of_kind).to_vec(),
        }
    }

    /// Whether the target keeps versions.
    pub fn target_versioning(&self, on: bool) {
        self.0.target_versioning.set(on.into());
    }

    /// What is in flight, of all containers together.
    pub fn flow(&self) -> FlowMetrics {
        self.0.flow.clone()
    }

    /// What jobs came to.
    pub fn jobs(&self) -> &JobMetrics {
        &self.0.jobs
    }

    /// The last comparison of each range together, and the age of the oldest in seconds; none before the first. `followed` are the ranges that are followed
    /// here.
    pub fn verified(&self, database: &str, container: &str, followed: &[EpkRange]) -> Option<(Counts, f64)> {
        let labels = Labels { database: database.to_owned(), container: container.to_owned() };
        self.0.verified.total(&labels, followed)
    }

    /// One range was compared with its source.
    pub fn reconciled(&self, database: &str, container: &str, range: &EpkRange, counts: Counts) {
        let labels = Labels { database: database.to_owned(), container: container.to_owned() };
        self.0.stored.of(&labels).repaired(counts.repaired);
        self.0.verified.reconciled(&labels, range, counts);
    }

    /// Requests to the source.
    pub fn requests_to_source(&self) -> RequestMetrics {
        self.0.requests.source.clone()
    }

    /// Requests to the target.
    pub fn requests_to_target(&self) -> RequestMetrics {
        self.0.requests.target.clone()
    }

    /// What protects the target's versions; none where that could not be read.
    pub fn target_protection(&self, protection: Option<Protection>) {
        self.0.target.protection(protection);
    }

    /// What the mirror of a container records of restores.
    pub fn restores(&self, database: &str, container: &str, seen: &Restores) {
        let labels = Labels { database: database.to_owned(), container: container.to_owned() };
        self.0.target.restores(&labels, seen);
    }

    /// The calls of the heartbeat's URL that ended so.
    pub fn heartbeat(&self, result: &'static str) -> Counter {
        self.0.heartbeats.get_or_create_owned(&ResultLabels { result })
    }

    /// For how long the slowest loop has been stuck.
    pub(super) fn watchdog_age_seconds(&self, seconds: f64) {
        self.0.watchdog_age_seconds.set(seconds);
    }

    /// All metrics as text, with what `progress` says at this instant.
    pub fn render(&self, progress: &Progress) -> Result<String, std::fmt::Error> {
        let _rendering = self.0.rendering.lock().unwrap_or_else(PoisonError::into_inner);
        self.0.observed.clear_ranges();
        for ((database, container), container_progress) in progress.containers() {
            let metrics = self.container(&database, &container);
            let observed = progress.observed(&database, &container).snapshot();
            let progress = container_progress;
            let followed: Vec<EpkRange> = progress.ranges().into_iter().map(|own| own.range).collect();
            let labels = Labels { database: database.clone(), container: container.clone() };
            self.0.verified.write(&labels, &followed, progress.reconciliation_age_seconds());
            self.0.rehearsed.write(&labels);
            let (from, until) = progress.window();
            let own: BTreeMap<EpkRange, i64> =
                progress.ranges().into_iter().filter_map(|own| Some((own.range, own.watermark?))).collect();
            metrics.pending_changes.set(self.0.observed.show(&Labels { database, container }, &observed, &own));
            // A range that stalls elsewhere, or whose loop says nothing any more, shows here as well.
            metrics.lag_seconds.set(progress.lag_seconds().max(observed.slowest_seconds(&own)));
            metrics.restorable_from.set(from.unwrap_or(0));
            metrics.restorable_until.set(until.unwrap_or(0));
            // A range that went to another owner takes its age along.
            metrics.feed_token_age_seconds.set(progress.token_age_seconds().unwrap_or(0.0));
            metrics.checkpoint_age_seconds.set(progress.checkpoint_age_seconds());
        }
        let mut exposition = String::new();
        text::encode_registry(&mut exposition, &self.0.registry)?;
        text::encode_registry(&mut exposition, &self.0.unprefixed)?;
        text::encode_eof(&mut exposition)?;
        Ok(exposition)
    }
}

impl ContainerMetrics {
    /// Writes to the target that failed, of all kinds.
    pub fn write_failures(&self) -> u64 {
        self.write_failures.iter().map(|(_, counter)| counter.get()).sum()
    }

    /// Counts a write to the target that failed.
    pub fn write_failed(&self, kind: Kind) {
        if let Some((_, counter)) = self.write_failures.iter().find(|(known, _)| *known == kind) {
            counter.inc();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    const ORDERS: &str = r#"{database="shop",container="orders"}"#;

    #[tokio::test(start_paused = true)]
    async fn every_family_has_every_container_at_zero_from_the_start() {
        let containers = [("shop", "orders"), ("shop", "users")];
        let text = Metrics::new(containers).render(&Progress::new(containers)).unwrap();
        for name in [
            "lag_seconds",
            "restorable_from_timestamp_seconds",
            "restorable_until_timestamp_seconds",
            "pending_changes",
            "changes_read_total",
            "versions_written_total",
            "duplicates_skipped_total",
            "stale_writes_refused_total",
            "purged_skipped_total",
            "hot_documents_total",
            "versions_left_out_total",
            "leases_owned",
            "leases_lost_total",
            "dead_letters",
            "gaps",
            "request_units_total",
            "feed_token_age_seconds",
            "feed_retention_seconds",
            "leases_unowned",
            "lease_holes",
            "observer_active",
            "observer_failures_total",
            "reconciliations_total",
            "verify_age_seconds",
        ] {
            for container in ["orders", "users"] {
                let start = format!("cosmirror_{name}{{database=\"shop\",container=\"{container}\"}} ");
                let line =
                    text.lines().find(|line| line.starts_with(&start)).unwrap_or_else(|| panic!("{name}\n{text}"));
                assert_eq!(line[start.len()..].parse::<f64>().unwrap(), 0.0, "{line}");
            }
        }
        assert!(
            text.contains(concat!("cosmirror_build_info{version=\"", env!("CARGO_PKG_VERSION"), "\"} 1\n")),
            "{text}"
        );
        assert!(
            text.contains("write_failures_total{database=\"shop\",container=\"users\",kind=\"transient\"} 0\n"),
            "{text}"
        );
        assert!(text.ends_with("# EOF\n"), "{text}");
    }

    #[tokio::test(start_paused = true)]
    async fn what_depends_on_time_is_computed_at_exposition() {
        let metrics = Metrics::new([("shop", "orders")]);
        let progress = Progress::new([("shop", "orders")]);
        let container = progress.container("shop", "orders");
        container.range_started(EpkRange::full());
        container.service_time(1_000);
        container.watermark(&EpkRange::full(), 990);
        container.token_time(&EpkRange::full(), 998);
        container.set_window(Some(500), Some(990));
        metrics.container("shop", "orders").changes_read.inc_by(3);
        metrics.container("shop", "orders").write_failed(Kind::Refused);
        container.reconciled_until(&EpkRange::full(), 900);
        tokio::time::advance(Duration::from_secs(30)).await;
        let text = metrics.render(&progress).unwrap();
        for line in [
            format!("cosmirror_lag_seconds{ORDERS} 40.0"),
            format!("cosmirror_verify_age_seconds{ORDERS} 130.0"),
            format!("cosmirror_feed_token_age_seconds{ORDERS} 32.0"),
            format!("cosmirror_restorable_from_timestamp_seconds{ORDERS} 500"),
            format!("cosmirror_restorable_until_timestamp_seconds{ORDERS} 990"),
            format!("cosmirror_changes_read_total{ORDERS} 3"),
            "cosmirror_write_failures_total{database=\"shop\",container=\"orders\",kind=\"refused\"} 1".to_owned(),
        ] {
            assert!(text.lines().any(|found| found == line), "{line}\n{text}");
        }

        container.range_stopped(&EpkRange::full());
        let text = metrics.render(&progress).unwrap();
        for name in ["feed_token_age_seconds", "verify_age_seconds"] {
            let line = format!("cosmirror_{name}{ORDERS} 0.0");
            assert!(text.lines().any(|found| found == line), "another owner tells it now: {line}\n{text}");
        }
    }
}
