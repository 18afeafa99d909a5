//! Containers: create, read, list, query, replace, delete.

use serde_json::json;

use crate::pair::{Ask, Pair};

const COLLS: &str = "/dbs/d/colls";

pub(crate) async fn ask(pair: &mut Pair) {
    create(pair).await;
    refuse(pair).await;
    read(pair).await;
    replace_and_delete(pair).await;
}

async fn create(pair: &mut Pair) {
    let hierarchical =
        json!({"id": "tree", "partitionKey": {"paths": ["/t", "/u", "/v"], "kind": "MultiHash", "version": 2}});
    let indexed = json!({
        "id": "indexed", "defaultTtl": 3600, "partitionKey": {"paths": ["/a/b"], "kind": "Hash", "version": 2},
        "indexingPolicy": {"indexingMode": "none", "automatic": false},
        "uniqueKeyPolicy": {"uniqueKeys": [{"paths": ["/mail"]}]},
    });
    pair.ask_all([
        Ask::get("containers: list none", COLLS),
        Ask::post("containers: create", COLLS, described("c", 2)),
        Ask::post("containers: create twice", COLLS, described("c", 2)),
        Ask::post(
            "containers: create without kind and version",
            COLLS,
            r#"{"id":"js","partitionKey":{"paths":["/pk"]}}"#,
        ),
        Ask::post("containers: create with version 1", COLLS, described("v1", 1)),
        Ask::post("containers: create a hierarchical one", COLLS, hierarchical.to_string()),
        Ask::post("containers: create with policies", COLLS, indexed.to_string()),
        Ask::post("containers: create without body", COLLS, described("brief", 2)).minimal(),
        Ask::post("containers: create with throughput", COLLS, described("paid", 2))
            .with("x-ms-offer-throughput", "400"),
    ])
    .await;
}

async fn refuse(pair: &mut Pair) {
    let four =
        json!({"id": "x", "partitionKey": {"paths": ["/1", "/2", "/3", "/4"], "kind": "MultiHash", "version": 2}});
    let two = json!({"id": "x", "partitionKey": {"paths": ["/1", "/2"], "kind": "Hash", "version": 2}});
    let flat = json!({"id": "x", "partitionKey": {"paths": ["pk"], "kind": "Hash", "version": 2}});
    let none = json!({"id": "x", "partitionKey": {"paths": [], "kind": "Hash", "version": 2}});
    pair.ask_all([
        Ask::post("containers: create in a missing database", "/dbs/missing/colls", described("x", 2)),
        Ask::post("containers: create without partition key", COLLS, r#"{"id":"keyless"}"#),
        Ask::post("containers: create without id", COLLS, r#"{"partitionKey":{"paths":["/pk"],"kind":"Hash"}}"#),
        Ask::post("containers: create from broken JSON", COLLS, r#"{"id":"x","#),
        Ask::post("containers: create with four levels of key", COLLS, four.to_string()),
        Ask::delete("containers: delete the one with four levels of key", "/dbs/d/colls/x"),
        Ask::post("containers: create with two paths of kind Hash", COLLS, two.to_string()),
        Ask::delete("containers: delete the one with two paths of kind Hash", "/dbs/d/colls/x"),
        Ask::post("containers: create with a path without slash", COLLS, flat.to_string()),
        Ask::delete("containers: delete the one with a path without slash", "/dbs/d/colls/x"),
        Ask::post("containers: create without paths", COLLS, none.to_string()),
        Ask::delete("containers: delete the one without paths", "/dbs/d/colls/x"),
        Ask::post("containers: create with too little throughput", COLLS, described("x", 2))
            .with("x-ms-offer-throughput", "100"),
        Ask::delete("containers: delete the one with too little throughput", "/dbs/d/colls/x"),
    ])
    .await;
}

async fn read(pair: &mut Pair) {
    let query = r#"{"query":"SELECT * FROM r WHERE r.id = 'c'"}"#;
    pair.ask_all([
        Ask::get("containers: read", "/dbs/d/colls/c"),
        Ask::get("containers: read the hierarchical one", "/dbs/d/colls/tree"),
        Ask::get("containers: read the one with policies", "/dbs/d/colls/indexed"),
        Ask::get("containers: read a missing one", "/dbs/d/colls/missing"),
        Ask::get("containers: read one of a missing database", "/dbs/missing/colls/c"),
        Ask::get("containers: read by its own resource id", "/dbs/d/colls/c")
            .with("x-ms-cosmos-intended-collection-rid", "«containers: create|/_rid»"),
        Ask::get("containers: read by the resource id of another", "/dbs/d/colls/c")
            .with("x-ms-cosmos-intended-collection-rid", "«containers: create with version 1|/_rid»"),
        Ask::get("containers: list", COLLS),
        Ask::get("containers: list the first two", COLLS).items_max("2"),
        Ask::get("containers: list of a missing database", "/dbs/missing/colls"),
        Ask::post("containers: query", COLLS, query).with("x-ms-documentdb-isquery", "True"),
    ])
    .await;
}

async fn replace_and_delete(pair: &mut Pair) {
    let path = "/dbs/d/colls/js";
    let living = r#"{"id":"js","defaultTtl":-1,"partitionKey":{"paths":["/pk"],"kind":"Hash","version":1}}"#;
    let moved = r#"{"id":"js","partitionKey":{"paths":["/other"],"kind":"Hash","version":1}}"#;
    pair.ask_all([
        Ask::put("containers: replace", path, living).since("containers: create without kind and version"),
        Ask::get("containers: read after a replacement", path).since("containers: replace"),
        Ask::put("containers: replace if unchanged though changed", path, living)
            .if_match("«containers: create without kind and version|etag»"),
        Ask::put("containers: replace if unchanged", path, living)
            .if_match("«containers: replace|etag»")
            .since("containers: replace"),
        Ask::put("containers: replace the partition key", path, moved),
        Ask::put("containers: replace with another id", path, described("other", 1)),
        Ask::put("containers: replace a missing one", "/dbs/d/colls/missing", described("missing", 2)),
        Ask::delete("containers: delete", path),
        Ask::delete("containers: delete a missing one", path),
        Ask::delete("containers: delete one of a missing database", "/dbs/missing/colls/c"),
    ])
    .await;
}

fn described(id: &str, version: u8) -> String {
    json!({"id": id, "partitionKey": {"paths": ["/pk"], "kind": "Hash", "version": version}}).to_string()
}
