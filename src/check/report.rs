//! What was found, in the order in which it is told.

use serde::Serialize;

use super::findings::{Finding, NOT_CHECKED, NOT_THERE_YET};
use crate::failure::Failure;

/// How it stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Status {
    /// Nothing needs to be done.
    Ok,
    /// It works, and something should be known or better.
    Warn,
    /// It would not work, or would lose history.
    Fail,
}

impl Status {
    /// The word in JSON and in tables.
    pub fn word(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Warn => "warn",
            Self::Fail => "fail",
        }
    }
}

/// One look and what it found.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Check {
    /// What was looked at; stable.
    pub name: &'static str,
    /// The container or the setting, where there may be several.
    pub subject: Option<String>,
    /// How it stands.
    pub status: Status,
    /// What was found. Never holds a secret.
    pub detail: String,
    /// What to do; empty where nothing needs to be done.
    pub remedy: String,
}

/// Everything that was found.
#[derive(Debug, Default, Serialize)]
pub struct Report {
    /// Each look.
    pub checks: Vec<Check>,
}

impl Report {
    /// A look that found nothing to do.
    pub(super) fn ok(&mut self, name: &'static str, subject: Option<&str>, detail: impl Into<String>) {
        let subject = subject.map(str::to_owned);
        self.checks.push(Check { name, subject, status: Status::Ok, detail: detail.into(), remedy: String::new() });
    }

    /// A look that found something.
    pub(super) fn found(&mut self, finding: &Finding, subject: Option<&str>, detail: impl Into<String>) {
        self.checks.push(Check {
            name: finding.name,
            subject: subject.map(str::to_owned),
            status: finding.status,
            detail: detail.into(),
            remedy: finding.remedy.to_owned(),
        });
    }

    /// A look that failed; the failure's own remedy says more than the finding's.
    pub(super) fn failed(&mut self, finding: &Finding, subject: Option<&str>, failure: &Failure) {
        self.found(finding, subject, failure.message.clone());
        if let Some(check) = self.checks.last_mut().filter(|_| !failure.remedy.is_empty()) {
            check.remedy.clone_from(&failure.remedy);
        }
    }

    /// What could not be looked at.
    pub(super) fn not_checked(&mut self, name: &'static str, subject: Option<&str>, why: &str) {
        self.checks.push(Check {
            name,
            subject: subject.map(str::to_owned),
            status: NOT_CHECKED.status,
            detail: format!("not checked: {why}"),
            remedy: NOT_CHECKED.remedy.to_owned(),
        });
    }

    /// What can only be looked at once its container exists.
    pub(super) fn not_there_yet(&mut self, name: &'static str, subject: Option<&str>, container: &str) {
        self.found(&NOT_THERE_YET, subject, format!("not checked: {container} does not exist yet"));
        // The finding is everybody's.
        if let Some(check) = self.checks.last_mut() {
            check.name = name;
        }
    }

    /// The same, told of a target beside the first.
    #[must_use]
    pub(super) fn of_target(mut self, target: &str) -> Self {
        for check in &mut self.checks {
            check.subject = Some(match check.subject.take() {
                None => target.to_owned(),
                Some(subject) => format!("{subject} in {target}"),
            });
            check.detail = format!("target {target:?}: {}", check.detail);
        }
        self
    }

    /// The others behind these.
    pub(super) fn append(&mut self, other: Self) {
        self.checks.extend(other.checks);
    }

    /// How many stand so.
    pub fn count(&self, status: Status) -> usize {
        self.checks.iter().filter(|check| check.status == status).count()
    }
}
