//! The account's databases and containers.
//!
//! Resource ids are never used twice: database numbers start at the time the emulator started, so that a client with
//! tokens of an earlier run meets other ids, and container numbers grow for the life of their database.

mod container;

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::sync::{Arc, OnceLock, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use jiff::Timestamp;
use serde_json::{Map, Value, json};

use super::errors::CosmosError;
use super::ids;
use super::journal::Record;
use super::state::{ContainerNumbers, Etags};
use crate::journal::{Journal, JournalError};

pub(crate) use container::{Container, name_in};

/// All databases of the account.
pub(crate) struct Store {
    databases: RwLock<Databases>,
    pub(crate) etags: Etags,
    journal: OnceLock<Arc<Journal>>,
}

struct Databases {
    by_name: BTreeMap<String, Database>,
    next_number: u32,
}

struct Database {
    number: u32,
    next_container: u32,
    etag: String,
    ts: i64,
    containers: BTreeMap<String, Arc<Container>>,
}

impl Store {
    /// An account without databases.
    pub(crate) fn new(now: Timestamp) -> Self {
        let next_number = u32::try_from(now.as_second()).unwrap_or(1);
        let databases = Databases { by_name: BTreeMap::new(), next_number };
        Self { databases: RwLock::new(databases), etags: Etags::default(), journal: OnceLock::new() }
    }

    /// Creates a database and gives its description.
    pub(crate) fn create_database(&self, name: &str, now: Timestamp) -> Result<Value, CosmosError> {
        let mut databases = self.write();
        if databases.by_name.contains_key(name) {
            return Err(CosmosError::conflict(name));
        }
        let (number, etag, ts) = (databases.next_number, self.etags.next(now), now.as_second());
        self.keep(&Record::Database { name: name.into(), number, etag: Cow::Borrowed(&etag), ts })?;
        Ok(databases.insert(name, number, etag, ts).describe(name))
    }

    /// The description of a database, by name or resource id.
    pub(crate) fn database(&self, name: &str) -> Result<Value, CosmosError> {
        let databases = self.read();
        let (name, database) = databases.find(name).ok_or_else(|| CosmosError::not_found(name))?;
        Ok(database.describe(name))
    }

    /// The descriptions of all databases.
    pub(crate) fn databases(&self) -> Vec<Value> {
        self.read().by_name.iter().map(|(name, database)| database.describe(name)).collect()
    }

    /// Deletes a database with its containers.
    pub(crate) fn delete_database(&self, name: &str) -> Result<(), CosmosError> {
        let mut databases = self.write();
        let name = databases.find(name).map(|(name, _)| name.to_owned()).ok_or_else(|| CosmosError::not_found(name))?;
        self.keep(&Record::DatabaseGone { name: Cow::Borrowed(&name) })?;
        databases.by_name.remove(&name);
        Ok(())
    }

    /// Creates a container from its description, with so many ranges.
    pub(crate) fn create_container(
        &self,
        database: &str,
        given: Map<String, Value>,
        ranges: u32,
        now: Timestamp,
    ) -> Result<Arc<Container>, CosmosError> {
        let mut databases = self.write();
        let owner = databases.find(database).map(|(name, found)| (name.to_owned(), found.number, found.next_container));
        let Some((database, number, next)) = owner else {
            // What is wrong with the description is told first, as the service does.
            name_in(&given)?;
            return Err(CosmosError::owner_not_found(database));
        };
        let numbers = ContainerNumbers { database: number, container: next };
        let container = Container::new(&database, numbers, given, ranges, (self.etags.next(now), now.as_second()))?;
        let taken =
            databases.by_name.get(&database).is_some_and(|found| found.containers.contains_key(&container.name));
        if taken {
            return Err(CosmosError::conflict(&container.name));
        }
        self.keep(&container.record(ranges))?;
        if let Some(journal) = self.journal.get() {
            container.attach(journal);
        }
        let container = Arc::new(container);
        databases.insert_container(Arc::clone(&container));
        Ok(container)
    }

    /// A container, by names or resource ids, as the owner of what the request is about.
    pub(crate) fn container(&self, database: &str, name: &str) -> Result<Arc<Container>, CosmosError> {
        let databases = self.read();
        databases
            .find(database)
            .and_then(|(_, database)| database.find(name))
            .cloned()
            .ok_or_else(|| CosmosError::owner_not_found(&format!("dbs/{database}/colls/{name}")))
    }

    /// A container, by names or resource ids, as the request's own resource.
    pub(crate) fn addressed_container(&self, database: &str, name: &str) -> Result<Arc<Container>, CosmosError> {
        let databases = self.read();
        let (_, found) = databases.find(database).ok_or_else(|| CosmosError::owner_not_found(database))?;
        found.find(name).cloned().ok_or_else(|| CosmosError::not_found(name))
    }

    /// All containers of a database, with the database's resource id.
    pub(crate) fn containers(&self, database: &str) -> Result<(String, Vec<Arc<Container>>), CosmosError> {
        let databases = self.read();
        let (_, found) = databases.find(database).ok_or_else(|| CosmosError::owner_not_found(database))?;
        Ok((ids::database_rid(found.number), found.containers.values().cloned().collect()))
    }

    /// Deletes a container with its items.
    pub(crate) fn delete_container(&self, database: &str, name: &str) -> Result<(), CosmosError> {
        let container = self.addressed_container(database, name)?;
        let mut databases = self.write();
        self.keep(&Record::ContainerGone { number: container.numbers })?;
        databases.remove_container(container.numbers);
        Ok(())
    }

    /// A container by its numbers.
    pub(crate) fn numbered(&self, numbers: ContainerNumbers) -> Option<Arc<Container>> {
        let databases = self.read();
        let containers = databases.by_name.values().flat_map(|database| database.containers.values());
        containers.into_iter().find(|container| container.numbers == numbers).cloned()
    }

    /// Does again what a record says of databases and containers; other records are none of the store's.
    pub(crate) fn take_back(&self, record: Record<'_>) -> Result<(), CosmosError> {
        if let Some(etag) = record.etag() {
            self.etags.skip(etag);
        }
        let mut databases = self.write();
        match record {
            Record::Database { name, number, etag, ts } => {
                databases.insert(&name, number, etag.into_owned(), ts);
            }
            Record::DatabaseGone { name } => {
                databases.by_name.remove(name.as_ref());
            }
            Record::Container { number, ranges, description, etag, ts } => {
                let Some(database) = databases.named(number.database) else { return Ok(()) };
                let made = Container::new(&database, number, description, ranges, (etag.into_owned(), ts))?;
                databases.insert_container(Arc::new(made));
            }
            Record::ContainerReplaced { number, description, etag, ts } => {
                drop(databases);
                if let Some(container) = self.numbered(number) {
                    container.take_back(description, etag.into_owned(), ts)?;
                }
            }
            Record::ContainerGone { number } => databases.remove_container(number),
            _ => {}
        }
        Ok(())
    }

    /// Writes what is committed from now on to a journal.
    pub(crate) fn attach(&self, journal: &Arc<Journal>) {
        let databases = self.write();
        let containers = databases.by_name.values().flat_map(|database| database.containers.values());
        containers.into_iter().for_each(|container| container.attach(journal));
        self.journal.get_or_init(|| Arc::clone(journal));
    }

    fn keep(&self, record: &Record<'_>) -> Result<(), JournalError> {
        self.journal.get().map_or(Ok(()), |journal| journal.append(record, &[]))
    }

    fn read(&self) -> RwLockReadGuard<'_, Databases> {
        self.databases.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self) -> RwLockWriteGuard<'_, Databases> {
        self.databases.write().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Databases {
    fn insert(&mut self, name: &str, number: u32, etag: String, ts: i64) -> &Database {
        self.next_number = self.next_number.max(number + 1);
        let database = Database { number, next_container: 1, etag, ts, containers: BTreeMap::new() };
        self.by_name.entry(name.to_owned()).or_insert(database)
    }

    fn insert_container(&mut self, container: Arc<Container>) {
        if let Some(owner) = self.by_name.get_mut(&container.database) {
            owner.next_container = owner.next_container.max(container.numbers.container + 1);
            owner.containers.insert(container.name.clone(), container);
        }
    }

    fn remove_container(&mut self, numbers: ContainerNumbers) {
        for database in self.by_name.values_mut() {
            database.containers.retain(|_, container| container.numbers != numbers);
        }
    }

    /// The name of the database with a number.
    fn named(&self, number: u32) -> Option<String> {
        self.by_name.iter().find(|(_, database)| database.number == number).map(|(name, _)| name.clone())
    }

    fn find(&self, name: &str) -> Option<(&str, &Database)> {
        let by_rid = || self.by_name.iter().find(|(_, database)| ids::database_rid(database.number) == name);
        self.by_name.get_key_value(name).or_else(by_rid).map(|(name, database)| (name.as_str(), database))
    }
}

impl Database {
    fn find(&self, name: &str) -> Option<&Arc<Container>> {
        let by_rid = || self.containers.values().find(|container| container.numbers.rid() == name);
        self.containers.get(name).or_else(by_rid)
    }

    fn describe(&self, name: &str) -> Value {
        let rid = ids::database_rid(self.number);
        json!({
            "id": name, "_rid": rid, "_self": format!("dbs/{rid}/"), "_etag": self.etag, "_ts": self.ts,
            "_colls": "colls/", "_users": "users/",
        })
    }
}
