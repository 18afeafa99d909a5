//! A round of looking at the leases: free ones are taken, too small a share asks for more, and what others ask of us is told.
//!
//! Every move is a conditional replace on the lease as it was read: of several replicas one succeeds, and who did not looks again
//! in the next round. An answer that was lost is settled by reading the lease.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use tokio::time::Instant;

use super::balance::{Fleet, Seat, balance};
use super::owner::{Owner, wanted_by};
use super::{LeaseStore, Standing};
use crate::config;
use crate::crash::crash_point;
use crate::failure::{Action, Failure, Kind};

/// A lease that is ours.
#[derive(Debug)]
pub struct Owned {
    /// As it stands, with our name in it.
    pub standing: Standing,
    /// When the request that made it ours began.
    pub since: Instant,
}

/// What a round found and did.
#[derive(Debug, Default)]
pub struct Round {
    /// Leases that became ours.
    pub taken: Vec<Owned>,
    /// Leases of ours that another replica asks for.
    pub asked_for: Vec<String>,
    /// How many another replica holds.
    pub held_elsewhere: usize,
    /// How many are free and were not taken.
    pub free: usize,
    /// Seconds until the first lease of another replica runs out, as it stands now.
    pub next_expiry: Option<Duration>,
    /// Whether something is about to change hands: a lease was asked for and is not ours yet, or one is free and nobody has it yet.
    pub waits: bool,
    /// Every lease as it was read, before anything was done.
    pub leases: Vec<Standing>,
    /// What went wrong on the way. What was taken before is ours all the same.
    pub failure: Option<Failure>,
}

impl Round {
    fn failed(&mut self, failure: Failure) {
        self.free += 1;
        self.failure.get_or_insert(failure);
    }

    /// After a failure that may pass nothing more is asked of the service in this round; one of a single lease leaves the others.
    fn is_cut_short(&self) -> bool {
        self.failure.as_ref().is_some_and(|failure| failure.kind.action() == Action::Retry)
    }
}

/// Looks at the leases of one container again and again.
pub struct Acquirer {
    owner: Owner,
    expiration: Duration,
    /// After so long a free lease is anybody's, whatever the shares are: its rightful taker cannot or does not want it.
    left_over_after: Duration,
    container: String,
    /// Everything free is taken, and nothing is asked for.
    greedy: bool,
    /// Since when each lease is seen to be free.
    free_since: BTreeMap<String, Instant>,
}

impl Acquirer {
    /// For one container; `greedy` takes all that is free, for a process that ends when it has caught up.
    pub fn new(owner: Owner, settings: &config::Leases, container: String, greedy: bool) -> Self {
        let (expiration, left_over_after) = (settings.expiration, settings.acquire_interval);
        Self { owner, expiration, left_over_after, container, greedy, free_since: BTreeMap::new() }
    }

    /// One round. Leases in `owned` are followed here; those in `resting` are not taken.
    pub async fn round(
        &mut self,
        store: &LeaseStore,
        fleet: &Fleet,
        owned: &[&String],
        resting: &[&String],
        service_time: i64,
    ) -> Result<Round, Failure> {
        let leases = store.list().await?;
        let seats = self.seats(&leases, owned, service_time);
        let elsewhere = fleet.exchange(&self.container, &seats);
        let eligible: Vec<Seat> = seats.iter().filter(|seat| !resting.contains(&&seat.id)).cloned().collect();
        let mut moves = balance(self.owner.name(), &eligible, &elsewhere);
        if self.greedy {
            moves.take = eligible.iter().filter(|seat| seat.owner.is_none()).map(|seat| seat.id.clone()).collect();
            moves.ask.clear();
        }
        let mut round = Round::default();
        for (standing, seat) in leases.iter().zip(&seats) {
            if moves.take.contains(&seat.id) && !round.is_cut_short() {
                match take(store, &self.owner, standing.clone()).await {
                    Ok(Some(owned)) => round.taken.push(owned),
                    // Others take at the same moment, and what is left after that is not known.
                    Ok(None) => {
                        round.held_elsewhere += 1;
                        round.waits = true;
                    }
                    Err(failure) => round.failed(failure),
                }
            } else if moves.ask.contains(&seat.id) && !round.is_cut_short() {
                if let Err(failure) = self.ask(store, standing, service_time).await {
                    round.failed(failure);
                }
                round.waits = true;
                round.held_elsewhere += 1;
            } else if owned.contains(&&seat.id) {
                if self.owner.is_asked_for(&standing.lease) {
                    round.asked_for.push(seat.id.clone());
                }
            } else if seat.owner.is_some() {
                round.held_elsewhere += 1;
                round.waits |= seat.wanted_by.as_deref() == Some(self.owner.name());
                let left = standing.expires_in(service_time, self.expiration);
                round.next_expiry = Some(round.next_expiry.map_or(left, |next| next.min(left)));
            } else {
                round.free += 1;
                round.waits |= !resting.contains(&&seat.id);
            }
        }
        round.leases = leases;
        Ok(round)
    }

    /// What each lease means to balancing, and how long it has been free.
    fn seats(&mut self, leases: &[Standing], owned: &[&String], service_time: i64) -> Vec<Seat> {
        let before = std::mem::take(&mut self.free_since);
        let gone: BTreeSet<&str> = leases
            .iter()
            .filter(|standing| standing.is_free(service_time, self.expiration) && !owned.contains(&&standing.lease.id))
            .filter_map(|standing| standing.lease.owner.as_deref().filter(|name| *name != self.owner.name()))
            .collect();
        let mut seats = Vec::with_capacity(leases.len());
        for standing in leases {
            let id = standing.lease.id.clone();
            // What is followed here is not taken a second time, even where the list shows it released by then.
            let followed = owned.contains(&&id);
            // A lease that is marked as ours and that nobody here follows: its taking was ours and its answer was lost.
            let ours = self.owner.holds(&standing.lease);
            let free = !followed && (ours || standing.is_free(service_time, self.expiration));
            let own_name = || followed.then(|| self.owner.name().to_owned());
            let since = before.get(&id).copied().unwrap_or_else(Instant::now);
            if free {
                self.free_since.insert(id.clone(), since);
            }
            seats.push(Seat {
                id,
                owner_gone: standing.lease.owner.as_deref().is_some_and(|name| gone.contains(name)),
                owner: standing.lease.owner.clone().or_else(own_name).filter(|_| !free),
                wanted_by: wanted_by(&standing.lease, service_time, self.expiration).map(str::to_owned),
                left_over: free && (ours || since.elapsed() >= self.left_over_after),
            });
        }
        seats
    }

    /// Leaves a wish in a lease. One that changed in the meantime is looked at again in the next round.
    async fn ask(&self, store: &LeaseStore, standing: &Standing, service_time: i64) -> Result<(), Failure> {
        let mut lease = standing.lease.clone();
        self.owner.ask(&mut lease, standing.written, service_time);
        match store.replace(&lease, &standing.etag).await {
            Err(failure) if !matches!(failure.kind, Kind::Conflict | Kind::NotFound) => Err(failure),
            _ => Ok(()),
        }
    }
}

/// Frees a lease that was taken and cannot be followed now, so that nobody has to wait until it runs out.
pub async fn give_back(store: &LeaseStore, standing: &Standing) {
    let mut lease = standing.lease.clone();
    Owner::unmark(&mut lease);
    store.stamp(&mut lease);
    if let Err(failure) = store.replace(&lease, &standing.etag).await {
        tracing::warn!(lease = lease.id, error = %failure, "the lease was not given back; it runs out");
    }
}

/// Writes our name into a lease, if it still stands as it was read.
pub(super) async fn take(store: &LeaseStore, owner: &Owner, mut standing: Standing) -> Result<Option<Owned>, Failure> {
    let since = Instant::now();
    owner.mark(&mut standing.lease);
    store.stamp(&mut standing.lease);
    match store.replace(&standing.lease, &standing.etag).await {
        Ok(etag) => {
            crash_point!("lease-taken");
            standing.etag = etag;
            Ok(Some(Owned { standing, since }))
        }
        // It gave way to its parts in the meantime.
        Err(failure) if failure.kind == Kind::NotFound => Ok(None),
        Err(failure) if matches!(failure.kind.action(), Action::Retry | Action::Look) => {
            let now = store.read(&standing.lease.id).await?;
            let ours = now.filter(|n| owner.holds(&n.lease) && n.lease.timestamp == standing.lease.timestamp);
            Ok(ours.map(|standing| Owned { standing, since }))
        }
        Err(failure) => Err(failure),
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use cosmirror_formats::Lease;

    use super::*;
    use crate::failure::Kind;
    use crate::history::memory::{Fault, MemoryDocuments};
    use crate::time::HostClock;

    const ID: &str = "prefix..0";

    /// A store of so many free leases.
    async fn leases(count: usize) -> (Arc<MemoryDocuments>, LeaseStore) {
        let documents = Arc::new(MemoryDocuments::default());
        let shared = Arc::clone(&documents) as Arc<dyn crate::documents::Documents>;
        let key = ["/id".to_owned()];
        let store = LeaseStore::new(shared, "prefix".to_owned(), &key, HostClock::default()).unwrap();
        for id in 0..count {
            let lease = format!(r#"{{"id":"prefix..{id}","LeaseToken":"{id}"}}"#);
            store.create(&Lease::from_json(lease.as_bytes()).unwrap()).await.unwrap();
        }
        (documents, store)
    }

    fn acquirer() -> Acquirer {
        let owner = Owner::new("me".to_owned());
        Acquirer::new(owner, &config::Leases::default(), "db/c".to_owned(), false)
    }

    /// A simulated replica thawed while it listed the leases: the follower of one released it, the list showed it free, it was taken
    /// beside its follower, whose end then made the supervisor forget the new one, and it was taken a third time.
    #[tokio::test(start_paused = true)]
    async fn a_lease_that_is_still_followed_here_is_not_taken_a_second_time() {
        let ((_, store), mut acquirer) = (leases(1).await, acquirer());
        let (fleet, id) = (Fleet::default(), ID.to_owned());
        let round = acquirer.round(&store, &fleet, &[&id], &[], 4_000).await.unwrap();
        assert_eq!((round.taken.len(), round.free), (0, 0));
        assert_eq!(acquirer.round(&store, &fleet, &[], &[], 4_000).await.unwrap().taken.len(), 1);
    }

    #[tokio::test(start_paused = true)]
    async fn what_was_taken_before_a_failure_is_followed_and_not_taken_again() {
        let ((documents, store), mut acquirer) = (leases(5).await, acquirer());
        let fleet = Fleet::default();
        documents.order(Fault::None);
        documents.order(Fault::None);
        documents.order(Fault::Fails(Kind::Unauthorized));
        let round = acquirer.round(&store, &fleet, &[], &[], 4_000).await.unwrap();
        let taken: Vec<String> = round.taken.iter().map(|owned| owned.standing.lease.id.clone()).collect();
        assert_eq!(taken, ["prefix..0", "prefix..1", "prefix..3", "prefix..4"], "one of them alone could not be taken");
        assert_eq!((round.failure.unwrap().kind, round.free), (Kind::Unauthorized, 1));
        let writes = documents.writes();
        let owned: Vec<&String> = taken.iter().collect();
        let round = acquirer.round(&store, &fleet, &owned, &[], 4_000).await.unwrap();
        assert_eq!((round.taken.len(), documents.writes() - writes), (1, 1));
    }
}
