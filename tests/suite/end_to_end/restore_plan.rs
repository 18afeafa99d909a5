//! `restore plan`: what it selects, decides, says and refuses. Nothing is written by it but its file.

use serde_json::{Value, json};

use super::eventually;
use super::oracle::live_as_sent;
use super::world::{ALL_VERSIONS, LATEST_VERSION, Target, World};

/// A second later or earlier than an instant.
fn plus(at: &str, seconds: i64) -> String {
    let at: jiff::Timestamp = at.parse().unwrap();
    jiff::Timestamp::from_second(at.as_second() + seconds).unwrap().to_string()
}

/// Create, replace, delete, unchanged, conflict, extra, uncertain, unknown.
fn counts(plan: &Value) -> [u64; 8] {
    let names = ["create", "replace", "delete", "unchanged", "conflict", "extra", "uncertain", "unknown"];
    names.map(|name| plan["plan"][name].as_u64().unwrap())
}

async fn planned(world: &World, arguments: &[&str]) -> [u64; 8] {
    let plan = world.json(&[&["restore", "plan", "--force", "-f", "x.plan"], arguments].concat()).await;
    counts(&plan)
}

/// Three instants: before a deployment, behind it, and behind what came later.
struct Deployment {
    before: String,
    behind: String,
}

/// `a` (key p) is written in each period, `b` (p) is deleted by the deployment and `d` (p) made by it, `e` (q) comes later; `c` and
/// `same` (q) stay.
async fn deployed(world: &World) -> Deployment {
    let source = world.source("orders");
    source.make(&["/pk"]).await;
    let put = async |id: &str, pk: &str, n: u64| {
        source.put(&format!("[\"{pk}\"]"), &format!(r#"{{"id":"{id}","pk":"{pk}","n":{n}}}"#)).await;
    };
    for (id, pk) in [("a", "p"), ("b", "p"), ("c", "q"), ("same", "q")] {
        put(id, pk, 1).await;
    }
    world.emulator.advance(5).await;
    world.catch_up().await;
    let before = world.complete_until("orders").await;
    world.emulator.advance(5).await;
    put("a", "p", 2).await;
    source.delete(r#"["p"]"#, "b").await;
    put("d", "p", 1).await;
    // The mirror is complete up to the second before the one in which it read.
    world.emulator.advance(5).await;
    world.catch_up().await;
    let behind = world.complete_until("orders").await;
    world.emulator.advance(5).await;
    put("a", "p", 3).await;
    put("e", "q", 1).await;
    world.catch_up().await;
    Deployment { before, behind }
}

async fn selections(world: &World, deployment: &Deployment) {
    let Deployment { before, behind } = deployment;
    let interval = format!("{}..{behind}", plus(before, 1));
    let open = format!("{}..", plus(before, 1));
    std::fs::write(
        world.folder().join("list"),
        "# the two that matter\n{\"id\":\"a\",\"pk\":\"p\"}\n\n{\"id\":\"b\",\"partition_key\":[\"p\"]}\n{\"id\":\"nobody\",\"pk\":\"p\"}\n",
    )
    .unwrap();
    let folder = "shop/orders/documents/p/";
    for (selection, expected) in [
        (&["--all"][..], [1, 1, 0, 2, 0, 2, 0, 0]),
        (&["--id", "a", "--pk", "p"], [0, 1, 0, 0, 0, 0, 0, 0]),
        (&["--id", "a"], [0, 1, 0, 0, 0, 0, 0, 0]),
        (&["--pk", "q"], [0, 0, 0, 2, 0, 1, 0, 0]),
        (&["--pk-json", "[\"p\"]"], [1, 1, 0, 0, 0, 1, 0, 0]),
        (&["--prefix", "p/"], [1, 1, 0, 0, 0, 1, 0, 0]),
        (&["--prefix", folder], [1, 1, 0, 0, 0, 1, 0, 0]),
        (&["--prefix", "p/b"], [1, 0, 0, 0, 0, 0, 0, 0]),
        (&["--ids", "list"], [1, 1, 0, 0, 0, 0, 0, 1]),
        (&["--where", "c.n = 1 AND c.pk = 'p'"], [1, 1, 0, 0, 0, 0, 0, 0]),
        (&["--pk", "q", "--where", "c.id = 'same'"], [0, 0, 0, 1, 0, 0, 0, 0]),
        (&["--where", "c.n = 7"], [0; 8]),
        (&["--all", "--delete-extra"], [1, 1, 2, 2, 0, 0, 0, 0]),
        (&["--all", "--overwrite", "always"], [1, 1, 0, 2, 0, 2, 0, 0]),
        (&["--all", "--overwrite", "if-newer"], [1, 0, 0, 2, 1, 2, 0, 0]),
        (&["--all", "--overwrite", "never"], [1, 0, 0, 2, 1, 2, 0, 0]),
        (&["--changed-between", &interval, "--pk", "q"], [0; 8]),
    ] {
        assert_eq!(planned(world, &[selection, &["--at", before]].concat()).await, expected, "{selection:?}");
    }
    // What was changed again behind the interval may be somebody's repair.
    assert_eq!(planned(world, &["--changed-between", &interval]).await, [1, 0, 0, 0, 1, 1, 0, 0]);
    let always = ["--changed-between", &interval, "--overwrite", "always"];
    assert_eq!(planned(world, &always).await, [1, 1, 0, 0, 0, 1, 0, 0]);
    assert_eq!(planned(world, &["--changed-between", &open]).await, [1, 1, 0, 0, 0, 2, 0, 0]);
    assert_eq!(planned(world, &["--changed-between", &interval, "--at", behind]).await, [0, 0, 0, 1, 1, 0, 0, 0]);
}

async fn points(world: &World, at: &str) {
    let history = world.json(&["history", "a", "--pk", "p"]).await;
    let column = |name: &str| -> Vec<String> {
        let versions = history["versions"].as_array().unwrap().iter();
        versions.map(|version| version[name].as_str().unwrap().to_owned()).collect()
    };
    let (versions, etags) = (column("version"), column("etag"));
    for (version, expected) in versions.iter().zip([[0, 1], [0, 1], [1, 0]]) {
        let plan = planned(world, &["--id", "a", "--pk", "p", "--version", version]).await;
        assert_eq!([plan[3], plan[1]], expected, "{version}");
    }
    for etag in [etags[2].as_str(), etags[2].trim_matches('"')] {
        assert_eq!(planned(world, &["--all", "--before-change", etag]).await, [0, 1, 0, 0, 0, 0, 0, 0]);
    }
    for (wrong, code) in [
        (&["--id", "a", "--pk", "p", "--version", "nothing"][..], 10),
        (&["--all", "--before-change", "nothing"], 10),
        (&["--id", "a", "--pk", "elsewhere", "--at", at], 10),
        (&["--all", "--at", "2999-01-01T00:00:00Z"], 5),
        (&["--changed-between", "2999-01-01T00:00:00Z..2999-01-02T00:00:00Z"], 5),
        (&["--all"], 2),
        (&["--all", "--at", at, "--where", "c.n ="], 2),
        (&["--ids", "nowhere", "--at", at], 2),
        (&["--all", "--at", at, "--delete-extra", "--overwrite", "never"], 2),
    ] {
        let finished = world.run(&[&["restore", "plan", "-f", "wrong.plan"], wrong].concat()).await;
        assert_eq!(finished.code, Some(code), "{wrong:?}: {}", finished.err);
        assert!(!world.folder().join("wrong.plan").exists(), "{wrong:?}");
    }
}

async fn files(world: &World, at: &str) {
    let plan = ["restore", "plan", "--all", "--at", at, "-f", "a.plan"];
    let told = world.json(&plan).await;
    assert_eq!((told["plan"]["file"].as_str(), told["plan"]["damaged"].as_u64()), (Some("a.plan"), Some(0)));
    assert_eq!(told["plan"]["digest"].as_str().unwrap().len(), 64);
    assert!(told["plan"]["bytes"].as_u64().unwrap() > 0 && told["plan"]["request_units"].as_f64().unwrap() > 0.0);
    assert!(told["plan"]["seconds"].as_f64().unwrap() > 0.0, "{told}");
    assert_eq!(told["plan"]["containers"][0]["source"], "shop/orders");
    let text = std::fs::read_to_string(world.folder().join("a.plan")).unwrap();
    let lines: Vec<Value> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!((lines.len(), &lines[0]["line"], &lines[3]["digest"]), (4, &json!("plan"), &told["plan"]["digest"]));
    assert_eq!(world.run(&plan).await.code, Some(2));
    assert_eq!(std::fs::read_to_string(world.folder().join("a.plan")).unwrap(), text);
    let named = world.succeed(&["restore", "plan", "--all", "--at", at]).await;
    assert!(String::from_utf8_lossy(&named).contains("plan: restore-"));
    world.succeed(&["restore", "--all", "--at", at, "--dry-run"]).await;
    let plans = std::fs::read_dir(world.folder())
        .unwrap()
        .filter(|entry| entry.as_ref().unwrap().file_name().to_str().unwrap().starts_with("restore-"));
    assert_eq!(plans.count(), 1);
}

#[tokio::test]
async fn a_plan_selects_and_decides_as_it_was_asked_and_writes_nothing_but_its_file() {
    let world = World::new(&[("orders", ALL_VERSIONS)], Target::Blobs).await;
    let deployment = deployed(&world).await;
    let held = world.history("orders").await.len();
    selections(&world, &deployment).await;
    points(&world, &deployment.behind).await;
    files(&world, &deployment.before).await;
    assert_eq!(world.history("orders").await.len(), held);
    let records = world.mirror().await.into_keys().filter(|name| name.contains("/_mirror/restores/")).count();
    assert_eq!(records, 0);

    let interval = format!("{}..{}", plus(&deployment.before, 1), deployment.behind);
    let plan =
        ["restore", "plan", "--changed-between", &interval, "--overwrite", "always", "-f", "undo-deployment.plan"];
    world.succeed(&plan).await;
    world.succeed(&["restore", "apply", "undo-deployment.plan", "--yes"]).await;
    let live = live_as_sent(&world.history("orders").await);
    let ids: Vec<(&str, &str)> = live.iter().map(|((_, id), text)| (id.as_str(), text.as_str())).collect();
    assert_eq!(ids.iter().map(|(id, _)| *id).collect::<Vec<_>>(), ["a", "b", "d", "c", "e", "same"]);
    assert!(ids[0].1.contains("\"n\":1") && ids[1].1.contains("\"n\":1"), "{ids:?}");
}

#[tokio::test]
async fn another_container_is_planned_for_if_its_key_is_the_same() {
    let world = World::new(&[("orders", ALL_VERSIONS)], Target::Blobs).await;
    let Deployment { before, .. } = deployed(&world).await;
    let plan = async |into: &[&str]| world.run(&[&["restore", "plan", "--all", "--at", &before], into].concat()).await;
    let missing = plan(&["--into", "shop/copy"]).await;
    assert_eq!(missing.code, Some(10), "{}", missing.err);
    assert!(missing.err.contains("--create"), "{}", missing.err);
    world.source("keyed").make(&["/other"]).await;
    let keyed = plan(&["--into", "shop/keyed"]).await;
    assert_eq!(keyed.code, Some(2), "{}", keyed.err);
    assert!(keyed.err.contains("/other") && keyed.err.contains("/pk"), "{}", keyed.err);
    assert_eq!(planned(&world, &["--all", "--at", &before, "--into", "shop/copy", "--create"]).await[0], 4);
    let copy = world.source("copy");
    copy.make(&["/pk"]).await;
    copy.put(r#"["q"]"#, r#"{"id":"same","pk":"q","n":1}"#).await;
    copy.put(r#"["q"]"#, r#"{"id":"its own","pk":"q"}"#).await;
    let counts = planned(&world, &["--all", "--at", &before, "--into", "shop/copy"]).await;
    assert_eq!(counts, [3, 0, 0, 1, 0, 1, 0, 0]);
}

#[tokio::test]
async fn several_containers_are_one_plan_and_what_a_mode_cannot_tell_takes_a_flag() {
    let world = World::new(&[("orders", ALL_VERSIONS), ("carts", LATEST_VERSION)], Target::Blobs).await;
    for container in ["orders", "carts"] {
        world.source(container).make(&["/pk"]).await;
        world.source(container).put(r#"["p"]"#, r#"{"id":"a","pk":"p","n":1}"#).await;
    }
    world.catch_up().await;
    let at = plus(&world.complete_until("carts").await, 5);
    world.emulator.advance(10).await;
    for container in ["orders", "carts"] {
        world.source(container).put(r#"["p"]"#, r#"{"id":"a","pk":"p","n":2}"#).await;
    }
    world.emulator.advance(10).await;
    world.catch_up().await;

    let both = world.json(&["restore", "plan", "--all", "--at", &at, "-f", "both.plan"]).await;
    assert_eq!(counts(&both), [0, 1, 0, 0, 0, 0, 1, 0], "{both}");
    let containers = both["plan"]["containers"].as_array().unwrap();
    assert_eq!([&containers[0]["replace"], &containers[1]["uncertain"]], [1, 1], "{both}");
    assert_eq!(both["plan"]["notes"].as_array().unwrap().len(), 1, "{both}");
    let all = ["--all", "--at", &at, "--source", "shop/carts"];
    assert_eq!(planned(&world, &[&all[..], &["--uncertain", "before"]].concat()).await, [0, 1, 0, 0, 0, 0, 0, 0]);
    assert_eq!(planned(&world, &[&all[..], &["--uncertain", "after"]].concat()).await, [0, 0, 0, 1, 0, 0, 0, 0]);
    for wrong in [
        &["--id", "a", "--version", "v"][..],
        &["--ids", "list", "--at", &at],
        &["--all", "--at", &at, "--into", "shop/copy"],
    ] {
        assert_eq!(world.run(&[&["restore", "plan"], wrong].concat()).await.code, Some(2), "{wrong:?}");
    }

    let applied = world.run(&["restore", "apply", "both.plan", "--yes"]).await;
    assert_eq!(applied.code, Some(5), "{}", applied.err);
    let text = async |container: &str| live_as_sent(&world.history(container).await).into_values().next().unwrap();
    assert!(text("orders").await.contains("\"n\":1") && text("carts").await.contains("\"n\":2"));
}

#[tokio::test]
async fn a_plan_is_made_while_the_daemon_runs() {
    let world = World::new(&[("orders", ALL_VERSIONS)], Target::Blobs).await;
    let source = world.source("orders");
    source.make(&["/pk"]).await;
    source.put(r#"["p"]"#, r#"{"id":"a","pk":"p","n":1}"#).await;
    let daemon = world.start(&["run"]);
    let at = eventually("an instant can be restored", async || {
        let status = world.json(&["status"]).await;
        status["containers"][0]["restorable_until"].as_str().map(str::to_owned)
    })
    .await;
    source.put(r#"["p"]"#, r#"{"id":"late","pk":"p","n":1}"#).await;
    // What breaks off is done again.
    let resets = json!({ "rules": [{ "service": "cosmos", "operation": "query", "action": "reset", "count": 6 }] });
    world.emulator.control("faults", &resets).await;
    let told = world.run(&["-o", "json", "restore", "plan", "--all", "--at", &at]).await;
    assert_eq!(told.code, Some(0), "{}", told.err);
    assert_eq!(daemon.terminate().await, Some(0));
}
