//! A document's state at an instant, and the ways in which it cannot be known. Pure.
//!
//! The state at T is the last version in source order with a commit time of at most T. It is not known where
//! - the version that follows is tied to a predecessor (`prev`) that the mirror no longer has: whatever was lost may have
//!   been the state at T;
//! - the version that follows says that nothing was lost only from its own time on (`after`: in latest-version mode, or where
//!   versions were left out): between `after` and its time there were versions that the mirror never got, or the delete it stands for;
//! - no version is early enough, and the first one does not say that the document was created by it, or that what was before was purged;
//! - a dead letter of that time cannot be parsed.
//!
//! What belongs to an earlier life of the container is absent from the moment in which that was removed and created again.

use cosmirror_formats::Op;
use cosmirror_formats::records::Gap;

use super::{DocumentHistory, Entry, Unreadable};

/// What a document was at an instant.
#[derive(Debug, Clone, PartialEq)]
pub enum State<'a> {
    /// It existed, with this version.
    Present(&'a Entry),
    /// It had been deleted by this version.
    Deleted(&'a Entry),
    /// It did not exist yet.
    NotYet,
    /// Something happened between these two instants (seconds since 1970), exclusive, and the mirror cannot tell when.
    Uncertain {
        /// Up to here the earlier state held.
        after: i64,
        /// From here on the later state holds.
        until: i64,
    },
    /// The mirror lacks what would answer this.
    Unknown(&'static str),
}

const LOST: &str = "an earlier version that the mirror once had is gone, for instance by a lifecycle rule";
const NEVER_HAD: &str = "its first version in the mirror is later, and the document existed before it";
const GAP: &str = "a gap of the mirror lies directly before the change";
const UNREADABLE: &str = "a change of that time is a dead letter that cannot be read";

pub(super) fn state_at(history: &DocumentHistory, at: i64) -> State<'_> {
    let entries = &history.entries;
    let last = entries.iter().rposition(|entry| entry.version.ts <= at);
    let decided = last.map(|last| entries[last].version.ts);
    let open = |ts: i64| ts <= at && decided.is_none_or(|decided| decided <= ts);
    if history.unreadable.iter().any(|letter| letter.ts.is_none_or(open)) {
        return State::Unknown(UNREADABLE);
    }
    let next = entries.get(last.map_or(0, |last| last + 1));
    if let Some(next) = next {
        if let Some(after) = next.version.after.filter(|after| *after < at) {
            return State::Uncertain { after, until: next.version.ts };
        }
        if history.lacks_beneath(next) {
            return State::Unknown(LOST);
        }
    }
    match (last.map(|last| &entries[last]), next) {
        (Some(entry), _) if entry.version.is_tombstone() => State::Deleted(entry),
        (Some(entry), _) if entry.life.ended.is_some_and(|ended| ended <= at) => State::Deleted(entry),
        (Some(entry), _) => State::Present(entry),
        // A watermark behind `at` says that nothing of this document was there.
        (None, Some(first)) if first.version.op == Op::Create || first.version.after.is_some() => State::NotYet,
        // What was purged counts as if it had never been: it cannot be restored, and nobody is to be told of it.
        (None, Some(first)) if first.version.is_purge() => State::NotYet,
        (None, Some(first)) if first.life.began.is_some_and(|began| at < began) => State::NotYet,
        (None, Some(_)) => State::Unknown(NEVER_HAD),
        (None, None) => State::NotYet,
    }
}

/// What was directly before the version with this etag; none where there is no such version. `gaps` are those of the mirror: what fell into
/// one is not known to have been the last before the change.
pub(super) fn state_before<'a>(history: &'a DocumentHistory, etag: &str, gaps: &[Gap]) -> Option<State<'a>> {
    let entries = &history.entries;
    let at = entries.iter().position(|entry| entry.version.etag.as_deref() == Some(etag))?;
    let (changed, before) = (&entries[at], at.checked_sub(1).map(|before| &entries[before]));
    let (begin, end) = (before.map_or(i64::MIN, |before| before.version.ts), changed.version.ts);
    let is_first = before.is_none() && changed.version.op == Op::Create;
    let in_gap = |gap: &Gap| gap.from <= end && gap.until.is_none_or(|until| begin < until);
    let unread = |letter: &Unreadable| letter.ts.is_none_or(|ts| begin <= ts && ts <= end);
    Some(match before {
        _ if history.lacks_beneath(changed) => State::Unknown(LOST),
        _ if history.unreadable.iter().any(unread) => State::Unknown(UNREADABLE),
        _ if !is_first && gaps.iter().any(in_gap) => State::Unknown(GAP),
        Some(before) if before.version.is_tombstone() => State::Deleted(before),
        Some(before) if before.life != changed.life => State::Deleted(before),
        before => match (changed.version.after, before) {
            // Versions were left out in between, so what the document was directly before is not there.
            (Some(after), Some(_)) => State::Uncertain { after, until: changed.version.ts },
            (None, Some(before)) => State::Present(before),
            (Some(_), None) => State::NotYet,
            (None, None) if changed.version.op == Op::Create => State::NotYet,
            (None, None) => State::Unknown(NEVER_HAD),
        },
    })
}

/// The known states on both sides of an instant that cannot be told: the newest one up to it and the next one after it.
pub(super) fn known_around(history: &DocumentHistory, at: i64) -> (State<'_>, Option<State<'_>>) {
    let of = |entry| if Entry::is_absence(entry, at) { State::Deleted(entry) } else { State::Present(entry) };
    let last = history.entries.iter().rposition(|entry| entry.version.ts <= at);
    let next = history.entries.get(last.map_or(0, |last| last + 1));
    (last.map_or(State::NotYet, |last| of(&history.entries[last])), next.map(of))
}

impl Entry {
    /// Whether the document does not exist by it at this instant.
    fn is_absence(&self, at: i64) -> bool {
        self.version.is_tombstone() || self.life.ended.is_some_and(|ended| ended <= at)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::memory::{entry, history};
    use super::super::{Unreadable, order::source_order};
    use super::*;

    fn created(name: &str, ts: i64) -> Entry {
        let mut entry = entry(name, ts, Some(ts.unsigned_abs()));
        entry.version.op = Op::Create;
        entry
    }

    fn follows(mut entry: Entry, prev: &str) -> Entry {
        entry.version.prev = Some(prev.to_owned());
        entry
    }

    fn tombstone(ts: i64, after: Option<i64>, prev: &str) -> Entry {
        let mut entry = follows(entry("", ts, None), prev);
        entry.version.etag = None;
        entry.version.op = if after.is_some() { Op::Reconcile } else { Op::Delete };
        entry.version.after = after;
        entry
    }

    #[test]
    fn the_end_of_a_second_includes_everything_committed_in_it() {
        let history = history(vec![created("a", 10), follows(entry("b", 10, Some(11)), "a")]);
        assert!(matches!(history.state_at(10), State::Present(e) if e.version.identity() == "b"));
        assert_eq!(history.state_at(9), State::NotYet);
    }

    #[test]
    fn a_deleted_document_is_absent_until_it_is_created_again() {
        let history =
            history(vec![created("a", 10), tombstone(20, None, "a"), follows(created("b", 30), "del:l:ts20")]);
        assert!(matches!(history.state_at(19), State::Present(_)));
        assert!(matches!(history.state_at(29), State::Deleted(_)));
        assert!(matches!(history.state_at(30), State::Present(_)));
    }

    #[test]
    fn a_lost_predecessor_makes_the_past_unknown_never_absent() {
        let first_lost = history(vec![follows(entry("b", 20, Some(2)), "a")]);
        assert_eq!(first_lost.state_at(19), State::Unknown(LOST));
        assert!(matches!(first_lost.state_at(20), State::Present(_)));
        let middle_lost = history(vec![created("a", 10), follows(entry("c", 30, Some(30)), "b")]);
        assert_eq!(middle_lost.state_at(15), State::Unknown(LOST));
        assert!(matches!(middle_lost.state_at(30), State::Present(_)));
    }

    #[test]
    fn a_first_version_that_replaced_something_does_not_prove_absence() {
        assert_eq!(history(vec![entry("b", 20, Some(2))]).state_at(19), State::Unknown(NEVER_HAD));
    }

    #[test]
    fn between_watermark_and_change_a_latest_version_feed_knows_nothing() {
        let mut later = follows(entry("b", 40, Some(4)), "a");
        later.version.after = Some(20);
        let history = history(vec![created("a", 10), later]);
        assert!(matches!(history.state_at(20), State::Present(e) if e.version.identity() == "a"));
        assert_eq!(history.state_at(21), State::Uncertain { after: 20, until: 40 });
        assert!(matches!(history.state_at(40), State::Present(e) if e.version.identity() == "b"));
    }

    #[test]
    fn between_versions_that_were_left_out_nothing_is_known_and_a_thinned_delete_is_a_delete() {
        let mut delete = tombstone(40, Some(19), "a");
        (delete.version.op, delete.version.lsn, delete.version.omitted) = (Op::Delete, Some(40), Some(5));
        let history = history(source_order(vec![created("a", 10), delete, follows(created("c", 50), "del:l:40")]));
        assert!(matches!(history.state_at(19), State::Present(e) if e.version.identity() == "a"));
        assert_eq!(history.state_at(20), State::Uncertain { after: 19, until: 40 });
        assert!(matches!(history.state_at(40), State::Deleted(_)));
        assert!(matches!(history.state_at(50), State::Present(e) if e.version.identity() == "c"));
    }

    #[test]
    fn a_document_recreated_inside_a_reconciliations_interval_is_known_from_then_on() {
        let order = source_order(vec![
            created("a", 10),
            tombstone(100, Some(50), "a"),
            follows(entry("b", 90, Some(90)), "del:l:ts100"),
        ]);
        let history = history(order);
        assert!(matches!(history.state_at(50), State::Present(e) if e.version.identity() == "a"));
        assert_eq!(history.state_at(60), State::Uncertain { after: 50, until: 100 });
        for at in [90, 100, 1000] {
            assert!(matches!(history.state_at(at), State::Present(e) if e.version.identity() == "b"), "{at}");
        }
    }

    #[test]
    fn a_watermark_proves_absence_in_latest_version_mode() {
        let mut first = entry("a", 40, Some(4));
        first.version.after = Some(30);
        let history = history(vec![first]);
        assert_eq!(history.state_at(30), State::NotYet);
        assert_eq!(history.state_at(31), State::Uncertain { after: 30, until: 40 });
    }

    #[test]
    fn an_unreadable_change_hides_the_state_until_something_later_is_known() {
        let mut history = history(vec![created("a", 10), follows(entry("c", 30, Some(30)), "a")]);
        history.unreadable = vec![Unreadable { ts: Some(20), name: "n".to_owned() }];
        assert!(matches!(history.state_at(19), State::Present(_)));
        assert_eq!(history.state_at(29), State::Unknown(UNREADABLE));
        assert!(matches!(history.state_at(30), State::Present(_)));
        history.unreadable[0].ts = None;
        assert_eq!(history.state_at(30), State::Unknown(UNREADABLE));
    }

    #[test]
    fn what_was_before_a_change_is_its_predecessor_as_far_as_the_mirror_has_it() {
        let history = history(vec![
            created("a", 10),
            follows(entry("b", 20, Some(2)), "a"),
            follows(entry("d", 40, Some(4)), "c"),
        ]);
        assert!(matches!(state_before(&history, "b", &[]), Some(State::Present(e)) if e.version.identity() == "a"));
        assert_eq!(state_before(&history, "a", &[]), Some(State::NotYet));
        assert_eq!(state_before(&history, "d", &[]), Some(State::Unknown(LOST)));
        assert_eq!(state_before(&history, "z", &[]), None);
    }

    #[test]
    fn a_version_behind_an_interval_has_no_known_predecessor() {
        let mut thinned = follows(entry("b", 20, Some(2)), "a");
        thinned.version.after = Some(15);
        let history = history(vec![created("a", 10), thinned]);
        assert_eq!(state_before(&history, "b", &[]), Some(State::Uncertain { after: 15, until: 20 }));
    }

    #[test]
    fn what_may_have_been_between_a_change_and_the_version_beneath_it_makes_the_state_before_unknown() {
        let mut history = history(vec![created("a", 10), follows(entry("c", 30, Some(30)), "a")]);
        let gap = |from, until| {
            let (range, reason) = (cosmirror_formats::EpkRange::full(), String::new());
            [Gap { format: 1, range, from, until, reason }]
        };
        for missed in [gap(20, Some(25)), gap(5, Some(11)), gap(30, None)] {
            assert_eq!(state_before(&history, "c", &missed), Some(State::Unknown(GAP)), "{missed:?}");
        }
        for elsewhere in [gap(1, Some(10)), gap(31, None)] {
            assert!(matches!(state_before(&history, "c", &elsewhere), Some(State::Present(_))), "{elsewhere:?}");
        }
        assert_eq!(state_before(&history, "a", &gap(1, None)), Some(State::NotYet));
        history.unreadable = vec![Unreadable { ts: Some(20), name: "n".to_owned() }];
        assert_eq!(state_before(&history, "c", &[]), Some(State::Unknown(UNREADABLE)));
    }

    #[test]
    fn around_an_instant_are_the_newest_state_before_and_the_next_one() {
        let history = history(vec![created("a", 10), tombstone(20, Some(12), "a")]);
        let (before, after) = known_around(&history, 15);
        assert!(matches!(before, State::Present(_)) && matches!(after, Some(State::Deleted(_))));
        assert_eq!(known_around(&history, 5).0, State::NotYet);
        assert_eq!(known_around(&history, 20).1, None);
    }

    proptest! {
        /// The oracle walks a log of writes and deletes; the history that the mirror would hold must give the same answer.
        #[test]
        fn the_state_equals_what_the_source_held(
            steps in prop::collection::vec((0i64..4, any::<bool>()), 1..15), at in 0i64..40,
        ) {
            let (mut now, mut present, mut prev) = (1, false, None::<String>);
            let (mut entries, mut held) = (Vec::new(), None::<usize>);
            for (wait, write) in steps {
                now += wait;
                if !write && !present { continue; }
                let lsn = entries.len() as u64 + 1;
                let mut entry = entry(&format!("e{lsn}"), now, Some(lsn));
                entry.version.op = match (write, present) { (false, _) => Op::Delete, (_, true) => Op::Replace, _ => Op::Create };
                if !write { entry.version.etag = None; }
                entry.version.prev = prev.replace(entry.version.identity());
                present = write;
                if now <= at { held = Some(entries.len()); }
                entries.push(entry);
            }
            let history = history(source_order(entries.clone()));
            let expected = match held.map(|held| &entries[held]) {
                None => State::NotYet,
                Some(entry) if entry.version.is_tombstone() => State::Deleted(entry),
                Some(entry) => State::Present(entry),
            };
            prop_assert_eq!(history.state_at(at), expected);
        }
    }
}
