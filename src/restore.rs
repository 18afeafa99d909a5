//! Bringing documents back: the selected documents become what the source held at the end of a second.
//!
//! | step | file |
//! |---|---|
//! | which documents, and which state of them | `restore/select.rs`, `restore/ids.rs`, `restore/request.rs` |
//! | which versions of them exist, from listings alone | `restore/catalog.rs` |
//! | what the container holds now | `restore/live.rs` |
//! | both beside each other, name by name | `restore/join.rs` |
//! | a part of the documents, chosen by their names | `restore/sampling.rs` |
//! | what each document should be (pure) | `restore/wanted.rs` |
//! | what it is, beside what it should be | `restore/compare.rs` |
//! | what to do about it (pure) | `restore/plan.rs` |
//! | what that will cost | `restore/estimate.rs` |
//! | the plan as a file, of which no line can be altered unnoticed | `restore/plan_file.rs` |
//! | the file that is applied: a plan, or what undoes one | `restore/file.rs` |
//! | one application from its beginning to its end | `restore/execute.rs` |
//! | what a file asks to be written | `restore/work.rs` |
//! | what the documents were before, durable before they are touched | `restore/journal.rs` |
//! | do it, guarded by the etags that were seen | `restore/apply.rs` |
//! | how fast, and with how much patience | `restore/pace.rs` |
//! | lines of progress where no bar is drawn | `restore/progress.rs` |
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

use futures::stream::{self, BoxStream, StreamExt as _, TryStreamExt as _};
use indicatif::ProgressBar;

use crate::documents::Documents;
use crate::failure::{CommandError, Exit, Failure};
use crate::history::{Coverage, MirrorReader};

mod apply;
pub(crate) mod catalog;
mod compare;
mod estimate;
mod execute;
mod file;
mod ids;
mod join;
mod journal;
mod lines;
mod live;
mod pace;
mod plan;
mod plan_file;
mod progress;
mod record;
mod report;
mod request;
mod sampling;
mod select;
#[cfg(test)]
mod tests;
mod verify;
mod wanted;
mod work;

pub use cosmirror_formats::restore_plan::Counts;
pub use estimate::{Basis, Estimate};
pub use execute::{Application, blocking};
pub use file::{EarlierRun, RestoreFile};
pub use journal::{Keys, UndoFile};
pub use live::Meter;
pub use pace::Pace;
pub use plan::Tally;
pub use plan_file::{PlanReader, PlanWriter};
pub use record::new_id;
pub use report::{Applied, Report};
pub use request::{Interval, Overwrite, Point, Request, Side, quoted};
pub use sampling::Sampling;
pub use select::Selection;
pub use work::Target;

// What an export and an import have in common with a restore.
pub(crate) use catalog::{Candidate, candidates};
pub(crate) use lines::Lines;
pub(crate) use pace::Stopped;
pub(crate) use plan::Verdict;
pub(crate) use progress::ProgressLog;
pub(crate) use wanted::{Wanted, wanted};

use join::Pair;
use live::Known;

/// Documents that are compared at the same time.
const DOCUMENTS_AT_ONCE: usize = 16;
/// Reasons kept for the person who reads the result; beyond it documents are only counted.
const NOTES_MAX: usize = 20;

/// The planning of one container's restore.
pub struct Restore<'a> {
    /// The mirror to restore from.
    pub mirror: &'a MirrorReader,
    /// The container to restore into; none where it is to be created.
    pub documents: Option<&'a dyn Documents>,
    /// What is asked for.
    pub request: &'a Request,
    /// Which of the plan's containers it is, from 0.
    pub part: usize,
    /// Whether the documents go where they came from.
    pub in_place: bool,
    /// How long its requests take.
    pub meter: Meter,
    /// Where progress is shown.
    pub progress: ProgressBar,
}

impl Restore<'_> {
    /// Decides what to do and adds it to the plan, and writes nothing else. An instant that the mirror does not cover is refused.
    pub async fn plan(&self, plan: &mut PlanWriter) -> Result<Tally, CommandError> {
        if let Point::At(at) = self.request.point {
            Coverage::require(self.mirror, at).await?;
        }
        if let Some(until) = self.request.changed.and_then(|changed| changed.until) {
            Coverage::require(self.mirror, until).await?;
        }
        // What has become a dead letter since the mirror was opened may be what makes the instant a covered one.
        let mirror = self.mirror.read_again().await?;
        let (meter, progress) = (self.meter.clone(), self.progress.clone());
        Restore { mirror: &mirror, meter, progress, ..*self }.plan_covered(plan).await
    }

    async fn plan_covered(&self, plan: &mut PlanWriter) -> Result<Tally, CommandError> {
        let tally = compare::plan(self, self.pairs().await?, plan).await?;
        let named = matches!(self.request.point, Point::BeforeChange(_));
        if tally.is_empty() || named && tally.is_of_nothing() {
            return Err(self.nothing_selected().await);
        }
        Ok(tally)
    }

    /// The selected documents beside what is known of the container's.
    async fn pairs(&self) -> Result<BoxStream<'_, Result<Pair, Failure>>, Failure> {
        let alone = |candidate| Pair { candidate, live: Known::Nothing };
        if let Selection::Document { key, id } = &self.request.selection {
            let candidate = catalog::one(self.mirror, key, id).await?;
            let heard_of = candidate.history.as_ref().map_or(true, |document| !document.is_empty());
            return Ok(stream::iter(heard_of.then(|| Ok(alone(candidate)))).boxed());
        }
        if let Selection::Listed(list) = &self.request.selection {
            let candidates = stream::iter(list.documents()?)
                .map_ok(move |named| async move { catalog::one(self.mirror, &named.key(), &named.id).await })
                .try_buffered(DOCUMENTS_AT_ONCE);
            return Ok(candidates.map_ok(alone).boxed());
        }
        let sampled = |name: &str| self.request.sampling.as_ref().is_none_or(|sampling| sampling.contains(name));
        let candidates = catalog::candidates(self.mirror, &self.request.selection);
        let candidates = candidates.try_filter(move |candidate| std::future::ready(sampled(&candidate.name))).boxed();
        if !self.is_wide() {
            return Ok(candidates.map_ok(alone).boxed());
        }
        let rows = live::rows(self).await?.sorted()?;
        let pairs = join::joined(candidates, rows).try_filter(|pair| {
            let selected = |document| self.request.selection.contains(self.mirror, document);
            std::future::ready(pair.candidate.history.as_ref().map_or(true, selected))
        });
        Ok(pairs.boxed())
    }

    async fn nothing_selected(&self) -> CommandError {
        let remedy = "check the selection; documents appear once the daemon has read them";
        match (&self.request.selection, &self.request.point) {
            (Selection::Document { key, id }, Point::At(_) | Point::Version(_)) if self.request.changed.is_none() => {
                self.mirror.not_found(key, id).await
            }
            (selection, Point::BeforeChange(etag)) => {
                let message = format!("the mirror holds no version with the etag {etag} of {selection}");
                CommandError::new(Exit::NotFound, message, "`cosmirror history` shows a document's versions and etags")
            }
            _ => {
                let message = format!("there is nothing to restore: the mirror does not know of {}", self.request);
                CommandError::new(Exit::NotFound, message, remedy)
            }
        }
    }
}
