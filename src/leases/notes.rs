//! Documents beside the leases: the marker, the lock, the probe, the observer's. Their ids begin as the leases' do and end in a word of their own.

use bytes::Bytes;
use cosmirror_formats::feed_page::SystemProperties;
use serde_json::{Map, Value};

use super::{LeaseStore, key};
use crate::failure::{Failure, Kind};

/// A note as it stands.
#[derive(Debug, Clone)]
pub struct Note {
    /// Its etag.
    pub etag: String,
    /// When the service wrote it, in seconds since 1970.
    pub written: i64,
    /// Its fields.
    pub fields: Map<String, Value>,
}

impl LeaseStore {
    /// The note of this name, such as `lock`, or none.
    pub async fn note(&self, name: &str) -> Result<Option<Note>, Failure> {
        let id = self.note_id(name);
        let Some(document) = self.documents.read(&key(&id), &id).await? else { return Ok(None) };
        let unusable = |why: String| Failure::new(Kind::Internal, format!("the document {id:?} is not usable: {why}"));
        let text = std::str::from_utf8(&document.bytes).map_err(|e| unusable(e.to_string()))?;
        let written = SystemProperties::of(text).map_err(|e| unusable(e.to_string()))?.ts;
        let fields = serde_json::from_str(text).map_err(|e| unusable(e.to_string()))?;
        Ok(Some(Note { etag: document.etag, written: written.unwrap_or_default(), fields }))
    }

    /// Creates a note and gives its etag; none if it was there.
    pub async fn create_note(&self, name: &str, fields: &Map<String, Value>) -> Result<Option<String>, Failure> {
        let id = self.note_id(name);
        match self.documents.create(&key(&id), &id, self.note_body(&id, fields)).await {
            Ok(etag) => Ok(Some(etag)),
            Err(failure) if failure.kind == Kind::Conflict => Ok(None),
            Err(failure) => Err(failure),
        }
    }

    /// Replaces the note that has this etag and gives its new one; none if it has another, or is gone.
    pub async fn replace_note(
        &self,
        name: &str,
        fields: &Map<String, Value>,
        etag: &str,
    ) -> Result<Option<String>, Failure> {
        let id = self.note_id(name);
        match self.documents.replace(&key(&id), &id, self.note_body(&id, fields), etag).await {
            Ok(etag) => Ok(Some(etag)),
            Err(failure) if matches!(failure.kind, Kind::Conflict | Kind::NotFound) => Ok(None),
            Err(failure) => Err(failure),
        }
    }

    /// Deletes the note that has this etag; false if it has another, or is gone.
    pub async fn delete_note(&self, name: &str, etag: &str) -> Result<bool, Failure> {
        let id = self.note_id(name);
        match self.documents.delete(&key(&id), &id, etag).await {
            Ok(()) => Ok(true),
            Err(failure) if matches!(failure.kind, Kind::Conflict | Kind::NotFound) => Ok(false),
            Err(failure) => Err(failure),
        }
    }

    fn note_id(&self, name: &str) -> String {
        format!("{}.{name}", self.prefix)
    }

    fn note_body(&self, id: &str, fields: &Map<String, Value>) -> Bytes {
        let mut fields = fields.clone();
        fields.insert("id".to_owned(), id.into());
        if !self.partition_key_is_id {
            fields.insert("partitionKey".to_owned(), id.into());
        }
        Bytes::from(Value::Object(fields).to_string())
    }
}
