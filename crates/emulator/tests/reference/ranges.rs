//! Partition key ranges.

use crate::pair::{Ask, Pair};

const RANGES: &str = "/dbs/d/colls/items/pkranges";

pub(crate) async fn ask(pair: &mut Pair) {
    for ranges in [2, 3, 5] {
        let id = format!("divided{ranges}");
        pair.divided_container(&id, ranges).await;
        let name = format!("ranges: list of a container of {ranges}");
        pair.ask(Ask::get(&name, &format!("/dbs/d/colls/{id}/pkranges"))).await;
    }
    let incremental = |name: &str| Ask::get(name, RANGES).with("a-im", "Incremental Feed");
    pair.ask_all([
        Ask::get("ranges: list", RANGES),
        Ask::get("ranges: list of a container of version 1", "/dbs/d/colls/old/pkranges"),
        Ask::get("ranges: list of a hierarchical container", "/dbs/d/colls/levels/pkranges"),
        Ask::get("ranges: list of a container created over the wire", "/dbs/d/colls/c/pkranges"),
        Ask::get("ranges: list of a missing container", "/dbs/d/colls/missing/pkranges"),
        Ask::get("ranges: list by the resource id of another container", RANGES)
            .with("x-ms-cosmos-intended-collection-rid", "«containers: create with version 1|/_rid»"),
        incremental("ranges: follow from the beginning"),
        incremental("ranges: follow on").if_none_match("«ranges: follow from the beginning|etag»"),
        incremental("ranges: follow from an unknown place").if_none_match("\"unknown\""),
        Ask::get("ranges: list if changed", RANGES).if_none_match("«ranges: list|etag»"),
    ])
    .await;
}
