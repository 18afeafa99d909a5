//! One document: a look at what is there, and a write that is guarded by it.
//!
//! A write whose answer was lost, and that was made again, is refused by its own first attempt; then the document has the content, and the write was done.
//! A write that is refused although nobody changed the document is refused for another reason, such as a unique key, and has failed.

use std::sync::Arc;

use cosmirror_formats::feed_page::SystemProperties;

use super::Item;
use crate::documents::{Document, Documents};
use crate::failure::{Failure, Kind};
use crate::history::{Purges, client_text};
use crate::restore::{Overwrite, Pace, Stopped};

/// How often a document that others keep changing is looked at, where it is overwritten in any case.
const LOOKS_MAX: u32 = 10;

/// A container that is written to.
pub(crate) struct Target {
    /// Which documents are not to be brought back.
    pub(crate) purges: Vec<Purges>,
    /// Its documents; none where it is not there yet and nothing is to be written.
    pub(crate) documents: Option<Arc<dyn Documents>>,
    /// It held nothing when the import began, so that documents need not be looked at before they are created.
    pub(crate) is_empty: bool,
}

/// What came of a document.
#[derive(Debug)]
pub(super) enum Outcome {
    Created,
    Replaced,
    /// It has the content.
    Unchanged,
    /// It has another, and stays because of the policy.
    Kept,
    /// Its history was erased.
    Purged,
    /// Somebody changed it between the look and the write.
    Conflict,
    Failed(Failure),
    /// The import was cancelled before the service took it.
    Cancelled,
}

/// How documents are written.
pub(super) struct Writer<'a> {
    pub(super) targets: &'a [Target],
    pub(super) pace: &'a Pace,
    pub(super) overwrite: Overwrite,
    pub(super) dry_run: bool,
}

/// What is to be done about a document that was looked at.
enum Decided<'d> {
    Settled(Outcome),
    Create,
    Replace(&'d str),
}

impl Writer<'_> {
    pub(super) async fn write(&self, item: &Item) -> Outcome {
        match self.attempt(item).await {
            Ok(outcome) => outcome,
            Err(Stopped::Failed(failure)) => Outcome::Failed(failure),
            Err(Stopped::Cancelled) => Outcome::Cancelled,
        }
    }

    async fn attempt(&self, item: &Item) -> Result<Outcome, Stopped> {
        let target = self.targets.get(item.container);
        let target = target.ok_or_else(|| Failure::new(Kind::Internal, "a document of no container"))?;
        if target.purges.iter().any(|purges| purges.cover(&item.key, &item.id, item.ts)) {
            return Ok(Outcome::Purged);
        }
        let Some(documents) = &target.documents else { return Ok(Outcome::Created) };
        let documents = documents.as_ref();
        let mut looked = None;
        if !target.is_empty || self.dry_run {
            looked = Some(self.read(documents, item).await?);
        }
        for _ in 0..LOOKS_MAX {
            let live = looked.take().flatten();
            let wrote = match self.decide(item, live.as_ref())? {
                Decided::Settled(outcome) => return Ok(outcome),
                Decided::Create if self.dry_run => return Ok(Outcome::Created),
                Decided::Replace(_) if self.dry_run => return Ok(Outcome::Replaced),
                Decided::Create => {
                    let create = || documents.create(&item.key, &item.id, item.text.clone());
                    (self.pace.write(create).await, Outcome::Created)
                }
                Decided::Replace(etag) => {
                    let replace = || documents.replace(&item.key, &item.id, item.text.clone(), etag);
                    (self.pace.write(replace).await, Outcome::Replaced)
                }
            };
            match wrote {
                (Ok(_), outcome) => return Ok(outcome),
                (Err(Stopped::Failed(failure)), outcome) if matches!(failure.kind, Kind::Conflict | Kind::NotFound) => {
                    let now = self.read(documents, item).await?;
                    if is_equal(item, now.as_ref())? {
                        return Ok(outcome);
                    }
                    if etag(now.as_ref()) == etag(live.as_ref()) {
                        return Err(failure.into());
                    }
                    // Of a container that held nothing this is the first look.
                    let unseen = live.is_none() && target.is_empty;
                    if self.overwrite != Overwrite::Always && !unseen {
                        return Ok(Outcome::Conflict);
                    }
                    looked = Some(now);
                }
                (Err(stopped), _) => return Err(stopped),
            }
        }
        Ok(Outcome::Conflict)
    }

    async fn read(&self, documents: &dyn Documents, item: &Item) -> Result<Option<Document>, Stopped> {
        self.pace.read(|| documents.read(&item.key, &item.id)).await
    }

    fn decide<'d>(&self, item: &Item, live: Option<&'d Document>) -> Result<Decided<'d>, Failure> {
        let Some(document) = live else { return Ok(Decided::Create) };
        if is_equal(item, live)? {
            return Ok(Decided::Settled(Outcome::Unchanged));
        }
        let is_newer = || {
            let text = std::str::from_utf8(&document.bytes).ok();
            let there = text.and_then(|text| SystemProperties::of(text).ok()?.ts);
            item.ts.zip(there).is_some_and(|(ours, theirs)| ours > theirs)
        };
        Ok(match self.overwrite {
            Overwrite::Always | Overwrite::IfChanged => Decided::Replace(&document.etag),
            Overwrite::IfNewer if is_newer() => Decided::Replace(&document.etag),
            Overwrite::IfNewer | Overwrite::Never => Decided::Settled(Outcome::Kept),
        })
    }
}

fn etag(document: Option<&Document>) -> Option<&str> {
    document.map(|document| document.etag.as_str())
}

fn is_equal(item: &Item, live: Option<&Document>) -> Result<bool, Failure> {
    let text = live.map(|live| client_text(&live.bytes, "the container's document")).transpose()?;
    Ok(text.is_some_and(|text| text == item.text))
}
