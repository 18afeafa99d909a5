//! Filling a container with made-up documents, the same ones every time.

use std::sync::Arc;

use http::StatusCode;
use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::CosmosService;
use super::errors::CosmosError;
use super::item::Draft;
use super::state::{Write, WriteKind};
use super::store::Container;

/// Bytes of a stored document that are not padding, about.
const FRAME_BYTES: usize = 260;

/// The most ranges a container is created with.
const RANGES_MAX: u32 = 1_000;

/// The largest document that may be asked for.
const DOCUMENT_BYTES_MAX: usize = 2_000_000;

/// The body of `POST /_emulator/seed`.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct Seed {
    database: String,
    container: String,
    #[serde(default = "default_path")]
    partition_key: String,
    #[serde(default)]
    count: u64,
    #[serde(default = "default_bytes")]
    bytes: usize,
    #[serde(default = "default_keys")]
    keys: u64,
    #[serde(default = "default_partitions")]
    partitions: u32,
}

fn default_path() -> String {
    "/pk".to_owned()
}

fn default_bytes() -> usize {
    1_024
}

fn default_keys() -> u64 {
    100
}

fn default_partitions() -> u32 {
    1
}

/// Why a container cannot be filled.
#[derive(Debug)]
pub(crate) struct SeedError {
    pub(crate) status: StatusCode,
    pub(crate) message: String,
}

impl From<CosmosError> for SeedError {
    fn from(error: CosmosError) -> Self {
        Self { status: error.status, message: error.message }
    }
}

/// A filling under way.
pub(crate) struct SeedJob {
    container: Arc<Container>,
    seed: Seed,
    written: u64,
}

impl CosmosService {
    /// Creates what is missing and starts the filling.
    pub(crate) fn start_seed(&self, seed: Seed) -> Result<SeedJob, SeedError> {
        let invalid = |message: &str| Err(SeedError { status: StatusCode::BAD_REQUEST, message: message.to_owned() });
        if seed.keys == 0 {
            return invalid("keys must be at least 1");
        }
        if !(1..=RANGES_MAX).contains(&seed.partitions) {
            return invalid("partitions must lie between 1 and 1000");
        }
        if seed.bytes > DOCUMENT_BYTES_MAX {
            return invalid("bytes must be at most 2000000");
        }
        let now = self.clock.now();
        match self.store.create_database(&seed.database, now) {
            Err(error) if error.status != StatusCode::CONFLICT => return Err(error.into()),
            _ => {}
        }
        let description = json!({
            "id": seed.container, "partitionKey": { "paths": [seed.partition_key], "kind": "Hash", "version": 2 },
        });
        let description = description.as_object().cloned().unwrap_or_default();
        let container = match self.store.create_container(&seed.database, description, seed.partitions, now) {
            Err(error) if error.status == StatusCode::CONFLICT => {
                self.store.container(&seed.database, &seed.container)?
            }
            created => created?,
        };
        if container.definition.len() != 1 {
            return invalid("a container with a hierarchical partition key cannot be seeded");
        }
        Ok(SeedJob { container, seed, written: 0 })
    }

    /// Writes a few documents; false when all are there.
    pub(crate) fn seed_some(&self, job: &mut SeedJob, most: usize) -> Result<bool, SeedError> {
        let now = self.clock.now();
        let definition = &job.container.definition;
        let mut state = job.container.current(now);
        for _ in 0..most {
            if job.written == job.seed.count {
                return Ok(false);
            }
            let text = document(job.written, &job.seed, definition.first_path());
            let draft = Draft::parse(text.as_bytes(), definition)?;
            let key = definition.key(&draft.components)?;
            let write =
                Write { id: draft.id, kind: WriteKind::Upsert(draft.text), if_match: None, if_none_match: None };
            state.transact(&key, vec![write], &self.store.etags, now).map_err(|(_, error)| error)?;
            job.written += 1;
        }
        Ok(true)
    }
}

/// The document with a number: its content depends on the number and the sizes only.
fn document(number: u64, seed: &Seed, path: &[String]) -> String {
    let key =
        path.iter().rev().fold(Value::from(format!("p{}", number % seed.keys)), |value, name| json!({ name: value }));
    let mut object = Map::new();
    object.insert("id".to_owned(), format!("d{number}").into());
    if let Value::Object(key) = key {
        object.extend(key);
    }
    object.insert("n".to_owned(), number.into());
    object.insert("amount".to_owned(), json!((number % 10_000) as f64 / 100.0));
    let padding = seed.bytes.saturating_sub(FRAME_BYTES);
    object.insert("text".to_owned(), words(number, padding).into());
    Value::Object(object).to_string()
}

/// Words that compress about as well as prose does, so many bytes of them.
fn words(number: u64, bytes: usize) -> String {
    const WORDS: [&str; 16] = [
        "amber", "birch", "cedar", "delta", "ember", "fjord", "grove", "heath", "inlet", "juniper", "knoll", "larch",
        "meadow", "north", "orchard", "pine",
    ];
    let mut text = String::with_capacity(bytes + 8);
    let mut state = number.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    while text.len() < bytes {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        text.push_str(WORDS[(state >> 60) as usize]);
        text.push(' ');
    }
    text.truncate(bytes);
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seeded_document_depends_on_its_number_only() {
        let seed: Seed = serde_json::from_str(r#"{"database":"d","container":"c","bytes":1000,"keys":3}"#).unwrap();
        let path = ["pk".to_owned()];
        let first = document(7, &seed, &path);
        assert_eq!(first, document(7, &seed, &path));
        assert!(first.contains(r#""id":"d7""#) && first.contains(r#""pk":"p1""#), "{first}");
        assert!((760..1000).contains(&first.len()), "{}", first.len());
        assert!(serde_json::from_str::<Seed>(r#"{"database":"d","container":"c","kyes":3}"#).is_err());
    }

    #[test]
    fn a_nested_partition_key_is_built() {
        let seed: Seed = serde_json::from_str(r#"{"database":"d","container":"c"}"#).unwrap();
        let text = document(0, &seed, &["a".to_owned(), "b".to_owned()]);
        assert!(text.contains(r#""a":{"b":"p0"}"#), "{text}");
    }
}
