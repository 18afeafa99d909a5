//! What the observer last saw of one container, for the metrics of the process that it runs in.
//!
//! Lag is computed when somebody asks, from the age of the observation, so that it goes on growing when the observer itself hangs.
//! Everything else is shown only while this process is the observer: a gauge of a range that nobody looks at any more would be a
//! lie.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use cosmirror_formats::EpkRange;
use tokio::time::Instant;

use crate::observer::{Observation, RangeObservation};

/// The latest observation of one container. Clones share one state.
#[derive(Debug, Clone, Default)]
pub struct Observed(Arc<Mutex<State>>);

#[derive(Debug, Default)]
struct State {
    /// Whether this process is the observer.
    active: bool,
    seen: Option<Seen>,
}

/// An observation and when it began.
#[derive(Debug, Clone)]
pub(super) struct Seen {
    observation: Arc<Observation>,
    at: Instant,
}

impl Observed {
    /// This process is the observer.
    pub fn active(&self) {
        self.locked().active = true;
    }

    /// This process is the observer and saw this in a pass that began at `at`.
    pub fn saw(&self, observation: Observation, at: Instant) {
        *self.locked() = State { active: true, seen: Some(Seen { observation: Arc::new(observation), at }) };
    }

    /// It could not be found out for too long who the observer is. What was seen goes on counting for the container's lag alone.
    pub fn doubtful(&self) {
        self.locked().active = false;
    }

    /// Another process is the observer, or none: this one says nothing of ranges it does not follow.
    pub fn elsewhere(&self) {
        *self.locked() = State::default();
    }

    /// Whether this process is the observer.
    pub(super) fn is_active(&self) -> bool {
        self.locked().active
    }

    /// What was seen last.
    pub(super) fn seen(&self) -> Option<Seen> {
        self.locked().seen.clone()
    }

    fn locked(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Seen {
    /// The observation.
    pub(super) fn observation(&self) -> &Observation {
        &self.observation
    }

    /// How far a range is behind by now. `own` holds what this process knows of the ranges it follows itself: a lease tells of a
    /// watermark only when it is renewed.
    pub(super) fn lag_seconds(&self, range: &RangeObservation, own: &BTreeMap<EpkRange, i64>) -> f64 {
        let age = Instant::now().saturating_duration_since(self.at).as_secs_f64();
        let newer = own.get(&range.range).map(|own| self.observation.service_time.saturating_sub(*own));
        let known = newer.map_or(range.lag_seconds, |newer| range.lag_seconds.min(newer));
        #[expect(clippy::cast_precision_loss, reason = "differences of seconds are far below 2^52")]
        let known = known as f64;
        (known + age).max(0.0)
    }

    /// How far the slowest range is behind by now.
    pub(super) fn slowest_seconds(&self, own: &BTreeMap<EpkRange, i64>) -> f64 {
        self.observation.counting().map(|range| self.lag_seconds(range, own)).fold(0.0, f64::max)
    }
}
