//! Does the writes, many documents at a time, each guarded by the etag that was seen just before.
//!
//! For each document: what it should become, a look at what it is, a durable line in the undo file that holds it, the write, a line that says
//! what it left. In a container that was empty when the work began, what is created is not looked at before: the service itself refuses
//! to create what is there, and then it is looked at. Whatever happened to a document since the plan, or between the look and the write, makes it a conflict, and
//! it is left alone; with `overwrite` at `always` it is looked at again instead, so that what the undo file holds is what was
//! replaced. A document that already is as it should be counts as unchanged; after a write that failed it is how a
//! write whose answer was lost is recognised, and so it is where work is taken up again.

use std::sync::Mutex;

use bytes::Bytes;
use cosmirror_formats::PartitionKey;
use cosmirror_formats::mark::with_property;
use cosmirror_formats::restore_plan::{Action, Before};
use cosmirror_formats::version::sha256_hex;
use serde::{Deserialize, Serialize};

use super::journal::{Entry, Journal, Outcome as Known, UndoFile};
use super::pace::{Pace, Stopped};
use super::work::{Body, Expected, Seen, Target, Task};
use crate::crash::crash_point;
use crate::documents::Document;
use crate::failure::{Failure, Kind};
use crate::history::{Place, Purges, client_text};

/// How often a document that others keep changing is looked at, where it is overwritten in any case.
const LOOKS_MAX: u32 = 10;

/// A write that was done.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Done {
    pub(super) part: usize,
    pub(super) id: String,
    /// The partition key as a JSON array.
    pub(super) partition_key: serde_json::Value,
    pub(super) action: Action,
    /// The etag it made; none for a delete.
    pub(super) etag: Option<String>,
    /// The etag of the document that it removed.
    pub(super) deleted: Option<String>,
    /// SHA-256 of what was sent; none for a delete.
    pub(super) sha256: Option<String>,
}

impl Done {
    /// A step that was done before the work was taken up again.
    pub(super) fn of(entry: Entry) -> Option<Self> {
        let Known::Done(etag) = entry.outcome else { return None };
        Some(Self::new(entry.action, entry.before, etag))
    }

    fn new(action: Action, before: Before, etag: Option<String>) -> Self {
        Self {
            part: before.part,
            id: before.id,
            partition_key: before.partition_key,
            action,
            etag,
            deleted: before.etag.filter(|_| action == Action::Delete),
            sha256: before.sent,
        }
    }
}

/// What came of a task.
#[derive(Debug)]
pub(super) enum Outcome {
    Done(Done),
    Unchanged,
    Conflict,
    /// The document's history was erased.
    Purged,
    Failed(Failure),
    /// The work was cancelled before the service took it.
    Cancelled,
}

/// What all tasks share.
pub(super) struct Workshop<'a> {
    pub(super) targets: &'a [Target],
    pub(super) journal: &'a Journal,
    pub(super) pace: &'a Pace,
    /// The property that marks what is written, and its value.
    pub(super) mark: Option<(String, String)>,
    /// What the undo file held when the work was taken up again.
    pub(super) earlier: Option<Mutex<UndoFile>>,
    /// For each target, whether it held nothing when the work began.
    pub(super) empty: Vec<bool>,
    /// For each target, which documents are not to be brought back.
    pub(super) purges: Vec<Vec<Purges>>,
}

impl Workshop<'_> {
    /// Whether it was done before.
    pub(super) fn is_done(&self, step: u64) -> Result<bool, Failure> {
        self.earlier.as_ref().map_or(Ok(false), |file| lock(file).is_done(step))
    }

    /// Does a task.
    pub(super) async fn run(&self, task: &Task) -> Outcome {
        match self.attempt(task).await {
            Ok(outcome) => outcome,
            Err(Stopped::Failed(failure)) => Outcome::Failed(failure),
            Err(Stopped::Cancelled) => Outcome::Cancelled,
        }
    }

    async fn attempt(&self, task: &Task) -> Result<Outcome, Stopped> {
        let internal = |what: &str| Failure::new(Kind::Internal, what.to_owned());
        let target = self.targets.get(task.part).ok_or_else(|| internal("a step of no container"))?;
        let key =
            PartitionKey::from_json(&task.partition_key).ok_or_else(|| internal("a step without partition key"))?;
        if self.is_purged(task, &key) {
            if self.begun(task.step)?.is_some() {
                self.journal.skipped(task.step).await?;
            }
            return Ok(Outcome::Purged);
        }
        let site = Site { workshop: self, target, task, key, body: self.body(target, task).await? };
        if let Some(before) = self.begun(task.step)?
            && let Some(outcome) = site.take_up(before).await?
        {
            return Ok(outcome);
        }
        if self.empty.get(task.part) == Some(&true)
            && task.expected == Expected::Etag(None)
            && let Some(outcome) = site.create().await?
        {
            return Ok(outcome);
        }
        for _ in 0..LOOKS_MAX {
            if let Some(outcome) = site.look_and_write().await? {
                return Ok(outcome);
            }
        }
        self.journal.skipped(task.step).await?;
        Ok(Outcome::Conflict)
    }

    /// Whether it would bring back what was erased for good.
    fn is_purged(&self, task: &Task, key: &PartitionKey) -> bool {
        let purges = self.purges.get(task.part).map(Vec::as_slice).unwrap_or_default();
        task.body != Body::Nothing && purges.iter().any(|purges| purges.cover(key, &task.id, task.ts))
    }

    /// What the undo file holds of a step of which it does not say what came of it.
    fn begun(&self, step: u64) -> Result<Option<Before>, Failure> {
        let Some(file) = &self.earlier else { return Ok(None) };
        let entry = lock(file).entry(step)?;
        Ok(entry.filter(|entry| entry.outcome == Known::Unknown).map(|entry| entry.before))
    }

    async fn body(&self, target: &Target, task: &Task) -> Result<Option<Bytes>, Failure> {
        let text = match &task.body {
            Body::Nothing => return Ok(None),
            Body::Text(text) => return Ok(Some(text.clone())),
            Body::Version(content) => {
                let place = match &content.version {
                    Some(version) => Place::Version { name: content.name.clone(), version: version.clone() },
                    None => Place::DeadLetter { name: content.name.clone() },
                };
                let mirror = target.mirror.as_ref();
                let mirror = mirror.ok_or_else(|| Failure::new(Kind::Internal, "a version without a mirror"))?;
                let stored = mirror.bytes(&place, &content.sha256).await?;
                client_text(&stored, &format!("version {}", place.version()))?
            }
        };
        let Some((name, value)) = &self.mark else { return Ok(Some(text)) };
        let marked = std::str::from_utf8(&text).ok().and_then(|text| with_property(text, name, value).ok());
        let marked = marked.ok_or_else(|| Failure::new(Kind::Integrity, "a stored version is not a JSON document"))?;
        Ok(Some(Bytes::from(marked)))
    }
}

fn lock(file: &Mutex<UndoFile>) -> std::sync::MutexGuard<'_, UndoFile> {
    file.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
}

/// One task with what it needs.
struct Site<'a> {
    workshop: &'a Workshop<'a>,
    target: &'a Target,
    task: &'a Task,
    key: PartitionKey,
    body: Option<Bytes>,
}

impl Site<'_> {
    async fn read(&self) -> Result<Option<Document>, Stopped> {
        self.workshop.pace.read(|| self.target.documents.read(&self.key, &self.task.id)).await
    }

    /// Goes on with a step that was begun. None where the document has changed since and is to be looked at afresh.
    async fn take_up(&self, before: Before) -> Result<Option<Outcome>, Stopped> {
        let live = self.read().await?;
        if self.is_there(live.as_ref())? {
            return self.finish(before, live.map(|live| live.etag)).await.map(Some);
        }
        if live.as_ref().map(|live| &live.etag) == before.etag.as_ref() {
            return self.write(before).await;
        }
        if self.task.always {
            return Ok(None);
        }
        self.workshop.journal.skipped(self.task.step).await?;
        Ok(Some(Outcome::Conflict))
    }

    /// Creates what nobody has looked for; none where there is nothing to create, or something is there that is to be looked at.
    async fn create(&self) -> Result<Option<Outcome>, Stopped> {
        if self.body.is_none() {
            return Ok(None);
        }
        self.begin(None, None).await
    }

    /// None where somebody was quicker and it is to be looked at again.
    async fn look_and_write(&self) -> Result<Option<Outcome>, Stopped> {
        let live = self.read().await?;
        match self.task.see(live.as_ref(), self.body.as_ref())? {
            Seen::There => return Ok(Some(Outcome::Unchanged)),
            Seen::Changed => return Ok(Some(Outcome::Conflict)),
            Seen::Expected => {}
        }
        let document = live.as_ref().map(|live| String::from_utf8(live.bytes.to_vec())).transpose();
        let document =
            document.map_err(|_| Failure::new(Kind::Integrity, "the container's document is not a JSON document"))?;
        self.begin(live.map(|live| live.etag), document).await
    }

    /// Keeps what the document is, and writes.
    async fn begin(&self, etag: Option<String>, document: Option<String>) -> Result<Option<Outcome>, Stopped> {
        let task = self.task;
        let before = Before {
            step: task.step,
            part: task.part,
            id: task.id.clone(),
            partition_key: task.partition_key.clone(),
            etag,
            document,
            sent: self.body.as_deref().map(sha256_hex),
            ciphertext: None,
        };
        self.workshop.journal.before(before.clone()).await?;
        crash_point!("undo-durable");
        self.write(before).await
    }

    /// Writes over what `before` says; none where somebody was quicker and it is to be looked at again.
    async fn write(&self, before: Before) -> Result<Option<Outcome>, Stopped> {
        let journal = self.workshop.journal;
        let failure = match self.workshop.pace.write(|| self.request(before.etag.as_deref())).await {
            Ok(etag) => {
                crash_point!("document-restored");
                return self.finish(before, etag).await.map(Some);
            }
            Err(Stopped::Failed(failure)) => failure,
            Err(Stopped::Cancelled) => return Err(Stopped::Cancelled),
        };
        // An earlier attempt may have been done and its answer lost, so it is not known that nothing was written.
        if !matches!(failure.kind, Kind::Conflict | Kind::NotFound | Kind::Transient) {
            return Err(failure.into());
        }
        let live = self.read().await?;
        if self.is_there(live.as_ref())? {
            return self.finish(before, live.map(|live| live.etag)).await.map(Some);
        }
        // What was not taken although nobody changed the document is refused for another reason, such as a unique key.
        if failure.kind == Kind::Transient || live.map(|live| live.etag) == before.etag {
            return Err(failure.into());
        }
        if self.task.always {
            return Ok(None);
        }
        journal.skipped(self.task.step).await?;
        Ok(Some(Outcome::Conflict))
    }

    /// The guarded write; gives the etag it made.
    async fn request(&self, etag: Option<&str>) -> Result<Option<String>, Failure> {
        let (documents, key, id) = (&self.target.documents, &self.key, &self.task.id);
        match (etag, self.body.clone()) {
            (None, Some(body)) => documents.create(key, id, body).await.map(Some),
            (Some(etag), Some(body)) => documents.replace(key, id, body, etag).await.map(Some),
            (Some(etag), None) => documents.delete(key, id, etag).await.map(|()| None),
            (None, None) => Ok(None),
        }
    }

    fn is_there(&self, live: Option<&Document>) -> Result<bool, Failure> {
        let text = live.map(|live| client_text(&live.bytes, "the container's document")).transpose()?;
        Ok(text == self.body)
    }

    async fn finish(&self, before: Before, etag: Option<String>) -> Result<Outcome, Stopped> {
        self.workshop.journal.after(self.task.step, etag.clone()).await?;
        crash_point!("undo-completed");
        let action = match (&before.etag, &before.sent) {
            (_, None) => Action::Delete,
            (None, Some(_)) => Action::Create,
            (Some(_), Some(_)) => Action::Replace,
        };
        Ok(Outcome::Done(Done::new(action, before, etag)))
    }
}
