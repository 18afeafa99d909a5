use std::io::Write as _;
use std::sync::Arc;
use std::sync::atomic::{AtomicU16, AtomicUsize, Ordering};

use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::IntoResponse;
use cosmirror_formats::EpkRange;
use tokio::net::TcpListener;

use super::*;
use crate::admin::{Access, ContainerProgress};

/// Far more than a machine under load needs for what takes milliseconds.
const LIMIT: Duration = Duration::from_secs(60);

#[derive(Clone, Default)]
struct Service {
    calls: Arc<AtomicUsize>,
    elsewhere: Arc<AtomicUsize>,
    status: Arc<AtomicU16>,
}

async fn serve(service: Service) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let base = format!("http://{}", listener.local_addr().unwrap());
    let called = async |State(service): State<Service>| {
        service.calls.fetch_add(1, Ordering::Relaxed);
        let status = StatusCode::from_u16(service.status.load(Ordering::Relaxed)).unwrap();
        (status, [(header::LOCATION, "/elsewhere")]).into_response()
    };
    let elsewhere = async |State(service): State<Service>| {
        service.elsewhere.fetch_add(1, Ordering::Relaxed);
    };
    let router = axum::Router::new()
        .route("/secret-path", axum::routing::get(called))
        .route("/elsewhere", axum::routing::get(elsewhere))
        .with_state(service);
    #[expect(clippy::disallowed_methods, reason = "a test's server has no owner")]
    tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
    base
}

struct Scene {
    service: Service,
    admin: Admin,
    orders: ContainerProgress,
    base: String,
}

async fn scene(status: u16) -> Scene {
    let service = Service::default();
    service.status.store(status, Ordering::Relaxed);
    let base = serve(service.clone()).await;
    let admin = Admin::new([("shop", "orders"), ("shop", "users")], Access::closed());
    admin.progress.started();
    admin.progress.container("shop", "users").followed_elsewhere(true);
    let orders = admin.progress.container("shop", "orders");
    orders.range_started(EpkRange::full());
    Scene { service, admin, orders, base }
}

impl Scene {
    fn counted(&self, result: &'static str) -> u64 {
        self.admin.metrics.heartbeat(result).get()
    }

    /// Beats until the story is at its end.
    async fn while_beating(&self, story: impl Future<Output = ()>) {
        let url = format!("{}/secret-path?token=secret-token", self.base);
        let beat = Heartbeat::new(url.into(), "127.0.0.1".to_owned(), Duration::from_millis(10)).unwrap();
        let stop = CancellationToken::new();
        let ended = async {
            story.await;
            stop.cancel();
        };
        tokio::join!(beat.beat(self.admin.clone(), stop.clone()), ended);
    }

    async fn until(&self, holds: impl Fn() -> bool) {
        let waiting = async {
            while !holds() {
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
        };
        tokio::time::timeout(LIMIT, waiting).await.unwrap();
    }
}

#[tokio::test]
async fn each_call_needs_a_step_of_every_range_since_the_last_one() {
    let scene = scene(200).await;
    scene
        .while_beating(async {
            scene.until(|| scene.counted("withheld") >= 3).await;
            assert_eq!(scene.service.calls.load(Ordering::Relaxed), 0, "no step yet");
            for calls in 1..4 {
                scene.orders.stepped(&EpkRange::full());
                scene.until(|| scene.counted("ok") >= calls).await;
                let withheld = scene.counted("withheld");
                scene.until(|| scene.counted("withheld") >= withheld + 3).await;
                assert_eq!(scene.service.calls.load(Ordering::Relaxed) as u64, calls, "no step since");
            }
            scene.admin.progress.not_ready("target", "gone");
            scene.orders.stepped(&EpkRange::full());
            let withheld = scene.counted("withheld");
            scene.until(|| scene.counted("withheld") >= withheld + 3).await;
            assert_eq!(scene.counted("ok"), 3, "not ready");
        })
        .await;
}

#[tokio::test]
async fn a_reserve_that_follows_nothing_does_not_cover_for_others() {
    let scene = scene(200).await;
    scene.orders.range_stopped(&EpkRange::full());
    scene.orders.followed_elsewhere(true);
    scene
        .while_beating(async {
            scene.until(|| scene.counted("withheld") >= 3).await;
            scene.orders.followed_elsewhere(false);
            scene.orders.range_started(EpkRange::full());
            scene.orders.stepped(&EpkRange::full());
            scene.until(|| scene.counted("ok") >= 1).await;
        })
        .await;
}

#[tokio::test]
async fn a_redirect_is_a_refusal_and_is_not_followed() {
    let scene = scene(302).await;
    scene
        .while_beating(async {
            scene
                .until(|| {
                    scene.orders.stepped(&EpkRange::full());
                    scene.counted("refused") >= 2
                })
                .await;
        })
        .await;
    assert_eq!((scene.counted("ok"), scene.service.elsewhere.load(Ordering::Relaxed)), (0, 0));
}

#[tokio::test]
async fn a_call_that_does_not_arrive_is_made_again_and_tells_nothing_of_the_url() {
    let mut scene = scene(200).await;
    let unused = TcpListener::bind("127.0.0.1:0").await.unwrap();
    scene.base = format!("http://{}", unused.local_addr().unwrap());
    drop(unused);
    scene
        .while_beating(async {
            scene.orders.stepped(&EpkRange::full());
            scene.until(|| scene.counted("failed") >= 2).await;
        })
        .await;
    let beat = Heartbeat::new(format!("{}/secret-path", scene.base).into(), "h".to_owned(), LIMIT).unwrap();
    assert_eq!(beat.call().await, Called::Failed("no connection".to_owned()));
    assert!(!format!("{beat:?}").contains("secret"));
}

#[test]
fn a_url_that_is_none_is_refused_without_being_shown() {
    let configured = |url: &str| {
        let mut file = tempfile::NamedTempFile::new().unwrap();
        writeln!(file, "{url}").unwrap();
        let admin = config::Admin { heartbeat_url_file: Some(file.path().to_owned()), ..config::Admin::default() };
        Heartbeat::configured(&admin)
    };
    assert_eq!(configured("https://hc.example/secret").unwrap().unwrap().host, "hc.example");
    for wrong in ["hc.example/secret", "ftp://hc.example/secret", "secret", "http://", ""] {
        let error = configured(wrong).unwrap_err();
        assert!(error.exit == Exit::Usage && !error.message.contains("secret"), "{error}");
    }
    let unset =
        config::Admin { heartbeat_url_env: "COSMIRROR_NOBODY_SETS_THIS".to_owned(), ..config::Admin::default() };
    assert!(Heartbeat::configured(&unset).unwrap().is_none());
}
