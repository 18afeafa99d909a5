//! What all measurements share: both servers, the client's requests and the sizes.

use std::io::Result;

use crate::arguments::Arguments;
use crate::requests::Requests;
use crate::server::Server;

/// Ranges of the container.
pub(crate) const RANGES: u32 = 8;

/// Connections that write at once.
pub(crate) const CONNECTIONS: usize = 16;

/// The test bed.
#[derive(Debug)]
pub(crate) struct Bed {
    pub(crate) sizes: Arguments,
    pub(crate) emulator: Server,
    pub(crate) floor: Server,
    pub(crate) requests: Requests,
}

impl Bed {
    /// Starts both servers.
    pub(crate) fn start(sizes: &Arguments) -> Result<Self> {
        Ok(Self { sizes: *sizes, emulator: Server::emulator()?, floor: Server::floor()?, requests: Requests::new()? })
    }
}
