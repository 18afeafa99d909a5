//! Counts of answered requests by service, operation and status, for tests that assert on traffic.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

use crate::faults::Service;

/// By service, then operation, then outcome: a status code, or the name of a fault that left no answer.
type Counts = BTreeMap<&'static str, BTreeMap<&'static str, BTreeMap<String, u64>>>;

/// The counters since the emulator started.
#[derive(Debug, Default)]
pub(crate) struct Counters {
    counts: Mutex<Counts>,
}

impl Counters {
    /// Counts one request.
    pub(crate) fn count(&self, service: Service, operation: &'static str, outcome: &str) {
        let mut counts = self.counts.lock().unwrap_or_else(PoisonError::into_inner);
        let outcomes = counts.entry(service.name()).or_default().entry(operation).or_default();
        match outcomes.get_mut(outcome) {
            Some(count) => *count += 1,
            None => {
                outcomes.insert(outcome.to_owned(), 1);
            }
        }
    }

    /// The counters as JSON: `{"cosmos":{"feed":{"200":3,"304":1}}}`.
    pub(crate) fn to_json(&self) -> String {
        let counts = self.counts.lock().unwrap_or_else(PoisonError::into_inner);
        serde_json::to_string(&*counts).unwrap_or_else(|_| "{}".to_owned())
    }
}
