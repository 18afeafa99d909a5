//! Batches of operations on one partition key.

use serde_json::{Value, json};

use crate::pair::{Ask, Pair};

const DOCS: &str = "/dbs/d/colls/batches/docs";

fn batch(name: &str, operations: &Value) -> Ask {
    Ask::post(name, DOCS, operations.to_string())
        .key(r#"["p"]"#)
        .with("x-ms-cosmos-is-batch-request", "True")
        .with("x-ms-cosmos-batch-atomic", "True")
}

fn create(id: &str) -> Value {
    json!({"operationType": "Create", "resourceBody": {"id": id, "pk": "p", "n": 1}})
}

pub(crate) async fn ask(pair: &mut Pair) {
    pair.container("batches", &json!({"paths": ["/pk"], "kind": "Hash", "version": 2})).await;
    succeed(pair).await;
    fail(pair).await;
    refuse(pair).await;
}

async fn succeed(pair: &mut Pair) {
    let all = json!([
        create("1"),
        create("2"),
        {"operationType": "Upsert", "resourceBody": {"id": "3", "pk": "p"}},
        {"operationType": "Upsert", "resourceBody": {"id": "3", "pk": "p", "n": 2}},
        {"operationType": "Replace", "id": "1", "resourceBody": {"id": "1", "pk": "p", "n": 3}},
        {"operationType": "Read", "id": "1"},
        {"operationType": "Delete", "id": "2"},
    ]);
    let conditional = json!([
        {"operationType": "Read", "id": "1", "ifNoneMatch": "«batch: all kinds of operation|/4/eTag»"},
        {"operationType": "Replace", "id": "1", "ifMatch": "«batch: all kinds of operation|/4/eTag»",
         "resourceBody": {"id": "1", "pk": "p", "n": 4}},
    ]);
    pair.ask_all([
        batch("batch: all kinds of operation", &all),
        batch("batch: an unchanged read and a replacement if unchanged", &conditional)
            .since("batch: all kinds of operation"),
        batch(
            "batch: reads only",
            &json!([{"operationType": "Read", "id": "1"}, {"operationType": "Read", "id": "3"}]),
        )
        .since("batch: an unchanged read and a replacement if unchanged"),
        batch("batch: without bodies in the answer", &json!([create("4"), {"operationType": "Read", "id": "4"}]))
            .minimal()
            .since("batch: all kinds of operation"),
    ])
    .await;
}

async fn fail(pair: &mut Pair) {
    let stale = json!([
        {"operationType": "Replace", "id": "1", "ifMatch": "\"00000000-0000-0000-0000-000000000000\"",
         "resourceBody": {"id": "1", "pk": "p"}},
        create("7"),
    ]);
    pair.ask_all([
        batch("batch: a create that exists", &json!([create("5"), create("1"), create("6")])),
        Ask::get("batch: read what a failed batch created", "/dbs/d/colls/batches/docs/5")
            .key(r#"["p"]"#)
            .since("batch: without bodies in the answer"),
        batch(
            "batch: a replacement of a missing one",
            &json!([
                {"operationType": "Replace", "id": "no", "resourceBody": {"id": "no", "pk": "p"}},
            ]),
        ),
        batch("batch: a delete of a missing one", &json!([create("7"), {"operationType": "Delete", "id": "no"}])),
        batch("batch: a read of a missing one", &json!([{"operationType": "Read", "id": "no"}])),
        batch("batch: a replacement if unchanged though changed", &stale),
    ])
    .await;
}

async fn refuse(pair: &mut Pair) {
    let many: Vec<Value> = (0..101).map(|number| create(&format!("m{number}"))).collect();
    let elsewhere = json!([{"operationType": "Create", "resourceBody": {"id": "8", "pk": "q"}}]);
    let bulk =
        json!([{"operationType": "Create", "partitionKey": "[\"p\"]", "resourceBody": {"id": "bulk", "pk": "p"}}]);
    let mut keyless = Ask::post("batch: without key header", DOCS, json!([create("9")]).to_string());
    keyless = keyless.with("x-ms-cosmos-is-batch-request", "True").with("x-ms-cosmos-batch-atomic", "True");
    pair.ask_all([
        batch("batch: 101 operations", &Value::from(many)),
        batch("batch: a document of another key", &elsewhere),
        batch("batch: a kind of operation that does not exist", &json!([{"operationType": "Nothing", "id": "1"}])),
        batch("batch: no operations", &json!([])),
        batch("batch: not an array", &json!({"operationType": "Read", "id": "1"})),
        batch("batch: a create without document", &json!([{"operationType": "Create"}])),
        keyless,
        Ask::post("batch: not atomic", DOCS, bulk.to_string())
            .range("0")
            .with("x-ms-cosmos-is-batch-request", "True")
            .with("x-ms-cosmos-batch-atomic", "False")
            .with("x-ms-cosmos-batch-continue-on-error", "True"),
    ])
    .await;
}
