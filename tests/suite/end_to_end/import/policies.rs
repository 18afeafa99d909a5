//! What happens to documents that are there already.

use serde_json::{Value, json};

use super::{held, import, imported, report};
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
    let busy = json!({ "service": "cosmos", "operation": "item-write", "status": 412, "count": 1 });
    let asked = ["four.ndjson", "--into", "shop/orders", "--concurrency", "1", "--overwrite"];
    let world = world().await;
    world.emulator.control("faults", &json!({ "rules": [busy] })).await;
    let finished = import(&world, &[&asked[..], &["if-changed"]].concat()).await;
    assert_eq!(finished.code, Some(7), "{finished:?}");
    let told = report(&finished);
    assert_eq!((&told["conflicts"], &told["replaced"]), (&json!(1), &json!(1)), "{told}");
    world.emulator.control("faults", &json!({ "rules": [busy] })).await;
    let told = imported(&world, &[&asked[..], &["always"]].concat()).await;
    assert_eq!((&told["conflicts"], &told["replaced"]), (&json!(0), &json!(1)), "{told}");
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
