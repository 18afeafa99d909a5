//! Put Blob and Get Blob Properties without the SDK: the requests that a mirror makes for every change.
//!
//! They are what the SDK would send, so far as it means something (a test holds both side by side), for a fraction of its processor
//! time: the SDK builds a pipeline of policies, a map of headers and a URL for each. Everything else goes through the SDK. So do these where the
//! environment names a proxy for the target ([`connect`]).
//!
//! Nothing is tried twice here but a request that a closed connection never took. Of an answer that is no success, the status and the service's
//! error code are read, and as much of its body as an error has.

use std::collections::BTreeMap;
use std::time::Duration;

use azure_core::http::Url;
use bytes::Bytes;
use http::header::{AUTHORIZATION, CONTENT_LENGTH, CONTENT_TYPE, IF_MATCH, IF_NONE_MATCH, USER_AGENT};
use http::uri::{Authority, Scheme};
use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, StatusCode, Uri};
use http_body_util::{BodyExt as _, Full, Limited};
use hyper::body::{Body as _, Incoming};
use hyper_util::client::legacy::Client;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};

use self::connect::Connector;
pub(super) use self::proof::Proof;
use super::answer::AnswerHeaders as _;
use super::client::Counted;
use super::errors::{self, Attempt};
use super::{CONTENT_TYPE as DOCUMENT_TYPE, PUT_TIMEOUT, READ_TIMEOUT, heads};
use crate::admin::RequestMetrics;
use crate::failure::{Failure, Kind};
use crate::store::{Condition, Head};

mod connect;
mod proof;

/// What may not stand in a segment of a path (RFC 3986, `pchar`). A slash within a blob's name is encoded too, as the SDK does it.
const ENCODED: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'-')
    .remove(b'_')
    .remove(b'.')
    .remove(b'~')
    .remove(b'!')
    .remove(b'$')
    .remove(b'&')
    .remove(b'\'')
    .remove(b'(')
    .remove(b')')
    .remove(b'*')
    .remove(b'+')
    .remove(b',')
    .remove(b';')
    .remove(b'=')
    .remove(b':')
    .remove(b'@');
/// Most that is read of an answer that says no; errors have a few hundred bytes.
const ERROR_BYTES_MAX: usize = 64 * 1024;
/// Headers of a put: its metadata and a few more. Room for them at once costs less than growing into it.
const HEADERS: usize = 32;

const BLOB_CONTENT_TYPE: HeaderName = HeaderName::from_static("x-ms-blob-content-type");
const BLOB_TYPE: HeaderName = HeaderName::from_static("x-ms-blob-type");
const VERSION: HeaderName = HeaderName::from_static("x-ms-version");

/// The headers of a version's metadata; one that is known need not be made for every put.
static METADATA: [HeaderName; 14] = [
    HeaderName::from_static("x-ms-meta-format"),
    HeaderName::from_static("x-ms-meta-op"),
    HeaderName::from_static("x-ms-meta-ts"),
    HeaderName::from_static("x-ms-meta-lsn"),
    HeaderName::from_static("x-ms-meta-nth"),
    HeaderName::from_static("x-ms-meta-lineage"),
    HeaderName::from_static("x-ms-meta-etag"),
    HeaderName::from_static("x-ms-meta-rid"),
    HeaderName::from_static("x-ms-meta-id"),
    HeaderName::from_static("x-ms-meta-pk"),
    HeaderName::from_static("x-ms-meta-prev"),
    HeaderName::from_static("x-ms-meta-after"),
    HeaderName::from_static("x-ms-meta-omitted"),
    HeaderName::from_static("x-ms-meta-sha256"),
];

/// Makes requests to the blobs of one container.
pub(super) struct Direct {
    client: Client<Connector, Full<Bytes>>,
    scheme: Scheme,
    authority: Authority,
    /// The container's path, with a slash at its end.
    path: String,
    /// The shared access signature, where that is the proof.
    query: Option<String>,
    proof: Proof,
    version: HeaderValue,
    requests: RequestMetrics,
}

/// What came back, without its content.
struct Answer {
    status: StatusCode,
    headers: HeaderMap,
    /// Of an answer that says no: what it holds.
    body: Bytes,
}

impl Direct {
    /// For the container at `url`, whose query is its signature; `version` is that of the service's interface. None where a proxy stands
    /// between.
    pub(super) fn new(
        url: &Url,
        proof: Proof,
        version: &str,
        requests: RequestMetrics,
    ) -> Result<Option<Self>, Failure> {
        let refused = || Failure::new(Kind::Misconfigured, "target.endpoint is not a usable URL");
        let uri: Uri = url.as_str().parse().map_err(|_| refused())?;
        if connect::goes_through_a_proxy(&uri) {
            tracing::debug!("requests to the target go through a proxy, all of them by the SDK");
            return Ok(None);
        }
        let parts = uri.into_parts();
        Ok(Some(Self {
            client: connect::client()?,
            scheme: parts.scheme.ok_or_else(refused)?,
            authority: parts.authority.ok_or_else(refused)?,
            path: format!("{}/", url.path()),
            query: url.query().map(str::to_owned),
            proof,
            version: HeaderValue::from_str(version).map_err(|_| refused())?,
            requests,
        }))
    }

    /// One Put Blob; gives the etag and the version's id, which is none where the account keeps no versions.
    pub(super) async fn put(
        &self,
        attempt: &Attempt<'_>,
        body: Bytes,
        metadata: BTreeMap<String, String>,
        condition: &Condition,
    ) -> Result<(String, Option<String>), Failure> {
        let unusable = |_| attempt.unusable();
        let mut headers = HeaderMap::with_capacity(HEADERS);
        headers.insert(CONTENT_LENGTH, HeaderValue::from(body.len()));
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/octet-stream"));
        match condition {
            Condition::Absent => headers.insert(IF_NONE_MATCH, HeaderValue::from_static("*")),
            Condition::Matches(etag) => headers.insert(IF_MATCH, HeaderValue::from_str(etag).map_err(unusable)?),
        };
        headers.insert(BLOB_CONTENT_TYPE, HeaderValue::from_static(DOCUMENT_TYPE));
        headers.insert(BLOB_TYPE, HeaderValue::from_static("BlockBlob"));
        for (name, value) in metadata {
            let name = metadata_header(&name).ok_or_else(|| attempt.unusable())?;
            headers.insert(name, HeaderValue::try_from(value).map_err(unusable)?);
        }
        let answer = self.answer(attempt, Method::PUT, headers, body, PUT_TIMEOUT).await?;
        if answer.status != StatusCode::CREATED {
            return Err(answer.failure(attempt));
        }
        let etag = answer.headers.text("etag").ok_or_else(|| attempt.malformed("it has no etag"))?;
        let version = answer.headers.text("x-ms-version-id").filter(|id| !id.is_empty());
        Ok((heads::quoted(etag), version.map(str::to_owned)))
    }

    /// One Get Blob Properties.
    pub(super) async fn head(&self, attempt: &Attempt<'_>) -> Result<Option<Head>, Failure> {
        let answer =
            self.answer(attempt, Method::HEAD, HeaderMap::with_capacity(HEADERS), Bytes::new(), READ_TIMEOUT).await?;
        match answer.status {
            StatusCode::OK => heads::from_headers(attempt, &answer.headers, None, None).map(Some),
            StatusCode::NOT_FOUND if answer.code() == "BlobNotFound" => Ok(None),
            _ => Err(answer.failure(attempt)),
        }
    }

    /// Sends a request and waits for its answer, altogether no longer than `limit`.
    async fn answer(
        &self,
        attempt: &Attempt<'_>,
        method: Method,
        headers: HeaderMap,
        body: Bytes,
        limit: Duration,
    ) -> Result<Answer, Failure> {
        let exchange = async {
            let request = self.request(attempt, method, headers, body).await?;
            // Who gives up waiting drops this here, and has had no answer.
            let mut counted = Counted::begin(&self.requests);
            let answer = self.client.request(request).await.map_err(|error| attempt.unanswered(&error))?;
            counted.answered(answer.status().as_u16());
            let (head, body) = answer.into_parts();
            if head.status == StatusCode::UNAUTHORIZED {
                self.proof.refused();
            }
            Ok(Answer { status: head.status, headers: head.headers, body: rest(body).await })
        };
        tokio::time::timeout(limit, exchange).await.map_err(|_| attempt.timed_out(limit))?
    }

    async fn request(
        &self,
        attempt: &Attempt<'_>,
        method: Method,
        mut headers: HeaderMap,
        body: Bytes,
    ) -> Result<Request<Full<Bytes>>, Failure> {
        headers.insert(VERSION, self.version.clone());
        headers.insert(USER_AGENT, HeaderValue::from_static(concat!("cosmirror/", env!("CARGO_PKG_VERSION"))));
        let path = self.path_of(attempt.name);
        let proof = self.proof.of(&method, &path, &mut headers).await.map_err(|error| attempt.failure(&error))?;
        if let Some(proof) = proof {
            headers.insert(AUTHORIZATION, proof);
        }
        let path_and_query = match &self.query {
            Some(query) => format!("{path}?{query}"),
            None => path,
        };
        let uri = Uri::builder().scheme(self.scheme.clone()).authority(self.authority.clone());
        let mut request = Request::new(Full::new(body));
        *request.uri_mut() = uri.path_and_query(path_and_query).build().map_err(|_| attempt.unusable())?;
        *request.method_mut() = method;
        *request.headers_mut() = headers;
        Ok(request)
    }

    fn path_of(&self, name: &str) -> String {
        let mut path = String::with_capacity(self.path.len() + name.len() + 32);
        path.push_str(&self.path);
        path.extend(utf8_percent_encode(name, ENCODED));
        path
    }
}

impl Answer {
    /// The service's error code. Answers to HEAD have it in a header only; some proxies have none.
    fn code(&self) -> &str {
        let in_body = || {
            let text = std::str::from_utf8(&self.body).ok()?;
            let (_, rest) = text.split_once("<Code>")?;
            rest.split_once("</Code>").map(|(code, _)| code)
        };
        self.headers.text("x-ms-error-code").or_else(in_body).filter(|code| errors::is_code(code)).unwrap_or_default()
    }

    fn failure(&self, attempt: &Attempt<'_>) -> Failure {
        attempt.answered(self.status.as_u16(), self.code(), &self.headers)
    }
}

fn metadata_header(name: &str) -> Option<HeaderName> {
    let known = METADATA.iter().find(|header| header.as_str().strip_prefix(heads::METADATA_PREFIX) == Some(name));
    known.cloned().or_else(|| HeaderName::try_from(format!("{}{name}", heads::METADATA_PREFIX)).ok())
}

/// What an answer holds, read so that its connection can be used again; nothing where that is too much or does not come.
async fn rest(body: Incoming) -> Bytes {
    if body.is_end_stream() {
        return Bytes::new();
    }
    Limited::new(body, ERROR_BYTES_MAX).collect().await.map(|body| body.to_bytes()).unwrap_or_default()
}

#[cfg(test)]
mod tests;
