//! The latest-version change feed.

use serde_json::json;

use crate::pair::{Ask, Pair};

const DOCS: &str = "/dbs/d/colls/feed/docs";

fn feed(name: &str) -> Ask {
    Ask::get(name, DOCS).with("a-im", "Incremental Feed").range("0")
}

/// As the driver reads it: with envelopes.
fn enveloped(name: &str) -> Ask {
    feed(name).with("x-ms-cosmos-changefeed-wire-format-version", "2021-09-15")
}

fn between(ask: Ask, min: &str, max: &str) -> Ask {
    ask.with("x-ms-start-epk", min).with("x-ms-end-epk", max).with("x-ms-read-key-type", "EffectivePartitionKeyRange")
}

fn write(name: &str, id: &str, key: &str) -> Ask {
    Ask::post(name, DOCS, json!({"id": id, "pk": key}).to_string()).key(&json!([key]).to_string()).upsert()
}

pub(crate) async fn ask(pair: &mut Pair) {
    pair.container("feed", &json!({"paths": ["/pk"], "kind": "Hash", "version": 2})).await;
    pair.ask_all([
        feed("feed: from the beginning of nothing"),
        feed("feed: from now of nothing").if_none_match("*"),
        write("feed: write a", "a", "p"),
        write("feed: write b", "b", "q").since("feed: write a"),
        write("feed: write c", "c", "p"),
    ])
    .await;
    starts(pair).await;
    changes(pair).await;
    scopes(pair).await;
    refusals(pair).await;
    hierarchical(pair).await;
}

async fn starts(pair: &mut Pair) {
    pair.ask_all([
        feed("feed: from the beginning"),
        enveloped("feed: from the beginning in envelopes"),
        feed("feed: the first page").items_max("2"),
        feed("feed: the last page")
            .items_max("2")
            .if_none_match("«feed: the first page|etag»")
            .since("feed: the first page"),
        feed("feed: after the last page")
            .items_max("2")
            .if_none_match("«feed: the last page|etag»")
            .since("feed: the last page"),
        feed("feed: the first page again").items_max("2").if_none_match("«feed: from the beginning of nothing|etag»"),
        feed("feed: from now").if_none_match("*"),
        feed("feed: after now without changes").if_none_match("«feed: from now|etag»").since("feed: from now"),
        feed("feed: from a time that has passed").with("if-modified-since", "Sun, 01 Jan 2006 00:00:00 GMT"),
        feed("feed: from a time to come").with("if-modified-since", "Fri, 01 Jan 2100 00:00:00 GMT"),
        feed("feed: from a time that is none").with("if-modified-since", "yesterday"),
        feed("feed: from a place and a time")
            .if_none_match("«feed: the first page|etag»")
            .with("if-modified-since", "Sun, 01 Jan 2006 00:00:00 GMT"),
    ])
    .await;
}

async fn changes(pair: &mut Pair) {
    let batch = json!([
        {"operationType": "Create", "resourceBody": {"id": "x", "pk": "p"}},
        {"operationType": "Create", "resourceBody": {"id": "y", "pk": "p"}},
        {"operationType": "Create", "resourceBody": {"id": "z", "pk": "p"}},
    ]);
    pair.ask_all([
        write("feed: write a again", "a", "p").since("feed: write a"),
        Ask::delete("feed: delete b", "/dbs/d/colls/feed/docs/b").key(r#"["q"]"#).since("feed: write a again"),
        feed("feed: changes since now").if_none_match("«feed: from now|etag»").since("feed: from now"),
        feed("feed: from the beginning after a change and a delete"),
        Ask::post("feed: write a batch", DOCS, batch.to_string())
            .key(r#"["p"]"#)
            .with("x-ms-cosmos-is-batch-request", "True")
            .with("x-ms-cosmos-batch-atomic", "True")
            .since("feed: delete b"),
        feed("feed: a page smaller than the batch").items_max("2").if_none_match("«feed: changes since now|etag»"),
        feed("feed: after a page smaller than the batch")
            .items_max("2")
            .if_none_match("«feed: a page smaller than the batch|etag»"),
    ])
    .await;
}

async fn scopes(pair: &mut Pair) {
    // Of "p" the effective partition key is 0E…, of "q" 34….
    pair.ask_all([
        Ask::get("feed: of a key", DOCS).with("a-im", "Incremental Feed").key(r#"["p"]"#),
        Ask::get("feed: of a key without items", DOCS).with("a-im", "Incremental Feed").key(r#"["empty"]"#),
        Ask::get("feed: of a container of one range without naming it", DOCS).with("a-im", "Incremental Feed"),
        between(feed("feed: of a range as a sub-range"), "", "FF"),
        between(feed("feed: of the lower half"), "", "1FFFFFFFFFFFFFFFFFFFFFFFFFFFFFFF"),
        between(feed("feed: of the upper half"), "1FFFFFFFFFFFFFFFFFFFFFFFFFFFFFFF", "FF"),
        between(feed("feed: of an empty sub-range"), "20", "20"),
        between(feed("feed: of a sub-range the wrong way round"), "30", "20"),
        between(feed("feed: of a sub-range that is not hexadecimal"), "xyz", "FF"),
        feed("feed: of a sub-range without end")
            .with("x-ms-start-epk", "00")
            .with("x-ms-read-key-type", "EffectivePartitionKeyRange"),
        feed("feed: of a sub-range with the kind of a point")
            .with("x-ms-start-epk", "")
            .with("x-ms-end-epk", "FF")
            .with("x-ms-read-key-type", "EffectivePartitionKey"),
        feed("feed: of a sub-range without its kind").with("x-ms-start-epk", "").with("x-ms-end-epk", "FF"),
    ])
    .await;
}

async fn refusals(pair: &mut Pair) {
    let other = |name: &str, mode: &str| Ask::get(name, DOCS).with("a-im", mode).range("0");
    pair.ask_all([
        feed("feed: from a place that is none").if_none_match("\"nonsense\""),
        Ask::get("feed: of a range that never was", DOCS).with("a-im", "Incremental Feed").range("77"),
        Ask::get("feed: of a missing container", "/dbs/d/colls/missing/docs")
            .with("a-im", "Incremental Feed")
            .range("0"),
        other("feed: of a mode that does not exist", "Sideways Feed"),
        other("feed: all versions from the beginning", "Full-Fidelity Feed"),
        other("feed: all versions from a time", "Full-Fidelity Feed")
            .with("if-modified-since", "Sun, 01 Jan 2006 00:00:00 GMT"),
        other("feed: all versions from now", "Full-Fidelity Feed").if_none_match("*"),
        feed("feed: with a session token of the future").with("x-ms-session-token", "0:1#1000000#0=1000000"),
        feed("feed: with the resource id of another container")
            .with("x-ms-cosmos-intended-collection-rid", "«containers: create with version 1|/_rid»"),
    ])
    .await;
}

async fn hierarchical(pair: &mut Pair) {
    let docs = "/dbs/d/colls/levels/docs";
    let create = |name: &str, id: &str, second: u8| {
        let document = json!({"id": id, "t": "tenant", "u": second, "v": "x"}).to_string();
        Ask::post(name, docs, document).key(&format!(r#"["tenant",{second},"x"]"#))
    };
    let read = |name: &str, key: &str| Ask::get(name, docs).with("a-im", "Incremental Feed").key(key);
    pair.ask_all([
        create("feed: write under the first prefix", "f", 1),
        create("feed: write under the second prefix", "s", 2),
        read("feed: of a prefix of two levels", r#"["tenant",2]"#),
        read("feed: of a prefix of one level", r#"["tenant"]"#),
        read("feed: of all three levels", r#"["tenant",1,"x"]"#),
        Ask::post("query: a query of a prefix of two levels", docs, r#"{"query":"SELECT VALUE c.id FROM c"}"#)
            .with("x-ms-documentdb-isquery", "True")
            .key(r#"["tenant",2]"#),
    ])
    .await;
}
