//! Answers of the blob service, and the headers all of them carry.

use bytes::Bytes;
use http::header::{DATE, ETAG, HeaderName, HeaderValue, LAST_MODIFIED, SERVER};
use http::{HeaderMap, Response, StatusCode};
use jiff::Timestamp;
use percent_encoding::{CONTROLS, percent_encode};

use super::entry::State;
use super::errors::Error;
use super::request::is_version;
use super::time::{Etag, http_date};
use super::xml::Xml;

/// The version the service answers with when the request names none.
const VERSION_DEFAULT: &str = "2026-04-06";

/// An answer under construction.
#[derive(Debug)]
pub(super) struct Reply {
    status: StatusCode,
    headers: HeaderMap,
    body: Bytes,
}

/// Headers of the fullest answer without metadata; a map that grows is built again each time.
const HEADERS_MAX: usize = 24;

const CLIENT_REQUEST_ID: HeaderName = HeaderName::from_static("x-ms-client-request-id");
const REQUEST_ID: HeaderName = HeaderName::from_static("x-ms-request-id");
const VERSION: HeaderName = HeaderName::from_static("x-ms-version");

impl Reply {
    /// An answer without a body.
    pub(super) fn new(status: StatusCode) -> Self {
        Self { status, headers: HeaderMap::with_capacity(HEADERS_MAX), body: Bytes::new() }
    }

    /// An XML document.
    pub(super) fn xml(status: StatusCode, xml: Xml) -> Self {
        let mut reply = Self::new(status);
        reply.set("content-type", "application/xml");
        reply.body = Bytes::from(xml.finish());
        reply
    }

    /// The answer to a refusal. `HEAD` and 304 have no body: the code is in the header alone.
    pub(super) fn refusal(error: &Error, bodiless: bool, request_id: &str, now: Timestamp) -> Self {
        let (status, code) = error.status_and_code();
        let mut reply = if bodiless || status == StatusCode::NOT_MODIFIED {
            Self::new(status)
        } else {
            let mut xml = Xml::new();
            xml.open("Error").element("Code", code);
            xml.element("Message", &format!("{error}\nRequestId:{request_id}\nTime:{now}"));
            for (name, text) in error.details() {
                xml.element(name, &text);
            }
            xml.close("Error");
            Self::xml(status, xml)
        };
        reply.set("x-ms-error-code", code);
        match error {
            Error::InvalidRange { length } => reply.set("content-range", &format!("bytes */{length}")),
            Error::NoAuthenticationInformation | Error::InvalidAuthenticationInfo { .. } => {
                reply.set("www-authenticate", "SharedKey");
            }
            _ => {}
        }
        reply
    }

    /// Replaces the body.
    pub(super) fn set_body(&mut self, body: Bytes) {
        self.body = body;
    }

    /// Sets a header.
    pub(super) fn set(&mut self, name: &'static str, value: &str) {
        self.headers.insert(HeaderName::from_static(name), header_value(value.to_owned()));
    }

    /// Sets a header if there is a value for it.
    pub(super) fn set_optional(&mut self, name: &'static str, value: Option<&str>) {
        if let Some(value) = value {
            self.set(name, value);
        }
    }

    /// Sets a header whose name came from a request.
    pub(super) fn set_named(&mut self, name: &str, value: &str) {
        if let Ok(name) = HeaderName::try_from(name) {
            self.headers.insert(name, header_value(value.to_owned()));
        }
    }

    /// ETag and Last-Modified.
    pub(super) fn set_validators(&mut self, etag: Etag, last_modified: Timestamp) {
        self.headers.insert(ETAG, header_value(etag.quoted()));
        self.headers.insert(LAST_MODIFIED, header_value(http_date(last_modified)));
    }

    /// What the answer to a write says of the state it made.
    pub(super) fn set_written(&mut self, state: &State) {
        self.set_validators(state.etag, state.last_modified);
        self.set_optional("x-ms-version-id", state.version_id().as_deref());
        state.content.encryption.describe(self);
    }

    /// Finishes the answer with the headers that all of them carry.
    pub(super) fn finish(mut self, request: &HeaderMap, request_id: &str, now: Timestamp) -> Response<Bytes> {
        let headers = &mut self.headers;
        headers.insert(DATE, header_value(http_date(now)));
        headers.insert(SERVER, HeaderValue::from_static("Windows-Azure-Blob/1.0 cosmirror-emulator"));
        headers.insert(REQUEST_ID, header_value(request_id.to_owned()));
        // What was asked for as a version and is none has executed nothing.
        match request.get(VERSION) {
            None => drop(headers.insert(VERSION, HeaderValue::from_static(VERSION_DEFAULT))),
            Some(version) if version.to_str().is_ok_and(is_version) => drop(headers.insert(VERSION, version.clone())),
            Some(_) => {}
        }
        if let Some(id) = request.get(CLIENT_REQUEST_ID) {
            headers.insert(CLIENT_REQUEST_ID, id.clone());
        }
        let mut response = Response::new(self.body);
        *response.status_mut() = self.status;
        *response.headers_mut() = self.headers;
        response
    }
}

/// A header's value; what a header cannot hold is percent-encoded.
fn header_value(text: String) -> HeaderValue {
    let text = Bytes::from(text);
    HeaderValue::from_maybe_shared(text.clone()).unwrap_or_else(|_| {
        let encoded = percent_encode(&text, CONTROLS).to_string();
        HeaderValue::try_from(encoded).unwrap_or(HeaderValue::from_static(""))
    })
}
