//! What there is of a document in one target, by listing alone.

use cosmirror_formats::{PartitionKey, Version};
use serde::Serialize;

use super::{Place, letters};
use crate::failure::Failure;
use crate::rehearse;
use crate::retry::persist;
use crate::store::{Left, Shape};

/// What a target holds of a document.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Found {
    /// The target.
    pub target: String,
    /// Versions that can be erased.
    pub versions: u64,
    /// Snapshots that can be erased.
    pub snapshots: u64,
    /// Dead letters of the document.
    pub dead_letters: u64,
    /// Bytes of all these.
    pub bytes: u64,
    /// How many of them a policy or a legal hold keeps.
    pub held: u64,
    /// Until when a policy keeps the last of them, seconds since 1970; none where none does, or none tells.
    pub held_until: Option<i64>,
    /// Whether a legal hold keeps some.
    pub legal_hold: bool,
    /// What was erased and can be brought back.
    pub recoverable: u64,
    /// When the last of that is gone, seconds since 1970; none where there is none, or nobody tells.
    pub gone_by: Option<i64>,
    /// For how many days what is erased can be brought back; none where it cannot, or nobody tells.
    pub recoverable_days: Option<u32>,
    /// Dead letters of no known document, or encrypted without a key: they may hold it.
    pub unknown_dead_letters: u64,
    /// The container into which rehearsals restore, where they have not cleaned it: it may hold the document.
    pub rehearsed_into: Option<String>,
    /// Up to when it was purged before, seconds since 1970.
    pub purged_until: Option<i64>,
    /// What the command has erased.
    pub erased: u64,
    /// The names of the dead letters.
    #[serde(skip)]
    pub letters: Vec<String>,
}

impl Found {
    /// Whether the target has never heard of the document.
    pub fn is_nothing(&self) -> bool {
        self.versions + self.snapshots + self.dead_letters + self.recoverable == 0 && self.purged_until.is_none()
    }

    /// Whether something of it is left that the target shows.
    pub(super) fn is_left(&self) -> bool {
        self.versions + self.snapshots + self.dead_letters > 0
    }

    /// What is left after it was erased, beside what there was before.
    pub(super) fn after(self, before: Self) -> Self {
        let erasable = |found: &Self| found.versions + found.snapshots + found.dead_letters;
        let (erased, held) = (erasable(&before).saturating_sub(erasable(&self)), erasable(&self));
        Self { erased, held, ..self }
    }

    fn add(&mut self, left: &Left) {
        if left.deleted {
            self.recoverable += 1;
            self.gone_by = self.gone_by.max(left.gone_by);
            return;
        }
        match left.shape {
            Shape::Snapshot(_) => self.snapshots += 1,
            Shape::Current | Shape::Version(_) => self.versions += 1,
        }
        self.hold(left);
    }

    fn hold(&mut self, left: &Left) {
        self.bytes += left.length;
        if let Some(hold) = left.hold {
            self.held += 1;
            self.held_until = self.held_until.max(hold.until);
            self.legal_hold |= hold.legal;
        }
    }
}

async fn rehearsed_into(place: &Place) -> Result<Option<String>, Failure> {
    let last = rehearse::last(place.mirror.store.as_ref(), &place.mirror.paths).await?;
    Ok(last.filter(|last| !last.traces.is_empty()).map(|last| last.scratch.name))
}

/// Looks at one target.
pub(super) async fn look(place: &Place, key: &PartitionKey, id: &str, until: i64) -> Result<Found, Failure> {
    // Metadata of another document under this name, or damaged ones, end it here.
    place.mirror.history(key, id).await?;
    let name = place.mirror.paths.document(key, id);
    let letters::Letters { names, unknown } = letters::of(place, key, id, until).await?;
    let mut found = Found {
        target: place.target.clone(),
        recoverable_days: place.eraser.recoverable_days().await,
        unknown_dead_letters: unknown,
        rehearsed_into: rehearsed_into(place).await?,
        ..Found::default()
    };
    for left in persist(|| place.eraser.left(&name)).await? {
        match Version::from_metadata(&left.metadata) {
            // A mark holds nothing.
            Ok(version) if version.is_purge() => found.purged_until = found.purged_until.max(Some(version.ts)),
            Ok(version) if !left.deleted && version.ts > until => {}
            // Of what was deleted, a service need not show the metadata.
            Err(_) if !left.deleted => {}
            _ => found.add(&left),
        }
    }
    for letter in &names {
        for left in persist(|| place.eraser.left(letter)).await? {
            if left.deleted {
                found.add(&left);
            } else {
                found.hold(&left);
            }
        }
    }
    found.dead_letters = names.len() as u64;
    found.letters = names;
    Ok(found)
}
