//! What was read from the target: what protects its versions, and what it records of restores.

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;

use super::{Labels, family};

const SOFT_DELETE: &str = "target_soft_delete";
const IMMUTABILITY: &str = "target_immutability";
const IMMUTABLE_UNTIL: &str = "target_immutable_until_timestamp_seconds";
const IMMUTABILITY_LOCKED: &str = "target_immutability_locked";
const LEGAL_HOLD: &str = "target_legal_hold";
const PROTECTION_KNOWN: &str = "target_protection_known";
const RESTORES: &str = "restores";
const RESTORE_TIMESTAMP: &str = "restore_timestamp_seconds";
const RESTORE_DOCUMENTS: &str = "restore_documents";

/// What protects the versions that the target holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Protection {
    /// Deleted blobs and versions are kept for a while.
    pub soft_delete: bool,
    /// Single versions can be protected, or a policy or a legal hold protects all.
    pub immutability: bool,
    /// What protects the newest version that was looked at.
    pub version: VersionProtection,
}

/// What protects one version.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct VersionProtection {
    /// It cannot be deleted until then, in seconds since 1970.
    pub immutable_until: Option<i64>,
    /// Nobody can shorten that.
    pub locked: bool,
    /// It cannot be deleted until somebody lifts the hold.
    pub legal_hold: bool,
}

/// What a mirror records of restores.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Restores {
    /// How many there were.
    pub count: u64,
    /// The newest one.
    pub newest: Option<RestoreSeen>,
}

/// One restore.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RestoreSeen {
    /// When it began, in seconds since 1970 of the host that did it.
    pub began: i64,
    /// Documents that it wrote.
    pub written: u64,
    /// Documents that it deleted.
    pub deleted: u64,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ResultLabels {
    database: String,
    container: String,
    result: &'static str,
}

#[derive(Debug)]
pub(super) struct Families {
    soft_delete: Gauge,
    immutability: Gauge,
    immutable_until: Gauge,
    locked: Gauge,
    legal_hold: Gauge,
    known: Gauge,
    restores: Family<Labels, Gauge>,
    timestamp: Family<Labels, Gauge>,
    documents: Family<ResultLabels, Gauge>,
}

impl Families {
    pub(super) fn register(r: &mut Registry) -> Self {
        let mut gauge = |name: &str, help: &str| {
            let gauge = Gauge::default();
            r.register(name, help, gauge.clone());
            gauge
        };
        Self {
            soft_delete: gauge(SOFT_DELETE, "1 where the target keeps deleted blobs for a while"),
            immutability: gauge(
                IMMUTABILITY,
                "1 where versions can be immutable, or a policy or legal hold protects all",
            ),
            immutable_until: gauge(IMMUTABLE_UNTIL, "Until when the newest version cannot be deleted, 0 if it can"),
            locked: gauge(IMMUTABILITY_LOCKED, "1 where nobody can shorten that"),
            legal_hold: gauge(LEGAL_HOLD, "1 where the newest version has a legal hold"),
            known: gauge(PROTECTION_KNOWN, "1 where it could be read what protects the target"),
            restores: family(r, RESTORES, "Restores that the mirror has records of"),
            timestamp: family(r, RESTORE_TIMESTAMP, "When the newest restore began, 0 if there was none"),
            documents: family(r, RESTORE_DOCUMENTS, "Documents of the newest restore by what was done to them"),
        }
    }

    /// Makes sure that every child exists.
    pub(super) fn show(&self, labels: &Labels) {
        drop(self.restores.get_or_create(labels));
        drop(self.timestamp.get_or_create(labels));
        for result in ["written", "deleted"] {
            drop(self.documents(labels, result));
        }
    }

    fn documents(&self, labels: &Labels, result: &'static str) -> Gauge {
        let Labels { database, container } = labels.clone();
        self.documents.get_or_create_owned(&ResultLabels { database, container, result })
    }

    pub(super) fn protection(&self, protection: Option<Protection>) {
        let Protection { soft_delete, immutability, version } = protection.unwrap_or_default();
        self.soft_delete.set(soft_delete.into());
        self.immutability.set(immutability.into());
        self.immutable_until.set(version.immutable_until.unwrap_or_default());
        self.locked.set(version.locked.into());
        self.legal_hold.set(version.legal_hold.into());
        self.known.set(protection.is_some().into());
    }

    pub(super) fn restores(&self, labels: &Labels, seen: &Restores) {
        let gauge = |count: u64| i64::try_from(count).unwrap_or(i64::MAX);
        let newest = seen.newest.as_ref();
        self.restores.get_or_create(labels).set(gauge(seen.count));
        self.timestamp.get_or_create(labels).set(newest.map_or(0, |restore| restore.began));
        self.documents(labels, "written").set(newest.map_or(0, |restore| gauge(restore.written)));
        self.documents(labels, "deleted").set(newest.map_or(0, |restore| gauge(restore.deleted)));
    }
}

#[cfg(test)]
mod tests {
    use super::super::Metrics;
    use super::*;
    use crate::admin::Progress;

    #[tokio::test(start_paused = true)]
    async fn what_was_read_is_shown_and_what_was_not_is_0() {
        let (metrics, progress) = (Metrics::new([("d", "c")]), Progress::new([("d", "c")]));
        let shown = |lines: &[&str]| {
            let text = metrics.render(&progress).unwrap();
            for line in lines {
                assert!(text.lines().any(|found| found == *line), "{line}\n{text}");
            }
        };
        shown(&[
            "cosmirror_target_protection_known 0",
            r#"cosmirror_restores{database="d",container="c"} 0"#,
            r#"cosmirror_restore_documents{database="d",container="c",result="deleted"} 0"#,
        ]);
        metrics.target_protection(Some(Protection {
            soft_delete: true,
            immutability: false,
            version: VersionProtection { immutable_until: Some(1_800_000_000), locked: true, legal_hold: false },
        }));
        let newest = RestoreSeen { began: 1_700_000_000, written: 40, deleted: 2 };
        metrics.restores("d", "c", &Restores { count: 3, newest: Some(newest) });
        shown(&[
            "cosmirror_target_soft_delete 1",
            "cosmirror_target_immutability 0",
            "cosmirror_target_immutable_until_timestamp_seconds 1800000000",
            "cosmirror_target_immutability_locked 1",
            "cosmirror_target_legal_hold 0",
            "cosmirror_target_protection_known 1",
            r#"cosmirror_restores{database="d",container="c"} 3"#,
            r#"cosmirror_restore_timestamp_seconds{database="d",container="c"} 1700000000"#,
            r#"cosmirror_restore_documents{database="d",container="c",result="written"} 40"#,
        ]);
        metrics.target_protection(None);
        shown(&["cosmirror_target_soft_delete 0", "cosmirror_target_protection_known 0"]);
    }
}
