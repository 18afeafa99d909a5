//! Loading the documents of a file, each with its text as it stands.
//!
//! The file is a JSON array, NDJSON, or an object with one array in it (the shape of Debian's `iso-codes`). A document without
//! an `id` gets one from the named field, put in front; nothing else of its text is touched.

use std::path::PathBuf;

use bytes::Bytes;
use cosmirror_formats::partition_key::KeyValue;
use cosmirror_formats::{KeyDefinition, PartitionKey};
use futures::stream::{self, StreamExt as _, TryStreamExt as _};
use serde::Deserialize;
use serde_json::value::RawValue;

use super::Example;
use crate::documents::Documents;
use crate::failure::{Action, CommandError, Exit, Failure, Kind};
use crate::retry::Backoff;

const IN_PARALLEL: usize = 32;
const ATTEMPTS_MAX: u32 = 8;

/// Which file, and which fields matter.
#[derive(Debug, Clone)]
pub struct Loading {
    /// The file.
    pub file: PathBuf,
    /// The property that becomes a document's id.
    pub id_field: String,
    /// The property that is the partition key.
    pub key_field: String,
}

/// A document to be loaded.
pub(super) struct Loaded {
    id: String,
    key: PartitionKey,
    text: String,
}

impl Loading {
    /// The path of the partition key; a name that is more than one word is quoted.
    pub(super) fn key_path(&self) -> String {
        let plain = self.key_field.chars().all(|c| c.is_ascii_alphanumeric() || c == '_');
        if plain { format!("/{}", self.key_field) } else { format!("/\"{}\"", self.key_field) }
    }

    /// Reads the file.
    pub(super) fn read(&self) -> Result<Vec<Loaded>, CommandError> {
        let usage = |what: String| {
            let remedy = "--documents takes a JSON array, NDJSON, or an object with one array in it";
            CommandError::new(Exit::Usage, format!("{}: {what}", self.file.display()), remedy)
        };
        let text = std::fs::read_to_string(&self.file).map_err(|e| usage(e.to_string()))?;
        let documents = split(&text).map_err(|e| usage(e.to_string()))?;
        let key = KeyDefinition::new([self.key_path()]);
        let id = KeyDefinition::new([format!("/\"{}\"", self.id_field)]);
        let own = KeyDefinition::new(["/id"]);
        let mut loaded = Vec::new();
        for (place, document) in documents.into_iter().enumerate() {
            let at = |what: String| usage(format!("document {}: {what}", place + 1));
            let value = |definition: &KeyDefinition| {
                let key = definition.of_document(document).map_err(|e| at(e.to_string()))?;
                key.0.into_iter().next().ok_or_else(|| at("it is no object".to_owned()))
            };
            let id = match value(&id)? {
                KeyValue::String(id) => id,
                KeyValue::Number(n) => n.to_string(),
                _ => return Err(at(format!("it has no usable {:?}", self.id_field))),
            };
            let text = match value(&own)? {
                KeyValue::Undefined => with_id(document, &id),
                KeyValue::String(own) if own == id => document.to_owned(),
                _ => return Err(at(format!("its \"id\" is not its {:?}", self.id_field))),
            };
            loaded.push(Loaded { id, key: PartitionKey(vec![value(&key)?]), text });
        }
        if loaded.is_empty() { Err(usage("it holds no documents".to_owned())) } else { Ok(loaded) }
    }
}

fn split(text: &str) -> Result<Vec<&str>, serde_json::Error> {
    let start = text.trim_start();
    if start.starts_with('[') {
        let all: Vec<&RawValue> = serde_json::from_str(text)?;
        return Ok(all.into_iter().map(RawValue::get).collect());
    }
    let values: Vec<&RawValue> = serde_json::Deserializer::from_str(text).into_iter().collect::<Result<_, _>>()?;
    if let [only] = values.as_slice()
        && let Ok(wrapped) = serde_json::from_str::<Wrapped<'_>>(only.get())
        && wrapped.0.len() == 1
    {
        return split(wrapped.0.into_values().next().map_or("[]", RawValue::get));
    }
    Ok(values.into_iter().map(RawValue::get).collect())
}

#[derive(Deserialize)]
struct Wrapped<'a>(#[serde(borrow)] std::collections::BTreeMap<String, &'a RawValue>);

fn with_id(document: &str, id: &str) -> String {
    let inner = document.trim_start().trim_start_matches('{');
    let comma = if inner.trim_start().starts_with('}') { "" } else { "," };
    format!("{{\"id\":{}{comma}{inner}", serde_json::Value::from(id))
}

/// Creates every document.
pub(super) async fn load(store: &dyn Documents, documents: Vec<Loaded>) -> Result<Example, Failure> {
    let example = documents.first().map(|d| Example {
        id: d.id.clone(),
        key: match d.key.0.first() {
            Some(KeyValue::String(key)) => key.clone(),
            _ => d.key.to_string(),
        },
        loaded: documents.len(),
    });
    let creates = documents.into_iter().map(|d| create(store, d));
    stream::iter(creates).buffer_unordered(IN_PARALLEL).try_collect::<()>().await?;
    example.ok_or_else(|| Failure::new(Kind::NotFound, "there are no documents to load"))
}

async fn create(store: &dyn Documents, document: Loaded) -> Result<(), Failure> {
    let mut backoff = Backoff::default();
    let mut attempts = 0;
    loop {
        attempts += 1;
        match store.create(&document.key, &document.id, Bytes::from(document.text.clone())).await {
            Ok(_) => return Ok(()),
            // An earlier attempt was done although its answer was lost.
            Err(failure) if failure.kind == Kind::Conflict && attempts > 1 => return Ok(()),
            Err(failure) if failure.kind.action() == Action::Retry && attempts < ATTEMPTS_MAX => {
                tokio::time::sleep(backoff.next(failure.retry_after)).await;
            }
            Err(failure) => return Err(failure),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_shape_of_file_gives_the_same_documents() {
        let array = r#"[{"a":1.10}, {"a":2}]"#;
        let lines = "{\"a\":1.10}\n{\"a\":2}\n";
        let wrapped = r#"{"639-3": [{"a":1.10}, {"a":2}]}"#;
        for text in [array, lines, wrapped] {
            assert_eq!(split(text).unwrap(), [r#"{"a":1.10}"#, r#"{"a":2}"#], "{text}");
        }
    }

    #[test]
    fn an_id_is_put_in_front_of_the_untouched_text() {
        assert_eq!(with_id(r#"{"a":1.10}"#, "x\"☃"), r#"{"id":"x\"☃","a":1.10}"#);
        assert_eq!(with_id("{}", "x"), r#"{"id":"x"}"#);
    }
}
