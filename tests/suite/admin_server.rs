//! The admin server over HTTP.

use cosmirror::admin::{Access, Admin, bind, serve};
use cosmirror::failure::Exit;
use cosmirror_formats::EpkRange;
use tokio_util::sync::CancellationToken;

/// Runs `questions` against a server, which is given the address as `http://host:port`.
pub(super) async fn with_server<F: Future<Output = ()>>(admin: &Admin, questions: impl FnOnce(String) -> F) {
    let listener = bind("127.0.0.1:0").await.unwrap();
    let base = format!("http://{}", listener.local_addr().unwrap());
    let stop = CancellationToken::new();
    let asking = async {
        questions(base).await;
        stop.cancel();
    };
    let (served, ()) = tokio::join!(serve(listener, admin.clone(), stop.clone()), asking);
    served.unwrap();
}

async fn get(url: &str) -> (u16, String) {
    let response = reqwest::Client::builder().no_proxy().build().unwrap().get(url).send().await.unwrap();
    (response.status().as_u16(), response.text().await.unwrap())
}

fn admin() -> Admin {
    let names = [("shop", "orders")];
    Admin::new(names, Access::closed())
}

#[tokio::test]
async fn probes_follow_start_up_and_readiness() {
    let admin = admin();
    with_server(&admin, async |base| {
        assert_eq!(get(&format!("{base}/livez")).await, (200, "alive\n".to_owned()));
        assert_eq!(get(&format!("{base}/startupz")).await.0, 503);
        assert_eq!(get(&format!("{base}/readyz")).await, (503, "start-up: not complete\n".to_owned()));
        admin.progress.started();
        assert_eq!(get(&format!("{base}/startupz")).await.0, 200);
        assert_eq!(get(&format!("{base}/readyz")).await, (200, "ready\n".to_owned()));
        admin.progress.not_ready("shop/orders", "the credential was refused");
        admin.progress.not_ready("target", "unreachable");
        let reasons = "shop/orders: the credential was refused\ntarget: unreachable\n";
        assert_eq!(get(&format!("{base}/readyz")).await, (503, reasons.to_owned()));
        assert_eq!(get(&format!("{base}/startupz")).await.0, 200);
        assert_eq!(get(&format!("{base}/livez")).await.0, 200);
    })
    .await;
}

#[tokio::test]
async fn a_container_too_far_behind_is_not_healthy() {
    let admin = admin();
    admin.progress.started();
    let container = admin.progress.container("shop", "orders");
    container.range_started(EpkRange::full());
    container.service_time(10_000);
    container.watermark(&EpkRange::full(), 10_000 - 120);
    with_server(&admin, async |base| {
        assert_eq!(get(&format!("{base}/healthz")).await.0, 200);
        assert_eq!(get(&format!("{base}/healthz?max_lag=1h")).await.0, 200);
        let (status, reason) = get(&format!("{base}/healthz?max_lag=1m")).await;
        assert_eq!(status, 503);
        assert!(reason.starts_with("shop/orders: 12") && reason.ends_with(" s behind, more than 60s\n"), "{reason}");
        assert_eq!(get(&format!("{base}/healthz?max_lag=soon")).await.0, 400);
        // A misspelt limit must not pass for one that holds.
        for wrong in ["maxlag=1m", "max_lag=1h&max_lag=1m", "max_lag=1h&other=1"] {
            assert_eq!(get(&format!("{base}/healthz?{wrong}")).await.0, 400, "{wrong}");
        }
    })
    .await;
}

#[tokio::test]
async fn the_container_that_is_behind_is_named_among_several_that_are_not() {
    let admin = Admin::new([("shop", "orders"), ("shop", "users")], Access::closed());
    admin.progress.started();
    for (name, behind) in [("orders", 1), ("users", 120)] {
        let container = admin.progress.container("shop", name);
        container.range_started(EpkRange::full());
        container.service_time(10_000);
        container.watermark(&EpkRange::full(), 10_000 - behind);
    }
    with_server(&admin, async |base| {
        let (status, reasons) = get(&format!("{base}/healthz?max_lag=1m")).await;
        assert!(status == 503 && reasons.lines().count() == 1 && reasons.starts_with("shop/users: "), "{reasons}");
    })
    .await;
}

#[tokio::test]
async fn no_answer_is_kept_by_anybody_and_probes_may_ask_for_heads_only() {
    let admin = admin();
    with_server(&admin, async |base| {
        let client = reqwest::Client::builder().no_proxy().build().unwrap();
        for (path, status) in [("livez", 200), ("startupz", 503), ("readyz", 503), ("healthz", 503), ("metrics", 200)] {
            for method in [reqwest::Method::GET, reqwest::Method::HEAD] {
                let answer = client.request(method.clone(), format!("{base}/{path}")).send().await.unwrap();
                assert_eq!(answer.status(), status, "{method} {path}");
                assert_eq!(answer.headers()["cache-control"], "no-store", "{method} {path}");
            }
            let answer = client.post(format!("{base}/{path}")).send().await.unwrap();
            assert_eq!(answer.status(), 405, "{path}");
        }
    })
    .await;
}

#[tokio::test]
async fn health_does_not_name_documents() {
    let admin = admin();
    admin.progress.started();
    admin.progress.not_ready("shop/orders -FF", "storing blob \"shop/orders/documents/anna/4711.json\": gone (404)");
    with_server(&admin, async |base| {
        let (status, reason) = get(&format!("{base}/readyz")).await;
        assert!(status == 503 && reason.ends_with("\": gone (404)\n"), "{reason}");
        assert!(!reason.contains("anna") && !reason.contains("4711"), "{reason}");
    })
    .await;
}

/// A loop that hangs for a minute makes this test last as long.
#[tokio::test]
async fn a_loop_that_hangs_makes_the_process_not_alive_with_its_name() {
    let admin = admin();
    let (release, held) = std::sync::mpsc::channel::<()>();
    let work = admin.watchdog.watch("shop/orders leases", None, async move {
        // As a lock that is never given back.
        let _ = held.recv();
    });
    let hanging = std::thread::spawn(|| {
        tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(work);
    });
    with_server(&admin, async |base| {
        let begun = tokio::time::Instant::now();
        loop {
            let (status, text) = get(&format!("{base}/livez")).await;
            if status == 503 {
                assert!(text.starts_with("shop/orders leases: one step has taken 6"), "{text}");
                break;
            }
            assert!(begun.elapsed() < std::time::Duration::from_secs(180));
            tokio::time::sleep(std::time::Duration::from_millis(50)).await;
        }
        let (_, metrics) = get(&format!("{base}/metrics")).await;
        assert!(metrics.contains("cosmirror_watchdog_age_seconds 6"), "{metrics}");
        drop(release);
        while get(&format!("{base}/livez")).await.0 != 200 {
            assert!(begun.elapsed() < std::time::Duration::from_secs(180));
        }
    })
    .await;
    hanging.join().unwrap();
}

#[tokio::test]
async fn metrics_are_open_metrics_text() {
    let admin = admin();
    admin.metrics.container("shop", "orders").versions_written.inc_by(7);
    with_server(&admin, async |base| {
        let (status, text) = get(&format!("{base}/metrics")).await;
        assert_eq!(status, 200);
        assert!(
            text.contains("cosmirror_versions_written_total{database=\"shop\",container=\"orders\"} 7\n"),
            "{text}"
        );
        assert!(text.ends_with("# EOF\n"), "{text}");
    })
    .await;
}

#[tokio::test]
async fn a_connection_that_is_held_open_does_not_hold_up_the_end() {
    let listener = bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let stop = CancellationToken::new();
    let holding = async {
        let mut held = tokio::net::TcpStream::connect(address).await.unwrap();
        tokio::io::AsyncWriteExt::write_all(&mut held, b"GET /livez HTTP/1.1\r\n").await.unwrap();
        stop.cancel();
        held
    };
    let (served, _held) = tokio::join!(serve(listener, admin(), stop.clone()), holding);
    served.unwrap();
}

#[tokio::test]
async fn an_address_that_cannot_be_had_is_a_usage_error() {
    let error = bind("192.0.2.1:80").await.unwrap_err();
    assert_eq!(error.exit, Exit::Usage);
    assert!(error.message.starts_with("admin.listen: cannot listen on 192.0.2.1:80: "), "{}", error.message);
    assert!(!error.remedy.is_empty());
    assert_eq!(bind("no address").await.unwrap_err().exit, Exit::Usage);
}
