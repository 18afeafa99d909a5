//! Small documents beside the leases, which are no leases: who observes a container.
//!
//! Their ids are the leases' prefix, a dot and a name, so that no listing of leases sees them. Every write is conditional. What the
//! partition key of the lease container asks of a document is known here and to leases, and nowhere else.

use bytes::Bytes;
use serde_json::{Map, Value};

use super::{LeaseStore, key};
use crate::failure::{Failure, Kind};

/// A document beside the leases, as it stands.
#[derive(Debug, Clone, PartialEq)]
pub struct Note {
    /// Its fields.
    pub fields: Map<String, Value>,
    /// The etag to replace it by.
    pub etag: String,
    /// When the service wrote it, in seconds since 1970.
    pub written: i64,
}

impl LeaseStore {
    /// The note of this name, or none.
    pub async fn note(&self, name: &str) -> Result<Option<Note>, Failure> {
        let id = self.note_id(name);
        let Some(document) = self.documents.read(&key(&id), &id).await? else { return Ok(None) };
        let unreadable = |why: String| Failure::new(Kind::Misconfigured, format!("the document {id:?}: {why}"));
        let fields: Map<String, Value> =
            serde_json::from_slice(&document.bytes).map_err(|e| unreadable(e.to_string()))?;
        let written = fields.get("_ts").and_then(Value::as_i64).ok_or_else(|| unreadable("no _ts".to_owned()))?;
        Ok(Some(Note { fields, etag: document.etag, written }))
    }

    /// Creates a note; `Kind::Conflict` where it exists.
    pub async fn create_note(&self, name: &str, fields: Map<String, Value>) -> Result<(), Failure> {
        let id = self.note_id(name);
        self.documents.create(&key(&id), &id, self.note_body(&id, fields)).await.map(drop)
    }

    /// Replaces the note that has this etag.
    pub async fn replace_note(&self, name: &str, fields: Map<String, Value>, etag: &str) -> Result<(), Failure> {
        let id = self.note_id(name);
        self.documents.replace(&key(&id), &id, self.note_body(&id, fields), etag).await.map(drop)
    }

    fn note_id(&self, name: &str) -> String {
        format!("{}.{name}", self.prefix)
    }

    fn note_body(&self, id: &str, mut fields: Map<String, Value>) -> Bytes {
        fields.insert("id".to_owned(), id.into());
        if !self.partition_key_is_id {
            fields.insert("partitionKey".to_owned(), id.into());
        }
        Bytes::from(Value::Object(fields).to_string())
    }
}
