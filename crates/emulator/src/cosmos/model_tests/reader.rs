//! A reader of the feed that pages, keeps its positions, restarts from them, and follows splits and merges.

use std::collections::BTreeSet;

use azure_data_cosmos_driver::models::EffectivePartitionKey;
use proptest::prelude::*;
use serde_json::Value;

use super::client::Client;
use super::text;

const DOCS: &str = "/dbs/d/colls/c/docs";

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Mode {
    LatestVersion,
    AllVersions,
}

/// What a reader reads.
#[derive(Debug, Clone)]
pub(super) enum Part {
    All,
    /// Bounds of effective partition keys.
    Span {
        min: String,
        max: String,
    },
    /// One partition key, as its header.
    Key(String),
}

/// A change as a reader got it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Seen {
    pub(super) key: String,
    pub(super) id: String,
    pub(super) op: String,
    pub(super) etag: Option<String>,
    pub(super) lsn: u64,
}

/// How far a part of a range has been read.
#[derive(Debug, Clone)]
struct Position {
    range: String,
    min: EffectivePartitionKey,
    max: EffectivePartitionKey,
    etag: Option<String>,
    ended: bool,
}

pub(super) struct Reader {
    pub(super) mode: Mode,
    pub(super) part: Part,
    pub(super) seen: Vec<Seen>,
    positions: Vec<Position>,
    kept: (Vec<Position>, usize),
    turn: usize,
}

impl Reader {
    /// Starts at the beginning, or from now where all versions are read.
    pub(super) fn start(client: &Client, mode: Mode, part: Part) -> Self {
        let (low, high) = match &part {
            Part::Span { min, max } => (epk(min), epk(max)),
            Part::All | Part::Key(_) => (EffectivePartitionKey::MIN, EffectivePartitionKey::MAX),
        };
        let etag = (mode == Mode::AllVersions).then(|| "*".to_owned());
        let whole = Position { range: String::new(), min: low, max: high, etag, ended: false };
        let positions = successors(client, &whole);
        let mut reader = Self { mode, part, seen: Vec::new(), kept: (positions.clone(), 0), positions, turn: 0 };
        if mode == Mode::AllVersions {
            // Now is fixed before anything is written.
            reader.drain(client).unwrap();
            reader.save();
        }
        reader
    }

    pub(super) fn save(&mut self) {
        self.kept = (self.positions.clone(), self.seen.len());
    }

    pub(super) fn restart(&mut self) {
        self.positions.clone_from(&self.kept.0);
        self.seen.truncate(self.kept.1);
    }

    /// Reads until every part has ended since the call.
    pub(super) fn drain(&mut self, client: &Client) -> Result<(), TestCaseError> {
        self.positions.iter_mut().for_each(|position| position.ended = false);
        while self.page(client, 4)? {}
        Ok(())
    }

    /// Reads one page of the next part in turn; false when every part has just ended.
    pub(super) fn page(&mut self, client: &Client, items: u32) -> Result<bool, TestCaseError> {
        self.turn = (self.turn + 1) % self.positions.len();
        let turn = self.turn;
        let position = self.positions[turn].clone();
        let answer = self.ask(client, &position, items);
        let etag = answer.headers().get("etag").map(|etag| etag.to_str().unwrap().to_owned());
        match answer.status().as_u16() {
            410 => {
                prop_assert_eq!(answer.headers().get("x-ms-substatus").unwrap(), "1002");
                let successors = successors(client, &position);
                prop_assert!(!successors.is_empty());
                self.positions.splice(turn..=turn, successors);
            }
            304 => self.positions[turn] = Position { etag, ended: true, ..position },
            200 => {
                self.take(&serde_json::from_slice(answer.body()).unwrap(), items)?;
                self.positions.iter_mut().for_each(|position| position.ended = false);
                self.positions[turn].etag = etag;
            }
            status => prop_assert!(false, "{status}: {}", String::from_utf8_lossy(answer.body())),
        }
        Ok(!self.positions.iter().all(|position| position.ended))
    }

    fn ask(&self, client: &Client, position: &Position, items: u32) -> http::Response<bytes::Bytes> {
        let mode = match self.mode {
            Mode::LatestVersion => "Incremental Feed",
            Mode::AllVersions => "Full-Fidelity Feed",
        };
        let (items, min, max) = (items.to_string(), position.min.to_hex(), position.max.to_hex());
        let mut headers = vec![
            ("a-im", mode),
            ("x-ms-max-item-count", items.as_str()),
            ("x-ms-documentdb-partitionkeyrangeid", position.range.as_str()),
            ("x-ms-cosmos-changefeed-wire-format-version", "2021-09-15"),
        ];
        match &self.part {
            Part::Key(key) => {
                headers.retain(|(name, _)| *name != "x-ms-documentdb-partitionkeyrangeid");
                headers.push(("x-ms-documentdb-partitionkey", key));
            }
            // Also for the whole container: after a merge the old bounds are what tells the old continuation's part.
            Part::All | Part::Span { .. } => headers.extend([
                ("x-ms-start-epk", min.as_str()),
                ("x-ms-end-epk", max.as_str()),
                ("x-ms-read-key-type", "EffectivePartitionKeyRange"),
            ]),
        }
        if let Some(etag) = &position.etag {
            headers.push(("if-none-match", etag));
        }
        client.send("GET", DOCS, &headers, "")
    }

    fn take(&mut self, body: &Value, items: u32) -> Result<(), TestCaseError> {
        let mut page = Vec::new();
        for document in body["Documents"].as_array().unwrap() {
            let (current, metadata) = (&document["current"], &document["metadata"]);
            let removed = current["id"].is_null();
            let op = text(&metadata["operationType"]);
            prop_assert_eq!(removed, op == "delete");
            let (id, key) = if removed {
                (&metadata["id"], &metadata["partitionKey"]["pk"])
            } else {
                (&current["id"], &current["pk"])
            };
            page.push(Seen {
                key: format!("[{key}]"),
                id: text(id),
                op,
                etag: (!removed).then(|| text(&current["_etag"])),
                lsn: metadata["lsn"].as_u64().unwrap(),
            });
        }
        // More than was asked for only if the last transaction is the reason.
        let before_last = page.iter().filter(|change| Some(change.lsn) != page.last().map(|last| last.lsn)).count();
        prop_assert!(before_last < items as usize, "{} changes before the last transaction", before_last);
        if self.mode == Mode::AllVersions {
            let earlier: BTreeSet<(&str, u64)> =
                self.seen.iter().map(|change| (change.key.as_str(), change.lsn)).collect();
            for change in &page {
                prop_assert!(!earlier.contains(&(change.key.as_str(), change.lsn)), "a transaction lies in two pages");
            }
        }
        self.seen.extend(page);
        Ok(())
    }
}

/// The parts of the present ranges that a position covers, each with the position's continuation.
fn successors(client: &Client, position: &Position) -> Vec<Position> {
    let cut = |(range, min, max): (String, String, String)| {
        let (min, max) = (epk(&min).max(position.min.clone()), epk(&max).min(position.max.clone()));
        (min < max).then(|| Position { range, min, max, etag: position.etag.clone(), ended: false })
    };
    client.ranges().into_iter().filter_map(cut).collect()
}

fn epk(hex: &str) -> EffectivePartitionKey {
    EffectivePartitionKey::try_from(hex).unwrap()
}
