//! One observation of one container.
//!
//! The leases, the physical ranges and the service's time are read; then one entry behind each lease's position, many ranges at once.
//! Each range's reads have a bound in time, so that one that hangs is unknown and does not hold up the others. A pass that is
//! dropped leaves nothing behind.

use std::time::Duration;

use cosmirror_formats::EpkRange;
use cosmirror_formats::lease::uncovered;
use futures::stream::{self, StreamExt as _};

use super::{Observation, RangeObservation, estimate};
use crate::config::{FeedMode, Start};
use crate::failure::{Failure, Kind};
use crate::feed::{ChangeFeed, FeedPage, Position};
use crate::leases::{LeaseStore, Standing, mint_lineage, range_of};
use crate::mirror::checkpoint::{Backfill, RangeProgress, pulse_of_lease};

/// Ranges read at the same time.
const READS_AT_ONCE: usize = 64;
/// How long the reads of one range may take.
const RANGE_TIMEOUT_MAX: Duration = Duration::from_secs(10);
/// Pages without entries that are read over before the range counts as unknown: such a page is not the end.
const EMPTY_PAGES_MAX: usize = 16;

/// A container to observe.
#[derive(Clone, Copy)]
pub struct Subject<'a> {
    /// Its leases.
    pub leases: &'a LeaseStore,
    /// Its feed.
    pub feed: &'a dyn ChangeFeed,
    /// Which feed is followed.
    pub mode: FeedMode,
    /// Age at which a lease that was not renewed has expired.
    pub expiration: Duration,
}

/// What the reads of one range gave.
#[derive(Default)]
struct Reading {
    pending: Option<u64>,
    request_units: f64,
}

impl Subject<'_> {
    /// Observes the container once. An error is one of the whole pass; what goes wrong with one range is part of the observation.
    pub async fn observe(&self) -> Result<Observation, Failure> {
        let service_time = self.feed.service_time().await?;
        let (leases, physical) = tokio::try_join!(self.leases.list(), self.feed.ranges())?;
        let ranged = leases.into_iter().filter_map(|standing| Some((range_of(&standing.lease, &physical)?, standing)));
        let mut ranged: Vec<(EpkRange, Standing)> = ranged.collect();
        ranged.sort_by(|a, b| (&a.0, &a.1.lease.id).cmp(&(&b.0, &b.1.lease.id)));
        let all: Vec<EpkRange> = ranged.iter().map(|(range, _)| range.clone()).collect();
        let gives_way = |range: &EpkRange| all.iter().any(|other| is_part(other, range));
        let counting: Vec<EpkRange> = all.iter().filter(|range| !gives_way(range)).cloned().collect();
        let reads = ranged.into_iter().map(|(range, standing)| {
            let giving_way = gives_way(&range);
            self.range(range, standing, service_time, giving_way)
        });
        let (mut ranges, mut request_units) = (Vec::new(), 0.0);
        let mut reads = stream::iter(reads).buffered(READS_AT_ONCE);
        while let Some((range, spent)) = reads.next().await {
            ranges.push(range);
            request_units += spent;
        }
        Ok(Observation { service_time, ranges, holes: uncovered(&counting), request_units })
    }

    /// One range, and the request units that its reads took.
    async fn range(
        &self,
        range: EpkRange,
        standing: Standing,
        service_time: i64,
        giving_way: bool,
    ) -> (RangeObservation, f64) {
        let lineage = mint_lineage(&self.feed.container().rid, &range);
        let progress = RangeProgress::from_lease(&standing.lease, &lineage, standing.written);
        let ours = RangeProgress::is_in(&standing.lease);
        // Well within the time in which the observer's own document expires.
        let timeout = RANGE_TIMEOUT_MAX.min(self.expiration / 4);
        let read = tokio::time::timeout(timeout, self.read(&range, &progress)).await;
        let read = read.unwrap_or_else(|_| {
            let message = format!("the range {range} was not read within {} s", timeout.as_secs_f32());
            Err(Failure::new(Kind::Transient, message))
        });
        let (reading, feed_failure) = match read {
            Ok(reading) => (reading, None),
            Err(failure) => {
                tracing::debug!(%range, error = %failure, "the range's pending changes are not known");
                (Reading::default(), Some(failure.kind))
            }
        };
        let (failures, progressed) = pulse_of_lease(&standing.lease);
        let observed = RangeObservation {
            expired: standing.lease.owner.is_some() && standing.is_free(service_time, self.expiration),
            lag_seconds: service_time.saturating_sub(progress.watermark.unwrap_or(progress.since)).max(0),
            failures,
            progressed,
            range,
            lease: standing.lease.id,
            owner: standing.lease.owner,
            giving_way,
            progress,
            // What another processor had handled was never mirrored, and how much that is nobody has counted.
            pending: reading.pending.filter(|_| ours),
            feed_failure,
        };
        (observed, reading.request_units)
    }

    async fn read(&self, range: &EpkRange, progress: &RangeProgress) -> Result<Reading, Failure> {
        let key = &self.feed.container().key;
        let followed = self.first_page(range, self.mode, start_of(progress));
        let Some(Backfill { token, now_lsn }) = &progress.backfill else {
            let (page, request_units) = followed.await?;
            return Ok(Reading { pending: page.and_then(|page| estimate::of_page(&page, key)), request_units });
        };
        let from = token.clone().map_or(Position::Beginning, Position::Token);
        let backfilled = self.first_page(range, FeedMode::LatestVersion, from);
        let ((page, followed_units), (backfill, backfill_units)) = tokio::try_join!(followed, backfilled)?;
        let followed = page.and_then(|page| estimate::of_page(&page, key));
        let rest = backfill.and_then(|page| estimate::of_backfill(&page, key, *now_lsn));
        Ok(Reading {
            pending: followed.zip(rest).map(|(followed, rest)| followed.saturating_add(rest)),
            request_units: followed_units + backfill_units,
        })
    }

    /// The first page from a position on that has an entry or says that there is none, and the request units spent on it.
    async fn first_page(
        &self,
        range: &EpkRange,
        mode: FeedMode,
        mut position: Position,
    ) -> Result<(Option<FeedPage>, f64), Failure> {
        let mut spent = 0.0;
        for _ in 0..EMPTY_PAGES_MAX {
            let page = self.feed.read(range, mode, &position, 1).await?;
            spent += page.request_units;
            if page.not_modified || !page.entries.is_empty() {
                return Ok((Some(page), spent));
            }
            position = Position::Token(page.token);
        }
        Ok((None, spent))
    }
}

/// Where the range would be read on.
fn start_of(progress: &RangeProgress) -> Position {
    match (&progress.position, &progress.start) {
        (Some(token), _) => Position::Token(token.clone()),
        (None, Start::Beginning) => Position::Beginning,
        (None, Start::Now) => Position::Now,
        (None, Start::Instant(at)) => Position::Instant(at.as_second()),
    }
}

/// Whether a range lies within another and is less than it.
fn is_part(part: &EpkRange, whole: &EpkRange) -> bool {
    part != whole && whole.min <= part.min && part.max <= whole.max
}

#[cfg(test)]
pub(in crate::observer) mod tests;
