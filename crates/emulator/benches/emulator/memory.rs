//! Seeding, updating, and the memory that both leave behind.

use std::io::Result;
use std::time::Duration;

use tokio::time::Instant;

use crate::bed::{Bed, CONNECTIONS, RANGES};
use crate::connection::Connection;
use crate::load;
use crate::requests::{BODY_BYTES, PROPERTIES_BYTES};
use crate::table::{Row, Table, grouped, megabytes};

/// Seconds that seeding may take.
const SEED_SECONDS_MAX: f64 = 20.0;

/// Resident memory by the bytes of the documents it holds.
const MEMORY_RATIO_MAX: f64 = 3.0;

/// The longest that updating everything may take.
const UPDATE_MAX: Duration = Duration::from_secs(60);

/// A step coprime to the number of documents: updates come in another order than the documents did.
const UPDATE_STEP: u64 = 7_919;

/// Seeds the container and measures time and memory.
pub(crate) fn seed(bed: &Bed, table: &mut Table) -> Result<()> {
    let documents = bed.sizes.documents;
    let mut connection = Connection::open(bed.emulator.address())?;
    let request = bed.requests.seed(documents, RANGES);
    let started = Instant::now();
    connection.succeed(&request)?;
    let seconds = started.elapsed().as_secs_f64();
    table.add(
        Row::new(format!("seed {} documents in {RANGES} ranges", grouped(documents)))
            .measured(format!("{seconds:.2} s"))
            .at_most("s", seconds, SEED_SECONDS_MAX),
    );
    memory_row(bed, "seeding", documents, table)
}

/// Updates every document once, in mixed order, and measures time and memory. All versions are kept.
pub(crate) fn update(bed: &Bed, table: &mut Table) -> Result<()> {
    let documents = bed.sizes.documents;
    // As long as the seeded ones when they are stored, so that pages of both are compared fairly.
    let bytes = BODY_BYTES - PROPERTIES_BYTES;
    let update = |out: &mut Vec<u8>, number: u64| {
        bed.requests.upsert(out, ('d', number * UPDATE_STEP % documents), 1, bytes);
    };
    let round = load::run(bed.emulator.address(), CONNECTIONS, 0..documents, UPDATE_MAX, &update)?;
    table.add(
        Row::new(format!("update {} documents", grouped(round.requests)))
            .measured(format!("{:.2} s", round.elapsed.as_secs_f64())),
    );
    memory_row(bed, "updating", documents + round.requests, table)
}

fn memory_row(bed: &Bed, after: &str, versions: u64, table: &mut Table) -> Result<()> {
    let (resident, highest) = bed.emulator.memory_bytes()?;
    let documents = versions * BODY_BYTES as u64;
    table.add(
        Row::new(format!("memory after {after} (highest {})", megabytes(highest)))
            .measured(megabytes(resident))
            .floor(megabytes(documents))
            .at_most("×", resident as f64 / documents as f64, MEMORY_RATIO_MAX),
    );
    Ok(())
}
