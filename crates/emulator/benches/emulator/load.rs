//! Load: many connections that send one request after the other.

use std::io::{Error, Result};
use std::net::SocketAddr;
use std::ops::Range;
use std::sync::Barrier;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::time::Instant;

use crate::connection::Connection;

/// Writes the request with a number into a buffer.
pub(crate) type Make<'a> = dyn Fn(&mut Vec<u8>, u64) + Sync + 'a;

/// What a round achieved.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Round {
    pub(crate) requests: u64,
    pub(crate) elapsed: Duration,
}

impl Round {
    /// Requests per second.
    pub(crate) fn rate(&self) -> f64 {
        self.requests as f64 / self.elapsed.as_secs_f64()
    }
}

/// Sends the requests with these numbers over so many connections. What is left after `time_max` is not sent; any
/// refusal ends the benchmark.
pub(crate) fn run(
    address: SocketAddr,
    connections: usize,
    numbers: Range<u64>,
    time_max: Duration,
    make: &Make<'_>,
) -> Result<Round> {
    let open = (0..connections).map(|_| Connection::open(address)).collect::<Result<Vec<_>>>()?;
    let next = AtomicU64::new(numbers.start);
    let start = Barrier::new(connections + 1);
    std::thread::scope(|scope| {
        let senders: Vec<_> = open
            .into_iter()
            .map(|connection| {
                scope.spawn(|| {
                    start.wait();
                    send(connection, &next, numbers.end, time_max, make)
                })
            })
            .collect();
        start.wait();
        let started = Instant::now();
        let mut requests = 0;
        for sender in senders {
            requests += sender.join().map_err(|_| Error::other("a sender panicked"))??;
        }
        Ok(Round { requests, elapsed: started.elapsed() })
    })
}

fn send(mut connection: Connection, next: &AtomicU64, end: u64, time_max: Duration, make: &Make<'_>) -> Result<u64> {
    let started = Instant::now();
    let mut request = Vec::with_capacity(4 << 10);
    let mut sent = 0;
    loop {
        let number = next.fetch_add(1, Ordering::Relaxed);
        if number >= end || started.elapsed() > time_max {
            return Ok(sent);
        }
        make(&mut request, number);
        connection.succeed(&request)?;
        sent += 1;
    }
}
