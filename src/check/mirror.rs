//! What the target already holds of a container: nothing, the beginning of this mirror, or another one's.

use azure_core::http::Url;
use cosmirror_formats::MirrorPaths;
use cosmirror_formats::records::{ContainerRecord, FORMAT};

use super::bounds::Bounds;
use super::findings::{MIRROR_FOREIGN, MIRROR_NEWER, MIRROR_OF_EARLIER, MIRROR_UNREADABLE};
use super::report::Report;
use crate::config::{Config, Container};
use crate::failure::Kind;
use crate::store::VersionStore;

const MIRROR: &str = "container.mirror";

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
        Ok(Some((_, body))) => judge(&body, &name, &config.source.endpoint, rid, &mut report),
        Ok(None) => report.ok(MIRROR, subject, format!("{name}: the target holds nothing of it yet")),
        Err(failure) if failure.kind == Kind::NotFound => {
            report.ok(MIRROR, subject, format!("{name}: the target holds nothing of it yet"));
        }
        Err(failure) => not_checked(container, &failure.message, &mut report),
    }
    report
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
    let account = host(&record.account);
    if account != host(endpoint) {
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

/// What names an account: its endpoint's host, and the port where it is none of the scheme's.
fn host(endpoint: &str) -> String {
    let Ok(url) = endpoint.parse::<Url>() else { return endpoint.to_owned() };
    let host = url.host_str().unwrap_or_default().to_owned();
    // Accounts answer at 443 of a name of their own; only emulators on one machine differ by their ports.
    match url.port() {
        Some(port) if url.scheme() == "http" => format!("{host}:{port}"),
        _ => host,
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
