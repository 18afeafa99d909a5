//! The difference of two states: lines for people, JSON for programs.

use serde::Serialize;
use serde_json::Value;

use super::side::{Side, Sides};
use crate::diff::{Change, Document, Json, Op, Pointer, Unreadable};
use crate::failure::{CommandError, Exit};
use crate::history::{DocumentHistory, Entry, client_text, instant};
use crate::json_text::{printable, visible};

/// A difference as programs read it.
#[derive(Debug, Serialize)]
pub(crate) struct View<'a> {
    pub(crate) id: &'a str,
    pub(crate) partition_key: Value,
    pub(crate) from: SideView<'a>,
    pub(crate) to: SideView<'a>,
    pub(crate) equal: bool,
    pub(crate) changes: Vec<ChangeView<'a>>,
    pub(crate) notes: Vec<String>,
    #[serde(skip)]
    pub(crate) patch: Vec<Change<'a>>,
}

/// One of the states.
#[derive(Debug, Serialize)]
pub(crate) struct SideView<'a> {
    live: bool,
    exists: bool,
    at: Option<i64>,
    version: Option<String>,
    op: Option<&'static str>,
    ts: Option<i64>,
    lsn: Option<u64>,
    etag: Option<&'a str>,
    sha256: Option<&'a str>,
    absent: Option<&'a str>,
}

/// One change.
#[derive(Debug, Serialize)]
pub(crate) struct ChangeView<'a> {
    pub(crate) op: &'static str,
    pub(crate) path: Pointer,
    /// Where it was in the first document, if elsewhere.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) path_from: Option<Pointer>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) from: Option<Json<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) to: Option<Json<'a>>,
}

impl<'a> View<'a> {
    pub(crate) fn new(
        history: &'a DocumentHistory,
        sides: &'a Sides<'a>,
        documents: [Option<&Document<'a>>; 2],
        patch: Vec<Change<'a>>,
    ) -> Self {
        let mut notes: Vec<String> = left_out(history, sides).into_iter().collect();
        for (name, document) in ["from", "to"].into_iter().zip(documents) {
            notes.extend(document.and_then(|document| repeated(name, document)));
        }
        notes.extend(history.unreadable.iter().map(|letter| {
            format!("a change of this document is a dead letter that cannot be parsed: {}", printable(&letter.name))
        }));
        Self {
            id: &history.id,
            partition_key: history.key.to_json(),
            from: SideView::new(&sides.from),
            to: SideView::new(&sides.to),
            equal: patch.is_empty(),
            changes: patch.iter().map(ChangeView::new).collect(),
            notes,
            patch,
        }
    }

    pub(crate) fn text(&self) -> Vec<String> {
        let mut lines = vec![
            printable(&format!("{} of partition key {}", self.id, self.partition_key)),
            format!("from: {}", self.from.text()),
            format!("to:   {}", self.to.text()),
        ];
        lines.extend(self.notes.iter().map(|note| format!("note: {note}")));
        lines.extend(self.changes.iter().map(ChangeView::text));
        if self.equal {
            lines.push("no difference".to_owned());
        }
        lines
    }
}

impl<'a> SideView<'a> {
    fn new(side: &'a Side<'a>) -> Self {
        Self {
            live: side.live,
            exists: side.bytes.is_some(),
            at: side.at,
            version: side.entry.map(|entry| entry.place.version()),
            op: side.entry.map(|entry| entry.version.op.as_str()),
            ts: side.ts,
            lsn: side.entry.and_then(|entry| entry.version.lsn),
            etag: side.etag.as_deref(),
            sha256: side.entry.filter(|_| side.bytes.is_some()).map(|entry| entry.version.sha256.as_str()),
            absent: side.absent.as_deref(),
        }
    }

    fn text(&self) -> String {
        let at = self.at.map(|at| format!("as of {}: ", instant(at))).unwrap_or_default();
        if let Some(absent) = self.absent {
            let version = self.version.as_ref().map(|version| format!(" (version {version})")).unwrap_or_default();
            return printable(&format!("{at}no document, it {absent}{version}"));
        }
        let ts = self.ts.map_or_else(|| "an unknown instant".to_owned(), instant);
        match (&self.version, self.op) {
            (Some(version), Some(op)) => printable(&format!("{at}version {version}, {op} of {ts}")),
            _ => format!("live, written at {ts}"),
        }
    }
}

impl<'a> ChangeView<'a> {
    fn new(change: &Change<'a>) -> Self {
        // A patch removes an element where it is by then; a person looks for it where it was.
        let path = if change.op == Op::Remove { &change.path_from } else { &change.path };
        let moved = change.op == Op::Replace && change.path != change.path_from;
        Self {
            op: change.op.as_str(),
            path: path.clone(),
            path_from: moved.then(|| change.path_from.clone()),
            from: change.from,
            to: change.to,
        }
    }

    fn text(&self) -> String {
        let path = match (self.path.is_root(), &self.path_from) {
            (true, _) => "the document".to_owned(),
            (false, None) => self.path.to_string(),
            (false, Some(was)) => format!("{} (was {was})", self.path),
        };
        let line = match (&self.from, &self.to) {
            (Some(from), Some(to)) => format!("~ {path}: {from} -> {to}"),
            (Some(from), None) => format!("- {path}: {from}"),
            (None, Some(to)) => format!("+ {path}: {to}"),
            (None, None) => path,
        };
        visible(&line).into_owned()
    }
}

/// Versions that lie between both and are not in the mirror.
fn left_out(history: &DocumentHistory, sides: &Sides<'_>) -> Option<String> {
    let place = |entry: &Entry| history.entries.iter().position(|other| std::ptr::eq(other, entry));
    let (from, to) = (place(sides.from.entry?)?, place(sides.to.entry?)?);
    let between = history.entries.get(from.min(to) + 1..=from.max(to))?;
    let omitted: u32 = between.iter().filter_map(|entry| entry.version.omitted).fold(0, u32::saturating_add);
    (omitted > 0).then(|| format!("{omitted} versions between them were left out of the mirror"))
}

fn repeated(name: &str, document: &Document<'_>) -> Option<String> {
    let repeated = document.repeated();
    let first = repeated.paths.first()?;
    let more = match repeated.count - 1 {
        0 => String::new(),
        more => format!(", and {more} more"),
    };
    let first = format!("{name}: a name occurs more than once in one object, and the last one counts: {first}{more}");
    Some(visible(&first).into_owned())
}

/// The text that is compared; none where there is no document.
pub(crate) fn text(side: &Side<'_>, id: &str, system: bool) -> Result<Option<String>, CommandError> {
    let Some(bytes) = &side.bytes else { return Ok(None) };
    let bytes = if system { bytes.clone() } else { client_text(bytes, &side.named(id))? };
    let text = String::from_utf8(bytes.to_vec());
    text.map(Some).map_err(|_| CommandError::new(Exit::Integrity, format!("{} is not UTF-8", side.named(id)), RAW))
}

/// The document in it.
pub(crate) fn document<'a>(
    text: &'a Option<String>,
    side: &Side<'_>,
    id: &str,
) -> Result<Option<Document<'a>>, CommandError> {
    let document = text.as_deref().map(Document::parse).transpose();
    document.map_err(|error| {
        let exit = match error {
            Unreadable::Syntax { .. } => Exit::Integrity,
            Unreadable::TooDeep => Exit::Limit,
        };
        CommandError::new(exit, format!("{} cannot be compared: {error}", side.named(id)), RAW)
    })
}

const RAW: &str = "compare the bytes: `cosmirror show --raw` writes them";
