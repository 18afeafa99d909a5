//! What rides with a put besides content and metadata: what protects the version from deletion, what it is encrypted with, and tags.
//!
//! | setting | headers |
//! |---|---|
//! | `target.immutable_for`, `target.immutability_mode` | `x-ms-immutability-policy-until-date`, `x-ms-immutability-policy-mode` |
//! | `target.legal_hold` | `x-ms-legal-hold` |
//! | `target.encryption_scope` | `x-ms-encryption-scope` |
//! | `target.tags` | `x-ms-tags` |
//!
//! (<https://learn.microsoft.com/rest/api/storageservices/put-blob>.) None of them outlives the version that it was sent with, so each put sends
//! them anew. The clock is the host's: it decides until when a version is kept, never what an instant of the source is.
//!
//! **Protected is whatever nobody may be able to erase**: versions of documents, dead letters, gaps, records of restores and of the container
//! itself. States of ranges, jobs and rehearsals are written again every minute, say nothing that the next one does not say better, and would each
//! cost storage until their time is over; so they are not. What is not known to be such a state is protected.
//!
//! **The probe** carries the same, so that a start finds out what the service refuses, but for a day at most: a mistake in the settings must
//! not leave a blob that nobody can remove for years.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use azure_core::time::{OffsetDateTime, to_rfc7231};
use azure_storage_blob::models::{BlockBlobClientUploadOptions, ImmutabilityPolicyMode};
use http::{HeaderName, HeaderValue};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};

use crate::config::{FeedMode, ImmutabilityMode, Target};
use crate::failure::{Failure, Kind};
use crate::time::HostClock;

const UNTIL: HeaderName = HeaderName::from_static("x-ms-immutability-policy-until-date");
const MODE: HeaderName = HeaderName::from_static("x-ms-immutability-policy-mode");
const HOLD: HeaderName = HeaderName::from_static("x-ms-legal-hold");
const SCOPE: HeaderName = HeaderName::from_static("x-ms-encryption-scope");
const TAGS: HeaderName = HeaderName::from_static("x-ms-tags");

/// For how long a probe is protected at most.
const PROBE_IMMUTABLE_FOR_MAX: Duration = Duration::from_hours(24);
/// Where states are, beneath a mirror's own folder.
const STATES: [&str; 3] = ["ranges/", "jobs/", "rehearsals/"];
/// What need not be encoded in tags, which are parameters of a query.
const PLAIN: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'_').remove(b'.');
/// Codes of a service that refuses a put for what rides with it, whatever the document. Those of encryption scopes begin alike.
const REFUSALS: [&str; 2] = ["FeatureNotEnabled", "FeatureNotSupportedForAccount"];
const REFUSAL_OF_CONTAINER: &str = "RequestForbiddenByContainerEncryptionPolicy";
const REFUSALS_OF_SCOPES: &str = "EncryptionScope";

const NEEDS_OF_PROTECTION: &str = "target.immutable_for and target.legal_hold take a container with version-level immutability, and the \
     data action blobs/immutableStorage/runAsSuperUser/action or the SAS permission i";
const NEEDS_OF_TAGS: &str = "target.tags takes the data action blobs/tags/write or the SAS permission t, and an account without hierarchical namespace";

/// What is to ride with every put.
pub(super) struct Riders {
    prefix: String,
    immutable_for: Duration,
    mode: ImmutabilityMode,
    legal_hold: bool,
    scope: Option<String>,
    tags: bool,
    /// The feeds of the configured containers, by what their names begin with.
    feeds: BTreeMap<String, FeedMode>,
    clock: HostClock,
    /// The last protected version of a document that was stored.
    last: Mutex<Option<String>>,
}

/// What rides with one put.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct Ride {
    /// Until when the version cannot be deleted, and whether that can be taken back.
    immutable: Option<(OffsetDateTime, ImmutabilityMode)>,
    legal_hold: bool,
    scope: Option<String>,
    tags: Option<String>,
}

/// What a name stands for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Named<'a> {
    /// A document of the container whose names begin so.
    Document(&'a str),
    /// A record that is to stay.
    Record,
    /// A state that the next one replaces.
    State,
}

impl Riders {
    pub(super) fn new(target: &Target) -> Self {
        Self {
            prefix: target.prefix.trim_matches('/').to_owned(),
            immutable_for: target.immutable_for,
            mode: target.immutability_mode,
            legal_hold: target.legal_hold,
            scope: Some(target.encryption_scope.clone()).filter(|scope| !scope.is_empty()),
            tags: target.tags,
            feeds: target.feeds.clone(),
            clock: HostClock::default(),
            last: Mutex::default(),
        }
    }

    pub(super) fn set_clock(&mut self, clock: HostClock) {
        self.clock = clock;
    }

    /// What rides with a put of this name and metadata.
    pub(super) fn of(&self, name: &str, metadata: &BTreeMap<String, String>) -> Ride {
        if !self.protects() && self.scope.is_none() && !self.tags {
            return Ride::default();
        }
        let named = self.named(name);
        let is_kept = named != Named::State;
        let tags = match named {
            Named::Document(base) if self.tags => metadata.get("op").map(|op| tags(op, self.feeds.get(base).copied())),
            _ => None,
        };
        Ride {
            immutable: self.immutable(self.immutable_for).filter(|_| is_kept),
            legal_hold: self.legal_hold && is_kept,
            scope: self.scope.clone(),
            tags,
        }
    }

    /// What rides with the probe.
    pub(super) fn of_probe(&self) -> Ride {
        Ride {
            immutable: self.immutable(self.immutable_for.min(PROBE_IMMUTABLE_FOR_MAX)),
            legal_hold: self.legal_hold,
            scope: self.scope.clone(),
            tags: self.tags.then(|| tags("probe", None)),
        }
    }

    fn immutable(&self, duration: Duration) -> Option<(OffsetDateTime, ImmutabilityMode)> {
        if duration.is_zero() {
            return None;
        }
        let seconds = i64::try_from(duration.as_secs()).unwrap_or(i64::MAX);
        let until = self.clock.now().as_second().saturating_add(seconds);
        // Validation has seen to it that it is some years at most.
        OffsetDateTime::from_unix_timestamp(until).ok().map(|until| (until, self.mode))
    }

    /// What tells whether the protection that is asked for is there: the last version that was stored with it, if there is one.
    pub(super) fn last_protected(&self) -> Option<String> {
        self.last.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// A put of this name was done.
    pub(super) fn stored(&self, name: &str) {
        if self.protects() && matches!(self.named(name), Named::Document(_)) {
            *self.last.lock().unwrap_or_else(PoisonError::into_inner) = Some(name.to_owned());
        }
    }

    /// A failed put with what each setting takes that rode with it, where that may be the reason.
    pub(super) fn explained(&self, failure: Failure) -> Failure {
        if !matches!(failure.kind, Kind::Misconfigured | Kind::Unauthorized) {
            return failure;
        }
        // A code of encryption is about nothing else.
        let codes = [REFUSAL_OF_CONTAINER, REFUSALS_OF_SCOPES];
        let needs = self.needs(codes.iter().any(|code| failure.message.contains(&format!(": {code}"))));
        if needs.is_empty() {
            return failure;
        }
        let own = Some(failure.remedy.clone()).filter(|remedy| !remedy.is_empty());
        let remedy = own.into_iter().chain(needs).collect::<Vec<_>>().join("; ");
        failure.remedy(remedy)
    }

    /// What each setting takes, or that of the encryption scope alone.
    fn needs(&self, of_scope_alone: bool) -> Vec<String> {
        let mut needs = Vec::new();
        if self.protects() && !of_scope_alone {
            needs.push(NEEDS_OF_PROTECTION.to_owned());
        }
        if let Some(scope) = &self.scope {
            needs.push(format!(
                "target.encryption_scope takes a scope {scope:?} of this account that is enabled, and a container that does not insist \
                 on another one"
            ));
        }
        if self.tags && !of_scope_alone {
            needs.push(NEEDS_OF_TAGS.to_owned());
        }
        needs
    }

    fn protects(&self) -> bool {
        self.legal_hold || !self.immutable_for.is_zero()
    }

    fn named<'a>(&self, name: &'a str) -> Named<'a> {
        let skipped = if self.prefix.is_empty() { 0 } else { self.prefix.len() + 1 };
        let inner = name.get(skipped..).filter(|_| name.starts_with(&self.prefix)).unwrap_or(name);
        let mut parts = inner.splitn(4, '/');
        let (Some(_), Some(_), Some(area), Some(rest)) = (parts.next(), parts.next(), parts.next(), parts.next())
        else {
            return Named::Record;
        };
        match area {
            "documents" => Named::Document(&name[..name.len() - area.len() - rest.len() - 2]),
            "_mirror" if STATES.iter().any(|state| rest.starts_with(state)) => Named::State,
            _ => Named::Record,
        }
    }
}

impl Ride {
    /// As headers.
    pub(super) fn headers(&self) -> impl Iterator<Item = (HeaderName, Option<HeaderValue>)> {
        let text = |text: &str| HeaderValue::from_str(text).ok();
        let until = self.immutable.as_ref().map(|(until, _)| (UNTIL, text(&to_rfc7231(until))));
        let mode = self.immutable.as_ref().map(|(_, mode)| (MODE, text(mode_of(*mode).as_ref())));
        let hold = self.legal_hold.then(|| (HOLD, text("true")));
        let scope = self.scope.as_ref().map(|scope| (SCOPE, text(scope)));
        let tags = self.tags.as_ref().map(|tags| (TAGS, text(tags)));
        [until, mode, hold, scope, tags].into_iter().flatten()
    }

    /// As options of the SDK.
    pub(super) fn options(self) -> BlockBlobClientUploadOptions<'static> {
        let (until, mode) = self.immutable.unzip();
        BlockBlobClientUploadOptions {
            immutability_policy_expiry: until,
            immutability_policy_mode: mode.map(mode_of),
            legal_hold: self.legal_hold.then_some(true),
            encryption_scope: self.scope,
            blob_tags_string: self.tags,
            ..BlockBlobClientUploadOptions::default()
        }
    }
}

fn mode_of(mode: ImmutabilityMode) -> ImmutabilityPolicyMode {
    match mode {
        ImmutabilityMode::Unlocked => ImmutabilityPolicyMode::Unlocked,
        ImmutabilityMode::Locked => ImmutabilityPolicyMode::Locked,
    }
}

fn tags(op: &str, feed: Option<FeedMode>) -> String {
    let encoded = |text: &str| utf8_percent_encode(text, PLAIN).to_string();
    let op = format!("op={}", encoded(op));
    feed.map_or_else(|| op.clone(), |feed| format!("{op}&feed={}", encoded(feed.as_str())))
}

/// Whether a put is refused for what rides with it.
pub(super) fn is_refusal(code: &str) -> bool {
    REFUSALS.contains(&code) || code == REFUSAL_OF_CONTAINER || code.starts_with(REFUSALS_OF_SCOPES)
}

#[cfg(test)]
mod tests {
    use cosmirror_formats::{EpkRange, MirrorPaths, PartitionKey};

    use super::*;

    fn riders(prefix: &str) -> Riders {
        let mut riders = Riders::new(&Target {
            prefix: prefix.to_owned(),
            immutable_for: Duration::from_hours(48),
            legal_hold: true,
            encryption_scope: "shop".to_owned(),
            tags: true,
            feeds: [(MirrorPaths::new(prefix, "shop", "orders").base().to_owned(), FeedMode::LatestVersion)].into(),
            ..Target::default()
        });
        riders.set_clock(HostClock::new(|| "2026-01-31T08:00:00Z".parse().unwrap()));
        riders
    }

    fn headers(ride: &Ride) -> Vec<String> {
        ride.headers().map(|(name, value)| format!("{name}: {}", value.unwrap().to_str().unwrap())).collect()
    }

    const HELD: [&str; 3] = [
        "x-ms-immutability-policy-until-date: Mon, 02 Feb 2026 08:00:00 GMT",
        "x-ms-immutability-policy-mode: unlocked",
        "x-ms-legal-hold: true",
    ];

    #[test]
    fn what_nobody_may_erase_is_protected_and_what_the_next_one_replaces_is_not() {
        let op = BTreeMap::from([("op".to_owned(), "create".to_owned())]);
        for prefix in ["", "backup", "a/b/"] {
            let riders = riders(prefix);
            let paths = MirrorPaths::new(prefix, "shop", "orders");
            // A partition key that looks like the place of states makes no state.
            let documents = [("p", "a"), ("_mirror", "ranges"), ("_mirror/ranges/", "x"), ("jobs", "y")];
            for (key, id) in documents {
                let name = paths.document(&PartitionKey::from_json(&serde_json::json!([key])).unwrap(), id);
                let tags = "x-ms-tags: op=create&feed=latest-version";
                let expected = [&HELD[..], &["x-ms-encryption-scope: shop", tags]].concat();
                assert_eq!(headers(&riders.of(&name, &op)), expected, "{name}");
            }
            let range = EpkRange { min: String::new(), max: "FF".to_owned() };
            let kept = [
                paths.container_record(),
                paths.gap(1, &range),
                paths.dead_letter(&range, 1, "aa"),
                paths.restore("r"),
                paths.purge("d"),
            ];
            for name in kept {
                let expected = [&HELD[..], &["x-ms-encryption-scope: shop"]].concat();
                assert_eq!(headers(&riders.of(&name, &op)), expected, "{name}");
            }
            for name in [paths.range_state("l", &range), paths.current_job(), paths.job("j"), paths.last_rehearsal()] {
                assert_eq!(headers(&riders.of(&name, &op)), ["x-ms-encryption-scope: shop"], "{name}");
            }
        }
    }

    #[test]
    fn a_probe_is_protected_for_a_day_at_most() {
        let until = "x-ms-immutability-policy-until-date: Sun, 01 Feb 2026 08:00:00 GMT";
        let expected = [until, HELD[1], HELD[2], "x-ms-encryption-scope: shop", "x-ms-tags: op=probe"];
        assert_eq!(headers(&riders("").of_probe()), expected);
    }

    #[test]
    fn without_a_setting_nothing_rides() {
        let riders = Riders::new(&Target::default());
        assert_eq!(
            [riders.of("shop/orders/documents/p/a.json", &BTreeMap::new()), riders.of_probe()],
            [Ride::default(), Ride::default()]
        );
        assert_eq!(headers(&Ride::default()), [""; 0]);
        let failure = Failure::new(Kind::Unauthorized, "no").remedy("do");
        assert_eq!(riders.explained(failure).remedy, "do");
    }

    #[test]
    fn a_refusal_names_what_each_setting_takes() {
        let explained = riders("").explained(Failure::new(Kind::Misconfigured, "no").remedy("do"));
        let parts = ["do; ", "version-level immutability", "runAsSuperUser", "scope \"shop\"", "blobs/tags/write"];
        assert!(parts.iter().all(|part| explained.remedy.contains(part)), "{explained}");
        for code in ["EncryptionScopeNotFound", "RequestForbiddenByContainerEncryptionPolicy"] {
            let message = format!("storing blob \"a\": {code} (404)");
            let explained = riders("").explained(Failure::new(Kind::Misconfigured, message));
            assert!(explained.remedy.starts_with("target.encryption_scope takes a scope \"shop\""), "{explained}");
        }
        let refused = Failure::new(Kind::Refused, "the document is too large");
        assert_eq!(riders("").explained(refused).remedy, "");
    }

    #[test]
    fn the_last_version_that_was_stored_with_protection_is_remembered() {
        let riders = riders("");
        riders.stored("shop/orders/_mirror/container.json");
        assert_eq!(riders.last_protected(), None);
        riders.stored("shop/orders/documents/p/a.json");
        assert_eq!(riders.last_protected().as_deref(), Some("shop/orders/documents/p/a.json"));
    }
}
