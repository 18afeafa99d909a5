//! Conditional puts, and reading what they made.

use cosmirror::failure::Kind;
use cosmirror::store::{Condition, Listing, VersionStore};

use super::fixture::{content, create, listed, names, put_of, replace};

pub(super) async fn a_put_makes_the_current_version(store: &dyn VersionStore) {
    let stored = create(store, "t/p/a.json", "{\"v\":1}").await;
    let head = store.head("t/p/a.json").await.unwrap().unwrap();
    assert_eq!((head.name.as_str(), head.current, head.length), ("t/p/a.json", true, 7));
    assert_eq!((&head.version, &head.etag), (&stored.version, &stored.etag));
    let (got, body) = store.get("t/p/a.json", None).await.unwrap().unwrap();
    assert_eq!((got, body.as_ref()), (head, &b"{\"v\":1}"[..]));
}

pub(super) async fn a_create_where_something_is_stored_is_a_conflict_and_changes_nothing(store: &dyn VersionStore) {
    let stored = create(store, "t/a.json", "first").await;
    let failure = store.put(put_of("t/a.json", "second", Condition::Absent)).await.unwrap_err();
    assert_eq!(failure.kind, Kind::Conflict, "{failure}");
    assert_eq!(store.head("t/a.json").await.unwrap().unwrap().etag, stored.etag);
    assert_eq!(listed(store, "t/", Listing::Versions).await.len(), 1);
}

pub(super) async fn an_overwrite_with_any_but_the_current_etag_is_a_conflict_and_changes_nothing(
    store: &dyn VersionStore,
) {
    let first = create(store, "t/a.json", "first").await;
    let second = replace(store, "t/a.json", "second", &first).await;
    for etag in [first.etag.as_str(), "\"0x8DFFFFFFFFFFFFF\""] {
        let put = put_of("t/a.json", "third", Condition::Matches(etag.to_owned()));
        let failure = store.put(put).await.unwrap_err();
        assert_eq!(failure.kind, Kind::Conflict, "{failure}");
    }
    let put = put_of("t/never-stored.json", "third", Condition::Matches(second.etag.clone()));
    assert_eq!(store.put(put).await.unwrap_err().kind, Kind::Conflict);

    assert_eq!(store.head("t/a.json").await.unwrap().unwrap().etag, second.etag);
    assert_eq!(listed(store, "t/", Listing::Versions).await.len(), 2);
}

pub(super) async fn every_version_stays_readable_by_its_name(store: &dyn VersionStore) {
    let mut stored = vec![create(store, "t/a.json", "0").await];
    for body in ["1", "2", "3", "4"] {
        stored.push(replace(store, "t/a.json", body, stored.last().unwrap()).await);
    }
    for (age, stored) in stored.iter().enumerate() {
        let (head, body) = store.get("t/a.json", Some(&stored.version)).await.unwrap().unwrap();
        assert_eq!(body, age.to_string());
        assert_eq!((&head.version, &head.etag, head.current), (&stored.version, &stored.etag, age == 4));
    }
    assert_eq!(content(store, "t/a.json", None).await.as_deref(), Some("4"));
}

pub(super) async fn a_missing_name_or_version_is_none(store: &dyn VersionStore) {
    let elsewhere = create(store, "t/b.json", "1").await;
    let elsewhere = replace(store, "t/b.json", "2", &elsewhere).await;
    create(store, "t/a.json", "1").await;
    assert!(store.head("t/missing.json").await.unwrap().is_none());
    assert!(store.get("t/missing.json", None).await.unwrap().is_none());
    assert!(store.get("t/missing.json", Some(&elsewhere.version)).await.unwrap().is_none());
    for version in [elsewhere.version.as_str(), "never-a-version"] {
        assert!(store.get("t/a.json", Some(version)).await.unwrap().is_none(), "{version}");
    }
    assert!(names(store, "t/missing", Listing::Versions).await.is_empty());
}

pub(super) async fn a_name_may_be_the_beginning_of_others(store: &dyn VersionStore) {
    for name in ["t/a.json/b.json", "t/a.json", "t/a.json/b.json/c.json"] {
        create(store, name, name).await;
    }
    for name in ["t/a.json", "t/a.json/b.json", "t/a.json/b.json/c.json"] {
        assert_eq!(content(store, name, None).await.as_deref(), Some(name));
    }
    assert!(store.head("t").await.unwrap().is_none());
}

pub(super) async fn preparing_again_changes_nothing(store: &dyn VersionStore) {
    create(store, "t/a.json", "1").await;
    store.prepare(true).await.unwrap();
    store.prepare(false).await.unwrap();
    assert_eq!(content(store, "t/a.json", None).await.as_deref(), Some("1"));
    assert_eq!(names(store, "t/", Listing::Versions).await, ["t/a.json"]);
}

pub(super) async fn a_name_that_would_lead_elsewhere_is_refused(store: &dyn VersionStore) {
    for name in
        ["", "..", "../t/a", "t/../a", "t/./a", "/t/a", "t//a", "t/a/", "t\\a", "t/a\tb", "t/a\0b", &"t/a".repeat(400)]
    {
        let failures = [
            store.put(put_of(name, "1", Condition::Absent)).await.unwrap_err(),
            store.head(name).await.unwrap_err(),
            store.get(name, None).await.unwrap_err(),
        ];
        assert!(failures.iter().all(|failure| failure.kind == Kind::Refused), "{name:?}: {failures:?}");
    }
}
