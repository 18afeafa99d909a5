//! One container's mirror, opened for reading.

use std::sync::Arc;

use bytes::Bytes;
use cosmirror_formats::records::{ContainerRecord, DeadLetter, Gap, Window};
use cosmirror_formats::{Encryption, KeyDefinition, MirrorPaths, PartitionKey, Version};
use tokio::sync::OnceCell;

use super::dead_letters::{self, Letter, Letters};
use super::expiry::TimesToLive;
use super::groups::{document_of, versions_of, versions_within};
use super::{Coverage, DefaultTtls, DocumentHistory, Entry, Life, Place};
use crate::config::{self, Config};
use crate::encryption::Identities;
use crate::failure::{Failure, Kind};
use crate::records::read;
use crate::retry::persist;
use crate::sha256::sha256_hex;
use crate::store::{Head, VersionStore};

/// A mirror and what it says of itself.
pub struct MirrorReader {
    /// Where it is.
    pub store: Arc<dyn VersionStore>,
    /// Its names.
    pub paths: MirrorPaths,
    /// Its description of its container.
    pub record: ContainerRecord,
    /// The source it was made from, where that may be asked for newer states; the mirror is complete without it.
    pub source: Option<(Config, config::Container)>,
    /// What opens encrypted content; none where only metadata are asked for.
    pub identities: Identities,
    /// Which instants it covers, as its own records say.
    coverage: Coverage,
    pub(crate) letters: Letters,
    times_to_live: OnceCell<TimesToLive>,
}

impl MirrorReader {
    /// Reads the mirror's description and its dead letters. Without a description there is no mirror.
    pub async fn open(store: Arc<dyn VersionStore>, paths: MirrorPaths) -> Result<Self, Failure> {
        Self::open_with(store, paths, Identities::default()).await
    }

    /// The same, to read what is encrypted as well.
    pub async fn open_with(
        store: Arc<dyn VersionStore>,
        paths: MirrorPaths,
        identities: Identities,
    ) -> Result<Self, Failure> {
        let record = described(store.as_ref(), &paths).await?;
        let definition = key_definition(&record);
        // A change that is covered has become a version or a dead letter before, so what is covered is read first.
        let coverage = Coverage::read(store.as_ref(), &paths, &[]).await?;
        let letters = dead_letters::letters(store.as_ref(), &paths, definition.as_ref(), &identities).await?;
        let times_to_live = OnceCell::new();
        Ok(Self { store, paths, record, source: None, identities, coverage, letters, times_to_live })
    }

    /// The same mirror, read anew: with every dead letter of now.
    pub async fn read_again(&self) -> Result<Self, Failure> {
        let again = Self::open_with(Arc::clone(&self.store), self.paths.clone(), self.identities.clone()).await?;
        Ok(Self { source: self.source.clone(), ..again })
    }

    /// One document's heads and dead letters as its history.
    pub(crate) fn document(&self, heads: Vec<Head>, letters: &[Letter]) -> Result<DocumentHistory, Failure> {
        let mut history = document_of(&self.paths, heads, letters)?;
        for entry in &mut history.entries {
            entry.life = self.life(&entry.version.rid);
        }
        Ok(history)
    }

    /// The life of the container that has this resource id.
    fn life(&self, rid: &str) -> Life {
        let lives = &self.record.generations;
        let Some(at) = lives.iter().rposition(|life| life.rid == rid) else { return Life::default() };
        let began = (at > 0).then(|| lives[at].since);
        Life { began, ended: lives.get(at + 1).map(|next| next.since) }
    }

    /// Whether a delete before this instant may have been missed: the feed of the mode gives none, and it was not looked for since. Behind
    /// a gap it was.
    pub fn may_miss_delete(&self, at: i64) -> bool {
        let modes = self.record.generations.last().map(|generation| generation.modes.as_slice()).unwrap_or_default();
        let latest_version = modes.last().is_some_and(|mode| mode == config::FeedMode::LatestVersion.as_str());
        latest_version && !self.coverage.knows_deletes(at)
    }

    /// The window in which instants are covered, as its own records say.
    pub fn window(&self) -> &Window {
        &self.coverage.window
    }

    /// Every recorded gap, ended ones included.
    pub fn gaps(&self) -> &[Gap] {
        &self.coverage.gaps
    }

    /// Up to which instant every delete is known, in the window that `at` lies in.
    pub fn deletes_known_until(&self, at: i64) -> Option<i64> {
        self.coverage.deletes_known_until(at)
    }

    /// The properties of the source container, as the mirror last saw them. What they were before is not in them.
    pub fn settings(&self) -> Option<&serde_json::Value> {
        self.record.generations.last().map(|generation| &generation.settings)
    }

    /// The default times to live that the mirror has seen in the life of the container that this version belongs to.
    pub async fn default_ttls(&self, entry: &Entry) -> Result<&DefaultTtls, Failure> {
        let read = || TimesToLive::read(self.store.as_ref(), &self.paths);
        Ok(self.times_to_live.get_or_try_init(read).await?.of(&entry.version.rid))
    }

    /// Everything the mirror holds of one document; empty if it never heard of it.
    pub async fn history(&self, key: &PartitionKey, id: &str) -> Result<DocumentHistory, Failure> {
        let heads = versions_of(self.store.as_ref(), &self.paths.document(key, id)).await?;
        self.history_of(key, id, heads)
    }

    /// The same, and none where it has more than this many versions.
    pub(crate) async fn history_within(
        &self,
        key: &PartitionKey,
        id: &str,
        versions_max: usize,
    ) -> Result<Option<DocumentHistory>, Failure> {
        let heads = versions_within(self.store.as_ref(), &self.paths.document(key, id), versions_max).await?;
        heads.map(|heads| self.history_of(key, id, heads)).transpose()
    }

    fn history_of(&self, key: &PartitionKey, id: &str, heads: Vec<Head>) -> Result<DocumentHistory, Failure> {
        let name = self.paths.document(key, id);
        let letters = self.letters.get(&name).map(Vec::as_slice).unwrap_or_default();
        if heads.is_empty() && letters.is_empty() {
            return Ok(DocumentHistory {
                key: key.clone(),
                id: id.to_owned(),
                entries: Vec::new(),
                unreadable: Vec::new(),
            });
        }
        let history = self.document(heads, letters)?;
        if history.key != *key || history.id != id {
            return Err(Failure::new(
                Kind::Integrity,
                format!("{name} holds another document than its name says: the names of two documents collide"),
            ));
        }
        Ok(history)
    }

    /// The document in a version, whose stored bytes are held against their hash.
    pub async fn body(&self, entry: &Entry) -> Result<Bytes, Failure> {
        self.bytes(&entry.place, &entry.version.sha256).await
    }

    /// That the stored bytes of a version have its hash, which takes no key.
    pub async fn check(&self, entry: &Entry) -> Result<(), Failure> {
        self.stored(&entry.place, &entry.version.sha256).await.map(drop)
    }

    /// The document at `place`, whose stored bytes must have this hash.
    pub(crate) async fn bytes(&self, place: &Place, sha256: &str) -> Result<Bytes, Failure> {
        let stored = self.stored(place, sha256).await?;
        let Some(encryption) = &stored.encryption else { return Ok(stored.bytes) };
        let opened = self.identities.open(&stored.what, encryption, &stored.bytes)?;
        match (place, stored.letter) {
            (Place::DeadLetter { name }, Some(letter)) => {
                dead_letters::document_in(name, &letter, opened, self.definition()?)
            }
            _ => Ok(opened),
        }
    }

    /// What is stored at `place`, held against its hash.
    async fn stored(&self, place: &Place, sha256: &str) -> Result<StoredContent, Failure> {
        let (what, found) = match place {
            Place::Version { name, version } => {
                let what = format!("{name} (version {version})");
                let found = persist(|| self.store.get(name, Some(version))).await?;
                let found = found.map(|(head, bytes)| Ok((bytes, encryption_of(&head)?, None)));
                (what, found.transpose()?)
            }
            Place::DeadLetter { name } => {
                let letter = read::<DeadLetter>(self.store.as_ref(), name).await?;
                let found = letter.map(|letter| {
                    let (bytes, encryption) = dead_letters::stored(name, &letter, self.definition()?)?;
                    Ok::<_, Failure>((bytes, encryption, Some(letter)))
                });
                (name.clone(), found.transpose()?)
            }
        };
        let (bytes, encryption, letter) = found.ok_or_else(|| {
            Failure::new(Kind::NotFound, format!("{what} was listed but is gone"))
                .remedy("a lifecycle rule or a person deleted it; undelete it where soft delete is on")
        })?;
        if sha256_hex(&bytes) == sha256 {
            return Ok(StoredContent { what, bytes, encryption, letter });
        }
        Err(Failure::new(Kind::Integrity, format!("the bytes of {what} do not match their SHA-256"))
            .remedy("the blob was damaged or altered; nothing was written from it"))
    }

    fn definition(&self) -> Result<KeyDefinition, Failure> {
        key_definition(&self.record)
            .ok_or_else(|| Failure::new(Kind::Integrity, "the mirror does not say where documents hold their key"))
    }
}

/// Bytes as they are stored.
struct StoredContent {
    /// Where, as the beginning of a sentence.
    what: String,
    bytes: Bytes,
    encryption: Option<Encryption>,
    /// The dead letter that they are in.
    letter: Option<DeadLetter>,
}

fn encryption_of(head: &Head) -> Result<Option<Encryption>, Failure> {
    let unusable = |error| Failure::new(Kind::Integrity, format!("the blob {:?} is not usable: {error}", head.name));
    Version::from_metadata(&head.metadata).map(|version| version.encryption).map_err(unusable)
}

/// A mirror's description of itself. Without one there is no mirror.
pub async fn described(store: &dyn VersionStore, paths: &MirrorPaths) -> Result<ContainerRecord, Failure> {
    let name = paths.container_record();
    read::<ContainerRecord>(store, &name).await?.ok_or_else(|| {
        Failure::new(Kind::NotFound, format!("there is no mirror of this container: {name} is missing"))
            .remedy("check [target] and --source; `cosmirror run` makes the mirror")
    })
}

/// Where the documents of a container hold their partition key.
pub fn key_definition(record: &ContainerRecord) -> Option<KeyDefinition> {
    record.generations.last().map(|generation| KeyDefinition::new(&generation.partition_key_paths))
}
