//! A budget of bytes in flight, shared by all ranges of all containers: what is read and not yet durably stored.
//!
//! A read reserves what it takes at most before it asks: twice a page of the service, because the client holds an answer in pieces and
//! whole. When the page has come, the reservation becomes what the page really keeps: a smaller one gives the rest back at once, a larger one (the service never divides a transaction) overdraws the
//! budget, and no further read begins until that is paid off. So the process holds at most the budget and the overdraft of the
//! reads that were under way.
//!
//! Who holds nothing waits in line, and nobody overtakes the line. Who holds a page already may take another only where nobody
//! waits and room is left for the page of one who holds none. Pages need nothing more of the budget to be stored, so waiting for it
//! never holds up what would free it, however many ranges there are.

use std::sync::{Arc, PoisonError};

use prometheus_client::metrics::gauge::Gauge;
use tokio::sync::Notify;
use tokio::sync::futures::Notified;

/// The service's limit for a page that is not one transaction.
pub const PAGE_BYTES: u64 = 4 * 1024 * 1024;

/// What a read reserves.
pub const READ_BYTES: u64 = 2 * PAGE_BYTES;

/// Least budget: a page that is being written, one that is being read, and room for another range's.
pub const BYTES_IN_FLIGHT_MIN: u64 = 2 * PAGE_BYTES + READ_BYTES;

/// The budget.
pub struct Budget {
    max: u64,
    used: std::sync::Mutex<u64>,
    /// Held by the first in line. A fair lock, so the line is served in order.
    turn: tokio::sync::Mutex<()>,
    released: Notify,
    gauge: Gauge,
}

/// A part of the budget; it is given back when this is dropped.
pub struct Share {
    budget: Arc<Budget>,
    bytes: u64,
}

impl Budget {
    /// A budget of `max` bytes; `gauge` shows how many are taken.
    pub fn new(max: u64, gauge: Gauge) -> Arc<Self> {
        let turn = tokio::sync::Mutex::new(());
        Arc::new(Self { max, used: std::sync::Mutex::new(0), turn, released: Notify::new(), gauge })
    }

    /// A page's share for one who holds none; waits in line.
    pub async fn page(self: &Arc<Self>) -> Share {
        let _turn = self.turn.lock().await;
        loop {
            // Made before the look, so that what is released in between is not missed.
            let released = self.released();
            if let Some(share) = self.take(READ_BYTES) {
                return share;
            }
            released.await;
        }
    }

    /// A page's share for one who holds a page already, where there is room for it and one more, and nobody waits.
    pub fn try_another_page(self: &Arc<Self>) -> Option<Share> {
        let _turn = self.turn.try_lock().ok()?;
        self.take(READ_BYTES + PAGE_BYTES).map(|mut share| {
            share.becomes(READ_BYTES);
            share
        })
    }

    /// Comes when something has been given back since this was called.
    pub fn released(&self) -> Notified<'_> {
        self.released.notified()
    }

    /// A share of this size, where it fits or nothing else is in flight.
    fn take(self: &Arc<Self>, bytes: u64) -> Option<Share> {
        let mut used = self.used.lock().unwrap_or_else(PoisonError::into_inner);
        if *used > 0 && used.saturating_add(bytes) > self.max {
            return None;
        }
        *used += bytes;
        self.show(*used);
        Some(Share { budget: Arc::clone(self), bytes })
    }

    fn change(&self, before: u64, after: u64) {
        let mut used = self.used.lock().unwrap_or_else(PoisonError::into_inner);
        *used = used.saturating_sub(before).saturating_add(after);
        self.show(*used);
        drop(used);
        if after < before {
            self.released.notify_waiters();
        }
    }

    fn show(&self, used: u64) {
        self.gauge.set(i64::try_from(used).unwrap_or(i64::MAX));
    }
}

impl Share {
    /// Makes it what is really kept, however much that is.
    pub fn becomes(&mut self, bytes: u64) {
        self.budget.change(self.bytes, bytes);
        self.bytes = bytes;
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        self.budget.change(self.bytes, 0);
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use futures::FutureExt as _;
    use futures::stream::{FuturesUnordered, StreamExt as _};
    use proptest::prelude::*;

    use super::*;

    fn budget(pages: u64) -> Arc<Budget> {
        Budget::new(pages * READ_BYTES, Gauge::default())
    }

    #[tokio::test(start_paused = true)]
    async fn a_small_page_gives_the_rest_back_and_a_large_one_is_paid_off_before_the_next_read() {
        let budget = budget(2);
        let mut first = budget.page().await;
        first.becomes(10);
        assert_eq!(budget.gauge.get(), 10);
        let mut second = budget.page().await;
        second.becomes(3 * READ_BYTES);
        assert!(budget.page().now_or_never().is_none());
        second.becomes(READ_BYTES);
        assert!(budget.page().now_or_never().is_none(), "ten bytes too many");
        drop(first);
        assert!(budget.page().now_or_never().is_some());
    }

    #[tokio::test(start_paused = true)]
    async fn reading_ahead_leaves_room_for_a_range_that_has_nothing_and_never_overtakes_one_that_waits() {
        let budget = budget(3);
        let first = budget.page().await;
        let ahead = budget.try_another_page().unwrap();
        assert!(budget.try_another_page().is_none(), "the last page is for another range");
        let other = budget.page().now_or_never().unwrap();
        let waiting = budget.page();
        tokio::pin!(waiting);
        assert!(waiting.as_mut().now_or_never().is_none());
        drop((first, ahead, other));
        assert!(budget.try_another_page().is_none(), "somebody waits");
        assert!(waiting.now_or_never().is_some());
    }

    #[tokio::test(start_paused = true)]
    async fn one_page_is_read_even_where_the_budget_is_less_than_that() {
        let budget = Budget::new(1, Gauge::default());
        let share = budget.page().await;
        assert!(budget.page().now_or_never().is_none());
        drop(share);
        assert!(budget.page().now_or_never().is_some());
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 32, ..ProptestConfig::default() })]

        /// More ranges than pages, pages of any size: every range gets all its turns, and only what was under way overdraws.
        #[test]
        fn every_range_gets_its_turns_and_nothing_is_lost(
            pages in 1u64..4,
            sizes in prop::collection::vec(prop::collection::vec(0..3 * READ_BYTES, 1..6), 1..12),
        ) {
            let budget = budget(pages);
            let ranges: FuturesUnordered<_> = sizes.into_iter().map(|sizes| {
                let budget = Arc::clone(&budget);
                async move {
                    for size in sizes {
                        let mut share = budget.page().await;
                        tokio::time::sleep(Duration::from_millis(size % 7)).await;
                        share.becomes(size);
                        tokio::time::sleep(Duration::from_millis(size % 11)).await;
                        let most = i64::try_from((pages + 2 * pages) * READ_BYTES).unwrap();
                        assert!(budget.gauge.get() <= most);
                    }
                }
            }).collect();
            let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
            runtime.block_on(ranges.collect::<Vec<()>>());
            prop_assert_eq!(budget.gauge.get(), 0);
        }
    }
}
