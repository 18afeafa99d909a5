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

#[derive(Debug)]
struct Seen {
    observation: Arc<Observation>,
    /// When the pass began.
    at: Instant,
}

/// All of it at one instant.
#[derive(Debug)]
pub(super) struct Snapshot {
    /// Whether this process is the observer.
    pub(super) active: bool,
    observation: Option<Arc<Observation>>,
    age_seconds: f64,
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

    /// How it stands now.
    pub(super) fn snapshot(&self) -> Snapshot {
        let state = self.locked();
        let age = state.seen.as_ref().map(|seen| Instant::now().saturating_duration_since(seen.at));
        Snapshot {
            active: state.active,
            observation: state.seen.as_ref().map(|seen| Arc::clone(&seen.observation)),
            age_seconds: age.unwrap_or_default().as_secs_f64(),
        }
    }

    fn locked(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Snapshot {
    /// What this process may tell of ranges: what it saw, while it is the observer.
    pub(super) fn observation(&self) -> Option<&Observation> {
        self.observation.as_deref().filter(|_| self.active)
    }

    /// Whether this process observed the container, and nobody else is known to have done so since.
    pub(super) fn has_seen(&self) -> bool {
        self.observation.is_some()
    }

    /// How far a range is behind by now. `own` holds what this process knows of the ranges it follows itself: a lease tells of a
    /// watermark only when it is renewed.
    pub(super) fn lag_seconds(
        &self,
        seen: &Observation,
        range: &RangeObservation,
        own: &BTreeMap<EpkRange, i64>,
    ) -> f64 {
        let newer = own.get(&range.range).map(|own| seen.service_time.saturating_sub(*own));
        let known = newer.map_or(range.lag_seconds, |newer| range.lag_seconds.min(newer));
        #[expect(clippy::cast_precision_loss, reason = "differences of seconds are far below 2^52")]
        let known = known as f64;
        (known + self.age_seconds).max(0.0)
    }

    /// How far the slowest range is behind by now, as it was seen last; 0 where nothing was seen.
    pub(super) fn slowest_seconds(&self, own: &BTreeMap<EpkRange, i64>) -> f64 {
        let Some(seen) = &self.observation else { return 0.0 };
        seen.counting().map(|range| self.lag_seconds(seen, range, own)).fold(0.0, f64::max)
    }
}
