//! Proving that the account keeps versions.
//!
//! The data plane tells whether versioning is on only in the answer to a write: the answer has a version id or it has
//! none. Reading a blob does not tell, because a blob keeps the id it got while versioning was on. So each start writes
//! the small blob `<prefix>/_cosmirror-probe`, one version per start. Where the answer has no id the blob is deleted again,
//! as far as the credential may, and nothing else is ever written. Later probes are made where versioning is in doubt.
//!
//! The probe carries whatever is to ride with every put (`azure/riders.rs`), so that what the service refuses is refused at the start.

use azure_storage_blob::models::StorageErrorCode;
use bytes::Bytes;
use tokio::time::Instant;

use super::AzureStore;
use super::errors::{self, Operation};
use crate::failure::{Failure, Kind};
use crate::store::Condition;

const PROBE: &str = "_cosmirror-probe";
const PROBE_BODY: &[u8] =
    b"{\"probe\":\"cosmirror writes this when it starts, to see that the account keeps versions\"}";

impl AzureStore {
    /// Makes the container if asked to and it is missing, and proves that it keeps versions.
    pub(super) async fn prove(&self, create: bool) -> Result<(), Failure> {
        let _turn = self.versioning.turn().await;
        if self.versioning.is_off() && self.versioning.recently(&Condition::Absent) == Some(false) {
            return Err(versioning_is_off(&self.container_name));
        }
        match self.probe().await {
            Err(failure) if failure.kind == Kind::NotFound && create => {
                self.create_container().await?;
                self.probe().await
            }
            proved => proved,
        }
    }

    /// Proves that a put under this condition destroys nothing, unless that was found out a moment ago.
    pub(super) async fn prove_for(&self, condition: &Condition) -> Result<(), Failure> {
        let _turn = self.versioning.turn().await;
        match self.versioning.recently(condition) {
            Some(true) => Ok(()),
            Some(false) => Err(versioning_is_off(&self.container_name)),
            None => self.probe().await,
        }
    }

    async fn probe(&self) -> Result<(), Failure> {
        let begun = Instant::now();
        let name = self.probe_name();
        let (_, version) = self.put_probe().await?;
        let failure = versioning_is_off(&self.container_name);
        if self.versioning.probed(begun, version.is_some(), &failure) {
            return Ok(());
        }
        if version.is_none() {
            // A credential that may not delete leaves the probe behind; the refusal is what matters.
            let _ = self.blob(&name).delete(None).await;
        }
        Err(failure)
    }

    /// The one name that probes are written under.
    pub(super) fn probe_name(&self) -> String {
        if self.prefix.is_empty() { PROBE.to_owned() } else { format!("{}/{PROBE}", self.prefix) }
    }

    /// Writes the probe, and gives its etag and the id of the version that this made; none where the account keeps no versions.
    pub(super) async fn put_probe(&self) -> Result<(String, Option<String>), Failure> {
        let name = self.probe_name();
        let attempt = self.attempt(Operation::Probe, &name);
        let options = self.riders.of_probe().options();
        let done = self.upload(attempt, Bytes::from_static(PROBE_BODY), options).await;
        done.map_err(|failure| self.riders.explained(failure))
    }

    pub(super) async fn create_container(&self) -> Result<(), Failure> {
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
