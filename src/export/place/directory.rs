//! An export in a directory, readable for its owner only: it holds documents in plain text.
//!
//! A file is written beside its own name, synced, renamed, and the directory is synced. What a crash leaves unnamed is removed by the next run.

use std::fs::{DirBuilder, File};
use std::io::{ErrorKind, Read, Write as _};
use std::path::{Path, PathBuf};

use async_trait::async_trait;
use tempfile::NamedTempFile;

use super::{Place, Staged};
use crate::failure::{Failure, Kind};
use crate::restore::blocking;

/// What the names of files begin and end with that are not whole.
const STAGED: (&str, &str) = (".export-", ".unfinished");

/// A directory.
pub(crate) struct Directory {
    path: PathBuf,
    /// Locked while this process writes.
    claimed: Option<File>,
}

impl Directory {
    /// The directory at `path`, which need not be there yet.
    pub(crate) fn new(path: &Path) -> Self {
        Self { path: path.to_owned(), claimed: None }
    }

    fn failed(&self, doing: &str, error: &std::io::Error) -> Failure {
        failed(&self.path, doing, error)
    }
}

fn failed(path: &Path, doing: &str, error: &std::io::Error) -> Failure {
    let (kind, remedy) = match error.kind() {
        ErrorKind::PermissionDenied => {
            (Kind::Unauthorized, "give yourself the rights to it, or name another directory")
        }
        ErrorKind::NotADirectory => (Kind::Misconfigured, "name a directory"),
        ErrorKind::StorageFull | ErrorKind::QuotaExceeded => {
            (Kind::Internal, "make room and run the same command again: it goes on")
        }
        _ => (Kind::Internal, "look at the directory, or name another one"),
    };
    Failure::new(kind, format!("cannot {doing} {}: {error}", path.display())).remedy(remedy)
}

fn is_staged(name: &str) -> bool {
    name.starts_with(STAGED.0) && name.ends_with(STAGED.1)
}

/// Makes the directory and what is missing above it, for their owner only, and their entries durable.
fn make(path: &Path) -> std::io::Result<()> {
    if path.is_dir() {
        return Ok(());
    }
    let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    make(parent)?;
    let mut builder = DirBuilder::new();
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    match builder.create(path) {
        Err(error) if error.kind() != ErrorKind::AlreadyExists => return Err(error),
        _ => {}
    }
    File::open(parent)?.sync_all()
}

/// Syncs a staged file, names it, and syncs the name.
fn persist(directory: &Path, name: &str, staged: NamedTempFile) -> std::io::Result<()> {
    staged.as_file().sync_all()?;
    staged.persist(directory.join(name)).map_err(|error| error.error)?;
    File::open(directory)?.sync_all()
}

#[async_trait]
impl Place for Directory {
    fn describe(&self, name: &str) -> String {
        if name.is_empty() { self.path.display().to_string() } else { self.path.join(name).display().to_string() }
    }

    async fn names(&self) -> Result<Vec<String>, Failure> {
        let entries = match std::fs::read_dir(&self.path) {
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Vec::new()),
            entries => entries.map_err(|error| self.failed("list", &error))?,
        };
        let names = entries.map(|entry| entry.map(|entry| entry.file_name().to_string_lossy().into_owned()));
        let names: Result<Vec<String>, _> = names.collect();
        let mut names = names.map_err(|error| self.failed("list", &error))?;
        names.retain(|name| !is_staged(name));
        names.sort_unstable();
        Ok(names)
    }

    async fn claim(&mut self) -> Result<(), Failure> {
        make(&self.path).map_err(|error| self.failed("create", &error))?;
        let opened = File::open(&self.path).map_err(|error| self.failed("open", &error))?;
        match opened.try_lock() {
            Ok(()) => {}
            Err(std::fs::TryLockError::WouldBlock) => {
                let message = format!("another process writes to {}", self.path.display());
                return Err(Failure::new(Kind::Held, message).remedy("wait for it, or name another directory"));
            }
            Err(std::fs::TryLockError::Error(error)) => return Err(self.failed("lock", &error)),
        }
        self.claimed = Some(opened);
        // Nobody else writes here, so what is staged belongs to a process that died.
        let entries = std::fs::read_dir(&self.path).map_err(|error| self.failed("list", &error))?;
        for entry in entries.flatten().filter(|entry| is_staged(&entry.file_name().to_string_lossy())) {
            std::fs::remove_file(entry.path()).map_err(|error| failed(&entry.path(), "remove", &error))?;
        }
        Ok(())
    }

    fn stage(&self) -> Result<Staged, Failure> {
        let staged = tempfile::Builder::new().prefix(STAGED.0).suffix(STAGED.1).tempfile_in(&self.path);
        staged.map(Staged::Beside).map_err(|error| self.failed("write to", &error))
    }

    async fn keep(&self, name: &str, staged: Staged) -> Result<(), Failure> {
        let Staged::Beside(staged) = staged else {
            return Err(Failure::new(Kind::Internal, "a file that was staged elsewhere"));
        };
        let (path, name) = (self.path.clone(), name.to_owned());
        blocking(move || persist(&path, &name, staged).map_err(|error| failed(&path.join(&name), "write", &error)))
            .await
    }

    async fn put(&self, name: &str, text: &str) -> Result<(), Failure> {
        let mut staged = self.stage()?;
        staged.write_all(text.as_bytes()).map_err(|error| self.failed("write to", &error))?;
        self.keep(name, staged).await
    }

    async fn remove(&self, name: &str) -> Result<(), Failure> {
        let path = self.path.join(name);
        match std::fs::remove_file(&path) {
            Err(error) if error.kind() != ErrorKind::NotFound => Err(failed(&path, "remove", &error)),
            _ => Ok(()),
        }
    }

    async fn open(&self, name: &str) -> Result<Option<Box<dyn Read + Send>>, Failure> {
        let path = self.path.join(name);
        match File::open(&path) {
            Err(error) if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) => Ok(None),
            Err(error) => Err(failed(&path, "read", &error)),
            Ok(file) => Ok(Some(Box::new(file))),
        }
    }
}
