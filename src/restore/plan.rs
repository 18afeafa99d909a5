//! What to do about each document. Pure, but for the file in which the steps wait.

use serde::{Deserialize, Serialize};

use super::NOTES_MAX;
use crate::failure::Failure;
use crate::history::Place;
use crate::spool::Spool;

/// What a document should be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Wanted {
    /// It existed.
    Document,
    /// It did not exist.
    Absent,
}

/// What a document is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Live {
    /// It exists as it should.
    Equal,
    /// It exists otherwise than it should, or should not.
    Different,
    /// It does not exist.
    Absent,
}

/// What becomes of a document.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Verdict {
    /// A write.
    Do(Action),
    /// It is as it should be.
    Unchanged,
    /// It did not exist then, and stays.
    Extra,
    /// It neither existed then nor exists now.
    Nothing,
    /// Its state then lies in an interval the mode cannot resolve.
    Uncertain,
    /// The mirror cannot tell its state then.
    Unknown,
}

/// A write.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Action {
    /// It is gone and comes back.
    Create,
    /// It exists and gets its earlier content.
    Replace,
    /// It exists and did not then.
    Delete,
}

/// Decides about one document whose states are known.
pub(super) fn decide(wanted: Wanted, live: Live, delete_extra: bool) -> Verdict {
    match (wanted, live) {
        (Wanted::Document, Live::Absent) => Verdict::Do(Action::Create),
        (Wanted::Document, Live::Different) => Verdict::Do(Action::Replace),
        (Wanted::Document, Live::Equal) => Verdict::Unchanged,
        (Wanted::Absent, Live::Absent) => Verdict::Nothing,
        (Wanted::Absent, Live::Equal | Live::Different) if delete_extra => Verdict::Do(Action::Delete),
        (Wanted::Absent, Live::Equal | Live::Different) => Verdict::Extra,
    }
}

/// One write that is to be done.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct Step {
    pub(super) action: Action,
    pub(super) id: String,
    /// The partition key as a JSON array.
    pub(super) partition_key: serde_json::Value,
    /// Where the content is; none for a delete.
    pub(super) content: Option<Content>,
    /// The etag the document had when the plan was made; none where there was none.
    pub(super) live: Option<String>,
}

/// Stored bytes and their hash.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct Content {
    pub(super) place: Place,
    pub(super) sha256: String,
}

/// Documents by what becomes of them.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct Counts {
    /// Gone, and to be brought back.
    pub create: u64,
    /// To be given their earlier content.
    pub replace: u64,
    /// To be removed.
    pub delete: u64,
    /// As they should be.
    pub unchanged: u64,
    /// Not to be overwritten; the plan of an instant has none, its application may find some.
    pub conflict: u64,
    /// Did not exist then, and are kept.
    pub extra: u64,
    /// Refused: changed in an interval that latest-version mode cannot resolve.
    pub uncertain: u64,
    /// Refused: the mirror lacks what would tell their state.
    pub unknown: u64,
}

impl Counts {
    /// How many documents are to be written or removed.
    pub fn changes(&self) -> u64 {
        self.create + self.replace + self.delete
    }

    fn add(&mut self, verdict: Verdict) {
        let count = match verdict {
            Verdict::Do(Action::Create) => &mut self.create,
            Verdict::Do(Action::Replace) => &mut self.replace,
            Verdict::Do(Action::Delete) => &mut self.delete,
            Verdict::Unchanged => &mut self.unchanged,
            Verdict::Extra => &mut self.extra,
            Verdict::Uncertain => &mut self.uncertain,
            Verdict::Unknown => &mut self.unknown,
            Verdict::Nothing => return,
        };
        *count += 1;
    }
}

impl std::ops::AddAssign for Counts {
    fn add_assign(&mut self, other: Self) {
        self.create += other.create;
        self.replace += other.replace;
        self.delete += other.delete;
        self.unchanged += other.unchanged;
        self.conflict += other.conflict;
        self.extra += other.extra;
        self.uncertain += other.uncertain;
        self.unknown += other.unknown;
    }
}

/// What is decided about one document.
pub(super) enum Planned {
    /// A verdict, the step it asks for, and why it is refused.
    Verdict(Verdict, Option<Step>, Option<String>),
    /// Its stored bytes or metadata are damaged; nothing is written from them.
    Damaged(Failure),
}

/// What a restore would do.
#[derive(Debug)]
pub struct Plan {
    /// The documents by what becomes of them.
    pub counts: Counts,
    /// Documents whose stored bytes or metadata are damaged.
    pub damaged: u64,
    /// Why documents are refused or damaged: the first few.
    pub notes: Vec<String>,
    pub(super) steps: Spool<Step>,
    selected: u64,
}

impl Plan {
    /// A plan of nothing.
    pub(super) fn new() -> Result<Self, Failure> {
        Ok(Self { counts: Counts::default(), damaged: 0, notes: Vec::new(), steps: Spool::new()?, selected: 0 })
    }

    /// Whether the mirror holds none of the selected documents.
    pub fn is_empty(&self) -> bool {
        self.selected == 0
    }

    pub(super) fn add(&mut self, planned: Planned) -> Result<(), Failure> {
        self.selected += 1;
        let note = match planned {
            Planned::Verdict(verdict, step, note) => {
                self.counts.add(verdict);
                if let Some(step) = step {
                    self.steps.push(&step)?;
                }
                note
            }
            Planned::Damaged(failure) => {
                self.damaged += 1;
                Some(failure.to_string())
            }
        };
        if self.notes.len() < NOTES_MAX {
            self.notes.extend(note);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn outcome(verdict: Verdict, live: Live) -> Live {
        match verdict {
            Verdict::Do(Action::Create | Action::Replace) => Live::Equal,
            Verdict::Do(Action::Delete) => Live::Absent,
            _ => live,
        }
    }

    proptest! {
        #[test]
        fn applying_a_verdict_gives_what_is_wanted_and_needs_no_second_time(
            wanted in prop::sample::select(vec![Wanted::Document, Wanted::Absent]),
            live in prop::sample::select(vec![Live::Equal, Live::Different, Live::Absent]),
            delete_extra: bool,
        ) {
            let verdict = decide(wanted, live, delete_extra);
            let after = outcome(verdict, live);
            let expected = match wanted {
                Wanted::Document => Live::Equal,
                Wanted::Absent if delete_extra || live == Live::Absent => Live::Absent,
                Wanted::Absent => live,
            };
            prop_assert_eq!(after, expected);
            prop_assert!(!matches!(decide(wanted, after, delete_extra), Verdict::Do(_)));
        }
    }

    #[test]
    fn what_did_not_exist_then_is_removed_only_where_that_is_asked_for() {
        assert_eq!(decide(Wanted::Absent, Live::Different, false), Verdict::Extra);
        assert_eq!(decide(Wanted::Absent, Live::Different, true), Verdict::Do(Action::Delete));
    }
}
