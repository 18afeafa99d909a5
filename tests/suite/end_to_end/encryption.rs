//! Content that is encrypted to keys: readable nowhere but with them, whole with them, and all that needs no key goes on without one.

use std::path::Path;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use super::cosmos::DATABASE;
use super::crash_points::{assert_goes_on, changes, die_at};
use super::dead_letters::{letters, refuse, take_again};
use super::directory::held_and_given_back;
use super::eventually;
use super::mirror::Mirror;
use super::observer::admins;
use super::oracle::{assert_every_change_once, assert_latest_versions, live_as_sent};
use super::restore_apply::Spoilt;
use super::world::{ALL_VERSIONS, Finished, LATEST_VERSION, Target, World};

mod keys;

/// In every document, and nowhere else.
const PLANTED: &str = "flamingo-7731-diagnosis";
const ORDERS: [(&str, &str); 1] = [("orders", ALL_VERSIONS)];
const TOKEN: &str = "0123456789abcdef-of-a-test";
/// A daemon dies before and behind a put, behind a page, and before and behind a dead letter.
const POINTS: [&str; 5] = ["version-to-put:3", "version-put", "version-put:9", "page-durable", "position-moved"];

fn document(id: &str, step: u32) -> String {
    json!({ "id": id, "pk": "p", "step": step, "text": format!("{PLANTED} {step}") }).to_string()
}

/// What is planted, as it is, and within base64 at any of its three places.
fn forms() -> Vec<Vec<u8>> {
    let encoded = (0..3).map(|shift| {
        let text = STANDARD.encode([&vec![b' '; shift], PLANTED.as_bytes()].concat());
        // The characters at both ends depend on what stands beside.
        text.as_bytes()[4..text.len() - 4].to_vec()
    });
    std::iter::once(PLANTED.as_bytes().to_vec()).chain(encoded).collect()
}

fn holds(bytes: &[u8], forms: &[Vec<u8>]) -> bool {
    forms.iter().any(|form| bytes.windows(form.len()).any(|window| window == form))
}

/// Files of the folder and beneath that hold what is planted.
fn files(folder: &Path, forms: &[Vec<u8>]) -> Vec<String> {
    let entries = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    let found = entries.flat_map(|path| match path.is_dir() {
        true => files(&path, forms),
        false => Vec::from_iter(holds(&std::fs::read(&path).unwrap(), forms).then(|| path.display().to_string())),
    });
    found.collect()
}

/// Blobs of which a version or its metadata hold what is planted.
fn blobs<'m>(mirror: &'m Mirror, forms: &[Vec<u8>]) -> Vec<&'m String> {
    let plain = mirror.iter().filter(|(_, versions)| {
        let parts = versions.iter().flat_map(|stored| {
            stored.metadata.values().map(String::as_bytes).chain(std::iter::once(stored.body.as_slice()))
        });
        parts.into_iter().any(|bytes| holds(bytes, forms))
    });
    plain.map(|(name, _)| name).collect()
}

/// What is planted is in no blob and in no file that the program left, its log among them.
async fn assert_readable_nowhere(world: &World) {
    let forms = forms();
    let mirror = world.closed_mirror().await;
    assert!(mirror.keys().any(|name| name.contains("/documents/")));
    assert_eq!(blobs(&mirror, &forms), Vec::<&String>::new());
    assert_eq!(files(world.folder(), &forms), Vec::<String>::new());
}

/// Documents that were spoilt after an instant, one of them deleted, and some that the target refused for a while. Gives the instant.
async fn spoilt(world: &World) -> String {
    let source = world.source("orders");
    source.make(&["/pk"]).await;
    for id in ["changed", "deleted", "same"] {
        source.put(r#"["p"]"#, &document(id, 0)).await;
    }
    world.catch_up().await;
    let at = world.complete_until("orders").await;
    world.emulator.advance(5).await;
    refuse(world, "/refused.json").await;
    source.put(r#"["p"]"#, &document("changed", 1)).await;
    source.delete(r#"["p"]"#, "deleted").await;
    source.put(r#"["p"]"#, &document("refused", 1)).await;
    world.catch_up().await;
    assert_eq!(letters(world).await.len(), 1);
    at
}

fn is_refused(finished: &Finished) -> bool {
    finished.code == Some(12) && finished.err.contains("--identity") && !finished.err.contains(PLANTED)
}

#[tokio::test]
async fn content_is_readable_nowhere_and_comes_back_with_the_key() {
    let mut world = World::encrypted(&ORDERS, Target::Blobs).await;
    let temporary = world.folder().join("temporary");
    std::fs::create_dir(&temporary).unwrap();
    world.variable("TMPDIR", temporary.to_str().unwrap());
    let at = spoilt(&world).await;
    let held = world.history("orders").await;
    let held: Vec<_> = held.into_iter().take(3).collect();
    let daemon = world.start(&["-v", "run"]);
    world.source("orders").put(r#"["p"]"#, &document("followed", 2)).await;
    eventually("the change is mirrored", async || {
        world.closed_mirror().await.keys().any(|name| name.ends_with("/followed.json")).then_some(())
    })
    .await;
    assert_eq!(daemon.terminate().await, Some(0));
    assert_readable_nowhere(&world).await;

    let name = letters(&world).await[0]["name"].as_str().unwrap().to_owned();
    let raw = world.succeed(&["dead-letters", "show", "--raw", &name]).await;
    assert!(String::from_utf8(raw).unwrap().contains(PLANTED));
    take_again(&world).await;
    assert_eq!(world.json(&["dead-letters", "replay", "--all"]).await["stored"], 1);
    assert_every_change_once(
        &world.history("orders").await,
        3,
        &super::dead_letters::without_letters(&world).await,
        "orders",
    );

    let begin = live_as_sent(&world.history("orders").await);
    world.succeed(&["restore", "plan", "--all", "--at", &at, "--delete-extra", "-f", "a.plan"]).await;
    world.succeed(&["restore", "apply", "a.plan", "--yes"]).await;
    assert_eq!(live_as_sent(&world.history("orders").await), live_as_sent(&held));
    assert_readable_nowhere(&world).await;
    world.succeed(&["restore", "apply", "a.plan.undo", "--yes"]).await;
    assert_eq!(live_as_sent(&world.history("orders").await), begin);
    world.catch_up().await;
    for mode in ["presence", "hash", "full"] {
        world.succeed(&["verify", "--mode", mode]).await;
    }
    assert_readable_nowhere(&world).await;
    assert!(holds(&world.succeed(&["show", "changed"]).await, &forms()), "the search finds what there is to find");
}

#[tokio::test]
async fn without_the_key_nothing_is_read_or_written_and_all_that_needs_none_goes_on() {
    let mut world = World::encrypted(&ORDERS, Target::Blobs).await;
    let at = spoilt(&world).await;
    let name = letters(&world).await[0]["name"].as_str().unwrap().to_owned();
    world.succeed(&["restore", "plan", "--all", "--at", &at, "-f", "a.plan"]).await;
    let other = world.make_key("other");
    world.unset("COSMIRROR_IDENTITY");
    let (before, stored) = (world.history("orders").await, world.closed_mirror().await);
    let files = || std::fs::read_dir(world.folder()).unwrap().map(|entry| entry.unwrap().path()).collect::<Vec<_>>();
    let there = files();
    let commands: [&[&str]; 8] = [
        &["show", "changed"],
        &["show", "changed", "--raw", "--at", &at],
        &["diff", "changed"],
        &["restore", "--all", "--at", &at, "--yes"],
        &["restore", "plan", "--all", "--at", &at, "-f", "b.plan"],
        &["restore", "apply", "a.plan", "--yes"],
        &["verify", "--mode", "full"],
        &["dead-letters", "show", "--raw", &name],
    ];
    for command in commands {
        for identity in [&[][..], &["--identity", other.file.as_str()]] {
            let refused = world.run(&[command, identity].concat()).await;
            assert!(is_refused(&refused), "{command:?} {identity:?}: {refused:?}");
        }
    }
    assert_eq!(world.history("orders").await.len(), before.len());
    assert_eq!(world.closed_mirror().await, stored);
    assert_eq!(files(), there, "no plan and no undo file was begun");
    let without: [&[&str]; 7] = [
        &["status"],
        &["history", "changed"],
        &["gaps", "list"],
        &["dead-letters", "list"],
        &["dead-letters", "replay", "--all", "--dry-run"],
        &["verify", "--mode", "hash"],
        &["check", "--offline"],
    ];
    for command in without {
        world.succeed(command).await;
    }
    let history = world.json(&["history", "changed"]).await;
    assert!(history["versions"][0]["encryption"].as_str().unwrap().starts_with("age:"), "{history}");
    // What was refused is stored as it was encrypted, by whoever has no key.
    take_again(&world).await;
    assert_eq!(world.json(&["dead-letters", "replay", "--all"]).await["stored"], 1);
    assert_every_change_once(&before, 3, &super::dead_letters::without_letters(&world).await, "orders");
}

#[tokio::test]
async fn a_daemon_that_dies_anywhere_stores_no_version_twice_although_none_has_the_same_bytes_again() {
    let world = World::encrypted(&ORDERS, Target::Blobs).await;
    let seed = json!({ "database": DATABASE, "container": "orders", "count": 0, "partitions": 2 });
    world.emulator.control("seed", &seed).await;
    world.catch_up().await;
    for (round, point) in POINTS.into_iter().enumerate() {
        println!("{point}");
        changes(&world, round).await;
        die_at(&world, point, &["run"]).await;
        assert_goes_on(&world, 0).await;
    }
    let rule = json!({ "service": "blob", "operation": "put", "probability": 0.3, "path": "/documents/", "action": "respond-then-reset" });
    world.emulator.control("faults", &json!({ "rules": [rule] })).await;
    changes(&world, POINTS.len()).await;
    world.catch_up().await;
    take_again(&world).await;
    assert_goes_on(&world, 0).await;
}

#[tokio::test]
async fn a_restore_of_encrypted_content_that_dies_goes_on_and_is_undone() {
    let mut world = World::encrypted(&ORDERS, Target::Blobs).await;
    let key = world.make_key("second");
    world.set("TARGET__RECIPIENTS__1", &key.public);
    let mut spoilt = Spoilt::of(world).await;
    // The other of the two keys does as well.
    spoilt.world.unset("COSMIRROR_IDENTITY");
    spoilt.world.variable("COSMIRROR_IDENTITY", &key.file);
    for point in ["undo-durable:3", "document-restored:2", "undo-completed:5"] {
        println!("{point}");
        spoilt.plan(&[]).await;
        spoilt.world.start_to_die(point, &["restore", "apply", "a.plan", "--yes", "--concurrency", "4"]).died().await;
        let report = spoilt.finish().await;
        assert_eq!(report["applied"], json!({ "create": 8, "replace": 8, "delete": 8 }), "{report}");
        let undo = std::fs::read_to_string(spoilt.world.folder().join("a.plan.undo")).unwrap();
        assert!(undo.contains("ciphertext") && !undo.contains("spoilt"), "{undo}");
        spoilt.undo().await;
        spoilt.world.catch_up().await;
    }
}

#[tokio::test]
async fn a_directory_holds_encrypted_content_and_gives_it_back() {
    held_and_given_back(&World::encrypted(&ORDERS, Target::Directory).await).await;
}

#[tokio::test]
async fn snapshots_hold_encrypted_content_and_give_it_back() {
    held_and_given_back(&World::encrypted(&ORDERS, Target::Snapshots).await).await;
}

#[tokio::test]
async fn a_reconciliation_needs_no_key_and_what_it_stores_is_encrypted() {
    let mut world = World::encrypted(&[("orders", LATEST_VERSION)], Target::Directory).await;
    let source = world.source("orders");
    source.make(&["/pk"]).await;
    for id in ["kept", "gone", "changed"] {
        source.put(r#"["p"]"#, &document(id, 0)).await;
    }
    world.unset("COSMIRROR_IDENTITY");
    world.catch_up().await;
    world.emulator.advance(10).await;
    let source = world.source("orders");
    source.delete(r#"["p"]"#, "gone").await;
    source.put(r#"["p"]"#, &document("changed", 1)).await;
    source.put(r#"["p"]"#, &document("new", 1)).await;
    world.emulator.advance(10).await;
    world.succeed(&["run", "--once", "--reconcile"]).await;
    world.emulator.advance(10).await;
    world.catch_up().await;
    // What the mirror has lost is found and stored again.
    std::fs::remove_dir_all(world.folder().join("mirror/shop/orders/documents/p/kept.json")).unwrap();
    let lost = world.run(&["-o", "json", "verify", "--mode", "hash"]).await;
    assert_eq!(lost.code, Some(4), "{}", lost.err);
    assert_eq!(world.json(&["verify", "--repair"]).await["repaired"], 1);
    assert_eq!(world.json(&["verify", "--mode", "hash"]).await["equal"], 3);
    assert_readable_nowhere(&world).await;
    let mut mirror = world.mirror().await;
    let gone = mirror.get_mut(&format!("{DATABASE}/orders/documents/p/gone.json")).unwrap();
    let tombstone = gone.pop().unwrap();
    assert_eq!((tombstone.field("etag"), tombstone.field("encryption"), tombstone.body.len()), (None, None, 0));
    gone.last_mut().unwrap().current = true;
    let deleted = world.history("orders").await.into_iter().filter(|change| change.document.is_some());
    assert_latest_versions(&Vec::from_iter(deleted), &mirror, "orders");
}

#[tokio::test]
async fn the_page_and_the_jobs_of_a_daemon_say_that_they_have_no_key() {
    let mut world = World::encrypted(&ORDERS, Target::Blobs).await;
    for (setting, value) in [("ADMIN__BROWSE", "true"), ("ADMIN__JOBS", "true")] {
        world.set(setting, value);
    }
    world.variable("COSMIRROR_ADMIN_TOKEN", TOKEN);
    spoilt(&world).await;
    let daemon = world.start(&["run"]);
    let admin = admins(&daemon, 1).await.remove(0);
    let ask = async |path: &str, more: &[(&str, &str)]| {
        let named = [("container", "shop/orders"), ("id", "changed"), ("pk", r#"["p"]"#)];
        get(&world, &admin, path, &[&named[..], more].concat()).await
    };
    let (status, history) = ask("browse/history", &[]).await;
    assert_eq!(status, 200, "{history}");
    let [first, last] = [0, 1].map(|at| history["versions"][at]["version"].as_str().unwrap().to_owned());
    let (status, shown) = ask("browse/version", &[("version", &last)]).await;
    assert_eq!((status, &shown["text"], &shown["exists"]), (200, &json!(""), &json!(true)), "{shown}");
    assert!(shown["encryption"].as_str().unwrap().starts_with("age:"), "{shown}");
    let (status, refused) = ask("browse/diff", &[("from", &first), ("to", &last)]).await;
    assert_eq!(status, 403, "{refused}");
    assert!(refused["error"]["remedy"].as_str().unwrap().contains("--identity"), "{refused}");
    let (status, refused) = eventually("there are jobs", async || {
        let (status, answer) = job(&world, &admin, "full").await;
        (status != 503).then_some((status, answer))
    })
    .await;
    assert_eq!((status, &refused["error"]["code"]), (409, &json!("encrypted")), "{refused}");
    let (status, begun) = job(&world, &admin, "hash").await;
    assert_eq!(status, 202, "{begun}");
    let path = format!("jobs/{}", begun["id"].as_str().unwrap());
    let ended = eventually("the job has ended", async || {
        let (_, job) = get(&world, &admin, &path, &[]).await;
        job["ended"].is_string().then_some(job)
    })
    .await;
    assert_eq!((&ended["state"], &ended["drift"]), (&json!("succeeded"), &json!(0)), "{ended}");
    assert_eq!(daemon.terminate().await, Some(0));
}

async fn get(world: &World, admin: &str, path: &str, parameters: &[(&str, &str)]) -> (u16, Value) {
    let url = reqwest::Url::parse_with_params(&format!("http://{admin}/{path}"), parameters).unwrap();
    answer(world.emulator.http.get(url)).await
}

async fn answer(request: reqwest::RequestBuilder) -> (u16, Value) {
    let answer = request.bearer_auth(TOKEN).send().await.unwrap();
    let status = answer.status().as_u16();
    (status, serde_json::from_slice(&answer.bytes().await.unwrap()).unwrap())
}

async fn job(world: &World, admin: &str, mode: &str) -> (u16, Value) {
    let body = json!({ "kind": "verify", "database": DATABASE, "container": "orders", "mode": mode });
    let request = world.emulator.http.post(format!("http://{admin}/jobs")).header("content-type", "application/json");
    answer(request.body(body.to_string())).await
}
