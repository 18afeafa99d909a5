//! What to do about each document. Pure, but for the file that the steps go to.

use cosmirror_formats::restore_plan::{Action, Counts, Step};

use super::NOTES_MAX;
use super::plan_file::PlanWriter;
use crate::failure::Failure;

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

/// What is decided about one document.
pub(super) enum Planned {
    /// A verdict, the step it asks for, and why it is refused.
    Verdict(Verdict, Option<Step>, Option<String>),
    /// Its stored bytes or metadata are damaged; nothing is written from them.
    Damaged(Failure),
}

/// What the plan of one container comes to.
#[derive(Debug, Default)]
pub struct Tally {
    /// The documents by what becomes of them.
    pub counts: Counts,
    /// Documents whose stored bytes or metadata are damaged.
    pub damaged: u64,
    /// Bytes to be written.
    pub bytes: u64,
    /// Why documents are refused or damaged: the first few.
    pub notes: Vec<String>,
    selected: u64,
}

impl Tally {
    /// Whether the mirror holds none of the selected documents.
    pub fn is_empty(&self) -> bool {
        self.selected == 0
    }

    /// Counts a document; its step goes into the plan.
    pub(super) fn add(&mut self, planned: Planned, plan: &mut PlanWriter) -> Result<(), Failure> {
        self.selected += 1;
        let note = match planned {
            Planned::Verdict(verdict, step, note) => {
                count(&mut self.counts, verdict);
                if let Some(step) = step {
                    self.bytes += step.content.as_ref().map_or(0, |content| content.bytes);
                    plan.step(step)?;
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

fn count(counts: &mut Counts, verdict: Verdict) {
    let count = match verdict {
        Verdict::Do(Action::Create) => &mut counts.create,
        Verdict::Do(Action::Replace) => &mut counts.replace,
        Verdict::Do(Action::Delete) => &mut counts.delete,
        Verdict::Unchanged => &mut counts.unchanged,
        Verdict::Extra => &mut counts.extra,
        Verdict::Uncertain => &mut counts.uncertain,
        Verdict::Unknown => &mut counts.unknown,
        Verdict::Nothing => return,
    };
    *count += 1;
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
