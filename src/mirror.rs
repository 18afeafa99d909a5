//! The way of a change: **feed** page → **plan** → **write** → **checkpoint**.
//!
//! One [`Follower`] follows one range while its lease is ours:
//!
//! 1. [`page`] reads the next page, within the budgets of bytes and request units;
//! 2. [`plan`] says, without I/O, which versions of which documents it holds;
//! 3. [`window`] writes the documents of several pages, each document in order; [`write`](mod@write) stores one document's versions,
//!    every put conditional ([`order`] decides, [`thin`] leaves out what the operator does not want);
//! 4. [`checkpoint`] moves the position, by a proof that only the window can make; the lease's keeper persists it.
//!
//! Pages are read while others are written. In all-versions mode a backfill of what existed before runs beside following; source
//! order resolves where they meet. A crash anywhere repeats at most the pages since the last saved checkpoint, and what is stored is
//! recognised by identity. [`guard`] stops writes when the lease may have run out; [`watermark`] says until when the range is complete;
//! [`dead_letter`] keeps what cannot be stored, [`gap`] records what was missed.

use std::sync::Arc;
use std::time::Duration;

use cosmirror_formats::EpkRange;
use tokio::sync::watch;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tracing::{Instrument as _, Span};

pub mod cache;
pub mod checkpoint;
pub mod dead_letter;
pub mod describe;
mod flow;
pub mod gap;
pub mod guard;
pub mod order;
pub mod page;
pub mod plan;
pub mod thin;
pub mod watermark;
pub mod window;
pub mod write;

use crate::config::{FeedMode, Start};
use crate::crash::crash_point;
use crate::feed::Position;
use crate::traces;
use checkpoint::{RangeProgress, lsn_of};
use flow::{Flow, upper_bound};
use guard::Guard;
use page::{Read, Reader};
use watermark::RangeStateFile;
use window::{Mark, Stream, Window};
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
    /// The container, as traces name it.
    pub container: String,
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

    /// Every error of a write abandons what is in flight at once. An error of a read ends reading; what was read before is stored
    /// first, so that the position is as far as it can be.
    async fn run(&mut self) -> Result<(), Halt> {
        let mut flow = self.begin();
        let budget = Arc::clone(&self.reader.bytes);
        let mut given_up = None;
        while !self.drain.is_cancelled() && given_up.is_none() {
            // Made before the budget is asked, so that what is given back in between is not missed.
            let room = budget.released();
            let mut read = false;
            for stream in flow.turn() {
                match self.read_page(&mut flow, stream).await? {
                    Ok(Some((page, span))) => {
                        self.enter(&mut flow, stream, page, &span).await?;
                        read = true;
                    }
                    Ok(None) => {}
                    Err(halt) => given_up = given_up.or(Some(halt)),
                }
            }
            self.advance(&mut flow);
            self.end_backfill(&mut flow).await?;
            self.keep_state(&mut flow).await?;
            if !read && given_up.is_none() {
                self.wait(&mut flow, room).await?;
            }
        }
        if self.drain.is_cancelled() {
            flow.window.abandon_later_pages();
        }
        while !flow.window.is_stored() {
            flow.window.step().await?;
            self.advance(&mut flow);
        }
        given_up.map_or(Ok(()), Err)
    }

    fn begin(&self) -> Flow {
        let progress = self.progress.borrow();
        let start = match (&progress.position, &progress.start) {
            (Some(token), _) => Position::Token(token.clone()),
            (None, Start::Beginning) => Position::Beginning,
            (None, Start::Now) => Position::Now,
            (None, Start::Instant(at)) => Position::Instant(at.as_second()),
        };
        let terms = Terms {
            guard: Arc::clone(&self.guard),
            drain: self.drain.clone(),
            range: self.range.clone(),
            lineage: self.context.lineage.clone(),
            progress: self.progress.subscribe(),
        };
        Flow::new(Window::new(Arc::clone(&self.writer), terms), start, &progress, &self.pace)
    }

    /// The next page of a stream, where it is time and there is room. The outer error is one of the writes beside it.
    async fn read_page(&self, flow: &mut Flow, stream: Stream) -> Result<Result<Option<(Read, Span)>, Halt>, Halt> {
        let Some(position) = flow.to_read(stream) else { return Ok(Ok(None)) };
        let share = if flow.window.is_stored() {
            None
        } else {
            let Some(share) = self.reader.bytes.try_another_page() else { return Ok(Ok(None)) };
            Some(share)
        };
        let mode = self.mode_of(stream);
        let span = traces::page(&self.container, &self.range, stream);
        let read = self.reader.read(&self.range, mode, &position, share, &self.guard, &self.drain);
        match self.during(flow, read.instrument(span.clone())).await? {
            Ok(read) => Ok(Ok(Some((read, span)))),
            Err(Halt::Fenced) => Err(Halt::Fenced),
            Err(halt) => Ok(Err(halt)),
        }
    }

    fn mode_of(&self, stream: Stream) -> FeedMode {
        match stream {
            Stream::Followed => self.mode,
            Stream::Backfill => FeedMode::LatestVersion,
        }
    }

    /// Begins to write a page, and decides when its stream is read again.
    async fn enter(&self, flow: &mut Flow, stream: Stream, read: Read, span: &Span) -> Result<(), Halt> {
        let Read { page, asked_at, share } = read;
        traces::holds(span, &page);
        if page.not_modified {
            // A replica that lags behind the point where following began must not end the backfill.
            let ends = stream == Stream::Followed || lsn_of(&page.token).is_some_and(|lsn| lsn >= flow.backfill_until);
            flow.rest(stream, &page.token, ends, &self.pace);
            if ends {
                let from_beginning = self.progress.borrow().reads_from_beginning();
                let mark = flow.caught_up(stream, asked_at, self.mode, &self.pace, from_beginning);
                flow.window.enter(stream, page.token, mark, plan::PagePlan::default(), share);
            }
            return Ok(());
        }
        let mut context = self.context.clone();
        match stream {
            Stream::Followed if self.mode == FeedMode::LatestVersion => context.after = flow.complete_until,
            Stream::Followed => {}
            Stream::Backfill => {
                context.backfill_until = Some(flow.backfill_until);
                // Behind a gap it is known what was before the gap.
                context.after = self.progress.borrow().complete_before_gaps();
            }
        }
        self.reader.count(&page);
        let plan = traces::plan(span).in_scope(|| plan::plan(&page.entries, &context));
        if !plan.unreadable.is_empty() {
            self.open_gap(flow).await?;
        }
        let mark = flow.changed(stream, &page, plan.newest_ts, self.mode, &self.pace);
        flow.read_on(stream, &page.token);
        let writing = traces::write(span, plan.documents.len());
        flow.window.enter(stream, page.token, mark, plan, share);
        flow.window.trace(writing);
        Ok(())
    }

    /// Moves the positions behind what is durable.
    fn advance(&self, flow: &mut Flow) {
        while let Some((stream, mark, durable)) = flow.window.next_durable() {
            self.move_position(stream, mark, durable);
            let caught_up = matches!(mark, Mark::CaughtUp { .. });
            match stream {
                Stream::Followed if caught_up => self.confirm_beginning(),
                Stream::Backfill if caught_up => flow.backfill_is_stored = true,
                _ => {
                    flow.busy = true;
                    tracing::debug!(range = %self.range, ?stream, "a page is stored");
                }
            }
            self.guard.stepped(self.reader.service_time());
            let all = caught_up && stream == Stream::Followed && flow.window.is_stored() && flow.backfill.is_none();
            self.observer.stepped(&self.range, &self.progress.borrow(), self.reader.service_time(), all);
        }
    }

    fn move_position(&self, stream: Stream, mark: Mark, durable: checkpoint::Durable) {
        if stream == Stream::Backfill {
            crash_point!("backfill-page-durable");
            return self.progress.send_modify(|progress| progress.advance_backfill(durable));
        }
        crash_point!("page-durable");
        self.progress.send_modify(|progress| {
            progress.advance(durable);
            if let Some(seconds) = mark.complete_until() {
                progress.raise_watermark(seconds);
            }
        });
        crash_point!("position-moved");
    }

    /// Where following itself reads what existed before, its first end is that of a backfill.
    fn confirm_beginning(&self) {
        let from_beginning = self.mode == FeedMode::LatestVersion && self.progress.borrow().reads_from_beginning();
        if let (true, Some(now)) = (from_beginning, self.reader.service_time()) {
            let end = upper_bound(now) + self.pace.staleness_margin;
            self.progress.send_modify(|progress| progress.end_backfill(end));
        }
    }

    /// Nobody knows which documents the entries belong to that cannot be understood.
    async fn open_gap(&self, flow: &mut Flow) -> Result<(), Halt> {
        let known = self.progress.borrow().clone();
        let terms = flow.window.terms();
        let begin = self.writer.begin_gap(&known, gap::UNREADABLE, &terms);
        let gaps = self.during(flow, begin).await??;
        let now = self.during(flow, self.reader.feed.service_time()).await?.map_err(Halt::Failed)?;
        self.progress.send_modify(|progress| progress.open_gaps(gaps, upper_bound(now) + self.pace.staleness_margin));
        Ok(())
    }

    async fn end_backfill(&self, flow: &mut Flow) -> Result<(), Halt> {
        if !flow.backfill_is_stored {
            return Ok(());
        }
        let now = self.during(flow, self.reader.feed.service_time()).await?.map_err(Halt::Failed)?;
        let end = upper_bound(now) + self.pace.staleness_margin;
        crash_point!("backfill-to-end");
        self.progress.send_modify(|progress| progress.end_backfill(end));
        crash_point!("backfill-ended");
        flow.end_backfill();
        tracing::info!(range = %self.range, "what existed before following began is mirrored");
        Ok(())
    }

    async fn keep_state(&mut self, flow: &mut Flow) -> Result<(), Halt> {
        if !self.guard.is_open() {
            return Err(Halt::Fenced);
        }
        let progress = self.progress.borrow().clone();
        if self.state_file.is_due(&progress, flow.busy) {
            // The lease holds the same; a target that does not take it now gets it with the next page.
            let span = traces::state(&self.container, &self.range);
            let written = flow.window.beside(self.state_file.write(&progress).instrument(span.clone())).await?;
            match traces::failed(&span, written) {
                Ok(()) => flow.busy = false,
                Err(failure) => {
                    tracing::warn!(range = %self.range, error = %failure, "the range's state was not written");
                }
            }
        }
        Ok(())
    }

    /// Does something else while pages are written. The outer error is one of the writes.
    async fn during<T>(&self, flow: &mut Flow, work: impl Future<Output = T>) -> Result<T, Halt> {
        tokio::pin!(work);
        loop {
            let page_is_stored = tokio::select! {
                biased;
                done = &mut work => return Ok(done),
                stepped = flow.window.step() => stepped?,
            };
            if page_is_stored {
                self.advance(flow);
            }
        }
    }

    /// Nothing can be read: waits until a page is stored, there is room for another, or it is time to poll.
    async fn wait(&self, flow: &mut Flow, room: impl Future<Output = ()>) -> Result<(), Halt> {
        let (next_poll, wants_room) = (flow.next_poll(), flow.wants_room());
        if let Some(at) = next_poll.filter(|_| flow.window.is_stored()) {
            self.guard.rests(at.saturating_duration_since(Instant::now()));
        }
        let poll = async {
            match next_poll {
                Some(at) => tokio::time::sleep_until(at).await,
                None => std::future::pending().await,
            }
        };
        tokio::pin!(poll, room);
        loop {
            tokio::select! {
                biased;
                () = self.guard.closed() => return Err(Halt::Fenced),
                () = self.drain.cancelled() => return Ok(()),
                stepped = flow.window.step() => if stepped? { return Ok(()) },
                () = &mut room, if wants_room => return Ok(()),
                () = &mut poll => return Ok(()),
            }
        }
    }
}

#[cfg(test)]
mod tests;
