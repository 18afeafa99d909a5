//! The account's databases and containers.
//!
//! Resource ids are never used twice: database numbers start at the time the emulator started, so that a client with
//! tokens of an earlier run meets other ids, and container numbers grow for the life of their database.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use http::request::Parts;
use jiff::Timestamp;
use serde_json::{Map, Value, json};

use super::errors::CosmosError;
use super::headers;
use super::ids;
use super::keys::KeyDefinition;
use super::state::{ContainerNumbers, Etags, State};

/// All databases of the account.
pub(crate) struct Store {
    databases: RwLock<Databases>,
    pub(crate) etags: Etags,
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

/// A container: its description and, behind a lock, its contents.
pub(crate) struct Container {
    pub(crate) database: String,
    pub(crate) name: String,
    pub(crate) numbers: ContainerNumbers,
    pub(crate) definition: Arc<KeyDefinition>,
    properties: Mutex<Properties>,
    state: Mutex<State>,
}

/// A container's description, as the client gave it and completed.
struct Properties {
    given: Map<String, Value>,
    etag: String,
    ts: i64,
}

impl Store {
    /// An account without databases.
    pub(crate) fn new(now: Timestamp) -> Self {
        let next_number = u32::try_from(now.as_second()).unwrap_or(1);
        let databases = Databases { by_name: BTreeMap::new(), next_number };
        Self { databases: RwLock::new(databases), etags: Etags::default() }
    }

    /// Creates a database and gives its description.
    pub(crate) fn create_database(&self, name: &str, now: Timestamp) -> Result<Value, CosmosError> {
        let mut databases = self.write();
        if databases.by_name.contains_key(name) {
            return Err(CosmosError::conflict(name));
        }
        let number = databases.next_number;
        databases.next_number += 1;
        let database = Database {
            number,
            next_container: 1,
            etag: self.etags.next(now),
            ts: now.as_second(),
            containers: BTreeMap::new(),
        };
        let description = database.describe(name);
        databases.by_name.insert(name.to_owned(), database);
        Ok(description)
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
        databases.by_name.remove(&name);
        Ok(())
    }

    /// Creates a container from its description, with so many ranges.
    pub(crate) fn create_container(
        &self,
        database: &str,
        mut given: Map<String, Value>,
        ranges: u32,
        now: Timestamp,
    ) -> Result<Arc<Container>, CosmosError> {
        let name = name_in(&given)?;
        let definition = given
            .get_mut("partitionKey")
            .ok_or_else(|| CosmosError::bad_request("The required property 'partitionKey' is missing."))
            .and_then(KeyDefinition::from_properties)
            .map(Arc::new)?;
        let default_ttl = default_ttl(&given)?;
        complete(&mut given);
        let mut databases = self.write();
        let owner = databases.find(database).map(|(name, _)| name.to_owned());
        let Some((database, entry)) =
            owner.and_then(|name| databases.by_name.get_mut(&name).map(|entry| (name, entry)))
        else {
            return Err(CosmosError::owner_not_found(database));
        };
        if entry.containers.contains_key(&name) {
            return Err(CosmosError::conflict(&name));
        }
        let numbers = ContainerNumbers { database: entry.number, container: entry.next_container };
        entry.next_container += 1;
        let properties = Properties { given, etag: self.etags.next(now), ts: now.as_second() };
        let container = Arc::new(Container {
            database,
            name: name.clone(),
            numbers,
            definition: Arc::clone(&definition),
            properties: Mutex::new(properties),
            state: Mutex::new(State::new(numbers, definition, default_ttl, ranges)),
        });
        entry.containers.insert(name, Arc::clone(&container));
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
        if let Some(owner) = databases.by_name.get_mut(&container.database) {
            owner.containers.remove(&container.name);
        }
        Ok(())
    }

    fn read(&self) -> RwLockReadGuard<'_, Databases> {
        self.databases.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self) -> RwLockWriteGuard<'_, Databases> {
        self.databases.write().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Databases {
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

impl Container {
    /// The contents, locked.
    pub(crate) fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The contents, locked, after whatever has expired is removed.
    pub(crate) fn current(&self, now: Timestamp) -> MutexGuard<'_, State> {
        let mut state = self.state();
        state.expire(now);
        state
    }

    /// When the description last changed, in seconds since 1970.
    pub(crate) fn ts(&self) -> i64 {
        self.properties().ts
    }

    /// The whole description.
    pub(crate) fn describe(&self) -> Value {
        let properties = self.properties();
        let mut object = properties.given.clone();
        let system = [
            ("_rid", json!(self.numbers.rid())),
            ("_self", json!(self.numbers.self_link())),
            ("_etag", json!(properties.etag)),
            ("_ts", json!(properties.ts)),
            ("_docs", json!("docs/")),
            ("_sprocs", json!("sprocs/")),
            ("_triggers", json!("triggers/")),
            ("_udfs", json!("udfs/")),
            ("_conflicts", json!("conflicts/")),
        ];
        object.extend(system.map(|(name, value)| (name.to_owned(), value)));
        Value::Object(object)
    }

    /// Replaces the description; the name and the partition key cannot change.
    pub(crate) fn replace(
        &self,
        mut given: Map<String, Value>,
        if_match: Option<&str>,
        etag: String,
        now: Timestamp,
    ) -> Result<(), CosmosError> {
        if name_in(&given)? != self.name {
            return Err(CosmosError::bad_request("A container's id cannot change."));
        }
        let mut state = self.state();
        let definition = given
            .get_mut("partitionKey")
            .ok_or_else(|| CosmosError::bad_request("The required property 'partitionKey' is missing."))
            .and_then(KeyDefinition::from_properties)?;
        if definition != *self.definition {
            return Err(CosmosError::bad_request("A container's partition key cannot change."));
        }
        let default_ttl = default_ttl(&given)?;
        complete(&mut given);
        let mut properties = self.properties();
        if if_match.is_some_and(|expected| expected != "*" && expected != properties.etag) {
            return Err(CosmosError::precondition());
        }
        *properties = Properties { given, etag, ts: now.as_second() };
        state.expire(now);
        state.set_default_ttl(default_ttl);
        Ok(())
    }

    /// Refuses a client whose idea of the container is of one that was deleted (400/1024).
    pub(crate) fn check_intended(&self, parts: &Parts) -> Result<(), CosmosError> {
        match headers::text(parts, headers::INTENDED_RID) {
            Some(intended) if intended != self.numbers.rid() => Err(CosmosError::stale_container(intended)),
            _ => Ok(()),
        }
    }

    fn properties(&self) -> MutexGuard<'_, Properties> {
        self.properties.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The `id` of a description; names cannot hold the characters that take paths apart.
pub(crate) fn name_in(given: &Map<String, Value>) -> Result<String, CosmosError> {
    match given.get("id").and_then(Value::as_str) {
        Some(name) if !name.is_empty() && name.len() <= 255 && !name.contains(['/', '\\', '?', '#']) => {
            Ok(name.to_owned())
        }
        Some(name) => {
            Err(CosmosError::bad_request(format!("The id {name:?} is empty, too long, or holds one of / \\ ? #.")))
        }
        None => Err(CosmosError::bad_request("The required property 'id' is missing or not a string.")),
    }
}

fn default_ttl(given: &Map<String, Value>) -> Result<Option<i64>, CosmosError> {
    match given.get("defaultTtl") {
        None | Some(Value::Null) => Ok(None),
        Some(ttl) => match ttl.as_i64() {
            Some(seconds) if seconds == -1 || seconds > 0 => Ok(Some(seconds)),
            _ => Err(CosmosError::bad_request("defaultTtl must be -1 or a positive number of seconds.")),
        },
    }
}

/// Adds what the service adds to a description, and drops its own properties from one that was read before.
fn complete(given: &mut Map<String, Value>) {
    given.retain(|name, _| !name.starts_with('_'));
    given.entry("indexingPolicy").or_insert_with(|| {
        json!({
            "indexingMode": "consistent", "automatic": true,
            "includedPaths": [{"path": "/*"}], "excludedPaths": [{"path": "/\"_etag\"/?"}],
        })
    });
    given.entry("conflictResolutionPolicy").or_insert_with(
        || json!({"mode": "LastWriterWins", "conflictResolutionPath": "/_ts", "conflictResolutionProcedure": ""}),
    );
    given.entry("geospatialConfig").or_insert_with(|| json!({"type": "Geography"}));
}
