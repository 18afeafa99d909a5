//! Put Blob, Get Blob Properties, Get Blob and List Blobs without the SDK: what a mirror asks for every change, and a restore for every version.
//!
//! They are what the SDK would send, so far as it means something (a test holds both side by side), for a fraction of its processor
//! time: the SDK builds a pipeline of policies, a map of headers and a URL for each, and models of what it is answered. Everything else goes
//! through the SDK. So do these where the environment names a proxy for the target ([`connect`]).
//!
//! Nothing is tried twice here but a request that a closed connection never took. Of an answer that is no success, the status and the service's
//! error code are read, and as much of its body as an error has.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use azure_core::http::Url;
use bytes::{Bytes, BytesMut};
use futures::{FutureExt as _, TryFutureExt as _};
use http::header::{AUTHORIZATION, CONTENT_LENGTH, CONTENT_TYPE, IF_MATCH, IF_NONE_MATCH, USER_AGENT};
use http::uri::{Authority, Scheme};
use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, StatusCode, Uri};
use http_body_util::{BodyExt as _, Full};
use hyper::body::{Body as _, Incoming};
use hyper_util::client::legacy::Client;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use tokio::task::JoinSet;

use self::connect::Connector;
pub(super) use self::proof::Proof;
use super::answer::AnswerHeaders as _;
use super::client::Counted;
use super::errors::{self, Attempt};
use super::listing::Shown;
use super::riders::Ride;
use super::{
    CONTENT_TYPE as DOCUMENT_TYPE, GET_BYTES_MAX, PUT_TIMEOUT, READ_TIMEOUT, REQUEST_TIMEOUT, State, heads, listing,
    put_timeout,
};
use crate::admin::RequestMetrics;
use crate::failure::{Failure, Kind};
use crate::store::{Arriving, Condition, Head};

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
/// What may not stand in a parameter's value: all but what never needs to be encoded.
const ENCODED_VALUE: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'_').remove(b'.').remove(b'~');
/// Most that is read of an answer that says no; errors have a few hundred bytes.
const ERROR_BYTES_MAX: usize = 64 * 1024;
const BUG: &str = "reading it ended by a bug";
/// Headers of a put: its metadata and a few more. Room for them at once costs less than growing into it.
const HEADERS: usize = 32;

const BLOB_CONTENT_TYPE: HeaderName = HeaderName::from_static("x-ms-blob-content-type");
const BLOB_TYPE: HeaderName = HeaderName::from_static("x-ms-blob-type");
const VERSION: HeaderName = HeaderName::from_static("x-ms-version");

/// The headers of a version's metadata; one that is known need not be made for every put.
static METADATA: [HeaderName; 15] = [
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
    HeaderName::from_static("x-ms-meta-encryption"),
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

/// What is asked.
struct Ask {
    method: Method,
    path: String,
    parameters: Vec<(&'static str, String)>,
    headers: HeaderMap,
    body: Bytes,
    /// How long it may take altogether.
    limit: Duration,
}

/// What came back.
struct Answer {
    status: StatusCode,
    headers: HeaderMap,
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
        ride: &Ride,
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
        for (name, value) in ride.headers() {
            headers.insert(name, value.ok_or_else(|| attempt.unusable())?);
        }
        for (name, value) in metadata {
            let name = metadata_header(&name).ok_or_else(|| attempt.unusable())?;
            headers.insert(name, HeaderValue::try_from(value).map_err(unusable)?);
        }
        let path = self.path_of(attempt.name);
        let limit = put_timeout(body.len());
        let ask = Ask { method: Method::PUT, path, parameters: Vec::new(), headers, body, limit };
        let answer = self.answer(attempt, ask).await?;
        if answer.status != StatusCode::CREATED {
            return Err(answer.failure(attempt));
        }
        let etag = answer.headers.text("etag").ok_or_else(|| attempt.malformed("it has no etag"))?;
        let version = answer.headers.text("x-ms-version-id").filter(|id| !id.is_empty());
        Ok((heads::quoted(etag), version.map(str::to_owned)))
    }

    /// One Get Blob Properties.
    pub(super) async fn head(&self, attempt: &Attempt<'_>) -> Result<Option<Head>, Failure> {
        let answer = self.answer(attempt, self.look(Method::HEAD, attempt.name, READ_TIMEOUT)).await?;
        match answer.status {
            StatusCode::OK => heads::from_headers(attempt, &answer.headers, None, None).map(Some),
            StatusCode::NOT_FOUND if answer.code() == errors::MISSING_BLOB => Ok(None),
            _ => Err(answer.failure(attempt)),
        }
    }

    /// One Snapshot Blob, of what has this etag.
    pub(super) async fn snapshot(&self, attempt: &Attempt<'_>, etag: &str) -> Result<(), Failure> {
        let mut ask = self.look(Method::PUT, attempt.name, PUT_TIMEOUT);
        ask.parameters.push(("comp", "snapshot".to_owned()));
        ask.headers.insert(CONTENT_LENGTH, HeaderValue::from(0));
        ask.headers.insert(IF_MATCH, HeaderValue::from_str(etag).map_err(|_| attempt.unusable())?);
        let answer = self.answer(attempt, ask).await?;
        if answer.status == StatusCode::CREATED { Ok(()) } else { Err(answer.failure(attempt)) }
    }

    /// One Get Blob, of the current state or of the one named.
    pub(super) async fn get(
        &self,
        attempt: &Attempt<'_>,
        state: Option<State<'_>>,
    ) -> Result<Option<(Head, Bytes)>, Failure> {
        let mut ask = self.look(Method::GET, attempt.name, REQUEST_TIMEOUT);
        let version = state.map(|state| match state {
            State::Version(version) => ("versionid", version),
            State::Snapshot(snapshot) => ("snapshot", snapshot),
        });
        ask.parameters.extend(version.map(|(kind, version)| (kind, version.to_owned())));
        let version = version.map(|(_, version)| version);
        let answer = self.answer(attempt, ask).await?;
        match (answer.status, answer.code()) {
            (StatusCode::OK, _) => {
                let head = heads::from_headers(attempt, &answer.headers, version, Some(answer.body.len() as u64))?;
                Ok(Some((head, answer.body)))
            }
            (StatusCode::NOT_FOUND, errors::MISSING_BLOB) => Ok(None),
            (StatusCode::BAD_REQUEST, errors::MALFORMED_VERSION) if version.is_some() => Ok(None),
            _ => Err(answer.failure(attempt)),
        }
    }

    /// One List Blobs. It goes on by itself once it was asked for, so that who works on a page need not stop for the next one to arrive.
    pub(super) async fn list(
        self: &Arc<Self>,
        attempt: &Attempt<'_>,
        shown: Shown,
        next: Option<String>,
        items_max: u16,
    ) -> Result<Arriving<'static>, Failure> {
        let ask = self.listing(attempt.name, shown, next, items_max);
        let (direct, name, container) = (Arc::clone(self), attempt.name.to_owned(), attempt.container.to_owned());
        let operation = attempt.operation;
        // Dropped, it ends what it runs.
        let mut exchange = JoinSet::new();
        exchange.spawn(async move {
            let attempt = Attempt { operation, name: &name, container: &container };
            let answer = direct.answer(&attempt, ask).await?;
            if answer.status != StatusCode::OK {
                return Err(answer.failure(&attempt));
            }
            let said = listing::next(&answer.body);
            // A full page takes tens of milliseconds, in which this thread would serve nobody else.
            let page = tokio::task::spawn_blocking(move || listing::page(&answer.body, shown));
            let page = async move {
                let attempt = Attempt { operation, name: &name, container: &container };
                let page = page.await.map_err(|_| attempt.malformed(BUG))?;
                page.map_err(|fault| attempt.malformed(&fault))
            };
            let Some(next) = said else {
                return Ok(Arriving::there(page.await?));
            };
            Ok(Arriving { next, heads: page.map_ok(|page| page.heads).boxed() })
        });
        exchange.join_next().await.and_then(Result::ok).unwrap_or_else(|| Err(attempt.malformed(BUG)))
    }

    fn listing(&self, prefix: &str, shown: Shown, next: Option<String>, items_max: u16) -> Ask {
        let mut ask = self.look(Method::GET, "", REQUEST_TIMEOUT);
        ask.path.pop();
        let include = match shown {
            Shown::Current => "metadata",
            Shown::Versions => "metadata,versions",
            Shown::Snapshots => "metadata,snapshots",
        };
        let always =
            [("comp", "list".to_owned()), ("restype", "container".to_owned()), ("include", include.to_owned())];
        let prefix = Some(prefix.to_owned()).filter(|prefix| !prefix.is_empty());
        ask.parameters.extend(always);
        ask.parameters.push(("maxresults", items_max.to_string()));
        ask.parameters.extend(next.map(|marker| ("marker", marker)));
        ask.parameters.extend(prefix.map(|prefix| ("prefix", prefix)));
        ask
    }

    fn look(&self, method: Method, name: &str, limit: Duration) -> Ask {
        let (headers, path) = (HeaderMap::with_capacity(HEADERS), self.path_of(name));
        Ask { method, path, parameters: Vec::new(), headers, body: Bytes::new(), limit }
    }

    /// Sends a request and waits for its answer.
    async fn answer(&self, attempt: &Attempt<'_>, ask: Ask) -> Result<Answer, Failure> {
        let (limit, wait) = (ask.limit, ask.limit.min(READ_TIMEOUT));
        let exchange = async {
            let request = self.request(attempt, ask).await?;
            // Who gives up waiting drops this here, and has had no answer.
            let mut counted = Counted::begin(&self.requests);
            let answer = tokio::time::timeout(wait, self.client.request(request));
            let answer =
                answer.await.map_err(|_| attempt.timed_out(wait))?.map_err(|error| attempt.unanswered(&error))?;
            counted.answered(answer.status().as_u16());
            let (head, body) = answer.into_parts();
            if head.status == StatusCode::UNAUTHORIZED {
                self.proof.refused();
            }
            let body = if head.status.is_success() {
                content(attempt, body).await?
            } else {
                rest(body, ERROR_BYTES_MAX).await.unwrap_or_default()
            };
            Ok(Answer { status: head.status, headers: head.headers, body })
        };
        tokio::time::timeout(limit, exchange).await.map_err(|_| attempt.timed_out(limit))?
    }

    async fn request(&self, attempt: &Attempt<'_>, ask: Ask) -> Result<Request<Full<Bytes>>, Failure> {
        let Ask { method, path, parameters, mut headers, body, .. } = ask;
        headers.insert(VERSION, self.version.clone());
        headers.insert(USER_AGENT, HeaderValue::from_static(concat!("cosmirror/", env!("CARGO_PKG_VERSION"))));
        let proof = self.proof.of(&method, &path, &parameters, &mut headers).await;
        if let Some(proof) = proof.map_err(|error| attempt.failure(&error))? {
            headers.insert(AUTHORIZATION, proof);
        }
        let mut path_and_query = path;
        let mut between = '?';
        for (name, value) in &parameters {
            path_and_query.push(between);
            path_and_query.extend([name, "="]);
            path_and_query.extend(utf8_percent_encode(value, ENCODED_VALUE));
            between = '&';
        }
        if let Some(query) = &self.query {
            path_and_query.push(between);
            path_and_query.push_str(query);
        }
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

/// What was asked for; it comes whole or not at all, and in pieces that keep coming.
async fn content(attempt: &Attempt<'_>, body: Incoming) -> Result<Bytes, Failure> {
    rest(body, GET_BYTES_MAX.get()).await.map_err(|rest| match rest {
        Rest::TooLong => attempt.malformed("it is longer than any version"),
        Rest::Late => attempt.timed_out(READ_TIMEOUT),
        Rest::Lost(error) => attempt.lost(&error),
    })
}

/// Why the rest of an answer was not read.
enum Rest {
    TooLong,
    Late,
    Lost(hyper::Error),
}

/// What an answer holds, read so that its connection can be used again.
async fn rest(mut body: Incoming, bytes_max: usize) -> Result<Bytes, Rest> {
    let length = usize::try_from(body.size_hint().lower()).unwrap_or(usize::MAX);
    let mut read = BytesMut::with_capacity(length.min(bytes_max));
    while !body.is_end_stream() {
        let frame = tokio::time::timeout(READ_TIMEOUT, body.frame()).await.map_err(|_| Rest::Late)?;
        let Some(frame) = frame else { break };
        let Ok(part) = frame.map_err(Rest::Lost)?.into_data() else { continue };
        if read.len() + part.len() > bytes_max {
            return Err(Rest::TooLong);
        }
        read.extend_from_slice(&part);
    }
    Ok(read.freeze())
}

#[cfg(test)]
mod tests;
