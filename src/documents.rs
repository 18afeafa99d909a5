//! Reading and writing single documents of a Cosmos container: for restores, leases and comparisons.
//!
//! Bytes go and come as they are; nothing is parsed or re-serialised on the way. Conditional writes that fail answer
//! `Kind::Conflict`; a write that failed with `Kind::Transient` may have been done.

use async_trait::async_trait;
use bytes::Bytes;
use cosmirror_formats::PartitionKey;
use futures::TryStreamExt as _;
use futures::stream::BoxStream;

use crate::failure::Failure;

pub mod cosmos;

/// A document as the container holds it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Document {
    /// Its text, system properties included.
    pub bytes: Bytes,
    /// Its `_etag` with quotes.
    pub etag: String,
}

/// A container of documents.
#[async_trait]
pub trait Documents: Send + Sync + 'static {
    /// The document, or none.
    async fn read(&self, key: &PartitionKey, id: &str) -> Result<Option<Document>, Failure>;

    /// Creates a document; `Kind::Conflict` where one exists. Gives the new etag.
    async fn create(&self, key: &PartitionKey, id: &str, body: Bytes) -> Result<String, Failure>;

    /// Replaces the document that has this etag; `Kind::Conflict` where it has another, `Kind::NotFound` where it is gone.
    async fn replace(&self, key: &PartitionKey, id: &str, body: Bytes, etag: &str) -> Result<String, Failure>;

    /// Deletes the document that has this etag; errors as in `replace`.
    async fn delete(&self, key: &PartitionKey, id: &str, etag: &str) -> Result<(), Failure>;

    /// The results of a query over all partitions, page by page, with named string parameters.
    fn query<'a>(&'a self, sql: &str, parameters: &[(&str, &str)]) -> BoxStream<'a, Result<Vec<Bytes>, Failure>>;
}

/// Whether a container holds no document at all. One attempt.
pub async fn holds_nothing(documents: &dyn Documents) -> Result<bool, Failure> {
    let mut pages = documents.query("SELECT c.id FROM c", &[]);
    while let Some(page) = pages.try_next().await? {
        if !page.is_empty() {
            return Ok(false);
        }
    }
    Ok(true)
}
