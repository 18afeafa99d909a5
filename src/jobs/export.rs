//! A job that exports its container: into a folder of its own, where the configuration says that exports of jobs go.
//!
//! The folder's name is the job's id, so whoever asks for a job names no place to write to, and an export that builds on another one is asked for by that one's
//! job. The export itself remembers its instant and its finished files, and a process that takes the job over goes on behind them.

use std::sync::Arc;

use cosmirror_formats::export::Compression;
use cosmirror_formats::job::JobRecord;
use serde_json::json;

use super::place::Parts;
use super::tracker::Tracker;
use crate::export::{Base, Made, Options, Whole, begun, covering};
use crate::failure::{CommandError, Exit, Failure, Kind};
use crate::history::{MirrorReader, instant};
use crate::retry::Backoff;

/// Failures that are made up for; each stands for minutes of patience with single requests.
const FAILURES_MAX: u32 = 5;
/// Bytes of documents in a file. In blobs each is put as a whole, out of the daemon's memory.
const FILE_BYTES_MAX: u64 = 8 << 20;

/// What is asked for.
pub(super) struct Asked<'a> {
    pub(super) at: Option<i64>,
    pub(super) since: Option<&'a str>,
    pub(super) compress: bool,
}

/// Makes the export of this job.
pub(super) async fn run(parts: &Parts, tracker: &Tracker, record: &JobRecord, asked: Asked<'_>) -> Result<(), Failure> {
    let (mut failures, mut backoff) = (0, Backoff::default());
    loop {
        match export(parts, tracker, record, &asked).await {
            // What failed for good says with which exit code.
            Err(error) if error.exit == Exit::Failure && failures < FAILURES_MAX => {
                failures += 1;
                let pause = backoff.next(None);
                tracing::warn!(%error, pause_ms = pause.as_millis(), "the export goes on behind its last file");
                tokio::time::sleep(pause).await;
            }
            done => return done.map_err(of_command),
        }
    }
}

async fn export(parts: &Parts, tracker: &Tracker, record: &JobRecord, asked: &Asked<'_>) -> Result<(), CommandError> {
    let exports = parts.exports.as_ref().ok_or_else(is_off)?;
    let mut place = exports(&record.id)?;
    let progress = tracker.whole("exporting");
    let base = match asked.since {
        Some(since) => Some(Base::open(exports(since)?.as_ref()).await?),
        None => None,
    };
    let mirror = MirrorReader::open(Arc::clone(&parts.store), parts.paths.clone()).await?;
    let at = match (begun(place.as_ref()).await?, asked.at) {
        (Some(begun), _) => begun.at,
        (None, Some(at)) => at,
        (None, None) => mirror.window().until.ok_or_else(not_complete)?,
    };
    let compression = if asked.compress { Compression::Zstd } else { Compression::None };
    let options = Options { compression, file_bytes_max: FILE_BYTES_MAX, uncertain: None, unknown: None };
    let mirrors = vec![covering(mirror, at, &options).await?];
    let Made { manifest, .. } = Whole { at, mirrors, base, options }.run(place.as_mut(), &progress).await?;
    let containers = manifest.containers.iter().map(
        |container| json!({ "counts": container.counts(), "bytes": container.bytes(), "files": container.files.len() }),
    );
    tracker.result(json!({
        "place": place.describe(""),
        "id": manifest.id,
        "at": instant(manifest.at),
        "containers": containers.collect::<Vec<_>>(),
    }));
    Ok(())
}

fn is_off() -> CommandError {
    let failure = Failure::new(Kind::Misconfigured, "the configuration says no place for exports of jobs");
    failure.remedy("set admin.export_to").into()
}

fn not_complete() -> CommandError {
    let failure = Failure::new(Kind::TokenExpired, "the mirror is not complete for any instant yet");
    failure.remedy("wait until the container's first reading has ended; /status tells").into()
}

/// A job tells failures by their kinds.
pub(super) fn of_command(error: CommandError) -> Failure {
    let same = |kind: &Kind| kind.exit() == error.exit && error.exit != Exit::Failure;
    let kind = Kind::ALL.into_iter().find(same).unwrap_or(Kind::Refused);
    Failure::new(kind, error.message).remedy(error.remedy)
}
