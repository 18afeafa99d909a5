//! The emulator: both services in a process of their own, and what is asked of it beside their protocols.

use std::collections::BTreeMap;
use std::io::{BufRead as _, BufReader};
use std::net::SocketAddr;
use std::path::Path;

use bytes::Bytes;
use cosmirror_emulator::BLOB_ACCOUNT;
use http::{HeaderMap, Method, Request};
use http_body_util::Full;
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::Outcome;
use crate::connection::Connection;
use crate::process::Process;
use crate::sign::Keys;
use crate::sizes::KEYS;

/// The database of every container.
pub(crate) const DATABASE: &str = "bench";

/// See the module. Ends with its owner.
pub(crate) struct Emulator {
    pub(crate) cosmos: SocketAddr,
    pub(crate) blob: SocketAddr,
    _process: Process,
    folder: TempDir,
}

/// Requests that were answered: by service, operation and status.
pub(crate) struct Counted(BTreeMap<String, BTreeMap<String, BTreeMap<String, u64>>>);

impl Counted {
    /// All requests to a service.
    pub(crate) fn of(&self, service: &str) -> u64 {
        self.0.get(service).into_iter().flat_map(BTreeMap::values).flat_map(BTreeMap::values).sum()
    }

    /// Blobs that were put.
    pub(crate) fn puts(&self) -> u64 {
        self.with("blob", "put", "201")
    }

    /// Requests of one kind with one outcome.
    pub(crate) fn with(&self, service: &str, operation: &str, status: &str) -> u64 {
        let operations = self.0.get(service).and_then(|operations| operations.get(operation));
        operations.and_then(|outcomes| outcomes.get(status)).copied().unwrap_or(0)
    }
}

impl Emulator {
    /// Starts one that is empty.
    pub(crate) fn start() -> Outcome<Self> {
        let folder = tempfile::tempdir()?;
        let arguments = ["-o", "json", "emulator", "--cosmos", "127.0.0.1:0", "--blob", "127.0.0.1:0"];
        let mut process = Process::cosmirror(folder.path(), &arguments)?;
        let mut text = String::new();
        let mut output = BufReader::new(process.output()?);
        let told = loop {
            if output.read_line(&mut text)? == 0 {
                return Err("the emulator did not start".into());
            }
            // It is one object, on one line or on more.
            if let Ok(told) = serde_json::from_str::<Value>(&text) {
                break told;
            }
        };
        let address = |service: &str| {
            let host = told[service].as_str()?.strip_prefix("http://")?.split('/').next()?;
            host.parse::<SocketAddr>().ok()
        };
        let (cosmos, blob) = address("cosmos").zip(address("blob")).ok_or("the emulator tells no addresses")?;
        Ok(Self { cosmos, blob, _process: process, folder })
    }

    /// Where what works with it keeps its files.
    pub(crate) fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// What a target's endpoint is set to.
    pub(crate) fn blob_endpoint(&self) -> String {
        format!("http://{}/{BLOB_ACCOUNT}", self.blob)
    }

    /// Writes so many documents of so many bytes to a container, which is created where it is missing.
    pub(crate) async fn seed(&self, container: &str, documents: u64, bytes: u64, ranges: u64) -> Outcome<()> {
        let seed = json!({
            "database": DATABASE, "container": container, "partitionKey": "/pk", "count": documents, "bytes": bytes,
            "keys": KEYS, "partitions": ranges,
        });
        self.control(Method::POST, "seed", &seed).await
    }

    /// Puts a fault rule in force.
    pub(crate) async fn fault(&self, rule: Value) -> Outcome<()> {
        self.control(Method::POST, "faults", &json!({ "rules": [rule] })).await
    }

    /// Ends all faults.
    pub(crate) async fn no_faults(&self) -> Outcome<()> {
        self.control(Method::DELETE, "faults", &Value::Null).await
    }

    async fn control(&self, method: Method, name: &str, body: &Value) -> Outcome<()> {
        let body = if body.is_null() { Bytes::new() } else { body.to_string().into() };
        let request = Request::builder().method(method).uri(format!("/_emulator/{name}")).body(Full::new(body))?;
        Connection::open(self.cosmos).await?.send(request).await.map_err(|error| format!("{name}: {error}"))?;
        Ok(())
    }

    /// What was answered so far.
    pub(crate) async fn counted(&self) -> Outcome<Counted> {
        let body = Connection::open(self.cosmos).await?.get("/_emulator/counters").await?;
        Ok(Counted(serde_json::from_slice(&body)?))
    }

    /// How many changes a container has seen.
    pub(crate) async fn changes(&self, container: &str) -> Outcome<usize> {
        let path = format!("/_emulator/history?database={DATABASE}&container={container}");
        let body = Connection::open(self.cosmos).await?.get(&path).await?;
        Ok(body.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()).count())
    }

    /// Creates a container for blobs.
    pub(crate) async fn make_blob_container(&self, keys: &Keys, container: &str) -> Outcome<()> {
        let (path, query) = (format!("/{BLOB_ACCOUNT}/{container}"), [("restype", "container")]);
        let request = keys.blob(Method::PUT, &path, &query, HeaderMap::new(), Bytes::new())?;
        Connection::open(self.blob).await?.send(request).await?;
        Ok(())
    }
}
