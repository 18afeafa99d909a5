//! A file to which records are only ever appended, and from which they are read at the next start.
//!
//! Format: a first line that names the content and its version; then records, each framed by its length, the checksum of
//! that length, and the checksum of its content, as little-endian 32-bit numbers (CRC-32 as in IEEE 802.3). A record is a
//! JSON object, preceded by its length, and bytes after it.
//!
//! Invariants: a record is written by one call or not at all, as far as later readers can tell: what a killed process left
//! of its last record is cut off at the next start, and what a full disk left is cut off at once. Records are handed to the
//! operating system and not synchronised to the disk: they outlive the process, not a power failure. Damage anywhere else
//! is an error and never silently skipped.

use std::fs::{File, OpenOptions};
use std::io::{BufReader, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use bytes::Bytes;
use serde::Serialize;

/// Length, checksum of the length, checksum of the content.
const FRAME_BYTES: usize = 12;

/// A journal that takes records.
#[derive(Debug)]
pub(crate) struct Journal {
    path: PathBuf,
    tail: Mutex<Tail>,
}

#[derive(Debug)]
struct Tail {
    file: File,
    length: u64,
    /// The file's end is in doubt: nothing may follow it.
    broken: bool,
}

/// One record.
#[derive(Debug)]
pub(crate) struct Record {
    /// The JSON object.
    pub(crate) head: Bytes,
    /// What came with it.
    pub(crate) body: Bytes,
}

/// A journal cannot be read or written.
#[derive(Debug, thiserror::Error)]
pub(crate) enum JournalError {
    #[error("{path}: {source}")]
    Io { path: PathBuf, source: std::io::Error },
    #[error("{path} is no journal of this version: it does not start with {expected:?}")]
    Foreign { path: PathBuf, expected: String },
    #[error("{path} is damaged at byte {at}")]
    Damaged { path: PathBuf, at: u64 },
    #[error("{path}: the record at byte {at} cannot be taken back in: {reason}")]
    Refused { path: PathBuf, at: u64, reason: String },
    #[error("{path} takes no more records after a failure; start again once the disk has space")]
    Broken { path: PathBuf },
}

impl Journal {
    /// Opens or creates a journal and gives every record in it to `take`.
    pub(crate) fn open(
        path: &Path,
        title: &str,
        mut take: impl FnMut(Record) -> Result<(), String>,
    ) -> Result<Self, JournalError> {
        let io = |source| JournalError::Io { path: path.to_owned(), source };
        let mut file = OpenOptions::new().read(true).write(true).create(true).truncate(false).open(path).map_err(io)?;
        let size = file.metadata().map_err(io)?.len();
        let title = format!("{title}\n");
        let mut length = title.len() as u64;
        if size < length {
            // New, or killed while its first line was written.
            let mut start = Vec::new();
            file.read_to_end(&mut start).map_err(io)?;
            if !title.as_bytes().starts_with(&start) {
                return Err(JournalError::Foreign { path: path.to_owned(), expected: title.trim().to_owned() });
            }
            file.seek(SeekFrom::Start(0)).map_err(io)?;
            file.write_all(title.as_bytes()).map_err(io)?;
        } else {
            let mut reader = Reader { from: BufReader::with_capacity(1 << 20, &file), path, at: 0, size };
            reader.expect(&title)?;
            while let Some(record) = reader.next()? {
                take(record).map_err(|reason| JournalError::Refused { path: path.to_owned(), at: length, reason })?;
                length = reader.at;
            }
        }
        if size > length {
            tracing::warn!(path = %path.display(), bytes = size - length, "an unfinished record was cut off");
        }
        file.set_len(length).map_err(io)?;
        file.seek(SeekFrom::Start(length)).map_err(io)?;
        Ok(Self { path: path.to_owned(), tail: Mutex::new(Tail { file, length, broken: false }) })
    }

    /// Appends a record; after an error none of it is in the file.
    pub(crate) fn append(&self, head: &impl Serialize, body: &[&[u8]]) -> Result<(), JournalError> {
        let io = |source| JournalError::Io { path: self.path.clone(), source };
        let head = serde_json::to_vec(head).map_err(|error| io(error.into()))?;
        let record = framed(&head, body).ok_or_else(|| io(std::io::ErrorKind::FileTooLarge.into()))?;
        let mut tail = self.tail.lock().unwrap_or_else(PoisonError::into_inner);
        if tail.broken {
            return Err(JournalError::Broken { path: self.path.clone() });
        }
        if let Err(error) = tail.file.write_all(&record) {
            let end = tail.length;
            let undone = tail.file.set_len(end).and_then(|()| tail.file.seek(SeekFrom::Start(end)));
            tail.broken = undone.is_err();
            return Err(io(error));
        }
        tail.length += record.len() as u64;
        Ok(())
    }
}

/// The bytes of a record; `None` if it is too long to be framed.
fn framed(head: &[u8], body: &[&[u8]]) -> Option<Vec<u8>> {
    let content = 4 + head.len() + body.iter().map(|part| part.len()).sum::<usize>();
    let (length, head_length) = (u32::try_from(content).ok()?, u32::try_from(head.len()).ok()?);
    let mut record = Vec::with_capacity(FRAME_BYTES + content);
    record.extend_from_slice(&[0; FRAME_BYTES]);
    record.extend_from_slice(&head_length.to_le_bytes());
    record.extend_from_slice(head);
    body.iter().for_each(|part| record.extend_from_slice(part));
    let sum = crc32fast::hash(&record[FRAME_BYTES..]);
    record[..4].copy_from_slice(&length.to_le_bytes());
    let length_sum = crc32fast::hash(&record[..4]);
    record[4..8].copy_from_slice(&length_sum.to_le_bytes());
    record[8..12].copy_from_slice(&sum.to_le_bytes());
    Some(record)
}

struct Reader<'a> {
    from: BufReader<&'a File>,
    path: &'a Path,
    at: u64,
    size: u64,
}

impl Reader<'_> {
    fn expect(&mut self, title: &str) -> Result<(), JournalError> {
        let start = self.read(title.len())?;
        if start != title.as_bytes() {
            return Err(JournalError::Foreign { path: self.path.to_owned(), expected: title.trim().to_owned() });
        }
        Ok(())
    }

    /// The next record; `None` where the rest is less than one.
    fn next(&mut self) -> Result<Option<Record>, JournalError> {
        let start = self.at;
        let damaged = || JournalError::Damaged { path: self.path.to_owned(), at: start };
        if self.size - start < FRAME_BYTES as u64 {
            return Ok(None);
        }
        let frame = self.read(FRAME_BYTES)?;
        let number = |from: usize| u32::from_le_bytes([frame[from], frame[from + 1], frame[from + 2], frame[from + 3]]);
        if crc32fast::hash(&frame[..4]) != number(4) {
            return Err(JournalError::Damaged { path: self.path.to_owned(), at: start });
        }
        let length = number(0) as usize;
        if self.size - self.at < length as u64 {
            return Ok(None);
        }
        let content = Bytes::from(self.read(length)?);
        if crc32fast::hash(&content) != number(8) || length < 4 {
            return Err(JournalError::Damaged { path: self.path.to_owned(), at: start });
        }
        let head = u32::from_le_bytes([content[0], content[1], content[2], content[3]]) as usize;
        if head > length - 4 {
            return Err(damaged());
        }
        Ok(Some(Record { head: content.slice(4..4 + head), body: content.slice(4 + head..) }))
    }

    fn read(&mut self, count: usize) -> Result<Vec<u8>, JournalError> {
        let mut read = vec![0; count];
        self.from.read_exact(&mut read).map_err(|source| JournalError::Io { path: self.path.to_owned(), source })?;
        self.at += count as u64;
        Ok(read)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TITLE: &str = "test journal 1";

    fn read(path: &Path) -> Result<(Journal, Vec<(String, Bytes)>), JournalError> {
        let mut records = Vec::new();
        let journal = Journal::open(path, TITLE, |record| {
            records.push((String::from_utf8(record.head.to_vec()).unwrap(), record.body));
            Ok(())
        })?;
        Ok((journal, records))
    }

    fn written(folder: &Path) -> PathBuf {
        let path = folder.join("journal");
        let (journal, records) = read(&path).unwrap();
        assert!(records.is_empty());
        journal.append(&1, &[b"one", b" and more"]).unwrap();
        journal.append(&"two", &[]).unwrap();
        path
    }

    #[test]
    fn what_was_appended_is_read_again_and_the_journal_goes_on() {
        let folder = tempfile::tempdir().unwrap();
        let path = written(folder.path());
        let (journal, records) = read(&path).unwrap();
        let expected = [("1".to_owned(), Bytes::from("one and more")), ("\"two\"".to_owned(), Bytes::new())];
        assert_eq!(records, expected);
        journal.append(&3, &[]).unwrap();
        assert_eq!(read(&path).unwrap().1.len(), 3);
    }

    #[test]
    fn a_record_cut_off_at_any_byte_is_dropped_and_those_before_it_stay() {
        let folder = tempfile::tempdir().unwrap();
        let whole = std::fs::read(written(folder.path())).unwrap();
        for length in 0..whole.len() {
            let path = folder.path().join("cut");
            std::fs::write(&path, &whole[..length]).unwrap();
            let (journal, records) = read(&path).unwrap();
            assert!(records.len() < 2, "{length}");
            journal.append(&"after", &[]).unwrap();
            let again = read(&path).unwrap().1;
            assert_eq!(again.len(), records.len() + 1, "{length}");
            assert_eq!(again.last().unwrap().0, "\"after\"");
        }
    }

    #[test]
    fn a_changed_byte_is_an_error_and_never_passed_over() {
        let folder = tempfile::tempdir().unwrap();
        let whole = std::fs::read(written(folder.path())).unwrap();
        for at in 0..whole.len() {
            let mut changed = whole.clone();
            changed[at] ^= 0x10;
            let path = folder.path().join("changed");
            std::fs::write(&path, &changed).unwrap();
            let error = read(&path).map(|(_, records)| records).unwrap_err();
            assert!(matches!(error, JournalError::Damaged { .. } | JournalError::Foreign { .. }), "{at}: {error}");
        }
    }
}
