//! Begins an undo file, or goes on with one.
//!
//! A file that exists is gone on with where it belongs to the same work; any other is refused, whatever it holds.

use std::fs::{File, OpenOptions};
use std::io::{Read as _, Seek as _, SeekFrom, Write as _};
use std::path::Path;

use cosmirror_formats::restore_plan::{ENCRYPTED_UNDO_FORMAT, FORMAT, UndoHead, UndoLine};
use cosmirror_formats::sealed_lines::Seals;

use super::content::Keys;
use super::read::{Tail, UndoFile};
use super::writer::Journal;
use super::{locked, unusable};
use crate::failure::{Failure, Kind};

/// What a first line begins with. A crash may leave a file with less than that line.
pub(in crate::restore) const FIRST: &[u8] = br#"{"line":"undo","#;

/// What an undo file is at the beginning of the work.
pub(in crate::restore) enum Begun {
    /// It was made.
    New(Journal),
    /// It holds what was done before; the work goes on.
    Resumed(Journal, Box<UndoFile>),
    /// All of this work is done.
    Finished(Box<UndoFile>),
}

/// The undo file at `path` for the work that `head` describes. Where it exists, its own head holds: the id stays.
pub(in crate::restore) fn begin(path: &Path, mut head: UndoHead, keys: &Keys) -> Result<Begun, Failure> {
    head.format = if keys.recipients.is_some() { ENCRYPTED_UNDO_FORMAT } else { FORMAT };
    let mut options = OpenOptions::new();
    options.read(true).write(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    match options.clone().create_new(true).open(path) {
        Ok(file) => {
            locked(path, file.try_lock())?;
            fresh(path, file, head, keys)
        }
        Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => {
            let file = options.open(path).map_err(|error| unusable(path, &error))?;
            locked(path, file.try_lock())?;
            existing(path, file, head, keys)
        }
        Err(error) => Err(unusable(path, &error)),
    }
}

fn fresh(path: &Path, mut file: File, head: UndoHead, keys: &Keys) -> Result<Begun, Failure> {
    let mut seals = Seals::default();
    let line = seals.seal(&UndoLine::Undo(head));
    let line = line.map_err(|error| Failure::new(Kind::Internal, format!("{}: {error}", path.display())))?;
    let written = file.write_all(line.as_bytes()).and_then(|()| file.sync_all()).and_then(|()| sync_folder(path));
    written.map_err(|error| unusable(path, &error))?;
    Ok(Begun::New(Journal::start(path.to_owned(), file, seals, keys.recipients.clone())?))
}

/// The file's name is as durable as its lines.
fn sync_folder(path: &Path) -> std::io::Result<()> {
    #[cfg(unix)]
    {
        let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
        File::open(folder)?.sync_all()?;
    }
    Ok(())
}

fn existing(path: &Path, mut file: File, head: UndoHead, keys: &Keys) -> Result<Begun, Failure> {
    if holds_nothing(&mut file).map_err(|error| unusable(path, &error))? {
        let emptied = file.set_len(0).and_then(|()| file.seek(SeekFrom::Start(0)));
        emptied.map_err(|error| unusable(path, &error))?;
        for_owner_only(&file).map_err(|error| unusable(path, &error))?;
        return fresh(path, file, head, keys);
    }
    // Opened once more: it has a place of its own in the file, beside the writer's.
    let reader = File::open(path).map_err(|error| unusable(path, &error))?;
    let found = UndoFile::read(path, reader, Tail::Torn, keys.identities.clone()).map_err(|failure| {
        failure.remedy("it is not replaced; take the file as cosmirror wrote it, or name another with --undo")
    })?;
    let remedy = "name another file with --undo";
    if found.head.plan != head.plan {
        let message = format!("{} belongs to another plan and is not replaced", path.display());
        return Err(Failure::new(Kind::Misconfigured, message).remedy(remedy));
    }
    if found.head.mark_field != head.mark_field {
        let field = found.head.mark_field.as_deref();
        let with = field.map_or("without --mark-field".to_owned(), |name| format!("with --mark-field {name}"));
        let message = format!("{}: this plan's application was begun {with}", path.display());
        return Err(Failure::new(Kind::Misconfigured, message).remedy("go on in the same way"));
    }
    require_same_containers(path, &found.head, &head)?;
    if found.end.as_ref().is_some_and(|end| end.finished) {
        return Ok(Begun::Finished(Box::new(found)));
    }
    if found.head.format != head.format {
        let how =
            if head.format == FORMAT { "encrypted, and there is nobody to encrypt it to" } else { "not encrypted" };
        let message = format!("{}: this plan's application was begun {how}", path.display());
        let remedy =
            "go on with the same target.recipients, or name another file with --undo: what is done is found done";
        return Err(Failure::new(Kind::Misconfigured, message).remedy(remedy));
    }
    found.require_readable()?;
    let cut = file.set_len(found.length).and_then(|()| file.seek(SeekFrom::Start(found.length)));
    cut.map_err(|error| unusable(path, &error))?;
    let journal = Journal::start(path.to_owned(), file, found.seals.clone(), keys.recipients.clone())?;
    Ok(Begun::Resumed(journal, Box::new(found)))
}

/// A container that was removed and created anew holds nothing of what was done. Where `now` does not say which one it is, it
/// is not there.
pub(in crate::restore) fn require_same_containers(
    path: &Path,
    began: &UndoHead,
    now: &UndoHead,
) -> Result<(), Failure> {
    let other = began.parts.iter().zip(&now.parts).find(|(began, now)| began.into_rid != now.into_rid);
    let Some((part, _)) = other else { return Ok(()) };
    let message = format!("{}: {} was removed or created anew since this work began", path.display(), part.into);
    let remedy = "nothing was written; make a new plan, or name another file with --undo to apply this one once more";
    Err(Failure::new(Kind::Conflict, message).remedy(remedy))
}

/// Who had left the file empty may have let others read it.
fn for_owner_only(file: &File) -> std::io::Result<()> {
    #[cfg(unix)]
    file.set_permissions(std::os::unix::fs::PermissionsExt::from_mode(0o600))?;
    #[cfg(not(unix))]
    let _ = file;
    Ok(())
}

/// Whether a crash came before the first line was whole. Nothing was touched then.
fn holds_nothing(file: &mut File) -> std::io::Result<bool> {
    let mut begin = Vec::new();
    file.seek(SeekFrom::Start(0))?;
    file.take(64 * 1024).read_to_end(&mut begin)?;
    let known = begin.len().min(FIRST.len());
    Ok(!begin.contains(&b'\n') && begin[..known] == FIRST[..known] && begin.len() < 64 * 1024)
}
