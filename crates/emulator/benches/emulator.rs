//! The emulator's speed and memory, beside the floor that this machine sets.
//!
//! The emulator runs in a process of its own, so that its memory and processor time are its own; a floor server that
//! answers at once runs in another. The same raw client sends the same signed requests to both, in alternating
//! rounds, so that what else the machine does falls on both. Figures are medians and, as far as they can be, ratios:
//! times alone say more about the machine than about the emulator.
//!
//! `cargo bench -p cosmirror-emulator -- [--quick] [--documents N] [--check]`

#[path = "emulator/arguments.rs"]
mod arguments;
#[path = "emulator/bed.rs"]
mod bed;
#[path = "emulator/connection.rs"]
mod connection;
#[path = "emulator/floor.rs"]
mod floor;
#[path = "emulator/load.rs"]
mod load;
#[path = "emulator/memory.rs"]
mod memory;
#[path = "emulator/pages.rs"]
mod pages;
#[path = "emulator/requests.rs"]
mod requests;
#[path = "emulator/server.rs"]
mod server;
#[path = "emulator/table.rs"]
mod table;
#[path = "emulator/writes.rs"]
mod writes;

use std::process::ExitCode;

use arguments::{Arguments, Command};
use bed::Bed;
use table::Table;

#[cfg(not(target_env = "msvc"))]
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

fn main() -> ExitCode {
    let done = match Arguments::parse(std::env::args().skip(1)) {
        Ok(Command::Measure(arguments)) => measure(&arguments),
        Ok(Command::ServeEmulator) => server::serve_emulator().map(|()| true),
        Ok(Command::ServeFloor) => server::serve_floor().map(|()| true),
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

/// Runs every measurement in turn; false if targets were to be checked and one was missed.
fn measure(arguments: &Arguments) -> std::io::Result<bool> {
    let mut table = Table::new();
    let bed = Bed::start(arguments)?;
    memory::seed(&bed, &mut table)?;
    pages::costs(&bed, "seeded", &mut table)?;
    pages::throughput(&bed, &mut table)?;
    memory::update(&bed, &mut table)?;
    pages::costs(&bed, "updated", &mut table)?;
    writes::upserts(&bed, &mut table)?;
    writes::puts(&bed, &mut table)?;
    Ok(table.finish() || !arguments.check)
}
