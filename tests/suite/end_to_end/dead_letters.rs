//! Changes that the target refuses: kept whole, shown, and stored when the target takes them.

use std::net::TcpListener;

use serde_json::{Value, json};

use super::mirror::Mirror;
use super::observer::{admins, metrics, value};
use super::oracle::{assert_every_change_once, stored};
use super::world::{ALL_VERSIONS, Target, World};

/// Ids that are hard on terminals, tables, paths and JSON.
const IDS: [&str; 5] = ["plain", "a\nb\u{1b}[2J", "\u{202e}\"☃ #%", "..", "-rf"];

/// From now on the target refuses to store anything with this in its path.
pub(super) async fn refuse(world: &World, path: &str) {
    let rule = json!({ "service": "blob", "operation": "put", "path": path, "status": 400 });
    world.emulator.control("faults", &json!({ "rules": [rule] })).await;
}

/// Nothing is refused any more.
pub(super) async fn take_again(world: &World) {
    world.emulator.control("faults", &json!({ "rules": [] })).await;
}

fn document(id: &str, step: u32) -> String {
    json!({ "id": id, "pk": "p", "step": step }).to_string()
}

/// What the target holds, without its dead letters.
pub(super) async fn without_letters(world: &World) -> Mirror {
    let mut mirror = world.mirror().await;
    mirror.retain(|name, _| !name.contains("/_mirror/dead-letters/"));
    mirror
}

/// Every dead letter as it is listed.
pub(super) async fn letters(world: &World) -> Vec<Value> {
    let listed = world.json(&["dead-letters", "list"]).await;
    listed["dead_letters"].as_array().unwrap().clone()
}

/// Documents that exist in the mirror; then, while the target takes no documents, each is created, changed or deleted.
async fn world_with_letters() -> World {
    let world = World::new(&[("orders", ALL_VERSIONS)], Target::Blobs).await;
    let source = world.source("orders");
    source.make(&["/pk"]).await;
    world.catch_up().await;
    for id in ["deleted", "changed"] {
        source.put(r#"["p"]"#, &document(id, 0)).await;
    }
    world.catch_up().await;
    refuse(&world, "/documents/").await;
    for id in IDS {
        source.put(r#"["p"]"#, &document(id, 0)).await;
    }
    source.put(r#"["p"]"#, &document("changed", 1)).await;
    source.put(r#"["p"]"#, &document("changed", 2)).await;
    source.delete(r#"["p"]"#, "deleted").await;
    // Two deletes without bytes in one transaction are two dead letters.
    let create = |id: &str| format!(r#"{{"operationType":"Create","resourceBody":{}}}"#, document(id, 0));
    source.batch(r#"["p"]"#, &[create("one"), create("two")]).await;
    let delete = |id: &str| format!(r#"{{"operationType":"Delete","id":"{id}"}}"#);
    source.batch(r#"["p"]"#, &[delete("one"), delete("two")]).await;
    world.catch_up().await;
    world
}

#[tokio::test]
async fn what_the_target_refused_is_kept_shown_and_stored_in_its_place_by_a_replay() {
    let mut world = world_with_letters().await;
    let history = world.history("orders").await;
    let refused = history.len() - 2;
    let waiting = letters(&world).await;
    assert_eq!(waiting.len(), refused);
    assert_eq!(world.json(&["status"]).await["containers"][0]["dead_letters"], refused);
    for letter in &waiting {
        let committed = |change: &&super::emulator::Change| {
            letter["id"] == change.id && letter["lsn"] == change.lsn && letter["op"] == change.op
        };
        let change = history.iter().find(committed).unwrap_or_else(|| panic!("{letter}"));
        assert_eq!((&letter["ts"], &letter["resolved"]), (&json!(change.ts), &json!(false)));
        let raw = world.succeed(&["dead-letters", "show", "--raw", letter["name"].as_str().unwrap()]).await;
        assert_eq!(String::from_utf8(raw).unwrap(), change.document.as_deref().unwrap_or_default());
    }
    let text = String::from_utf8(world.succeed(&["dead-letters", "list"]).await).unwrap();
    assert_eq!(text.lines().count(), refused + 1, "{text}");
    assert!(!text.contains(['\u{1b}', '\u{202e}']), "{text}");
    let versions = world.json(&["history", "changed", "--pk", "p"]).await["versions"].as_array().unwrap().clone();
    let places: Vec<bool> =
        versions.iter().map(|v| v["version"].as_str().unwrap().starts_with("dead-letter:")).collect();
    assert_eq!(places, [false, true, true]);

    // A process that starts counts what others left.
    let daemon = world.start(&["run"]);
    let admin = admins(&daemon, 1).await.remove(0);
    super::eventually("the metric counts what waits", async || {
        (value(&metrics(&world, &admin).await, "dead_letters", None)? as usize == refused).then_some(())
    })
    .await;
    assert_eq!(daemon.terminate().await, Some(0));

    let again = world.run(&["-o", "json", "dead-letters", "replay", "--all"]).await;
    assert_eq!(again.code, Some(3), "{}", again.err);
    let told: Value = serde_json::from_slice(&again.out).unwrap();
    assert_eq!((&told["failed"], &told["stored"]), (&json!(refused), &json!(0)));
    assert_eq!(letters(&world).await.iter().filter(|letter| letter["resolved"] == false).count(), refused);
    take_again(&world).await;
    let before = world.mirror().await;
    assert_eq!(world.json(&["dead-letters", "replay", "--all", "--dry-run"]).await["stored"], refused);
    assert_eq!(world.mirror().await, before);

    // Nothing but the mirror is needed.
    let closed = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    world.set("SOURCE__ENDPOINT", &format!("http://{closed}/"));
    let replayed = world.json(&["dead-letters", "replay", "--all"]).await;
    assert_eq!((&replayed["stored"], &replayed["failed"]), (&json!(refused), &json!(0)), "{replayed}");
    assert_every_change_once(&history, 0, &without_letters(&world).await, "orders");
    let resolved = letters(&world).await;
    assert!(resolved.iter().all(|letter| letter["resolution"] == "stored"), "{resolved:?}");
    assert_eq!(world.json(&["dead-letters", "list", "--unresolved"]).await, json!({ "dead_letters": [] }));
    assert_eq!(world.json(&["gaps", "list"]).await, json!({ "gaps": [] }));
    let name = resolved[0]["name"].as_str().unwrap();
    assert_eq!(world.json(&["dead-letters", "replay", name]).await["already_resolved"], 1);
    assert_every_change_once(&history, 0, &without_letters(&world).await, "orders");
}

/// The daemon went on behind the refused version. It cannot be put beneath the newer one, and a restore must still find it.
#[tokio::test]
async fn a_refused_version_that_was_overtaken_stays_in_history_after_its_replay() {
    let world = World::new(&[("orders", ALL_VERSIONS)], Target::Blobs).await;
    let source = world.source("orders");
    source.make(&["/pk"]).await;
    source.put(r#"["p"]"#, &document("d", 0)).await;
    source.put(r#"["p"]"#, &document("other", 0)).await;
    world.catch_up().await;
    refuse(&world, "/d.json").await;
    source.put(r#"["p"]"#, &document("d", 1)).await;
    source.put(r#"["p"]"#, &document("other", 1)).await;
    // The second in which these were written ends before the mirror's watermark.
    world.emulator.advance(5).await;
    world.catch_up().await;
    let at = world.complete_until("orders").await;
    take_again(&world).await;
    world.emulator.advance(5).await;
    source.put(r#"["p"]"#, &document("d", 2)).await;
    world.catch_up().await;
    let name = letters(&world).await[0]["name"].as_str().unwrap().to_owned();
    let shown = world.succeed(&["show", "d", "--pk", "p", "--raw", "--at", &at]).await;
    assert_eq!(world.json(&["dead-letters", "replay", &name]).await["superseded"], 1);
    let entry = &letters(&world).await[0];
    assert_eq!((&entry["resolved"], &entry["resolution"]), (&json!(true), &json!("superseded")));
    assert_eq!(world.succeed(&["show", "d", "--pk", "p", "--raw", "--at", &at]).await, shown);
    assert!(String::from_utf8(shown).unwrap().contains("\"step\":1"));
    let versions = world.json(&["history", "d", "--pk", "p"]).await["versions"].as_array().unwrap().len();
    assert_eq!(versions, 3);
    assert_eq!(stored(&world.mirror().await, "orders").len(), 2);
    assert_eq!(world.json(&["status"]).await["containers"][0]["dead_letters"], 0);
}

#[tokio::test]
async fn names_and_mirrors_that_do_not_exist_end_with_10_and_nothing_is_replayed() {
    let world = World::new(&[("orders", ALL_VERSIONS)], Target::Blobs).await;
    world.source("orders").make(&["/pk"]).await;
    for arguments in [&["gaps", "list"][..], &["dead-letters", "list"], &["dead-letters", "replay", "--all"]] {
        let finished = world.run(arguments).await;
        assert_eq!(finished.code, Some(10), "{arguments:?}: {}", finished.err);
        assert!(finished.out.is_empty());
    }
    world.catch_up().await;
    assert_eq!(world.succeed(&["gaps", "list"]).await, b"no gaps\n");
    assert_eq!(world.succeed(&["dead-letters", "list"]).await, b"no dead letters\n");
    assert!(world.succeed(&["-o", "ndjson", "gaps", "list"]).await.is_empty());
    assert_eq!(world.json(&["dead-letters", "replay", "--all"]).await["replayed"], json!([]));
    for arguments in [&["dead-letters", "show", "-FF/1.json"][..], &["dead-letters", "replay", "a", "../b"]] {
        let finished = world.run(arguments).await;
        assert_eq!(finished.code, Some(10), "{arguments:?}: {}", finished.err);
        assert!(finished.err.contains("dead-letters list"), "{}", finished.err);
    }
}
