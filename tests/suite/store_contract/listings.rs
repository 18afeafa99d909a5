//! Order, pages and prefixes of listings.

use cosmirror::failure::Kind;
use cosmirror::store::{Head, Listing, VersionStore};

use super::PAGE_ITEMS;
use super::fixture::{create, listed, names, pages, replace};

/// Names whose order as bytes differs from the order of directories, in that order.
const TRICKY: [&str; 14] = [
    "t/A", "t/a", "t/a-b", "t/a-b/c", "t/a.b", "t/a.b/c", "t/a/b", "t/a/b-c", "t/a/b/c", "t/a0", "t/ab", "t/a~2Eb",
    "t/b", "t/~e/x",
];

/// Stores the tricky names in another order, the n-th with 1 + n % 3 versions whose contents count from 0.
async fn store_tricky(store: &dyn VersionStore) {
    for step in 0..TRICKY.len() {
        let at = step * 5 % TRICKY.len();
        let mut stored = create(store, TRICKY[at], "0").await;
        for age in 1..=at % 3 {
            stored = replace(store, TRICKY[at], &"0".repeat(age + 1), &stored).await;
        }
    }
}

pub(super) async fn versions_are_listed_by_name_and_then_by_age(store: &dyn VersionStore) {
    store_tricky(store).await;
    let expected: Vec<(String, u64, bool)> = TRICKY
        .iter()
        .enumerate()
        .flat_map(|(at, name)| (0..=at % 3).map(move |age| (name.to_string(), age as u64 + 1, age == at % 3)))
        .collect();
    let heads = listed(store, "t/", Listing::Versions).await;
    let found: Vec<_> = heads.into_iter().map(|head| (head.name, head.length, head.current)).collect();
    assert_eq!(found, expected);
}

pub(super) async fn a_listing_of_current_versions_shows_one_of_each_name(store: &dyn VersionStore) {
    store_tricky(store).await;
    let heads = listed(store, "t/", Listing::Current).await;
    assert!(heads.iter().all(|head| head.current));
    let found: Vec<_> = heads.into_iter().map(|head| (head.name, head.length)).collect();
    let expected: Vec<_> = TRICKY.iter().enumerate().map(|(at, name)| (name.to_string(), at as u64 % 3 + 1)).collect();
    assert_eq!(found, expected);
}

pub(super) async fn pages_cut_through_the_versions_of_one_name(store: &dyn VersionStore) {
    create(store, "t/a", "before").await;
    let mut stored = create(store, "t/b", "0").await;
    for age in 1..7 {
        stored = replace(store, "t/b", &"0".repeat(age + 1), &stored).await;
    }
    create(store, "t/c", "after").await;

    let pages = pages(store, "t/", Listing::Versions).await;
    let names = |page: &[Head]| page.iter().map(|head| head.name.clone()).collect::<Vec<_>>();
    let cut = pages.windows(2).filter(|two| names(&two[0]).last() == names(&two[1]).first()).count();
    assert!(cut >= 2, "seven versions of one name are on three pages at least");
    let found: Vec<_> = pages.into_iter().flatten().map(|head| (head.name, head.length)).collect();
    let versions = (1..=7).map(|length| ("t/b".to_owned(), length));
    let expected: Vec<_> = [("t/a".to_owned(), 6)].into_iter().chain(versions).chain([("t/c".to_owned(), 5)]).collect();
    assert_eq!(found, expected);
}

pub(super) async fn a_listing_shows_what_head_shows(store: &dyn VersionStore) {
    store_tricky(store).await;
    for head in listed(store, "t/", Listing::Current).await {
        assert_eq!(store.head(&head.name).await.unwrap(), Some(head));
    }
    for head in listed(store, "t/", Listing::Versions).await {
        let (got, _) = store.get(&head.name, Some(&head.version)).await.unwrap().unwrap();
        assert_eq!(got, head);
    }
}

pub(super) async fn an_etag_from_a_listing_is_good_for_an_overwrite(store: &dyn VersionStore) {
    let stored = create(store, "t/a", "1").await;
    let head = listed(store, "t/", Listing::Current).await.remove(0);
    assert_eq!((&head.etag, &head.version), (&stored.etag, &stored.version));
    replace(store, "t/a", "2", &stored).await;
    let head = listed(store, "t/", Listing::Versions).await.remove(1);
    let before = cosmirror::store::Stored { etag: head.etag, version: head.version };
    replace(store, "t/a", "3", &before).await;
}

pub(super) async fn folders_are_told_without_what_is_in_them(store: &dyn VersionStore) {
    for name in [
        "alone",
        "shop/orders/_mirror/a",
        "shop/orders/documents/b",
        "shop/a~2Fb/c",
        "shop-2/x/y",
        "a/b",
        "ä&b/c",
        "shop.1",
    ] {
        let first = create(store, name, "1").await;
        replace(store, name, "2", &first).await;
    }
    for number in 0..2 * PAGE_ITEMS {
        create(store, &format!("shop/orders/documents/{number}/d"), "1").await;
    }
    for (prefix, expected) in [
        ("", &["a", "shop", "shop-2", "ä&b"][..]),
        ("shop/", &["a~2Fb", "orders"]),
        ("shop/orders/", &["_mirror", "documents"]),
        ("shop/orders/_mirror/", &[]),
        ("none/", &[]),
    ] {
        assert_eq!(store.folders(prefix, 4).await.unwrap(), expected, "{prefix}");
    }
    let documents = "shop/orders/documents/";
    assert_eq!(store.folders(documents, usize::from(2 * PAGE_ITEMS)).await.unwrap().len(), usize::from(2 * PAGE_ITEMS));
    let refused = store.folders(documents, usize::from(2 * PAGE_ITEMS) - 1).await.unwrap_err();
    assert!(refused.kind == Kind::Refused && !refused.remedy.is_empty(), "{refused}");
}

pub(super) async fn a_prefix_selects_by_its_bytes(store: &dyn VersionStore) {
    store_tricky(store).await;
    for prefix in ["t/a", "t/a/", "t/a/b", "t/a.", "t/a~", "t/a-b", "t/~", "t/z", "T/", "t/a/b/c/"] {
        let expected: Vec<_> = TRICKY.iter().filter(|name| name.starts_with(prefix)).collect();
        assert_eq!(names(store, prefix, Listing::Current).await.iter().collect::<Vec<_>>(), expected, "{prefix}");
    }
}
