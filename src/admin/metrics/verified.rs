//! What comparisons of ranges with their source found, and for how long a range has waited to be reconciled.
//!
//! Ranges are compared one by one: reconciled by the replica that owns their leases, or verified by a job that runs in any replica. What is shown are the
//! last results of ranges that are followed here, until they no longer are: then their next result is another replica's. Results of ranges that
//! others follow are a job's, and are shown for [`STRANGE_KEPT`], because nobody tells this replica of a later one.
//!
//! How long a range has waited is told by its durable progress, so that it grows also where no reconciliation ever succeeds.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use cosmirror_formats::EpkRange;
use cosmirror_formats::lease::uncovered;
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;
use tokio::time::Instant;

use super::{Labels, RECONCILIATIONS, Seconds, VERIFY_AGE_SECONDS, VERIFY_DOCUMENTS, family};
use crate::reconcile::Counts;

/// For how long the results of ranges are shown that this replica does not follow: long enough for an alert and for whoever looks in the morning.
const STRANGE_KEPT: Duration = Duration::from_hours(24);

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct StateLabels {
    database: String,
    container: String,
    state: &'static str,
}

/// What a comparison of a range found.
#[derive(Debug)]
struct Last {
    at: Instant,
    counts: Counts,
    /// Whether all of the range has been followed here since.
    followed: bool,
}

/// The last comparison of each range.
type Ranges = BTreeMap<EpkRange, Last>;

/// The families.
#[derive(Debug)]
pub(super) struct Families {
    reconciliations: Family<Labels, Counter>,
    age_seconds: Family<Labels, Seconds>,
    documents: Family<StateLabels, Gauge>,
    last: Mutex<HashMap<Labels, Ranges>>,
}

impl Families {
    pub(super) fn register(registry: &mut Registry) -> Self {
        Self {
            reconciliations: family(registry, RECONCILIATIONS, "Ranges that were compared with their source"),
            age_seconds: family(
                registry,
                VERIFY_AGE_SECONDS,
                "Time since the oldest last reconciliation, 0 if none is due",
            ),
            documents: family(registry, VERIFY_DOCUMENTS, "Documents of the last comparisons, by what was found"),
            last: Mutex::default(),
        }
    }

    /// Keeps a result.
    pub(super) fn reconciled(&self, labels: &Labels, range: &EpkRange, counts: Counts) {
        self.reconciliations.get_or_create(labels).inc();
        let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        let ranges = last.entry(labels.clone()).or_default();
        // What a range overlaps was split or merged since.
        ranges.retain(|other, _| !other.overlaps(range));
        ranges.insert(range.clone(), Last { at: Instant::now(), counts, followed: false });
    }

    /// Makes sure that every child exists.
    pub(super) fn show(&self, labels: &Labels) {
        drop(self.reconciliations.get_or_create(labels));
        drop(self.age_seconds.get_or_create(labels));
        for state in STATES {
            drop(self.documents.get_or_create_owned(&labels.of(state)));
        }
    }

    /// All ranges together, and the age of the oldest comparison in seconds; none where there is none. What others tell is forgotten: `followed` are the
    /// ranges that are followed here.
    pub(super) fn total(&self, labels: &Labels, followed: &[EpkRange]) -> Option<(Counts, f64)> {
        let holes = uncovered(followed);
        let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        let ranges = last.get_mut(labels)?;
        ranges.retain(|range, last| {
            let is_followed = holes.iter().all(|hole| !hole.overlaps(range));
            let is_strange = !last.followed && !is_followed;
            last.followed |= is_followed;
            is_followed || (is_strange && last.at.elapsed() < STRANGE_KEPT)
        });
        let mut total = Counts::default();
        ranges.values().for_each(|last| total += last.counts);
        let oldest = ranges.values().map(|last| last.at).min()?;
        Some((total, oldest.elapsed().as_secs_f64()))
    }

    /// Writes what depends on time.
    pub(super) fn write(&self, labels: &Labels, followed: &[EpkRange], age_seconds: f64) {
        self.age_seconds.get_or_create(labels).set(age_seconds);
        let (total, _) = self.total(labels, followed).unwrap_or_default();
        let Counts { equal, missing, stale, extra, different, pending, .. } = total;
        for (state, count) in STATES.into_iter().zip([equal, missing, stale, extra, different, pending]) {
            let gauge = self.documents.get_or_create_owned(&labels.of(state));
            gauge.set(i64::try_from(count).unwrap_or(i64::MAX));
        }
    }
}

const STATES: [&str; 6] = ["equal", "missing", "stale", "extra", "different", "pending"];

impl Labels {
    fn of(&self, state: &'static str) -> StateLabels {
        let Self { database, container } = self.clone();
        StateLabels { database, container, state }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::super::Metrics;
    use super::*;
    use crate::admin::Progress;

    /// A process with one container.
    struct Process {
        metrics: Metrics,
        progress: Progress,
    }

    impl Process {
        fn new() -> Self {
            Self { metrics: Metrics::new([("d", "c")]), progress: Progress::new([("d", "c")]) }
        }

        fn compared(&self, min: &str, max: &str, counts: Counts) {
            self.metrics.reconciled("d", "c", &EpkRange::new(min, max), counts);
        }

        fn shows(&self, lines: &[&str]) {
            let text = self.metrics.render(&self.progress).unwrap();
            for line in lines {
                assert!(text.lines().any(|found| found == *line), "{line}\n{text}");
            }
        }
    }

    fn equal(equal: u64) -> Counts {
        Counts { documents: equal, equal, ..Counts::default() }
    }

    fn missing(missing: u64) -> Counts {
        Counts { documents: missing, missing, ..Counts::default() }
    }

    #[tokio::test(start_paused = true)]
    async fn ranges_add_up_and_a_split_forgets_the_whole() {
        let process = Process::new();
        process.compared("", "FF", equal(100));
        process.compared("", "20", equal(3));
        tokio::time::advance(Duration::from_secs(30)).await;
        process.compared("20", "FF", equal(4));
        process.shows(&[
            r#"cosmirror_reconciliations_total{database="d",container="c"} 3"#,
            r#"cosmirror_verify_documents{database="d",container="c",state="equal"} 7"#,
            r#"cosmirror_verify_documents{database="d",container="c",state="extra"} 0"#,
        ]);
    }

    /// A replica whose reconciliations failed from its start told 0 for ever, because it counted from the first that succeeded.
    #[tokio::test(start_paused = true)]
    async fn a_range_that_was_never_compared_waits_since_its_backfill_and_the_longest_waiting_one_counts() {
        let process = Process::new();
        let container = process.progress.container("d", "c");
        let (low, high) = (EpkRange::new("", "20"), EpkRange::new("20", "FF"));
        for (range, until) in [(&low, 9_000), (&high, 4_000)] {
            container.range_started(range.clone());
            container.reconciled_until(range, until);
        }
        container.service_time(10_000);
        tokio::time::advance(Duration::from_hours(100)).await;
        process.shows(&[r#"cosmirror_verify_age_seconds{database="d",container="c"} 366000.0"#]);
        container.reconciled_until(&high, 9_500);
        process.shows(&[r#"cosmirror_verify_age_seconds{database="d",container="c"} 361000.0"#]);
        container.range_stopped(&low);
        process.shows(&[r#"cosmirror_verify_age_seconds{database="d",container="c"} 360500.0"#]);
    }

    /// The former owner of a range told of what was missing, and raised the alarm, after the new one had put it right.
    #[tokio::test(start_paused = true)]
    async fn what_was_found_in_a_range_goes_with_it_to_its_new_owner() {
        let process = Process::new();
        let container = process.progress.container("d", "c");
        let (low, high) = (EpkRange::new("", "20"), EpkRange::new("20", "FF"));
        container.range_started(low.clone());
        container.range_started(high.clone());
        process.compared("", "20", missing(3));
        process.compared("20", "FF", missing(4));
        let found =
            |count| format!(r#"cosmirror_verify_documents{{database="d",container="c",state="missing"}} {count}"#);
        process.shows(&[&found(7)]);
        container.range_stopped(&high);
        process.shows(&[&found(3)]);
        container.range_stopped(&low);
        process.shows(&[&found(0)]);
    }

    #[tokio::test(start_paused = true)]
    async fn what_a_job_found_in_ranges_of_others_is_told_for_a_day() {
        let process = Process::new();
        process.compared("", "FF", missing(3));
        let found =
            |count| format!(r#"cosmirror_verify_documents{{database="d",container="c",state="missing"}} {count}"#);
        tokio::time::advance(Duration::from_hours(23)).await;
        process.shows(&[&found(3)]);
        tokio::time::advance(Duration::from_hours(2)).await;
        process.shows(&[&found(0)]);
    }
}
