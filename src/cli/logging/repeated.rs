//! Trouble that repeats itself: told at first, and then once a minute with how often it came in between.
//!
//! Two events are the same when they come from one place in the source and say the same but for numbers. A disk is filled by
//! what repeats itself for days, so what is remembered is bounded, and what no memory is left for is the same as everything else from
//! its place.

use std::collections::HashMap;
use std::collections::hash_map::DefaultHasher;
use std::fmt;
use std::hash::{Hash as _, Hasher as _};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;
use tracing::Event;
use tracing::field::{Field, Visit};

/// How often the same is told.
const INTERVAL: Duration = Duration::from_mins(1);
/// Different troubles that are remembered.
const KEYS_MAX: usize = 1_024;
/// Fields whose text tells one thing from another even where only digits differ.
const NAMES: [&str; 6] = ["range", "lease", "container", "name", "stuck", "letter"];

/// What was told, and when.
#[derive(Debug, Default)]
pub(super) struct Repeated(Mutex<HashMap<u64, Told>>);

#[derive(Debug)]
struct Told {
    at: Instant,
    held_back: u64,
}

/// What to do with an event.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Verdict {
    /// It is told; the same was held back so many times since it was told last.
    Tell {
        /// So many times.
        repeated: u64,
    },
    /// It was told less than a minute ago.
    HoldBack,
}

impl Repeated {
    /// Judges an event, and remembers it.
    pub(super) fn judge(&self, event: &Event<'_>) -> Verdict {
        let mut key = Key(DefaultHasher::new());
        event.metadata().callsite().hash(&mut key.0);
        let place = key.0.finish();
        event.record(&mut key);
        self.judge_key(key.0.finish(), place)
    }

    fn judge_key(&self, key: u64, place: u64) -> Verdict {
        let now = Instant::now();
        let is_over = |told: &Told| now.saturating_duration_since(told.at) >= INTERVAL;
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if all.len() >= KEYS_MAX && !all.contains_key(&key) {
            all.retain(|_, told| !is_over(told));
        }
        let key = if all.len() < KEYS_MAX || all.contains_key(&key) { key } else { place };
        match all.get_mut(&key) {
            Some(told) if !is_over(told) => {
                told.held_back += 1;
                Verdict::HoldBack
            }
            Some(told) => {
                let repeated = told.held_back;
                *told = Told { at: now, held_back: 0 };
                Verdict::Tell { repeated }
            }
            None => {
                all.insert(key, Told { at: now, held_back: 0 });
                Verdict::Tell { repeated: 0 }
            }
        }
    }
}

/// What an event says, but for numbers and what looks like one: counts, times, and the ids that services give to requests.
struct Key(DefaultHasher);

impl Key {
    fn add(&mut self, field: &Field, text: &str) {
        field.name().hash(&mut self.0);
        if NAMES.contains(&field.name()) {
            text.hash(&mut self.0);
        } else {
            text.chars().filter(|c| !c.is_ascii_hexdigit()).for_each(|c| c.hash(&mut self.0));
        }
    }
}

impl Visit for Key {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.add(field, &format!("{value:?}"));
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        self.add(field, value);
    }

    fn record_u64(&mut self, _: &Field, _: u64) {}

    fn record_i64(&mut self, _: &Field, _: i64) {}

    fn record_u128(&mut self, _: &Field, _: u128) {}

    fn record_f64(&mut self, _: &Field, _: f64) {}
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn memory_is_bounded_and_what_finds_no_place_is_told_by_its_place_in_the_source() {
        let repeated = Repeated::default();
        let held_back = (0..100_000).filter(|key| repeated.judge_key(*key, u64::MAX) == Verdict::HoldBack).count();
        assert!(repeated.0.lock().unwrap().len() <= KEYS_MAX + 1);
        assert_eq!(held_back, 100_000 - KEYS_MAX - 1);
        tokio::time::advance(INTERVAL).await;
        assert_eq!(repeated.judge_key(200_000, u64::MAX), Verdict::Tell { repeated: 0 });
        assert_eq!(repeated.0.lock().unwrap().len(), 1);
    }
}
