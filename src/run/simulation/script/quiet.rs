//! After the disturbances: everything must settle, a crash must be made up for in time, the shares must become equal, and in the end
//! every lease must be free.

use std::collections::BTreeSet;
use std::time::Duration;

use tokio::time::{Instant, sleep};

use super::super::network::Weather;
use super::super::oracle;
use super::super::process::Process;
use super::{DRAIN_DEADLINE, Script, commit};

/// How long after the last disturbance everything must be as it should.
const SETTLING_MAX: Duration = Duration::from_secs(400);
/// What following a range again may take beyond the lease's expiration where the look for free leases is shorter than that: the
/// service's whole seconds, and calm requests.
const TAKING_MAX: Duration = Duration::from_secs(4);
/// Looks for leases within which the shares must be equal, and then for which they must stay so.
const BALANCING_INTERVALS_MAX: u32 = 8;
const BALANCED_INTERVALS: u32 = 3;

impl Script {
    /// Plays what comes after the disturbances.
    pub(super) async fn come_to_an_end(&mut self) {
        self.calm_down();
        self.settle("settling").await;
        self.ask();
        self.lose_one().await;
        if self.service.world().chance(30) {
            self.start();
        }
        self.settle("settling again").await;
        self.balance().await;
        self.drain().await;
        self.ask();
    }

    /// From here on nothing disturbs.
    fn calm_down(&mut self) {
        self.agenda.clear();
        for process in &self.processes {
            process.life.spare();
            process.life.thaw();
            if process.drain.is_cancelled() {
                process.life.crash();
            }
        }
        self.service.world().note(|| "calm".to_owned());
        self.service.world().weather = Weather::calm();
        if self.live().is_empty() {
            self.start();
        }
    }

    /// The names of the processes that are neither gone nor leaving.
    fn live(&self) -> Vec<String> {
        let live = self.processes.iter().filter(|process| process.is_live());
        live.map(|process| process.life.name.to_string()).collect()
    }

    /// Waits until everything is as it must be.
    async fn settle(&mut self, what: &str) {
        let begun = Instant::now();
        loop {
            self.tick().await;
            let unsettled = oracle::unsettled(&self.service.world(), Some(&self.live()));
            let Some(why) = unsettled else { return };
            if begun.elapsed() > SETTLING_MAX {
                let seconds = SETTLING_MAX.as_secs();
                self.service.world().violated(format!("{what} takes more than {seconds} s: {why}"));
                return;
            }
        }
    }

    async fn tick(&mut self) {
        sleep(Duration::from_secs(1)).await;
        self.reap().await;
        let now = self.begun.elapsed();
        while self.agenda.first_key_value().is_some_and(|((when, _), _)| *when <= now) {
            if let Some((_, event)) = self.agenda.pop_first() {
                self.happen(event, now);
            }
        }
    }

    /// One of several replicas crashes; the others must have its ranges in time.
    async fn lose_one(&mut self) {
        if self.live().len() < 2 {
            return;
        }
        let Some(place) = self.processes.iter().position(Process::is_live) else { return };
        let process = self.processes.remove(place);
        let name = process.life.name.clone();
        process.life.crash();
        self.service.world().note(|| format!("crash {name}"));
        for _ in 0..5 {
            commit(&mut self.service.world());
        }
        let patience = self.setup.leases.expiration + self.setup.leases.acquire_interval.max(TAKING_MAX);
        let crashed = self.begun.elapsed();
        let mut followed = BTreeSet::new();
        loop {
            let (orphan, renewed) = {
                let world = self.service.world();
                // Between two that live a lease may change hands meanwhile, and is nobody's for a moment.
                followed.extend(oracle::owned(&world, &self.live()));
                (oracle::orphan(&world, &followed), oracle::last_renewal(&world, &name))
            };
            let Some(orphan) = orphan else { return };
            let since = renewed.map_or(crashed, |renewed| renewed.max(crashed));
            if self.begun.elapsed() > since + patience {
                let what = format!("{} s after the crash of {name} nobody follows {orphan}", patience.as_secs());
                return self.service.world().violated(what);
            }
            sleep(Duration::from_millis(500)).await;
        }
    }

    /// The replicas' shares must become equal, but for one lease, and then stay as they are. What a replica asked for by an old list
    /// may still be handed over for a while.
    async fn balance(&mut self) {
        let interval = self.setup.leases.acquire_interval;
        let begun = Instant::now();
        let mut since = begun;
        while since.elapsed() < interval * BALANCED_INTERVALS {
            if let Some(why) = self.unbalanced() {
                since = Instant::now();
                if begun.elapsed() > interval * BALANCING_INTERVALS_MAX {
                    let seconds = begun.elapsed().as_secs();
                    return self.service.world().violated(format!("the shares differ after {seconds} s: {why}"));
                }
            }
            self.tick().await;
        }
    }

    fn unbalanced(&self) -> Option<String> {
        oracle::unbalanced(&self.service.world(), &self.live())
    }

    /// Every replica leaves; every lease must be free.
    async fn drain(&mut self) {
        for process in &self.processes {
            process.drain.cancel();
        }
        let begun = Instant::now();
        while !self.processes.is_empty() {
            if begun.elapsed() > DRAIN_DEADLINE {
                self.service.world().violated(format!("draining takes more than {} s", DRAIN_DEADLINE.as_secs()));
            }
            self.tick().await;
        }
        let mut world = self.service.world();
        if let Some(why) = oracle::unsettled(&world, Some(&[])) {
            world.violated(format!("in the end: {why}"));
        }
    }
}
