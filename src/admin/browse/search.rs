//! Documents by the beginning of their id.
//!
//! Names of blobs begin with the partition key, so a known key narrows the listing to the ids themselves; without it all names of the
//! container are looked through, a bounded number for each answer, and the continuation goes on from there.

use std::time::Duration;

use axum::body::Bytes;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use cosmirror_formats::blob_name::encode_component;
use cosmirror_formats::{PartitionKey, Version};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use sha2::{Digest as _, Sha256};
use tokio::time::Instant;

use super::{Mirror, bounded, json_bytes, partition_key};
use crate::failure::{CommandError, Exit};
use crate::retry::persist;
use crate::store::{Head, Listing};

/// Names looked through for one answer.
const NAMES_MAX: usize = 20_000;
/// How long names are looked through for one answer. What was found by then is told, and the next answer goes on behind it. It leaves
/// time for one more page of names.
const LOOK_MAX: Duration = Duration::from_secs(4);
/// Documents in an answer.
const DOCUMENTS_MAX: usize = 200;
const DOCUMENTS_DEFAULT: usize = 50;
/// Characters of an encoded id by which the store is asked; longer ids are stored under shortened names.
const ENCODED_MAX: usize = 90;
/// Longest continuation, in characters; a store's own has a few hundred.
const NEXT_MAX: usize = 16_384;

#[derive(Debug, Deserialize)]
pub(super) struct Asked {
    pub(super) container: String,
    #[serde(default)]
    id: String,
    pk: Option<String>,
    limit: Option<usize>,
    next: Option<String>,
}

impl Asked {
    /// What tells this search from others.
    fn mark(&self) -> String {
        let parts = [self.container.as_str(), &self.id, self.pk.as_deref().unwrap_or_default()];
        let mut hash = Sha256::new();
        for part in parts {
            hash.update(part.len().to_le_bytes());
            hash.update(part);
        }
        URL_SAFE_NO_PAD.encode(&hash.finalize()[..12])
    }
}

/// Where the next answer begins.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
struct Place {
    /// The store's own continuation.
    page: Option<String>,
    /// Names of that page that were told already.
    skip: usize,
    /// Which search it belongs to.
    search: String,
}

#[derive(Debug, Default, Serialize)]
struct Found {
    documents: Vec<Document>,
    /// What to ask with for more; none at the end.
    next: Option<String>,
    /// Names that were looked through.
    looked_through: usize,
}

#[derive(Debug, Serialize)]
struct Document {
    id: String,
    partition_key: Value,
    op: &'static str,
    deleted: bool,
    ts: i64,
    bytes: u64,
}

pub(super) async fn found(mirror: &Mirror<'_>, asked: &Asked) -> Result<Bytes, CommandError> {
    let id = bounded("id", &asked.id)?;
    let key = asked.pk.as_deref().filter(|text| !text.is_empty()).map(partition_key).transpose()?;
    let limit = asked.limit.unwrap_or(DOCUMENTS_DEFAULT);
    if limit == 0 || limit > DOCUMENTS_MAX {
        let message = format!("limit is not between 1 and {DOCUMENTS_MAX}");
        return Err(CommandError::new(Exit::Usage, message, "leave it out, and go on with next"));
    }
    let mut found = Found::default();
    let place = match &asked.next {
        Some(next) => Place::read(next, asked.mark())?,
        None => {
            exactly(mirror, key.as_ref(), id, &mut found).await?;
            Place { search: asked.mark(), ..Place::default() }
        }
    };
    look_through(mirror, key.as_ref(), id, limit, place, &mut found).await?;
    json_bytes(&found)
}

/// The document with exactly this key and id, which may have a name that no other beginning leads to.
async fn exactly(
    mirror: &Mirror<'_>,
    key: Option<&PartitionKey>,
    id: &str,
    found: &mut Found,
) -> Result<(), CommandError> {
    let Some(key) = key.filter(|_| !id.is_empty()) else { return Ok(()) };
    let name = mirror.paths.document(key, id);
    if let Some(head) = persist(|| mirror.store.head(&name)).await? {
        found.documents.extend(document(&head).filter(|(version, _)| version.id == id).map(|(_, document)| document));
    }
    Ok(())
}

async fn look_through(
    mirror: &Mirror<'_>,
    key: Option<&PartitionKey>,
    id: &str,
    limit: usize,
    mut place: Place,
    found: &mut Found,
) -> Result<(), CommandError> {
    let prefix = match key {
        Some(key) => mirror.paths.documents_of_key(key) + &encoded_beginning(id),
        None => mirror.paths.documents(),
    };
    // The one that was looked up by its own name was told first.
    let told = found.documents.first().map(|first| first.id.clone());
    let begun = Instant::now();
    loop {
        let page = persist(|| mirror.store.list(&prefix, Listing::Current, place.page.clone())).await?;
        for (at, head) in page.heads.iter().enumerate().skip(place.skip) {
            if found.documents.len() >= limit {
                found.next = Some(Place { skip: at, ..place }.written()?);
                return Ok(());
            }
            found.looked_through += 1;
            // What is damaged is reported where it is asked for by name.
            let Some((version, document)) = document(head) else { continue };
            let is_meant = version.id.starts_with(id) && key.is_none_or(|key| version.pk == *key);
            let is_told = key.is_some() && told.as_ref() == Some(&version.id);
            if is_meant && !is_told {
                found.documents.push(document);
            }
        }
        place = match page.next {
            Some(next) => Place { page: Some(next), skip: 0, ..place },
            None => return Ok(()),
        };
        let is_enough = found.looked_through >= NAMES_MAX || begun.elapsed() >= LOOK_MAX;
        if is_enough || found.documents.len() >= limit {
            found.next = Some(place.written()?);
            return Ok(());
        }
    }
}

fn document(head: &Head) -> Option<(Version, Document)> {
    let version = Version::from_metadata(&head.metadata).ok()?;
    let document = Document {
        id: version.id.clone(),
        partition_key: version.pk.to_json(),
        op: version.op.as_str(),
        deleted: version.is_tombstone(),
        ts: version.ts,
        bytes: head.length,
    };
    Some((version, document))
}

/// What the names of all ids that begin with this text begin with. A dot at the end is written otherwise than one in the middle, so
/// it is not asked by.
fn encoded_beginning(id: &str) -> String {
    let whole = |end: usize| encode_component(id[..end].trim_end_matches('.'));
    let ends = id.char_indices().map(|(at, _)| at).skip(1).chain([id.len()]);
    // Every byte takes at least one character, so no more ends than that can fit.
    ends.take(ENCODED_MAX).map(whole).take_while(|encoded| encoded.len() <= ENCODED_MAX).last().unwrap_or_default()
}

impl Place {
    fn written(&self) -> Result<String, CommandError> {
        Ok(URL_SAFE_NO_PAD.encode(json_bytes(self)?))
    }

    /// A place that this server gave for the search with this mark. Behind the place of another search names would be missing.
    fn read(text: &str, mark: String) -> Result<Self, CommandError> {
        let wrong = |why: &str| CommandError::new(Exit::Usage, why, "begin anew without it");
        let bytes = (text.len() <= NEXT_MAX).then(|| URL_SAFE_NO_PAD.decode(text).ok()).flatten();
        let place: Option<Self> = bytes.and_then(|bytes| serde_json::from_slice(&bytes).ok());
        let place = place.ok_or_else(|| wrong("next is not one that this server gave"))?;
        if place.search == mark { Ok(place) } else { Err(wrong("next belongs to another search")) }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::config;
    use crate::failure::{Failure, Kind};
    use crate::store::{Page, Put, Stored, VersionStore};
    use cosmirror_formats::MirrorPaths;

    proptest! {
        #[test]
        fn every_id_is_found_by_every_beginning_of_it(id in "[a-c.~/é☃]{1,12}|.{1,150}", cut in 0usize..150) {
            let key = PartitionKey::from_json(&serde_json::json!(["p"])).unwrap();
            let paths = MirrorPaths::new("", "db", "c");
            let end = id.char_indices().map(|(at, _)| at).nth(cut).unwrap_or(id.len());
            let name = paths.document(&key, &id);
            let prefix = paths.documents_of_key(&key) + &encoded_beginning(&id[..end]);
            prop_assert!(name.starts_with(&prefix), "{name:?} {prefix:?}");
        }
    }

    fn asked(id: &str, pk: Option<&str>) -> Asked {
        let pk = pk.map(str::to_owned);
        Asked { container: "db/c".to_owned(), id: id.to_owned(), pk, limit: None, next: None }
    }

    #[test]
    fn a_continuation_comes_back_as_it_was_and_others_are_refused() {
        let search = asked("a", Some("[\"p\"]"));
        let place = Place { page: Some("a/b".to_owned()), skip: 7, search: search.mark() };
        let next = place.written().unwrap();
        assert_eq!(Place::read(&next, search.mark()).unwrap(), place);
        for wrong in ["", "%%%", "e30x", &"A".repeat(NEXT_MAX + 1)] {
            assert_eq!(Place::read(wrong, search.mark()).unwrap_err().exit, Exit::Usage, "{wrong}");
        }
        let mut elsewhere = asked("a", Some("[\"p\"]"));
        elsewhere.container = "db/d".to_owned();
        for other in [asked("b", Some("[\"p\"]")), asked("a", None), asked("", Some("a[\"p\"]")), elsewhere] {
            let error = Place::read(&next, other.mark()).unwrap_err();
            assert_eq!((error.exit, error.message.as_str()), (Exit::Usage, "next belongs to another search"));
        }
    }

    /// A store of names without end, each page of which takes its time.
    struct Slow;

    #[async_trait::async_trait]
    impl VersionStore for Slow {
        async fn prepare(&self, _: bool) -> Result<(), Failure> {
            Ok(())
        }

        async fn put(&self, _: Put) -> Result<Stored, Failure> {
            Err(Failure::new(Kind::Refused, "nothing is written"))
        }

        async fn head(&self, _: &str) -> Result<Option<Head>, Failure> {
            Ok(None)
        }

        async fn get(&self, _: &str, _: Option<&str>) -> Result<Option<(Head, Bytes)>, Failure> {
            Ok(None)
        }

        async fn list(&self, _: &str, _: Listing, next: Option<String>) -> Result<Page, Failure> {
            tokio::time::sleep(Duration::from_secs(3)).await;
            let page = next.map_or(0, |next| next.parse::<u32>().unwrap_or_default());
            Ok(Page { heads: Vec::new(), next: Some((page + 1).to_string()) })
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_slow_store_is_looked_through_in_several_answers() {
        let config = crate::config::Config::default();
        let container = crate::config::Container {
            database: "db".to_owned(),
            container: "c".to_owned(),
            feed: crate::config::FeedMode::LatestVersion,
            start: config::Start::Beginning,
            versions_per_minute_max: 0,
        };
        let mirror = Mirror {
            store: std::sync::Arc::new(Slow),
            paths: MirrorPaths::new(&config.target.prefix, "db", "c"),
            container: &container,
        };
        let mut search = asked("", None);
        for pages in [2, 4] {
            let begun = Instant::now();
            let answer = found(&mirror, &search).await.unwrap();
            assert!(begun.elapsed() < super::super::TIME_MAX, "{:?}", begun.elapsed());
            let answer: Value = serde_json::from_slice(&answer).unwrap();
            let next = answer["next"].as_str().unwrap();
            assert_eq!(Place::read(next, search.mark()).unwrap().page, Some(pages.to_string()));
            search.next = Some(next.to_owned());
        }
    }
}
