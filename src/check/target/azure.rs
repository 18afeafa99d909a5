//! An account of Azure Storage: what it is, how it keeps what it is given, and what our credential may do.

use azure_core::http::Url;

use super::super::bounds::Bounds;
use super::super::clock::{self, Service};
use super::super::findings::{
    ACCOUNT_UNKNOWN, DELETE_UNKNOWN, HIERARCHICAL, IMMUTABILITY_UNKNOWN, MAY_DELETE, NO_BLOB_ACCOUNT, NO_LIST, NO_READ,
    NO_SNAPSHOT, NO_WRITE, ONE_DATA_CENTRE, OVERWRITES_FORBIDDEN, REDUNDANCY_UNKNOWN, SOFT_DELETE_OFF,
    SOFT_DELETE_SHORT, SOFT_DELETE_UNKNOWN, TARGET_CLOCK_FAR, TARGET_CLOCK_OFF, TARGET_MISSING, TARGET_PUBLIC,
    TARGET_SILENT, TARGET_TO_CREATE, TARGET_UNUSABLE, VERSIONING_OFF,
};
use super::super::report::Report;
use crate::config::{History, Target, TargetAuth};
use crate::failure::{Failure, Kind};
use crate::store::azure::{AccountInformation, AzureAuth, AzureStore, ContainerProperties, MayDelete, SoftDelete};
use crate::store::{Listing, VersionStore as _};

mod riders;

const SETTINGS: &str = "target.settings";
const REACHABLE: &str = "target.reachable";
const ACCOUNT: &str = "target.account";
const REDUNDANCY: &str = "target.redundancy";
const CONTAINER: &str = "target.container";
const LIST: &str = "target.list";
const WRITE: &str = "target.write";
const READ: &str = "target.read";
const VERSIONING: &str = "target.versioning";
const SOFT_DELETE: &str = "target.soft-delete";
const IMMUTABILITY: &str = "target.immutability";
const DELETE: &str = "target.delete-permission";
/// Behind the container, in the order in which they are told.
const OF_CONTAINER: [&str; 6] = [LIST, WRITE, READ, VERSIONING, IMMUTABILITY, DELETE];
/// Shorter than this nobody notices a deletion in time.
const SOFT_DELETE_DAYS_MIN: u32 = 7;

/// Looks at it.
pub(super) async fn check(target: &Target, bounds: &Bounds) -> Report {
    let mut report = Report::default();
    let service = Service {
        reachable: REACHABLE,
        clock: "target.clock",
        silent: TARGET_SILENT,
        far: TARGET_CLOCK_FAR,
        off: TARGET_CLOCK_OFF,
    };
    // Validation has seen to it that it is one.
    let answers = match target.endpoint.parse::<Url>() {
        Ok(url) => clock::check(&service, &url, &target.endpoint, bounds, &mut report).await,
        Err(_) => false,
    };
    let store = AzureAuth::resolve(target).and_then(|auth| AzureStore::new(target, auth));
    // One name is enough to see that names are given.
    let store = store.map(|store| store.with_page_items_max(1));
    let store = match store {
        Ok(store) if answers => store,
        unusable => {
            if let Err(failure) = unusable {
                report.failed(&TARGET_UNUSABLE, None, &failure);
            }
            let why = if answers { format!("{SETTINGS} failed") } else { format!("{REACHABLE} failed") };
            for rest in [ACCOUNT, REDUNDANCY, SOFT_DELETE, CONTAINER].into_iter().chain(OF_CONTAINER) {
                report.not_checked(rest, None, &why);
            }
            return report;
        }
    };
    let (of_account, of_soft_delete, of_container) = tokio::join!(
        account(&store, target.history, bounds),
        soft_delete(&store, bounds),
        container(&store, target, bounds)
    );
    report.append(of_account);
    report.append(of_soft_delete);
    report.append(of_container);
    report
}

/// Looks at what reading takes; writes nothing.
pub(super) async fn check_reading(target: &Target, bounds: &Bounds) -> Report {
    let mut report = Report::default();
    let store = match AzureAuth::resolve(target).and_then(|auth| AzureStore::new(target, auth)) {
        Ok(store) => store.with_page_items_max(1),
        Err(failure) => {
            report.failed(&TARGET_UNUSABLE, None, &failure);
            return report;
        }
    };
    match bounds.look("list the container", store.list(&target.prefix, Listing::Current, None)).await {
        Ok(_) => report.ok(LIST, None, "a page was listed"),
        Err(failure) => report.failed(&NO_LIST, None, &failure),
    }
    report.append(soft_delete(&store, bounds).await);
    report
}

async fn account(store: &AzureStore, history: History, bounds: &Bounds) -> Report {
    let mut report = Report::default();
    match bounds.look("read the kind of the account", store.account_information()).await {
        Ok(account) => {
            kind(&account, history, &mut report);
            redundancy(&account.sku, &mut report);
        }
        Err(failure) => {
            report.failed(&ACCOUNT_UNKNOWN, None, &failure);
            report.failed(&REDUNDANCY_UNKNOWN, None, &failure);
        }
    }
    report
}

fn kind(account: &AccountInformation, history: History, report: &mut Report) {
    let AccountInformation { kind, sku, hierarchical } = account;
    let detail = format!("kind {kind}, {sku}");
    if *hierarchical && history == History::Versions {
        report.found(&HIERARCHICAL, None, format!("{detail}, with a hierarchical namespace"));
    } else if matches!(kind.as_str(), "Storage" | "FileStorage") {
        report.found(&NO_BLOB_ACCOUNT, None, detail);
    } else {
        report.ok(ACCOUNT, None, detail);
    }
}

fn redundancy(sku: &str, report: &mut Report) {
    match sku.rsplit('_').next().unwrap_or_default() {
        "LRS" => report.found(&ONE_DATA_CENTRE, None, format!("{sku}: all copies are in one data centre")),
        "ZRS" => report.ok(REDUNDANCY, None, format!("{sku}: copies in three data centres of one region")),
        "GRS" | "RAGRS" | "GZRS" | "RAGZRS" => {
            report.ok(REDUNDANCY, None, format!("{sku}: copies in two regions, the second one minutes behind"));
        }
        _ => report.found(&REDUNDANCY_UNKNOWN, None, format!("{sku:?} is not known")),
    }
}

async fn soft_delete(store: &AzureStore, bounds: &Bounds) -> Report {
    let mut report = Report::default();
    match bounds.look("read the settings of the blob service", store.soft_delete()).await {
        Ok(SoftDelete::Off) => report.found(&SOFT_DELETE_OFF, None, "soft delete of blobs is off"),
        Ok(SoftDelete::Days(days)) => {
            let detail = format!("deleted blobs and versions can be brought back for {days} days");
            if days < SOFT_DELETE_DAYS_MIN {
                report.found(&SOFT_DELETE_SHORT, None, detail);
            } else {
                // That of containers is a setting of the account's management, which data requests do not tell.
                report.ok(SOFT_DELETE, None, format!("{detail}; whether containers can is not told here"));
            }
        }
        Err(failure) => report.failed(&SOFT_DELETE_UNKNOWN, None, &failure),
    }
    report
}

async fn container(store: &AzureStore, target: &Target, bounds: &Bounds) -> Report {
    let mut report = Report::default();
    let name = &target.container;
    let listed = bounds.look("list the container", store.list(&target.prefix, Listing::Current, None)).await;
    if let Err(Failure { kind: Kind::NotFound, .. }) = listed {
        match (target.create, target.auth) {
            (false, _) => {
                report.found(&TARGET_MISSING, None, format!("{name:?} does not exist, and target.create is false"));
            }
            // The account's own key may do everything.
            (true, TargetAuth::Emulator | TargetAuth::SharedKey) => {
                report.ok(CONTAINER, None, format!("{name:?} does not exist; the daemon will create it"));
            }
            (true, _) => {
                let detail = format!("{name:?} does not exist; the daemon will create it if the credential may");
                report.found(&TARGET_TO_CREATE, None, detail);
            }
        }
        for rest in OF_CONTAINER.into_iter().chain(riders::asked(target)) {
            report.not_there_yet(rest, None, &format!("the container {name:?}"));
        }
        return report;
    }
    let properties = bounds.look("read the properties of the container", store.container_properties()).await;
    match (&listed, &properties) {
        (_, Ok(ContainerProperties { public_access: Some(access), .. })) => {
            report.found(&TARGET_PUBLIC, None, format!("{name:?} exists, and anybody may read it ({access})"));
        }
        (Ok(_), _) | (_, Ok(_)) => report.ok(CONTAINER, None, format!("{name:?} exists")),
        (Err(_), Err(_)) => report.not_checked(CONTAINER, None, &format!("{LIST} failed")),
    }
    let listed_some = listed.is_ok();
    match listed {
        Ok(_) => report.ok(LIST, None, "a page was listed"),
        Err(failure) => report.failed(&NO_LIST, None, &failure),
    }
    let probed = probes(store, target.history, bounds, &mut report).await;
    let accepted = probed.accepted || listed_some;
    riders::check(store, target, probed.written, bounds, &mut report).await;
    match properties {
        Ok(properties) => immutability(&properties, &mut report),
        Err(failure) => report.failed(&IMMUTABILITY_UNKNOWN, None, &failure),
    }
    if accepted {
        deletes(store, bounds, &mut report).await;
    } else {
        // A firewall refuses everything in the words in which a role refuses one thing.
        report.not_checked(DELETE, None, "the credential is refused everything");
    }
    report
}

/// What came of the probes.
struct Probed {
    written: bool,
    /// Any of them was permitted.
    accepted: bool,
}

async fn probes(store: &AzureStore, history: History, bounds: &Bounds, report: &mut Report) -> Probed {
    let written = bounds.look("write the probe", store.write_probe()).await;
    match &written {
        Ok(_) => report.ok(WRITE, None, "the probe was written"),
        Err(failure) => report.failed(&NO_WRITE, None, failure),
    }
    let read = bounds.look("read the probe", store.read_probe()).await;
    let probed = Probed { written: written.is_ok(), accepted: written.is_ok() || read.is_ok() };
    match read {
        Ok(true) => report.ok(READ, None, "the probe was read"),
        Ok(false) if written.is_ok() => report.found(&NO_READ, None, "the probe that was written is not there"),
        Ok(false) => report.ok(READ, None, "reading is permitted; the probe is not there"),
        Err(failure) => report.failed(&NO_READ, None, &failure),
    }
    match (written, history) {
        (Ok((etag, versions)), History::Snapshots) => {
            let besides =
                if versions { "; the account keeps versions too, which would take one request less" } else { "" };
            match bounds.look("take a snapshot of the probe", store.snapshot_probe(&etag)).await {
                Ok(()) => report.ok(VERSIONING, None, format!("a snapshot of the probe was taken{besides}")),
                Err(failure) => report.failed(&NO_SNAPSHOT, None, &failure),
            }
        }
        (Ok((_, true)), History::Versions) => report.ok(VERSIONING, None, "the probe's version is kept"),
        (Ok((_, false)), History::Versions) => {
            report.found(&VERSIONING_OFF, None, "the account keeps no versions: an overwrite would lose history")
        }
        (Err(_), _) => report.not_checked(VERSIONING, None, &format!("{WRITE} failed")),
    }
    probed
}

fn immutability(container: &ContainerProperties, report: &mut Report) {
    let forbidden = match (container.has_policy, container.has_legal_hold) {
        _ if container.version_level_immutability => None,
        (true, _) => Some("the container has a retention policy of its own"),
        (_, true) => Some("the container has a legal hold"),
        (false, false) => None,
    };
    match forbidden {
        Some(why) => report.found(&OVERWRITES_FORBIDDEN, None, why),
        None if container.version_level_immutability => {
            report.ok(
                IMMUTABILITY,
                None,
                "single versions can be protected against deletion (version-level immutability)",
            );
        }
        None => report.ok(IMMUTABILITY, None, "off: whoever may delete can delete versions"),
    }
}

async fn deletes(store: &AzureStore, bounds: &Bounds, report: &mut Report) {
    match bounds.look("try a delete that cannot be done", store.may_delete()).await {
        Ok(MayDelete { blobs: false, versions: false }) => {
            report.ok(
                DELETE,
                None,
                "the credential cannot delete blobs or versions; the container itself was not asked about",
            );
        }
        Ok(MayDelete { blobs: true, versions: false }) => {
            report.found(&MAY_DELETE, None, "the credential may delete blobs")
        }
        Ok(MayDelete { blobs, versions: true }) => {
            let what = if blobs { "blobs and versions" } else { "versions, which is history itself" };
            report.found(&MAY_DELETE, None, format!("the credential may delete {what}"));
        }
        Err(failure) => report.failed(&DELETE_UNKNOWN, None, &failure),
    }
}

#[cfg(test)]
mod tests {
    use super::super::super::report::Status;
    use super::*;

    #[test]
    fn accounts_and_containers_that_cannot_hold_history_fail() {
        let account_for = |history, kind: &str, hierarchical| {
            let mut report = Report::default();
            let account = AccountInformation { sku: "Standard_ZRS".to_owned(), kind: kind.to_owned(), hierarchical };
            super::kind(&account, history, &mut report);
            report.checks[0].status
        };
        let account = |kind: &str, hierarchical| account_for(History::Versions, kind, hierarchical);
        assert_eq!(account_for(History::Snapshots, "StorageV2", true), Status::Ok);
        assert_eq!([account("StorageV2", false), account("BlockBlobStorage", false)], [Status::Ok; 2]);
        assert_eq!([account("StorageV2", true), account("Storage", false)], [Status::Fail; 2]);
        let copies = |sku: &str| {
            let mut report = Report::default();
            redundancy(sku, &mut report);
            report.checks[0].status
        };
        assert_eq!(["Standard_GZRS", "Premium_ZRS", "Standard_RAGRS"].map(copies), [Status::Ok; 3]);
        assert_eq!(["Standard_LRS", "Premium_LRS", "", "Standard_New"].map(copies), [Status::Warn; 4]);
    }

    #[test]
    fn a_policy_of_the_whole_container_fails_and_one_of_versions_does_not() {
        let judged = |version_level_immutability, has_policy, has_legal_hold| {
            let mut report = Report::default();
            let container =
                ContainerProperties { version_level_immutability, has_policy, has_legal_hold, public_access: None };
            immutability(&container, &mut report);
            report.checks[0].status
        };
        assert_eq!([judged(false, true, false), judged(false, false, true)], [Status::Fail; 2]);
        assert_eq!(
            [judged(true, true, false), judged(true, false, false), judged(false, false, false)],
            [Status::Ok; 3]
        );
    }
}
