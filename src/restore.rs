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
//! | do it, guarded by the etags that the plan saw | `restore/apply.rs` |
//! | read back and compare | `restore/verify.rs` |
//! | say in the mirror what was written | `restore/record.rs` |
//! | how it ended, and with which exit code | `restore/report.rs` |
//!
//! Nothing is overwritten that changed after the plan was made: such a document is a conflict and stays as it is. A document
//! whose state at the instant is not known is refused and counted, never guessed. Documents that did not exist then are
//! kept and counted as extra unless their removal is asked for.
//!
//! A crash leaves some documents restored and others not, and a record that says which were written, up to the last few
//! thousand. Running the same restore again finds the restored ones unchanged and does the rest. Memory does not grow with
//! the number of documents: what is to be done is in the plan's file.

use cosmirror_formats::restore_plan::Part;
use futures::StreamExt as _;
use indicatif::ProgressBar;
use tokio_util::sync::CancellationToken;

use crate::crash::crash_point;
use crate::documents::Documents;
use crate::failure::{CommandError, Exit};
use crate::history::{Coverage, MirrorReader};

mod apply;
mod catalog;
mod compare;
#[cfg_attr(not(test), expect(dead_code, reason = "no selection reads a list of documents yet"))]
mod ids;
mod lines;
mod plan;
mod plan_file;
mod record;
mod report;
mod select;
#[cfg(test)]
mod tests;
mod unseen;
mod verify;

pub use cosmirror_formats::restore_plan::Counts;
pub use plan::Tally;
pub use plan_file::{PlanReader, PlanWriter};
pub use record::new_id;
pub use report::{Applied, Report};
pub use select::Selection;

/// Documents that are compared, written or read back at the same time.
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

/// What one container's part of a plan is done with.
pub struct Target<'a> {
    /// The mirror to restore from.
    pub mirror: &'a MirrorReader,
    /// The container to restore into.
    pub documents: &'a dyn Documents,
    /// Which of the plan's containers it is, from 0.
    pub part: usize,
    /// What the plan says of it.
    pub described: &'a Part,
    /// Where progress is shown.
    pub progress: ProgressBar,
}

impl Target<'_> {
    /// Does what the plan says for this container, verifies it, and records it under `id`. Documents fail one by one; only what makes
    /// every further write pointless ends the work early. `cancel` ends it behind the writes that are under way.
    pub async fn run(&self, plan: &PlanReader, id: &str, cancel: &CancellationToken) -> Report {
        let mut report = Report::default();
        if plan.is_empty() {
            return report;
        }
        let mut recorder = match record::Recorder::begin(self, id).await {
            Ok(recorder) => {
                crash_point!("restore-recorded");
                recorder
            }
            Err(failure) => {
                report.fatal = Some(failure);
                return report;
            }
        };
        report.restore = Some(id.to_owned());
        let done = apply::apply(self, plan, &mut recorder, &mut report, cancel).await;
        if let Err(failure) = recorder.finish().await {
            report.fatal.get_or_insert(failure);
        }
        let verified = match done {
            Ok(mut done) => verify::verify(self, &mut done, &mut report).await,
            Err(failure) => Err(failure),
        };
        if let Err(failure) = verified {
            report.fatal.get_or_insert(failure);
        }
        report
    }
}
