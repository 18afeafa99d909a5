//! An export: documents as they were at an instant, as numbered files of lines, and the manifest that says what they are.
//!
//! A line is one JSON object. `put` is a document that existed, `delete` one that did not any more (only where an export builds on an
//! earlier one), `unknown` one that was left out because the mirror could not tell. Lines are in the order of the documents' names in the mirror, files in the
//! order of the manifest. A document's text is what is stored, system properties included; only line breaks between its tokens become
//! spaces, because a line must stay one.
//!
//! The manifest is one [sealed line](crate::sealed_lines), so that not a byte of it can be altered unnoticed. Under [`UNFINISHED`] it names the files that
//! are whole so far; under [`MANIFEST`] all of them.

use serde::{Deserialize, Serialize};
use serde_json::Value;
use serde_json::value::RawValue;
use thiserror::Error;

use crate::blob_name::MirrorPaths;
use crate::partition_key::PartitionKey;
use crate::records::Generation;
use crate::sealed_lines::{SealError, Seals};
use crate::version::sha256_hex;

/// The `format` of a manifest.
pub const FORMAT: u32 = 1;
/// The manifest's name.
pub const MANIFEST: &str = "manifest.json";
/// The manifest's name while files are being added.
pub const UNFINISHED: &str = "manifest.partial.json";

/// What an export is.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Manifest {
    /// 1.
    pub format: u32,
    /// What names this export in those that build on it.
    pub id: String,
    /// The version of the program that made it.
    pub program: String,
    /// When it was begun, RFC 3339, by the host's clock.
    pub began: String,
    /// When it was whole; none until then.
    pub finished: Option<String>,
    /// The instant: documents are as they were at the end of this second, counted from 1970.
    pub at: i64,
    /// The export that this one builds on; none where it is a full one.
    pub since: Option<Since>,
    /// The ids of all exports beneath it, the full one first.
    pub chain: Vec<String>,
    /// How the files are compressed.
    pub compression: Compression,
    /// Bytes of lines of which a file has at most this many, unless one line alone has more.
    pub file_bytes_max: u64,
    /// `before` or `after`: which known state stands in for an uncertain one; none where such documents are left out.
    pub uncertain: Option<String>,
    /// The same for documents of which the mirror lacks what would tell their state.
    pub unknown: Option<String>,
    /// The containers.
    pub containers: Vec<ExportedContainer>,
}

/// The export that another one builds on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Since {
    /// Its id.
    pub id: String,
    /// Its instant.
    pub at: i64,
    /// SHA-256 of its manifest in lower-case hexadecimal.
    pub sha256: String,
}

/// How files are compressed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Compression {
    /// Not at all.
    #[default]
    None,
    /// By Zstandard (RFC 8878).
    Zstd,
}

/// One container of an export.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ExportedContainer {
    /// The endpoint of the account that the mirror was made from.
    pub account: String,
    /// The database's name.
    pub database: String,
    /// The container's name.
    pub container: String,
    /// The prefix of the mirror's names, on which the order of long ones depends.
    pub prefix: String,
    /// Every life of the container, with partition key and settings; the last is the present one.
    pub generations: Vec<Generation>,
    /// The window in which the mirror covered instants.
    pub window: CoveredWindow,
    /// The files, in order.
    pub files: Vec<ExportFile>,
}

/// The window in which a mirror covered instants, in seconds since 1970.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct CoveredWindow {
    /// The first instant.
    pub from: Option<i64>,
    /// The last instant.
    pub until: Option<i64>,
    /// Up to here every delete is known.
    pub deletes_until: Option<i64>,
}

/// One file of an export.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ExportFile {
    /// Its name beside the manifest.
    pub name: String,
    /// What its lines are.
    pub counts: LineCounts,
    /// Bytes of its lines.
    pub bytes: u64,
    /// Bytes of the file.
    pub stored_bytes: u64,
    /// SHA-256 of the file's bytes in lower-case hexadecimal.
    pub sha256: String,
    /// The name in the mirror of the last line's document.
    pub last: String,
}

/// Lines by what they say.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct LineCounts {
    /// Documents that existed.
    pub documents: u64,
    /// Documents that did not exist any more.
    pub deletes: u64,
    /// Left out: changed in an interval within which the mirror cannot tell when.
    pub uncertain: u64,
    /// Left out: the mirror lacks what would tell their state.
    pub unknown: u64,
    /// Left out: their stored bytes or metadata are damaged.
    pub damaged: u64,
}

impl LineCounts {
    /// Documents that are missing because the mirror could not tell.
    pub fn left_out(&self) -> u64 {
        self.uncertain + self.unknown + self.damaged
    }

    /// All lines.
    pub fn lines(&self) -> u64 {
        self.documents + self.deletes + self.left_out()
    }

    /// Counts one line.
    pub fn count(&mut self, line: &Line<'_>) {
        match line {
            Line::Put(_) => self.documents += 1,
            Line::Delete(_) => self.deletes += 1,
            Line::Unknown(unknown) => match unknown.why {
                Why::Uncertain => self.uncertain += 1,
                Why::Unknown => self.unknown += 1,
                Why::Damaged => self.damaged += 1,
            },
        }
    }
}

impl std::ops::AddAssign for LineCounts {
    fn add_assign(&mut self, other: Self) {
        self.documents += other.documents;
        self.deletes += other.deletes;
        self.uncertain += other.uncertain;
        self.unknown += other.unknown;
        self.damaged += other.damaged;
    }
}

impl ExportedContainer {
    /// What all its lines are.
    pub fn counts(&self) -> LineCounts {
        let mut counts = LineCounts::default();
        self.files.iter().for_each(|file| counts += file.counts);
        counts
    }

    /// Bytes of all its lines.
    pub fn bytes(&self) -> u64 {
        self.files.iter().map(|file| file.bytes).sum()
    }

    /// Where its documents hold their partition key.
    pub fn key_paths(&self) -> &[String] {
        self.generations.last().map(|life| life.partition_key_paths.as_slice()).unwrap_or_default()
    }

    /// The names that its documents have in the mirror.
    pub fn paths(&self) -> MirrorPaths {
        MirrorPaths::new(&self.prefix, &self.database, &self.container)
    }
}

/// Why a manifest cannot be used.
#[derive(Debug, Error)]
pub enum ManifestError {
    /// Its bytes are not those that were written.
    #[error("it was changed or is cut off: {0}")]
    Altered(#[from] SealError),
    /// It is of another program.
    #[error("it is no manifest of an export")]
    Other(#[source] serde_json::Error),
    /// It is of a later program.
    #[error("it has format {0}, and this program reads format {FORMAT}")]
    Format(u32),
    /// It names a file outside its own folder.
    #[error("it names the file {0:?}, which is no name of an export's file")]
    Name(String),
}

impl Manifest {
    /// Its file.
    pub fn to_text(&self) -> Result<String, SealError> {
        Seals::default().seal(self)
    }

    /// Reads its file, of which every byte is accounted for.
    pub fn of_text(text: &str) -> Result<Self, ManifestError> {
        let line = text.strip_suffix('\n').ok_or(SealError::Missing)?;
        Seals::default().open(line)?;
        let format: FormatOnly = serde_json::from_str(line).map_err(ManifestError::Other)?;
        if format.format != FORMAT {
            return Err(ManifestError::Format(format.format));
        }
        let manifest: Self = serde_json::from_str(line).map_err(ManifestError::Other)?;
        let mut files = manifest.containers.iter().flat_map(|container| &container.files);
        match files.find(|file| !is_file_name(&file.name)) {
            Some(file) => Err(ManifestError::Name(file.name.clone())),
            None => Ok(manifest),
        }
    }
}

#[derive(Deserialize)]
struct FormatOnly {
    format: u32,
}

/// The digest by which an export that builds on this one names its manifest.
pub fn manifest_digest(text: &str) -> String {
    sha256_hex(text.as_bytes())
}

/// The name of a container's file; both numbers count from 1.
pub fn file_name(container: usize, file: usize, compression: Compression) -> String {
    let more = match compression {
        Compression::None => "",
        Compression::Zstd => ".zst",
    };
    format!("{container}-{file:06}.ndjson{more}")
}

/// Whether a name is one that [`file_name`] makes: whoever altered a manifest must not make its reader read elsewhere.
fn is_file_name(name: &str) -> bool {
    let stem = name.strip_suffix(".zst").unwrap_or(name).strip_suffix(".ndjson");
    let numbers = stem.and_then(|stem| stem.split_once('-'));
    let digits = |text: &str| !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
    numbers.is_some_and(|(container, file)| digits(container) && digits(file) && name.len() < 64)
}

/// One line.
#[derive(Debug, Clone, PartialEq)]
pub enum Line<'a> {
    /// It existed.
    Put(PutLine<'a>),
    /// It existed at the earlier instant, or that was not known, and at the later one it did not.
    Delete(DeleteLine),
    /// What it was is not known, so it was left out.
    Unknown(UnknownLine),
}

/// A document that existed.
#[derive(Debug, Clone, PartialEq)]
pub struct PutLine<'a> {
    /// Its id.
    pub id: String,
    /// Its partition key.
    pub pk: PartitionKey,
    /// When this version was committed, in seconds since 1970.
    pub ts: i64,
    /// Its `_etag` with quotes.
    pub etag: String,
    /// Its text.
    pub document: &'a str,
}

/// A document that did not exist any more.
#[derive(Debug, Clone, PartialEq)]
pub struct DeleteLine {
    /// Its id.
    pub id: String,
    /// Its partition key.
    pub pk: PartitionKey,
    /// Since when, in seconds since 1970; the export's instant where that is not known.
    pub ts: i64,
}

/// A document that was left out.
#[derive(Debug, Clone, PartialEq)]
pub struct UnknownLine {
    /// Its name in the mirror: where metadata are damaged, nothing else is known of it.
    pub name: String,
    /// Its id and partition key, where they are known.
    pub document: Option<(String, PartitionKey)>,
    /// Why it was left out.
    pub why: Why,
}

/// Why a document was left out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Why {
    /// It changed in an interval within which the mirror cannot tell when.
    Uncertain,
    /// The mirror lacks what would tell its state.
    Unknown,
    /// Its stored bytes or metadata are damaged.
    Damaged,
}

/// Why a text is no line. The message holds nothing of its content.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum LineError {
    /// Not JSON, or a field has another type.
    #[error("it is not valid ({category} error in column {column})")]
    Json {
        /// What kind of error.
        category: &'static str,
        /// Where.
        column: usize,
    },
    /// It is JSON of another kind.
    #[error("it is no JSON object")]
    NotAnObject,
    /// A field is missing or does not fit.
    #[error("it lacks a usable `{0}`")]
    Field(&'static str),
    /// It says something that this program does not know.
    #[error("its `op` is none of put, delete and unknown")]
    Op,
}

impl From<serde_json::Error> for LineError {
    fn from(error: serde_json::Error) -> Self {
        use serde_json::error::Category;
        let category = match error.classify() {
            Category::Io => "read",
            Category::Syntax => "syntax",
            Category::Data => "data",
            Category::Eof => "end of text",
        };
        Self::Json { category, column: error.column() }
    }
}

#[derive(Default, Serialize, Deserialize)]
struct Fields<'a> {
    op: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    name: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    id: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pk: Option<Value>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    ts: Option<i64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    etag: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    why: Option<Why>,
    #[serde(borrow, default, skip_serializing_if = "Option::is_none")]
    document: Option<&'a RawValue>,
}

impl<'a> Line<'a> {
    /// Its text with a line feed at its end, and no other line break. A document that is no JSON object is an error.
    pub fn to_text(&self) -> Result<String, LineError> {
        let fields = match self {
            Self::Put(put) => Fields {
                op: "put".to_owned(),
                id: Some(put.id.clone()),
                pk: Some(put.pk.to_json()),
                ts: Some(put.ts),
                etag: Some(put.etag.clone()),
                document: Some(object(put.document)?),
                ..Fields::default()
            },
            Self::Delete(delete) => Fields {
                op: "delete".to_owned(),
                id: Some(delete.id.clone()),
                pk: Some(delete.pk.to_json()),
                ts: Some(delete.ts),
                ..Fields::default()
            },
            Self::Unknown(unknown) => {
                let (id, pk) = unknown.document.clone().map(|(id, pk)| (id, pk.to_json())).unzip();
                let (op, name, why) = ("unknown".to_owned(), Some(unknown.name.clone()), Some(unknown.why));
                Fields { op, name, id, pk, why, ..Fields::default() }
            }
        };
        // Within strings JSON has no raw line breaks, so these stand between tokens, where a space says the same.
        let mut text = serde_json::to_string(&fields)?.replace(['\n', '\r'], " ");
        text.push('\n');
        Ok(text)
    }

    /// Reads a text without its line feed.
    pub fn of_text(text: &'a str) -> Result<Self, LineError> {
        if !text.trim_start().starts_with('{') {
            return Err(LineError::NotAnObject);
        }
        let fields: Fields<'a> = serde_json::from_str(text)?;
        let key = |pk: Option<Value>| pk.as_ref().and_then(PartitionKey::from_json).filter(|key| !key.0.is_empty());
        match fields.op.as_str() {
            "put" => Ok(Self::Put(PutLine {
                id: fields.id.ok_or(LineError::Field("id"))?,
                pk: key(fields.pk).ok_or(LineError::Field("pk"))?,
                ts: fields.ts.ok_or(LineError::Field("ts"))?,
                etag: fields.etag.ok_or(LineError::Field("etag"))?,
                document: object(fields.document.ok_or(LineError::Field("document"))?.get())?.get(),
            })),
            "delete" => Ok(Self::Delete(DeleteLine {
                id: fields.id.ok_or(LineError::Field("id"))?,
                pk: key(fields.pk).ok_or(LineError::Field("pk"))?,
                ts: fields.ts.ok_or(LineError::Field("ts"))?,
            })),
            "unknown" => {
                let document = match (fields.id, fields.pk) {
                    (Some(id), pk @ Some(_)) => Some((id, key(pk).ok_or(LineError::Field("pk"))?)),
                    _ => None,
                };
                let name = fields.name.ok_or(LineError::Field("name"))?;
                Ok(Self::Unknown(UnknownLine { name, document, why: fields.why.ok_or(LineError::Field("why"))? }))
            }
            _ => Err(LineError::Op),
        }
    }

    /// The name of its document in the mirror, by which lines are in order.
    pub fn name(&self, paths: &MirrorPaths) -> String {
        match self {
            Self::Put(PutLine { id, pk, .. }) | Self::Delete(DeleteLine { id, pk, .. }) => paths.document(pk, id),
            Self::Unknown(unknown) => unknown.name.clone(),
        }
    }
}

fn object(text: &str) -> Result<&RawValue, LineError> {
    let raw: &RawValue = serde_json::from_str(text)?;
    if raw.get().starts_with('{') { Ok(raw) } else { Err(LineError::Field("document")) }
}

#[cfg(test)]
mod tests;
