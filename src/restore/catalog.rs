//! Which versions the selected documents have, from listings with metadata: nothing is downloaded.
//!
//! Documents stream by in the order of their names, one document's versions at a time. A document that is known from a dead
//! letter alone has no blob and comes where its name would be.

use cosmirror_formats::PartitionKey;
use futures::stream::{self, BoxStream, StreamExt as _, TryStreamExt as _};

use super::Selection;
use crate::failure::{Failure, Kind};
use crate::history::{DocumentHistory, Letter, MirrorReader, groups};
use crate::store::{Head, Listing};

/// One name of the listing.
#[derive(Debug)]
pub(crate) struct Candidate {
    /// The name of its blob.
    pub(crate) name: String,
    /// The document and its versions, or why the blob's metadata cannot be trusted.
    pub(crate) history: Result<DocumentHistory, Failure>,
}

impl Candidate {
    /// A document that the mirror holds nothing of.
    pub(super) fn unheard(name: String, key: PartitionKey, id: String) -> Self {
        let history = DocumentHistory { key, id, entries: Vec::new(), unreadable: Vec::new() };
        Self { name, history: Ok(history) }
    }
}

/// One document; empty where the mirror has never heard of it.
pub(super) async fn one(mirror: &MirrorReader, key: &PartitionKey, id: &str) -> Result<Candidate, Failure> {
    let name = mirror.paths.document(key, id);
    match mirror.history(key, id).await {
        Err(failure) if failure.kind == Kind::Integrity => Ok(Candidate { name, history: Err(failure) }),
        history => Ok(Candidate { name, history: Ok(history?) }),
    }
}

/// The selected documents that the mirror has heard of, in the order of names.
pub(crate) fn candidates<'a>(
    mirror: &'a MirrorReader,
    selection: &'a Selection,
) -> BoxStream<'a, Result<Candidate, Failure>> {
    let prefix = selection.prefix(mirror);
    let of_prefix = prefix.clone();
    let lettered = mirror.letters.iter().filter(move |(name, _)| name.starts_with(&of_prefix)).peekable();
    let listed = groups(mirror.store.as_ref(), prefix, Listing::Versions);
    let both = (Box::pin(listed.peekable()), lettered);
    stream::try_unfold(both, move |(mut listed, mut lettered)| async move {
        let stored = match listed.as_mut().peek().await {
            Some(Ok(heads)) => heads.first().map(|head| head.name.clone()),
            Some(Err(_)) => return Err(failed(listed.next().await)),
            None => None,
        };
        let letters = match (&stored, lettered.peek()) {
            (None, None) => return Ok(None),
            (Some(stored), Some((name, _))) if *name <= stored => lettered.next(),
            (None, Some(_)) => lettered.next(),
            (Some(_), _) => None,
        };
        let heads = match (&stored, letters) {
            (Some(stored), Some((name, _))) if name != stored => Vec::new(),
            (None, _) => Vec::new(),
            _ => listed.next().await.transpose()?.unwrap_or_default(),
        };
        let name = letters.map(|(name, _)| name.clone()).or(stored).unwrap_or_default();
        let candidate = candidate(mirror, name, heads, letters.map_or(&[], |(_, letters)| letters.as_slice()))?;
        Ok(Some((candidate, (listed, lettered))))
    })
    .try_filter(move |candidate| {
        std::future::ready(candidate.history.as_ref().map_or(true, |document| selection.contains(mirror, document)))
    })
    .boxed()
}

fn failed(result: Option<Result<Vec<Head>, Failure>>) -> Failure {
    match result {
        Some(Err(failure)) => failure,
        _ => Failure::new(Kind::Internal, "a listing's failure is gone"),
    }
}

fn candidate(mirror: &MirrorReader, name: String, heads: Vec<Head>, letters: &[Letter]) -> Result<Candidate, Failure> {
    match mirror.document(heads, letters) {
        Err(failure) if failure.kind != Kind::Integrity => Err(failure),
        history => Ok(Candidate { name, history }),
    }
}
