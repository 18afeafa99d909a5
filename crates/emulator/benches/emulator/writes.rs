//! Small writes: the rate of puts and upserts by the rate at which the floor takes the very same requests.

use std::io::Result;
use std::net::SocketAddr;
use std::time::Duration;

use crate::bed::{Bed, CONNECTIONS};
use crate::connection::Connection;
use crate::load::{self, Make, Round};
use crate::requests::BODY_BYTES;
use crate::server::Server;
use crate::table::{Row, Table, grouped, median};

/// The least rate of puts by the floor's.
const PUT_RATIO_MIN: f64 = 0.25;

/// The least rate of upserts by the floor's.
const UPSERT_RATIO_MIN: f64 = 0.2;

/// The longest a round may take.
const ROUND_MAX: Duration = Duration::from_secs(5);

/// Blobs that are overwritten again and again by all connections.
const HOT_BLOBS: u64 = 4;

/// One kind of server in one kind of comparison.
#[derive(Debug)]
struct Side<'a> {
    server: &'a Server,
    address: SocketAddr,
    rates: Vec<f64>,
    requests: u64,
    cpu: Duration,
}

impl<'a> Side<'a> {
    fn new(server: &'a Server, address: SocketAddr) -> Self {
        Self { server, address, rates: Vec::new(), requests: 0, cpu: Duration::ZERO }
    }

    fn run(&mut self, numbers: std::ops::Range<u64>, make: &Make<'_>) -> Result<()> {
        let before = self.server.cpu()?;
        let round: Round = load::run(self.address, CONNECTIONS, numbers, ROUND_MAX, make)?;
        self.cpu += self.server.cpu()?.saturating_sub(before);
        self.requests += round.requests;
        self.rates.push(round.rate());
        Ok(())
    }

    fn cpu_us(&self) -> f64 {
        self.cpu.as_secs_f64() * 1e6 / self.requests as f64
    }
}

/// Upserts of new documents, and of documents that are there.
pub(crate) fn upserts(bed: &Bed, table: &mut Table) -> Result<()> {
    let address = bed.emulator.address();
    let documents = bed.sizes.documents;
    let new = |out: &mut Vec<u8>, number: u64| bed.requests.upsert(out, ('u', number), 0, BODY_BYTES);
    compare(bed, "upsert, new ids", address, UPSERT_RATIO_MIN, &new, table)?;
    let again = |out: &mut Vec<u8>, number: u64| bed.requests.upsert(out, ('d', number % documents), 2, BODY_BYTES);
    compare(bed, "upsert, ids that exist", address, UPSERT_RATIO_MIN, &again, table)
}

/// Puts under new names, over the names of one round, and over very few names.
pub(crate) fn puts(bed: &Bed, table: &mut Table) -> Result<()> {
    let address = bed.emulator.blob_address();
    Connection::open(address)?.succeed(&bed.requests.create_blob_container())?;
    let requests = &bed.requests;
    let new =
        |out: &mut Vec<u8>, number: u64| requests.put(out, &format!("new/p{}/d{number}.json", number % 100), number);
    compare(bed, "put, new names", address, PUT_RATIO_MIN, &new, table)?;
    let names = bed.sizes.round_requests;
    let again = |out: &mut Vec<u8>, number: u64| requests.put(out, &format!("again/d{}.json", number % names), number);
    compare(bed, "put, names that exist", address, PUT_RATIO_MIN, &again, table)?;
    let hot = |out: &mut Vec<u8>, number: u64| requests.put(out, &format!("hot/d{}.json", number % HOT_BLOBS), number);
    compare(bed, "put, 4 names only", address, PUT_RATIO_MIN, &hot, table)
}

/// Alternates between floor and emulator. The first round of each is not counted: it warms up, and for names that
/// are to exist it makes them.
fn compare(
    bed: &Bed,
    name: &str,
    address: SocketAddr,
    ratio_min: f64,
    make: &Make<'_>,
    table: &mut Table,
) -> Result<()> {
    let per_round = bed.sizes.round_requests;
    load::run(bed.floor.address(), CONNECTIONS, 0..per_round, ROUND_MAX, make)?;
    load::run(address, CONNECTIONS, 0..per_round, ROUND_MAX, make)?;
    let mut floor = Side::new(&bed.floor, bed.floor.address());
    let mut emulator = Side::new(&bed.emulator, address);
    for round in 1..=bed.sizes.rounds as u64 {
        let numbers = round * per_round..(round + 1) * per_round;
        floor.run(numbers.clone(), make)?;
        emulator.run(numbers, make)?;
    }
    let pairs = emulator.rates.iter().zip(&floor.rates).map(|(emulator, floor)| emulator / floor);
    let (low, high) = pairs.fold((f64::INFINITY, 0.0_f64), |(low, high), ratio| (low.min(ratio), high.max(ratio)));
    let (cpu, floor_cpu) = (emulator.cpu_us(), floor.cpu_us());
    let (rate, floor_rate) = (median(emulator.rates), median(floor.rates));
    table.add(
        Row::new(format!("{name} ({cpu:.0} µs of processor, floor {floor_cpu:.0})"))
            .measured(format!("{}/s", grouped(rate as u64)))
            .floor(format!("{}/s", grouped(floor_rate as u64)))
            .spread(low, high)
            .at_least("×", rate / floor_rate, ratio_min),
    );
    Ok(())
}
