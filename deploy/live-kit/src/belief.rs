//! What a belief is, and what can become of one.

use std::panic::AssertUnwindSafe;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use cosmirror::failure::Failure;
use futures::FutureExt as _;
use futures::future::BoxFuture;

use crate::kit::Kit;

/// Time for one belief; those that wait for the service to purge or split have their own.
pub(crate) const MINUTES_MAX: u64 = 10;

/// What was seen, in a few words.
pub(crate) type Seen = Result<String, Unsettled>;

/// Why a belief does not hold, or was not looked at.
#[derive(Debug)]
pub(crate) enum Unsettled {
    /// It is otherwise, or could not be seen.
    Failed(String),
    /// It was left out.
    Skipped {
        /// Why.
        reason: String,
        /// The variable that enables it.
        variable: &'static str,
    },
}

impl From<Failure> for Unsettled {
    fn from(failure: Failure) -> Self {
        Self::Failed(failure.to_string())
    }
}

/// What became of a belief.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Outcome {
    Pass,
    Fail,
    Skip,
}

impl Outcome {
    /// The word of the report.
    pub(crate) fn word(self) -> &'static str {
        match self {
            Self::Pass => "pass",
            Self::Fail => "fail",
            Self::Skip => "skip",
        }
    }
}

/// Something that the code relies on and that the service alone can settle.
pub(crate) struct Belief {
    /// The function's name.
    pub(crate) function: &'static str,
    pub(crate) minutes_max: u64,
    pub(crate) look: for<'a> fn(&'a Kit) -> BoxFuture<'a, Seen>,
}

impl Belief {
    /// Its name in reports.
    pub(crate) fn name(&self) -> String {
        self.function.replace('_', "-")
    }

    /// Looks, within its time; a panic of a shared contract's sentence is a failure like others.
    pub(crate) async fn settle(&self, kit: &Kit) -> (Outcome, String) {
        let looking = AssertUnwindSafe((self.look)(kit)).catch_unwind();
        match tokio::time::timeout(Duration::from_secs(self.minutes_max * 60), looking).await {
            Ok(Ok(Ok(seen))) => (Outcome::Pass, seen),
            Ok(Ok(Err(Unsettled::Failed(how)))) => (Outcome::Fail, how),
            Ok(Ok(Err(Unsettled::Skipped { reason, variable }))) => {
                (Outcome::Skip, format!("{reason}; set {variable}"))
            }
            Ok(Err(_)) => (Outcome::Fail, last_panic()),
            Err(_) => (Outcome::Fail, format!("not settled within {} minutes", self.minutes_max)),
        }
    }
}

/// Fails unless it is so.
pub(crate) fn ensure(holds: bool, otherwise: impl FnOnce() -> String) -> Result<(), Unsettled> {
    if holds { Ok(()) } else { Err(Unsettled::Failed(otherwise())) }
}

/// Fails where there is none.
pub(crate) fn expect<T>(found: Option<T>, what: &str) -> Result<T, Unsettled> {
    found.ok_or_else(|| Unsettled::Failed(format!("{what} is missing")))
}

/// Not looked at without the variable.
pub(crate) fn skipped(reason: impl Into<String>, variable: &'static str) -> Seen {
    Err(Unsettled::Skipped { reason: reason.into(), variable })
}

static LAST_PANIC: Mutex<String> = Mutex::new(String::new());

/// Panics are told in the report's lines.
pub(crate) fn keep_panics_quiet() {
    std::panic::set_hook(Box::new(|panic| {
        *LAST_PANIC.lock().unwrap_or_else(PoisonError::into_inner) = panic.to_string();
    }));
}

/// What the last panic said.
pub(crate) fn last_panic() -> String {
    LAST_PANIC.lock().unwrap_or_else(PoisonError::into_inner).clone()
}
