//! Which accounts, and what may cost more than a few cents: all from the environment. No message holds a value of a secret.

use std::env;

use cosmirror::config::{Source, SourceAuth, Target, TargetAuth, resolve_secret};
use reqwest::Url;
use secrecy::SecretString;

/// The variables; `README.md` tells of each.
pub(crate) const COSMOS_ENDPOINT: &str = "COSMIRROR_LIVE_COSMOS_ENDPOINT";
pub(crate) const COSMOS_KEY: &str = "COSMIRROR_LIVE_COSMOS_KEY";
pub(crate) const BLOB_ENDPOINT: &str = "COSMIRROR_LIVE_BLOB_ENDPOINT";
pub(crate) const BLOB_KEY: &str = "COSMIRROR_LIVE_BLOB_KEY";
pub(crate) const IMMUTABLE: &str = "COSMIRROR_LIVE_BLOB_IMMUTABLE_CONTAINER";
pub(crate) const PLAIN_ENDPOINT: &str = "COSMIRROR_LIVE_PLAIN_ENDPOINT";
pub(crate) const PLAIN_KEY: &str = "COSMIRROR_LIVE_PLAIN_KEY";
pub(crate) const SPLIT: &str = "COSMIRROR_LIVE_SPLIT";
pub(crate) const KEEP: &str = "COSMIRROR_LIVE_KEEP";
pub(crate) const KEPT: &str = "COSMIRROR_LIVE_KEPT";
pub(crate) const IDENTITY: &str = "COSMIRROR_LIVE_IDENTITY";

/// Every variable.
#[cfg(test)]
pub(crate) const ALL: [&str; 11] = [
    COSMOS_ENDPOINT,
    COSMOS_KEY,
    BLOB_ENDPOINT,
    BLOB_KEY,
    IMMUTABLE,
    PLAIN_ENDPOINT,
    PLAIN_KEY,
    SPLIT,
    KEEP,
    KEPT,
    IDENTITY,
];

/// The accounts, and what else is allowed.
pub(crate) struct Settings {
    pub(crate) is_emulator: bool,
    pub(crate) source: Source,
    pub(crate) cosmos_key: SecretString,
    pub(crate) target: Target,
    pub(crate) blob_key: SecretString,
    /// A blob container with version-level immutability.
    pub(crate) immutable_container: Option<String>,
    /// An account without the feed of all versions.
    pub(crate) plain: Option<(Source, SecretString)>,
    /// A split may be bought.
    pub(crate) may_split: bool,
    /// The database stays, so that its positions grow old.
    pub(crate) keep: bool,
    /// A database that stayed.
    pub(crate) kept: Option<String>,
    /// How else to prove who we are.
    pub(crate) identity: Option<(SourceAuth, TargetAuth)>,
}

impl Settings {
    /// Reads them; the first fault is told.
    pub(crate) fn from_environment(is_emulator: bool) -> Result<Self, String> {
        let (endpoint, blob) = (required(COSMOS_ENDPOINT)?, required(BLOB_ENDPOINT)?);
        for (variable, endpoint) in [(COSMOS_ENDPOINT, &endpoint), (BLOB_ENDPOINT, &blob)] {
            check_endpoint(variable, endpoint, is_emulator)?;
        }
        let plain = optional(PLAIN_ENDPOINT).map(|endpoint| {
            check_endpoint(PLAIN_ENDPOINT, &endpoint, is_emulator)?;
            Ok::<_, String>((source(endpoint, PLAIN_KEY), resolve_secret(PLAIN_KEY, None)?))
        });
        Ok(Self {
            is_emulator,
            source: source(endpoint, COSMOS_KEY),
            cosmos_key: resolve_secret(COSMOS_KEY, None)?,
            target: Target {
                endpoint: blob,
                auth: TargetAuth::SharedKey,
                key_env: BLOB_KEY.to_owned(),
                ..Target::default()
            },
            blob_key: resolve_secret(BLOB_KEY, None)?,
            immutable_container: optional(IMMUTABLE),
            plain: plain.transpose()?,
            may_split: optional(SPLIT).is_some(),
            keep: optional(KEEP).is_some(),
            kept: optional(KEPT),
            identity: optional(IDENTITY).map(|name| identity(&name)).transpose()?,
        })
    }

    /// Both accounts without secrets.
    pub(crate) fn accounts(&self) -> String {
        if self.is_emulator {
            return "emulator".to_owned();
        }
        let host = |endpoint: &str| Url::parse(endpoint).ok().and_then(|url| url.host_str().map(str::to_owned));
        let hosts = [host(&self.source.endpoint), host(&self.target.endpoint)];
        hosts.map(Option::unwrap_or_default).join(" and ")
    }
}

fn source(endpoint: String, key: &str) -> Source {
    Source { endpoint, auth: SourceAuth::Key, key_env: key.to_owned(), ..Source::default() }
}

fn optional(variable: &str) -> Option<String> {
    env::var(variable).ok().map(|value| value.trim().to_owned()).filter(|value| !value.is_empty())
}

fn required(variable: &str) -> Result<String, String> {
    optional(variable).ok_or_else(|| format!("{variable} is not set; deploy/live-kit/README.md lists the variables"))
}

/// A key goes over plain http to this machine only, and control requests go to nobody else.
fn check_endpoint(variable: &str, endpoint: &str, is_emulator: bool) -> Result<(), String> {
    let url = Url::parse(endpoint).map_err(|error| format!("{variable} is no URL: {error}"))?;
    if url.query().is_some() || !url.username().is_empty() || url.password().is_some() {
        return Err(format!("{variable} holds more than a place: keys belong into variables of their own"));
    }
    let here = url.host_str().is_some_and(|host| matches!(host, "127.0.0.1" | "localhost" | "[::1]"));
    match (is_emulator, here, url.scheme()) {
        (true, true, "http") | (false, _, "https") => Ok(()),
        (true, ..) => Err(format!("{variable} is not an emulator on this machine, and --emulator was given")),
        (false, ..) => Err(format!("{variable} must begin with https://; for an emulator give --emulator")),
    }
}

fn identity(name: &str) -> Result<(SourceAuth, TargetAuth), String> {
    match name {
        "managed-identity" => Ok((SourceAuth::ManagedIdentity, TargetAuth::ManagedIdentity)),
        "workload-identity" => Ok((SourceAuth::WorkloadIdentity, TargetAuth::WorkloadIdentity)),
        "developer" => Ok((SourceAuth::Developer, TargetAuth::Developer)),
        _ => Err(format!("{IDENTITY} is none of managed-identity, workload-identity, developer")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_never_leaves_this_machine_unencrypted() {
        let check = |endpoint: &str, emulator: bool| check_endpoint("V", endpoint, emulator).is_ok();
        assert!(check("http://127.0.0.1:1/", true) && check("https://a.documents.azure.com:443/", false));
        for (endpoint, emulator) in [
            ("http://a.documents.azure.com/", false),
            ("http://127.0.0.1:1/", false),
            ("https://a.documents.azure.com/", true),
            ("http://10.0.0.1/", true),
            ("https://a.blob.core.windows.net/?sig=x", false),
            ("https://u:p@a.blob.core.windows.net/", false),
            ("mirror", false),
        ] {
            assert!(!check(endpoint, emulator), "{endpoint}");
        }
    }

    #[test]
    fn the_readme_lists_every_variable() {
        let readme = include_str!("../README.md");
        for variable in ALL {
            assert!(readme.contains(&format!("`{variable}`")), "README.md does not tell of {variable}");
        }
    }
}
