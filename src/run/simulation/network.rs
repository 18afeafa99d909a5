//! What lies between a process and the service: delays, lost requests, lost answers.
//!
//! A request first waits within its process, where a frozen process keeps it and a crash loses it. Once it is under way it belongs to
//! the network, which delivers it whatever becomes of the process, and perhaps long after its sender has given up.

use std::time::Duration;

use tokio::sync::oneshot;
use tokio::time::sleep;

use super::process::Life;
use super::world::{Service, World};
use crate::failure::{Failure, Kind};

/// How one of the services answers.
#[derive(Debug, Clone, Copy)]
pub(super) struct Climate {
    /// Longest way there.
    pub(super) delay_max: Duration,
    /// How many requests in a hundred meet with something worse.
    pub(super) faults: u32,
}

/// How the services answer at present.
#[derive(Debug, Clone, Copy)]
pub(super) struct Weather {
    pub(super) feed: Climate,
    pub(super) leases: Climate,
    pub(super) store: Climate,
}

impl Weather {
    /// Quick answers and no faults.
    pub(super) fn calm() -> Self {
        let climate = Climate { delay_max: Duration::from_millis(20), faults: 0 };
        Self { feed: climate, leases: climate, store: climate }
    }
}

/// What becomes of a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fate {
    Answered,
    /// Refused before it had an effect.
    Refused,
    /// Refused before it had an effect, with a pause to keep.
    Throttled(Duration),
    /// Done, and the connection breaks.
    Reset,
    /// Done, and nothing is heard of it.
    Silent,
    /// Lost on the way there.
    Vanished,
}

struct Trip {
    unsent: Duration,
    there: Duration,
    back: Duration,
    fate: Fate,
}

impl Trip {
    fn draw(world: &mut World, climate: Climate, limit: Duration) -> Self {
        let slow = climate.faults > 0;
        let mut trip = Self {
            unsent: if slow && world.chance(5) { world.up_to(Duration::from_secs(2)) } else { Duration::ZERO },
            there: world.up_to(climate.delay_max) + Duration::from_millis(1),
            back: world.up_to(climate.delay_max / 4),
            fate: Fate::Answered,
        };
        if world.chance(climate.faults) {
            match world.random.u32(0..12) {
                0..3 => trip.fate = Fate::Refused,
                3 => trip.fate = Fate::Throttled(world.up_to(Duration::from_secs(10))),
                4..8 => trip.fate = Fate::Reset,
                8 => trip.fate = Fate::Silent,
                9 => trip.fate = Fate::Vanished,
                _ => trip.there = limit.mul_f64(0.5) + world.up_to(limit),
            }
        }
        trip
    }
}

/// Sends a request that is done at the service by `apply`, and waits for the answer no longer than `limit`.
pub(super) async fn travel<T: Send + 'static>(
    service: &Service,
    life: &Life,
    climate: impl Fn(&Weather) -> Climate,
    limit: Duration,
    apply: impl FnOnce(&mut World) -> Result<T, Failure> + Send + 'static,
) -> Result<T, Failure> {
    let trip = {
        let mut world = service.world();
        world.count_request();
        let climate = climate(&world.weather);
        Trip::draw(&mut world, climate, limit)
    };
    life.count_request();
    let journey = async {
        if !trip.unsent.is_zero() {
            sleep(trip.unsent).await;
        }
        let (answer, answered) = oneshot::channel();
        let at_service = service.clone();
        service.network.spawn(async move {
            sleep(trip.there).await;
            let result = match trip.fate {
                Fate::Refused => Err(Failure::new(Kind::Transient, "refused")),
                Fate::Throttled(pause) => Err(Failure::new(Kind::Transient, "throttled").retry_after(Some(pause))),
                Fate::Vanished => return keep_silent(answer).await,
                _ => apply(&mut at_service.world()),
            };
            match trip.fate {
                Fate::Silent => return keep_silent(answer).await,
                Fate::Reset => return drop(answer),
                _ => {}
            }
            if !trip.back.is_zero() {
                sleep(trip.back).await;
            }
            // The process may be gone.
            let _ = answer.send(result);
        });
        answered.await.unwrap_or_else(|_| Err(Failure::new(Kind::Transient, "the connection was reset")))
    };
    let answer = tokio::time::timeout(limit, journey).await;
    life.count_request();
    answer.unwrap_or_else(|_| Err(Failure::new(Kind::Transient, "no answer in time")))
}

/// Holds a request's answer for longer than anybody waits.
async fn keep_silent<T>(answer: oneshot::Sender<T>) {
    sleep(Duration::from_secs(60)).await;
    drop(answer);
}
