//! What to do about each document. Pure, but for the file that the steps go to.

use cosmirror_formats::restore_plan::{Action, Counts, Step};

use super::plan_file::PlanWriter;
use super::{Estimate, NOTES_MAX, Overwrite};
use crate::failure::Failure;

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
pub(crate) enum Verdict {
    /// A write.
    Do(Action),
    /// It is as it should be.
    Unchanged,
    /// It did not exist then, and stays.
    Extra,
    /// It is otherwise, and stays because of the overwrite policy.
    Conflict,
    /// It neither existed then nor exists now.
    Nothing,
    /// Its state then lies in an interval the mode cannot resolve.
    Uncertain,
    /// The mirror cannot tell its state then.
    Unknown,
}

/// What may happen to documents that are there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Policy {
    pub(super) overwrite: Overwrite,
    pub(super) delete_extra: bool,
}

/// Decides about one document whose states are known. `existed` says what it should be; `newer`, whether that was committed later than what
/// is there.
pub(super) fn decide(existed: bool, live: Live, newer: bool, policy: Policy) -> Verdict {
    match (existed, live) {
        (true, Live::Absent) => Verdict::Do(Action::Create),
        (true, Live::Equal) => Verdict::Unchanged,
        (true, Live::Different) => match policy.overwrite {
            Overwrite::Always | Overwrite::IfChanged => Verdict::Do(Action::Replace),
            Overwrite::IfNewer if newer => Verdict::Do(Action::Replace),
            Overwrite::IfNewer | Overwrite::Never => Verdict::Conflict,
        },
        (false, Live::Absent) => Verdict::Nothing,
        (false, Live::Equal | Live::Different) if policy.delete_extra => Verdict::Do(Action::Delete),
        (false, Live::Equal | Live::Different) => Verdict::Extra,
    }
}

/// What is decided about one document.
pub(super) enum Planned {
    /// It is none of the documents that were asked for.
    NotSelected,
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
    /// What applying it costs.
    pub estimate: Estimate,
    /// Why documents are refused or damaged: the first few.
    pub notes: Vec<String>,
    looked_at: u64,
    selected: u64,
}

impl Tally {
    /// Whether there were no documents to choose from. Where a condition or an interval has chosen none of those there were, that is an
    /// answer, and a plan of nothing.
    pub fn is_empty(&self) -> bool {
        self.looked_at == 0
    }

    /// Whether none was chosen.
    pub(super) fn is_of_nothing(&self) -> bool {
        self.selected == 0
    }

    /// Counts a document; its step goes into the plan.
    pub(super) fn add(&mut self, planned: Planned, plan: &mut PlanWriter) -> Result<(), Failure> {
        self.looked_at += 1;
        let note = match planned {
            Planned::NotSelected => return Ok(()),
            Planned::Verdict(verdict, step, note) => {
                count(&mut self.counts, verdict);
                if let Some(step) = step {
                    self.bytes += step.content.as_ref().map_or(0, |content| content.bytes);
                    self.estimate.add(&step);
                    plan.step(step)?;
                }
                note
            }
            Planned::Damaged(failure) => {
                self.damaged += 1;
                Some(failure.to_string())
            }
        };
        self.selected += 1;
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
        Verdict::Conflict => &mut counts.conflict,
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

    const OVERWRITE: [Overwrite; 4] = [Overwrite::Always, Overwrite::IfChanged, Overwrite::IfNewer, Overwrite::Never];

    proptest! {
        #[test]
        fn applying_a_verdict_gives_what_is_wanted_and_needs_no_second_time(
            existed: bool, newer: bool, delete_extra: bool,
            overwrite in prop::sample::select(OVERWRITE.to_vec()),
            live in prop::sample::select(vec![Live::Equal, Live::Different, Live::Absent]),
        ) {
            let policy = Policy { overwrite, delete_extra };
            let verdict = decide(existed, live, newer, policy);
            let after = outcome(verdict, live);
            let kept = match overwrite {
                Overwrite::Always | Overwrite::IfChanged => false,
                Overwrite::IfNewer => !newer,
                Overwrite::Never => true,
            };
            let expected = match live {
                Live::Different if existed && kept => Live::Different,
                _ if existed => Live::Equal,
                _ if delete_extra => Live::Absent,
                live => live,
            };
            prop_assert_eq!(after, expected);
            prop_assert!(!matches!(decide(existed, after, newer, policy), Verdict::Do(_)));
        }
    }

    #[test]
    fn what_did_not_exist_then_is_removed_only_where_that_is_asked_for() {
        let policy = |delete_extra| Policy { overwrite: Overwrite::IfChanged, delete_extra };
        assert_eq!(decide(false, Live::Different, false, policy(false)), Verdict::Extra);
        assert_eq!(decide(false, Live::Different, false, policy(true)), Verdict::Do(Action::Delete));
    }
}
