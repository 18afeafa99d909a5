//! The way of a change: **feed** page → **plan** → **write** → **checkpoint**.
//!
//! One [`Follower`] follows one range while its lease is ours:
//!
//! 1. [`page`] reads the next page from the durable position, within the budget of memory and request units;
//! 2. [`plan`] says, without I/O, which versions of which documents it holds;
//! 3. [`write`](mod@write) stores them, many documents in parallel and each in order, every put conditional ([`order`] decides);
//! 4. [`checkpoint`] moves the position, by a proof that only the writer can make; the lease's keeper persists it.
//!
//! The next page is read while this one is written. In all-versions mode a backfill of what existed before runs in turn with
//! following. A crash anywhere repeats at most the pages since the last saved checkpoint, and what is stored is recognised by
//! identity. [`guard`] stops writes when the lease may have run out; [`watermark`] says until when the range is complete;
//! [`dead_letter`] keeps what cannot be stored, [`gap`] records what was missed.

use std::sync::Arc;
use std::time::Duration;

use cosmirror_formats::EpkRange;
use tokio::sync::watch;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

pub mod cache;
pub mod checkpoint;
pub mod dead_letter;
pub mod describe;
pub mod gap;
pub mod guard;
pub mod order;
pub mod page;
pub mod plan;
pub mod watermark;
pub mod write;

use crate::config::{FeedMode, Start};
use crate::crash::crash_point;
use crate::feed::Position;
use checkpoint::{Backfill, RangeProgress, lsn_of};
use guard::Guard;
use page::{Read, Reader};
use watermark::RangeStateFile;
use write::{Halt, Terms, Writer};

/// What following a range is told.
#[derive(Debug, Clone)]
pub struct Pace {
    /// Pause after activity.
    pub poll_interval: Duration,
    /// Longest pause when nothing changes.
    pub poll_interval_idle_max: Duration,
    /// Replica lag allowed for, in seconds.
    pub staleness_margin: i64,
}

/// Follows one range.
pub struct Follower {
    /// The range.
    pub range: EpkRange,
    /// Which feed.
    pub mode: FeedMode,
    /// Reads pages.
    pub reader: Reader,
    /// Writes them.
    pub writer: Arc<Writer>,
    /// What is the same for every page.
    pub context: plan::Context,
    /// When to poll.
    pub pace: Pace,
    /// How far the range is; watched by the lease's keeper.
    pub progress: watch::Sender<RangeProgress>,
    /// The range's state in the mirror.
    pub state_file: RangeStateFile,
    /// Open while the lease is ours.
    pub guard: Arc<Guard>,
    /// Cancelled when the process is to end.
    pub drain: CancellationToken,
    /// Told after every step.
    pub observer: Arc<dyn Observer>,
}

/// Is told how far a range is. Must not block.
pub trait Observer: Send + Sync {
    /// After every step: `service_time` is the last known, `caught_up` says that nothing more was there to read and what existed before
    /// is stored.
    fn stepped(&self, range: &EpkRange, progress: &RangeProgress, service_time: Option<i64>, caught_up: bool);
}

/// The position of a stream and its page read ahead.
struct Cursor {
    position: Position,
    ahead: Option<Read>,
    /// When nothing more was there to read, of the first such answer that waits for a second one.
    emptied: Option<i64>,
}

impl Cursor {
    /// The instant up to which everything was given out, now that nothing more was there when asked at `asked_at`.
    ///
    /// Of a feed that gives only newest versions one such answer does not say so: it may come from a replica that lags behind the one
    /// that gave the page before, and that page left out what was overwritten by a change that this replica does not show yet. By a
    /// second answer, a margin later, that change was given out.
    fn complete_until(&mut self, asked_at: i64, margin: i64, newest_only: bool) -> Option<i64> {
        if !newest_only || margin == 0 {
            return Some(asked_at - 1 - margin);
        }
        let first = *self.emptied.get_or_insert(asked_at);
        (upper_bound(first) <= asked_at - margin).then(|| {
            self.emptied = Some(asked_at);
            first - 1 - margin
        })
    }
}

impl Follower {
    /// Follows until the process is to end, the lease is lost, or the failure table gives the range up. On the way out the range's
    /// state is written once more if the lease is still ours.
    pub async fn follow(mut self) -> Halt {
        let halt = match self.run().await {
            Ok(()) => Halt::Drained,
            Err(halt) => halt,
        };
        if self.guard.is_open() && !matches!(halt, Halt::Fenced) {
            let progress = self.progress.borrow().clone();
            if let Err(failure) = self.state_file.write(&progress).await {
                tracing::warn!(range = %self.range, error = %failure, "the range's state was not written at the end; the lease has it");
            }
        }
        halt
    }

    async fn run(&mut self) -> Result<(), Halt> {
        let start = self.progress.borrow().clone();
        let mut followed = Cursor { position: self.start_position(&start), ahead: None, emptied: None };
        let mut backfill = start.backfill.as_ref().map(|b| Cursor {
            position: b.token.clone().map_or(Position::Beginning, Position::Token),
            ahead: None,
            emptied: None,
        });
        let (mut idle, mut busy, mut last_poll) = (Duration::ZERO, true, None::<Instant>);
        // A replica that lags behind the point where following began would show what had been deleted by then, of which following
        // never tells.
        let backfill_opens =
            Instant::now() + Duration::from_secs(u64::try_from(self.pace.staleness_margin).unwrap_or(0));
        while !self.drain.is_cancelled() {
            // While a backfill runs, following needs no more polls than it would have without.
            let poll = backfill.is_none() || last_poll.is_none_or(|at| at.elapsed() >= self.pace.poll_interval);
            let mut caught_up = false;
            if poll {
                caught_up = self.follow_page(&mut followed).await?;
                last_poll = caught_up.then(Instant::now);
            }
            let mut backfilled = false;
            if let Some(cursor) = &mut backfill {
                let waits = backfill_opens.saturating_duration_since(Instant::now());
                if waits.is_zero() {
                    backfilled = self.backfill_page(cursor).await?;
                } else if caught_up || !poll {
                    self.rest(waits.min(self.pace.poll_interval)).await?;
                }
            }
            backfill = backfill.filter(|_| !backfilled);
            busy |= !caught_up;
            self.guard.stepped(self.reader.service_time());
            self.report(caught_up && backfill.is_none());
            self.keep_state(&mut busy).await?;
            if caught_up && backfill.is_none() {
                idle = (idle * 2).clamp(self.pace.poll_interval, self.pace.poll_interval_idle_max);
                self.rest(idle).await?;
            } else {
                idle = Duration::ZERO;
            }
        }
        Ok(())
    }

    fn start_position(&self, progress: &RangeProgress) -> Position {
        match (&progress.position, &progress.start) {
            (Some(token), _) => Position::Token(token.clone()),
            (None, Start::Beginning) => Position::Beginning,
            (None, Start::Now) => Position::Now,
            (None, Start::Instant(at)) => Position::Instant(at.as_second()),
        }
    }

    /// One page of the followed feed; true if nothing more was there.
    async fn follow_page(&mut self, cursor: &mut Cursor) -> Result<bool, Halt> {
        let read = self.take(cursor, self.mode).await?;
        if read.page.not_modified {
            self.confirm_empty(&read, cursor);
            cursor.position = Position::Token(read.page.token);
            return Ok(true);
        }
        let mut context = self.context.clone();
        if self.mode == FeedMode::LatestVersion {
            context.after = self.progress.borrow().watermark;
        }
        let (newest, durable) = self.store(read, cursor, self.mode, &context).await?;
        crash_point!("page-durable");
        // Of a feed that gives only newest versions a page says nothing of what they have overwritten.
        let newest = newest.filter(|_| self.mode == FeedMode::AllVersionsAndDeletes);
        let margin = self.pace.staleness_margin;
        self.progress.send_modify(|progress| {
            progress.advance(durable);
            if let Some(newest) = newest {
                progress.raise_watermark(newest - 1 - margin);
            }
        });
        crash_point!("position-moved");
        Ok(false)
    }

    /// One page of the backfill; true when it has ended.
    async fn backfill_page(&mut self, cursor: &mut Cursor) -> Result<bool, Halt> {
        let Some(Backfill { now_lsn, .. }) = self.progress.borrow().backfill.clone() else { return Ok(true) };
        let mode = FeedMode::LatestVersion;
        let read = self.take(cursor, mode).await?;
        if read.page.not_modified {
            cursor.position = Position::Token(read.page.token.clone());
            // A replica that lags behind the point where following began must not end the backfill.
            let ended = lsn_of(&read.page.token).is_some_and(|lsn| lsn >= now_lsn);
            if ended {
                self.end_backfill().await?;
            } else {
                self.rest(self.pace.poll_interval).await?;
            }
            return Ok(ended);
        }
        // Behind a gap it is known what was before the gap.
        let after = self.progress.borrow().complete_before_gaps();
        let context = plan::Context { backfill_until: Some(now_lsn), after, ..self.context.clone() };
        let (_, durable) = self.store(read, cursor, mode, &context).await?;
        crash_point!("backfill-page-durable");
        self.progress.send_modify(|progress| progress.advance_backfill(durable));
        Ok(false)
    }

    /// Writes a page while the next one is read.
    async fn store(
        &self,
        read: Read,
        cursor: &mut Cursor,
        mode: FeedMode,
        context: &plan::Context,
    ) -> Result<(Option<i64>, checkpoint::Durable), Halt> {
        let plan = plan::plan(&read.page.entries, context);
        if !plan.unreadable.is_empty() {
            self.open_gap().await?;
        }
        let newest = plan.newest_ts;
        self.reader.count(&read.page);
        let terms = self.terms(&context.lineage);
        cursor.position = Position::Token(read.page.token.clone());
        let write = self.writer.write(plan, read.page.token.clone(), &terms);
        let ahead = self.reader.read_ahead(&self.range, mode, &cursor.position);
        let (durable, ahead) = tokio::join!(write, ahead);
        cursor.ahead = ahead;
        Ok((newest, durable?))
    }

    fn terms<'a>(&'a self, lineage: &'a str) -> Terms<'a> {
        let progress = self.progress.borrow();
        Terms {
            guard: &self.guard,
            drain: &self.drain,
            range: &self.range,
            lineage,
            complete: progress.backfilled.is_some(),
            behind_gap: !progress.gaps.is_empty(),
        }
    }

    async fn take(&self, cursor: &mut Cursor, mode: FeedMode) -> Result<Read, Halt> {
        match cursor.ahead.take() {
            Some(read) => Ok(read),
            None => self.reader.read(&self.range, mode, &cursor.position, &self.guard, &self.drain).await,
        }
    }

    /// Nothing was there at an instant the service confirmed: everything committed before it is stored.
    fn confirm_empty(&mut self, read: &Read, cursor: &mut Cursor) {
        let from_beginning = self.mode == FeedMode::LatestVersion && self.progress.borrow().reads_from_beginning();
        let margin = self.pace.staleness_margin;
        let now = self.reader.service_time();
        let newest_only = self.mode == FeedMode::LatestVersion;
        let complete = read.asked_at.and_then(|asked_at| cursor.complete_until(asked_at, margin, newest_only));
        self.progress.send_modify(|progress| {
            progress.position = Some(read.page.token.clone());
            if let Some(complete) = complete {
                progress.raise_watermark(complete);
            }
            if let (true, Some(now)) = (from_beginning, now) {
                // All that is left out is older than what can be asked for from now on.
                progress.raise_watermark(now - 1 - margin);
                progress.end_backfill(upper_bound(now) + margin);
            }
        });
    }

    /// Nobody knows which documents the entries belong to that cannot be understood.
    async fn open_gap(&self) -> Result<(), Halt> {
        let known = self.progress.borrow().clone();
        let terms = self.terms(&self.context.lineage);
        let gaps = self.writer.begin_gap(&known, gap::UNREADABLE, &terms).await?;
        let now = self.reader.feed.service_time().await.map_err(Halt::Failed)?;
        self.progress.send_modify(|progress| progress.open_gaps(gaps, upper_bound(now) + self.pace.staleness_margin));
        Ok(())
    }

    async fn end_backfill(&mut self) -> Result<(), Halt> {
        let now = self.reader.feed.service_time().await.map_err(Halt::Failed)?;
        let end = upper_bound(now) + self.pace.staleness_margin;
        crash_point!("backfill-to-end");
        self.progress.send_modify(|progress| progress.end_backfill(end));
        crash_point!("backfill-ended");
        tracing::info!(range = %self.range, "what existed before following began is mirrored");
        Ok(())
    }

    async fn keep_state(&mut self, busy: &mut bool) -> Result<(), Halt> {
        let progress = self.progress.borrow().clone();
        if !self.guard.is_open() {
            return Err(Halt::Fenced);
        }
        if self.state_file.is_due(&progress, *busy) {
            // The lease holds the same; a target that does not take it now gets it with the next page.
            match self.state_file.write(&progress).await {
                Ok(()) => *busy = false,
                Err(failure) => {
                    tracing::warn!(range = %self.range, error = %failure, "the range's state was not written")
                }
            }
        }
        Ok(())
    }

    fn report(&self, caught_up: bool) {
        self.observer.stepped(&self.range, &self.progress.borrow(), self.reader.service_time(), caught_up);
    }

    async fn rest(&self, pause: Duration) -> Result<(), Halt> {
        self.guard.rests(pause);
        tokio::select! {
            biased;
            () = self.guard.closed() => Err(Halt::Fenced),
            () = self.drain.cancelled() => Ok(()),
            () = tokio::time::sleep(pause) => Ok(()),
        }
    }
}

/// The service's time is known as a lower bound in whole seconds, carried forward by whole seconds.
fn upper_bound(lower: i64) -> i64 {
    lower + 2
}
