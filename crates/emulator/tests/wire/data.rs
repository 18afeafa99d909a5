//! An emulator that keeps its state in a folder: what a client was told comes back at the next start.

use std::path::Path;

use cosmirror_emulator::{DataError, Emulator};
use serde_json::{Value, json};

use crate::support::{Answer, Running, free, start_in};

const DOCS: &str = "/dbs/d/colls/c/docs";
/// An account signature over everything for nine centuries.
const SAS: &str =
    "sp=rwdxyl&ss=b&srt=sco&se=2999-01-01&sv=2024-11-04&sig=XkqrpRKoFF%2FZLeoYLN8BC626ki8PqwU%2FJfrmsBPhlAc%3D";
const LISTING: &str = "restype=container&comp=list&include=metadata,snapshots,versions,deleted,deletedwithversions";

async fn control(emulator: &Running, name: &str, body: Value) {
    let answer = emulator.control("POST", name, &body.to_string()).await;
    assert_eq!(answer.status, 200, "{name}: {}", answer.text);
}

/// Everything that a client can see of the documents, but for times and numbers of the answers themselves.
async fn documents(emulator: &Running) -> Vec<String> {
    let mut seen = Vec::new();
    for path in ["/dbs", "/dbs/d", "/dbs/d/colls", "/dbs/d/colls/c", "/dbs/d/colls/c/pkranges"] {
        seen.push(emulator.send("GET", path, &[], "").await.text);
    }
    seen.push(emulator.control("GET", "history?database=d&container=c", "").await.text);
    let ranges: Value = serde_json::from_str(&seen[4]).unwrap();
    for range in ranges["PartitionKeyRanges"].as_array().unwrap() {
        for (mode, etag) in [("Incremental Feed", "\"0\""), ("Full-Fidelity Feed", "\"0\"")] {
            let answer = page(emulator, range["id"].as_str().unwrap(), mode, etag).await;
            seen.push(format!("{} {} {}", answer.status, answer.header("etag"), answer.text));
        }
    }
    seen
}

async fn page(emulator: &Running, range: &str, mode: &str, etag: &str) -> Answer {
    let headers = [
        ("a-im", mode),
        ("if-none-match", etag),
        ("x-ms-max-item-count", "-1"),
        ("x-ms-documentdb-partitionkeyrangeid", range),
    ];
    emulator.send("GET", DOCS, &headers, "").await
}

/// A container with a past: transactions, removals, an expiry, a split, a merge, another description.
async fn fill(emulator: &Running) {
    emulator.create_container(r#"{"id":"c","partitionKey":{"paths":["/pk"],"version":2},"defaultTtl":-1}"#).await;
    emulator.send("POST", "/dbs/d/colls", &[], r#"{"id":"gone","partitionKey":{"paths":["/pk"]}}"#).await;
    emulator.send("POST", "/dbs", &[], r#"{"id":"empty"}"#).await;
    for key in 0..8 {
        let header = format!("[\"k{key}\"]");
        let batch = json!([
            {"operationType": "Create", "resourceBody": {"id": "a", "pk": format!("k{key}"), "text": "schön\n"}},
            {"operationType": "Create", "resourceBody": {"id": "b", "pk": format!("k{key}"), "ttl": 5}},
            {"operationType": "Delete", "id": "a"},
            {"operationType": "Create", "resourceBody": {"id": "a", "pk": format!("k{key}"), "n": 1.50}},
        ]);
        let headers = [
            ("x-ms-documentdb-partitionkey", header.as_str()),
            ("x-ms-cosmos-is-batch-request", "True"),
            ("x-ms-cosmos-batch-atomic", "True"),
        ];
        assert_eq!(emulator.send("POST", DOCS, &headers, &batch.to_string()).await.status, 200);
    }
    let container = json!({"database": "d", "container": "c"});
    let with = |name: &str, value: Value| {
        let mut body = container.clone();
        body[name] = value;
        body
    };
    control(emulator, "split", with("range", json!("0"))).await;
    control(emulator, "split", with("range", json!("1"))).await;
    emulator.upsert("[\"k3\"]", r#"{"id":"a","pk":"k3","after":"the split"}"#).await;
    control(emulator, "merge", with("ranges", json!(["3", "4"]))).await;
    control(emulator, "clock", json!({"service": "cosmos", "advanceSeconds": 3600})).await;
    let replaced = r#"{"id":"c","partitionKey":{"paths":["/pk"],"version":2},"defaultTtl":9000,"own":{"kept":true}}"#;
    assert_eq!(emulator.send("PUT", "/dbs/d/colls/c", &[], replaced).await.status, 200);
    assert_eq!(emulator.send("DELETE", "/dbs/d/colls/gone", &[], "").await.status, 204);
    control(emulator, "retention", with("seconds", json!(7200))).await;
    emulator.upsert("[\"k5\"]", r#"{"id":"last","pk":"k5"}"#).await;
}

#[tokio::test]
async fn the_documents_come_back_as_they_were_and_go_on() {
    let folder = tempfile::tempdir().unwrap();
    let emulator = start_in(folder.path()).await;
    fill(&emulator).await;
    let before = documents(&emulator).await;
    assert!(before[5].lines().any(|line| line.contains("\"op\":\"expire\"")));
    let etag = page(&emulator, "5", "Full-Fidelity Feed", "*").await.header("etag").to_owned();
    emulator.stop().await;

    let emulator = start_in(folder.path()).await;
    assert_eq!(documents(&emulator).await, before);
    let mut known: Vec<String> = before[5].lines().map(|line| text(line, "etag")).collect();
    for key in 0..8 {
        emulator.upsert(&format!("[\"k{key}\"]"), &format!("{{\"id\":\"new\",\"pk\":\"k{key}\"}}")).await;
    }
    let after = emulator.control("GET", "history?database=d&container=c", "").await.text;
    assert_eq!(after.lines().count(), before[5].lines().count() + 8);
    for line in after.lines().skip(before[5].lines().count()) {
        let new = text(line, "etag");
        assert!(!known.contains(&new), "an entity tag is never given twice");
        known.push(new);
    }
    let new = page(&emulator, "5", "Full-Fidelity Feed", &etag).await;
    assert_eq!(new.status, 200, "a continuation of before holds: {}", new.text);
    let number = |answer: Answer| answer.json()["_rid"].clone();
    let empty = number(emulator.send("GET", "/dbs/empty", &[], "").await);
    assert_ne!(empty, number(emulator.send("POST", "/dbs", &[], r#"{"id":"next"}"#).await));
    emulator.stop().await;
}

fn text(line: &str, name: &str) -> String {
    serde_json::from_str::<Value>(line).unwrap()[name].as_str().unwrap().to_owned()
}

#[tokio::test]
async fn a_journal_that_ends_anywhere_gives_a_beginning_of_the_history() {
    let folder = tempfile::tempdir().unwrap();
    let emulator = start_in(folder.path()).await;
    fill(&emulator).await;
    let history = emulator.control("GET", "history?database=d&container=c", "").await.text;
    emulator.stop().await;
    let journal = std::fs::read(folder.path().join("cosmos.journal")).unwrap();
    for part in 1..12 {
        let cut = tempfile::tempdir().unwrap();
        std::fs::write(cut.path().join("cosmos.journal"), &journal[..journal.len() * part / 12]).unwrap();
        let emulator = start_in(cut.path()).await;
        // The rest of an expiry may follow by itself: only what stands in the journal is compared.
        control(&emulator, "clock", json!({"offsetSeconds": 0})).await;
        let answer = emulator.control("GET", "history?database=d&container=c", "").await;
        let kept = if answer.status == 200 { answer.text } else { String::new() };
        assert!(history.starts_with(&kept), "{part}: {kept}");
        assert!(part < 6 || !kept.is_empty());
        emulator.stop().await;
    }
}

#[tokio::test]
async fn a_folder_has_one_emulator_and_damage_is_told() {
    let folder = tempfile::tempdir().unwrap();
    let emulator = start_in(folder.path()).await;
    fill(&emulator).await;
    let refused = |folder: &Path| {
        let folder = folder.to_owned();
        async move { Emulator::bind(free()).await.unwrap().with_data(&folder).unwrap_err() }
    };
    assert!(matches!(refused(folder.path()).await, DataError::InUse { .. }));
    emulator.stop().await;
    let path = folder.path().join("cosmos.journal");
    let mut journal = std::fs::read(&path).unwrap();
    let middle = journal.len() / 2;
    journal[middle] ^= 1;
    std::fs::write(&path, &journal).unwrap();
    let error = refused(folder.path()).await.to_string();
    assert!(error.contains("cosmos.journal is damaged at byte"), "{error}");
    std::fs::write(&path, "something else").unwrap();
    assert!(refused(folder.path()).await.to_string().contains("is no journal of this version"));
}

async fn blob(emulator: &Running, verb: &str, path: &str, headers: &[(&str, &str)], body: &str) -> (u16, String) {
    let joint = if path.contains('?') { '&' } else { '?' };
    let url = format!("http://{}/devstoreaccount1{path}{joint}{SAS}", emulator.blob);
    let mut request = reqwest::Client::new().request(verb.parse().unwrap(), url).body(body.to_owned());
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    let response = request.send().await.unwrap();
    (response.status().as_u16(), response.text().await.unwrap())
}

#[tokio::test]
async fn the_blobs_come_back_with_all_their_versions() {
    let folder = tempfile::tempdir().unwrap();
    let emulator = start_in(folder.path()).await;
    let block = ("x-ms-blob-type", "BlockBlob");
    assert_eq!(blob(&emulator, "PUT", "/con?restype=container", &[], "").await.0, 201);
    for round in 0..4 {
        // The middle rounds write without versions.
        control(&emulator, "storage", json!({"versioning": round % 3 == 0, "softDeleteDays": 3})).await;
        for name in ["a", "b", "c"] {
            let path = format!("/con/{name}");
            let headers = [block, ("x-ms-meta-round", "r")];
            assert_eq!(blob(&emulator, "PUT", &path, &headers, &format!("{name}{round}")).await.0, 201);
        }
        assert_eq!(blob(&emulator, "PUT", "/con/a?comp=snapshot", &[], "").await.0, 201);
        assert_eq!(blob(&emulator, "DELETE", "/con/b", &[], "").await.0, 202);
        let stale = [block, ("if-match", "\"0x1\"")];
        assert_eq!(blob(&emulator, "PUT", "/con/c", &stale, "no").await.0, 412);
        control(&emulator, "clock", json!({"service": "blob", "advanceSeconds": 86_400})).await;
    }
    let key = "MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIzNDU2Nzg5MDE=";
    let secret = [block, ("x-ms-encryption-key", key), ("x-ms-encryption-algorithm", "AES256")];
    assert_eq!(blob(&emulator, "PUT", "/con/secret", &secret, "s").await.0, 501, "keys must not get into a file");
    assert!(!String::from_utf8_lossy(&std::fs::read(folder.path().join("blob.journal")).unwrap()).contains(key));
    assert_eq!(blob(&emulator, "PUT", "/con/d?comp=block&blockid=AAAA", &[], "staged").await.0, 201);
    let read = |emulator: Running| async move {
        let (status, listing) = blob(&emulator, "GET", &format!("/con?{LISTING}"), &[], "").await;
        let listing = (status, listing.replace(&emulator.blob.to_string(), "here"));
        let content = blob(&emulator, "GET", "/con/a", &[], "").await;
        (emulator, listing, content)
    };
    let (emulator, listing, content) = read(emulator).await;
    assert!(listing.1.matches("<Blob>").count() > 10, "{}", listing.1);
    emulator.stop().await;
    let (emulator, again, same) = read(start_in(folder.path()).await).await;
    assert_eq!((again, same), (listing, content));
    let commit = "<BlockList><Latest>AAAA</Latest></BlockList>";
    assert_eq!(blob(&emulator, "PUT", "/con/d?comp=blocklist", &[], commit).await.0, 201);
    assert_eq!(blob(&emulator, "GET", "/con/d", &[], "").await.1, "staged");
    emulator.stop().await;
}
