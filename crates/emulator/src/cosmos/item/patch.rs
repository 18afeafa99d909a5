//! Partial updates: `PATCH …/docs/{id}`, and the patches in a batch.
//!
//! All operations of a patch are applied to the document's text or none is; what they do not name keeps its bytes. See
//! "Partial document update in Azure Cosmos DB" of the product's documentation.

mod edit;

use serde::Deserialize;
use serde_json::value::RawValue;

use super::super::Call;
use super::super::errors::CosmosError;
use super::super::headers;
use super::super::json;
use super::super::keys::{Key, KeyDefinition};
use super::super::query;
use super::super::respond::Reply;
use super::super::state::{State, WriteKind};
use super::super::store::Container;
use super::super::system_properties;
use super::{Draft, key_in, position, write_in};

/// The most operations in one patch.
const OPERATIONS_MAX: usize = 10;

/// Properties that no patch can change.
const FIXED: [&str; 6] = ["id", "_rid", "_self", "_etag", "_attachments", "_ts"];

/// A patch, as sent.
#[derive(Deserialize)]
pub(in super::super) struct Patch<'a> {
    #[serde(borrow)]
    operations: Vec<Operation<'a>>,
    /// What must hold of the document, as `FROM c WHERE …`.
    condition: Option<String>,
}

#[derive(Deserialize)]
struct Operation<'a> {
    op: String,
    path: String,
    from: Option<String>,
    #[serde(default, borrow, deserialize_with = "json::present")]
    value: Option<&'a RawValue>,
}

impl<'a> Patch<'a> {
    /// Reads a patch in either of its forms: an object, or its operations alone.
    pub(in super::super) fn parse(body: &'a str) -> Result<Self, CosmosError> {
        let invalid = |error| CosmosError::bad_request(format!("The patch is not valid: {error}."));
        let patch = if body.trim_ascii_start().starts_with('[') {
            Self { operations: serde_json::from_str(body).map_err(invalid)?, condition: None }
        } else {
            serde_json::from_str(body).map_err(invalid)?
        };
        if patch.operations.is_empty() || patch.operations.len() > OPERATIONS_MAX {
            return Err(CosmosError::bad_request(format!("A patch has between 1 and {OPERATIONS_MAX} operations.")));
        }
        Ok(patch)
    }

    /// The document after the patch, without the service's properties; 412 if the condition does not hold.
    pub(in super::super) fn apply(&self, document: &str, definition: &KeyDefinition) -> Result<String, CosmosError> {
        if let Some(condition) = &self.condition
            && !query::holds(condition, document)?
        {
            return Err(CosmosError::precondition());
        }
        let before = system_properties::strip(document);
        let mut text = before.clone();
        for operation in &self.operations {
            text = operation.apply(&text).map_err(|reason| {
                CosmosError::bad_request(format!("The operation {} on {:?}: {reason}.", operation.op, operation.path))
            })?;
        }
        if definition.components_of(&text) != definition.components_of(&before) {
            return Err(CosmosError::bad_request("A patch cannot change the partition key."));
        }
        Draft::parse(text.as_bytes(), definition).map(|draft| draft.text)
    }
}

impl Operation<'_> {
    fn apply(&self, text: &str) -> Result<String, String> {
        let path = segments(&self.path)?;
        let value = || self.value.map(RawValue::get).ok_or_else(|| "it has no value".to_owned());
        match self.op.to_ascii_lowercase().as_str() {
            "add" => edit::add(text, &path, value()?),
            "set" => edit::set(text, &path, value()?),
            "replace" => edit::replace(text, &path, value()?),
            "remove" => edit::remove(text, &path),
            "incr" => edit::increment(text, &path, value()?),
            "move" => {
                let from = segments(self.from.as_deref().ok_or("it has no from")?)?;
                edit::relocate(text, &from, &path)
            }
            _ => Err("there is no such operation".to_owned()),
        }
    }
}

/// The names of a path like `/outer/name/0`, of a property that a patch may change.
fn segments(path: &str) -> Result<Vec<String>, String> {
    let names: Vec<String> = path
        .strip_prefix('/')
        .ok_or("a path starts with a slash")?
        .split('/')
        .map(|name| name.replace("~1", "/").replace("~0", "~"))
        .collect();
    match &names[..] {
        [only] if FIXED.contains(&only.as_str()) => Err(format!("{only} cannot be changed")),
        _ => Ok(names),
    }
}

/// `PATCH …/docs/{id}`.
pub(in super::super) fn run(call: &Call<'_>, container: &Container, id: &str) -> Result<Reply, CosmosError> {
    let body = json::validate(call.body)
        .map_err(|reason| CosmosError::bad_request(format!("The request body is not a patch: {reason}.")))?;
    let patch = Patch::parse(body)?;
    let key = key_in(call.parts, &container.definition, None)?;
    let mut state = container.current(call.now);
    let id = state.id_of(&key, id);
    let version = state.partition_of(&key.epk).get(&key.epk, &key.text, &id).cloned();
    let version = version.ok_or_else(|| CosmosError::not_found(&id).at(position(&state, &key, None)))?;
    // Before the patch is applied: it may well fail on a version that its sender has not seen.
    if headers::text(call.parts, headers::IF_MATCH).is_some_and(|known| known != "*" && *known != *version.etag) {
        return Err(CosmosError::precondition().at(position(&state, &key, None)));
    }
    let patched = patch.apply(version.text(), &container.definition)?;
    // The lock is held from the reading to the writing: no version can come between.
    let (written, position) = write_in(call, &mut state, &key, id, WriteKind::Replace(patched))?;
    drop(state);
    Ok(super::reply(call, container, &written, &position))
}

/// The text of an item's current version.
pub(in super::super) fn current(state: &State, key: &Key, id: &str) -> Option<String> {
    state.partition_of(&key.epk).get(&key.epk, &key.text, id).map(|version| version.text().to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    const DOCUMENT: &str = r#"{"z":1.50,"id":"1","pk":"p","n":7,"o":{"a":[1,2,3],"b":"x"},"_ts":5}"#;

    fn patched(body: &str) -> Result<String, CosmosError> {
        let definition = KeyDefinition::from_properties(&mut serde_json::json!({"paths": ["/pk"]})).unwrap();
        Patch::parse(body)?.apply(DOCUMENT, &definition)
    }

    #[test]
    fn operations_change_what_they_name_and_nothing_else() {
        for (operations, expected) in [
            (
                r#"{"op":"add","path":"/new","value":{"x": 1}}"#,
                r#"{"z":1.50,"id":"1","pk":"p","n":7,"o":{"a":[1,2,3],"b":"x"},"new":{"x": 1}}"#,
            ),
            (
                r#"{"op":"set","path":"/z","value":1.0}"#,
                r#"{"z":1.0,"id":"1","pk":"p","n":7,"o":{"a":[1,2,3],"b":"x"}}"#,
            ),
            (
                r#"{"op":"add","path":"/o/a/1","value":9}"#,
                r#"{"z":1.50,"id":"1","pk":"p","n":7,"o":{"a":[1,9,2,3],"b":"x"}}"#,
            ),
            (
                r#"{"op":"add","path":"/o/a/-","value":9}"#,
                r#"{"z":1.50,"id":"1","pk":"p","n":7,"o":{"a":[1,2,3,9],"b":"x"}}"#,
            ),
            (
                r#"{"op":"set","path":"/o/a/1","value":9}"#,
                r#"{"z":1.50,"id":"1","pk":"p","n":7,"o":{"a":[1,9,3],"b":"x"}}"#,
            ),
            (r#"{"op":"remove","path":"/o/b"}"#, r#"{"z":1.50,"id":"1","pk":"p","n":7,"o":{"a":[1,2,3]}}"#),
            (r#"{"op":"remove","path":"/o/a/0"}"#, r#"{"z":1.50,"id":"1","pk":"p","n":7,"o":{"a":[2,3],"b":"x"}}"#),
            (
                r#"{"op":"incr","path":"/n","value":-10}"#,
                r#"{"z":1.50,"id":"1","pk":"p","n":-3,"o":{"a":[1,2,3],"b":"x"}}"#,
            ),
            (
                r#"{"op":"incr","path":"/z","value":0.25}"#,
                r#"{"z":1.75,"id":"1","pk":"p","n":7,"o":{"a":[1,2,3],"b":"x"}}"#,
            ),
            (
                r#"{"op":"incr","path":"/o/c","value":5}"#,
                r#"{"z":1.50,"id":"1","pk":"p","n":7,"o":{"a":[1,2,3],"b":"x","c":5}}"#,
            ),
            (r#"{"op":"move","from":"/o/b","path":"/n"}"#, r#"{"z":1.50,"id":"1","pk":"p","n":"x","o":{"a":[1,2,3]}}"#),
            (r#"{"op":"replace","path":"/o","value":null}"#, r#"{"z":1.50,"id":"1","pk":"p","n":7,"o":null}"#),
        ] {
            assert_eq!(patched(&format!("[{operations}]")).as_deref(), Ok(expected), "{operations}");
        }
    }

    #[test]
    fn operations_follow_one_another_and_a_condition_is_asked_before() {
        let two = r#"[{"op":"add","path":"/l","value":[]},{"op":"add","path":"/l/0","value":"~"}]"#;
        assert!(patched(two).unwrap().ends_with(r#","l":["~"]}"#));
        let conditional = |condition: &str| patched(&format!(r#"{{"operations":{two},"condition":"{condition}"}}"#));
        assert!(conditional("FROM c WHERE c.n = 7 AND c._ts = 5").is_ok());
        assert_eq!(conditional("from c where c.n > 7"), Err(CosmosError::precondition()));
        assert_eq!(conditional("where c.n > 7").unwrap_err().status, 400);
    }

    #[test]
    fn what_cannot_be_applied_is_refused() {
        for operations in [
            r#"{"op":"replace","path":"/missing","value":1}"#,
            r#"{"op":"remove","path":"/missing"}"#,
            r#"{"op":"remove","path":"/o/a/3"}"#,
            r#"{"op":"add","path":"/o/a/5","value":1}"#,
            r#"{"op":"add","path":"/missing/deeper","value":1}"#,
            r#"{"op":"add","path":"/n/deeper","value":1}"#,
            r#"{"op":"incr","path":"/o/b","value":1}"#,
            r#"{"op":"incr","path":"/n","value":"1"}"#,
            r#"{"op":"move","from":"/o","path":"/o/b"}"#,
            r#"{"op":"move","from":"/missing","path":"/n"}"#,
            r#"{"op":"set","path":"/pk","value":"q"}"#,
            r#"{"op":"remove","path":"/pk"}"#,
            r#"{"op":"set","path":"/id","value":"2"}"#,
            r#"{"op":"set","path":"/_ts","value":2}"#,
            r#"{"op":"set","path":"n","value":2}"#,
            r#"{"op":"set","path":"/n"}"#,
            r#"{"op":"copy","path":"/n","from":"/z"}"#,
        ] {
            assert_eq!(patched(&format!("[{operations}]")).unwrap_err().status, 400, "{operations}");
        }
        let many = [r#"{"op":"incr","path":"/n","value":1}"#; 11].join(",");
        assert!(patched("[]").is_err() && patched(&format!("[{many}]")).is_err());
    }
}
