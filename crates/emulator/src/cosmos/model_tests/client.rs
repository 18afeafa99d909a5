//! A client in the same process: signed requests straight into the service, and the control operations.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use hmac::{Hmac, Mac};
use http::{Request, Response};
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use serde_json::{Value, json};
use sha2::Sha256;
use tempfile::TempDir;

use super::super::keys::Scope;
use super::super::{CosmosService, keys};
use super::reader::Part;
use crate::COSMOS_KEY;
use crate::clock::Clock;

const DATE: &str = "Fri, 20 Nov 2026 18:46:23 GMT";
const DOCS: &str = "/dbs/d/colls/c/docs";

/// A service with one container, whose documents expire if they say so.
pub(super) struct Client {
    service: CosmosService,
    clock: Arc<Clock>,
    folder: TempDir,
}

impl Client {
    pub(super) fn new() -> Self {
        let client = Self::over(tempfile::tempdir().unwrap(), Arc::new(Clock::default()));
        client.expect(201, "POST", "/dbs", &[], r#"{"id":"d"}"#);
        let container = r#"{"id":"c","partitionKey":{"paths":["/pk"],"kind":"Hash","version":2},"defaultTtl":-1}"#;
        client.expect(201, "POST", "/dbs/d/colls", &[], container);
        client
    }

    /// A client of a service made from this one's journal.
    pub(super) fn reopened(self) -> Self {
        let Self { clock, folder, .. } = self;
        Self::over(folder, clock)
    }

    fn over(folder: TempDir, clock: Arc<Clock>) -> Self {
        let service = CosmosService::new(Arc::clone(&clock), SocketAddr::from((Ipv4Addr::LOCALHOST, 8081)));
        service.keep_in(&folder.path().join("journal")).unwrap();
        Self { service, clock, folder }
    }

    pub(super) fn send(&self, verb: &str, path: &str, headers: &[(&str, &str)], body: &str) -> Response<Bytes> {
        let segments: Vec<&str> = path.split('/').filter(|segment| !segment.is_empty()).collect();
        let (kind, link) = match segments.len() {
            n if n % 2 == 0 => (segments[n - 2], segments.join("/")),
            n => (segments[n - 1], segments[..n - 1].join("/")),
        };
        let payload = format!("{}\n{kind}\n{link}\n{}\n\n", verb.to_lowercase(), DATE.to_lowercase());
        let key = STANDARD.decode(COSMOS_KEY).unwrap();
        let mac = Hmac::<Sha256>::new_from_slice(&key).unwrap().chain_update(payload).finalize().into_bytes();
        let token = format!("type=master&ver=1.0&sig={}", STANDARD.encode(mac));
        let token = utf8_percent_encode(&token, NON_ALPHANUMERIC).to_string();
        let mut request =
            Request::builder().method(verb).uri(path).header("authorization", token).header("x-ms-date", DATE);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let (parts, ()) = request.body(()).unwrap().into_parts();
        self.service.handle(&parts, &Bytes::from(body.to_owned()))
    }

    fn expect(&self, status: u16, verb: &str, path: &str, headers: &[(&str, &str)], body: &str) {
        let answer = self.send(verb, path, headers, body);
        assert_eq!(answer.status().as_u16(), status, "{verb} {path}: {}", String::from_utf8_lossy(answer.body()));
    }

    pub(super) fn upsert(&self, key: usize, id: usize, ttl: bool) {
        let document = document(key, id, ttl);
        let header = format!("[\"k{key}\"]");
        let headers = [("x-ms-documentdb-partitionkey", header.as_str()), ("x-ms-documentdb-is-upsert", "True")];
        let answer = self.send("POST", DOCS, &headers, &document.to_string());
        assert!(answer.status().is_success(), "{answer:?}");
    }

    /// Deletes a document, if it is there.
    pub(super) fn delete(&self, key: usize, id: usize) {
        let header = format!("[\"k{key}\"]");
        let headers = [("x-ms-documentdb-partitionkey", header.as_str())];
        let answer = self.send("DELETE", &format!("{DOCS}/i{id}"), &headers, "");
        assert!([204, 404].contains(&answer.status().as_u16()), "{answer:?}");
    }

    /// Upserts and deletes of one key in one transaction; the deletes' documents are written first.
    pub(super) fn batch(&self, key: usize, writes: &[(usize, bool)]) {
        let mut operations = Vec::new();
        for (id, delete) in writes {
            operations.push(json!({"operationType": "Upsert", "resourceBody": document(key, *id, false)}));
            if *delete {
                operations.push(json!({"operationType": "Delete", "id": format!("i{id}")}));
            }
        }
        let header = format!("[\"k{key}\"]");
        let headers = [
            ("x-ms-documentdb-partitionkey", header.as_str()),
            ("x-ms-cosmos-is-batch-request", "True"),
            ("x-ms-cosmos-batch-atomic", "True"),
        ];
        self.expect(200, "POST", DOCS, &headers, &Value::from(operations).to_string());
    }

    /// Splits one of the ranges, if there are not too many.
    pub(super) fn split(&self, nth: usize) {
        let ranges = self.ranges();
        if ranges.len() < 6 {
            let range = &ranges[nth % ranges.len()].0;
            self.service.control("d", "c").unwrap().split(range, None).unwrap();
        }
    }

    /// Merges two ranges that adjoin, if there are two.
    pub(super) fn merge(&self, nth: usize) {
        let ranges = self.ranges();
        if ranges.len() > 1 {
            let first = nth % (ranges.len() - 1);
            let ids = [ranges[first].0.clone(), ranges[first + 1].0.clone()];
            self.service.control("d", "c").unwrap().merge(&ids).unwrap();
        }
    }

    pub(super) fn wait(&self, seconds: u32) {
        self.clock.advance_ms(i64::from(seconds) * 1_000);
    }

    /// The ranges' ids and bounds.
    pub(super) fn ranges(&self) -> Vec<(String, String, String)> {
        let answer = self.send("GET", "/dbs/d/colls/c/pkranges", &[], "");
        let body: Value = serde_json::from_slice(answer.body()).unwrap();
        let ranges = body["PartitionKeyRanges"].as_array().unwrap().iter();
        ranges
            .map(|range| {
                (super::text(&range["id"]), super::text(&range["minInclusive"]), super::text(&range["maxExclusive"]))
            })
            .collect()
    }

    /// The container's history.
    pub(super) fn history(&self) -> Vec<Value> {
        let mut cursor = self.service.history("d", "c").unwrap();
        let mut lines = Vec::new();
        while let Some(chunk) = cursor.next_lines() {
            lines.extend(chunk.lines().map(|line| serde_json::from_str(line).unwrap()));
        }
        lines
    }

    /// Whether a partition key value belongs to what a reader reads.
    pub(super) fn is_in(&self, part: &Part, key: &str) -> bool {
        match part {
            Part::All => true,
            Part::Key(only) => only == key,
            Part::Span { min, max } => {
                let container = self.service.store.container("d", "c").unwrap();
                let epk = container.definition.key(&keys::parse_header(key).unwrap()).unwrap().epk;
                Scope::parse(min, max).unwrap().contains(&epk)
            }
        }
    }
}

fn document(key: usize, id: usize, ttl: bool) -> Value {
    let mut document = json!({"id": format!("i{id}"), "pk": format!("k{key}")});
    if ttl {
        document["ttl"] = json!(20);
    }
    document
}
