//! Control requests: health, seed, history, clock, counters, storage.

use serde_json::{Value, json};

use crate::support::start;

#[tokio::test]
async fn control_needs_no_key_and_refuses_what_it_does_not_know() {
    let emulator = start().await;
    assert_eq!(emulator.control("GET", "health", "").await.status, 200);
    for (verb, name, body, status) in [
        ("POST", "seed", r#"{"database":"d","container":"c","cuont":1}"#, 400),
        ("POST", "clock", r#"{"service":"cosmos"}"#, 400),
        ("POST", "clock", r#"{"service":"sql","offsetSeconds":1}"#, 400),
        ("POST", "account", r#"{"allVersion":true}"#, 400),
        ("POST", "storage", r#"{"versoning":true}"#, 400),
        ("POST", "storage", r#"{"sku":"Standard_XRS"}"#, 400),
        ("POST", "storage", r#"{"immutability":"some"}"#, 400),
        ("POST", "faults", r#"{"rules":[{"service":"cosmos","operation":"nothing","status":500}]}"#, 400),
        ("GET", "history?database=d&container=none", "", 404),
        ("GET", "history?database=d", "", 400),
        ("POST", "split", "{}", 400),
        ("POST", "split", r#"{"database":"d","container":"none","range":"0"}"#, 404),
        ("POST", "merge", r#"{"database":"d","container":"none","ranges":["0","1"]}"#, 404),
        ("POST", "retention", r#"{"database":"d","container":"none","seconds":-1}"#, 400),
        ("POST", "feed", r#"{"database":"d","container":"none","flatt":true}"#, 400),
        ("POST", "feed", r#"{"database":"d","container":"none"}"#, 404),
        ("DELETE", "health", "", 405),
        ("GET", "nothing", "", 404),
    ] {
        let answer = emulator.control(verb, name, body).await;
        assert_eq!(answer.status, status, "{name} {body}: {}", answer.text);
        assert!(answer.json()["error"].is_string());
    }
    emulator.stop().await;
}

#[tokio::test]
async fn the_history_holds_what_was_seeded_and_what_came_after() {
    let emulator = start().await;
    let seed = json!({"database": "my db", "container": "c", "partitionKey": "/a/k", "count": 1500, "keys": 4, "partitions": 3});
    assert_eq!(emulator.control("POST", "seed", &seed.to_string()).await.status, 200);
    let history = emulator.control("GET", "history?database=my%20db&container=c", "").await.text;
    let lines: Vec<Value> = history.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(lines.len(), 1500);
    assert!(lines.iter().enumerate().all(|(index, line)| line["seq"] == json!(index + 1) && line["op"] == "create"));
    assert_eq!(lines[6]["id"], "d6");
    assert_eq!(lines[6]["partitionKey"], json!(["p2"]));
    assert_eq!(lines[6]["document"]["a"]["k"], "p2");
    assert_eq!(lines[6]["etag"], lines[6]["document"]["_etag"]);
    let ranges: std::collections::BTreeSet<_> = lines.iter().map(|line| line["range"].as_str().unwrap()).collect();
    assert!(ranges.len() > 1 && ranges.iter().all(|range| ["0", "1", "2"].contains(range)), "{ranges:?}");

    let key = [("x-ms-documentdb-partitionkey", "[\"p2\"]")];
    emulator.send("DELETE", "/dbs/my db/colls/c/docs/d6", &key, "").await;
    let history = emulator.control("GET", "history?database=my+db&container=c", "").await.text;
    let last: Value = serde_json::from_str(history.lines().last().unwrap()).unwrap();
    assert_eq!((&last["op"], &last["document"], &last["id"]), (&json!("delete"), &Value::Null, &json!("d6")));
    assert_eq!(last["etag"], lines[6]["etag"]);
}

#[tokio::test]
async fn the_history_has_one_line_per_change_though_documents_have_many() {
    let emulator = start().await;
    emulator.create_container(r#"{"id":"c","partitionKey":{"paths":["/pk"],"version":2}}"#).await;
    emulator.upsert("[\"p\"]", "{\r\n  \"id\": \"1\",\n  \"pk\": \"p\"\n}").await;
    let history = emulator.control("GET", "history?database=d&container=c", "").await.text;
    assert_eq!(history.lines().count(), 1);
    assert_eq!(serde_json::from_str::<Value>(history.trim_end()).unwrap()["document"]["id"], "1");
}

#[tokio::test]
async fn each_services_clock_moves_alone() {
    let emulator = start().await;
    let date = |answer: &crate::support::Answer| jiff::fmt::rfc2822::parse(answer.header("date")).unwrap().timestamp();
    let before = date(&emulator.send("GET", "/dbs", &[], "").await);
    emulator.control("POST", "clock", r#"{"service":"cosmos","offsetSeconds":-7200}"#).await;
    let back = date(&emulator.send("GET", "/dbs", &[], "").await);
    assert!((7195..7205).contains(&(before.as_second() - back.as_second())));
    emulator.control("POST", "clock", r#"{"service":"cosmos","advanceSeconds":7200.5}"#).await;
    emulator.control("POST", "clock", r#"{"service":"blob","offsetSeconds":86400}"#).await;
    let again = date(&emulator.send("GET", "/dbs", &[], "").await);
    assert!((0..10).contains(&(again.as_second() - before.as_second())));
}

#[tokio::test]
async fn requests_are_counted_by_service_operation_and_status() {
    let emulator = start().await;
    emulator.create_container(r#"{"id":"c","partitionKey":{"paths":["/pk"],"version":2}}"#).await;
    emulator.upsert("[\"p\"]", r#"{"id":"1","pk":"p"}"#).await;
    for _ in 0..2 {
        let headers = [("a-im", "Incremental Feed"), ("if-none-match", "*")];
        emulator.send("GET", "/dbs/d/colls/c/docs", &headers, "").await;
    }
    emulator.send("GET", "/dbs/d/colls/c/docs/none", &[("x-ms-documentdb-partitionkey", "[\"p\"]")], "").await;
    let counters = emulator.control("GET", "counters", "").await.json();
    assert_eq!(counters["cosmos"]["feed"], json!({"304": 2}));
    assert_eq!(counters["cosmos"]["item-write"], json!({"201": 1}));
    assert_eq!(counters["cosmos"]["item-read"], json!({"404": 1}));
    assert_eq!(counters["blob"], Value::Null);
}

#[tokio::test]
async fn a_storage_setting_changes_alone() {
    let emulator = start().await;
    let set = emulator.control("POST", "storage", r#"{"softDeleteDays":3}"#).await;
    let settings = |versioning: bool| {
        json!({
            "versioning": versioning,
            "softDeleteDays": 3,
            "hierarchicalNamespace": false,
            "versionLevelImmutability": true,
            "immutability": "none",
            "deleteAllowed": true,
            "sku": "Standard_LRS",
        })
    };
    assert_eq!(set.json(), settings(true));
    emulator.control("POST", "storage", r#"{"versioning":false}"#).await;
    let got = emulator.control("GET", "storage", "").await;
    assert_eq!(got.json(), settings(false));
}
