//! Source and mirror compared, and what differs put right.

use std::path::{Path, PathBuf};

use rand::SeedableRng as _;
use rand::rngs::StdRng;
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;

use super::cosmos::{DATABASE, Source};
use super::documents::{Document, document, random};
use super::eventually;
use super::hostile_names;
use super::oracle::live;
use super::traffic::traffic;
use super::world::{ALL_VERSIONS, LATEST_VERSION, Target, World};

const CONTAINERS: [(&str, &str); 2] = [("orders", ALL_VERSIONS), ("carts", LATEST_VERSION)];
const KEY: &str = r#"["p"]"#;

/// The exit code and the counts of a comparison.
async fn verify(world: &World, arguments: &[&str]) -> (Option<i32>, Value) {
    let finished = world.run(&[&["-o", "json", "verify"], arguments].concat()).await;
    let counts = serde_json::from_slice(&finished.out).unwrap_or_else(|_| panic!("{}", finished.err));
    (finished.code, counts)
}

fn counts(found: &Value) -> [i64; 6] {
    ["equal", "missing", "stale", "extra", "different", "pending"].map(|name| found[name].as_i64().unwrap())
}

async fn put(source: &Source<'_>, id: &str, n: u32) {
    source.put(KEY, &format!(r#"{{"id":"{id}","pk":"p","n":{n}}}"#)).await;
}

#[tokio::test]
async fn after_a_catch_up_source_and_mirror_are_equal_in_both_modes_and_over_both_targets() {
    let mut random = random();
    for target in [Target::Blobs, Target::Directory] {
        let world = World::new(&CONTAINERS, target).await;
        for (container, _) in CONTAINERS {
            let seed = json!({ "database": DATABASE, "container": container, "partitionKey": "/pk", "count": 0, "partitions": 3 });
            world.emulator.control("seed", &seed).await;
            let source = world.source(container);
            let mut documents: Vec<Document> = (0..60).map(|number| document(&mut random, number, 0)).collect();
            documents.extend(hostile_names::documents().0);
            for (place, Document { key, id, text }) in documents.iter().enumerate() {
                source.put(key, text).await;
                if place % 9 == 0 {
                    source.delete(key, id).await;
                }
            }
        }
        world.catch_up().await;
        for mode in ["presence", "hash", "full"] {
            let (code, found) = verify(&world, &["--mode", mode]).await;
            let mut expected = 0;
            for (at, (container, _)) in CONTAINERS.iter().enumerate() {
                let documents = live(&world.history(container).await).len();
                assert_eq!(found["containers"][at]["documents"], documents, "{found}");
                expected += i64::try_from(documents).unwrap();
            }
            assert_eq!((code, counts(&found)), (Some(0), [expected, 0, 0, 0, 0, 0]), "{target:?} {mode}: {found}");
        }
        let (_, part) = verify(&world, &["--sample", "30%", "--source", "shop/carts"]).await;
        assert!(part["documents"].as_i64().unwrap() < 60, "{part}");
        assert_eq!(part["documents"], part["equal"], "{part}");
    }
}

#[tokio::test]
async fn deletes_that_a_latest_version_feed_does_not_show_become_tombstones() {
    for target in [Target::Blobs, Target::Directory] {
        let world = World::new(&[("carts", LATEST_VERSION)], target).await;
        let source = world.source("carts");
        source.make(&["/pk"]).await;
        for id in ["a", "b", "c"] {
            put(&source, id, 1).await;
        }
        world.emulator.advance(10).await;
        world.catch_up().await;
        let both_there = world.complete_until("carts").await;
        source.delete(KEY, "b").await;
        let (code, found) = verify(&world, &[]).await;
        assert_eq!((code, counts(&found)), (Some(4), [2, 0, 0, 1, 0, 0]), "{found}");
        assert_eq!(found["containers"][0]["differences"][0]["id"], "b", "{found}");
        assert_eq!(world.json(&["history", "b"]).await["versions"].as_array().unwrap().len(), 1, "nothing was written");
        let (code, found) = verify(&world, &["--repair"]).await;
        assert_eq!((code, &found["repaired"]), (Some(0), &json!(1)), "{found}");
        assert_eq!(verify(&world, &["--mode", "full"]).await.0, Some(0));
        let history = world.json(&["history", "b"]).await;
        assert_eq!(history["versions"][1]["op"], "delete", "{history}");
        assert_eq!(history["versions"][1]["etag"], Value::Null, "{history}");

        world.emulator.advance(10).await;
        world.catch_up().await;
        let gone = world.complete_until("carts").await;
        let plan = world.json(&["restore", "--all", "--at", &gone, "--dry-run"]).await;
        assert_eq!(
            [&plan["plan"]["create"], &plan["plan"]["unchanged"], &plan["plan"]["uncertain"]],
            [0, 2, 0],
            "{plan}"
        );
        let plan = world.run(&["-o", "json", "restore", "--all", "--at", &both_there, "--dry-run"]).await;
        let plan: Value = serde_json::from_slice(&plan.out).unwrap();
        assert_eq!(
            [&plan["plan"]["create"], &plan["plan"]["unchanged"], &plan["plan"]["uncertain"]],
            [0, 2, 1],
            "{plan}"
        );

        put(&source, "b", 2).await;
        world.catch_up().await;
        let history = world.json(&["history", "b"]).await;
        let ops: Vec<&str> =
            history["versions"].as_array().unwrap().iter().map(|v| v["op"].as_str().unwrap()).collect();
        assert_eq!(ops[1..], ["delete", "create"], "{history}");
        let (code, found) = verify(&world, &["--mode", "full"]).await;
        assert_eq!((code, counts(&found)), (Some(0), [3, 0, 0, 0, 0, 0]), "{found}");
    }
}

/// What the mirror's records say of a container's ranges, under this name.
async fn recorded(world: &World, name: &str) -> Vec<Option<i64>> {
    let mirror = world.mirror().await;
    let states = mirror.iter().filter(|(path, _)| path.starts_with("shop/carts/_mirror/ranges/"));
    let state = |versions: &Vec<super::mirror::Stored>| {
        serde_json::from_slice::<Value>(&versions.last().unwrap().body).unwrap()[name].as_i64()
    };
    states.map(|(_, versions)| state(versions)).collect()
}

#[tokio::test]
async fn a_run_that_reconciles_finds_what_was_deleted_and_narrows_the_interval_the_next_time() {
    let world = World::new(&CONTAINERS, Target::Blobs).await;
    for (container, _) in CONTAINERS {
        let seed = json!({ "database": DATABASE, "container": container, "partitionKey": "/pk", "count": 30, "partitions": 3 });
        world.emulator.control("seed", &seed).await;
    }
    let source = world.source("carts");
    world.emulator.advance(10).await;
    world.catch_up().await;
    assert_eq!(recorded(&world, "reconciled").await, [None; 3]);
    source.delete(r#"["p0"]"#, "d0").await;
    world.succeed(&["run", "--once", "--reconcile"]).await;
    let reconciled = recorded(&world, "reconciled").await;
    assert!(reconciled.iter().all(Option::is_some), "{reconciled:?}");
    let status = world.json(&["status", "--source", "shop/carts"]).await;
    let until = status["containers"][0]["deletes_known_until"].as_str().unwrap().parse::<jiff::Timestamp>().unwrap();
    assert_eq!(Some(until.as_second()), reconciled.iter().flatten().min().copied(), "{status}");

    world.emulator.advance(10).await;
    source.delete(r#"["p1"]"#, "d1").await;
    world.succeed(&["run", "--once", "--reconcile"]).await;
    let mirror = world.mirror().await;
    let after = |name: &str| {
        let versions = &mirror[&format!("shop/carts/documents/{name}.json")];
        let last = versions.last().unwrap();
        assert_eq!((versions.len(), last.field("op"), last.field("etag")), (2, Some("delete"), None), "{name}");
        last.field("after").unwrap().parse::<i64>().unwrap()
    };
    let written =
        |name: &str| mirror[&format!("shop/carts/documents/{name}.json")][0].field("ts").unwrap().parse::<i64>();
    // Nothing was reconciled before; and it may have been deleted within the second in which it was written.
    assert_eq!(Ok(after("p0/d0") + 1), written("p0/d0"));
    assert!(reconciled.contains(&Some(after("p1/d1"))), "{} {reconciled:?}", after("p1/d1"));
    assert_eq!(counts(&verify(&world, &["--mode", "full"]).await.1), [58, 0, 0, 0, 0, 0]);
}

#[tokio::test]
async fn a_daemon_reconciles_on_a_schedule_while_it_follows() {
    let mut world = World::new(&[("carts", LATEST_VERSION)], Target::Blobs).await;
    world.set("RECONCILE__INTERVAL", "1s");
    let seed =
        json!({ "database": DATABASE, "container": "carts", "partitionKey": "/pk", "count": 30, "partitions": 3 });
    world.emulator.control("seed", &seed).await;
    world.emulator.advance(10).await;
    let daemons = [world.start(&["run", "--instance", "a"]), world.start(&["run", "--instance", "b"])];
    let source = world.source("carts");
    for round in 0..2 {
        let (key, id) = (format!("[\"p{round}\"]"), format!("d{round}"));
        eventually("the document is mirrored", async || {
            world.mirror().await.contains_key(&format!("shop/carts/documents/p{round}/{id}.json")).then_some(())
        })
        .await;
        source.delete(&key, &id).await;
        eventually("its delete is found", async || {
            let mirror = world.mirror().await;
            let versions = &mirror[&format!("shop/carts/documents/p{round}/{id}.json")];
            (versions.last().unwrap().field("op") == Some("delete")).then_some(())
        })
        .await;
        put(&source, "other", round).await;
    }
    for daemon in daemons {
        assert_eq!(daemon.terminate().await, Some(0));
    }
    world.catch_up().await;
    assert_eq!(counts(&verify(&world, &["--mode", "full"]).await.1), [29, 0, 0, 0, 0, 0]);
    let mirror = world.mirror().await;
    let stored = mirror.iter().filter(|(path, _)| path.starts_with("shop/carts/documents/p0/d0."));
    assert_eq!(stored.map(|(_, versions)| versions.len()).sum::<usize>(), 2, "one tombstone");
}

#[tokio::test]
async fn a_container_that_was_followed_from_now_on_is_caught_up_without_a_reconciliation() {
    let mut world = World::new(&[("carts", LATEST_VERSION)], Target::Blobs).await;
    world.set("CONTAINERS__0__START", "now");
    let source = world.source("carts");
    source.make(&["/pk"]).await;
    put(&source, "before", 1).await;
    world.succeed(&["run", "--once", "--reconcile"]).await;
    assert_eq!(recorded(&world, "reconciled").await, [None]);
}

/// The newest file of a document's versions.
fn newest(world: &World, id: &str) -> PathBuf {
    let folder = world.folder().join(format!("mirror/{DATABASE}/orders/documents/p/{id}.json"));
    let files = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    files.filter(|path| path.file_name().unwrap().len() == 20).max().unwrap()
}

fn edit(path: &Path, from: &str, to: &str) {
    let text = std::fs::read_to_string(path).unwrap();
    assert!(text.contains(from), "{text}");
    let permissions = std::fs::metadata(path).unwrap().permissions();
    std::fs::remove_file(path).unwrap();
    std::fs::write(path, text.replace(from, to)).unwrap();
    std::fs::set_permissions(path, permissions).unwrap();
}

#[tokio::test]
async fn damaged_lost_and_missing_versions_are_found_and_what_can_be_is_put_right() {
    let world = World::new(&[("orders", ALL_VERSIONS)], Target::Directory).await;
    let source = world.source("orders");
    source.make(&["/pk"]).await;
    for n in 1..3 {
        for id in ["damaged", "older", "lost", "whole"] {
            put(&source, id, n).await;
        }
        world.emulator.advance(10).await;
        world.catch_up().await;
    }
    edit(&newest(&world, "damaged"), r#""n":2"#, r#""n":3"#);
    std::fs::remove_file(newest(&world, "older")).unwrap();
    let lost = newest(&world, "lost");
    std::fs::remove_dir_all(lost.parent().unwrap()).unwrap();

    let (code, found) = verify(&world, &[]).await;
    assert_eq!((code, counts(&found)), (Some(4), [2, 1, 1, 0, 0, 0]), "by etags alone: {found}");
    let (code, found) = verify(&world, &["--mode", "hash", "--list", "1"]).await;
    assert_eq!((code, counts(&found)), (Some(4), [1, 1, 1, 0, 1, 0]), "{found}");
    assert_eq!(found["containers"][0]["differences"].as_array().unwrap().len(), 1);
    let (code, found) = verify(&world, &["--repair"]).await;
    assert_eq!((code, &found["repaired"]), (Some(0), &json!(2)), "{found}");
    let (code, found) = verify(&world, &["--mode", "full"]).await;
    assert_eq!((code, counts(&found)), (Some(4), [3, 0, 0, 0, 1, 0]), "{found}");
    let history = world.json(&["history", "older"]).await;
    assert_eq!(history["versions"][1]["op"], "reconcile", "{history}");
    let shown = world.succeed(&["show", "--raw", "lost"]).await;
    assert!(String::from_utf8(shown).unwrap().contains(r#""n":2"#));

    put(&source, "damaged", 4).await;
    world.catch_up().await;
    assert_eq!(verify(&world, &["--mode", "full"]).await.0, Some(0), "a newer version is whole");
}

#[tokio::test]
async fn traffic_beside_a_daemon_is_no_drift() {
    let mut random = random();
    let world = World::new(&[("orders", ALL_VERSIONS)], Target::Blobs).await;
    let seed = json!({ "database": DATABASE, "container": "orders", "count": 0, "partitions": 3 });
    world.emulator.control("seed", &seed).await;
    world.catch_up().await;
    let daemon = world.start(&["run"]);
    let (stop, source) = (CancellationToken::new(), world.source("orders"));
    let mut traffic_random = StdRng::from_rng(&mut random);
    let comparing = async {
        world.more_requests("blob", "put", 40).await;
        for arguments in [&["--mode", "full"], &["--repair"][..]] {
            let (code, found) = verify(&world, arguments).await;
            let [_, missing, stale, extra, different, _] = counts(&found);
            assert_eq!((code, [missing, stale, extra, different]), (Some(0), [0; 4]), "{arguments:?}: {found}");
            assert_eq!(found["repaired"], 0, "{found}");
        }
        stop.cancel();
    };
    tokio::join!(comparing, traffic(&source, &mut traffic_random, &stop));
    assert_eq!(daemon.terminate().await, Some(0));
    world.catch_up().await;
    super::oracle::assert_every_change_once(&world.history("orders").await, 0, &world.mirror().await, "orders");
    let (code, found) = verify(&world, &["--mode", "full"]).await;
    let documents = i64::try_from(live(&world.history("orders").await).len()).unwrap();
    assert_eq!((code, counts(&found)), (Some(0), [documents, 0, 0, 0, 0, 0]), "{found}");
}

#[tokio::test]
async fn changes_that_nobody_has_read_yet_are_pending_and_a_mirror_that_is_not_there_is_not_found() {
    let world = World::new(&[("orders", ALL_VERSIONS)], Target::Blobs).await;
    let source = world.source("orders");
    source.make(&["/pk"]).await;
    let finished = world.run(&["verify"]).await;
    assert_eq!(finished.code, Some(10), "{}", finished.err);
    for id in ["kept", "replaced", "deleted"] {
        put(&source, id, 1).await;
    }
    world.catch_up().await;
    world.emulator.advance(10).await;
    put(&source, "replaced", 2).await;
    put(&source, "created", 1).await;
    source.delete(KEY, "deleted").await;
    let (code, found) = verify(&world, &["--repair"]).await;
    assert_eq!((code, counts(&found)), (Some(0), [1, 0, 0, 0, 0, 3]), "{found}");
    let finished = world.run(&["verify", "--sample", "0"]).await;
    assert_eq!(finished.code, Some(2), "{}", finished.err);
}
