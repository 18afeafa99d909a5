//! Partition key values with their JSON types, and where a document holds them.
//!
//! Source of the rules: the Azure Cosmos DB REST reference, "Create a Document" (`x-ms-documentdb-partitionkey`), where
//! `[{}]` stands for a key that the document does not define.

use std::fmt;

use serde_json::Value;
use serde_json::value::RawValue;

use crate::json_scan::for_each_member;

/// One component of a partition key.
#[derive(Debug, Clone, PartialEq)]
pub enum KeyValue {
    /// A string, possibly empty.
    String(String),
    /// A finite IEEE-754 double; the service compares keys by this value, so `1` and `1.0` are one key.
    Number(f64),
    /// `true` or `false`.
    Bool(bool),
    /// JSON `null`.
    Null,
    /// The document has no such property.
    Undefined,
}

impl KeyValue {
    /// Reads one JSON value; an empty object means undefined, as it does in the request header.
    pub fn from_json(value: &Value) -> Option<Self> {
        Some(match value {
            Value::String(s) => Self::String(s.clone()),
            Value::Number(n) => Self::Number(n.as_f64().filter(|n| n.is_finite())?),
            Value::Bool(b) => Self::Bool(*b),
            Value::Null => Self::Null,
            Value::Object(members) if members.is_empty() => Self::Undefined,
            Value::Object(_) | Value::Array(_) => return None,
        })
    }

    /// The value as JSON; undefined becomes an empty object.
    pub fn to_json(&self) -> Value {
        match self {
            Self::String(s) => Value::String(s.clone()),
            Self::Number(n) => number_json(*n),
            Self::Bool(b) => Value::Bool(*b),
            Self::Null => Value::Null,
            Self::Undefined => Value::Object(serde_json::Map::new()),
        }
    }
}

/// The shortest decimal text that reads back as the same double: without an exponent from 1e-7 up to 1e21, with one (and no
/// plus sign) beyond. It is part of names that are kept for ever, so it depends on nothing but the language's own formatting.
pub(crate) fn number_text(n: f64) -> String {
    // Adding zero turns -0 into 0: the service holds them for one key.
    let n = n + 0.0;
    if n == 0.0 || (1e-7..1e21).contains(&n.abs()) { format!("{n}") } else { format!("{n:e}") }
}

fn number_json(n: f64) -> Value {
    const EXACT_INTEGERS_BELOW: f64 = 9_007_199_254_740_992.0;
    if n.fract() == 0.0 && n.abs() < EXACT_INTEGERS_BELOW {
        // Adding zero turns -0 into 0: the service holds them for one key.
        #[expect(clippy::cast_possible_truncation, reason = "the bound above keeps it exact")]
        return Value::from((n + 0.0) as i64);
    }
    serde_json::Number::from_f64(n).map_or(Value::Null, Value::Number)
}

/// A whole partition key: one component, or up to three for a hierarchical key.
#[derive(Debug, Clone, PartialEq)]
pub struct PartitionKey(pub Vec<KeyValue>);

impl PartitionKey {
    /// Reads a JSON array of components, or a single value that stands for one component.
    pub fn from_json(value: &Value) -> Option<Self> {
        let values = match value {
            Value::Array(values) => values.iter().map(KeyValue::from_json).collect::<Option<_>>()?,
            single => vec![KeyValue::from_json(single)?],
        };
        Some(Self(values))
    }

    /// The canonical JSON array: the request header's form, and the form kept in metadata.
    pub fn to_json(&self) -> Value {
        Value::Array(self.0.iter().map(KeyValue::to_json).collect())
    }
}

impl fmt::Display for PartitionKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.to_json())
    }
}

/// Where a container's documents hold their partition key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeyDefinition {
    paths: Vec<Vec<String>>,
}

impl KeyDefinition {
    /// Parses the paths of a container's `partitionKey.paths`, such as `/tenant` or `/a/"b c"`.
    pub fn new<S: AsRef<str>>(paths: impl IntoIterator<Item = S>) -> Self {
        Self { paths: paths.into_iter().map(|p| segments(p.as_ref())).collect() }
    }

    /// How many components a whole key has.
    pub fn levels(&self) -> usize {
        self.paths.len()
    }

    /// The paths of the components, each as the names of properties from the outermost.
    pub fn paths(&self) -> &[Vec<String>] {
        &self.paths
    }

    /// The key of a document, read from its text. A value that is no scalar counts as undefined, as in the service.
    pub fn of_document(&self, document: &str) -> Result<PartitionKey, serde_json::Error> {
        self.paths.iter().map(|path| value_at(document, path)).collect::<Result<_, _>>().map(PartitionKey)
    }

    /// The key of a delete, which carries it as an array, or as an object by path, nested path or last segment.
    pub fn of_delete(&self, key: &Value) -> Option<PartitionKey> {
        let Value::Object(members) = key else {
            return PartitionKey::from_json(key).filter(|k| k.0.len() == self.levels());
        };
        let component = |path: &Vec<String>| {
            let nested = path.iter().try_fold(key, |at, segment| at.get(segment));
            let flat = || members.get(&path.join("/")).or_else(|| members.get(path.last()?));
            match nested.or_else(flat) {
                Some(value) => KeyValue::from_json(value),
                None => Some(KeyValue::Undefined),
            }
        };
        self.paths.iter().map(component).collect::<Option<_>>().map(PartitionKey)
    }
}

fn segments(path: &str) -> Vec<String> {
    let mut segments = Vec::new();
    let mut rest = path.strip_prefix('/').unwrap_or(path);
    loop {
        if let Some((segment, tail)) = rest.strip_prefix('"').and_then(|quoted| quoted.split_once('"')) {
            segments.push(segment.to_owned());
            match tail.strip_prefix('/') {
                Some(next) => rest = next,
                None => return segments,
            }
        } else if let Some((segment, tail)) = rest.split_once('/') {
            segments.push(segment.to_owned());
            rest = tail;
        } else {
            segments.push(rest.to_owned());
            return segments;
        }
    }
}

fn value_at(document: &str, path: &[String]) -> Result<KeyValue, serde_json::Error> {
    let mut at = document;
    for segment in path {
        if !at.trim_start().starts_with('{') {
            return Ok(KeyValue::Undefined);
        }
        let mut found: Option<&RawValue> = None;
        for_each_member(at, |name, value| {
            if name == segment.as_bytes() {
                found = Some(value);
            }
        })?;
        match found {
            Some(value) => at = value.get(),
            None => return Ok(KeyValue::Undefined),
        }
    }
    if at.starts_with(['{', '[']) {
        return Ok(KeyValue::Undefined);
    }
    let value: Value = serde_json::from_str(at)?;
    Ok(KeyValue::from_json(&value).unwrap_or(KeyValue::Undefined))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn every_type_survives_its_json() {
        let json = json!(["a", 1.5, true, null, {}]);
        assert_eq!(PartitionKey::from_json(&json).unwrap().to_json(), json);
    }

    #[test]
    fn numbers_that_are_one_key_to_the_service_have_one_text() {
        assert_eq!(number_text(1.0), "1");
        assert_eq!(number_text(-0.0), "0");
        assert_eq!(number_text(0.1), "0.1");
        assert_eq!(number_text(-12.5), "-12.5");
        assert_eq!(number_text(123_456_789_012_345_680_000.0), "123456789012345680000");
        assert_eq!(number_text(1e300), "1e300");
        assert_eq!(number_text(2.5e-9), "2.5e-9");
    }

    #[test]
    fn a_key_is_found_at_nested_and_quoted_paths() {
        let definition = KeyDefinition::new(["/a/b", "/\"x/y\"", "/missing"]);
        let key = definition.of_document(r#"{"a":{"b":7},"x/y":"q"}"#).unwrap();
        assert_eq!(key.to_json(), json!([7, "q", {}]));
    }

    #[test]
    fn the_last_of_repeated_properties_counts() {
        let key = KeyDefinition::new(["/p"]).of_document(r#"{"p":1,"p":2}"#).unwrap();
        assert_eq!(key.to_json(), json!([2]));
    }

    #[test]
    fn a_delete_gives_its_key_as_array_or_object() {
        let definition = KeyDefinition::new(["/t", "/u/v"]);
        for form in
            [json!(["a", 2]), json!({"t": "a", "u": {"v": 2}}), json!({"t": "a", "v": 2}), json!({"t": "a", "u/v": 2})]
        {
            assert_eq!(definition.of_delete(&form).unwrap().to_json(), json!(["a", 2]), "{form}");
        }
        assert!(definition.of_delete(&json!(["a"])).is_none());
    }
}
