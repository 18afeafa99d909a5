//! What an error of the file system means for the mirror.
//!
//! A full or failing disk is transient: the mirror waits and loses nothing. Missing rights and a directory that is gone
//! need an operator.

use std::io::{self, ErrorKind};
use std::path::Path;

use crate::failure::{Failure, Kind};

/// Reading `path` failed.
pub(super) fn reading(path: &Path, error: &io::Error) -> Failure {
    failure("reading", path, error)
}

/// Writing `path` failed.
pub(super) fn writing(path: &Path, error: &io::Error) -> Failure {
    failure("writing", path, error)
}

/// The target directory is not there.
pub(super) fn no_root(root: &Path) -> Failure {
    Failure::new(Kind::NotFound, format!("the target directory {} does not exist", root.display()))
        .remedy("create or mount it, or set target.create = true")
}

fn failure(doing: &str, path: &Path, error: &io::Error) -> Failure {
    let (kind, remedy) = classify(error.kind());
    Failure::new(kind, format!("{doing} {} failed: {error}", path.display())).remedy(remedy)
}

/// An unknown error counts as transient: trying again loses nothing, and the mirror counts and shows it.
fn classify(kind: ErrorKind) -> (Kind, &'static str) {
    match kind {
        ErrorKind::StorageFull | ErrorKind::QuotaExceeded => {
            (Kind::Transient, "free space on the target's file system; the mirror goes on by itself")
        }
        ErrorKind::PermissionDenied => {
            (Kind::Unauthorized, "give the process's user read and write rights on the target directory")
        }
        ErrorKind::ReadOnlyFilesystem => (Kind::Misconfigured, "mount the target's file system writable"),
        ErrorKind::CrossesDevices => (
            Kind::Misconfigured,
            "keep the whole target directory on one file system: nothing may be mounted inside it",
        ),
        ErrorKind::Unsupported => (Kind::Misconfigured, "use a file system with hard links, such as ext4 or XFS"),
        ErrorKind::NotADirectory | ErrorKind::IsADirectory => {
            (Kind::Misconfigured, "the target directory holds a foreign entry of this name: move it away")
        }
        ErrorKind::NotFound => (Kind::NotFound, "the target directory vanished: mount it again"),
        ErrorKind::InvalidFilename | ErrorKind::InvalidInput => {
            (Kind::Refused, "the file system does not take this name")
        }
        _ => (Kind::Transient, "look into the system's log for faults of the disk if this lasts"),
    }
}
