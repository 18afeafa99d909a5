//! What becomes of several changes in one transaction.

use cosmirror::config::FeedMode::{AllVersionsAndDeletes, LatestVersion};
use cosmirror::feed::Position;
use cosmirror_formats::Operation::{Create, Delete, Replace};
use serde_json::{Value, json};

use crate::belief::{Seen, Unsettled, ensure};
use crate::kit::Kit;
use crate::place::{delivered, of};

/// Runs operations on documents of one key as one transaction.
async fn batch(kit: &Kit, pk: &str, operations: &[Value]) -> Result<(), Unsettled> {
    let key = json!([pk]).to_string();
    let headers = [
        ("x-ms-documentdb-partitionkey", key.as_str()),
        ("x-ms-cosmos-is-batch-request", "True"),
        ("x-ms-cosmos-batch-atomic", "True"),
    ];
    let body = json!(operations).to_string();
    let answer = kit.cosmos.send("POST", &kit.main.path(&["docs"]), &headers, body).await?;
    answer.expect(&[200], "a transaction").map(drop)
}

fn create(pk: &str, id: &str, n: u32) -> Value {
    json!({ "operationType": "Create", "resourceBody": { "id": id, "pk": pk, "n": n } })
}

fn replace(pk: &str, id: &str, n: u32) -> Value {
    json!({ "operationType": "Replace", "id": id, "resourceBody": { "id": id, "pk": pk, "n": n } })
}

fn delete(id: &str) -> Value {
    json!({ "operationType": "Delete", "id": id })
}

/// The changes of one transaction share `lsn` and `crts` in both modes: by that `src/mirror/order.rs` knows that their order is open, and
/// `src/mirror/plan.rs` numbers several deletes of one document.
pub(crate) async fn a_transaction_shares_one_number_and_time(kit: &Kit) -> Seen {
    let pk = "transaction";
    let [all, latest] = [kit.main.now(AllVersionsAndDeletes).await?, kit.main.now(LatestVersion).await?];
    batch(kit, pk, &[create(pk, "a", 0), create(pk, "b", 0), create(pk, "c", 0)]).await?;
    let mut seen = kit.main.changes(AllVersionsAndDeletes, all, pk, 3).await?;
    seen.extend(kit.main.changes(LatestVersion, latest, pk, 3).await?);
    let told: Vec<_> = seen.iter().map(|change| (change.lsn, change.ts)).collect();
    ensure(told[0].0.is_some() && told.iter().all(|one| *one == told[0]), || format!("{told:?}"))?;
    Ok(format!("three documents, number {:?} in both modes", told[0].0))
}

/// A transaction comes in one page although fewer entries were asked for. `src/mirror/page.rs` saves positions between pages and relies on a
/// transaction lying on one side of them; `src/pace/bytes.rs` allows for its size.
pub(crate) async fn a_transaction_is_never_cut(kit: &Kit) -> Seen {
    let pk = "uncut";
    let operations: Vec<_> = (0..10).map(|n| create(pk, &format!("d{n}"), n)).collect();
    let mut seen = Vec::new();
    for mode in [AllVersionsAndDeletes, LatestVersion] {
        let mut position = kit.main.now(mode).await?;
        let operations: Vec<_> = match mode {
            AllVersionsAndDeletes => operations.clone(),
            LatestVersion => (0..10).map(|n| replace(pk, &format!("d{n}"), n + 10)).collect(),
        };
        batch(kit, pk, &operations).await?;
        let count = loop {
            let page = kit.main.read(mode, &position, 1).await?;
            let changes = delivered(&page, &kit.main.resolved.source.key)?;
            position = Position::Token(page.token);
            let count = changes.iter().filter(|change| change.pk == of(pk)).count();
            if count > 0 {
                break count;
            }
        };
        ensure(count == 10, || format!("{}: the first page had {count} of 10", mode.as_str()))?;
        seen.push(count);
    }
    Ok(format!("pages of at most 1 had {seen:?} changes"))
}

/// Each change of a transaction comes, in the order of its operations, also several of one document. The service does not promise the order;
/// where it decides which of two replacements was last, `src/mirror/order.rs` takes the one delivered last.
pub(crate) async fn a_transaction_gives_every_change_in_order(kit: &Kit) -> Seen {
    let pk = "arranged";
    let start = kit.main.now(AllVersionsAndDeletes).await?;
    let operations = [create(pk, "a", 0), replace(pk, "a", 1), create(pk, "b", 0), replace(pk, "a", 2), delete("b")];
    batch(kit, pk, &operations).await?;
    let changes = kit.main.changes(AllVersionsAndDeletes, start, pk, 5).await?;
    let seen: Vec<_> = changes.iter().map(|change| (change.operation, change.id.as_str())).collect();
    let expected = [(Create, "a"), (Replace, "a"), (Create, "b"), (Replace, "a"), (Delete, "b")];
    ensure(seen == expected, || format!("{seen:?}"))?;
    let versions: Vec<Value> =
        changes.iter().filter_map(|change| serde_json::from_str::<Value>(&change.document).ok()).collect();
    let numbers: Vec<_> = versions.iter().filter(|d| d["id"] == "a").map(|d| d["n"].clone()).collect();
    ensure(numbers == [0, 1, 2].map(Value::from), || format!("versions of one document: {numbers:?}"))?;
    Ok("two replacements of one document, and one that came and went, in the order of the operations".to_owned())
}
