//! The command line: what to measure, or the part that a child process plays.

use std::path::PathBuf;

/// The first argument of a process that makes itself die with its owner and then becomes another program.
pub(crate) const TIED: &str = "--tied";
/// The first argument of a process that is the floor.
pub(crate) const FLOOR: &str = "--floor";

/// What this process is to do.
#[derive(Debug)]
pub(crate) enum Command {
    Measure(Arguments),
    /// The owner's process id, the program and its arguments.
    Tied(Vec<String>),
    /// The file that describes the work.
    Floor(PathBuf),
}

/// What to measure, and where the results go.
#[derive(Debug)]
pub(crate) struct Arguments {
    pub(crate) scenarios: Vec<Scenario>,
    pub(crate) quick: bool,
    pub(crate) keep: bool,
    pub(crate) json: Option<PathBuf>,
}

/// One kind of measurement.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Scenario {
    CatchUp,
    Floor,
    Steady,
    Idle,
    Restore,
    Plan,
    Outage,
    Scale,
}

impl Scenario {
    const ALL: [Self; 8] =
        [Self::CatchUp, Self::Floor, Self::Steady, Self::Idle, Self::Restore, Self::Plan, Self::Outage, Self::Scale];

    /// How it is called on the command line.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::CatchUp => "catch-up",
            Self::Floor => "floor",
            Self::Steady => "steady",
            Self::Idle => "idle",
            Self::Restore => "restore",
            Self::Plan => "plan",
            Self::Outage => "outage",
            Self::Scale => "scale",
        }
    }

    /// `scale` mirrors a million documents and takes as long as all others together, so it is run when it is asked for. A quick run is
    /// to show that everything works. The floor is a part of `catch-up`.
    fn by_default(self, quick: bool) -> bool {
        self != Self::Floor && (quick || self != Self::Scale)
    }
}

impl Command {
    /// Reads the arguments; the error is the text to show.
    pub(crate) fn parse(given: impl Iterator<Item = String>) -> Result<Self, String> {
        let mut given = given.peekable();
        match given.peek().map(String::as_str) {
            Some(TIED) => Ok(Self::Tied(given.skip(1).collect())),
            Some(FLOOR) => given.nth(1).map(|job| Self::Floor(job.into())).ok_or_else(usage),
            _ => Self::measure(given),
        }
    }

    fn measure(mut given: impl Iterator<Item = String>) -> Result<Self, String> {
        let mut arguments = Arguments { scenarios: Vec::new(), quick: false, keep: false, json: None };
        while let Some(word) = given.next() {
            match word.as_str() {
                // Cargo adds it.
                "--bench" => {}
                "--quick" => arguments.quick = true,
                "--keep" => arguments.keep = true,
                "--json" => arguments.json = Some(given.next().ok_or_else(usage)?.into()),
                name => {
                    let known = Scenario::ALL.into_iter().find(|scenario| scenario.name() == name);
                    let scenario = known.ok_or_else(|| format!("{name:?} is not known\n\n{}", usage()))?;
                    if !arguments.scenarios.contains(&scenario) {
                        arguments.scenarios.push(scenario);
                    }
                }
            }
        }
        if arguments.scenarios.is_empty() {
            let chosen = Scenario::ALL.into_iter().filter(|scenario| scenario.by_default(arguments.quick));
            arguments.scenarios.extend(chosen);
        }
        Ok(Self::Measure(arguments))
    }
}

fn usage() -> String {
    let names = Scenario::ALL.map(Scenario::name).join(", ");
    format!(
        "usage: cargo bench --bench mirror -- [SCENARIO…] [--quick] [--keep] [--json FILE]\n\
         \n\
         scenarios:   {names}; without one, all but scale, which is long (with --quick, all)\n\
         --quick      small sizes: shows that everything works, and nothing about speed\n\
         --keep       keeps the results in benches/results, under the commit's name\n\
         --json FILE  writes the results there as well"
    )
}
