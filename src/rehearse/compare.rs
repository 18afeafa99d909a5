//! Each sampled document of the mirror beside the scratch container's: what `show` would print of the instant, against what is there.

use std::sync::Arc;

use cosmirror_formats::rehearsal::{Counts, Rehearsal};
use futures::TryStreamExt as _;

use super::{Rehearse, cancelled};
use crate::documents::Documents;
use crate::documents::cosmos::CosmosDocuments;
use crate::failure::{CommandError, Exit, Failure, Kind};
use crate::history::{MirrorReader, State, client_text};
use crate::look::{Seen, Which, look};
use crate::restore::catalog::{Candidate, candidates};
use crate::restore::{Sampling, Selection};
use crate::retry::persist;
use crate::sha256::sha256_hex;

/// Documents compared at the same time.
const DOCUMENTS_AT_ONCE: usize = 16;
/// Documents that are told one by one.
const NOTES_MAX: usize = 20;

/// What was found.
#[derive(Default)]
pub(super) struct Compared {
    pub(super) counts: Counts,
    /// The first that are not equal, and why.
    pub(super) notes: Vec<String>,
}

/// What one document is.
enum Verdict {
    /// It is not of the sample; whether it existed then.
    Elsewhere(bool),
    Equal,
    Different(String),
    Missing(String),
    Extra(String),
    /// The mirror cannot tell, for this reason; whether it is in the scratch container.
    Unknown(bool, String),
    Damaged(String),
    /// Neither then nor now.
    Nothing,
}

/// Compares the sample as of `at`.
pub(super) async fn compare(
    asked: &Rehearse,
    mirror: &MirrorReader,
    documents: Arc<CosmosDocuments>,
    record: &Rehearsal,
    at: i64,
) -> Result<Compared, CommandError> {
    let sampling = Sampling::new(asked.sample_per_million, &record.id);
    let (mut compared, mut there) = (Compared::default(), 0);
    let all = candidates(mirror, &Selection::All);
    let verdicts = all
        .map_err(CommandError::from)
        .map_ok(|candidate| verdict(asked, mirror, documents.as_ref(), &sampling, candidate, at))
        .try_buffer_unordered(DOCUMENTS_AT_ONCE);
    let mut verdicts = std::pin::pin!(verdicts);
    let progress = (asked.shows)("comparing");
    while let Some(verdict) = verdicts.try_next().await? {
        if asked.cancel.is_cancelled() {
            return Err(cancelled());
        }
        progress.inc(1);
        there += compared.count(verdict);
    }
    let held = persist(|| rows(documents.as_ref())).await?;
    // What the mirror never heard of was not restored from it.
    compared.counts.extra += held.saturating_sub(there);
    Ok(compared)
}

impl Compared {
    /// Counts a document, and gives 1 where it is in the scratch container.
    fn count(&mut self, verdict: Verdict) -> u64 {
        let counts = &mut self.counts;
        let existed =
            matches!(verdict, Verdict::Equal | Verdict::Different(_) | Verdict::Missing(_) | Verdict::Damaged(_));
        counts.documents += u64::from(existed);
        counts.all += u64::from(existed || matches!(verdict, Verdict::Elsewhere(true)));
        let (count, there, note) = match verdict {
            Verdict::Elsewhere(_) | Verdict::Nothing => return 0,
            Verdict::Equal => (&mut counts.equal, 1, None),
            Verdict::Different(note) => (&mut counts.different, 1, Some(note)),
            Verdict::Missing(note) => (&mut counts.missing, 0, Some(note)),
            Verdict::Extra(note) => (&mut counts.extra, 1, Some(note)),
            Verdict::Unknown(there, note) => (&mut counts.unknown, u64::from(there), Some(note)),
            Verdict::Damaged(note) => (&mut counts.damaged, 0, Some(note)),
        };
        *count += 1;
        if self.notes.len() < NOTES_MAX {
            self.notes.extend(note);
        }
        there
    }
}

async fn verdict(
    asked: &Rehearse,
    mirror: &MirrorReader,
    documents: &CosmosDocuments,
    sampling: &Sampling,
    Candidate { name, history }: Candidate,
    at: i64,
) -> Result<Verdict, CommandError> {
    let sampled = sampling.contains(&name);
    let history = match history {
        Ok(history) if !sampled => return Ok(Verdict::Elsewhere(matches!(history.state_at(at), State::Present(_)))),
        Ok(history) => history,
        Err(failure) if sampled => return Ok(Verdict::Damaged(failure.message)),
        Err(_) => return Ok(Verdict::Elsewhere(true)),
    };
    asked.units.wait().await;
    let scratch = persist(|| documents.read(&history.key, &history.id)).await?;
    let what = || format!("{:?} of partition key {}", history.id, history.key);
    let expected = match look(mirror, &history, Which::At(at)).await {
        Ok(Seen::Document { bytes, .. }) => Some(bytes),
        Ok(Seen::Absent(_)) => None,
        Err(error) if error.exit == Exit::NotCovered => {
            return Ok(Verdict::Unknown(scratch.is_some(), error.message));
        }
        Err(error) if error.exit == Exit::Integrity => return Ok(Verdict::Damaged(error.message)),
        Err(error) => return Err(error),
    };
    Ok(match (expected, scratch) {
        (None, None) => Verdict::Nothing,
        (None, Some(_)) => {
            Verdict::Extra(format!("{}: it did not exist then, and is in the scratch container", what()))
        }
        (Some(_), None) => Verdict::Missing(format!("{}: it is not in the scratch container", what())),
        (Some(expected), Some(found)) => {
            let hash = |bytes: &[u8], whose: &str| client_text(bytes, whose).map(|text| sha256_hex(&text));
            if hash(&expected, "a version")? == hash(&found.bytes, "the scratch container's document")? {
                Verdict::Equal
            } else {
                Verdict::Different(format!("{}: its content is another one", what()))
            }
        }
    })
}

/// How many documents the scratch container holds.
async fn rows(documents: &CosmosDocuments) -> Result<u64, Failure> {
    let (mut rows, mut pages) = (0, documents.query("SELECT c.id FROM c", &[]));
    while let Some(page) = pages.try_next().await? {
        rows += u64::try_from(page.len()).map_err(|_| Failure::new(Kind::Internal, "a page without end"))?;
    }
    Ok(rows)
}
