//! Names of blobs: one per document, and those of the mirror's own records.
//!
//! A component keeps `A–Z a–z 0–9 - _ .`; every other byte of its UTF-8 becomes `~XX` in upper-case hex, as do a trailing
//! dot and every dot of a component made of dots only. `~` never needs percent-encoding, so a name passes through every URL
//! library unchanged. Partition key values that are no strings are told apart by a lower-case letter behind the `~`,
//! which no escape can produce: `~e` empty string, `~n` number, `~t` true, `~f` false, `~z` null, `~u` undefined.
//!
//! A component of more than 200 characters becomes its first 100 (never ending inside an escape), `~h` and the SHA-256 of the
//! whole encoded component in lower-case hex. If the whole name still exceeds 1,024 characters (Azure's limit), every
//! component of the key and the id becomes `~h` and its hash alone. The originals are in the metadata, and a reader
//! compares them.

use sha2::{Digest, Sha256};

use crate::lease::EpkRange;
use crate::partition_key::{KeyValue, PartitionKey, number_text};

/// Longest component that is kept readable, in characters.
pub const COMPONENT_CHARS_MAX: usize = 200;
/// Longest blob name Azure accepts, in characters.
pub const NAME_CHARS_MAX: usize = 1024;
const READABLE_CHARS: usize = 100;

/// Encodes one component of a name; the result is ASCII.
pub fn encode_component(text: &str) -> String {
    let only_dots = !text.is_empty() && text.bytes().all(|b| b == b'.');
    let last = text.len().saturating_sub(1);
    let mut out = String::with_capacity(text.len());
    for (at, byte) in text.bytes().enumerate() {
        let kept =
            byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_') || (byte == b'.' && !only_dots && at != last);
        if kept {
            out.push(char::from(byte));
        } else {
            push_escape(&mut out, byte);
        }
    }
    out
}

fn push_escape(out: &mut String, byte: u8) {
    const HEX: &[u8; 16] = b"0123456789ABCDEF";
    out.push('~');
    out.push(char::from(HEX[usize::from(byte >> 4)]));
    out.push(char::from(HEX[usize::from(byte & 15)]));
}

fn encode_key_value(value: &KeyValue) -> String {
    match value {
        KeyValue::String(s) if s.is_empty() => "~e".to_owned(),
        KeyValue::String(s) => encode_component(s),
        KeyValue::Number(n) => format!("~n{}", number_text(*n)),
        KeyValue::Bool(true) => "~t".to_owned(),
        KeyValue::Bool(false) => "~f".to_owned(),
        KeyValue::Null => "~z".to_owned(),
        KeyValue::Undefined => "~u".to_owned(),
    }
}

fn shortened(component: String) -> String {
    if component.len() <= COMPONENT_CHARS_MAX {
        return component;
    }
    let mut cut = READABLE_CHARS;
    // An escape is three characters; a `~` in the last two places of the cut would be torn from its digits.
    if let Some(tilde) = component[cut - 2..cut].find('~') {
        cut = cut - 2 + tilde;
    }
    format!("{}{}", &component[..cut], hashed(&component))
}

fn hashed(component: &str) -> String {
    format!("~h{}", hex(&Sha256::digest(component.as_bytes())))
}

/// Lower-case hex.
pub fn hex(bytes: &[u8]) -> String {
    const DIGITS: [char; 16] = ['0', '1', '2', '3', '4', '5', '6', '7', '8', '9', 'a', 'b', 'c', 'd', 'e', 'f'];
    let mut out = String::with_capacity(bytes.len() * 2);
    for byte in bytes {
        out.push(DIGITS[usize::from(byte >> 4)]);
        out.push(DIGITS[usize::from(byte & 15)]);
    }
    out
}

/// Where the dead letters are beneath a mirror's base.
const DEAD_LETTERS: &str = "/_mirror/dead-letters/";

/// The names under which one container's mirror lives.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MirrorPaths {
    base: String,
}

impl MirrorPaths {
    /// `prefix` is the configured one, used as it is, without slashes at its ends; it may be empty.
    pub fn new(prefix: &str, database: &str, container: &str) -> Self {
        let prefix = prefix.trim_matches('/');
        let slash = if prefix.is_empty() { "" } else { "/" };
        let database = shortened(encode_component(database));
        let container = shortened(encode_component(container));
        Self { base: format!("{prefix}{slash}{database}/{container}") }
    }

    /// The names of the mirror that the dead letter with this name is in; none where no dead letter is called so.
    pub fn of_dead_letter(name: &str) -> Option<Self> {
        let (base, _) = name.rsplit_once(DEAD_LETTERS)?;
        Some(Self { base: base.to_owned() })
    }

    /// What all names begin with, without a slash at its end.
    pub fn base(&self) -> &str {
        &self.base
    }

    /// The name of a document's blob, the same for all of its versions and lives.
    pub fn document(&self, key: &PartitionKey, id: &str) -> String {
        let components: Vec<String> = key.0.iter().map(encode_key_value).chain([encode_component(id)]).collect();
        let join = |components: Vec<String>| format!("{}{}.json", self.documents(), components.join("/"));
        let name = join(components.iter().cloned().map(shortened).collect());
        if name.len() <= NAME_CHARS_MAX {
            return name;
        }
        join(components.iter().map(|c| hashed(c)).collect())
    }

    /// The prefix of all documents.
    pub fn documents(&self) -> String {
        format!("{}/documents/", self.base)
    }

    /// The prefix of all documents whose partition key begins with `key`'s components. A key so long that its names fall
    /// under the rule for whole names is not found by it.
    pub fn documents_of_key(&self, key: &PartitionKey) -> String {
        let components: String = key.0.iter().map(|value| shortened(encode_key_value(value)) + "/").collect();
        format!("{}{components}", self.documents())
    }

    /// The mirror's description of itself.
    pub fn container_record(&self) -> String {
        format!("{}/_mirror/container.json", self.base)
    }

    /// The prefix of all range states.
    pub fn range_states(&self) -> String {
        format!("{}/_mirror/ranges/", self.base)
    }

    /// The state of one range.
    pub fn range_state(&self, lineage: &str, range: &EpkRange) -> String {
        let lineage = encode_component(lineage);
        format!(
            "{}{lineage}-{}-{}.json",
            self.range_states(),
            encode_component(&range.min),
            encode_component(&range.max)
        )
    }

    /// The prefix of all gaps.
    pub fn gaps(&self) -> String {
        format!("{}/_mirror/gaps/", self.base)
    }

    /// One gap, by the second at which it begins and its range.
    pub fn gap(&self, from: i64, range: &EpkRange) -> String {
        format!("{}{from}-{}-{}.json", self.gaps(), encode_component(&range.min), encode_component(&range.max))
    }

    /// The prefix of all dead letters.
    pub fn dead_letters(&self) -> String {
        format!("{}{DEAD_LETTERS}", self.base)
    }

    /// One dead letter, by range, LSN and the SHA-256 of its bytes.
    pub fn dead_letter(&self, range: &EpkRange, lsn: u64, sha256: &str) -> String {
        let (min, max) = (encode_component(&range.min), encode_component(&range.max));
        format!("{}{min}-{max}/{lsn:020}-{sha256}.json", self.dead_letters())
    }

    /// The prefix of the records of restores.
    pub fn restores(&self) -> String {
        format!("{}/_mirror/restores/", self.base)
    }

    /// What one restore wrote.
    pub fn restore(&self, id: &str) -> String {
        format!("{}{}.json", self.restores(), encode_component(id))
    }

    /// The prefix of the records of purges.
    pub fn purges(&self) -> String {
        format!("{}/_mirror/purges/", self.base)
    }

    /// The record of the purge of the document whose blob has this name. It tells the name to nobody who does not know it, and is the same
    /// in every target.
    pub fn purge(&self, document: &str) -> String {
        format!("{}{}.json", self.purges(), self.purge_id(document))
    }

    /// What that record calls the document: the SHA-256 of its name beneath the container's.
    pub fn purge_id(&self, document: &str) -> String {
        hex(&Sha256::digest(document.strip_prefix(&self.documents()).unwrap_or(document).as_bytes()))
    }

    /// The prefix of the records of jobs.
    pub fn jobs(&self) -> String {
        format!("{}/_mirror/jobs/", self.base)
    }

    /// The job that runs, or the last one.
    pub fn current_job(&self) -> String {
        format!("{}current.json", self.jobs())
    }

    /// The prefix of the record of rehearsals.
    pub fn rehearsals(&self) -> String {
        format!("{}/_mirror/rehearsals/", self.base)
    }

    /// The last rehearsal, or the one that goes on.
    pub fn last_rehearsal(&self) -> String {
        format!("{}last.json", self.rehearsals())
    }

    /// A job that has ended.
    pub fn job(&self, id: &str) -> String {
        format!("{}{}.json", self.jobs(), encode_component(id))
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    fn name(key: &[KeyValue], id: &str) -> String {
        MirrorPaths::new("", "shop", "orders").document(&PartitionKey(key.to_vec()), id)
    }

    fn string(s: &str) -> KeyValue {
        KeyValue::String(s.to_owned())
    }

    #[test]
    fn golden_names_of_every_key_type() {
        let key = [string("a b"), KeyValue::Number(1.5), KeyValue::Bool(true)];
        assert_eq!(name(&key, "x"), "shop/orders/documents/a~20b/~n1.5/~t/x.json");
        let key = [string(""), KeyValue::Null, KeyValue::Undefined];
        assert_eq!(name(&key, ".."), "shop/orders/documents/~e/~z/~u/~2E~2E.json");
        assert_eq!(name(&[KeyValue::Bool(false)], "a.b."), "shop/orders/documents/~f/a.b~2E.json");
        assert_eq!(name(&[string("~e")], "☃\t#%"), "shop/orders/documents/~7Ee/~E2~98~83~09~23~25.json");
        assert_eq!(MirrorPaths::new("/deep/er/", "a/b", "c").documents(), "deep/er/a~2Fb/c/documents/");
    }

    #[test]
    fn a_long_component_is_cut_before_an_escape_and_hashed() {
        let id = format!("{}☃{}", "a".repeat(98), "b".repeat(200));
        let name = name(&[string("p")], &id);
        let component = name.rsplit('/').next().unwrap();
        assert!(component.starts_with(&format!("{}~h", "a".repeat(98))), "{component}");
        assert_eq!(component.len(), 98 + 2 + 64 + ".json".len());
    }

    #[test]
    fn a_name_that_is_still_too_long_hashes_every_component() {
        let paths = MirrorPaths::new(&"p".repeat(500), &"d".repeat(150), "c");
        let key = PartitionKey(vec![string(&"x".repeat(300)), string(&"y".repeat(300)), string("z")]);
        let name = paths.document(&key, &"☃".repeat(255));
        assert!(name.len() <= NAME_CHARS_MAX, "{}", name.len());
        assert_eq!(name.matches("/~h").count(), 4);
    }

    fn any_value() -> impl Strategy<Value = KeyValue> {
        prop_oneof![
            "\\PC{0,8}".prop_map(KeyValue::String),
            "[~.a-fn-uz0-9/]{0,4}".prop_map(KeyValue::String),
            any::<f64>().prop_filter("finite", |n| n.is_finite()).prop_map(KeyValue::Number),
            (-20i32..20).prop_map(|n| KeyValue::Number(n.into())),
            any::<bool>().prop_map(KeyValue::Bool),
            Just(KeyValue::Null),
            Just(KeyValue::Undefined),
        ]
    }

    proptest! {
        #[test]
        fn different_documents_have_different_names(
            documents in prop::collection::vec(
                (prop::collection::vec(any_value(), 1..=3), "[ -~☃.]{1,6}|.{1,300}"),
                1..20,
            ),
        ) {
            let mut keys = BTreeSet::new();
            let mut names = BTreeSet::new();
            for (key, id) in documents {
                keys.insert((PartitionKey(key.clone()).to_string(), id.clone()));
                let name = name(&key, &id);
                prop_assert!(name.is_ascii() && name.len() <= NAME_CHARS_MAX);
                prop_assert!(!name.split('/').any(|c| c.is_empty() || c.chars().all(|c| c == '.') || c.ends_with('.')));
                names.insert(name);
            }
            prop_assert_eq!(keys.len(), names.len());
        }
    }
}
