//! What an operator sets for the blob account. A setting that a journal does not know yet has its default.

use serde::{Deserialize, Serialize};

use super::entry::Policy;

/// What an operator sets for the blob account.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub(crate) struct StorageSettings {
    /// Whether writes keep the previous state as a version.
    pub(crate) versioning: bool,
    /// How long soft-deleted states are kept; 0: deletes are final.
    pub(crate) soft_delete_days: u32,
    /// Whether the account has a hierarchical namespace. Such accounts have no versions, whatever is asked.
    pub(crate) hierarchical_namespace: bool,
    /// Whether states may be protected by immutability policies and legal holds, which needs versioning too.
    pub(crate) version_level_immutability: bool,
    /// What containers say of a policy of their own. They say it and enforce nothing.
    pub(crate) immutability: ContainerImmutability,
    /// Whether a delete is permitted to anybody; without, every one is refused as by a role that lacks it.
    pub(crate) delete_allowed: bool,
    /// How many copies the account keeps, and where.
    pub(crate) sku: Sku,
}

/// A container's own policy, as its properties tell it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum ContainerImmutability {
    /// There is none.
    #[default]
    None,
    /// Time-based retention.
    Policy,
    /// A legal hold.
    LegalHold,
}

/// The kinds of redundancy, by the service's names.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub(crate) enum Sku {
    /// Three copies in one data centre.
    #[default]
    #[serde(rename = "Standard_LRS")]
    StandardLrs,
    /// Three data centres of one region.
    #[serde(rename = "Standard_ZRS")]
    StandardZrs,
    /// One data centre, and one of another region.
    #[serde(rename = "Standard_GRS")]
    StandardGrs,
    /// That, readable there.
    #[serde(rename = "Standard_RAGRS")]
    StandardRagrs,
    /// Three data centres, and one of another region.
    #[serde(rename = "Standard_GZRS")]
    StandardGzrs,
    /// That, readable there.
    #[serde(rename = "Standard_RAGZRS")]
    StandardRagzrs,
    /// As the first, on faster disks.
    #[serde(rename = "Premium_LRS")]
    PremiumLrs,
    /// As the second, on faster disks.
    #[serde(rename = "Premium_ZRS")]
    PremiumZrs,
}

impl Sku {
    /// The name in the header of the account's information.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::StandardLrs => "Standard_LRS",
            Self::StandardZrs => "Standard_ZRS",
            Self::StandardGrs => "Standard_GRS",
            Self::StandardRagrs => "Standard_RAGRS",
            Self::StandardGzrs => "Standard_GZRS",
            Self::StandardRagzrs => "Standard_RAGZRS",
            Self::PremiumLrs => "Premium_LRS",
            Self::PremiumZrs => "Premium_ZRS",
        }
    }
}

impl Default for StorageSettings {
    fn default() -> Self {
        Self {
            versioning: true,
            soft_delete_days: 7,
            hierarchical_namespace: false,
            version_level_immutability: true,
            immutability: ContainerImmutability::None,
            delete_allowed: true,
            sku: Sku::StandardLrs,
        }
    }
}

impl StorageSettings {
    pub(super) fn policy(self) -> Policy {
        let versioning = self.versioning && !self.hierarchical_namespace;
        let worm = versioning && self.version_level_immutability;
        Policy { versioning, soft_delete_days: self.soft_delete_days, worm }
    }
}
