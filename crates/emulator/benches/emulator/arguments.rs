//! The command line: sizes of the run, or the part that a child process plays.

/// What every part of the benchmark is sized by.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Arguments {
    /// Documents seeded, and updated afterwards.
    pub(crate) documents: u64,
    /// Requests in one round of writes.
    pub(crate) round_requests: u64,
    /// Rounds against the floor, and as many against the emulator.
    pub(crate) rounds: usize,
    /// How often each page is read.
    pub(crate) page_reads: usize,
    /// Whether a missed target makes the run fail.
    pub(crate) check: bool,
}

/// What this process is to do.
#[derive(Debug)]
pub(crate) enum Command {
    Measure(Arguments),
    ServeEmulator,
    ServeFloor,
}

/// The argument of a child process that is the emulator.
pub(crate) const SERVE_EMULATOR: &str = "--serve-emulator";

/// The argument of a child process that is the floor.
pub(crate) const SERVE_FLOOR: &str = "--serve-floor";

/// Fewer documents do not fill pages in every range and sub-range.
const DOCUMENTS_MIN: u64 = 64_000;

const FULL: Arguments =
    Arguments { documents: 200_000, round_requests: 8_000, rounds: 15, page_reads: 101, check: false };

const QUICK: Arguments =
    Arguments { documents: DOCUMENTS_MIN, round_requests: 2_000, rounds: 9, page_reads: 41, check: false };

impl Arguments {
    /// Reads the arguments; the error is the text to show.
    pub(crate) fn parse(given: impl Iterator<Item = String>) -> Result<Command, String> {
        let given: Vec<String> = given.collect();
        let mut arguments = if given.iter().any(|argument| argument == "--quick") { QUICK } else { FULL };
        let mut rest = given.iter().map(String::as_str);
        while let Some(argument) = rest.next() {
            match argument {
                SERVE_EMULATOR => return Ok(Command::ServeEmulator),
                SERVE_FLOOR => return Ok(Command::ServeFloor),
                // Cargo adds `--bench`.
                "--quick" | "--bench" => {}
                "--check" => arguments.check = true,
                "--documents" => {
                    let count = rest.next().and_then(|count| count.parse().ok());
                    arguments.documents = count.filter(|count| *count >= DOCUMENTS_MIN).ok_or_else(usage)?;
                }
                _ => return Err(usage()),
            }
        }
        Ok(Command::Measure(arguments))
    }
}

fn usage() -> String {
    format!(
        "usage: cargo bench -p cosmirror-emulator -- [--quick] [--documents N] [--check]\n\
         \n\
         --quick        small sizes, in well under a minute\n\
         --documents N  documents to seed and update, at least {DOCUMENTS_MIN} ({} if not given)\n\
         --check        exit with 1 if a target is missed",
        FULL.documents
    )
}
