//! The account on disk: the requests that changed it, and their repetition at the next start.
//!
//! Whatever a request does depends on the account as it is and on the service's time alone; stamps, version ids and
//! entity tags follow from both. So the journal holds each successful writing request with its time, in the order in which
//! they were done (writing requests are done one at a time while there is a journal), and doing them again gives the same
//! account. Reads change nothing that can be seen.

use std::path::Path;
use std::sync::{Mutex, PoisonError};

use bytes::Bytes;
use http::request::Parts;
use http::{HeaderName, HeaderValue, Method, Request};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::errors::Error;
use super::reply::Reply;
use super::{BlobService, StorageSettings};
use crate::journal::{Journal, JournalError, Record as Framed};

const TITLE: &str = "cosmirror emulator, blobs, version 1";

/// Headers that must not get into a file.
const SECRETS: [&str; 2] = ["x-ms-encryption-key", "x-ms-source-encryption-key"];

/// What changed the account. A request's body is the record's.
#[derive(Debug, Serialize, Deserialize)]
#[serde(tag = "record", rename_all = "kebab-case")]
enum Record {
    Request {
        /// RFC 3339, to the nanosecond.
        at: String,
        method: String,
        uri: String,
        /// Values as Latin-1, since they are bytes.
        headers: Vec<(String, String)>,
    },
    Storage {
        settings: StorageSettings,
    },
    Clock {
        offset_ms: i64,
    },
}

/// The journal, and the lock that puts writing requests in order.
pub(super) struct Kept {
    journal: Journal,
    order: Mutex<()>,
}

impl BlobService {
    /// Takes in what a journal holds and writes to it from now on.
    pub(crate) fn keep_in(&self, path: &Path) -> Result<(), JournalError> {
        let journal = Journal::open(path, TITLE, |record| self.take_back(record))?;
        self.kept.get_or_init(|| Kept { journal, order: Mutex::new(()) });
        Ok(())
    }

    /// Changes the account's settings for the requests that follow.
    pub(crate) fn set_storage(&self, settings: StorageSettings) -> Result<(), JournalError> {
        self.in_order(|kept| {
            kept.map_or(Ok(()), |kept| kept.journal.append(&Record::Storage { settings }, &[]))?;
            self.put_storage(settings);
            Ok(())
        })
    }

    /// Sets how far the service's clock is from the host's, in milliseconds.
    pub(crate) fn set_clock(&self, offset_ms: i64) -> Result<(), JournalError> {
        self.in_order(|kept| {
            kept.map_or(Ok(()), |kept| kept.journal.append(&Record::Clock { offset_ms }, &[]))?;
            self.clock.set_offset_ms(offset_ms);
            Ok(())
        })
    }

    /// Answers a request and keeps it if it changed something.
    pub(super) fn answer_and_keep(&self, parts: &Parts, body: Bytes) -> (Timestamp, super::errors::Result<Reply>) {
        if matches!(parts.method, Method::GET | Method::HEAD | Method::OPTIONS) || self.kept.get().is_none() {
            let now = self.clock.now();
            return (now, self.answer(parts, body, now));
        }
        self.in_order(|kept| {
            let now = self.clock.now();
            if SECRETS.iter().any(|name| parts.headers.contains_key(*name)) {
                return (now, Err(Error::lacks("keys of the customer while its state is kept in a folder")));
            }
            let answer = self.answer(parts, body.clone(), now).and_then(|reply| {
                kept.map_or(Ok(()), |kept| kept.journal.append(&record_of(parts, now), &[&body])).map_err(|error| {
                    // Done but not kept: for the client it may or may not have happened, which is what a 500 says.
                    tracing::error!(%error, "a write could not be kept");
                    Error::NotKept
                })?;
                Ok(reply)
            });
            (now, answer)
        })
    }

    fn in_order<T>(&self, work: impl FnOnce(Option<&Kept>) -> T) -> T {
        let kept = self.kept.get();
        let _turn = kept.map(|kept| kept.order.lock().unwrap_or_else(PoisonError::into_inner));
        work(kept)
    }

    fn take_back(&self, framed: Framed) -> Result<(), String> {
        let record: Record = serde_json::from_slice(&framed.head).map_err(|error| error.to_string())?;
        match record {
            Record::Storage { settings } => self.put_storage(settings),
            Record::Clock { offset_ms } => self.clock.set_offset_ms(offset_ms),
            Record::Request { at, method, uri, headers } => {
                let now: Timestamp = at.parse().map_err(|error: jiff::Error| error.to_string())?;
                let parts = parts_of(&method, &uri, &headers)?;
                // Shared with the record otherwise, whose head would live as long as the content.
                let body = Bytes::copy_from_slice(&framed.body);
                self.answer(&parts, body, now).map_err(|error| format!("{method} {uri}: {error}"))?;
            }
        }
        Ok(())
    }
}

fn record_of(parts: &Parts, now: Timestamp) -> Record {
    let latin = |value: &HeaderValue| value.as_bytes().iter().map(|byte| char::from(*byte)).collect();
    Record::Request {
        at: now.to_string(),
        method: parts.method.to_string(),
        uri: parts.uri.to_string(),
        headers: parts.headers.iter().map(|(name, value)| (name.to_string(), latin(value))).collect(),
    }
}

fn parts_of(method: &str, uri: &str, headers: &[(String, String)]) -> Result<Parts, String> {
    let mut request = Request::builder().method(method).uri(uri);
    for (name, value) in headers {
        let bytes =
            value.chars().map(u8::try_from).collect::<Result<Vec<u8>, _>>().map_err(|error| error.to_string())?;
        let name = HeaderName::try_from(name.as_str()).map_err(|error| error.to_string())?;
        request = request.header(name, HeaderValue::from_bytes(&bytes).map_err(|error| error.to_string())?);
    }
    request.body(()).map(|request| request.into_parts().0).map_err(|error| error.to_string())
}
