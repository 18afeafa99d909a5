//! Where each step's lines are in an undo file. On disk, so that memory does not grow with the number of steps.
//!
//! The file has no name: the operating system removes it when the process ends, however it ends.

use std::collections::BTreeSet;
use std::fs::File;
use std::io::{Read as _, Seek as _, SeekFrom, Write as _};

use cosmirror_formats::restore_plan::Action;

use crate::failure::Failure;
use crate::spool::unusable;

/// Bytes of one step: where its last `before` is, and what came of it.
const BYTES: usize = 16;
/// No file has this many steps; beyond it a number is a mistake.
pub(super) const STEPS_MAX: u64 = 1 << 32;
/// Steps of one block, as a power of two. Only blocks that hold a step are walked through.
const BLOCK_SHIFT: u32 = 12;
/// What came of a step, where that is no offset.
const NOTHING: u64 = 0;
const SKIPPED: u64 = 1;
/// The action stands in the highest bits of the first number.
const ACTION_SHIFT: u32 = 60;

/// What a file says of a step. No line but the first begins at 0, so no offset is 0 or 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Lines {
    /// What is done to the document.
    pub(super) action: Action,
    /// Where its last `before` begins.
    pub(super) before: u64,
    /// What came of it.
    pub(super) ended: Ended,
}

/// What came of a step.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Ended {
    /// The file does not say.
    Unknown,
    /// It was not done.
    Skipped,
    /// It was done; where its `after` begins.
    Done(u64),
}

/// The table.
#[derive(Debug)]
pub(super) struct Offsets {
    file: File,
    count: u64,
    /// The blocks in which there is a step.
    blocks: BTreeSet<u64>,
}

impl Offsets {
    pub(super) fn new() -> Result<Self, Failure> {
        Ok(Self { file: tempfile::tempfile().map_err(|error| unusable(&error))?, count: 0, blocks: BTreeSet::new() })
    }

    /// The first step from `step` on.
    pub(super) fn next(&mut self, step: u64) -> Result<Option<u64>, Failure> {
        let mut from = step;
        while let Some(block) = self.blocks.range(from >> BLOCK_SHIFT..).next().copied() {
            let end = (block + 1) << BLOCK_SHIFT;
            for step in from.max(block << BLOCK_SHIFT)..end.min(self.count) {
                if self.get(step)?.is_some() {
                    return Ok(Some(step));
                }
            }
            from = end;
        }
        Ok(None)
    }

    pub(super) fn set(&mut self, step: u64, lines: Lines) -> Result<(), Failure> {
        let action = match lines.action {
            Action::Create => 1,
            Action::Replace => 2,
            Action::Delete => 3u64,
        };
        let ended = match lines.ended {
            Ended::Unknown => NOTHING,
            Ended::Skipped => SKIPPED,
            Ended::Done(at) => at,
        };
        let mut bytes = [0; BYTES];
        bytes[..8].copy_from_slice(&(lines.before | (action << ACTION_SHIFT)).to_le_bytes());
        bytes[8..].copy_from_slice(&ended.to_le_bytes());
        self.seek(step)?;
        self.file.write_all(&bytes).map_err(|error| unusable(&error))?;
        self.count = self.count.max(step + 1);
        self.blocks.insert(step >> BLOCK_SHIFT);
        Ok(())
    }

    /// None of a step that the file does not hold.
    pub(super) fn get(&mut self, step: u64) -> Result<Option<Lines>, Failure> {
        if step >= self.count {
            return Ok(None);
        }
        let mut bytes = [0; BYTES];
        self.seek(step)?;
        self.file.read_exact(&mut bytes).map_err(|error| unusable(&error))?;
        let number = |at: usize| u64::from_le_bytes(std::array::from_fn(|n| bytes[at + n]));
        let action = match number(0) >> ACTION_SHIFT {
            1 => Action::Create,
            2 => Action::Replace,
            3 => Action::Delete,
            _ => return Ok(None),
        };
        let ended = match number(8) {
            NOTHING => Ended::Unknown,
            SKIPPED => Ended::Skipped,
            at => Ended::Done(at),
        };
        Ok(Some(Lines { action, before: number(0) & ((1 << ACTION_SHIFT) - 1), ended }))
    }

    fn seek(&mut self, step: u64) -> Result<(), Failure> {
        let at = SeekFrom::Start(step * BYTES as u64);
        self.file.seek(at).map(drop).map_err(|error| unusable(&error))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_set_last_is_found_and_steps_between_are_not_there() {
        let mut offsets = Offsets::new().unwrap();
        let lines = |before, ended| Lines { action: Action::Delete, before, ended };
        offsets.set(3, lines(9, Ended::Unknown)).unwrap();
        offsets.set(1, lines(1 << 50, Ended::Skipped)).unwrap();
        offsets.set(3, lines(70, Ended::Done(90))).unwrap();
        assert_eq!([0, 2, 4].map(|from| offsets.next(from).unwrap()), [Some(1), Some(3), None]);
        let found: Vec<_> = (0..5).map(|step| offsets.get(step).unwrap()).collect();
        let expected = [None, Some(lines(1 << 50, Ended::Skipped)), None, Some(lines(70, Ended::Done(90))), None];
        assert_eq!(found, expected);
    }

    #[test]
    fn steps_that_are_far_apart_are_found_without_walking_through_what_is_between() {
        let mut offsets = Offsets::new().unwrap();
        let lines = Lines { action: Action::Create, before: 9, ended: Ended::Unknown };
        for step in [STEPS_MAX - 1, 5_000] {
            offsets.set(step, lines).unwrap();
        }
        let found = [0, 5_001, STEPS_MAX].map(|from| offsets.next(from).unwrap());
        assert_eq!(found, [Some(5_000), Some(STEPS_MAX - 1), None]);
    }
}
