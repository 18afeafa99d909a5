//! Documents that the container holds and the mirror has not read yet.
//!
//! The mirror is complete up to the instant that is restored, so whatever it does not hold was created later: such a document
//! did not exist then. One query finds everything that was written since; what the mirror knows of is left to the catalog.

use bytes::Bytes;
use cosmirror_formats::feed_page::SystemProperties;
use cosmirror_formats::{KeyDefinition, PartitionKey};
use futures::stream::{self, BoxStream, StreamExt as _, TryStreamExt as _};

use super::catalog::Candidate;
use super::{DOCUMENTS_AT_ONCE, Point, Restore, Selection};
use crate::failure::{Failure, Kind};
use crate::history::{DocumentHistory, MirrorReader};
use crate::retry::persist;

/// The selected ones, with empty histories.
pub(super) fn candidates<'a>(restore: &'a Restore<'_>) -> BoxStream<'a, Result<Candidate, Failure>> {
    let (Point::At(at), Selection::Key(_) | Selection::All) = (&restore.request.point, &restore.request.selection)
    else {
        return stream::empty().boxed();
    };
    let sql = format!("SELECT * FROM c WHERE c._ts > {at}");
    restore
        .documents
        .query(&sql, &[])
        .map_ok(|page| stream::iter(page.into_iter().map(Ok)))
        .try_flatten()
        .map_ok(|document| candidate(restore, document))
        .try_buffer_unordered(DOCUMENTS_AT_ONCE)
        .try_filter_map(|candidate| async move { Ok(candidate) })
        .boxed()
}

async fn candidate(restore: &Restore<'_>, document: Bytes) -> Result<Option<Candidate>, Failure> {
    let (key, id) = place(restore.mirror, &document)?;
    let history = DocumentHistory { key, id, entries: Vec::new(), unreadable: Vec::new() };
    if !restore.request.selection.contains(&history) {
        return Ok(None);
    }
    let name = restore.mirror.paths.document(&history.key, &history.id);
    let known =
        restore.mirror.letters.contains_key(&name) || persist(|| restore.mirror.store.head(&name)).await?.is_some();
    Ok((!known).then_some(Candidate::Document(history)))
}

fn place(mirror: &MirrorReader, document: &[u8]) -> Result<(PartitionKey, String), Failure> {
    let broken = |what: String| Failure::new(Kind::Internal, format!("a query's result cannot be read: {what}"));
    let text = std::str::from_utf8(document).map_err(|error| broken(error.to_string()))?;
    let life = mirror.record.generations.last().ok_or_else(|| broken("the partition key is not known".to_owned()))?;
    let key = KeyDefinition::new(&life.partition_key_paths).of_document(text);
    let key = key.map_err(|error| broken(error.to_string()))?;
    let properties = SystemProperties::of(text).map_err(|error| broken(error.to_string()))?;
    let id = properties.id.ok_or_else(|| broken("it has no id".to_owned()))?;
    Ok((key, id))
}
