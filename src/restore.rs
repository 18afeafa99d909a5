//! Bringing documents back: the selected documents become what the source held at the end of a second.
//!
//! | step | file |
//! |---|---|
//! | which documents, and which state of them | `restore/select.rs`, `restore/ids.rs`, `restore/request.rs` |
//! | which versions of them exist, from listings alone | `restore/catalog.rs` |
//! | what the container holds now | `restore/live.rs` |
//! | both beside each other, name by name | `restore/join.rs` |
//! | what each document should be (pure) | `restore/wanted.rs` |
//! | what it is, beside what it should be | `restore/compare.rs` |
//! | what to do about it (pure) | `restore/plan.rs` |
//! | what that will cost | `restore/estimate.rs` |
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
use futures::stream::{self, BoxStream, StreamExt as _, TryStreamExt as _};
use indicatif::ProgressBar;
use tokio_util::sync::CancellationToken;

use crate::crash::crash_point;
use crate::documents::Documents;
use crate::failure::{CommandError, Exit, Failure};
use crate::history::{Coverage, MirrorReader};

mod apply;
mod catalog;
mod compare;
mod estimate;
mod ids;
mod join;
mod lines;
mod live;
mod plan;
mod plan_file;
mod record;
mod report;
mod request;
mod select;
#[cfg(test)]
mod tests;
mod verify;
mod wanted;

pub use cosmirror_formats::restore_plan::Counts;
pub use estimate::{Basis, Estimate};
pub use live::Meter;
pub use plan::Tally;
pub use plan_file::{PlanReader, PlanWriter};
pub use record::new_id;
pub use report::{Applied, Report};
pub use request::{Interval, Overwrite, Point, Request, Side, quoted};
pub use select::Selection;

use join::Pair;
use live::Known;

/// Documents that are compared, written or read back at the same time.
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
                .try_buffer_unordered(DOCUMENTS_AT_ONCE);
            return Ok(candidates.map_ok(alone).boxed());
        }
        let candidates = catalog::candidates(self.mirror, &self.request.selection);
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
