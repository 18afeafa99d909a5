//! The contract, held by Azure against the emulator; and what only Azure can get wrong.

use std::time::Duration;

use cosmirror::config::Target;
use cosmirror::failure::{Exit, Failure, Kind};
use cosmirror::store::azure::{AzureAuth, AzureStore, PUT_TIMEOUT};
use cosmirror::store::{Condition, Listing, VersionStore as _};

use super::fixture::{content, create, names, put_of, replace};
use super::{Opened, PAGE_ITEMS};
use crate::suite::emulated::{Emulated, FAR_FUTURE, account_sas, shared_key};

const ALL_PERMISSIONS: &str = "rwdlac";

pub(super) fn store_at(target: &Target, auth: AzureAuth) -> AzureStore {
    AzureStore::new(target, auth).unwrap().with_page_items_max(PAGE_ITEMS)
}

fn sas(permissions: &str) -> AzureAuth {
    AzureAuth::Sas(account_sas(permissions, FAR_FUTURE).into())
}

async fn opened(auth: AzureAuth) -> Opened {
    let emulated = Emulated::start().await;
    let store = store_at(&emulated.target(), auth);
    keep(store, emulated).await
}

async fn keep(store: AzureStore, emulated: Emulated) -> Opened {
    store.prepare(true).await.unwrap();
    Opened { store: Box::new(store), _keep: Box::new(emulated) }
}

/// A prepared store and the emulator behind it.
pub(super) async fn prepared() -> (Emulated, AzureStore) {
    let emulated = Emulated::start().await;
    let auth = AzureAuth::resolve(&emulated.target()).unwrap();
    let store = store_at(&emulated.target(), auth);
    store.prepare(true).await.unwrap();
    (emulated, store)
}

mod with_a_shared_key {
    use super::{Opened, opened, shared_key};
    use crate::suite::store_contract::holds_the_contract;

    async fn prepared() -> Opened {
        opened(shared_key()).await
    }

    holds_the_contract!(prepared);
}

mod with_all_that_rides_with_a_put {
    use std::time::Duration;

    use cosmirror::config::{ImmutabilityMode, Target};

    use super::{Opened, keep, shared_key, store_at};
    use crate::suite::emulated::Emulated;
    use crate::suite::store_contract::holds_the_contract;

    async fn prepared() -> Opened {
        let emulated = Emulated::start().await;
        let target = Target {
            immutable_for: Duration::from_hours(24),
            immutability_mode: ImmutabilityMode::Locked,
            legal_hold: true,
            encryption_scope: "scope".to_owned(),
            tags: true,
            ..emulated.target()
        };
        let store = store_at(&target, shared_key());
        keep(store, emulated).await
    }

    holds_the_contract!(prepared);
}

mod with_a_shared_key_by_the_sdk_alone {
    use super::{Opened, keep, shared_key, store_at};
    use crate::suite::emulated::Emulated;
    use crate::suite::store_contract::holds_the_contract;

    async fn prepared() -> Opened {
        let emulated = Emulated::start().await;
        let store = store_at(&emulated.target(), shared_key()).by_the_sdk_alone();
        keep(store, emulated).await
    }

    holds_the_contract!(prepared);
}

mod with_a_shared_access_signature {
    use super::{ALL_PERMISSIONS, Opened, opened, sas};
    use crate::suite::store_contract::holds_the_contract;

    async fn prepared() -> Opened {
        opened(sas(ALL_PERMISSIONS)).await
    }

    holds_the_contract!(prepared);
}

#[tokio::test]
async fn a_missing_container_is_made_only_when_asked_for() {
    let emulated = Emulated::start().await;
    let store = store_at(&emulated.target(), shared_key());
    let failures = [
        store.prepare(false).await.unwrap_err(),
        store.put(put_of("t/a", "1", Condition::Absent)).await.unwrap_err(),
        store.head("t/a").await.unwrap_err(),
        store.get("t/a", None).await.unwrap_err(),
        store.list("", Listing::Current, None).await.unwrap_err(),
    ];
    for failure in failures {
        assert_eq!(failure.kind.exit(), Exit::NotFound, "{failure}");
        assert!(failure.remedy.contains("target.create = true"), "{failure}");
    }
    store.prepare(true).await.unwrap();
    store.prepare(false).await.unwrap();
}

#[tokio::test]
async fn a_wrong_key_is_not_authorized() {
    let (emulated, _) = prepared().await;
    let auth = AzureAuth::SharedKey { account: "devstoreaccount1".to_owned(), key: "d3Jvbmc=".into() };
    let store = store_at(&emulated.target(), auth);
    for failure in [store.prepare(true).await.unwrap_err(), store.head("t/a").await.unwrap_err()] {
        assert_eq!((failure.kind, failure.kind.exit()), (Kind::Unauthorized, Exit::Unauthorized), "{failure}");
        assert!(failure.remedy.contains("key") && !failure.to_string().contains("d3Jvbmc"), "{failure}");
    }
}

#[tokio::test]
async fn a_signature_that_lacks_a_permission_or_is_over_says_so() {
    let (emulated, _) = prepared().await;
    let reader = store_at(&emulated.target(), sas("rl"));
    assert!(reader.head("t/a").await.unwrap().is_none());
    let failure = reader.put(put_of("t/a", "1", Condition::Absent)).await.unwrap_err();
    assert_eq!(failure.kind, Kind::Unauthorized);
    assert!(failure.remedy.contains("SAS permissions c and w"), "{failure}");
    let failure = store_at(&emulated.target(), sas("rwc")).list("", Listing::Current, None).await.unwrap_err();
    assert!(failure.remedy.contains("SAS permission l"), "{failure}");

    let over = AzureAuth::Sas(account_sas(ALL_PERMISSIONS, "2020-01-01T00:00:00Z").into());
    let failure = store_at(&emulated.target(), over).head("t/a").await.unwrap_err();
    assert!(failure.kind == Kind::Unauthorized && failure.remedy.contains("dates"), "{failure}");
}

/// The daemon's identity need not be able to delete.
#[tokio::test]
async fn a_signature_without_delete_is_enough_for_everything() {
    let emulated = Emulated::start().await;
    let store = store_at(&emulated.target(), sas("rwlc"));
    store.prepare(true).await.unwrap();
    let first = create(&store, "t/a", "1").await;
    replace(&store, "t/a", "2", &first).await;
    assert_eq!(names(&store, "t/", Listing::Versions).await, ["t/a", "t/a"]);
}

async fn put_with_fault(rule: &'static str) -> (AzureStore, Emulated, Failure) {
    let (emulated, store) = prepared().await;
    emulated.control("faults", rule).await;
    let failure = store.put(put_of("t/a", "1", Condition::Absent)).await.unwrap_err();
    (store, emulated, failure)
}

#[tokio::test]
async fn a_throttled_put_is_transient_and_tells_the_wait() {
    let rule =
        "{\"rules\":[{\"service\":\"blob\",\"operation\":\"put\",\"status\":503,\"retryAfterMs\":3000,\"count\":1}]}";
    let (store, _emulated, failure) = put_with_fault(rule).await;
    assert_eq!((failure.kind, failure.retry_after), (Kind::Transient, Some(Duration::from_secs(3))), "{failure}");
    create(&store, "t/a", "the fault was for one request, so the SDK did not try again").await;
}

#[tokio::test]
async fn a_put_whose_answer_is_lost_is_transient_and_may_have_been_done() {
    let rule =
        "{\"rules\":[{\"service\":\"blob\",\"operation\":\"put\",\"action\":\"respond-then-reset\",\"count\":1}]}";
    let (store, _emulated, failure) = put_with_fault(rule).await;
    assert_eq!(failure.kind, Kind::Transient, "{failure}");
    assert_eq!(content(&store, "t/a", None).await.as_deref(), Some("1"));
}

#[tokio::test]
async fn a_broken_connection_is_transient() {
    let reset = "{\"rules\":[{\"service\":\"blob\",\"operation\":\"put\",\"action\":\"reset\",\"count\":1}]}";
    let (store, emulated, failure) = put_with_fault(reset).await;
    assert_eq!(failure.kind, Kind::Transient, "{failure}");
    assert!(store.head("t/a").await.unwrap().is_none());

    create(&store, "t/a", &"1".repeat(1_000)).await;
    let rules = "{\"rules\":[{\"service\":\"blob\",\"operation\":\"get\",\"action\":\"truncate\"},\
                 {\"service\":\"blob\",\"operation\":\"list\",\"action\":\"truncate\"}]}";
    emulated.control("faults", rules).await;
    assert_eq!(store.get("t/a", None).await.unwrap_err().kind, Kind::Transient);
    assert_eq!(store.list("", Listing::Versions, None).await.unwrap_err().kind, Kind::Transient);
}

/// The clock is paused once the connection stands, so the limit passes as soon as nothing is left to do.
#[tokio::test]
async fn a_put_that_is_never_answered_ends_within_its_limit() {
    let (emulated, store) = prepared().await;
    emulated.control("faults", "{\"rules\":[{\"service\":\"blob\",\"operation\":\"put\",\"action\":\"hang\"}]}").await;
    tokio::time::pause();
    let begun = tokio::time::Instant::now();
    let failure = store.put(put_of("t/a", "1", Condition::Absent)).await.unwrap_err();
    assert_eq!(failure.kind, Kind::Transient, "{failure}");
    assert!(begun.elapsed() <= PUT_TIMEOUT + Duration::from_millis(10), "{:?}", begun.elapsed());
}

#[tokio::test]
async fn a_service_that_is_not_there_is_transient_and_no_secret_shows() {
    let closed = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let target = Target { endpoint: format!("http://{closed}/devstoreaccount1"), ..Target::default() };
    let store = store_at(&target, sas(ALL_PERMISSIONS));
    let failures = [
        store.prepare(true).await.unwrap_err(),
        store.head("t/a").await.unwrap_err(),
        store.get("t/a", None).await.unwrap_err(),
        store.list("t/", Listing::Versions, None).await.unwrap_err(),
    ];
    for failure in failures {
        assert_eq!(failure.kind, Kind::Transient, "{failure}");
        assert!(failure.remedy.contains("target.endpoint"), "{failure}");
        assert!(!format!("{failure:?}").contains("sig") && failure.message.contains("refused"), "{failure:?}");
    }
    assert!(!format!("{store:?}").contains("sig"));
}

#[tokio::test]
async fn metadata_that_cannot_ride_in_headers_is_refused_without_showing_it() {
    let (_emulated, store) = prepared().await;
    for (name, value) in
        [("a-b", "secret"), ("1a", "secret"), ("", "secret"), ("a", "secret\n"), ("a", " secret"), ("a", "secré")]
    {
        let mut put = put_of("t/a", "1", Condition::Absent);
        put.metadata.insert(name.to_owned(), value.to_owned());
        let failure = store.put(put).await.unwrap_err();
        assert!(failure.kind == Kind::Refused && !failure.to_string().contains("secr"), "{failure}");
    }
}
