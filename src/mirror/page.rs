//! Reading pages within the budgets of memory and request units.
//!
//! A read takes a share of the budget of bytes in flight and keeps it until the page is durable; see [`crate::pace::bytes`]. Transient
//! failures are tried again without limit, with pauses; everything else the failure table decides.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU32, Ordering};
use std::time::Duration;

use bytes::Bytes;
use cosmirror_formats::EpkRange;
use prometheus_client::metrics::counter::Counter;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tracing::Instrument as _;

use super::checkpoint::lsn_of;
use super::guard::Guard;
use super::write::Halt;
use crate::admin::ContainerMetrics;
use crate::config::FeedMode;
use crate::failure::{Action, Failure, Kind};
use crate::feed::{ChangeFeed, FeedPage, Position};
use crate::pace::RequestUnits;
use crate::pace::bytes::{Budget, Share};
use crate::retry::Backoff;
use crate::traces;

/// While waiting for a budget, a sign of life is given this often.
const WAITING_SIGN: Duration = Duration::from_secs(5);
/// Changes asked for in one page.
const PAGE_CHANGES_MAX: u32 = 1_000;
/// What a change keeps beside its bytes while it is planned and written.
pub(super) const CHANGE_BYTES: u64 = 1_024;

/// A page, the service's time before it was asked for, and its share of memory.
pub struct Read {
    /// The page.
    pub page: FeedPage,
    /// A lower bound of the service's time before the read, in seconds since 1970.
    pub asked_at: Option<i64>,
    /// What it takes of the budget of bytes.
    pub share: Share,
}

/// Reads the pages of one range.
pub struct Reader {
    /// The feed.
    pub feed: Arc<dyn ChangeFeed>,
    /// The budget of bytes in flight.
    pub bytes: Arc<Budget>,
    request_units: Arc<RequestUnits>,
    metrics: ContainerMetrics,
    throttles: Counter,
    count_max: AtomicU32,
    service_time: AtomicI64,
}

impl Reader {
    /// A reader.
    pub fn new(
        feed: Arc<dyn ChangeFeed>,
        bytes: Arc<Budget>,
        request_units: Arc<RequestUnits>,
        metrics: ContainerMetrics,
        throttles: Counter,
    ) -> Self {
        let count_max = AtomicU32::new(PAGE_CHANGES_MAX);
        Self { feed, bytes, request_units, metrics, throttles, count_max, service_time: AtomicI64::new(0) }
    }

    /// The service's time as last read.
    pub fn service_time(&self) -> Option<i64> {
        Some(self.service_time.load(Ordering::Relaxed)).filter(|seconds| *seconds != 0)
    }

    /// Counts a page's changes.
    pub fn count(&self, page: &FeedPage) {
        self.metrics.changes_read.inc_by(page.entries.len() as u64);
        self.metrics.stored.bytes_read.inc_by(page.entries.iter().map(|entry| entry.len() as u64).sum());
    }

    /// Reads the page behind `position`, however long that takes. Who holds pages already passes the share of this one; without, it
    /// waits in line for one.
    pub async fn read(
        &self,
        range: &EpkRange,
        mode: FeedMode,
        position: &Position,
        mut share: Option<Share>,
        guard: &Guard,
        drain: &CancellationToken,
    ) -> Result<Read, Halt> {
        let mut backoff = Backoff::default();
        loop {
            let attempt = async {
                let share = self.share(share.take(), guard).await;
                let span = traces::read();
                let read = self.read_once(range, mode, position, share).instrument(span.clone()).await;
                traces::failed(&span, read).inspect(|read| traces::holds(&span, &read.page))
            };
            let result = tokio::select! {
                biased;
                () = drain.cancelled() => return Err(Halt::Drained),
                () = guard.closed() => return Err(Halt::Fenced),
                result = attempt => result,
            };
            let failure = match result {
                Ok(read) => return Ok(read),
                Err(failure) => failure,
            };
            if failure.kind.action() != Action::Retry && !self.ask_for_less(&failure) {
                return Err(Halt::Failed(failure));
            }
            guard.failed();
            let pause = backoff.next(failure.retry_after);
            tracing::warn!(%range, error = %failure, pause_ms = pause.as_millis(), "the feed was not read; trying again");
            guard.rests(pause);
            tokio::select! {
                biased;
                () = drain.cancelled() => return Err(Halt::Drained),
                () = guard.closed() => return Err(Halt::Fenced),
                () = tokio::time::sleep(pause) => {}
            }
        }
    }

    /// Waits for a page's share of memory and for the request units to read it, which may take as long as others need them.
    async fn share(&self, taken: Option<Share>, guard: &Guard) -> Share {
        let waiting = async {
            let share = match taken {
                Some(share) => share,
                None => self.bytes.page().await,
            };
            self.request_units.wait().await;
            share
        };
        tokio::pin!(waiting);
        loop {
            guard.alive();
            if let Ok(share) = tokio::time::timeout(WAITING_SIGN, &mut waiting).await {
                return share;
            }
        }
    }

    async fn read_once(
        &self,
        range: &EpkRange,
        mode: FeedMode,
        position: &Position,
        mut share: Share,
    ) -> Result<Read, Failure> {
        let asked_at = self.feed.service_time().await.ok();
        if let Some(seconds) = asked_at {
            self.service_time.store(seconds, Ordering::Relaxed);
        }
        let begun = Instant::now();
        let page = self.feed.read(range, mode, position, self.count_max.load(Ordering::Relaxed)).await;
        if page.as_ref().is_err_and(|failure| failure.throttled) {
            self.throttles.inc();
        }
        let page = page?;
        self.request_units.spend(page.request_units);
        self.metrics.request_units.inc_by(page.request_units);
        share.becomes(bytes_of(&page));
        tracing::debug!(
            %range,
            feed = mode.as_str(),
            changes = page.entries.len(),
            bytes = page.entries.iter().map(Bytes::len).sum::<usize>(),
            lsn = lsn_of(&page.token),
            ms = begun.elapsed().as_millis(),
            request_units = page.request_units,
            "a page was read"
        );
        Ok(Read { page, asked_at, share })
    }

    /// A transaction that does not fit beside others asks for smaller pages; the service refuses the page until then.
    fn ask_for_less(&self, failure: &Failure) -> bool {
        let count = self.count_max.load(Ordering::Relaxed);
        let asks = failure.kind == Kind::Refused && failure.message.to_lowercase().contains("page size");
        if asks && count > 1 {
            self.count_max.store(count / 2, Ordering::Relaxed);
        }
        asks && count > 1
    }
}

/// What a page keeps until its last document is stored: versions are slices of what the service sent, so one of them keeps it whole.
/// Beside that, each change has its metadata, its blob's name and its place in the plan. With short ids and keys that is
/// about 700 bytes; ids and keys of 1 KiB would be four times as much, and are as rare as they are long.
fn bytes_of(page: &FeedPage) -> u64 {
    page.entries.iter().map(|entry| entry.len() as u64 + CHANGE_BYTES).sum()
}
