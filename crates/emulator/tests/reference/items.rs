//! Items one at a time, their conditions, their keys, and the session tokens sent with reads.

use serde_json::json;

use crate::pair::{Ask, Pair};

const DOCS: &str = "/dbs/d/colls/items/docs";
const FIRST: &str = "/dbs/d/colls/items/docs/1";
const KEY: &str = r#"["p"]"#;

pub(crate) async fn ask(pair: &mut Pair) {
    pair.container("items", &json!({"paths": ["/pk"], "kind": "Hash", "version": 2})).await;
    pair.container("old", &json!({"paths": ["/pk"], "kind": "Hash", "version": 1})).await;
    pair.container("nested", &json!({"paths": ["/a/b"], "kind": "Hash", "version": 2})).await;
    pair.container("levels", &json!({"paths": ["/t", "/u", "/v"], "kind": "MultiHash", "version": 2})).await;
    create(pair).await;
    upsert(pair).await;
    read(pair).await;
    sessions(pair).await;
    replace(pair).await;
    delete(pair).await;
    keys(pair).await;
    hierarchical_keys(pair).await;
    contents(pair).await;
}

async fn create(pair: &mut Pair) {
    let document = r#"{"id":"1","pk":"p","n":1,"tags":["a",{"b":null}]}"#;
    let missing = "/dbs/d/colls/missing/docs";
    let large = format!(r#"{{"id":"large","pk":"p","text":"{}"}}"#, "x".repeat(2 << 20));
    pair.ask_all([
        Ask::post("items: create", DOCS, document).key(KEY),
        Ask::get("items: read what was created", FIRST).key(KEY).since("items: create"),
        Ask::post("items: create twice", DOCS, document).key(KEY).since("items: create"),
        Ask::post("items: create the same id under another key", DOCS, r#"{"id":"1","pk":"q"}"#)
            .key(r#"["q"]"#)
            .since("items: create"),
        Ask::post("items: create without body in the answer", DOCS, r#"{"id":"2","pk":"p"}"#)
            .key(KEY)
            .minimal()
            .since("items: create"),
        Ask::post("items: create if none matches", DOCS, r#"{"id":"3","pk":"p"}"#).key(KEY).if_none_match("*"),
        Ask::post("items: create if none matches though one does", DOCS, r#"{"id":"3","pk":"p"}"#)
            .key(KEY)
            .if_none_match("*"),
        Ask::post("items: create under another key than the header's", DOCS, r#"{"id":"4","pk":"q"}"#).key(KEY),
        Ask::post("items: create without key header", DOCS, r#"{"id":"5","pk":"p"}"#),
        Ask::post("items: create without id", DOCS, r#"{"pk":"p"}"#).key(KEY),
        Ask::post("items: create with a number for an id", DOCS, r#"{"id":6,"pk":"p"}"#).key(KEY),
        Ask::post("items: create with an empty id", DOCS, r#"{"id":"","pk":"p"}"#).key(KEY),
        Ask::post("items: create with a slash in the id", DOCS, r#"{"id":"a/b","pk":"p"}"#).key(KEY),
        Ask::post("items: create from broken JSON", DOCS, r#"{"id":"7","pk":"p""#).key(KEY),
        Ask::post("items: create from an array", DOCS, r#"["id","pk"]"#).key(KEY),
        Ask::post("items: create too large a document", DOCS, large).key(KEY),
        Ask::post("items: create in a missing container", missing, document).key(KEY),
        Ask::post("items: create in a missing database", "/dbs/missing/colls/items/docs", document).key(KEY),
    ])
    .await;
}

async fn upsert(pair: &mut Pair) {
    let upsert = |name: &str, document: &str| Ask::post(name, DOCS, document).key(KEY).upsert();
    pair.ask_all([
        upsert("items: upsert a new one", r#"{"id":"u","pk":"p","n":1}"#),
        upsert("items: upsert an existing one", r#"{"id":"u","pk":"p","n":2}"#).since("items: upsert a new one"),
        upsert("items: upsert without body in the answer", r#"{"id":"u","pk":"p","n":3}"#).minimal(),
        upsert("items: upsert if unchanged though changed", r#"{"id":"u","pk":"p","n":4}"#)
            .if_match("«items: upsert a new one|etag»")
            .since("items: upsert without body in the answer"),
        upsert("items: upsert if unchanged", r#"{"id":"u","pk":"p","n":5}"#)
            .if_match("«items: upsert without body in the answer|etag»")
            .since("items: upsert an existing one"),
        upsert("items: upsert a missing one if unchanged", r#"{"id":"absent","pk":"p"}"#)
            .if_match("«items: upsert a new one|etag»"),
        upsert("items: upsert an existing one if none matches", r#"{"id":"u","pk":"p","n":6}"#).if_none_match("*"),
        upsert("items: upsert under another key than the header's", r#"{"id":"u","pk":"q"}"#),
        Ask::get("items: read after upserts", "/dbs/d/colls/items/docs/u").key(KEY),
    ])
    .await;
}

async fn read(pair: &mut Pair) {
    pair.ask_all([
        Ask::get("items: read", FIRST).key(KEY),
        Ask::get("items: read a missing one", "/dbs/d/colls/items/docs/missing").key(KEY),
        Ask::get("items: read under another key", FIRST).key(r#"["other"]"#),
        Ask::get("items: read without key header", FIRST),
        Ask::get("items: read with a key that is not JSON", FIRST).key("p"),
        Ask::get("items: read with a key that is an object", FIRST).key(r#"[{"a":1}]"#),
        Ask::get("items: read with two components of key", FIRST).key(r#"["p","q"]"#),
        Ask::get("items: read if changed though unchanged", FIRST)
            .key(KEY)
            .if_none_match("«items: create|etag»")
            .since("items: create"),
        Ask::get("items: read if changed", FIRST).key(KEY).if_none_match("«items: upsert a new one|etag»"),
        Ask::get("items: read if none matches", FIRST).key(KEY).if_none_match("*"),
        Ask::get("items: read if unchanged though changed", FIRST).key(KEY).if_match("«items: upsert a new one|etag»"),
        Ask::get("items: read from a missing container", "/dbs/d/colls/missing/docs/1").key(KEY),
        Ask::get("items: read by the resource id of another container", FIRST)
            .key(KEY)
            .with("x-ms-cosmos-intended-collection-rid", "«containers: create with version 1|/_rid»"),
    ])
    .await;
}

async fn sessions(pair: &mut Pair) {
    let read = |name: &str, token: &str| Ask::get(name, FIRST).key(KEY).with("x-ms-session-token", token);
    pair.ask_all([
        read("session: read with the token of the last write", "«items: upsert if unchanged|x-ms-session-token»"),
        read("session: read with a token of the future", "0:1#1000000#0=1000000"),
        read("session: read with a simple token", "0:-1#1"),
        read("session: read with a token of a range that never was", "77:1#1#0=1"),
        read(
            "session: read with the tokens of several ranges",
            "77:1#1#0=1,«items: upsert if unchanged|x-ms-session-token»",
        ),
        read("session: read with a token that is none", "nonsense"),
        read("session: read with a token of the future but eventual consistency", "0:1#1000000#0=1000000")
            .with("x-ms-consistency-level", "Eventual"),
    ])
    .await;
}

async fn replace(pair: &mut Pair) {
    let document = r#"{"id":"1","pk":"p","n":2}"#;
    pair.ask_all([
        Ask::put("items: replace", FIRST, document).key(KEY).since("items: read"),
        Ask::put("items: replace without body in the answer", FIRST, document)
            .key(KEY)
            .minimal()
            .since("items: replace"),
        Ask::put("items: replace a missing one", "/dbs/d/colls/items/docs/missing", r#"{"id":"missing","pk":"p"}"#)
            .key(KEY),
        Ask::put("items: replace if unchanged though changed", FIRST, document)
            .key(KEY)
            .if_match("«items: create|etag»"),
        Ask::put("items: replace if unchanged", FIRST, document)
            .key(KEY)
            .if_match("«items: replace without body in the answer|etag»")
            .since("items: replace"),
        Ask::put("items: replace if it exists", FIRST, document).key(KEY).if_match("*"),
        Ask::patch("items: patch", FIRST, r#"{"operations":[{"op":"add","path":"/m","value":1}]}"#).key(KEY),
        Ask::put("items: replace with another id", FIRST, r#"{"id":"other","pk":"p"}"#).key(KEY),
        Ask::put("items: replace with another key", FIRST, r#"{"id":"1","pk":"q"}"#).key(KEY),
        Ask::put("items: replace under another key", FIRST, r#"{"id":"1","pk":"zz"}"#).key(r#"["zz"]"#),
        Ask::put("items: replace from broken JSON", FIRST, "{").key(KEY),
    ])
    .await;
}

async fn delete(pair: &mut Pair) {
    let path = "/dbs/d/colls/items/docs/2";
    pair.ask_all([
        Ask::delete("items: delete under another key", path).key(r#"["other"]"#),
        Ask::delete("items: delete without key header", path),
        Ask::delete("items: delete if unchanged though changed", path).key(KEY).if_match("«items: create|etag»"),
        Ask::delete("items: delete", path).key(KEY).since("items: replace if unchanged"),
        Ask::delete("items: delete a missing one", path).key(KEY),
        Ask::delete("items: delete if unchanged", "/dbs/d/colls/items/docs/3")
            .key(KEY)
            .if_match("«items: create if none matches|etag»"),
        Ask::get("items: read a deleted one", path).key(KEY),
        Ask::post("items: create a deleted one again", DOCS, r#"{"id":"2","pk":"p"}"#).key(KEY).since("items: delete"),
    ])
    .await;
}

async fn keys(pair: &mut Pair) {
    let nested = "/dbs/d/colls/nested/docs";
    let unique = "/dbs/d/colls/indexed/docs";
    let version1 = "/dbs/d/colls/old/docs";
    pair.ask_all([
        Ask::post("keys: create under null", DOCS, r#"{"id":"null","pk":null}"#).key("[null]"),
        Ask::get("keys: read under null", "/dbs/d/colls/items/docs/null").key("[null]"),
        Ask::post("keys: create under no key", DOCS, r#"{"id":"none"}"#).key("[{}]"),
        Ask::get("keys: read under no key", "/dbs/d/colls/items/docs/none").key("[{}]"),
        Ask::get("keys: read under null what has no key", "/dbs/d/colls/items/docs/none").key("[null]"),
        Ask::get("keys: read under an empty array of keys", "/dbs/d/colls/items/docs/none").key("[]"),
        Ask::post("keys: create under a number", DOCS, r#"{"id":"number","pk":42}"#).key("[42]"),
        Ask::get("keys: read under the same number spelt otherwise", "/dbs/d/colls/items/docs/number").key("[42.0]"),
        Ask::post("keys: create under true", DOCS, r#"{"id":"true","pk":true}"#).key("[true]"),
        Ask::post("keys: create under an empty text", DOCS, r#"{"id":"empty","pk":""}"#).key(r#"[""]"#),
        Ask::post("keys: create under text beyond ASCII", DOCS, r#"{"id":"umlaut","pk":"Zürich 東京"}"#)
            .key(r#"["Z\u00fcrich \u6771\u4eac"]"#),
        Ask::post("keys: create with an object for a key", DOCS, r#"{"id":"object","pk":{"a":1}}"#).key("[{}]"),
        Ask::post("keys: create under a nested path", nested, r#"{"id":"n","a":{"b":"x"}}"#).key(r#"["x"]"#),
        Ask::post("keys: create where the nested path ends early", nested, r#"{"id":"m","a":1}"#).key("[{}]"),
        Ask::post("keys: create in version 1", version1, r#"{"id":"1","pk":"p"}"#).key(KEY),
        Ask::get("keys: read in version 1", "/dbs/d/colls/old/docs/1").key(KEY),
        Ask::post("keys: create with a unique value", unique, r#"{"id":"n","a":{"b":"x"},"mail":"m"}"#).key(r#"["x"]"#),
        Ask::post("keys: create with the same unique value", unique, r#"{"id":"o","a":{"b":"x"},"mail":"m"}"#)
            .key(r#"["x"]"#),
    ])
    .await;
}

async fn hierarchical_keys(pair: &mut Pair) {
    let docs = "/dbs/d/colls/levels/docs";
    let path = "/dbs/d/colls/levels/docs/1";
    let document = r#"{"id":"1","t":"a","u":1,"v":true}"#;
    pair.ask_all([
        Ask::post("keys: create under three levels", docs, document).key(r#"["a",1,true]"#),
        Ask::post("keys: create under two levels of three", docs, document).key(r#"["a",1]"#),
        Ask::get("keys: read under three levels", path).key(r#"["a",1,true]"#),
        Ask::get("keys: read under two levels of three", path).key(r#"["a",1]"#),
        Ask::get("keys: read under four levels of three", path).key(r#"["a",1,true,null]"#),
        Ask::post("keys: create with a level missing", docs, r#"{"id":"2","t":"a","u":2}"#).key(r#"["a",2,{}]"#),
        Ask::delete("keys: delete under three levels", path).key(r#"["a",1,true]"#),
    ])
    .await;
}

async fn contents(pair: &mut Pair) {
    let own =
        r#"{"id":"own","pk":"p","_rid":"x","_self":"y","_etag":"z","_ts":1,"_attachments":"w","_lsn":5,"_mine":1}"#;
    let numbers = r#"{"id":"numbers","pk":"p","whole":3.0,"tenth":1.10,"huge":12345678901234567890123,"tiny":5e-324,"minus":-0.0}"#;
    pair.ask_all([
        Ask::post("contents: create with system properties of one's own", DOCS, own).key(KEY),
        Ask::post("contents: create with numbers of all kinds", DOCS, numbers).key(KEY),
        Ask::get("contents: read numbers of all kinds", "/dbs/d/colls/items/docs/numbers").key(KEY),
        Ask::post("contents: create with a property twice", DOCS, r#"{"id":"twice","pk":"p","a":1,"a":2}"#).key(KEY),
        Ask::post("contents: create with an id beyond ASCII", DOCS, r#"{"id":"ä b+c","pk":"p"}"#).key(KEY),
        Ask::get("contents: read with an id beyond ASCII", "/dbs/d/colls/items/docs/%C3%A4%20b%2Bc").key(KEY),
        Ask::post(
            "contents: create with an escaped pair of surrogates",
            DOCS,
            r#"{"id":"pair","pk":"p","s":"\ud83d\ude80"}"#,
        )
        .key(KEY),
    ])
    .await;
}
