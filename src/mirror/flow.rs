//! What a follower reads and when: the positions of its two streams, their rests, and the window of pages in flight.

use std::time::Duration;

use tokio::time::Instant;

use super::Pace;
use super::checkpoint::{RangeProgress, lsn_of};
use super::window::{Mark, Stream, Window};
use crate::config::FeedMode;
use crate::feed::{FeedPage, Position};

/// Where a stream is read on, and when.
pub(super) struct Cursor {
    position: Position,
    /// Nothing was there at the last read.
    rests_until: Option<Instant>,
    /// Nothing more is to be read.
    ended: bool,
}

/// The service's time is known as a lower bound in whole seconds, carried forward by whole seconds.
pub(super) fn upper_bound(lower: i64) -> i64 {
    lower + 2
}

/// The state of following one range.
pub(super) struct Flow {
    pub(super) window: Window,
    followed: Cursor,
    pub(super) backfill: Option<Cursor>,
    /// The backfill leaves later changes to the followed feed.
    pub(super) backfill_until: u64,
    /// The backfill has come to its end, and all of it is stored.
    pub(super) backfill_is_stored: bool,
    /// Up to here the range will be complete when all that was read is stored.
    pub(super) complete_until: Option<i64>,
    /// What was there when following began here ends with this LSN; none before the first page.
    history_until: Option<u64>,
    /// When nothing more was there to read, of the first such answer that waits for a second one.
    emptied: Option<i64>,
    /// Changes came since the range's state was written last.
    pub(super) busy: bool,
    idle: Duration,
    backfill_first: bool,
    /// When this turn began. Whether a stream rests is asked as of then: one whose rest ended since was not read in this turn, and must
    /// be waited for as one that rests, or nobody would ever wake for it.
    now: Instant,
}

impl Cursor {
    fn at(position: Position) -> Self {
        Self { position, rests_until: None, ended: false }
    }

    fn rests(&self, now: Instant) -> bool {
        self.ended || self.rests_until.is_some_and(|until| now < until)
    }
}

impl Flow {
    /// Begins at `start`, and with the backfill where that stands.
    pub(super) fn new(window: Window, start: Position, progress: &RangeProgress, pace: &Pace) -> Self {
        let backfill = progress.backfill.as_ref();
        let position = |token: &Option<String>| token.clone().map_or(Position::Beginning, Position::Token);
        // A replica that lags behind the point where following began would show what had been deleted by then, of which following
        // never tells.
        let margin = Duration::from_secs(u64::try_from(pace.staleness_margin).unwrap_or(0));
        let opens = Some(Instant::now() + margin).filter(|_| !margin.is_zero());
        Self {
            window,
            followed: Cursor::at(start),
            backfill: backfill.map(|backfill| Cursor { rests_until: opens, ..Cursor::at(position(&backfill.token)) }),
            backfill_until: backfill.map_or(0, |backfill| backfill.now_lsn),
            backfill_is_stored: false,
            complete_until: progress.watermark,
            history_until: None,
            emptied: None,
            busy: true,
            idle: Duration::ZERO,
            backfill_first: true,
            now: Instant::now(),
        }
    }

    /// The streams in the order in which they may read now: where there is room for one only, they take turns.
    pub(super) fn turn(&mut self) -> [Stream; 2] {
        self.now = Instant::now();
        self.backfill_first = !self.backfill_first;
        if self.backfill_first { [Stream::Backfill, Stream::Followed] } else { [Stream::Followed, Stream::Backfill] }
    }

    /// Where a stream is to be read now, if it is.
    pub(super) fn to_read(&self, stream: Stream) -> Option<Position> {
        let cursor = self.cursor(stream).filter(|cursor| !cursor.rests(self.now))?;
        self.window.has_room(stream).then(|| cursor.position.clone())
    }

    /// Whether a stream would read if it had its share of the budget.
    pub(super) fn wants_room(&self) -> bool {
        [Stream::Followed, Stream::Backfill].into_iter().any(|stream| self.to_read(stream).is_some())
    }

    /// When the next stream that rests is to be read.
    pub(super) fn next_poll(&self) -> Option<Instant> {
        let polls = [Stream::Followed, Stream::Backfill].into_iter().filter_map(|stream| {
            let cursor = self.cursor(stream).filter(|cursor| !cursor.ended && self.window.has_room(stream))?;
            cursor.rests_until.filter(|_| cursor.rests(self.now))
        });
        polls.min()
    }

    /// A page of changes was read; the stream is read on at once.
    pub(super) fn read_on(&mut self, stream: Stream, token: &str) {
        if stream == Stream::Followed {
            self.idle = Duration::ZERO;
        }
        if let Some(cursor) = self.cursor_mut(stream) {
            *cursor = Cursor::at(Position::Token(token.to_owned()));
        }
    }

    /// Nothing more was there. The followed feed is polled again after a while, ever later; a backfill that `ends` is not.
    pub(super) fn rest(&mut self, stream: Stream, token: &str, ends: bool, pace: &Pace) {
        let alone = self.backfill.is_none();
        let pause = match stream {
            // While a backfill runs, following needs no more polls than it would have without, and no fewer.
            Stream::Followed if alone => {
                self.idle = (self.idle * 2).clamp(pace.poll_interval, pace.poll_interval_idle_max);
                self.idle
            }
            Stream::Followed | Stream::Backfill => pace.poll_interval,
        };
        if let Some(cursor) = self.cursor_mut(stream) {
            let position = Position::Token(token.to_owned());
            let ended = ends && stream == Stream::Backfill;
            *cursor = Cursor { position, rests_until: Some(Instant::now() + pause), ended };
        }
    }

    /// A page of changes was read, of which the newest was committed at `newest`. Of a feed that gives only newest versions it says nothing
    /// of what they have overwritten; nor does it where the times need not grow with the numbers, which is so of what was there when
    /// following began here: ranges may have been merged and cut otherwise since.
    pub(super) fn changed(
        &mut self,
        stream: Stream,
        page: &FeedPage,
        newest: Option<i64>,
        mode: FeedMode,
        pace: &Pace,
    ) -> Mark {
        let follows_all = stream == Stream::Followed && mode == FeedMode::AllVersionsAndDeletes;
        if follows_all && self.history_until.is_none() {
            self.history_until = page.session_lsn;
        }
        let tells = follows_all && self.history_until.is_some_and(|until| lsn_of(&page.token) > Some(until));
        let complete_until = newest.filter(|_| tells).map(|newest| newest - 1 - pace.staleness_margin);
        self.complete_until = self.complete_until.max(complete_until);
        Mark::Changes { complete_until }
    }

    /// Nothing more was there when asked at `asked_at`.
    ///
    /// Of a feed that gives only newest versions one such answer does not say that everything was given out: it may come from a replica
    /// that lags behind the one that gave the page before, and that page left out what was overwritten by a change that this replica does
    /// not show yet. By a second answer, a margin later, that change was given out.
    pub(super) fn caught_up(
        &mut self,
        stream: Stream,
        asked_at: Option<i64>,
        mode: FeedMode,
        pace: &Pace,
        from_beginning: bool,
    ) -> Mark {
        let margin = pace.staleness_margin;
        if stream == Stream::Followed {
            self.history_until = Some(0);
        }
        // What the first reading left out is older than what can be asked for when it has ended.
        let newest_only = mode == FeedMode::LatestVersion && !from_beginning;
        let complete_until = asked_at.filter(|_| stream == Stream::Followed).and_then(|asked_at| {
            if !newest_only || margin == 0 {
                return Some(asked_at - 1 - margin);
            }
            let first = *self.emptied.get_or_insert(asked_at);
            (upper_bound(first) <= asked_at - margin).then(|| {
                self.emptied = Some(asked_at);
                first - 1 - margin
            })
        });
        self.complete_until = self.complete_until.max(complete_until);
        Mark::CaughtUp { asked_at, complete_until }
    }

    /// What existed before is stored.
    pub(super) fn end_backfill(&mut self) {
        self.backfill = None;
        self.backfill_is_stored = false;
    }

    fn cursor(&self, stream: Stream) -> Option<&Cursor> {
        match stream {
            Stream::Followed => Some(&self.followed),
            Stream::Backfill => self.backfill.as_ref(),
        }
    }

    fn cursor_mut(&mut self, stream: Stream) -> Option<&mut Cursor> {
        match stream {
            Stream::Followed => Some(&mut self.followed),
            Stream::Backfill => self.backfill.as_mut(),
        }
    }
}
