//! The change feed: what a page costs at the start, in the middle and at the end, and how fast all of it is read.

use std::io::{Error, Result};
use std::time::Duration;

use tokio::time::Instant;

use crate::bed::{Bed, RANGES};
use crate::connection::Connection;
use crate::floor::BYTES_PATH;
use crate::requests::{Mode, Scope};
use crate::table::{Row, Table, grouped, median};

/// Items of a page.
const PAGE_ITEMS: &str = "1000";

/// What the dearest of the three places may cost by the cheapest.
const SPREAD_MAX: f64 = 1.2;

/// The range whose pages are compared.
const RANGE: u32 = 3;

/// The continuation before everything.
const START: &str = "\"0\"";

/// Where a walk over a feed came along.
#[derive(Debug, Default)]
struct Walk {
    /// Continuations after which a full page follows.
    before_full: Vec<String>,
    documents: u64,
    /// Length of each page's body.
    bodies: Vec<usize>,
}

/// Compares pages by their places, in both modes, by range and by sub-range.
pub(crate) fn costs(bed: &Bed, state: &str, table: &mut Table) -> Result<()> {
    for mode in [Mode::Latest, Mode::All] {
        for (name, scope) in [("range", Scope { range: RANGE, bounds: None }), ("sub-range", half_of(RANGE))] {
            cost(bed, &format!("{state}, {mode:?}, {name}").to_lowercase(), mode, &scope, table)?;
        }
    }
    Ok(())
}

/// Reads the whole feed, all ranges at once, and the same bytes from the floor.
pub(crate) fn throughput(bed: &Bed, table: &mut Table) -> Result<()> {
    for mode in [Mode::Latest, Mode::All] {
        let (walks, elapsed) = every_range(|range| walk(bed, mode, &Scope { range, bounds: None }))?;
        let (_, floor) = every_range(|range| {
            let mut connection = Connection::open(bed.floor.address())?;
            for length in &walks[range as usize].bodies {
                read_floor(&mut connection, *length)?;
            }
            Ok(())
        })?;
        let documents: u64 = walks.iter().map(|walk| walk.documents).sum();
        let bytes: usize = walks.iter().flat_map(|walk| &walk.bodies).sum();
        let rate = |elapsed: Duration| documents as f64 / elapsed.as_secs_f64();
        table.add(
            Row::new(format!("feed, all of it, {mode:?} ({} MB)", bytes / 1_000_000).to_lowercase())
                .measured(format!("{} docs/s", grouped(rate(elapsed) as u64)))
                .floor(format!("{}/s", grouped(rate(floor) as u64)))
                .ratio(rate(elapsed) / rate(floor)),
        );
    }
    Ok(())
}

/// Does something for every range, at once.
fn every_range<T: Send>(work: impl Fn(u32) -> Result<T> + Sync) -> Result<(Vec<T>, Duration)> {
    let started = Instant::now();
    let done = std::thread::scope(|scope| {
        let work = &work;
        let running: Vec<_> = (0..RANGES).map(|range| scope.spawn(move || work(range))).collect();
        running
            .into_iter()
            .map(|running| running.join().map_err(|_| Error::other("a reader panicked"))?)
            .collect::<Result<Vec<T>>>()
    })?;
    Ok((done, started.elapsed()))
}

/// The lower half of a range: hashes have their two top bits clear.
fn half_of(range: u32) -> Scope {
    let whole = (1_u128 << 126) / u128::from(RANGES);
    let start = whole * u128::from(range);
    let bound = |at: u128| format!("{at:032X}");
    Scope { range, bounds: Some((bound(start), bound(start + whole / 2))) }
}

fn cost(bed: &Bed, name: &str, mode: Mode, scope: &Scope, table: &mut Table) -> Result<()> {
    let walk = walk(bed, mode, scope)?;
    let places = match &walk.before_full[..] {
        [start, middle @ .., end] if !middle.is_empty() => [start, &middle[middle.len() / 2], end],
        _ => return Err(Error::other(format!("{name} has fewer than three full pages"))),
    };
    let mut connection = Connection::open(bed.emulator.address())?;
    let mut floor_connection = Connection::open(bed.floor.address())?;
    let mut times: [Vec<f64>; 3] = Default::default();
    let mut floor = Vec::new();
    let mut request = Vec::new();
    for _ in 0..bed.sizes.page_reads {
        for (place, times) in places.iter().zip(&mut times) {
            bed.requests.page(&mut request, mode, scope, place);
            let started = Instant::now();
            let answer = connection.succeed(&request)?;
            let elapsed = started.elapsed();
            let length = answer.body.len();
            if answer.header("x-ms-item-count") != Some(PAGE_ITEMS) {
                return Err(Error::other(format!("{name}: a page that was full is no longer")));
            }
            times.push(elapsed.as_secs_f64() * 1e3);
            let started = Instant::now();
            read_floor(&mut floor_connection, length)?;
            floor.push(started.elapsed().as_secs_f64() * 1e3);
        }
    }
    let spread = [(0, 1), (0, 2), (1, 2)].map(|(one, other)| spread(&times[one], &times[other]));
    let spread = spread.into_iter().fold(1.0, f64::max);
    let [start, middle, end] = times.map(median);
    table.add(
        Row::new(format!("page of 1,000: {name}"))
            .measured(format!("{start:.2} {middle:.2} {end:.2} ms"))
            .floor(format!("{:.2} ms", median(floor)))
            .at_most("", spread, SPREAD_MAX),
    );
    Ok(())
}

/// How much dearer the dearer of two places is. Reads that follow each other are compared, because what else the machine
/// does changes within a series.
fn spread(one: &[f64], other: &[f64]) -> f64 {
    let ratio = median(one.iter().zip(other).map(|(one, other)| one / other).collect());
    ratio.max(1.0 / ratio)
}

/// Reads a feed from its start to its end.
fn walk(bed: &Bed, mode: Mode, scope: &Scope) -> Result<Walk> {
    let mut connection = Connection::open(bed.emulator.address())?;
    let mut walk = Walk::default();
    let mut request = Vec::new();
    let mut after = START.to_owned();
    loop {
        bed.requests.page(&mut request, mode, scope, &after);
        let answer = connection.succeed(&request)?;
        if answer.status == 304 {
            return Ok(walk);
        }
        let count = answer.header("x-ms-item-count").unwrap_or_default();
        let next = answer.header("etag").ok_or_else(|| Error::other("a page without a continuation"))?.to_owned();
        walk.documents += count.parse::<u64>().map_err(Error::other)?;
        walk.bodies.push(answer.body.len());
        if count == PAGE_ITEMS {
            walk.before_full.push(after);
        }
        after = next;
    }
}

fn read_floor(connection: &mut Connection, length: usize) -> Result<()> {
    let request = format!("GET {BYTES_PATH}{length} HTTP/1.1\r\nhost: bench\r\n\r\n");
    connection.succeed(request.as_bytes()).map(|_| ())
}
