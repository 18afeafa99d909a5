//! Splits and merges, and what becomes of ranges, continuations and session tokens from before.

use serde_json::json;

use crate::pair::{Ask, Pair};

const DOCS: &str = "/dbs/d/colls/topology/docs";
const RANGES: &str = "/dbs/d/colls/topology/pkranges";
const MIDDLE: &str = "20000000000000000000000000000000";
/// A key of the lower half.
const LOW: &str = r#"["p"]"#;
/// A key of the upper half.
const HIGH: &str = r#"["t"]"#;

fn feed(name: &str, range: &str) -> Ask {
    Ask::get(name, DOCS).with("a-im", "Incremental Feed").range(range)
}

fn between(ask: Ask, min: &str, max: &str) -> Ask {
    ask.with("x-ms-start-epk", min).with("x-ms-end-epk", max).with("x-ms-read-key-type", "EffectivePartitionKeyRange")
}

fn follow(name: &str) -> Ask {
    Ask::get(name, RANGES).with("a-im", "Incremental Feed")
}

fn write(name: &str, id: &str, key: &str) -> Ask {
    let document = format!(r#"{{"id":"{id}","pk":{}}}"#, key.trim_matches(['[', ']']));
    Ask::post(name, DOCS, document).key(key).upsert()
}

fn query(name: &str, text: &str) -> Ask {
    Ask::post(name, DOCS, json!({"query": text}).to_string())
        .with("x-ms-documentdb-isquery", "True")
        .with("x-ms-documentdb-query-enablecrosspartition", "True")
}

pub(crate) async fn ask(pair: &mut Pair) {
    pair.container("topology", &json!({"paths": ["/pk"], "kind": "Hash", "version": 2})).await;
    pair.ask_all([
        write("topology: write low 1", "l1", LOW),
        write("topology: write high 1", "h1", HIGH),
        write("topology: write low 2", "l2", LOW),
        write("topology: write high 2", "h2", HIGH).since("topology: write low 1"),
        feed("topology: the first page before the split", "0").items_max("2"),
        feed("topology: everything before the split", "0"),
        follow("topology: ranges before the split"),
    ])
    .await;
    pair.split("topology", 0, MIDDLE).await;
    after_the_split(pair).await;
    across_ranges(pair).await;
    pair.merge("topology", 1, 2).await;
    after_the_merge(pair).await;
}

async fn after_the_split(pair: &mut Pair) {
    let page = "«topology: the first page before the split|etag»";
    let end = "«topology: everything before the split|etag»";
    pair.ask_all([
        follow("topology: ranges after the split")
            .if_none_match("«topology: ranges before the split|etag»")
            .since("topology: ranges before the split"),
        follow("topology: ranges after the split again")
            .if_none_match("«topology: ranges after the split|etag»")
            .since("topology: ranges after the split"),
        feed("topology: the split range", "0").if_none_match(page),
        between(feed("topology: a part of the split range", "0"), "", MIDDLE).if_none_match(page),
        query("topology: query the split range", "SELECT * FROM c").range("0"),
        feed("topology: the lower child from the page before", "1").if_none_match(page),
        feed("topology: the upper child from the page before", "2").if_none_match(page),
        between(feed("topology: the upper child by its bounds from the page before", "2"), MIDDLE, "FF")
            .if_none_match(page),
        feed("topology: the lower child from the end before", "1").if_none_match(end),
        feed("topology: the upper child from the end before", "2")
            .if_none_match(end)
            .since("topology: everything before the split"),
        feed("topology: the lower child from the beginning", "1"),
        feed("topology: the upper child from now", "2").if_none_match("*"),
        between(feed("topology: the lower child with the bounds of both", "1"), "", "FF"),
        Ask::get("topology: read low", "/dbs/d/colls/topology/docs/l1").key(LOW).since("topology: write low 1"),
        Ask::get("topology: read low with the session token of the split range", "/dbs/d/colls/topology/docs/l1")
            .key(LOW)
            .with("x-ms-session-token", "«topology: write high 2|x-ms-session-token»"),
        write("topology: write low 3", "l3", LOW).since("topology: write high 2"),
        write("topology: write high 3", "h3", HIGH).since("topology: write high 2"),
        feed("topology: the lower child after a write", "1")
            .if_none_match("«topology: the lower child from the end before|etag»")
            .since("topology: write low 3"),
        feed("topology: the upper child after a write", "2")
            .if_none_match("«topology: the upper child from the end before|etag»"),
        Ask::get("topology: read high with the session tokens of all ranges", "/dbs/d/colls/topology/docs/h3")
            .key(HIGH)
            .with(
                "x-ms-session-token",
                "«topology: write high 2|x-ms-session-token»,«topology: write low 3|x-ms-session-token»,\
             «topology: write high 3|x-ms-session-token»",
            ),
    ])
    .await;
}

async fn across_ranges(pair: &mut Pair) {
    pair.ask_all([
        Ask::get("topology: the feed of both ranges at once", DOCS).with("a-im", "Incremental Feed"),
        Ask::get("topology: the feed of a key without its range", DOCS).with("a-im", "Incremental Feed").key(HIGH),
        feed("topology: the feed of a key by the wrong range", "1").key(HIGH),
        query("topology: query both ranges", "SELECT VALUE c.id FROM c"),
        query("topology: query both ranges in order", "SELECT VALUE c.id FROM c ORDER BY c.id"),
        query("topology: query a key", "SELECT VALUE c.id FROM c").key(LOW),
        query("topology: query the upper range", "SELECT VALUE c.id FROM c").range("2"),
        between(query("topology: query a part of the upper range", "SELECT VALUE c.id FROM c").range("2"), "30", "FF"),
        Ask::get("topology: read all items of both ranges", DOCS),
    ])
    .await;
}

async fn after_the_merge(pair: &mut Pair) {
    let low = "«topology: the lower child after a write|etag»";
    let high = "«topology: the upper child from the page before|etag»";
    pair.ask_all([
        follow("topology: ranges after the merge")
            .if_none_match("«topology: ranges after the split|etag»")
            .since("topology: ranges after the split"),
        feed("topology: a merged range", "1").if_none_match(low),
        feed("topology: the union from the beginning", "3").unordered().since("topology: write high 3"),
        between(feed("topology: the union in the bounds of the lower from its end", "3"), "", MIDDLE)
            .if_none_match(low),
        between(feed("topology: the union in the bounds of the upper from its page", "3"), MIDDLE, "FF")
            .if_none_match(high),
        Ask::get("topology: read low after the merge", "/dbs/d/colls/topology/docs/l1")
            .key(LOW)
            .since("topology: write low 1"),
        Ask::get("topology: read high with the session token of a merged range", "/dbs/d/colls/topology/docs/h3")
            .key(HIGH)
            .with("x-ms-session-token", "«topology: write high 3|x-ms-session-token»"),
        write("topology: write low 4", "l4", LOW).since("topology: write low 3"),
        between(feed("topology: the union in the bounds of the lower after a write", "3"), "", MIDDLE)
            .if_none_match(low),
    ])
    .await;
}
