//! How much changes: each range's newest sequence number, read twice some seconds apart.
//!
//! A sequence number is one transaction's, so a batch counts once, and a latest-version feed will show fewer versions than there were
//! changes. It is a sample of seconds and says so.

use cosmirror_formats::EpkRange;
use futures::{StreamExt as _, TryStreamExt as _, stream};
use tokio::time::Instant;

use super::bounds::Bounds;
use super::cost::about;
use crate::config::FeedMode;
use crate::failure::{Failure, Kind};
use crate::feed::cosmos::CosmosFeed;
use crate::feed::{ChangeFeed as _, Position};
use crate::mirror::checkpoint::lsn_of;

/// Ranges that are read; the others are taken to be like them.
const RANGES_MAX: usize = 64;
const READS_AT_ONCE: usize = 16;
/// Documents whose mean size stands for all.
const SIZED_MAX: u32 = 20;

/// What was measured.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Sample {
    /// Transactions a second, of all ranges.
    pub(super) per_second: f64,
    seconds: f64,
    counted: u64,
    sampled: usize,
    /// How many ranges there are.
    pub(super) ranges: usize,
    /// What a poll that finds nothing costs.
    pub(super) poll_units: f64,
    /// Mean size of documents; none where there are none.
    pub(super) document_bytes: Option<f64>,
}

/// Measures.
pub(super) async fn sample(
    feed: &CosmosFeed,
    ranges: &[EpkRange],
    mode: FeedMode,
    bounds: &Bounds,
) -> Result<Sample, Failure> {
    let read: Vec<&EpkRange> = ranges.iter().take(RANGES_MAX).collect();
    let what = "measure how much changes";
    let first = bounds.look(what, newest(feed, &read, mode)).await?;
    let begun = Instant::now();
    let (sizes, ()) = tokio::join!(bounds.look(what, document_bytes(feed, ranges)), tokio::time::sleep(bounds.sample));
    let last = bounds.look(what, newest(feed, &read, mode)).await?;
    let seconds = begun.elapsed().as_secs_f64();
    // A replica that lags behind the one that answered first has seen less; that is no change.
    let counted: u64 = first.iter().zip(&last).map(|(before, after)| after.0.saturating_sub(before.0)).sum();
    let share = ranges.len() as f64 / read.len().max(1) as f64;
    Ok(Sample {
        per_second: counted as f64 / seconds * share,
        seconds,
        counted,
        sampled: read.len(),
        ranges: ranges.len(),
        poll_units: last.iter().map(|(_, units)| units).sum::<f64>() / last.len().max(1) as f64,
        document_bytes: sizes?,
    })
}

/// Each range's newest sequence number, and what it cost to ask.
async fn newest(feed: &CosmosFeed, ranges: &[&EpkRange], mode: FeedMode) -> Result<Vec<(u64, f64)>, Failure> {
    let reads = ranges.iter().map(|range| async {
        let page = feed.read(range, mode, &Position::Now, 1).await?;
        let lsn = page.session_lsn.or_else(|| lsn_of(&page.token));
        let lsn = lsn.ok_or_else(|| Failure::new(Kind::Internal, "the feed tells no sequence number"))?;
        Ok((lsn, page.request_units))
    });
    stream::iter(reads).buffered(READS_AT_ONCE).try_collect().await
}

/// The mean size of the documents that were changed longest ago, of the first range that has any.
async fn document_bytes(feed: &CosmosFeed, ranges: &[EpkRange]) -> Result<Option<f64>, Failure> {
    for range in ranges.iter().take(RANGES_MAX) {
        let page = feed.read(range, FeedMode::LatestVersion, &Position::Beginning, SIZED_MAX).await?;
        if !page.entries.is_empty() {
            let bytes: usize = page.entries.iter().map(bytes::Bytes::len).sum();
            return Ok(Some(bytes as f64 / page.entries.len() as f64));
        }
    }
    Ok(None)
}

impl Sample {
    /// What a measurement of all ranges gave.
    #[cfg(test)]
    pub(super) fn new(per_second: f64, ranges: usize, poll_units: f64, document_bytes: Option<f64>) -> Self {
        let counted = per_second as u64 * 5;
        Self { per_second, seconds: 5.0, counted, sampled: ranges, ranges, poll_units, document_bytes }
    }

    /// As a sentence.
    pub(super) fn told(&self) -> String {
        let of = if self.sampled < self.ranges {
            format!("in {} of {} ranges", self.sampled, self.ranges)
        } else {
            "in all ranges".to_owned()
        };
        let found = format!("{} transactions {of} in {:.0} s", self.counted, self.seconds);
        if self.counted == 0 {
            return format!("nothing changed ({found})");
        }
        format!("about {} changes a second ({found}; a batch counts once)", about(self.per_second))
    }
}
