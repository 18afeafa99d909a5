//! What entries of the feed of all versions look like.

use std::collections::BTreeSet;
use std::time::Duration;

use cosmirror::config::FeedMode::AllVersionsAndDeletes;
use cosmirror::documents::Documents as _;
use cosmirror::feed::ChangeFeed as _;
use cosmirror_formats::{Operation, PartitionKey};
use serde_json::{Value, json};

use crate::belief::{Seen, Unsettled, ensure, expect};
use crate::kit::Kit;
use crate::place::{Delivered, PAGE, Place, body, delivered, of};

/// How long the service may take to purge what expired.
const PURGE: Duration = Duration::from_secs(20 * 60);
const PURGE_POLL: Duration = Duration::from_secs(2);

fn names(value: &Value) -> Vec<&str> {
    value.as_object().map(|object| object.keys().map(String::as_str).collect()).unwrap_or_default()
}

/// Every version comes, also of a document that changes quickly, in the order of the commits: the product's first promise (`src/mirror.rs`), and
/// the rule by which a document's versions are stored (`src/mirror/write.rs`).
pub(crate) async fn every_version_is_delivered_in_order(kit: &Kit) -> Seen {
    let (place, pk) = (&kit.main, "every");
    let start = place.now(AllVersionsAndDeletes).await?;
    let mut etags = vec![place.create(pk, "a").await?];
    for n in 1..30 {
        etags.push(place.replace(pk, "a", n, &etags[etags.len() - 1]).await?);
    }
    let seen: Vec<_> = place.changes(AllVersionsAndDeletes, start, pk, 30).await?;
    let seen: Vec<_> = seen.into_iter().filter_map(|change| change.etag).collect();
    ensure(seen == etags, || format!("{} of 30 etags came, or in another order", seen.len()))?;
    Ok("30 quick versions of one document, each once".to_owned())
}

/// A create, a replace, an upsert of either kind, a patch and a delete are told as `create`, `replace` or `delete`: the only words that
/// `crates/formats/src/feed_page.rs` knows, and by which `src/mirror/order.rs` arranges a transaction.
pub(crate) async fn operations_are_named(kit: &Kit) -> Seen {
    let (place, pk) = (&kit.main, "operations");
    let start = place.now(AllVersionsAndDeletes).await?;
    let etag = place.create(pk, "a").await?;
    place.replace(pk, "a", 1, &etag).await?;
    let key = json!([pk]).to_string();
    for (id, n) in [("a", 2), ("b", 0)] {
        let headers = [("x-ms-documentdb-partitionkey", key.as_str()), ("x-ms-documentdb-is-upsert", "True")];
        let upsert = kit.cosmos.send("POST", &place.path(&["docs"]), &headers, body(pk, id, n)).await?;
        upsert.expect(&[200, 201], "an upsert")?;
    }
    let headers = [("x-ms-documentdb-partitionkey", key.as_str()), ("content-type", "application/json_patch+json")];
    let patch = json!({ "operations": [{ "op": "set", "path": "/n", "value": 3 }] }).to_string();
    let patched = kit.cosmos.send("PATCH", &place.path(&["docs", "a"]), &headers, patch).await?;
    let patched = patched.expect(&[200], "a patch")?;
    let etag = expect(patched.json()["_etag"].as_str().map(str::to_owned), "the patched document's etag")?;
    place.delete(pk, "a", &etag).await?;
    let changes = place.changes(AllVersionsAndDeletes, start, pk, 6).await?;
    let seen: Vec<_> = changes.iter().map(|change| change.operation).collect();
    use Operation::{Create, Delete, Replace};
    ensure(seen == [Create, Replace, Replace, Create, Replace, Delete], || format!("{seen:?}"))?;
    Ok("create, replace, upsert over = replace, upsert of nothing = create, patch = replace, delete".to_owned())
}

/// A delete names its document by `id` and `partitionKey`, and has `lsn` and `crts`: what its tombstone is made of
/// (`crates/formats/src/feed_page.rs`, `src/mirror/plan.rs`). What else it holds is told here.
pub(crate) async fn a_delete_names_its_document(kit: &Kit) -> Seen {
    let (place, pk) = (&kit.main, "delete");
    let start = place.now(AllVersionsAndDeletes).await?;
    let etag = place.create(pk, "a").await?;
    place.delete(pk, "a", &etag).await?;
    let changes = place.changes(AllVersionsAndDeletes, start, pk, 2).await?;
    let delete = expect(changes.get(1), "the delete")?;
    ensure(delete.operation == Operation::Delete && delete.id == "a" && delete.pk == of(pk), || format!("{delete:?}"))?;
    ensure(delete.lsn > changes[0].lsn, || format!("numbers {:?} and {:?}", changes[0].lsn, delete.lsn))?;
    let current = delete.current.as_ref().map_or("absent".to_owned(), |current| format!("with {:?}", names(current)));
    let previous = delete.metadata.get("previousImageLSN").map_or("none".to_owned(), Value::to_string);
    Ok(format!("metadata has {:?}; current is {current}; previousImageLSN {previous}", names(&delete.metadata)))
}

/// The deletes of two documents, one of which has each kind of key, name exactly these keys.
async fn deletes_by_key(place: &Place, keys: &[(Value, Value)]) -> Result<String, Unsettled> {
    let start = place.now(AllVersionsAndDeletes).await?;
    let mut expected = Vec::new();
    for (at, (key, document)) in keys.iter().enumerate() {
        let key = expect(PartitionKey::from_json(key), "a key")?;
        let id = format!("key-{at}");
        let mut document = document.clone();
        document["id"] = json!(id);
        let etag = place.documents.create(&key, &id, document.to_string().into()).await?;
        place.documents.delete(&key, &id, &etag).await?;
        expected.push(key);
    }
    let mut position = start;
    let mut deletes: Vec<Delivered> = Vec::new();
    while deletes.len() < expected.len() {
        let page = place.read(AllVersionsAndDeletes, &position, PAGE).await?;
        deletes.extend(delivered(&page, &place.resolved.source.key)?.into_iter().filter(|c| c.operation.is_delete()));
        position = cosmirror::feed::Position::Token(page.token);
    }
    for (delete, key) in deletes.iter().zip(&expected) {
        ensure(delete.pk == *key, || format!("{key} came as {}", delete.metadata["partitionKey"]))?;
    }
    Ok(deletes.iter().map(|delete| delete.metadata["partitionKey"].to_string()).collect::<Vec<_>>().join(" "))
}

/// A delete tells its key whatever kind it is of, null and absence included: the tombstone's blob is found by it
/// (`crates/formats/src/partition_key.rs`, `crates/formats/src/blob_name.rs`).
pub(crate) async fn a_delete_tells_every_kind_of_key(kit: &Kit) -> Seen {
    let key = |value: Value| (json!([value]), json!({ "pk": value }));
    let keys = [
        key(json!("text")),
        key(json!(1.5)),
        key(json!(-7)),
        key(json!(true)),
        key(json!(null)),
        (json!([{}]), json!({})),
        key(json!("")),
    ];
    deletes_by_key(&kit.main, &keys).await
}

/// The same for keys of several levels, with one missing (`crates/formats/src/partition_key.rs`).
pub(crate) async fn a_delete_tells_a_hierarchical_key(kit: &Kit) -> Seen {
    let place = kit.container("levels", &["/tenant", "/user", "/n"]).await?;
    let keys = [
        (json!(["t", "u", 3]), json!({ "tenant": "t", "user": "u", "n": 3 })),
        (json!(["t", "u", {}]), json!({ "tenant": "t", "user": "u" })),
        (json!(["t", null, false]), json!({ "tenant": "t", "user": null, "n": false })),
    ];
    deletes_by_key(&place, &keys).await
}

/// A change's time, `crts`, is that of its commit, also for deletes: between the service's times just before and just after. Restores to an
/// instant go by it (`src/history/point.rs`).
pub(crate) async fn a_change_has_the_time_of_its_commit(kit: &Kit) -> Seen {
    let (place, pk) = (&kit.main, "time");
    let start = place.now(AllVersionsAndDeletes).await?;
    let before = kit.cosmos.unsigned().await?.date()?;
    let etag = place.create(pk, "a").await?;
    place.delete(pk, "a", &etag).await?;
    let after = kit.cosmos.unsigned().await?.date()?;
    let changes = place.changes(AllVersionsAndDeletes, start, pk, 2).await?;
    let times: Vec<_> = changes.iter().map(|change| change.ts).collect();
    // Dates are cut to seconds, and another machine of the service may have stamped them.
    ensure(times.iter().all(|time| (before - 1..=after + 1).contains(time)), || {
        format!("{times:?} between {before} and {after}")
    })?;
    Ok(format!("{times:?} between {before} and {after}"))
}

/// What its time to live removed comes as a delete with `timeToLiveExpired`, with the document's key and a time of its own
/// (`crates/formats/src/feed_page.rs`, `src/history/expiry.rs`).
pub(crate) async fn an_expiry_says_so(kit: &Kit) -> Seen {
    let (place, pk) = (&kit.main, "expiry");
    let mut position = place.now(AllVersionsAndDeletes).await?;
    let document = json!({ "id": "a", "pk": pk, "ttl": 1 }).to_string();
    place.put(pk, "a", document).await?;
    let created = place.feed.service_time().await?;
    let waiting = async {
        loop {
            let page = place.read(AllVersionsAndDeletes, &position, PAGE).await?;
            let changes = delivered(&page, &place.resolved.source.key)?;
            if let Some(gone) = changes.into_iter().find(|change| change.pk == of(pk) && change.operation.is_delete()) {
                return Ok::<_, Unsettled>(gone);
            }
            position = cosmirror::feed::Position::Token(page.token);
            if page.not_modified {
                tokio::time::sleep(PURGE_POLL).await;
            }
        }
    };
    let gone = tokio::time::timeout(PURGE, waiting).await;
    let gone = gone.map_err(|_| Unsettled::Failed(format!("nothing came within {} s", PURGE.as_secs())))??;
    ensure(gone.operation == Operation::Expire && gone.id == "a", || format!("{gone:?}"))?;
    Ok(format!("{} s after the write, with {:?}", gone.ts - created, names(&gone.metadata)))
}

/// A replace that changes the id is refused, or comes as the end of one document and the beginning of another. Anything else would leave the old
/// one in the mirror: `src/mirror/plan.rs` knows no renames.
pub(crate) async fn a_renamed_document_leaves_no_stale_one(kit: &Kit) -> Seen {
    let (place, pk) = (&kit.main, "renamed");
    place.create(pk, "old").await?;
    let start = place.now(AllVersionsAndDeletes).await?;
    let key = json!([pk]).to_string();
    let headers = [("x-ms-documentdb-partitionkey", key.as_str())];
    let answer = kit.cosmos.send("PUT", &place.path(&["docs", "old"]), &headers, body(pk, "new", 1)).await?;
    if answer.status == 400 {
        return Ok("refused with 400".to_owned());
    }
    answer.expect(&[200], "a replace that changes the id")?;
    let changes = place.changes(AllVersionsAndDeletes, start, pk, 1).await?;
    let told: BTreeSet<_> = changes.iter().map(|change| (change.id.as_str(), change.operation.is_delete())).collect();
    let seen: Vec<_> = changes.iter().map(|change| (change.id.as_str(), change.operation)).collect();
    ensure(told.contains(&("old", true)) && told.contains(&("new", false)), || format!("done, and told as {seen:?}"))?;
    Ok(format!("done, and told as {seen:?}"))
}
