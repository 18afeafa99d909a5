//! Everything that can be found, each with what makes it warn or fail and what to do. `docs/operations.md` shows the same as a table.

use super::report::Status::{self, Fail, Warn};

/// Something that can be found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Finding {
    /// The look that finds it.
    pub name: &'static str,
    /// How bad it is.
    pub status: Status,
    /// What makes it so.
    pub when: &'static str,
    /// What to do, where the failure itself does not say it better.
    pub remedy: &'static str,
}

macro_rules! findings {
    ($($constant:ident = $status:ident $name:literal: $when:literal => $remedy:literal;)*) => {
        $(pub(super) const $constant: Finding =
            Finding { name: $name, status: $status, when: $when, remedy: $remedy };)*
        /// Every finding there is.
        pub const FINDINGS: &[Finding] = &[$($constant),*];
    };
}

findings! {
    NOT_CHECKED = Warn "any": "something that it needs has failed"
        => "mend what failed and check again";

    NOT_THERE_YET = Warn "any": "the container that it concerns does not exist yet"
        => "create the container, or start the daemon once, and check again";

    NO_SECRET = Fail "configuration.secrets": "a key, a SAS token, the admin token or the heartbeat's URL that the configuration asks for cannot be read"
        => "set the variable or the file that the configuration names";
    LISTENS_TO_OTHERS = Warn "configuration": "`admin.listen` is not an address of this machine alone"
        => "see that a firewall or network policy lets only your monitoring in, or listen on 127.0.0.1";
    POLLS_OFTEN = Warn "configuration": "`source.poll_interval` or `source.poll_interval_idle_max` is shorter than 100 ms"
        => "take 1s or more: every poll of every range costs request units";
    ODD_RETENTION = Warn "configuration": "`source.feed_retention` is neither 7d nor 30d and a container is followed with all versions"
        => "set it to the account's period of continuous backup: the alarms before history is lost go by it";
    NO_MARGIN = Warn "configuration": "`source.staleness_margin` is 0 and the source is not on this machine"
        => "leave it at 5s: replicas of the service lag, and watermarks must not run ahead of them";
    NO_BEGINNING = Warn "configuration": "a container does not `start` at the beginning"
        => "take start = \"beginning\": without what existed before no instant can be restored, only single versions";
    NO_RECONCILIATION = Warn "configuration": "a container is followed by latest version and `reconcile.interval` is 0"
        => "set it to 1d: that feed does not show deletes, and nothing else looks for them";

    SOURCE_SILENT = Fail "source.reachable": "nothing answers at `source.endpoint`"
        => "check source.endpoint, DNS, firewalls and private endpoints between this host and the account";
    SOURCE_CLOCK_FAR = Fail "source.clock": "this host's clock is more than 15 minutes from the service's"
        => "set the clock (NTP): signatures are refused beyond 15 minutes";
    SOURCE_CLOCK_OFF = Warn "source.clock": "this host's clock is more than 5 s from the service's, or the service does not tell its time"
        => "set the clock (NTP); watermarks and leases go by the service's time alone, relative times such as -2h by this host's";
    SOURCE_REFUSED = Fail "source.account": "the account cannot be read: wrong key, missing right, firewall"
        => "check source.auth and the key or identity";
    SEVERAL_WRITERS = Warn "source.write-regions": "several regions of the account take writes"
        => "the feed of all versions does not support that, and the order of versions of one document is by conflict resolution; use a single write region";

    CONTAINER_MISSING = Fail "container.exists": "a container that is to be followed cannot be found or read"
        => "create it, or correct its name in the configuration";
    FEED_REFUSED = Fail "container.feed-mode": "the configured feed cannot be read: one page of it was asked for"
        => "turn on continuous backup and all versions and deletes for the account, or set feed = \"latest-version\"";
    RATE_UNKNOWN = Warn "container.change-rate": "how much changes could not be measured"
        => "check again when the source answers";

    LEASES_MISSING = Fail "leases.container": "it does not exist and `leases.create` is false, or the identity cannot create it: a token of Microsoft Entra cannot create containers, a key can"
        => "create it: az cosmosdb sql container create --partition-key-path /id --ttl -1";
    LEASES_UNREADABLE = Fail "leases.container": "it cannot be read"
        => "check the rights of source.auth on it";
    LEASES_KEY = Fail "leases.container": "its partition key is neither /id nor /partitionKey"
        => "name another container in leases.container, partitioned by /id";
    LEASES_EXPIRE = Fail "leases.container": "it has a default time to live, so leases would expire"
        => "set its default time to live to -1 (on, no default) or turn it off";
    LEASES_READ_ONLY = Fail "leases.permissions": "a document of our own could not be created, replaced, queried or deleted there"
        => "let the identity of source.auth create, replace and delete items of the lease container";

    TARGET_SILENT = Fail "target.reachable": "nothing answers at `target.endpoint`"
        => "check target.endpoint, DNS, firewalls and private endpoints between this host and the account";
    TARGET_CLOCK_FAR = Fail "target.clock": "this host's clock is more than 15 minutes from the service's"
        => "set the clock (NTP): signatures are refused beyond 15 minutes";
    TARGET_CLOCK_OFF = Warn "target.clock": "this host's clock is more than 5 s from the service's, or the service does not tell its time"
        => "set the clock (NTP)";
    TARGET_UNUSABLE = Fail "target.settings": "`target` makes no usable client: a secret is missing, the endpoint does not fit"
        => "correct the section target of the configuration";
    HIERARCHICAL = Fail "target.account": "the account has a hierarchical namespace, which keeps no versions"
        => "use an account without hierarchical namespace, or set target.history = \"snapshots\"";
    NO_BLOB_ACCOUNT = Fail "target.account": "the account is of a kind that keeps no versions of block blobs (`Storage`, `FileStorage`)"
        => "use an account of kind StorageV2";
    ACCOUNT_UNKNOWN = Warn "target.account": "the kind of the account may not be read"
        => "see that it is of kind StorageV2 without hierarchical namespace, or grant the action Microsoft.Storage/storageAccounts/blobServices/getInfo/action by a role of your own (Reader does not hold it) and check again";
    ONE_DATA_CENTRE = Warn "target.redundancy": "all copies are in one data centre (LRS)"
        => "for a backup take ZRS, GRS or GZRS: az storage account update --sku Standard_GZRS";
    REDUNDANCY_UNKNOWN = Warn "target.redundancy": "the redundancy may not be read or is not known"
        => "see that it is not LRS, or grant the action Microsoft.Storage/storageAccounts/blobServices/getInfo/action by a role of your own and check again";
    TARGET_MISSING = Fail "target.container": "the container does not exist and `target.create` is false"
        => "create it: az storage container create; or set target.create = true";
    TARGET_TO_CREATE = Warn "target.container": "the container does not exist, and whether a SAS or an identity may create it shows only when it is done"
        => "create it yourself (az storage container create) and check again: a credential that may only read, write and add cannot create containers";
    TARGET_PUBLIC = Warn "target.container": "anybody may read the container without a credential"
        => "turn public access off: az storage container set-permission --public-access off";
    NO_LIST = Fail "target.list": "listing the container's blobs is refused or fails"
        => "grant the data action blobs/read, or the SAS permission l";
    NO_WRITE = Fail "target.write": "writing the probe is refused or fails"
        => "grant the data action blobs/write, or the SAS permissions c and w";
    NO_READ = Fail "target.read": "reading the probe is refused or fails"
        => "grant the data action blobs/read, or the SAS permission r";
    VERSIONING_OFF = Fail "target.versioning": "a write is answered without a version id: the next one would overwrite it for good"
        => "az storage account blob-service-properties update --account-name ACCOUNT --enable-versioning true";
    NO_SNAPSHOT = Fail "target.versioning": "`target.history` is \"snapshots\", and taking one of the probe is refused or fails"
        => "grant the data action blobs/write, or the SAS permissions c and w";
    SOFT_DELETE_OFF = Warn "target.soft-delete": "soft delete of blobs is off: a deleted version is gone at once"
        => "az storage account blob-service-properties update --account-name ACCOUNT --enable-delete-retention true --delete-retention-days 30";
    SOFT_DELETE_SHORT = Warn "target.soft-delete": "deleted versions are kept for less than 7 days"
        => "az storage account blob-service-properties update --account-name ACCOUNT --enable-delete-retention true --delete-retention-days 30";
    SOFT_DELETE_UNKNOWN = Warn "target.soft-delete": "the settings of the blob service may not be read"
        => "see that soft delete of blobs is on with at least 7 days, or grant the role Reader and check again";
    OVERWRITES_FORBIDDEN = Fail "target.immutability": "a retention policy or a legal hold for the whole container forbids to overwrite blobs, so only the first version of each document could be stored"
        => "use a container with version-level immutability support instead of a container-level policy";
    IMMUTABILITY_UNKNOWN = Warn "target.immutability": "the properties of the container may not be read"
        => "see that it has no container-level policy, or grant an account SAS or a role and check again";
    PROTECTION_MISSING = Fail "target.protection": "`target.immutable_for` or `target.legal_hold` is set, and the probe that was just written is not protected so"
        => "turn on version-level immutability for the container; where the service leaves a policy unlocked, set target.immutability_mode = \"unlocked\" and lock the container's default policy";
    PROTECTION_UNKNOWN = Warn "target.protection": "one of these is set, and what protects the probe could not be read"
        => "grant the data action blobs/read, or the SAS permission r";
    SCOPE_MISSING = Fail "target.encryption-scope": "`target.encryption_scope` is set, and the probe that was just written is under another scope"
        => "create and enable the scope: az storage account encryption-scope create --name NAME";
    MAY_DELETE = Warn "target.delete-permission": "the credential may delete blobs, or versions of them: a daemon that is taken over could delete history"
        => "use an identity with a role of the data actions blobs/read, blobs/write and blobs/add/action only, or a SAS without d and x";
    DELETE_UNKNOWN = Warn "target.delete-permission": "whether the credential may delete could not be found out"
        => "see that its role or SAS does not allow to delete";

    DIRECTORY_UNUSABLE = Fail "target.directory": "the directory is missing, not writable, not case-sensitive, or its file system has no hard links or locks"
        => "name a directory on a local, case-sensitive file system that this user may write";
    LITTLE_SPACE = Warn "target.space": "less than 5 GiB are free, or it could not be found out"
        => "make room: a full disk stops the mirror until there is some";

    MIRROR_FOREIGN = Fail "container.mirror": "the target holds the mirror of a container of the same name in another account"
        => "set another target.prefix or target.container";
    MIRROR_NEWER = Fail "container.mirror": "the target's records are of a newer format"
        => "use the release that wrote them, or a newer one";
    MIRROR_UNREADABLE = Fail "container.mirror": "the target's record of the container cannot be read"
        => "bring back its previous version, or set another target.prefix";
    MIRROR_OF_EARLIER = Warn "container.mirror": "the source container was created again since it was mirrored"
        => "nothing, if that was meant: its history goes on under the same names, behind a recorded gap; otherwise set another target.prefix";
    PLAIN_BEFORE = Warn "container.encryption": "`target.recipients` is set, and newest versions of the mirror's first documents are not encrypted"
        => "nothing encrypts what is stored already: a document is encrypted from its next change on; for all of it begin a new mirror with another target.prefix, and delete the old one by hand";
    ENCRYPTED_BEFORE = Warn "container.encryption": "`target.recipients` is empty, and newest versions of the mirror's first documents are encrypted"
        => "set target.recipients again, if it was not meant that content is stored readable from now on";
}
