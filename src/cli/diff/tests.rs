//! Both states and the answer, on a mirror and a container in memory.

use std::sync::Arc;

use cosmirror_formats::{Op, Version};
use serde_json::{Value, json};

use super::*;
use crate::documents::Documents;
use crate::failure::Failure;
use crate::history::memory::{MemoryDocuments, covered_store, key, reader, service_text, version};

/// Versions `v3` to `v6`: created at 1000, changed at 1100, deleted at 1200, created again at 1300, to expire after 50 seconds.
async fn told(from: Option<&str>, to: Option<&str>, live: Option<&str>) -> Result<(Value, Vec<String>), CommandError> {
    let store = covered_store(&json!({"defaultTtl": -1}));
    let texts = [r#"{"id":"d","n":[1,2]}"#, r#"{"id":"d","n":[0,1,2.0]}"#, "", r#"{"id":"d","ttl":50}"#];
    for (place, text) in texts.into_iter().enumerate() {
        let (ts, etag) = (1000 + i64::try_from(place).unwrap() * 100, format!("e{place}"));
        let op = [Op::Create, Op::Replace, Op::Delete, Op::Create][place];
        let made = Version { op, ..version("d", &etag, ts, Some(place as u64 + 1), b"") };
        match text {
            "" => store.add_version(Version { etag: None, ..made }, ""),
            text => store.add_version(made, &service_text(text, &etag, ts)),
        };
    }
    let mirror = reader(&store).await;
    let history = mirror.history(&key("p"), "d").await.unwrap();
    let documents = Arc::new(MemoryDocuments::default());
    if let Some(live) = live {
        documents.set("d", live);
    }
    let open = || {
        let documents = Arc::clone(&documents) as Arc<dyn Documents>;
        async { Ok::<_, Failure>(documents) }
    };
    let asked = asked::both(&history, (from, to))?;
    let (mirror, history) = covered(mirror, history, &asked::instants(asked)).await?;
    let sides = side::sides(&mirror, &history, asked, open).await?;
    let texts = [text(&sides.from, "d", false)?, text(&sides.to, "d", false)?];
    let [from, to] = [document(&texts[0], &sides.from, "d")?, document(&texts[1], &sides.to, "d")?];
    let view = View::new(&history, &sides, [from.as_ref(), to.as_ref()], changes(from.as_ref(), to.as_ref()));
    Ok((serde_json::to_value(&view).unwrap(), view.text()))
}

#[tokio::test]
async fn two_versions_are_compared_line_by_line() {
    let (_, lines) = told(Some("v3"), Some("v4"), None).await.unwrap();
    assert_eq!(
        lines,
        [
            r#"d of partition key ["p"]"#,
            "from: version v3, create of 1970-01-01T00:16:40Z",
            "to:   version v4, replace of 1970-01-01T00:18:20Z",
            "+ /n/0: 0",
            "~ /n/2 (was /n/1): 2 -> 2.0",
        ]
    );
    let (json, lines) = told(Some("v4"), Some("v4"), None).await.unwrap();
    assert_eq!((&json["equal"], lines.last().unwrap().as_str()), (&json!(true), "no difference"));
}

#[tokio::test]
async fn left_out_sides_are_the_newest_version_and_the_one_before() {
    let versions = async |from, to, live| {
        let (json, _) = told(from, to, live).await.unwrap();
        json!([json["from"]["version"], json["to"]["version"]])
    };
    assert_eq!(versions(None, None, None).await, json!(["v5", "v6"]));
    assert_eq!(versions(Some("v3"), None, None).await, json!(["v3", "v6"]));
    assert_eq!(versions(None, Some("v4"), None).await, json!(["v3", "v4"]));
    assert_eq!(versions(None, Some("1970-01-01T00:18:30Z"), None).await, json!(["v3", "v4"]));
    assert_eq!(versions(None, Some("v3"), None).await, json!([null, "v3"]));
    assert_eq!(versions(None, Some("live"), Some(r#"{"id":"d"}"#)).await, json!(["v6", null]));
    // It had expired by then: what it was is compared with nothing.
    assert_eq!(versions(None, Some("1970-01-01T00:23:00Z"), None).await, json!(["v6", "v6"]));
}

#[tokio::test]
async fn where_there_is_no_document_the_other_one_is_told_whole() {
    let (json, lines) = told(Some("v4"), Some("v5"), None).await.unwrap();
    assert_eq!(lines[2], "to:   no document, it was deleted at 1970-01-01T00:20:00Z (version v5)");
    assert_eq!(lines[3], r#"- the document: {"id":"d","n":[0,1,2.0]}"#);
    assert_eq!(json["changes"][0]["path"], "");
    let (json, lines) = told(Some("1970-01-01T00:10:00Z"), Some("1970-01-01T00:17:00Z"), None).await.unwrap();
    assert_eq!(lines[1], "from: as of 1970-01-01T00:10:00Z: no document, it did not exist yet");
    assert_eq!(json["from"]["exists"], false);
    let (json, _) = told(Some("v5"), Some("1970-01-01T00:23:00Z"), None).await.unwrap();
    assert_eq!((&json["equal"], &json["to"]["exists"]), (&json!(true), &json!(false)));
}

#[tokio::test]
async fn the_containers_document_is_compared_without_what_the_service_writes() {
    let (json, lines) = told(None, Some("live"), Some(r#"{"id":"d","ttl":50}"#)).await.unwrap();
    assert_eq!((&json["equal"], &json["to"]["live"]), (&json!(true), &json!(true)));
    assert_eq!(lines[2], "to:   live, written at 1970-01-01T01:06:40Z");
    let (json, lines) = told(Some("v3"), Some("live"), None).await.unwrap();
    assert_eq!((&json["equal"], &json["to"]["exists"]), (&json!(false), &json!(false)));
    assert_eq!(lines[2], "to:   no document, it does not exist in the container");
}

#[tokio::test]
async fn what_is_neither_version_nor_covered_is_refused() {
    let refused = async |from, to| told(from, to, None).await.unwrap_err();
    assert_eq!(refused(Some("v9"), None).await.exit, Exit::NotFound);
    assert!(refused(None, Some("soon")).await.remedy.contains("or live"));
    assert_eq!(refused(Some("2020-01-01T00:00:00Z"), None).await.exit, Exit::NotCovered);
    assert_eq!(refused(None, Some("1970-01-01T00:10:00Z")).await.exit, Exit::NotFound);
}

#[tokio::test]
async fn golden_json_of_a_difference() {
    let (json, _) = told(Some("v3"), Some("1970-01-01T00:18:21Z"), None).await.unwrap();
    let sha256 = |side: &str| json[side]["sha256"].clone();
    let golden = json!({
        "id": "d", "partition_key": ["p"], "equal": false, "notes": [],
        "from": {"live": false, "exists": true, "at": null, "version": "v3", "op": "create", "ts": 1000, "lsn": 1,
            "etag": "e0", "sha256": sha256("from"), "absent": null},
        "to": {"live": false, "exists": true, "at": 1101, "version": "v4", "op": "replace", "ts": 1100, "lsn": 2,
            "etag": "e1", "sha256": sha256("to"), "absent": null},
        "changes": [
            {"op": "add", "path": "/n/0", "to": 0},
            {"op": "replace", "path": "/n/2", "path_from": "/n/1", "from": 2, "to": 2.0},
        ],
    });
    assert_eq!(json, golden);
}
