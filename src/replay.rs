//! Dead letters become versions, where the mirror's order still has a place for them.
//!
//! 1. [`order`] puts the letters of one document into source order, so that each finds its place on top of the one before;
//! 2. each is held against what is stored, by the rules of the mirror's writer, and put on top if nothing newer is there;
//! 3. only then its record is marked as resolved, and how: `stored`, or `superseded` where a newer version is stored. A version that
//!    was superseded cannot be put beneath that one; history goes on reading it from its dead letter.
//!
//! Every write is conditional and looked at before it is judged, so a daemon may be at work at the same time. A crash between
//! the two writes leaves a stored version and a waiting letter; the next replay finds the version and only marks the letter.
//! A letter that the target refuses again stays, with the new reason. One whose document cannot be told stays as it is.

use std::collections::{BTreeMap, HashMap};

use cosmirror_formats::records::{DeadLetter, RESOLVED, Resolution};
use cosmirror_formats::{KeyDefinition, MirrorPaths};
use futures::TryStreamExt as _;

use crate::crash::crash_point;
use crate::encryption::Identities;
use crate::failure::{Failure, Kind};
use crate::history::{Entry, Life, Place, dead_letter_encryption, dead_letter_version, groups, source_order};
use crate::mirror::order::{Decision, Known, arrange, decide};
use crate::mirror::plan::Incoming;
use crate::mirror::write::{known_of, put_on};
use crate::records;
use crate::retry::persist;
use crate::store::{Condition, Listing, VersionStore};

#[cfg(test)]
mod tests;

/// Rounds of looking and putting while another writer is faster each time.
const ROUNDS_MAX: u32 = 100;

/// One mirror's replay.
pub struct Replay<'a> {
    /// The mirror.
    pub store: &'a dyn VersionStore,
    /// Its names.
    pub paths: &'a MirrorPaths,
    /// Where the container's documents hold their partition key.
    pub definition: Option<KeyDefinition>,
    /// What opens entries that are encrypted and were not understood; a version's bytes are put as they are encrypted.
    pub identities: &'a Identities,
    /// Say what would be done and do nothing.
    pub dry_run: bool,
}

/// What became of one dead letter, or would become of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// It was put as a version.
    Stored,
    /// It had been stored before.
    AlreadyStored,
    /// A newer version is stored.
    Superseded,
    /// It stays, and its document's history was erased.
    Purged,
    /// It had been resolved before.
    AlreadyResolved,
    /// It stays, for this reason.
    Failed(String),
    /// It stays, because it is encrypted and no identity opens it.
    Closed(String),
}

/// One dead letter and what became of it.
#[derive(Debug, Clone, PartialEq)]
pub struct Done {
    /// The record's name.
    pub name: String,
    /// The record as it was.
    pub record: DeadLetter,
    /// What became of it.
    pub outcome: Outcome,
}

/// A dead letter with what it holds.
struct Candidate {
    name: String,
    record: DeadLetter,
    blob: String,
    incoming: Incoming,
}

impl Replay<'_> {
    /// Replays these records, by name. The failure is the one that ended the work early, such as a wrong credential.
    pub async fn run(&self, letters: Vec<(String, DeadLetter)>) -> (Vec<Done>, Option<Failure>) {
        let mut done = Vec::new();
        let mut documents: BTreeMap<String, Vec<Candidate>> = BTreeMap::new();
        for (name, record) in letters {
            if record.resolved {
                done.push(Done { name, record, outcome: Outcome::AlreadyResolved });
            } else if let Some(outcome) = self.closed(&record) {
                done.push(Done { name, record, outcome });
            } else if let Some(incoming) = dead_letter_version(&record, self.definition.as_ref(), self.identities) {
                let blob = self.paths.document(&incoming.version.pk, &incoming.version.id);
                documents.entry(blob.clone()).or_default().push(Candidate { name, record, blob, incoming });
            } else {
                let reason = format!("its document is not known: {}", record.reason);
                done.push(Done { name, record, outcome: Outcome::Failed(reason) });
            }
        }
        for candidates in documents.into_values() {
            if let Err(failure) = self.document(candidates, &mut done).await {
                return (done, Some(failure));
            }
        }
        (done, None)
    }

    /// What becomes of an encrypted entry that cannot be opened, or whose content would be put as it is.
    fn closed(&self, record: &DeadLetter) -> Option<Outcome> {
        let encryption = dead_letter_encryption(record).filter(|_| record.metadata.is_none())?;
        if self.store.recipients().is_none() {
            return Some(Outcome::Failed("it is encrypted, and target.recipients says to whom no more".to_owned()));
        }
        let closed = self.identities.require("it", [&encryption]).err()?;
        Some(Outcome::Closed(closed.message))
    }

    /// The letters of one document. What is wrong with that document alone does not end the work.
    async fn document(&self, candidates: Vec<Candidate>, done: &mut Vec<Done>) -> Result<(), Failure> {
        let exists = match candidates.first() {
            Some(first) => match self.look(first).await {
                Ok(known) => known.is_some_and(|known| known.exists),
                // Each of them meets the same again, and says so.
                Err(failure) if matches!(failure.kind, Kind::Integrity | Kind::Refused) => false,
                Err(failure) => return Err(failure),
            },
            None => false,
        };
        for candidate in order(candidates, exists) {
            let outcome = match self.one(&candidate).await {
                Err(failure) if failure.kind == Kind::Refused => {
                    self.keep_reason(&candidate, &failure.message).await?;
                    Outcome::Failed(failure.message)
                }
                Err(failure) if failure.kind == Kind::Integrity => Outcome::Failed(failure.message),
                outcome => outcome?,
            };
            done.push(Done { name: candidate.name, record: candidate.record, outcome });
        }
        Ok(())
    }

    async fn one(&self, candidate: &Candidate) -> Result<Outcome, Failure> {
        let outcome = self.place(candidate).await?;
        if self.dry_run || outcome == Outcome::Purged {
            return Ok(outcome);
        }
        let how = if outcome == Outcome::Superseded { Resolution::Superseded } else { Resolution::Stored };
        self.mark(&candidate.name, how).await?;
        Ok(outcome)
    }

    /// Puts the version where it belongs, unless it is there or cannot be put any more.
    async fn place(&self, candidate: &Candidate) -> Result<Outcome, Failure> {
        for _ in 0..ROUNDS_MAX {
            // A put whose answer was lost is found stored by the next attempt.
            match persist(|| self.attempt(candidate)).await {
                Err(failure) if failure.kind == Kind::Conflict => {}
                outcome => return outcome,
            }
        }
        Err(Failure::new(Kind::Transient, format!("{:?} keeps being changed by another writer", candidate.blob)))
    }

    async fn attempt(&self, candidate: &Candidate) -> Result<Outcome, Failure> {
        let known = self.look(candidate).await?;
        let decision = decide(known.as_ref(), &candidate.incoming.version);
        match decision {
            Decision::Stored => return Ok(Outcome::AlreadyStored),
            Decision::Purged => return Ok(Outcome::Purged),
            Decision::Put | Decision::Older | Decision::Open => {}
        }
        // A newer version may stand on this one, or have overtaken it.
        if decision != Decision::Put && self.is_stored(candidate).await? {
            return Ok(Outcome::AlreadyStored);
        }
        if decision == Decision::Older {
            return Ok(Outcome::Superseded);
        }
        if !self.dry_run {
            let (put, _) = put_on(&candidate.blob, known.as_ref(), &candidate.incoming);
            self.store.put(put).await?;
            crash_point!("replay-put");
        }
        Ok(Outcome::Stored)
    }

    async fn look(&self, candidate: &Candidate) -> Result<Option<Known>, Failure> {
        let head = persist(|| self.store.head(&candidate.blob)).await?;
        if let Some(head) = head.as_ref().filter(|_| !self.dry_run) {
            // It may be taken for stored, or put something over.
            persist(|| self.store.keep(head)).await?;
        }
        head.map(|head| known_of(head, &candidate.incoming.version)).transpose()
    }

    /// Whether one of the document's versions has this identity.
    async fn is_stored(&self, candidate: &Candidate) -> Result<bool, Failure> {
        let name = candidate.blob.clone();
        // The name is the least of those that begin with it, so it comes first or not at all.
        let first = std::pin::pin!(groups(self.store, name, Listing::Versions)).try_next().await?;
        let identity = candidate.incoming.version.identity();
        for head in first.unwrap_or_default().into_iter().filter(|head| head.name == candidate.blob) {
            if known_of(head, &candidate.incoming.version)?.identity == identity {
                return Ok(true);
            }
        }
        Ok(false)
    }

    async fn mark(&self, name: &str, how: Resolution) -> Result<(), Failure> {
        self.change(name, |record| {
            record.resolved = true;
            record.resolution = Some(how);
        })
        .await?;
        crash_point!("replay-marked");
        Ok(())
    }

    async fn keep_reason(&self, candidate: &Candidate, reason: &str) -> Result<(), Failure> {
        if self.dry_run || candidate.record.reason == reason {
            return Ok(());
        }
        self.change(&candidate.name, |record| reason.clone_into(&mut record.reason)).await
    }

    /// Changes a record that waits; what another replay resolved stays as it is.
    async fn change(&self, name: &str, change: impl Fn(&mut DeadLetter)) -> Result<(), Failure> {
        for _ in 0..ROUNDS_MAX {
            let stored = persist(|| records::get::<DeadLetter>(self.store, name)).await?;
            let (mut record, etag) =
                stored.ok_or_else(|| Failure::new(Kind::NotFound, format!("the dead letter {name} is gone")))?;
            if record.resolved {
                return Ok(());
            }
            change(&mut record);
            let mut put = records::put(name.to_owned(), &record, Condition::Matches(etag));
            if let Some(how) = record.resolution {
                put.metadata.insert(RESOLVED.to_owned(), how.as_str().to_owned());
            }
            match persist(|| self.store.put(put.clone())).await {
                Err(failure) if failure.kind == Kind::Conflict => {}
                done => return done.map(drop),
            }
        }
        Err(Failure::new(Kind::Transient, format!("{name:?} keeps being changed by another writer")))
    }
}

/// One document's letters in source order; those of one transaction in an order that is possible where the document `exists`
/// before them or not, and else as they came.
fn order(mut candidates: Vec<Candidate>, exists: bool) -> Vec<Candidate> {
    candidates.sort_by_key(|candidate| candidate.incoming.place);
    let entry = |candidate: &Candidate| Entry {
        version: candidate.incoming.version.clone(),
        place: Place::DeadLetter { name: candidate.name.clone() },
        length: 0,
        current: false,
        life: Life::default(),
    };
    let ordered = source_order(candidates.iter().map(entry).collect());
    let places: HashMap<String, usize> =
        ordered.iter().enumerate().map(|(at, entry)| (entry.version.identity(), at)).collect();
    // Two letters of one version, which have one identity, share a place.
    candidates.sort_by_key(|candidate| places.get(&candidate.incoming.version.identity()).copied());
    arrange(exists, &mut candidates, |candidate| candidate.incoming.shape());
    candidates
}
