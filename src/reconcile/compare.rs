//! Source beside mirror, name by name. Pure.
//!
//! Both come in the order of names, so each is read once and memory holds one document of each. What is told here is a first
//! look at two sides that were read at different times: whatever is not equal is looked at again before it is called drift.

use std::cmp::Ordering;

use cosmirror_formats::{PartitionKey, Version};
use futures::Stream;
use futures::stream::{self, StreamExt as _};
use serde::{Deserialize, Serialize};

use crate::failure::Failure;
use crate::seen::Seen;
use crate::store::Head;

/// How a document in the source and its newest version in the mirror relate.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum State {
    /// The mirror holds what the source holds.
    Equal,
    /// The source holds a document that the mirror lacks, or believes deleted.
    Missing,
    /// The mirror's newest version is not the source's.
    Stale,
    /// The mirror holds a document that the source does not.
    Extra,
    /// The stored version claims to be the source's and is damaged or has other content.
    Different,
    /// Neither holds it.
    Absent,
}

/// The mirror's newest version of one document.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Held {
    /// Its blob without the content.
    pub(super) head: Head,
    /// Its metadata, or why nothing under this name can be trusted.
    pub(super) version: Result<Box<Version>, String>,
    /// It belongs to an earlier life of the container, so the document does not exist by it.
    pub(super) of_earlier_life: bool,
}

/// One name.
#[derive(Debug, PartialEq)]
pub(super) struct Pair {
    pub(super) source: Option<Seen>,
    pub(super) held: Option<Held>,
}

impl Pair {
    /// How the two relate, as far as etags tell.
    pub(super) fn state(&self) -> State {
        let held = match &self.held {
            None => None,
            Some(Held { version: Err(_), .. }) => return State::Different,
            Some(Held { version: Ok(version), of_earlier_life, .. }) => {
                version.etag.as_deref().filter(|_| !of_earlier_life)
            }
        };
        state(self.source.as_ref().map(|seen| seen.etag.as_str()), held)
    }

    /// The document's name in both worlds: its key and id; none where the blob is not usable and the source has no such document.
    pub(super) fn document(&self) -> Option<(serde_json::Value, String)> {
        let held = || self.held.as_ref()?.version.as_ref().ok().map(|v| (v.pk.to_json(), v.id.clone()));
        self.source.as_ref().map(|seen| (seen.key.clone(), seen.id.clone())).or_else(held)
    }
}

/// How the source's etag and that of the newest version relate; a tombstone has none, and neither has what is not there.
pub(super) fn state(source: Option<&str>, held: Option<&str>) -> State {
    match (source, held) {
        (None, None) => State::Absent,
        (Some(_), None) => State::Missing,
        (None, Some(_)) => State::Extra,
        (Some(source), Some(held)) if source == held => State::Equal,
        (Some(_), Some(_)) => State::Stale,
    }
}

/// Puts both sides, each in the order of names, beside each other.
pub(super) fn pairs<'a>(
    source: impl Iterator<Item = Result<Seen, Failure>> + Send + 'a,
    held: impl Stream<Item = Result<Held, Failure>> + Send + 'a,
) -> impl Stream<Item = Result<Pair, Failure>> + Send + 'a {
    let both = (source.peekable(), Box::pin(held.peekable()));
    stream::try_unfold(both, |(mut source, mut held)| async move {
        let stored = held.as_mut().peek().await;
        let order = match (source.peek(), stored) {
            (None, None) => return Ok(None),
            (Some(Ok(seen)), Some(Ok(stored))) => seen.name.cmp(&stored.head.name),
            // A failure comes out first, and ends both.
            (Some(Err(_)), _) | (Some(_), None) => Ordering::Less,
            (_, Some(_)) => Ordering::Greater,
        };
        let seen = if order.is_le() { source.next().transpose()? } else { None };
        let stored = if order.is_ge() { held.next().await.transpose()? } else { None };
        Ok(Some((Pair { source: seen, held: stored }, (source, held))))
    })
}

/// A document whose two sides are not known to be equal.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Candidate {
    pub(super) state: State,
    pub(super) name: String,
    pub(super) id: String,
    /// The partition key as a JSON array.
    pub(super) key: serde_json::Value,
    /// The source's etag and LSN, as the scan saw them.
    pub(super) seen: Option<(String, Option<u64>)>,
}

impl Candidate {
    pub(super) fn partition_key(&self) -> Option<PartitionKey> {
        PartitionKey::from_json(&self.key)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::{BTreeMap, BTreeSet};

    use futures::TryStreamExt as _;
    use proptest::prelude::*;

    use super::*;
    use crate::failure::Kind;
    use crate::history::memory::version;
    use crate::seen::Runs;

    fn seen(name: &str, etag: u8) -> Seen {
        let (id, key) = (name.to_owned(), serde_json::json!(["p"]));
        Seen { name: name.to_owned(), id, key, etag: etag.to_string(), ts: None, lsn: None, sha256: None, nth: 0 }
    }

    /// Etag 0 is a tombstone.
    fn held(name: &str, etag: u8) -> Held {
        let mut version = version(name, &etag.to_string(), 1, None, b"");
        version.etag = version.etag.filter(|_| etag > 0);
        let head = Head {
            name: name.to_owned(),
            version: "v".to_owned(),
            etag: "e".to_owned(),
            current: true,
            length: 0,
            metadata: version.to_metadata(),
        };
        Held { head, version: Ok(Box::new(version)), of_earlier_life: false }
    }

    fn states(
        source: impl Iterator<Item = Result<Seen, Failure>> + Send,
        mirror: &BTreeMap<String, u8>,
    ) -> BTreeMap<String, State> {
        let held = stream::iter(mirror.iter().map(|(name, etag)| Ok(held(name, *etag))));
        let pairs: Vec<Pair> = futures::executor::block_on(pairs(source, held).try_collect()).unwrap();
        let name = |pair: &Pair| match (&pair.source, &pair.held) {
            (Some(seen), _) => seen.name.clone(),
            (None, held) => held.as_ref().unwrap().head.name.clone(),
        };
        let count = pairs.len();
        let states: BTreeMap<_, _> = pairs.iter().map(|pair| (name(pair), pair.state())).collect();
        assert_eq!(states.len(), count, "a name came twice");
        states
    }

    proptest! {
        /// The feed shows documents in any order and some of them several times; the model is two maps.
        #[test]
        fn every_document_is_compared_once_whatever_the_order_and_the_size_of_runs(
            feed in prop::collection::vec(("[a-e]{1,3}", 1u8..4), 0..300),
            mirror in prop::collection::btree_map("[a-e]{1,3}", 0u8..4, 0..60),
            run_max in 1usize..20,
        ) {
            let mut runs = Runs::new(run_max);
            for (name, etag) in &feed {
                runs.push(seen(name, *etag)).unwrap();
            }
            let found = states(runs.sorted().unwrap(), &mirror);
            let source: BTreeMap<String, u8> = feed.into_iter().collect();
            let names: BTreeSet<&String> = source.keys().chain(mirror.keys()).collect();
            let expected: BTreeMap<String, State> = names.into_iter().map(|name| {
                let state = match (source.get(name), mirror.get(name)) {
                    (Some(_), None | Some(0)) => State::Missing,
                    (None, Some(0)) | (None, None) => State::Absent,
                    (None, Some(_)) => State::Extra,
                    (Some(source), Some(mirror)) if source == mirror => State::Equal,
                    _ => State::Stale,
                };
                (name.clone(), state)
            }).collect();
            prop_assert_eq!(found, expected);
        }
    }

    #[test]
    fn a_blob_whose_metadata_cannot_be_trusted_is_different_whatever_the_source_holds() {
        let broken = Held { version: Err("no".to_owned()), ..held("a", 1) };
        assert_eq!(Pair { source: None, held: Some(broken.clone()) }.state(), State::Different);
        assert_eq!(Pair { source: Some(seen("a", 1)), held: Some(broken) }.state(), State::Different);
    }

    #[test]
    fn a_side_that_fails_ends_the_comparison() {
        let source = [Ok(seen("b", 1)), Err(Failure::new(Kind::Transient, "no"))].into_iter();
        let held = stream::iter([Ok(held("a", 1)), Ok(held("c", 1))]);
        let result: Result<Vec<Pair>, Failure> = futures::executor::block_on(pairs(source, held).try_collect());
        assert_eq!(result.unwrap_err().kind, Kind::Transient);
    }
}
