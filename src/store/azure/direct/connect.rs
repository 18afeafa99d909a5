//! Connections to the target: HTTP/1.1, TLS with the system's trusted certificates, kept and used again.

use bytes::Bytes;
use http::Uri;
use http_body_util::Full;
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::client::proxy::matcher::Matcher;
use hyper_util::rt::{TokioExecutor, TokioTimer};
use rustls::crypto::aws_lc_rs;

use super::super::{CONNECT_TIMEOUT, TCP_KEEPALIVE};
use crate::failure::{Failure, Kind};

pub(super) type Connector = HttpsConnector<HttpConnector>;

/// Whether the environment (`HTTPS_PROXY`, `HTTP_PROXY`, `ALL_PROXY`, `NO_PROXY`) sends requests to `uri` elsewhere.
pub(super) fn goes_through_a_proxy(uri: &Uri) -> bool {
    Matcher::from_env().intercept(uri).is_some()
}

/// A pool of connections; none is made yet.
pub(super) fn client() -> Result<Client<Connector, Full<Bytes>>, Failure> {
    let mut tcp = HttpConnector::new();
    tcp.enforce_http(false);
    tcp.set_connect_timeout(Some(CONNECT_TIMEOUT));
    tcp.set_keepalive(Some(TCP_KEEPALIVE));
    // A request is written in one piece and waits for nothing.
    tcp.set_nodelay(true);
    let tls = HttpsConnectorBuilder::new().with_provider_and_platform_verifier(aws_lc_rs::default_provider()).map_err(
        |error| {
            Failure::new(Kind::Misconfigured, format!("no TLS for the target: {error}"))
                .remedy("check the system's certificates")
        },
    )?;
    let connector = tls.https_or_http().enable_http1().wrap_connector(tcp);
    Ok(Client::builder(TokioExecutor::new()).pool_timer(TokioTimer::new()).build(connector))
}
