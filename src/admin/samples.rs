//! The last hour of each container, for the page's charts: one sample every few seconds, in memory alone.
//!
//! Memory is bounded: a ring of [`SAMPLES_MAX`] samples for each of at most [`CONTAINERS_MAX`] containers. Samples are of counters, and
//! rates are computed when somebody asks. Instants leave as ages, so that a browser with another clock draws them in their place.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use serde::Serialize;
use tokio::time::Instant;

use super::Admin;

/// Pause between two samples.
pub(super) const INTERVAL: Duration = Duration::from_secs(5);
/// Samples kept of one container: an hour.
const SAMPLES_MAX: usize = 720;
/// Containers that are sampled; the page is not made for more.
const CONTAINERS_MAX: usize = 256;
/// What the present rate is the mean of.
const RATE_SPAN: Duration = Duration::from_secs(20);

/// The samples of all containers. Clones share one state.
#[derive(Debug, Clone, Default)]
pub struct Samples(Arc<Mutex<Rings>>);

type Name = (String, String);
type Rings = BTreeMap<Name, VecDeque<Sample>>;

/// One container at one instant.
#[derive(Debug, Clone, Copy)]
struct Sample {
    at: Instant,
    lag_seconds: Option<f64>,
    changes: u64,
    versions: u64,
    request_units: f64,
}

/// What happens in a second at present.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize)]
pub(super) struct Throughput {
    pub(super) changes_per_second: f64,
    pub(super) versions_per_second: f64,
    pub(super) request_units_per_second: f64,
}

/// One container's samples as the page reads them.
#[derive(Debug, Serialize)]
pub(super) struct Series {
    database: String,
    container: String,
    /// Age in seconds, lag in seconds (null where it is not known), changes read per second, versions written per second, request units per
    /// second; oldest first.
    points: Vec<[Option<f64>; 5]>,
}

impl Samples {
    /// Takes a sample every few seconds, for as long as it is polled.
    pub(super) async fn take(admin: &Admin) {
        loop {
            admin.samples.sample(admin);
            tokio::time::sleep(INTERVAL).await;
        }
    }

    fn sample(&self, admin: &Admin) {
        for (name, _) in admin.progress.containers().into_iter().take(CONTAINERS_MAX) {
            let sample = Sample::of(admin, &name);
            let mut rings = self.locked();
            let ring = rings.entry(name).or_default();
            if ring.len() >= SAMPLES_MAX {
                ring.pop_front();
            }
            ring.push_back(sample);
        }
    }

    /// The mean of the last seconds up to now.
    pub(super) fn throughput(&self, admin: &Admin, name: &Name) -> Throughput {
        let now = Sample::of(admin, name);
        let rings = self.locked();
        let Some(ring) = rings.get(name) else { return Throughput::default() };
        let recent = ring.iter().find(|sample| now.at.saturating_duration_since(sample.at) <= RATE_SPAN);
        recent.map(|then| now.since(then)).unwrap_or_default()
    }

    /// All points that are no older than this.
    pub(super) fn series(&self, within: Duration) -> Vec<Series> {
        let now = Instant::now();
        let age = |sample: &Sample| now.saturating_duration_since(sample.at);
        let rings = self.locked();
        let shown = |((database, container), ring): (&Name, &VecDeque<Sample>)| {
            let pairs = ring.iter().zip(ring.iter().skip(1)).filter(|(_, sample)| age(sample) <= within);
            let point = |(before, sample): (&Sample, &Sample)| {
                let rate = sample.since(before);
                let values = [
                    Some(age(sample).as_secs_f64()),
                    sample.lag_seconds,
                    Some(rate.changes_per_second),
                    Some(rate.versions_per_second),
                    Some(rate.request_units_per_second),
                ];
                values.map(|value| value.map(|value| (value * 100.0).round() / 100.0))
            };
            Series { database: database.clone(), container: container.clone(), points: pairs.map(point).collect() }
        };
        rings.iter().map(shown).collect()
    }

    fn locked(&self) -> MutexGuard<'_, Rings> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Sample {
    fn of(admin: &Admin, (database, container): &Name) -> Self {
        let metrics = admin.metrics.container(database, container);
        Self {
            at: Instant::now(),
            lag_seconds: admin.lag_seconds(database, container),
            changes: metrics.changes_read.get(),
            versions: metrics.versions_written.get(),
            request_units: metrics.request_units.get(),
        }
    }

    fn since(&self, before: &Self) -> Throughput {
        let seconds = self.at.saturating_duration_since(before.at).as_secs_f64();
        if seconds <= 0.0 {
            return Throughput::default();
        }
        #[expect(clippy::cast_precision_loss, reason = "a rate for people")]
        let count = |now: u64, then: u64| now.saturating_sub(then) as f64 / seconds;
        Throughput {
            changes_per_second: count(self.changes, before.changes),
            versions_per_second: count(self.versions, before.versions),
            request_units_per_second: (self.request_units - before.request_units).max(0.0) / seconds,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::admin::Access;

    #[tokio::test(start_paused = true)]
    async fn the_ring_holds_an_hour_and_no_more_and_tells_rates() {
        let admin = Admin::new([("shop", "orders")], Access::closed());
        let written = admin.metrics.container("shop", "orders").versions_written;
        for _ in 0..SAMPLES_MAX + 50 {
            admin.samples.sample(&admin);
            tokio::time::advance(INTERVAL).await;
            written.inc_by(10);
        }
        assert_eq!(admin.samples.locked()[&("shop".to_owned(), "orders".to_owned())].len(), SAMPLES_MAX);
        let series = admin.samples.series(Duration::from_hours(2));
        assert_eq!(series[0].points.len(), SAMPLES_MAX - 1);
        assert!(series[0].points.iter().all(|point| point[3] == Some(2.0)), "{series:?}");
        assert_eq!(series[0].points.last().unwrap()[0], Some(5.0));
        assert_eq!(admin.samples.series(Duration::from_secs(11))[0].points.len(), 2);
        let name = ("shop".to_owned(), "orders".to_owned());
        assert_eq!(admin.samples.throughput(&admin, &name).versions_per_second, 2.0);
    }

    #[tokio::test(start_paused = true)]
    async fn containers_beyond_the_limit_are_not_sampled() {
        let names = (0..CONTAINERS_MAX + 10).map(|n| ("shop".to_owned(), format!("c{n}")));
        let admin = Admin::new(names, Access::closed());
        admin.samples.sample(&admin);
        assert_eq!(admin.samples.locked().len(), CONTAINERS_MAX);
    }
}
