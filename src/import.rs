//! Documents from files into containers: exports of this program, in chains, and plain NDJSON or JSON arrays of any other.
//!
//! | step | file |
//! |---|---|
//! | the exports of a chain, their checksums, and that they fit together | `import/chain.rs` |
//! | the lines of one export of one container | `import/cursor.rs` |
//! | those of all of them: of each document the newest one | `import/merge.rs` |
//! | plain files: their documents one by one | `import/plain.rs`, `import/array.rs` |
//! | what a document of a plain file must be (pure) | `import/document.rs` |
//! | what is read, whichever it is | `import/input.rs` |
//! | lines that cannot be used | `import/bad.rs` |
//! | one document: look, and write by the policy | `import/write.rs` |
//! | all of them, many at a time | `import/run.rs` |
//! | how far an interrupted import came | `import/progress.rs` |
//! | how it ended | `import/report.rs` |
//!
//! Everything is read twice. The first time every checksum and every line is looked at, and nothing is written; where a line cannot be used, nothing ever
//! is, unless such lines are to be collected in a file. The second time documents are written, in the order of the files.
//!
//! Each write is guarded by the etag of the document that was looked at just before, or by there being none. Nothing is ever deleted: a document that a chain
//! says was deleted is not written. A document that already has the content counts as unchanged, so an import that died can be run again; a file
//! beside says behind which document it may begin. A document whose history was erased from the mirror stays away.

use bytes::Bytes;
use cosmirror_formats::PartitionKey;

mod array;
mod bad;
mod chain;
mod cursor;
mod document;
mod input;
mod merge;
mod plain;
mod progress;
mod report;
mod run;
#[cfg(test)]
mod tests;
mod write;

pub(crate) use bad::BadLines;
pub(crate) use chain::Chain;
pub(crate) use input::{Checked, Input};
pub(crate) use plain::Plain;
pub(crate) use progress::Progress;
pub(crate) use report::Report;
pub(crate) use run::Import;
pub(crate) use write::Target;

/// Longest document or line that is read, in bytes: of two megabytes of which every character is escaped it stays below.
const LINE_BYTES_MAX: u64 = 16 << 20;
/// Reasons kept for the person who reads the result; beyond it documents are only counted.
const NOTES_MAX: usize = 20;
/// Lines between two moments in which a signal is heard.
const LINES_AT_ONCE: u64 = 256;

/// A document that is to be written.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Item {
    /// Which of the containers, from 0.
    pub(crate) container: usize,
    pub(crate) id: String,
    pub(crate) key: PartitionKey,
    /// When it was committed where it comes from, in seconds since 1970; none where that is not said.
    pub(crate) ts: Option<i64>,
    /// Its text, without the properties that the service writes.
    pub(crate) text: Bytes,
}

/// What is next in the input.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Next {
    Put(Item),
    /// A document of which the exports do not know what it was.
    LeftOut,
}
