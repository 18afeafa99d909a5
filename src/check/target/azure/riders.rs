//! Whether what is to ride with every put came along with the probe: what protects it, the scope that it is encrypted under, its tags.
//!
//! Nothing is said of what the configuration does not ask for.

use jiff::Timestamp;

use super::super::super::bounds::Bounds;
use super::super::super::findings::{PROTECTION_MISSING, PROTECTION_UNKNOWN, SCOPE_MISSING};
use super::super::super::report::Report;
use super::WRITE;
use crate::admin::VersionProtection;
use crate::config::{ImmutabilityMode, Target, format_duration};
use crate::store::azure::AzureStore;

const PROTECTION: &str = "target.protection";
const SCOPE: &str = "target.encryption-scope";
const TAGS: &str = "target.tags";

/// What the configuration asks for.
pub(super) fn asked(target: &Target) -> impl Iterator<Item = &'static str> {
    let asked = [
        (PROTECTION, target.legal_hold || !target.immutable_for.is_zero()),
        (SCOPE, !target.encryption_scope.is_empty()),
        (TAGS, target.tags),
    ];
    asked.into_iter().filter_map(|(name, is_asked)| is_asked.then_some(name))
}

/// Looks at the probe that was just written.
pub(super) async fn check(store: &AzureStore, target: &Target, written: bool, bounds: &Bounds, report: &mut Report) {
    let protects = target.legal_hold || !target.immutable_for.is_zero();
    let scope = &target.encryption_scope;
    if !written {
        for name in asked(target) {
            report.not_checked(name, None, &format!("{WRITE} failed"));
        }
        return;
    }
    if protects || !scope.is_empty() {
        match bounds.look("read what protects the probe", store.protection_of_probe()).await {
            Ok((found, under)) => {
                if protects {
                    protection(target, found, report);
                }
                if !scope.is_empty() {
                    encryption(scope, under.as_deref(), report);
                }
            }
            Err(failure) => report.failed(&PROTECTION_UNKNOWN, None, &failure),
        }
    }
    if target.tags {
        report.ok(TAGS, None, "the probe was written with tags");
    }
}

fn protection(target: &Target, found: VersionProtection, report: &mut Report) {
    let VersionProtection { immutable_until, locked, legal_hold } = found;
    let until = immutable_until.and_then(|until| Timestamp::from_second(until).ok());
    let mut faults = Vec::new();
    if !target.immutable_for.is_zero() && until.is_none() {
        faults.push("it can be deleted at any time");
    }
    if target.immutability_mode == ImmutabilityMode::Locked && until.is_some() && !locked {
        faults.push("its policy is unlocked");
    }
    if target.legal_hold && !legal_hold {
        faults.push("it has no legal hold");
    }
    if !faults.is_empty() {
        return report.found(&PROTECTION_MISSING, None, format!("the probe was written, but {}", faults.join(" and ")));
    }
    let mut told = Vec::new();
    if let Some(until) = until {
        let (how, whose) = match locked {
            true => ("locked", "nobody can shorten that"),
            false => ("unlocked", "whoever may change policies can shorten that"),
        };
        let duration = format_duration(target.immutable_for);
        told.push(format!("the probe cannot be deleted until {until} ({how}: {whose}); versions for {duration}"));
    }
    if legal_hold {
        told.push("it has a legal hold".to_owned());
    }
    report.ok(PROTECTION, None, told.join(", and "));
}

fn encryption(scope: &str, under: Option<&str>, report: &mut Report) {
    if under == Some(scope) {
        report.ok(SCOPE, None, format!("the probe is encrypted under {scope:?}"));
    } else {
        let found = under.map_or_else(|| "the account's key".to_owned(), |under| format!("{under:?}"));
        report.found(&SCOPE_MISSING, None, format!("the probe is encrypted under {found} instead of {scope:?}"));
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::super::super::super::report::Status;
    use super::*;

    fn judged(target: &Target, found: VersionProtection) -> (Status, String) {
        let mut report = Report::default();
        protection(target, found, &mut report);
        (report.checks[0].status, report.checks[0].detail.clone())
    }

    #[test]
    fn protection_counts_only_as_far_as_it_is_there() {
        let target = Target {
            immutable_for: Duration::from_hours(720),
            immutability_mode: ImmutabilityMode::Locked,
            legal_hold: true,
            ..Target::default()
        };
        let whole = VersionProtection { immutable_until: Some(1_800_000_000), locked: true, legal_hold: true };
        let (status, detail) = judged(&target, whole);
        assert_eq!(status, Status::Ok);
        assert!(
            detail.contains("2027-01-15T08:00:00Z") && detail.contains("30d") && detail.contains("legal hold"),
            "{detail}"
        );
        for (found, what) in [
            (VersionProtection { immutable_until: None, ..whole }, "deleted at any time"),
            (VersionProtection { locked: false, ..whole }, "unlocked"),
            (VersionProtection { legal_hold: false, ..whole }, "no legal hold"),
        ] {
            let (status, detail) = judged(&target, found);
            assert!(status == Status::Fail && detail.contains(what), "{detail}");
        }
        let held = Target { legal_hold: true, ..Target::default() };
        let (status, _) = judged(&held, VersionProtection { immutable_until: None, locked: false, legal_hold: true });
        assert_eq!(status, Status::Ok);
    }

    #[test]
    fn another_scope_than_the_one_asked_for_fails() {
        for (under, status) in [(Some("shop"), Status::Ok), (Some("other"), Status::Fail), (None, Status::Fail)] {
            let mut report = Report::default();
            encryption("shop", under, &mut report);
            assert_eq!(report.checks[0].status, status, "{under:?}");
        }
    }
}
