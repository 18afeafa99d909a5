//! Imports of what was exported: elsewhere it is what a restore brings, a chain is what a full export is, and an interrupted import goes on.

use std::collections::BTreeMap;

use rand::RngExt as _;
use serde_json::{Value, json};

use super::cosmos::DATABASE;
use super::documents::random;
use super::emulator::Emulator;
use super::export::{export, instant, mirrored, until, write};
use super::oracle::{Name, live_as_sent};
use super::world::{ALL_VERSIONS, Finished, Target, World};

mod damage;
mod names;
mod plain;
mod policies;
mod progress;

/// The point at which an import dies.
pub(super) const POINTS: [&str; 1] = ["import-written"];

const INCREMENTS: usize = 3;

/// What a container holds, as it was sent, each document on one line.
async fn held(world: &World, container: &str) -> BTreeMap<Name, String> {
    let live = live_as_sent(&world.history(container).await).into_iter();
    live.map(|(name, text)| (name, text.replace(['\r', '\n'], " "))).collect()
}

/// The same as of an instant of its history.
async fn held_at(world: &World, container: &str, at: i64) -> BTreeMap<Name, String> {
    let then: Vec<_> = world.history(container).await.into_iter().filter(|change| change.ts <= at).collect();
    live_as_sent(&then).into_iter().map(|(name, text)| (name, text.replace(['\r', '\n'], " "))).collect()
}

async fn import(world: &World, arguments: &[&str]) -> Finished {
    world.run(&[&["-o", "json", "import", "--yes"], arguments].concat()).await
}

fn report(finished: &Finished) -> Value {
    serde_json::from_slice(&finished.out).unwrap_or_else(|_| panic!("{finished:?}"))
}

/// Imports into a container, which must go well, and gives the report.
async fn imported(world: &World, arguments: &[&str]) -> Value {
    let finished = import(world, arguments).await;
    assert_eq!(finished.code, Some(0), "{arguments:?}: {finished:?}");
    let left = super::export::files::file_names(world.folder());
    assert!(!left.iter().any(|name| name.ends_with(".progress") || name.contains("unfinished")), "{left:?}");
    report(&finished)
}

#[tokio::test]
async fn what_is_exported_and_imported_elsewhere_is_what_a_restore_brings_there() {
    let mut random = random();
    let world = mirrored(&mut random, Target::Blobs).await;
    let (first, last) = (world.history("orders").await[0].ts, until(&world, "orders").await);
    for round in 0..3 {
        let at = random.random_range(first..=last);
        let out = format!("export{round}");
        let compress = if round == 1 { "zstd" } else { "none" };
        export(&world, at, &out, &["--file-size", "8KiB", "--compress", compress]).await;
        let [restored, copied] = ["restored", "copied"].map(|name| format!("{name}{round}"));
        let into = format!("shop/{restored}");
        let finished =
            world.run(&["restore", "--all", "--at", &instant(at), "--into", &into, "--create", "--yes"]).await;
        assert!(matches!(finished.code, Some(0 | 10)), "{}", finished.err);
        let into = format!("shop/{copied}");
        let told = imported(&world, &[&out, "--into", &into, "--create"]).await;
        let copy = held(&world, &copied).await;
        assert_eq!(copy, held_at(&world, "orders", at).await);
        assert_eq!((&told["created"], &told["failed"]), (&json!(copy.len()), &json!(0)), "{told}");
        if finished.code == Some(0) {
            assert_eq!(copy, held(&world, &restored).await);
            let [one, other] = [world.source(&restored).settings().await, world.source(&copied).settings().await];
            for setting in ["partitionKey", "indexingPolicy", "uniqueKeyPolicy", "conflictResolutionPolicy"] {
                assert_eq!(one[setting], other[setting], "{setting}");
            }
        }
        let again = imported(&world, &[&out, "--into", &into]).await;
        assert_eq!((&again["unchanged"], &again["created"]), (&json!(copy.len()), &json!(0)), "{again}");
    }
}

#[tokio::test]
async fn a_chain_of_exports_imported_is_what_a_full_one_imported_is() {
    let mut random = random();
    let world = mirrored(&mut random, Target::Blobs).await;
    let mut generation = 1_000;
    let mut at = until(&world, "orders").await;
    export(&world, at, "export0", &["--file-size", "4KiB"]).await;
    let mut chain = vec!["export0".to_owned()];
    for number in 1..=INCREMENTS {
        world.emulator.advance(2).await;
        write(&world, &mut random, "orders", 30, &mut generation).await;
        at = until(&world, "orders").await;
        let out = format!("export{number}");
        let compress = if number == 2 { "zstd" } else { "none" };
        let since = chain.last().unwrap().clone();
        export(&world, at, &out, &["--since", &since, "--file-size", "4KiB", "--compress", compress]).await;
        chain.push(out);
    }
    let chain: Vec<&str> = chain.iter().map(String::as_str).collect();
    imported(&world, &[&chain[..], &["--into", "shop/chained", "--create"]].concat()).await;
    assert_eq!(held(&world, "chained").await, held_at(&world, "orders", at).await);
    // Into what the earlier exports brought, the chain brings the rest; what was deleted stays.
    imported(&world, &[&chain[..1], &["--into", "shop/stepwise", "--create"]].concat()).await;
    let before = held(&world, "stepwise").await;
    imported(&world, &[&chain[..], &["--into", "shop/stepwise"]].concat()).await;
    let mut expected = before;
    expected.extend(held(&world, "chained").await);
    assert_eq!(held(&world, "stepwise").await, expected);
}

#[tokio::test]
async fn an_export_of_several_containers_goes_into_those_of_the_same_names_in_another_account() {
    let mut random = random();
    let world = World::new(&[("orders", ALL_VERSIONS), ("customers", ALL_VERSIONS)], Target::Directory).await;
    for container in ["orders", "customers"] {
        world.source(container).make(&["/pk"]).await;
    }
    world.catch_up().await;
    world.emulator.advance(10).await;
    for container in ["orders", "customers"] {
        write(&world, &mut random, container, 20, &mut 0).await;
    }
    let at = until(&world, "orders").await.min(until(&world, "customers").await);
    export(&world, at, "both", &["--compress", "zstd"]).await;
    let other = Emulator::start().await;
    let account = format!("http://{}/", other.cosmos);
    let missing = import(&world, &["both", "--account", &account]).await;
    assert_eq!(missing.code, Some(10), "{missing:?}");
    imported(&world, &["both", "--account", &account, "--create"]).await;
    for container in ["orders", "customers"] {
        let there = live_as_sent(&other.history(DATABASE, container).await.unwrap()).into_iter();
        let there: BTreeMap<Name, String> = there.map(|(name, text)| (name, text.replace(['\r', '\n'], " "))).collect();
        assert_eq!(there, held_at(&world, container, at).await, "{container}");
    }
    let one = import(&world, &["both", "--into", "shop/copy", "--create"]).await;
    assert!(one.code == Some(2) && one.err.contains("--source"), "{one:?}");
}

#[tokio::test]
async fn an_import_that_dies_is_killed_or_cancelled_goes_on_to_the_same_end() {
    let mut random = random();
    let world = mirrored(&mut random, Target::Blobs).await;
    let at = until(&world, "orders").await;
    export(&world, at, "export", &[]).await;
    let expected = held_at(&world, "orders", at).await;
    world.source("copy").make(&["/pk"]).await;
    let asked = ["import", "export", "--into", "shop/copy", "--yes", "--concurrency", "3"];
    for round in 0..2 {
        let point = format!("{}:{}", POINTS[0], random.random_range(1..expected.len() / 4));
        println!("{point}");
        world.start_to_die(&point, &asked).died().await;
        let slow = json!({ "service": "cosmos", "operation": "item-write", "container": "copy", "delayMs": 30 });
        world.emulator.control("faults", &json!({ "rules": [slow] })).await;
        let importing = world.start(&asked);
        world.more_requests("cosmos", "item-write", random.random_range(1..4)).await;
        if round == 0 {
            importing.end().await;
        } else {
            assert_eq!(importing.terminate().await, Some(130));
        }
        world.emulator.control("faults", &json!({ "rules": [] })).await;
    }
    // The cancelled one said how far it is.
    let left = super::export::files::file_names(world.folder());
    let progress = left.iter().find(|name| name.ends_with(".progress")).expect("a cancelled import says how far it is");
    let other = ["never.ndjson", "--into", "shop/copy", "--progress", progress];
    std::fs::write(world.folder().join("never.ndjson"), "{\"id\":\"x\",\"pk\":\"x\"}\n").unwrap();
    let refused = import(&world, &other).await;
    assert!(refused.code == Some(2) && refused.err.contains("progress of another import"), "{}", refused.err);
    let told = imported(&world, &asked[1..4]).await;
    assert!(told["resumed"].as_u64().unwrap() > 0, "{told}");
    assert_eq!(held(&world, "copy").await, expected);
    // Every document was written once.
    assert_eq!(world.history("copy").await.len(), expected.len());
}

#[tokio::test]
async fn lost_answers_and_a_busy_service_change_nothing_in_what_is_imported() {
    let mut random = random();
    let world = mirrored(&mut random, Target::Directory).await;
    let at = until(&world, "orders").await;
    export(&world, at, "export", &[]).await;
    let expected = held_at(&world, "orders", at).await;
    let fault = |container: &str, mut rule: Value| {
        rule["service"] = "cosmos".into();
        rule["operation"] = "item-write".into();
        rule["container"] = container.into();
        rule
    };
    let rules = [
        ("lost", json!({ "action": "respond-then-reset", "probability": 0.4 })),
        ("busy", json!({ "status": 429, "retryAfterMs": 20, "probability": 0.5 })),
        ("down", json!({ "status": 503, "probability": 0.3 })),
    ];
    for (container, rule) in rules {
        world.source(container).make(&["/pk"]).await;
        world.emulator.control("faults", &json!({ "rules": [fault(container, rule)] })).await;
        let into = format!("shop/{container}");
        let told = imported(&world, &["export", "--into", &into]).await;
        world.emulator.control("faults", &json!({ "rules": [] })).await;
        assert_eq!(held(&world, container).await, expected, "{container}: {told}");
        assert_eq!(told["created"], json!(expected.len()), "{container}: {told}");
    }
    assert!(world.emulator.history(DATABASE, "lost").await.unwrap().len() == expected.len());
}
