//! Bytes and metadata come back as they were put.

use std::collections::BTreeMap;

use bytes::Bytes;
use cosmirror::store::{Condition, Listing, Put, VersionStore};

use super::fixture::{create, listed};

fn text(value: &str) -> String {
    value.to_owned()
}

pub(super) async fn metadata_comes_back_as_it_was_put(store: &dyn VersionStore) {
    let metadata: BTreeMap<String, String> = [
        ("etag", "\"0000-0a00-0000-0000-68e7d2f00000\""),
        ("quotes", "it's \"so\", isn't it; a=b&c=d?"),
        ("markup", "<Metadata>&amp;]]></Metadata>"),
        ("percent", "100%25 ~20 %2F \\ | ^ `"),
        ("base64", "eyJpZCI6IsOkIn0"),
        ("padded", "YQ=="),
        ("prev", "del:6SUMAO-5bnQ:42"),
        ("number", "-1"),
        ("a_1", "x"),
        ("inner", "one two"),
    ]
    .map(|(name, value)| (text(name), text(value)))
    .into();
    let long = ("long".to_owned(), "0123456789abcdef".repeat(256));
    let metadata: BTreeMap<String, String> = metadata.into_iter().chain([long]).collect();
    let put = Put {
        name: text("t/a.json"),
        body: Bytes::from_static(b"{}"),
        metadata: metadata.clone(),
        condition: Condition::Absent,
    };
    let stored = store.put(put).await.unwrap();
    assert_eq!(store.head("t/a.json").await.unwrap().unwrap().metadata, metadata);
    assert_eq!(store.get("t/a.json", None).await.unwrap().unwrap().0.metadata, metadata);
    assert_eq!(store.get("t/a.json", Some(&stored.version)).await.unwrap().unwrap().0.metadata, metadata);
    assert_eq!(listed(store, "t/", Listing::Current).await[0].metadata, metadata);
    assert_eq!(listed(store, "t/", Listing::Versions).await[0].metadata, metadata);
}

pub(super) async fn names_of_metadata_are_compared_without_case(store: &dyn VersionStore) {
    let metadata = BTreeMap::from([(text("CamelCase"), text("Value"))]);
    let put = Put { name: text("t/a.json"), body: Bytes::new(), metadata, condition: Condition::Absent };
    store.put(put).await.unwrap();
    let expected = BTreeMap::from([(text("camelcase"), text("Value"))]);
    assert_eq!(store.head("t/a.json").await.unwrap().unwrap().metadata, expected);
    assert_eq!(listed(store, "t/", Listing::Versions).await[0].metadata, expected);
}

async fn round_trip(store: &dyn VersionStore, body: Bytes) {
    let put = Put {
        name: text("t/a.json"),
        body: body.clone(),
        metadata: BTreeMap::from([(text("op"), text("delete"))]),
        condition: Condition::Absent,
    };
    let stored = store.put(put).await.unwrap();
    let length = body.len() as u64;
    assert_eq!(store.head("t/a.json").await.unwrap().unwrap().length, length);
    assert_eq!(listed(store, "t/", Listing::Versions).await[0].length, length);
    for version in [None, Some(stored.version.as_str())] {
        let (head, read) = store.get("t/a.json", version).await.unwrap().unwrap();
        assert_eq!((head.length, head.current, &head.etag), (length, true, &stored.etag));
        assert!(read == body, "other bytes came back");
    }
}

pub(super) async fn bytes_come_back_as_they_were_put(store: &dyn VersionStore) {
    let body: Vec<u8> = b"{\"a\":\n 1.0e5 }\r\n".iter().copied().chain(0..=255).collect();
    round_trip(store, Bytes::from(body)).await;
}

pub(super) async fn an_empty_body_is_a_version(store: &dyn VersionStore) {
    round_trip(store, Bytes::new()).await;
    let after = create(store, "t/b.json", "").await;
    assert!(!after.version.is_empty());
}

pub(super) async fn two_mebibytes_come_back_exactly(store: &dyn VersionStore) {
    let body: Vec<u8> = (0..2 * 1024 * 1024_u32).map(|at| (at.wrapping_mul(2_654_435_761) >> 24) as u8).collect();
    round_trip(store, Bytes::from(body)).await;
}
