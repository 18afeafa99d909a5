//! Which of two versions of one document is newer, and what that means for a write. Pure.
//!
//! Within one lineage the LSN decides; otherwise the commit time. Because each document is written in order, a stored
//! version that is newer than an incoming one proves that the incoming one is stored, or was overtaken. Versions of one
//! transaction share an LSN and may arrive in any order: what is possible from the stored state comes first.

use cosmirror_formats::Version;
use cosmirror_formats::version::purged_until;

/// What is known of a document's current version, enough to order and replace it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Known {
    /// The blob's etag, for the next conditional put.
    pub etag: String,
    /// Identity of the stored version.
    pub identity: String,
    /// Its lineage.
    pub lineage: String,
    /// Its LSN.
    pub lsn: Option<u64>,
    /// Its commit time.
    pub ts: i64,
    /// Whether the document exists in this version.
    pub exists: bool,
    /// Whether versions beneath it were left out.
    pub thinned: bool,
}

impl Known {
    /// What is known after `version` became current under `etag`.
    ///
    /// A reconciliation's tombstone stands for its time only as the end of an interval: the document may have come back before it,
    /// so what comes next is held against the first instant behind the interval's start, which may be that of the version beneath.
    pub fn new(etag: String, version: &Version) -> Self {
        let vanished_after = version.after.filter(|_| version.is_of_reconciliation());
        Self {
            etag,
            identity: version.identity(),
            lineage: version.lineage.clone(),
            lsn: version.lsn,
            ts: vanished_after.map_or(version.ts, |after| after + 1),
            exists: !version.is_tombstone(),
            thinned: version.omitted.is_some(),
        }
    }
}

/// What to do with an incoming version.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Decision {
    /// Put it on top.
    Put,
    /// It is the stored one.
    Stored,
    /// A newer one is stored.
    Older,
    /// It is of a time of which the document's history was erased, and stays away.
    Purged,
    /// Neither is known to be newer: look through the document's versions for its identity.
    Open,
}

/// Decides by what is stored.
pub fn decide(stored: Option<&Known>, incoming: &Version) -> Decision {
    let Some(stored) = stored else { return Decision::Put };
    if stored.identity == incoming.identity() {
        return Decision::Stored;
    }
    // Whatever order it has: of that time nothing is to come back.
    if let Some(until) = purged_until(&stored.identity) {
        return if incoming.ts <= until { Decision::Purged } else { Decision::Put };
    }
    let order = match (stored.lsn, incoming.lsn) {
        // Of what was left out, and of its transaction, the stored one is the last.
        (Some(stored_lsn), Some(lsn)) if stored.lineage == incoming.lineage && stored.thinned && lsn == stored_lsn => {
            return Decision::Older;
        }
        (Some(stored_lsn), Some(lsn)) if stored.lineage == incoming.lineage => lsn.cmp(&stored_lsn),
        _ => incoming.ts.cmp(&stored.ts),
    };
    match order {
        std::cmp::Ordering::Greater => Decision::Put,
        std::cmp::Ordering::Less => Decision::Older,
        std::cmp::Ordering::Equal => Decision::Open,
    }
}

/// Puts one document's changes of equal LSN into an order that is possible: a create needs absence, a replace or delete
/// needs presence. Of what could come next that is next which leaves the others possible; where several do, the first of them.
/// `exists` is the state before the first. Changes of different LSN keep their places.
pub fn arrange<T>(mut exists: bool, changes: &mut [T], shape: impl Fn(&T) -> Shape) {
    let mut at = 0;
    while at < changes.len() {
        let lsn = shape(&changes[at]).lsn;
        let end = at + changes[at..].iter().take_while(|c| lsn.is_some() && shape(c).lsn == lsn).count().max(1);
        for place in at..end {
            let fits = |i: &usize| shape(&changes[*i]).needs.is_none_or(|needs| needs == exists);
            let completes = |i: &usize| {
                let others = (place..end).filter(|other| other != i).map(|other| shape(&changes[other]));
                are_possible(shape(&changes[*i]).leaves, others)
            };
            let possible = || (place..end).filter(fits);
            if let Some(found) = possible().find(completes).or_else(|| possible().next()) {
                changes[place..=found].rotate_right(1);
            }
            exists = shape(&changes[place]).leaves;
        }
        at = end;
    }
}

/// Whether a document existed before changes of it, judged by what of them is possible, one transaction after the other; where they
/// leave it open, by the order in which they came.
pub fn existed<T>(changes: &[T], shape: impl Fn(&T) -> Shape) -> bool {
    let mut rest = changes;
    while let Some(lsn) = rest.first().map(|change| shape(change).lsn) {
        let length = rest.iter().take_while(|change| lsn.is_some() && shape(change).lsn == lsn).count().max(1);
        let (together, later) = rest.split_at(length);
        let shapes = || together.iter().map(&shape);
        match (are_possible(false, shapes()), are_possible(true, shapes())) {
            (false, true) => return true,
            (true, false) => return false,
            // As many creates as deletes: it exists afterwards if it did before, and what follows may tell.
            (true, true) if shapes().all(|change| change.needs.is_some()) => rest = later,
            _ => break,
        }
    }
    changes.first().is_some_and(|first| shape(first).needs == Some(true))
}

/// Whether these changes of one document can all have happened, in some order.
fn are_possible(exists: bool, changes: impl Iterator<Item = Shape>) -> bool {
    let (mut creates, mut deletes, mut replaces) = (0, 0, 0);
    for change in changes {
        match (change.needs, change.leaves) {
            (None, _) => return true,
            (Some(false), _) => creates += 1,
            (Some(true), true) => replaces += 1,
            (Some(true), false) => deletes += 1,
        }
    }
    // Creates and deletes alternate, and a replace fits wherever the document exists.
    match exists {
        true => deletes == creates || deletes == creates + 1,
        false => (creates == deletes || creates == deletes + 1) && (replaces == 0 || creates > 0),
    }
}

/// How a change relates to its document's existence.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Shape {
    /// Its LSN.
    pub lsn: Option<u64>,
    /// Whether the document must exist before it; none if either will do.
    pub needs: Option<bool>,
    /// Whether the document exists after it.
    pub leaves: bool,
}

#[cfg(test)]
mod tests {
    use cosmirror_formats::{Op, PartitionKey};
    use proptest::prelude::*;

    use super::*;

    fn version(lineage: &str, lsn: Option<u64>, ts: i64, etag: Option<&str>) -> Version {
        Version {
            op: if etag.is_some() { Op::Replace } else { Op::Delete },
            ts,
            lsn,
            nth: None,
            lineage: lineage.to_owned(),
            etag: etag.map(str::to_owned),
            rid: String::new(),
            id: String::new(),
            pk: PartitionKey(Vec::new()),
            prev: None,
            after: None,
            omitted: None,
            encryption: None,
            sha256: String::new(),
        }
    }

    fn stored(lineage: &str, lsn: Option<u64>, ts: i64, etag: Option<&str>) -> Known {
        Known::new("blob".to_owned(), &version(lineage, lsn, ts, etag))
    }

    #[test]
    fn within_a_lineage_the_lsn_decides_whatever_the_time_says() {
        let stored = stored("l", Some(5), 100, Some("e5"));
        assert_eq!(decide(Some(&stored), &version("l", Some(6), 90, Some("e6"))), Decision::Put);
        assert_eq!(decide(Some(&stored), &version("l", Some(4), 110, Some("e4"))), Decision::Older);
        assert_eq!(decide(Some(&stored), &version("l", Some(5), 100, Some("other"))), Decision::Open);
    }

    #[test]
    fn across_lineages_and_without_lsn_the_time_decides() {
        let stored = stored("l", Some(5), 100, Some("e5"));
        assert_eq!(decide(Some(&stored), &version("m", Some(1), 101, Some("e6"))), Decision::Put);
        assert_eq!(decide(Some(&stored), &version("m", Some(9), 99, Some("e6"))), Decision::Older);
        assert_eq!(decide(Some(&stored), &version("l", None, 100, Some("e6"))), Decision::Open);
    }

    /// A document vanished between 100 and 200 and was created again at 150; a reconciliation's tombstone was stored first.
    #[test]
    fn what_came_back_before_the_end_of_a_reconciliations_interval_is_put_on_its_tombstone() {
        let tombstone = Version { after: Some(100), ..version("l", None, 200, None) };
        let stored = Known::new("blob".to_owned(), &tombstone);
        assert_eq!(decide(Some(&stored), &version("l", Some(9), 150, Some("e9"))), Decision::Put);
        assert_eq!(decide(Some(&stored), &version("m", Some(1), 150, Some("e9"))), Decision::Put);
        assert_eq!(decide(Some(&stored), &version("l", Some(5), 90, Some("e5"))), Decision::Older);
        assert_eq!(decide(Some(&stored), &tombstone), Decision::Stored);
    }

    #[test]
    fn what_was_left_out_beneath_a_version_is_older_also_within_its_transaction() {
        let thinned = Version { omitted: Some(2), after: Some(50), ..version("l", Some(5), 100, None) };
        let stored = Known::new("blob".to_owned(), &thinned);
        assert_eq!(stored.ts, 100);
        assert_eq!(decide(Some(&stored), &version("l", Some(5), 100, Some("e5"))), Decision::Older);
        assert_eq!(decide(Some(&stored), &version("l", Some(6), 100, Some("e6"))), Decision::Put);
    }

    #[test]
    fn what_was_committed_up_to_a_purge_stays_away_and_what_comes_later_is_put_on_its_mark() {
        let mark = Version::purge(100, "rid", "", &PartitionKey(Vec::new()));
        let stored = Known::new("blob".to_owned(), &mark);
        assert!(!stored.exists);
        for lineage in ["l", "rid"] {
            for lsn in [None, Some(9)] {
                assert_eq!(decide(Some(&stored), &version(lineage, lsn, 100, Some("e"))), Decision::Purged);
                assert_eq!(decide(Some(&stored), &version(lineage, lsn, 99, None)), Decision::Purged);
                assert_eq!(decide(Some(&stored), &version(lineage, lsn, 101, Some("e"))), Decision::Put);
            }
        }
        assert_eq!(decide(Some(&stored), &mark), Decision::Stored);
    }

    #[test]
    fn a_replayed_version_or_delete_is_recognised_by_identity() {
        assert_eq!(
            decide(Some(&stored("l", Some(5), 1, Some("e"))), &version("m", None, 9, Some("e"))),
            Decision::Stored
        );
        assert_eq!(decide(Some(&stored("l", Some(5), 1, None)), &version("l", Some(5), 1, None)), Decision::Stored);
    }

    fn shape(change: &(u64, char)) -> Shape {
        Shape { lsn: Some(change.0), needs: Some(change.1 != 'c'), leaves: change.1 != 'd' }
    }

    #[test]
    fn changes_of_one_transaction_are_put_into_a_possible_order() {
        let mut changes = [(7, 'd'), (7, 'c'), (8, 'c'), (8, 'r')];
        arrange(false, &mut changes, shape);
        assert_eq!(changes, [(7, 'c'), (7, 'd'), (8, 'c'), (8, 'r')]);
        let mut changes = [(7, 'c'), (7, 'd')];
        arrange(true, &mut changes, shape);
        assert_eq!(changes, [(7, 'd'), (7, 'c')]);
    }

    #[test]
    fn what_existed_before_follows_from_the_changes_or_from_their_order() {
        let existed = |steps: &str| existed(&steps.chars().map(|step| (7, step)).collect::<Vec<_>>(), shape);
        assert_eq!([existed("rd"), existed("dcd"), existed("r")], [true; 3]);
        assert_eq!([existed("rc"), existed("ccd"), existed("c"), existed("")], [false; 4]);
        assert_eq!([existed("dc"), existed("cd"), existed("rcd")], [true, false, true]);
    }

    #[test]
    fn what_a_transaction_leaves_open_follows_from_the_next() {
        let existed = |changes: &[(u64, char)]| existed(changes, shape);
        assert!(
            existed(&[(7, 'c'), (7, 'd'), (8, 'r')]) && existed(&[(7, 'c'), (7, 'd'), (8, 'd'), (8, 'c'), (9, 'd')])
        );
        assert!(!existed(&[(7, 'd'), (7, 'c'), (8, 'c')]));
    }

    fn is_possible(mut exists: bool, changes: &[(u64, char)]) -> bool {
        changes.iter().all(|change| {
            let fits = (change.1 != 'c') == exists;
            exists = change.1 != 'd';
            fits
        })
    }

    proptest! {
        /// Dead letters of a transaction that created, replaced and deleted a document were replayed by their names, the delete
        /// before the replace: it fitted as well, and the document that was gone stood in the mirror.
        #[test]
        fn what_can_have_happened_is_arranged_as_it_can_have_happened(
            steps in prop::collection::vec(any::<bool>(), 0..9),
            existed: bool,
            order in prop::collection::vec(any::<prop::sample::Index>(), 9),
        ) {
            let mut exists = existed;
            let mut changes: Vec<(u64, char)> = Vec::new();
            for replaces in steps {
                let step = if !exists { 'c' } else if replaces { 'r' } else { 'd' };
                exists = step != 'd';
                changes.push((7, step));
            }
            for (at, other) in order.iter().enumerate().take(changes.len()) {
                let other = other.index(changes.len());
                changes.swap(at, other);
            }
            arrange(existed, &mut changes, shape);
            prop_assert!(is_possible(existed, &changes), "{:?}", changes);
        }

        #[test]
        fn arranging_keeps_every_change_and_the_order_of_lsns(
            mut changes in prop::collection::vec((0u64..4, prop::sample::select(vec!['c', 'r', 'd'])), 0..12),
            exists: bool,
        ) {
            changes.sort_by_key(|c| c.0);
            let mut arranged = changes.clone();
            arrange(exists, &mut arranged, shape);
            prop_assert!(arranged.is_sorted_by_key(|c| c.0));
            changes.sort();
            arranged.sort();
            prop_assert_eq!(arranged, changes);
        }
    }
}
