//! What mirroring costs: rates, processor time, memory and latency of the real processes, beside what a bare client can do here.
//!
//! The daemon is a process of its own and so is the emulator; what is told of a process comes from the system's account of that process.
//! Beside a figure stands, where there can be one, its floor: the same requests by a client that does nothing else, in a process of
//! its own, in the same run, to the same servers. Ratios say something about cosmirror; times alone say more about the machine.
//! `benches/README.md` tells what each figure is and what it does not say.
//!
//! A goal that is missed is shown and ends nothing. A result that is wrong (something was not mirrored, or not restored) ends it with 1, and
//! what could not be run with 2. Every process that is started here ends with this one, whatever ends it.

#[path = "mirror/arguments.rs"]
mod arguments;
#[path = "mirror/catch_up.rs"]
mod catch_up;
#[path = "mirror/connection.rs"]
mod connection;
#[path = "mirror/daemon.rs"]
mod daemon;
#[path = "mirror/emulator.rs"]
mod emulator;
#[path = "mirror/floor.rs"]
mod floor;
#[path = "mirror/idle.rs"]
mod idle;
#[path = "mirror/load.rs"]
mod load;
#[path = "mirror/machine.rs"]
mod machine;
#[path = "mirror/mirrored.rs"]
mod mirrored;
#[path = "mirror/outage.rs"]
mod outage;
#[path = "mirror/pattern.rs"]
mod pattern;
#[path = "mirror/plan.rs"]
mod plan;
#[path = "mirror/process.rs"]
mod process;
#[path = "mirror/report.rs"]
mod report;
#[path = "mirror/restore.rs"]
mod restore;
#[path = "mirror/scale.rs"]
mod scale;
#[path = "mirror/sign.rs"]
mod sign;
#[path = "mirror/sizes.rs"]
mod sizes;
#[path = "mirror/steady.rs"]
mod steady;
#[path = "mirror/time.rs"]
mod time;

use std::process::ExitCode;

use arguments::{Arguments, Command, Scenario};
use report::Report;
use sign::Keys;
use sizes::Sizes;

/// Whatever keeps the benchmark from being run.
type Fault = Box<dyn std::error::Error + Send + Sync>;
type Outcome<T> = Result<T, Fault>;

/// The floor's processes are to allocate as the product does.
#[cfg(not(target_env = "msvc"))]
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

/// What every scenario needs.
struct Bench {
    sizes: Sizes,
    keys: Keys,
}

fn main() -> ExitCode {
    let done = match Command::parse(std::env::args().skip(1)) {
        Ok(Command::Measure(arguments)) => measure(&arguments),
        Ok(Command::Tied(words)) => process::become_tied(&words).map(|()| true),
        Ok(Command::Floor(job)) => floor::serve(&job).map(|()| true),
        Err(usage) => {
            eprintln!("{usage}");
            return ExitCode::from(2);
        }
    };
    match done {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("the benchmark could not be run: {error}");
            ExitCode::from(2)
        }
    }
}

/// Runs the scenarios in turn; false where a result is wrong.
fn measure(arguments: &Arguments) -> Outcome<bool> {
    let machine = machine::describe()?;
    // Children die with the thread that started them, which is therefore this one: a future that is blocked on runs here.
    let runtime = tokio::runtime::Runtime::new()?;
    let bench = Bench { sizes: Sizes::of(arguments.quick), keys: Keys::new()? };
    let mut report = Report::new(arguments.quick);
    for scenario in &arguments.scenarios {
        runtime
            .block_on(run(*scenario, &bench, &mut report))
            .map_err(|error| format!("{}: {error}", scenario.name()))?;
    }
    report.print(&machine);
    if let Some(file) = &arguments.json {
        report.write(&machine, file)?;
    }
    if arguments.keep {
        let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("benches/results");
        std::fs::create_dir_all(&folder)?;
        report.write(&machine, &folder.join(format!("{}.json", machine.commit)))?;
    }
    Ok(report.is_right())
}

async fn run(scenario: Scenario, bench: &Bench, report: &mut Report) -> Outcome<()> {
    match scenario {
        Scenario::CatchUp => catch_up::run(bench, report).await,
        Scenario::Floor => catch_up::run_floor(bench, report).await,
        Scenario::Steady => steady::run(bench, report).await,
        Scenario::Idle => idle::run(bench, report).await,
        Scenario::Restore => restore::run(bench, report).await,
        Scenario::Plan => plan::run(bench, report).await,
        Scenario::Outage => outage::run(bench, report).await,
        Scenario::Scale => scale::run(bench, report).await,
    }
}
