//! The target over TLS: whom the system trusts is spoken to, and nobody else.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use serde_json::json;
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::rustls::pki_types::pem::PemObject as _;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio_util::task::AbortOnDropHandle;

use super::cosmos::DATABASE;
use super::oracle::assert_every_change_once;
use super::world::{LATEST_VERSION, Target, World};

/// Takes TLS from whatever it is put before; ends with its owner.
struct Terminator {
    address: SocketAddr,
    /// Connections whose handshake was completed.
    accepted: Arc<AtomicUsize>,
    _task: AbortOnDropHandle<()>,
}

impl Terminator {
    async fn start(world: &World) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let (address, accepted) = (listener.local_addr().unwrap(), Arc::<AtomicUsize>::default());
        let behind: SocketAddr = world.emulator.blob.parse().unwrap();
        let (acceptor, counted) = (TlsAcceptor::from(certified()), Arc::clone(&accepted));
        #[expect(clippy::disallowed_methods, reason = "a test's server has an owner of its own")]
        let task = tokio::spawn(async move {
            // What is under way ends with this task.
            let mut relays = tokio::task::JoinSet::new();
            loop {
                let (outside, _) = listener.accept().await.unwrap();
                let (acceptor, counted) = (acceptor.clone(), Arc::clone(&counted));
                relays.spawn(async move {
                    let Ok(mut outside) = acceptor.accept(outside).await else { return };
                    counted.fetch_add(1, Ordering::Relaxed);
                    let mut inside = TcpStream::connect(behind).await.unwrap();
                    // Whichever side leaves first.
                    let _ = tokio::io::copy_bidirectional(&mut outside, &mut inside).await;
                });
            }
        });
        Self { address, accepted, _task: AbortOnDropHandle::new(task) }
    }

    fn accepted(&self) -> usize {
        self.accepted.load(Ordering::Relaxed)
    }
}

/// A server for the name `localhost`.
fn certified() -> Arc<ServerConfig> {
    let certificate = CertificateDer::from_pem_file(file("server.pem")).unwrap();
    let key = PrivateKeyDer::from_pem_file(file("server.key")).unwrap();
    let config = ServerConfig::builder().with_no_client_auth().with_single_cert(vec![certificate], key);
    Arc::new(config.unwrap())
}

fn file(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/tls").join(name)
}

#[tokio::test]
async fn a_target_is_spoken_to_over_tls_where_the_system_vouches_for_it_by_its_name_and_not_otherwise() {
    let mut world = World::new(&[("orders", LATEST_VERSION)], Target::Blobs).await;
    let seed = json!({ "database": DATABASE, "container": "orders", "count": 40, "partitions": 2 });
    world.emulator.control("seed", &seed).await;
    let tls = Terminator::start(&world).await;
    let path = world.emulator.blob_endpoint().rsplit_once('/').unwrap().1.to_owned();
    let endpoint = |host: &str| format!("https://{host}:{}/{path}", tls.address.port());
    world.set("TARGET__CREATE", "true");
    let authority = file("authority.pem");
    for (host, authority) in [("localhost", None), ("127.0.0.1", Some(&authority))] {
        world.set("TARGET__ENDPOINT", &endpoint(host));
        if let Some(file) = authority {
            world.variable("SSL_CERT_FILE", file.to_str().unwrap());
        }
        let refused = world.run(&["-o", "json", "check"]).await;
        let told = String::from_utf8(refused.out).unwrap();
        assert_ne!(refused.code, Some(0), "{told}");
        assert!(told.contains("certificate"), "{host}: {told} {}", refused.err);
        assert_eq!(tls.accepted(), 0, "{host}");
    }
    world.set("TARGET__ENDPOINT", &endpoint("localhost"));
    world.catch_up().await;
    assert!(tls.accepted() > 0);
    assert_every_change_once(&world.history("orders").await, 0, &world.mirror().await, "orders");
}
