//! The requests to the target, of all ranges: as many at a time as the [`Limit`] allows, served in the order in which they came.
//!
//! Who has a [`Turn`] makes one request and reports its answer. A turn that is dropped without one tells nothing, and lets the
//! next one begin.

use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::Notify;
use tokio::time::Instant;

use super::limit::{Limit, Outcome, Request};
use crate::admin::FlowMetrics;
use crate::failure::{Failure, Kind};

/// Lets requests begin.
pub struct Requests {
    state: Mutex<State>,
    /// Held by the first in line. A fair lock, so the line is served in order.
    line: tokio::sync::Mutex<()>,
    max: u32,
    changed: Notify,
    metrics: FlowMetrics,
}

struct State {
    limit: Limit,
    in_flight: usize,
}

/// The right to make one request.
pub struct Turn<'a> {
    requests: &'a Requests,
    request: Request,
    begun: Instant,
}

impl Requests {
    /// Up to `max` requests at a time.
    pub fn new(max: u32, metrics: FlowMetrics) -> Arc<Self> {
        let state = State { limit: Limit::new(max), in_flight: 0 };
        state.show(&metrics);
        let (line, changed) = (tokio::sync::Mutex::new(()), Notify::new());
        Arc::new(Self { state: Mutex::new(state), line, max, changed, metrics })
    }

    /// How many there may be at most.
    pub fn max(&self) -> usize {
        self.max as usize
    }

    /// Waits until a request may begin.
    pub async fn turn(&self, request: Request) -> Turn<'_> {
        let _first = self.line.lock().await;
        loop {
            // Only the first in line waits here; a notice that came before is kept for it.
            if self.begin() {
                return Turn { requests: self, request, begun: Instant::now() };
            }
            self.changed.notified().await;
        }
    }

    fn begin(&self) -> bool {
        let mut state = self.state();
        let free = state.in_flight < state.limit.current();
        state.in_flight += usize::from(free);
        state.show(&self.metrics);
        free
    }

    fn state(&self) -> std::sync::MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn show(&self, metrics: &FlowMetrics) {
        let number = |count: usize| i64::try_from(count).unwrap_or(i64::MAX);
        metrics.requests_in_flight.set(number(self.in_flight));
        metrics.requests_in_flight_limit.set(number(self.limit.current()));
    }
}

impl Turn<'_> {
    /// The request was answered, or was given up.
    pub fn answered<T>(self, answer: &Result<T, Failure>) {
        let failure = answer.as_ref().err();
        if failure.is_some_and(|failure| failure.throttled) {
            self.requests.metrics.throttles_target.inc();
        }
        let outcome = match failure {
            Some(failure) if failure.kind == Kind::Transient => Outcome::Overloaded,
            _ => Outcome::Answered,
        };
        let mut state = self.requests.state();
        let in_flight = state.in_flight;
        state.limit.on_answer(self.request, self.begun, Instant::now(), outcome, in_flight);
    }
}

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        let mut state = self.requests.state();
        state.in_flight = state.in_flight.saturating_sub(1);
        state.show(&self.requests.metrics);
        drop(state);
        self.requests.changed.notify_one();
    }
}

#[cfg(test)]
mod tests {
    use futures::FutureExt as _;

    use super::*;
    use crate::admin::Metrics;

    fn requests(max: u32) -> Arc<Requests> {
        Requests::new(max, Metrics::new([("db", "c")]).flow())
    }

    #[tokio::test(start_paused = true)]
    async fn no_more_than_the_limit_are_in_flight_and_the_line_is_served_in_order() {
        let requests = requests(2);
        let first = requests.turn(Request::Put).await;
        let second = requests.turn(Request::Head).await;
        let (third, fourth) = (requests.turn(Request::List), requests.turn(Request::Put));
        tokio::pin!(third, fourth);
        assert!(third.as_mut().now_or_never().is_none() && fourth.as_mut().now_or_never().is_none());
        first.answered(&Ok::<_, Failure>(()));
        assert!(fourth.as_mut().now_or_never().is_none(), "the third came before");
        let third = third.now_or_never().unwrap();
        assert_eq!(requests.metrics.requests_in_flight.get(), 2);
        drop((second, third));
        drop(fourth.now_or_never().unwrap());
        assert_eq!(requests.metrics.requests_in_flight.get(), 0);
    }

    #[tokio::test(start_paused = true)]
    async fn throttling_is_counted_and_lowers_the_limit_and_a_conflict_does_neither() {
        let requests = requests(8);
        let failed = |kind| Err::<(), _>(Failure::new(kind, "no"));
        requests.turn(Request::Put).await.answered(&failed(Kind::Conflict));
        assert_eq!(requests.metrics.requests_in_flight_limit.get(), 8);
        let throttled = failed(Kind::Transient).map_err(Failure::throttled);
        requests.turn(Request::Put).await.answered(&throttled);
        assert_eq!(requests.metrics.requests_in_flight_limit.get(), 4);
        assert_eq!(requests.metrics.throttles_target.get(), 1);
    }

    #[tokio::test(start_paused = true)]
    async fn who_leaves_the_line_holds_up_nobody() {
        let requests = requests(1);
        let first = requests.turn(Request::Put).await;
        {
            let leaves = requests.turn(Request::Put);
            tokio::pin!(leaves);
            assert!(leaves.as_mut().now_or_never().is_none());
            drop(first);
        }
        assert!(requests.turn(Request::Put).now_or_never().is_some());
    }
}
