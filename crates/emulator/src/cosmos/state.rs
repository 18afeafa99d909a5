//! A container's contents: its partitions, its history, and the transactions that move both.
//!
//! Invariant: a transaction is decided first and applied afterwards as a whole; its changes share one sequence number
//! of one partition. `history` holds every change ever committed, in order of `seq`.

mod etags;
mod pages;
mod topology;
mod transaction;
mod unique;
mod usage;

use std::borrow::Cow;
use std::sync::Arc;

use azure_data_cosmos_driver::models::EffectivePartitionKey;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::change::{Change, Op};
use super::errors::CosmosError;
use super::feed::FeedQuirks;
use super::ids;
use super::journal::{Committed, Record};
use super::keys::{Key, KeyDefinition, Scope};
use super::partition::Partition;
use crate::journal::{Journal, JournalError};

pub(crate) use etags::Etags;
pub(crate) use pages::{FeedMode, FeedPage, FeedRequest, FeedStart, PAGE_BYTES_MAX, feed_page};
pub(crate) use topology::TopologyError;
pub(crate) use transaction::{Write, WriteKind, Written};
pub(crate) use unique::UniqueKeys;
pub(crate) use usage::Usage;

/// How long the all-versions feed of a container goes back unless told otherwise: the longer of the two periods that
/// continuous backup offers.
const RETENTION_SECONDS: i64 = 30 * 86_400;

/// The numbers a container's resource ids are made of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct ContainerNumbers {
    pub(crate) database: u32,
    pub(crate) container: u32,
}

/// The contents of a container.
#[derive(Debug)]
pub(crate) struct State {
    pub(crate) numbers: ContainerNumbers,
    pub(crate) definition: Arc<KeyDefinition>,
    /// Seconds; -1 keeps items without a `ttl` for ever, `None` turns expiry off.
    default_ttl: Option<i64>,
    unique: UniqueKeys,
    usage: Arc<Usage>,
    /// Ordered by their bounds, which adjoin and cover the hash space.
    partitions: Vec<Partition>,
    /// Counts changes of the partitions themselves.
    pub(crate) topology: u64,
    /// How many ranges there ever were, which is the next one's number.
    ranges: u64,
    /// How long the all-versions feed goes back, in seconds.
    retention: i64,
    /// Oddities of the feed that tests ask for.
    pub(crate) quirks: FeedQuirks,
    history: Vec<Arc<Change>>,
    ordinal: u64,
    journal: Option<Arc<Journal>>,
}

impl State {
    /// An empty container with its ranges numbered from "0".
    pub(crate) fn new(
        numbers: ContainerNumbers,
        definition: Arc<KeyDefinition>,
        default_ttl: Option<i64>,
        unique: UniqueKeys,
        ranges: u32,
    ) -> Self {
        let partitions: Vec<_> = even_bounds(ranges)
            .into_iter()
            .enumerate()
            .map(|(index, bounds)| Partition::new(index.to_string(), bounds))
            .collect();
        Self {
            numbers,
            definition,
            default_ttl,
            unique,
            usage: Arc::default(),
            ranges: partitions.len() as u64,
            partitions,
            topology: 1,
            retention: RETENTION_SECONDS,
            quirks: FeedQuirks::default(),
            history: Vec::new(),
            ordinal: 0,
            journal: None,
        }
    }

    /// All partitions, by their bounds.
    pub(crate) fn partitions(&self) -> &[Partition] {
        &self.partitions
    }

    /// The partition with an id; 410/1002 if there is none.
    pub(crate) fn partition(&self, id: &str) -> Result<&Partition, CosmosError> {
        self.partitions.iter().find(|partition| &*partition.id == id).ok_or_else(|| CosmosError::range_gone(id))
    }

    /// The partition that holds a key.
    pub(crate) fn partition_of(&self, epk: &EffectivePartitionKey) -> &Partition {
        &self.partitions[self.index_of(epk)]
    }

    fn index_of(&self, epk: &EffectivePartitionKey) -> usize {
        // The first partition starts at the lowest key there is.
        self.partitions.partition_point(|partition| partition.bounds.min() <= epk).saturating_sub(1)
    }

    /// The id of the item that a path names by id, or by resource id if no item of the key has such an id.
    pub(crate) fn id_of(&self, key: &Key, named: &str) -> String {
        let partition = self.partition_of(&key.epk);
        if partition.get(&key.epk, &key.text, named).is_none()
            && let Some(ordinal) = ids::document_ordinal(named)
            && let Some(version) = partition.live_after(ordinal.checked_sub(1)).next()
            && version.ordinal == ordinal
            && version.key == key.text
        {
            return version.id.to_string();
        }
        named.to_owned()
    }

    /// The changes after a place in the history, at most so many.
    pub(crate) fn history_after(&self, seq: u64, count: usize) -> Vec<Arc<Change>> {
        let from = usize::try_from(seq).unwrap_or(usize::MAX).min(self.history.len());
        self.history[from..].iter().take(count).cloned().collect()
    }

    /// Sets the default time to live and computes every item's expiry anew.
    pub(crate) fn set_default_ttl(&mut self, default_ttl: Option<i64>) {
        self.default_ttl = default_ttl;
        for partition in &mut self.partitions {
            partition.reschedule(|version| expiry(default_ttl, transaction::ttl_of(version.text()), version.ts));
        }
    }

    /// What the items take, readable without the lock.
    pub(crate) fn usage(&self) -> Arc<Usage> {
        Arc::clone(&self.usage)
    }

    /// The time before which the all-versions feed has forgotten its changes, in seconds since 1970.
    pub(crate) fn kept_since(&self, now: Timestamp) -> i64 {
        now.as_second().saturating_sub(self.retention)
    }

    /// Sets how far back the all-versions feed goes.
    pub(crate) fn set_retention(&mut self, seconds: u32) -> Result<(), TopologyError> {
        self.keep(&Record::Retention { number: self.numbers, seconds }, &[])?;
        self.retention = i64::from(seconds);
        Ok(())
    }

    /// Removes what has expired, each item in a transaction of its own. What cannot be kept in the journal stays, and is
    /// removed another time.
    pub(crate) fn expire(&mut self, now: Timestamp) {
        for index in 0..self.partitions.len() {
            while let Some(version) = self.partitions[index].next_expired(now.as_second()).cloned() {
                let partition = &self.partitions[index];
                let change = Change {
                    seq: self.next_seq(),
                    range: Arc::clone(&partition.id),
                    lsn: partition.lsn() + 1,
                    op: Op::Expire,
                    ts: now.as_second(),
                    document: None,
                    previous_lsn: Some(version.lsn),
                    expires_at: None,
                    ..Change::clone(&version)
                };
                if self.commit(index, vec![Arc::new(change)]).is_err() {
                    return;
                }
            }
        }
    }

    fn next_seq(&self) -> u64 {
        self.history.len() as u64 + 1
    }

    /// Makes a transaction's changes part of the container, after they are in the journal.
    fn commit(&mut self, index: usize, changes: Vec<Arc<Change>>) -> Result<(), CosmosError> {
        if self.journal.is_some() && !changes.is_empty() {
            let documents: Vec<&[u8]> = changes.iter().filter_map(|change| change.document.as_deref()).collect();
            let record = Record::Commit {
                number: self.numbers,
                range: Cow::Borrowed(&self.partitions[index].id),
                changes: changes.iter().map(|change| Committed::of(change)).collect(),
            };
            self.keep(&record, &documents)?;
        }
        self.apply(index, changes);
        Ok(())
    }

    fn apply(&mut self, index: usize, changes: Vec<Arc<Change>>) {
        for change in &changes {
            let previous = self.partitions[index].apply(change);
            self.usage.replaced(previous.as_deref(), change);
        }
        self.history.extend(changes);
    }

    /// Does again what a journal says was committed.
    pub(crate) fn take_back(&mut self, range: &str, changes: Vec<Change>) -> Result<(), CosmosError> {
        let index = self
            .partitions
            .iter()
            .position(|partition| &*partition.id == range)
            .ok_or_else(|| CosmosError::range_gone(range))?;
        for change in changes {
            let expires_at = expiry(self.default_ttl, transaction::ttl_of(change.text()), change.ts);
            self.ordinal = self.ordinal.max(change.ordinal);
            let range = Arc::clone(&self.partitions[index].id);
            let change = Change { seq: self.next_seq(), range, expires_at, ..change };
            self.apply(index, vec![Arc::new(change)]);
        }
        Ok(())
    }

    /// Writes what is committed from now on to a journal.
    pub(crate) fn attach(&mut self, journal: &Arc<Journal>) {
        self.journal = Some(Arc::clone(journal));
    }

    /// Writes a record, if there is a journal.
    pub(crate) fn keep(&self, record: &Record<'_>, bodies: &[&[u8]]) -> Result<(), JournalError> {
        self.journal.as_ref().map_or(Ok(()), |journal| journal.append(record, bodies))
    }
}

impl ContainerNumbers {
    /// The container's resource id.
    pub(crate) fn rid(self) -> String {
        ids::container_rid(self.database, self.container)
    }

    /// The database's resource id.
    pub(crate) fn database_rid(self) -> String {
        ids::database_rid(self.database)
    }

    /// The container's path by resource ids, with a slash at its end.
    pub(crate) fn self_link(self) -> String {
        format!("dbs/{}/colls/{}/", self.database_rid(), self.rid())
    }
}

/// When an item expires: the item's own time to live counts, but only if the container has one at all.
fn expiry(default_ttl: Option<i64>, own: Option<i64>, ts: i64) -> Option<i64> {
    let ttl = own.or(default_ttl).filter(|_| default_ttl.is_some())?;
    (ttl > 0).then(|| ts.saturating_add(ttl))
}

/// The hash space in equal parts. Hashes have their two top bits clear, so that the last quarter starts at 30.
fn even_bounds(ranges: u32) -> Vec<Scope> {
    let ranges = u128::from(ranges.max(1));
    let bound = |index: u128| {
        if index == ranges {
            return EffectivePartitionKey::MAX;
        }
        let hex = format!("{:032X}", (1_u128 << 126) / ranges * index);
        if index == 0 {
            EffectivePartitionKey::MIN
        } else {
            EffectivePartitionKey::try_from(hex).unwrap_or(EffectivePartitionKey::MIN)
        }
    };
    (0..ranges).map(|index| Scope::Span { min: bound(index), max: bound(index + 1) }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equal_ranges_adjoin_and_cover_everything() {
        let bounds = even_bounds(4);
        let texts: Vec<_> = bounds
            .iter()
            .map(|scope| match scope {
                Scope::Span { min, max } => (min.to_hex(), max.to_hex()),
                Scope::Point(_) => panic!("a range is not a point"),
            })
            .collect();
        let zeros = "0".repeat(31);
        assert_eq!(texts[0], (String::new(), format!("1{zeros}")));
        assert_eq!(texts[3], (format!("3{zeros}"), "FF".to_owned()));
        assert!(texts.windows(2).all(|pair| pair[0].1 == pair[1].0));
    }

    #[test]
    fn an_items_own_time_to_live_counts_only_if_the_container_has_one() {
        assert_eq!(expiry(None, Some(5), 100), None);
        assert_eq!(expiry(Some(-1), None, 100), None);
        assert_eq!(expiry(Some(-1), Some(5), 100), Some(105));
        assert_eq!(expiry(Some(60), None, 100), Some(160));
        assert_eq!(expiry(Some(60), Some(-1), 100), None);
    }
}
