//! What must hold, from the emulator's history alone.

use std::collections::BTreeMap;

use super::emulator::Change;
use super::mirror::{Mirror, Stored};

/// What names a document within its container: its partition key as a JSON array, and its id.
pub(super) type Name = (String, String);

/// The changes of each document, in order.
pub(super) fn by_document(history: &[Change]) -> BTreeMap<Name, Vec<&Change>> {
    let mut documents: BTreeMap<Name, Vec<&Change>> = BTreeMap::new();
    for change in history {
        documents.entry((change.key.clone(), change.id.clone())).or_default().push(change);
    }
    documents
}

/// The documents that exist at the end of a history, with their bytes.
pub(super) fn live(history: &[Change]) -> BTreeMap<Name, String> {
    let documents = by_document(history).into_iter();
    documents.filter_map(|(name, changes)| Some((name, changes.last()?.document.clone()?))).collect()
}

/// The documents that exist at the end of a history, as their client sent them.
pub(super) fn live_as_sent(history: &[Change]) -> BTreeMap<Name, String> {
    live(history).into_iter().map(|(name, text)| (name, as_sent(&text).to_owned())).collect()
}

/// A stored document without the properties that the service put at its end, and without its last brace.
fn as_sent(text: &str) -> &str {
    // In a string the quotes would be escaped, and nothing of the client's follows the service's.
    let (sent, _) = text.rsplit_once(r#","_rid":""#).unwrap();
    sent
}

/// The versions of each document of a container. Fails where one name holds two documents or two names hold one.
pub(super) fn stored<'a>(mirror: &'a Mirror, container: &str) -> BTreeMap<Name, &'a [Stored]> {
    let prefix = format!("shop/{container}/documents/");
    let mut documents = BTreeMap::new();
    for (path, versions) in mirror.iter().filter(|(path, _)| path.starts_with(&prefix)) {
        let name = |stored: &Stored| {
            let key: serde_json::Value = serde_json::from_str(&stored.decoded("pk")).unwrap();
            (key.to_string(), stored.decoded("id"))
        };
        let first = name(&versions[0]);
        assert!(versions.iter().all(|version| name(version) == first), "{path} holds several documents");
        let current: Vec<bool> = versions.iter().map(|version| version.current).collect();
        assert!(
            current.iter().rev().skip(1).all(|current| !current) && current.ends_with(&[true]),
            "{path}: {current:?}"
        );
        assert!(documents.insert(first, versions.as_slice()).is_none(), "{path}: its document has two names");
    }
    documents
}

/// Every change is stored exactly once and each document's in order, with the bytes the feed delivers, each version tied to the
/// one beneath. Of what was committed up to `before`, when following began, only each document's last state is asked for,
/// and not even that of a document that was changed again while the backfill ran: the service shows only its newest state.
pub(super) fn assert_every_change_once(history: &[Change], before: u64, mirror: &Mirror, container: &str) {
    let stored = stored(mirror, container);
    let changes = by_document(history);
    for name in stored.keys() {
        assert!(changes.contains_key(name), "{name:?} is in the mirror and never was in the source");
    }
    for (name, changes) in &changes {
        let versions = stored.get(name).copied().unwrap_or_default();
        let existed = changes.iter().rposition(|change| change.seq <= before);
        let first = match existed {
            Some(last) if changes[last].document.is_none() => last + 1,
            Some(last) => last,
            None => 0,
        };
        let mut expected = &changes[first..];
        if existed == Some(first) && expected.len() > 1 && versions.len() + 1 == expected.len() {
            expected = &expected[1..];
        }
        let told: Vec<String> = expected.iter().map(|change| told(change, change.seq <= before)).collect();
        let kept: Vec<String> = versions.iter().map(kept).collect();
        assert_eq!(kept, told, "versions of {name:?}");
        for (version, change) in versions.iter().zip(expected) {
            assert_same_bytes(version, change);
        }
        assert_tied(versions);
    }
    assert_nothing_set_aside(mirror, container);
}

/// What exists is stored as it is; whatever is stored was committed, once and in order. What the latest-version feed leaves out may
/// be missing.
pub(super) fn assert_latest_versions(history: &[Change], mirror: &Mirror, container: &str) {
    let stored = stored(mirror, container);
    let changes = by_document(history);
    for (name, versions) in &stored {
        let mut later = changes.get(name).unwrap_or_else(|| panic!("{name:?} never was in the source")).iter();
        for version in *versions {
            let change = later.find(|change| change.document.is_some() && Some(&*change.etag) == version.field("etag"));
            assert_same_bytes(version, change.unwrap_or_else(|| panic!("{name:?}: a version twice or out of order")));
        }
        assert_tied(versions);
    }
    for (name, document) in live(history) {
        let newest =
            stored.get(&name).and_then(|versions| versions.last()).unwrap_or_else(|| panic!("{name:?} is missing"));
        assert_eq!(newest.body, document.as_bytes(), "{name:?}");
    }
    assert_nothing_set_aside(mirror, container);
}

/// After a reconciliation: `before` is what the mirror held until then, of documents that nobody had reconciled. Each document that is gone
/// has one version more, which is its tombstone, and nothing else has changed.
pub(super) fn assert_tombstones(history: &[Change], before: &Mirror, after: &Mirror, container: &str) {
    let (live, before, after) = (live(history), stored(before, container), stored(after, container));
    assert!(after.keys().eq(before.keys()));
    for (name, versions) in &after {
        let gone = usize::from(!live.contains_key(name));
        let (kept, added) = versions.split_at(versions.len() - gone);
        let bodies = |versions: &[Stored]| versions.iter().map(|version| version.body.clone()).collect::<Vec<_>>();
        assert_eq!(bodies(kept), bodies(before[name]), "{name:?}");
        assert!(added.iter().all(|version| version.field("etag").is_none() && version.body.is_empty()), "{name:?}");
        assert_tied(versions);
    }
}

fn told(change: &Change, backfilled: bool) -> String {
    let op = if backfilled { "backfill" } else { &change.op };
    let etag = change.document.as_ref().map_or("-", |_| &change.etag);
    format!("{op} lsn {} ts {} etag {etag}", change.lsn, change.ts)
}

fn kept(version: &Stored) -> String {
    let field = |name| version.field(name).unwrap_or("-");
    format!("{} lsn {} ts {} etag {}", field("op"), field("lsn"), field("ts"), field("etag"))
}

fn assert_same_bytes(version: &Stored, change: &Change) {
    let document = change.document.as_deref().unwrap_or_default();
    assert_eq!(String::from_utf8_lossy(&version.body), document, "lsn {} of {:?}", change.lsn, change.id);
}

fn assert_tied(versions: &[Stored]) {
    let identity = |version: &Stored| {
        let nth = version.field("nth").map(|nth| format!("#{nth}")).unwrap_or_default();
        let delete = || format!("del:{}:{}{nth}", version.field("lineage").unwrap(), version.field("lsn").unwrap());
        version.field("etag").map_or_else(delete, str::to_owned)
    };
    assert!(versions.first().is_none_or(|first| first.field("prev").is_none()));
    for pair in versions.windows(2) {
        assert_eq!(pair[1].field("prev"), Some(&*identity(&pair[0])));
    }
}

/// Nothing became a dead letter, and no gap was recorded.
fn assert_nothing_set_aside(mirror: &Mirror, container: &str) {
    for folder in ["dead-letters", "gaps"] {
        let prefix = format!("shop/{container}/_mirror/{folder}/");
        let found: Vec<&String> = mirror.keys().filter(|path| path.starts_with(&prefix)).collect();
        assert!(found.is_empty(), "{found:?}");
    }
}
