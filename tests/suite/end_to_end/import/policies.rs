//! What happens to documents that are there already.

use serde_json::{Value, json};

use super::{held, import, imported, report};
use crate::suite::end_to_end::eventually;
use crate::suite::end_to_end::export::{export, until};
use crate::suite::end_to_end::world::{ALL_VERSIONS, Target, World};

const KEY: &str = r#"["p"]"#;

fn text(id: &str, state: &str) -> String {
    json!({ "id": id, "pk": "p", "state": state }).to_string()
}

/// A container with a document that is equal, one that is other, and one that is nowhere else; and a file of four.
async fn world() -> World {
    let world = World::new(&[("orders", ALL_VERSIONS)], Target::Directory).await;
    let source = world.source("orders");
    source.make(&["/pk"]).await;
    for (id, state) in [("equal", "new"), ("other", "theirs"), ("older", "theirs"), ("own", "theirs")] {
        source.put(KEY, &text(id, state)).await;
    }
    let later = json!({ "id": "other", "pk": "p", "state": "new", "_ts": 4_000_000_000_i64 });
    let earlier = json!({ "id": "older", "pk": "p", "state": "new", "_ts": 5 });
    let lines = [text("equal", "new"), later.to_string(), earlier.to_string(), text("gone", "new")];
    std::fs::write(world.folder().join("four.ndjson"), lines.join("\n")).unwrap();
    world
}

async fn states(world: &World) -> Vec<(String, String)> {
    let held = held(world, "orders").await.into_iter();
    let state = |text: String| {
        let document: Value = serde_json::from_str(&format!("{text}}}")).unwrap();
        document["state"].as_str().unwrap().to_owned()
    };
    held.map(|((_, id), text)| (id, state(text))).collect()
}

async fn state_of(world: &World, id: &str) -> String {
    states(world).await.into_iter().find(|(other, _)| other == id).unwrap().1
}

/// Holds up the writes of an import over a document that is there. The tests' own go another way than by its path.
async fn block(world: &World, id: &str) {
    let path = format!("/docs/{id}");
    let busy =
        json!({ "service": "cosmos", "operation": "item-write", "path": path, "status": 429, "retryAfterMs": 5 });
    world.emulator.control("faults", &json!({ "rules": [busy] })).await;
}

/// Waits until an import has looked at the document whose writes are held up, and wants to write it.
async fn is_looked_at(world: &World) {
    eventually("a write", async || world.emulator.faults_are_met().await.then_some(())).await;
}

/// Does something between the look and the write of the document whose writes are held up.
async fn between_look_and_write(world: &World, work: impl Future<Output = ()>) {
    is_looked_at(world).await;
    work.await;
    world.emulator.control("faults", &json!({ "rules": [] })).await;
}

#[tokio::test]
async fn each_policy_writes_what_it_says_and_nothing_that_is_equal_or_not_in_the_file() {
    let counts = |told: &Value| ["created", "replaced", "unchanged", "kept"].map(|name| told[name].as_u64().unwrap());
    for (policy, expected, other, older) in [
        ("always", [1, 2, 1, 0], "new", "new"),
        ("if-changed", [1, 2, 1, 0], "new", "new"),
        ("if-newer", [1, 1, 1, 1], "new", "theirs"),
        ("never", [1, 0, 1, 2], "theirs", "theirs"),
    ] {
        let world = world().await;
        let before = world.history("orders").await.len();
        let asked = ["four.ndjson", "--into", "shop/orders", "--overwrite", policy];
        let dry = imported(&world, &[&asked[..], &["--dry-run"]].concat()).await;
        assert_eq!((counts(&dry), &dry["dry_run"]), (expected, &json!(true)), "{policy}: {dry}");
        assert_eq!(world.history("orders").await.len(), before);
        let told = imported(&world, &asked).await;
        assert_eq!(counts(&told), expected, "{policy}: {told}");
        assert!(told["request_units"].as_f64().unwrap() > 0.0, "{told}");
        let states = states(&world).await;
        let expected = [("equal", "new"), ("gone", "new"), ("older", older), ("other", other), ("own", "theirs")];
        assert_eq!(states, expected.map(|(id, state)| (id.to_owned(), state.to_owned())), "{policy}");
    }
}

#[tokio::test]
async fn what_somebody_changes_at_the_same_moment_is_left_alone_unless_it_is_to_be_overwritten_in_any_case() {
    let asked = ["four.ndjson", "--into", "shop/orders", "--concurrency", "1", "--overwrite"];
    let world = world().await;
    let changed = async |policy, state| {
        block(&world, "other").await;
        let arguments = [&asked[..], &[policy]].concat();
        let (source, theirs) = (world.source("orders"), text("other", state));
        let change = between_look_and_write(&world, source.put(KEY, &theirs));
        let (finished, ()) = tokio::join!(import(&world, &arguments), change);
        (finished.code, report(&finished))
    };
    let (code, told) = changed("if-changed", "one").await;
    assert_eq!((code, &told["conflicts"], &told["replaced"]), (Some(7), &json!(1), &json!(1)), "{told}");
    assert_eq!(state_of(&world, "other").await, "one");
    let (code, told) = changed("always", "two").await;
    assert_eq!((code, &told["conflicts"], &told["replaced"]), (Some(0), &json!(0), &json!(1)), "{told}");
    assert_eq!(state_of(&world, "other").await, "new");
}

/// What is settled is not looked at again, so the run that goes on used to end with 0.
#[tokio::test]
async fn an_import_that_was_interrupted_ends_with_its_conflicts_as_an_undisturbed_one_does() {
    let world = world().await;
    let asked = ["four.ndjson", "--into", "shop/orders", "--concurrency", "1"];
    block(&world, "other").await;
    let importing = world.start(&[&["import", "--yes"], &asked[..]].concat());
    is_looked_at(&world).await;
    world.source("orders").put(KEY, &text("other", "one")).await;
    // The next one is held up as soon as this one is not any more.
    block(&world, "older").await;
    is_looked_at(&world).await;
    assert_eq!(importing.terminate().await, Some(130));
    world.emulator.control("faults", &json!({ "rules": [] })).await;
    let finished = import(&world, &asked).await;
    let told = report(&finished);
    let counts = ["resumed", "conflicts", "replaced", "created"].map(|name| told[name].as_u64().unwrap());
    assert_eq!((finished.code, counts), (Some(7), [2, 1, 1, 1]), "{finished:?}");
    assert_eq!(state_of(&world, "other").await, "one");
}

/// These used to be conflicts, which are settled: the next run of the same import left them out.
#[tokio::test]
async fn what_is_refused_although_nobody_changed_it_has_failed_and_is_done_by_the_next_run() {
    let world = world().await;
    let unique = json!({ "uniqueKeyPolicy": { "uniqueKeys": [{ "paths": ["/state"] }] } });
    let lines = ["one", "two", "three"].map(|id| text(id, if id == "two" { "two" } else { "same" }));
    std::fs::write(world.folder().join("three.ndjson"), lines.join("\n")).unwrap();
    for policy in ["if-changed", "always"] {
        let container = world.source(policy);
        container.make_with(&["/pk"], unique.as_object().unwrap().clone()).await;
        let into = format!("shop/{policy}");
        let asked = ["three.ndjson", "--into", &into, "--concurrency", "1", "--overwrite", policy];
        // The first time nothing is there, the second time every document is looked at before.
        for resumed in [0, 2] {
            let finished = import(&world, &asked).await;
            let told = report(&finished);
            let counts = ["resumed", "failed", "conflicts"].map(|name| told[name].as_u64().unwrap());
            assert_eq!((finished.code, counts), (Some(3), [resumed, 1, 0]), "{finished:?}");
        }
        container.delete(KEY, "one").await;
        let told = imported(&world, &asked).await;
        assert_eq!((&told["resumed"], &told["created"]), (&json!(2), &json!(1)), "{told}");
        let ids: Vec<String> = held(&world, policy).await.into_keys().map(|(_, id)| id).collect();
        assert_eq!(ids, ["three", "two"]);
    }
}

#[tokio::test]
async fn documents_of_a_container_that_is_deleted_during_an_import_have_failed() {
    let world = world().await;
    let asked = ["four.ndjson", "--into", "shop/orders", "--concurrency", "1"];
    block(&world, "other").await;
    let source = world.source("orders");
    let (finished, ()) = tokio::join!(import(&world, &asked), between_look_and_write(&world, source.remove()));
    let told = report(&finished);
    assert_eq!((finished.code, &told["failed"]), (Some(3), &json!(2)), "{finished:?}");
}

#[tokio::test]
async fn documents_that_fail_are_counted_and_the_same_import_does_the_rest() {
    let world = world().await;
    let refused = json!({ "service": "cosmos", "operation": "item-write", "status": 400, "count": 2 });
    let asked = ["four.ndjson", "--into", "shop/orders", "--concurrency", "1"];
    world.emulator.control("faults", &json!({ "rules": [refused] })).await;
    let limited = import(&world, &[&asked[..], &["--max-failures", "1"]].concat()).await;
    assert_eq!(limited.code, Some(8), "{limited:?}");
    let partly = import(&world, &asked).await;
    assert_eq!((partly.code, &report(&partly)["failed"]), (Some(3), &json!(1)), "{partly:?}");
    let told = imported(&world, &asked).await;
    assert_eq!(told["failed"], 0, "{told}");
    assert_eq!(states(&world).await.iter().filter(|(_, state)| state == "new").count(), 4);
}

/// An export from before a purge still has the document; the import must not bring it back.
#[tokio::test]
async fn what_was_purged_stays_away_whatever_an_earlier_export_holds() {
    let world = World::new(&[("orders", ALL_VERSIONS)], Target::Blobs).await;
    let source = world.source("orders");
    source.make(&["/pk"]).await;
    world.catch_up().await;
    for id in ["erased", "stays"] {
        source.put(KEY, &text(id, "old")).await;
    }
    world.emulator.advance(5).await;
    world.catch_up().await;
    export(&world, until(&world, "orders").await, "before", &[]).await;
    source.delete(KEY, "erased").await;
    world.emulator.advance(5).await;
    world.catch_up().await;
    world.succeed(&["purge", "erased", "--pk", "p", "--confirm"]).await;
    for arguments in [&["before"][..], &["before", "--into", "shop/copy", "--create"]] {
        let told = imported(&world, arguments).await;
        assert_eq!(told["purged"], 1, "{told}");
    }
    for container in ["orders", "copy"] {
        let ids: Vec<String> = held(&world, container).await.into_keys().map(|(_, id)| id).collect();
        assert_eq!(ids, ["stays"], "{container}");
    }
    // Who comes back under the same id has a history of their own.
    world.emulator.advance(5).await;
    source.put(KEY, &text("erased", "new")).await;
    world.emulator.advance(5).await;
    world.catch_up().await;
    export(&world, until(&world, "orders").await, "behind", &[]).await;
    let told = imported(&world, &["behind", "--into", "shop/copy"]).await;
    assert_eq!((&told["purged"], &told["created"]), (&json!(0), &json!(1)), "{told}");
}
