//! Plan and apply, by the restore's own machinery; the files of both are in a folder of their own that goes with them.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use cosmirror_formats::records::Window;
use cosmirror_formats::rehearsal::{Rehearsal, Took};
use cosmirror_formats::restore_plan::{FORMAT, Part, PlanHead};
use indicatif::ProgressBar;
use tokio::time::Instant;

use super::scratch::Scratch;
use super::{Rehearse, cancelled};
use crate::documents::Documents;
use crate::encryption::Identities;
use crate::failure::{CommandError, Exit};
use crate::history::MirrorReader;
use crate::restore::{
    Application, Keys, Meter, Pace, PlanWriter, Point, Report, Request, Restore, RestoreFile, Sampling, Selection,
    Tally, Target, blocking,
};

/// What came of the writing.
pub(super) struct Written {
    pub(super) written: u64,
    pub(super) failed: u64,
    pub(super) bytes: u64,
    pub(super) notes: Vec<String>,
}

/// Restores the sample, and gives what came of it, the instant, and how long it took.
pub(super) async fn restore(
    asked: &Rehearse,
    mirror: &Arc<MirrorReader>,
    scratch: &Scratch,
    record: &Rehearsal,
) -> Result<(Written, i64, Took), CommandError> {
    let at = asked.at.or_else(|| newest(mirror.window())).ok_or_else(|| nothing_known(mirror.window()))?;
    let folder = tempfile::tempdir().map_err(|error| crate::spool::unusable(&error))?;
    let begun = Instant::now();
    let request = Request {
        sampling: Some(Sampling::new(asked.sample_per_million, &record.id)),
        ..Request::new(Selection::All, Point::At(at))
    };
    let part = part(asked, mirror, scratch, &request, at);
    let plan = folder.path().join("plan");
    let bytes = planned(asked, mirror, scratch, &request, (&plan, &record.id, &part)).await?;
    let plan_seconds = begun.elapsed().as_secs_f64();
    let begun = Instant::now();
    let undo = folder.path().join("undo");
    let report = applied(asked, mirror, scratch, plan, undo, part).await?;
    let restore_seconds = begun.elapsed().as_secs_f64();
    let took = Took { plan_seconds, restore_seconds, rto_seconds: plan_seconds + restore_seconds, ..Took::default() };
    let written = Written {
        written: report.applied.total(),
        failed: report.failed + report.conflicts,
        bytes,
        notes: report.notes,
    };
    Ok((written, at, took))
}

/// Makes the plan, and gives how many bytes it writes.
async fn planned(
    asked: &Rehearse,
    mirror: &MirrorReader,
    scratch: &Scratch,
    request: &Request,
    (path, id, part): (&Path, &str, &Part),
) -> Result<u64, CommandError> {
    let made = crate::time::now().to_string();
    let head = PlanHead { format: FORMAT, id: id.to_owned(), made, parts: vec![part.clone()] };
    let mut writer = PlanWriter::create(path, false, &head)?;
    let documents = scratch.documents()?;
    let planning = Restore {
        mirror,
        documents: Some(documents.as_ref() as &dyn Documents),
        request,
        part: 0,
        in_place: false,
        meter: Meter::default(),
        progress: (asked.shows)("planning"),
    };
    let planned = tokio::select! {
        planned = planning.plan(&mut writer) => planned,
        () = asked.cancel.cancelled() => return Err(cancelled()),
    };
    let tally = match planned {
        Ok(tally) => tally,
        // A small sample may hold nothing.
        Err(error) if error.exit == Exit::NotFound => Tally::default(),
        Err(error) => return Err(error),
    };
    writer.finish(tally.counts, tally.damaged, tally.bytes, tally.estimate.request_units)?;
    Ok(tally.bytes)
}

/// Does what the plan says.
async fn applied(
    asked: &Rehearse,
    mirror: &Arc<MirrorReader>,
    scratch: &Scratch,
    plan: PathBuf,
    undo: PathBuf,
    part: Part,
) -> Result<Report, CommandError> {
    let identities = asked.identities.clone();
    let file = blocking(move || RestoreFile::open(&plan, false, &identities)).await?;
    file.require_readable(&asked.identities)?;
    let pace = Pace::new(Arc::clone(&asked.units), asked.concurrency, asked.cancel.clone());
    let documents = scratch.documents()?;
    let writing = (asked.shows)("restoring");
    writing.set_length(file.changes());
    let application = Application {
        parts: vec![part],
        targets: vec![Target { documents: documents as _, mirror: Some(Arc::clone(mirror)), recorded_in: None }],
        keys: keys(&file, &asked.identities),
        undo,
        mark_field: None,
        concurrency: asked.concurrency as usize,
        failures_max: None,
        pace: &pace,
        cancel: &asked.cancel,
        writing,
        verifying: ProgressBar::hidden(),
    };
    let mut report = application.run(file).await;
    if report.cancelled {
        return Err(cancelled());
    }
    match report.fatal.take() {
        Some(failure) => Err(failure.into()),
        None => Ok(report),
    }
}

/// The newest instant at which every state is known, deletes included; none where there is no such instant yet.
pub(crate) fn newest(window: &Window) -> Option<i64> {
    window.deletes_until.filter(|deletes| window.from.is_some_and(|from| from <= *deletes))
}

fn nothing_known(window: &Window) -> CommandError {
    let (message, remedy) = match window.from {
        None => (
            "no instant is covered yet: the first backfill has not ended, or a range is not mirrored",
            "wait until `cosmirror run` has caught up",
        ),
        Some(_) => (
            "no instant is known completely yet: in latest-version mode the feed shows no deletes, and no reconciliation has looked for them",
            "run `cosmirror run --once --reconcile`, or wait for the daemon's reconciliation (`reconcile.interval`); what does not start at the beginning is never reconciled and needs the mode all-versions-and-deletes",
        ),
    };
    CommandError::new(Exit::NotCovered, message, remedy)
}

/// What undoes it is never used, and holds nothing: the container was empty.
fn keys(file: &RestoreFile, identities: &Identities) -> Keys {
    Keys { recipients: identities.recipients().filter(|_| file.is_encrypted()), identities: identities.clone() }
}

fn part(asked: &Rehearse, mirror: &MirrorReader, scratch: &Scratch, request: &Request, at: i64) -> Part {
    let account = &mirror.record.account;
    Part {
        account: asked.endpoint.clone(),
        mirrored_account: Some(account.clone()).filter(|own| !crate::config::same_account(own, &asked.endpoint)),
        source: format!("{}/{}", mirror.record.database, mirror.record.container),
        rid: mirror.record.generations.last().map(|life| life.rid.clone()).unwrap_or_default(),
        into: asked.scratch_name(),
        into_rid: scratch.rid().map(str::to_owned),
        selection: request.to_string(),
        at: Some(at),
        version: None,
        before_change: None,
        overwrite: request.overwrite.name().to_owned(),
        delete_extra: false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The mirror's end stood in for it, at which a document that was deleted unseen would still be there.
    #[test]
    fn the_newest_instant_is_one_at_which_deletes_are_known() {
        let newest = |from, until, deletes_until| newest(&Window { from, until, deletes_until });
        assert_eq!(newest(Some(5), Some(20), Some(15)), Some(15));
        assert_eq!(newest(Some(5), Some(20), None), None, "nobody has looked for them");
        assert_eq!(newest(Some(10), Some(20), Some(9)), None, "only before what is covered begins");
        assert_eq!(newest(None, None, None), None);
    }

    #[test]
    fn what_an_instant_lacks_and_what_to_do_about_it_is_said() {
        let covered = nothing_known(&Window { from: Some(5), until: Some(20), deletes_until: None });
        assert!(covered.remedy.contains("--reconcile"), "{}", covered.remedy);
        assert!(nothing_known(&Window::default()).message.contains("backfill"));
    }
}
