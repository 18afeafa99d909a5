//! What happens in a run, by its seed: disturbances, then quiet, then what must be true in the end.
//!
//! Which kinds of disturbance a run has is drawn first, because some faults show only where others leave them alone.

use std::collections::BTreeMap;
use std::time::Duration;

use tokio::time::{Instant, sleep_until};

use super::network::{Climate, Weather};
use super::oracle;
use super::process::{Life, Process, Setup};
use super::world::{Service, World};
use crate::config;
use crate::failure::{Action, Failure};
use crate::pace::bytes::{BYTES_IN_FLIGHT_MIN, PAGE_BYTES};

mod quiet;

/// How long a replica may take to drain before it is killed.
const DRAIN_DEADLINE: Duration = Duration::from_secs(25);
const REPLICAS_MAX: usize = 5;
const RANGES_MAX: usize = 32;
/// How many runs in a hundred follow the feed of newest versions.
const LATEST_VERSION_PERCENT: u32 = 35;
/// In how many runs in a hundred leases are removed by somebody.
const LOST_LEASES_PERCENT: u32 = 20;
/// In how many runs in a hundred the feed of all versions goes back no longer than an outage.
const RETENTION_PERCENT: u32 = 15;

/// Something that happens.
#[derive(Debug, Clone)]
enum Event {
    Split,
    Merge,
    LoseLease,
    Crash,
    Doom,
    Freeze(Duration),
    Thaw(Life),
    Storm(Which, Climate),
    Start,
    Leave,
    Kill(Life),
    Commit,
}

/// Which service.
#[derive(Debug, Clone, Copy)]
enum Which {
    Feed,
    Leases,
    Store,
}

/// A run.
pub(super) struct Script {
    service: Service,
    setup: Setup,
    processes: Vec<Process>,
    started: usize,
    agenda: BTreeMap<(Duration, usize), Event>,
    events: usize,
    /// Mean pause between transactions.
    pause: Duration,
    begun: Instant,
}

impl Script {
    /// Draws a run. The world is as it was before the first replica.
    pub(super) fn draw(service: &Service) -> Self {
        let mut world = service.world();
        let world = &mut *world;
        if world.chance(LATEST_VERSION_PERCENT) {
            world.mode = config::FeedMode::LatestVersion;
        }
        let ranges = if world.chance(10) { world.random.usize(9..=RANGES_MAX) } else { world.random.usize(1..=8) };
        world.cut(ranges);
        let documents = world.random.usize(3..=30);
        world.add_documents(documents, &service.paths);
        for _ in 0..world.random.usize(0..=40) {
            commit(world);
        }
        if world.chance(70) {
            world.lag_max = Duration::from_secs(3);
        }
        world.lease_ttl = world.chance(50);
        if world.chance(RETENTION_PERCENT) {
            world.retention = Some(Duration::from_secs(world.random.u64(30..=120)));
        }
        let setup = setup(world);
        let pause = Duration::from_millis(world.random.u64(150..=2_000));
        let mut script = Self {
            service: service.clone(),
            setup,
            processes: Vec::new(),
            started: 0,
            agenda: BTreeMap::new(),
            events: 0,
            pause,
            begun: Instant::now(),
        };
        script.plan(world);
        script
    }

    fn at(&mut self, when: Duration, event: Event) {
        self.events += 1;
        self.agenda.insert((when, self.events), event);
    }

    /// Draws the disturbances.
    fn plan(&mut self, world: &mut World) {
        let length = Duration::from_secs(world.random.u64(60..=240));
        let replicas = world.random.usize(1..=REPLICAS_MAX);
        // The container is in use before anybody follows it.
        let lead = world.up_to(Duration::from_secs(6));
        for _ in 0..replicas {
            // All at once, or one after the other.
            let spread = if world.random.bool() { Duration::from_millis(50) } else { length / 2 };
            let when = lead + world.up_to(spread);
            self.at(when, Event::Start);
        }
        self.at(Duration::ZERO, Event::Commit);
        type Draw = fn(&mut World) -> Event;
        world.robs = world.chance(LOST_LEASES_PERCENT);
        if world.robs {
            for _ in 0..world.random.usize(1..=2) {
                let when = lead + world.up_to(length);
                self.at(when, Event::LoseLease);
            }
        }
        let kinds: [(Draw, usize); 10] = [
            (|_| Event::Split, 5),
            (|_| Event::Merge, 4),
            (|_| Event::Crash, 3),
            (|_| Event::Doom, 4),
            (|world| Event::Freeze(world.expiration.mul_f64(world.random.f64() * 0.7)), 3),
            (|world| Event::Freeze(world.expiration.mul_f64(0.8 + world.random.f64() * 1.4)), 2),
            (|world| Event::Storm(Which::Leases, storm(world)), 3),
            (|world| Event::Storm(Which::Store, storm(world)), 4),
            (|world| Event::Storm(Which::Feed, storm(world)), 2),
            (|_| Event::Leave, 2),
        ];
        for (draw, count_max) in kinds {
            if world.chance(55) {
                for _ in 0..world.random.usize(1..=count_max) {
                    let (when, event) = (world.up_to(length), draw(world));
                    self.at(when, event);
                }
            }
        }
        if world.chance(40) {
            let when = world.up_to(length);
            self.at(when, Event::Start);
        }
        // Splits and merges while the first replica finds its way.
        if world.chance(40) {
            let when = lead + world.up_to(Duration::from_secs(3));
            self.at(when, Event::Split);
        }
    }

    /// Plays it to its end, or until the oracle finds something.
    pub(super) async fn play(mut self) {
        let stop = self.service.stop.clone();
        tokio::select! {
            biased;
            () = stop.cancelled() => {}
            () = self.acts() => {}
        }
    }

    async fn acts(&mut self) {
        self.disturb().await;
        self.come_to_an_end().await;
    }

    async fn disturb(&mut self) {
        while let Some(((when, _), event)) = self.agenda.pop_first() {
            sleep_until(self.begun + when).await;
            self.reap().await;
            // Traffic alone does not keep a run going.
            if matches!(event, Event::Commit) && self.agenda.is_empty() {
                return;
            }
            self.happen(event, when);
        }
    }

    fn happen(&mut self, event: Event, now: Duration) {
        let service = self.service.clone();
        if !matches!(event, Event::Commit) {
            service.world().note(|| format!("{event:?}"));
            self.ask();
        }
        match event {
            Event::LoseLease => service.world().lose_lease(),
            Event::Split | Event::Merge => change_ranges(&mut service.world(), matches!(event, Event::Split)),
            Event::Crash => {
                let Some(life) = self.some_life() else { return };
                life.crash();
            }
            Event::Doom => {
                let Some(life) = self.some_life() else { return };
                life.doom(service.world().random.u32(1..60));
            }
            Event::Freeze(length) => {
                let Some(life) = self.some_life() else { return };
                service.world().note(|| format!("freeze {}", life.name));
                life.freeze();
                self.at(now + length, Event::Thaw(life));
            }
            Event::Thaw(life) => life.thaw(),
            Event::Storm(which, climate) => {
                let length = if climate.faults > 0 { service.world().random.u64(5..=80) } else { 0 };
                let weather = &mut service.world().weather;
                *match which {
                    Which::Feed => &mut weather.feed,
                    Which::Leases => &mut weather.leases,
                    Which::Store => &mut weather.store,
                } = climate;
                if length > 0 {
                    let calm = Weather::calm().store;
                    self.at(now + Duration::from_secs(length), Event::Storm(which, calm));
                }
            }
            Event::Start => self.start(),
            Event::Leave => {
                let Some(place) = self.some_place() else { return };
                let (life, drain) = (self.processes[place].life.clone(), self.processes[place].drain.clone());
                drain.cancel();
                self.at(now + DRAIN_DEADLINE, Event::Kill(life));
            }
            Event::Kill(life) => life.crash(),
            Event::Commit => {
                let mut world = service.world();
                commit(&mut world);
                let pause = world.up_to(self.pause * 2);
                drop(world);
                self.at(now + pause, Event::Commit);
            }
        }
    }

    /// Asks the mirror for some instants.
    fn ask(&self) {
        let mut world = self.service.world();
        if let Some(why) = oracle::untrue(&mut world) {
            world.violated(why);
        }
    }

    fn start(&mut self) {
        if self.processes.len() >= REPLICAS_MAX {
            return;
        }
        self.started += 1;
        let skew_ms = self.service.world().random.i64(-30_000..=30_000);
        let setup = Setup { skew_ms, ..self.setup.clone() };
        self.processes.push(Process::start(&self.service, &format!("replica-{}", self.started), &setup));
    }

    fn some_place(&self) -> Option<usize> {
        let count = self.processes.len();
        (count > 0).then(|| self.service.world().random.usize(0..count))
    }

    fn some_life(&self) -> Option<Life> {
        Some(self.processes[self.some_place()?].life.clone())
    }

    /// Looks for processes that ended; one that crashed comes back, under another name and after a while.
    async fn reap(&mut self) {
        let mut ended = Vec::new();
        for place in (0..self.processes.len()).rev() {
            if self.processes[place].root.is_finished() {
                ended.push(self.processes.remove(place));
            }
        }
        for process in ended {
            let name = process.life.name.clone();
            let returns = match process.root.await {
                Ok(Ok(())) => false,
                Ok(Err(failure)) => self.judge(&name, &failure),
                Err(error) if error.is_panic() => {
                    self.service.world().violated(format!("{name} panicked"));
                    false
                }
                Err(_) => !process.drain.is_cancelled(),
            };
            self.service.world().note(|| format!("{name} has ended"));
            if returns {
                let pause = self.service.world().up_to(Duration::from_secs(30));
                self.at(self.begun.elapsed() + pause, Event::Start);
            }
        }
    }

    /// Whether a process that ended with a failure is started again.
    fn judge(&self, name: &str, failure: &Failure) -> bool {
        if failure.kind.action() != Action::Retry {
            self.service.world().violated(format!("{name} ended: {:?} {failure}", failure.kind));
        }
        true
    }
}

fn setup(world: &mut World) -> Setup {
    let poll_interval = Duration::from_secs(world.random.u64(1..=4));
    let expiration = Duration::from_secs([20, 30, 60][world.random.usize(0..3)]);
    world.expiration = expiration;
    world.reconciles = world.mode == config::FeedMode::LatestVersion && world.chance(80);
    let interval = Duration::from_secs(world.random.u64(15..=90));
    Setup {
        reconcile_interval: if world.reconciles { interval } else { Duration::ZERO },
        poll_interval,
        poll_interval_idle_max: poll_interval * world.random.u32(1..=6),
        leases: config::Leases {
            // The relations of the defaults.
            acquire_interval: expiration.mul_f64(13.0 / 60.0),
            renew_interval: expiration.mul_f64(17.0 / 60.0),
            expiration,
            ..config::Leases::default()
        },
        requests: if world.chance(30) { 1 } else { world.random.u32(2..=64) },
        pages: world.random.u64(BYTES_IN_FLIGHT_MIN / PAGE_BYTES..=32),
        skew_ms: 0,
    }
}

fn storm(world: &mut World) -> Climate {
    let delay_max = [200, 2_000, 12_000, 20_000][world.random.usize(0..4)];
    let faults = [5, 20, 50, 90][world.random.usize(0..4)];
    Climate { delay_max: Duration::from_millis(delay_max), faults }
}

/// Commits a transaction of one or more documents of one partition key.
fn commit(world: &mut World) {
    let count = world.documents.len();
    let first = world.random.usize(0..count);
    let mut documents = vec![first];
    if world.chance(20) {
        let others = (0..count).filter(|&other| other != first);
        documents.extend(others.filter(|&other| world.documents[other].pk == world.documents[first].pk));
    }
    // The same documents again, in the same transaction. Their order follows from what was before, which must be known for that.
    while world.knows_what_was_before() && world.chance(12) {
        let again = world.random.usize(0..documents.len());
        documents.push(documents[again]);
    }
    world.commit(&documents);
}

fn change_ranges(world: &mut World, split: bool) {
    let count = world.physical.len();
    let place = world.random.usize(0..count);
    if split && count < RANGES_MAX * 2 {
        world.split(place);
    } else if !split {
        world.merge(place);
    }
}
