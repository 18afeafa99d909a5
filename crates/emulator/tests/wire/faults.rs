//! Faults on purpose, over both protocols.

use std::time::Duration;

use azure_data_cosmos_driver::models::{CosmosOperation, ItemReference, PartitionKey};
use serde_json::{Value, json};

use crate::support::{start, status};

const CONTAINER: &str = r#"{"id":"c","partitionKey":{"paths":["/pk"],"kind":"Hash","version":2}}"#;

fn one(rule: &Value) -> String {
    json!({ "rules": [rule] }).to_string()
}

#[tokio::test]
async fn a_status_is_answered_instead_of_the_work() {
    let emulator = start().await;
    emulator.create_container(CONTAINER).await;
    let rule = json!({"service": "cosmos", "operation": "item-write", "container": "c", "status": 429, "substatus": 3200,
        "retryAfterMs": 12, "count": 1});
    assert_eq!(emulator.control("POST", "faults", &one(&rule)).await.status, 200);
    let throttled = emulator.upsert("[\"p\"]", r#"{"id":"1","pk":"p"}"#).await;
    assert_eq!((throttled.status, throttled.substatus(), throttled.header("x-ms-retry-after-ms")), (429, "3200", "12"));
    assert_eq!(throttled.json()["code"], "TooManyRequests");
    assert_eq!(emulator.upsert("[\"p\"]", r#"{"id":"1","pk":"p"}"#).await.status, 201, "the rule is spent");
}

#[tokio::test]
async fn a_rule_can_name_the_range_that_a_partition_key_leads_to() {
    let emulator = start().await;
    let seed = r#"{"database":"d","container":"c","count":0,"partitions":2}"#;
    emulator.control("POST", "seed", seed).await;
    // The effective partition key of "p1" begins with 06, that of "p2" with 31.
    emulator.control("POST", "faults", &one(&json!({"service": "cosmos", "range": "1", "status": 503}))).await;
    assert_eq!(emulator.upsert("[\"p1\"]", r#"{"id":"1","pk":"p1"}"#).await.status, 201);
    assert_eq!(emulator.upsert("[\"p2\"]", r#"{"id":"1","pk":"p2"}"#).await.status, 503);
    emulator.control("DELETE", "faults", "").await;
    assert_eq!(emulator.upsert("[\"p2\"]", r#"{"id":"1","pk":"p2"}"#).await.status, 201);
}

#[tokio::test]
async fn a_reset_leaves_no_answer_and_no_work_but_respond_then_reset_leaves_the_work() {
    let emulator = start().await;
    emulator.create_container(CONTAINER).await;
    let authorization =
        crate::support::sign("POST", &["dbs", "d", "colls", "c", "docs"], cosmirror_emulator::COSMOS_KEY);
    let headers = [("authorization", authorization.as_str()), ("x-ms-documentdb-partitionkey", "[\"p\"]")];
    for (action, written) in [("reset", 404), ("respond-then-reset", 200)] {
        let rule = json!({"service": "cosmos", "operation": "item-write", "action": action});
        emulator.control("POST", "faults", &one(&rule)).await;
        let body = format!(r#"{{"id":"{action}","pk":"p"}}"#);
        let lost = emulator.raw("POST", "/dbs/d/colls/c/docs", &headers, &body).await;
        assert!(lost.is_err(), "{action}: {lost:?}");
        emulator.control("DELETE", "faults", "").await;
        let read = emulator.send("GET", &format!("/dbs/d/colls/c/docs/{action}"), &headers[1..], "").await;
        assert_eq!(read.status, written, "{action}");
    }
    let counters = emulator.control("GET", "counters", "").await.json();
    let writes = &counters["cosmos"]["item-write"];
    assert!(writes["reset"].as_u64() >= Some(1) && writes["respond-then-reset"].as_u64() >= Some(1), "{counters}");
}

#[tokio::test]
async fn a_reset_of_one_http2_stream_leaves_the_connection_usable() {
    let emulator = start().await;
    let driver = emulator.driver().await;
    let container = driver.container(CONTAINER).await;
    driver.upsert(&container, "p".into(), "1", r#"{"id":"1","pk":"p"}"#).await;
    let rule = json!({"service": "cosmos", "operation": "item-read", "action": "reset", "count": 1});
    emulator.control("POST", "faults", &one(&rule)).await;
    // The driver repeats a read that got no answer.
    driver.read(&container, "p".into(), "1").await;
    let counters = emulator.control("GET", "counters", "").await.json();
    assert_eq!(counters["cosmos"]["item-read"], json!({"200": 1, "reset": 1}));
    let rule = json!({"service": "cosmos", "operation": "item-write", "status": 412});
    emulator.control("POST", "faults", &one(&rule)).await;
    let item = ItemReference::from_name(&container, PartitionKey::from("p"), "1");
    let refused = driver.run(CosmosOperation::delete_item(item)).await.unwrap_err();
    assert_eq!(status(&refused), 412);
}

#[tokio::test]
async fn a_truncated_answer_announces_more_than_it_sends() {
    let emulator = start().await;
    emulator.create_container(CONTAINER).await;
    emulator.upsert("[\"p\"]", r#"{"id":"1","pk":"p"}"#).await;
    emulator.control("POST", "faults", &one(&json!({"service": "cosmos", "action": "truncate"}))).await;
    let authorization = crate::support::sign("GET", &["dbs"], cosmirror_emulator::COSMOS_KEY);
    let cut = emulator.raw("GET", "/dbs", &[("authorization", &authorization)], "").await;
    let error = cut.unwrap_err();
    assert!(error.is_body() || error.is_decode(), "the body breaks off: {error:?}");
}

#[tokio::test]
async fn a_request_that_hangs_is_let_go_when_the_emulator_stops() {
    let emulator = start().await;
    emulator.control("POST", "faults", &one(&json!({"service": "cosmos", "action": "hang"}))).await;
    let authorization = crate::support::sign("GET", &["dbs"], cosmirror_emulator::COSMOS_KEY);
    let headers = [("authorization", authorization.as_str())];
    let waiting = emulator.raw("GET", "/dbs", &headers, "");
    assert!(tokio::time::timeout(Duration::from_millis(200), waiting).await.is_err());
    emulator.stop().await;
}

#[tokio::test]
async fn a_delay_comes_before_the_work() {
    let emulator = start().await;
    let rule = json!({"service": "cosmos", "operation": "*", "delayMs": 150, "count": 1});
    emulator.control("POST", "faults", &one(&rule)).await;
    let before = tokio::time::Instant::now();
    assert_eq!(emulator.send("GET", "/dbs", &[], "").await.status, 200);
    assert!(before.elapsed() >= Duration::from_millis(150));
}

#[tokio::test]
async fn blob_requests_meet_faults_too() {
    let emulator = start().await;
    let rule =
        json!({"service": "blob", "operation": "put", "container": "versions", "status": 503, "retryAfterMs": 1500});
    emulator.control("POST", "faults", &one(&rule)).await;
    let url = format!("http://{}/{}/versions/a/b", emulator.blob, cosmirror_emulator::BLOB_ACCOUNT);
    let answer = reqwest::Client::new().put(url).body("x").send().await.unwrap();
    assert_eq!(answer.status().as_u16(), 503);
    assert_eq!(answer.headers()["x-ms-error-code"], "ServerBusy");
    assert_eq!(answer.headers()["retry-after"], "2");
    let counters = emulator.control("GET", "counters", "").await.json();
    assert_eq!(counters["blob"]["put"]["503"], 1);
}
