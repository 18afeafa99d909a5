//! What comparisons of ranges with their source found, and how old that is.
//!
//! Ranges are compared one by one, each by the replica that owns its lease; what is shown of a container are the last results of all
//! ranges that this replica has compared, and the age of the oldest.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Mutex, PoisonError};

use cosmirror_formats::EpkRange;
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;
use tokio::time::Instant;

use super::{Labels, RECONCILIATIONS, Seconds, VERIFY_AGE_SECONDS, VERIFY_DOCUMENTS, family};
use crate::reconcile::Counts;

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct StateLabels {
    database: String,
    container: String,
    state: &'static str,
}

/// The last comparison of each range.
type Ranges = BTreeMap<EpkRange, (Instant, Counts)>;

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
            age_seconds: family(registry, VERIFY_AGE_SECONDS, "Age of the oldest last comparison, 0 if none"),
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
        ranges.insert(range.clone(), (Instant::now(), counts));
    }

    /// All ranges together, and the age of the oldest comparison in seconds; none before the first.
    pub(super) fn total(&self, labels: &Labels) -> Option<(Counts, f64)> {
        let last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        let of_all = last.get(labels)?.values();
        let (mut total, mut age) = (Counts::default(), 0.0_f64);
        for (at, counts) in of_all {
            total += *counts;
            age = age.max(at.elapsed().as_secs_f64());
        }
        Some((total, age))
    }

    /// Writes what depends on time, and makes sure that every child exists.
    pub(super) fn show(&self, labels: &Labels) {
        let (total, age) = self.total(labels).unwrap_or_default();
        drop(self.reconciliations.get_or_create(labels));
        self.age_seconds.get_or_create(labels).set(age);
        let Counts { equal, missing, stale, extra, different, pending, .. } = total;
        for (state, count) in [
            ("equal", equal),
            ("missing", missing),
            ("stale", stale),
            ("extra", extra),
            ("different", different),
            ("pending", pending),
        ] {
            let Labels { database, container } = labels.clone();
            let gauge = self.documents.get_or_create_owned(&StateLabels { database, container, state });
            gauge.set(i64::try_from(count).unwrap_or(i64::MAX));
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::super::Metrics;
    use super::*;
    use crate::admin::Progress;

    #[tokio::test(start_paused = true)]
    async fn ranges_add_up_the_oldest_gives_the_age_and_a_split_forgets_the_whole() {
        let (metrics, progress) = (Metrics::new([("d", "c")]), Progress::new([("d", "c")]));
        let compared = |min: &str, max: &str, equal| {
            let counts = Counts { documents: equal, equal, ..Counts::default() };
            metrics.reconciled("d", "c", &EpkRange::new(min, max), counts);
        };
        compared("", "FF", 100);
        compared("", "20", 3);
        tokio::time::advance(Duration::from_secs(30)).await;
        compared("20", "FF", 4);
        let text = metrics.render(&progress).unwrap();
        for line in [
            r#"cosmirror_reconciliations_total{database="d",container="c"} 3"#,
            r#"cosmirror_verify_age_seconds{database="d",container="c"} 30.0"#,
            r#"cosmirror_verify_documents{database="d",container="c",state="equal"} 7"#,
            r#"cosmirror_verify_documents{database="d",container="c",state="extra"} 0"#,
        ] {
            assert!(text.lines().any(|found| found == line), "{line}\n{text}");
        }
    }
}
