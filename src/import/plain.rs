//! Plain files: NDJSON or one JSON array, compressed by Zstandard or not, which their first bytes tell.
//!
//! A document that comes a second time is a line that cannot be used: which of both is meant nobody can tell. Memory holds 16 bytes of hash for each document, up to
//! [`DOCUMENTS_MAX`] of them.

use std::collections::HashSet;
use std::fs::File;
use std::io::{BufRead, BufReader, Read as _, Seek as _, SeekFrom, Write as _};
use std::path::Path;

use aws_lc_rs::digest::{Context, SHA256};
use cosmirror_formats::KeyDefinition;
use cosmirror_formats::blob_name::hex;
use cosmirror_formats::export::Line;

use super::array::Array;
use super::bad::{BadLine, BadLines};
use super::document::document;
use super::{Item, LINE_BYTES_MAX, LINES_AT_ONCE};
use crate::export::read::decoder;
use crate::failure::{CommandError, Exit, Failure, Kind};
use crate::spool::unusable;

/// The first bytes of a file that is compressed by Zstandard (RFC 8878, section 3.1.1).
const ZSTD_MAGIC: [u8; 4] = [0x28, 0xb5, 0x2f, 0xfd];
const BYTE_ORDER_MARK: [u8; 3] = [0xef, 0xbb, 0xbf];
const BUFFER_BYTES: usize = 64 << 10;
/// Most documents of a file; each takes 16 bytes of memory and what the set adds.
const DOCUMENTS_MAX: usize = 4_000_000;

/// A file of documents.
pub(crate) struct Plain {
    name: String,
    file: File,
    definition: KeyDefinition,
}

/// One element of a file, before anybody has looked whether it is a document.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Element {
    /// Where it begins, from 1.
    pub(super) line: u64,
    pub(super) bytes: Vec<u8>,
    /// It is longer than any that is read; its bytes are cut off.
    pub(super) too_long: bool,
}

/// Why nothing more can be read.
#[derive(Debug, thiserror::Error)]
pub(super) enum Fault {
    #[error("{0}")]
    Io(#[from] std::io::Error),
    #[error("line {line}: {why}")]
    Broken {
        /// From 1.
        line: u64,
        why: &'static str,
    },
}

/// What is next in a file.
pub(super) enum Read {
    Document(Item),
    Bad(BadLine),
}

impl Plain {
    /// Opens a file; `-` is standard input, which is kept in an unnamed file because everything is read twice. Blocks while it reads that.
    pub(crate) fn open(path: &Path) -> Result<Self, Failure> {
        let is_standard_input = path == Path::new("-");
        let name = if is_standard_input { "standard input".to_owned() } else { path.display().to_string() };
        let unreadable = |error: &std::io::Error| {
            let kind = if error.kind() == std::io::ErrorKind::NotFound { Kind::NotFound } else { Kind::Misconfigured };
            Failure::new(kind, format!("cannot read {name}: {error}")).remedy("name a file that can be read")
        };
        let file = if is_standard_input {
            let mut kept = tempfile::tempfile().map_err(|error| unusable(&error))?;
            std::io::copy(&mut std::io::stdin().lock(), &mut kept).map_err(|error| unusable(&error))?;
            kept.flush().map_err(|error| unusable(&error))?;
            kept
        } else {
            File::open(path).map_err(|error| unreadable(&error))?
        };
        Ok(Self { name, file, definition: KeyDefinition::new([""; 0]) })
    }

    /// The same for a container whose documents have their partition key there.
    pub(crate) fn for_key(self, paths: &[String]) -> Self {
        Self { definition: KeyDefinition::new(paths), ..self }
    }

    /// What messages call it.
    pub(crate) fn describe(&self) -> &str {
        &self.name
    }

    /// SHA-256 of its bytes in lower-case hexadecimal.
    pub(super) async fn digest(&self) -> Result<String, Failure> {
        let mut from = self.rewound()?;
        let mut hash = Context::new(&SHA256);
        let mut buffer = vec![0; BUFFER_BYTES];
        loop {
            let read = from.read(&mut buffer).map_err(|error| self.broken(&error.into()))?;
            if read == 0 {
                return Ok(hex(hash.finish().as_ref()));
            }
            hash.update(&buffer[..read]);
            tokio::task::yield_now().await;
        }
    }

    /// Looks at every line, and says how many documents there are.
    pub(super) async fn check(&self, bad: &mut BadLines) -> Result<u64, CommandError> {
        let mut documents = self.documents()?;
        let (mut count, mut read) = (0, 0);
        while let Some(next) = documents.next()? {
            match next {
                Read::Document(_) => count += 1,
                Read::Bad(line) => {
                    self.require_no_export(&line, read)?;
                    bad.add(&line)?;
                }
            }
            read += 1;
            if read % LINES_AT_ONCE == 0 {
                tokio::task::yield_now().await;
            }
        }
        Ok(count)
    }

    /// Its documents from the first.
    pub(super) fn documents(&self) -> Result<Documents<'_>, Failure> {
        let mut from: Box<dyn BufRead + Send> = Box::new(BufReader::with_capacity(BUFFER_BYTES, self.rewound()?));
        let failed = |error: std::io::Error| self.broken(&error.into());
        if from.fill_buf().map_err(failed)?.starts_with(&ZSTD_MAGIC) {
            from = Box::new(BufReader::with_capacity(BUFFER_BYTES, decoder(from).map_err(failed)?));
        }
        let begin = from.fill_buf().map_err(failed)?;
        if begin.starts_with(&BYTE_ORDER_MARK) {
            from.consume(BYTE_ORDER_MARK.len());
        }
        let begin = from.fill_buf().map_err(failed)?;
        let is_array = begin.iter().find(|byte| !byte.is_ascii_whitespace()) == Some(&b'[');
        let elements = if is_array { Elements::Array(Array::new(from)) } else { Elements::Lines(from, 0) };
        Ok(Documents { of: self, elements, seen: HashSet::new() })
    }

    fn rewound(&self) -> Result<File, Failure> {
        let clone = self.file.try_clone().and_then(|mut file| {
            file.seek(SeekFrom::Start(0))?;
            Ok(file)
        });
        clone.map_err(|error| self.broken(&error.into()))
    }

    /// A file of an export would be imported as its envelopes.
    fn require_no_export(&self, bad: &BadLine, read: u64) -> Result<(), CommandError> {
        if read > 0 || bad.reason != IS_EXPORT {
            return Ok(());
        }
        let message = format!("{} is a file of an export", self.name);
        Err(CommandError::new(Exit::Usage, message, "name the export's folder; nothing was written"))
    }

    fn broken(&self, fault: &Fault) -> Failure {
        Failure::new(Kind::Integrity, format!("{}: {fault}", self.name)).remedy("mend the file; nothing was written")
    }
}

const IS_EXPORT: &str = "it is a line of an export";

enum Elements {
    /// With the number of the line before.
    Lines(Box<dyn BufRead + Send>, u64),
    Array(Array<Box<dyn BufRead + Send>>),
}

/// The documents of a file, one by one.
pub(super) struct Documents<'a> {
    of: &'a Plain,
    elements: Elements,
    seen: HashSet<[u8; 16]>,
}

impl Documents<'_> {
    pub(super) fn next(&mut self) -> Result<Option<Read>, CommandError> {
        let element = match &mut self.elements {
            Elements::Lines(from, line) => next_line(from, line).map_err(Fault::from),
            Elements::Array(array) => array.next(),
        };
        let Some(element) = element.map_err(|fault| self.of.broken(&fault))? else { return Ok(None) };
        let text = String::from_utf8_lossy(&element.bytes);
        let item = match std::str::from_utf8(&element.bytes) {
            _ if element.too_long => Err(format!("it is longer than {LINE_BYTES_MAX} bytes")),
            Err(_) => Err("it is not UTF-8".to_owned()),
            // It may have an id of its own, so it would pass for a document.
            Ok(text) if Line::of_text(text).is_ok() => Err(IS_EXPORT.to_owned()),
            Ok(text) => document(text, &self.of.definition),
        };
        let item = match item {
            Ok(item) if !self.is_first(&item)? => Err("its id and partition key came before".to_owned()),
            item => item,
        };
        Ok(Some(item.map_or_else(
            |reason| {
                Read::Bad(BadLine { file: self.of.name.clone(), line: element.line, reason, text: text.into_owned() })
            },
            Read::Document,
        )))
    }

    fn is_first(&mut self, item: &Item) -> Result<bool, CommandError> {
        let mut hash = Context::new(&SHA256);
        hash.update(item.key.to_string().as_bytes());
        // No JSON text holds this byte, so no key and id together read like others.
        hash.update(&[0]);
        hash.update(item.id.as_bytes());
        let mut first = [0; 16];
        first.copy_from_slice(&hash.finish().as_ref()[..16]);
        let new = self.seen.insert(first);
        if self.seen.len() > DOCUMENTS_MAX {
            let message = format!("{} has more than {DOCUMENTS_MAX} documents", self.of.name);
            return Err(CommandError::new(Exit::Usage, message, "divide it into several files; nothing was written"));
        }
        Ok(new)
    }
}

/// The next line that is not blank, without its line end.
fn next_line(from: &mut impl BufRead, line: &mut u64) -> std::io::Result<Option<Element>> {
    loop {
        let mut bytes = Vec::new();
        // One byte more tells a line that is too long from one that just fits.
        if from.take(LINE_BYTES_MAX + 1).read_until(b'\n', &mut bytes)? == 0 {
            return Ok(None);
        }
        *line += 1;
        let too_long = bytes.len() as u64 > LINE_BYTES_MAX && bytes.last() != Some(&b'\n');
        if too_long {
            from.skip_until(b'\n')?;
        }
        if !bytes.trim_ascii().is_empty() {
            let end = bytes.trim_ascii_end().len();
            bytes.truncate(end);
            return Ok(Some(Element { line: *line, bytes, too_long }));
        }
    }
}
