//! A directory: whether its file system can hold a mirror, and whether there is room.

use std::path::Path;

use super::super::bounds::Bounds;
use super::super::findings::{DIRECTORY_UNUSABLE, LITTLE_SPACE};
use super::super::report::Report;
use crate::config::{Target, format_size};
use crate::failure::{Failure, Kind};
use crate::store::VersionStore as _;
use crate::store::directory::DirectoryStore;

const DIRECTORY: &str = "target.directory";
const SPACE: &str = "target.space";
const SPACE_MIN: u64 = 5 * 1024 * 1024 * 1024;

/// Looks at it.
pub(super) async fn check(target: &Target, bounds: &Bounds) -> Report {
    let mut report = Report::default();
    let Some(path) = &target.path else {
        report.found(&DIRECTORY_UNUSABLE, None, "target.path is missing");
        return report;
    };
    let shown = path.display();
    let existing = match path.ancestors().find(|ancestor| ancestor.exists()) {
        Some(existing) => existing,
        // A relative path of one part has the working directory above it.
        None => Path::new("."),
    };
    let is_there = existing == path.as_path();
    let usable = async {
        if is_there {
            return DirectoryStore::new(path.clone()).prepare(false).await;
        }
        if target.create { writable(existing) } else { DirectoryStore::new(path.clone()).prepare(false).await }
    };
    match bounds.look(&format!("use the directory {shown}"), usable).await {
        Ok(()) if is_there => {
            let detail = format!("{shown} can be written, tells upper from lower case, has hard links and locks");
            report.ok(DIRECTORY, None, detail);
        }
        Ok(()) => report.ok(DIRECTORY, None, format!("{shown} does not exist; the daemon will create it")),
        Err(failure) => report.failed(&DIRECTORY_UNUSABLE, None, &failure),
    }
    match free_bytes(existing) {
        Ok(free) if free < SPACE_MIN => {
            report.found(&LITTLE_SPACE, None, format!("{} are free at {shown}", format_size(rounded(free))));
        }
        Ok(free) => report.ok(SPACE, None, format!("{} are free at {shown}", format_size(rounded(free)))),
        Err(why) => report.found(&LITTLE_SPACE, None, format!("the free space of {shown} is not known: {why}")),
    }
    report
}

/// Whether this user may make something in there. The file that is made has no name.
fn writable(directory: &Path) -> Result<(), Failure> {
    tempfile::tempfile_in(directory).map(drop).map_err(|error| {
        Failure::new(Kind::Unauthorized, format!("nothing can be made in {}: {error}", directory.display()))
            .remedy("give the process's user write rights there, or make the target directory for it")
    })
}

/// Whole MiB, since nobody reads bytes.
fn rounded(bytes: u64) -> u64 {
    const MIB: u64 = 1024 * 1024;
    let unit = if bytes >= 10 * 1024 * MIB { 1024 * MIB } else { MIB };
    bytes / unit * unit
}

#[cfg(unix)]
fn free_bytes(path: &Path) -> Result<u64, String> {
    let found = rustix::fs::statvfs(path).map_err(|error| error.to_string())?;
    Ok(found.f_bavail.saturating_mul(found.f_frsize))
}

#[cfg(not(unix))]
fn free_bytes(_: &Path) -> Result<u64, String> {
    Err("this system does not tell it".to_owned())
}
