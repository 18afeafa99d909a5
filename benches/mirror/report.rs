//! The results: a table for people, JSON for programs, and what is wrong.

use std::fmt;
use std::path::Path;

use serde::Serialize;

use crate::Outcome;
use crate::machine::Machine;

/// What a figure is held to: itself, or its ratio to the floor's.
#[derive(Debug, Clone, Copy, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Goal {
    AtMost(f64),
    AtLeast(f64),
    RatioAtMost(f64),
    RatioAtLeast(f64),
}

/// One figure.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Row {
    scenario: &'static str,
    figure: String,
    value: f64,
    unit: &'static str,
    floor: Option<f64>,
    ratio: Option<f64>,
    goal: Option<Goal>,
    met: Option<bool>,
    note: Option<String>,
}

impl Row {
    /// A figure by itself.
    pub(crate) fn new(scenario: &'static str, figure: impl Into<String>, value: f64, unit: &'static str) -> Self {
        let figure = figure.into();
        Self { scenario, figure, value, unit, floor: None, ratio: None, goal: None, met: None, note: None }
    }

    /// The same figure of the floor.
    pub(crate) fn floor(self, floor: f64) -> Self {
        Self { floor: Some(floor), ratio: Some(self.value / floor), ..self }
    }

    /// What it should be, if anything. The floor comes first.
    pub(crate) fn goal(self, goal: impl Into<Option<Goal>>) -> Self {
        let Some(goal) = goal.into() else { return self };
        let met = match goal {
            Goal::AtMost(bound) => Some(self.value <= bound),
            Goal::AtLeast(bound) => Some(self.value >= bound),
            Goal::RatioAtMost(bound) => self.ratio.map(|ratio| ratio <= bound),
            Goal::RatioAtLeast(bound) => self.ratio.map(|ratio| ratio >= bound),
        };
        Self { goal: Some(goal), met, ..self }
    }

    /// What must be known to read it.
    pub(crate) fn note(self, note: impl Into<String>) -> Self {
        Self { note: Some(note.into()), ..self }
    }
}

impl fmt::Display for Row {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let number = |value: Option<f64>| value.map(number).unwrap_or_default();
        let goal = match self.goal {
            None => String::new(),
            Some(Goal::AtMost(bound)) => format!("≤ {bound} {}", self.unit),
            Some(Goal::AtLeast(bound)) => format!("≥ {bound} {}", self.unit),
            Some(Goal::RatioAtMost(bound)) => format!("≤ {bound} ×"),
            Some(Goal::RatioAtLeast(bound)) => format!("≥ {bound} ×"),
        };
        let met = match self.met {
            None => "",
            Some(true) => "met",
            Some(false) => "missed",
        };
        let note = self.note.as_ref().map(|note| format!(" ({note})")).unwrap_or_default();
        let (scenario, figure, unit) = (self.scenario, &self.figure, self.unit);
        let (value, floor, ratio) = (number(Some(self.value)), number(self.floor), number(self.ratio));
        write!(f, "| {scenario}: {figure}{note} | {value} {unit} | {floor} | {ratio} | {goal} | {met} |")
    }
}

/// Three digits that count, and all digits before the point.
fn number(value: f64) -> String {
    match value.abs() {
        100.0.. => format!("{value:.0}"),
        10.0.. => format!("{value:.1}"),
        1.0.. => format!("{value:.2}"),
        _ => format!("{value:.3}"),
    }
}

/// All rows, and what is wrong.
#[derive(Debug, Serialize)]
pub(crate) struct Report {
    /// Small sizes, so that no figure is held to its goal.
    quick: bool,
    rows: Vec<Row>,
    wrong: Vec<String>,
}

#[derive(Serialize)]
struct Written<'a> {
    format: u32,
    machine: &'a Machine,
    #[serde(flatten)]
    report: &'a Report,
}

impl Report {
    pub(crate) fn new(quick: bool) -> Self {
        Self { quick, rows: Vec::new(), wrong: Vec::new() }
    }

    /// Adds a figure, and shows it at once: a run takes long.
    pub(crate) fn add(&mut self, row: Row) {
        let row = if self.quick { Row { goal: None, met: None, ..row } } else { row };
        eprintln!("{row}");
        self.rows.push(row);
    }

    /// Adds what is not as it must be, unless it is.
    pub(crate) fn check(&mut self, is_right: bool, wrong: impl FnOnce() -> String) {
        if !is_right {
            let wrong = wrong();
            eprintln!("wrong: {wrong}");
            self.wrong.push(wrong);
        }
    }

    /// Whether everything is as it must be.
    pub(crate) fn is_right(&self) -> bool {
        self.wrong.is_empty()
    }

    /// Prints the table.
    pub(crate) fn print(&self, machine: &Machine) {
        println!("| figure | value | floor | ratio | goal | |");
        println!("|---|---|---|---|---|---|");
        for row in &self.rows {
            println!("{row}");
        }
        println!("\n{machine}");
        if self.quick {
            println!("\nQuick: everything ran, and no figure here says anything about speed.");
        }
        for wrong in &self.wrong {
            println!("\nWrong: {wrong}");
        }
    }

    /// Writes everything as JSON.
    pub(crate) fn write(&self, machine: &Machine, file: &Path) -> Outcome<()> {
        let text = serde_json::to_string_pretty(&Written { format: 1, machine, report: self })?;
        std::fs::write(file, text + "\n").map_err(|error| format!("{}: {error}", file.display()).into())
    }
}
