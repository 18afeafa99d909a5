//! Who follows which range, and how far it is: lease documents in a Cosmos container.
//!
//! - [`bootstrap`] creates the leases of a container once, under the [`lock`], so that together they tile the key space;
//! - [`coverage`] holds them to that: a hole is recorded as a gap and gets leases again, twins are reduced to one;
//! - [`adopt`] makes a lease of another processor ours;
//! - [`restart`] goes on behind a gap where a position is lost;
//! - [`balance`] says who should follow how much, [`acquire`] takes what is free and asks for what is missing;
//! - [`owner`] is how processes name themselves in a lease;
//! - [`keeper`] is the one task that writes a lease while it is ours: it renews, saves the checkpoint and releases;
//! - [`succession`] puts the leases of its parts in the place of one whose range was split;
//! - [`notes`] are documents beside the leases that are none.
//!
//! The documents are those of the .NET change feed processor. Every write is conditional on the etag of the last one; age is
//! told by the service (`_ts` against its clock), never by a host's clock.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use cosmirror_formats::partition_key::KeyValue;
use cosmirror_formats::{EpkRange, Lease, PartitionKey, lease};
use futures::TryStreamExt as _;

use crate::documents::{Document, Documents};
use crate::failure::{Failure, Kind};
use crate::mirror::checkpoint::RangeProgress;
use crate::time::HostClock;

pub mod acquire;
pub mod adopt;
pub mod balance;
pub mod bootstrap;
pub mod coverage;
pub mod keeper;
pub mod live;
pub mod lock;
pub mod notes;
pub mod owner;
pub mod parts;
pub mod restart;
pub mod succession;

/// A lease as it stands in the store.
#[derive(Debug, Clone)]
pub struct Standing {
    /// The lease.
    pub lease: Lease,
    /// The etag of its document.
    pub etag: String,
    /// When its owner wrote it, in seconds since 1970 of the service.
    pub written: i64,
}

impl Standing {
    /// Whether nobody owns it, or its owner has not renewed it in time.
    pub fn is_free(&self, service_time: i64, expiration: Duration) -> bool {
        let expiration = i64::try_from(expiration.as_secs()).unwrap_or(i64::MAX);
        self.lease.owner.is_none() || self.written.saturating_add(expiration) < service_time
    }

    /// How long its owner still has, by the service's clock, if it does not renew.
    pub fn expires_in(&self, service_time: i64, expiration: Duration) -> Duration {
        let since = u64::try_from(service_time.saturating_sub(self.written)).unwrap_or(0);
        // Whole seconds, and free only when more than the expiration has passed.
        (expiration + Duration::from_secs(1)).saturating_sub(Duration::from_secs(since))
    }
}

/// The leases of one processor on one container.
pub struct LeaseStore {
    documents: Arc<dyn Documents>,
    prefix: String,
    partition_key_is_id: bool,
    clock: HostClock,
}

impl LeaseStore {
    /// `prefix` begins every id; the lease container is partitioned by `/id` or by `/partitionKey`; `clock` stamps what is written.
    pub fn new(
        documents: Arc<dyn Documents>,
        prefix: String,
        key_paths: &[String],
        clock: HostClock,
    ) -> Result<Self, Failure> {
        let partition_key_is_id = match key_paths {
            [path] if path == "/id" => true,
            [path] if path == "/partitionKey" => false,
            other => {
                let message = format!("the lease container is partitioned by {other:?}");
                return Err(Failure::new(Kind::Misconfigured, message)
                    .remedy("it must be partitioned by /id (or /partitionKey): name another one in leases.container"));
            }
        };
        Ok(Self { documents, prefix, partition_key_is_id, clock })
    }

    /// What every id of this processor begins with.
    pub fn prefix(&self) -> &str {
        &self.prefix
    }

    /// Puts the present time into a lease that is about to be written.
    pub fn stamp(&self, lease: &mut Lease) {
        lease.timestamp = self.clock.now().to_string();
    }

    /// Every lease, in the order of ids.
    pub async fn list(&self) -> Result<Vec<Standing>, Failure> {
        let prefix = format!("{}..", self.prefix);
        let sql = "SELECT * FROM c WHERE STARTSWITH(c.id, @prefix)";
        let parameters = [("@prefix", prefix.as_str())];
        let mut pages = self.documents.query(sql, &parameters);
        let mut leases = Vec::new();
        while let Some(page) = pages.try_next().await? {
            for item in page {
                leases.push(standing(&item)?);
            }
        }
        leases.sort_by(|a, b| a.lease.id.cmp(&b.lease.id));
        Ok(leases)
    }

    /// One lease, or none.
    pub async fn read(&self, id: &str) -> Result<Option<Standing>, Failure> {
        let document = self.documents.read(&key(id), id).await?;
        document.map(|Document { bytes, .. }| standing(&bytes)).transpose()
    }

    /// Creates a lease, stamped; `Kind::Conflict` where it exists.
    pub async fn create(&self, lease: &Lease) -> Result<String, Failure> {
        let mut lease = lease.clone();
        self.stamp(&mut lease);
        self.documents.create(&key(&lease.id), &lease.id, self.body(&lease)).await
    }

    /// Replaces the lease that has this etag.
    pub async fn replace(&self, lease: &Lease, etag: &str) -> Result<String, Failure> {
        self.documents.replace(&key(&lease.id), &lease.id, self.body(lease), etag).await
    }

    /// Removes the lease that has this etag.
    pub async fn delete(&self, id: &str, etag: &str) -> Result<(), Failure> {
        self.documents.delete(&key(id), id, etag).await
    }

    fn body(&self, lease: &Lease) -> Bytes {
        if self.partition_key_is_id {
            return Bytes::from(lease.to_json());
        }
        let mut lease = lease.clone();
        lease.unknown.insert("partitionKey".to_owned(), lease.id.clone().into());
        Bytes::from(lease.to_json())
    }
}

fn key(id: &str) -> PartitionKey {
    PartitionKey(vec![KeyValue::String(id.to_owned())])
}

fn standing(bytes: &[u8]) -> Result<Standing, Failure> {
    let unreadable = |why: String| {
        Failure::new(Kind::Misconfigured, why)
            .remedy("remove that document, or set leases.processor to a name of this program's own")
    };
    let lease = Lease::from_json(bytes).map_err(|e| unreadable(e.to_string()))?;
    let text = std::str::from_utf8(bytes).map_err(|e| unreadable(e.to_string()))?;
    let system = cosmirror_formats::feed_page::SystemProperties::of(text).map_err(|e| unreadable(e.to_string()))?;
    let lacks = |what: &str| unreadable(format!("the lease document {:?} has no {what}", lease.id));
    let etag = system.etag.ok_or_else(|| lacks("_etag"))?;
    let written = owner::renewed_at(&lease, system.ts.ok_or_else(|| lacks("_ts"))?);
    Ok(Standing { lease, etag, written })
}

/// The range a lease stands for: its own; or for leases of old processors the physical range its token names, or those that have come
/// from that one since. Where it was merged with others, that is more than the lease stood for: reading it from the lease's
/// position repeats changes and leaves none out.
pub fn range_of(lease: &Lease, physical: &[crate::feed::PhysicalRange]) -> Option<EpkRange> {
    let named = || physical.iter().find(|p| p.id == lease.token).map(|p| p.range.clone());
    let descended = || {
        let heirs = || physical.iter().filter(|p| p.parents.contains(&lease.token)).map(|p| &p.range);
        let (min, max) = (heirs().map(|r| &r.min).min()?, heirs().map(|r| &r.max).max()?);
        Some(EpkRange::new(min, max))
    };
    lease.range.clone().or_else(named).or_else(descended)
}

/// The same, of a lease that must name one.
pub fn required_range_of(lease: &Lease, physical: &[crate::feed::PhysicalRange]) -> Result<EpkRange, Failure> {
    range_of(lease, physical).ok_or_else(|| {
        Failure::new(Kind::Misconfigured, format!("the lease {:?} names no range of the container", lease.id))
            .remedy("remove that lease, or set leases.processor to a name of this program's own")
    })
}

/// The lineage that is minted for a range of a container's generation.
pub fn mint_lineage(rid: &str, range: &EpkRange) -> String {
    format!("{rid}:{}", range.min)
}

/// A new lease for a physical range, free, at its start.
pub fn new_lease(prefix: &str, physical: &crate::feed::PhysicalRange, mode: &str, progress: &RangeProgress) -> Lease {
    let mut lease = Lease {
        id: format!("{prefix}..{}", physical.id),
        version: 0,
        token: physical.id.clone(),
        range: Some(physical.range.clone()),
        owner: None,
        continuation: None,
        properties: std::collections::BTreeMap::new(),
        timestamp: String::new(),
        mode: Some(mode.to_owned()),
        unknown: serde_json::Map::new(),
    };
    progress.to_lease(&mut lease);
    lease
}

/// The `Mode` field of a feed mode.
pub fn mode_field(mode: crate::config::FeedMode) -> &'static str {
    match mode {
        crate::config::FeedMode::AllVersionsAndDeletes => lease::MODE_ALL_VERSIONS,
        crate::config::FeedMode::LatestVersion => lease::MODE_LATEST_VERSION,
    }
}
