//! Which dead letters stay in the first store, because their document's history was erased.
//!
//! A policy may keep one of them there for a while. A replica that has erased it, or is new, is not to get it.

use cosmirror_formats::MirrorPaths;
use cosmirror_formats::records::DeadLetter;

use crate::failure::Failure;
use crate::history::Purges;
use crate::store::VersionStore;

/// Whether the record with this name is one. One attempt.
pub(super) async fn is_purged(first: &dyn VersionStore, name: &str) -> Result<bool, Failure> {
    let Some(paths) = MirrorPaths::of_dead_letter(name) else { return Ok(false) };
    let Some((_, body)) = first.get(name, None).await? else { return Ok(false) };
    // What cannot be read is brought as it is.
    let Ok(letter) = serde_json::from_slice::<DeadLetter>(&body) else { return Ok(false) };
    Ok(Purges::of_letter(first, &paths, &letter).await?.cover_letter(&letter))
}
