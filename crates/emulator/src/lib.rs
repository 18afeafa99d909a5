//! Cosmos DB (SQL API) and Blob Storage endpoints on localhost, for tests, demonstrations and work without an account.
//!
//! One process part, two listeners. Everything lives in memory and is gone when [`Emulator::serve`] returns, unless it is
//! kept in a folder ([`Emulator::with_data`]). Plain HTTP/1.1 and HTTP/2 with prior knowledge share each port.
//!
//! # The way of a request
//!
//! `server` accepts connections, reads bodies up to a limit and counts; `faults` decides whether a request fails on
//! purpose; then `control` answers `/_emulator/…`, `cosmos` the document service and `blob` the storage service.
//!
//! # What the document service answers
//!
//! * accounts, databases and containers (create, read, list, replace, delete), partition key ranges;
//! * items: create, upsert, replace, read, delete, conditional on entity tags, and atomic batches. The text of a
//!   document is kept exactly as sent; only the five system properties are added, before its closing brace;
//! * the change feed in both modes (latest version; all versions and deletes) by range, sub-range and partition key;
//! * time to live;
//! * queries: `SELECT` of everything, a list or a value, `WHERE`, `ORDER BY`, `TOP`, `OFFSET … LIMIT`, `COUNT` and the
//!   commonest functions, and the query plans the SDKs ask for.
//!
//! # What it does not
//!
//! Patch, non-atomic bulk requests, stored procedures, triggers, user-defined functions, users and permissions,
//! offers, conflicts, `JOIN`, `GROUP BY`, `DISTINCT`, subqueries, Cosmos' binary JSON and Entra tokens. Each is
//! refused by name (501, or 400 for binary JSON), never silently ignored. Ranges do not split or merge yet. Indexing
//! policies, throughput and consistency levels are kept or accepted but have no effect.

mod blob;
mod clock;
mod control;
mod cosmos;
mod counters;
mod data;
mod faults;
mod journal;
mod server;

use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;

use tokio_util::sync::CancellationToken;

pub use data::DataError;

/// The public key of Microsoft's Cosmos DB emulator, which this one shares.
pub const COSMOS_KEY: &str = "C2y6yDjf5/R+ob0N8A7Cgv30VRDJIWEHLM+4QDU5DE2nQ9nDuVTqobD4b8mGGyPMbIZnqyMsEcaGQy67XIw/Jw==";

/// The name of the only storage account.
pub const BLOB_ACCOUNT: &str = "devstoreaccount1";

/// The public key of the only storage account, the one Azurite uses.
pub const BLOB_KEY: &str = "Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw==";

/// Where the emulator listens.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Options {
    /// Address of the document service and of the control requests; port 0 takes a free port.
    pub cosmos: SocketAddr,
    /// Address of the blob service; port 0 takes a free port.
    pub blob: SocketAddr,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            cosmos: SocketAddr::from((Ipv4Addr::LOCALHOST, 8081)),
            blob: SocketAddr::from((Ipv4Addr::LOCALHOST, 10000)),
        }
    }
}

/// A listening address could not be taken.
#[derive(Debug, thiserror::Error)]
#[error("cannot listen on {address} for the {service} endpoint: choose another address or stop what uses it")]
pub struct BindError {
    /// Which endpoint, `cosmos` or `blob`.
    pub service: &'static str,
    /// The address asked for.
    pub address: SocketAddr,
    /// What the operating system answered.
    #[source]
    pub source: std::io::Error,
}

/// A listener failed while serving.
#[derive(Debug, thiserror::Error)]
#[error("the {service} endpoint stopped accepting connections")]
pub struct ServeError {
    /// Which endpoint, `cosmos` or `blob`.
    pub service: &'static str,
    /// What the operating system answered.
    #[source]
    pub source: std::io::Error,
}

/// An emulator that has its addresses; connections wait until [`Emulator::serve`] runs.
pub struct Emulator {
    listeners: server::Listeners,
    shared: server::Shared,
    /// Locked until the emulator has ended.
    folder: Option<data::DataFolder>,
}

impl std::fmt::Debug for Emulator {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Emulator").field("listeners", &self.listeners).finish_non_exhaustive()
    }
}

impl Emulator {
    /// Takes both addresses.
    ///
    /// # Errors
    ///
    /// [`BindError`] names the address that could not be taken.
    pub async fn bind(options: Options) -> Result<Self, BindError> {
        let listeners = server::Listeners::bind(options).await?;
        let shared = server::Shared::new(&listeners);
        Ok(Self { listeners, shared, folder: None })
    }

    /// Keeps the state in a folder, and comes back with what an emulator before kept there. Blocks for as long as that
    /// takes to read.
    ///
    /// # Errors
    ///
    /// [`DataError`] if the folder cannot be used, is in use, or holds a damaged journal.
    pub fn with_data(mut self, folder: &Path) -> Result<Self, DataError> {
        let folder = data::DataFolder::open(folder)?;
        self.shared.cosmos.keep_in(&folder.journal("cosmos"))?;
        self.shared.blob.keep_in(&folder.journal("blob"))?;
        self.folder = Some(folder);
        Ok(self)
    }

    /// The address of the document service and of the control requests.
    pub fn cosmos_addr(&self) -> SocketAddr {
        self.listeners.cosmos_addr()
    }

    /// The address of the blob service.
    pub fn blob_addr(&self) -> SocketAddr {
        self.listeners.blob_addr()
    }

    /// Serves until `stop` is cancelled; then lets open requests finish for a few seconds and returns.
    ///
    /// # Errors
    ///
    /// [`ServeError`] if a listener fails for good.
    pub async fn serve(self, stop: CancellationToken) -> Result<(), ServeError> {
        let Self { listeners, shared, folder } = self;
        let served = server::serve(listeners, shared, stop).await;
        drop(folder);
        served
    }
}
