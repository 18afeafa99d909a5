//! Proving that the account keeps versions.
//!
//! The data plane tells whether versioning is on only in the answer to a write: the answer has a version id or it has
//! none. Reading a blob does not tell, because a blob keeps the id it got while versioning was on. So each start writes
//! the small blob `<prefix>/_cosmirror-probe`, one version per start. Where the answer has no id the blob is deleted again,
//! as far as the credential may, and nothing else is ever written.

use azure_storage_blob::models::{BlockBlobClientUploadOptions, StorageErrorCode};
use bytes::Bytes;

use super::AzureStore;
use super::errors::{self, Operation};
use crate::failure::{Failure, Kind};

const PROBE: &str = "_cosmirror-probe";
const PROBE_BODY: &[u8] =
    b"{\"probe\":\"cosmirror writes this when it starts, to see that the account keeps versions\"}";

impl AzureStore {
    /// Makes the container if asked to and it is missing, and proves that it keeps versions.
    pub(super) async fn prove(&self, create: bool) -> Result<(), Failure> {
        match self.probe().await {
            Err(failure) if failure.kind == Kind::NotFound && create => {
                self.create_container().await?;
                self.probe().await
            }
            proved => proved,
        }
    }

    async fn probe(&self) -> Result<(), Failure> {
        let name = if self.prefix.is_empty() { PROBE.to_owned() } else { format!("{}/{PROBE}", self.prefix) };
        let attempt = self.attempt(Operation::Probe, &name);
        let options = BlockBlobClientUploadOptions::default();
        let (_, version) = self.upload(attempt, Bytes::from_static(PROBE_BODY), options).await?;
        if version.is_some() {
            return Ok(());
        }
        // A credential that may not delete leaves the probe behind; the refusal is what matters.
        let _ = self.blob(&name).delete(None).await;
        Err(versioning_is_off(&self.container_name))
    }

    async fn create_container(&self) -> Result<(), Failure> {
        let attempt = self.attempt(Operation::CreateContainer, "");
        match self.container.create(None).await {
            Err(error) if errors::code(&error) == Some(StorageErrorCode::ContainerAlreadyExists.as_ref()) => Ok(()),
            created => created.map(drop).map_err(|error| attempt.failure(&error)),
        }
    }
}

/// What is said when a write's answer has no version id.
pub(super) fn versioning_is_off(container: &str) -> Failure {
    Failure::new(
        Kind::Misconfigured,
        format!("blob versioning is off for the account of container {container:?}: an overwrite would lose history"),
    )
    .remedy(
        "turn on blob versioning for the storage account (az storage account blob-service-properties update \
         --account-name ACCOUNT --enable-versioning true); accounts with hierarchical namespace cannot have it",
    )
}
