//! The table of figures: each with its floor, the ratio of the two and the target it is held to.

/// One figure.
#[derive(Debug)]
pub(crate) struct Row {
    name: String,
    measured: String,
    floor: String,
    ratio: String,
    spread: String,
    target: String,
    met: Option<bool>,
}

impl Row {
    /// A figure without target.
    pub(crate) fn new(name: String) -> Self {
        let empty = String::new;
        Self { name, measured: empty(), floor: empty(), ratio: empty(), spread: empty(), target: empty(), met: None }
    }

    /// What was measured, with its unit.
    pub(crate) fn measured(mut self, text: String) -> Self {
        self.measured = text;
        self
    }

    /// What stands beside it, with its unit.
    pub(crate) fn floor(mut self, text: String) -> Self {
        self.floor = text;
        self
    }

    /// The ratio of both, without target.
    pub(crate) fn ratio(mut self, ratio: f64) -> Self {
        self.ratio = format!("{ratio:.2}");
        self
    }

    /// The lowest and highest ratio of single rounds.
    pub(crate) fn spread(mut self, low: f64, high: f64) -> Self {
        self.spread = format!("{low:.2}–{high:.2}");
        self
    }

    /// Holds a value to a bound above.
    pub(crate) fn at_most(self, unit: &str, value: f64, bound: f64) -> Self {
        self.held(format!("≤ {bound} {unit}"), value, value <= bound)
    }

    /// Holds a value to a bound below.
    pub(crate) fn at_least(self, unit: &str, value: f64, bound: f64) -> Self {
        self.held(format!("≥ {bound} {unit}"), value, value >= bound)
    }

    fn held(self, target: String, value: f64, met: bool) -> Self {
        Self { target, met: Some(met), ..self.ratio(value) }
    }
}

/// The table; rows are printed as they come.
#[derive(Debug)]
pub(crate) struct Table {
    missed: usize,
}

impl Table {
    /// Prints the heading.
    pub(crate) fn new() -> Self {
        line(["figure", "measured", "floor", "ratio", "rounds", "target", ""]);
        Self { missed: 0 }
    }

    /// Prints a row.
    pub(crate) fn add(&mut self, row: Row) {
        let verdict = match row.met {
            None => "",
            Some(true) => "met",
            Some(false) => "MISSED",
        };
        self.missed += usize::from(row.met == Some(false));
        line([&row.name, &row.measured, &row.floor, &row.ratio, &row.spread, &row.target, verdict]);
    }

    /// Ends the table; whether every target was met.
    pub(crate) fn finish(&self) -> bool {
        match self.missed {
            0 => println!("every target is met"),
            missed => println!("{missed} targets are missed"),
        }
        self.missed == 0
    }
}

fn line([name, measured, floor, ratio, spread, target, verdict]: [&str; 7]) {
    println!("{name:<58} {measured:>20} {floor:>12} {ratio:>6} {spread:>10}  {target:<8} {verdict}");
}

/// A number with its thousands set apart.
pub(crate) fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::with_capacity(digits.len() * 4 / 3);
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// Bytes as megabytes.
pub(crate) fn megabytes(bytes: u64) -> String {
    format!("{:.0} MB", bytes as f64 / 1e6)
}

/// The middle one of some values.
pub(crate) fn median(mut values: Vec<f64>) -> f64 {
    values.sort_unstable_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(f64::NAN)
}
