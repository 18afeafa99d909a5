//! The file that is applied: a plan, or what undoes one. It is checked as a whole before anything is done.

use std::fs::File;
use std::io::{BufRead as _, BufReader, Read as _};
use std::path::Path;

use cosmirror_formats::restore_plan::{FORMAT, Part, UndoHead};

use super::journal::{Outcome, Tail, UndoFile};
use super::plan_file::PlanReader;
use super::report::Report;
use super::work::{Task, of_undo_file};
use crate::failure::{Failure, Kind};

/// What an undo file begins with.
const UNDO: &[u8] = br#"{"line":"undo","#;

/// A file that can be applied.
#[derive(Debug)]
pub enum RestoreFile {
    /// A plan.
    Plan(Box<PlanReader>),
    /// What undoes one, or undoes an undoing.
    Undo(Box<UndoFile>),
}

/// What is to be done, one document after the other.
pub(super) type Tasks = Box<dyn Iterator<Item = Result<Task, Failure>> + Send>;

impl RestoreFile {
    /// Reads all of a file. An undo file that does not say how the work ended is refused, unless `unfinished` ones are meant too.
    pub fn open(path: &Path, unfinished: bool) -> Result<Self, Failure> {
        if !is_undo(path) {
            return PlanReader::open(path).map(Box::new).map(Self::Plan);
        }
        let tail = if unfinished { Tail::Torn } else { Tail::Whole };
        let file = UndoFile::open(path, tail)?;
        if file.end.is_none() && !unfinished {
            return Err(file.without_end());
        }
        Ok(Self::Undo(Box::new(file)))
    }

    /// The id under which the mirror is told what is written.
    pub fn id(&self) -> &str {
        match self {
            Self::Plan(plan) => &plan.head().id,
            Self::Undo(file) => &file.head.id,
        }
    }

    /// The containers it is about.
    pub fn parts(&self) -> &[Part] {
        match self {
            Self::Plan(plan) => &plan.head().parts,
            Self::Undo(file) => &file.head.parts,
        }
    }

    /// Documents that it asks to be written or removed, at most.
    pub fn changes(&self) -> u64 {
        match self {
            Self::Plan(plan) => plan.len(),
            Self::Undo(file) => file.begun,
        }
    }

    /// The same for each container.
    pub fn changes_by_part(&mut self) -> Result<Vec<u64>, Failure> {
        let mut changes = vec![0; self.parts().len()];
        match self {
            Self::Plan(plan) => {
                for step in plan.steps()? {
                    changes[step?.1.part] += 1;
                }
            }
            Self::Undo(file) => {
                for step in 0..file.steps() {
                    let entry = file.entry(step)?.filter(|entry| entry.outcome != Outcome::Skipped);
                    entry.into_iter().for_each(|entry| changes[entry.before.part] += 1);
                }
            }
        }
        Ok(changes)
    }

    /// Whether the file at `undo` says that all of this was done.
    pub fn is_applied(&self, undo: &Path) -> bool {
        let found = UndoFile::open(undo, Tail::Torn);
        found.is_ok_and(|found| found.head.plan == self.digest() && found.end.is_some_and(|end| end.finished))
    }

    fn digest(&self) -> &str {
        match self {
            Self::Plan(plan) => &plan.end().digest,
            Self::Undo(file) => &file.digest,
        }
    }

    /// The first line of what undoes it; `parts` are its own with what is known of the containers by now.
    pub(super) fn undo_head(&self, parts: Vec<Part>, mark_field: Option<String>) -> UndoHead {
        UndoHead {
            format: FORMAT,
            id: super::new_id(),
            undoes: self.id().to_owned(),
            plan: self.digest().to_owned(),
            began: crate::time::now().to_string(),
            mark_field,
            parts,
        }
    }

    /// What it says about the result before anything is done.
    pub(super) fn report(&self) -> Report {
        match self {
            Self::Plan(plan) => Report::of(plan.end()),
            Self::Undo(_) => Report::default(),
        }
    }

    /// Its tasks, and how many there are at most.
    pub(super) fn tasks(self) -> Result<Tasks, Failure> {
        Ok(match self {
            Self::Plan(plan) => {
                let parts = plan.head().parts.clone();
                Box::new(plan.steps()?.map(move |step| step.map(|(at, step)| Task::of_plan(at, step, &parts))))
            }
            Self::Undo(file) => Box::new(of_undo_file(*file)),
        })
    }
}

/// A file that cannot be read is looked at as a plan, whose reader says what is wrong.
fn is_undo(path: &Path) -> bool {
    let Ok(file) = File::open(path) else { return false };
    let mut begin = Vec::new();
    let read = BufReader::new(file).take(UNDO.len() as u64).read_until(b'\n', &mut begin);
    read.is_ok() && begin == UNDO
}

impl UndoFile {
    fn without_end(&self) -> Failure {
        let message = format!("{} line {}: the end is missing", self.path().display(), self.lines + 1);
        Failure::new(Kind::Integrity, message).remedy(
            "nothing was written; apply its plan again, which ends the file, or pass --unfinished to undo what it holds",
        )
    }
}
