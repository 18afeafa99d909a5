//! `--ids FILE`: a list of documents, one per line, as people and scripts write it.
//!
//! | a line | names |
//! |---|---|
//! | `{"id":"…","pk":…}` | the document; `pk` is a value or an array, and may be called `partition_key`, as `history -o ndjson` does |
//! | `"…"` or `{"id":"…"}` | the document, in a container whose partition key is the id |
//! | blank, or `#` first | nothing |
//!
//! Other members are passed over. A line that is none of these ends the reading before anything was done. A document that
//! is named again counts once. A byte order mark and `\r` before a line's end do no harm.
//!
//! The documents wait in an unnamed file; memory holds 16 bytes of hash for each, up to [`DOCUMENTS_MAX`] of them, which is
//! about 110 MB at the most.

use std::collections::HashSet;
use std::fmt;
use std::fs::File;
use std::io::{BufRead, BufReader, Read as _};
use std::path::Path;

use cosmirror_formats::PartitionKey;
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::Value;
use sha2::{Digest as _, Sha256};

use crate::failure::{CommandError, Exit};
use crate::spool::Spool;

/// Longest line; an id and a key have at most 3 KiB, escaped six times that.
const LINE_BYTES_MAX: u64 = 64 << 10;
/// Most documents of a file.
pub(super) const DOCUMENTS_MAX: usize = 2_000_000;
/// How much of a line an error shows.
const SHOWN_CHARS_MAX: usize = 80;

/// A document that a file names.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct Named {
    /// Its id.
    pub(super) id: String,
    /// Its partition key, canonical: an array of as many components as the container's key has.
    partition_key: Value,
}

impl Named {
    /// Its partition key.
    pub(super) fn key(&self) -> PartitionKey {
        // Only keys are written there, so there is always one.
        PartitionKey::from_json(&self.partition_key).unwrap_or(PartitionKey(Vec::new()))
    }
}

/// The documents that a file names, `-` being standard input, for a container with these paths of its partition key.
/// Blocks while it reads.
pub(super) fn read(file: &Path, key_paths: &[String]) -> Result<Spool<Named>, CommandError> {
    if file == Path::new("-") {
        return documents(std::io::stdin().lock(), &"standard input", key_paths);
    }
    let opened = File::open(file).map_err(|error| unreadable(&file.display(), &error))?;
    documents(BufReader::new(opened), &file.display(), key_paths)
}

fn documents(
    mut from: impl BufRead,
    name: &dyn fmt::Display,
    key_paths: &[String],
) -> Result<Spool<Named>, CommandError> {
    let (mut named, mut seen) = (Spool::new()?, HashSet::new());
    let mut line = Vec::new();
    for number in 1_u64.. {
        line.clear();
        // One byte more tells a line that is too long from one that just fits.
        let read = from.by_ref().take(LINE_BYTES_MAX + 1).read_until(b'\n', &mut line);
        if read.map_err(|error| unreadable(name, &error))? == 0 {
            break;
        }
        let document =
            document(&line, number == 1, key_paths).map_err(|fault| bad_line(name, number, &line, &fault))?;
        let Some(document) = document else { continue };
        if !seen.insert(hash(&document)) {
            continue;
        }
        if seen.len() > DOCUMENTS_MAX {
            let message = format!("{name} names more than {DOCUMENTS_MAX} documents");
            return Err(CommandError::new(Exit::Usage, message, "divide it into several files"));
        }
        named.push(&document)?;
    }
    Ok(named)
}

/// What is wrong with a line.
#[derive(Debug, thiserror::Error)]
enum Fault {
    #[error("it is longer than {LINE_BYTES_MAX} bytes")]
    TooLong,
    #[error("it is not UTF-8")]
    NotText,
    #[error("it is not JSON: {0}")]
    NotJson(String),
    #[error("it is neither an object nor a string")]
    OtherValue,
    #[error("it has no \"id\"")]
    NoId,
    #[error("its \"id\" is not a string, or is empty")]
    BadId,
    #[error("it has both \"pk\" and \"partition_key\"")]
    TwoKeys,
    #[error("its partition key is missing: the container's is {0}, not the id")]
    NoKey(String),
    #[error("its partition key is not made of strings, numbers, booleans and nulls")]
    BadKey,
    #[error("its partition key has {found} components, the container's has {wanted} ({paths})")]
    Components { found: usize, wanted: usize, paths: String },
}

#[derive(Deserialize)]
struct Line {
    #[serde(default, deserialize_with = "present")]
    id: Option<Value>,
    #[serde(default, deserialize_with = "present")]
    pk: Option<Value>,
    #[serde(default, deserialize_with = "present")]
    partition_key: Option<Value>,
}

/// A member that is there, `null` included, which is a key as well.
fn present<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Value>, D::Error> {
    Value::deserialize(deserializer).map(Some)
}

/// The document that a line names, if it names one.
fn document(line: &[u8], first: bool, key_paths: &[String]) -> Result<Option<Named>, Fault> {
    if line.len() as u64 > LINE_BYTES_MAX {
        return Err(Fault::TooLong);
    }
    let text = std::str::from_utf8(line).map_err(|_| Fault::NotText)?;
    let text = if first { text.strip_prefix('\u{feff}').unwrap_or(text) } else { text };
    let text = text.trim_ascii();
    let parsed = match text.as_bytes().first() {
        None | Some(b'#') => return Ok(None),
        Some(b'"') => serde_json::from_str(text).map(|id| Line { id: Some(id), pk: None, partition_key: None }),
        // An array would be taken for the members in their order.
        Some(b'{') => serde_json::from_str(text),
        Some(_) => {
            let parsed = serde_json::from_str::<serde::de::IgnoredAny>(text);
            return Err(parsed.map_or_else(not_json, |_| Fault::OtherValue));
        }
    };
    let Line { id, pk, partition_key } = parsed.map_err(not_json)?;
    let id = match id {
        Some(Value::String(id)) if !id.is_empty() => id,
        Some(_) => return Err(Fault::BadId),
        None => return Err(Fault::NoId),
    };
    let key = match (pk, partition_key) {
        (Some(_), Some(_)) => return Err(Fault::TwoKeys),
        (Some(key), None) | (None, Some(key)) => PartitionKey::from_json(&key).ok_or(Fault::BadKey)?,
        (None, None) if key_is_id(key_paths) => PartitionKey(vec![cosmirror_formats::KeyValue::String(id.clone())]),
        (None, None) => return Err(Fault::NoKey(key_paths.join(", "))),
    };
    let (found, wanted) = (key.0.len(), key_paths.len());
    if found != wanted {
        return Err(Fault::Components { found, wanted, paths: key_paths.join(", ") });
    }
    Ok(Some(Named { id, partition_key: key.to_json() }))
}

fn key_is_id(key_paths: &[String]) -> bool {
    matches!(key_paths, [path] if path == "/id" || path == "/\"id\"")
}

fn not_json(error: serde_json::Error) -> Fault {
    // Of a text of one line, the line says nothing.
    let text = error.to_string();
    let (reason, place) = text.split_once(" at line ").unwrap_or((&text, ""));
    Fault::NotJson(match place.split_once(" column ") {
        Some((_, column)) => format!("{reason} at column {column}"),
        None => reason.to_owned(),
    })
}

fn hash(document: &Named) -> [u8; 16] {
    let mut hasher = Sha256::new();
    hasher.update(document.partition_key.to_string());
    // No JSON text holds this byte, so no key and id together read like others.
    hasher.update([0]);
    hasher.update(&document.id);
    let mut first = [0; 16];
    first.copy_from_slice(&hasher.finalize()[..16]);
    first
}

fn bad_line(name: &dyn fmt::Display, number: u64, line: &[u8], fault: &Fault) -> CommandError {
    let head = &line[..line.len().min(4 * SHOWN_CHARS_MAX)];
    let text = String::from_utf8_lossy(head);
    let mut shown = String::new();
    for c in text.trim().chars() {
        // Quotation marks are harmless, and every line has many.
        let escaped = if c == '"' { c.to_string() } else { c.escape_debug().to_string() };
        if shown.chars().count() + escaped.len() > SHOWN_CHARS_MAX {
            shown.push('…');
            break;
        }
        shown.push_str(&escaped);
    }
    CommandError::new(
        Exit::Usage,
        format!("line {number} of {name}, {shown}: {fault}"),
        r#"write one document per line, as {"id":"…","pk":…}; nothing was done"#,
    )
}

fn unreadable(name: &dyn fmt::Display, error: &std::io::Error) -> CommandError {
    CommandError::new(Exit::Usage, format!("cannot read {name}: {error}"), "name a file that can be read with --ids")
}

#[cfg(test)]
mod tests;
