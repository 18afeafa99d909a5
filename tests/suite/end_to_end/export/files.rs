//! The files of an export, read without any code of the product but the reader of Zstandard.

use std::collections::BTreeMap;
use std::path::Path;

use cosmirror_formats::version::sha256_hex;
use serde::Deserialize;
use serde_json::Value;
use serde_json::value::RawValue;

use crate::suite::end_to_end::oracle::Name;

/// One line.
#[derive(Debug, Clone, PartialEq)]
pub(in crate::suite::end_to_end) struct Line {
    pub(in crate::suite::end_to_end) op: String,
    /// None where not even that is known.
    pub(in crate::suite::end_to_end) name: Option<Name>,
    pub(in crate::suite::end_to_end) ts: Option<i64>,
    pub(in crate::suite::end_to_end) etag: Option<String>,
    pub(in crate::suite::end_to_end) why: Option<String>,
    pub(in crate::suite::end_to_end) document: Option<String>,
}

#[derive(Deserialize)]
struct Fields<'a> {
    op: String,
    id: Option<String>,
    pk: Option<Value>,
    ts: Option<i64>,
    etag: Option<String>,
    why: Option<String>,
    #[serde(borrow)]
    document: Option<&'a RawValue>,
}

/// An export: its manifest, and the lines of each container.
#[derive(Debug, Clone, PartialEq)]
pub(in crate::suite::end_to_end) struct Exported {
    pub(in crate::suite::end_to_end) manifest: Value,
    pub(in crate::suite::end_to_end) lines: Vec<Vec<Line>>,
}

/// Reads an export, of which every file must be as the manifest says, and nothing else may lie there.
pub(in crate::suite::end_to_end) fn read(folder: &Path) -> Exported {
    let text = std::fs::read_to_string(folder.join("manifest.json")).unwrap();
    let manifest: Value = serde_json::from_str(&text).unwrap();
    let mut names = vec!["manifest.json".to_owned()];
    let mut lines = Vec::new();
    for container in manifest["containers"].as_array().unwrap() {
        let mut of_container = Vec::new();
        for file in container["files"].as_array().unwrap() {
            let name = file["name"].as_str().unwrap();
            names.push(name.to_owned());
            of_container.extend(read_file(&folder.join(name), file, manifest["file_bytes_max"].as_u64().unwrap()));
        }
        lines.push(of_container);
    }
    names.sort_unstable();
    assert_eq!(file_names(folder), names);
    Exported { manifest, lines }
}

fn read_file(path: &Path, file: &Value, bytes_max: u64) -> Vec<Line> {
    let stored = std::fs::read(path).unwrap();
    assert_eq!(file["sha256"], sha256_hex(&stored), "{path:?}");
    assert_eq!(file["stored_bytes"], stored.len(), "{path:?}");
    let is_compressed = path.extension().is_some_and(|extension| extension == "zst");
    let text = if is_compressed { zstd::decode_all(stored.as_slice()).unwrap() } else { stored };
    let text = String::from_utf8(text).unwrap();
    assert_eq!(file["bytes"], text.len());
    assert!(text.ends_with('\n') && !text.contains('\r'));
    let lines: Vec<Line> = text.split_terminator('\n').map(line).collect();
    assert!(text.len() as u64 <= bytes_max || lines.len() == 1, "{path:?} has {} bytes", text.len());
    let count = |wanted: &dyn Fn(&Line) -> bool| lines.iter().filter(|line| wanted(line)).count();
    let counts = &file["counts"];
    assert_eq!(counts["documents"], count(&|line| line.op == "put"), "{path:?}");
    assert_eq!(counts["deletes"], count(&|line| line.op == "delete"), "{path:?}");
    for why in ["uncertain", "unknown", "damaged"] {
        assert_eq!(counts[why], count(&|line| line.why.as_deref() == Some(why)), "{path:?}");
    }
    lines
}

fn line(text: &str) -> Line {
    let Fields { op, id, pk, ts, etag, why, document } = serde_json::from_str(text).unwrap();
    let name = pk.map(|pk| pk.to_string()).zip(id);
    Line { op, name, ts, etag, why, document: document.map(|document| document.get().to_owned()) }
}

/// The names of all files in a folder, in order; none where there is no such folder.
pub(in crate::suite::end_to_end) fn file_names(folder: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(folder).into_iter().flatten();
    let mut names: Vec<String> = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort_unstable();
    names
}

impl Exported {
    /// The documents of a container, each of which has one line at most.
    pub(in crate::suite::end_to_end) fn documents(&self, container: usize) -> BTreeMap<Name, String> {
        let mut documents = BTreeMap::new();
        for line in self.lines[container].iter().filter(|line| line.op == "put") {
            let name = line.name.clone().unwrap();
            assert!(documents.insert(name, line.document.clone().unwrap()).is_none(), "{line:?} comes twice");
        }
        documents
    }

    /// What a chain says of a container in the end: the newest line of each document.
    pub(in crate::suite::end_to_end) fn applied_to(&self, container: usize, documents: &mut BTreeMap<Name, String>) {
        let mut seen = std::collections::BTreeSet::new();
        for line in &self.lines[container] {
            let name = line.name.clone().unwrap();
            assert!(seen.insert(name.clone()), "{line:?} comes twice");
            match &line.document {
                Some(document) => drop(documents.insert(name, document.clone())),
                None => drop(documents.remove(&name)),
            }
        }
    }

    /// The manifest without what differs between two exports of the same.
    pub(in crate::suite::end_to_end) fn comparable(&self) -> Value {
        let mut manifest = self.manifest.clone();
        for member in ["id", "began", "finished", "seal", "chain"] {
            manifest[member] = Value::Null;
        }
        if manifest["since"].is_object() {
            manifest["since"]["id"] = Value::Null;
            manifest["since"]["sha256"] = Value::Null;
        }
        manifest
    }
}
