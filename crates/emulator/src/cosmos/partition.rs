//! A physical partition: a range of the hash space with its items, its log and the indexes over both.
//!
//! Invariants: `lsn` is no less than the sequence number of the last committed transaction; `log` is ordered by
//! (lsn, seq); every live item stands once in `items`, `live` and `latest`, and in `expiries` iff it expires. All
//! indexes are functions of the log's changes whose keys lie in `bounds`, which is what makes a split a filter and a
//! merge a merge of two logs (`lineage`).

mod lineage;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use azure_data_cosmos_driver::models::EffectivePartitionKey;

use super::change::Change;
use super::keys::Scope;

/// An item's identity within its container, ordered by effective partition key first.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct ItemKey {
    epk: EffectivePartitionKey,
    key: Arc<str>,
    id: Arc<str>,
}

/// One partition.
#[derive(Debug)]
pub(crate) struct Partition {
    pub(crate) id: Arc<str>,
    pub(crate) bounds: Scope,
    pub(crate) parents: Vec<Arc<str>>,
    lsn: u64,
    log: Vec<Arc<Change>>,
    /// Ordinals of the live items by identity.
    items: BTreeMap<ItemKey, u64>,
    /// Current versions by ordinal, which is the order of queries.
    live: BTreeMap<u64, Arc<Change>>,
    /// Ordinals of the live items by their current version's (lsn, seq): the latest-version feed. After a merge two
    /// transactions may have the same lsn.
    latest: BTreeMap<(u64, u64), u64>,
    /// Ordinals of the items that expire, by when.
    expiries: BTreeSet<(i64, u64)>,
}

impl Partition {
    /// A partition without items.
    pub(crate) fn new(id: impl Into<Arc<str>>, bounds: Scope) -> Self {
        Self {
            id: id.into(),
            bounds,
            parents: Vec::new(),
            lsn: 0,
            log: Vec::new(),
            items: BTreeMap::new(),
            live: BTreeMap::new(),
            latest: BTreeMap::new(),
            expiries: BTreeSet::new(),
        }
    }

    /// The sequence number of the last committed transaction.
    pub(crate) fn lsn(&self) -> u64 {
        self.lsn
    }

    /// The current version of an item.
    pub(crate) fn get(&self, epk: &EffectivePartitionKey, key: &Arc<str>, id: &str) -> Option<&Arc<Change>> {
        let key = ItemKey { epk: epk.clone(), key: Arc::clone(key), id: Arc::from(id) };
        self.live.get(self.items.get(&key)?)
    }

    /// Appends a committed change and brings the indexes up to it.
    pub(crate) fn apply(&mut self, change: &Arc<Change>) {
        self.lsn = self.lsn.max(change.lsn);
        self.log.push(Arc::clone(change));
        let key = ItemKey { epk: change.epk.clone(), key: Arc::clone(&change.key), id: Arc::clone(&change.id) };
        if let Some(ordinal) = self.items.get(&key)
            && let Some(previous) = self.live.remove(ordinal)
        {
            self.latest.remove(&(previous.lsn, previous.seq));
            if let Some(at) = previous.expires_at {
                self.expiries.remove(&(at, previous.ordinal));
            }
        }
        if change.op.removes() {
            self.items.remove(&key);
            return;
        }
        self.items.insert(key, change.ordinal);
        self.latest.insert((change.lsn, change.seq), change.ordinal);
        if let Some(at) = change.expires_at {
            self.expiries.insert((at, change.ordinal));
        }
        self.live.insert(change.ordinal, Arc::clone(change));
    }

    /// The next item whose time to live is over at `now`.
    pub(crate) fn next_expired(&self, now: i64) -> Option<&Arc<Change>> {
        let (at, ordinal) = self.expiries.first()?;
        if *at > now { None } else { self.live.get(ordinal) }
    }

    /// Changes when the expiry of a live item's current version is computed anew.
    pub(crate) fn reschedule(&mut self, expires_at: impl Fn(&Change) -> Option<i64>) {
        self.expiries.clear();
        for version in self.live.values_mut() {
            let at = expires_at(version);
            if at != version.expires_at {
                *version = Arc::new(Change { expires_at: at, ..Change::clone(version) });
            }
            if let Some(at) = at {
                self.expiries.insert((at, version.ordinal));
            }
        }
    }

    /// Current versions in the order of their ordinals, after one of them.
    pub(crate) fn live_after(&self, ordinal: Option<u64>) -> impl Iterator<Item = &Arc<Change>> {
        let from = ordinal.map_or(0, |ordinal| ordinal.saturating_add(1));
        self.live.range(from..).map(|(_, version)| version)
    }

    /// Current versions of the items in one part of the hash space, by identity; costs only those items.
    pub(crate) fn live_in<'a>(&'a self, scope: &'a Scope) -> impl Iterator<Item = &'a Arc<Change>> {
        let from = ItemKey { epk: scope.min().clone(), key: Arc::from(""), id: Arc::from("") };
        self.items
            .range(from..)
            .take_while(|(item, _)| scope.contains(&item.epk))
            .filter_map(|(_, ordinal)| self.live.get(ordinal))
    }

    /// Every change after a sequence number, in order.
    pub(crate) fn log_after(&self, lsn: u64) -> &[Arc<Change>] {
        &self.log[self.log.partition_point(|change| change.lsn <= lsn)..]
    }

    /// Current versions committed after a sequence number, in order.
    pub(crate) fn latest_after(&self, lsn: u64) -> impl Iterator<Item = &Arc<Change>> {
        self.latest.range((lsn.saturating_add(1), 0)..).filter_map(|(_, ordinal)| self.live.get(ordinal))
    }

    /// The sequence number before the first current version of `ts` or later; all of them if there is none.
    pub(crate) fn lsn_before(&self, ts: i64) -> u64 {
        self.latest_after(0).find(|version| version.ts >= ts).map_or(self.lsn, |version| version.lsn - 1)
    }
}
