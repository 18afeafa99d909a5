//! Making the SDK's client: URL, connections, signing.

use std::sync::Arc;

use async_trait::async_trait;
use azure_core::http::{AsyncRawResponse, ClientOptions, HttpClient, Request, RetryOptions, Transport, Url};
use azure_storage_blob::{
    BlobContainerClient, BlobContainerClientOptions, BlobServiceClient, BlobServiceClientOptions,
};
use secrecy::ExposeSecret as _;
use tokio::time::Instant;

use super::direct::{Direct, Proof};
use super::folders::Delimited;
use super::shared_key::{SharedKey, SharedKeyPolicy};
use super::{AzureAuth, CONNECT_TIMEOUT, READ_TIMEOUT, REQUEST_TIMEOUT};
use crate::admin::RequestMetrics;
use crate::config::Target;
use crate::failure::{Failure, Kind};

/// The configured endpoint as a URL.
pub(super) fn endpoint(settings: &Target) -> Result<Url, Failure> {
    let fault = |what: &str| {
        Failure::new(Kind::Misconfigured, format!("target.endpoint {what}"))
            .remedy("set it to the blob service's URL, such as https://ACCOUNT.blob.core.windows.net/")
    };
    let url = Url::parse(&settings.endpoint).map_err(|error| fault(&format!("is not a URL: {error}")))?;
    if !matches!(url.scheme(), "http" | "https") || url.host_str().is_none() {
        return Err(fault("is not an http or https URL"));
    }
    if url.query().is_some() || url.fragment().is_some() || !url.username().is_empty() || url.password().is_some() {
        return Err(fault("holds more than a place: a token belongs into the variable named by target.sas_env"));
    }
    Ok(url)
}

/// The ways to the target.
pub(super) struct Clients {
    pub(super) container: BlobContainerClient,
    /// The same container, whose listings stop at each slash.
    pub(super) folders: BlobContainerClient,
    /// Of the service that holds the container; both share a pool of connections.
    pub(super) service: BlobServiceClient,
    /// None where a proxy stands between.
    pub(super) direct: Option<Direct>,
}

/// The clients of the configured container, which count their requests.
pub(super) fn clients(settings: &Target, credentials: AzureAuth, requests: RequestMetrics) -> Result<Clients, Failure> {
    let mut service_url = endpoint(settings)?;
    if settings.container.is_empty() || settings.container.contains('/') {
        return Err(Failure::new(Kind::Misconfigured, "target.container is not a container's name"));
    }
    if let Ok(mut segments) = service_url.path_segments_mut() {
        segments.pop_if_empty();
    }
    let mut url = service_url.clone();
    if let Ok(mut segments) = url.path_segments_mut() {
        segments.pop_if_empty().push(&settings.container);
    }
    let mut options = ClientOptions {
        retry: RetryOptions::none(),
        transport: Some(Transport::new(Arc::new(CountingClient {
            client: http_client()?,
            requests: requests.clone(),
        }))),
        ..ClientOptions::default()
    };
    let mut token = None;
    let proof = match credentials {
        AzureAuth::SharedKey { account, key } => {
            let key = Arc::new(SharedKey::new(account, &key)?);
            options.per_try_policies.push(Arc::new(SharedKeyPolicy(Arc::clone(&key))));
            Proof::key(key)
        }
        AzureAuth::Sas(sas) => {
            for url in [&mut service_url, &mut url] {
                url.set_query(Some(sas.expose_secret().trim().trim_start_matches('?')));
            }
            Proof::Signature
        }
        AzureAuth::Token(credential) if url.scheme() == "https" => {
            token = Some(Arc::clone(&credential));
            Proof::token(credential)
        }
        AzureAuth::Token(_) => {
            return Err(Failure::new(
                Kind::Misconfigured,
                "target.endpoint is plain http, and tokens are sent over https only",
            )
            .remedy("use the endpoint's https URL"));
        }
    };
    // The SDK's message may show the URL with its token.
    let refused =
        |_| Failure::new(Kind::Misconfigured, "the SDK does not take target.endpoint").remedy("check target.endpoint");
    let of_container =
        BlobContainerClientOptions { client_options: options.clone(), ..BlobContainerClientOptions::default() };
    let direct = Direct::new(&url, proof, &of_container.version, requests)?;
    let mut delimiting = of_container.clone();
    delimiting.client_options.per_call_policies.push(Arc::new(Delimited));
    let folders = BlobContainerClient::new(url.clone(), token.clone(), Some(delimiting)).map_err(refused)?;
    let of_service = BlobServiceClientOptions { client_options: options, ..BlobServiceClientOptions::default() };
    let container = BlobContainerClient::new(url, token.clone(), Some(of_container)).map_err(refused)?;
    let service = BlobServiceClient::new(service_url, token, Some(of_service)).map_err(refused)?;
    Ok(Clients { container, folders, service, direct })
}

/// Counts every request, by the status that its answer begins with.
#[derive(Debug)]
struct CountingClient {
    client: reqwest::Client,
    requests: RequestMetrics,
}

#[async_trait]
impl HttpClient for CountingClient {
    async fn execute_request(&self, request: &Request) -> azure_core::Result<AsyncRawResponse> {
        // Who gives up waiting drops this here, and has had no answer.
        let mut counted = Counted::begin(&self.requests);
        let answer = self.client.execute_request(request).await;
        if let Ok(answer) = &answer {
            counted.answered(answer.status().into());
        }
        answer
    }
}

/// One request, which counts when it has ended.
pub(super) struct Counted<'a> {
    requests: &'a RequestMetrics,
    begun: Instant,
    status: Option<u16>,
}

impl<'a> Counted<'a> {
    pub(super) fn begin(requests: &'a RequestMetrics) -> Self {
        Self { requests, begun: Instant::now(), status: None }
    }

    /// Its answer begins so.
    pub(super) fn answered(&mut self, status: u16) {
        self.status = Some(status);
    }
}

impl Drop for Counted<'_> {
    fn drop(&mut self) {
        self.requests.count(self.status, self.begun.elapsed());
    }
}

/// Blob Storage speaks HTTP/1.1 and sends no redirects; bytes are wanted as they are stored.
fn http_client() -> Result<reqwest::Client, Failure> {
    reqwest::Client::builder()
        .connect_timeout(CONNECT_TIMEOUT)
        .read_timeout(READ_TIMEOUT)
        .timeout(REQUEST_TIMEOUT)
        .redirect(reqwest::redirect::Policy::none())
        .http1_only()
        .no_gzip()
        .no_deflate()
        .build()
        .map_err(|error| {
            Failure::new(Kind::Misconfigured, format!("no HTTP client for the target: {error}"))
                .remedy("check the system's certificates and proxy settings")
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings(endpoint: &str) -> Target {
        Target { endpoint: endpoint.to_owned(), ..Target::default() }
    }

    #[test]
    fn the_containers_url_keeps_the_endpoints_path_and_takes_the_token() {
        for endpoint in ["http://127.0.0.1:10000/devstoreaccount1", "http://127.0.0.1:10000/devstoreaccount1/"] {
            let sas = AzureAuth::Sas("?sv=2025&sig=a%2Bb%3D".into());
            let Clients { container: client, service, .. } =
                clients(&settings(endpoint), sas, RequestMetrics::unread()).unwrap();
            assert_eq!(service.url().as_str(), "http://127.0.0.1:10000/devstoreaccount1?sv=2025&sig=a%2Bb%3D");
            assert_eq!(client.url().as_str(), "http://127.0.0.1:10000/devstoreaccount1/mirror?sv=2025&sig=a%2Bb%3D");
        }
    }

    #[test]
    fn settings_that_cannot_work_are_refused_with_the_remedy() {
        let sas = || AzureAuth::Sas("sig=x".into());
        let nested = Target { container: "a/b".to_owned(), ..Target::default() };
        let faulty = ["", "mirror", "ftp://x/", "https://x/?sig=secret", "https://user:secret@x/"].map(settings);
        for settings in faulty.into_iter().chain([nested]) {
            let failure = clients(&settings, sas(), RequestMetrics::unread()).err().unwrap();
            assert_eq!(failure.kind, Kind::Misconfigured, "{failure:?}");
            assert!(!failure.to_string().contains("secret"), "{failure}");
        }
    }
}
