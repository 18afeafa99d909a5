//! A rehearsal: a sample of the documents is restored into a scratch container, compared with the mirror, and thrown away.
//!
//! | step | file |
//! |---|---|
//! | the record in the mirror: claim, sign of life and result | `rehearse/claim.rs` |
//! | whose the scratch container is, and what may be removed from it | `rehearse/scratch.rs` |
//! | plan and apply, by the restore's own machinery | `rehearse/restore.rs` |
//! | each document of the mirror beside the scratch container's | `rehearse/compare.rs` |
//!
//! **Nothing is deleted that no rehearsal wrote.** A container is a rehearsal's only if the mirror's record has its resource id, and it got
//! there when the container was empty. In it a document is a rehearsal's only if it is of a sample that the record names, the mirror
//! knows it, and it was written since that rehearsal began. If one document is not, nothing is deleted at all. The container itself is removed only if a
//! rehearsal created it, and when it is empty.
//!
//! **A crash** leaves documents in the scratch container, and the record that says whose they are. Who comes after it, once the sign of life is
//! too old, removes them first, and keeps their trace for one more round: a write that was under way may come late. One that is not dead and cannot say so
//! ends before that. Each rehearsal draws another sample, so that in time every document is rehearsed.
//!
//! The comparison reads states as `show` does and shares nothing with the plan but the listing.

use std::sync::Arc;

use cosmirror_formats::MirrorPaths;
use cosmirror_formats::rehearsal::{Counts, Rehearsal, RehearsalError, State};
use indicatif::ProgressBar;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::cosmos::Account;
use crate::encryption::Identities;
use crate::failure::{CommandError, Exit, Failure};
use crate::history::MirrorReader;
use crate::pace::RequestUnits;
use crate::store::VersionStore;

mod claim;
mod compare;
mod restore;
mod scratch;

use claim::{Claim, Claimed, new_rehearsal};
pub use claim::{EXPIRATION, last};
pub(crate) use restore::newest;
use scratch::Scratch;

/// At most one of so many documents may be unknown in a rehearsal that ends well.
const ONE_UNKNOWN_IN: u64 = 100;

/// What a rehearsal is made with.
pub struct Rehearse {
    /// Where the mirror is.
    pub store: Arc<dyn VersionStore>,
    /// Its names.
    pub paths: MirrorPaths,
    /// The account that is restored into.
    pub account: Account,
    /// Its endpoint as it is configured.
    pub endpoint: String,
    /// The scratch container.
    pub into: (String, String),
    /// The instant; left out, the newest one that is known completely.
    pub at: Option<i64>,
    /// Documents of each million.
    pub sample_per_million: u32,
    /// Remove what earlier ones left, and in the end what this one wrote.
    pub clean: bool,
    /// `command`, `schedule` or `job`.
    pub by: &'static str,
    /// What opens encrypted content.
    pub identities: Identities,
    /// The budget.
    pub units: Arc<RequestUnits>,
    /// Documents at a time.
    pub concurrency: u32,
    /// Ends it behind the writes under way.
    pub cancel: CancellationToken,
    /// Shows each of its phases.
    pub shows: Shows,
}

/// Gives where the documents of a phase are counted.
pub type Shows = Arc<dyn Fn(&'static str) -> ProgressBar + Send + Sync>;

/// For whom nobody watches.
pub fn unseen() -> Shows {
    Arc::new(|_| ProgressBar::hidden())
}

/// A rehearsal that came to its end, and what differed, for the person who asked.
pub struct Rehearsed {
    /// Its record.
    pub record: Rehearsal,
    /// The first differences, each with the document's name.
    pub notes: Vec<String>,
}

impl Rehearse {
    /// Rehearses, and records how it ended. An error says that it could not begin.
    pub async fn run(self) -> Result<Rehearsed, CommandError> {
        let mirror =
            MirrorReader::open_with(Arc::clone(&self.store), self.paths.clone(), self.identities.clone()).await?;
        let mirror = Arc::new(mirror);
        let begun = Instant::now();
        let now = self.account.clock().now().await?;
        let (found, before) = Claim::look(&self.store, &self.paths, now).await?;
        let scratch = Scratch::find(&self, &mirror, before.as_ref()).await?;
        let record = new_rehearsal(&self, &mirror, &scratch, before.as_ref(), now);
        let claim = Claim::take(Arc::clone(&self.store), &self.paths, found, record).await?;
        crate::crash::crash_point!("rehearsal-claimed");
        let claimed = Claimed::new(claim, begun);
        let mut notes = Vec::new();
        let clock = self.account.clock();
        let worked = claimed.while_alive(|| clock.now(), self.work(&mirror, scratch, &claimed, &mut notes)).await;
        let record = self.settle(worked, claimed).await?;
        Ok(Rehearsed { record, notes })
    }

    /// From the scratch container to the result; what was found so far is in the record.
    async fn work(
        &self,
        mirror: &Arc<MirrorReader>,
        mut scratch: Scratch,
        claimed: &Claimed,
        notes: &mut Vec<String>,
    ) -> Result<(), CommandError> {
        scratch.make_ready(self, mirror, claimed).await?;
        let begun = self.restored(mirror, &scratch, claimed, notes).await;
        let cancelled = begun.as_ref().is_err_and(|error| error.exit == Exit::Cancelled);
        // What was written is removed whatever came of it; after a signal the next one does it.
        if self.clean && !cancelled {
            let cleaned = scratch.clean(self, mirror, claimed).await;
            begun.and(cleaned)
        } else {
            begun
        }
    }

    async fn restored(
        &self,
        mirror: &Arc<MirrorReader>,
        scratch: &Scratch,
        claimed: &Claimed,
        notes: &mut Vec<String>,
    ) -> Result<(), CommandError> {
        let record = claimed.record().await;
        let (report, at, mut took) = restore::restore(self, mirror, scratch, &record).await?;
        notes.extend(report.notes.iter().cloned());
        crate::crash::crash_point!("rehearsal-restored");
        let begun = Instant::now();
        let compared = compare::compare(self, mirror, scratch.documents()?, &record, at).await?;
        took.compare_seconds = begun.elapsed().as_secs_f64();
        let mut counts = compared.counts;
        counts.failed = report.failed;
        counts.bytes = report.bytes;
        let written = report.written;
        if written > 0 {
            #[expect(clippy::cast_precision_loss, reason = "numbers of documents are small beside what is exact")]
            let (all, restored) = (counts.all as f64, written as f64);
            took.documents_per_second = Some(restored / took.restore_seconds.max(f64::EPSILON));
            took.rto_seconds_all = Some(took.plan_seconds + took.restore_seconds * (all / restored).max(1.0));
        }
        notes.extend(compared.notes);
        claimed
            .update(|record| {
                (record.instant, record.counts, record.took) = (Some(at), counts, took);
            })
            .await?;
        let nothing_is_wrong = counts.wrong() == 0 && counts.failed == 0;
        if nothing_is_wrong && is_too_little_compared(&counts) { Err(not_compared(&counts)) } else { Ok(()) }
    }

    /// Records how it ended.
    async fn settle(&self, worked: Result<(), CommandError>, claimed: Claimed) -> Result<Rehearsal, CommandError> {
        let now = self.account.clock().now().await?;
        let end = move |record: &mut Rehearsal| {
            record.ended = Some(now);
            record.state = match &worked {
                Ok(()) if record.counts.wrong() > 0 || record.counts.failed > 0 => State::Differs,
                Ok(()) => State::Equal,
                Err(error) if error.exit == Exit::Cancelled => State::Cancelled,
                Err(_) => State::Failed,
            };
            if record.state == State::Equal {
                record.succeeded = Some(now);
            }
            record.error = worked.err().map(|error| RehearsalError {
                code: error.exit.name().to_owned(),
                message: error.message,
                remedy: error.remedy,
            });
        };
        Ok(claimed.end(end).await?)
    }

    fn scratch_name(&self) -> String {
        format!("{}/{}", self.into.0, self.into.1)
    }
}

/// The error that a rehearsal's record stands for; none where everything was as it should be.
pub fn verdict(record: &Rehearsal) -> Option<CommandError> {
    let counts = &record.counts;
    if let Some(RehearsalError { code, message, remedy }) = &record.error {
        return Some(CommandError::new(Exit::of_name(code), message.clone(), remedy.clone()));
    }
    let error = |exit, message: String, remedy: &str| Some(CommandError::new(exit, message, remedy));
    if counts.damaged > 0 {
        let message = format!("{} documents have damaged versions in the mirror", counts.damaged);
        return error(
            Exit::Integrity,
            message,
            "see which: `cosmirror verify --mode hash`; bring the bytes back from a copy of the target",
        );
    }
    // What could not be written is missing as well.
    if counts.wrong() > counts.failed {
        let message =
            format!("{} of {} documents were not restored as the mirror has them", counts.wrong(), counts.documents);
        let remedy = "look at those that are named, and rehearse again without --clean to see what is there";
        return error(Exit::Drift, message, remedy);
    }
    if counts.failed > 0 {
        let message = format!("{} documents could not be written", counts.failed);
        return error(Exit::Partial, message, "see the reasons above");
    }
    None
}

/// Whether so little was compared that nothing can be said. In latest-version mode a few documents, which are being written at the instant, are always
/// unknown.
fn is_too_little_compared(counts: &Counts) -> bool {
    counts.unknown.saturating_mul(ONE_UNKNOWN_IN) > counts.equal.saturating_add(counts.unknown)
}

/// What keeps a rehearsal without a difference from ending well.
fn not_compared(counts: &Counts) -> CommandError {
    let message = format!(
        "the mirror does not know what {} documents were at that instant, so they were not compared; {} are equal",
        counts.unknown, counts.equal
    );
    let remedy = "see which and why by `cosmirror rehearse` as of the same instant, then name one by --at at which they are known: in latest-version mode none behind what `cosmirror status` says of deletes";
    CommandError::new(Exit::NotCovered, message, remedy)
}

/// What ends a rehearsal that was told to.
fn cancelled() -> CommandError {
    let remedy = "what was written stays in the scratch container; the next rehearsal with --clean removes it";
    CommandError::new(Exit::Cancelled, "cancelled", remedy)
}

/// What stops a rehearsal that lost its claim.
fn lost() -> Failure {
    Failure::new(crate::failure::Kind::Held, "another rehearsal has taken this one's place")
        .remedy("wait for it; it removes what this one left, if it is to clean")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_unknown_document_in_a_hundred_leaves_enough_to_compare() {
        let too_little = |equal, unknown| is_too_little_compared(&Counts { equal, unknown, ..Counts::default() });
        assert!(!too_little(0, 0) && !too_little(99, 1) && !too_little(9_900, 100));
        assert!(too_little(98, 1) && too_little(0, 1) && too_little(9_899, 100));
    }
}
