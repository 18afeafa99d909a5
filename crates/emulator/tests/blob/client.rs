//! An emulator on free ports, and clients for it.

use std::net::SocketAddr;

use azure_core::http::{RetryOptions, Url};
use azure_storage_blob::clients::{BlobContainerClientOptions, BlobServiceClientOptions};
use azure_storage_blob::models::BlockBlobClientUploadOptions;
use azure_storage_blob::{BlobClient, BlobContainerClient, BlobServiceClient, StorageError};
use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;
use bytes::Bytes;
use cosmirror_emulator::{BLOB_ACCOUNT, BLOB_KEY, Emulator, Options};
use hmac::{Hmac, Mac};
use sha2::Sha256;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

/// A running emulator; dropping it stops it.
pub(crate) struct Running {
    address: SocketAddr,
    stop: CancellationToken,
    _serving: JoinSet<()>,
}

impl Drop for Running {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

impl Running {
    pub(crate) async fn start() -> Self {
        let any = SocketAddr::from(([127, 0, 0, 1], 0));
        let emulator = Emulator::bind(Options { cosmos: any, blob: any }).await.unwrap();
        let address = emulator.blob_addr();
        let stop = CancellationToken::new();
        let mut serving = JoinSet::new();
        let stopped = stop.clone();
        serving.spawn(async move { emulator.serve(stopped).await.unwrap() });
        Self { address, stop, _serving: serving }
    }

    /// The account's URL with a signature that grants `permissions`.
    pub(crate) fn url(&self, path: &str, permissions: &str) -> Url {
        let mut url = Url::parse(&format!("http://{}/{BLOB_ACCOUNT}{path}", self.address)).unwrap();
        let fields = [("sp", permissions), ("ss", "b"), ("srt", "sco"), ("st", ""), ("se", "2999-01-01")];
        let rest = [("sip", ""), ("spr", ""), ("sv", "2024-11-04"), ("ses", "")];
        let mut text = format!("{BLOB_ACCOUNT}\n");
        for (name, value) in fields.into_iter().chain(rest) {
            text.push_str(value);
            text.push('\n');
            if !value.is_empty() {
                url.query_pairs_mut().append_pair(name, value);
            }
        }
        let mut mac = Hmac::<Sha256>::new_from_slice(&BASE64.decode(BLOB_KEY).unwrap()).unwrap();
        mac.update(text.as_bytes());
        let signature = BASE64.encode(mac.finalize().into_bytes());
        url.query_pairs_mut().append_pair("sig", &signature);
        url
    }

    pub(crate) fn service(&self) -> BlobServiceClient {
        let mut options = BlobServiceClientOptions::default();
        options.client_options.retry = RetryOptions::none();
        BlobServiceClient::new(self.url("", "rwdxyltfi"), None, Some(options)).unwrap()
    }

    /// A client for a container, with `permissions`.
    pub(crate) fn container_with(&self, name: &str, permissions: &str) -> BlobContainerClient {
        let mut options = BlobContainerClientOptions::default();
        options.client_options.retry = RetryOptions::none();
        let url = self.url(&format!("/{name}"), permissions);
        BlobContainerClient::new(url, None, Some(options)).unwrap()
    }

    /// A new container.
    pub(crate) async fn container(&self) -> BlobContainerClient {
        let container = self.container_with("mirror", "rwdxyltfi");
        container.create(None).await.unwrap();
        container
    }
}

/// Uploads and returns the new version's id.
pub(crate) async fn upload(blob: &BlobClient, body: &str, options: BlockBlobClientUploadOptions<'_>) -> String {
    let body = Bytes::copy_from_slice(body.as_bytes());
    let uploaded = blob.upload(body.into(), Some(options)).await.unwrap();
    uploaded.version_id.unwrap()
}

/// Downloads all of a blob.
pub(crate) async fn download(blob: &BlobClient) -> Bytes {
    let downloaded = blob.download(None).await.unwrap();
    downloaded.body.collect().await.unwrap()
}

/// Status and storage error code of a failed call.
pub(crate) fn refusal<T>(result: azure_core::Result<T>) -> (u16, String) {
    let Err(error) = result else {
        panic!("the call succeeded");
    };
    let error = StorageError::try_from(error).unwrap();
    let code = error.error_code.map(|code| code.as_ref().to_owned());
    (u16::from(error.status_code), code.unwrap_or_default())
}
