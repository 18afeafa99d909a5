//! The undo file, which is also the journal of the work: what every document was before it was touched, and what came of it.
//!
//! | step | file |
//! |---|---|
//! | begin a file, or go on with the one of the same work | `journal/open.rs` |
//! | read and check one, and find a step's lines in it | `journal/read.rs` |
//! | where those lines are | `journal/offsets.rs` |
//! | encrypt what a line says of its document's content, and open it | `journal/content.rs` |
//! | write lines, many for one sync | `journal/writer.rs` |
//!
//! A `before` is on disk before the document is touched; `after` and `skipped` are written behind the answer and not waited for. So a
//! crash leaves at most steps of which it is not known whether they were done, and these are looked at again. An existing
//! file is only ever added to, and only by one process at a time, which holds a lock on it. What a crash tore off at the
//! end is cut off when the work goes on; any other line that does not fit is an error. A file is encrypted from its first line to its
//! last, or not at all.

mod content;
mod offsets;
mod open;
mod read;
#[cfg(test)]
mod tests;
mod writer;

pub use content::Keys;
pub(super) use open::{Begun, FIRST, begin, require_same_containers};
pub use read::UndoFile;
pub(super) use read::{Entry, Outcome, Tail};
pub(super) use writer::Journal;

use std::fs::TryLockError;
use std::path::Path;

use crate::failure::{Failure, Kind};

/// The file cannot be read or written.
fn unusable(path: &Path, error: &std::io::Error) -> Failure {
    let kind = match error.kind() {
        std::io::ErrorKind::NotFound => Kind::NotFound,
        _ => Kind::Internal,
    };
    let remedy = match error.kind() {
        std::io::ErrorKind::NotFound => "check the file's name",
        std::io::ErrorKind::StorageFull => "make room, then apply the same file again: it goes on",
        _ => "make it usable, or name another with --undo",
    };
    Failure::new(kind, format!("{}: {error}", path.display())).remedy(remedy)
}

/// A line is not what was written.
fn broken(path: &Path, line: u64, why: impl std::fmt::Display) -> Failure {
    Failure::new(Kind::Integrity, format!("{} line {line}: {why}", path.display()))
        .remedy("nothing was written; take the file as cosmirror wrote it")
}

/// Says who has the file if it is not ours.
fn locked(path: &Path, answer: Result<(), TryLockError>) -> Result<(), Failure> {
    match answer {
        Ok(()) => Ok(()),
        Err(TryLockError::WouldBlock) => {
            Err(Failure::new(Kind::Held, format!("{}: another process is at this work", path.display()))
                .remedy("wait for its end; if it does not reach it, apply the same file again"))
        }
        Err(TryLockError::Error(error)) => Err(unusable(path, &error)),
    }
}
