//! Golden bytes of both forms, and lines of hostile content.

use proptest::prelude::*;
use serde_json::json;

use super::*;

fn key() -> PartitionKey {
    PartitionKey::from_json(&json!(["p", 1.5, null])).unwrap()
}

fn manifest() -> Manifest {
    let counts = LineCounts { documents: 2, deletes: 1, uncertain: 0, unknown: 1, damaged: 0 };
    let file = ExportFile {
        name: file_name(1, 1, Compression::Zstd),
        counts,
        bytes: 900,
        stored_bytes: 300,
        sha256: "ab".to_owned(),
        last: "shop/orders/documents/p/d9.json".to_owned(),
    };
    let generation = Generation {
        rid: "r".to_owned(),
        since: 1_699_000_000,
        modes: vec!["all-versions-and-deletes".to_owned()],
        partition_key_paths: vec!["/pk".to_owned()],
        settings: json!({ "id": "orders" }),
    };
    Manifest {
        format: FORMAT,
        id: "y".to_owned(),
        program: "0.1.0".to_owned(),
        began: "2026-01-31T08:00:00Z".to_owned(),
        finished: Some("2026-01-31T08:01:00Z".to_owned()),
        at: 1_700_000_000,
        since: Some(Since { id: "x".to_owned(), at: 1_699_999_000, sha256: "cd".to_owned() }),
        chain: vec!["x".to_owned()],
        compression: Compression::Zstd,
        file_bytes_max: 64 << 20,
        uncertain: Some("before".to_owned()),
        unknown: None,
        containers: vec![ExportedContainer {
            account: "http://a/".to_owned(),
            database: "shop".to_owned(),
            container: "orders".to_owned(),
            prefix: String::new(),
            generations: vec![generation],
            window: CoveredWindow { from: Some(1), until: Some(2), deletes_until: Some(2) },
            files: vec![file],
        }],
    }
}

fn lines() -> [Line<'static>; 4] {
    [
        Line::Put(PutLine {
            id: "a\n\u{2028}".to_owned(),
            pk: key(),
            ts: 1_699_999_999,
            etag: "\"7\"".to_owned(),
            document: r#"{ "id" : "a\n ","n":1.10 }"#,
        }),
        Line::Delete(DeleteLine { id: "b".to_owned(), pk: key(), ts: 5 }),
        Line::Unknown(UnknownLine {
            name: "shop/orders/documents/p/c.json".to_owned(),
            document: Some(("c".to_owned(), key())),
            why: Why::Uncertain,
        }),
        Line::Unknown(UnknownLine { name: "n".to_owned(), document: None, why: Why::Damaged }),
    ]
}

#[test]
fn golden_manifest() {
    let text = manifest().to_text().unwrap();
    assert_eq!(text, include_str!("../golden/export.manifest.json"));
    assert_eq!(Manifest::of_text(&text).unwrap(), manifest());
}

#[test]
fn golden_lines() {
    let text: String = lines().iter().map(|line| line.to_text().unwrap()).collect();
    let golden = include_str!("../golden/export.ndjson");
    assert_eq!(text, golden);
    let read: Vec<Line<'_>> = golden.lines().map(|line| Line::of_text(line).unwrap()).collect();
    assert_eq!(read, lines());
}

#[test]
fn a_manifest_of_which_a_byte_is_altered_is_refused() {
    let text = manifest().to_text().unwrap();
    for at in 0..text.len() {
        let mut bytes = text.clone().into_bytes();
        bytes[at] ^= 1;
        let Ok(altered) = String::from_utf8(bytes) else { continue };
        assert!(Manifest::of_text(&altered).is_err(), "{at}");
    }
    assert!(Manifest::of_text(text.trim_end()).is_err());
}

#[test]
fn a_manifest_of_a_later_format_or_with_a_file_elsewhere_is_refused() {
    let later = Manifest { format: 2, ..manifest() }.to_text().unwrap();
    assert!(matches!(Manifest::of_text(&later), Err(ManifestError::Format(2))));
    for name in ["../1-000001.ndjson", "/etc/passwd", "1-1.json", "a-1.ndjson", "1-.ndjson", "1-1.ndjson/x"] {
        let mut elsewhere = manifest();
        elsewhere.containers[0].files[0].name = name.to_owned();
        let text = elsewhere.to_text().unwrap();
        assert!(matches!(Manifest::of_text(&text), Err(ManifestError::Name(_))), "{name}");
    }
}

#[test]
fn line_breaks_between_tokens_become_spaces_and_nothing_else_changes() {
    let document = "{\r\n\t\"a\\n\": [1.10,\n 2e5] }";
    let put = PutLine { id: "a".to_owned(), pk: key(), ts: 1, etag: "e".to_owned(), document };
    let text = Line::Put(put).to_text().unwrap();
    assert_eq!(text.matches('\n').count(), 1);
    let Line::Put(read) = Line::of_text(text.trim_end()).unwrap() else { panic!("{text}") };
    assert_eq!(read.document, "{  \t\"a\\n\": [1.10,  2e5] }");
}

#[test]
fn what_is_no_line_is_named_without_its_content() {
    let error = |text: &str| Line::of_text(text).unwrap_err().to_string();
    assert!(error("[]").contains("object"));
    assert!(error(r#"{"op":"planted"}"#).contains("op") && !error(r#"{"op":"planted"}"#).contains("planted"));
    assert!(error(r#"{"op":"put","id":"a","pk":["p"],"ts":1,"etag":"e"}"#).contains("document"));
    assert!(error(r#"{"op":"put","id":"a","pk":["p"],"ts":1,"etag":"e","document":[1]}"#).contains("document"));
    assert!(error(r#"{"op":"put","id":"a","pk":[[1]],"ts":1,"etag":"e","document":{}}"#).contains("pk"));
    assert!(error(r#"{"op":"delete","id":"a","pk":[],"ts":1}"#).contains("pk"));
    assert!(error(r#"{"op":"delete","id":7,"pk":["planted"],"ts":1}"#).contains("column"));
    assert!(error(r#"{"op":"unknown","why":"damaged"}"#).contains("name"));
    let broken = Line::Put(PutLine { id: String::new(), pk: key(), ts: 1, etag: String::new(), document: "{\"a\":\n" });
    assert!(broken.to_text().is_err());
}

proptest! {
    #[test]
    fn a_line_is_one_line_and_reads_back_the_same(
        id in "[\\PC\r\n\u{0}\u{2028}\"\\\\]{0,12}", part in "[\\PC\r\n]{0,8}", ts: i64, etag in "\\PC{0,8}", number: f64, names in prop::collection::vec("[\\PC\r\n]{0,6}", 0..4),
    ) {
        let pk = PartitionKey::from_json(&json!([part, true])).unwrap();
        let members: serde_json::Map<String, Value> = names.iter().map(|name| (name.clone(), json!([number, name]))).collect();
        let document = serde_json::to_string_pretty(&Value::Object(members)).unwrap();
        let put = PutLine { id, pk, ts, etag, document: &document };
        let text = Line::Put(put.clone()).to_text().unwrap();
        prop_assert_eq!(text.find(['\n', '\r']), Some(text.len() - 1));
        let Line::Put(read) = Line::of_text(text.trim_end_matches('\n')).unwrap() else { panic!("{text}") };
        prop_assert_eq!((&read.id, &read.pk, read.ts, &read.etag), (&put.id, &put.pk, put.ts, &put.etag));
        let [one, other] = [read.document, put.document].map(|text| serde_json::from_str::<Value>(text).unwrap());
        prop_assert_eq!(one, other);
    }

    #[test]
    fn any_text_is_read_without_a_panic(text in "[\\PC\"{}\\[\\],:\\\\ ]{0,60}") {
        let _ = Line::of_text(&text);
        let _ = Manifest::of_text(&text);
    }
}
