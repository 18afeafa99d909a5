//! What can go wrong, what the process does about it, and what the operator is told.
//!
//! One table, [`Kind::action`], turns the kind of an error into what happens next. No retry is decided at a call site.
//! Every message that reaches a person carries a remedy, and every command ends with one of [`Exit`]'s codes.

use std::fmt;

/// Exit codes of the command line; a contract with scripts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Exit {
    /// Any other failure.
    Failure = 1,
    /// The command line or the configuration is wrong.
    Usage = 2,
    /// Some items failed.
    Partial = 3,
    /// Mirror and store differ, or the lag is above the limit asked about.
    Drift = 4,
    /// The instant is not covered by the mirror.
    NotCovered = 5,
    /// Bytes do not match their hash.
    Integrity = 6,
    /// The store changed since the plan.
    Conflict = 7,
    /// A limit was reached; run again to resume.
    Limit = 8,
    /// Document, version, container or mirror not found.
    NotFound = 10,
    /// A lease or lock is held elsewhere.
    Held = 11,
    /// Not authorised.
    Unauthorized = 12,
    /// Cancelled by the user.
    Cancelled = 130,
}

impl Exit {
    /// Every code.
    pub const ALL: [Self; 12] = [
        Self::Failure,
        Self::Usage,
        Self::Partial,
        Self::Drift,
        Self::NotCovered,
        Self::Integrity,
        Self::Conflict,
        Self::Limit,
        Self::NotFound,
        Self::Held,
        Self::Unauthorized,
        Self::Cancelled,
    ];

    /// The code of this name; a failure where there is none.
    pub fn of_name(name: &str) -> Self {
        Self::ALL.into_iter().find(|exit| exit.name() == name).unwrap_or(Self::Failure)
    }

    /// Its name in JSON.
    pub fn name(self) -> &'static str {
        match self {
            Self::Failure => "failure",
            Self::Usage => "usage",
            Self::Partial => "partial",
            Self::Drift => "drift",
            Self::NotCovered => "not-covered",
            Self::Integrity => "integrity",
            Self::Conflict => "conflict",
            Self::Limit => "limit",
            Self::NotFound => "not-found",
            Self::Held => "held",
            Self::Unauthorized => "unauthorized",
            Self::Cancelled => "cancelled",
        }
    }
}

/// What kind of thing an error is; decides what happens next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Time-outs, resets, 429, 5xx: the same request may succeed later. Its effect is unknown.
    Transient,
    /// The precondition did not hold; the caller looks at what is there.
    Conflict,
    /// The feed's token is outside the service's retention window.
    TokenExpired,
    /// The range was split, merged or moved; the topology must be read again.
    RangeGone,
    /// The target or the source refuses this one document for good.
    Refused,
    /// What was asked for does not exist.
    NotFound,
    /// The credential is wrong or lacks a permission.
    Unauthorized,
    /// The configuration, or a setting of the account, makes the work impossible.
    Misconfigured,
    /// A lease is held by another process.
    Held,
    /// Bytes do not match their hash or their metadata.
    Integrity,
    /// A bug, or an answer no protocol allows.
    Internal,
}

/// What the mirror does about an error.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Action {
    /// Try again with jittered backoff, without limit.
    Retry,
    /// Look at what is stored and decide again.
    Look,
    /// Store the change as a dead letter and go on.
    DeadLetter,
    /// Stop following the range, say why, release its lease and try again slowly.
    GiveUpRange,
    /// End the process; nothing is lost, because checkpoints never pass what is not durable.
    Stop,
}

impl Kind {
    /// Every kind.
    pub const ALL: [Self; 11] = [
        Self::Transient,
        Self::Conflict,
        Self::TokenExpired,
        Self::RangeGone,
        Self::Refused,
        Self::NotFound,
        Self::Unauthorized,
        Self::Misconfigured,
        Self::Held,
        Self::Integrity,
        Self::Internal,
    ];

    /// Its name in metrics and JSON.
    pub fn name(self) -> &'static str {
        match self {
            Self::Transient => "transient",
            Self::Conflict => "conflict",
            Self::TokenExpired => "token_expired",
            Self::RangeGone => "range_gone",
            Self::Refused => "refused",
            Self::NotFound => "not_found",
            Self::Unauthorized => "unauthorized",
            Self::Misconfigured => "misconfigured",
            Self::Held => "held",
            Self::Integrity => "integrity",
            Self::Internal => "internal",
        }
    }

    /// The one table from kinds to actions.
    pub fn action(self) -> Action {
        match self {
            Self::Transient => Action::Retry,
            Self::Conflict => Action::Look,
            Self::Refused => Action::DeadLetter,
            Self::TokenExpired
            | Self::RangeGone
            | Self::NotFound
            | Self::Unauthorized
            | Self::Misconfigured
            | Self::Held
            | Self::Integrity => Action::GiveUpRange,
            Self::Internal => Action::Stop,
        }
    }

    /// The exit code of a command that ends with it.
    pub fn exit(self) -> Exit {
        match self {
            Self::Conflict => Exit::Conflict,
            Self::NotFound => Exit::NotFound,
            Self::Unauthorized => Exit::Unauthorized,
            Self::Misconfigured => Exit::Usage,
            Self::Integrity => Exit::Integrity,
            Self::Held => Exit::Held,
            Self::TokenExpired => Exit::NotCovered,
            Self::Transient | Self::RangeGone | Self::Refused | Self::Internal => Exit::Failure,
        }
    }
}

/// An error as it leaves one of the boundaries (feed, store, documents): what failed, of which kind, and the way out.
#[derive(Debug, Clone, thiserror::Error)]
pub struct Failure {
    /// What kind it is.
    pub kind: Kind,
    /// What failed, naming the thing. Never holds document content or secrets.
    pub message: String,
    /// What the operator can do; empty where the message says it all.
    pub remedy: String,
    /// How long the service asked to wait.
    pub retry_after: Option<std::time::Duration>,
    /// The service said that it is asked too much.
    pub throttled: bool,
}

impl Failure {
    /// A failure without remedy or wait.
    pub fn new(kind: Kind, message: impl Into<String>) -> Self {
        Self { kind, message: message.into(), remedy: String::new(), retry_after: None, throttled: false }
    }

    /// The same with what the operator can do.
    #[must_use]
    pub fn remedy(mut self, remedy: impl Into<String>) -> Self {
        self.remedy = remedy.into();
        self
    }

    /// The same where the service said that it is asked too much.
    #[must_use]
    pub fn throttled(mut self) -> Self {
        self.throttled = true;
        self
    }

    /// The same with the wait the service asked for.
    #[must_use]
    pub fn retry_after(mut self, wait: Option<std::time::Duration>) -> Self {
        self.retry_after = wait;
        self
    }
}

/// On one line; the alternate form (`{:#}`) has the remedy on a line of its own.
impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)?;
        match (self.remedy.is_empty(), f.alternate()) {
            (true, _) => Ok(()),
            (false, false) => write!(f, " ({})", self.remedy),
            (false, true) => write!(f, "\n{}", self.remedy),
        }
    }
}

/// How a command ends when it does not end well: a code, a message, and the way out.
#[derive(Debug, thiserror::Error)]
#[error("{message}")]
pub struct CommandError {
    /// The process's exit code.
    pub exit: Exit,
    /// What happened, on one line.
    pub message: String,
    /// What to do about it; may be empty.
    pub remedy: String,
}

impl CommandError {
    /// An error with its code and way out.
    pub fn new(exit: Exit, message: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self { exit, message: message.into(), remedy: remedy.into() }
    }
}

impl From<Failure> for CommandError {
    fn from(failure: Failure) -> Self {
        Self::new(failure.kind.exit(), failure.message, failure.remedy)
    }
}
