//! One entry of a change feed page, in every shape a service sends it.
//!
//! Two shapes occur: the envelope `{"current":…,"metadata":…}` (wire format 2021-09-15) and the flat document with
//! `_lsn`, which some backends answer although the envelope was asked for. A delete has an empty `current` and names its
//! document in `metadata`, with the partition key as an object or an array. The document's text is never
//! re-serialised: the parsed change points into the entry.
//!
//! Source: "Change feed modes in Azure Cosmos DB" and the REST reference, "Change feed: all versions and deletes".

use serde_json::Value;
use serde_json::value::RawValue;

use crate::json_scan::for_each_member;
use crate::partition_key::{KeyDefinition, PartitionKey};

/// What the feed says happened; latest-version feeds do not tell.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Operation {
    /// The document did not exist before.
    Create,
    /// The document existed before.
    Replace,
    /// The document was deleted by a client.
    Delete,
    /// The document's time to live ran out.
    Expire,
    /// The feed names no operation: the newest state of a document that exists.
    Write,
}

impl Operation {
    /// Whether the document is gone after this change.
    pub fn is_delete(self) -> bool {
        matches!(self, Self::Delete | Self::Expire)
    }
}

/// One change of one document.
#[derive(Debug, Clone, PartialEq)]
pub struct Change<'a> {
    /// What happened.
    pub operation: Operation,
    /// Log sequence number; all changes of one transaction share it.
    pub lsn: Option<u64>,
    /// Commit time, seconds since 1970.
    pub ts: i64,
    /// `_etag` with its quotes; none for deletes.
    pub etag: Option<String>,
    /// The document's id.
    pub id: String,
    /// The document's partition key.
    pub pk: PartitionKey,
    /// The document's JSON as delivered; empty for deletes.
    pub document: &'a str,
}

/// Why an entry could not be understood. Such an entry becomes a dead letter.
#[derive(Debug, thiserror::Error)]
pub enum ChangeError {
    /// Not UTF-8.
    #[error("the entry is not UTF-8")]
    Utf8(#[from] std::str::Utf8Error),
    /// Not JSON, or a field has another type than the protocol gives it. What the parser says of it may hold content, and this text
    /// gets into logs.
    #[error("the entry is not valid ({:?} error in line {}, column {})", .0.classify(), .0.line(), .0.column())]
    Json(#[from] serde_json::Error),
    /// A field is missing or out of range.
    #[error("the entry lacks a usable `{0}`")]
    Field(&'static str),
    /// An operation this program does not know.
    #[error("the entry has an unknown operation {0:?}")]
    Operation(String),
}

/// Parses one entry of a page.
pub fn parse_change<'a>(entry: &'a [u8], definition: &KeyDefinition) -> Result<Change<'a>, ChangeError> {
    let entry = std::str::from_utf8(entry)?;
    let mut outer = Outer::default();
    for_each_member(entry, |name, value| outer.set(name, value))?;
    // A flat document always has its system properties; an envelope never has them at its top.
    if outer.etag.is_some() && outer.rid.is_some() {
        let lsn = outer.lsn.map(|raw| raw.get().parse()).transpose().map_err(|_| ChangeError::Field("_lsn"))?;
        return written(entry, Metadata { lsn, ..Metadata::default() }, definition);
    }
    let metadata = outer.metadata.map(|raw| Metadata::parse(raw.get())).transpose()?.unwrap_or_default();
    match metadata.operation {
        Operation::Delete | Operation::Expire => deleted(metadata, definition),
        _ => written(outer.current.ok_or(ChangeError::Field("current"))?.get(), metadata, definition),
    }
}

#[derive(Default)]
struct Outer<'a> {
    current: Option<&'a RawValue>,
    metadata: Option<&'a RawValue>,
    etag: Option<&'a RawValue>,
    rid: Option<&'a RawValue>,
    lsn: Option<&'a RawValue>,
}

impl<'a> Outer<'a> {
    fn set(&mut self, name: &[u8], value: &'a RawValue) {
        match name {
            b"current" => self.current = Some(value),
            b"metadata" => self.metadata = Some(value),
            b"_etag" => self.etag = Some(value),
            b"_rid" => self.rid = Some(value),
            // The service appends its own `_lsn` behind the document's, so the last one is the service's.
            b"_lsn" => self.lsn = Some(value),
            _ => {}
        }
    }
}

struct Metadata {
    operation: Operation,
    lsn: Option<u64>,
    crts: Option<i64>,
    id: Option<String>,
    partition_key: Option<Value>,
}

impl Default for Metadata {
    fn default() -> Self {
        Self { operation: Operation::Write, lsn: None, crts: None, id: None, partition_key: None }
    }
}

impl Metadata {
    fn parse(text: &str) -> Result<Self, ChangeError> {
        let value: Value = serde_json::from_str(text)?;
        let operation = match value.get("operationType").and_then(Value::as_str) {
            None => Operation::Write,
            Some("create") => Operation::Create,
            Some("replace") => Operation::Replace,
            Some("delete") if value.get("timeToLiveExpired").and_then(Value::as_bool) == Some(true) => {
                Operation::Expire
            }
            Some("delete") => Operation::Delete,
            Some(other) => return Err(ChangeError::Operation(other.to_owned())),
        };
        Ok(Self {
            operation,
            lsn: number(&value, "lsn")?,
            crts: number(&value, "crts")?,
            id: value.get("id").and_then(Value::as_str).map(str::to_owned),
            partition_key: value.get("partitionKey").filter(|key| !key.is_null()).cloned(),
        })
    }
}

fn number<T: TryFrom<i64>>(value: &Value, field: &'static str) -> Result<Option<T>, ChangeError> {
    match value.get(field) {
        None | Some(Value::Null) => Ok(None),
        Some(number) => {
            let number = number.as_i64().and_then(|n| T::try_from(n).ok());
            number.map(Some).ok_or(ChangeError::Field(field))
        }
    }
}

fn deleted<'a>(metadata: Metadata, definition: &KeyDefinition) -> Result<Change<'a>, ChangeError> {
    let key = metadata.partition_key.ok_or(ChangeError::Field("partitionKey"))?;
    Ok(Change {
        operation: metadata.operation,
        lsn: Some(metadata.lsn.ok_or(ChangeError::Field("lsn"))?),
        ts: metadata.crts.ok_or(ChangeError::Field("crts"))?,
        etag: None,
        id: metadata.id.ok_or(ChangeError::Field("id"))?,
        pk: definition.of_delete(&key).ok_or(ChangeError::Field("partitionKey"))?,
        document: "",
    })
}

fn written<'a>(document: &'a str, metadata: Metadata, definition: &KeyDefinition) -> Result<Change<'a>, ChangeError> {
    let properties = SystemProperties::of(document)?;
    Ok(Change {
        operation: metadata.operation,
        lsn: metadata.lsn,
        ts: metadata.crts.or(properties.ts).ok_or(ChangeError::Field("_ts"))?,
        etag: Some(properties.etag.ok_or(ChangeError::Field("_etag"))?),
        id: properties.id.ok_or(ChangeError::Field("id"))?,
        pk: definition.of_document(document)?,
        document,
    })
}

/// The properties of a stored document that the service writes, and its id.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct SystemProperties {
    /// `id`.
    pub id: Option<String>,
    /// `_etag` with its quotes.
    pub etag: Option<String>,
    /// `_ts`, seconds since 1970.
    pub ts: Option<i64>,
}

impl SystemProperties {
    /// Reads them from a document's text.
    pub fn of(document: &str) -> Result<Self, ChangeError> {
        let (mut id, mut etag, mut ts) = (None, None, None);
        for_each_member(document, |name, value| match name {
            b"id" => id = Some(value),
            b"_etag" => etag = Some(value),
            b"_ts" => ts = Some(value),
            _ => {}
        })?;
        let text = |raw: Option<&RawValue>, field| {
            raw.map(|raw| serde_json::from_str(raw.get()).map_err(|_| ChangeError::Field(field))).transpose()
        };
        let ts = ts.map(|raw| raw.get().parse().map_err(|_| ChangeError::Field("_ts"))).transpose()?;
        Ok(Self { id: text(id, "id")?, etag: text(etag, "_etag")?, ts })
    }
}

/// A document's text without the properties that the service writes (`_rid`, `_self`, `_etag`, `_attachments`, `_ts`,
/// and in flat feeds `_lsn`): what a client would have sent. Everything else keeps its bytes, its order and the white space
/// around it.
///
/// An `_lsn` is the service's only behind its `_ts`; before it, it is a property of the document's own.
pub fn without_system_properties(document: &str) -> Result<String, ChangeError> {
    const SYSTEM: [&[u8]; 5] = [b"_rid", b"_self", b"_etag", b"_attachments", b"_ts"];
    let mut out = String::with_capacity(document.len());
    let mut begin = document.find('{').map_or(0, |at| at + 1);
    let mut members = 0;
    let mut timed = false;
    let mut separator = '{';
    for_each_member(document, |name, value| {
        let end = value.get().as_ptr() as usize - document.as_ptr() as usize + value.get().len();
        // White space behind the value belongs to the member too; then comes a comma or the last brace.
        let end = document[end..].find([',', '}']).map_or(end, |at| end + at);
        let of_service = SYSTEM.contains(&name) || (timed && name == b"_lsn");
        timed |= name == b"_ts";
        if !of_service {
            out.push(separator);
            out.push_str(&document[begin..end]);
            separator = ',';
        }
        begin = end + 1;
        members += 1;
    })?;
    if separator == '{' {
        out.push('{');
        // An empty object may hold white space.
        out.push_str(if members == 0 { document[begin..].trim_end().trim_end_matches('}') } else { "" });
    }
    out.push('}');
    Ok(out)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn definition() -> KeyDefinition {
        KeyDefinition::new(["/pk"])
    }

    const DOCUMENT: &str = r#"{"b":1.10,"id":"d0","pk":"p0","_rid":"r","_etag":"\"7\"","_ts":1700000000}"#;

    #[test]
    fn an_envelope_gives_the_document_byte_for_byte() {
        let entry =
            format!(r#"{{"current":{DOCUMENT},"metadata":{{"lsn":9,"crts":1700000001,"operationType":"create"}}}}"#);
        let change = parse_change(entry.as_bytes(), &definition()).unwrap();
        assert_eq!(change.document, DOCUMENT);
        assert_eq!((change.operation, change.lsn, change.ts), (Operation::Create, Some(9), 1_700_000_001));
        assert_eq!((change.id.as_str(), change.etag.as_deref()), ("d0", Some("\"7\"")));
    }

    #[test]
    fn a_flat_document_takes_the_services_lsn_even_beside_its_own() {
        let flat = r#"{"_lsn":1,"id":"d0","_rid":"r","_etag":"\"7\"","_ts":5,"_lsn":44}"#;
        let change = parse_change(flat.as_bytes(), &definition()).unwrap();
        assert_eq!((change.lsn, change.operation), (Some(44), Operation::Write));
        assert_eq!(change.pk.to_json(), json!([{}]));
    }

    #[test]
    fn a_users_property_named_current_does_not_make_an_envelope() {
        let flat = r#"{"current":{},"metadata":3,"id":"d0","_rid":"r","_etag":"\"7\"","_ts":5,"_lsn":44}"#;
        assert_eq!(parse_change(flat.as_bytes(), &definition()).unwrap().document, flat);
    }

    #[test]
    fn deletes_and_expiries_are_told_apart() {
        let delete = r#"{"current":{},"metadata":{"lsn":5092,"crts":1737502927,"operationType":"delete","previousImageLSN":5070,"id":"fb","partitionKey":{"pk":"dd"}}}"#;
        let change = parse_change(delete.as_bytes(), &definition()).unwrap();
        assert_eq!((change.operation, change.id.as_str(), change.document), (Operation::Delete, "fb", ""));
        assert_eq!(change.pk.to_json(), json!(["dd"]));
        let expiry =
            delete.replace(r#""id""#, r#""timeToLiveExpired":true,"id""#).replace(r#"{"pk":"dd"}"#, r#"["dd"]"#);
        assert_eq!(parse_change(expiry.as_bytes(), &definition()).unwrap().operation, Operation::Expire);
    }

    #[test]
    fn what_is_missing_or_unknown_is_named() {
        let error = |entry: &str| parse_change(entry.as_bytes(), &definition()).unwrap_err().to_string();
        assert!(error(r#"{"metadata":{"lsn":1}}"#).contains("current"));
        assert!(error(r#"{"current":{"id":"a","_ts":1}}"#).contains("_etag"));
        assert!(error(r#"{"current":{},"metadata":{"operationType":"merge"}}"#).contains("merge"));
        assert!(error(r#"{"current":{},"metadata":{"lsn":-1}}"#).contains("lsn"));
        assert!(error("[]").contains("not valid"));
        assert!(!error(r#"{"current":{},"metadata":"planted"}"#).contains("planted"));
    }

    #[test]
    fn system_properties_leave_without_a_trace() {
        let strip = |text: &str| without_system_properties(text).unwrap();
        assert_eq!(strip(DOCUMENT), r#"{"b":1.10,"id":"d0","pk":"p0"}"#);
        assert_eq!(strip(r#"{ "_rid":"r", "a" : 1 , "_ts":2,"b":[1, 2] }"#), r#"{ "a" : 1 ,"b":[1, 2] }"#);
        assert_eq!(strip(r#"{"_ts":1}"#), "{}");
    }

    /// A restore used to take a document's own `_lsn` for the service's, and to drop white space at the document's ends.
    #[test]
    fn what_the_service_appended_leaves_what_a_client_sent() {
        for sent in [r#"{ "_lsn":1 , "a":{"_ts":2}}"#, "{\t\"a\":\"}\"\n}", r#"{"_lsn" :7}"#] {
            let open = sent.strip_suffix('}').unwrap();
            let stored = format!(r#"{open},"_rid":"r","_etag":"\"7\"","_attachments":"","_ts":5}}"#);
            assert_eq!(without_system_properties(&stored).unwrap(), sent);
            let flat = format!("{},\"_lsn\":44}}", stored.strip_suffix('}').unwrap());
            assert_eq!(without_system_properties(&flat).unwrap(), sent);
        }
        assert_eq!(without_system_properties("{ }").unwrap(), "{ }");
    }
}
