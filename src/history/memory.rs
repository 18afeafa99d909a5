//! A mirror and a container of documents in memory, for tests: with faults to order.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use bytes::Bytes;
use cosmirror_formats::version::sha256_hex;
use cosmirror_formats::{MirrorPaths, Op, PartitionKey, Version};
use futures::StreamExt as _;
use futures::stream::BoxStream;
use serde_json::json;
use tokio_util::sync::CancellationToken;

use super::{DocumentHistory, Entry, Life, MirrorReader, Place};
use crate::documents::{Document, Documents};
use crate::encryption::{Identities, Recipients};
use crate::failure::{Failure, Kind};
use crate::store::{Condition, Head, Listing, Page, Put, Stored, VersionStore};

/// A version of document `d` with identity `name`.
pub(crate) fn entry(name: &str, ts: i64, lsn: Option<u64>) -> Entry {
    Entry {
        version: version("d", name, ts, lsn, b""),
        place: Place::Version { name: "n".to_owned(), version: name.to_owned() },
        length: 0,
        current: false,
        life: Life::default(),
    }
}

pub(crate) fn version(id: &str, etag: &str, ts: i64, lsn: Option<u64>, body: &[u8]) -> Version {
    Version {
        op: Op::Replace,
        ts,
        lsn,
        nth: None,
        lineage: "l".to_owned(),
        etag: Some(etag.to_owned()),
        rid: "rid".to_owned(),
        id: id.to_owned(),
        pk: key("p"),
        prev: None,
        after: None,
        omitted: None,
        encryption: None,
        sha256: sha256_hex(body),
    }
}

pub(crate) fn history(entries: Vec<Entry>) -> DocumentHistory {
    DocumentHistory { key: key("p"), id: "d".to_owned(), entries, unreadable: Vec::new() }
}

pub(crate) fn key(value: &str) -> PartitionKey {
    PartitionKey::from_json(&json!([value])).unwrap()
}

pub(crate) fn paths() -> MirrorPaths {
    MirrorPaths::new("", "db", "c")
}

/// A document's text as the service gives it out.
pub(crate) fn service_text(body: &str, etag: &str, ts: i64) -> String {
    let open = body.strip_suffix('}').unwrap();
    format!("{open},\"_rid\":\"r\",\"_etag\":{},\"_ts\":{ts}}}", serde_json::Value::from(etag))
}

#[derive(Default)]
struct Blobs {
    objects: BTreeMap<String, Vec<(Head, Bytes)>>,
    faults: VecDeque<Failure>,
    puts: u64,
}

/// A version store whose listings have pages of two versions.
#[derive(Default)]
pub(crate) struct MemoryStore {
    blobs: Mutex<Blobs>,
}

impl MemoryStore {
    /// The next request fails with `kind`.
    pub(crate) fn fail_next(&self, kind: Kind) {
        self.blobs.lock().unwrap().faults.push_back(Failure::new(kind, "ordered"));
    }

    /// Replaces the bytes of every version of a name, as a damaged disk would.
    pub(crate) fn damage(&self, name: &str) {
        for (_, bytes) in self.blobs.lock().unwrap().objects.get_mut(name).unwrap() {
            *bytes = Bytes::from_static(b"{\"damaged\":true}");
        }
    }

    /// Encrypts every version that is not yet, as a store that encrypts would have put it.
    pub(crate) fn encrypt(&self, recipients: &Recipients) {
        for (head, bytes) in self.blobs.lock().unwrap().objects.values_mut().flatten() {
            let is_plain = head.metadata.contains_key("op") && !head.metadata.contains_key("encryption");
            if is_plain && !bytes.is_empty() {
                *bytes = recipients.encrypt_version(bytes, &mut head.metadata).unwrap();
                head.length = bytes.len() as u64;
            }
        }
    }

    /// Removes the oldest version of a name, as a lifecycle rule would.
    pub(crate) fn lose_oldest(&self, name: &str) {
        self.blobs.lock().unwrap().objects.get_mut(name).unwrap().remove(0);
    }

    /// Names under a prefix.
    pub(crate) fn names(&self, prefix: &str) -> Vec<String> {
        self.blobs.lock().unwrap().objects.keys().filter(|name| name.starts_with(prefix)).cloned().collect()
    }

    fn add(&self, put: Put) -> Stored {
        let mut blobs = self.blobs.lock().unwrap();
        blobs.puts += 1;
        let version = format!("v{}", blobs.puts);
        let head = Head {
            name: put.name.clone(),
            version: version.clone(),
            etag: version.clone(),
            current: true,
            length: put.body.len() as u64,
            metadata: put.metadata,
        };
        let versions = blobs.objects.entry(put.name).or_default();
        versions.iter_mut().for_each(|(head, _)| head.current = false);
        versions.push((head, put.body));
        Stored { etag: version.clone(), version }
    }

    /// Stores a JSON record.
    pub(crate) fn add_record(&self, name: &str, record: &serde_json::Value) {
        let body = Bytes::from(record.to_string());
        self.add(Put { name: name.to_owned(), body, metadata: BTreeMap::new(), condition: Condition::Absent });
    }

    /// Stores a version of its document on top of what is there, with `prev` set accordingly.
    pub(crate) fn add_version(&self, mut version: Version, body: &str) -> Stored {
        let name = paths().document(&version.pk, &version.id);
        let beneath = self.blobs.lock().unwrap().objects.get(&name).and_then(|versions| versions.last().cloned());
        version.prev = beneath.map(|(head, _)| Version::from_metadata(&head.metadata).unwrap().identity());
        version.sha256 = sha256_hex(body.as_bytes());
        let metadata = version.to_metadata();
        self.add(Put { name, body: Bytes::from(body.to_owned()), metadata, condition: Condition::Absent })
    }

    fn fault(&self) -> Result<(), Failure> {
        self.blobs.lock().unwrap().faults.pop_front().map_or(Ok(()), Err)
    }
}

#[async_trait]
impl VersionStore for MemoryStore {
    async fn prepare(&self, _create: bool) -> Result<(), Failure> {
        Ok(())
    }

    async fn put(&self, put: Put) -> Result<Stored, Failure> {
        self.fault()?;
        let current = self.head(&put.name).await?.map(|head| head.etag);
        match (&put.condition, current) {
            (Condition::Absent, None) => Ok(self.add(put)),
            (Condition::Matches(etag), Some(current)) if *etag == current => Ok(self.add(put)),
            _ => Err(Failure::new(Kind::Conflict, "condition")),
        }
    }

    async fn head(&self, name: &str) -> Result<Option<Head>, Failure> {
        Ok(self.get(name, None).await?.map(|(head, _)| head))
    }

    async fn get(&self, name: &str, version: Option<&str>) -> Result<Option<(Head, Bytes)>, Failure> {
        self.fault()?;
        let blobs = self.blobs.lock().unwrap();
        let wanted = |head: &Head| version.map_or(head.current, |version| head.version == version);
        Ok(blobs.objects.get(name).and_then(|versions| versions.iter().find(|(head, _)| wanted(head)).cloned()))
    }

    async fn list(&self, prefix: &str, listing: Listing, next: Option<String>) -> Result<Page, Failure> {
        self.fault()?;
        let blobs = self.blobs.lock().unwrap();
        let all: Vec<Head> = blobs
            .objects
            .iter()
            .filter(|(name, _)| name.starts_with(prefix))
            .flat_map(|(_, versions)| versions.iter().map(|(head, _)| head.clone()))
            .filter(|head| listing == Listing::Versions || head.current)
            .collect();
        let from: usize = next.map_or(0, |next| next.parse().unwrap());
        let heads: Vec<Head> = all.iter().skip(from).take(2).cloned().collect();
        let next = (from + heads.len() < all.len()).then(|| (from + heads.len()).to_string());
        Ok(Page { heads, next })
    }
}

/// What happens to the next write.
#[derive(Debug, Clone)]
pub(crate) enum Fault {
    /// It is done.
    None,
    /// It is not done and fails with this kind.
    Fails(Kind),
    /// It is done and the answer is lost.
    LosesAnswer,
    /// It is not done because somebody else wrote the document just before.
    Overtaken,
    /// It is done, but something else is stored.
    Garbles,
    /// It is done, and meanwhile this is cancelled.
    Cancels(CancellationToken),
}

#[derive(Default)]
struct Container {
    documents: BTreeMap<String, Document>,
    faults: VecDeque<Fault>,
    reads: u64,
    writes: u64,
    etags: u64,
    refuses_queries: bool,
}

/// A container of documents.
#[derive(Default)]
pub(crate) struct MemoryDocuments {
    container: Mutex<Container>,
}

impl MemoryDocuments {
    /// Orders a fault for the next write that has none yet.
    pub(crate) fn order(&self, fault: Fault) {
        self.container.lock().unwrap().faults.push_back(fault);
    }

    /// What a client would find, without the service's properties.
    pub(crate) fn text(&self, id: &str) -> Option<String> {
        let container = self.container.lock().unwrap();
        let document = container.documents.get(&place(&key("p"), id))?;
        let text = std::str::from_utf8(&document.bytes).unwrap();
        Some(cosmirror_formats::feed_page::without_system_properties(text).unwrap())
    }

    /// No query is answered any more.
    pub(crate) fn refuse_queries(&self) {
        self.container.lock().unwrap().refuses_queries = true;
    }

    /// How many documents were asked for.
    pub(crate) fn reads(&self) -> u64 {
        self.container.lock().unwrap().reads
    }

    /// How many writes were done.
    pub(crate) fn writes(&self) -> u64 {
        self.container.lock().unwrap().writes
    }

    /// Puts a document as an application would; gives its etag.
    pub(crate) fn set(&self, id: &str, body: &str) -> String {
        self.container.lock().unwrap().store(&place(&key("p"), id), body)
    }

    /// Puts a document exactly as it stands.
    pub(crate) fn set_exactly(&self, id: &str, text: &str, etag: &str) {
        let document = Document { bytes: Bytes::from(text.to_owned()), etag: etag.to_owned() };
        self.container.lock().unwrap().documents.insert(place(&key("p"), id), document);
    }

    /// Removes a document as an application would.
    pub(crate) fn remove(&self, id: &str) {
        self.container.lock().unwrap().documents.remove(&place(&key("p"), id));
    }

    fn write(&self, place: &str, expected: Option<&str>, body: Option<&str>) -> Result<String, Failure> {
        let mut container = self.container.lock().unwrap();
        let fault = container.faults.pop_front();
        if let Some(Fault::Cancels(cancel)) = &fault {
            cancel.cancel();
        }
        if let Some(Fault::Overtaken) = fault {
            container.store(place, r#"{"id":"x","by":"somebody else"}"#);
        }
        if let Some(Fault::Fails(kind)) = fault {
            return Err(Failure::new(kind, "ordered"));
        }
        let current = container.documents.get(place).map(|document| document.etag.clone());
        match (expected, current) {
            (None, Some(_)) => return Err(Failure::new(Kind::Conflict, "it exists")),
            (Some(_), None) => return Err(Failure::new(Kind::NotFound, "it is gone")),
            (Some(expected), Some(current)) if expected != current => {
                return Err(Failure::new(Kind::Conflict, "it has another etag"));
            }
            _ => {}
        }
        let garbled = r#"{"garbled":true}"#;
        let etag = match body {
            Some(body) => container.store(place, if let Some(Fault::Garbles) = fault { garbled } else { body }),
            None => {
                container.documents.remove(place);
                String::new()
            }
        };
        container.writes += 1;
        if let Some(Fault::LosesAnswer) = fault { Err(Failure::new(Kind::Transient, "answer lost")) } else { Ok(etag) }
    }
}

impl Container {
    fn store(&mut self, place: &str, body: &str) -> String {
        self.etags += 1;
        let etag = format!("\"live-{}\"", self.etags);
        let bytes = Bytes::from(service_text(body, &etag, 4_000));
        self.documents.insert(place.to_owned(), Document { bytes, etag: etag.clone() });
        etag
    }
}

fn place(key: &PartitionKey, id: &str) -> String {
    format!("{key}{id}")
}

#[async_trait]
impl Documents for MemoryDocuments {
    async fn read(&self, key: &PartitionKey, id: &str) -> Result<Option<Document>, Failure> {
        // A request is never answered at once: what needs no read is done before what does.
        tokio::task::yield_now().await;
        let mut container = self.container.lock().unwrap();
        container.reads += 1;
        Ok(container.documents.get(&place(key, id)).cloned())
    }

    async fn create(&self, key: &PartitionKey, id: &str, body: Bytes) -> Result<String, Failure> {
        self.write(&place(key, id), None, Some(std::str::from_utf8(&body).unwrap()))
    }

    async fn replace(&self, key: &PartitionKey, id: &str, body: Bytes, etag: &str) -> Result<String, Failure> {
        self.write(&place(key, id), Some(etag), Some(std::str::from_utf8(&body).unwrap()))
    }

    async fn delete(&self, key: &PartitionKey, id: &str, etag: &str) -> Result<(), Failure> {
        self.write(&place(key, id), Some(etag), None).map(drop)
    }

    fn query<'a>(&'a self, sql: &str, parameters: &[(&str, &str)]) -> BoxStream<'a, Result<Vec<Bytes>, Failure>> {
        let since = |before: &str| sql.split_once(before).and_then(|(_, since)| since.parse::<i64>().ok());
        let since = since("c._ts > ").map(|since| since + 1).or_else(|| since("c._ts >= "));
        let parameter = |of: &str| parameters.iter().find(|(name, _)| *name == of).map(|(_, value)| *value);
        let (prefix, key) = (parameter("@prefix"), parameter("@k0"));
        let rows = sql.starts_with("SELECT c.id, c._etag, c._ts, c[\"pk\"] AS k0 FROM c");
        let asked_for = |document: &Document| {
            let found: serde_json::Value = serde_json::from_slice(&document.bytes).unwrap();
            let selected = since.is_none_or(|since| found["_ts"].as_i64().unwrap() >= since)
                && prefix.is_none_or(|prefix| found["id"].as_str().unwrap().starts_with(prefix))
                && key.is_none_or(|key| found["pk"] == key);
            let row = || json!({"id": found["id"], "_etag": found["_etag"], "_ts": found["_ts"], "k0": found["pk"]});
            selected.then(|| if rows { Bytes::from(row().to_string()) } else { document.bytes.clone() })
        };
        let container = self.container.lock().unwrap();
        if container.refuses_queries {
            return futures::stream::iter([Err(Failure::new(Kind::Refused, "ordered"))]).boxed();
        }
        let found: Vec<Bytes> = container.documents.values().filter_map(asked_for).collect();
        let pages: Vec<_> = found.chunks(2).map(|page| Ok(page.to_vec())).collect();
        futures::stream::iter(pages).boxed()
    }
}

/// A store with a container record and one range that covers instants 100 to 2000.
pub(crate) fn covered_store(settings: &serde_json::Value) -> Arc<MemoryStore> {
    covered("all-versions-and-deletes", settings)
}

/// The same in latest-version mode; deletes are known up to 1500.
pub(crate) fn covered_in_latest_version(settings: &serde_json::Value) -> Arc<MemoryStore> {
    covered("latest-version", settings)
}

fn covered(mode: &str, settings: &serde_json::Value) -> Arc<MemoryStore> {
    let store = MemoryStore::default();
    store.add_record(&paths().container_record(), &description(mode, settings));
    let reconciled = (mode == "latest-version").then_some(1500);
    store.add_record(
        &format!("{}l--FF.json", paths().range_states()),
        &json!({"format": 1, "lineage": "l", "rid": "rid", "range": {"min": "", "max": "FF"},
            "mode": mode, "since": 1, "backfilled": 100, "reconciled": reconciled, "watermark": 2000}),
    );
    Arc::new(store)
}

/// The mirror has seen the container's properties change to these.
pub(crate) fn settings_changed(store: &MemoryStore, settings: &serde_json::Value) {
    store.add_record(&paths().container_record(), &description("all-versions-and-deletes", settings));
}

fn description(mode: &str, settings: &serde_json::Value) -> serde_json::Value {
    json!({"format": 1, "account": "a", "database": "db", "container": "c", "generations": [{
        "rid": "rid", "since": 1, "modes": [mode], "partition_key_paths": ["/pk"], "settings": settings,
    }]})
}

pub(crate) async fn reader(store: &Arc<MemoryStore>) -> MirrorReader {
    reader_with(store, Identities::default()).await
}

pub(crate) async fn reader_with(store: &Arc<MemoryStore>, identities: Identities) -> MirrorReader {
    MirrorReader::open_with(Arc::clone(store) as Arc<dyn VersionStore>, paths(), identities).await.unwrap()
}
