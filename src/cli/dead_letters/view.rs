//! The contract's form of dead letters, and their form for people.

use std::collections::BTreeMap;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use cosmirror_formats::EpkRange;
use cosmirror_formats::records::DeadLetter;
use serde::Serialize;
use serde_json::Value;

use super::Mirror;
use crate::cli::table;
use crate::history::{dead_letter_version, instant};
use crate::replay::{Done, Outcome};

/// Why a letter of such a document is not replayed.
const PURGED: &str = "its document's history was erased; `cosmirror purge` erases the dead letter too";

/// What `list` shows.
#[derive(Debug, Default, Serialize)]
pub(super) struct ListView {
    pub(super) dead_letters: Vec<LetterView>,
}

/// One dead letter. What is not known is null; `lsn` is that of the page where the change's own is not known.
#[derive(Debug, Serialize)]
pub(super) struct LetterView {
    database: String,
    container: String,
    name: String,
    id: Option<String>,
    partition_key: Option<Value>,
    op: Option<&'static str>,
    ts: Option<i64>,
    lsn: u64,
    reason: String,
    resolved: bool,
    resolution: Option<&'static str>,
}

/// What `show` shows.
#[derive(Debug, Serialize)]
pub(super) struct RecordView {
    #[serde(flatten)]
    letter: LetterView,
    range: EpkRange,
    lineage: String,
    page: String,
    metadata: Option<BTreeMap<String, String>>,
    /// As it was before it was encrypted.
    raw_base64: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    encryption: Option<String>,
}

/// What `replay` did, or would do.
#[derive(Debug, Serialize)]
pub(super) struct ReplayView {
    pub(super) replayed: Vec<DoneView>,
    dry_run: bool,
    stored: usize,
    already_stored: usize,
    superseded: usize,
    already_resolved: usize,
    pub(super) failed: usize,
}

/// One dead letter and what became of it.
#[derive(Debug, Serialize)]
pub(super) struct DoneView {
    database: String,
    container: String,
    name: String,
    id: Option<String>,
    partition_key: Option<Value>,
    result: &'static str,
    /// Why it failed.
    reason: Option<String>,
}

impl LetterView {
    fn new(mirror: &Mirror, name: &str, record: &DeadLetter) -> Self {
        let version = dead_letter_version(record, mirror.definition.as_ref(), &mirror.identities);
        let version = version.map(|incoming| incoming.version);
        Self {
            database: mirror.container.database.clone(),
            container: mirror.container.container.clone(),
            name: mirror.short_name(name).to_owned(),
            id: record.id.clone().or_else(|| version.as_ref().map(|version| version.id.clone())),
            partition_key: record
                .partition_key
                .clone()
                .or_else(|| version.as_ref().map(|version| version.pk.to_json())),
            op: version.as_ref().map(|version| version.op.as_str()),
            ts: record.ts.or_else(|| version.as_ref().map(|version| version.ts)),
            lsn: version.and_then(|version| version.lsn).unwrap_or(record.lsn),
            reason: record.reason.clone(),
            resolved: record.resolved,
            resolution: record.resolution.map(cosmirror_formats::records::Resolution::as_str),
        }
    }

    fn state(&self) -> &'static str {
        if self.resolved { self.resolution.unwrap_or("resolved") } else { "waiting" }
    }
}

impl ListView {
    /// Adds a dead letter.
    pub(super) fn add(&mut self, mirror: &Mirror, name: &str, record: &DeadLetter) {
        self.dead_letters.push(LetterView::new(mirror, name, record));
    }

    /// A table.
    pub(super) fn text(&self) -> Vec<String> {
        if self.dead_letters.is_empty() {
            return vec!["no dead letters".to_owned()];
        }
        let head = ["NAME", "CONTAINER", "KEY", "ID", "OP", "TIME", "STATE", "REASON"].map(str::to_owned);
        let row = |letter: &LetterView| {
            [
                table::printable(&letter.name),
                format!("{}/{}", letter.database, letter.container),
                key(letter.partition_key.as_ref()),
                or_unknown(letter.id.as_deref()),
                or_unknown(letter.op),
                or_unknown(letter.ts.map(instant).as_deref()),
                letter.state().to_owned(),
                table::printable(&letter.reason),
            ]
        };
        let rows: Vec<[String; 8]> = std::iter::once(head).chain(self.dead_letters.iter().map(row)).collect();
        table::lines(&rows)
    }
}

impl RecordView {
    /// The whole record, whose bytes are `raw`.
    pub(super) fn new(mirror: &Mirror, name: &str, record: DeadLetter, raw: &[u8]) -> Self {
        let letter = LetterView::new(mirror, name, &record);
        let DeadLetter { range, lineage, page, metadata, encryption, .. } = record;
        Self { letter, range, lineage, page, metadata, raw_base64: STANDARD.encode(raw), encryption }
    }

    /// A line for each field.
    pub(super) fn text(&self) -> Vec<String> {
        let letter = &self.letter;
        let mut rows = vec![
            ["name".to_owned(), table::printable(&letter.name)],
            ["container".to_owned(), format!("{}/{}", letter.database, letter.container)],
            ["partition key".to_owned(), key(letter.partition_key.as_ref())],
            ["id".to_owned(), or_unknown(letter.id.as_deref())],
            ["op".to_owned(), or_unknown(letter.op)],
            ["time".to_owned(), or_unknown(letter.ts.map(instant).as_deref())],
            ["lsn".to_owned(), letter.lsn.to_string()],
            ["state".to_owned(), letter.state().to_owned()],
            ["reason".to_owned(), table::printable(&letter.reason)],
            ["range".to_owned(), self.range.to_string()],
            ["lineage".to_owned(), table::printable(&self.lineage)],
            ["page".to_owned(), table::printable(&self.page)],
        ];
        let metadata = self.metadata.iter().flatten();
        rows.extend(self.encryption.iter().map(|encryption| ["encrypted".to_owned(), encryption.clone()]));
        rows.extend(metadata.map(|(name, value)| [format!("metadata {name}"), table::printable(value)]));
        let mut lines = table::lines(&rows);
        lines.push("--raw prints its bytes".to_owned());
        lines
    }
}

impl ReplayView {
    /// Of nothing yet.
    pub(super) fn new(dry_run: bool) -> Self {
        Self {
            replayed: Vec::new(),
            dry_run,
            stored: 0,
            already_stored: 0,
            superseded: 0,
            already_resolved: 0,
            failed: 0,
        }
    }

    /// Adds and counts a dead letter.
    pub(super) fn add(&mut self, mirror: &Mirror, done: &Done) {
        let letter = LetterView::new(mirror, &done.name, &done.record);
        let mut reason = None;
        let (result, count) = match &done.outcome {
            Outcome::Stored => ("stored", &mut self.stored),
            Outcome::AlreadyStored => ("already-stored", &mut self.already_stored),
            Outcome::Superseded => ("superseded", &mut self.superseded),
            Outcome::AlreadyResolved => ("already-resolved", &mut self.already_resolved),
            Outcome::Purged => {
                reason = Some(PURGED.to_owned());
                ("failed", &mut self.failed)
            }
            Outcome::Failed(why) | Outcome::Closed(why) => {
                reason = Some(why.clone());
                ("failed", &mut self.failed)
            }
        };
        *count += 1;
        let LetterView { database, container, name, id, partition_key, .. } = letter;
        self.replayed.push(DoneView { database, container, name, id, partition_key, result, reason });
    }

    /// A table and the counts.
    pub(super) fn text(&self) -> Vec<String> {
        let head = ["RESULT", "NAME", "CONTAINER", "KEY", "ID", "REASON"].map(str::to_owned);
        let row = |done: &DoneView| {
            [
                done.result.to_owned(),
                table::printable(&done.name),
                format!("{}/{}", done.database, done.container),
                key(done.partition_key.as_ref()),
                or_unknown(done.id.as_deref()),
                table::printable(done.reason.as_deref().unwrap_or_default()),
            ]
        };
        let mut lines = Vec::new();
        if !self.replayed.is_empty() {
            let rows: Vec<[String; 6]> = std::iter::once(head).chain(self.replayed.iter().map(row)).collect();
            lines = table::lines(&rows);
        }
        let would = if self.dry_run { "would be: " } else { "" };
        lines.push(format!(
            "{would}{} stored, {} already stored, {} superseded, {} already resolved, {} failed",
            self.stored, self.already_stored, self.superseded, self.already_resolved, self.failed
        ));
        lines
    }
}

fn key(key: Option<&Value>) -> String {
    key.map_or_else(|| "?".to_owned(), |key| table::printable(&key.to_string()))
}

fn or_unknown(text: Option<&str>) -> String {
    text.map_or_else(|| "?".to_owned(), table::printable)
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use cosmirror_formats::KeyDefinition;
    use cosmirror_formats::records::{FORMAT, Resolution};
    use serde_json::json;

    use super::*;
    use crate::config::{Container, FeedMode, Start};
    use crate::encryption::Identities;
    use crate::history::memory::{MemoryStore, paths, version};

    fn mirror() -> Mirror {
        let container = Container {
            database: "db".to_owned(),
            container: "c".to_owned(),
            feed: FeedMode::default(),
            start: Start::default(),
            versions_per_minute_max: 0,
        };
        let definition = Some(KeyDefinition::new(["/pk"]));
        let (store, identities) = (Arc::new(MemoryStore::default()), Identities::default());
        Mirror { container, store, paths: paths(), definition, identities }
    }

    fn unknown() -> DeadLetter {
        DeadLetter {
            format: FORMAT,
            reason: "the entry lacks a usable `_etag`".to_owned(),
            range: EpkRange::full(),
            lineage: "rid:".to_owned(),
            lsn: 7,
            page: "\"7\"".to_owned(),
            id: None,
            partition_key: None,
            ts: None,
            place: None,
            metadata: None,
            raw_base64: "e30=".to_owned(),
            encryption: None,
            resolved: false,
            resolution: None,
        }
    }

    fn refused() -> DeadLetter {
        let version = version("a\u{1b}b", "\"e\"", 20, Some(9), b"{}");
        DeadLetter {
            id: Some(version.id.clone()),
            partition_key: Some(version.pk.to_json()),
            ts: Some(20),
            place: None,
            metadata: Some(version.to_metadata()),
            resolved: true,
            resolution: Some(Resolution::Superseded),
            ..unknown()
        }
    }

    fn list() -> ListView {
        let mut view = ListView::default();
        view.add(&mirror(), &format!("{}-FF/1.json", paths().dead_letters()), &unknown());
        view.add(&mirror(), &format!("{}-FF/2.json", paths().dead_letters()), &refused());
        view
    }

    #[test]
    fn golden_json_of_a_list() {
        let golden = concat!(
            r#"{"dead_letters":[{"database":"db","container":"c","name":"-FF/1.json","id":null,"partition_key":null,"#,
            r#""op":null,"ts":null,"lsn":7,"reason":"the entry lacks a usable `_etag`","resolved":false,"resolution":null},"#,
            r#"{"database":"db","container":"c","name":"-FF/2.json","id":"a\u001bb","partition_key":["p"],"#,
            r#""op":"replace","ts":20,"lsn":9,"reason":"the entry lacks a usable `_etag`","resolved":true,"#,
            r#""resolution":"superseded"}]}"#,
        );
        assert_eq!(serde_json::to_string(&list()).unwrap(), golden);
    }

    #[test]
    fn the_table_escapes_what_an_id_would_do_to_a_terminal() {
        let lines = list().text();
        assert_eq!(
            lines[0],
            "NAME        CONTAINER  KEY    ID        OP       TIME                  STATE       REASON"
        );
        assert!(
            lines[1].starts_with("-FF/1.json  db/c       ?      ?         ?        ?                     waiting ")
        );
        assert!(lines[2].contains(r#"["p"]  a\u{1b}b  replace  1970-01-01T00:00:20Z  superseded"#), "{}", lines[2]);
    }

    #[test]
    fn the_json_of_one_holds_the_whole_record() {
        let shown = serde_json::to_value(RecordView::new(&mirror(), "x", refused(), b"{}")).unwrap();
        assert_eq!(shown["raw_base64"], "e30=");
        assert_eq!(shown["metadata"]["op"], "replace");
        assert_eq!(
            (&shown["id"], &shown["range"]["max"], &shown["page"]),
            (&json!("a\u{1b}b"), &json!("FF"), &json!("\"7\""))
        );
        let text = RecordView::new(&mirror(), "x", unknown(), b"").text().join("\n");
        assert!(text.contains("id             ?") && text.contains("page           \"7\""), "{text}");
    }

    #[test]
    fn a_replay_is_counted_by_result() {
        let mut view = ReplayView::new(true);
        let outcomes = [Outcome::Stored, Outcome::Superseded, Outcome::Failed("no".to_owned())];
        for outcome in outcomes {
            view.add(&mirror(), &Done { name: "n".to_owned(), record: unknown(), outcome });
        }
        let json = serde_json::to_value(&view).unwrap();
        assert_eq!((&json["stored"], &json["superseded"], &json["failed"]), (&json!(1), &json!(1), &json!(1)));
        assert_eq!((&json["replayed"][2]["result"], &json["replayed"][2]["reason"]), (&json!("failed"), &json!("no")));
        let last = view.text().pop().unwrap();
        assert_eq!(last, "would be: 1 stored, 0 already stored, 1 superseded, 0 already resolved, 1 failed");
    }
}
