//! A page of List Blobs, read as it stands in the answer.
//!
//! The SDK reads it into its models by way of serde, which takes several times as long. A page of the service has up to 5,000 versions, and planning a
//! restore reads every one of a container. The form is that of
//! <https://learn.microsoft.com/rest/api/storageservices/list-blobs>.

use azure_storage_blob::models::BlobItem;
use percent_encoding::percent_decode_str;
use quick_xml::Reader;
use quick_xml::escape::resolve_predefined_entity;
use quick_xml::events::{BytesRef, BytesStart, Event};
use std::borrow::Cow;

use super::heads;
use crate::store::{Head, Listing, Page};

/// What a listing is asked to show.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Shown {
    /// Blobs.
    Current,
    /// Blobs and their versions.
    Versions,
    /// Blobs and their snapshots. A snapshot's version is its time, and a blob's is empty.
    Snapshots,
}

impl From<Listing> for Shown {
    fn from(listing: Listing) -> Self {
        match listing {
            Listing::Current => Self::Current,
            Listing::Versions => Self::Versions,
        }
    }
}

/// Why a page cannot be used.
type Fault = Cow<'static, str>;

/// Where in the page the reader stands: how deep, and in which part of a blob.
#[derive(Default)]
struct Place {
    depth: usize,
    part: Part,
    /// The name of the blob is percent-encoded, because XML could not hold it.
    encoded: bool,
    /// The page has ended as a page ends. Nothing at all must not pass for a container without blobs.
    ended: bool,
}

#[derive(Default, Clone, Copy, PartialEq, Eq)]
enum Part {
    #[default]
    Other,
    Properties,
    Metadata,
}

/// What has been read of a blob.
#[derive(Default)]
struct Item {
    name: Option<String>,
    version: String,
    snapshot: Option<String>,
    is_current: bool,
    etag: Option<String>,
    length: Option<u64>,
    metadata: Vec<(String, String)>,
}

/// The page that an answer holds.
pub(super) fn page(answer: &[u8], shown: Shown) -> Result<Page, Fault> {
    let mut reader = Reader::from_reader(answer);
    reader.config_mut().expand_empty_elements = true;
    let (mut page, mut place, mut item, mut text) =
        (Page::default(), Place::default(), Item::default(), String::with_capacity(256));
    loop {
        match reader.read_event().map_err(|_| "it is not well-formed")? {
            Event::Start(start) => {
                text.clear();
                place.enter(&start);
            }
            Event::Text(part) => text.push_str(&part.decode().map_err(|_| "it is not UTF-8")?),
            Event::CData(part) => text.push_str(&part.decode().map_err(|_| "it is not UTF-8")?),
            Event::GeneralRef(reference) => push_reference(&mut text, &reference)?,
            Event::End(end) => {
                match place.depth {
                    1 => place.ended = end.name().0 == b"EnumerationResults",
                    2 if end.name().0 == b"NextMarker" => {
                        page.next = Some(std::mem::take(&mut text)).filter(|marker| !marker.is_empty());
                    }
                    3 if end.name().0 == b"Blob" => page.heads.push(std::mem::take(&mut item).into_head(shown)?),
                    4 => item.part(end.name().0, &mut text, place.encoded)?,
                    5 => item.field(place.part, end.name().0, &mut text),
                    _ => {}
                }
                place.depth = place.depth.saturating_sub(1);
            }
            Event::Eof if place.ended => return Ok(page),
            Event::Eof => return Err("it ends too early".into()),
            Event::Empty(_) | Event::Comment(_) | Event::Decl(_) | Event::PI(_) | Event::DocType(_) => {}
        }
    }
}

/// Where the next page begins, if that can be told without reading the whole of this one: it stands at the end.
pub(super) fn next(answer: &[u8]) -> Option<Option<String>> {
    const END: &[u8] = b"</EnumerationResults>";
    let markers = answer.trim_ascii_end().strip_suffix(END)?.trim_ascii_end();
    if markers.ends_with(b"<NextMarker/>") || markers.ends_with(b"<NextMarker />") {
        return Some(None);
    }
    let markers = markers.strip_suffix(b"</NextMarker>")?;
    let begin = markers.iter().rposition(|byte| *byte == b'<')?;
    let marker = std::str::from_utf8(markers[begin..].strip_prefix(b"<NextMarker>")?).ok()?;
    if marker.contains(['&', '\r']) {
        return None;
    }
    Some((!marker.is_empty()).then(|| marker.to_owned()))
}

/// The page that the SDK read.
pub(super) fn heads_of(items: Vec<BlobItem>, shown: Shown) -> Result<Vec<Head>, Fault> {
    items.into_iter().map(|item| Item::of_the_sdk(item).into_head(shown)).collect()
}

impl Place {
    fn enter(&mut self, start: &BytesStart<'_>) {
        self.depth += 1;
        if self.depth != 4 {
            return;
        }
        self.part = match start.name().0 {
            b"Properties" => Part::Properties,
            b"Metadata" => Part::Metadata,
            _ => Part::Other,
        };
        self.encoded = matches!(start.try_get_attribute("Encoded"), Ok(Some(said)) if said.value.as_ref() == b"true");
    }
}

impl Item {
    fn of_the_sdk(item: BlobItem) -> Self {
        let properties = item.properties.unwrap_or_default();
        let metadata = item.metadata.and_then(|metadata| metadata.values).unwrap_or_default();
        Self {
            name: item.name,
            version: item.version_id.unwrap_or_default(),
            snapshot: item.snapshot,
            is_current: item.is_current_version == Some(true),
            etag: properties.etag.map(|etag| etag.as_ref().to_owned()),
            length: properties.content_length,
            metadata: metadata.into_iter().map(|(name, value)| (name.to_ascii_lowercase(), value)).collect(),
        }
    }

    fn part(&mut self, name: &[u8], text: &mut String, encoded: bool) -> Result<(), Fault> {
        match name {
            b"Name" if encoded => {
                let decoded = percent_decode_str(text).decode_utf8().map_err(|_| "a blob's name is not UTF-8")?;
                self.name = Some(decoded.into_owned());
            }
            b"Name" => self.name = Some(std::mem::take(text)),
            b"VersionId" => self.version = std::mem::take(text),
            b"Snapshot" => self.snapshot = Some(std::mem::take(text)),
            b"IsCurrentVersion" => self.is_current = text == "true",
            _ => {}
        }
        Ok(())
    }

    fn field(&mut self, part: Part, name: &[u8], text: &mut String) {
        match (part, name) {
            (Part::Properties, b"Etag") => self.etag = Some(std::mem::take(text)),
            (Part::Properties, b"Content-Length") => self.length = text.trim().parse().ok(),
            (Part::Metadata, name) => {
                let mut name = String::from_utf8_lossy(name).into_owned();
                name.make_ascii_lowercase();
                self.metadata.push((name, std::mem::take(text)));
            }
            _ => {}
        }
    }

    fn into_head(self, shown: Shown) -> Result<Head, Fault> {
        let (version, current) = match shown {
            Shown::Current => (self.version, true),
            // Only a current blob can lack a version id: it was stored while versioning was off.
            Shown::Versions => {
                let current = self.is_current || self.version.is_empty();
                (self.version, current)
            }
            Shown::Snapshots => {
                let current = self.snapshot.is_none();
                (self.snapshot.unwrap_or_default(), current)
            }
        };
        Ok(Head {
            name: self.name.ok_or("a blob has no name")?,
            etag: heads::quoted(&self.etag.ok_or("a blob has no etag")?),
            current,
            version,
            length: self.length.ok_or("a blob has no length")?,
            // Of many at once a tree is made for less than one after the other.
            metadata: self.metadata.into_iter().collect(),
        })
    }
}

/// The character that a reference such as `&amp;` or `&#228;` stands for.
pub(super) fn push_reference(text: &mut String, reference: &BytesRef<'_>) -> Result<(), Fault> {
    if let Some(character) = reference.resolve_char_ref().map_err(|_| "it is not well-formed")? {
        text.push(character);
        return Ok(());
    }
    let name = reference.decode().map_err(|_| "it is not UTF-8")?;
    text.push_str(resolve_predefined_entity(&name).ok_or("it refers to what it does not define")?);
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    fn versions(xml: &str) -> Result<Page, Fault> {
        page(xml.as_bytes(), Shown::Versions)
    }

    #[test]
    fn a_page_of_the_service_is_read_whole() {
        // After the service's own, with its byte order mark.
        let xml = "\u{feff}<?xml version=\"1.0\" encoding=\"utf-8\"?><EnumerationResults ServiceEndpoint=\"https://a.blob.core.windows.net/\" \
             ContainerName=\"mirror\"><Prefix>a&amp;b/</Prefix><MaxResults>2</MaxResults><Blobs>\
             <Blob><Name>a&amp;b/&lt;&#228;&#x4e2d;>.json</Name><VersionId>2026-01-01T00:00:00.0000001Z</VersionId>\
             <Properties><Creation-Time>x</Creation-Time><Etag>0x8D1</Etag><Content-Length>12</Content-Length><Etag-Of-None/></Properties>\
             <Metadata><Op>create</Op><prev>\"1&quot;</prev><empty/></Metadata><OrMetadata/></Blob>\n\
             <Blob><Name Encoded=\"true\">a%26b%FF%2F</Name></Blob></Blobs><NextMarker>2!mark</NextMarker></EnumerationResults>";
        let broken = versions(xml).unwrap_err();
        assert_eq!(broken, "a blob's name is not UTF-8");
        let xml = xml.replace("%FF", "%EF%BF%BE").replace(
            "</Name></Blob>",
            "</Name><VersionId>v</VersionId><IsCurrentVersion>true</IsCurrentVersion><Properties><Content-Length>0</Content-Length>\
             <Etag>\"0x8D2\"</Etag></Properties><Metadata/></Blob>",
        );
        let page = versions(&xml).unwrap();
        assert_eq!(page.next.as_deref(), Some("2!mark"));
        let metadata = [("op", "create"), ("prev", "\"1\""), ("empty", "")];
        let first = Head {
            name: "a&b/<ä中>.json".to_owned(),
            version: "2026-01-01T00:00:00.0000001Z".to_owned(),
            etag: "\"0x8D1\"".to_owned(),
            current: false,
            length: 12,
            metadata: metadata.map(|(name, value)| (name.to_owned(), value.to_owned())).into(),
        };
        let second = Head {
            name: "a&b\u{fffe}/".to_owned(),
            version: "v".to_owned(),
            etag: "\"0x8D2\"".to_owned(),
            current: true,
            length: 0,
            metadata: BTreeMap::new(),
        };
        assert_eq!(page.heads, [first, second]);
    }

    #[test]
    fn an_empty_page_has_no_next() {
        let page = versions("<EnumerationResults><Blobs/><NextMarker/></EnumerationResults>").unwrap();
        assert!(page.heads.is_empty() && page.next.is_none());
    }

    #[test]
    fn where_the_next_page_begins_is_told_from_the_end_or_not_at_all() {
        let said = |end: &str| next(format!("<EnumerationResults><Blobs/>{end}</EnumerationResults>\n").as_bytes());
        for (end, expected) in [
            ("<NextMarker>2!92!b</NextMarker>", Some(Some("2!92!b"))),
            ("<NextMarker></NextMarker>\n ", Some(None)),
            ("<NextMarker/>", Some(None)),
            ("<NextMarker />", Some(None)),
            ("<NextMarker>a&amp;b</NextMarker>", None),
            ("<NextMarker a=\"b\">x</NextMarker>", None),
            ("<NextMarker><![CDATA[x]]></NextMarker>", None),
            ("<NextMarker>x</NextMarker><More/>", None),
            ("", None),
        ] {
            let whole = format!("<EnumerationResults><Blobs/>{end}</EnumerationResults>");
            assert_eq!(said(end), expected.map(|next| next.map(str::to_owned)), "{end}");
            if let Some(expected) = expected {
                assert_eq!(versions(&whole).unwrap().next.as_deref(), expected, "{end}");
            }
            assert_eq!(next(&whole.as_bytes()[..whole.len() - 1]), None);
        }
        assert_eq!(next(b""), None);
    }

    #[test]
    fn what_is_no_page_is_refused_whole() {
        let blob =
            "<Blob><Name>a</Name><Properties><Etag>1</Etag><Content-Length>1</Content-Length></Properties></Blob>";
        let whole = format!("<EnumerationResults><Blobs>{blob}</Blobs><NextMarker/></EnumerationResults>");
        assert_eq!(versions(&whole).unwrap().heads.len(), 1);
        for cut in 0..whole.len() {
            assert!(versions(&whole[..cut]).is_err(), "{}", &whole[..cut]);
        }
        for (part, without) in
            [("<Name>a</Name>", ""), ("<Etag>1</Etag>", ""), (">1</Content", ">x</Content"), (">a<", ">&x;<")]
        {
            assert!(versions(&whole.replace(part, without)).is_err(), "{part}");
        }
    }
}
