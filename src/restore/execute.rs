//! One application of a file from its beginning to its end: undo file, writes, record, verification.
//!
//! Documents fail one by one; only what makes every further write pointless ends the work early. Cancelling ends it
//! behind the writes that are under way. Applying the same file again goes on where it stopped, also after a crash: what is done is known
//! from the undo file, and verified with the rest. The undo file's end is written last.

use std::path::PathBuf;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};

use cosmirror_formats::restore_plan::{Part, UndoEnd};
use futures::future::try_join_all;
use futures::stream::{self, StreamExt as _};
use indicatif::ProgressBar;
use tokio_util::sync::CancellationToken;
use tracing::Instrument as _;

use super::apply::{Done, Outcome, Workshop};
use super::file::{RestoreFile, Tasks};
use super::journal::{Begun, Keys, UndoFile, begin};
use super::pace::{Pace, Stopped};
use super::progress::ProgressLog;
use super::record::Recorder;
use super::report::Report;
use super::verify::verify;
use super::work::{Target, Task};
use crate::crash::crash_point;
use crate::failure::{Failure, Kind};
use crate::spool::Spool;
use crate::traces;

/// How a file is applied.
pub struct Application<'a> {
    /// The containers, as the file's parts, with the resource ids that they have now.
    pub parts: Vec<Part>,
    /// The same containers to read from and write to.
    pub targets: Vec<Target>,
    /// Where what undoes it is kept.
    pub undo: PathBuf,
    /// What encrypts that file, and what opens it when the work is taken up again.
    pub keys: Keys,
    /// The property that marks what is written.
    pub mark_field: Option<String>,
    /// Documents at the same time.
    pub concurrency: usize,
    /// Documents that may fail before the work stops; none: any number.
    pub failures_max: Option<u64>,
    /// How fast.
    pub pace: &'a Pace,
    /// Ends the work behind what is under way.
    pub cancel: &'a CancellationToken,
    /// Shows the writing.
    pub writing: ProgressBar,
    /// Shows the verifying.
    pub verifying: ProgressBar,
}

impl Application<'_> {
    /// Applies `file`.
    pub async fn run(self, file: RestoreFile) -> Report {
        let mut report = file.report();
        if file.changes() == 0 {
            return report;
        }
        let span = traces::restore(file.changes());
        let done = self.begin(file, &mut report).instrument(span.clone()).await;
        if let Err(failure) = traces::failed(&span, done) {
            report.fatal.get_or_insert(failure);
        }
        report
    }

    async fn begin(self, file: RestoreFile, report: &mut Report) -> Result<(), Failure> {
        let head = file.undo_head(self.parts.clone(), self.mark_field.clone());
        let begun = blocking({
            let (undo, keys) = (self.undo.clone(), self.keys.clone());
            move || begin(&undo, head, &keys)
        });
        let begun = begun.await?;
        report.restore = Some(file.id().to_owned());
        report.undo = Some(self.undo.display().to_string());
        let (journal, earlier) = match begun {
            Begun::New(journal) => (journal, None),
            Begun::Resumed(journal, earlier) => (journal, Some(earlier)),
            Begun::Finished(found) => return self.look_again(*found, report).await,
        };
        let mark = self.mark_field.clone().map(|name| (name, file.id().to_owned()));
        let recorders = self.recorders(file.id(), report).await?;
        let mut run = Run::new(recorders, report)?;
        crash_point!("restore-recorded");
        let earlier = match earlier {
            Some(mut earlier) => {
                run.take_up(&mut earlier).await?;
                Some(Mutex::new(*earlier))
            }
            None => None,
        };
        // What was created before the work was taken up again is looked at, so that it is known whose it is.
        let empty = if earlier.is_some() { Vec::new() } else { self.empty_targets().await };
        let purges = try_join_all(self.targets.iter().map(Target::purges)).await?;
        let (targets, pace) = (&self.targets[..], self.pace);
        let workshop = Workshop { targets, journal: &journal, pace, mark, earlier, empty, purges };
        let worked = match file.tasks() {
            Ok(tasks) => run.work(&self, &workshop, tasks).instrument(traces::restore_write()).await,
            Err(failure) => Err(failure),
        };
        drop(workshop);
        // What was changed after it was restored is found again whenever it is verified.
        let conflicts = run.report.conflicts;
        let ended = run.end(&self).instrument(traces::restore_verify()).await;
        let finished = run.all && ended.is_ok() && worked.is_ok();
        let closed = journal.end(UndoEnd { finished, done: run.report.applied.total(), conflicts }).await;
        worked.and(ended).and(closed)
    }

    /// Verifies what was done by earlier runs, and writes nothing.
    async fn look_again(&self, mut found: UndoFile, report: &mut Report) -> Result<(), Failure> {
        report.already_applied = true;
        report.conflicts += found.end.as_ref().map_or(0, |end| end.conflicts);
        let mut run = Run { stopped: false, ..Run::new(Vec::new(), report)? };
        run.take_up(&mut found).await?;
        run.end(self).await
    }

    /// For each target, whether it holds nothing; where that cannot be told, every document is looked at.
    async fn empty_targets(&self) -> Vec<bool> {
        let mut empty = Vec::new();
        for target in &self.targets {
            empty.push(self.pace.read(|| target.is_empty()).await.unwrap_or(false));
        }
        empty
    }

    /// Who tells each mirror what is written. One that can be read alone is as good to restore from, and is not told.
    async fn recorders(&self, id: &str, report: &mut Report) -> Result<Vec<Option<Recorder>>, Failure> {
        let mut recorders = Vec::new();
        for (target, part) in self.targets.iter().zip(&self.parts) {
            recorders.push(match &target.recorded_in {
                Some(mirror) => match Recorder::begin(mirror.clone(), id, part).await {
                    Ok(recorder) => Some(recorder),
                    Err(failure) if matches!(failure.kind, Kind::Unauthorized | Kind::Misconfigured) => {
                        let name = &part.source;
                        report.note(format!("{name}: its mirror cannot be told of this restore: {}", failure.message));
                        None
                    }
                    Err(failure) => return Err(failure),
                },
                None => None,
            });
        }
        Ok(recorders)
    }
}

/// Reads files on a thread that may wait for them, so that a signal is heard meanwhile.
pub async fn blocking<T, E, F>(work: F) -> Result<T, E>
where
    T: Send + 'static,
    E: From<Failure> + Send + 'static,
    F: FnOnce() -> Result<T, E> + Send + 'static,
{
    let done = tokio::task::spawn_blocking(work).await;
    done.unwrap_or_else(|error| Err(Failure::new(Kind::Internal, format!("reading a file: {error}")).into()))
}

/// Notices a service that answers nobody any more: each further document would be tried for as long as a failure that may pass is.
struct Silence {
    failures: usize,
    failures_max: usize,
}

impl Silence {
    /// One document alone may have a reason of its own to fail, so it takes two at least.
    fn new(concurrency: usize) -> Self {
        Self { failures: 0, failures_max: concurrency.max(2) }
    }

    fn count(&mut self, outcome: &Outcome) {
        let failed = matches!(outcome, Outcome::Failed(failure) if failure.kind == Kind::Transient);
        // Once noticed it stays: what is still under way does not change that the work was ended.
        self.failures = if failed || self.is_silent() { self.failures + 1 } else { 0 };
    }

    fn is_silent(&self) -> bool {
        self.failures >= self.failures_max
    }
}

/// What has been done so far.
struct Run<'a> {
    /// One for each container.
    recorders: Vec<Option<Recorder>>,
    written: Spool<Done>,
    report: &'a mut Report,
    /// The work ended early.
    stopped: bool,
    /// Every step was done, or found to be impossible.
    all: bool,
    /// Damaged documents that the plan counts already.
    damaged: u64,
}

impl<'a> Run<'a> {
    fn new(recorders: Vec<Option<Recorder>>, report: &'a mut Report) -> Result<Self, Failure> {
        let damaged = report.damaged;
        Ok(Self { recorders, written: Spool::new()?, report, stopped: true, all: false, damaged })
    }

    /// Counts what the undo file says was done before.
    async fn take_up(&mut self, earlier: &mut UndoFile) -> Result<(), Failure> {
        let mut next = 0;
        while let Some(entry) = earlier.entry_from(next)? {
            next = entry.before.step + 1;
            let Some(done) = Done::of(entry) else { continue };
            self.report.applied.count(done.action);
            self.report.resumed += 1;
            if let Some(Some(recorder)) = self.recorders.get_mut(done.part) {
                recorder.add_earlier(&done).await?;
            }
            self.written.push(&done)?;
        }
        Ok(())
    }

    async fn work(&mut self, how: &Application<'_>, shop: &Workshop<'_>, tasks: Tasks) -> Result<(), Failure> {
        how.writing.set_position(self.report.resumed);
        let mut log = ProgressLog::new(&how.writing, "restoring");
        // Ends the work from inside as well, where no further write can succeed.
        let stop = how.cancel.child_token();
        let exhausted = AtomicBool::new(false);
        let at_end = std::iter::from_fn(|| {
            exhausted.store(true, Ordering::Relaxed);
            None
        });
        let tasks = tasks.chain(at_end).filter_map(|task| match task {
            Ok(task) => match shop.is_done(task.step) {
                Ok(true) => None,
                Ok(false) => Some(Ok(task)),
                Err(failure) => Some(Err(failure)),
            },
            Err(failure) => Some(Err(failure)),
        });
        // While as many are written as may be, so many more are fetched, and share a sync of the undo file.
        let under_way = 2 * how.concurrency - 1;
        let outcomes = stream::iter(tasks)
            .take_until(stop.clone().cancelled_owned())
            .map(|task| async move {
                let task = task?;
                let outcome = shop.run(&task).await;
                Ok::<_, Failure>((task, outcome))
            })
            .buffer_unordered(under_way);
        let mut outcomes = std::pin::pin!(outcomes);
        let mut fatal = None;
        let mut silent = Silence::new(under_way);
        while let Some(result) = outcomes.next().await {
            how.writing.inc(1);
            log.tell();
            let settled = match result {
                Ok((task, outcome)) => {
                    silent.count(&outcome);
                    self.settle(&task, outcome).await
                }
                Err(failure) => Err(failure),
            };
            if let Err(failure) = settled {
                fatal.get_or_insert(failure);
                stop.cancel();
            }
            if silent.is_silent() && !stop.is_cancelled() {
                tracing::error!("the service takes nothing any more: stopping; apply the same file again, it goes on");
                stop.cancel();
            }
            if how.failures_max.is_some_and(|max| self.report.failed >= max) {
                self.report.limit_reached = true;
                stop.cancel();
            }
        }
        // What came to its end by itself is done, even if it was cancelled in the last moment.
        let exhausted = exhausted.load(Ordering::Relaxed);
        self.report.cancelled |= how.cancel.is_cancelled() && !exhausted;
        self.stopped = fatal.is_some() || silent.is_silent() || self.report.cancelled || self.report.limit_reached;
        self.all = exhausted && !self.stopped && self.report.failed == 0 && self.report.damaged == self.damaged;
        fatal.map_or(Ok(()), Err)
    }

    /// Counts an outcome; an error ends the work.
    async fn settle(&mut self, task: &Task, outcome: Outcome) -> Result<(), Failure> {
        let report = &mut *self.report;
        let what = format!("{:?} of partition key {}", task.id, task.partition_key);
        match outcome {
            Outcome::Done(done) => {
                report.applied.count(done.action);
                self.written.push(&done)?;
                match self.recorders.get_mut(done.part) {
                    Some(Some(recorder)) => recorder.add(&done).await,
                    _ => Ok(()),
                }
            }
            Outcome::Unchanged => {
                report.unchanged += 1;
                Ok(())
            }
            Outcome::Purged => {
                report.purged += 1;
                Ok(())
            }
            Outcome::Conflict => {
                report.conflicts += 1;
                report.note(format!("{what}: it changed since the plan and was left alone"));
                Ok(())
            }
            Outcome::Cancelled => {
                report.cancelled = true;
                Ok(())
            }
            Outcome::Failed(failure) => {
                report.note(format!("{what}: {failure}"));
                match failure.kind {
                    Kind::Integrity => report.damaged += 1,
                    _ => report.failed += 1,
                }
                match failure.kind {
                    Kind::Unauthorized | Kind::Misconfigured | Kind::Internal => Err(failure),
                    _ => Ok(()),
                }
            }
        }
    }

    /// Tells the mirror what was written, and reads it back.
    async fn end(&mut self, how: &Application<'_>) -> Result<(), Failure> {
        for recorder in self.recorders.drain(..).flatten() {
            recorder.finish(self.all).await?;
        }
        if self.stopped {
            return Ok(());
        }
        how.verifying.set_length(self.written.len());
        let verified =
            verify(&how.targets, how.pace, how.concurrency, &mut self.written, self.report, &how.verifying).await;
        match verified {
            Ok(()) => Ok(()),
            Err(Stopped::Failed(failure)) => Err(failure),
            Err(Stopped::Cancelled) => {
                self.report.cancelled = true;
                self.all = false;
                Ok(())
            }
        }
    }
}
