//! How fast documents are read and written: request units per second, requests at a time, and patience.
//!
//! The number of requests at a time adapts to the answers (see [`Limit`]) up to what was asked for. A service that says it is asked
//! too much is asked again after the pause it wishes, however often: the work takes as long as the container's throughput makes it
//! take. Other failures that may pass are waited for as long as any command waits, and no
//! longer than that where the service answers nobody. Where the work is cancelled, no
//! request is made any more, and the pauses end.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::failure::{Action, Failure, Kind};
use crate::pace::RequestUnits;
use crate::pace::limit::{Limit, Outcome, Request};
use crate::retry::Backoff;

/// Pauses of one request together, those that the service asked for left out; beyond it the request has failed.
const PAUSES_TOTAL: Duration = Duration::from_secs(300);

/// Lets requests begin.
pub struct Pace {
    request_units: Arc<RequestUnits>,
    state: Mutex<State>,
    changed: Notify,
    cancel: CancellationToken,
}

struct State {
    limit: Limit,
    in_flight: usize,
    /// The first of the failures since the service last was of use, or said when it will be.
    silent_since: Option<Instant>,
}

/// A request did not succeed.
#[derive(Debug, Clone)]
pub(crate) enum Stopped {
    /// The service's last word.
    Failed(Failure),
    /// The work was cancelled before the service took it; whether an earlier attempt was done is not known.
    Cancelled,
}

impl From<Failure> for Stopped {
    fn from(failure: Failure) -> Self {
        Self::Failed(failure)
    }
}

impl Pace {
    /// At most `concurrency` requests at a time, as long as `cancel` lets them begin. What requests cost has to be taken
    /// from `request_units` by whoever makes them.
    pub fn new(request_units: Arc<RequestUnits>, concurrency: u32, cancel: CancellationToken) -> Self {
        let state = State { limit: Limit::new(concurrency), in_flight: 0, silent_since: None };
        Self { request_units, state: Mutex::new(state), changed: Notify::new(), cancel }
    }

    /// Makes a read, again and again while that may help.
    pub(crate) async fn read<T, F>(&self, work: impl FnMut() -> F) -> Result<T, Stopped>
    where
        F: Future<Output = Result<T, Failure>>,
    {
        self.run(Request::Head, work).await
    }

    /// Makes a write, again and again while that may help.
    pub(crate) async fn write<T, F>(&self, work: impl FnMut() -> F) -> Result<T, Stopped>
    where
        F: Future<Output = Result<T, Failure>>,
    {
        self.run(Request::Put, work).await
    }

    async fn run<T, F>(&self, request: Request, mut work: impl FnMut() -> F) -> Result<T, Stopped>
    where
        F: Future<Output = Result<T, Failure>>,
    {
        let (mut backoff, mut paused) = (Backoff::default(), Duration::ZERO);
        loop {
            let turn = tokio::select! {
                biased;
                () = self.cancel.cancelled() => return Err(Stopped::Cancelled),
                turn = self.turn() => turn,
            };
            let begun = Instant::now();
            let answer = work().await;
            self.answered(request, begun, &answer);
            drop(turn);
            let failure = match answer {
                Err(failure) if failure.kind.action() == Action::Retry => failure,
                answer => return answer.map_err(Stopped::Failed),
            };
            let pause = backoff.next(failure.retry_after);
            paused += if failure.throttled { Duration::ZERO } else { pause };
            if paused > PAUSES_TOTAL || (!failure.throttled && self.is_silent()) {
                return Err(Stopped::Failed(failure));
            }
            tracing::debug!(error = %failure, pause_ms = pause.as_millis(), "a request was not taken; trying again");
            tokio::select! {
                () = self.cancel.cancelled() => return Err(Stopped::Cancelled),
                () = tokio::time::sleep(pause) => {}
            }
        }
    }

    /// Whether every request has failed for as long as one alone is tried.
    fn is_silent(&self) -> bool {
        self.state().silent_since.is_some_and(|since| since.elapsed() > PAUSES_TOTAL)
    }

    async fn turn(&self) -> Turn<'_> {
        loop {
            self.request_units.wait().await;
            let changed = self.changed.notified();
            if self.begin() {
                return Turn(self);
            }
            changed.await;
        }
    }

    fn begin(&self) -> bool {
        let mut state = self.state();
        let free = state.in_flight < state.limit.current();
        state.in_flight += usize::from(free);
        free
    }

    fn answered<T>(&self, request: Request, begun: Instant, answer: &Result<T, Failure>) {
        let overloaded = answer.as_ref().is_err_and(|failure| failure.kind == Kind::Transient);
        let outcome = if overloaded { Outcome::Overloaded } else { Outcome::Answered };
        let mut state = self.state();
        let silent = answer.as_ref().is_err_and(|failure| failure.kind == Kind::Transient && !failure.throttled);
        state.silent_since = silent.then(|| state.silent_since.unwrap_or_else(Instant::now));
        let in_flight = state.in_flight;
        state.limit.on_answer(request, begun, Instant::now(), outcome, in_flight);
        // The limit may have grown by more than the place that becomes free.
        self.changed.notify_one();
    }

    fn state(&self) -> std::sync::MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

struct Turn<'a>(&'a Pace);

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        let mut state = self.0.state();
        state.in_flight = state.in_flight.saturating_sub(1);
        drop(state);
        self.0.changed.notify_one();
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use futures::future::join_all;

    use super::*;

    fn pace(request_units: u32, concurrency: u32) -> (Pace, Arc<RequestUnits>) {
        let budget = Arc::new(RequestUnits::new(request_units));
        (Pace::new(Arc::clone(&budget), concurrency, CancellationToken::new()), budget)
    }

    fn throttled(wait: u64) -> Failure {
        Failure::new(Kind::Transient, "429").retry_after(Some(Duration::from_secs(wait))).throttled()
    }

    #[tokio::test(start_paused = true)]
    async fn writes_take_as_long_as_their_request_units_ask_for() {
        let (pace, budget) = pace(100, 16);
        let begun = Instant::now();
        let write = async || {
            pace.write(async || {
                budget.spend(10.0);
                Ok(())
            })
            .await
        };
        let done = join_all((0..210).map(|_| write())).await;
        assert!(done.iter().all(Result::is_ok));
        // 2,100 request units, of which one second's worth was saved up and some of the last are owed.
        let took = begun.elapsed().as_secs_f64();
        assert!((18.0..=21.0).contains(&took), "{took}");
    }

    #[tokio::test(start_paused = true)]
    async fn a_busy_service_is_asked_for_as_long_as_it_takes_and_less_at_a_time() {
        let (pace, _) = pace(0, 16);
        let (asked, now, most) = (Cell::new(0), Cell::new(0), Cell::new(0));
        let begun = Instant::now();
        let write = async || {
            pace.write(async || {
                now.set(now.get() + 1);
                most.set(most.get().max(now.get()));
                tokio::time::sleep(Duration::from_millis(5)).await;
                now.set(now.get() - 1);
                asked.set(asked.get() + 1);
                if asked.get() <= 100 { Err(throttled(60)) } else { Ok(()) }
            })
            .await
        };
        assert!(join_all((0..20).map(|_| write())).await.iter().all(Result::is_ok));
        assert!(begun.elapsed() > PAUSES_TOTAL, "{:?}", begun.elapsed());
        assert_eq!((asked.get(), most.get()), (120, 16));
    }

    #[tokio::test(start_paused = true)]
    async fn patience_with_other_failures_ends() {
        let (pace, _) = pace(0, 1);
        let fails = pace.read(async || Err::<(), _>(Failure::new(Kind::Transient, "503"))).await;
        assert!(matches!(fails, Err(Stopped::Failed(_))));
    }

    #[tokio::test(start_paused = true)]
    async fn cancelling_ends_the_pauses_and_lets_nothing_begin() {
        let (pace, _) = pace(0, 1);
        let asked = Cell::new(0);
        let write = pace.write(async || {
            asked.set(asked.get() + 1);
            pace.cancel.cancel();
            Err::<(), _>(throttled(60))
        });
        assert!(matches!(write.await, Err(Stopped::Cancelled)));
        let later = pace.write(async || -> Result<(), Failure> { panic!("it began") }).await;
        assert!(matches!(later, Err(Stopped::Cancelled)) && asked.get() == 1);
    }

    #[tokio::test(start_paused = true)]
    async fn a_service_that_answers_nobody_is_waited_for_as_long_as_one_request_is() {
        let (pace, _) = pace(0, 16);
        let begun = Instant::now();
        let fails = async || {
            pace.read(async || {
                tokio::time::sleep(Duration::from_secs(30)).await;
                Err::<(), _>(Failure::new(Kind::Transient, "time-out"))
            })
            .await
        };
        let failed = join_all((0..16).map(|_| fails())).await;
        assert!(failed.iter().all(Result::is_err));
        let took = begun.elapsed();
        assert!(took > PAUSES_TOTAL && took < PAUSES_TOTAL * 4, "{took:?}");
    }
}
