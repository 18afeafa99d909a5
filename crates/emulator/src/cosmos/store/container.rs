//! A container: its description and, behind a lock, its contents.

use std::borrow::Cow;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use http::request::Parts;
use jiff::Timestamp;
use serde_json::{Map, Value, json};

use super::super::errors::CosmosError;
use super::super::headers;
use super::super::journal::Record;
use super::super::keys::KeyDefinition;
use super::super::state::{ContainerNumbers, State, UniqueKeys, Usage};
use crate::journal::Journal;

/// A container: its description and, behind a lock, its contents.
pub(crate) struct Container {
    pub(crate) database: String,
    pub(crate) name: String,
    pub(crate) numbers: ContainerNumbers,
    pub(crate) definition: Arc<KeyDefinition>,
    pub(crate) usage: Arc<Usage>,
    unique: UniqueKeys,
    properties: Mutex<Properties>,
    state: Mutex<State>,
}

/// A container's description, as the client gave it and completed.
struct Properties {
    given: Map<String, Value>,
    etag: String,
    ts: i64,
}

impl Container {
    /// An empty container from its description, with so many ranges.
    pub(super) fn new(
        database: &str,
        numbers: ContainerNumbers,
        mut given: Map<String, Value>,
        ranges: u32,
        (etag, ts): (String, i64),
    ) -> Result<Self, CosmosError> {
        let name = name_in(&given)?;
        let definition = Arc::new(definition_in(&mut given)?);
        let default_ttl = default_ttl(&given)?;
        let unique = UniqueKeys::from_description(&given)?;
        complete(&mut given);
        let state = State::new(numbers, Arc::clone(&definition), default_ttl, unique.clone(), ranges);
        Ok(Self {
            database: database.to_owned(),
            name,
            numbers,
            definition,
            usage: state.usage(),
            unique,
            properties: Mutex::new(Properties { given, etag, ts }),
            state: Mutex::new(state),
        })
    }

    /// The record of the container as it is.
    pub(super) fn record(&self, ranges: u32) -> Record<'static> {
        let properties = self.properties();
        let (description, etag) = (properties.given.clone(), Cow::Owned(properties.etag.clone()));
        Record::Container { number: self.numbers, ranges, description, etag, ts: properties.ts }
    }

    /// Writes what is committed from now on to a journal.
    pub(super) fn attach(&self, journal: &Arc<Journal>) {
        self.state().attach(journal);
    }

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
        let definition = definition_in(&mut given)?;
        if definition != *self.definition {
            return Err(CosmosError::bad_request("A container's partition key cannot change."));
        }
        if UniqueKeys::from_description(&given)? != self.unique {
            return Err(CosmosError::bad_request("A container's unique keys cannot change."));
        }
        let default_ttl = default_ttl(&given)?;
        complete(&mut given);
        let mut properties = self.properties();
        if if_match.is_some_and(|expected| expected != "*" && expected != properties.etag) {
            return Err(CosmosError::precondition());
        }
        state.expire(now);
        state.keep(
            &Record::ContainerReplaced {
                number: self.numbers,
                description: given.clone(),
                etag: Cow::Borrowed(&etag),
                ts: now.as_second(),
            },
            &[],
        )?;
        *properties = Properties { given, etag, ts: now.as_second() };
        state.set_default_ttl(default_ttl);
        Ok(())
    }

    /// Takes back a description that was in force once.
    pub(super) fn take_back(&self, given: Map<String, Value>, etag: String, ts: i64) -> Result<(), CosmosError> {
        self.state().set_default_ttl(default_ttl(&given)?);
        *self.properties() = Properties { given, etag, ts };
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

fn definition_in(given: &mut Map<String, Value>) -> Result<KeyDefinition, CosmosError> {
    given
        .get_mut("partitionKey")
        .ok_or_else(|| CosmosError::bad_request("The required property 'partitionKey' is missing."))
        .and_then(KeyDefinition::from_properties)
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
