//! What the target already holds of a container: nothing, the beginning of this mirror, or another one's.

use std::sync::Arc;

use cosmirror_formats::records::{ContainerRecord, FORMAT};
use cosmirror_formats::{MirrorPaths, Version};

use super::bounds::Bounds;
use super::findings::{
    ENCRYPTED_BEFORE, MIRROR_FOREIGN, MIRROR_NEWER, MIRROR_OF_EARLIER, MIRROR_UNREADABLE, PLAIN_BEFORE,
};
use super::report::Report;
use crate::config::{Config, Container, account_host};
use crate::failure::Kind;
use crate::history::{MirrorReader, instant};
use crate::store::{Listing, VersionStore};

const MIRROR: &str = "container.mirror";
const ENCRYPTION: &str = "container.encryption";

/// Looks at it. `rid` is the resource id of the container as it is now, where it is known.
pub(super) async fn check(
    store: &dyn VersionStore,
    config: &Config,
    container: &Container,
    rid: Option<&str>,
    bounds: &Bounds,
) -> Report {
    let mut report = Report::default();
    let name = format!("{}/{}", container.database, container.container);
    let subject = Some(name.as_str());
    let record = MirrorPaths::new(&config.target.prefix, &container.database, &container.container).container_record();
    match bounds.look(&format!("read {record:?} on the target"), store.get(&record, None)).await {
        Ok(Some((_, body))) => {
            judge(&body, &name, &config.source.endpoint, rid, &mut report);
            encryption(store, config, container, bounds, &mut report).await;
        }
        Ok(None) => report.ok(MIRROR, subject, format!("{name}: the target holds nothing of it yet")),
        Err(failure) if failure.kind == Kind::NotFound => {
            report.ok(MIRROR, subject, format!("{name}: the target holds nothing of it yet"));
        }
        Err(failure) => not_checked(container, &failure.message, &mut report),
    }
    report
}

/// Whether the mirror can be read, and what can be asked of it. Its source is not asked.
pub(super) async fn check_reading(
    store: Arc<dyn VersionStore>,
    config: &Config,
    container: &Container,
    bounds: &Bounds,
) -> Report {
    let mut report = Report::default();
    let name = format!("{}/{}", container.database, container.container);
    let paths = MirrorPaths::new(&config.target.prefix, &container.database, &container.container);
    match bounds.look(&format!("read the mirror of {name}"), MirrorReader::open(store, paths)).await {
        Ok(mirror) => {
            let account = account_host(&mirror.record.account);
            let lives = mirror.record.generations.len();
            let window = match (mirror.window().from, mirror.window().until) {
                (Some(from), Some(until)) => format!("restorable from {} to {}", instant(from), instant(until)),
                _ => "no instant is covered".to_owned(),
            };
            report.ok(MIRROR, Some(&name), format!("{name}: the mirror of {account}, {window}; generations: {lives}"));
        }
        Err(failure) => report.failed(&MIRROR_UNREADABLE, Some(&name), &failure),
    }
    report
}

/// Whether what is stored is encrypted as what comes will be. One page of a listing is looked at, however large the mirror is.
async fn encryption(
    store: &dyn VersionStore,
    config: &Config,
    container: &Container,
    bounds: &Bounds,
    report: &mut Report,
) {
    let name = format!("{}/{}", container.database, container.container);
    let subject = Some(name.as_str());
    let prefix = MirrorPaths::new(&config.target.prefix, &container.database, &container.container).documents();
    let what = format!("list {prefix:?} on the target");
    let heads = match bounds.look(&what, store.list(&prefix, Listing::Current, None)).await {
        Ok(page) => page.heads,
        Err(failure) => return report.not_checked(ENCRYPTION, subject, &failure.message),
    };
    let versions = heads.iter().filter(|head| head.length > 0);
    let versions: Vec<Version> = versions.filter_map(|head| Version::from_metadata(&head.metadata).ok()).collect();
    let all = versions.len();
    let encrypted = versions.iter().filter(|version| version.encryption.is_some()).count();
    match (config.target.recipients.is_empty(), encrypted) {
        (false, encrypted) if encrypted < all => {
            let detail = format!("{name}: {} of the first {all} documents are not encrypted", all - encrypted);
            report.found(&PLAIN_BEFORE, subject, detail);
        }
        (true, 1..) => {
            let detail = format!("{name}: {encrypted} of the first {all} documents are encrypted");
            report.found(&ENCRYPTED_BEFORE, subject, detail);
        }
        (false, _) => report.ok(ENCRYPTION, subject, format!("{name}: the first {all} documents are encrypted")),
        (true, _) => report.ok(ENCRYPTION, subject, format!("{name}: nothing is encrypted, as configured")),
    }
}

/// The target could not be asked.
pub(super) fn not_checked(container: &Container, why: &str, report: &mut Report) {
    report.not_checked(MIRROR, Some(&format!("{}/{}", container.database, container.container)), why);
}

fn judge(body: &[u8], name: &str, endpoint: &str, rid: Option<&str>, report: &mut Report) {
    let subject = Some(name);
    let value: serde_json::Value = serde_json::from_slice(body).unwrap_or_default();
    if let Some(format) = value["format"].as_u64().filter(|format| *format > u64::from(FORMAT)) {
        let detail = format!("{name}: its record is of format {format}, and this release knows {FORMAT}");
        return report.found(&MIRROR_NEWER, subject, detail);
    }
    let record: ContainerRecord = match serde_json::from_value(value) {
        Ok(record) => record,
        Err(error) => return report.found(&MIRROR_UNREADABLE, subject, format!("{name}: {error}")),
    };
    let account = account_host(&record.account);
    if account != account_host(endpoint) {
        let detail = format!("{name}: the target holds the mirror of that container in the account {account}");
        return report.found(&MIRROR_FOREIGN, subject, detail);
    }
    let since = record.generations.first().and_then(|first| jiff::Timestamp::from_second(first.since).ok());
    let since = since.map(|since| format!(", begun {since}")).unwrap_or_default();
    match (rid, record.generations.last()) {
        (Some(rid), Some(last)) if last.rid != rid => {
            let detail = format!("{name}: the container {} that was mirrored is no more; now it is {rid}", last.rid);
            report.found(&MIRROR_OF_EARLIER, subject, detail);
        }
        _ => report.ok(MIRROR, subject, format!("{name}: continues the mirror of {account}{since}")),
    }
}

#[cfg(test)]
mod tests {
    use super::super::report::Status;
    use super::*;

    fn judged(body: &str, rid: Option<&str>) -> (Status, String) {
        let mut report = Report::default();
        judge(body.as_bytes(), "shop/orders", "https://shop.documents.azure.com/", rid, &mut report);
        let check = report.checks.remove(0);
        assert_eq!((check.name, check.remedy.is_empty()), (MIRROR, check.status == Status::Ok));
        (check.status, check.detail)
    }

    #[test]
    fn the_mirror_of_the_same_account_goes_on_and_no_other() {
        let record = |account: &str| {
            format!(
                r#"{{"format":1,"account":"{account}","database":"shop","container":"orders","generations":[{{"rid":"r1",
                "since":1790000000,"modes":[],"partition_key_paths":["/pk"],"settings":{{}}}}]}}"#
            )
        };
        let same = record("https://shop.documents.azure.com:443/");
        let (status, detail) = judged(&same, Some("r1"));
        assert!(status == Status::Ok && detail.contains("begun 2026-09-21T"), "{detail}");
        assert_eq!(judged(&same, None).0, Status::Ok);
        let (status, detail) = judged(&same, Some("r2"));
        assert!(status == Status::Warn && detail.contains("r1") && detail.contains("r2"), "{detail}");
        let (status, detail) = judged(&record("https://other.documents.azure.com/"), Some("r1"));
        assert!(status == Status::Fail && detail.contains("other.documents.azure.com"), "{detail}");
        assert_eq!(judged(r#"{"format":2,"other":true}"#, Some("r1")).0, Status::Fail);
        for unreadable in ["", "{}", "[]", "x"] {
            assert_eq!(judged(unreadable, Some("r1")).0, Status::Fail, "{unreadable:?}");
        }
    }
}
