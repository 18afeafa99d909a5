//! Taking leases that are free.
//!
//! Taking is a conditional replace that writes our name: of several replicas one succeeds. An answer that was lost is
//! settled by reading the lease again.

use std::time::Duration;

use tokio::time::Instant;

use super::{LeaseStore, Standing};
use crate::failure::{Action, Failure};

/// A lease that is ours.
#[derive(Debug)]
pub struct Owned {
    /// As it stands, with our name in it.
    pub standing: Standing,
    /// When the request that made it ours began.
    pub since: Instant,
}

/// What a round of taking found.
#[derive(Debug, Default)]
pub struct Round {
    /// Leases that became ours.
    pub taken: Vec<Owned>,
    /// How many another replica holds.
    pub held_elsewhere: usize,
    /// How many there are.
    pub leases: usize,
}

/// Takes every free lease that is not in `owned`, the ids of those we hold.
pub async fn acquire(
    store: &LeaseStore,
    instance: &str,
    owned: &[String],
    service_time: i64,
    expiration: Duration,
) -> Result<Round, Failure> {
    let mut round = Round::default();
    for standing in store.list().await? {
        round.leases += 1;
        if owned.contains(&standing.lease.id) {
            continue;
        }
        if !standing.is_free(service_time, expiration) && standing.lease.owner.as_deref() != Some(instance) {
            round.held_elsewhere += 1;
            continue;
        }
        match take(store, instance, standing).await? {
            Some(owned) => round.taken.push(owned),
            None => round.held_elsewhere += 1,
        }
    }
    Ok(round)
}

/// Writes our name into a lease, if it still stands as it was read.
pub(super) async fn take(store: &LeaseStore, instance: &str, mut standing: Standing) -> Result<Option<Owned>, Failure> {
    let since = Instant::now();
    standing.lease.owner = Some(instance.to_owned());
    store.stamp(&mut standing.lease);
    match store.replace(&standing.lease, &standing.etag).await {
        Ok(etag) => {
            standing.etag = etag;
            Ok(Some(Owned { standing, since }))
        }
        Err(failure) if matches!(failure.kind.action(), Action::Retry | Action::Look) => {
            let now = store.read(&standing.lease.id).await?;
            let ours =
                now.filter(|n| n.lease.owner == standing.lease.owner && n.lease.timestamp == standing.lease.timestamp);
            Ok(ours.map(|standing| Owned { standing, since }))
        }
        Err(failure) => Err(failure),
    }
}
