//! Bringing documents back: the selected documents become what the source held at the end of a second.
//!
//! | step | file |
//! |---|---|
//! | which documents | `restore/select.rs` |
//! | which versions of them exist, from listings alone | `restore/catalog.rs` |
//! | what the container holds that the mirror has not read yet | `restore/unseen.rs` |
//! | what the container holds now, beside what it should hold | `restore/compare.rs` |
//! | what to do about it (pure) | `restore/plan.rs` |
//! | the plan as a file, of which no line can be altered unnoticed | `restore/plan_file.rs` |
//! | the file that is applied: a plan, or what undoes one | `restore/file.rs` |
//! | one application from its beginning to its end | `restore/execute.rs` |
//! | what a file asks to be written | `restore/work.rs` |
//! | what the documents were before, durable before they are touched | `restore/journal.rs` |
//! | do it, guarded by the etags that were seen | `restore/apply.rs` |
//! | how fast, and with how much patience | `restore/pace.rs` |
//! | read back and compare | `restore/verify.rs` |
//! | say in the mirror what was written | `restore/record.rs` |
//! | how it ended, and with which exit code | `restore/report.rs` |
//!
//! Nothing is overwritten that changed after the plan was made: such a document is a conflict and stays as it is. A document
//! whose state at the instant is not known is refused and counted, never guessed. Documents that did not exist then are
//! kept and counted as extra unless their removal is asked for.
//!
//! A crash leaves some documents restored and others not, and an undo file that says what they were. Applying the same plan again goes
//! on where it stopped; applying the undo file brings back what was before. Memory does not grow with the number of
//! documents: what is to be done is in the plan's file, and what was is in the undo file.

use futures::StreamExt as _;
use indicatif::ProgressBar;

use crate::documents::Documents;
use crate::failure::{CommandError, Exit};
use crate::history::{Coverage, MirrorReader};

mod apply;
mod catalog;
mod compare;
mod execute;
mod file;
mod journal;
mod lines;
mod pace;
mod plan;
mod plan_file;
mod record;
mod report;
mod select;
#[cfg(test)]
mod tests;
mod unseen;
mod verify;
mod work;

pub use cosmirror_formats::restore_plan::Counts;
pub use execute::Application;
pub use file::RestoreFile;
pub use journal::UndoFile;
pub use pace::Pace;
pub use plan::Tally;
pub use plan_file::{PlanReader, PlanWriter};
pub use record::new_id;
pub use report::{Applied, Report};
pub use select::Selection;
pub use work::Target;

/// Documents that are compared at the same time.
const DOCUMENTS_AT_ONCE: usize = 16;
/// Reasons kept for the person who reads the result; beyond it documents are only counted.
const NOTES_MAX: usize = 20;

/// Which state to bring back.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Point {
    /// The end of this second, counted from 1970.
    At(i64),
    /// One version of one document.
    Version(String),
}

/// What is asked for.
#[derive(Debug, Clone, PartialEq)]
pub struct Request {
    /// Which documents.
    pub selection: Selection,
    /// Which state.
    pub point: Point,
    /// Remove documents that did not exist then.
    pub delete_extra: bool,
}

/// The planning of one container's restore.
pub struct Restore<'a> {
    /// The mirror to restore from.
    pub mirror: &'a MirrorReader,
    /// The container to restore into.
    pub documents: &'a dyn Documents,
    /// What is asked for.
    pub request: &'a Request,
    /// Which of the plan's containers it is, from 0.
    pub part: usize,
    /// Where progress is shown.
    pub progress: ProgressBar,
}

impl Restore<'_> {
    /// Decides what to do and adds it to the plan, and writes nothing else. An instant that the mirror does not cover is refused.
    pub async fn plan(&self, plan: &mut PlanWriter) -> Result<Tally, CommandError> {
        if let Point::At(at) = self.request.point {
            Coverage::require(self.mirror, at).await?;
        }
        let catalog = catalog::candidates(self.mirror, &self.request.selection);
        let tally = compare::plan(self, catalog.chain(unseen::candidates(self)).boxed(), plan).await?;
        if tally.is_empty() {
            return Err(self.nothing_selected().await);
        }
        Ok(tally)
    }

    async fn nothing_selected(&self) -> CommandError {
        match &self.request.selection {
            Selection::Document { key, id } => self.mirror.not_found(key, id).await,
            selection => CommandError::new(
                Exit::NotFound,
                format!("there is nothing to restore: the mirror does not know of {selection}"),
                "check the selection; documents appear once the daemon has read them",
            ),
        }
    }
}
