//! What is known of recently written documents, bounded in number.
//!
//! Two generations: when the young one is full it becomes the old one, and what is used again moves forward. A lost entry costs
//! one more request, never correctness, because every put is conditional.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use super::order::Known;
use super::thin::Tally;

/// What is known of one document.
#[derive(Debug, Clone)]
pub struct Entry {
    /// Its current version.
    pub known: Known,
    /// How often it changes.
    pub tally: Tally,
}

/// Entries of one generation; an entry takes about 400 bytes.
const GENERATION_ENTRIES_MAX: usize = 25_000;

#[derive(Default)]
struct Generations {
    young: HashMap<String, Entry>,
    old: HashMap<String, Entry>,
}

/// Blob name → what is known of its document.
#[derive(Default)]
pub struct Cache(Mutex<Generations>);

impl Cache {
    /// What is known of a name.
    pub fn get(&self, name: &str) -> Option<Entry> {
        let mut both = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(entry) = both.young.get(name) {
            return Some(entry.clone());
        }
        let entry = both.old.remove(name)?;
        both.insert(name.to_owned(), entry.clone());
        Some(entry)
    }

    /// Remembers what is known of a name.
    pub fn put(&self, name: &str, entry: Entry) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).insert(name.to_owned(), entry);
    }
}

impl Generations {
    fn insert(&mut self, name: String, entry: Entry) {
        if self.young.len() >= GENERATION_ENTRIES_MAX {
            self.old = std::mem::take(&mut self.young);
        }
        self.young.insert(name, entry);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry() -> Entry {
        let known = Known::new("etag".to_owned(), &crate::history::memory::version("d", "e", 1, None, b""));
        Entry { known, tally: Tally::default() }
    }

    #[test]
    fn the_cache_is_bounded_and_keeps_what_is_used() {
        let cache = Cache::default();
        cache.put("kept", entry());
        for n in 0..GENERATION_ENTRIES_MAX * 3 {
            cache.put(&n.to_string(), entry());
            assert!(cache.get("kept").is_some());
        }
        assert!(cache.get("0").is_none());
        let both = cache.0.lock().unwrap();
        assert!(both.young.len() + both.old.len() <= GENERATION_ENTRIES_MAX * 2);
    }
}
