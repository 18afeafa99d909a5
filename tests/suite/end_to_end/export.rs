//! Exports of random histories, held against the emulator's own: what each holds, what a chain of them comes to, and that an interrupted one
//! goes on and comes to the same.

use std::collections::BTreeMap;

use jiff::Timestamp;
use rand::RngExt as _;
use rand::rngs::StdRng;
use serde_json::{Value, json};

use super::documents::{document, random};
use super::emulator::Change;
use super::oracle::{Name, by_document, live};
use super::traffic::{create, delete, replace};
use super::world::{ALL_VERSIONS, LATEST_VERSION, Target, World};

mod blobs;
mod crashes;
pub(super) mod files;
mod refusals;
mod states;

use files::{Exported, read};

/// The points at which an export dies.
pub(super) const POINTS: [&str; 4] =
    ["export-file-kept", "export-file-finished", "export-to-manifest", "export-manifest-kept"];

const DOCUMENTS: usize = 60;
const WRITES: usize = 150;
const MORE_WRITES: usize = 40;
const INCREMENTS: usize = 3;

/// An instant as it is given on the command line.
pub(super) fn instant(seconds: i64) -> String {
    Timestamp::from_second(seconds).unwrap().to_string()
}

/// The last second that the mirror covers.
pub(super) async fn until(world: &World, container: &str) -> i64 {
    world.complete_until(container).await.parse::<Timestamp>().unwrap().as_second()
}

/// Writes, deletes and creates again documents of every kind, some in one transaction, while time goes by; then mirrors all of it.
pub(super) async fn write(world: &World, random: &mut StdRng, container: &str, count: usize, generation: &mut usize) {
    let source = world.source(container);
    for _ in 0..count {
        *generation += 1;
        let number = random.random_range(0..DOCUMENTS);
        let mut sent = document(random, number, *generation);
        if random.random_bool(0.3) {
            // Line breaks between tokens, as a pretty printer leaves them.
            sent.text = format!("{{\r\n{}\n}}", &sent.text[1..sent.text.len() - 1]);
        }
        let history = world.history(container).await;
        let exists = live(&history).contains_key(&(sent.key.clone(), sent.id.clone()));
        let quoted = Value::from(sent.id.as_str()).to_string();
        let id = &quoted[1..quoted.len() - 1];
        match random.random_range(0..8) {
            0 | 1 if exists => source.delete(&sent.key, &sent.id).await,
            2 if exists => source.batch(&sent.key, &[delete(id), create(&sent.text)]).await,
            3 if !exists => {
                let twice = [create(&sent.text), replace(id, &sent.text), delete(id)];
                source.batch(&sent.key, &twice).await;
            }
            _ => source.put(&sent.key, &sent.text).await,
        }
        if random.random_bool(0.2) {
            world.emulator.advance(random.random_range(1..4)).await;
        }
    }
    world.emulator.advance(3).await;
    world.catch_up().await;
}

/// Documents as the feed delivered them, each on one line.
pub(super) fn held(history: &[Change], at: i64) -> BTreeMap<Name, String> {
    let then: Vec<Change> = history.iter().filter(|change| change.ts <= at).cloned().collect();
    live(&then).into_iter().map(|(name, text)| (name, text.replace(['\r', '\n'], " "))).collect()
}

/// A mirrored container with a random history.
pub(super) async fn mirrored(random: &mut StdRng, target: Target) -> World {
    let world = World::new(&[("orders", ALL_VERSIONS)], target).await;
    world.source("orders").make(&["/pk"]).await;
    world.catch_up().await;
    world.emulator.advance(10).await;
    write(&world, random, "orders", WRITES, &mut 0).await;
    world
}

/// Exports, and reads what was exported.
pub(super) async fn export(world: &World, at: i64, out: &str, more: &[&str]) -> (Value, Exported) {
    let told = world.json(&[&["export", "--at", &instant(at), "--out", out], more].concat()).await;
    let exported = read(&world.folder().join(out));
    let counts = |container: usize| {
        let lines = &exported.lines[container];
        let count = |op: &str| lines.iter().filter(|line| line.op == op).count();
        json!([
            count("put"),
            count("delete"),
            exported.manifest["containers"][container]["files"].as_array().unwrap().len()
        ])
    };
    for (number, container) in told["containers"].as_array().unwrap().iter().enumerate() {
        assert_eq!(json!([container["documents"], container["deletes"], container["files"]]), counts(number), "{told}");
    }
    assert_eq!((&told["id"], &told["at"]), (&exported.manifest["id"], &json!(at)), "{told}");
    (told, exported)
}

/// Every document that existed is there with the bytes of its version, and no other.
fn assert_is_what_was_held(exported: &Exported, history: &[Change], at: i64) {
    let held = held(history, at);
    assert_eq!(exported.documents(0), held);
    for line in &exported.lines[0] {
        let changes = &by_document(history)[&line.name.clone().unwrap()];
        let last = changes.iter().rfind(|change| change.ts <= at).unwrap();
        assert_eq!((line.ts, line.etag.as_deref()), (Some(last.ts), Some(last.etag.as_str())), "{line:?}");
    }
}

#[tokio::test]
async fn what_was_held_at_an_instant_is_exported_byte_for_byte_in_files_of_bounded_size() {
    let mut random = random();
    for (target, more) in
        [(Target::Blobs, &[][..]), (Target::Directory, &["--compress", "zstd"]), (Target::Snapshots, &[])]
    {
        let world = mirrored(&mut random, target).await;
        let history = world.history("orders").await;
        let until = until(&world, "orders").await;
        for number in 0..2 {
            let at = if number == 0 { until } else { random.random_range(history[0].ts..=until) };
            let out = format!("export{number}");
            let (_, exported) = export(&world, at, &out, &[more, &["--file-size", "8KiB"]].concat()).await;
            assert_is_what_was_held(&exported, &history, at);
            if number == 0 {
                assert!(exported.manifest["containers"][0]["files"].as_array().unwrap().len() > 1);
            }
            // The same again is done already, and nothing changes.
            let asked = instant(at);
            let asked = [&["export", "--at", &asked, "--out", &out, "--file-size", "8KiB"], more].concat();
            let again = world.run(&asked).await;
            assert_eq!(again.code, Some(0), "{}", again.err);
            assert!(again.err.contains("is there already"), "{}", again.err);
            assert_eq!(read(&world.folder().join(&out)), exported);
        }
    }
}

#[tokio::test]
async fn a_chain_of_exports_comes_to_what_a_full_one_holds() {
    let mut random = random();
    let world = mirrored(&mut random, Target::Blobs).await;
    let mut generation = WRITES;
    let mut at = until(&world, "orders").await;
    let (_, full) = export(&world, at, "export0", &[]).await;
    let mut documents = full.documents(0);
    let mut ids = vec![full.manifest["id"].clone()];
    for number in 1..=INCREMENTS {
        world.emulator.advance(2).await;
        write(&world, &mut random, "orders", MORE_WRITES, &mut generation).await;
        let earlier = at;
        at = until(&world, "orders").await;
        let (out, since) = (format!("export{number}"), format!("export{}", number - 1));
        let (told, increment) = export(&world, at, &out, &["--since", &since, "--file-size", "4KiB"]).await;
        assert_eq!(told["since"], *ids.last().unwrap());
        assert_eq!(increment.manifest["chain"], json!(ids));
        ids.push(increment.manifest["id"].clone());
        let history = world.history("orders").await;
        assert_only_what_changed(&increment, &history, (earlier, at));
        increment.applied_to(0, &mut documents);
        assert_eq!(documents, held(&history, at));
        let (_, full) = export(&world, at, &format!("full{number}"), &[]).await;
        assert_eq!(documents, full.documents(0));
    }
}

/// Which states are known changes from export to export: what was uncertain is known later, by a reconciliation or by the next change.
#[tokio::test]
async fn in_latest_version_mode_a_chain_comes_to_what_a_full_one_holds_too() {
    let mut random = random();
    let world = World::new(&[("orders", LATEST_VERSION)], Target::Blobs).await;
    world.source("orders").make(&["/pk"]).await;
    world.catch_up().await;
    let (mut generation, mut documents) = (0, BTreeMap::new());
    for number in 0..=INCREMENTS {
        world.emulator.advance(10).await;
        write(&world, &mut random, "orders", MORE_WRITES, &mut generation).await;
        if random.random_bool(0.5) {
            world.succeed(&["run", "--once", "--reconcile"]).await;
        }
        let at = until(&world, "orders").await;
        let known = ["--uncertain", "before", "--unknown", "before"];
        let (out, since) = (format!("export{number}"), format!("export{}", number.max(1) - 1));
        let onto = ["--since", &since];
        let more = [&known[..], if number == 0 { &[] } else { &onto }].concat();
        let (_, exported) = export(&world, at, &out, &more).await;
        exported.applied_to(0, &mut documents);
        let (_, full) = export(&world, at, &format!("full{number}"), &known).await;
        assert_eq!(documents, full.documents(0), "{number}");
    }
}

/// Of a document that is as it was there is no line, and a delete says when it happened.
fn assert_only_what_changed(increment: &Exported, history: &[Change], (from, to): (i64, i64)) {
    let (before, after) = (held(history, from), held(history, to));
    let mut expected: BTreeMap<Name, &str> = BTreeMap::new();
    for (name, changes) in by_document(history) {
        let changed = changes.iter().any(|change| from < change.ts && change.ts <= to);
        match (changed, before.contains_key(&name), after.contains_key(&name)) {
            (true, _, true) => drop(expected.insert(name, "put")),
            (_, true, false) => drop(expected.insert(name, "delete")),
            _ => {}
        }
    }
    let lines: BTreeMap<Name, &str> =
        increment.lines[0].iter().map(|line| (line.name.clone().unwrap(), line.op.as_str())).collect();
    assert_eq!(lines, expected);
    for line in increment.lines[0].iter().filter(|line| line.op == "delete") {
        let changes = &by_document(history)[line.name.as_ref().unwrap()];
        assert_eq!(line.ts, changes.iter().rfind(|change| change.ts <= to).map(|change| change.ts), "{line:?}");
    }
}

#[tokio::test]
async fn several_containers_are_exported_as_of_one_instant_and_their_source_is_not_needed() {
    let mut random = random();
    let world = World::new(&[("orders", ALL_VERSIONS), ("customers", ALL_VERSIONS)], Target::Blobs).await;
    for container in ["orders", "customers"] {
        world.source(container).make(&["/pk"]).await;
    }
    world.catch_up().await;
    world.emulator.advance(10).await;
    for container in ["orders", "customers"] {
        write(&world, &mut random, container, MORE_WRITES, &mut 0).await;
    }
    let at = until(&world, "orders").await.min(until(&world, "customers").await);
    // The account does not answer any more.
    world
        .emulator
        .control("faults", &json!({ "rules": [{ "service": "cosmos", "operation": "*", "status": 503 }] }))
        .await;
    let (_, exported) = export(&world, at, "both", &[]).await;
    world.emulator.control("faults", &json!({ "rules": [] })).await;
    for (number, container) in ["orders", "customers"].into_iter().enumerate() {
        assert_eq!(exported.manifest["containers"][number]["container"], container);
        assert_eq!(exported.documents(number), held(&world.history(container).await, at));
    }
    world.emulator.advance(2).await;
    write(&world, &mut random, "customers", MORE_WRITES, &mut 1_000).await;
    let later = until(&world, "orders").await.min(until(&world, "customers").await);
    let (_, increment) = export(&world, later, "more", &["--since", "both"]).await;
    assert!(increment.lines[0].is_empty() && !increment.lines[1].is_empty());
    let (_, one) = export(&world, at, "one", &["--source", "shop/customers"]).await;
    assert_eq!(one.lines[0], exported.lines[1]);
}

#[tokio::test]
async fn a_service_that_is_busy_or_loses_answers_changes_nothing_in_an_export() {
    let mut random = random();
    let world = mirrored(&mut random, Target::Blobs).await;
    let at = until(&world, "orders").await;
    let (_, undisturbed) = export(&world, at, "undisturbed", &[]).await;
    let fault = |operation: &str, more: Value| {
        let mut rule = more;
        rule["service"] = "blob".into();
        rule["operation"] = operation.into();
        rule["probability"] = 0.2.into();
        rule
    };
    let rules = [
        fault("get", json!({ "status": 503 })),
        fault("get", json!({ "action": "truncate" })),
        fault("get", json!({ "status": 429, "retryAfterMs": 20 })),
        fault("list", json!({ "status": 500 })),
        fault("list", json!({ "action": "reset" })),
    ];
    world.emulator.control("faults", &json!({ "rules": rules })).await;
    let (_, disturbed) = export(&world, at, "disturbed", &[]).await;
    assert_eq!((disturbed.comparable(), disturbed.lines), (undisturbed.comparable(), undisturbed.lines));
}
