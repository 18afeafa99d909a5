use std::collections::BTreeMap;

use cosmirror_formats::MirrorPaths;
use serde_json::json;

use super::*;
use crate::failure::Kind;
use crate::history::memory::{MemoryStore, key, paths, version};
use crate::store::Condition;

/// Where the replica of these tests has its names.
const PREFIX: &str = "copies/south";

fn there() -> MirrorPaths {
    MirrorPaths::new(PREFIX, "db", "c")
}

fn replicated() -> (Replicated, Arc<MemoryStore>, Arc<MemoryStore>) {
    let (first, south) = (Arc::new(MemoryStore::default()), Arc::new(MemoryStore::default()));
    let replicated = Replicated::new(Arc::clone(&first) as _, "").with("south", Arc::clone(&south) as _, PREFIX);
    (replicated, first, south)
}

fn name() -> String {
    paths().document(&key("p"), "d")
}

fn put_of(etag: &str, condition: Condition) -> Put {
    put_at(etag, 1, condition)
}

/// The same of a version that was committed in this second.
fn put_at(etag: &str, ts: i64, condition: Condition) -> Put {
    let metadata = version("d", etag, ts, Some(1), b"{}").to_metadata();
    Put { name: name(), body: Bytes::from(format!("{{\"{etag}\":1}}")), metadata, condition }
}

/// The identities of the versions that a store has of the document, oldest first, with their bodies.
async fn held(store: &MemoryStore, paths: &MirrorPaths) -> Vec<(String, String)> {
    let name = paths.document(&key("p"), "d");
    let (mut held, mut next) = (Vec::new(), None);
    loop {
        let page = store.list(&name, Listing::Versions, next).await.unwrap();
        for head in page.heads {
            let (_, body) = store.get(&name, Some(&head.version)).await.unwrap().unwrap();
            held.push((replica::identity(&head).unwrap(), String::from_utf8(body.to_vec()).unwrap()));
        }
        next = page.next;
        if next.is_none() {
            return held;
        }
    }
}

fn expected(etags: &[&str]) -> Vec<(String, String)> {
    etags.iter().map(|etag| ((*etag).to_owned(), format!("{{\"{etag}\":1}}"))).collect()
}

async fn assert_equal(first: &MemoryStore, south: &MemoryStore, etags: &[&str]) {
    assert_eq!(held(first, &paths()).await, expected(etags));
    assert_eq!(held(south, &there()).await, expected(etags));
}

#[tokio::test]
async fn a_version_is_stored_when_every_target_has_it() {
    let (store, first, south) = replicated();
    let one = store.put(put_of("1", Condition::Absent)).await.unwrap();
    store.put(put_of("2", Condition::Matches(one.etag))).await.unwrap();
    assert_equal(&first, &south, &["1", "2"]).await;
    assert_eq!(south.names("").len(), 1);
}

#[tokio::test]
async fn what_a_target_did_not_take_is_not_stored_until_it_did() {
    let (store, first, south) = replicated();
    south.fail_next(Kind::Transient);
    let failure = store.put(put_of("1", Condition::Absent)).await.unwrap_err();
    assert_eq!(failure.kind, Kind::Transient);
    assert!(failure.message.contains("\"south\"") && failure.remedy.contains("--target first"), "{failure:?}");
    // The caller finds it, and asks for it to be kept before it takes it for stored.
    let head = store.head(&name()).await.unwrap().unwrap();
    south.fail_next(Kind::Unauthorized);
    assert_eq!(store.keep(&head).await.unwrap_err().kind, Kind::Unauthorized);
    store.keep(&head).await.unwrap();
    assert_equal(&first, &south, &["1"]).await;
    store.put(put_of("2", Condition::Matches(head.etag))).await.unwrap();
    assert_equal(&first, &south, &["1", "2"]).await;
}

#[tokio::test]
async fn a_target_that_has_it_from_before_a_crash_gets_it_once() {
    let (store, first, south) = replicated();
    store.put(put_of("1", Condition::Absent)).await.unwrap();
    // Another process, which remembers nothing.
    let again = Replicated::new(Arc::clone(&first) as _, "").with("south", Arc::clone(&south) as _, PREFIX);
    assert_eq!(again.put(put_of("1", Condition::Absent)).await.unwrap_err().kind, Kind::Conflict);
    let head = again.head(&name()).await.unwrap().unwrap();
    again.keep(&head).await.unwrap();
    again.put(put_of("2", Condition::Matches(head.etag))).await.unwrap();
    assert_equal(&first, &south, &["1", "2"]).await;
}

#[tokio::test]
async fn what_is_there_already_is_in_every_target_when_a_create_meets_it() {
    let (store, first, south) = replicated();
    let letter = format!("{}a/1.json", paths().dead_letters());
    let put = || Put {
        name: letter.clone(),
        body: Bytes::from_static(b"{}"),
        metadata: BTreeMap::from([("format".to_owned(), "1".to_owned())]),
        condition: Condition::Absent,
    };
    south.fail_next(Kind::Transient);
    assert_eq!(store.put(put()).await.unwrap_err().kind, Kind::Transient);
    assert!(south.names("").is_empty() && first.names("").len() == 1);
    // Whoever puts a record takes the conflict for success.
    assert_eq!(store.put(put()).await.unwrap_err().kind, Kind::Conflict);
    assert_eq!(south.names(""), [format!("{PREFIX}/{letter}")]);
    // A process that died between the two is made up for by the next one's start.
    let gap = format!("{}1.json", paths().gaps());
    first.add_record(&gap, &json!({ "until": null }));
    assert_eq!(store.bring_records(&paths()).await.unwrap(), 1);
    first.add_record(&gap, &json!({ "until": 7 }));
    first.add_record(&letter, &json!({ "resolved": true }));
    assert_eq!(store.bring_records(&paths()).await.unwrap(), 2);
    assert_eq!(store.bring_records(&paths()).await.unwrap(), 0);
}

#[tokio::test]
async fn what_was_written_without_the_target_comes_with_the_next_version() {
    let (store, first, south) = replicated();
    let one = store.put(put_of("1", Condition::Absent)).await.unwrap();
    let two = first.put(put_of("2", Condition::Matches(one.etag))).await.unwrap();
    let three = first.put(put_of("3", Condition::Matches(two.etag))).await.unwrap();
    store.put(put_of("4", Condition::Matches(three.etag))).await.unwrap();
    assert_equal(&first, &south, &["1", "2", "3", "4"]).await;
}

#[tokio::test]
async fn what_is_current_is_the_same_although_a_version_beneath_was_missing() {
    let (store, first, south) = replicated();
    for (at, etag) in ["1", "2", "3"].into_iter().enumerate() {
        let condition = match store.head(&name()).await.unwrap() {
            Some(head) => Condition::Matches(head.etag),
            None => Condition::Absent,
        };
        // The replica misses the second one, and gets the third by itself.
        let put = put_of(etag, condition);
        match at {
            1 => drop(first.put(put).await.unwrap()),
            _ => {
                first.put(put.clone()).await.unwrap();
                let own = there().document(&key("p"), "d");
                let beneath = south.head(&own).await.unwrap().map(|head| head.etag);
                let condition = beneath.map_or(Condition::Absent, Condition::Matches);
                south.put(Put { name: own, condition, ..put }).await.unwrap();
            }
        }
    }
    assert_eq!(store.fill(&paths()).await.unwrap(), 2);
    assert_eq!(held(&south, &there()).await, expected(&["1", "3", "2", "3"]));
    assert_eq!(store.fill(&paths()).await.unwrap(), 0);
}

#[tokio::test]
async fn a_new_target_is_filled_with_versions_and_records_and_may_keep_less() {
    let (store, first, south) = replicated();
    for (id, etag) in [("a", "1"), ("a", "2"), ("b", "1"), ("d", "1"), ("d", "2")] {
        first.add_version(version(id, etag, 1, Some(1), b""), &format!("{{\"{etag}\":1}}"));
    }
    let (state, gap) = (format!("{}x.json", paths().range_states()), format!("{}y.json", paths().gaps()));
    for record in [&state, &gap, &paths().container_record()] {
        first.add_record(record, &json!({ "of": record }));
    }
    south.fail_next(Kind::Transient);
    assert_eq!(store.fill(&paths()).await.unwrap(), 8);
    assert_equal(&first, &south, &["1", "2"]).await;
    let records: Vec<String> = south.names(&format!("{PREFIX}/db/c/_mirror/"));
    assert_eq!(records.len(), 3, "{records:?}");
    assert_eq!(store.fill(&paths()).await.unwrap(), 0);
    // A lifecycle rule removes old versions of one account, another one those of the other.
    south.lose_oldest(&there().document(&key("p"), "d"));
    assert_eq!(store.fill(&paths()).await.unwrap(), 0);
    first.lose_oldest(&paths().document(&key("p"), "a"));
    assert_eq!(store.fill(&paths()).await.unwrap(), 0);
    assert_eq!(held(&south, &there()).await, expected(&["2"]));
    // A record counts by what it says.
    first.add_record(&gap, &json!({ "of": "another" }));
    assert_eq!(store.fill(&paths()).await.unwrap(), 1);
}

#[tokio::test]
async fn a_target_that_is_not_filled_yet_does_not_get_what_claims_that_it_were() {
    let (store, first, south) = replicated();
    store.hold_back(&paths().range_states());
    let state = format!("{}x.json", paths().range_states());
    let put = |number: u32, condition| Put {
        name: state.clone(),
        body: Bytes::from(json!({ "number": number }).to_string()),
        metadata: BTreeMap::from([("format".to_owned(), "1".to_owned())]),
        condition,
    };
    let one = store.put(put(1, Condition::Absent)).await.unwrap();
    store.keep(&store.head(&state).await.unwrap().unwrap()).await.unwrap();
    assert!(south.names("").is_empty() && first.names("").len() == 1);
    store.let_through(&paths().range_states());
    store.put(put(2, Condition::Matches(one.etag))).await.unwrap();
    let (_, body) = south.get(&format!("{PREFIX}/{state}"), None).await.unwrap().unwrap();
    assert_eq!(body, json!({ "number": 2 }).to_string());
}

/// A policy keeps the first store's versions; the other one is new.
#[tokio::test]
async fn what_is_beneath_the_mark_of_a_purge_is_not_brought() {
    let (replicated, first, south) = replicated();
    let mut stored = first.put(put_of("a", Condition::Absent)).await.unwrap();
    stored = first.put(put_of("b", Condition::Matches(stored.etag))).await.unwrap();
    let stored = first.put(mark_at(9, name(), Condition::Matches(stored.etag))).await.unwrap();
    replicated.fill(&paths()).await.unwrap();
    let marked = ("purge:9".to_owned(), String::new());
    assert_eq!(held(&south, &there()).await, std::slice::from_ref(&marked));
    first.put(put_at("c", 10, Condition::Matches(stored.etag))).await.unwrap();
    replicated.fill(&paths()).await.unwrap();
    assert_eq!(held(&south, &there()).await, [vec![marked], expected(&["c"])].concat());
}

/// Only one target was purged, as `--target` says.
#[tokio::test]
async fn what_the_mark_of_a_purge_covers_in_the_replica_alone_is_not_brought() {
    let (replicated, first, south) = replicated();
    let one = first.put(put_of("a", Condition::Absent)).await.unwrap();
    let two = first.put(put_of("b", Condition::Matches(one.etag))).await.unwrap();
    south.put(mark_at(9, there().document(&key("p"), "d"), Condition::Absent)).await.unwrap();
    let marked = ("purge:9".to_owned(), String::new());
    assert_eq!(replicated.fill(&paths()).await.unwrap(), 0);
    replicated.keep(&first.head(&name()).await.unwrap().unwrap()).await.unwrap();
    assert_eq!(held(&south, &there()).await, std::slice::from_ref(&marked));
    // What is committed later goes on top of the mark; an earlier purge of the first one says nothing new.
    let three = first.put(mark_at(5, name(), Condition::Matches(two.etag))).await.unwrap();
    assert_eq!(replicated.fill(&paths()).await.unwrap(), 0);
    replicated.put(put_at("c", 10, Condition::Matches(three.etag))).await.unwrap();
    assert_eq!(replicated.fill(&paths()).await.unwrap(), 0);
    assert_eq!(held(&south, &there()).await, [vec![marked], expected(&["c"])].concat());
}

/// A policy keeps the letter in the first store.
#[tokio::test]
async fn the_dead_letter_of_a_purged_document_is_not_brought() {
    let (replicated, first, south) = replicated();
    let letter = |id: &str, ts: i64| {
        json!({
            "format": 1, "reason": "refused", "range": { "min": "", "max": "FF" }, "lineage": "l", "lsn": 7, "page": "7",
            "id": id, "partition_key": ["p"], "ts": ts, "metadata": null, "raw_base64": "e30=", "resolved": false,
        })
    };
    let name = |number: u32| format!("{}-FF/{number}.json", paths().dead_letters());
    for (number, (id, ts)) in (0..).zip([("d", 9), ("d", 10), ("another", 9)]) {
        first.add_record(&name(number), &letter(id, ts));
    }
    let purge = paths().purge(&paths().document(&key("p"), "d"));
    first.add_record(&purge, &json!({ "format": 1, "until": 9, "runs": [] }));
    assert_eq!(replicated.fill(&paths()).await.unwrap(), 3);
    let brought = south.names(&there().dead_letters());
    assert_eq!(brought, [name(1), name(2)].map(|name| format!("{PREFIX}/{name}")));
    // Who meets it as a conflict brings it no more than a filling does.
    replicated.keep(&first.head(&name(0)).await.unwrap().unwrap()).await.unwrap();
    assert_eq!(south.names(&there().dead_letters()), brought);
}

fn mark_at(until: i64, name: String, condition: Condition) -> Put {
    let mark = cosmirror_formats::Version::purge(until, "rid", "d", &key("p"));
    Put { name, body: Bytes::new(), metadata: mark.to_metadata(), condition }
}
