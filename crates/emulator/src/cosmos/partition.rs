//! A physical partition: a range of the hash space with its items, its log and the indexes over both.
//!
//! Invariants: `lsn` is no less than the sequence number of the last committed transaction; `log` is ordered by
//! (lsn, seq); every live item stands once in `items`, `live` and `latest`, and in `expiries` iff it expires; a key
//! stands in `items` iff it has live items; an item keeps its ordinal until it is removed. All
//! indexes are functions of the log's changes whose keys lie in `bounds`, which is what makes a split a filter and a
//! merge a merge of two logs (`lineage`).

mod lineage;

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use azure_data_cosmos_driver::models::EffectivePartitionKey;

use super::change::Change;
use super::keys::{Key, Scope};

/// One partition.
#[derive(Debug)]
pub(crate) struct Partition {
    pub(crate) id: Arc<str>,
    pub(crate) bounds: Scope,
    pub(crate) parents: Vec<Arc<str>>,
    lsn: u64,
    log: Vec<Arc<Change>>,
    /// Ordinals of the live items by partition key, then by id: few keys to search, each stored once. The items of a key
    /// have no order here.
    items: BTreeMap<Key, HashMap<Arc<str>, u64>>,
    /// Current versions by ordinal, which is the order of queries.
    live: BTreeMap<u64, Arc<Change>>,
    /// Current versions by (lsn, seq): the latest-version feed. After a merge two transactions may have the same lsn.
    latest: BTreeMap<(u64, u64), Arc<Change>>,
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
        let key = Key { epk: epk.clone(), text: Arc::clone(key) };
        self.live.get(self.items.get(&key)?.get(id)?)
    }

    /// The same key with the text that the partition's items share, if there are any.
    pub(crate) fn shared(&self, key: &Key) -> Key {
        self.items.get_key_value(key).map_or(key, |(known, _)| known).clone()
    }

    /// Appends a committed change and brings the indexes up to it; gives the version that it replaces or removes.
    pub(crate) fn apply(&mut self, change: &Arc<Change>) -> Option<Arc<Change>> {
        self.lsn = self.lsn.max(change.lsn);
        self.log.push(Arc::clone(change));
        let removed = change.op.removes();
        let previous = if removed { self.remove(change) } else { self.insert(change) };
        if let Some(previous) = &previous {
            self.latest.remove(&(previous.lsn, previous.seq));
            if let Some(at) = previous.expires_at {
                self.expiries.remove(&(at, previous.ordinal));
            }
        }
        if removed {
            return previous;
        }
        self.latest.insert((change.lsn, change.seq), Arc::clone(change));
        if let Some(at) = change.expires_at {
            self.expiries.insert((at, change.ordinal));
        }
        previous
    }

    /// Makes a change the current version of its item, and gives the one before.
    fn insert(&mut self, change: &Arc<Change>) -> Option<Arc<Change>> {
        let previous = self.live.insert(change.ordinal, Arc::clone(change));
        if previous.is_none() {
            let key = Key { epk: change.epk.clone(), text: Arc::clone(&change.key) };
            self.items.entry(key).or_default().insert(Arc::clone(&change.id), change.ordinal);
        }
        previous
    }

    /// Takes away the current version of the item that a change removes.
    fn remove(&mut self, change: &Change) -> Option<Arc<Change>> {
        let key = Key { epk: change.epk.clone(), text: Arc::clone(&change.key) };
        if let Some(ids) = self.items.get_mut(&key) {
            ids.remove(&change.id);
            if ids.is_empty() {
                self.items.remove(&key);
            }
        }
        self.live.remove(&change.ordinal)
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
                self.latest.insert((version.lsn, version.seq), Arc::clone(version));
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

    /// Current versions of the items in one part of the hash space, in no order; costs only those items.
    pub(crate) fn live_in<'a>(&'a self, scope: &'a Scope) -> impl Iterator<Item = &'a Arc<Change>> {
        self.ids_in(scope).flat_map(HashMap::values).filter_map(|ordinal| self.live.get(ordinal))
    }

    /// Whether one part of the hash space holds less than a tenth of the items. Then it is cheaper to look at all of it
    /// than to pass over what lies between its items.
    pub(crate) fn is_sparse_in(&self, scope: &Scope) -> bool {
        self.ids_in(scope).map(HashMap::len).sum::<usize>() < self.live.len() / 10
    }

    /// The items of each key in one part of the hash space.
    fn ids_in<'a>(&'a self, scope: &'a Scope) -> impl Iterator<Item = &'a HashMap<Arc<str>, u64>> {
        let from = Key { epk: scope.min().clone(), text: Arc::from("") };
        self.items.range(from..).take_while(|(key, _)| scope.contains(&key.epk)).map(|(_, ids)| ids)
    }

    /// Every change after a sequence number, in order.
    pub(crate) fn log_after(&self, lsn: u64) -> &[Arc<Change>] {
        &self.log[self.log.partition_point(|change| change.lsn <= lsn)..]
    }

    /// Current versions committed after a sequence number, in order.
    pub(crate) fn latest_after(&self, lsn: u64) -> impl Iterator<Item = &Arc<Change>> {
        self.latest.range((lsn.saturating_add(1), 0)..).map(|(_, version)| version)
    }

    /// The sequence number before the first current version of `ts` or later; all of them if there is none.
    pub(crate) fn lsn_before(&self, ts: i64) -> u64 {
        self.latest_after(0).find(|version| version.ts >= ts).map_or(self.lsn, |version| version.lsn - 1)
    }
}
