//! The document service: one account in memory, over the REST protocol that the SDKs speak.
//!
//! A request is authenticated, routed and handled synchronously; the only locks are the store's map and one per
//! container, and none is held across an await. `cosmos/` is named after the parts of that way.

mod account;
mod auth;
mod batch;
mod change;
mod container;
mod database;
mod errors;
mod feed;
mod headers;
mod history;
mod ids;
mod item;
mod journal;
mod keys;
mod manage;
mod partition;
mod query;
mod ranges;
mod respond;
mod route;
mod seed;
mod session;
mod state;
mod store;
mod system_properties;

use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};

use bytes::Bytes;
use cosmirror_sql::json;
use http::request::Parts;
use http::{Method, Response};
use jiff::Timestamp;

use crate::COSMOS_KEY;
use crate::clock::Clock;
use crate::faults::InjectedStatus;
use crate::journal::{Journal, JournalError};
use errors::CosmosError;
use journal::Record;
use respond::Reply;
use route::{Path, Target};
use store::Store;

pub(crate) use feed::FeedQuirks;
pub(crate) use history::HistoryCursor;
pub(crate) use manage::{ContainerControl, RangeBounds};
pub(crate) use respond::http_date;
pub(crate) use seed::{Seed, SeedError};
pub(crate) use state::TopologyError;

/// The document service.
pub(crate) struct CosmosService {
    clock: Arc<Clock>,
    key: auth::Key,
    store: Store,
    /// Where clients reach the service if they do not say themselves.
    address: SocketAddr,
    /// Whether the account offers the all-versions change feed.
    all_versions: AtomicBool,
    /// Whether the account says that several regions take writes.
    multiple_write_locations: AtomicBool,
    activities: AtomicU64,
    journal: OnceLock<Arc<Journal>>,
}

/// One request on its way through the handlers.
struct Call<'a> {
    service: &'a CosmosService,
    parts: &'a Parts,
    body: &'a Bytes,
    now: Timestamp,
}

impl CosmosService {
    /// An account without databases.
    pub(crate) fn new(clock: Arc<Clock>, address: SocketAddr) -> Self {
        let store = Store::new(clock.now());
        Self {
            clock,
            key: auth::Key::from_base64(COSMOS_KEY),
            store,
            address,
            all_versions: AtomicBool::new(true),
            multiple_write_locations: AtomicBool::new(false),
            activities: AtomicU64::new(0),
            journal: OnceLock::new(),
        }
    }

    /// The class of an operation, for fault rules and counters.
    pub(crate) fn operation(parts: &Parts) -> &'static str {
        route::operation(parts)
    }

    /// The range that serves a request, as far as the request tells: by id, or by its partition key.
    pub(crate) fn range_of(&self, parts: &Parts) -> Option<String> {
        if let Some(id) = headers::range_id(parts) {
            return Some(id.to_owned());
        }
        let path = Path::parse(parts.uri.path()).ok()?;
        let (Target::Items(database, container) | Target::Item(database, container, _)) = path.target() else {
            return None;
        };
        let container = self.store.container(database, container).ok()?;
        let components = keys::parse_header(headers::text(parts, headers::PARTITION_KEY)?).ok()?;
        let key = container.definition.key(&components).ok()?;
        Some(container.state().partition_of(&key.epk).id.to_string())
    }

    /// Answers a request.
    pub(crate) fn handle(&self, parts: &Parts, body: &Bytes) -> Response<Bytes> {
        let now = self.clock.now();
        let reply = self.dispatch(&Call { service: self, parts, body, now });
        let reply = reply.unwrap_or_else(|error| Reply::refusal(&error));
        match headers::text(parts, "x-ms-activity-id") {
            Some(activity) => reply.finish(now, activity),
            None => reply.finish(now, &self.new_activity()),
        }
    }

    /// The answer to a body over the limit.
    pub(crate) fn too_large(&self, limit_bytes: usize) -> Response<Bytes> {
        self.refuse(&CosmosError::too_large(limit_bytes))
    }

    /// The answer that a fault rule asks for.
    pub(crate) fn injected(&self, injected: InjectedStatus) -> Response<Bytes> {
        self.refuse(&CosmosError::injected(injected.status, injected.substatus))
    }

    /// Changes what is given of the account: whether it has the all-versions change feed, and whether several regions take writes.
    pub(crate) fn set_account(
        &self,
        all_versions: Option<bool>,
        multiple_write_locations: Option<bool>,
    ) -> Result<(), JournalError> {
        let all_versions = all_versions.unwrap_or_else(|| self.all_versions.load(Ordering::Relaxed));
        let multiple_write_locations =
            multiple_write_locations.unwrap_or_else(|| self.multiple_write_locations.load(Ordering::Relaxed));
        self.keep(&Record::Account { all_versions, multiple_write_locations })?;
        self.put_account(all_versions, multiple_write_locations);
        Ok(())
    }

    fn put_account(&self, all_versions: bool, multiple_write_locations: bool) {
        self.all_versions.store(all_versions, Ordering::Relaxed);
        self.multiple_write_locations.store(multiple_write_locations, Ordering::Relaxed);
    }

    /// Sets how far the service's clock is from the host's, in milliseconds.
    pub(crate) fn set_clock(&self, offset_ms: i64) -> Result<(), JournalError> {
        self.keep(&Record::Clock { offset_ms })?;
        self.clock.set_offset_ms(offset_ms);
        Ok(())
    }

    fn refuse(&self, error: &CosmosError) -> Response<Bytes> {
        Reply::refusal(error).finish(self.clock.now(), &self.new_activity())
    }

    fn new_activity(&self) -> String {
        let number = self.activities.fetch_add(1, Ordering::Relaxed) + 1;
        format!("00000000-0000-4000-8000-{number:012x}")
    }

    fn dispatch(&self, call: &Call<'_>) -> Result<Reply, CosmosError> {
        let path = Path::parse(call.parts.uri.path())?;
        self.key.verify(call.parts, &path)?;
        let queried = headers::is_query(call.parts);
        match (path.target(), &call.parts.method) {
            (Target::Account, &Method::GET) => Ok(account::read(call)),
            (Target::Databases, &Method::GET) => database::list(call),
            (Target::Databases, &Method::POST) if queried => database::query(call),
            (Target::Databases, &Method::POST) => database::create(call),
            (Target::Database(database), &Method::GET) => database::read(call, database),
            (Target::Database(database), &Method::DELETE) => database::delete(call, database),
            (Target::Containers(database), &Method::GET) => container::list(call, database),
            (Target::Containers(database), &Method::POST) if queried => container::query(call, database),
            (Target::Containers(database), &Method::POST) => container::create(call, database),
            (Target::Container(database, name), &Method::GET) => container::read(call, database, name),
            (Target::Container(database, name), &Method::PUT) => container::replace(call, database, name),
            (Target::Container(database, name), &Method::DELETE) => container::delete(call, database, name),
            (Target::Ranges(database, name), &Method::GET) => ranges::list(call, database, name),
            (Target::Items(database, name), _) => self.dispatch_items(call, database, name),
            (Target::Item(database, name, id), _) => self.dispatch_item(call, database, name, id),
            (Target::Unsupported(kind), _) => Err(CosmosError::not_implemented(format!("Resource {kind:?}"))),
            (_, method) => Err(CosmosError::not_implemented(format!("Method {method} on {}", call.parts.uri.path()))),
        }
    }

    fn dispatch_items(&self, call: &Call<'_>, database: &str, name: &str) -> Result<Reply, CosmosError> {
        let container = self.store.container(database, name)?;
        container.check_intended(call.parts)?;
        match &call.parts.method {
            &Method::GET if headers::text(call.parts, headers::A_IM).is_some() => feed::read(call, &container),
            &Method::GET => query::read_all(call, &container),
            &Method::POST if headers::is_query_plan(call.parts) => query::plan(call),
            &Method::POST if headers::is_query(call.parts) => query::run(call, &container),
            &Method::POST if headers::flag(call.parts, "x-ms-cosmos-is-batch-request") => batch::run(call, &container),
            &Method::POST => item::create(call, &container),
            method => Err(CosmosError::not_implemented(format!("Method {method} on the items of a container"))),
        }
    }

    fn dispatch_item(&self, call: &Call<'_>, database: &str, name: &str, id: &str) -> Result<Reply, CosmosError> {
        let container = self.store.container(database, name)?;
        container.check_intended(call.parts)?;
        match call.parts.method {
            Method::GET => item::read(call, &container, id),
            Method::PUT => item::replace(call, &container, id),
            Method::DELETE => item::delete(call, &container, id),
            Method::PATCH => item::patch::run(call, &container, id),
            ref method => Err(CosmosError::not_implemented(format!("Method {method} on an item"))),
        }
    }
}

/// The container's name in a request's path, for fault rules.
pub(crate) fn container_of(parts: &Parts) -> Option<String> {
    Path::parse(parts.uri.path()).ok()?.target().container().map(str::to_owned)
}

#[cfg(test)]
mod model_tests;
