//! What the target holds, read without any code of the product: by signed listings and reads, or from the files.

use std::collections::BTreeMap;
use std::path::Path;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use cosmirror_emulator::BLOB_ACCOUNT;
use futures::stream::{self, StreamExt as _};

use super::emulator::Emulator;
use super::wire::{BLOB_VERSION, DATE, percent, sign_blob};

/// The blob container of every test.
pub(super) const CONTAINER: &str = "mirror";
/// Items of one page of a listing; short, so that there are several pages.
const PAGE_ITEMS: &str = "700";
/// Reads under way at the same time.
const READS_AT_ONCE: usize = 16;

/// One stored version.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Stored {
    pub(super) version: String,
    pub(super) current: bool,
    pub(super) metadata: BTreeMap<String, String>,
    pub(super) body: Vec<u8>,
}

impl Stored {
    /// A field of the metadata.
    pub(super) fn field(&self, name: &str) -> Option<&str> {
        self.metadata.get(name).map(String::as_str)
    }

    /// A field that is base64url of text.
    pub(super) fn decoded(&self, name: &str) -> String {
        String::from_utf8(URL_SAFE_NO_PAD.decode(self.field(name).unwrap()).unwrap()).unwrap()
    }
}

/// Every version of every name, oldest first.
pub(super) type Mirror = BTreeMap<String, Vec<Stored>>;

/// All that a blob container holds; nothing where there is no such container.
pub(super) async fn of_blobs(emulator: &Emulator) -> Mirror {
    of_container(emulator, CONTAINER).await
}

/// The same of another blob container.
pub(super) async fn of_container(emulator: &Emulator, container: &str) -> Mirror {
    let listed = list(emulator, container, "versions,metadata").await.iter().map(|xml| item(xml)).collect();
    read(emulator, container, "versionid", listed).await
}

/// The same by snapshots. What a snapshot was taken of is the blob, or was it; a blob without one is the version without name.
pub(super) async fn of_snapshots(emulator: &Emulator) -> Mirror {
    let mut listed: Vec<(String, Stored)> = Vec::new();
    let mut last = String::new();
    for xml in list(emulator, CONTAINER, "metadata,snapshots").await {
        let (name, stored) = item(&xml);
        let etag = format!("{name} {}", text(&xml, "Etag"));
        let snapshot = text(&xml, "Snapshot");
        match listed.last_mut() {
            Some((_, before)) if last == etag => before.current |= snapshot.is_empty(),
            _ => listed.push((name, Stored { current: snapshot.is_empty(), version: snapshot, ..stored })),
        }
        last = etag;
    }
    read(emulator, CONTAINER, "snapshot", listed).await
}

async fn read(emulator: &Emulator, container: &str, kind: &str, listed: Vec<(String, Stored)>) -> Mirror {
    let reads = stream::iter(listed).map(|(name, mut stored)| async move {
        let path = format!("/{BLOB_ACCOUNT}/{container}/{name}");
        let query = [(kind, stored.version.as_str())];
        let query = if stored.version.is_empty() { &[][..] } else { &query };
        let answer = get(emulator, &path, query).await;
        assert_eq!(answer.status(), 200, "{name}");
        stored.body = answer.bytes().await.unwrap().to_vec();
        (name, stored)
    });
    let mut reads = reads.buffered(READS_AT_ONCE);
    let mut mirror = Mirror::new();
    while let Some((name, stored)) = reads.next().await {
        mirror.entry(name).or_default().push(stored);
    }
    mirror
}

/// Each blob of a listing, as it stands there.
pub(super) async fn list(emulator: &Emulator, container: &str, include: &str) -> Vec<String> {
    let (mut listed, mut marker) = (Vec::new(), String::new());
    loop {
        let mut query =
            vec![("comp", "list"), ("include", include), ("maxresults", PAGE_ITEMS), ("restype", "container")];
        if !marker.is_empty() {
            query.push(("marker", &marker));
        }
        let answer = get(emulator, &format!("/{BLOB_ACCOUNT}/{container}"), &query).await;
        if answer.status() == 404 {
            return listed;
        }
        assert_eq!(answer.status(), 200);
        let xml = answer.text().await.unwrap();
        listed.extend(between(&xml, "Blob").into_iter().map(str::to_owned));
        marker = text(&xml, "NextMarker");
        if marker.is_empty() {
            return listed;
        }
    }
}

async fn get(emulator: &Emulator, path: &str, query: &[(&str, &str)]) -> reqwest::Response {
    let sent: Vec<String> = query.iter().map(|(name, value)| format!("{name}={}", percent(value))).collect();
    let url = format!("http://{}{path}?{}", emulator.blob, sent.join("&"));
    let request = emulator.http.get(url).header("x-ms-date", DATE).header("x-ms-version", BLOB_VERSION);
    request.header("authorization", sign_blob(path, query)).send().await.unwrap()
}

fn item(xml: &str) -> (String, Stored) {
    let metadata = between(xml, "Metadata").first().copied().unwrap_or_default();
    let version = text(xml, "VersionId");
    let stored = Stored {
        // Only a current blob can lack an id: it was stored while versioning was off.
        current: version.is_empty() || text(xml, "IsCurrentVersion") == "true",
        version,
        metadata: members(metadata),
        body: Vec::new(),
    };
    (text(xml, "Name"), stored)
}

/// The contents of every element of a name. None of those asked for contains one of its own name.
fn between<'a>(xml: &'a str, element: &str) -> Vec<&'a str> {
    let (open, close) = (format!("<{element}>"), format!("</{element}>"));
    xml.split(&open).skip(1).map(|rest| rest.split(&close).next().unwrap()).collect()
}

/// What an element holds; empty where there is none.
pub(super) fn text(xml: &str, element: &str) -> String {
    unescape(between(xml, element).first().copied().unwrap_or_default())
}

/// Elements that hold only text, by name.
fn members(xml: &str) -> BTreeMap<String, String> {
    let mut members = BTreeMap::new();
    let mut rest = xml;
    while let Some((name, tail)) = rest.strip_prefix('<').and_then(|tail| tail.split_once('>')) {
        if let Some(empty) = name.strip_suffix('/') {
            members.insert(empty.trim().to_owned(), String::new());
            rest = tail;
            continue;
        }
        let (value, tail) = tail.split_once(&format!("</{name}>")).unwrap();
        members.insert(name.to_ascii_lowercase(), unescape(value));
        rest = tail;
    }
    members
}

fn unescape(text: &str) -> String {
    text.replace("&quot;", "\"").replace("&lt;", "<").replace("&gt;", ">").replace("&amp;", "&")
}

/// All that a directory target holds: `<name>/<sequence number of 20 digits>`, each a line of JSON and the bytes.
pub(super) fn of_directory(root: &Path) -> Mirror {
    let mut mirror = Mirror::new();
    walk(root, root, &mut mirror);
    for versions in mirror.values_mut() {
        versions.sort_by(|a, b| a.version.cmp(&b.version));
        versions.last_mut().unwrap().current = true;
    }
    mirror
}

fn walk(root: &Path, folder: &Path, mirror: &mut Mirror) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let file = path.file_name().unwrap().to_str().unwrap().to_owned();
        if path.is_dir() {
            walk(root, &path, mirror);
        } else if file.len() == 20 && file.bytes().all(|byte| byte.is_ascii_digit()) {
            let bytes = std::fs::read(&path).unwrap();
            let end = bytes.iter().position(|byte| *byte == b'\n').unwrap();
            let header: serde_json::Value = serde_json::from_slice(&bytes[..end]).unwrap();
            let metadata = serde_json::from_value(header["metadata"].clone()).unwrap();
            assert_eq!(header["length"], bytes.len() - end - 1, "{} is not whole", path.display());
            let name = folder.strip_prefix(root).unwrap().to_str().unwrap().to_owned();
            let stored = Stored { version: file, current: false, metadata, body: bytes[end + 1..].to_vec() };
            mirror.entry(name).or_default().push(stored);
        }
    }
}
