//! Everything is lost but the mirror: the daemon, its leases, the source container, the configuration file. From the mirror alone, which
//! is only read, a container comes back in a new account and equals the old one.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

use super::cosmos::{DATABASE, Source};
use super::documents::{Document, document, random};
use super::emulator::Emulator;
use super::hostile_names;
use super::mirror::CONTAINER;
use super::oracle::{Name, live_as_sent};
use super::wire::account_sas;
use super::world::{ALL_VERSIONS, LATEST_VERSION, Target, World};

const DOCUMENTS: usize = 40;

/// The container as it was before it was lost.
struct Old {
    held: BTreeMap<Name, String>,
    settings: Value,
    at: String,
}

/// The settings that tell containers apart; the rest is the service's.
fn own(settings: &Value) -> Value {
    let names = ["partitionKey", "defaultTtl", "uniqueKeyPolicy", "indexingPolicy", "conflictResolutionPolicy"];
    names.iter().map(|name| ((*name).to_owned(), settings[*name].clone())).collect::<Map<_, _>>().into()
}

/// Documents of a hierarchical key, each unique by a number.
fn documents(rounds: usize) -> Vec<Document> {
    let mut random = random();
    let mut documents: Vec<Document> = (0..DOCUMENTS).map(|number| document(&mut random, number, rounds)).collect();
    documents.extend(hostile_names::documents().0);
    for (number, document) in documents.iter_mut().enumerate() {
        let user = format!("u/☃ {}", number % 3);
        let key: Vec<Value> = serde_json::from_str(&document.key).unwrap();
        document.key = Value::from([key, vec![json!(user)]].concat()).to_string();
        document.text = document.text.replacen('{', &format!("{{\"user\":{},\"unique\":{number},", json!(user)), 1);
    }
    documents
}

/// A container with settings of its own, and random traffic that a daemon mirrors.
async fn mirrored(world: &World) -> Old {
    let source = world.source("orders");
    let more = json!({
        "defaultTtl": 1_000_000,
        "uniqueKeyPolicy": { "uniqueKeys": [{ "paths": ["/unique"] }] },
        "indexingPolicy": { "indexingMode": "consistent", "automatic": true, "includedPaths": [{ "path": "/*" }],
            "excludedPaths": [{ "path": "/long/?" }] },
    });
    let more = more.as_object().unwrap().clone();
    source.make_with(&["/pk", "/user"], more.clone()).await;
    let documents = documents(0);
    for Document { key, text, .. } in &documents {
        source.put(key, text).await;
    }
    world.catch_up().await;
    world.emulator.advance(5).await;
    for (place, Document { key, id, text }) in documents.iter().enumerate() {
        match place % 4 {
            0 => source.delete(key, id).await,
            1 => source.put(key, &text.replacen('{', "{\"changed\":1e5,", 1)).await,
            _ => {}
        }
    }
    let daemon = world.start(&["run"]);
    world.more_requests("cosmos", "feed", 20).await;
    assert_eq!(daemon.terminate().await, Some(0));
    world.emulator.advance(5).await;
    world.catch_up().await;
    let held = live_as_sent(&world.history("orders").await);
    assert!(held.len() > DOCUMENTS / 2);
    let settings = source.settings().await;
    for (name, value) in &more {
        assert!(!settings[name].is_null(), "{name} {value}: {settings}");
    }
    Old { held, settings, at: world.complete_until("orders").await }
}

/// Nothing is left but the mirror.
async fn lose_everything(world: &mut World) {
    for container in ["orders", "leases"] {
        world.source(container).remove().await;
    }
    std::fs::remove_file(world.folder().join("cosmirror.toml")).unwrap();
    let identity = world.has_variable("COSMIRROR_IDENTITY").then(|| world.variable_of("COSMIRROR_IDENTITY"));
    world.unset("COSMIRROR_");
    if let Some(identity) = identity {
        world.variable("COSMIRROR_IDENTITY", &identity);
    }
}

/// Where the mirror is.
fn place(world: &World, target: Target) -> String {
    match target {
        Target::Directory => world.folder().join("mirror").to_str().unwrap().to_owned(),
        Target::Blobs | Target::Snapshots => format!("{}/{CONTAINER}", world.emulator.blob_endpoint()),
    }
}

/// Restores everything into the container of the same name in a new account, and compares.
async fn brought_back(world: &World, mirror: &str, old: &Old) {
    let asked = world.emulator.requests("cosmos", "*", "*").await;
    let new = Emulator::start().await;
    let account = format!("http://{}/", new.cosmos);
    let run = async |arguments: &[&str]| world.run(&[&["--mirror", mirror], arguments].concat()).await;
    let plan = ["restore", "plan", "--all", "--at", &old.at, "--into", "shop/orders", "-f", "lost.plan"];

    // Which account is nobody's guess, and a container that is not there is created only when that is said.
    let refused = run(&plan).await;
    assert!(refused.code == Some(2) && refused.err.contains("--account"), "{}", refused.err);
    let refused = run(&[&plan[..], &["--account", &account]].concat()).await;
    assert!(refused.code == Some(10) && refused.err.contains("--create"), "{}", refused.err);
    let planned = run(&[&plan[..], &["--account", &account, "--create", "-o", "json"]].concat()).await;
    assert_eq!(planned.code, Some(0), "{}", planned.err);
    let counts: Value = serde_json::from_slice(&planned.out).unwrap();
    assert_eq!(counts["plan"]["create"], old.held.len(), "{counts}");
    assert_eq!([&counts["plan"]["unknown"], &counts["plan"]["uncertain"]], [0, 0], "{counts}");
    assert!(new.history(DATABASE, "orders").await.is_none(), "a plan writes nothing");
    let refused = run(&["restore", "apply", "lost.plan", "--yes", "--account", "http://127.0.0.1:1/"]).await;
    assert!(refused.code == Some(2) && refused.err.contains("account"), "{}", refused.err);

    let applied = run(&["restore", "apply", "lost.plan", "--yes", "--account", &account]).await;
    assert_eq!(applied.code, Some(0), "{}", applied.err);
    let restored = new.history(DATABASE, "orders").await.unwrap();
    assert_eq!(live_as_sent(&restored), old.held);
    let settings = Source { emulator: &new, container: "orders" }.settings().await;
    assert_eq!(own(&settings), own(&old.settings));

    // Once more there is nothing to do: the container is known to be another one than the lost one of the same name.
    let elsewhere = ["--into", "shop/orders", "--account", &account, "--dry-run", "-o", "json"];
    let again = run(&[&["restore", "--all", "--at", &old.at], &elsewhere[..]].concat()).await;
    let again: Value = serde_json::from_slice(&again.out).unwrap();
    let counts = &again["plan"];
    assert_eq!([&counts["unchanged"], &counts["extra"]], [&json!(old.held.len()), &json!(0)], "{again}");
    assert_eq!(world.emulator.requests("cosmos", "*", "*").await, asked, "the lost account was asked");
}

/// Every command that only reads a mirror does so without anything else.
async fn looked_at(world: &World, mirror: &str, old: &Old) {
    let asked = world.emulator.requests("cosmos", "*", "*").await;
    let json = async |arguments: &[&str]| world.json(&[&["--mirror", mirror], arguments].concat()).await;
    let status = json(&["status"]).await["containers"][0].clone();
    assert_eq!([&status["database"], &status["container"]], ["shop", "orders"], "{status}");
    assert_eq!(status["restorable_until"], old.at, "{status}");
    assert_eq!([&status["lag_seconds"], &status["pending_changes"]], [&Value::Null, &Value::Null], "{status}");
    assert!(status["note"].as_str().unwrap().contains("not asked") && status["holes"] == json!([]), "{status}");
    let ((key, id), _) = old.held.iter().next().unwrap();
    let document = ["--pk-json", key.as_str(), "--", id.as_str()];
    let history = json(&[&["history"], &document[..]].concat()).await;
    let versions = history["versions"].as_array().unwrap();
    assert!(!versions.is_empty() && versions.iter().all(|version| version["generation"] == versions[0]["generation"]));
    for at in [&["show", "--at", &old.at][..], &["show"]] {
        let shown = json(&[at, &document].concat()).await;
        assert_eq!(shown["id"], **id, "{at:?}");
    }
    let live = world.run(&[&["--mirror", mirror, "diff", "--to", "live"], &document[..]].concat()).await;
    assert!(live.code == Some(2) && live.err.contains("account"), "{}", live.err);
    assert_eq!(json(&["gaps", "list"]).await, json!({ "gaps": [] }));
    assert_eq!(json(&["dead-letters", "list", "--source", "shop/orders"]).await["dead_letters"], json!([]));
    let checks = json(&["check"]).await["checks"].clone();
    let of_mirror = checks.as_array().unwrap().iter().find(|check| check["name"] == "container.mirror").unwrap();
    assert!(of_mirror["status"] == "ok" && of_mirror["detail"].as_str().unwrap().contains(&old.at), "{checks}");
    for refused in
        [&["verify"][..], &["dead-letters", "replay", "--all"], &["run", "--once"], &["status", "--max-lag", "5m"]]
    {
        let refused = world.run(&[&["--mirror", mirror], refused].concat()).await;
        assert!(refused.code == Some(2) && refused.err.contains("remedy"), "{}", refused.err);
    }
    let missing = world.run(&["--mirror", mirror, "history", "x", "--source", "shop/others"]).await;
    assert!(missing.code == Some(2) && missing.err.contains("shop/orders"), "{}", missing.err);
    assert_eq!(world.emulator.requests("cosmos", "*", "*").await, asked, "the lost account was asked");
}

/// What is lost comes back from where the mirror is.
async fn survived(mut world: World, target: Target) {
    let old = mirrored(&world).await;
    lose_everything(&mut world).await;
    let mirror = place(&world, target);
    let before = world.closed_mirror().await;
    looked_at(&world, &mirror, &old).await;
    assert_eq!(world.closed_mirror().await, before, "looking writes nothing");
    brought_back(&world, &mirror, &old).await;
}

#[tokio::test]
async fn blobs_bring_a_lost_container_back_into_a_new_account() {
    survived(World::new(&[("orders", ALL_VERSIONS)], Target::Blobs).await, Target::Blobs).await;
}

#[tokio::test]
async fn a_directory_brings_a_lost_container_back_into_a_new_account() {
    survived(World::new(&[("orders", ALL_VERSIONS)], Target::Directory).await, Target::Directory).await;
}

/// That history is in snapshots shows in the mirror.
#[tokio::test]
async fn snapshots_bring_a_lost_container_back_into_a_new_account() {
    survived(World::new(&[("orders", ALL_VERSIONS)], Target::Snapshots).await, Target::Snapshots).await;
}

#[tokio::test]
async fn an_encrypted_mirror_and_its_key_bring_a_lost_container_back_into_a_new_account() {
    let world = World::encrypted(&[("orders", ALL_VERSIONS)], Target::Blobs).await;
    survived(world, Target::Blobs).await;
}

#[tokio::test]
async fn a_credential_that_reads_and_lists_is_enough_and_the_mirror_is_not_touched() {
    let mut world = World::new(&[("orders", ALL_VERSIONS)], Target::Blobs).await;
    let old = mirrored(&world).await;
    lose_everything(&mut world).await;
    let (mirror, sas) = (place(&world, Target::Blobs), world.folder().join("sas"));
    std::fs::write(&sas, account_sas("sco", "rl")).unwrap();
    world.set("TARGET__AUTH", "sas");
    world.set("TARGET__SAS_FILE", sas.to_str().unwrap());
    let (before, put) = (world.closed_mirror().await, world.emulator.requests("blob", "put", "201").await);
    brought_back(&world, &mirror, &old).await;
    assert_eq!(world.closed_mirror().await, before);
    assert_eq!(world.emulator.requests("blob", "put", "201").await, put);
    // The signature in the URL is refused, and not repeated.
    let token = account_sas("sco", "rl");
    let refused = world.run(&["--mirror", &format!("{mirror}?{token}"), "status"]).await;
    let signature = token.split("sig=").nth(1).unwrap();
    assert!(refused.code == Some(2) && refused.err.contains("COSMIRROR_TARGET_SAS"), "{}", refused.err);
    assert!(!refused.err.contains(signature), "{}", refused.err);
}

/// What an earlier life of the container held comes back with the life's own documents and no others, although both share their names.
#[tokio::test]
async fn an_earlier_generation_comes_back_from_the_mirror_alone() {
    let mut world = World::new(&[("orders", LATEST_VERSION)], Target::Blobs).await;
    let put = async |world: &World, life: usize, ids: &[&str]| {
        for id in ids {
            let text = json!({ "id": id, "pk": "p", "life": life }).to_string();
            world.source("orders").put("[\"p\"]", &text).await;
        }
    };
    world.source("orders").make(&["/pk"]).await;
    put(&world, 1, &["a", "b"]).await;
    world.succeed(&["run", "--once", "--reconcile"]).await;
    world.emulator.advance(5).await;
    world.succeed(&["run", "--once", "--reconcile"]).await;
    let (first, at_first) = (live_as_sent(&world.history("orders").await), world.complete_until("orders").await);
    world.emulator.advance(60).await;
    world.source("orders").remove().await;
    world.source("orders").make(&["/pk"]).await;
    put(&world, 2, &["b", "c"]).await;
    world.succeed(&["run", "--once", "--reconcile"]).await;
    world.emulator.advance(5).await;
    world.succeed(&["run", "--once", "--reconcile"]).await;
    let (second, at_second) = (live_as_sent(&world.history("orders").await), world.complete_until("orders").await);
    lose_everything(&mut world).await;
    let mirror = place(&world, Target::Blobs);
    let new = Emulator::start().await;
    let account = format!("http://{}/", new.cosmos);
    for (into, at, held) in [("first", &at_first, &first), ("second", &at_second, &second)] {
        let name = format!("rescued/{into}");
        let restore = ["restore", "--all", "--at", at, "--into", &name, "--create", "--account", &account, "--yes"];
        world.succeed(&[&["--mirror", mirror.as_str()], &restore[..]].concat()).await;
        assert_eq!(live_as_sent(&new.history("rescued", into).await.unwrap()), *held, "{into}");
    }
    let status = world.json(&["--mirror", &mirror, "status"]).await["containers"][0].clone();
    assert_eq!(status["recreated"].as_array().unwrap().len(), 1, "{status}");
    let text = |out: Vec<u8>| String::from_utf8(out).unwrap();
    let status = text(world.succeed(&["--mirror", &mirror, "status"]).await);
    assert!(status.contains("created anew") && status.contains("not asked"), "{status}");
    // A document of both lives: its versions are told apart, and compared by their names.
    let history = world.json(&["--mirror", &mirror, "history", "b", "--pk", "p"]).await;
    let versions = history["versions"].as_array().unwrap();
    assert_eq!(versions.len(), 2, "{history}");
    assert_ne!(versions[0]["generation"], versions[1]["generation"]);
    let table = text(world.succeed(&["--mirror", &mirror, "history", "b", "--pk", "p"]).await);
    assert!(table.contains("GENERATION") && table.contains("created anew"), "{table}");
    let names: Vec<&str> = versions.iter().map(|version| version["version"].as_str().unwrap()).collect();
    let differ =
        world.run(&["--mirror", &mirror, "diff", "b", "--pk", "p", "--from", names[0], "--to", names[1]]).await;
    assert!(differ.code == Some(1) && text(differ.out).contains("life: 1 -> 2"));
    let gone = world.run(&["--mirror", &mirror, "show", "a", "--pk", "p"]).await;
    assert!(gone.code == Some(10) && gone.err.contains("created again"), "{}", gone.err);
}

/// A container that was deleted by mistake comes back under its own name in its own account, and a mirror of several containers knows each.
#[tokio::test]
async fn a_deleted_container_is_created_again_in_its_own_account() {
    let mut world = World::new(&[("orders", ALL_VERSIONS), ("people", ALL_VERSIONS)], Target::Blobs).await;
    for container in ["orders", "people"] {
        world.source(container).make(&["/pk"]).await;
        world.source(container).put("[\"p\"]", r#"{"id":"d","pk":"p","total":1.10}"#).await;
    }
    world.emulator.advance(5).await;
    world.catch_up().await;
    let (held, at) = (live_as_sent(&world.history("orders").await), world.complete_until("orders").await);
    world.source("orders").remove().await;
    let restore =
        ["restore", "--all", "--at", &at, "--source", "shop/orders", "--into", "shop/orders", "--create", "--yes"];
    let mirror = place(&world, Target::Blobs);
    world.unset("COSMIRROR_");
    let unclear = world.run(&["--mirror", &mirror, "history", "d"]).await;
    assert!(unclear.code == Some(2) && unclear.err.contains("shop/orders, shop/people"), "{}", unclear.err);
    world.succeed(&restore).await;
    assert_eq!(live_as_sent(&world.history("orders").await), held);
}

#[tokio::test]
async fn what_is_no_mirror_is_told_with_what_to_do() {
    let world = World::new(&[("orders", ALL_VERSIONS)], Target::Directory).await;
    world.source("orders").make(&["/pk"]).await;
    world.catch_up().await;
    let folder = world.folder().to_str().unwrap().to_owned();
    for (place, code, part) in [
        (format!("{folder}/nowhere"), 10, "does not exist"),
        (folder.clone(), 10, "container.json"),
        (format!("{folder}/mirror/shop"), 10, "last name"),
        (format!("{folder}/mirror/shop/orders"), 10, "last two names"),
        (format!("{}/{CONTAINER}", world.emulator.blob_endpoint()), 10, "remedy"),
        ("https://user:SECRET@store.blob.core.windows.net/mirror".to_owned(), 2, "password"),
        ("store.blob.core.windows.net/mirror".to_owned(), 2, "https://"),
        (String::new(), 2, "empty"),
    ] {
        let refused = world.run(&["--mirror", &place, "status"]).await;
        assert!(
            refused.code == Some(code) && refused.err.contains(part),
            "{place}: {:?} {}",
            refused.code,
            refused.err
        );
        assert!(!refused.err.contains("SECRET"), "{}", refused.err);
    }
    let both = world.run(&["--mirror", &folder, "--target", "first", "status"]).await;
    assert!(both.code == Some(2) && both.err.contains("leave one"), "{}", both.err);
}
