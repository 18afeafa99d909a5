//! Files of other making: lines and arrays, compressed or not, and what in them cannot be used.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use super::{held, import, imported, report};
use crate::suite::end_to_end::documents::{document, random};
use crate::suite::end_to_end::export::files::file_names;
use crate::suite::end_to_end::world::{ALL_VERSIONS, Target, World};

const DOCUMENTS: usize = 40;

async fn world() -> World {
    let world = World::new(&[("orders", ALL_VERSIONS)], Target::Directory).await;
    world.source("orders").make(&["/pk"]).await;
    world
}

fn put(world: &World, name: &str, bytes: &[u8]) {
    std::fs::write(world.folder().join(name), bytes).unwrap();
}

/// Documents that a parser and a printer between them would change come as they stand in the file, whatever the file is like.
#[tokio::test]
async fn lines_and_arrays_are_told_apart_and_imported_byte_for_byte() {
    let mut random = random();
    let world = world().await;
    let documents: Vec<String> = (0..DOCUMENTS).map(|number| document(&mut random, number, 1).text).collect();
    let lines = documents.join("\r\n");
    let array = format!(" \n[\n{}\n]\n", documents.join("\n,\n"));
    let marked = format!("\u{feff}{}\n\n", documents.join("\n\n"));
    let forms: [(&str, Vec<u8>); 5] = [
        ("lines.ndjson", lines.clone().into_bytes()),
        ("marked.ndjson", marked.into_bytes()),
        ("array.json", array.clone().into_bytes()),
        ("lines.zst", zstd::encode_all(lines.as_bytes(), 19).unwrap()),
        ("array.json.zst", zstd::encode_all(array.as_bytes(), 1).unwrap()),
    ];
    for (number, (file, bytes)) in forms.iter().enumerate() {
        put(&world, file, bytes);
        let container = format!("copy{number}");
        world.source(&container).make(&["/pk"]).await;
        let into = format!("shop/{container}");
        let told = imported(&world, &[file, "--into", &into]).await;
        assert_eq!(told["created"], json!(DOCUMENTS), "{file}: {told}");
        let held: BTreeSet<String> = held(&world, &container).await.into_values().collect();
        let sent: BTreeSet<String> = documents.iter().map(|text| text.strip_suffix('}').unwrap().to_owned()).collect();
        assert_eq!(held, sent, "{file}");
    }
    put(&world, "empty.ndjson", b"\n \n");
    put(&world, "empty.json", b" [ ] ");
    for file in ["empty.ndjson", "empty.json"] {
        assert_eq!(imported(&world, &[file, "--into", "shop/copy0"]).await["created"], 0);
    }
}

/// What another tool exported has the service's properties, which are not the document's.
#[tokio::test]
async fn what_the_service_wrote_is_left_out_of_what_is_imported() {
    let world = world().await;
    let exported = r#"{"id":"a","pk":"p","n":1.10,"_rid":"r","_self":"s","_etag":"\"e\"","_attachments":"x","_ts":5}"#;
    put(&world, "a.ndjson", exported.as_bytes());
    imported(&world, &["a.ndjson", "--into", "shop/orders"]).await;
    let held: Vec<String> = held(&world, "orders").await.into_values().collect();
    assert_eq!(held, [r#"{"id":"a","pk":"p","n":1.10"#]);
}

fn bad_lines() -> String {
    [
        r#"{"id":"good","pk":"p"}"#,
        r#"{"id":"planted","pk":"p""#,
        "",
        r#"{"pk":"p"}"#,
        r#"{"id":"a/b","pk":"p"}"#,
        r#"["planted"]"#,
        r#"{"id":"good","pk":"p","again":true}"#,
        r#"{"id":"good","pk":"other"}"#,
        r#"{"id":7,"pk":"p"}"#,
    ]
    .join("\n")
}

#[tokio::test]
async fn lines_that_cannot_be_used_are_told_with_their_place_and_nothing_is_written() {
    let world = world().await;
    put(&world, "bad.ndjson", bad_lines().as_bytes());
    let before = file_names(world.folder());
    let finished = import(&world, &["bad.ndjson", "--into", "shop/orders"]).await;
    assert_eq!(finished.code, Some(6), "{finished:?}");
    for told in [
        "bad.ndjson:2: it ends too early",
        "bad.ndjson:4: it has no `id`",
        "bad.ndjson:5: its `id` has a slash",
        "bad.ndjson:6: it is no JSON object",
        "bad.ndjson:7: its id and partition key came before",
        "bad.ndjson:9: its `id` is no string",
    ] {
        assert!(finished.err.contains(told), "{told}: {}", finished.err);
    }
    assert!(!finished.err.contains("planted"), "{}", finished.err);
    assert!(world.history("orders").await.is_empty());
    assert_eq!(file_names(world.folder()), before);
    // More than anybody reads are counted.
    put(&world, "many.ndjson", "x\n".repeat(50).as_bytes());
    let finished = import(&world, &["many.ndjson", "--into", "shop/orders"]).await;
    assert!(finished.err.contains("and 30 more lines"), "{}", finished.err);
    for (text, why) in [
        ("[{\"id\":\"a\",\"pk\":\"p\"}", "the array is cut off"),
        ("[{\"id\":\"a\",\"pk\":\"p\"}\n{\"id\":\"b\"}]", "array.json:1: it is not JSON"),
        ("[{\"id\":\"a\",\"pk\":\"p\"}]\n]", "something stands behind the array"),
        ("[{\"id\":\"a\",\"pk\":\"p\"},\n]", "array.json:2: it ends too early"),
    ] {
        put(&world, "array.json", text.as_bytes());
        let finished = import(&world, &["array.json", "--into", "shop/orders"]).await;
        assert!(finished.code == Some(6) && finished.err.contains(why), "{text}: {}", finished.err);
    }
    let mut cut = zstd::encode_all(&b"{\"id\":\"a\",\"pk\":\"p\"}\n"[..], 1).unwrap();
    cut.truncate(cut.len() - 3);
    put(&world, "cut.zst", &cut);
    let finished = import(&world, &["cut.zst", "--into", "shop/orders"]).await;
    assert!(finished.code == Some(6) && finished.err.contains("cut.zst"), "{}", finished.err);
    assert!(world.history("orders").await.is_empty());
}

#[tokio::test]
async fn bad_lines_are_collected_where_that_is_asked_for_and_the_others_are_imported() {
    let world = world().await;
    put(&world, "bad.ndjson", bad_lines().as_bytes());
    let asked = ["bad.ndjson", "--into", "shop/orders", "--skip-bad", "skipped.ndjson"];
    let finished = import(&world, &asked).await;
    assert_eq!(finished.code, Some(3), "{finished:?}");
    let told = report(&finished);
    assert_eq!((&told["created"], &told["bad"]), (&json!(2), &json!(6)), "{told}");
    let text = std::fs::read_to_string(world.folder().join("skipped.ndjson")).unwrap();
    let skipped: Vec<Value> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let lines: Vec<u64> = skipped.iter().map(|line| line["line"].as_u64().unwrap()).collect();
    assert_eq!(lines, [2, 4, 5, 6, 7, 9]);
    assert_eq!(skipped[2]["text"], r#"{"id":"a/b","pk":"p"}"#);
    assert!(skipped.iter().all(|line| line["file"] == "bad.ndjson" && line["reason"].is_string()));
    let ids: Vec<String> = held(&world, "orders").await.into_keys().map(|(key, id)| format!("{key}{id}")).collect();
    assert_eq!(ids, [r#"["other"]good"#, r#"["p"]good"#]);
    // The same again finds its own file; another import does not write over it.
    assert_eq!(import(&world, &asked).await.code, Some(3));
    put(&world, "bad.ndjson", b"x\n");
    let refused = import(&world, &asked).await;
    assert!(refused.code == Some(2) && refused.err.contains("exists already"), "{}", refused.err);
    assert_eq!(std::fs::read_to_string(world.folder().join("skipped.ndjson")).unwrap(), text);
    assert!(!file_names(world.folder()).iter().any(|name| name.contains("unfinished")));
}

/// A line of a document that was left out has its id, and passed for a document; with such a line at its beginning, so did the file.
#[tokio::test]
async fn a_file_of_an_export_is_no_file_of_documents_whatever_its_lines_say() {
    let world = world().await;
    let put = r#"{"op":"put","id":"a","pk":["p"],"ts":1,"etag":"e","document":{"id":"a","pk":"p"}}"#;
    let gone = r#"{"op":"delete","id":"b","pk":["p"],"ts":1}"#;
    let left_out = r#"{"op":"unknown","name":"c","id":"c","pk":["p"],"why":"uncertain"}"#;
    let nameless = r#"{"op":"unknown","name":"d","why":"damaged"}"#;
    for first in [put, gone, left_out, nameless] {
        put_lines(&world, "1-000001.ndjson", &[first, put, left_out]);
        for more in [&[][..], &["--skip-bad", "skipped.ndjson"]] {
            let asked = [&["1-000001.ndjson", "--into", "shop/orders"], more].concat();
            let refused = import(&world, &asked).await;
            assert!(
                refused.code == Some(2) && refused.err.contains("name the export's folder"),
                "{first}: {refused:?}"
            );
        }
    }
    put_lines(&world, "mixed.ndjson", &[r#"{"id":"a","pk":"p"}"#, left_out]);
    let mixed = import(&world, &["mixed.ndjson", "--into", "shop/orders"]).await;
    assert!(mixed.code == Some(6) && mixed.err.contains("mixed.ndjson:2: it is a line of an export"), "{mixed:?}");
    assert!(world.history("orders").await.is_empty());
}

fn put_lines(world: &World, name: &str, lines: &[&str]) {
    put(world, name, lines.join("\n").as_bytes());
}

#[tokio::test]
async fn a_file_that_does_not_say_where_its_documents_go_is_refused() {
    let world = world().await;
    put(&world, "a.ndjson", b"{\"id\":\"a\",\"pk\":\"p\"}\n");
    for (more, word) in [
        (&[][..], "--into"),
        (&["--into", "shop/orders", "--create"], "--create"),
        (&["--into", "shop/orders", "--source", "shop/orders"], "--source"),
        (&["--into", "orders"], "DATABASE/CONTAINER"),
    ] {
        let finished = import(&world, &[&["a.ndjson"], more].concat()).await;
        assert!(finished.code == Some(2) && finished.err.contains(word), "{more:?}: {}", finished.err);
    }
    let asked = world.run(&["import", "a.ndjson", "--into", "shop/orders"]).await;
    assert!(asked.code == Some(2) && asked.err.contains("pass --yes"), "{}", asked.err);
    assert!(world.history("orders").await.is_empty());
}
