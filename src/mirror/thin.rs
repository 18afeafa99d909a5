//! Leaving out versions of documents that change too often, where the operator asked for it. Pure.
//!
//! The feed's commit times are counted by the minute. Of a document that exceeds its container's `versions_per_minute_max`, only the
//! last version of a page is stored. It says how many were left out beneath it (`omitted`) and since when nothing is known of
//! the document (`after`), so that a reader never takes the version beneath for the state in between. A page's last version is never left
//! out: what the mirror holds last is what the source held.

use cosmirror_formats::{Op, Version};

use super::order::{Decision, Known, decide};
use super::plan::Incoming;

/// Seconds over which versions are counted.
const PERIOD_SECONDS: i64 = 60;
/// A document is hot from so many versions on, written by one process.
const HOT_VERSIONS: u64 = 1_000;

/// What is counted of one document.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Tally {
    /// Versions of it that this process has stored.
    pub(super) written: u64,
    /// The minute of the last change, since 1970.
    pub(super) minute: i64,
    /// Changes of that minute.
    pub(super) in_minute: u32,
}

impl Tally {
    /// Counts a page's changes of the document; whether they, with those before, are more than `max` in any minute. 0 is no limit.
    pub fn exceeds(&mut self, changes: &[Incoming], max: u32) -> bool {
        let mut exceeds = false;
        for change in changes {
            let minute = change.version.ts.div_euclid(PERIOD_SECONDS);
            if minute != self.minute {
                (self.minute, self.in_minute) = (minute, 0);
            }
            self.in_minute = self.in_minute.saturating_add(1);
            exceeds |= self.in_minute > max;
        }
        exceeds && max > 0
    }

    /// Counts a version that was stored; the number of versions where it is worth a warning: 1,000, 10,000, and so on.
    pub fn stored(&mut self) -> Option<u64> {
        self.written += 1;
        let mut mark = HOT_VERSIONS;
        while mark < self.written {
            mark = mark.saturating_mul(10);
        }
        (mark == self.written).then_some(mark)
    }

    /// Whether the version that was stored last made the document a hot one.
    pub fn became_hot(&self) -> bool {
        self.written == HOT_VERSIONS
    }
}

/// The last of a page's changes that are not stored yet, which remembers the others as left out.
pub fn keep_last(mut changes: Vec<Incoming>) -> Vec<Incoming> {
    if let Some(mut last) = changes.pop() {
        last.left_out.extend(changes.drain(..).map(|change| change.version));
        changes.push(last);
    }
    changes
}

/// Says in `version` what is left out between it and what it is put on. What another owner has stored meanwhile is not left out.
pub fn mark(version: &mut Version, left_out: &[Version], known: Option<&Known>) {
    let is_missing =
        |left: &&Version| !matches!(decide(known, left), Decision::Stored | Decision::Older | Decision::Purged);
    let missing = || left_out.iter().filter(is_missing);
    // The version beneath holds until the first change that was left out; seconds are compared by their ends.
    let Some(first) = missing().next() else { return };
    version.omitted = u32::try_from(missing().count()).ok();
    // Where the mirror holds nothing beneath, only a create says that there was nothing.
    if known.is_some() || first.op == Op::Create {
        let held = missing().map(|left| left.ts - 1).chain(version.after).min();
        version.after = held;
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use cosmirror_formats::Operation;
    use proptest::prelude::*;

    use super::*;
    use crate::history::memory::version;

    fn change(ts: i64, lsn: u64) -> Incoming {
        let version = version("d", &format!("e{lsn}"), ts, Some(lsn), b"");
        Incoming { version, operation: Operation::Replace, body: Bytes::new(), place: 0, left_out: Vec::new() }
    }

    #[test]
    fn a_document_exceeds_its_limit_within_a_minute_also_over_pages() {
        let mut tally = Tally::default();
        assert!(!tally.exceeds(&[change(60, 1), change(61, 2)], 2));
        assert!(tally.exceeds(&[change(119, 3)], 2));
        assert!(!tally.exceeds(&[change(120, 4), change(121, 5)], 2));
        assert!(!Tally::default().exceeds(&vec![change(0, 1); 1_000], 0), "no limit");
    }

    #[test]
    fn a_document_is_warned_of_at_every_power_of_ten_from_a_thousand_versions_on() {
        let mut tally = Tally::default();
        let warned: Vec<u64> = (0..100_000).filter_map(|_| tally.stored()).collect();
        assert_eq!(warned, [1_000, 10_000, 100_000]);
    }

    #[test]
    fn what_is_left_out_is_unknown_from_the_first_change_that_is_missing_on() {
        let beneath = Known::new("b".to_owned(), &change(100, 1).version);
        let kept = keep_last(vec![change(105, 2), change(107, 3), change(109, 4)]).remove(0);
        let mut version = kept.version.clone();
        mark(&mut version, &kept.left_out, Some(&beneath));
        assert_eq!((version.omitted, version.after), (Some(2), Some(104)));
        // Another owner has stored the first of them.
        let mut version = kept.version.clone();
        mark(&mut version, &kept.left_out, Some(&Known::new("b".to_owned(), &change(105, 2).version)));
        assert_eq!((version.omitted, version.after), (Some(1), Some(106)));
        // What was beneath the first version that the mirror gets is not known, unless it was created.
        let mut version = kept.version.clone();
        mark(&mut version, &kept.left_out, None);
        assert_eq!((version.omitted, version.after), (Some(2), None));
        let mut version = kept.version;
        mark(&mut version, &[], Some(&beneath));
        assert_eq!((version.omitted, version.after), (None, None));
    }

    proptest! {
        #[test]
        fn the_last_state_of_a_page_is_kept_and_the_others_are_counted(steps in prop::collection::vec(0i64..30, 0..50)) {
            let mut ts = 1_000;
            let mut changes: Vec<Incoming> =
                steps.iter().zip(1..).map(|(step, lsn)| { ts += step; change(ts, lsn) }).collect();
            changes.iter_mut().take(1).for_each(|first| first.version.op = Op::Create);
            let kept = keep_last(changes.clone());
            prop_assert_eq!(kept.len(), usize::from(!changes.is_empty()));
            for last in kept {
                prop_assert_eq!(&last.version, &changes.last().unwrap().version);
                let mut version = last.version;
                mark(&mut version, &last.left_out, None);
                let omitted = u32::try_from(changes.len() - 1).unwrap();
                prop_assert_eq!(version.omitted, (omitted > 0).then_some(omitted));
                prop_assert_eq!(version.after, (omitted > 0).then_some(changes[0].version.ts - 1));
            }
        }
    }
}
