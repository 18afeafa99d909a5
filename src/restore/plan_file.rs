//! Plans as files: written once, read as often as it takes, and never believed unchecked.
//!
//! A plan comes into being under a temporary name beside its own and is given that once it is whole and durable, so what carries a
//! plan's name was finished; a crash leaves at most the temporary file. It is readable by its owner only: it holds ids and
//! keys. Reading looks at every line twice. Opening goes through all of them before anything is done, and reading the steps
//! checks them again, for a file can be changed in between. Memory holds one line.

use std::collections::BTreeSet;
use std::fs::File;
use std::io::{BufReader, BufWriter, Seek as _, SeekFrom, Write as _};
use std::path::{Path, PathBuf};

use cosmirror_formats::Encryption;
use cosmirror_formats::PartitionKey;
use cosmirror_formats::restore_plan::{Action, Counts, FORMAT, PlanEnd, PlanHead, PlanLine, Step};
use cosmirror_formats::sealed_lines::{SealError, Seals};
use tempfile::NamedTempFile;

use super::lines::{LineError, Lines};
use crate::failure::{Failure, Kind};

/// Writes a plan.
#[derive(Debug)]
pub struct PlanWriter {
    file: Option<Unfinished>,
    seals: Seals,
    steps: u64,
    parts: usize,
}

#[derive(Debug)]
struct Unfinished {
    out: BufWriter<NamedTempFile>,
    path: PathBuf,
    replace: bool,
}

impl PlanWriter {
    /// Begins a plan that will be at `path`. A file that is there already is replaced at the end if that is allowed, and refused at
    /// once otherwise.
    pub fn create(path: &Path, replace: bool, head: &PlanHead) -> Result<Self, Failure> {
        if !replace && path.exists() {
            return Err(exists(path));
        }
        let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
        let mut named = tempfile::Builder::new();
        let file = named.prefix(".restore-").suffix(".unfinished").tempfile_in(folder);
        let out = BufWriter::new(file.map_err(|error| unwritable(path, &error))?);
        Self::begin(Some(Unfinished { out, path: path.to_owned(), replace }), head)
    }

    /// A plan that is only counted.
    pub fn nowhere(head: &PlanHead) -> Result<Self, Failure> {
        Self::begin(None, head)
    }

    fn begin(file: Option<Unfinished>, head: &PlanHead) -> Result<Self, Failure> {
        let mut writer = Self { file, seals: Seals::default(), steps: 0, parts: head.parts.len() };
        writer.line(&PlanLine::Plan(head.clone()))?;
        Ok(writer)
    }

    /// Adds a step.
    pub fn step(&mut self, step: Step) -> Result<(), Failure> {
        debug_assert!(step.part < self.parts, "a step of a container that the plan does not name");
        self.steps += 1;
        self.line(&PlanLine::Step(step))
    }

    /// How many steps it has so far.
    pub fn steps(&self) -> u64 {
        self.steps
    }

    /// Adds the end, and gives the file its name once it is durable.
    pub fn finish(mut self, counts: Counts, damaged: u64, bytes: u64, request_units: f64) -> Result<PlanEnd, Failure> {
        let end = PlanEnd { counts, damaged, bytes, request_units, digest: self.seals.digest() };
        self.line(&PlanLine::End(end.clone()))?;
        if let Some(Unfinished { out, path, replace }) = self.file.take() {
            let file = out.into_inner().map_err(|error| unwritable(&path, error.error()))?;
            file.as_file().sync_all().map_err(|error| unwritable(&path, &error))?;
            let named = if replace { file.persist(&path) } else { file.persist_noclobber(&path) };
            named.map_err(|error| match error.error.kind() {
                std::io::ErrorKind::AlreadyExists => exists(&path),
                _ => unwritable(&path, &error.error),
            })?;
        }
        Ok(end)
    }

    fn line(&mut self, line: &PlanLine) -> Result<(), Failure> {
        let text = self.seals.seal(line);
        let text = text.map_err(|error| Failure::new(Kind::Internal, format!("a line of a plan: {error}")))?;
        let Some(file) = &mut self.file else { return Ok(()) };
        file.out.write_all(text.as_bytes()).map_err(|error| unwritable(&file.path, &error))
    }
}

fn exists(path: &Path) -> Failure {
    Failure::new(Kind::Misconfigured, format!("{} exists already", path.display()))
        .remedy("name another file with -f, or pass --force to replace it")
}

fn unwritable(path: &Path, error: &std::io::Error) -> Failure {
    Failure::new(Kind::Internal, format!("cannot write the plan {}: {error}", path.display()))
        .remedy("make room or name another place with -f")
}

/// A plan that was read to its end and found whole.
#[derive(Debug)]
pub struct PlanReader {
    path: PathBuf,
    file: File,
    head: PlanHead,
    end: PlanEnd,
    steps: u64,
    /// How the content of its steps is encrypted.
    encryptions: BTreeSet<Encryption>,
}

impl PlanReader {
    /// Reads all of a plan. The error names the first line that is not as it was written.
    pub fn open(path: &Path) -> Result<Self, Failure> {
        let file = File::open(path).map_err(|error| match error.kind() {
            std::io::ErrorKind::NotFound => {
                Failure::new(Kind::NotFound, format!("there is no plan {}", path.display()))
                    .remedy("`cosmirror restore plan` makes one")
            }
            _ => unreadable(path, &error.into()),
        })?;
        let mut lines = Sealed::of(path, &file)?;
        let head = match lines.next()? {
            Some(PlanLine::Plan(head)) => head,
            _ => return Err(lines.fault("it is not the first line of a plan")),
        };
        if head.format != FORMAT {
            let message = format!("{}: its format {} is not known", path.display(), head.format);
            return Err(Failure::new(Kind::Misconfigured, message).remedy("it was made by a newer cosmirror: use that"));
        }
        let (mut steps, mut counts, mut encryptions) = (0, Counts::default(), BTreeSet::new());
        let end = loop {
            let digest = lines.seals.digest();
            match lines.next()? {
                Some(PlanLine::Step(step)) => {
                    checked(&step, head.parts.len()).map_err(|why| lines.fault(why))?;
                    if let Some(text) = step.content.and_then(|content| content.encryption) {
                        encryptions.insert(text.parse().map_err(|()| lines.fault("how it is encrypted is not known"))?);
                    }
                    steps += 1;
                    match step.action {
                        Action::Create => counts.create += 1,
                        Action::Replace => counts.replace += 1,
                        Action::Delete => counts.delete += 1,
                    }
                }
                Some(PlanLine::End(end)) if end.digest == digest => break end,
                Some(_) => return Err(lines.fault("it does not belong here")),
                None => return Err(lines.fault("it is missing: the file is cut off")),
            }
        };
        let planned = (end.counts.create, end.counts.replace, end.counts.delete);
        if planned != (counts.create, counts.replace, counts.delete) {
            return Err(lines.fault("its counts are not those of the steps"));
        }
        if lines.next()?.is_some() {
            return Err(lines.fault("it is behind the end"));
        }
        Ok(Self { path: path.to_owned(), file, head, end, steps, encryptions })
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// What was asked for.
    pub fn head(&self) -> &PlanHead {
        &self.head
    }

    /// What it comes to.
    pub fn end(&self) -> &PlanEnd {
        &self.end
    }

    /// How the content of its steps is encrypted; nothing where none is.
    pub fn encryptions(&self) -> &BTreeSet<Encryption> {
        &self.encryptions
    }

    /// How many steps it has.
    pub fn len(&self) -> u64 {
        self.steps
    }

    /// Whether it has none.
    pub fn is_empty(&self) -> bool {
        self.steps == 0
    }

    /// Its steps with their places, from 0, checked again. Of two passes the second begins where the first left the file, so one has to end
    /// before the next begins.
    pub fn steps(&self) -> Result<impl Iterator<Item = Result<(u64, Step), Failure>> + Send + use<>, Failure> {
        let mut lines = Sealed::of(&self.path, &self.file)?;
        let (mut at, mut ended) = (0, false);
        let digest = self.end.digest.clone();
        lines.next()?;
        Ok(std::iter::from_fn(move || {
            if ended {
                return None;
            }
            let step = match lines.next() {
                Ok(Some(PlanLine::Step(step))) => Ok((at, step)),
                Ok(Some(PlanLine::End(end))) if end.digest == digest => return None,
                Ok(_) => Err(lines.fault("the file was changed while it was read")),
                Err(failure) => Err(failure),
            };
            (at, ended) = (at + 1, step.is_err());
            Some(step)
        }))
    }
}

fn checked(step: &Step, parts: usize) -> Result<(), &'static str> {
    if step.part >= parts {
        return Err("it speaks of a container that the first line does not name");
    }
    if PartitionKey::from_json(&step.partition_key).is_none() {
        return Err("its partition key is none");
    }
    let whole = match step.action {
        Action::Create => step.content.is_some() && step.etag.is_none(),
        Action::Replace => step.content.is_some() && step.etag.is_some(),
        Action::Delete => step.content.is_none() && step.etag.is_some(),
    };
    if whole { Ok(()) } else { Err("its action does not fit what it holds") }
}

/// The lines of a plan, each checked.
struct Sealed {
    lines: Lines<BufReader<File>>,
    seals: Seals,
    path: PathBuf,
}

impl Sealed {
    fn of(path: &Path, file: &File) -> Result<Self, Failure> {
        let own = file.try_clone().and_then(|mut own| own.seek(SeekFrom::Start(0)).map(|_| own));
        let own = own.map_err(|error| unreadable(path, &error.into()))?;
        Ok(Self { lines: Lines::new(BufReader::new(own)), seals: Seals::default(), path: path.to_owned() })
    }

    fn next(&mut self) -> Result<Option<PlanLine>, Failure> {
        let line = match self.lines.next() {
            Ok(None) => return Ok(None),
            Ok(Some(line)) => line,
            Err(LineError::Io(error)) => return Err(unreadable(&self.path, &LineError::Io(error))),
            Err(error) => return Err(broken(&self.path, self.lines.number(), &error.to_string())),
        };
        if let Err(error) = self.seals.open(line) {
            let whole = serde_json::from_str::<serde_json::Value>(line).is_ok();
            let why = match error {
                SealError::Missing if self.lines.number() == 1 && !whole => "this is no plan".to_owned(),
                error => error.to_string(),
            };
            return Err(broken(&self.path, self.lines.number(), &why));
        }
        let read = serde_json::from_str(line);
        read.map(Some).map_err(|_| broken(&self.path, self.lines.number(), "it is no line of a plan"))
    }

    fn fault(&self, why: &str) -> Failure {
        broken(&self.path, self.lines.number(), why)
    }
}

fn broken(path: &Path, line: u64, why: &str) -> Failure {
    Failure::new(Kind::Integrity, format!("{} line {line}: {why}", path.display()))
        .remedy("nothing was written; make the plan anew with `cosmirror restore plan`")
}

fn unreadable(path: &Path, error: &LineError) -> Failure {
    Failure::new(Kind::Internal, format!("cannot read the plan {}: {error}", path.display()))
}

#[cfg(test)]
pub(in crate::restore) mod tests;
