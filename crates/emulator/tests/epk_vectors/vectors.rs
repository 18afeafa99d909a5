//! Reading the vectors, and the tests.

use azure_data_cosmos_driver::models::{FeedRange, PartitionKey, PartitionKeyDefinition, PartitionKeyValue};
use serde::Deserialize;
use serde_json::{Value, json};

use crate::support::{Answer, Running, start};

const VECTORS: &str = include_str!("../data/EffectivePartitionKeyConformance.json");

/// As many vectors as the file of driver 1.0.0 has.
const VECTORS_COUNT: usize = 42;

#[derive(Deserialize)]
struct Vectors {
    cases: Vec<Vector>,
}

#[derive(Deserialize)]
struct Vector {
    id: String,
    kind: String,
    version: u8,
    values: Vec<Component>,
    expected_epk: String,
}

#[derive(Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
enum Component {
    Undefined,
    Null,
    Bool {
        value: bool,
    },
    /// As text, so that no parser rounds it before it is sent.
    Number {
        value: String,
    },
    String {
        value: String,
    },
    RepeatedString {
        value: String,
        count: usize,
    },
}

impl Component {
    /// The component as JSON in ASCII, as headers need it; `None` if the item is to lack it.
    fn json(&self) -> Option<String> {
        let quoted = |text: &str| {
            let units = text.encode_utf16().map(|unit| match u8::try_from(unit) {
                Ok(plain @ (b' ' | b'!' | b'#'..=b'[' | b']'..=b'~')) => char::from(plain).to_string(),
                _ => format!("\\u{unit:04x}"),
            });
            format!("\"{}\"", units.collect::<String>())
        };
        match self {
            Self::Undefined => None,
            Self::Null => Some("null".to_owned()),
            Self::Bool { value } => Some(value.to_string()),
            Self::Number { value } => Some(value.clone()),
            Self::String { value } => Some(quoted(value)),
            Self::RepeatedString { value, count } => Some(quoted(&value.repeat(*count))),
        }
    }

    fn of_driver(&self) -> PartitionKeyValue {
        match self {
            Self::Undefined => PartitionKeyValue::UNDEFINED,
            Self::Null => PartitionKeyValue::NULL,
            Self::Bool { value } => PartitionKeyValue::from(*value),
            Self::Number { value } => PartitionKeyValue::try_from(value.parse::<f64>().unwrap()).unwrap(),
            Self::String { value } => PartitionKeyValue::from(value.clone()),
            Self::RepeatedString { value, count } => PartitionKeyValue::from(value.repeat(*count)),
        }
    }
}

impl Vector {
    fn definition(&self) -> Value {
        let kind = if self.kind == "multi_hash" { "MultiHash" } else { "Hash" };
        let paths: Vec<String> = (0..self.values.len()).map(|level| format!("/k{level}")).collect();
        json!({"kind": kind, "version": self.version, "paths": paths})
    }

    fn item(&self) -> String {
        let properties = self.values.iter().enumerate();
        let properties = properties.filter_map(|(level, value)| Some(format!(",\"k{level}\":{}", value.json()?)));
        format!("{{\"id\":\"item\"{}}}", properties.collect::<String>())
    }

    fn header(&self) -> String {
        let components: Vec<String> = self.values.iter().map(|value| value.json().unwrap_or("{}".to_owned())).collect();
        format!("[{}]", components.join(","))
    }
}

fn vectors() -> Vec<Vector> {
    serde_json::from_str::<Vectors>(VECTORS).unwrap().cases
}

/// The next higher key of the same length.
fn successor(epk: &str) -> String {
    let kept = epk.trim_end_matches('F');
    let (last, rest) = (u8::from_str_radix(&kept[kept.len() - 1..], 16).unwrap(), &kept[..kept.len() - 1]);
    format!("{rest}{:X}{}", last + 1, "0".repeat(epk.len() - kept.len()))
}

async fn feed(emulator: &Running, docs: &str, scope: &[(&str, &str)]) -> Answer {
    emulator.send("GET", docs, &[&[("a-im", "Incremental Feed")], scope].concat(), "").await
}

/// Whether the feed of a part of the only range shows the item.
async fn lies_between(emulator: &Running, docs: &str, min: &str, max: &str) -> bool {
    let scope = [
        ("x-ms-documentdb-partitionkeyrangeid", "0"),
        ("x-ms-read-key-type", "EffectivePartitionKeyRange"),
        ("x-ms-start-epk", min),
        ("x-ms-end-epk", max),
    ];
    let answer = feed(emulator, docs, &scope).await;
    assert!(matches!(answer.status, 200 | 304), "{}", answer.text);
    answer.status == 200
}

#[test]
fn a_successor_is_one_higher() {
    assert_eq!(successor("05C1"), "05C2");
    assert_eq!(successor("05CF"), "05D0");
    assert_eq!(successor("09FF"), "0A00");
}

#[tokio::test]
async fn every_vector_written_as_an_item_lies_exactly_at_its_effective_partition_key() {
    let emulator = start().await;
    emulator.send("POST", "/dbs", &[], r#"{"id":"d"}"#).await;
    let vectors = vectors();
    assert_eq!(vectors.len(), VECTORS_COUNT);
    for vector in vectors {
        let (name, epk) = (&vector.id, &vector.expected_epk);
        let description = json!({"id": name, "partitionKey": vector.definition()}).to_string();
        let created = emulator.send("POST", "/dbs/d/colls", &[], &description).await;
        assert_eq!(created.status, 201, "{name}: {}", created.text);
        let docs = format!("/dbs/d/colls/{name}/docs");
        let header = vector.header();
        let key = [("x-ms-documentdb-partitionkey", header.as_str())];
        let written = emulator.send("POST", &docs, &key, &vector.item()).await;
        assert_eq!(written.status, 201, "{name}: {}", written.text);

        let next = successor(epk);
        assert!(lies_between(&emulator, &docs, epk, &next).await, "{name} is not at {epk}");
        assert!(!lies_between(&emulator, &docs, "", epk).await, "{name} is before {epk}");
        assert!(!lies_between(&emulator, &docs, &next, "FF").await, "{name} is after {epk}");
        let by_key = feed(&emulator, &docs, &key).await;
        assert_eq!((by_key.status, by_key.header("x-ms-item-count")), (200, "1"), "{name}: {}", by_key.text);
    }
    emulator.stop().await;
}

#[test]
fn the_driver_computes_every_vector() {
    let vectors = vectors();
    assert_eq!(vectors.len(), VECTORS_COUNT);
    for vector in vectors {
        let definition: PartitionKeyDefinition = serde_json::from_value(vector.definition()).unwrap();
        let values: Vec<_> = vector.values.iter().map(Component::of_driver).collect();
        let range = FeedRange::for_partition(PartitionKey::try_from(values).unwrap(), &definition);
        assert_eq!(range.min_inclusive().to_hex(), vector.expected_epk, "{}", vector.id);
    }
}
