//! The JSON of commands that scripts read: names and types of fields are a contract.

use serde_json::{Value, json};

use super::world::{ALL_VERSIONS, Target, World};

/// The fields of an object, in the order of their names.
fn fields(object: &Value) -> Vec<&str> {
    let mut names: Vec<&str> = object.as_object().unwrap().keys().map(String::as_str).collect();
    names.sort_unstable();
    names
}

fn column(history: &Value, field: &str) -> Vec<Value> {
    history["versions"].as_array().unwrap().iter().map(|version| version[field].clone()).collect()
}

#[tokio::test]
async fn a_history_and_a_restore_are_told_in_json_with_the_fields_of_the_contract() {
    let world = World::new(&[("orders", ALL_VERSIONS)], Target::Blobs).await;
    let source = world.source("orders");
    source.make(&["/pk"]).await;
    source.put(r#"["p"]"#, r#"{"id":"a","pk":"p","n":1.10}"#).await;
    source.put(r#"["p"]"#, r#"{"id":"b","pk":"p"}"#).await;
    world.catch_up().await;
    let at = world.complete_until("orders").await;
    world.emulator.advance(5).await;
    source.put(r#"["p"]"#, r#"{"id":"a","pk":"p","n":2}"#).await;
    source.delete(r#"["p"]"#, "a").await;
    source.put(r#"["p"]"#, r#"{"id":"b","pk":"p","n":3}"#).await;
    source.put(r#"["p"]"#, r#"{"id":"c","pk":"p"}"#).await;
    world.catch_up().await;

    let history = world.json(&["history", "a", "--pk", "p"]).await;
    assert_eq!(fields(&history), ["id", "partition_key", "versions"]);
    assert_eq!((&history["id"], &history["partition_key"]), (&json!("a"), &json!(["p"])));
    for version in history["versions"].as_array().unwrap() {
        let expected = ["bytes", "current", "etag", "generation", "lsn", "op", "origin", "sha256", "ts", "version"];
        assert_eq!(fields(version), expected);
    }
    assert_eq!(column(&history, "op"), ["backfill", "replace", "delete"]);
    assert_eq!(column(&history, "current"), [false, false, true]);
    assert_eq!(column(&history, "origin"), ["feed", "feed", "feed"]);
    let changes = world.history("orders").await;
    let changes: Vec<_> = changes.iter().filter(|change| change.id == "a").collect();
    assert_eq!(column(&history, "etag"), [json!(changes[0].etag), json!(changes[1].etag), Value::Null]);
    for (field, expected) in [
        ("ts", changes.iter().map(|change| change.ts).collect::<Vec<_>>()),
        ("lsn", changes.iter().map(|change| change.lsn.cast_signed()).collect()),
        (
            "bytes",
            changes.iter().map(|change| change.document.as_ref().map_or(0, String::len).cast_signed() as i64).collect(),
        ),
    ] {
        assert_eq!(column(&history, field), expected, "{field}");
    }
    let lines = world.succeed(&["-o", "ndjson", "history", "a", "--pk", "p"]).await;
    let lines: Vec<Value> = lines
        .split(|byte| *byte == b'\n')
        .filter(|line| !line.is_empty())
        .map(|line| serde_json::from_slice(line).unwrap())
        .collect();
    assert_eq!(Value::from(lines), history["versions"]);

    let restore = ["restore", "--all", "--at", &at];
    let planned = world.json(&[&restore[..], &["--dry-run"]].concat()).await;
    let counts = |planned: &Value| {
        let names = ["create", "replace", "delete", "unchanged", "conflict", "extra", "uncertain", "unknown"];
        names.map(|name| planned["plan"][name].as_u64().unwrap())
    };
    assert_eq!(counts(&planned), [1, 1, 0, 0, 0, 1, 0, 0], "{planned}");
    let planned = world.json(&[&restore[..], &["--dry-run", "--delete-extra"]].concat()).await;
    assert_eq!(counts(&planned), [1, 1, 1, 0, 0, 0, 0, 0], "{planned}");
    let restored = world.json(&[&restore[..], &["--yes", "--delete-extra"]].concat()).await;
    assert_eq!(restored["applied"], json!({ "create": 1, "replace": 1, "delete": 1 }), "{restored}");

    world.catch_up().await;
    let history = world.json(&["history", "a", "--pk", "p"]).await;
    assert_eq!(column(&history, "op"), ["backfill", "replace", "delete", "create"]);
    let origins = column(&history, "origin");
    assert_eq!(origins[..3], ["feed", "feed", "feed"]);
    assert_eq!(origins[3], restored["restore"]);
    assert_eq!(column(&history, "sha256")[0].as_str().unwrap().len(), 64);
    let removed = world.json(&["history", "c", "--pk", "p"]).await;
    assert_eq!(column(&removed, "op"), ["create", "delete"]);
}

#[tokio::test]
async fn errors_are_one_json_object_on_standard_error() {
    let world = World::new(&[("orders", ALL_VERSIONS)], Target::Blobs).await;
    for (arguments, code) in [
        (&["run", "--once"][..], 10),
        (&["history", "a", "--pk", "p"], 10),
        (&["restore", "--all"], 2),
        (&["history"], 2),
        (&["show", "a", "--source", "shop/carts"], 2),
    ] {
        let finished = world.run(&[&["-q", "-o", "json"], arguments].concat()).await;
        assert_eq!(finished.code, Some(code), "{arguments:?}: {}", finished.err);
        assert!(finished.out.is_empty());
        let error: Value = serde_json::from_str(&finished.err).unwrap();
        assert_eq!(fields(&error), ["error"]);
        assert_eq!(fields(&error["error"]), ["code", "exit", "message", "remedy"]);
        assert_eq!(error["error"]["exit"], code);
        for field in ["code", "message", "remedy"] {
            assert!(error["error"][field].as_str().is_some_and(|text| !text.is_empty()), "{field} of {error}");
        }
    }
}
