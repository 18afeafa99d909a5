//! How partitions come from partitions.
//!
//! Responsibility: the successors of a split and of a merge, with everything a client may still ask of them in terms of
//! the partitions before. Sequence numbers go on where the parents stood, so that a parent's continuation holds on each
//! of its children. A merged partition keeps its parents' numbers as they were: a parent's continuation, together with
//! that parent's bounds, gives exactly what that parent had left, and times need not grow along the sequence any more.

use azure_data_cosmos_driver::models::EffectivePartitionKey;

use super::{Arc, Change, Partition, Scope};

/// The upper end of the hashes: their two top bits are clear.
const HASHES_END: u128 = 1 << 126;

impl Partition {
    /// The two halves of this partition below and from `at` on, which lies inside its bounds.
    pub(crate) fn split(&self, at: &EffectivePartitionKey, ids: [String; 2]) -> [Self; 2] {
        let bounds = [
            Scope::Span { min: self.bounds.min().clone(), max: at.clone() },
            Scope::Span { min: at.clone(), max: self.bounds.max().clone() },
        ];
        let mut bounds = bounds.into_iter();
        ids.map(|id| {
            let mut child = Self::new(id, bounds.next().unwrap_or_else(Scope::all));
            child.parents = lineage([self]);
            for change in &self.log {
                if child.bounds.contains(&change.epk) {
                    child.apply(change);
                }
            }
            child.follow(self.lsn);
            child
        })
    }

    /// One partition in place of several that adjoin, given in the order of their bounds.
    pub(crate) fn merge(parts: &[Self], id: String) -> Self {
        let min = parts.first().map_or(EffectivePartitionKey::MIN, |part| part.bounds.min().clone());
        let max = parts.last().map_or(EffectivePartitionKey::MAX, |part| part.bounds.max().clone());
        let mut merged = Self::new(id, Scope::Span { min, max });
        merged.parents = lineage(parts);
        let mut log: Vec<&Arc<Change>> = parts.iter().flat_map(|part| &part.log).collect();
        log.sort_unstable_by_key(|change| (change.lsn, change.seq));
        for change in log {
            merged.apply(change);
        }
        merged.follow(parts.iter().map(|part| part.lsn).max().unwrap_or_default());
        merged
    }

    /// Where a split leaves about as many partition key values on either side; halfway through the bounds if there are
    /// fewer than two values. `None` if nothing lies between the bounds.
    pub(crate) fn split_point(&self) -> Option<EffectivePartitionKey> {
        let mut keys: Vec<&EffectivePartitionKey> = self.items.keys().map(|key| &key.epk).collect();
        keys.dedup();
        let middle = match keys[..] {
            [] | [_] => {
                let (low, high) = (leading_hash(self.bounds.min()), leading_hash(self.bounds.max()));
                let middle = low + high.saturating_sub(low) / 2;
                EffectivePartitionKey::try_from(format!("{middle:032X}")).ok()?
            }
            _ => keys[keys.len() / 2].clone(),
        };
        self.is_inside(&middle).then_some(middle)
    }

    /// Whether a split at this key leaves something of the hash space on either side.
    pub(crate) fn is_inside(&self, at: &EffectivePartitionKey) -> bool {
        self.bounds.min() < at && at < self.bounds.max()
    }

    /// Goes on behind a parent. The change of the partitions takes a sequence number itself, without a record in any feed.
    fn follow(&mut self, parent_lsn: u64) {
        self.lsn = parent_lsn + 1;
    }
}

/// All partitions that came before a successor, oldest first.
fn lineage<'a>(parents: impl IntoIterator<Item = &'a Partition>) -> Vec<Arc<str>> {
    let mut all: Vec<Arc<str>> = Vec::new();
    let parents: Vec<&Partition> = parents.into_iter().collect();
    let ancestors = parents.iter().flat_map(|parent| &parent.parents);
    for id in ancestors.chain(parents.iter().map(|parent| &parent.id)) {
        if !all.contains(id) {
            all.push(Arc::clone(id));
        }
    }
    all
}

/// The first hash of a bound as a number; the end of the hash space for a bound beyond all hashes.
fn leading_hash(bound: &EffectivePartitionKey) -> u128 {
    let hex: String = bound.to_hex().chars().chain("0".repeat(32).chars()).take(32).collect();
    u128::from_str_radix(&hex, 16).unwrap_or_default().min(HASHES_END)
}
