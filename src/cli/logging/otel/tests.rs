use std::collections::HashMap;
use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::sync::mpsc;

use cosmirror_formats::EpkRange;
use tracing_subscriber::layer::SubscriberExt as _;

use super::*;
use crate::mirror::window::Stream;

const SECRET: &str = "planted-secret";
/// For a loaded machine.
const PATIENCE: Duration = Duration::from_mins(1);

/// A request as it came: its head, and its body as long as that says.
fn request(connection: &mut TcpStream) -> (String, Vec<u8>) {
    let (mut received, mut buffer) = (Vec::new(), [0; 4096]);
    loop {
        let read = connection.read(&mut buffer).unwrap();
        assert_ne!(read, 0, "the request ended early");
        received.extend_from_slice(&buffer[..read]);
        let Some(end) = received.windows(4).position(|bytes| bytes == b"\r\n\r\n") else { continue };
        let head = String::from_utf8_lossy(&received[..end]).to_lowercase();
        let length = head.lines().find_map(|line| line.strip_prefix("content-length: ")).unwrap();
        let length: usize = length.parse().unwrap();
        if received.len() >= end + 4 + length {
            return (head, received.split_off(end + 4));
        }
    }
}

/// The endpoint of a collector that answers `answer` to every request, and what it gets.
fn collector(answer: &'static str) -> (String, mpsc::Receiver<(String, Vec<u8>)>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let endpoint = format!("http://{}/v1/traces?token={SECRET}", listener.local_addr().unwrap());
    let (sender, receiver) = mpsc::channel();
    std::thread::spawn(move || {
        for connection in listener.incoming() {
            let mut connection = connection.unwrap();
            let got = request(&mut connection);
            connection.write_all(answer.as_bytes()).unwrap();
            if sender.send(got).is_err() {
                return;
            }
        }
    });
    (endpoint, receiver)
}

/// What a page that holds changes leaves behind, and much that must not be exported.
fn work() {
    let range = EpkRange::full();
    let page = traces::page("shop/orders", &range, Stream::Followed);
    let _entered = page.enter();
    tracing::info!(id = SECRET, "a document was stored");
    let _of_a_library = tracing::error_span!("request", url = SECRET).entered();
    drop(traces::write(&page, 3));
    let poll = traces::page("shop/idle", &range, Stream::Followed);
    poll.record(traces::EMPTY, true);
}

fn contains(body: &[u8], text: &str) -> bool {
    body.windows(text.len()).any(|bytes| bytes == text.as_bytes())
}

#[test]
fn spans_of_the_work_reach_the_collector_and_nothing_else_does() {
    let (endpoint, received) = collector("HTTP/1.1 200 OK\r\ncontent-length: 0\r\nconnection: close\r\n\r\n");
    let exporting = Exporting::to(Some(endpoint), REQUEST_TIMEOUT).unwrap();
    tracing::subscriber::with_default(tracing_subscriber::registry().with(exporting.layer()), work);
    drop(exporting);
    let (head, body) = received.recv_timeout(PATIENCE).unwrap();
    assert!(head.starts_with("post /v1/traces") && head.contains("application/x-protobuf"), "{head}");
    for there in ["page", "write", "shop/orders", "service.name"] {
        assert!(contains(&body, there), "{there}");
    }
    for absent in [SECRET, "a document was stored", "shop/idle", "request"] {
        assert!(!contains(&body, absent), "{absent}");
    }
}

#[test]
fn a_collector_that_hangs_holds_up_neither_the_work_nor_the_end() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let endpoint = format!("http://{}/v1/traces", listener.local_addr().unwrap());
    // Longer than anybody waits: only the deadline of the end can end it.
    let exporting = Exporting::to(Some(endpoint), PATIENCE * 2).unwrap();
    let begun = Instant::now();
    let subscriber = tracing_subscriber::registry().with(exporting.layer());
    tracing::subscriber::with_default(subscriber, || (0..5_000).for_each(|_| work()));
    drop(exporting);
    assert!(begun.elapsed() < PATIENCE, "{:?}", begun.elapsed());
}

#[test]
fn trouble_is_told_once_a_minute_and_without_the_endpoint() {
    let (endpoint, received) = collector("HTTP/1.1 400 Bad Request\r\ncontent-length: 0\r\nconnection: close\r\n\r\n");
    let client = Client::new(REQUEST_TIMEOUT).unwrap();
    let post = |uri: &str| Request::post(uri).body(Bytes::from_static(b"spans")).unwrap();
    assert_eq!(client.send(post(&endpoint)), Ok(400));
    received.recv_timeout(PATIENCE).unwrap();
    let free = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let error = client.send(post(&format!("http://{free}/?token={SECRET}"))).unwrap_err();
    assert_eq!(error, "it cannot be reached");
    client.tell(&error);
    let first = *client.told.lock().unwrap();
    client.tell(&error);
    assert!(first.is_some() && *client.told.lock().unwrap() == first);
}

#[test]
fn the_environment_decides_whether_and_how_long() {
    let wants = |pairs: &[(&str, &str)]| {
        let set: HashMap<String, String> =
            pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        (is_wanted(|name| set.get(name).cloned()), timeout(|name| set.get(name).cloned()))
    };
    let endpoint = ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://collector:4318");
    assert_eq!(wants(&[]), (false, REQUEST_TIMEOUT));
    assert_eq!(wants(&[endpoint, ("OTEL_EXPORTER_OTLP_TIMEOUT", "250")]), (true, Duration::from_millis(250)));
    assert!(wants(&[("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "http://collector/traces")]).0);
    assert!(!wants(&[endpoint, ("OTEL_SDK_DISABLED", "TRUE")]).0);
    assert!(!wants(&[endpoint, ("OTEL_TRACES_EXPORTER", "none")]).0);
    assert_eq!(wants(&[endpoint, ("OTEL_EXPORTER_OTLP_TIMEOUT", "99999999")]).1, REQUEST_TIMEOUT_MAX);
}
