//! The change feed: both modes, every start, every scope, paging, expiry.

use std::collections::BTreeMap;

use azure_data_cosmos_driver::models::{ChangeFeedStartFrom, CosmosOperation, FeedRange, ItemReference, PartitionKey};
use serde_json::{Value, json};

use crate::support::{Answer, Driver, Running, start, status};

const DOCS: &str = "/dbs/d/colls/c/docs";
const LATEST: (&str, &str) = ("a-im", "Incremental Feed");
const ALL: (&str, &str) = ("a-im", "Full-Fidelity Feed");
const ENVELOPE: (&str, &str) = ("x-ms-cosmos-changefeed-wire-format-version", "2021-09-15");
const RANGE: (&str, &str) = ("x-ms-documentdb-partitionkeyrangeid", "0");

async fn seeded(count: u32, partitions: u32) -> Running {
    let emulator = start().await;
    let seed =
        json!({"database": "d", "container": "c", "count": count, "keys": 7, "partitions": partitions, "bytes": 400});
    assert_eq!(emulator.control("POST", "seed", &seed.to_string()).await.status, 200);
    emulator
}

async fn get(emulator: &Running, headers: &[(&str, &str)]) -> Answer {
    emulator.send("GET", DOCS, headers, "").await
}

fn documents(answer: &Answer) -> Vec<Value> {
    answer.json()["Documents"].as_array().unwrap().clone()
}

async fn ranges(driver: &Driver) -> Vec<FeedRange> {
    let container = driver.resolve().await;
    let ranges = driver.driver.resolve_all_partition_key_ranges(&container, true).await.unwrap().unwrap();
    ranges.iter().map(|range| FeedRange::try_from(range).unwrap()).collect()
}

#[tokio::test]
async fn latest_versions_of_all_ranges_are_read_in_pages() {
    let emulator = seeded(200, 3).await;
    let driver = emulator.driver().await;
    let container = driver.resolve().await;
    let mut found = BTreeMap::new();
    let ranges = ranges(&driver).await;
    assert_eq!(ranges.len(), 3);
    for range in ranges {
        let mut plan = driver.feed(&container, Some(range), ChangeFeedStartFrom::Beginning, false, 9).await.unwrap();
        let mut last = 0;
        while let Some(page) = driver.page(&container, &mut plan).await.unwrap() {
            assert!(page.len() <= 9);
            for item in page {
                let lsn = item["metadata"]["lsn"].as_u64().unwrap();
                assert!(lsn > last, "changes come in order");
                last = lsn;
                assert!(item["metadata"]["operationType"].is_null(), "{item}");
                found.insert(item["current"]["id"].as_str().unwrap().to_owned(), item["current"]["n"].clone());
            }
        }
    }
    assert_eq!(found.len(), 200);
    emulator.stop().await;
}

#[tokio::test]
async fn all_versions_show_every_change_and_every_delete() {
    let emulator = seeded(0, 2).await;
    let driver = emulator.driver().await;
    let container = driver.resolve().await;
    let mut plans = Vec::new();
    for range in ranges(&driver).await {
        let mut plan = driver.feed(&container, Some(range), ChangeFeedStartFrom::Now, true, 2).await.unwrap();
        assert!(driver.page(&container, &mut plan).await.unwrap().is_none(), "nothing is newer than now");
        plans.push(plan);
    }
    for key in ["p1", "p2", "p3"] {
        for version in 0..3 {
            let document = format!("{{\"id\":\"x\",\"pk\":\"{key}\",\"v\":{version}.50}}");
            driver.upsert(&container, PartitionKey::from(key), "x", &document).await;
        }
        let item = ItemReference::from_name(&container, PartitionKey::from(key), "x");
        driver.run(CosmosOperation::delete_item(item)).await.unwrap();
        driver.upsert(&container, PartitionKey::from(key), "x", &format!("{{\"id\":\"x\",\"pk\":\"{key}\"}}")).await;
    }
    let mut kinds: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for mut plan in plans {
        while let Some(page) = driver.page(&container, &mut plan).await.unwrap() {
            assert!(page.len() <= 2);
            for item in page {
                let metadata = &item["metadata"];
                let kind = metadata["operationType"].as_str().unwrap();
                let key = if kind == "delete" {
                    assert_eq!((&item["current"], &metadata["id"]), (&json!({}), &json!("x")));
                    assert!(metadata["previousImageLSN"].as_u64().unwrap() < metadata["lsn"].as_u64().unwrap());
                    &metadata["partitionKey"]["pk"]
                } else {
                    &item["current"]["pk"]
                };
                kinds.entry(key.as_str().unwrap().to_owned()).or_default().push(kind.to_owned());
            }
        }
    }
    assert_eq!(kinds.len(), 3);
    for (key, kinds) in kinds {
        assert_eq!(kinds, ["create", "replace", "replace", "delete", "create"], "{key}");
    }
}

#[tokio::test]
async fn a_token_of_the_driver_resumes_where_it_was_taken() {
    let emulator = seeded(30, 1).await;
    let driver = emulator.driver().await;
    let container = driver.resolve().await;
    let range = ranges(&driver).await.remove(0);
    let mut plan =
        driver.feed(&container, Some(range.clone()), ChangeFeedStartFrom::Beginning, false, 20).await.unwrap();
    assert_eq!(driver.page(&container, &mut plan).await.unwrap().unwrap().len(), 20);
    let token = plan.to_continuation_token().unwrap();
    let operation = CosmosOperation::change_feed(container.clone(), Some(range));
    let options = crate::support::text_options();
    let mut resumed = driver
        .driver
        .plan_operation(operation, &options, Some(&token), &azure_data_cosmos_driver::options::PlanOptions::default())
        .await
        .unwrap();
    assert_eq!(driver.page(&container, &mut resumed).await.unwrap().unwrap().len(), 10);
    assert!(driver.page(&container, &mut resumed).await.unwrap().is_none());
}

#[tokio::test]
async fn every_start_is_honoured() {
    let emulator = seeded(3, 1).await;
    let beginning = get(&emulator, &[LATEST, RANGE]).await;
    assert_eq!((beginning.status, beginning.header("etag"), documents(&beginning).len()), (200, "\"3\"", 3));
    let now = get(&emulator, &[LATEST, RANGE, ("if-none-match", "*")]).await;
    assert_eq!((now.status, now.header("etag"), now.text.as_str()), (304, "\"3\"", ""));
    let after = get(&emulator, &[LATEST, RANGE, ("if-none-match", "\"1\"")]).await;
    assert_eq!(documents(&after).len(), 2);
    for foreign in ["\"4\"", "\"abc\"", "{\"kind\":\"change_feed_cursor_v1\",\"lsn\":1}"] {
        assert_eq!(get(&emulator, &[LATEST, RANGE, ("if-none-match", foreign)]).await.status, 400, "{foreign}");
    }

    emulator.control("POST", "clock", r#"{"service":"cosmos","advanceSeconds":3600}"#).await;
    let date = get(&emulator, &[LATEST, RANGE]).await.header("date").to_owned();
    emulator.upsert("[\"p0\"]", r#"{"id":"late","pk":"p0"}"#).await;
    let since = get(&emulator, &[LATEST, RANGE, ("if-modified-since", &date)]).await;
    assert_eq!(documents(&since).iter().map(|d| d["id"].clone()).collect::<Vec<_>>(), [json!("late")]);
    let resumed =
        get(&emulator, &[LATEST, RANGE, ("if-modified-since", &date), ("if-none-match", since.header("etag"))]).await;
    assert_eq!(resumed.status, 304, "the entity tag counts, not the time sent along with it");
}

#[tokio::test]
async fn documents_are_enveloped_or_flat_as_asked() {
    let emulator = start().await;
    emulator.create_container(r#"{"id":"c","partitionKey":{"paths":["/pk"],"version":2}}"#).await;
    let sent = r#"{"id":"1", "pk":"p","n":1.10,"_lsn":99"#;
    emulator.upsert("[\"p\"]", &format!("{sent}}}")).await;
    let flat = get(&emulator, &[LATEST, RANGE]).await.text;
    assert!(flat.contains(&format!("\"Documents\":[{sent},\"_rid\":")), "{flat}");
    assert!(flat.contains(",\"_lsn\":1}]"), "{flat}");
    let enveloped = get(&emulator, &[LATEST, RANGE, ENVELOPE]).await.text;
    assert!(enveloped.contains(&format!("\"Documents\":[{{\"current\":{sent},\"_rid\":")), "{enveloped}");
    assert!(enveloped.contains("},\"metadata\":{\"lsn\":1,\"crts\":"), "{enveloped}");
    let versions = get(&emulator, &[ALL, RANGE, ("if-none-match", "\"0\"")]).await.text;
    assert!(versions.contains("\"operationType\":\"create\"") && versions.contains(sent), "{versions}");
}

#[tokio::test]
async fn a_feed_can_be_narrowed_to_a_key_or_a_part_of_a_range() {
    let emulator = seeded(70, 2).await;
    let key = [LATEST, ("x-ms-documentdb-partitionkey", "[\"p3\"]"), ("x-ms-max-item-count", "4")];
    let first = get(&emulator, &key).await;
    let etag = first.header("etag").to_owned();
    assert_eq!(documents(&first).len(), 4);
    let rest = get(&emulator, &[LATEST, key[1], ("if-none-match", &etag)]).await;
    assert_eq!(documents(&rest).len(), 6);
    assert!(documents(&rest).iter().all(|document| document["pk"] == "p3"));

    let part = |from, to| [LATEST, RANGE, ("x-ms-start-epk", from), ("x-ms-end-epk", to)];
    let low = get(&emulator, &part("", "10")).await;
    let high = get(&emulator, &part("10", "20")).await;
    let whole = documents(&get(&emulator, &[LATEST, RANGE]).await).len();
    let count = |answer: &Answer| if answer.status == 304 { 0 } else { documents(answer).len() };
    assert_eq!(count(&low) + count(&high), whole);
    let beyond = get(&emulator, &part("10", "30")).await;
    assert_eq!((beyond.status, beyond.substatus()), (410, "1002"), "the range does not hold all of that");
    let gone = get(&emulator, &[LATEST, ("x-ms-documentdb-partitionkeyrangeid", "7")]).await;
    assert_eq!((gone.status, gone.substatus()), (410, "1002"));
    assert_eq!(get(&emulator, &[LATEST]).await.status, 400, "two ranges at once are no feed");
}

#[tokio::test]
async fn a_prefix_of_a_hierarchical_key_is_a_scope() {
    let emulator = start().await;
    let driver = emulator.driver().await;
    let description = r#"{"id":"c","partitionKey":{"paths":["/t","/u"],"kind":"MultiHash","version":2}}"#;
    let container = driver.container(description).await;
    for (tenant, user) in [("a", "1"), ("a", "2"), ("b", "1")] {
        let document = format!("{{\"id\":\"{tenant}{user}\",\"t\":\"{tenant}\",\"u\":\"{user}\"}}");
        driver.upsert(&container, PartitionKey::from((tenant, user)), &format!("{tenant}{user}"), &document).await;
    }
    let prefix = FeedRange::for_partition(PartitionKey::from("a"), container.partition_key_definition());
    let mut plan = driver.feed(&container, Some(prefix), ChangeFeedStartFrom::Beginning, false, 10).await.unwrap();
    let page = driver.page(&container, &mut plan).await.unwrap().unwrap();
    assert_eq!(page.iter().map(|item| item["current"]["id"].clone()).collect::<Vec<_>>(), [json!("a1"), json!("a2")]);

    let item = ItemReference::from_name(&container, PartitionKey::from(("a", "1")), "a1");
    driver.run(CosmosOperation::delete_item(item)).await.unwrap();
    let deleted = get(&emulator, &[ALL, RANGE, ("if-none-match", "\"3\"")]).await;
    assert_eq!(documents(&deleted)[0]["metadata"]["partitionKey"], json!({"t": "a", "u": "1"}));
}

#[tokio::test]
async fn a_batch_is_never_split_over_pages() {
    let emulator = start().await;
    emulator.create_container(r#"{"id":"c","partitionKey":{"paths":["/pk"],"version":2}}"#).await;
    let headers = [
        ("x-ms-documentdb-partitionkey", "[\"p\"]"),
        ("x-ms-cosmos-is-batch-request", "True"),
        ("x-ms-cosmos-batch-atomic", "True"),
    ];
    let batch = |from: u32| {
        let operations: Vec<_> = (from..from + 5)
            .map(|id| json!({"operationType": "Upsert", "resourceBody": {"id": id.to_string(), "pk": "p"}}))
            .collect();
        json!(operations).to_string()
    };
    emulator.send("POST", DOCS, &headers, &batch(0)).await;
    emulator.send("POST", DOCS, &headers, &batch(5)).await;
    for mode in [LATEST, ALL] {
        let first = get(&emulator, &[mode, RANGE, ("if-none-match", "\"0\""), ("x-ms-max-item-count", "2")]).await;
        assert_eq!((documents(&first).len(), first.header("etag")), (5, "\"1\""));
        let second = get(&emulator, &[mode, RANGE, ("if-none-match", "\"1\""), ("x-ms-max-item-count", "-1")]).await;
        assert_eq!((documents(&second).len(), second.header("etag")), (5, "\"2\""));
    }
}

#[tokio::test]
async fn a_page_holds_four_megabytes_but_always_one_change() {
    let emulator = start().await;
    emulator.create_container(r#"{"id":"c","partitionKey":{"paths":["/pk"],"version":2}}"#).await;
    for id in 0..5 {
        let document = json!({"id": id.to_string(), "pk": "p", "x": "x".repeat(1_500_000)}).to_string();
        assert_eq!(emulator.upsert("[\"p\"]", &document).await.status, 201);
    }
    let page = get(&emulator, &[LATEST, RANGE]).await;
    assert_eq!((documents(&page).len(), page.header("etag")), (2, "\"2\""));
    assert!(page.text.len() <= 4 << 20);
}

#[tokio::test]
async fn all_versions_start_only_where_the_service_lets_them() {
    let emulator = seeded(1, 1).await;
    assert_eq!(get(&emulator, &[ALL, RANGE]).await.status, 400);
    let since = ("if-modified-since", "Fri, 20 Nov 2026 18:46:23 GMT");
    assert_eq!(get(&emulator, &[ALL, RANGE, since]).await.status, 400);
    let now = ("if-none-match", "*");
    assert_eq!(get(&emulator, &[ALL, RANGE, now]).await.status, 304);
    emulator.control("POST", "account", r#"{"allVersions":false}"#).await;
    let refused = get(&emulator, &[ALL, RANGE, now]).await;
    assert_eq!(refused.status, 400);
    assert!(refused.text.contains("all versions and deletes change feed is not enabled"), "{}", refused.text);
    assert_eq!(get(&emulator, &[LATEST, RANGE]).await.status, 200);
    let driver = emulator.driver().await;
    let container = driver.resolve().await;
    let mut plan = driver.feed(&container, Some(FeedRange::full()), ChangeFeedStartFrom::Now, true, 1).await.unwrap();
    assert_eq!(status(&driver.page(&container, &mut plan).await.unwrap_err()), 400);
}

#[tokio::test]
async fn expired_items_leave_the_feed_and_are_deletes_in_the_other() {
    let emulator = start().await;
    emulator.create_container(r#"{"id":"c","partitionKey":{"paths":["/pk"],"version":2},"defaultTtl":-1}"#).await;
    emulator.upsert("[\"p\"]", r#"{"id":"mortal","pk":"p","ttl":30}"#).await;
    emulator.upsert("[\"p\"]", r#"{"id":"immortal","pk":"p"}"#).await;
    emulator.control("POST", "clock", r#"{"service":"cosmos","advanceSeconds":31}"#).await;
    let versions = get(&emulator, &[ALL, RANGE, ("if-none-match", "\"2\"")]).await;
    let metadata = documents(&versions)[0]["metadata"].clone();
    assert_eq!((&metadata["operationType"], &metadata["timeToLiveExpired"]), (&json!("delete"), &json!(true)));
    assert_eq!((&metadata["id"], &metadata["partitionKey"]), (&json!("mortal"), &json!({"pk": "p"})));
    let latest = get(&emulator, &[LATEST, RANGE]).await;
    assert_eq!((documents(&latest).len(), latest.header("etag")), (1, "\"3\""));
    let key = [("x-ms-documentdb-partitionkey", "[\"p\"]")];
    assert_eq!(emulator.send("GET", &format!("{DOCS}/mortal"), &key, "").await.status, 404);

    // A default for the whole container counts for what is already there.
    let body = r#"{"id":"c","partitionKey":{"paths":["/pk"],"version":2},"defaultTtl":60}"#;
    assert_eq!(emulator.send("PUT", "/dbs/d/colls/c", &[], body).await.status, 200);
    emulator.control("POST", "clock", r#"{"service":"cosmos","advanceSeconds":60}"#).await;
    assert_eq!(emulator.send("GET", &format!("{DOCS}/immortal"), &key, "").await.status, 404);
    let history = emulator.control("GET", "history?database=d&container=c", "").await.text;
    let ops: Vec<_> = history.lines().map(|l| serde_json::from_str::<Value>(l).unwrap()["op"].clone()).collect();
    assert_eq!(ops, [json!("create"), json!("create"), json!("expire"), json!("expire")]);
}
