//! Which versions the selected documents have, from listings with metadata: nothing is downloaded.
//!
//! Documents stream by in the order of their names, one document's versions at a time. A document that is known from a dead
//! letter alone has no blob and comes at the end.

use futures::stream::{self, BoxStream, StreamExt as _, TryStreamExt as _};

use super::Selection;
use crate::failure::{Failure, Kind};
use crate::history::{DocumentHistory, Letter, MirrorReader, groups};
use crate::retry::persist;
use crate::store::{Head, Listing};

/// One name of the listing.
pub(super) enum Candidate {
    /// A document and its versions.
    Document(DocumentHistory),
    /// A blob whose metadata cannot be trusted.
    Damaged(Failure),
}

/// The selected documents.
pub(super) fn candidates<'a>(
    mirror: &'a MirrorReader,
    selection: &'a Selection,
) -> BoxStream<'a, Result<Candidate, Failure>> {
    if let Selection::Document { key, id } = selection {
        let document = async move {
            let document = mirror.history(key, id).await?;
            Ok((!document.is_empty()).then_some(Candidate::Document(document)))
        };
        return stream::once(document).try_filter_map(|found| async move { Ok(found) }).boxed();
    }
    let prefix = selection.prefix(mirror);
    let listed = groups(mirror.store.as_ref(), prefix.clone(), Listing::Versions).and_then(move |heads| async move {
        let letters = heads.first().and_then(|head| mirror.letters.get(&head.name)).map(Vec::as_slice);
        candidate(mirror, heads, letters.unwrap_or_default())
    });
    let lettered = mirror.letters.iter().filter(move |(name, _)| name.starts_with(&prefix)).map(Ok);
    let unlisted = stream::iter(lettered).try_filter_map(move |(name, letters)| async move {
        let stored = persist(|| mirror.store.head(name)).await?.is_some();
        if stored { Ok(None) } else { candidate(mirror, Vec::new(), letters).map(Some) }
    });
    listed
        .chain(unlisted)
        .try_filter(move |candidate| {
            let selected = match candidate {
                Candidate::Document(document) => selection.contains(document),
                Candidate::Damaged(_) => true,
            };
            async move { selected }
        })
        .boxed()
}

fn candidate(mirror: &MirrorReader, heads: Vec<Head>, letters: &[Letter]) -> Result<Candidate, Failure> {
    match mirror.document(heads, letters) {
        Ok(document) => Ok(Candidate::Document(document)),
        Err(failure) if failure.kind == Kind::Integrity => Ok(Candidate::Damaged(failure)),
        Err(failure) => Err(failure),
    }
}
