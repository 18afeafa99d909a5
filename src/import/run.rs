//! Writes all documents, many at a time.
//!
//! Documents fail one by one; only what makes every further write pointless ends the work early. Cancelling ends it behind the writes that are under way.

use std::sync::atomic::{AtomicBool, Ordering};
use std::task::Poll;

use futures::stream::{self, StreamExt as _, TryStreamExt as _};
use indicatif::ProgressBar;
use tokio_util::sync::CancellationToken;

use super::input::Input;
use super::progress::{Behind, How, Progress};
use super::report::Report;
use super::write::{Outcome, Target, Writer};
use super::{Item, Next};
use crate::crash::crash_point;
use crate::failure::{CommandError, Failure, Kind};
use crate::restore::{Overwrite, Pace, ProgressLog};

/// How an input is imported.
pub(crate) struct Import<'a> {
    /// What is imported.
    pub(crate) input: &'a Input,
    /// Its containers, in their order.
    pub(crate) targets: &'a [Target],
    /// What happens to documents that are there and have another content.
    pub(crate) overwrite: Overwrite,
    /// Say what would be done and do nothing.
    pub(crate) dry_run: bool,
    /// Documents at the same time.
    pub(crate) concurrency: usize,
    /// Documents that may fail before the work stops; none: any number.
    pub(crate) failures_max: Option<u64>,
    /// How fast.
    pub(crate) pace: &'a Pace,
    /// Ends the work behind what is under way.
    pub(crate) cancel: &'a CancellationToken,
    /// Shows how far it is.
    pub(crate) bar: ProgressBar,
}

/// A document, or one that was left out, with its place in the input and what came of it.
type Settled = (u64, Option<(Item, Outcome)>);

impl Import<'_> {
    /// Imports what `progress` does not name as settled.
    pub(crate) async fn run(&self, mut progress: Progress) -> Result<Report, CommandError> {
        let Behind { settled: resumed, left_out, conflicts } = progress.behind();
        let mut report = Report { dry_run: self.dry_run, resumed, left_out, conflicts, ..Report::default() };
        let worked = self.work(&mut progress, &mut report).await;
        // Whatever ended the work, what is settled stays settled.
        progress.save()?;
        worked?;
        if report.failed == 0 && !report.cancelled && report.fatal.is_none() {
            progress.finish()?;
        }
        Ok(report)
    }

    async fn work(&self, progress: &mut Progress, report: &mut Report) -> Result<(), CommandError> {
        let behind = progress.behind().settled;
        self.bar.set_position(behind);
        let mut log = ProgressLog::new(&self.bar, "importing");
        let (targets, pace) = (self.targets, self.pace);
        let writer = Writer { targets, pace, overwrite: self.overwrite, dry_run: self.dry_run };
        let stop = self.cancel.child_token();
        let exhausted = AtomicBool::new(false);
        let at_end = stream::poll_fn(|_| {
            exhausted.store(true, Ordering::Relaxed);
            Poll::Ready(None)
        });
        let outcomes = self
            .input
            .documents()?
            .chain(at_end)
            .try_filter(|(place, _)| std::future::ready(*place >= behind))
            .take_until(stop.clone().cancelled_owned())
            .map_ok(|(place, next)| {
                let writer = &writer;
                async move { Ok::<Settled, CommandError>((place, settled(writer, next).await)) }
            })
            .try_buffer_unordered(self.concurrency);
        let mut outcomes = std::pin::pin!(outcomes);
        let mut silent = 0;
        while let Some((place, of)) = outcomes.try_next().await? {
            self.bar.inc(1);
            log.tell();
            let unanswered = matches!(&of, Some((_, Outcome::Failed(failure))) if failure.kind == Kind::Transient);
            silent = if unanswered { silent + 1 } else { 0 };
            self.settle(place, of, progress, report)?;
            if silent >= self.concurrency.max(2) && !stop.is_cancelled() {
                tracing::error!("the service takes nothing any more: stopping; run the same import again, it goes on");
                stop.cancel();
            }
            report.limit_reached |= self.failures_max.is_some_and(|max| report.failed >= max);
            if report.limit_reached || report.fatal.is_some() {
                stop.cancel();
            }
        }
        // What came to its end by itself is done, even if it was cancelled in the last moment.
        report.cancelled |= self.cancel.is_cancelled() && !exhausted.load(Ordering::Relaxed);
        Ok(())
    }

    /// Counts what came of a document.
    fn settle(
        &self,
        place: u64,
        of: Option<(Item, Outcome)>,
        progress: &mut Progress,
        report: &mut Report,
    ) -> Result<(), Failure> {
        let Some((item, outcome)) = of else {
            report.left_out += 1;
            return progress.settle(place, How::LeftOut);
        };
        report.count(&outcome);
        let what = format!("{:?} of partition key {}", item.id, item.key);
        match outcome {
            Outcome::Created | Outcome::Replaced => {
                crash_point!("import-written");
                progress.settle(place, How::Done)
            }
            Outcome::Unchanged | Outcome::Kept | Outcome::Purged => progress.settle(place, How::Done),
            Outcome::Conflict => {
                report.note(format!("{what}: it was changed at the same moment and left alone"));
                progress.settle(place, How::Conflict)
            }
            Outcome::Failed(failure) => {
                progress.leave(place);
                report.note(format!("{what}: {failure}"));
                if matches!(failure.kind, Kind::Unauthorized | Kind::Misconfigured | Kind::Internal) {
                    report.fatal.get_or_insert(failure);
                }
                Ok(())
            }
            Outcome::Cancelled => {
                progress.leave(place);
                Ok(())
            }
        }
    }
}

async fn settled(writer: &Writer<'_>, next: Next) -> Option<(Item, Outcome)> {
    match next {
        Next::Put(item) => {
            let outcome = writer.write(&item).await;
            Some((item, outcome))
        }
        Next::LeftOut => None,
    }
}
