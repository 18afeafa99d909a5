//! The file that is applied: a plan, or what undoes one. It is checked as a whole before anything is done.

use std::fs::File;
use std::io::{BufRead as _, BufReader, Read as _};
use std::path::{Path, PathBuf};

use cosmirror_formats::restore_plan::{Action, Counts, FORMAT, Part, UndoHead};

use super::journal::{FIRST, Outcome, Tail, UndoFile, require_same_containers};
use super::plan_file::PlanReader;
use super::report::{Applied, Report};
use super::work::{Task, of_undo_file};
use crate::encryption::Identities;
use crate::failure::{Failure, Kind};

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
    /// What opens an undo file's documents is not used yet.
    pub fn open(path: &Path, unfinished: bool, identities: &Identities) -> Result<Self, Failure> {
        if !is_undo(path) {
            return PlanReader::open(path).map(Box::new).map(Self::Plan);
        }
        let tail = if unfinished { Tail::Torn } else { Tail::Whole };
        let file = UndoFile::open(path, tail, identities.clone())?;
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

    /// What it asks for in each container, at most.
    pub fn changes_by_part(&mut self) -> Result<Vec<Applied>, Failure> {
        let mut changes = vec![Applied::default(); self.parts().len()];
        match self {
            Self::Plan(plan) => {
                for step in plan.steps()? {
                    let (_, step) = step?;
                    changes[step.part].count(step.action);
                }
            }
            Self::Undo(file) => {
                let mut next = 0;
                while let Some(entry) = file.closed_entry_from(next)? {
                    next = entry.before.step + 1;
                    if entry.outcome != Outcome::Skipped {
                        changes[entry.before.part].count(undoing(entry.action));
                    }
                }
            }
        }
        Ok(changes)
    }

    /// That these identities open everything it asks to be written, so that nothing is written before one is found to be missing.
    pub fn require_readable(&self, identities: &Identities) -> Result<(), Failure> {
        match self {
            Self::Plan(plan) => identities.require("content that the plan restores", plan.encryptions()),
            Self::Undo(file) => file.require_readable(),
        }
    }

    /// Whether some of the content that it asks to be written is encrypted.
    pub fn is_encrypted(&self) -> bool {
        match self {
            Self::Plan(plan) => !plan.encryptions().is_empty(),
            Self::Undo(file) => file.is_encrypted(),
        }
    }

    /// What a plan leaves alone; an undo file does not know.
    pub fn left_alone(&self) -> Option<Counts> {
        match self {
            Self::Plan(plan) => Some(plan.end().counts),
            Self::Undo(_) => None,
        }
    }

    /// What the file at `undo` says of an earlier run of this one; none where it is not its undo file.
    pub fn earlier_run(&self, undo: &Path) -> Option<EarlierRun> {
        let found = UndoFile::open(undo, Tail::Torn, Identities::default())
            .ok()
            .filter(|found| found.head.plan == self.digest())?;
        let finished = found.end.as_ref().is_some_and(|end| end.finished);
        Some(EarlierRun { path: undo.to_owned(), head: found.head, finished })
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
    let read = BufReader::new(file).take(FIRST.len() as u64).read_until(b'\n', &mut begin);
    read.is_ok() && begin == FIRST
}

/// What puts right what a step did.
fn undoing(action: Action) -> Action {
    match action {
        Action::Create => Action::Delete,
        Action::Replace => Action::Replace,
        Action::Delete => Action::Create,
    }
}

/// What is known of an earlier run before anything is done.
#[derive(Debug)]
pub struct EarlierRun {
    path: PathBuf,
    head: UndoHead,
    /// Whether it says that all of this was done.
    pub finished: bool,
}

impl EarlierRun {
    /// Refuses other containers than those that it wrote to; `parts` are those of now, without resource id where there is none yet.
    pub fn require_same_containers(&self, parts: Vec<Part>) -> Result<(), Failure> {
        require_same_containers(&self.path, &self.head, &UndoHead { parts, ..self.head.clone() })
    }
}

impl UndoFile {
    fn without_end(&self) -> Failure {
        let message = format!("{} line {}: the end is missing", self.path().display(), self.lines + 1);
        Failure::new(Kind::Integrity, message).remedy(
            "nothing was written; apply its plan again, which ends the file, or pass --unfinished to undo what it holds",
        )
    }
}
