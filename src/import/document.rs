//! What a document of a plain file must be, by the service's limits. Pure; no reason tells anything of the content.

use cosmirror_formats::feed_page::{ChangeError, SystemProperties, without_system_properties};
use cosmirror_formats::partition_key::KeyValue;
use cosmirror_formats::{KeyDefinition, PartitionKey};
use serde_json::value::RawValue;

use super::Item;

/// Longest id in bytes. Source of this and the others: "Azure Cosmos DB service quotas", per-item limits.
const ID_BYTES_MAX: usize = 1_023;
/// Longest string of a partition key in bytes.
const KEY_BYTES_MAX: usize = 2_048;
/// Longest document in bytes.
const DOCUMENT_BYTES_MAX: usize = 2 << 20;

/// The document that a text is, for a container with this partition key; or why it cannot be written.
pub(super) fn document(text: &str, definition: &KeyDefinition) -> Result<Item, String> {
    let raw: &RawValue = serde_json::from_str(text).map_err(|error| {
        let kind = if error.is_eof() { "it ends too early" } else { "it is not JSON" };
        match error.line() {
            1 => format!("{kind} (column {})", error.column()),
            line => format!("{kind} (its line {line}, column {})", error.column()),
        }
    })?;
    let text = raw.get();
    if !text.starts_with('{') {
        return Err("it is no JSON object".to_owned());
    }
    let properties = SystemProperties::of(text).map_err(|error| match error {
        ChangeError::Field("id") => "its `id` is no string".to_owned(),
        ChangeError::Field(name) => format!("its `{name}` is not what the service writes"),
        error => error.to_string(),
    })?;
    let id = properties.id.ok_or("it has no `id`")?;
    if id.is_empty() || id.len() > ID_BYTES_MAX {
        return Err(format!("its `id` has {} bytes, and the service takes 1 to {ID_BYTES_MAX}", id.len()));
    }
    if id.contains(['/', '\\']) {
        return Err("its `id` has a slash or a backslash, which the service does not take".to_owned());
    }
    let key = definition.of_document(text).map_err(|_| "its partition key cannot be read".to_owned())?;
    require_short(&key)?;
    let text = without_system_properties(text).map_err(|_| "it cannot be read".to_owned())?;
    if text.len() > DOCUMENT_BYTES_MAX {
        return Err(format!("it has {} bytes, and the service takes {DOCUMENT_BYTES_MAX}", text.len()));
    }
    Ok(Item { container: 0, id, key, ts: properties.ts, text: text.into() })
}

fn require_short(key: &PartitionKey) -> Result<(), String> {
    let long = |value: &KeyValue| matches!(value, KeyValue::String(text) if text.len() > KEY_BYTES_MAX);
    if !key.0.iter().any(long) {
        return Ok(());
    }
    Err(format!("its partition key has more than {KEY_BYTES_MAX} bytes, which the service does not take"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reason(text: &str) -> String {
        document(text, &KeyDefinition::new(["/pk"])).unwrap_err()
    }

    #[test]
    fn a_document_has_its_id_and_key_and_loses_what_the_service_writes() {
        let text = r#" {"id":"a","pk":1.0,"n":1.10,"_rid":"r","_etag":"e","_ts":7} "#;
        let item = document(text, &KeyDefinition::new(["/pk"])).unwrap();
        assert_eq!((item.id.as_str(), item.key.to_json(), item.ts), ("a", serde_json::json!([1]), Some(7)));
        assert_eq!(item.text, r#"{"id":"a","pk":1.0,"n":1.10}"#);
        let without = document(r#"{"id":"a"}"#, &KeyDefinition::new(["/pk"])).unwrap();
        assert_eq!((without.key.to_json(), without.ts), (serde_json::json!([{}]), None));
    }

    #[test]
    fn what_the_service_would_not_take_is_refused_without_repeating_it() {
        assert!(reason(r#"{"id":"planted","#).contains("ends too early"));
        assert!(reason("planted").contains("not JSON") && !reason("planted").contains("planted"));
        assert!(reason("[1]").contains("no JSON object"));
        assert!(reason("{}").contains("no `id`"));
        assert!(reason(r#"{"id":7}"#).contains("no string"));
        assert!(reason(r#"{"id":""}"#).contains("0 bytes"));
        assert!(reason(&format!(r#"{{"id":"{}"}}"#, "x".repeat(1_024))).contains("1024 bytes"));
        assert!(document(&format!(r#"{{"id":"{}"}}"#, "x".repeat(1_023)), &KeyDefinition::new(["/pk"])).is_ok());
        assert!(reason(r#"{"id":"a/b"}"#).contains("slash"));
        assert!(reason(r#"{"id":"a","_ts":"x"}"#).contains("`_ts`"));
        assert!(reason(&format!(r#"{{"id":"a","pk":"{}"}}"#, "x".repeat(2_049))).contains("2048 bytes"));
        assert!(reason(&format!(r#"{{"id":"a","x":"{}"}}"#, "x".repeat(2 << 20))).contains("2097152"));
    }
}
