//! What is known of recently written documents, bounded in memory.
//!
//! Two generations: when the young one is full it becomes the old one, and what is used again moves forward. A lost entry costs
//! one more request, never correctness, because every put is conditional.
//!
//! A name is kept as a hash of 128 bits with keys of this process' own. Were two names taken for one another, a change could pass for one that is stored
//! already; so many bits are beyond chance, and without the keys nobody can choose ids that meet. What is known is [`packed`], in
//! 72 bytes an entry together with its name; what does not fit is kept as it is and counts for several.

use std::collections::HashMap;
use std::hash::{BuildHasher as _, RandomState};
use std::sync::{Mutex, PoisonError};

use self::packed::{Lineages, Packed};
use super::order::Known;
use super::thin::Tally;

mod packed;

/// What is known of one document.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// Its current version.
    pub known: Known,
    /// How often it changes.
    pub tally: Tally,
}

/// Packed entries of one generation: as many as fit into 65,536 places of a hash table, which takes 4.6 MiB then.
const GENERATION_MAX: usize = 57_344;
/// An entry that cannot be packed takes about 450 bytes.
const WHOLE: usize = 6;

/// The hash of a blob's name.
type Name = (u64, u64);

enum Slot {
    Packed(Packed),
    Whole(Box<Entry>),
}

#[derive(Default)]
struct Generations {
    young: HashMap<Name, Slot>,
    old: HashMap<Name, Slot>,
    /// What the young ones count for.
    weight: usize,
    lineages: Lineages,
}

/// Blob name → what is known of its document.
#[derive(Default)]
pub struct Cache {
    keys: [RandomState; 2],
    generations: Mutex<Generations>,
}

impl Cache {
    /// What is known of a name.
    pub fn get(&self, name: &str) -> Option<Entry> {
        let name = self.hashed(name);
        let mut both = self.generations.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(slot) = both.young.get(&name) {
            return Some(slot.entry(&both.lineages));
        }
        let slot = both.old.remove(&name)?;
        let entry = slot.entry(&both.lineages);
        both.insert(name, slot);
        Some(entry)
    }

    /// Remembers what is known of a name.
    pub fn put(&self, name: &str, entry: Entry) {
        let name = self.hashed(name);
        let mut both = self.generations.lock().unwrap_or_else(PoisonError::into_inner);
        let slot = match Packed::new(&entry, &mut both.lineages) {
            Some(packed) => Slot::Packed(packed),
            None => Slot::Whole(Box::new(entry)),
        };
        both.insert(name, slot);
    }

    fn hashed(&self, name: &str) -> Name {
        (self.keys[0].hash_one(name), self.keys[1].hash_one(name))
    }
}

impl Slot {
    fn entry(&self, lineages: &Lineages) -> Entry {
        match self {
            Self::Packed(packed) => packed.entry(lineages),
            Self::Whole(entry) => Entry::clone(entry),
        }
    }

    fn weight(&self) -> usize {
        match self {
            Self::Packed(_) => 1,
            Self::Whole(_) => WHOLE,
        }
    }
}

impl Generations {
    fn insert(&mut self, name: Name, slot: Slot) {
        if self.weight >= GENERATION_MAX {
            self.old = std::mem::take(&mut self.young);
            self.weight = 0;
        }
        self.weight += slot.weight();
        if let Some(before) = self.young.insert(name, slot) {
            self.weight -= before.weight();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(etag: &str) -> Entry {
        let known = Known::new(etag.to_owned(), &crate::history::memory::version("d", "e", 1, None, b""));
        Entry { known, tally: Tally::default() }
    }

    #[test]
    fn the_cache_is_bounded_and_keeps_what_is_used() {
        let cache = Cache::default();
        cache.put("kept", entry("kept"));
        for n in 0..GENERATION_MAX * 3 / WHOLE {
            cache.put(&n.to_string(), entry("other"));
            assert_eq!(cache.get("kept").unwrap(), entry("kept"));
        }
        assert!(cache.get("0").is_none());
        let both = cache.generations.lock().unwrap();
        assert!((both.young.len() + both.old.len()) * WHOLE <= GENERATION_MAX * 2 + WHOLE);
    }

    #[test]
    fn what_is_put_again_counts_once() {
        let cache = Cache::default();
        for _ in 0..GENERATION_MAX {
            cache.put("one", entry("same"));
        }
        assert_eq!(cache.generations.lock().unwrap().weight, WHOLE);
    }

    #[test]
    fn an_entry_takes_the_bytes_that_are_said() {
        assert_eq!(size_of::<(Name, Slot)>(), 72);
    }
}
