//! Documents of which the mirror cannot tell what they were, times to live, and containers that were created again.

use serde_json::{Value, json};

use super::files::read;
use super::{export, held, instant, until};
use crate::suite::end_to_end::coverage::prepared;
use crate::suite::end_to_end::gaps::the_gap;
use crate::suite::end_to_end::world::{ALL_VERSIONS, LATEST_VERSION, Target, World};

/// In latest-version mode nobody knows whether a document was deleted until a reconciliation has looked. What was left out until then is brought by the
/// next export, although neither its version nor its time has changed.
#[tokio::test]
async fn what_is_uncertain_is_left_out_and_said_so_and_comes_with_the_next_export_once_it_is_known() {
    let world = prepared(LATEST_VERSION, 2).await;
    world.emulator.advance(5).await;
    world.catch_up().await;
    let at = until(&world, "orders").await;
    let out = |name: &'static str| ["export", "--at", &instant(at), "--out", name].map(str::to_owned);
    let finished = world.run(&[&["-o", "json"], &out("left-out").each_ref().map(String::as_str)[..]].concat()).await;
    assert_eq!(finished.code, Some(3), "{}", finished.err);
    let told: Value = serde_json::from_slice(&finished.out).unwrap();
    assert_eq!([&told["containers"][0]["uncertain"], &told["containers"][0]["documents"]], [12, 0], "{told}");
    assert!(finished.err.contains("nobody has looked since whether it was deleted"), "{}", finished.err);
    let left_out = read(&world.folder().join("left-out"));
    assert!(left_out.lines[0].iter().all(|line| line.why.as_deref() == Some("uncertain")));
    let (_, taken) = export(&world, at, "taken", &["--uncertain", "before"]).await;
    assert_eq!(taken.documents(0), held(&world.history("orders").await, at));
    let (told, none) = export(&world, at, "none", &["--uncertain", "after"]).await;
    assert!(none.lines[0].is_empty() && told["containers"][0]["files"] == 0);

    world.source("orders").delete(r#"["p3"]"#, "d3").await;
    world.emulator.advance(5).await;
    world.succeed(&["run", "--once", "--reconcile"]).await;
    world.emulator.advance(5).await;
    world.succeed(&["run", "--once", "--reconcile"]).await;
    let window = world.json(&["status"]).await["containers"][0].clone();
    let known = window["deletes_known_until"].as_i64();
    let later = known.unwrap_or(until(&world, "orders").await);
    let now = held(&world.history("orders").await, later);
    let (_, increment) = export(&world, later, "known", &["--since", "left-out"]).await;
    let mut documents = left_out.documents(0);
    increment.applied_to(0, &mut documents);
    assert_eq!(documents, now, "{window}");
    assert_eq!(increment.lines[0].len(), 12, "eleven documents and a delete");
    // What was taken for certain before is brought again as well, for it was not.
    let (_, increment) = export(&world, later, "again", &["--since", "taken"]).await;
    let mut documents = taken.documents(0);
    increment.applied_to(0, &mut documents);
    assert_eq!(documents, now);
    // So is what was taken for gone.
    let (_, increment) = export(&world, later, "anew", &["--since", "none"]).await;
    let mut documents = none.documents(0);
    increment.applied_to(0, &mut documents);
    assert_eq!(documents, now);
}

#[tokio::test]
async fn damaged_documents_are_named_and_left_out_and_the_others_are_exported() {
    let world = World::new(&[("orders", ALL_VERSIONS)], Target::Directory).await;
    world.source("orders").make(&["/pk"]).await;
    for id in ["a", "b", "c"] {
        world.source("orders").put(r#"["p"]"#, &json!({ "id": id, "pk": "p", "secret": "planted" }).to_string()).await;
    }
    world.emulator.advance(5).await;
    world.catch_up().await;
    let at = until(&world, "orders").await;
    let folder = world.folder().join("mirror/shop/orders/documents/p/b.json");
    let version = std::fs::read_dir(&folder).unwrap().next().unwrap().unwrap().path();
    let mut bytes = std::fs::read(&version).unwrap();
    let last = bytes.len() - 10;
    bytes[last] ^= 1;
    std::fs::write(&version, bytes).unwrap();
    let finished = world.run(&["export", "--at", &instant(at), "--out", "out"]).await;
    assert_eq!(finished.code, Some(6), "{}", finished.err);
    assert!(finished.err.contains("b.json") && !finished.err.contains("planted"), "{}", finished.err);
    let exported = read(&world.folder().join("out"));
    let ops: Vec<(&str, Option<&str>)> =
        exported.lines[0].iter().map(|line| (line.op.as_str(), line.why.as_deref())).collect();
    assert_eq!(ops, [("put", None), ("unknown", Some("damaged")), ("put", None)]);
}

/// With a time to live, what a document was before can only be told by its bytes.
#[tokio::test]
async fn an_earlier_version_that_cannot_be_read_any_more_does_not_keep_a_later_one_away() {
    let world = World::new(&[("orders", ALL_VERSIONS)], Target::Directory).await;
    let source = world.source("orders");
    source.make_with(&["/pk"], json!({ "defaultTtl": -1 }).as_object().unwrap().clone()).await;
    source.put(r#"["p"]"#, r#"{"id":"a","pk":"p","step":1}"#).await;
    world.emulator.advance(5).await;
    world.catch_up().await;
    let at = until(&world, "orders").await;
    let (_, first) = export(&world, at, "first", &["--uncertain", "before"]).await;
    let folder = world.folder().join("mirror/shop/orders/documents/p/a.json");
    let version = std::fs::read_dir(&folder).unwrap().next().unwrap().unwrap().path();
    world.emulator.advance(5).await;
    source.put(r#"["p"]"#, r#"{"id":"a","pk":"p","step":2}"#).await;
    world.emulator.advance(5).await;
    world.catch_up().await;
    let mut bytes = std::fs::read(&version).unwrap();
    let last = bytes.len() - 10;
    bytes[last] ^= 1;
    std::fs::write(&version, bytes).unwrap();
    let later = until(&world, "orders").await;
    let (_, second) = export(&world, later, "second", &["--since", "first"]).await;
    let mut documents = first.documents(0);
    second.applied_to(0, &mut documents);
    assert_eq!(documents, held(&world.history("orders").await, later));
}

#[tokio::test]
async fn an_earlier_life_with_another_partition_key_is_exported_and_imported_with_its_own() {
    let world = World::new(&[("orders", ALL_VERSIONS)], Target::Blobs).await;
    let source = world.source("orders");
    source.make(&["/pk"]).await;
    source.put(r#"["p"]"#, r#"{"id":"a","pk":"p"}"#).await;
    world.emulator.advance(5).await;
    world.catch_up().await;
    let before = until(&world, "orders").await;
    world.emulator.advance(5).await;
    source.remove().await;
    source.make(&["/customer"]).await;
    source.put(r#"["c"]"#, r#"{"id":"b","customer":"c"}"#).await;
    world.catch_up().await;
    world.emulator.advance(5).await;
    world.catch_up().await;
    let (_, exported) = export(&world, before, "first", &[]).await;
    assert_eq!(exported.documents(0).len(), 1);
    world.succeed(&["import", "first", "--into", "shop/copy", "--create", "--yes"]).await;
    let copy = world.history("copy").await;
    assert_eq!(
        copy.iter().map(|change| (change.id.as_str(), change.key.as_str())).collect::<Vec<_>>(),
        [("a", r#"["p"]"#)]
    );
    // A restore knows one partition key only, and says so.
    let plan =
        ["restore", "plan", "--all", "--at", &instant(before), "--into", "shop/other", "--create", "-f", "a.plan"];
    let refused = world.run(&plan).await;
    assert!(refused.code == Some(2) && refused.err.contains("had the partition key /pk"), "{}", refused.err);
    let after = until(&world, "orders").await;
    let refused = world.run(&["export", "--at", &instant(after), "--out", "second", "--since", "first"]).await;
    assert!(refused.code == Some(2) && refused.err.contains("partition key"), "{}", refused.err);
}

#[tokio::test]
async fn a_container_that_was_created_again_makes_everything_of_its_earlier_life_a_delete() {
    let world = prepared(ALL_VERSIONS, 1).await;
    world.emulator.advance(5).await;
    world.catch_up().await;
    let before = until(&world, "orders").await;
    let (_, first) = export(&world, before, "first", &[]).await;
    world.emulator.advance(5).await;
    let source = world.source("orders");
    source.remove().await;
    source.make(&["/pk"]).await;
    for id in ["d0", "new"] {
        source.put(r#"["p0"]"#, &json!({ "id": id, "pk": "p0", "life": 2 }).to_string()).await;
    }
    world.catch_up().await;
    world.emulator.advance(5).await;
    world.catch_up().await;
    let after = until(&world, "orders").await;
    let (_, _, end) = the_gap(&world).await;
    assert!(end <= after);
    let (_, increment) = export(&world, after, "second", &["--since", "first"]).await;
    let ops = |op: &str| increment.lines[0].iter().filter(|line| line.op == op).count();
    assert_eq!((ops("put"), ops("delete")), (2, 11));
    let mut documents = first.documents(0);
    increment.applied_to(0, &mut documents);
    let (_, full) = export(&world, after, "full", &[]).await;
    assert_eq!(documents, full.documents(0));
    assert_eq!(documents, held(&world.history("orders").await, after));
    // The earlier life can still be exported.
    let (_, again) = export(&world, before, "again", &[]).await;
    assert_eq!(again.lines, first.lines);
}

/// A time to live that runs out between two exports is a delete, in either mode.
#[tokio::test]
async fn what_expired_since_the_earlier_export_is_a_delete() {
    for feed in [ALL_VERSIONS, LATEST_VERSION] {
        let world = World::new(&[("orders", feed)], Target::Blobs).await;
        let settings = json!({ "defaultTtl": -1 });
        world.source("orders").make_with(&["/pk"], settings.as_object().unwrap().clone()).await;
        world.source("orders").put(r#"["p"]"#, r#"{"id":"short","pk":"p","ttl":100}"#).await;
        world.source("orders").put(r#"["p"]"#, r#"{"id":"long","pk":"p"}"#).await;
        world.emulator.advance(5).await;
        world.catch_up().await;
        let alive = until(&world, "orders").await;
        let (_, first) = export(&world, alive, "first", &["--uncertain", "before"]).await;
        assert_eq!(first.lines[0].len(), 2);
        world.emulator.advance(200).await;
        world.catch_up().await;
        let expired = until(&world, "orders").await;
        let (_, second) = export(&world, expired, "second", &["--since", "first", "--uncertain", "before"]).await;
        let mut documents = first.documents(0);
        second.applied_to(0, &mut documents);
        let names: Vec<&String> = documents.keys().map(|(_, id)| id).collect();
        assert_eq!(names, ["long"], "{feed}");
    }
}
