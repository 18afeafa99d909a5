//! Does the plan's writes, many documents at a time, each guarded by the etag that the plan saw.
//!
//! A create needs absence, a replace and a delete need the etag: whatever happened to a document since the plan makes its
//! write fail, and the document is looked at again. One that already is as it should be counts as done, which is also how
//! a write whose answer was lost is recognised; any other is a conflict and is left alone.

use bytes::Bytes;
use cosmirror_formats::PartitionKey;
use cosmirror_formats::restore_plan::{Action, Content, Step};
use cosmirror_formats::version::sha256_hex;
use futures::stream::{self, StreamExt as _};
use serde::{Deserialize, Serialize};
use tokio_util::sync::CancellationToken;

use super::plan_file::PlanReader;
use super::record::Recorder;
use super::report::Report;
use super::{DOCUMENTS_AT_ONCE, Target};
use crate::crash::crash_point;
use crate::failure::{Failure, Kind};
use crate::history::{Place, client_text};
use crate::retry::persist;
use crate::spool::Spool;

/// A write that was done.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Done {
    pub(super) id: String,
    /// The partition key as a JSON array.
    pub(super) partition_key: serde_json::Value,
    /// The etag it made; none for a delete.
    pub(super) etag: Option<String>,
    /// SHA-256 of what was sent; none for a delete.
    pub(super) sha256: Option<String>,
}

enum Outcome {
    Done(Done),
    Conflict,
    Failed(Failure),
}

/// Works through the steps. Counts go into `report`; what was written comes back for verification.
pub(super) async fn apply(
    restore: &Target<'_>,
    plan: &PlanReader,
    recorder: &mut Recorder<'_>,
    report: &mut Report,
    cancel: &CancellationToken,
) -> Result<Spool<Done>, Failure> {
    let mut written = Spool::new()?;
    // Ends the work from inside as well, where no further write can succeed.
    let stop = cancel.child_token();
    let ended = stop.clone();
    let outcomes = stream::iter(plan.steps()?)
        .filter(|step| std::future::ready(step.as_ref().map_or(true, |(_, step)| step.part == restore.part)))
        .take_until(ended.cancelled_owned())
        .map(|step| async move {
            let (_, step) = step?;
            let outcome = write(restore, &step).await;
            Ok::<_, Failure>((step, outcome))
        })
        .buffer_unordered(DOCUMENTS_AT_ONCE);
    let mut outcomes = std::pin::pin!(outcomes);
    let mut seen = 0;
    while let Some(result) = outcomes.next().await {
        seen += 1;
        restore.progress.inc(1);
        let fatal = match result {
            Ok((step, outcome)) => settle(step, outcome, &mut written, recorder, report).await.err(),
            Err(failure) => Some(failure),
        };
        if let Some(failure) = fatal {
            report.fatal.get_or_insert(failure);
            stop.cancel();
        }
    }
    report.cancelled = cancel.is_cancelled() && seen < plan.len();
    Ok(written)
}

/// Counts an outcome; an error ends the work.
async fn settle(
    step: Step,
    outcome: Outcome,
    written: &mut Spool<Done>,
    recorder: &mut Recorder<'_>,
    report: &mut Report,
) -> Result<(), Failure> {
    let what = format!("{:?} of partition key {}", step.id, step.partition_key);
    match outcome {
        Outcome::Done(done) => {
            match step.action {
                Action::Create => report.applied.create += 1,
                Action::Replace => report.applied.replace += 1,
                Action::Delete => report.applied.delete += 1,
            }
            written.push(&done)?;
            recorder.add(&done, step.etag.filter(|_| step.action == Action::Delete)).await
        }
        Outcome::Conflict => {
            report.conflicts += 1;
            report.note(format!("{what}: it changed since the plan and was left alone"));
            Ok(())
        }
        Outcome::Failed(failure) => {
            report.note(format!("{what}: {failure}"));
            match failure.kind {
                Kind::Integrity => report.damaged += 1,
                _ => report.failed += 1,
            }
            match failure.kind {
                Kind::Unauthorized | Kind::Misconfigured | Kind::Internal => Err(failure),
                _ => Ok(()),
            }
        }
    }
}

async fn write(restore: &Target<'_>, step: &Step) -> Outcome {
    attempt(restore, step).await.unwrap_or_else(Outcome::Failed)
}

async fn attempt(restore: &Target<'_>, step: &Step) -> Result<Outcome, Failure> {
    let key = PartitionKey::from_json(&step.partition_key)
        .ok_or_else(|| Failure::new(Kind::Internal, "a step without partition key"))?;
    let body = match &step.content {
        Some(content) => {
            let stored = restore.mirror.bytes(&place(content), &content.sha256).await?;
            Some(client_text(&stored, &format!("version {}", place(content).version()))?)
        }
        None => None,
    };
    let result = persist(|| request(restore, step, &key, body.clone())).await;
    let done = |etag| {
        let sha256 = body.as_deref().map(sha256_hex);
        Outcome::Done(Done { id: step.id.clone(), partition_key: step.partition_key.clone(), etag, sha256 })
    };
    let failure = match result {
        Ok(etag) => {
            crash_point!("document-restored");
            return Ok(done(etag));
        }
        Err(failure) => failure,
    };
    if !matches!(failure.kind, Kind::Conflict | Kind::NotFound | Kind::Transient) {
        return Err(failure);
    }
    let live = persist(|| restore.documents.read(&key, &step.id)).await?;
    match (live, &body) {
        (None, None) => Ok(done(None)),
        (Some(live), Some(body)) if client_text(&live.bytes, "the container's document")? == *body => {
            Ok(done(Some(live.etag)))
        }
        _ if failure.kind == Kind::Transient => Err(failure),
        _ => Ok(Outcome::Conflict),
    }
}

/// Where the bytes of a step are.
fn place(content: &Content) -> Place {
    let name = content.name.clone();
    match content.version.clone() {
        Some(version) => Place::Version { name, version },
        None => Place::DeadLetter { name },
    }
}

/// The guarded write; gives the etag it made.
async fn request(
    restore: &Target<'_>,
    step: &Step,
    key: &PartitionKey,
    body: Option<Bytes>,
) -> Result<Option<String>, Failure> {
    let live = step.etag.as_deref().unwrap_or_default();
    match (step.action, body) {
        (Action::Create, Some(body)) => restore.documents.create(key, &step.id, body).await.map(Some),
        (Action::Replace, Some(body)) => restore.documents.replace(key, &step.id, body, live).await.map(Some),
        (Action::Delete, _) => restore.documents.delete(key, &step.id, live).await.map(|()| None),
        (Action::Create | Action::Replace, None) => Err(Failure::new(Kind::Internal, "a write without content")),
    }
}
