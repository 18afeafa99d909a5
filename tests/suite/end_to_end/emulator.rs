//! `cosmirror emulator` as a process: its addresses, its control requests, and its history.

use std::process::Stdio;

use cosmirror_emulator::BLOB_ACCOUNT;
use serde::Deserialize;
use serde_json::value::RawValue;
use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::process::{Child, Command};

use super::eventually;

/// A running emulator; ends with its owner.
pub(super) struct Emulator {
    pub(super) cosmos: String,
    pub(super) blob: String,
    pub(super) http: reqwest::Client,
    process: Child,
}

/// One committed change, as the emulator's history tells it.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Change {
    pub(super) seq: u64,
    pub(super) range: String,
    pub(super) lsn: u64,
    pub(super) op: String,
    pub(super) id: String,
    /// The components of the partition key as a JSON array.
    pub(super) key: String,
    pub(super) etag: String,
    pub(super) ts: i64,
    /// The bytes the feed delivers; none for a removal.
    pub(super) document: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Line<'a> {
    seq: u64,
    range: String,
    lsn: u64,
    op: String,
    id: String,
    partition_key: Value,
    etag: String,
    ts: i64,
    #[serde(borrow)]
    document: &'a RawValue,
}

impl Emulator {
    /// Starts it on free ports and waits until it is ready.
    pub(super) async fn start() -> Self {
        Self::launch(&["--cosmos", "127.0.0.1:0", "--blob", "127.0.0.1:0"]).await
    }

    /// The same, with its state in a folder.
    pub(super) async fn start_in(folder: &str) -> Self {
        Self::launch(&["--cosmos", "127.0.0.1:0", "--blob", "127.0.0.1:0", "--data", folder]).await
    }

    /// Kills it, and starts another one at the same addresses with what is in the folder.
    pub(super) async fn kill_and_start_in(&mut self, folder: &str) {
        self.process.kill().await.unwrap();
        *self = Self::launch(&["--cosmos", &self.cosmos, "--blob", &self.blob, "--data", folder]).await;
    }

    async fn launch(arguments: &[&str]) -> Self {
        let mut process = Command::new(crate::program())
            .arg("emulator")
            .args(arguments)
            .env_clear()
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .kill_on_drop(true)
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(process.stdout.take().unwrap()).lines();
        let mut address = async |service: &str| {
            let line = lines.next_line().await.unwrap().unwrap();
            let url = line.strip_prefix(service).unwrap().trim();
            let host = url.strip_prefix("http://").unwrap().split('/').next().unwrap();
            host.to_owned()
        };
        let (cosmos, blob) = (address("cosmos").await, address("blob").await);
        let http = reqwest::Client::builder().no_proxy().build().unwrap();
        let emulator = Self { cosmos, blob, http, process };
        eventually("the emulator is ready", async || {
            let health = format!("http://{}/_emulator/health", emulator.cosmos);
            emulator.http.get(health).send().await.ok().filter(|answer| answer.status().is_success())
        })
        .await;
        emulator
    }

    /// The blob endpoint as it is configured.
    pub(super) fn blob_endpoint(&self) -> String {
        format!("http://{}/{BLOB_ACCOUNT}", self.blob)
    }

    /// A control request that must succeed.
    pub(super) async fn control(&self, name: &str, body: &Value) {
        let url = format!("http://{}/_emulator/{name}", self.cosmos);
        let answer = self.http.post(url).body(body.to_string()).send().await.unwrap();
        assert!(answer.status().is_success(), "{name}: {}", answer.text().await.unwrap());
    }

    /// Whether requests have met every fault in force.
    pub(super) async fn faults_are_met(&self) -> bool {
        let answer = self.http.get(format!("http://{}/_emulator/faults", self.cosmos)).send().await.unwrap();
        let faults: Value = serde_json::from_str(&answer.text().await.unwrap()).unwrap();
        faults["applied"].as_array().unwrap().iter().all(|count| count.as_u64() > Some(0))
    }

    /// Moves the time of both services forward, instead of waiting.
    pub(super) async fn advance(&self, seconds: u32) {
        self.control("clock", &json!({ "advanceSeconds": seconds })).await;
    }

    /// Requests so far of one service, for one operation, that ended in one way; `*` stands for all.
    pub(super) async fn requests(&self, service: &str, operation: &str, outcome: &str) -> u64 {
        let url = format!("http://{}/_emulator/counters", self.cosmos);
        let counters: Value =
            serde_json::from_str(&self.http.get(url).send().await.unwrap().text().await.unwrap()).unwrap();
        below(&counters, service)
            .flat_map(|operations| below(operations, operation))
            .flat_map(|outcomes| below(outcomes, outcome))
            .filter_map(Value::as_u64)
            .sum()
    }

    /// Every committed change of a container in order; none where there is no such container.
    pub(super) async fn history(&self, database: &str, container: &str) -> Option<Vec<Change>> {
        let url = format!("http://{}/_emulator/history?database={database}&container={container}", self.cosmos);
        let answer = self.http.get(url).send().await.unwrap();
        if answer.status() == 404 {
            return None;
        }
        let text = answer.text().await.unwrap();
        Some(text.lines().map(|line| serde_json::from_str::<Line<'_>>(line).unwrap().into()).collect())
    }
}

/// The members of an object that `name` selects.
fn below<'a>(object: &'a Value, name: &'a str) -> impl Iterator<Item = &'a Value> {
    let members = object.as_object().into_iter().flatten();
    members.filter(move |(key, _)| name == "*" || key.as_str() == name).map(|(_, value)| value)
}

impl From<Line<'_>> for Change {
    fn from(line: Line<'_>) -> Self {
        let document = Some(line.document.get()).filter(|text| *text != "null").map(str::to_owned);
        let Line { seq, range, lsn, op, id, partition_key, etag, ts, .. } = line;
        Self { seq, range, lsn, op, id, key: partition_key.to_string(), etag, ts, document }
    }
}
