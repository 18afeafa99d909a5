//! What bounds the answers.

use std::net::TcpListener;

use futures::StreamExt as _;
use serde_json::Value;

use super::*;
use crate::admin::Access;
use crate::config::{Config, Container, FeedMode, Start};
use crate::history::memory::{covered_store, key, reader, version as stored};

/// A server whose mirror is at this address, and whose documents everybody on this machine may see.
fn admin(target: &str) -> Admin {
    let containers = vec![Container {
        database: "db".to_owned(),
        container: "c".to_owned(),
        feed: FeedMode::LatestVersion,
        start: Start::Beginning,
        versions_per_minute_max: 0,
    }];
    let mut config = Config { containers, ..Config::default() };
    config.target.endpoint = target.to_owned();
    let settings =
        config::Admin { browse: true, token_env: "COSMIRROR_NOBODY_SETS_THIS".to_owned(), ..config::Admin::default() };
    Admin::new([("db", "c")], Access::open(&settings).unwrap()).with_about("one", &config)
}

async fn asked(admin: &Admin) -> (StatusCode, Value) {
    let headers = HeaderMap::from_iter([(header::HOST, header::HeaderValue::from_static("localhost"))]);
    let question = Query::try_from_uri(&"/?container=db/c".parse().unwrap());
    let answer = search(State(admin.clone()), headers, question).await;
    let status = answer.status();
    let bytes = axum::body::to_bytes(answer.into_body(), usize::MAX).await.unwrap();
    (status, serde_json::from_slice(&bytes).unwrap())
}

#[tokio::test]
async fn a_fifth_question_is_sent_away_until_an_answer_is_taken() {
    let admin = admin("http://127.0.0.1:1/devstoreaccount1");
    let take = async || Arc::clone(&admin.browse.places).acquire_owned().await.unwrap();
    let _others = [take().await, take().await, take().await];
    // Larger than a piece, so that taking a part of it gives no place back.
    let mut body = sent(Bytes::from(vec![b'x'; PIECE_BYTES + 1]), take().await).into_body().into_data_stream();
    assert_eq!(body.next().await.unwrap().unwrap().len(), PIECE_BYTES);
    let (status, answer) = asked(&admin).await;
    assert_eq!((status, &answer["error"]["code"]), (StatusCode::TOO_MANY_REQUESTS, &"busy".into()));
    assert_eq!(body.next().await.unwrap().unwrap().len(), 1);
    assert!(body.next().await.is_none());
    assert_eq!(admin.browse.places.available_permits(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_target_that_hangs_is_told_of_in_time_and_its_place_is_free_again() {
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let admin = admin(&format!("http://{}/devstoreaccount1", silent.local_addr().unwrap()));
    let (status, answer) = asked(&admin).await;
    assert_eq!((status, &answer["error"]["code"]), (StatusCode::GATEWAY_TIMEOUT, &"timeout".into()), "{answer}");
    assert_eq!(admin.browse.places.available_permits(), AT_A_TIME);
}

#[tokio::test]
async fn a_document_with_too_many_versions_is_not_read_whole() {
    let store = covered_store(&json!({}));
    for lsn in 1..=5 {
        store.add_version(stored("d", &format!("e{lsn}"), 1000, Some(lsn), b""), "{}");
    }
    store.add_version(stored("d2", "e", 1000, Some(9), b""), "{}");
    let mirror = reader(&store).await;
    let within = async |most| mirror.history_within(&key("p"), "d", most).await.unwrap();
    assert_eq!(within(5).await.unwrap().entries.len(), 5);
    assert!(within(4).await.is_none());
    assert!(mirror.history_within(&key("p"), "x", 0).await.unwrap().unwrap().is_empty());
}
