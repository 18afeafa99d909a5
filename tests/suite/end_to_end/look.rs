//! Looking at one document: its history, its versions, and what changed between them.

use serde_json::{Value, json};

use super::world::{ALL_VERSIONS, LATEST_VERSION, Target, World};

const KEY: [&str; 2] = ["--pk", "p"];

async fn world(feed: &str, target: Target) -> World {
    let world = World::new(&[("orders", feed)], target).await;
    world.source("orders").make(&["/pk"]).await;
    world
}

/// Writes `texts` one second after the other, each mirrored before the next one; an empty one deletes document `a`.
async fn mirrored(world: &World, texts: &[&str]) {
    let source = world.source("orders");
    for text in texts {
        world.emulator.advance(2).await;
        match *text {
            "" => source.delete(r#"["p"]"#, "a").await,
            text => source.put(r#"["p"]"#, text).await,
        }
        world.catch_up().await;
    }
}

/// The fields of document `a`'s versions.
async fn versions(world: &World, field: &str) -> Vec<Value> {
    let history = world.json(&["history", "a", "--pk", "p"]).await;
    history["versions"].as_array().unwrap().iter().map(|version| version[field].clone()).collect()
}

async fn names(world: &World) -> Vec<String> {
    versions(world, "version").await.iter().map(|name| name.as_str().unwrap().to_owned()).collect()
}

/// Runs `diff a` with these arguments; gives the exit code and what it wrote. Standard error must be empty.
async fn diff(world: &World, form: &str, arguments: &[&str]) -> (i32, String) {
    let finished = world.run(&[&["-o", form, "diff", "a"], &KEY[..], arguments].concat()).await;
    assert_eq!(finished.err, "", "{arguments:?}");
    (finished.code.unwrap(), String::from_utf8(finished.out).unwrap())
}

/// The lines of changes.
async fn lines(world: &World, arguments: &[&str]) -> (i32, Vec<String>) {
    let (code, text) = diff(world, "text", arguments).await;
    (code, text.lines().skip(3).map(str::to_owned).collect())
}

/// What a client would have sent.
fn of_client(mut document: Value) -> Value {
    document.as_object_mut().unwrap().retain(|name, _| !name.starts_with('_'));
    document
}

async fn shown(world: &World, version: &str) -> Value {
    let bytes = world.succeed(&[&["show", "a", "--raw", "--version", version], &KEY[..]].concat()).await;
    serde_json::from_slice(&bytes).unwrap()
}

/// A patch of another program on the one version must make the other one.
async fn assert_patch(world: &World, from: &str, to: &str) {
    let (code, text) = diff(world, "json-patch", &["--from", from, "--to", to]).await;
    let patch: json_patch::Patch = serde_json::from_str(&text).unwrap();
    let (mut document, expected) = (of_client(shown(world, from).await), of_client(shown(world, to).await));
    assert_eq!(code, i32::from(document != expected), "{text}");
    json_patch::patch(&mut document, &patch).unwrap();
    assert_eq!(document, expected, "{text}");
}

async fn assert_refused(world: &World, arguments: &[&str], code: i32, part: &str) {
    let finished = world.run(arguments).await;
    assert_eq!(finished.code, Some(code), "{arguments:?}: {}", finished.err);
    assert!(finished.out.is_empty() && finished.err.contains(part), "{arguments:?}: {}", finished.err);
}

const LIFE: [&str; 5] = [
    r#"{"id":"a","pk":"p","lines":[{"n":1,"of":"bolts"},{"n":2}],"total":10.50}"#,
    r#"{"id":"a","pk":"p","lines":[{"n":0},{"n":1,"of":"nuts"},{"n":2}],"total":10.5}"#,
    r#"{"pk":"p","total":10.5,"lines":[{"n":0},{"n":2}],"id":"a","a/b":null}"#,
    "",
    r#"{"id":"a","pk":"p","again":true}"#,
];

async fn look_at_a_life(target: Target) {
    let world = world(ALL_VERSIONS, target).await;
    mirrored(&world, &LIFE).await;
    assert_eq!(versions(&world, "op").await, ["backfill", "replace", "replace", "delete", "create"]);
    let names = names(&world).await;
    let [one, two, three, gone, again] = [0, 1, 2, 3, 4].map(|place| names[place].as_str());
    let changed =
        ["+ /lines/0: {\"n\":0}", "~ /lines/1/of (was /lines/0/of): \"bolts\" -> \"nuts\"", "~ /total: 10.50 -> 10.5"];
    assert_eq!(lines(&world, &["--from", one, "--to", two]).await, (1, changed.map(str::to_owned).to_vec()));
    let removed = [r#"- /lines/1: {"n":1,"of":"nuts"}"#, "+ /a~1b: null"];
    assert_eq!(lines(&world, &["--to", three]).await, (1, removed.map(str::to_owned).to_vec()));
    for (from, to) in [(one, two), (two, three), (three, one), (one, again), (two, two)] {
        assert_patch(&world, from, to).await;
    }

    // A deleted state is compared as none; without flags the newest version stands beside the one before.
    let (code, text) = diff(&world, "text", &[]).await;
    let ts = versions(&world, "ts").await;
    let instant = |place: usize| jiff::Timestamp::from_second(ts[place].as_i64().unwrap()).unwrap().to_string();
    let expected = format!(
        "a of partition key [\"p\"]\nfrom: no document, it was deleted at {} (version {gone})\nto:   version {again}, create of {}\n\
         + the document: {}\n",
        instant(3),
        instant(4),
        LIFE[4]
    );
    assert_eq!((code, text), (1, expected));
    let of_delete: Value = serde_json::from_str(&diff(&world, "json", &["--to", gone]).await.1).unwrap();
    assert_eq!((&of_delete["from"]["version"], &of_delete["to"]["op"]), (&json!(three), &json!("delete")));
    assert_eq!((&of_delete["to"]["exists"], &of_delete["changes"][0]["op"]), (&json!(false), &json!("remove")));
    assert_eq!(diff(&world, "json-patch", &["--from", gone, "--to", gone]).await, (0, "[]\n".to_owned()));

    // Instants, and the same by `show`.
    let at = ["--from", &instant(1), "--to", &instant(2)];
    assert_eq!(lines(&world, &at).await, (1, removed.map(str::to_owned).to_vec()));
    let then = world.succeed(&[&["show", "a", "--raw", "--at", &instant(1)], &KEY[..]].concat()).await;
    assert_eq!(then, world.succeed(&[&["show", "a", "--raw", "--version", two], &KEY[..]].concat()).await);
    let show_gone = ["show", "a", "--pk", "p", "--at", &instant(3)];
    assert_refused(&world, &show_gone, 10, &format!("was deleted at {}; remedy: show it as it was before", instant(3)))
        .await;
    assert_refused(&world, &show_gone, 10, &format!("--version {three}")).await;
}

#[tokio::test]
async fn what_changed_in_a_life_with_a_delete_is_told_path_by_path_and_as_a_patch() {
    look_at_a_life(Target::Blobs).await;
}

#[tokio::test]
async fn what_changed_is_told_of_a_mirror_in_a_directory_as_well() {
    look_at_a_life(Target::Directory).await;
}

#[tokio::test]
async fn what_changed_is_told_of_a_mirror_in_snapshots_as_well() {
    look_at_a_life(Target::Snapshots).await;
}

#[tokio::test]
async fn the_container_is_compared_as_it_is_now() {
    let world = world(ALL_VERSIONS, Target::Blobs).await;
    mirrored(&world, &LIFE[..2]).await;
    let live = ["--to", "live"];
    assert_eq!(lines(&world, &live).await, (0, vec!["no difference".to_owned()]));
    assert_eq!(diff(&world, "ndjson", &live).await, (0, String::new()));
    assert_eq!(diff(&world, "json-patch", &live).await, (0, "[]\n".to_owned()));
    let source = world.source("orders");
    source.put(r#"["p"]"#, &LIFE[1].replace("10.5", "1e400")).await;
    assert_eq!(lines(&world, &live).await, (1, vec!["~ /total: 10.5 -> 1e400".to_owned()]));
    let lines_of_json = diff(&world, "ndjson", &["--from", "live", "--to", &names(&world).await[1]]).await;
    let expected = "{\"op\":\"replace\",\"path\":\"/total\",\"from\":1e400,\"to\":10.5}\n";
    assert_eq!(lines_of_json, (1, expected.to_owned()));
    let (_, with_system) = diff(&world, "text", &["--to", "live", "--system"]).await;
    assert!(with_system.contains("~ /_etag: ") && !with_system.contains("~ /_rid: "), "{with_system}");
    source.delete(r#"["p"]"#, "a").await;
    let (code, text) = diff(&world, "text", &live).await;
    assert!(code == 1 && text.contains("to:   no document, it does not exist in the container\n"), "{text}");
    // A source that is gone is a failure that says so, not a difference.
    source.remove().await;
    assert_refused(&world, &[&["diff", "a"], &KEY[..], &live].concat(), 10, "shop/orders").await;
}

#[tokio::test]
async fn a_wrong_key_is_told_the_right_ones_by_every_command_that_takes_one() {
    let world = world(ALL_VERSIONS, Target::Blobs).await;
    let source = world.source("orders");
    source.put("[7.5]", r#"{"id":"a","pk":7.5}"#).await;
    source.put(r#"["gone"]"#, r#"{"id":"a","pk":"gone"}"#).await;
    world.catch_up().await;
    source.delete(r#"["gone"]"#, "a").await;
    world.catch_up().await;
    for command in
        [&["history", "a"][..], &["show", "a"], &["diff", "a"], &["restore", "--yes", "--id", "a", "--version", "v"]]
    {
        for wrong in [["--pk", "7.5"], ["--pk-json", "7"], ["--pk-json", "{}"]] {
            let finished = world.run(&[command, &wrong].concat()).await;
            assert_eq!(finished.code, Some(10), "{command:?}: {}", finished.err);
            for part in [r#"no document "a""#, "[7.5]", r#"["gone"]"#, "--pk-json"] {
                assert!(finished.err.contains(part), "{command:?}: {}", finished.err);
            }
        }
        let unknown: Vec<&str> = command.iter().map(|word| if *word == "a" { "b" } else { word }).collect();
        assert_refused(&world, &[&unknown[..], &["--pk", "gone"]].concat(), 10, "check the id").await;
    }
    for command in ["history", "show", "diff"] {
        assert_refused(&world, &[command, "a"], 2, r#"occurs under several partition keys: ["gone"], [7.5]"#).await;
    }
    world.succeed(&["history", "a", "--pk-json", "7.5"]).await;
}

#[tokio::test]
async fn what_cannot_be_compared_ends_with_the_code_that_says_why() {
    let world = world(ALL_VERSIONS, Target::Blobs).await;
    mirrored(&world, &LIFE[..1]).await;
    let diff = |arguments: &[&'static str]| [&["diff", "a", "--pk", "p"], arguments].concat();
    assert_refused(&world, &diff(&[]), 10, "holds no version of document \"a\" before").await;
    assert_refused(&world, &diff(&["--from", "nonsense"]), 10, "no version \"nonsense\"").await;
    assert_refused(&world, &diff(&["--to", "2999-01-01T00:00:00Z"]), 5, "is not covered").await;
    assert_refused(&world, &diff(&["--from", "-9999h"]), 5, "is not covered").await;
    assert_refused(&world, &diff(&["--to", "-2"]), 2, "--to -2: ").await;
    for command in [&["history", "a", "--pk", "p"][..], &["show", "a", "--pk", "p"], &["status"], &["verify"]] {
        assert_refused(&world, &[&["-o", "json-patch"], command].concat(), 2, "json-patch is for diff only").await;
    }
    let finished = world.run(&["-o", "json-patch", "diff", "b", "--pk", "p"]).await;
    let error: Value = serde_json::from_str(&finished.err).unwrap();
    assert_eq!((finished.code, &error["error"]["code"]), (Some(10), &json!("not-found")));
    let without_source = world.run(&["diff", "a", "--pk", "p", "--source", "shop/carts"]).await;
    assert_eq!(without_source.code, Some(2), "{}", without_source.err);
}

/// In latest-version mode nobody knows what a document was between two readings of the feed.
#[tokio::test]
async fn an_instant_between_two_readings_is_uncertain_for_a_comparison_as_well() {
    let world = world(LATEST_VERSION, Target::Blobs).await;
    mirrored(&world, &LIFE[..1]).await;
    world.emulator.advance(10).await;
    mirrored(&world, &LIFE[1..2]).await;
    let later = versions(&world, "ts").await[1].as_i64().unwrap();
    let before = jiff::Timestamp::from_second(later - 1).unwrap().to_string();
    for command in [&["diff", "--from", &before][..], &["diff", "--to", &before], &["show", "--at", &before]] {
        let id_and_key = ["--pk", "p", "--", "a"];
        assert_refused(&world, &[command, &id_and_key].concat(), 5, "the mirror cannot tell when").await;
    }
}

#[tokio::test]
async fn a_delete_that_a_reconciliation_found_is_told_with_its_interval() {
    let world = world(LATEST_VERSION, Target::Blobs).await;
    mirrored(&world, &LIFE[..1]).await;
    world.emulator.advance(10).await;
    world.source("orders").delete(r#"["p"]"#, "a").await;
    world.succeed(&["run", "--once", "--reconcile"]).await;
    let kept = names(&world).await.remove(0);
    let shown = world.run(&["show", "a", "--pk", "p"]).await;
    assert_eq!(shown.code, Some(10));
    assert!(shown.err.contains("was deleted between ") && shown.err.contains(&kept), "{}", shown.err);
    let (code, text) = diff(&world, "text", &[]).await;
    assert!(code == 1 && text.contains("to:   no document, it was deleted between "), "{text}");
    assert!(text.lines().last().unwrap().starts_with("- the document: {\"id\":\"a\""), "{text}");
}

#[tokio::test]
async fn a_document_that_went_with_its_container_is_absent_and_its_versions_can_be_looked_at() {
    let world = world(ALL_VERSIONS, Target::Blobs).await;
    mirrored(&world, &LIFE[..2]).await;
    world.emulator.advance(5).await;
    let source = world.source("orders");
    source.remove().await;
    source.make(&["/pk"]).await;
    source.put(r#"["p"]"#, r#"{"id":"b","pk":"p"}"#).await;
    world.catch_up().await;
    let names = names(&world).await;
    let shown = world.run(&["show", "a", "--pk", "p"]).await;
    assert_eq!(shown.code, Some(10));
    assert!(shown.err.contains("went with its container") && shown.err.contains(&names[1]), "{}", shown.err);
    let (code, text) = diff(&world, "text", &["--from", &names[0]]).await;
    assert!(code == 1 && text.contains("to:   no document, it went with its container"), "{text}");
    assert_eq!(diff(&world, "text", &[]).await.1.lines().count(), 6, "both versions are there to be compared");
    assert_eq!(diff(&world, "ndjson", &["--to", "live"]).await, (0, String::new()));
}

#[tokio::test]
async fn hostile_content_reaches_no_terminal_and_every_program_unchanged() {
    let world = world(ALL_VERSIONS, Target::Blobs).await;
    let hostile = |number: &str, text: &str| {
        format!("{{\"id\":\"a\",\"pk\":\"p\",\"n\":{number},\"\u{9b}2J/~\\u001b\":\"{text}\",\"half\":\"\\ud83d\"}}")
    };
    let (first, second) =
        (hostile("9007199254740993", "\u{202e}😀\u{7f}"), hostile("9007199254740992", "\\u001b[2J\u{2028}é"));
    mirrored(&world, &[&first, &second]).await;
    let (code, text) = diff(&world, "text", &[]).await;
    let expected = [
        "~ /n: 9007199254740993 -> 9007199254740992",
        r#"~ /\u009b2J~1~0\u001b: "\u202e😀\u007f" -> "\u001b[2J\u2028é""#,
    ];
    assert_eq!((code, text.lines().skip(3).collect::<Vec<_>>()), (1, expected.to_vec()));
    assert!(text.chars().all(|c| c == '\n' || !c.is_control()), "{text:?}");
    let (_, patch) = diff(&world, "json-patch", &[]).await;
    assert!(patch.contains("9007199254740992") && patch.contains("\u{2028}é"), "{patch}");
    let names = names(&world).await;
    let shown = world.succeed(&["show", "a", "--pk", "p", "--version", &names[0]]).await;
    let shown = String::from_utf8(shown).unwrap();
    assert!(shown.chars().all(|c| c == '\n' || !c.is_control()) && shown.contains(r#""half": "\ud83d""#), "{shown:?}");
    let raw = world.succeed(&["show", "a", "--pk", "p", "--raw"]).await;
    let history = world.history("orders").await;
    assert_eq!(String::from_utf8(raw).unwrap(), *history[1].document.as_ref().unwrap());
}

#[tokio::test]
async fn an_id_that_would_move_the_cursor_is_escaped_where_people_read_it() {
    let world = world(ALL_VERSIONS, Target::Blobs).await;
    let source = world.source("orders");
    for number in [1, 2] {
        source.put(r#"["p"]"#, &format!("{{\"id\":\"\\u001b[2J\u{9b}\",\"pk\":\"p\",\"n\":{number}}}")).await;
        world.catch_up().await;
    }
    for command in ["history", "diff"] {
        let finished = world.run(&[command, "--pk", "p", "--", "\u{1b}[2J\u{9b}"]).await;
        let text = String::from_utf8(finished.out).unwrap();
        assert!(text.starts_with(r#"\u{1b}[2J\u{9b} of partition key ["p"]"#), "{text:?} {}", finished.err);
    }
}
