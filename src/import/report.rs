//! How an import ended: counts, the first reasons, and the exit code they mean.

use serde::Serialize;

use super::NOTES_MAX;
use super::write::Outcome;
use crate::failure::{CommandError, Exit, Failure};

/// The result of an import.
#[derive(Debug, Clone, Default, Serialize)]
pub(crate) struct Report {
    /// Documents that were not there.
    pub(crate) created: u64,
    /// Documents that had another content.
    pub(crate) replaced: u64,
    /// Documents that had the content.
    pub(crate) unchanged: u64,
    /// Documents that have another content and stay because of the policy.
    pub(crate) kept: u64,
    /// Documents that somebody changed at the same moment; they were left alone, by this run or the earlier ones that it goes on with.
    pub(crate) conflicts: u64,
    /// Documents whose write failed.
    pub(crate) failed: u64,
    /// Lines that cannot be used.
    pub(crate) bad: u64,
    /// Documents of which the exports do not know what they were, those that an earlier run settled among them.
    pub(crate) left_out: u64,
    /// Documents that were purged since, and are not brought back.
    pub(crate) purged: u64,
    /// Documents that an earlier run settled.
    pub(crate) resumed: u64,
    /// What reads and writes of documents cost.
    pub(crate) request_units: f64,
    /// Whether nothing was written, because that was not asked for.
    pub(crate) dry_run: bool,
    /// Why documents failed: the first few.
    pub(crate) notes: Vec<String>,
    #[serde(skip)]
    pub(crate) cancelled: bool,
    #[serde(skip)]
    pub(crate) limit_reached: bool,
    /// What ended the work early.
    #[serde(skip)]
    pub(crate) fatal: Option<Failure>,
}

impl Report {
    pub(super) fn count(&mut self, outcome: &Outcome) {
        match outcome {
            Outcome::Created => self.created += 1,
            Outcome::Replaced => self.replaced += 1,
            Outcome::Unchanged => self.unchanged += 1,
            Outcome::Kept => self.kept += 1,
            Outcome::Purged => self.purged += 1,
            Outcome::Conflict => self.conflicts += 1,
            Outcome::Failed(_) => self.failed += 1,
            Outcome::Cancelled => self.cancelled = true,
        }
    }

    pub(super) fn note(&mut self, note: String) {
        if self.notes.len() < NOTES_MAX {
            self.notes.push(note);
        }
    }

    /// The error the command ends with; none where everything is as the files say.
    pub(crate) fn error(&self) -> Option<CommandError> {
        let error = |exit, message: String, remedy: &str| Some(CommandError::new(exit, message, remedy));
        let again = "run the same import again: it goes on where it stopped";
        if let Some(fatal) = &self.fatal {
            return Some(CommandError::from(fatal.clone()));
        }
        if self.cancelled {
            return error(Exit::Cancelled, "cancelled before the end".to_owned(), again);
        }
        if self.limit_reached {
            return error(Exit::Limit, format!("stopped after {} documents failed", self.failed), again);
        }
        if self.failed > 0 {
            return error(Exit::Partial, format!("{} documents failed", self.failed), again);
        }
        if self.bad > 0 {
            let message = format!("{} lines could not be used and were left out", self.bad);
            return error(Exit::Partial, message, "mend them in the file of --skip-bad, and import what is mended");
        }
        if self.left_out > 0 {
            let message = format!("{} documents are not in the exports: what they were was not known", self.left_out);
            return error(
                Exit::Partial,
                message,
                "make an export of another instant, or with --uncertain or --unknown",
            );
        }
        if self.conflicts > 0 {
            let message = format!("{} documents were changed at the same moment and left alone", self.conflicts);
            return error(Exit::Conflict, message, "look at them, then run the same import again");
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
        let mut report = Report { kept: 1, unchanged: 1, ..Report::default() };
        assert_eq!(exit(&report), None);
        report.conflicts = 1;
        assert_eq!(exit(&report), Some(Exit::Conflict));
        report.left_out = 1;
        assert_eq!(exit(&report), Some(Exit::Partial));
        (report.left_out, report.bad) = (0, 1);
        assert_eq!(exit(&report), Some(Exit::Partial));
        (report.bad, report.failed) = (0, 1);
        assert_eq!(exit(&report), Some(Exit::Partial));
        report.limit_reached = true;
        assert_eq!(exit(&report), Some(Exit::Limit));
        report.cancelled = true;
        assert_eq!(exit(&report), Some(Exit::Cancelled));
        report.fatal = Some(Failure::new(Kind::Unauthorized, "no"));
        assert_eq!(exit(&report), Some(Exit::Unauthorized));
    }
}
