//! Reads back what was written and compares it.
//!
//! A document that carries another etag by now was written by somebody else after the restore; it counts as a conflict. One
//! that carries the restore's etag and other content is a fault of the way there and back.

use cosmirror_formats::PartitionKey;
use futures::stream::{self, TryStreamExt as _};
use indicatif::ProgressBar;

use super::apply::Done;
use super::pace::{Pace, Stopped};
use super::progress::ProgressLog;
use super::report::Report;
use super::work::Target;
use crate::failure::{Failure, Kind};
use crate::history::client_text;
use crate::sha256::sha256_hex;
use crate::spool::Spool;

enum Seen {
    Equal,
    Overtaken,
    Different,
}

/// Compares every document that was written.
pub(super) async fn verify(
    targets: &[Target],
    pace: &Pace,
    concurrency: usize,
    written: &mut Spool<Done>,
    report: &mut Report,
    progress: &ProgressBar,
) -> Result<(), Stopped> {
    let seen = stream::iter(written.read()?)
        .map_err(Stopped::Failed)
        .map_ok(|done| async move { look(targets, pace, &done).await.map(|seen| (done, seen)) })
        .try_buffer_unordered(concurrency);
    let mut seen = std::pin::pin!(seen);
    let mut log = ProgressLog::new(progress, "verifying");
    while let Some((done, seen)) = seen.try_next().await? {
        progress.inc(1);
        log.tell();
        let what = format!("{:?} of partition key {}", done.id, done.partition_key);
        match seen {
            Seen::Equal => {}
            Seen::Overtaken => {
                report.conflicts += 1;
                report.note(format!("{what}: it was restored and changed again since"));
            }
            Seen::Different => {
                report.different += 1;
                report.note(format!("{what}: the container does not hold what was written"));
            }
        }
    }
    Ok(())
}

async fn look(targets: &[Target], pace: &Pace, done: &Done) -> Result<Seen, Stopped> {
    let key = PartitionKey::from_json(&done.partition_key).zip(targets.get(done.part));
    let (key, target) = key.ok_or_else(|| Failure::new(Kind::Internal, "a written document without partition key"))?;
    let live = pace.read(|| target.documents.read(&key, &done.id)).await?;
    Ok(match (live, &done.sha256) {
        (None, None) => Seen::Equal,
        (None, Some(_)) | (Some(_), None) => Seen::Overtaken,
        (Some(live), Some(_)) if Some(&live.etag) != done.etag.as_ref() => Seen::Overtaken,
        (Some(live), Some(sha256)) => {
            let text = client_text(&live.bytes, "the container's document").ok();
            if text.is_some_and(|text| sha256_hex(&text) == *sha256) { Seen::Equal } else { Seen::Different }
        }
    })
}
