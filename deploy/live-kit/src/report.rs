//! One line per belief as it is settled, and the same for machines.

use std::path::{Path, PathBuf};

use cosmirror::time;
use serde_json::{Value, json};

use crate::belief::{Belief, Outcome};
use crate::beliefs;
use crate::kit::Kit;
use crate::settings::Settings;

/// Longest account of what was seen, in characters. What fails may quote answers, and a line stays a line.
const SEEN_CHARS_MAX: usize = 400;

/// What was seen so far.
pub(crate) struct Report {
    accounts: String,
    is_emulator: bool,
    file: Option<PathBuf>,
    entries: Vec<Value>,
    failed: usize,
}

impl Report {
    /// An empty report; the file is made at once, so that one that cannot be written is found before anything is done.
    pub(crate) fn new(settings: &Settings, file: Option<&Path>) -> Result<Self, String> {
        let report = Self {
            accounts: settings.accounts(),
            is_emulator: settings.is_emulator,
            file: file.map(Path::to_owned),
            entries: Vec::new(),
            failed: 0,
        };
        report.save()?;
        Ok(report)
    }

    /// Settles each belief in turn.
    pub(crate) async fn hold(&mut self, kit: &Kit, wanted: &[&Belief]) -> Result<(), String> {
        for belief in wanted {
            let (outcome, seen) = belief.settle(kit).await;
            self.tell(&belief.name(), outcome, &seen)?;
        }
        Ok(())
    }

    fn tell(&mut self, name: &str, outcome: Outcome, seen: &str) -> Result<(), String> {
        // Left out on the emulator is not allowed: that column of the table says what holds there.
        let not_looked_at = self.is_emulator && outcome == Outcome::Skip && !beliefs::AZURE_ONLY.contains(&name);
        let outcome = if not_looked_at { Outcome::Fail } else { outcome };
        let date = time::now().strftime("%Y-%m-%d").to_string();
        let seen = on_one_line(seen);
        println!("{}  {name}  {seen}  ({date}, {})", outcome.word(), self.accounts);
        self.failed += usize::from(outcome == Outcome::Fail);
        self.entries.push(json!({ "name": name, "outcome": outcome.word(), "seen": seen, "date": date }));
        self.save()
    }

    fn save(&self) -> Result<(), String> {
        let Some(file) = &self.file else { return Ok(()) };
        let account = json!({ "accounts": self.accounts, "emulator": self.is_emulator, "beliefs": self.entries });
        std::fs::write(file, format!("{account:#}\n"))
            .map_err(|error| format!("cannot write {}: {error}", file.display()))
    }

    /// Sums up; whether nothing failed.
    pub(crate) fn end(&self) -> Result<bool, String> {
        let count = |word: &str| self.entries.iter().filter(|entry| entry["outcome"] == word).count();
        println!("{} passed, {} failed, {} skipped", count("pass"), self.failed, count("skip"));
        self.save()?;
        Ok(self.failed == 0)
    }
}

fn on_one_line(text: &str) -> String {
    let line: String = text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
    match line.char_indices().nth(SEEN_CHARS_MAX) {
        Some((end, _)) => format!("{}…", &line[..end]),
        None => line,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_seen_stays_a_line_of_bounded_length() {
        assert_eq!(on_one_line("a\nb\u{1b}[31m"), "a b [31m");
        assert_eq!(on_one_line(&"é".repeat(1_000)).chars().count(), SEEN_CHARS_MAX + 1);
    }
}
