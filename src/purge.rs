//! Erasing a document's whole history, for the law.
//!
//! | step | file |
//! |---|---|
//! | what there is of the document, in each target | `purge/look.rs` |
//! | dead letters that hold it | `purge/letters.rs` |
//! | say that it was done, but not of what | `purge/record.rs` |
//! | erase it and see that it stays away | here |
//!
//! **The mark** keeps it away: a version without content, on top of all others, that says up to which second what was committed is erased.
//! Whoever is about to put something of the document has to put it on what is current, finds the mark, and leaves it
//! ([`decide`](crate::mirror::order::decide)): the replay of a page after a crash, a backfill, a repair, a daemon that has not heard of the purge,
//! and another target's filling. What is committed later is another document's history and is stored on the mark.
//!
//! The order is: a record in every target, the mark in every target, and only then the first version is erased; so a target never brings back
//! what another one has lost. A crash leaves a document that is partly erased and wholly invisible: readers show nothing beneath a mark. Running
//! the command again goes on, with the same second where the id is in use again. Nothing is erased that was committed after the second.

use std::collections::HashSet;
use std::sync::Arc;

use cosmirror_formats::{PartitionKey, Version};
use futures::stream::{self, StreamExt as _, TryStreamExt as _};

use crate::crash::crash_point;
use crate::failure::{Failure, Kind};
use crate::history::MirrorReader;
use crate::mirror::write::known_of;
use crate::retry::persist;
use crate::store::{Condition, Erased, Eraser, Left, Put, Shape};

mod letters;
mod look;
mod record;

pub use look::Found;

/// Versions that are erased at the same time.
const ERASED_AT_ONCE: usize = 8;
/// How often a name is looked at again after something was erased of it: what was current becomes a version, and only then can be erased as one.
const LOOKS_MAX: u32 = 10;
/// Attempts at the mark while other writers are faster.
const ROUNDS_MAX: u32 = 100;

/// One target.
pub struct Place {
    /// What it is called.
    pub target: String,
    /// The mirror in it alone.
    pub mirror: MirrorReader,
    /// What removes versions from it.
    pub eraser: Arc<dyn Eraser>,
}

/// One document's purge from all targets.
pub struct Purge {
    /// The targets, the first one first.
    pub places: Vec<Place>,
    /// The document's partition key.
    pub key: PartitionKey,
    /// Its id.
    pub id: String,
    /// Up to this second, since 1970, everything of it is erased. The document did not exist at its end.
    pub until: i64,
    /// Whether an earlier purge is gone on with, behind which another document with the id was created. What is committed after
    /// the second is that document's, and where a target holds some of it, that is mark enough: nothing older is put beneath.
    pub finishes: bool,
}

impl Purge {
    /// What there is of the document in each target. Changes nothing.
    pub async fn look(&self) -> Result<Vec<Found>, Failure> {
        let mut found = Vec::new();
        for place in &self.places {
            found.push(look::look(place, &self.key, &self.id, self.until).await?);
        }
        Ok(found)
    }

    /// The second of an earlier purge that began and has left something of the document; none where there is none.
    pub async fn unfinished(&self) -> Result<Option<i64>, Failure> {
        let mut begun = None;
        for place in &self.places {
            begun = begun.max(record::until(place, &self.name(place)).await?);
        }
        let Some(until) = begun else { return Ok(None) };
        for place in &self.places {
            if look::look(place, &self.key, &self.id, until).await?.is_left() {
                return Ok(Some(until));
            }
        }
        Ok(None)
    }

    /// Erases it, where any target knows of it, and tells what is left.
    pub async fn run(&self, command: &str) -> Result<Vec<Found>, Failure> {
        let before = self.look().await?;
        if before.iter().all(Found::is_nothing) {
            return Ok(before);
        }
        let mut runs = Vec::new();
        for place in &self.places {
            runs.push(record::begin(place, &self.name(place), self.until, command).await?);
        }
        crash_point!("purge-recorded");
        for place in &self.places {
            self.mark(place).await?;
        }
        crash_point!("purge-marked");
        for (place, found) in self.places.iter().zip(&before) {
            let mut names = found.letters.clone();
            names.push(self.name(place));
            for name in names {
                self.erase(place, &name).await?;
            }
        }
        let mut after = Vec::new();
        for ((place, before), run) in self.places.iter().zip(before).zip(runs) {
            let found = look::look(place, &self.key, &self.id, self.until).await?.after(before);
            record::end(place, &self.name(place), &run, &found).await?;
            after.push(found);
        }
        Ok(after)
    }

    fn name(&self, place: &Place) -> String {
        place.mirror.paths.document(&self.key, &self.id)
    }

    /// Puts the mark on top of what is there.
    async fn mark(&self, place: &Place) -> Result<(), Failure> {
        let store = place.mirror.store.as_ref();
        let rid = place.mirror.record.generations.last().map(|life| life.rid.as_str()).unwrap_or_default();
        let (name, mark) = (self.name(place), Version::purge(self.until, rid, &self.id, &self.key));
        for _ in 0..ROUNDS_MAX {
            let condition = match persist(|| store.head(&name)).await? {
                None => Condition::Absent,
                Some(head) => {
                    persist(|| store.keep(&head)).await?;
                    let known = known_of(head, &mark)?;
                    if known.identity == mark.identity() {
                        return Ok(());
                    }
                    if known.ts > self.until {
                        return if self.finishes { Ok(()) } else { Err(created_again()) };
                    }
                    Condition::Matches(known.etag)
                }
            };
            let put = Put { name: name.clone(), body: bytes::Bytes::new(), metadata: mark.to_metadata(), condition };
            // A put whose answer was lost is found by the next look.
            match persist(|| store.put(put.clone())).await {
                Err(failure) if failure.kind == Kind::Conflict => {}
                done => return done.map(drop),
            }
        }
        Err(Failure::new(Kind::Transient, "the document's blob keeps being changed by another writer"))
    }

    /// Erases what a name holds of the document, as far as nothing forbids it.
    async fn erase(&self, place: &Place, name: &str) -> Result<(), Failure> {
        let eraser = place.eraser.as_ref();
        let is_document = name == self.name(place);
        let mut held: HashSet<Shape> = HashSet::new();
        for _ in 0..LOOKS_MAX {
            let left = persist(|| eraser.left(name)).await?;
            let is_due = |left: &Left| {
                !left.deleted && !held.contains(&left.shape) && (!is_document || is_erased(left, self.until))
            };
            let mut due: Vec<Left> = left.into_iter().filter(is_due).collect();
            if due.is_empty() {
                return Ok(());
            }
            // A blob that has snapshots is not deleted.
            if due.iter().any(|left| left.shape != Shape::Current) {
                due.retain(|left| left.shape != Shape::Current);
            }
            let erased: Vec<(Left, Erased)> = stream::iter(due)
                .map(|left| async move {
                    let erased = persist(|| eraser.erase(&left)).await?;
                    crash_point!("purge-erased");
                    Ok::<_, Failure>((left, erased))
                })
                .buffer_unordered(ERASED_AT_ONCE)
                .try_collect()
                .await?;
            let kept = erased.into_iter().filter(|(_, erased)| *erased == Erased::Held);
            held.extend(kept.map(|(left, _)| left.shape));
        }
        Ok(())
    }
}

/// Whether something that is left of a document's blob is to go: all that was committed up to then, marks of earlier purges among it.
fn is_erased(left: &Left, until: i64) -> bool {
    let version = Version::from_metadata(&left.metadata).ok();
    left.shape != Shape::Current
        && version.is_some_and(|version| version.ts <= until && !(version.is_purge() && version.ts == until))
}

fn created_again() -> Failure {
    Failure::new(
        Kind::Conflict,
        "the document was created again meanwhile, and the mirror holds it; nothing was erased",
    )
    .remedy("delete it in the source, and run the purge again")
}
