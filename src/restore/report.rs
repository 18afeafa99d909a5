//! How a restore ended: counts, the first reasons, and the exit code they mean.
//!
//! The worst decides: what stopped the work; cancelled; the limit of failures (8); damaged or different bytes (6); failed documents (3); conflicts
//! (7); refused documents (5).

use cosmirror_formats::restore_plan::{Action, PlanEnd};
use serde::Serialize;

use super::NOTES_MAX;
use crate::failure::{CommandError, Exit, Failure};

/// Documents that were written.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct Applied {
    /// Brought back.
    pub create: u64,
    /// Given their earlier content.
    pub replace: u64,
    /// Removed.
    pub delete: u64,
}

impl Applied {
    pub(super) fn count(&mut self, action: Action) {
        match action {
            Action::Create => self.create += 1,
            Action::Replace => self.replace += 1,
            Action::Delete => self.delete += 1,
        }
    }

    /// All of them.
    pub fn total(&self) -> u64 {
        self.create + self.replace + self.delete
    }
}

/// The result of a restore.
#[derive(Debug, Default, Serialize)]
pub struct Report {
    /// The id of its record; none where there was nothing to write.
    pub restore: Option<String>,
    /// The file that was applied.
    pub plan: Option<String>,
    /// The file that undoes it; none where there was nothing to write.
    pub undo: Option<String>,
    /// What was written, earlier runs of the same file included.
    pub applied: Applied,
    /// How many of these earlier runs wrote.
    pub resumed: u64,
    /// Whether all of it was done by an earlier run.
    pub already_applied: bool,
    /// Documents that were as they should be.
    pub unchanged: u64,
    /// Documents that are otherwise than they were, and were kept because the overwrite policy says so.
    pub kept: u64,
    /// Documents that changed since the plan and were left alone, or again after they were restored.
    pub conflicts: u64,
    /// Documents whose write failed.
    pub failed: u64,
    /// Documents whose history was erased since the file was made: they stay away.
    pub purged: u64,
    /// Documents that did not exist then and were kept.
    pub extra: u64,
    /// Refused: changed in an interval that latest-version mode cannot resolve.
    pub uncertain: u64,
    /// Refused: the mirror lacks what would tell their state.
    pub unknown: u64,
    /// Documents whose stored bytes or metadata do not match; nothing was written from them.
    pub damaged: u64,
    /// Documents that read back otherwise than they were written.
    pub different: u64,
    /// Whether it was cancelled before its end.
    pub cancelled: bool,
    /// Whether as many documents failed as were allowed to.
    pub limit_reached: bool,
    /// Why documents were refused or failed: the first few.
    pub notes: Vec<String>,
    /// What ended the work early.
    #[serde(skip)]
    pub fatal: Option<Failure>,
}

impl Report {
    /// What the plan already says.
    pub fn of(plan: &PlanEnd) -> Self {
        Self {
            unchanged: plan.counts.unchanged,
            kept: plan.counts.conflict,
            extra: plan.counts.extra,
            uncertain: plan.counts.uncertain,
            unknown: plan.counts.unknown,
            damaged: plan.damaged,
            ..Self::default()
        }
    }

    pub(super) fn note(&mut self, note: String) {
        if self.notes.len() < NOTES_MAX {
            self.notes.push(note);
        }
    }

    /// The error the command ends with; none where everything selected is as it was.
    pub fn error(&self) -> Option<CommandError> {
        let error = |exit, message: String, remedy: &str| Some(CommandError::new(exit, message, remedy));
        let again = "apply the same file again: it goes on where it stopped";
        if let Some(fatal) = &self.fatal {
            return Some(CommandError::from(fatal.clone()));
        }
        if self.cancelled {
            return error(Exit::Cancelled, "cancelled before the end".to_owned(), again);
        }
        if self.limit_reached {
            return error(Exit::Limit, format!("stopped after {} documents failed", self.failed), again);
        }
        if self.damaged + self.different > 0 {
            let message = format!(
                "{} documents have damaged versions, {} do not read back as written",
                self.damaged, self.different
            );
            return error(Exit::Integrity, message, "the named versions cannot be used; choose others by --version");
        }
        if self.failed > 0 {
            return error(Exit::Partial, format!("{} documents failed", self.failed), again);
        }
        if self.conflicts > 0 && self.already_applied {
            let message =
                format!("this was applied already, and {} documents are not as it would leave them", self.conflicts);
            let remedy = "make a new plan, or name another file with --undo to apply this one once more";
            return error(Exit::Conflict, message, remedy);
        }
        if self.conflicts > 0 {
            let message = format!("{} documents changed since the plan and were left alone", self.conflicts);
            return error(
                Exit::Conflict,
                message,
                "look at them with `cosmirror history`, then make a new plan for them",
            );
        }
        let refused = self.uncertain + self.unknown;
        if refused > 0 {
            let message =
                format!("the state of {refused} documents at that instant is not known; they were left alone");
            return error(Exit::NotCovered, message, "choose another instant, or one of their versions by --version");
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::failure::Kind;

    #[test]
    fn the_worst_outcome_decides_the_exit_code() {
        let exit = |report: &Report| report.error().map(|error| error.exit);
        let mut report = Report::default();
        assert_eq!(exit(&report), None);
        report.unknown = 1;
        assert_eq!(exit(&report), Some(Exit::NotCovered));
        report.conflicts = 1;
        assert_eq!(exit(&report), Some(Exit::Conflict));
        report.failed = 1;
        assert_eq!(exit(&report), Some(Exit::Partial));
        report.damaged = 1;
        assert_eq!(exit(&report), Some(Exit::Integrity));
        report.limit_reached = true;
        assert_eq!(exit(&report), Some(Exit::Limit));
        report.cancelled = true;
        assert_eq!(exit(&report), Some(Exit::Cancelled));
        report.fatal = Some(Failure::new(Kind::Unauthorized, "no"));
        assert_eq!(exit(&report), Some(Exit::Unauthorized));
    }
}
