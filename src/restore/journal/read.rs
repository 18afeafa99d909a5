//! Reads an undo file: first all of it, so that nothing is believed before every line was checked, then steps one by one.

use std::collections::BTreeSet;
use std::fs::File;
use std::io::{BufRead as _, BufReader, Read as _, Seek as _, SeekFrom};
use std::path::{Path, PathBuf};

use cosmirror_formats::Encryption;
use cosmirror_formats::restore_plan::{
    Action, After, Before, ENCRYPTED_UNDO_FORMAT, FORMAT, UndoEnd, UndoHead, UndoLine,
};
use cosmirror_formats::sealed_lines::{SealError, Seals};

use super::content::{action, encryption, opened};
use super::offsets::{Ended, Lines, Offsets, STEPS_MAX};
use super::{broken, locked, unusable};
use crate::encryption::Identities;
use crate::failure::{Failure, Kind};

/// A line holds one document, of which the service allows two megabytes, quoted.
const LINE_BYTES_MAX: u64 = 64 * 1024 * 1024;

/// What may be wrong at the end of a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::restore) enum Tail {
    /// Nothing.
    Whole,
    /// A crash may have torn the last line; it is left out.
    Torn,
}

/// A step of an undo file.
#[derive(Debug, Clone, PartialEq)]
pub(in crate::restore) struct Entry {
    /// What was done, or was about to be.
    pub(in crate::restore) action: Action,
    pub(in crate::restore) before: Before,
    pub(in crate::restore) outcome: Outcome,
}

/// What came of a step.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::restore) enum Outcome {
    /// Not known.
    Unknown,
    /// It was not done.
    Skipped,
    /// It was done, and left this etag; none for a delete.
    Done(Option<String>),
}

/// An undo file that was checked.
#[derive(Debug)]
pub struct UndoFile {
    path: PathBuf,
    reader: BufReader<File>,
    /// Its first line.
    pub(in crate::restore) head: UndoHead,
    /// Its last line, where that says how the work stopped.
    pub(in crate::restore) end: Option<UndoEnd>,
    /// Steps that were done, or may have been.
    pub(in crate::restore) begun: u64,
    /// The digest of all lines but the last.
    pub(in crate::restore) digest: String,
    /// The number of its lines.
    pub(in crate::restore) lines: u64,
    /// How many of its bytes are whole lines.
    pub(super) length: u64,
    /// The state behind the last line.
    pub(super) seals: Seals,
    offsets: Offsets,
    /// How its documents are encrypted.
    encryptions: BTreeSet<Encryption>,
    /// What opens them.
    identities: Identities,
}

impl UndoFile {
    /// Reads the file at `path`, which nobody may add to from now on.
    pub(in crate::restore) fn open(path: &Path, tail: Tail, identities: Identities) -> Result<Self, Failure> {
        let file = File::open(path).map_err(|error| unusable(path, &error))?;
        locked(path, file.try_lock_shared())?;
        Self::read(path, file, tail, identities)
    }

    /// Where it is.
    pub(in crate::restore) fn path(&self) -> &Path {
        &self.path
    }

    /// Reads a file that is open.
    pub(super) fn read(path: &Path, file: File, tail: Tail, identities: Identities) -> Result<Self, Failure> {
        let mut lines = LineReader { path, reader: BufReader::new(file), number: 0, at: 0, tail };
        lines.reader.seek(SeekFrom::Start(0)).map_err(|error| unusable(path, &error))?;
        let mut seals = Seals::default();
        let Some(first) = lines.next(&mut seals)? else {
            return Err(broken(path, 1, "the file holds no line"));
        };
        let UndoLine::Undo(head) = first.line else {
            return Err(broken(path, 1, "an undo file begins with a line \"undo\""));
        };
        if !matches!(head.format, FORMAT | ENCRYPTED_UNDO_FORMAT) {
            let known = format!("{FORMAT} and {ENCRYPTED_UNDO_FORMAT}");
            let why = format!("format {} is not known to this version, which writes {known}", head.format);
            return Err(broken(path, 1, why));
        }
        let encrypted = head.format == ENCRYPTED_UNDO_FORMAT;
        let encryptions = BTreeSet::new();
        let mut index =
            Index { parts: head.parts.len(), encrypted, offsets: Offsets::new()?, begun: 0, end: None, encryptions };
        let mut digest = Seals::default();
        loop {
            let before = seals.clone();
            let Some(placed) = lines.next(&mut seals)? else { break };
            digest = before;
            let number = lines.number;
            index.add(placed)?.map_err(|why| broken(path, number, why))?;
        }
        let Index { offsets, begun, end, encryptions, .. } = index;
        let (path, digest, length) = (path.to_owned(), digest.digest(), lines.at);
        let (number, reader) = (lines.number, lines.reader);
        let lines = number;
        Ok(Self { path, reader, head, end, begun, digest, lines, length, seals, offsets, encryptions, identities })
    }

    /// That the identities open all of its documents.
    pub(in crate::restore) fn require_readable(&self) -> Result<(), Failure> {
        self.identities.require(&self.path.display().to_string(), &self.encryptions)
    }

    /// Whether its documents are encrypted.
    pub(in crate::restore) fn is_encrypted(&self) -> bool {
        self.head.format == ENCRYPTED_UNDO_FORMAT
    }

    /// The first step from `step` on; none where there are no more.
    pub(in crate::restore) fn entry_from(&mut self, step: u64) -> Result<Option<Entry>, Failure> {
        self.offsets.next(step)?.map_or(Ok(None), |step| self.entry(step))
    }

    /// A step; none where the file does not hold it.
    pub(in crate::restore) fn entry(&mut self, step: u64) -> Result<Option<Entry>, Failure> {
        let Some(entry) = self.closed_entry(step)? else { return Ok(None) };
        let before = opened(entry.before, &self.identities, &self.path.display().to_string())?;
        Ok(Some(Entry { before, ..entry }))
    }

    /// The first step from `step` on without its content, which may be encrypted.
    pub(in crate::restore) fn closed_entry_from(&mut self, step: u64) -> Result<Option<Entry>, Failure> {
        self.offsets.next(step)?.map_or(Ok(None), |step| self.closed_entry(step))
    }

    fn closed_entry(&mut self, step: u64) -> Result<Option<Entry>, Failure> {
        let Some(lines) = self.offsets.get(step)? else { return Ok(None) };
        let UndoLine::Before(before) = self.line(lines.before)? else { return Err(self.changed()) };
        let outcome = match lines.ended {
            Ended::Unknown => Outcome::Unknown,
            Ended::Skipped => Outcome::Skipped,
            Ended::Done(at) => match self.line(at)? {
                UndoLine::After(After { etag, .. }) => Outcome::Done(etag),
                _ => return Err(self.changed()),
            },
        };
        Ok(Some(Entry { action: lines.action, before, outcome }))
    }

    /// Whether a step was done, without reading its lines.
    pub(in crate::restore) fn is_done(&mut self, step: u64) -> Result<bool, Failure> {
        Ok(self.offsets.get(step)?.is_some_and(|lines| matches!(lines.ended, Ended::Done(_))))
    }

    fn line(&mut self, at: u64) -> Result<UndoLine, Failure> {
        let mut text = String::new();
        let read = self.reader.seek(SeekFrom::Start(at)).and_then(|_| self.reader.read_line(&mut text));
        read.map_err(|error| unusable(&self.path, &error))?;
        serde_json::from_str(&text).map_err(|_| self.changed())
    }

    fn changed(&self) -> Failure {
        Failure::new(Kind::Integrity, format!("{} changed while it was read", self.path.display()))
    }
}

/// What the lines add up to.
struct Index {
    parts: usize,
    /// Whether every document is.
    encrypted: bool,
    offsets: Offsets,
    begun: u64,
    end: Option<UndoEnd>,
    encryptions: BTreeSet<Encryption>,
}

impl Index {
    /// Takes one line; the inner error says why it has no place here.
    fn add(&mut self, placed: Placed) -> Result<Result<(), &'static str>, Failure> {
        let at = placed.at;
        let (step, ended) = match placed.line {
            UndoLine::Undo(_) => return Ok(Err("only the first line can be \"undo\"")),
            UndoLine::End(end) => {
                self.end = Some(end);
                return Ok(Ok(()));
            }
            UndoLine::Before(before) => {
                if before.part >= self.parts || before.step >= STEPS_MAX {
                    return Ok(Err("it names a container or a step that there is not"));
                }
                match before.ciphertext.as_ref().map(encryption) {
                    None if self.encrypted => return Ok(Err("its document is not encrypted")),
                    Some(Some(encryption)) if self.encrypted => drop(self.encryptions.insert(encryption)),
                    Some(_) => return Ok(Err("how its document is encrypted is not known")),
                    None => {}
                }
                self.end = None;
                let lines = Lines { action: action(&before), before: at, ended: Ended::Unknown };
                let earlier = self.offsets.get(before.step)?;
                self.begun += u64::from(earlier.is_none_or(|earlier| earlier.ended == Ended::Skipped));
                return self.offsets.set(before.step, lines).map(Ok);
            }
            UndoLine::After(after) => (after.step, Ended::Done(at)),
            UndoLine::Skipped(skipped) => (skipped.step, Ended::Skipped),
        };
        self.end = None;
        let Some(lines) = self.offsets.get(step)? else { return Ok(Err("there is no \"before\" of this step")) };
        match (lines.ended, ended) {
            (Ended::Unknown, Ended::Done(_)) => {}
            (Ended::Unknown, _) => self.begun -= 1,
            _ => return Ok(Err("what came of this step is said already")),
        }
        self.offsets.set(step, Lines { ended, ..lines }).map(Ok)
    }
}

/// A line and where it begins.
struct Placed {
    at: u64,
    line: UndoLine,
}

struct LineReader<'a> {
    path: &'a Path,
    reader: BufReader<File>,
    /// Of the line that was read last, from 1.
    number: u64,
    /// Behind the last line.
    at: u64,
    tail: Tail,
}

impl LineReader<'_> {
    /// The next line; none at the end, or where a torn line is left out.
    fn next(&mut self, seals: &mut Seals) -> Result<Option<Placed>, Failure> {
        let mut bytes = Vec::new();
        let read = (&mut self.reader).take(LINE_BYTES_MAX).read_until(b'\n', &mut bytes);
        let length = read.map_err(|error| unusable(self.path, &error))? as u64;
        if length == 0 {
            return Ok(None);
        }
        let number = self.number + 1;
        let whole = bytes.pop_if(|last| *last == b'\n').is_some();
        let opened = match std::str::from_utf8(&bytes) {
            Ok(text) if whole => seals.open(text).map(|()| text),
            _ => Err(SealError::Missing),
        };
        let text = match opened {
            Ok(text) => text,
            Err(SealError::Missing) if self.tail == Tail::Torn && self.is_at_end()? => return Ok(None),
            Err(error) => {
                let failure = broken(self.path, number, &error);
                let torn = error == SealError::Missing && self.is_at_end()?;
                let remedy = "nothing was written; apply its plan again, which mends the file, or pass --unfinished to undo what it holds";
                return Err(if torn { failure.remedy(remedy) } else { failure });
            }
        };
        let line = serde_json::from_str(text);
        let line = line.map_err(|error| broken(self.path, number, format!("it cannot be read: {error}")))?;
        let at = self.at;
        self.at += length;
        self.number = number;
        Ok(Some(Placed { at, line }))
    }

    fn is_at_end(&mut self) -> Result<bool, Failure> {
        self.reader.fill_buf().map(<[u8]>::is_empty).map_err(|error| unusable(self.path, &error))
    }
}
