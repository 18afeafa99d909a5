//! What a file asks to be written, whether it is a plan or an undo file.
//!
//! A plan names a version of the mirror and the etag that the document had. An undo file holds the text that the document had before, and
//! the etag that the restore left; where it does not say what came of a step, the document itself tells.

use std::sync::Arc;

use bytes::Bytes;
use cosmirror_formats::feed_page::SystemProperties;
use cosmirror_formats::restore_plan::{Action, Content, Part, Step};
use cosmirror_formats::version::sha256_hex;
use serde_json::Value;

use super::journal::{Entry, Outcome, UndoFile};
use crate::documents::{Document, Documents, holds_nothing};
use crate::failure::Failure;
use crate::history::{MirrorReader, Purges, client_text};

/// The container that a part of the work writes to.
pub struct Target {
    /// Its documents.
    pub documents: Arc<dyn Documents>,
    /// Where the versions are that a plan names; an undo file needs none.
    pub mirror: Option<Arc<MirrorReader>>,
    /// The mirror that is told what was written, if there is one.
    pub recorded_in: Option<Arc<MirrorReader>>,
}

impl Target {
    /// Which documents' histories were erased from the mirrors that it has to do with.
    pub(super) async fn purges(&self) -> Result<Vec<Purges>, Failure> {
        let mut mirrors: Vec<_> = [&self.mirror, &self.recorded_in].into_iter().flatten().collect();
        // Mostly they are one.
        mirrors.dedup_by(|one, other| Arc::ptr_eq(one, other));
        let mut purges = Vec::new();
        for mirror in mirrors {
            purges.push(Purges::read(mirror.store.as_ref(), &mirror.paths).await?);
        }
        Ok(purges)
    }

    /// Whether its container holds no document at all.
    pub(super) async fn is_empty(&self) -> Result<bool, Failure> {
        holds_nothing(self.documents.as_ref()).await
    }
}

/// A document that is to be written or removed.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Task {
    /// Its step's place in the file.
    pub(super) step: u64,
    pub(super) part: usize,
    pub(super) id: String,
    /// The partition key as a JSON array.
    pub(super) partition_key: Value,
    pub(super) expected: Expected,
    pub(super) body: Body,
    /// When that was committed in the source, seconds since 1970; none where it is not known.
    pub(super) ts: Option<i64>,
    /// Whatever the document is by now, it is written.
    pub(super) always: bool,
}

/// What the document must be for the write to be right.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Expected {
    /// It has this etag; none: it is not there.
    Etag(Option<String>),
    /// A write of which the answer is not known: it has this etag where it was not done, or else the content with this hash.
    Unsure {
        /// None: it was not there.
        before: Option<String>,
        /// None: it was to be removed.
        sent: Option<String>,
    },
}

/// What it becomes.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Body {
    /// Nothing: it is removed.
    Nothing,
    /// A version of the mirror.
    Version(Content),
    /// This text.
    Text(Bytes),
}

/// What a look at the document says about a task.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Seen {
    /// As the task expects it.
    Expected,
    /// As it should become; there is nothing to do.
    There,
    /// Somebody changed it.
    Changed,
}

impl Task {
    /// A plan's step.
    pub(super) fn of_plan(step: u64, planned: Step, parts: &[Part]) -> Self {
        let always = parts.get(planned.part).is_some_and(|part| part.overwrite == "always");
        let (ts, body) = match planned.content {
            Some(content) if planned.action != Action::Delete => (Some(content.ts), Body::Version(content)),
            _ => (None, Body::Nothing),
        };
        let (part, id, partition_key) = (planned.part, planned.id, planned.partition_key);
        Self { step, part, id, partition_key, expected: Expected::Etag(planned.etag), body, ts, always }
    }

    /// What undoes a step; none where it was not done.
    pub(super) fn of_undo(entry: Entry) -> Result<Option<Self>, Failure> {
        let Entry { before, outcome, .. } = entry;
        let expected = match outcome {
            Outcome::Skipped => return Ok(None),
            Outcome::Done(etag) => Expected::Etag(etag),
            Outcome::Unknown => Expected::Unsure { before: before.etag, sent: before.sent },
        };
        let ts = before.document.as_deref().and_then(|text| SystemProperties::of(text).ok()?.ts);
        let body = match before.document {
            Some(document) => Body::Text(client_text(document.as_bytes(), "a document in the undo file")?),
            None => Body::Nothing,
        };
        let (step, part, id, partition_key) = (before.step, before.part, before.id, before.partition_key);
        Ok(Some(Self { step, part, id, partition_key, expected, body, ts, always: false }))
    }

    /// Compares the document with what is expected, and with what is to be sent.
    pub(super) fn see(&self, live: Option<&Document>, body: Option<&Bytes>) -> Result<Seen, Failure> {
        let etag = live.map(|live| &live.etag);
        if let Expected::Unsure { before, .. } = &self.expected
            && etag == before.as_ref()
        {
            return Ok(Seen::There);
        }
        let text = live.map(|live| client_text(&live.bytes, "the container's document")).transpose()?;
        if text.as_ref() == body {
            return Ok(Seen::There);
        }
        let expected = match &self.expected {
            Expected::Etag(expected) => etag == expected.as_ref(),
            Expected::Unsure { sent, .. } => text.as_deref().map(sha256_hex) == *sent,
        };
        Ok(if expected || self.always { Seen::Expected } else { Seen::Changed })
    }
}

/// The tasks of an undo file, in the order of its steps.
pub(super) fn of_undo_file(mut file: UndoFile) -> impl Iterator<Item = Result<Task, Failure>> {
    let mut next = Some(0);
    std::iter::from_fn(move || {
        let entry = file.entry_from(next?).transpose()?;
        next = entry.as_ref().ok().map(|entry| entry.before.step + 1);
        Some(entry.and_then(Task::of_undo))
    })
    .filter_map(Result::transpose)
}
