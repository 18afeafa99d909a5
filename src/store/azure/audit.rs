//! What an audit asks of the service before the first version is written: how the account keeps what it is given, and what this
//! credential may do.
//!
//! Nothing is changed but the probe, a blob of one fixed name; nothing is deleted. The account and the service's settings are told to
//! whoever may read them, which a role for data alone does not include.

use azure_storage_blob::models::BlobClientDeleteOptions;

use azure_core::time::parse_rfc7231;

use super::AzureStore;
use super::answer::AnswerHeaders as _;
use super::errors::{self, Attempt, Operation};
use crate::admin::VersionProtection;
use crate::failure::{Failure, Kind};

/// An entity tag that no blob has.
const NO_ETAG: &str = "\"0x0\"";

/// A version that no blob has: versioning is younger.
const NO_VERSION: &str = "2001-01-01T00:00:00.0000000Z";

/// What a credential may delete.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MayDelete {
    /// Blobs, of which versions remain.
    pub blobs: bool,
    /// Single versions, which is history itself.
    pub versions: bool,
}

/// What Get Account Information tells.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AccountInformation {
    /// Such as `Standard_GZRS`.
    pub sku: String,
    /// Such as `StorageV2`.
    pub kind: String,
    /// Whether names are a tree of directories. Such accounts keep no versions.
    pub hierarchical: bool,
}

/// What the service does with deleted blobs and versions.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SoftDelete {
    /// They are gone.
    Off,
    /// They can be brought back for so many days.
    Days(u32),
}

/// What Get Container Properties tells of protection and access.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ContainerProperties {
    /// Whether single versions can be protected.
    pub version_level_immutability: bool,
    /// Whether a policy for the whole container forbids to overwrite and delete.
    pub has_policy: bool,
    /// The same for a legal hold.
    pub has_legal_hold: bool,
    /// What anybody may read without a credential: `container` or `blob`.
    pub public_access: Option<String>,
}

impl AzureStore {
    /// The account's kind and redundancy.
    pub async fn account_information(&self) -> Result<AccountInformation, Failure> {
        let attempt = self.attempt(Operation::Account, "");
        let answer = self.container.get_account_info(None).await.map_err(|error| attempt.failure(&error))?;
        let text = |name| answer.headers().text(name).unwrap_or_default().to_owned();
        Ok(AccountInformation {
            sku: text("x-ms-sku-name"),
            kind: text("x-ms-account-kind"),
            hierarchical: text("x-ms-is-hns-enabled") == "true",
        })
    }

    /// Whether deleted blobs and versions can be brought back.
    pub async fn soft_delete(&self) -> Result<SoftDelete, Failure> {
        let attempt = self.attempt(Operation::Service, "");
        let failed = |error: azure_core::Error| attempt.failure(&error);
        let properties = self.service.get_properties(None).await.map_err(failed)?.into_model().map_err(failed)?;
        let policy = properties.delete_retention_policy.filter(|policy| policy.enabled == Some(true));
        let days = policy.map(|policy| policy.days.and_then(|days| u32::try_from(days).ok()).unwrap_or_default());
        Ok(days.map_or(SoftDelete::Off, SoftDelete::Days))
    }

    /// How the container is protected.
    pub async fn container_properties(&self) -> Result<ContainerProperties, Failure> {
        let attempt = self.attempt(Operation::Container, "");
        let answer = self.container.get_properties(None).await.map_err(|error| attempt.failure(&error))?;
        let text = |name| answer.headers().text(name);
        let is = |name| text(name) == Some("true");
        Ok(ContainerProperties {
            version_level_immutability: is("x-ms-immutable-storage-with-versioning-enabled"),
            has_policy: is("x-ms-has-immutability-policy"),
            has_legal_hold: is("x-ms-has-legal-hold"),
            public_access: text("x-ms-blob-public-access").map(str::to_owned),
        })
    }

    /// What protects the last version of a document that this store has put, or the probe where there is none.
    pub(super) async fn protection_of_newest(&self) -> Result<VersionProtection, Failure> {
        let name = self.riders.last_protected().unwrap_or_else(|| self.probe_name());
        Ok(self.protection_of(&name).await?.0)
    }

    /// What protects the newest version of the probe, and the scope that it is encrypted under.
    pub async fn protection_of_probe(&self) -> Result<(VersionProtection, Option<String>), Failure> {
        self.protection_of(&self.probe_name()).await
    }

    async fn protection_of(&self, name: &str) -> Result<(VersionProtection, Option<String>), Failure> {
        let attempt = self.attempt(Operation::Read, name);
        let answer = match self.blob(name).get_properties(None).await {
            Ok(answer) => answer,
            Err(error) if errors::is_missing_blob(&error) => return Ok((VersionProtection::default(), None)),
            Err(error) => return Err(attempt.failure(&error)),
        };
        let text = |header| answer.headers().text(header);
        let until = match text("x-ms-immutability-policy-until-date") {
            Some(date) => Some(parse_rfc7231(date).map_err(|_| attempt.malformed("its policy ends at no instant"))?),
            None => None,
        };
        let protection = VersionProtection {
            immutable_until: until.map(azure_core::time::OffsetDateTime::unix_timestamp),
            locked: text("x-ms-immutability-policy-mode").is_some_and(|mode| mode.eq_ignore_ascii_case("locked")),
            legal_hold: text("x-ms-legal-hold") == Some("true"),
        };
        Ok((protection, text("x-ms-encryption-scope").map(str::to_owned)))
    }

    /// Writes the probe; gives its etag, and whether its version is kept.
    pub async fn write_probe(&self) -> Result<(String, bool), Failure> {
        let (etag, version) = self.put_probe().await?;
        Ok((etag, version.is_some()))
    }

    /// Takes a snapshot of the probe that has this etag.
    pub async fn snapshot_probe(&self, etag: &str) -> Result<(), Failure> {
        self.take_snapshot(&self.probe_name(), etag).await
    }

    /// Reads the probe; whether it is there.
    pub async fn read_probe(&self) -> Result<bool, Failure> {
        use crate::store::VersionStore as _;
        Ok(self.get(&self.probe_name(), None).await?.is_some())
    }

    /// What this credential may delete. It asks to delete the probe if it had an entity tag that it cannot have, and a version of it from
    /// before there were versions: rights are looked at before conditions and before what is there. To delete versions is a right of
    /// its own (`x` in a SAS, `deleteBlobVersion` in a role).
    pub async fn may_delete(&self) -> Result<MayDelete, Failure> {
        let current = BlobClientDeleteOptions { if_match: Some(NO_ETAG.into()), ..BlobClientDeleteOptions::default() };
        let version =
            BlobClientDeleteOptions { version_id: Some(NO_VERSION.to_owned()), ..BlobClientDeleteOptions::default() };
        Ok(MayDelete { blobs: self.may(current).await?, versions: self.may(version).await? })
    }

    async fn may(&self, options: BlobClientDeleteOptions<'_>) -> Result<bool, Failure> {
        let name = self.probe_name();
        let attempt: Attempt<'_> = self.attempt(Operation::Delete, &name);
        match self.blob(&name).delete(Some(options)).await {
            Ok(_) => Err(Failure::new(
                Kind::Internal,
                "the service deleted the probe although what was asked for is not there",
            )),
            Err(error) => match (errors::status(&error), errors::code(&error)) {
                (Some(403), code) if code != Some("AuthenticationFailed") => Ok(false),
                // The condition, the absence or the protection was looked at, so the right is there.
                (Some(404 | 409 | 412), _) => Ok(true),
                _ => Err(attempt.failure(&error)),
            },
        }
    }
}
