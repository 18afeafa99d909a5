//! Several writers, and a writer that goes away.

use cosmirror::failure::Kind;
use cosmirror::store::{Condition, Listing, Stored, VersionStore};
use futures::future::join_all;

use super::fixture::{content, create, listed, put_of};

const WRITERS: usize = 16;

/// All put with the same condition at once; the only one that may succeed is returned with its content.
async fn race(store: &dyn VersionStore, condition: Condition) -> (Stored, String) {
    let bodies: Vec<String> = (0..WRITERS).map(|writer| format!("writer {writer}")).collect();
    let puts = bodies.iter().map(|body| store.put(put_of("t/a.json", body, condition.clone())));
    let mut won = Vec::new();
    for (answer, body) in join_all(puts).await.into_iter().zip(&bodies) {
        match answer {
            Ok(stored) => won.push((stored, body.clone())),
            Err(failure) => assert_eq!(failure.kind, Kind::Conflict, "{failure}"),
        }
    }
    assert_eq!(won.len(), 1, "{won:?}");
    won.remove(0)
}

async fn is_current(store: &dyn VersionStore, (stored, body): (Stored, String), versions: usize) {
    let (head, content) = store.get("t/a.json", None).await.unwrap().unwrap();
    assert_eq!((head.version, head.etag), (stored.version, stored.etag));
    assert_eq!(content, body);
    assert_eq!(listed(store, "t/", Listing::Versions).await.len(), versions);
}

pub(super) async fn of_sixteen_creates_at_once_one_succeeds(store: &dyn VersionStore) {
    let winner = race(store, Condition::Absent).await;
    is_current(store, winner, 1).await;
}

pub(super) async fn of_sixteen_overwrites_at_once_one_succeeds(store: &dyn VersionStore) {
    let first = create(store, "t/a.json", "first").await;
    let winner = race(store, Condition::Matches(first.etag)).await;
    is_current(store, winner, 2).await;
}

pub(super) async fn a_put_whose_future_is_dropped_is_done_whole_or_not_at_all(store: &dyn VersionStore) {
    let body = "x".repeat(100_000);
    let mut dropped = store.put(put_of("t/a.json", &body, Condition::Absent));
    let _ = futures::poll!(&mut dropped);
    drop(dropped);
    // What a caller does next: put again, and take a conflict for an answer.
    match store.put(put_of("t/a.json", &body, Condition::Absent)).await {
        Ok(_) => {}
        Err(failure) => assert_eq!(failure.kind, Kind::Conflict, "{failure}"),
    }
    assert_eq!(content(store, "t/a.json", None).await, Some(body));
    assert_eq!(listed(store, "t/", Listing::Versions).await.len(), 1);
}
