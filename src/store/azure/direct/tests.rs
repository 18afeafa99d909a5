//! Requests and answers beside the SDK's: the same store twice, once all by the SDK, against a service that writes down what it is asked and
//! answers what it is told.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex};

use axum::body::to_bytes;
use axum::extract::{Request as Asked, State};
use axum::response::Response;
use proptest::prelude::*;
use tokio_util::task::AbortOnDropHandle;

use super::super::errors::Operation;
use super::super::shared_key::{SharedKey, Signed};
use super::super::{AzureAuth, AzureStore};
use super::*;
use crate::config::{FeedMode, ImmutabilityMode, Target};
use crate::store::{Listing, Put, VersionStore as _};
use crate::time::HostClock;

const ACCOUNT: &str = "account";
const KEY: &str = "c2VjcmV0IGtleQ==";
/// What each client says of itself, and what nobody reads; the length of nothing is said or left out, which is the same.
const OF_CLIENTS: [&str; 5] = ["accept", "accept-encoding", "connection", "user-agent", "x-ms-client-request-id"];

/// One request as it came over the wire.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Seen {
    method: String,
    path: String,
    query: String,
    headers: BTreeMap<String, String>,
    body: Bytes,
}

#[derive(Default)]
struct Script {
    seen: Vec<Seen>,
    answers: VecDeque<Told>,
}

#[derive(Clone)]
struct Told {
    status: u16,
    headers: Vec<(&'static str, String)>,
    body: String,
}

/// The service; ends with its owner.
struct Service {
    endpoint: String,
    script: Arc<Mutex<Script>>,
    _task: AbortOnDropHandle<()>,
}

async fn answer(State(script): State<Arc<Mutex<Script>>>, asked: Asked) -> Response {
    let (head, body) = asked.into_parts();
    let body = to_bytes(body, usize::MAX).await.unwrap();
    let text = |value: &HeaderValue| value.to_str().unwrap().to_owned();
    let headers = head.headers.iter().map(|(name, value)| (name.to_string(), text(value))).collect();
    let (path, query) = (head.uri.path().to_owned(), head.uri.query().unwrap_or_default().to_owned());
    let mut script = script.lock().unwrap();
    script.seen.push(Seen { method: head.method.to_string(), path, query, headers, body });
    let told = script.answers.pop_front().unwrap_or_else(made);
    let answer = Response::builder().status(told.status);
    let answer = told.headers.into_iter().fold(answer, |answer, (name, value)| answer.header(name, value));
    answer.body(told.body.into()).unwrap()
}

fn made() -> Told {
    told(201, &[("etag", "\"0x1\""), ("x-ms-version-id", "2026-01-01T00:00:00.0000000Z")], "")
}

fn told(status: u16, headers: &[(&'static str, &str)], body: &str) -> Told {
    let headers = headers.iter().map(|(name, value)| (*name, (*value).to_owned())).collect();
    Told { status, headers, body: body.to_owned() }
}

impl Service {
    async fn start() -> Self {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let endpoint = format!("http://{}/{ACCOUNT}", listener.local_addr().unwrap());
        let script = Arc::<Mutex<Script>>::default();
        let router = axum::Router::new().fallback(answer).with_state(Arc::clone(&script));
        #[expect(clippy::disallowed_methods, reason = "the service stands beside what is tested")]
        let task = tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
        Self { endpoint, script, _task: AbortOnDropHandle::new(task) }
    }

    fn target(&self) -> Target {
        Target { endpoint: self.endpoint.clone(), container: "mirror".to_owned(), ..Target::default() }
    }

    /// A direct store, and one by the SDK alone.
    fn stores(&self, auth: &AzureAuth) -> [AzureStore; 2] {
        let store = || AzureStore::new(&self.target(), auth.clone()).unwrap();
        let stores = [store(), store().by_the_sdk_alone()];
        assert!(stores[0].direct.is_some());
        stores
    }

    fn seen(&self) -> Seen {
        self.script.lock().unwrap().seen.pop().unwrap()
    }

    fn tell(&self, told: Told) {
        self.script.lock().unwrap().answers.push_back(told);
    }
}

fn key() -> AzureAuth {
    AzureAuth::SharedKey { account: ACCOUNT.to_owned(), key: KEY.into() }
}

fn put(name: &str, body: &str, condition: Condition) -> Put {
    let metadata = [("op", "create"), ("lsn", "12"), ("id", "b3JkZXI"), ("prev", "\"00000-1\"")];
    let metadata = metadata.map(|(name, value)| (name.to_owned(), value.to_owned())).into();
    Put { name: name.to_owned(), body: Bytes::from(body.to_owned()), metadata, condition }
}

/// The request without what differs by its nature; that its signature is right is seen to here.
fn comparable(mut seen: Seen) -> Seen {
    let url = Url::parse(&format!("http://host/?{}", seen.query)).unwrap();
    let mut parameters: Vec<_> = url.query_pairs().collect();
    parameters.sort_unstable();
    seen.query = format!("{parameters:?}");
    if let Some(authorization) = seen.headers.remove("authorization") {
        let headers = seen.headers.iter().map(|(name, value)| (name.as_str().into(), value.as_str())).collect();
        let signed = Signed { method: &seen.method, headers, path: &seen.path, parameters };
        let expected = SharedKey::new(ACCOUNT.to_owned(), &KEY.into()).unwrap().authorization(signed);
        assert_eq!(authorization, expected);
    }
    // The SDK asks for content in parts, of which there is only one.
    for name in OF_CLIENTS.into_iter().chain(["x-ms-date", "range"]) {
        seen.headers.remove(name);
    }
    seen
}

#[tokio::test]
async fn a_put_and_a_look_are_what_the_sdk_sends() {
    let service = Service::start().await;
    for auth in [key(), AzureAuth::Sas("sv=2025-05-05&sig=a%2Bb%3D".into())] {
        let stores = service.stores(&auth);
        for (name, body, condition) in [
            ("shop/orders/documents/p/a.json", "{\"id\":\"a\"}", Condition::Absent),
            ("shop/orders/documents/~e/~C3~A4.json", "", Condition::Matches("\"0x8D\"".to_owned())),
            ("prefix with space/ü%25?#+&=;,~.json", "{}", Condition::Absent),
        ] {
            let mut seen = Vec::new();
            for store in &stores {
                store.put(put(name, body, condition.clone())).await.unwrap();
                seen.push(comparable(service.seen()));
                service.tell(told(200, &[("etag", "\"1\""), ("content-length", "0"), ("x-ms-version-id", "1")], ""));
                store.head(name).await.unwrap().unwrap();
                seen.push(comparable(service.seen()));
            }
            assert_eq!(seen[0], seen[2]);
            assert_eq!(seen[1], seen[3]);
        }
    }
}

#[tokio::test]
async fn what_rides_with_a_put_is_what_the_sdk_sends() {
    let service = Service::start().await;
    let clock = HostClock::new(|| "2026-01-31T08:00:00Z".parse().unwrap());
    for mode in [ImmutabilityMode::Unlocked, ImmutabilityMode::Locked] {
        let target = Target {
            immutable_for: Duration::from_hours(48),
            immutability_mode: mode,
            legal_hold: true,
            encryption_scope: "shop-2026".to_owned(),
            tags: true,
            feeds: [("shop/orders".to_owned(), FeedMode::AllVersionsAndDeletes)].into(),
            ..service.target()
        };
        for auth in [key(), AzureAuth::Sas("sv=2025-05-05&sig=a%2Bb%3D".into())] {
            let store = || AzureStore::new(&target, auth.clone()).unwrap().with_clock(clock.clone());
            for name in ["shop/orders/documents/p/a.json", "shop/orders/_mirror/restores/r.json"] {
                let mut seen = Vec::new();
                for store in [store(), store().by_the_sdk_alone()] {
                    store.put(put(name, "{}", Condition::Absent)).await.unwrap();
                    seen.push(comparable(service.seen()));
                }
                assert_eq!(seen[0], seen[1]);
                let sent = |header: &str| seen[0].headers.get(header).map(String::as_str);
                assert_eq!(sent("x-ms-immutability-policy-until-date"), Some("Mon, 02 Feb 2026 08:00:00 GMT"));
                assert_eq!(sent("x-ms-immutability-policy-mode"), Some(format!("{mode:?}").to_lowercase().as_str()));
                assert_eq!((sent("x-ms-legal-hold"), sent("x-ms-encryption-scope")), (Some("true"), Some("shop-2026")));
                let tags = name.contains("/documents/").then_some("op=create&feed=all-versions-and-deletes");
                assert_eq!(sent("x-ms-tags"), tags);
            }
        }
    }
}

const BLOB: &str = "<Blob><Name>a</Name><VersionId>v</VersionId><Properties><Etag>0x1</Etag><Content-Length>1</Content-Length>\
                    </Properties><Metadata><op>create</op></Metadata></Blob>";

/// A page with one version, and where the next one begins.
fn listed(next: &str) -> Told {
    let page = format!("<EnumerationResults><Blobs>{BLOB}</Blobs><NextMarker>{next}</NextMarker></EnumerationResults>");
    told(200, &[("content-type", "application/xml")], &page)
}

#[tokio::test]
async fn reading_content_and_listing_are_what_the_sdk_sends() {
    let service = Service::start().await;
    let content = told(200, &[("etag", "\"1\""), ("x-ms-version-id", "v")], "{\"id\":1}");
    for auth in [key(), AzureAuth::Sas("sv=2025-05-05&sig=a%2Bb%3D".into())] {
        let stores = service.stores(&auth);
        for (name, version) in
            [("shop/a.json", None), ("prefix with space/ü%25?#+&=;,~.json", Some("2026-01-01T00:00:00.0000001Z"))]
        {
            let (mut seen, mut got) = (Vec::new(), Vec::new());
            for store in &stores {
                service.tell(content.clone());
                got.push(store.get(name, version).await.unwrap().unwrap());
                seen.push(comparable(service.seen()));
            }
            assert_eq!((&seen[0], &got[0]), (&seen[1], &got[1]));
            assert_eq!(got[0].1, "{\"id\":1}");
        }
        for (prefix, listing, next) in
            [("", Listing::Current, None), ("a&b/ü +", Listing::Versions, Some("2!8 bytes/+&=%".to_owned()))]
        {
            let (mut seen, mut pages) = (Vec::new(), Vec::new());
            for store in &stores {
                service.tell(listed("more"));
                let page = store.list(prefix, listing, next.clone()).await.unwrap();
                pages.push((page.heads, page.next));
                seen.push(comparable(service.seen()));
            }
            assert_eq!((&seen[0], &pages[0]), (&seen[1], &pages[1]));
            assert_eq!((pages[0].0.len(), pages[0].1.as_deref()), (1, Some("more")));
        }
    }
}

#[tokio::test]
async fn what_snapshots_take_is_what_the_sdk_sends() {
    let service = Service::start().await;
    let made = told(201, &[("etag", "\"1\""), ("x-ms-snapshot", "2026-01-01T00:00:00.0000001Z")], "");
    let content = told(200, &[("etag", "\"1\"")], "{\"id\":1}");
    for auth in [key(), AzureAuth::Sas("sv=2025-05-05&sig=a%2Bb%3D".into())] {
        let (mut seen, mut got) = (Vec::new(), Vec::new());
        for store in &service.stores(&auth) {
            let name = "prefix with space/ü%25?#+&=;,~.json";
            service.tell(made.clone());
            store.take_snapshot(name, "\"0x8D\"").await.unwrap();
            let asked = service.seen();
            assert_eq!((&asked.headers["if-match"], asked.query.contains("comp=snapshot")), (&"\"0x8D\"".into(), true));
            service.tell(content.clone());
            let attempt = store.attempt(Operation::Read, name);
            let snapshot = super::super::State::Snapshot("2026-01-01T00:00:00.0000001Z");
            got.push(store.fetch(&attempt, Some(snapshot)).await.unwrap().unwrap());
            let read = service.seen();
            service.tell(listed("more"));
            let attempt = store.attempt(Operation::List, "a&b/ü +");
            let page = store.page(&attempt, Shown::Snapshots, Some("2!8 bytes/+&=%".to_owned())).await.unwrap();
            assert_eq!(page.heads.await.unwrap().len(), 1);
            seen.push([asked, read, service.seen()].map(comparable));
        }
        assert_eq!((&seen[0], &got[0]), (&seen[1], &got[1]));
    }
}

#[tokio::test]
async fn a_request_with_a_token_carries_it_and_no_other_proof() {
    #[derive(Debug)]
    struct Constant;
    #[async_trait::async_trait]
    impl azure_core::credentials::TokenCredential for Constant {
        async fn get_token(
            &self,
            _: &[&str],
            _: Option<azure_core::credentials::TokenRequestOptions<'_>>,
        ) -> azure_core::Result<azure_core::credentials::AccessToken> {
            let ends = azure_core::time::OffsetDateTime::now_utc() + azure_core::time::Duration::hours(1);
            Ok(azure_core::credentials::AccessToken::new("abc", ends))
        }
    }
    let service = Service::start().await;
    let url = Url::parse(&format!("{}/mirror", service.endpoint)).unwrap();
    let proof = Proof::token(Arc::new(Constant));
    let direct = Direct::new(&url, proof, "2026-04-06", RequestMetrics::unread()).unwrap().unwrap();
    let attempt = Attempt { operation: Operation::Put, name: "a", container: "mirror" };
    let nothing = Ride::default();
    direct.put(&attempt, Bytes::from_static(b"{}"), BTreeMap::new(), &Condition::Absent, &nothing).await.unwrap();
    let seen = service.seen();
    assert_eq!(seen.headers["authorization"], "Bearer abc");
    assert_eq!((seen.headers.get("x-ms-date"), seen.query.as_str()), (None, ""));
}

#[tokio::test]
async fn an_answer_means_what_it_means_through_the_sdk() {
    let code = |code: &'static str| ("x-ms-error-code", code);
    let answers = [
        told(412, &[code("ConditionNotMet")], ""),
        told(409, &[code("BlobAlreadyExists")], ""),
        told(412, &[code("LeaseIdMissing")], ""),
        told(404, &[code("ContainerNotFound")], ""),
        told(404, &[code("BlobNotFound")], ""),
        told(404, &[], "<html>not here</html>"),
        told(403, &[code("AuthorizationPermissionMismatch")], ""),
        told(401, &[code("InvalidAuthenticationInfo")], ""),
        told(400, &[code("MetadataTooLarge")], ""),
        told(503, &[code("ServerBusy"), ("retry-after", "7")], "<Error><Message>secret</Message></Error>"),
        told(429, &[("x-ms-retry-after-ms", "250")], ""),
        told(500, &[code("OperationTimedOut")], ""),
        told(500, &[code("not a code; secret")], "secret"),
        told(302, &[("location", "http://127.0.0.1:1/")], ""),
        told(400, &[code("InvalidQueryParameterValue")], ""),
        told(201, &[], ""),
        told(201, &[("etag", "\"1\"")], ""),
    ];
    let service = Service::start().await;
    let [direct, sdk] = service.stores(&key());
    for answer in answers {
        for condition in [Condition::Absent, Condition::Matches("\"1\"".to_owned())] {
            let mut outcomes = Vec::new();
            for store in [&direct, &sdk] {
                service.tell(answer.clone());
                outcomes.push(store.put(put("a.json", "{}", condition.clone())).await);
            }
            assert_eq!(told_of(&outcomes[0]), told_of(&outcomes[1]), "{} {:?}", answer.status, answer.headers);
            assert!(!format!("{outcomes:?}").contains("secret"), "{outcomes:?}");
        }
        let mut outcomes = Vec::new();
        for store in [&direct, &sdk] {
            service.tell(answer.clone());
            outcomes.push(store.head("a.json").await);
        }
        assert_eq!(told_of(&outcomes[0]), told_of(&outcomes[1]), "{} {:?}", answer.status, answer.headers);
        for version in [None, Some("v")] {
            let mut outcomes = Vec::new();
            for store in [&direct, &sdk] {
                service.tell(answer.clone());
                outcomes.push(store.get("a.json", version).await);
            }
            assert_eq!(told_of(&outcomes[0]), told_of(&outcomes[1]), "{} {:?}", answer.status, answer.headers);
        }
        let mut outcomes = Vec::new();
        for store in [&direct, &sdk] {
            service.tell(answer.clone());
            outcomes.push(store.list("a", Listing::Versions, None).await);
        }
        assert_eq!(told_of(&outcomes[0]), told_of(&outcomes[1]), "{} {:?}", answer.status, answer.headers);
    }
}

fn told_of<T: std::fmt::Debug>(outcome: &Result<T, Failure>) -> String {
    match outcome {
        Ok(done) => format!("{done:?}"),
        Err(f) => format!("{:?} {} / {} / {:?} {}", f.kind, f.message, f.remedy, f.retry_after, f.throttled),
    }
}

/// The SDK does not look there; behind a proxy that takes headers away it is the only place.
#[tokio::test]
async fn an_error_code_is_found_in_the_body_too() {
    let service = Service::start().await;
    let [direct, _] = service.stores(&key());
    let xml = "<?xml version=\"1.0\"?><Error><Code>ContainerBeingDeleted</Code><Message>secret</Message></Error>";
    service.tell(told(409, &[("content-type", "application/xml")], xml));
    let failure = direct.put(put("a.json", "{}", Condition::Absent)).await.unwrap_err();
    assert_eq!(failure.kind, Kind::Transient);
    assert!(failure.message.ends_with(": ContainerBeingDeleted (409)"), "{failure}");
}

#[tokio::test]
async fn a_refused_connection_is_told_as_by_the_sdk() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let endpoint = format!("http://{}/{ACCOUNT}", listener.local_addr().unwrap());
    drop(listener);
    let target = Target { endpoint, container: "mirror".to_owned(), ..Target::default() };
    let store = || AzureStore::new(&target, key()).unwrap();
    let outcomes = [store().head("a").await, store().by_the_sdk_alone().head("a").await];
    assert_eq!(told_of(&outcomes[0]), told_of(&outcomes[1]));
    assert!(told_of(&outcomes[0]).contains("Transient"), "{outcomes:?}");
}

#[tokio::test]
async fn more_than_an_error_ever_is_is_not_read() {
    let service = Service::start().await;
    let [direct, _] = service.stores(&key());
    service.tell(told(503, &[], &"x".repeat(ERROR_BYTES_MAX + 1)));
    let failure = direct.put(put("a.json", "{}", Condition::Absent)).await.unwrap_err();
    assert!(failure.kind == Kind::Transient && failure.message.ends_with("no error code (503)"), "{failure}");
    direct.put(put("a.json", "{}", Condition::Absent)).await.unwrap();
}

/// What the service says is in it, and less.
#[tokio::test]
async fn content_that_breaks_off_is_no_version() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let endpoint = format!("http://{}/{ACCOUNT}", listener.local_addr().unwrap());
    #[expect(clippy::disallowed_methods, reason = "the service stands beside what is tested")]
    let _task = AbortOnDropHandle::new(tokio::spawn(async move {
        loop {
            use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
            let (mut connection, _) = listener.accept().await.unwrap();
            let mut asked = [0; 4096];
            let _ = connection.read(&mut asked).await.unwrap();
            connection.write_all(b"HTTP/1.1 200 OK\r\netag: \"1\"\r\ncontent-length: 9\r\n\r\n{\"id\"").await.unwrap();
        }
    }));
    let target = Target { endpoint, container: "mirror".to_owned(), ..Target::default() };
    let store = AzureStore::new(&target, key()).unwrap();
    for outcome in [store.get("a", None).await.map(|_| ()), store.list("", Listing::Current, None).await.map(|_| ())] {
        let failure = outcome.unwrap_err();
        assert_eq!(failure.kind, Kind::Transient, "{failure}");
    }
}

#[test]
fn a_put_of_what_no_version_is_as_long_as_has_more_time() {
    let seconds = [0, 16 << 20, (16 << 20) + 1, 256 << 20].map(|bytes| put_timeout(bytes).as_secs());
    assert_eq!(seconds, [12, 12, 13, 252]);
}

proptest! {
    #[test]
    fn a_path_is_decoded_to_the_name_it_was_made_of(name in "[ -~äß中\u{1F600}]{1,60}") {
        let url = Url::parse("https://a.blob.core.windows.net/mirror").unwrap();
        let direct = Direct::new(&url, Proof::Signature, "2026-04-06", RequestMetrics::unread()).unwrap().unwrap();
        let path = direct.path_of(&name);
        prop_assert!(path.parse::<Uri>().is_ok());
        let name_of_path = percent_encoding::percent_decode_str(path.strip_prefix("/mirror/").unwrap());
        prop_assert_eq!(name_of_path.decode_utf8().unwrap(), name.as_str());
    }
}
