//! How many requests may be in flight at a time, decided by their answers. Pure: it is told the time.
//!
//! Additive increase, multiplicative decrease, as TCP does it (RFC 5681): below its threshold the limit grows by one with each
//! answer, above it by one per round trip; when a service asks for less or does not answer, the limit and the threshold fall to half of
//! it. All requests under way at that moment meet the same trouble, so only one that was begun after a decrease may bring about the
//! next one: once per round trip, not once per failed request. A limit that was not used says nothing, so it does not grow then
//! (RFC 7661).
//!
//! A service that is near its limits slows down before it refuses. The limit therefore does not grow while answers take more than
//! twice as long as they usually do (the idea of the gradient in Netflix's concurrency-limits). Each kind of request is held against
//! its own usual time, so a listing among puts does not look like a slow put.

use std::time::Duration;

use tokio::time::Instant;

/// Where it begins, so that a process that starts beside others does not begin with a burst.
const LIMIT_START: f64 = 16.0;
/// The factor of a decrease, RFC 5681.
const DECREASE: f64 = 0.5;
/// Growth pauses while answers take more than so many times their usual time.
const SLOW: f64 = 2.0;
/// How much of a new answer goes into the present slowness.
const RECENT_PART: f64 = 0.1;
/// In this time what is slow becomes the usual, whatever the number of answers: the same service may have moved further away.
const USUAL_PERIOD: Duration = Duration::from_secs(30);

/// Kinds of requests, which take different times.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Request {
    /// A version with its bytes.
    Put,
    /// What is current.
    Head,
    /// A page of names or versions.
    List,
}

/// What came of a request, as far as it tells of the service's load.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// The service did, or refused, what was asked for.
    Answered,
    /// It asked for less, broke, or did not answer in time.
    Overloaded,
}

/// The limit.
#[derive(Debug, Clone)]
pub struct Limit {
    max: f64,
    now: f64,
    /// Above it growth is slow.
    threshold: f64,
    decreased: Option<Instant>,
    /// Per kind of request, in seconds, and when it was last corrected; none before the first answer.
    usual: [Option<(f64, Instant)>; 3],
    /// How much longer than usual answers take at present; 1 is as usual.
    slowness: f64,
}

impl Limit {
    /// A limit between 1 and `max`.
    pub fn new(max: u32) -> Self {
        let max = f64::from(max.max(1));
        Self { max, now: LIMIT_START.min(max), threshold: max, decreased: None, usual: [None; 3], slowness: 1.0 }
    }

    /// How many requests may be in flight.
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "it lies between 1 and a u32")]
    pub fn current(&self) -> usize {
        self.now as usize
    }

    /// A request begun at `begun`, with `in_flight` under way including itself, was answered at `answered`.
    pub fn on_answer(
        &mut self,
        request: Request,
        begun: Instant,
        answered: Instant,
        outcome: Outcome,
        in_flight: usize,
    ) {
        match outcome {
            Outcome::Overloaded => {
                if self.decreased.is_none_or(|at| begun >= at) {
                    self.now = (self.now * DECREASE).max(1.0);
                    self.threshold = self.now;
                    self.decreased = Some(answered);
                }
            }
            Outcome::Answered => {
                self.learn(request, begun, answered);
                // Half of it in use counts as used: requests come and go.
                if in_flight * 2 >= self.current() && self.slowness < SLOW {
                    let step = if self.now < self.threshold { 1.0 } else { 1.0 / self.now };
                    self.now = (self.now + step).min(self.max);
                }
            }
        }
    }

    fn learn(&mut self, request: Request, begun: Instant, answered: Instant) {
        // Below a millisecond differences are noise of this host.
        let seconds = answered.duration_since(begun).as_secs_f64().max(0.001);
        let (usual, corrected) = self.usual[request as usize].get_or_insert((seconds, answered));
        self.slowness += (seconds / *usual - self.slowness) * RECENT_PART;
        // What is faster than usual is believed sooner: the first answers come over new connections.
        let waited = answered.saturating_duration_since(*corrected).as_secs_f64();
        let part = if seconds < *usual { RECENT_PART } else { (waited / USUAL_PERIOD.as_secs_f64()).min(1.0) };
        *usual += (seconds - *usual) * part;
        *corrected = answered;
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const ROUND_TRIP: Duration = Duration::from_millis(20);

    /// So many round trips with the limit in use; each answer is what `outcome` says of its number.
    fn run(limit: &mut Limit, at: &mut Instant, trips: usize, took: Duration, outcome: impl Fn(usize) -> Outcome) {
        for _ in 0..trips {
            let (begun, in_flight) = (*at, limit.current());
            *at += took;
            for n in 0..in_flight {
                limit.on_answer(Request::Put, begun, *at, outcome(n), in_flight);
            }
        }
    }

    #[test]
    fn it_grows_to_its_maximum_while_all_is_well() {
        let (mut limit, mut at) = (Limit::new(64), Instant::now());
        assert_eq!(limit.current(), 16);
        run(&mut limit, &mut at, 2, ROUND_TRIP, |_| Outcome::Answered);
        assert_eq!(limit.current(), 64);
        run(&mut limit, &mut at, 10, ROUND_TRIP, |_| Outcome::Answered);
        assert_eq!(limit.current(), 64);
    }

    #[test]
    fn it_halves_once_per_round_trip_however_many_requests_fail() {
        let (mut limit, mut at) = (Limit::new(64), Instant::now());
        run(&mut limit, &mut at, 2, ROUND_TRIP, |_| Outcome::Answered);
        for expected in [32, 16, 8, 4, 2, 1, 1] {
            run(&mut limit, &mut at, 1, ROUND_TRIP, |_| Outcome::Overloaded);
            assert_eq!(limit.current(), expected);
        }
    }

    #[test]
    fn after_a_decrease_it_grows_by_one_per_round_trip() {
        let (mut limit, mut at) = (Limit::new(64), Instant::now());
        run(&mut limit, &mut at, 2, ROUND_TRIP, |_| Outcome::Answered);
        run(&mut limit, &mut at, 1, ROUND_TRIP, |n| if n == 3 { Outcome::Overloaded } else { Outcome::Answered });
        let begin = limit.current();
        assert!((32..36).contains(&begin), "{begin}");
        run(&mut limit, &mut at, 10, ROUND_TRIP, |_| Outcome::Answered);
        assert!((begin + 8..=begin + 11).contains(&limit.current()), "{}", limit.current());
    }

    #[test]
    fn it_does_not_grow_while_answers_take_long_or_nobody_needs_it() {
        let (mut limit, mut at) = (Limit::new(256), Instant::now());
        run(&mut limit, &mut at, 1, ROUND_TRIP, |_| Outcome::Answered);
        run(&mut limit, &mut at, 2, ROUND_TRIP * 10, |_| Outcome::Answered);
        let slow = limit.current();
        run(&mut limit, &mut at, 2, ROUND_TRIP * 10, |_| Outcome::Answered);
        assert_eq!(limit.current(), slow);
        let mut idle = Limit::new(64);
        for _ in 0..1_000 {
            idle.on_answer(Request::Put, at, at + ROUND_TRIP, Outcome::Answered, 1);
        }
        assert_eq!(idle.current(), 16);
    }

    #[test]
    fn a_slow_listing_among_puts_is_not_taken_for_a_slow_service() {
        let (mut limit, at) = (Limit::new(64), Instant::now());
        for n in 0..200 {
            let (request, took) = if n % 3 == 0 { (Request::List, 50) } else { (Request::Put, 1) };
            limit.on_answer(request, at, at + ROUND_TRIP * took, Outcome::Answered, 64);
        }
        assert_eq!(limit.current(), 64);
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 24, ..ProptestConfig::default() })]

        #[test]
        fn it_stays_within_its_bounds_and_every_trouble_is_recovered_from(
            max in 1u32..100, answers in prop::collection::vec((any::<bool>(), 0u64..5_000, 0usize..300), 0..300),
        ) {
            let (mut limit, mut at) = (Limit::new(max), Instant::now());
            for (well, milliseconds, in_flight) in answers {
                let begun = at;
                at += Duration::from_millis(milliseconds);
                let outcome = if well { Outcome::Answered } else { Outcome::Overloaded };
                let before = limit.current();
                limit.on_answer(Request::Put, begun, at, outcome, in_flight);
                prop_assert!((1..=max as usize).contains(&limit.current()));
                let right_way = if well { limit.current() >= before } else { limit.current() <= before };
                prop_assert!(right_way);
            }
            run(&mut limit, &mut at, 10_000, ROUND_TRIP, |_| Outcome::Answered);
            prop_assert_eq!(limit.current(), max as usize);
        }
    }
}
