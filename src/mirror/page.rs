//! Reading pages within the budgets of memory and request units.
//!
//! A read takes one page's share of the memory budget and keeps it until the page is durable. Reading ahead takes a share only
//! if one is free, so ranges never wait for each other while holding pages. Transient failures are tried again without
//! limit, with pauses; everything else the failure table decides.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU32, Ordering};
use std::time::Duration;

use cosmirror_formats::EpkRange;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio_util::sync::CancellationToken;

use super::guard::Guard;
use super::write::Halt;
use crate::admin::ContainerMetrics;
use crate::config::FeedMode;
use crate::failure::{Action, Failure, Kind};
use crate::feed::{ChangeFeed, FeedPage, Position};
use crate::pace::RequestUnits;
use crate::retry::Backoff;

/// While waiting for a budget, a sign of life is given this often.
const WAITING_SIGN: Duration = Duration::from_secs(5);
/// Changes asked for in one page.
const PAGE_CHANGES_MAX: u32 = 1_000;

/// A page, the service's time before it was asked for, and its share of memory.
pub struct Read {
    /// The page.
    pub page: FeedPage,
    /// A lower bound of the service's time before the read, in seconds since 1970.
    pub asked_at: Option<i64>,
    _share: OwnedSemaphorePermit,
}

/// Reads the pages of one range.
pub struct Reader {
    /// The feed.
    pub feed: Arc<dyn ChangeFeed>,
    shares: Arc<Semaphore>,
    request_units: Arc<RequestUnits>,
    metrics: ContainerMetrics,
    count_max: AtomicU32,
    service_time: AtomicI64,
}

impl Reader {
    /// A reader; `shares` holds as many permits as pages fit into the memory budget.
    pub fn new(
        feed: Arc<dyn ChangeFeed>,
        shares: Arc<Semaphore>,
        request_units: Arc<RequestUnits>,
        metrics: ContainerMetrics,
    ) -> Self {
        let count_max = AtomicU32::new(PAGE_CHANGES_MAX);
        Self { feed, shares, request_units, metrics, count_max, service_time: AtomicI64::new(0) }
    }

    /// The service's time as last read.
    pub fn service_time(&self) -> Option<i64> {
        Some(self.service_time.load(Ordering::Relaxed)).filter(|seconds| *seconds != 0)
    }

    /// Counts a page's changes.
    pub fn count(&self, page: &FeedPage) {
        self.metrics.changes_read.inc_by(page.entries.len() as u64);
    }

    /// Reads the page behind `position`, however long that takes.
    pub async fn read(
        &self,
        range: &EpkRange,
        mode: FeedMode,
        position: &Position,
        guard: &Guard,
        drain: &CancellationToken,
    ) -> Result<Read, Halt> {
        let mut backoff = Backoff::default();
        loop {
            let attempt = async {
                let share = self.share(guard).await?;
                self.read_once(range, mode, position, share).await
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
    async fn share(&self, guard: &Guard) -> Result<OwnedSemaphorePermit, Failure> {
        let waiting = async {
            let share = Arc::clone(&self.shares).acquire_owned().await;
            let share = share.map_err(|e| Failure::new(Kind::Internal, format!("the memory budget is closed: {e}")))?;
            self.request_units.wait().await;
            Ok(share)
        };
        tokio::pin!(waiting);
        loop {
            guard.alive();
            if let Ok(share) = tokio::time::timeout(WAITING_SIGN, &mut waiting).await {
                return share;
            }
        }
    }

    /// Reads the page behind `position` if memory is free; a failure is left to the next `read`.
    pub async fn read_ahead(&self, range: &EpkRange, mode: FeedMode, position: &Position) -> Option<Read> {
        let share = Arc::clone(&self.shares).try_acquire_owned().ok()?;
        self.request_units.wait().await;
        self.read_once(range, mode, position, share).await.ok()
    }

    async fn read_once(
        &self,
        range: &EpkRange,
        mode: FeedMode,
        position: &Position,
        share: OwnedSemaphorePermit,
    ) -> Result<Read, Failure> {
        let asked_at = self.feed.service_time().await.ok();
        if let Some(seconds) = asked_at {
            self.service_time.store(seconds, Ordering::Relaxed);
        }
        let page = self.feed.read(range, mode, position, self.count_max.load(Ordering::Relaxed)).await?;
        self.request_units.spend(page.request_units);
        self.metrics.request_units.inc_by(page.request_units);
        Ok(Read { page, asked_at, _share: share })
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
