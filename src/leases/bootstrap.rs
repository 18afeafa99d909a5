//! Creating the leases of a container, once, by one replica.
//!
//! The lock is a document that only one can create; a lock whose owner died is taken over by its age, because the service
//! removes it only where the lease container has a time to live. The marker says that all leases are there. Leases
//! that are missing although the marker exists (deleted by hand) are created again. A crash in the middle leaves a lock
//! and some leases; the next replica creates the rest.

use std::time::Duration;

use bytes::Bytes;
use cosmirror_formats::lease::{EpkRange, uncovered};
use serde_json::json;

use super::{LeaseStore, mint_lineage, mode_field, new_lease, range_of};
use crate::config::{FeedMode, Start};
use crate::failure::{Failure, Kind};
use crate::feed::{ChangeFeed, PhysicalRange, Position};
use crate::mirror::checkpoint::{Backfill, RangeProgress, lsn_of};

/// Age at which a lock's owner is taken for dead.
const LOCK_AGE_MAX: i64 = 30;
const LOCK_POLL: Duration = Duration::from_secs(1);

/// What a container's leases are made for.
pub struct Bootstrap<'a> {
    /// The leases.
    pub leases: &'a LeaseStore,
    /// The container's feed.
    pub feed: &'a dyn ChangeFeed,
    /// Which feed.
    pub mode: FeedMode,
    /// Where following begins.
    pub start: &'a Start,
}

impl Bootstrap<'_> {
    /// Makes sure that there are leases for the whole key space, all of the configured mode.
    pub async fn run(&self) -> Result<(), Failure> {
        let marker = format!("{}.info", self.leases.prefix());
        if self.leases.documents.read(&super::key(&marker), &marker).await?.is_none() {
            self.lock().await?;
            let created = self.create_missing().await;
            if created.is_ok() {
                self.create(&marker, json!({ "id": marker })).await?;
            }
            self.unlock().await?;
            created?;
        } else if !self.holes().await?.is_empty() {
            tracing::error!(
                container = self.leases.prefix(),
                "leases are missing and are created again: history has a hole since they were deleted"
            );
            self.create_missing().await?;
        }
        self.require_mode().await
    }

    async fn lock(&self) -> Result<(), Failure> {
        let id = format!("{}.lock", self.leases.prefix());
        loop {
            match self.create(&id, json!({ "id": id, "ttl": LOCK_AGE_MAX })).await {
                Ok(true) => return Ok(()),
                Ok(false) => {}
                Err(failure) => return Err(failure),
            }
            let document = self.leases.documents.read(&super::key(&id), &id).await?;
            if let Some(document) = document {
                let text = std::str::from_utf8(&document.bytes).unwrap_or_default();
                let written = cosmirror_formats::feed_page::SystemProperties::of(text).ok().and_then(|p| p.ts);
                let age = self.feed.service_time().await? - written.unwrap_or_default();
                if age > LOCK_AGE_MAX {
                    let body = Bytes::from(self.with_key(json!({ "id": id, "ttl": LOCK_AGE_MAX }), &id).to_string());
                    match self.leases.documents.replace(&super::key(&id), &id, body, &document.etag).await {
                        Ok(_) => return Ok(()),
                        Err(failure) if matches!(failure.kind, Kind::Conflict | Kind::NotFound) => {}
                        Err(failure) => return Err(failure),
                    }
                }
            }
            tokio::time::sleep(LOCK_POLL).await;
        }
    }

    async fn unlock(&self) -> Result<(), Failure> {
        let id = format!("{}.lock", self.leases.prefix());
        let Some(document) = self.leases.documents.read(&super::key(&id), &id).await? else { return Ok(()) };
        match self.leases.documents.delete(&super::key(&id), &id, &document.etag).await {
            Err(failure) if !matches!(failure.kind, Kind::Conflict | Kind::NotFound) => Err(failure),
            _ => Ok(()),
        }
    }

    /// Creates a document; false if it was there.
    async fn create(&self, id: &str, body: serde_json::Value) -> Result<bool, Failure> {
        let body = Bytes::from(self.with_key(body, id).to_string());
        match self.leases.documents.create(&super::key(id), id, body).await {
            Ok(_) => Ok(true),
            Err(failure) if failure.kind == Kind::Conflict => Ok(false),
            Err(failure) => Err(failure),
        }
    }

    fn with_key(&self, mut body: serde_json::Value, id: &str) -> serde_json::Value {
        if !self.leases.partition_key_is_id {
            body["partitionKey"] = id.into();
        }
        body
    }

    async fn holes(&self) -> Result<Vec<EpkRange>, Failure> {
        let physical = self.feed.ranges().await?;
        let leases = self.leases.list().await?;
        let ranges: Vec<EpkRange> = leases.iter().filter_map(|s| range_of(&s.lease, &physical)).collect();
        Ok(uncovered(&ranges))
    }

    async fn create_missing(&self) -> Result<(), Failure> {
        let holes = self.holes().await?;
        for physical in self.feed.ranges().await? {
            if !holes.iter().any(|hole| hole.overlaps(&physical.range)) {
                continue;
            }
            let progress = self.first_progress(&physical).await?;
            let lease = new_lease(self.leases.prefix(), &physical, mode_field(self.mode), &progress);
            match self.leases.create(&lease).await {
                Err(failure) if failure.kind != Kind::Conflict => return Err(failure),
                _ => {}
            }
        }
        Ok(())
    }

    /// Where a new lease begins. In all-versions mode it holds its token from its first day, because the service keeps
    /// no beginning to go back to; what existed before is read by a backfill up to that point.
    async fn first_progress(&self, physical: &PhysicalRange) -> Result<RangeProgress, Failure> {
        let mut progress = RangeProgress {
            lineage: mint_lineage(&self.feed.container().rid, &physical.range),
            since: self.feed.service_time().await?,
            start: self.start.clone(),
            position: None,
            backfill: None,
            backfilled: None,
            watermark: None,
        };
        if self.mode == FeedMode::AllVersionsAndDeletes {
            let now = self.feed.read(&physical.range, self.mode, &Position::Now, 1).await?;
            if *self.start == Start::Beginning {
                let now_lsn = lsn_of(&now.token).ok_or_else(|| {
                    Failure::new(Kind::Internal, format!("the position {} of the feed holds no LSN", now.token))
                })?;
                progress.backfill = Some(Backfill { token: None, now_lsn });
            }
            progress.position = Some(now.token);
        }
        Ok(progress)
    }

    async fn require_mode(&self) -> Result<(), Failure> {
        let all_versions = self.mode == FeedMode::AllVersionsAndDeletes;
        let leases = self.leases.list().await?;
        match leases.iter().find(|s| s.lease.is_all_versions() != all_versions) {
            None => Ok(()),
            Some(other) => Err(Failure::new(
                Kind::Misconfigured,
                format!("the lease {:?} follows another feed mode than {:?}", other.lease.id, self.mode.as_str()),
            )
            .remedy("a lease's position belongs to its mode: set the container's feed back, or give leases.processor a new name")),
        }
    }
}
