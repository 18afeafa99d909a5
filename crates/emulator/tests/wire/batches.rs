//! Bulk requests and patches over the wire.

use serde_json::{Value, json};

use crate::support::{Answer, Running, start};

const DOCS: &str = "/dbs/d/colls/c/docs";
const BULK: [(&str, &str); 2] = [("x-ms-cosmos-is-batch-request", "true"), ("x-ms-cosmos-batch-atomic", "false")];
const GO_ON: (&str, &str) = ("x-ms-cosmos-batch-continue-on-error", "true");

async fn seeded(partitions: u32) -> Running {
    let emulator = start().await;
    let seed =
        json!({"database": "d", "container": "c", "count": 8, "keys": 8, "partitions": partitions, "bytes": 100});
    assert_eq!(emulator.control("POST", "seed", &seed.to_string()).await.status, 200);
    emulator
}

async fn bulk(emulator: &Running, headers: &[(&str, &str)], operations: &Value) -> Answer {
    emulator.send("POST", DOCS, &[&BULK, headers].concat(), &operations.to_string()).await
}

fn codes(answer: &Answer) -> Vec<u64> {
    answer.json().as_array().unwrap().iter().map(|result| result["statusCode"].as_u64().unwrap()).collect()
}

fn create(id: &str, key: &str) -> Value {
    json!({"operationType": "Create", "partitionKey": json!([key]).to_string(), "resourceBody": {"id": id, "pk": key}})
}

#[tokio::test]
async fn bulk_operations_have_keys_and_outcomes_of_their_own() {
    let emulator = seeded(1).await;
    let operations = json!([
        create("new", "p0"),
        create("d1", "p1"),
        {"operationType": "Read", "id": "d2", "partitionKey": "[\"p2\"]"},
        {"operationType": "Delete", "id": "d3", "partitionKey": "[\"p3\"]"},
        {"operationType": "Delete", "id": "d3", "partitionKey": "[\"p3\"]"},
        {"operationType": "Upsert", "partitionKey": "[\"p4\"]", "resourceBody": {"id": "x", "pk": "other"}},
        {"operationType": "Patch", "id": "d5", "partitionKey": "[\"p5\"]",
            "resourceBody": {"operations": [{"op": "incr", "path": "/n", "value": 10}]}},
        {"operationType": "Delete", "id": "d6"},
    ]);
    let range = ("x-ms-documentdb-partitionkeyrangeid", "0");
    let answer = bulk(&emulator, &[GO_ON, range], &operations).await;
    assert_eq!((answer.status, codes(&answer)), (207, vec![201, 409, 200, 204, 404, 400, 200, 400]));
    assert_eq!(answer.json()[2]["resourceBody"]["id"], "d2");
    assert_eq!(answer.json()[6]["resourceBody"]["n"], 15);
    assert_eq!(answer.header("x-ms-session-token").split('#').next(), Some("0:0"));
    let history = emulator.control("GET", "history?database=d&container=c", "").await.text;
    let lsns: Vec<u64> = history
        .lines()
        .skip(8)
        .map(|line| serde_json::from_str::<Value>(line).unwrap()["lsn"].as_u64().unwrap())
        .collect();
    assert_eq!(lsns, [9, 10, 11], "each operation is a transaction");
}

#[tokio::test]
async fn bulk_stops_at_the_first_refusal_unless_told_to_go_on() {
    let emulator = seeded(1).await;
    let operations = json!([create("a", "p1"), create("d1", "p1"), create("b", "p1")]);
    let stopped = bulk(&emulator, &[], &operations).await;
    assert_eq!((stopped.status, codes(&stopped)), (207, vec![201, 409, 424]));
    let passed = bulk(&emulator, &[], &json!([create("b", "p1")])).await;
    assert_eq!((passed.status, codes(&passed)), (200, vec![201]));
}

#[tokio::test]
async fn bulk_to_a_range_that_is_gone_or_not_the_keys_is_refused() {
    let emulator = seeded(2).await;
    let gone = ("x-ms-documentdb-partitionkeyrangeid", "7");
    let answer = bulk(&emulator, &[GO_ON, gone], &json!([create("a", "p1")])).await;
    assert_eq!((answer.status, answer.substatus()), (410, "1002"));
    let mut done = 0;
    for range in ["0", "1"] {
        let header = ("x-ms-documentdb-partitionkeyrangeid", range);
        let answer = bulk(&emulator, &[GO_ON, header], &json!([create("a", "p1")])).await;
        done += usize::from(codes(&answer) == [201]);
    }
    assert_eq!(done, 1, "one range of the two has the key");
}

#[tokio::test]
async fn a_patch_changes_what_it_names_under_the_conditions_it_has() {
    let emulator = seeded(1).await;
    let path = format!("{DOCS}/d1");
    let key = ("x-ms-documentdb-partitionkey", "[\"p1\"]");
    let before = emulator.send("GET", &path, &[key], "").await;
    let patch = r#"{"condition":"FROM c WHERE c.n = 1","operations":[{"op":"set","path":"/n","value":2.50},
        {"op":"add","path":"/list","value":["x"]},{"op":"move","from":"/list/0","path":"/moved"}]}"#;
    let patched = emulator.send("PATCH", &path, &[key, ("if-match", before.header("etag"))], patch).await;
    assert_eq!(patched.status, 200, "{}", patched.text);
    assert!(
        patched.text.contains("\"n\":2.50") && patched.text.contains("\"list\":[],\"moved\":\"x\""),
        "{}",
        patched.text
    );
    assert_ne!(patched.header("etag"), before.header("etag"));
    assert_eq!(emulator.send("GET", &path, &[key], "").await.text, patched.text);

    for (headers, id, body, status) in [
        (vec![key], "d1", patch, 412),
        (vec![key, ("if-match", before.header("etag"))], "d1", r#"[{"op":"remove","path":"/none"}]"#, 412),
        (vec![key], "none", r#"[{"op":"incr","path":"/n","value":1}]"#, 404),
        (vec![key], "d1", r#"[{"op":"incr","path":"/n","value":1},{"op":"remove","path":"/none"}]"#, 400),
        (vec![key], "d1", r#"[{"op":"set","path":"/pk","value":"q"}]"#, 400),
        (vec![key], "d1", "{", 400),
        (vec![], "d1", patch, 400),
    ] {
        let refused = emulator.send("PATCH", &format!("{DOCS}/{id}"), &headers, body).await;
        assert_eq!(refused.status, status, "{body}: {}", refused.text);
    }
    assert_eq!(emulator.send("GET", &path, &[key], "").await.text, patched.text, "a refused patch changes nothing");
}

#[tokio::test]
async fn a_patch_in_an_atomic_batch_sees_the_operations_before_it() {
    let emulator = seeded(1).await;
    let headers = [
        ("x-ms-cosmos-is-batch-request", "True"),
        ("x-ms-cosmos-batch-atomic", "True"),
        ("x-ms-documentdb-partitionkey", "[\"p1\"]"),
    ];
    let patch = |id: &str| {
        json!({"operationType": "Patch", "id": id,
            "resourceBody": {"operations": [{"op": "incr", "path": "/n", "value": 1}]}})
    };
    let operations = json!([
        {"operationType": "Create", "resourceBody": {"id": "new", "pk": "p1", "n": 5}},
        patch("new"), patch("d1"), patch("d1"),
    ]);
    let done = emulator.send("POST", DOCS, &headers, &operations.to_string()).await;
    assert_eq!((done.status, codes(&done)), (200, vec![201, 200, 200, 200]), "{}", done.text);
    assert_eq!((&done.json()[1]["resourceBody"]["n"], &done.json()[3]["resourceBody"]["n"]), (&json!(6), &json!(3)));
    let failing = json!([patch("d1"), {"operationType": "Delete", "id": "new"}, patch("new")]);
    let refused = emulator.send("POST", DOCS, &headers, &failing.to_string()).await;
    assert_eq!((refused.status, codes(&refused)), (207, vec![424, 424, 404]));
}
