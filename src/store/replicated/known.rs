//! Which etag a replica's version has, for those that were brought there lately.

use std::collections::HashMap;
use std::hash::{BuildHasher as _, RandomState};
use std::sync::{Mutex, MutexGuard, PoisonError};

/// Names that are remembered, at most twice as many; some hundred bytes for each.
const NAMES_MAX: usize = 30_000;

/// While the first store's current version has one etag, the replica's has the other, and lacks nothing.
#[derive(Debug, Default)]
pub(super) struct Known(Mutex<Generations>);

#[derive(Debug, Default)]
struct Generations {
    /// Names are remembered by hashes of 128 bits.
    hashers: [RandomState; 2],
    young: HashMap<[u64; 2], Pair>,
    old: HashMap<[u64; 2], Pair>,
}

#[derive(Debug, Clone)]
struct Pair {
    first: Box<str>,
    replica: Box<str>,
}

impl Known {
    /// The replica's etag, where the first store's is this one.
    pub(super) fn get(&self, name: &str, first: &str) -> Option<String> {
        let known = self.locked();
        let hash = known.hash(name);
        let pair = known.young.get(&hash).or_else(|| known.old.get(&hash))?;
        (*pair.first == *first).then(|| pair.replica.to_string())
    }

    pub(super) fn set(&self, name: &str, first: &str, replica: &str) {
        let mut known = self.locked();
        if known.young.len() >= NAMES_MAX {
            known.old = std::mem::take(&mut known.young);
        }
        let hash = known.hash(name);
        known.young.insert(hash, Pair { first: first.into(), replica: replica.into() });
    }

    /// A panic while the lock was held leaves whole maps.
    fn locked(&self) -> MutexGuard<'_, Generations> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Generations {
    fn hash(&self, name: &str) -> [u64; 2] {
        self.hashers.each_ref().map(|hasher| hasher.hash_one(name))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pair_counts_only_while_the_first_stores_version_is_the_same() {
        let known = Known::default();
        known.set("a", "1", "x");
        known.set("a", "2", "y");
        assert_eq!((known.get("a", "2").as_deref(), known.get("a", "1"), known.get("b", "2")), (Some("y"), None, None));
        for number in 0..NAMES_MAX * 3 {
            known.set(&format!("n{number}"), "1", "x");
        }
        assert_eq!(known.get("a", "2"), None);
        let generations = known.locked();
        assert!(generations.young.len() + generations.old.len() <= 2 * NAMES_MAX);
    }
}
