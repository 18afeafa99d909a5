//! Source order of a document's versions: never the store's ids, never its modification times.
//!
//! Versions of one lineage are ordered by LSN, all others by commit time; equal ones keep the order in which they were
//! stored, because each document is written in order. Taken pair by pair these rules can contradict each other (a clock
//! that ran back within a lineage), so the order is made by merging: each lineage is a chain in LSN order whose times never
//! decrease, and the chains are merged by time. A tombstone that a reconciliation wrote stands directly behind the
//! version it was compared with: its time is only the end of an interval, and a later version of the feed is ordered
//! against the version it replaced, never against that time.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap, HashMap};

use super::Entry;

/// Each entity tag of so many is compared with each other one.
const PLAIN_MAX: usize = 16;

/// The entries in source order, each identity once. `entries` come in the store's order, oldest first.
pub(crate) fn source_order(entries: Vec<Entry>) -> Vec<Entry> {
    if is_plainly_ordered(&entries) { entries } else { brought_in_order(entries) }
}

/// Whether they obviously are in order, as most documents' are: a few, of one lineage, with LSNs that grow. All else takes many times as long.
fn is_plainly_ordered(entries: &[Entry]) -> bool {
    let follows = |(at, entry): (usize, &Entry)| {
        let (version, before) = (&entry.version, &entries[..at]);
        before.last().is_none_or(|last| last.version.lineage == version.lineage && last.version.lsn < version.lsn)
            && version.lsn.is_some()
            && !version.is_of_reconciliation()
            && (version.etag.is_none() || before.iter().all(|other| other.version.etag != version.etag))
    };
    entries.len() <= PLAIN_MAX && entries.iter().enumerate().all(follows)
}

fn brought_in_order(entries: Vec<Entry>) -> Vec<Entry> {
    let (tombstones, others): (Vec<Entry>, Vec<Entry>) =
        distinct(entries).into_iter().partition(|entry| entry.version.is_of_reconciliation());
    let known = |identity: &Option<String>| {
        identity.as_ref().is_some_and(|identity| others.iter().any(|other| other.version.identity() == *identity))
    };
    let (placed, mut timed): (Vec<Entry>, Vec<Entry>) =
        tombstones.into_iter().partition(|tombstone| known(&tombstone.version.prev));
    timed.splice(0..0, others);
    let mut ordered = merged(timed);
    for tombstone in placed {
        let beneath = ordered.iter().position(|entry| Some(entry.version.identity()) == tombstone.version.prev);
        let at = beneath.map_or(ordered.len(), |at| at + 1);
        ordered.insert(at, tombstone);
    }
    ordered
}

/// The first entry of each identity: a put that was repeated after a lost answer may have stored a version twice. That one
/// of the copies is the store's current version stays known.
fn distinct(entries: Vec<Entry>) -> Vec<Entry> {
    let mut kept: Vec<Entry> = Vec::with_capacity(entries.len());
    let mut places: HashMap<String, usize> = HashMap::new();
    for entry in entries {
        match places.get(&entry.version.identity()) {
            Some(at) => kept[*at].current |= entry.current,
            None => {
                places.insert(entry.version.identity(), kept.len());
                kept.push(entry);
            }
        }
    }
    kept
}

/// Merges the chains by time, then by place in the store.
fn merged(entries: Vec<Entry>) -> Vec<Entry> {
    let mut chains: BTreeMap<(String, usize), Vec<usize>> = BTreeMap::new();
    for (at, entry) in entries.iter().enumerate() {
        // Without an LSN nothing links a version to its lineage: it is a chain of its own.
        let own = if entry.version.lsn.is_some() { 0 } else { at + 1 };
        chains.entry((entry.version.lineage.clone(), own)).or_default().push(at);
    }
    let mut times = vec![i64::MIN; entries.len()];
    let mut chains: Vec<Vec<usize>> = chains.into_values().collect();
    for chain in &mut chains {
        chain.sort_by_key(|at| entries[*at].version.lsn);
        let mut latest = i64::MIN;
        for at in chain {
            latest = latest.max(entries[*at].version.ts);
            times[*at] = latest;
        }
    }
    let mut heap: BinaryHeap<Reverse<(i64, usize, usize, usize)>> =
        chains.iter().enumerate().map(|(chain, members)| Reverse((times[members[0]], members[0], chain, 0))).collect();
    let mut entries: Vec<Option<Entry>> = entries.into_iter().map(Some).collect();
    let mut ordered = Vec::with_capacity(entries.len());
    while let Some(Reverse((_, at, chain, place))) = heap.pop() {
        ordered.extend(entries[at].take());
        if let Some(next) = chains[chain].get(place + 1) {
            heap.push(Reverse((times[*next], *next, chain, place + 1)));
        }
    }
    ordered
}

#[cfg(test)]
mod tests {
    use cosmirror_formats::Op;
    use proptest::prelude::*;

    use super::super::memory::entry;
    use super::*;

    fn names(entries: &[Entry]) -> Vec<String> {
        entries.iter().map(|entry| entry.version.identity()).collect()
    }

    #[test]
    fn within_a_lineage_the_lsn_decides_even_where_the_clock_ran_back() {
        let ordered = source_order(vec![entry("a", 9, Some(2)), entry("b", 10, Some(1)), entry("c", 5, Some(3))]);
        assert_eq!(names(&ordered), ["b", "a", "c"]);
    }

    #[test]
    fn across_lineages_time_decides_and_ties_keep_the_stores_order() {
        let mut other = entry("late", 20, Some(1));
        other.version.lineage = "after-merge".to_owned();
        let mut tie = entry("tie", 10, Some(2));
        tie.version.lineage = "after-merge".to_owned();
        let ordered = source_order(vec![entry("a", 10, Some(900)), other, tie, entry("b", 15, Some(901))]);
        assert_eq!(names(&ordered), ["a", "b", "late", "tie"]);
        let ordered = source_order(vec![entry("z", 10, None), entry("a", 10, None)]);
        assert_eq!(names(&ordered), ["z", "a"]);
    }

    #[test]
    fn a_put_repeated_after_a_lost_answer_counts_once() {
        let mut copy = entry("a", 1, Some(1));
        copy.current = true;
        let ordered = source_order(vec![entry("a", 1, Some(1)), copy]);
        assert_eq!(ordered.len(), 1);
        assert!(ordered[0].current);
    }

    /// A document vanished between 50 and 100; it was created again at 90, before the reconciliation's interval ended, and the
    /// feed brought that version after the tombstone had been stored.
    #[test]
    fn a_reconciled_tombstone_stands_behind_the_version_it_was_compared_with() {
        let mut tombstone = entry("unused", 100, None);
        tombstone.version.etag = None;
        tombstone.version.op = Op::Reconcile;
        tombstone.version.prev = Some("v0".to_owned());
        let ordered = source_order(vec![entry("v0", 10, Some(1)), tombstone.clone(), entry("v1", 90, Some(7))]);
        assert_eq!(ordered[1], tombstone);
        assert_eq!(names(&ordered)[2], "v1");
        tombstone.version.op = Op::Delete;
        tombstone.version.after = Some(50);
        let mut elsewhere = entry("v1", 90, Some(1));
        elsewhere.version.lineage = "m".to_owned();
        let ordered = source_order(vec![entry("v0", 10, Some(1)), tombstone.clone(), elsewhere]);
        assert_eq!(ordered[1], tombstone);
        assert_eq!(names(&ordered)[2], "v1");
    }

    /// A delete with versions left out beneath it has an `after` like a reconciliation's, and stood before what it had overtaken.
    #[test]
    fn a_delete_beneath_which_versions_were_left_out_stays_in_the_feeds_order() {
        let mut delete = entry("unused", 100, Some(9));
        delete.version.etag = None;
        delete.version.op = Op::Delete;
        (delete.version.after, delete.version.omitted) = (Some(50), Some(3));
        delete.version.prev = Some("v0".to_owned());
        let replayed = entry("v1", 60, Some(7));
        let ordered = source_order(vec![entry("v0", 10, Some(1)), delete.clone(), replayed]);
        assert_eq!(names(&ordered)[1], "v1");
        assert_eq!(ordered[2], delete);
    }

    prop_compose! {
        fn any_entries()(raw in prop::collection::vec((0i64..6, prop::option::of(0u64..8), 0u8..3), 0..12)) -> Vec<Entry> {
            raw.into_iter().enumerate().map(|(at, (ts, lsn, lineage))| {
                let mut entry = entry(&format!("e{at}"), ts, lsn);
                entry.version.lineage = format!("l{lineage}");
                entry
            }).collect()
        }
    }

    prop_compose! {
        /// Mostly in order; with repetitions and tombstones of both kinds.
        fn nearly_ordered()(
            raw in prop::collection::vec((0i64..6, 0u64..40, 0u8..12, 0u8..30), 0..20), sorted in prop::bool::weighted(0.8),
        ) -> Vec<Entry> {
            let mut entries: Vec<Entry> = raw.into_iter().enumerate().map(|(at, (ts, lsn, kind, repeated))| {
                let place = if repeated == 0 { 0 } else { at };
                let mut entry = entry(&format!("e{place}"), ts, (kind != 0).then_some(lsn));
                entry.version.lineage = format!("l{}", u8::from(kind == 1));
                if kind < 6 {
                    (entry.version.etag, entry.version.op) = (None, Op::Delete);
                    entry.version.after = (kind == 2).then_some(0);
                    entry.version.prev = Some("e0".to_owned());
                }
                entry
            }).collect();
            if sorted {
                entries.sort_by_key(|entry| entry.version.lsn);
            }
            entries
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 2_000, ..ProptestConfig::default() })]

        #[test]
        fn what_plainly_is_in_order_is_what_the_rules_make_of_it(entries in nearly_ordered()) {
            prop_assert_eq!(source_order(entries.clone()), brought_in_order(entries));
        }

        #[test]
        fn every_lineage_stays_in_lsn_order_and_nothing_is_lost(entries in any_entries()) {
            let ordered = source_order(entries.clone());
            prop_assert_eq!(ordered.len(), entries.len());
            for lineage in ["l0", "l1", "l2"] {
                let lsns: Vec<u64> =
                    ordered.iter().filter(|e| e.version.lineage == lineage).filter_map(|e| e.version.lsn).collect();
                prop_assert!(lsns.is_sorted(), "{:?}", lsns);
            }
        }

        #[test]
        fn without_lineages_versions_are_in_the_order_of_time(entries in any_entries()) {
            let mut entries = entries;
            entries.iter_mut().for_each(|entry| entry.version.lsn = None);
            let times: Vec<i64> = source_order(entries).iter().map(|entry| entry.version.ts).collect();
            prop_assert!(times.is_sorted());
        }

        #[test]
        fn the_order_of_storing_does_not_matter_where_time_and_lsn_agree(
            (sorted, shuffled) in (1usize..10).prop_flat_map(|count| {
                let sorted: Vec<Entry> = (0..count)
                    .map(|at| entry(&format!("e{at}"), i64::try_from(at).unwrap(), Some(at as u64)))
                    .collect();
                (Just(sorted.clone()), Just(sorted).prop_shuffle())
            }),
        ) {
            prop_assert_eq!(source_order(shuffled), sorted);
        }
    }
}
