//! Removing versions and snapshots of a blob, and seeing what the service keeps of what was removed.
//!
//! <https://learn.microsoft.com/rest/api/storageservices/delete-blob>: a version or a snapshot is deleted by its name, where soft delete is on it
//! can be brought back until the days of its retention are over, and what a policy or a legal hold protects is answered with 409. What is
//! current is deleted without a name, and becomes one of the versions where the account keeps them. A blob with snapshots is only deleted
//! without them, so they go first.

use async_trait::async_trait;
use azure_core::time::OffsetDateTime;
use azure_storage_blob::models::{
    BlobClientDeleteOptions, BlobContainerClientListBlobsOptions, BlobItem, ListBlobsIncludeItem,
};
use futures::TryStreamExt as _;

use super::errors::{self, Operation};
use super::{AzureStore, REQUEST_TIMEOUT, SoftDelete, heads};
use crate::failure::Failure;
use crate::store::{Erased, Eraser, Hold, Left, Shape};

/// What the codes of a protected blob begin with: `BlobImmutableDueToPolicy`, and that of a legal hold.
const IMMUTABLE: &str = "BlobImmutableDueTo";
const DAY: i64 = 24 * 60 * 60;

impl AzureStore {
    async fn delete(&self, left: &Left) -> azure_core::Result<()> {
        let (client, version_id) = match &left.shape {
            Shape::Current => (self.blob(&left.name), None),
            Shape::Version(version) => (self.blob(&left.name), Some(version.clone())),
            Shape::Snapshot(snapshot) => (self.blob(&left.name).with_snapshot(snapshot)?, None),
        };
        let options = BlobClientDeleteOptions { version_id, ..BlobClientDeleteOptions::default() };
        client.delete(Some(options)).await.map(drop)
    }
}

#[async_trait]
impl Eraser for AzureStore {
    async fn left(&self, name: &str) -> Result<Vec<Left>, Failure> {
        let attempt = self.attempt(Operation::List, name);
        heads::check_name(&attempt)?;
        let failed = |error: azure_core::Error| attempt.failure(&error);
        let include = vec![
            ListBlobsIncludeItem::Metadata,
            ListBlobsIncludeItem::Versions,
            ListBlobsIncludeItem::Snapshots,
            ListBlobsIncludeItem::Deleted,
            ListBlobsIncludeItem::ImmutabilityPolicy,
            ListBlobsIncludeItem::LegalHold,
        ];
        let options = BlobContainerClientListBlobsOptions {
            include: Some(include),
            maxresults: Some(self.page_items_max.into()),
            prefix: Some(name.to_owned()),
            ..BlobContainerClientListBlobsOptions::default()
        };
        let mut pages = self.container.list_blobs(Some(options)).map_err(failed)?.into_pages();
        let mut found = Vec::new();
        while let Some(page) = pages.try_next().await.map_err(failed)? {
            let items = page.into_model().map_err(failed)?.blob_items;
            // The name is the least of those that begin with it.
            let through = items.last().is_some_and(|last| last.name.as_deref() != Some(name));
            found.extend(items.into_iter().filter(|item| item.name.as_deref() == Some(name)));
            if through {
                break;
            }
        }
        // Only what was deleted has days left.
        let days = match found.iter().any(|item| item.deleted == Some(true)) {
            true => self.recoverable_days().await,
            false => None,
        };
        Ok(found.into_iter().map(|item| left_of(name, item, days)).collect())
    }

    async fn recoverable_days(&self) -> Option<u32> {
        match self.soft_delete().await {
            Ok(SoftDelete::Days(days)) => Some(days),
            // Who may not read the service's settings is told by the listing how long each deleted version stays.
            Ok(SoftDelete::Off) | Err(_) => None,
        }
    }

    async fn erase(&self, left: &Left) -> Result<Erased, Failure> {
        let attempt = self.attempt(Operation::Erase, &left.name);
        let answer = tokio::time::timeout(REQUEST_TIMEOUT, self.delete(left)).await;
        match answer.map_err(|_| attempt.timed_out(REQUEST_TIMEOUT))? {
            Ok(()) => Ok(Erased::Deleted),
            Err(error) if errors::is_missing_blob(&error) => Ok(Erased::Deleted),
            Err(error) if errors::code(&error).is_some_and(|code| code.starts_with(IMMUTABLE)) => Ok(Erased::Held),
            Err(error) => Err(attempt.failure(&error)),
        }
    }
}

fn left_of(name: &str, item: BlobItem, days: Option<u32>) -> Left {
    let properties = item.properties.unwrap_or_default();
    let metadata = item.metadata.and_then(|metadata| metadata.values).unwrap_or_default();
    let shape = match (item.snapshot, item.version_id.filter(|id| !id.is_empty())) {
        (Some(snapshot), _) => Shape::Snapshot(snapshot),
        (None, Some(version)) if item.is_current_version != Some(true) => Shape::Version(version),
        (None, _) => Shape::Current,
    };
    let until = properties.immutability_policy_expires_on.map(OffsetDateTime::unix_timestamp);
    let hold = Hold { until, legal: properties.legal_hold == Some(true) };
    let deleted_at = properties.deleted_time.map(OffsetDateTime::unix_timestamp);
    let remaining = properties.remaining_retention_days.map(i64::from);
    let gone_by = match (deleted_at, days, remaining) {
        (Some(at), Some(days), _) => Some(at + i64::from(days) * DAY),
        // Whole days are told; the one that has begun counts too.
        (Some(_), None, Some(remaining)) => Some(crate::time::now().as_second() + (remaining + 1) * DAY),
        _ => None,
    };
    Left {
        name: name.to_owned(),
        shape,
        length: properties.content_length.unwrap_or_default(),
        metadata: metadata.into_iter().map(|(name, value)| (name.to_ascii_lowercase(), value)).collect(),
        hold: Some(hold).filter(|hold| *hold != Hold::default()),
        deleted: item.deleted == Some(true),
        gone_by,
    }
}
