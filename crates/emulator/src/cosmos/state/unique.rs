//! Unique keys: combinations of values that only one item of a partition key value may have.
//!
//! What is not there counts as null, so that one item at most lacks a unique value; see "Unique key constraints in Azure
//! Cosmos DB". Writes look at all items of their key, which only containers with such a policy pay for.

use std::collections::HashMap;
use std::sync::Arc;

use serde_json::{Map, Value};

use crate::cosmos::change::Change;
use crate::cosmos::errors::CosmosError;
use crate::cosmos::json;
use crate::cosmos::keys::{Component, Key, Scope, property_names};
use crate::cosmos::partition::Partition;

/// Paths as the property names that they consist of.
type Paths = Vec<Vec<String>>;

/// The unique keys of a container.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct UniqueKeys(Vec<Paths>);

impl UniqueKeys {
    /// Reads the `uniqueKeyPolicy` of a container's description; without one there are none.
    pub(crate) fn from_description(description: &Map<String, Value>) -> Result<Self, CosmosError> {
        let invalid = || {
            CosmosError::bad_request(
                "The uniqueKeyPolicy is not like {\"uniqueKeys\":[{\"paths\":[\"/name\",\"/outer/inner\"]}]}.",
            )
        };
        let paths_of = |key: &Value| -> Option<Paths> {
            key.get("paths")?.as_array()?.iter().map(|path| property_names(path.as_str()?)).collect()
        };
        match description.get("uniqueKeyPolicy") {
            None | Some(Value::Null) => Ok(Self::default()),
            Some(policy) => {
                let keys = policy.get("uniqueKeys").and_then(Value::as_array).ok_or_else(invalid)?;
                keys.iter().map(paths_of).collect::<Option<_>>().map(Self).ok_or_else(invalid)
            }
        }
    }

    /// Refuses a version (409) whose values another item of its key has, as the transaction's writes so far leave the key.
    pub(super) fn check(
        &self,
        version: &Change,
        key: &Key,
        partition: &Partition,
        touched: &HashMap<String, Option<Arc<Change>>>,
    ) -> Result<(), CosmosError> {
        if self.0.is_empty() {
            return Ok(());
        }
        let scope = Scope::Point(key.epk.clone());
        let untouched = partition
            .live_in(&scope)
            .filter(|other| other.key == key.text && !touched.contains_key(&*other.id))
            .chain(touched.values().flatten());
        let mut others = untouched.filter(|other| other.id != version.id);
        let values = self.values(version.text());
        match others.find(|other| self.values(other.text()).iter().zip(&values).any(|(one, two)| one == two)) {
            Some(_) => Err(CosmosError::unique_values_taken(&version.id)),
            None => Ok(()),
        }
    }

    /// The values of each key in a document, as text.
    fn values(&self, document: &str) -> Vec<String> {
        let value = |path: &Vec<String>| {
            let found = path.iter().try_fold(document, |value, name| json::member(value, name));
            match found.map(|text| (text, Component::from_json(text))) {
                None => Component::Null.to_json(),
                // No scalar: its text must do.
                Some((text, Component::Undefined)) => text.to_owned(),
                Some((_, scalar)) => scalar.to_json(),
            }
        };
        self.0.iter().map(|paths| paths.iter().map(value).collect::<Vec<_>>().join(",")).collect()
    }
}
