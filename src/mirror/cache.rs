//! What is known of recently written documents, bounded in number.
//!
//! Two generations: when the young one is full it becomes the old one, and what is used again moves forward. A lost entry costs
//! one more request, never correctness, because every put is conditional.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use super::order::Known;

/// Entries of one generation; an entry takes about 400 bytes.
const GENERATION_ENTRIES_MAX: usize = 25_000;

#[derive(Default)]
struct Generations {
    young: HashMap<String, Known>,
    old: HashMap<String, Known>,
}

/// Blob name → what is known of its current version.
#[derive(Default)]
pub struct Cache(Mutex<Generations>);

impl Cache {
    /// What is known of a name.
    pub fn get(&self, name: &str) -> Option<Known> {
        let mut both = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = both.young.get(name) {
            return Some(known.clone());
        }
        let known = both.old.remove(name)?;
        both.insert(name.to_owned(), known.clone());
        Some(known)
    }

    /// Remembers the current version of a name.
    pub fn put(&self, name: &str, known: Known) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).insert(name.to_owned(), known);
    }
}

impl Generations {
    fn insert(&mut self, name: String, known: Known) {
        if self.young.len() >= GENERATION_ENTRIES_MAX {
            self.old = std::mem::take(&mut self.young);
        }
        self.young.insert(name, known);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn known(etag: &str) -> Known {
        Known { etag: etag.to_owned(), identity: String::new(), lineage: String::new(), lsn: None, ts: 0, exists: true }
    }

    #[test]
    fn the_cache_is_bounded_and_keeps_what_is_used() {
        let cache = Cache::default();
        cache.put("kept", known("1"));
        for n in 0..GENERATION_ENTRIES_MAX * 3 {
            cache.put(&n.to_string(), known("x"));
            assert!(cache.get("kept").is_some());
        }
        assert!(cache.get("0").is_none());
        let both = cache.0.lock().unwrap();
        assert!(both.young.len() + both.old.len() <= GENERATION_ENTRIES_MAX * 2);
    }
}
