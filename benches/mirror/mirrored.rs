//! What the mirror holds, by its listing: names, version ids and the metadata that tells which change a version is.

use std::collections::HashSet;
use std::net::SocketAddr;

use bytes::Bytes;
use cosmirror_emulator::BLOB_ACCOUNT;
use http::{HeaderMap, Method};
use jiff::Timestamp;

use crate::Outcome;
use crate::connection::Connection;
use crate::daemon::{MIRROR, SOURCE};
use crate::emulator::DATABASE;
use crate::sign::Keys;

/// The most that a page may hold.
const PAGE_ITEMS: &str = "5000";

/// One version of a document.
#[derive(Debug)]
pub(crate) struct Version<'a> {
    pub(crate) name: &'a str,
    /// When the service took it, to 100 ns.
    pub(crate) stored: Timestamp,
    /// The document's entity tag, without quotes.
    pub(crate) etag: String,
}

/// Lists all versions of documents in a container of blobs, a page at a time.
pub(crate) async fn pages(
    blob: SocketAddr,
    keys: &Keys,
    container: &str,
    mut see: impl FnMut(&str) -> Outcome<()>,
) -> Outcome<()> {
    let mut connection = Connection::open(blob).await?;
    let (path, prefix) = (format!("/{BLOB_ACCOUNT}/{container}"), format!("{DATABASE}/{SOURCE}/documents/"));
    let mut marker = String::new();
    loop {
        let mut query = vec![
            ("comp", "list"),
            ("include", "versions,metadata"),
            ("maxresults", PAGE_ITEMS),
            ("prefix", &prefix),
            ("restype", "container"),
        ];
        if !marker.is_empty() {
            query.push(("marker", &marker));
        }
        let request = keys.blob(Method::GET, &path, &query, HeaderMap::new(), Bytes::new())?;
        let body = connection.send(request).await?.body;
        let page = std::str::from_utf8(&body)?;
        see(page)?;
        let next = page.rfind("<NextMarker>").and_then(|at| between(&page[at..], "<NextMarker>", "</NextMarker>"));
        marker = next.unwrap_or_default().to_owned();
        if marker.is_empty() {
            return Ok(());
        }
    }
}

/// Looks at each version in the mirror.
pub(crate) async fn each(
    blob: SocketAddr,
    keys: &Keys,
    container: &str,
    mut see: impl FnMut(Version<'_>),
) -> Outcome<()> {
    pages(blob, keys, container, |page| {
        for blob in page.split("<Blob>").skip(1) {
            let text = |begin, end| between(blob, begin, end);
            // Entity tags have quotes, and those of the blobs themselves are an element in capitals.
            let etag = text("<etag>", "</etag>").map(|etag| etag.replace("&quot;", "").replace('"', ""));
            let name = text("<Name>", "</Name>").ok_or("a blob without a name")?;
            let stored = text("<VersionId>", "</VersionId>").ok_or("a blob without a version")?.parse()?;
            see(Version { name, stored, etag: etag.ok_or("a version without an entity tag")? });
        }
        Ok(())
    })
    .await
}

/// What a container of blobs holds of documents.
#[derive(Debug)]
pub(crate) struct Found {
    pub(crate) versions: u64,
    pub(crate) documents: u64,
    /// When the last version was stored.
    pub(crate) last: Timestamp,
}

impl Found {
    /// Whether there are as many as there must be.
    pub(crate) fn is(&self, versions: u64, documents: u64) -> bool {
        (self.versions, self.documents) == (versions, documents)
    }
}

/// Counts all versions in a container of blobs.
pub(crate) async fn count(blob: SocketAddr, keys: &Keys, container: &str) -> Outcome<Found> {
    let mut found = Found { versions: 0, documents: 0, last: Timestamp::UNIX_EPOCH };
    let mut last = String::new();
    let mut seen = HashSet::new();
    each(blob, keys, container, |version| {
        found.versions += 1;
        found.last = found.last.max(version.stored);
        // Versions of one name stand together; what is repeated elsewhere must not count as another document.
        if version.name != last {
            version.name.clone_into(&mut last);
            found.documents += u64::from(seen.insert(last.clone()));
        }
    })
    .await?;
    Ok(found)
}

/// The same of the mirror.
pub(crate) async fn count_mirror(blob: SocketAddr, keys: &Keys) -> Outcome<Found> {
    count(blob, keys, MIRROR).await
}

fn between<'a>(text: &'a str, begin: &str, end: &str) -> Option<&'a str> {
    let text = &text[text.find(begin)? + begin.len()..];
    text.find(end).map(|at| &text[..at])
}
