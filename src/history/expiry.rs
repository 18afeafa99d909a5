//! Whether a document's time to live had run out at an instant.
//!
//! A container's default time to live can be changed, and what it is today says nothing about the past. The mirror's earlier descriptions of
//! the container say which defaults there were, but not when each began: it looks at the settings now and then. So a document
//! counts as expired only if it had expired by every default of its life of the container, and as not expired only if it had by none.

use std::collections::{BTreeMap, BTreeSet};

use cosmirror_formats::MirrorPaths;
use cosmirror_formats::records::ContainerRecord;
use futures::{StreamExt as _, TryStreamExt as _, stream};
use serde::Deserialize;
use serde_json::Value;
use serde_json::value::RawValue;

use super::groups::versions_of;
use super::instant;
use crate::failure::Failure;
use crate::retry::persist;
use crate::store::VersionStore;

/// Versions of the container's description that are read, newest first; each is a change of its settings.
const DESCRIPTIONS_MAX: usize = 1_000;
const READS_AT_ONCE: usize = 16;

/// The default times to live that the mirror has seen.
#[derive(Debug)]
pub(super) struct TimesToLive {
    lives: BTreeMap<String, DefaultTtls>,
    any_life: DefaultTtls,
}

impl TimesToLive {
    /// Reads them from the versions of the mirror's description of its container.
    pub(super) async fn read(store: &dyn VersionStore, paths: &MirrorPaths) -> Result<Self, Failure> {
        let name = paths.container_record();
        let heads = versions_of(store, &name).await?;
        let older = heads.len().saturating_sub(DESCRIPTIONS_MAX);
        let name = name.as_str();
        let reads = heads.into_iter().skip(older).map(|head| async move {
            let found = persist(|| store.get(name, Some(&head.version))).await?;
            Ok::<_, Failure>(found.map(|(head, bytes)| (head.version, bytes)))
        });
        let mut ttls = Self { lives: BTreeMap::new(), any_life: DefaultTtls::default() };
        let mut reads = std::pin::pin!(stream::iter(reads).buffered(READS_AT_ONCE));
        while let Some(found) = reads.try_next().await? {
            let Some((version, bytes)) = found else { continue };
            match serde_json::from_slice::<ContainerRecord>(&bytes) {
                Ok(record) => ttls.add(&record),
                Err(error) => {
                    tracing::warn!(name, version, %error, "an earlier description of the container cannot be read; the time to live of then is not known");
                }
            }
        }
        Ok(ttls)
    }

    fn add(&mut self, record: &ContainerRecord) {
        for life in &record.generations {
            let default = life.settings.get("defaultTtl").and_then(Value::as_i64);
            self.lives.entry(life.rid.clone()).or_default().0.insert(default);
            self.any_life.0.insert(default);
        }
    }

    /// Those of the life of the container that has this resource id; of every life, where it is none that the mirror describes.
    pub(super) fn of(&self, rid: &str) -> &DefaultTtls {
        self.lives.get(rid).unwrap_or(&self.any_life)
    }
}

/// The default times to live of one life of a container; none among them where it was off.
#[derive(Debug, Default)]
pub struct DefaultTtls(BTreeSet<Option<i64>>);

/// What became of a document by its time to live.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Expiry {
    /// It had not run out.
    Alive,
    /// It had run out, at this second counted from 1970 at the latest.
    Expired(i64),
    /// That depends on which default was in force, for the reason given.
    Uncertain(String),
}

impl DefaultTtls {
    /// Whether any document may have expired.
    pub fn let_expire(&self) -> bool {
        self.0.iter().any(Option::is_some)
    }

    /// What had become of a document of commit time `ts` at the instant `at`.
    pub fn expiry(&self, document: &[u8], ts: i64, at: i64) -> Expiry {
        let ends = self.0.iter().map(|default| expiry(*default, document, ts).filter(|end| *end <= at));
        let (expired, alive): (Vec<_>, Vec<_>) = ends.partition(Option::is_some);
        let Some(latest) = expired.into_iter().flatten().max() else { return Expiry::Alive };
        if alive.is_empty() {
            return Expiry::Expired(latest);
        }
        let told: Vec<String> = self.0.iter().map(|default| told(*default)).collect();
        Expiry::Uncertain(format!(
            "its time to live may have run out by {}: the container's default was changed, and the mirror cannot tell which of {} was in force",
            instant(latest),
            told.join(", ")
        ))
    }
}

fn told(default: Option<i64>) -> String {
    default
        .map_or_else(|| "off".to_owned(), |seconds| if seconds < 0 { "-1".to_owned() } else { format!("{seconds} s") })
}

/// The instant at which a document's time to live ran out, in seconds since 1970; none where it never does.
///
/// Without a default nothing expires, with -1 only documents whose own `ttl` says so. Source: "Time to Live (TTL) in Azure Cosmos DB".
fn expiry(default: Option<i64>, document: &[u8], ts: i64) -> Option<i64> {
    #[derive(Deserialize)]
    struct Ttl<'a> {
        #[serde(borrow)]
        ttl: Option<&'a RawValue>,
    }
    let default = default?;
    let own: Option<i64> = serde_json::from_slice::<Ttl<'_>>(document).ok().and_then(|own| own.ttl?.get().parse().ok());
    let seconds = own.unwrap_or(default);
    (seconds > 0).then(|| ts.saturating_add(seconds))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::history::memory::{MemoryStore, paths};

    #[test]
    fn time_to_live_follows_the_container_then_the_document() {
        let at = |default, document: &str| expiry(default, document.as_bytes(), 100);
        assert_eq!(at(None, r#"{"ttl":5}"#), None);
        assert_eq!(at(Some(-1), r#"{"ttl":5}"#), Some(105));
        assert_eq!(at(Some(-1), r#"{"id":"a"}"#), None);
        assert_eq!(at(Some(9), r#"{"id":"a"}"#), Some(109));
        assert_eq!(at(Some(9), r#"{"ttl":-1}"#), None);
        assert_eq!(at(Some(9), r#"{"ttl":null}"#), Some(109));
    }

    #[test]
    fn only_what_expired_by_every_default_has_expired() {
        let by = |defaults: &[Option<i64>], document: &str, at| {
            DefaultTtls(defaults.iter().copied().collect()).expiry(document.as_bytes(), 100, at)
        };
        assert_eq!(by(&[], "{}", 500), Expiry::Alive);
        assert_eq!(by(&[Some(9)], "{}", 108), Expiry::Alive);
        assert_eq!(by(&[Some(9)], "{}", 109), Expiry::Expired(109));
        assert_eq!(by(&[Some(9), Some(20)], "{}", 120), Expiry::Expired(120));
        assert!(matches!(by(&[Some(9), Some(20)], "{}", 119), Expiry::Uncertain(why) if why.contains("9 s, 20 s")));
        assert!(matches!(by(&[None, Some(9)], "{}", 500), Expiry::Uncertain(why) if why.contains("of off, 9 s")));
        assert_eq!(by(&[Some(-1), Some(9)], r#"{"ttl":3}"#, 103), Expiry::Expired(103));
        assert_eq!(by(&[None, Some(-1)], "{}", 500), Expiry::Alive);
    }

    #[tokio::test]
    async fn every_life_has_the_defaults_that_its_descriptions_name() {
        let store = MemoryStore::default();
        let life = |rid: &str, settings: &Value| json!({"rid": rid, "since": 1, "modes": [], "partition_key_paths": ["/pk"], "settings": settings});
        let (off, null, on) = (json!({}), json!({"defaultTtl": null}), json!({"defaultTtl": 60}));
        for lives in [vec![life("a", &off)], vec![life("a", &null), life("b", &off)], vec![life("b", &on)]] {
            let record = json!({"format": 1, "account": "a", "database": "db", "container": "c", "generations": lives});
            store.add_record(&paths().container_record(), &record);
        }
        let ttls = TimesToLive::read(&store, &paths()).await.unwrap();
        let of = |rid| ttls.of(rid).0.iter().copied().collect::<Vec<_>>();
        assert_eq!((of("a"), of("b")), (vec![None], vec![None, Some(60)]));
        assert_eq!(of("nobody's"), [None, Some(60)]);
        assert!(!ttls.of("a").let_expire() && ttls.of("b").let_expire());
    }
}
