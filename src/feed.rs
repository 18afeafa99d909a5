//! The contract of a change feed: what the mirror may rely on, whoever serves it.
//!
//! - **Order**: per partition key value, changes come in commit order. Changes of one transaction share an LSN, and may come
//!   in any order; they are never split over pages.
//! - **Duplicates**: reading again from a position gives the same changes again, later ones included.
//! - **Position**: a page's `token` lies behind its last change. It belongs to that page only and may be saved when the page is
//!   durable.
//! - **Caught up**: only `NotModified` says that nothing more is there now; an empty page does not.
//! - **Expiry**: a token outside the retention window is `Kind::TokenExpired` (all versions only).
//! - **Splits and merges**: `Kind::RangeGone`, before any change of the successor is given out.
//! - **Cancellation**: dropping a read loses nothing; the position is the caller's.

use async_trait::async_trait;
use bytes::Bytes;
use cosmirror_formats::{EpkRange, KeyDefinition};

use crate::config::FeedMode;
use crate::failure::Failure;

pub mod cosmos;

/// Where to read on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Position {
    /// Before the first change; latest version only.
    Beginning,
    /// Behind the last change.
    Now,
    /// At an instant, in seconds since 1970; latest version only.
    Instant(i64),
    /// Behind the page that gave this token.
    Token(String),
}

/// One page of changes.
#[derive(Debug, Clone)]
pub struct FeedPage {
    /// The entries, each as delivered.
    pub entries: Vec<Bytes>,
    /// The position behind the page.
    pub token: String,
    /// Nothing was there to read.
    pub not_modified: bool,
    /// Request units the read took.
    pub request_units: f64,
    /// The range's newest LSN when the page was read, where the service told it.
    pub session_lsn: Option<u64>,
}

/// What is known of the container behind the feed.
#[derive(Debug, Clone)]
pub struct SourceContainer {
    /// Its resource id: its generation.
    pub rid: String,
    /// Where documents hold their partition key.
    pub key: KeyDefinition,
    /// The paths behind `key`, as the service gave them.
    pub key_paths: Vec<String>,
    /// The container's properties as the service gave them.
    pub settings: serde_json::Value,
}

/// One physical partition of the container.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PhysicalRange {
    /// The partition key range id, for leases of version 0.
    pub id: String,
    /// The interval of effective partition keys.
    pub range: EpkRange,
    /// The ids of all ranges that this one came from by splits and merges.
    pub parents: Vec<String>,
}

/// The change feed of one container.
#[async_trait]
pub trait ChangeFeed: Send + Sync + 'static {
    /// The container's identity and key.
    fn container(&self) -> &SourceContainer;

    /// The container as it is at present, freshly read. With another `rid` it was removed and created again, and this feed is at its end.
    async fn describe(&self) -> Result<SourceContainer, Failure>;

    /// The physical partitions at present, freshly read.
    async fn ranges(&self) -> Result<Vec<PhysicalRange>, Failure>;

    /// One page of at most `count_max` changes (more where a transaction asks for it).
    async fn read(
        &self,
        range: &EpkRange,
        mode: FeedMode,
        position: &Position,
        count_max: u32,
    ) -> Result<FeedPage, Failure>;

    /// Proves that positions are of the form this program knows, before anything depends on one; `Kind::Internal` where they
    /// are not, `Kind::Misconfigured` where the account cannot give the mode.
    async fn self_test(&self, range: &EpkRange, mode: FeedMode) -> Result<(), Failure>;

    /// A lower bound of the service's present time, in seconds since 1970.
    async fn service_time(&self) -> Result<i64, Failure>;
}
