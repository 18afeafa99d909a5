//! Splits and merges, and what they leave of continuations; retention; oddities of the feed.

use std::collections::{BTreeMap, BTreeSet};

use azure_data_cosmos_driver::models::{ChangeFeedStartFrom, FeedRange};
use serde_json::{Value, json};

use crate::support::{Answer, Running, start};

const DOCS: &str = "/dbs/d/colls/c/docs";
const LATEST: (&str, &str) = ("a-im", "Incremental Feed");
const ALL: (&str, &str) = ("a-im", "Full-Fidelity Feed");
const ENVELOPE: (&str, &str) = ("x-ms-cosmos-changefeed-wire-format-version", "2021-09-15");
const RANGE: &str = "x-ms-documentdb-partitionkeyrangeid";

async fn seeded(count: u32, partitions: u32) -> Running {
    let emulator = start().await;
    let seed =
        json!({"database": "d", "container": "c", "count": count, "keys": 16, "partitions": partitions, "bytes": 300});
    assert_eq!(emulator.control("POST", "seed", &seed.to_string()).await.status, 200);
    emulator
}

async fn control(emulator: &Running, name: &str, mut body: Value) -> Value {
    body["database"] = json!("d");
    body["container"] = json!("c");
    let answer = emulator.control("POST", name, &body.to_string()).await;
    assert_eq!(answer.status, 200, "{name}: {}", answer.text);
    answer.json()
}

async fn page(emulator: &Running, range: &str, headers: &[(&str, &str)]) -> Answer {
    let size = ("x-ms-max-item-count", "7");
    let headers = [headers, &[(RANGE, range), size, ENVELOPE]].concat();
    emulator.send("GET", DOCS, &headers, "").await
}

/// Reads a range to its end and gives the ids with their sequence numbers.
async fn drain(emulator: &Running, range: &str, headers: &[(&str, &str)], mut etag: String) -> Vec<(u64, String)> {
    let mut found = Vec::new();
    loop {
        let answer = page(emulator, range, &[headers, &[("if-none-match", &etag)]].concat()).await;
        if answer.status == 304 {
            return found;
        }
        assert_eq!(answer.status, 200, "{}", answer.text);
        answer.header("etag").clone_into(&mut etag);
        found.extend(items(&answer));
    }
}

fn items(answer: &Answer) -> Vec<(u64, String)> {
    let documents = answer.json()["Documents"].as_array().unwrap().clone();
    let id = |item: &Value| item["current"]["id"].as_str().or(item["metadata"]["id"].as_str()).unwrap().to_owned();
    documents.iter().map(|item| (item["metadata"]["lsn"].as_u64().unwrap(), id(item))).collect()
}

#[tokio::test]
async fn a_parents_continuation_goes_on_with_both_children_and_the_parent_is_gone() {
    let emulator = seeded(100, 1).await;
    let first = page(&emulator, "0", &[LATEST]).await;
    let mut found: Vec<String> = items(&first).into_iter().map(|(_, id)| id).collect();
    assert_eq!(found.len(), 7);
    let etag = first.header("etag").to_owned();

    let split = control(&emulator, "split", json!({"range": "0"})).await;
    assert_eq!((&split["ranges"][0]["id"], &split["ranges"][1]["id"]), (&json!("1"), &json!("2")));
    assert_eq!(split["ranges"][0]["maxExclusive"], split["ranges"][1]["minInclusive"]);
    let gone = page(&emulator, "0", &[LATEST, ("if-none-match", &etag)]).await;
    assert_eq!((gone.status, gone.substatus()), (410, "1002"));

    for child in ["1", "2"] {
        let of_child = drain(&emulator, child, &[LATEST], etag.clone()).await;
        assert!(of_child.len() > 20, "a split leaves about half on either side: {}", of_child.len());
        assert!(of_child.windows(2).all(|pair| pair[0].0 < pair[1].0), "in order");
        found.extend(of_child.into_iter().map(|(_, id)| id));
    }
    assert_eq!(found.len(), 100);
    assert_eq!(found.iter().collect::<BTreeSet<_>>().len(), 100);
    emulator.stop().await;
}

#[tokio::test]
async fn a_merged_range_takes_a_parents_continuation_with_the_parents_bounds() {
    let emulator = seeded(120, 3).await;
    let mut stopped = BTreeMap::new();
    let mut found = Vec::new();
    for range in ["1", "2"] {
        let first = page(&emulator, range, &[LATEST]).await;
        found.extend(items(&first));
        stopped.insert(range, first.header("etag").to_owned());
    }
    let pkranges = emulator.send("GET", "/dbs/d/colls/c/pkranges", &[], "").await.json();
    let bounds = |index: usize| {
        let range = &pkranges["PartitionKeyRanges"][index];
        (range["minInclusive"].as_str().unwrap().to_owned(), range["maxExclusive"].as_str().unwrap().to_owned())
    };
    let merged = control(&emulator, "merge", json!({"ranges": ["2", "1"]})).await;
    assert_eq!(merged["ranges"][0]["id"], "3");
    for (index, range) in [(1, "1"), (2, "2")] {
        let (min, max) = bounds(index);
        let scope = [
            LATEST,
            ("x-ms-start-epk", min.as_str()),
            ("x-ms-end-epk", max.as_str()),
            ("x-ms-read-key-type", "EffectivePartitionKeyRange"),
        ];
        found.extend(drain(&emulator, "3", &scope, stopped[range].clone()).await);
    }
    let whole = drain(&emulator, "3", &[LATEST], "\"0\"".to_owned()).await;
    found.sort();
    let mut sorted = whole.clone();
    sorted.sort();
    assert_eq!(found, sorted, "both parents' continuations give what they had left, once");
    assert!(whole.windows(2).all(|pair| pair[0].0 <= pair[1].0), "in order of the sequence numbers");

    let after = emulator.send("GET", "/dbs/d/colls/c/pkranges", &[], "").await.json();
    assert_eq!(after["_count"], 2);
    assert_eq!(after["PartitionKeyRanges"][1]["parents"], json!(["1", "2"]));
    assert_eq!(after["PartitionKeyRanges"][1]["maxExclusive"], "FF");
}

#[tokio::test]
async fn the_list_of_ranges_is_unmodified_until_a_split() {
    let emulator = seeded(10, 1).await;
    let list = |etag: String| {
        let emulator = &emulator;
        async move {
            let headers = [LATEST, ("if-none-match", etag.as_str())];
            emulator.send("GET", "/dbs/d/colls/c/pkranges", &headers, "").await
        }
    };
    let first = list(String::new()).await;
    let etag = first.header("etag").to_owned();
    assert_eq!(list(etag.clone()).await.status, 304);
    control(&emulator, "split", json!({"range": "0", "at": "20"})).await;
    let second = list(etag.clone()).await;
    assert_eq!(second.status, 200);
    let ranges = second.json()["PartitionKeyRanges"].clone();
    assert_eq!((&ranges[0]["maxExclusive"], &ranges[1]["minInclusive"]), (&json!("20"), &json!("20")));
    assert_eq!(ranges[1]["parents"], json!(["0"]));
    assert_ne!(second.header("etag"), etag);
    assert_eq!(list(second.header("etag").to_owned()).await.status, 304);
}

#[tokio::test]
async fn the_driver_follows_a_split_in_the_middle_of_a_feed() {
    let emulator = seeded(90, 1).await;
    let driver = emulator.driver().await;
    let container = driver.resolve().await;
    let all = FeedRange::full();
    let mut plan = driver.feed(&container, Some(all), ChangeFeedStartFrom::Beginning, false, 10).await.unwrap();
    let mut found = Vec::new();
    for _ in 0..3 {
        found.extend(driver.page(&container, &mut plan).await.unwrap().unwrap());
    }
    control(&emulator, "split", json!({"range": "0"})).await;
    // The driver's iterator alternates between the children; each ends with an answer of its own.
    let mut ends = 0;
    while ends < 2 {
        match driver.page(&container, &mut plan).await.unwrap() {
            Some(page) => {
                ends = 0;
                found.extend(page);
            }
            None => ends += 1,
        }
    }
    let ids: Vec<&str> = found.iter().map(|item| item["current"]["id"].as_str().unwrap()).collect();
    assert_eq!((ids.len(), ids.iter().collect::<BTreeSet<_>>().len()), (90, 90));
}

#[tokio::test]
async fn all_versions_go_on_over_a_split_and_forget_what_left_the_window() {
    let emulator = seeded(0, 1).await;
    let now = page(&emulator, "0", &[ALL, ("if-none-match", "*")]).await;
    let etag = now.header("etag").to_owned();
    for (key, id) in [("a", "1"), ("b", "2"), ("c", "3")] {
        emulator.upsert(&format!("[\"{key}\"]"), &format!("{{\"id\":\"{id}\",\"pk\":\"{key}\"}}")).await;
        let key = format!("[\"{key}\"]");
        let header = [("x-ms-documentdb-partitionkey", key.as_str())];
        emulator.send("DELETE", &format!("{DOCS}/{id}"), &header, "").await;
    }
    control(&emulator, "split", json!({"range": "0"})).await;
    let mut found = Vec::new();
    for child in ["1", "2"] {
        found.extend(drain(&emulator, child, &[ALL], etag.clone()).await.into_iter().map(|(_, id)| id));
    }
    found.sort();
    assert_eq!(found, ["1", "1", "2", "2", "3", "3"]);

    control(&emulator, "retention", json!({"seconds": 60})).await;
    let at_the_end = page(&emulator, "1", &[ALL, ("if-none-match", "*")]).await.header("etag").to_owned();
    emulator.control("POST", "clock", r#"{"advanceSeconds":61}"#).await;
    let refused = page(&emulator, "1", &[ALL, ("if-none-match", &etag)]).await;
    assert_eq!(refused.status, 400, "{}", refused.text);
    assert!(refused.text.contains("retention window"), "{}", refused.text);
    assert_eq!(page(&emulator, "1", &[ALL, ("if-none-match", &at_the_end)]).await.status, 304, "nothing is missing");
    assert_eq!(
        page(&emulator, "1", &[LATEST, ("if-none-match", &etag)]).await.status,
        304,
        "latest versions never expire"
    );
}

#[tokio::test]
async fn ranges_split_and_merge_only_where_they_can() {
    let emulator = seeded(10, 3).await;
    for (name, body, status) in [
        ("split", json!({"range": "7"}), 404),
        ("split", json!({"range": "1", "at": "05"}), 400),
        ("split", json!({"range": "1", "at": "zz"}), 400),
        ("merge", json!({"ranges": ["0"]}), 400),
        ("merge", json!({"ranges": ["0", "0"]}), 400),
        ("merge", json!({"ranges": ["0", "2"]}), 400),
        ("merge", json!({"ranges": ["0", "9"]}), 404),
    ] {
        let mut body = body;
        body["database"] = json!("d");
        body["container"] = json!("c");
        let answer = emulator.control("POST", name, &body.to_string()).await;
        assert_eq!(answer.status, status, "{name} {body}: {}", answer.text);
    }
    let empty = start().await;
    empty.create_container(r#"{"id":"c","partitionKey":{"paths":["/pk"],"kind":"Hash","version":2}}"#).await;
    let split = control(&empty, "split", json!({"range": "0"})).await;
    assert_eq!(split["ranges"][1]["minInclusive"], format!("2{}", "0".repeat(31)), "an empty range is halved");
}

#[tokio::test]
async fn oddities_are_shown_when_asked_for() {
    let emulator = seeded(20, 1).await;
    control(&emulator, "feed", json!({"emptyPageEvery": 2, "nowBehind": 5, "deleteKeyAsArray": true, "flat": true}))
        .await;
    let now = page(&emulator, "0", &[LATEST, ("if-none-match", "*")]).await;
    assert_eq!((now.status, now.header("etag")), (304, "\"15\""));
    let (mut etag, mut empty, mut found) = ("\"0\"".to_owned(), 0, 0);
    loop {
        let answer = page(&emulator, "0", &[LATEST, ("if-none-match", &etag)]).await;
        if answer.status == 304 {
            break;
        }
        let documents = answer.json()["Documents"].as_array().unwrap().clone();
        assert!(documents.iter().all(|document| document["_lsn"].is_u64() && document["current"].is_null()));
        empty += usize::from(documents.is_empty());
        found += documents.len();
        answer.header("etag").clone_into(&mut etag);
    }
    assert_eq!((empty, found), (2, 20));
    control(&emulator, "feed", json!({"deleteKeyAsArray": true})).await;
    let key = [("x-ms-documentdb-partitionkey", "[\"p0\"]")];
    assert_eq!(emulator.send("DELETE", &format!("{DOCS}/d0"), &key, "").await.status, 204);
    let deleted = page(&emulator, "0", &[ALL, ("if-none-match", &etag)]).await.json();
    assert_eq!(deleted["Documents"][0]["metadata"]["partitionKey"], json!(["p0"]));
}

#[tokio::test]
async fn a_session_ahead_of_the_range_is_not_available() {
    let emulator = seeded(5, 1).await;
    for (token, status) in [("0:0#5#0=5", 304), ("7:0#99#0=99", 304), ("0:-1#99", 404)] {
        let headers = [LATEST, ("if-none-match", "\"5\""), ("x-ms-session-token", token)];
        let answer = page(&emulator, "0", &headers).await;
        assert_eq!(answer.status, status, "{token}");
        assert_eq!(answer.substatus(), if status == 404 { "1002" } else { "" });
    }
}
