//! What a blob holds: bytes, content headers and metadata, as Put Blob takes them and reads return them.
//!
//! Invariants: every text was a header's value, so it can be one again; metadata names are C# identifiers in
//! lower case and hold, with their values, at most [`METADATA_BYTES_MAX`].

use std::collections::BTreeMap;

use bytes::Bytes;

use super::checksum;
use super::encryption::Encryption;
use super::errors::{Error, Result};
use super::reply::Reply;
use super::request::Call;

/// Bytes of names and values of a blob's metadata, by the service's documentation.
const METADATA_BYTES_MAX: usize = 8 * 1024;
/// Bytes of one Put Blob. The service takes 5,000 MiB; everything here is held in memory.
pub(super) const BLOB_BYTES_MAX: usize = 256 * 1024 * 1024;

/// Headers whose effect the emulator lacks: better refused than forgotten.
const LACKING: [&str; 2] = ["x-ms-structured-body", "x-ms-expiry-option"];

/// Metadata: name in lower case → value.
pub(super) type Metadata = BTreeMap<String, String>;

/// The bytes of a state with all that was stored beside them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Content {
    pub(super) body: Bytes,
    pub(super) headers: ContentHeaders,
    pub(super) metadata: Metadata,
    /// The parts of `body` by their blocks, if a block list made it.
    pub(super) blocks: Vec<Block>,
    pub(super) encryption: Encryption,
}

/// A part of a blob that is written in parts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Block {
    pub(super) id: Vec<u8>,
    pub(super) bytes: Bytes,
}

/// The content headers of a blob.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct ContentHeaders {
    pub(super) content_type: Option<String>,
    pub(super) encoding: Option<String>,
    pub(super) language: Option<String>,
    pub(super) disposition: Option<String>,
    pub(super) cache_control: Option<String>,
    pub(super) md5: Option<String>,
}

impl Content {
    /// Reads the content of a Put Blob and checks its checksums.
    pub(super) fn of_put(call: &Call<'_>, body: Bytes) -> Result<Self> {
        refuse_lacking(call)?;
        match call.header("x-ms-blob-type")? {
            Some("BlockBlob") => {}
            Some(other @ ("AppendBlob" | "PageBlob")) => return Err(Error::lacks(format!("{other}s"))),
            Some(other) => return Err(Error::header("x-ms-blob-type", other)),
            None => return Err(Error::MissingHeader { name: "x-ms-blob-type" }),
        }
        let md5 = check_transport(call, &body)?;
        let mut headers = ContentHeaders::of(call)?;
        Error::check_md5(headers.md5.as_deref(), &md5)?;
        headers.md5 = Some(md5);
        headers.inherit_plain(call)?;
        Self::with(call, headers, body)
    }

    /// Reads the content of a Put Block List, whose bytes are still to come. Its MD5 is kept as given: the service
    /// does not check it.
    pub(super) fn of_commit(call: &Call<'_>) -> Result<Self> {
        refuse_lacking(call)?;
        Self::with(call, ContentHeaders::of(call)?, Bytes::new())
    }

    fn with(call: &Call<'_>, headers: ContentHeaders, body: Bytes) -> Result<Self> {
        let encryption = Encryption::of(call)?;
        Ok(Self { body, headers, metadata: metadata(call)?, blocks: Vec::new(), encryption })
    }

    /// Writes the headers that every read of the blob carries, except length and range.
    pub(super) fn describe(&self, reply: &mut Reply) {
        let headers = &self.headers;
        let content_type = headers.content_type.as_deref();
        reply.set("content-type", content_type.unwrap_or("application/octet-stream"));
        reply.set_optional("content-encoding", headers.encoding.as_deref());
        reply.set_optional("content-language", headers.language.as_deref());
        reply.set_optional("content-disposition", headers.disposition.as_deref());
        reply.set_optional("cache-control", headers.cache_control.as_deref());
        self.describe_metadata(reply);
    }

    /// Writes the metadata's headers.
    pub(super) fn describe_metadata(&self, reply: &mut Reply) {
        for (name, value) in &self.metadata {
            reply.set_named(&format!("x-ms-meta-{name}"), value);
        }
    }
}

impl ContentHeaders {
    /// Reads the `x-ms-blob-…` headers.
    pub(super) fn of(call: &Call<'_>) -> Result<Self> {
        let text = |name| Ok(call.header(name)?.map(str::to_owned));
        Ok(Self {
            content_type: text("x-ms-blob-content-type")?,
            encoding: text("x-ms-blob-content-encoding")?,
            language: text("x-ms-blob-content-language")?,
            disposition: text("x-ms-blob-content-disposition")?,
            cache_control: text("x-ms-blob-cache-control")?,
            md5: text("x-ms-blob-content-md5")?,
        })
    }

    /// Takes from `other` what is not given here.
    pub(super) fn or(self, other: &Self) -> Self {
        let pick = |own: Option<String>, other: &Option<String>| own.or_else(|| other.clone());
        Self {
            content_type: pick(self.content_type, &other.content_type),
            encoding: pick(self.encoding, &other.encoding),
            language: pick(self.language, &other.language),
            disposition: pick(self.disposition, &other.disposition),
            cache_control: pick(self.cache_control, &other.cache_control),
            md5: pick(self.md5, &other.md5),
        }
    }

    /// Put Blob also takes the standard headers where the specific one is absent.
    fn inherit_plain(&mut self, call: &Call<'_>) -> Result<()> {
        for (slot, name) in [
            (&mut self.content_type, "content-type"),
            (&mut self.encoding, "content-encoding"),
            (&mut self.language, "content-language"),
            (&mut self.cache_control, "cache-control"),
        ] {
            if slot.is_none() {
                *slot = call.header(name)?.map(str::to_owned);
            }
        }
        Ok(())
    }
}

/// Checks a request's body against its limit and the checksums sent for it; returns its MD5.
pub(super) fn check_transport(call: &Call<'_>, body: &Bytes) -> Result<String> {
    if body.len() > BLOB_BYTES_MAX {
        return Err(Error::BodyTooLarge { limit: BLOB_BYTES_MAX });
    }
    let md5 = checksum::md5(body);
    Error::check_md5(call.header("content-md5")?, &md5)?;
    Error::check_crc64(call.header("x-ms-content-crc64")?, || checksum::crc64(body))?;
    Ok(md5)
}

/// Refuses headers whose effect the emulator lacks.
pub(super) fn refuse_lacking(call: &Call<'_>) -> Result<()> {
    match LACKING.iter().find(|name| call.headers.contains_key(**name)) {
        Some(name) => Err(Error::lacks(format!("the header {name}"))),
        None => Ok(()),
    }
}

/// Reads the metadata of a request.
pub(super) fn metadata(call: &Call<'_>) -> Result<Metadata> {
    let mut metadata = Metadata::new();
    let mut bytes = 0;
    for header in call.headers.keys() {
        let Some(name) = header.as_str().strip_prefix("x-ms-meta-") else {
            continue;
        };
        let invalid = || Error::InvalidMetadata { name: header.as_str().to_owned() };
        let mut values = Vec::new();
        for value in call.headers.get_all(header) {
            values.push(value.to_str().map_err(|_| invalid())?.trim());
        }
        let value = values.join(",");
        if !is_identifier(name) {
            return Err(invalid());
        }
        bytes += name.len() + value.len();
        metadata.insert(name.to_owned(), value);
    }
    if bytes > METADATA_BYTES_MAX {
        return Err(Error::MetadataTooLarge { limit: METADATA_BYTES_MAX });
    }
    Ok(metadata)
}

/// Whether a metadata name is a C# identifier, as far as a header's name can be one.
fn is_identifier(name: &str) -> bool {
    name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
        && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn put(headers: &[(&str, &str)], body: &'static [u8]) -> Result<Content> {
        let mut builder = http::Request::put("/devstoreaccount1/c/b").header("x-ms-blob-type", "BlockBlob");
        for (name, value) in headers {
            builder = builder.header(*name, *value);
        }
        let parts = builder.body(()).unwrap().into_parts().0;
        Content::of_put(&Call::parse(&parts).unwrap(), Bytes::from_static(body))
    }

    #[test]
    fn the_specific_content_headers_win_over_the_standard_ones() {
        let content = put(
            &[
                ("content-type", "text/plain"),
                ("x-ms-blob-content-type", "application/json"),
                ("cache-control", "no-store"),
            ],
            b"{}",
        )
        .unwrap();
        assert_eq!(content.headers.content_type.as_deref(), Some("application/json"));
        assert_eq!(content.headers.cache_control.as_deref(), Some("no-store"));
    }

    #[test]
    fn wrong_checksums_are_refused_and_right_ones_are_not() {
        for name in ["content-md5", "x-ms-blob-content-md5"] {
            assert!(matches!(put(&[(name, "AAAA")], b"x"), Err(Error::Md5Mismatch { .. })));
        }
        assert!(matches!(put(&[("x-ms-content-crc64", "AAAA")], b"x"), Err(Error::Crc64Mismatch { .. })));
        // The MD5 of nothing, and the CRC of nothing.
        let right = [("content-md5", "1B2M2Y8AsgTpgAmY7PhCfg=="), ("x-ms-content-crc64", "AAAAAAAAAAA=")];
        assert!(put(&right, b"").is_ok());
    }

    #[test]
    fn metadata_has_identifiers_for_names_and_a_limit() {
        let content = put(&[("x-ms-meta-Op", " create "), ("x-ms-meta-_1", "")], b"").unwrap();
        let pairs: Vec<_> = content.metadata.into_iter().collect();
        let expected = [("_1", ""), ("op", "create")].map(|(k, v)| (k.to_owned(), v.to_owned()));
        assert_eq!(pairs, expected);
        assert!(matches!(put(&[("x-ms-meta-a.b", "x")], b""), Err(Error::InvalidMetadata { .. })));
        assert!(matches!(put(&[("x-ms-meta-1", "x")], b""), Err(Error::InvalidMetadata { .. })));
        let at_limit = "x".repeat(METADATA_BYTES_MAX - 1);
        assert!(put(&[("x-ms-meta-a", &at_limit)], b"").is_ok());
        let over = "x".repeat(METADATA_BYTES_MAX);
        assert!(matches!(put(&[("x-ms-meta-a", &over)], b""), Err(Error::MetadataTooLarge { .. })));
    }

    #[test]
    fn what_the_emulator_lacks_is_refused_by_name() {
        let structured = put(&[("x-ms-structured-body", "XSM/1.0")], b"");
        assert_eq!(structured, Err(Error::lacks("the header x-ms-structured-body")));
    }
}
