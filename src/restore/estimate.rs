//! What applying a plan is going to cost, as far as that can be told beforehand.
//!
//! Every step reads the document (for the undo), writes it and reads it back. By "Request Units in Azure Cosmos DB" a point read of 1 KB
//! takes 1 request unit and a write of 1 KB with the default indexing about 5; a replacement removes index entries and adds others, so
//! it is about twice that. All grow with size. Indexing policies, consistency and key sizes shift this, so it is an estimate
//! and errs on the high side.

use std::time::Duration;

use cosmirror_formats::restore_plan::{Action, Step};

use super::DOCUMENTS_AT_ONCE;

const READ: f64 = 1.0;
const CREATE: f64 = 5.5;
const REPLACE: f64 = 10.7;
const DELETE: f64 = 5.5;
/// A read, a write and a read.
const REQUESTS_PER_STEP: u64 = 3;

/// The cost of the steps so far.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Estimate {
    /// Request units.
    pub request_units: f64,
    /// Requests.
    pub requests: u64,
}

/// What an estimate of time rests on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Basis {
    /// The configured budget of request units.
    Budget,
    /// The time that the plan's own requests took.
    Latency,
}

impl Estimate {
    /// Adds a step.
    pub fn add(&mut self, step: &Step) {
        let bytes = step.content.as_ref().map_or(1, |content| content.bytes);
        #[expect(clippy::cast_precision_loss, reason = "a document has a few megabytes at most")]
        let kilobytes = bytes.div_ceil(1024).max(1) as f64;
        self.request_units += match step.action {
            // What is not there is found missing for the price of the smallest read.
            Action::Create => READ + CREATE * kilobytes + READ * kilobytes,
            Action::Replace => READ * kilobytes + REPLACE * kilobytes + READ * kilobytes,
            Action::Delete => READ + DELETE + READ,
        };
        self.requests += REQUESTS_PER_STEP;
    }

    /// How long that takes, and what this rests on; nothing where neither a budget is set nor a request was made.
    pub fn time(&self, units_per_second: u32, latency: Option<Duration>) -> Option<(Duration, Basis)> {
        if units_per_second > 0 {
            return Some((Duration::from_secs_f64(self.request_units / f64::from(units_per_second)), Basis::Budget));
        }
        #[expect(clippy::cast_precision_loss, reason = "an estimate")]
        let rounds = self.requests as f64 / DOCUMENTS_AT_ONCE as f64;
        latency.map(|latency| (latency.mul_f64(rounds), Basis::Latency))
    }
}

impl std::ops::AddAssign for Estimate {
    fn add_assign(&mut self, other: Self) {
        self.request_units += other.request_units;
        self.requests += other.requests;
    }
}

#[cfg(test)]
mod tests {
    use cosmirror_formats::restore_plan::Content;
    use serde_json::json;

    use super::*;

    fn step(action: Action, bytes: u64) -> Step {
        let content = Content {
            name: String::new(),
            version: None,
            identity: String::new(),
            ts: 0,
            sha256: String::new(),
            bytes,
            encryption: None,
        };
        let content = (action != Action::Delete).then_some(content);
        Step { part: 0, action, id: String::new(), partition_key: json!(["p"]), etag: None, content }
    }

    #[test]
    fn every_step_is_a_read_a_write_and_a_read() {
        let units = |action, bytes| {
            let mut estimate = Estimate::default();
            estimate.add(&step(action, bytes));
            assert_eq!(estimate.requests, 3);
            estimate.request_units
        };
        assert!((units(Action::Create, 1) - 7.5).abs() < 1e-9);
        assert!((units(Action::Replace, 2048) - 25.4).abs() < 1e-9);
        assert!((units(Action::Delete, 0) - 7.5).abs() < 1e-9);
    }

    #[test]
    fn a_budget_decides_before_the_measured_latency() {
        let estimate = Estimate { request_units: 1000.0, requests: 160 };
        let latency = Some(Duration::from_millis(10));
        assert_eq!(estimate.time(100, latency), Some((Duration::from_secs(10), Basis::Budget)));
        assert_eq!(estimate.time(0, latency), Some((Duration::from_millis(100), Basis::Latency)));
        assert_eq!(estimate.time(0, None), None);
    }
}
