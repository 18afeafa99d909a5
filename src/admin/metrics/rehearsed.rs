//! What the mirrors record of rehearsals, whoever made them.

use std::collections::BTreeMap;
use std::sync::atomic::AtomicU64;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use cosmirror_formats::rehearsal::{Counts, Rehearsal, State};
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;
use tokio::time::Instant;

use super::{Labels, Metrics, family};

const AGE_SECONDS: &str = "rehearsal_age_seconds";
const INTERVAL_SECONDS: &str = "rehearsal_interval_seconds";
const FAILED: &str = "rehearsal_failed";
const FAILURES: &str = "rehearsal_failures";
const DURATION_SECONDS: &str = "rehearsal_duration_seconds";
const DURATION_ALL_SECONDS: &str = "rehearsal_duration_all_seconds";
const DOCUMENTS: &str = "rehearsal_documents";
const STATES: [&str; 7] = ["equal", "different", "missing", "extra", "unknown", "damaged", "failed"];

type Seconds = Gauge<f64, AtomicU64>;

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct StateLabels {
    database: String,
    container: String,
    state: &'static str,
}

/// What is known of one container.
#[derive(Debug, Clone)]
struct Known {
    /// How often one is due; zero is never.
    interval: Duration,
    /// When it was read, and the service's time then.
    read: (Instant, Option<i64>),
    /// Since when nobody knew of one that ended well.
    since: Instant,
    last: Option<Rehearsal>,
}

#[derive(Debug)]
pub(super) struct Families {
    age: Family<Labels, Seconds>,
    interval: Family<Labels, Seconds>,
    failed: Family<Labels, Gauge>,
    failures: Family<Labels, Counter>,
    duration: Family<Labels, Seconds>,
    duration_all: Family<Labels, Seconds>,
    documents: Family<StateLabels, Gauge>,
    known: Mutex<BTreeMap<Labels, Known>>,
}

impl Families {
    pub(super) fn register(r: &mut Registry) -> Self {
        Self {
            age: family(
                r,
                AGE_SECONDS,
                "Time since the last rehearsal that ended well, 0 if none is due and none was made",
            ),
            interval: family(r, INTERVAL_SECONDS, "How often a rehearsal is due, 0 if never"),
            failed: family(r, FAILED, "1 where the last rehearsal did not end well"),
            failures: family(r, FAILURES, "Scheduled rehearsals of this process that did not end well"),
            duration: family(r, DURATION_SECONDS, "Measured recovery time of the last rehearsal's sample"),
            duration_all: family(r, DURATION_ALL_SECONDS, "The same, extrapolated for all documents"),
            documents: family(r, DOCUMENTS, "Documents of the last rehearsal, by what was found"),
            known: Mutex::default(),
        }
    }

    /// Makes sure that every child exists.
    pub(super) fn show(&self, labels: &Labels) {
        for gauge in [&self.age, &self.interval, &self.duration, &self.duration_all] {
            drop(gauge.get_or_create(labels));
        }
        drop(self.failed.get_or_create(labels));
        drop(self.failures.get_or_create(labels));
        for state in STATES {
            drop(self.documents(labels, state));
        }
    }

    fn documents(&self, labels: &Labels, state: &'static str) -> Gauge {
        let Labels { database, container } = labels.clone();
        self.documents.get_or_create_owned(&StateLabels { database, container, state })
    }

    fn keep(&self, labels: &Labels, interval: Duration, now: Option<i64>, last: Option<&Rehearsal>) {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        let since = known.get(labels).map_or_else(Instant::now, |known| known.since);
        known.insert(labels.clone(), Known { interval, read: (Instant::now(), now), since, last: last.cloned() });
        drop(known);
        self.interval.get_or_create(labels).set(interval.as_secs_f64());
        // One that goes on says nothing yet.
        let Some(last) = last.filter(|last| last.state != State::Running) else { return };
        self.failed.get_or_create(labels).set(matches!(last.state, State::Differs | State::Failed).into());
        self.duration.get_or_create(labels).set(last.took.rto_seconds);
        self.duration_all.get_or_create(labels).set(last.took.rto_seconds_all.unwrap_or_default());
        let Counts { equal, different, missing, extra, unknown, damaged, failed, .. } = last.counts;
        for (state, count) in STATES.into_iter().zip([equal, different, missing, extra, unknown, damaged, failed]) {
            self.documents(labels, state).set(i64::try_from(count).unwrap_or(i64::MAX));
        }
    }

    /// Writes what depends on time.
    pub(super) fn write(&self, labels: &Labels) {
        let known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(known) = known.get(labels) else { return };
        let succeeded = known.last.as_ref().and_then(|last| last.succeeded);
        let age = match (succeeded, known.read) {
            (Some(succeeded), (at, Some(now))) => {
                let seconds = u64::try_from(now - succeeded).unwrap_or_default();
                (Duration::from_secs(seconds) + at.elapsed()).as_secs_f64()
            }
            (None, _) if !known.interval.is_zero() => known.since.elapsed().as_secs_f64(),
            _ => 0.0,
        };
        self.age.get_or_create(labels).set(age);
    }
}

impl Metrics {
    /// What the mirror of a container records of its last rehearsal, read when the service's time was `now`; one is due so often.
    pub fn rehearsed(
        &self,
        (database, container): (&str, &str),
        interval: Duration,
        now: Option<i64>,
        last: Option<&Rehearsal>,
    ) {
        let labels = Labels { database: database.to_owned(), container: container.to_owned() };
        self.0.rehearsed.keep(&labels, interval, now, last);
    }

    /// Counts a scheduled rehearsal that did not end well.
    pub fn rehearsal_failed(&self, database: &str, container: &str) {
        let labels = Labels { database: database.to_owned(), container: container.to_owned() };
        self.0.rehearsed.failures.get_or_create(&labels).inc();
    }

    /// The last rehearsal of a container, as it was read last.
    pub(in crate::admin) fn last_rehearsal(&self, database: &str, container: &str) -> Option<Rehearsal> {
        let labels = Labels { database: database.to_owned(), container: container.to_owned() };
        let known = self.0.rehearsed.known.lock().unwrap_or_else(PoisonError::into_inner);
        known.get(&labels)?.last.clone()
    }
}

#[cfg(test)]
mod tests {
    use cosmirror_formats::rehearsal::{Scratch, Took};

    use super::*;
    use crate::admin::Progress;

    fn rehearsal(state: State, succeeded: Option<i64>) -> Rehearsal {
        let scratch = Scratch { account: String::new(), name: String::new(), rid: None, created: false };
        Rehearsal {
            format: 1,
            id: String::new(),
            database: "d".to_owned(),
            container: "c".to_owned(),
            by: "schedule".to_owned(),
            state,
            scratch,
            instant: None,
            sample_per_million: 1,
            began: 100,
            alive: 100,
            ended: None,
            cleaned: false,
            counts: Counts { equal: 7, damaged: 1, ..Counts::default() },
            took: Took { rto_seconds: 2.5, rto_seconds_all: Some(250.0), ..Took::default() },
            error: None,
            succeeded,
            traces: Vec::new(),
        }
    }

    #[tokio::test(start_paused = true)]
    async fn the_last_rehearsal_shows_with_its_age_and_one_that_is_due_and_was_never_made_does_too() {
        let (metrics, progress) = (Metrics::new([("d", "c")]), Progress::new([("d", "c")]));
        let shown = |lines: &[&str]| {
            let text = metrics.render(&progress).unwrap();
            for line in lines {
                let (name, value) = line.split_once(' ').unwrap();
                let (name, labels) = name.split_once('+').unwrap_or((name, ""));
                let line = format!("cosmirror_{name}{{database=\"d\",container=\"c\"{labels}}} {value}");
                assert!(text.lines().any(|found| found == line), "{line}\n{text}");
            }
        };
        let day = Duration::from_hours(24);
        shown(&["rehearsal_age_seconds 0.0", "rehearsal_failed 0", "rehearsal_failures_total 0"]);
        metrics.rehearsed(("d", "c"), day, Some(1_000), None);
        tokio::time::advance(Duration::from_secs(60)).await;
        shown(&["rehearsal_age_seconds 60.0", "rehearsal_interval_seconds 86400.0"]);
        metrics.rehearsed(("d", "c"), day, Some(1_000), Some(&rehearsal(State::Differs, Some(400))));
        tokio::time::advance(Duration::from_secs(60)).await;
        shown(&["rehearsal_age_seconds 660.0", "rehearsal_failed 1", "rehearsal_duration_seconds 2.5"]);
        shown(&["rehearsal_duration_all_seconds 250.0", "rehearsal_documents+,state=\"damaged\" 1"]);
        metrics.rehearsed(("d", "c"), day, Some(1_000), Some(&rehearsal(State::Running, Some(400))));
        shown(&["rehearsal_failed 1"]);
        metrics.rehearsed(("d", "c"), Duration::ZERO, None, None);
        shown(&["rehearsal_age_seconds 0.0"]);
    }
}
