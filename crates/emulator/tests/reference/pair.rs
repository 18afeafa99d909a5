//! Both emulators, and the requests that go to both.
//!
//! A request may quote an earlier answer, each emulator its own: `«name of the request|etag»` is that answer's header,
//! `«name of the request|/_rid»` what the JSON pointer finds in its body.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use azure_core::http::{Method, Request, Url};
use azure_data_cosmos_driver::in_memory_emulator::{
    ContainerConfig, Epk, InMemoryEmulatorHttpClient, VirtualAccountConfig, VirtualRegion,
};
use azure_data_cosmos_driver::models::PartitionKeyDefinition;
use cosmirror_emulator::COSMOS_KEY;
use percent_encoding::percent_decode_str;
use serde_json::{Value, json};

use crate::difference::{ABSENT, Difference, compare, compare_since};
use crate::support::{Running, sign, start};

/// A request that both get.
pub(crate) struct Ask {
    name: String,
    verb: &'static str,
    /// Percent-encoded, as it goes over the wire.
    path: String,
    headers: Vec<(String, String)>,
    body: String,
    /// Whether the documents of the answer are compared without regard to their order.
    unordered: bool,
    /// The name of an earlier request, to which this one's answer is related.
    since: Option<String>,
}

impl Ask {
    fn new(verb: &'static str, name: &str, path: &str) -> Self {
        let (headers, body) = (Vec::new(), String::new());
        Self { name: name.to_owned(), verb, path: path.to_owned(), headers, body, unordered: false, since: None }
    }

    pub(crate) fn get(name: &str, path: &str) -> Self {
        Self::new("GET", name, path)
    }

    pub(crate) fn delete(name: &str, path: &str) -> Self {
        Self::new("DELETE", name, path)
    }

    pub(crate) fn post(name: &str, path: &str, body: impl Into<String>) -> Self {
        Self { body: body.into(), ..Self::new("POST", name, path) }
    }

    pub(crate) fn put(name: &str, path: &str, body: impl Into<String>) -> Self {
        Self { body: body.into(), ..Self::new("PUT", name, path) }
    }

    pub(crate) fn patch(name: &str, path: &str, body: impl Into<String>) -> Self {
        Self { body: body.into(), ..Self::new("PATCH", name, path) }
    }

    pub(crate) fn with(mut self, name: &str, value: &str) -> Self {
        self.headers.push((name.to_owned(), value.to_owned()));
        self
    }

    /// Names the partition key, a JSON array.
    pub(crate) fn key(self, key: &str) -> Self {
        self.with("x-ms-documentdb-partitionkey", key)
    }

    pub(crate) fn if_match(self, etag: &str) -> Self {
        self.with("if-match", etag)
    }

    pub(crate) fn if_none_match(self, etag: &str) -> Self {
        self.with("if-none-match", etag)
    }

    pub(crate) fn upsert(self) -> Self {
        self.with("x-ms-documentdb-is-upsert", "True")
    }

    pub(crate) fn minimal(self) -> Self {
        self.with("prefer", "return=minimal")
    }

    /// Compares how the answer relates to that of an earlier request, too.
    pub(crate) fn since(self, name: &str) -> Self {
        Self { since: Some(name.to_owned()), ..self }
    }

    /// For changes of different keys in what were different ranges: their order is nobody's promise.
    pub(crate) fn unordered(self) -> Self {
        Self { unordered: true, ..self }
    }

    pub(crate) fn range(self, id: &str) -> Self {
        self.with("x-ms-documentdb-partitionkeyrangeid", id)
    }

    pub(crate) fn items_max(self, count: &str) -> Self {
        self.with("x-ms-max-item-count", count)
    }
}

/// An answer, read to its end. Header names are in lower case.
#[derive(Debug, Clone)]
pub(crate) struct Reply {
    pub(crate) status: u16,
    pub(crate) headers: BTreeMap<String, String>,
    pub(crate) text: String,
}

impl Reply {
    /// Sorts the documents by their ids.
    fn sort(&mut self) {
        let mut body: Value = serde_json::from_str(&self.text).unwrap();
        let documents = body["Documents"].as_array_mut().unwrap();
        documents.sort_by_key(|document| document["id"].to_string());
        self.text = body.to_string();
    }

    /// What a later request quotes; `absent` if it is not there, which that request's answers then show.
    fn quoted(&self, what: &str) -> String {
        if !what.starts_with('/') {
            return self.headers.get(what).map_or(ABSENT, String::as_str).to_owned();
        }
        let body: Value = serde_json::from_str(&self.text).unwrap_or_default();
        match body.pointer(what) {
            Some(Value::String(text)) => text.clone(),
            other => other.map_or_else(|| ABSENT.to_owned(), Value::to_string),
        }
    }
}

/// Which of the two.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Side {
    Ours,
    Theirs,
}

/// The two emulators, what they have answered so far, and where that differed.
pub(crate) struct Pair {
    pub(crate) ours: Running,
    theirs: InMemoryEmulatorHttpClient,
    answers: BTreeMap<String, (Reply, Reply)>,
    pub(crate) differences: BTreeSet<Difference>,
}

impl Pair {
    /// Starts both, empty. They go by the same address.
    pub(crate) async fn start() -> Self {
        let ours = start().await;
        let region = VirtualRegion::new("Local", Url::parse(&ours.endpoint()).unwrap());
        let theirs = InMemoryEmulatorHttpClient::new(VirtualAccountConfig::new(vec![region]).unwrap());
        Self { ours, theirs, answers: BTreeMap::new(), differences: BTreeSet::new() }
    }

    /// Creates a container of database `d` with as many ranges in both. Over the wire theirs would always have four.
    pub(crate) async fn container(&self, id: &str, key: &Value) {
        let definition: PartitionKeyDefinition = serde_json::from_value(key.clone()).unwrap();
        let config = ContainerConfig::new().with_partition_count(1);
        self.theirs.store().create_container_with_config("d", id, definition, config);
        let description = json!({"id": id, "partitionKey": key}).to_string();
        let created = self.ours.send("POST", "/dbs/d/colls", &[], &description).await;
        assert_eq!(created.status, 201, "{}", created.text);
    }

    /// Creates a container with so many ranges and the key path `/pk` in both.
    pub(crate) async fn divided_container(&self, id: &str, ranges: u32) {
        let definition = json!({"paths": ["/pk"], "kind": "Hash", "version": 2});
        let definition: PartitionKeyDefinition = serde_json::from_value(definition).unwrap();
        let config = ContainerConfig::new().with_partition_count(ranges);
        self.theirs.store().create_container_with_config("d", id, definition, config);
        let seed = json!({"database": "d", "container": id, "partitions": ranges});
        let answer = self.ours.control("POST", "seed", &seed.to_string()).await;
        assert_eq!(answer.status, 200, "{}", answer.text);
    }

    /// Splits a range of a container at an effective partition key in both.
    pub(crate) async fn split(&self, container: &str, range: u32, at: &str) {
        let body = json!({"database": "d", "container": container, "range": range.to_string(), "at": at});
        let answer = self.ours.control("POST", "split", &body.to_string()).await;
        assert_eq!(answer.status, 200, "{}", answer.text);
        let at = Epk::try_from(at).unwrap();
        let store = self.theirs.store();
        store.split_partition_and_wait("d", container, range, at, Duration::ZERO).await.unwrap();
    }

    /// Merges two ranges of a container in both.
    pub(crate) async fn merge(&self, container: &str, first: u32, second: u32) {
        let ranges = [first.to_string(), second.to_string()];
        let body = json!({"database": "d", "container": container, "ranges": ranges});
        let answer = self.ours.control("POST", "merge", &body.to_string()).await;
        assert_eq!(answer.status, 200, "{}", answer.text);
        self.theirs.store().merge_partitions_and_wait("d", container, first, second, Duration::ZERO).await.unwrap();
    }

    /// How many requests were compared.
    pub(crate) fn count(&self) -> usize {
        self.answers.len()
    }

    /// Sends a request to both and notes where the answers differ.
    pub(crate) async fn ask(&mut self, ask: Ask) {
        let mut ours = self.ask_ours(&ask).await;
        let mut theirs = self.ask_theirs(&ask).await;
        if ask.unordered {
            ours.sort();
            theirs.sort();
        }
        if std::env::var_os("REFERENCE_SHOW").is_some_and(|shown| ask.name.contains(&*shown.to_string_lossy())) {
            eprintln!("{} {} {}\n ours:   {ours:?}\n theirs: {theirs:?}", ask.name, ask.verb, ask.path);
        }
        self.differences.extend(compare(&ask.name, &ours, &theirs));
        if let Some((our_earlier, their_earlier)) = ask.since.as_ref().map(|name| self.answers(name)) {
            let found = compare_since(&ask.name, [our_earlier, &ours], [their_earlier, &theirs]);
            self.differences.extend(found);
        }
        let before = self.answers.insert(ask.name.clone(), (ours, theirs));
        assert!(before.is_none(), "two requests are called {:?}", ask.name);
    }

    fn answers(&self, name: &str) -> (&Reply, &Reply) {
        let (ours, theirs) = self.answers.get(name).unwrap_or_else(|| panic!("no request was called {name:?}"));
        (ours, theirs)
    }

    /// Sends requests one after the other.
    pub(crate) async fn ask_all(&mut self, asks: impl IntoIterator<Item = Ask>) {
        for ask in asks {
            self.ask(ask).await;
        }
    }

    async fn ask_ours(&self, ask: &Ask) -> Reply {
        let (path, headers, body) = self.resolved(ask, Side::Ours);
        let headers: Vec<(&str, &str)> = headers.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
        let answer = self.ours.raw(ask.verb, &path, &headers, &body).await.unwrap();
        let headers = answer
            .headers
            .iter()
            .map(|(name, value)| (name.as_str().to_owned(), String::from_utf8_lossy(value.as_bytes()).into_owned()))
            .collect();
        Reply { status: answer.status, headers, text: answer.text }
    }

    async fn ask_theirs(&self, ask: &Ask) -> Reply {
        let (path, headers, body) = self.resolved(ask, Side::Theirs);
        let url = Url::parse(&self.ours.endpoint()).unwrap().join(&path).unwrap();
        let mut request = Request::new(url, ask.verb.parse::<Method>().unwrap());
        for (name, value) in headers {
            request.insert_header(name, value);
        }
        request.set_body(body.into_bytes());
        let response = self.theirs.execute_request(&request).await.unwrap();
        let raw = response.try_into_raw_response().await.unwrap();
        let headers = raw.headers().iter();
        let headers = headers.map(|(name, value)| (name.as_str().to_lowercase(), value.as_str().to_owned())).collect();
        let text = String::from_utf8(raw.body().as_ref().to_vec()).unwrap();
        Reply { status: u16::from(raw.status()), headers, text }
    }

    /// The request as one side gets it: signed, and with what it quotes put in.
    fn resolved(&self, ask: &Ask, side: Side) -> (String, Vec<(String, String)>, String) {
        let path = self.filled(&ask.path, side);
        let segments: Vec<String> = path
            .split('/')
            .filter(|segment| !segment.is_empty())
            .map(|segment| percent_decode_str(segment).decode_utf8().unwrap().into_owned())
            .collect();
        let segments: Vec<&str> = segments.iter().map(String::as_str).collect();
        let authorization = sign(ask.verb, &segments, COSMOS_KEY);
        let headers = ask.headers.iter().map(|(name, value)| (name.clone(), self.filled(value, side)));
        let headers = headers.chain([("authorization".to_owned(), authorization)]).collect();
        (path, headers, self.filled(&ask.body, side))
    }

    fn filled(&self, template: &str, side: Side) -> String {
        let mut parts = template.split('«');
        let mut text = parts.next().unwrap_or_default().to_owned();
        for part in parts {
            let (quotation, rest) = part.split_once('»').unwrap();
            let (name, what) = quotation.split_once('|').unwrap();
            let (ours, theirs) = self.answers(name);
            text.push_str(&if side == Side::Ours { ours } else { theirs }.quoted(what));
            text.push_str(rest);
        }
        text
    }
}
