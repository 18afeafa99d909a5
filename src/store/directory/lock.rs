//! The lock on one container's mirror.
//!
//! `<root>/<base>/+lock` names the daemon that writes this mirror. Each of its replicas holds a shared lock on the file (`flock`) while it
//! follows the container. Only who gets the lock for itself alone, because nobody follows, puts another name there. It gives that lock
//! back before it takes the shared one, and another may put its own name there in between; so the name is read under the shared lock,
//! and that decides.
//!
//! **After a crash** the operating system gives the lock back. The file stays, and its name means nothing without a lock. A file without a
//! whole name is that of a process that is writing it, or has died doing so.

use std::fs::{File, OpenOptions, TryLockError};
use std::io::{self, Read as _, Seek as _, Write as _};
use std::path::{Path, PathBuf};

use super::{Shared, errors, names};
use crate::failure::{Failure, Kind};
use crate::store::Claimant;

/// Longer names are not read; a name has a few hundred bytes.
const NAME_BYTES_MAX: u64 = 16 * 1024;

/// What came of asking for the lock once.
#[derive(Debug)]
pub(super) enum Asked {
    /// It is held.
    Granted(File),
    /// Another daemon holds it: its name, where that could be read.
    Taken(PathBuf, Option<Claimant>),
}

impl Shared {
    /// Asks for the lock on the mirror under `base`, without waiting.
    pub(super) fn ask_for_lock(&self, base: &str, claimant: &Claimant) -> Result<Asked, Failure> {
        let directory = names::object_directory(&self.root, base)?;
        self.synced.create(&directory)?;
        let path = directory.join(names::LOCK);
        let mut file = open(&path).map_err(|error| errors::writing(&path, &error))?;
        if granted(file.try_lock(), &path)? {
            write(&mut file, claimant).map_err(|error| errors::writing(&path, &error))?;
            file.unlock().map_err(|error| unusable(&path, &error))?;
        }
        if !granted(file.try_lock_shared(), &path)? {
            return Ok(Asked::Taken(path, None));
        }
        let holder = read(&mut file).map_err(|error| errors::reading(&path, &error))?;
        Ok(if holder.as_ref() == Some(claimant) { Asked::Granted(file) } else { Asked::Taken(path, holder) })
    }
}

/// That this file, which nobody else knows, can be locked at all.
pub(super) fn prove(file: &File, path: &Path) -> Result<(), Failure> {
    match file.try_lock() {
        Ok(()) => Ok(()),
        Err(TryLockError::WouldBlock) => Err(unusable(path, &io::ErrorKind::WouldBlock.into())),
        Err(TryLockError::Error(error)) => Err(unusable(path, &error)),
    }
}

/// What is told to whoever did not get the lock.
pub(super) fn held(path: &Path, holder: Option<&Claimant>) -> Failure {
    let who = holder.map_or_else(
        || "another daemon".to_owned(),
        |Claimant { account, leases, processor }| {
            format!("the daemon of processor {processor:?} that follows account {account} with the leases in {leases}")
        },
    );
    Failure::new(Kind::Held, format!("this mirror is written by {who}; it holds the lock {}", path.display())).remedy(
        "end that daemon (fuser LOCK tells its process), give this one a target.path or target.prefix of its own, or make both \
         replicas of one: the same source.endpoint, leases.database, leases.container and leases.processor",
    )
}

fn open(path: &Path) -> io::Result<File> {
    let mut options = OpenOptions::new();
    options.read(true).write(true).create(true).truncate(false);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options.open(path)
}

fn granted(asked: Result<(), TryLockError>, path: &Path) -> Result<bool, Failure> {
    match asked {
        Ok(()) => Ok(true),
        Err(TryLockError::WouldBlock) => Ok(false),
        Err(TryLockError::Error(error)) => Err(unusable(path, &error)),
    }
}

fn unusable(path: &Path, error: &io::Error) -> Failure {
    Failure::new(Kind::Misconfigured, format!("the file system gives no lock on {}: {error}", path.display())).remedy(
        "put the target directory on a file system with advisory locks (flock), such as ext4 or XFS; NFS needs its lock service",
    )
}

fn write(file: &mut File, claimant: &Claimant) -> io::Result<()> {
    let mut text = serde_json::to_vec(claimant)?;
    text.push(b'\n');
    file.set_len(0)?;
    file.rewind()?;
    file.write_all(&text)
}

/// The name in the file; none where it is not whole.
fn read(file: &mut File) -> io::Result<Option<Claimant>> {
    let mut text = Vec::new();
    file.rewind()?;
    file.take(NAME_BYTES_MAX).read_to_end(&mut text)?;
    Ok(serde_json::from_slice(&text).ok())
}
