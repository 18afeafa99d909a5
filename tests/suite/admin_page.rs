//! The page, `/status` and the looking at documents over HTTP: what is refused, bounded and said with every answer.

use std::time::Duration;

use cosmirror::admin::{Access, Admin, Whole};
use cosmirror::config::{self, Config, Container, FeedMode, Start, TargetKind};
use serde_json::Value;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use super::admin_server::with_server;

const TOKEN: &str = "0123456789abcdef-right";

/// A server over an empty directory as the mirror.
fn admin(browse: bool, token: Option<&str>, folder: &std::path::Path) -> Admin {
    let token_file = token.map(|token| {
        let file = folder.join("token");
        std::fs::write(&file, token).unwrap();
        file
    });
    let containers = vec![Container {
        database: "shop".to_owned(),
        container: "orders".to_owned(),
        feed: FeedMode::LatestVersion,
        start: Start::Beginning,
        versions_per_minute_max: 0,
    }];
    let mut config = Config { containers, ..Config::default() };
    config.target.kind = TargetKind::Directory;
    std::fs::create_dir_all(folder.join("mirror")).unwrap();
    config.target.path = Some(folder.join("mirror"));
    let settings = config::Admin {
        browse,
        token_env: "COSMIRROR_NOBODY_SETS_THIS".to_owned(),
        token_file,
        ..config::Admin::default()
    };
    Admin::new([("shop", "orders")], Access::open(&settings).unwrap()).with_about("pod-1", &config)
}

fn client() -> reqwest::Client {
    reqwest::Client::builder().no_proxy().build().unwrap()
}

async fn json(request: reqwest::RequestBuilder) -> (u16, Value) {
    let answer = request.send().await.unwrap();
    let (status, bytes) = (answer.status().as_u16(), answer.bytes().await.unwrap());
    (status, serde_json::from_slice(&bytes).unwrap_or_else(|_| panic!("{bytes:?}")))
}

#[tokio::test]
async fn every_answer_says_what_a_browser_may_do_with_it() {
    let folder = tempfile::tempdir().unwrap();
    with_server(&admin(true, Some(TOKEN), folder.path()), async |base| {
        let paths =
            ["/", "/page.js", "/page.css", "/dom.js", "/chart.js", "/browse.js", "/status", "/samples", "/metrics"];
        for path in paths.into_iter().chain(["/livez", "/readyz", "/nothing", "/browse/search?container=shop/orders"]) {
            let answer = client().get(format!("{base}{path}")).send().await.unwrap();
            let header = |name: &str| answer.headers().get(name).map(|value| value.to_str().unwrap().to_owned());
            let policy = header("content-security-policy").unwrap();
            for part in ["default-src 'none'", "script-src 'self'", "frame-ancestors 'none'", "base-uri 'none'"] {
                assert!(policy.contains(part), "{path}: {policy}");
            }
            assert_eq!(header("x-content-type-options").as_deref(), Some("nosniff"), "{path}");
            assert_eq!(header("referrer-policy").as_deref(), Some("no-referrer"), "{path}");
            assert_eq!(header("cache-control").as_deref(), Some("no-store"), "{path}");
        }
        let page = client().get(format!("{base}/")).send().await.unwrap();
        assert_eq!(page.headers()["content-type"], "text/html; charset=utf-8");
        let posted = client().post(format!("{base}/status")).send().await.unwrap();
        assert_eq!(posted.status(), 405);
    })
    .await;
}

#[tokio::test]
async fn a_status_without_anything_known_says_so() {
    let folder = tempfile::tempdir().unwrap();
    with_server(&admin(false, None, folder.path()), async |base| {
        let (code, status) = json(client().get(format!("{base}/status"))).await;
        assert_eq!(code, 200);
        let container = &status["containers"][0];
        assert_eq!((&container["database"], &container["feed"]), (&"shop".into(), &"latest-version".into()));
        assert_eq!((&container["restorable_from"], &container["pending_changes"]), (&Value::Null, &Value::Null));
        assert_eq!((&container["observed"], &container["backfilled"]), (&false.into(), &false.into()));
        assert_eq!((&container["gaps"], &container["dead_letters"]), (&Value::Null, &Value::Null), "nobody counted");
        assert_eq!(container["start"], "beginning");
        assert!(container["lag_seconds"].is_i64() && container["ranges"].as_array().unwrap().is_empty(), "{container}");
        assert_eq!((&status["instance"], &status["ready"]), (&"pod-1".into(), &false.into()));
        assert_eq!(status["reasons"][0], "start-up: not complete");
        assert_eq!(status["browsing"], serde_json::json!({"on": false, "needs_token": false}));
    })
    .await;
}

#[tokio::test]
async fn documents_are_refused_to_whoever_may_not_see_them() {
    let folder = tempfile::tempdir().unwrap();
    let paths = ["search?container=shop/orders", "history?container=shop/orders&id=d&pk=[]", "version?x", "diff"];
    with_server(&admin(false, None, folder.path()), async |base| {
        for path in paths {
            let (code, body) = json(client().get(format!("{base}/browse/{path}"))).await;
            assert_eq!((code, &body["error"]["code"]), (403, &"browsing_off".into()), "{path}");
        }
    })
    .await;
    with_server(&admin(true, None, folder.path()), async |base| {
        for path in paths {
            let request = client().get(format!("{base}/browse/{path}")).header("host", "evil.example");
            let (code, body) = json(request).await;
            assert_eq!((code, &body["error"]["code"]), (421, &"host".into()), "{path}");
        }
    })
    .await;
    with_server(&admin(true, Some(TOKEN), folder.path()), async |base| {
        for path in paths {
            for token in [None, Some("wrong"), Some("0123456789abcdef-righ")] {
                let request = client().get(format!("{base}/browse/{path}"));
                let request = token.into_iter().fold(request, |request, token| request.bearer_auth(token));
                let (code, body) = json(request).await;
                assert_eq!((code, &body["error"]["code"]), (401, &"token".into()), "{path} {token:?}");
            }
        }
        let right = client().get(format!("{base}/browse/search?container=shop/orders")).bearer_auth(TOKEN);
        assert_eq!(json(right).await.0, 200);
        let in_address = client().get(format!("{base}/browse/search?container=shop/orders&token={TOKEN}"));
        assert_eq!(json(in_address).await.0, 401);
    })
    .await;
}

#[tokio::test]
async fn what_is_wrong_with_a_question_is_said() {
    let folder = tempfile::tempdir().unwrap();
    with_server(&admin(true, None, folder.path()), async |base| {
        let long = "x".repeat(20_000);
        let orders = "container=shop/orders";
        for (question, code) in [
            ("search".to_owned(), 400),
            ("search?container=shop/others".to_owned(), 404),
            ("search?container=../../etc".to_owned(), 404),
            (format!("search?{orders}&limit=0"), 400),
            (format!("search?{orders}&limit=1000000000"), 400),
            (format!("search?{orders}&limit=-1"), 400),
            (format!("search?{orders}&id={long}"), 400),
            (format!("search?{orders}&pk={long}"), 400),
            (format!("search?{orders}&pk=notjson"), 400),
            (format!("search?{orders}&pk=\"text\""), 400),
            (format!("search?{orders}&pk=[[]]"), 400),
            (format!("search?{orders}&next={long}"), 400),
            (format!("search?{orders}&next=../../etc"), 400),
            (format!("history?{orders}&id=d"), 400),
            (format!("history?{orders}&id=d&pk=[\"p\"]"), 404),
            (format!("version?{orders}&id=../../../token&pk=[\"..\"]&version=1"), 404),
        ] {
            let (status, body) = json(client().get(format!("{base}/browse/{question}"))).await;
            let told = &body["error"]["message"];
            assert_eq!(status, code, "{:.60} {told}", question);
            assert!(told.as_str().is_some_and(|told| !told.is_empty()), "{body}");
        }
        let (status, body) = json(client().get(format!("{base}/browse/search?{orders}&id=a"))).await;
        assert_eq!((status, &body["documents"], &body["next"]), (200, &serde_json::json!([]), &Value::Null));
    })
    .await;
}

#[tokio::test]
async fn reasons_hold_no_id_of_a_document() {
    let folder = tempfile::tempdir().unwrap();
    let admin = admin(false, None, folder.path());
    admin.progress.started();
    let failures = [
        r#"storing blob "shop/orders/documents/planted/planted.json": AuthorizationFailure (403)"#,
        r#"could not read document "planted" of partition ["planted@example.org"] in shop/orders: 403"#,
        "error sending request for url (https://a.example/dbs/shop/colls/orders/docs/planted)",
    ];
    for (at, failure) in failures.into_iter().enumerate() {
        admin.progress.not_ready(&format!("shop/orders {at}"), failure);
    }
    with_server(&admin, async |base| {
        for path in ["readyz", "healthz", "status"] {
            let answer = client().get(format!("{base}/{path}")).send().await.unwrap().text().await.unwrap();
            assert!(answer.contains("AuthorizationFailure (403)") && !answer.contains("planted"), "{path}: {answer}");
        }
    })
    .await;
}

#[tokio::test]
async fn a_replica_that_follows_nothing_tells_how_far_behind_the_others_are() {
    let folder = tempfile::tempdir().unwrap();
    let admin = admin(false, None, folder.path());
    let container = admin.progress.container("shop", "orders");
    container.followed_elsewhere(true);
    with_server(&admin, async |base| {
        let (_, status) = json(client().get(format!("{base}/status"))).await;
        assert_eq!(status["containers"][0]["lag_seconds"], Value::Null);
        container.service_time(10_000);
        container.set_whole(Whole { until: Some(9_000), is_backfilled: true });
        container.counted();
        admin.metrics.container("shop", "orders").dead_letters.set(2);
        let (_, status) = json(client().get(format!("{base}/status"))).await;
        let shown = &status["containers"][0];
        assert!(shown["lag_seconds"].as_i64().is_some_and(|lag| lag >= 1_000), "{shown}");
        assert_eq!((&shown["dead_letters"], &shown["observed"]), (&2.into(), &false.into()));
    })
    .await;
}

/// How many bytes came until the connection was cut.
async fn until_cut(connection: &mut TcpStream) -> usize {
    let (mut count, mut bytes) = (0, vec![0; 64 << 10]);
    while let Ok(read @ 1..) = connection.read(&mut bytes).await {
        count += read;
    }
    count
}

#[tokio::test]
async fn the_server_cuts_off_who_asks_byte_by_byte() {
    let folder = tempfile::tempdir().unwrap();
    with_server(&admin(false, None, folder.path()), async |base| {
        let mut connection = TcpStream::connect(base.strip_prefix("http://").unwrap()).await.unwrap();
        connection.write_all(b"GET /livez HTTP/1.1\r\nx: ").await.unwrap();
        tokio::time::pause();
        let ((mut reading, mut writing), mut answer) = (connection.split(), [0; 1]);
        let begun = tokio::time::Instant::now();
        let trickle = async {
            while writing.write_all(b"x").await.is_ok() {
                tokio::time::sleep(Duration::from_secs(2)).await;
            }
        };
        tokio::select! {
            () = trickle => {}
            _ = reading.read(&mut answer) => {}
        }
        assert!(begun.elapsed() < Duration::from_secs(20), "{:?}", begun.elapsed());
        tokio::time::resume();
        let answer = client().get(format!("{base}/livez")).send().await.unwrap();
        assert_eq!(answer.status(), 200);
    })
    .await;
}

#[tokio::test]
async fn the_server_cuts_off_who_reads_nothing() {
    let folder = tempfile::tempdir().unwrap();
    with_server(&admin(false, None, folder.path()), async |base| {
        let mut connection = TcpStream::connect(base.strip_prefix("http://").unwrap()).await.unwrap();
        // Answers of more bytes than any connection holds on its way.
        let count = 4_000;
        let page = client().get(format!("{base}/page.js")).send().await.unwrap().bytes().await.unwrap().len();
        let request = "GET /page.js HTTP/1.1\r\nhost: x\r\n\r\n".repeat(count);
        connection.write_all(request.as_bytes()).await.unwrap();
        tokio::time::pause();
        tokio::time::sleep(Duration::from_secs(150)).await;
        tokio::time::resume();
        let read = until_cut(&mut connection).await;
        assert!(read < page * count, "all of {read} bytes were still to be had");
    })
    .await;
}
