//! Making the directory usable, and proving that its file system can hold a mirror.
//!
//! Proved with two files in the staging directory: names that differ only by case are different files, a hard link is
//! possible and never replaces one that exists, files can be locked, and directories can be synced.

use std::fs::{self, File};
use std::io;
use std::path::Path;
use std::time::Duration;

use super::put::{Staged, create as create_file};
use super::{Shared, durable, errors, lock};
use crate::failure::{Failure, Kind};

/// Age from which a staged file is nobody's any more. Its writer is dead: a put takes seconds.
const STAGED_AGE_MAX: Duration = Duration::from_secs(24 * 60 * 60);

impl Shared {
    pub(super) fn prepare(&self, create: bool) -> Result<(), Failure> {
        self.make_root(create)?;
        durable::make(self.staging.directory()).map_err(|error| errors::writing(self.staging.directory(), &error))?;
        durable::sync_directory(&self.root)?;
        let probe = self.staging.file()?;
        for suffix in ["a", "A", "link"] {
            // Names made of the probe's are this process's; a crash of an earlier one may have left them.
            let _ = fs::remove_file(probe.path.with_extension(suffix));
        }
        self.prove_case(&probe, create_file)?;
        self.prove_links(&probe)?;
        lock::prove(&probe.file, &probe.path)?;
        self.remove_left_over(&probe)
    }

    fn make_root(&self, create: bool) -> Result<(), Failure> {
        match fs::metadata(&self.root) {
            Ok(found) if found.is_dir() => Ok(()),
            Ok(_) => Err(Failure::new(Kind::Misconfigured, format!("{} is not a directory", self.root.display()))
                .remedy("set target.path to a directory")),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                if !create {
                    return Err(errors::no_root(&self.root));
                }
                make_all(&self.root)
            }
            Err(error) => Err(errors::reading(&self.root, &error)),
        }
    }

    /// `create` makes a file that must not exist, as the file system does it.
    pub(super) fn prove_case(&self, probe: &Staged, create: impl Fn(&Path) -> io::Result<File>) -> Result<(), Failure> {
        let _lower = staged_beside(probe, "a", &create)?;
        match staged_beside(probe, "A", &create) {
            Ok(_upper) => Ok(()),
            Err(failure) if failure.kind == Kind::Conflict => Err(Failure::new(
                Kind::Misconfigured,
                format!("the file system of {} does not tell upper from lower case", self.root.display()),
            )
            .remedy("put the target directory on a case-sensitive file system: names of documents are case-sensitive")),
            Err(failure) => Err(failure),
        }
    }

    fn prove_links(&self, probe: &Staged) -> Result<(), Failure> {
        let place = probe.path.with_extension("link");
        let first = fs::hard_link(&probe.path, &place);
        let second = fs::hard_link(&probe.path, &place);
        let removed = fs::remove_file(&place);
        let refused = |what: &str| {
            Failure::new(Kind::Misconfigured, format!("the file system of {} {what}", self.root.display()))
                .remedy("put the target directory on a file system with hard links, such as ext4 or XFS")
        };
        if let Err(error) = first {
            return Err(refused(&format!("makes no hard links ({error})")));
        }
        match second {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
            _ => return Err(refused("lets a hard link replace a file")),
        }
        removed.map_err(|error| errors::writing(&place, &error))
    }

    /// Ages are told by the file system's own clock: the probe was made just now.
    fn remove_left_over(&self, probe: &Staged) -> Result<(), Failure> {
        let failed = |error: io::Error| errors::reading(self.staging.directory(), &error);
        let now = probe.file.metadata().and_then(|m| m.modified()).map_err(failed)?;
        for entry in fs::read_dir(self.staging.directory()).map_err(failed)? {
            let entry = entry.map_err(failed)?;
            let found = entry.metadata().and_then(|m| Ok((m.is_file(), m.modified()?)));
            let is_left_over = match found {
                // Another process removed its own.
                Err(error) if error.kind() == io::ErrorKind::NotFound => false,
                found => {
                    let (is_file, made) = found.map_err(failed)?;
                    is_file && now.duration_since(made).is_ok_and(|age| age > STAGED_AGE_MAX)
                }
            };
            if is_left_over
                && let Err(error) = fs::remove_file(entry.path())
                && error.kind() != io::ErrorKind::NotFound
            {
                return Err(errors::writing(&entry.path(), &error));
            }
        }
        Ok(())
    }
}

/// A file beside the probe; a conflict where the file system takes the name for another's.
fn staged_beside(probe: &Staged, suffix: &str, create: impl Fn(&Path) -> io::Result<File>) -> Result<Staged, Failure> {
    let path = probe.path.with_extension(suffix);
    match create(&path) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
            Err(Failure::new(Kind::Conflict, format!("{} exists", path.display())))
        }
        Err(error) => Err(errors::writing(&path, &error)),
        Ok(file) => Ok(Staged { path, file }),
    }
}

/// Makes the root with what is missing above it, each on disk before the next.
fn make_all(directory: &Path) -> Result<(), Failure> {
    let parent = directory.parent().filter(|parent| !parent.as_os_str().is_empty());
    if let Some(parent) = parent
        && !parent.is_dir()
    {
        make_all(parent)?;
    }
    durable::make(directory).map_err(|error| errors::writing(directory, &error))?;
    durable::sync_directory(parent.unwrap_or(Path::new(".")))
}
