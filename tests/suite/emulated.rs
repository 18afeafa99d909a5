//! An emulator in this process, and ways to prove who we are to it.

use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use cosmirror::config::{Source, Target};
use cosmirror::store::azure::AzureAuth;
use cosmirror_emulator::{BLOB_ACCOUNT, BLOB_KEY, Emulator, Options};
use hmac::{Hmac, Mac as _};
use sha2::Sha256;
use tokio_util::sync::{CancellationToken, DropGuard};
use tokio_util::task::TaskTracker;

/// Serves until dropped.
pub(in crate::suite) struct Emulated {
    cosmos: SocketAddr,
    blob: SocketAddr,
    _stop: DropGuard,
}

impl Emulated {
    pub(in crate::suite) async fn start() -> Self {
        let any = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
        let emulator = Emulator::bind(Options { cosmos: any, blob: any }).await.unwrap();
        let (cosmos, blob) = (emulator.cosmos_addr(), emulator.blob_addr());
        let stop = CancellationToken::new();
        TaskTracker::new().spawn(emulator.serve(stop.clone()));
        Self { cosmos, blob, _stop: stop.drop_guard() }
    }

    pub(in crate::suite) fn target(&self) -> Target {
        let endpoint = format!("http://{}/{BLOB_ACCOUNT}", self.blob);
        Target { endpoint, container: "mirror".to_owned(), ..Target::default() }
    }

    /// The settings of a source that is this emulator.
    pub(in crate::suite) fn source(&self) -> Source {
        Source { endpoint: format!("http://{}/", self.cosmos), staleness_margin: Duration::ZERO, ..Source::default() }
    }

    /// Sends a control request.
    pub(in crate::suite) async fn control(&self, request: &str, body: &'static str) {
        let url = format!("http://{}/_emulator/{request}", self.cosmos);
        let answer = reqwest::Client::new().post(url).body(body).send().await.unwrap();
        assert!(answer.status().is_success(), "{request}: {}", answer.text().await.unwrap());
    }
}

/// The account's own key.
pub(in crate::suite) fn shared_key() -> AzureAuth {
    AzureAuth::SharedKey { account: BLOB_ACCOUNT.to_owned(), key: BLOB_KEY.into() }
}

/// A signature over the whole account for the blob service.
pub(in crate::suite) fn account_sas(permissions: &str, expiry: &str) -> String {
    let version = "2024-11-04";
    let text = format!("{BLOB_ACCOUNT}\n{permissions}\nb\nsco\n\n{expiry}\n\nhttps,http\n{version}\n\n");
    let mut keyed = Hmac::<Sha256>::new_from_slice(&STANDARD.decode(BLOB_KEY).unwrap()).unwrap();
    keyed.update(text.as_bytes());
    let signature = STANDARD.encode(keyed.finalize().into_bytes());
    let escaped = signature.replace('+', "%2B").replace('/', "%2F").replace('=', "%3D");
    format!("?sv={version}&ss=b&srt=sco&sp={permissions}&se={expiry}&spr=https,http&sig={escaped}")
}

/// A time no test lives to see.
pub(in crate::suite) const FAR_FUTURE: &str = "2199-01-01T00:00:00Z";
