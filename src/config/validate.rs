//! What the types cannot say about settings. A pure function from a configuration to its faults, each with its field.
//!
//! It does not ask whether containers are configured at all: not every command needs one. Messages never repeat a value that
//! could hold a secret by mistake: an endpoint with a signature, a key where a variable's name belongs.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use reqwest::Url;

use super::duration::format_duration;
use super::size::format_size;
use super::sources::Fault;
use super::{
    Admin, Config, Container, FIRST_TARGET, FeedMode, FurtherTarget, History, ImmutabilityMode, Limits, SourceAuth,
    Start, Target, TargetAuth, TargetKind,
};
use crate::encryption::{self, RECIPIENTS_MAX};
use crate::pace::bytes::BYTES_IN_FLIGHT_MIN;

/// The service takes no shorter retention (Azure Storage: "Immutable storage for blob data").
const IMMUTABLE_FOR_MIN: Duration = Duration::from_hours(24);
const LEASE_DURATION_MIN: Duration = Duration::from_secs(1);
const POLL_INTERVAL_MIN: Duration = Duration::from_millis(10);
const REHEARSAL_INTERVAL_MIN: Duration = Duration::from_mins(1);
const HEARTBEAT_INTERVAL_MIN: Duration = Duration::from_secs(1);
/// Cosmos accepts ids of databases and containers up to this length.
const COSMOS_NAME_CHARS_MAX: usize = 255;
/// Each takes a connection; more would find a host's limits before the service's.
const REQUESTS_IN_FLIGHT_MAX: u32 = 4_096;
/// With the longest encoded names behind it, a blob's name stays under Azure's 1,024 characters.
const PREFIX_CHARS_MAX: usize = 200;
const TARGET_NAME_CHARS_MAX: usize = 40;

/// All faults, in the order of the settings.
pub(super) fn validate(config: &Config) -> Vec<Fault> {
    let mut faults = Faults(Vec::new());
    source(config, &mut faults);
    containers(&config.containers, &mut faults);
    leases(config, &mut faults);
    target("target", &config.target, &mut faults);
    targets(config, &mut faults);
    limits(&config.limits, &mut faults);
    rehearsal(config, &mut faults);
    admin(&config.admin, &mut faults);
    faults.0
}

/// One target, whose settings are at `at`.
fn target(at: &str, target: &Target, faults: &mut Faults) {
    match target.kind {
        TargetKind::Azure => azure_target(at, target, faults),
        TargetKind::Directory => directory(at, target, faults),
    }
    prefix(at, &target.prefix, faults);
    recipients(at, &target.recipients, faults);
}

fn targets(config: &Config, faults: &mut Faults) {
    let place = |target: &Target| {
        let prefix = target.prefix.trim_matches('/').to_owned();
        match target.kind {
            TargetKind::Azure => (Some((target.endpoint.clone(), target.container.clone())), None, prefix),
            TargetKind::Directory => (None, target.path.clone(), prefix),
        }
    };
    let first = FurtherTarget { name: FIRST_TARGET.to_owned(), required: true, target: config.target.clone() };
    let all: Vec<&FurtherTarget> = [&first].into_iter().chain(&config.targets).collect();
    for (at, further) in config.targets.iter().enumerate() {
        faults.check(format!("targets[{at}].name"), target_name(&further.name));
        target(&format!("targets[{at}]"), &further.target, faults);
        if further.required && further.target.recipients != config.target.recipients {
            let message = "must be those of target.recipients: a required target holds the same dead letters";
            faults.add(format!("targets[{at}].recipients"), message);
        }
        for earlier in &all[..=at] {
            if earlier.name == further.name {
                let message = format!("{:?} is the name of another target", further.name);
                faults.add(format!("targets[{at}].name"), message);
            }
            if place(&earlier.target) == place(&further.target) {
                let message = format!("is the same place as the target {:?}", earlier.name);
                faults.add(format!("targets[{at}]"), message);
            }
        }
    }
}

/// It is part of the names of leases, and a label of metrics.
fn target_name(name: &str) -> Result<(), String> {
    let legal = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-';
    if name.is_empty() || name.len() > TARGET_NAME_CHARS_MAX || !name.bytes().all(legal) {
        return Err(format!("must have 1 to {TARGET_NAME_CHARS_MAX} lower-case letters, digits and hyphens"));
    }
    Ok(())
}

fn directory(at: &str, target: &Target, faults: &mut Faults) {
    if target.path.as_ref().is_none_or(|path| path.as_os_str().is_empty()) {
        faults.add(format!("{at}.path"), "missing: kind = \"directory\" needs the directory's path");
    }
    if target.history == History::Snapshots {
        let message = "\"snapshots\" is for kind = \"azure\"; a directory keeps versions by itself";
        faults.add(format!("{at}.history"), message);
    }
    for (setting, _) in riders(target).into_iter().filter(|(_, is_on)| *is_on) {
        faults.add(format!("{at}.{setting}"), "is for kind = \"azure\": a directory has nothing of the kind");
    }
}

/// What can ride with every put, and whether it does.
fn riders(target: &Target) -> [(&'static str, bool); 4] {
    [
        ("immutable_for", !target.immutable_for.is_zero()),
        ("legal_hold", target.legal_hold),
        ("encryption_scope", !target.encryption_scope.is_empty()),
        ("tags", target.tags),
    ]
}

fn azure_riders(at: &str, target: &Target, faults: &mut Faults) {
    if !target.immutable_for.is_zero() {
        faults.at_least(&format!("{at}.immutable_for"), target.immutable_for, IMMUTABLE_FOR_MIN);
    } else if target.immutability_mode == ImmutabilityMode::Locked {
        faults.add(format!("{at}.immutability_mode"), "\"locked\" needs immutable_for");
    }
    if target.history == History::Snapshots {
        let reasons = [
            ("immutable_for", "needs history = \"versions\": policies protect versions, not snapshots"),
            ("legal_hold", "needs history = \"versions\": holds protect versions, not snapshots"),
            ("tags", "needs history = \"versions\": accounts with a hierarchical namespace have no index tags"),
        ];
        for (setting, reason) in reasons {
            if riders(target).contains(&(setting, true)) {
                faults.add(format!("{at}.{setting}"), reason);
            }
        }
    }
    if !target.encryption_scope.is_empty() {
        faults.check(format!("{at}.encryption_scope"), encryption_scope(&target.encryption_scope));
    }
}

struct Faults(Vec<Fault>);

impl Faults {
    fn add(&mut self, field: impl Into<String>, message: impl Into<String>) {
        self.0.push(Fault { field: field.into(), message: message.into() });
    }

    fn check(&mut self, field: impl Into<String>, result: Result<(), impl Into<String>>) {
        if let Err(message) = result {
            self.add(field, message);
        }
    }

    fn at_least(&mut self, field: &str, value: Duration, least: Duration) {
        if value < least {
            self.add(field, format!("must be at least {}", format_duration(least)));
        }
    }
}

fn source(config: &Config, faults: &mut Faults) {
    let source = &config.source;
    let plain = matches!(source.auth, SourceAuth::Emulator | SourceAuth::Key);
    let checked = endpoint(&source.endpoint, source.auth == SourceAuth::Emulator, plain).and_then(|url| {
        if url.path() == "/" {
            Ok(())
        } else {
            Err("must end with the host: an account's endpoint has no path".to_owned())
        }
    });
    faults.check("source.endpoint", checked);
    faults.check("source.key_env", variable(&source.key_env));
    faults.at_least("source.poll_interval", source.poll_interval, POLL_INTERVAL_MIN);
    faults.at_least("source.poll_interval_idle_max", source.poll_interval_idle_max, POLL_INTERVAL_MIN);
    if source.poll_interval_idle_max < source.poll_interval {
        let message = format!("must be at least source.poll_interval, {}", format_duration(source.poll_interval));
        faults.add("source.poll_interval_idle_max", message);
    }
}

fn containers(containers: &[Container], faults: &mut Faults) {
    for (at, container) in containers.iter().enumerate() {
        faults.check(format!("containers[{at}].database"), cosmos_name(&container.database));
        faults.check(format!("containers[{at}].container"), cosmos_name(&container.container));
        let same =
            |other: &Container| (&other.database, &other.container) == (&container.database, &container.container);
        if let Some(first) = containers[..at].iter().position(same) {
            let Container { database, container, .. } = container;
            faults.add(format!("containers[{at}]"), format!("{database}/{container} is already containers[{first}]"));
        }
        if matches!(container.start, Start::Instant(_)) && container.feed != FeedMode::LatestVersion {
            let message = "an instant needs feed = \"latest-version\"; with all versions and deletes use \"beginning\" or \"now\"";
            faults.add(format!("containers[{at}].start"), message);
        }
    }
}

fn leases(config: &Config, faults: &mut Faults) {
    let leases = &config.leases;
    faults.check("leases.database", cosmos_name(&leases.database));
    faults.check("leases.container", cosmos_name(&leases.container));
    // An Azure Function without a prefix has a processor without a name; its leases can be taken over too.
    if !leases.processor.is_empty() {
        faults.check("leases.processor", cosmos_name(&leases.processor));
    }
    let followed =
        |followed: &Container| (&followed.database, &followed.container) == (&leases.database, &leases.container);
    if let Some(at) = config.containers.iter().position(followed) {
        let message = format!("is followed as containers[{at}]; leases need a container of their own");
        faults.add("leases.container", message);
    }
    faults.at_least("leases.acquire_interval", leases.acquire_interval, LEASE_DURATION_MIN);
    faults.at_least("leases.renew_interval", leases.renew_interval, LEASE_DURATION_MIN);
    faults.at_least("leases.expiration", leases.expiration, LEASE_DURATION_MIN);
    if leases.expiration < leases.renew_interval.saturating_mul(2) {
        let least = format_duration(leases.renew_interval.saturating_mul(2));
        faults.add("leases.expiration", format!("must be at least twice leases.renew_interval, {least}"));
    }
}

fn azure_target(at: &str, target: &Target, faults: &mut Faults) {
    let emulator = target.auth == TargetAuth::Emulator;
    let plain = matches!(target.auth, TargetAuth::Emulator | TargetAuth::SharedKey | TargetAuth::Sas);
    let checked = endpoint(&target.endpoint, emulator, plain).and_then(|url| {
        let nameless = target.auth == TargetAuth::SharedKey && target.account.is_none() && account_of(&url).is_none();
        if nameless { Err(format!("does not tell the account's name: set {at}.account")) } else { Ok(()) }
    });
    faults.check(format!("{at}.endpoint"), checked);
    faults.check(format!("{at}.container"), blob_container_name(&target.container));
    if let Some(account) = &target.account {
        let legal =
            (3..=24).contains(&account.len()) && account.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit());
        if !legal {
            faults.add(format!("{at}.account"), "an account's name has 3 to 24 lower-case letters and digits");
        }
    }
    azure_riders(at, target, faults);
    faults.check(format!("{at}.key_env"), variable(&target.key_env));
    faults.check(format!("{at}.sas_env"), variable(&target.sas_env));
}

/// The account in `https://<account>.blob.…` or, where the host is an address, in the first segment of the path.
fn account_of(url: &Url) -> Option<&str> {
    let host = url.host_str()?;
    let first_segment = || url.path_segments()?.next().filter(|segment| !segment.is_empty());
    if is_address(host) || host == "localhost" {
        first_segment()
    } else {
        host.split_once('.').map(|(account, _)| account)
    }
}

pub(super) fn is_address(host: &str) -> bool {
    host.trim_matches(['[', ']']).parse::<IpAddr>().is_ok()
}

pub(super) fn is_loopback(host: &str) -> bool {
    host == "localhost" || host.trim_matches(['[', ']']).parse::<IpAddr>().is_ok_and(|address| address.is_loopback())
}

/// `plain` says that the credential may travel without TLS, to this very host at least.
fn endpoint(text: &str, emulator: bool, plain: bool) -> Result<Url, String> {
    let shape = "must be a URL such as \"https://name.documents.azure.com/\" or \"http://127.0.0.1:8081/\"";
    let url = Url::parse(text).map_err(|error| format!("{shape}: {error}"))?;
    let Some(host) = url.host_str().filter(|_| matches!(url.scheme(), "http" | "https")) else {
        return Err(shape.to_owned());
    };
    if !url.username().is_empty() || url.password().is_some() || url.query().is_some() || url.fragment().is_some() {
        return Err(
            "must not hold credentials, a query or a fragment; secrets come from a variable or a file".to_owned()
        );
    }
    if emulator && !is_loopback(host) {
        return Err(format!(
            "auth = \"emulator\" uses a published key, so it is for this machine only, not for {host}"
        ));
    }
    if url.scheme() == "http" && !(plain && is_loopback(host)) {
        return Err(if plain {
            format!("must begin with https://, because {host} is another machine")
        } else {
            "must begin with https://, because this auth sends tokens".to_owned()
        });
    }
    Ok(url)
}

/// Source of the rules: "Azure Cosmos DB service quotas" and the REST reference, which forbid `/ \ # ?` and a trailing space.
fn cosmos_name(name: &str) -> Result<(), String> {
    if name.is_empty() {
        return Err("must not be empty".to_owned());
    }
    if name.chars().count() > COSMOS_NAME_CHARS_MAX {
        return Err(format!("must have at most {COSMOS_NAME_CHARS_MAX} characters"));
    }
    let illegal = |c: char| matches!(c, '/' | '\\' | '#' | '?') || c.is_control();
    if name.contains(illegal) || name.ends_with(' ') {
        return Err("must not contain / \\ # ? or control characters, nor end with a space".to_owned());
    }
    Ok(())
}

/// Source: "Naming and referencing containers, blobs, and metadata" of the Azure Storage reference.
pub(super) fn blob_container_name(name: &str) -> Result<(), &'static str> {
    let inner = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-';
    let legal = (3..=63).contains(&name.len())
        && name.bytes().all(inner)
        && !name.starts_with('-')
        && !name.ends_with('-')
        && !name.contains("--");
    if legal { Ok(()) } else { Err("must have 3 to 63 lower-case letters, digits and single hyphens between them") }
}

/// Source: "Encryption Scopes - Put" of the Azure Storage resource provider's reference.
fn encryption_scope(name: &str) -> Result<(), &'static str> {
    let inner = |part: &str| !part.is_empty() && part.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit());
    if (3..=63).contains(&name.len()) && name.split('-').all(inner) {
        Ok(())
    } else {
        Err("must have 3 to 63 lower-case letters, digits and single hyphens between them")
    }
}

fn prefix(at: &str, prefix: &str, faults: &mut Faults) {
    faults.check(format!("{at}.prefix"), prefix_name(prefix));
}

pub(super) fn prefix_name(prefix: &str) -> Result<(), String> {
    let inner = prefix.trim_matches('/');
    let component = |part: &str| {
        let legal = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.');
        !part.is_empty() && part.bytes().all(legal) && !part.ends_with('.')
    };
    if prefix.len() > PREFIX_CHARS_MAX {
        return Err(format!("must have at most {PREFIX_CHARS_MAX} characters"));
    }
    if !inner.is_empty() && !inner.split('/').all(component) {
        let message = "must be names of letters, digits, - _ and . with single slashes between, none ending with a dot";
        return Err(message.to_owned());
    }
    Ok(())
}

fn recipients(at: &str, recipients: &[String], faults: &mut Faults) {
    for (index, text) in recipients.iter().enumerate() {
        let field = format!("{at}.recipients[{index}]");
        if let Some(first) = recipients[..index].iter().position(|other| other == text) {
            faults.add(field, format!("is already {at}.recipients[{first}]"));
        } else {
            faults.check(field, encryption::recipient(text).map(drop));
        }
    }
    if recipients.len() > RECIPIENTS_MAX {
        faults.add(format!("{at}.recipients"), format!("must be at most {RECIPIENTS_MAX} keys"));
    }
}

/// What is written and deleted there must be nobody's. A job rehearses there without an interval too.
fn rehearsal(config: &Config, faults: &mut Faults) {
    let rehearsal = &config.rehearsal;
    if !rehearsal.interval.is_zero() {
        faults.at_least("rehearsal.interval", rehearsal.interval, REHEARSAL_INTERVAL_MIN);
        if !config.target.recipients.is_empty() {
            let message = "the daemon cannot read encrypted content: rehearse by the command, with --identity";
            faults.add("rehearsal.interval", message);
        }
    } else if rehearsal.into.is_empty() {
        return;
    }
    let mut scratches: Vec<(String, String)> = Vec::new();
    for container in &config.containers {
        let scratch = rehearsal.scratch(&container.database, &container.container);
        let (database, name) = (&scratch.0, &scratch.1);
        let fault = cosmos_name(database).and_then(|()| cosmos_name(name)).err();
        let followed = config.containers.iter().any(|other| (&other.database, &other.container) == (database, name));
        let message = match fault {
            Some(_) if rehearsal.into.is_empty() => "missing: name a scratch container".to_owned(),
            Some(fault) => format!("must be DATABASE/CONTAINER; each name {fault}"),
            None if followed => format!("{database}/{name} is followed, and what is deleted there must be nobody's"),
            None if (&config.leases.database, &config.leases.container) == (database, name) => {
                format!("{database}/{name} holds the leases")
            }
            None if scratches.contains(&scratch) => {
                format!("{database}/{name} would be of several containers; put {{database}} and {{container}} into it")
            }
            None => {
                scratches.push(scratch);
                continue;
            }
        };
        return faults.add("rehearsal.into", message);
    }
}

/// That there is a token where one is needed is found out when the daemon starts: other commands need none.
fn admin(admin: &Admin, faults: &mut Faults) {
    if admin.listen.parse::<SocketAddr>().is_err() {
        let message = format!("{:?} is not an address and port such as \"127.0.0.1:9464\"", admin.listen);
        faults.add("admin.listen", message);
    }
    faults.check("admin.token_env", variable(&admin.token_env));
    faults.check("admin.heartbeat_url_env", variable(&admin.heartbeat_url_env));
    faults.at_least("admin.heartbeat_interval", admin.heartbeat_interval, HEARTBEAT_INTERVAL_MIN);
}

fn limits(limits: &Limits, faults: &mut Faults) {
    if limits.bytes_in_flight_max < BYTES_IN_FLIGHT_MIN {
        let least = format_size(BYTES_IN_FLIGHT_MIN);
        let message =
            format!("must be at least {least}: a page of the service has up to 4MiB, and twice that while it is read");
        faults.add("limits.bytes_in_flight_max", message);
    }
    if !(1..=REQUESTS_IN_FLIGHT_MAX).contains(&limits.requests_in_flight_max) {
        let message = format!("must be between 1 and {REQUESTS_IN_FLIGHT_MAX}");
        faults.add("limits.requests_in_flight_max", message);
    }
}

/// Whoever writes a key where its variable's name belongs must not find it in a log.
fn variable(name: &str) -> Result<(), &'static str> {
    let legal = |b: u8| b.is_ascii_alphanumeric() || b == b'_';
    let starts = name.bytes().next().is_some_and(|b| !b.is_ascii_digit());
    if starts && name.bytes().all(legal) {
        Ok(())
    } else {
        Err("must be the name of an environment variable: letters, digits and _")
    }
}
