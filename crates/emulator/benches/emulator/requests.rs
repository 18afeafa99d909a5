//! The requests, signed one by one like an SDK's, written into buffers that are used again.

use std::io::Write;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use cosmirror_emulator::{BLOB_ACCOUNT, BLOB_KEY, COSMOS_KEY};
use hmac::{Hmac, Mac};
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use sha2::Sha256;

/// Bytes of a document or blob as sent, and of a seeded document as stored.
pub(crate) const BODY_BYTES: usize = 1_024;

/// Bytes that the service's properties add to a document, about.
pub(crate) const PROPERTIES_BYTES: usize = 205;

/// Partition key values of all documents.
pub(crate) const KEYS: u64 = 1_000;

/// The path of the container, which is also what its items' feeds are signed by.
const CONTAINER: &str = "dbs/bench/colls/c";

const DATE: &str = "Fri, 20 Nov 2026 18:46:23 GMT";

/// The blob container.
const BLOBS: &str = "bench";

/// Whether a feed shows the latest versions or all.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Mode {
    Latest,
    All,
}

/// Part of a container that a feed is read from: a range by its id, or a sub-range of it between two bounds.
#[derive(Debug, Clone)]
pub(crate) struct Scope {
    pub(crate) range: u32,
    pub(crate) bounds: Option<(String, String)>,
}

/// Makes requests; the keys are set up once.
#[derive(Debug, Clone)]
pub(crate) struct Requests {
    cosmos: Hmac<Sha256>,
    blob: Hmac<Sha256>,
    filler: String,
}

impl Requests {
    /// Sets up both keys.
    pub(crate) fn new() -> std::io::Result<Self> {
        let keyed = |key| {
            let key = STANDARD.decode(key).map_err(std::io::Error::other)?;
            Hmac::new_from_slice(&key).map_err(std::io::Error::other)
        };
        let filler = "amber birch cedar delta ember fjord grove heath ".repeat(BODY_BYTES / 40);
        Ok(Self { cosmos: keyed(COSMOS_KEY)?, blob: keyed(BLOB_KEY)?, filler })
    }

    /// Fills a container `c` with so many documents in so many ranges.
    pub(crate) fn seed(&self, documents: u64, ranges: u32) -> Vec<u8> {
        let body = format!(
            "{{\"database\":\"bench\",\"container\":\"c\",\"count\":{documents},\"bytes\":{BODY_BYTES},\
             \"keys\":{KEYS},\"partitions\":{ranges}}}"
        );
        format!("POST /_emulator/seed HTTP/1.1\r\nhost: bench\r\ncontent-length: {}\r\n\r\n{body}", body.len())
            .into_bytes()
    }

    /// Upserts the document with an id's first letter and a number, of so many bytes.
    pub(crate) fn upsert(&self, out: &mut Vec<u8>, (kind, number): (char, u64), revision: u64, bytes: usize) {
        let mut document = format!(
            "{{\"id\":\"{kind}{number}\",\"pk\":\"p{}\",\"n\":{number},\"revision\":{revision},\"text\":\"",
            number % KEYS
        );
        let room = bytes - 2 - document.len();
        document.push_str(&self.filler[..room]);
        document.push_str("\"}");
        out.clear();
        out.extend_from_slice(format!("POST /{CONTAINER}/docs HTTP/1.1\r\n").as_bytes());
        self.sign_cosmos(out, "post", "docs", CONTAINER);
        out.extend_from_slice(
            format!(
                "x-ms-documentdb-partitionkey: [\"p{}\"]\r\nx-ms-documentdb-is-upsert: true\r\nprefer: return=minimal\r\n\
                 content-type: application/json\r\ncontent-length: {}\r\n\r\n{document}",
                number % KEYS,
                document.len()
            )
            .as_bytes(),
        );
    }

    /// Reads a page of the change feed after a sequence number.
    pub(crate) fn page(&self, out: &mut Vec<u8>, mode: Mode, scope: &Scope, after: &str) {
        let feed = match mode {
            Mode::Latest => "Incremental Feed",
            Mode::All => "Full-Fidelity Feed",
        };
        out.clear();
        out.extend_from_slice(format!("GET /{CONTAINER}/docs HTTP/1.1\r\n").as_bytes());
        self.sign_cosmos(out, "get", "docs", CONTAINER);
        out.extend_from_slice(
            format!(
                "a-im: {feed}\r\nif-none-match: {after}\r\nx-ms-max-item-count: 1000\r\n\
                 x-ms-cosmos-changefeed-wire-format-version: 2021-09-15\r\n\
                 x-ms-documentdb-partitionkeyrangeid: {}\r\n",
                scope.range
            )
            .as_bytes(),
        );
        if let Some((start, end)) = &scope.bounds {
            out.extend_from_slice(
                format!(
                    "x-ms-read-key-type: EffectivePartitionKeyRange\r\nx-ms-start-epk: {start}\r\nx-ms-end-epk: {end}\r\n"
                )
                .as_bytes(),
            );
        }
        out.extend_from_slice(b"\r\n");
    }

    /// Puts a small blob.
    pub(crate) fn put(&self, out: &mut Vec<u8>, name: &str, number: u64) {
        let headers = [
            ("x-ms-blob-type", "BlockBlob"),
            ("x-ms-client-request-id", "00000000-0000-4000-8000-000000000000"),
            ("x-ms-date", DATE),
            ("x-ms-meta-lsn", "12345678"),
            ("x-ms-meta-op", "replace"),
            ("x-ms-version", "2026-04-06"),
        ];
        let path = format!("/{BLOB_ACCOUNT}/{BLOBS}/{name}");
        self.blob_head(out, &path, "", &headers, BODY_BYTES);
        out.extend_from_slice(format!("{number:>20}").as_bytes());
        out.extend_from_slice(&self.filler.as_bytes()[..BODY_BYTES - 20]);
    }

    /// Creates the blob container.
    pub(crate) fn create_blob_container(&self) -> Vec<u8> {
        let mut out = Vec::new();
        let path = format!("/{BLOB_ACCOUNT}/{BLOBS}");
        let headers = [("x-ms-date", DATE), ("x-ms-version", "2026-04-06")];
        self.blob_head(&mut out, &path, "restype=container", &headers, 0);
        out
    }

    /// The head of a PUT. The headers are those that signatures cover, in their order.
    fn blob_head(&self, out: &mut Vec<u8>, path: &str, query: &str, headers: &[(&str, &str)], length: usize) {
        let mut lines = String::with_capacity(512);
        for (name, value) in headers {
            lines.push_str(&format!("{name}:{value}\n"));
        }
        let signed_length = if length == 0 { String::new() } else { length.to_string() };
        let signed_query = query.replacen('=', ":", 1);
        let separator = if query.is_empty() { "" } else { "\n" };
        let text = format!(
            "PUT\n\n\n{signed_length}\n\napplication/json\n\n\n\n\n\n\n{lines}/{BLOB_ACCOUNT}{path}{separator}{signed_query}"
        );
        let signature = STANDARD.encode(self.blob.clone().chain_update(text.as_bytes()).finalize().into_bytes());
        let query = if query.is_empty() { String::new() } else { format!("?{query}") };
        out.clear();
        // Writing to memory does not fail.
        let _ = write!(
            out,
            "PUT {path}{query} HTTP/1.1\r\nhost: bench\r\nauthorization: SharedKey {BLOB_ACCOUNT}:{signature}\r\n\
             content-type: application/json\r\ncontent-length: {length}\r\n"
        );
        for (name, value) in headers {
            let _ = write!(out, "{name}: {value}\r\n");
        }
        out.extend_from_slice(b"\r\n");
    }

    /// The headers that the document service wants of every request.
    fn sign_cosmos(&self, out: &mut Vec<u8>, verb: &str, kind: &str, link: &str) {
        let text = format!("{verb}\n{kind}\n{link}\n{}\n\n", DATE.to_ascii_lowercase());
        let signature = STANDARD.encode(self.cosmos.clone().chain_update(text.as_bytes()).finalize().into_bytes());
        let token = format!("type=master&ver=1.0&sig={signature}");
        let token = utf8_percent_encode(&token, NON_ALPHANUMERIC);
        out.extend_from_slice(
            format!("host: bench\r\nauthorization: {token}\r\nx-ms-date: {DATE}\r\nx-ms-version: 2020-07-15\r\n")
                .as_bytes(),
        );
    }
}
