//! How to prove who we are to Azure Storage, with the secrets found.

use std::fmt;
use std::sync::Arc;

use azure_core::credentials::TokenCredential;
use azure_core::http::Url;
use azure_identity::{DeveloperToolsCredential, WorkloadIdentityCredential};
use secrecy::SecretString;

use super::{client, errors};
use crate::config::{Target, TargetAuth, resolve_secret};
use crate::failure::{Failure, Kind};
use crate::identity::managed_identity;

/// Account and key of Azurite and of the embedded emulator; public, and good for loopback addresses only.
const EMULATOR_ACCOUNT: &str = "devstoreaccount1";
const EMULATOR_KEY: &str = "Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw==";

/// Proof of identity.
#[derive(Clone)]
pub enum AzureAuth {
    /// Requests are signed with the account's key.
    SharedKey {
        /// The account's name.
        account: String,
        /// Its key in base64.
        key: SecretString,
    },
    /// A shared access signature is added to the URL, without `?`.
    Sas(SecretString),
    /// Requests carry a token of Microsoft Entra.
    Token(Arc<dyn TokenCredential>),
}

impl fmt::Debug for AzureAuth {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::SharedKey { .. } => "SharedKey",
            Self::Sas(_) => "Sas",
            Self::Token(_) => "Token",
        })
    }
}

impl AzureAuth {
    /// What `target.auth` asks for, with its secrets read.
    ///
    /// # Errors
    ///
    /// `Kind::Misconfigured` where a secret is missing or does not go with the endpoint.
    pub fn resolve(target: &Target) -> Result<Self, Failure> {
        match target.auth {
            TargetAuth::Emulator => emulator(target),
            TargetAuth::SharedKey => Ok(Self::SharedKey {
                account: account(target)?,
                key: resolve_secret(&target.key_env, target.key_file.as_deref()).map_err(|fault| {
                    missing("key", "target.key_file or the variable named by target.key_env", fault)
                })?,
            }),
            TargetAuth::Sas => {
                Ok(Self::Sas(resolve_secret(&target.sas_env, target.sas_file.as_deref()).map_err(|fault| {
                    missing("SAS token", "target.sas_file or the variable named by target.sas_env", fault)
                })?))
            }
            TargetAuth::ManagedIdentity => token(managed_identity()),
            TargetAuth::WorkloadIdentity => token(WorkloadIdentityCredential::new(None)),
            TargetAuth::Developer => token(DeveloperToolsCredential::new(None)),
        }
    }
}

fn missing(what: &str, places: &str, fault: String) -> Failure {
    Failure::new(Kind::Misconfigured, format!("no {what} for the target: {fault}")).remedy(format!("set {places}"))
}

fn token<T: TokenCredential + 'static>(made: azure_core::Result<Arc<T>>) -> Result<AzureAuth, Failure> {
    match made {
        Ok(credential) => Ok(AzureAuth::Token(credential)),
        Err(error) => Err(Failure::new(
            Kind::Misconfigured,
            format!("no credential for the target: {}", errors::on_one_line(&error)),
        )
        .remedy("check target.auth and the identity's environment variables")),
    }
}

fn emulator(target: &Target) -> Result<AzureAuth, Failure> {
    let endpoint = client::endpoint(target)?;
    if !is_loopback(&endpoint) {
        return Err(Failure::new(
            Kind::Misconfigured,
            "target.auth = \"emulator\" uses a public key, and target.endpoint is not on this machine",
        )
        .remedy("use shared-key, sas, managed-identity or workload-identity for a real account"));
    }
    Ok(AzureAuth::SharedKey { account: EMULATOR_ACCOUNT.to_owned(), key: EMULATOR_KEY.into() })
}

fn is_loopback(endpoint: &Url) -> bool {
    let host = endpoint.host_str().unwrap_or_default();
    let address: Option<std::net::IpAddr> = host.trim_matches(['[', ']']).parse().ok();
    host.eq_ignore_ascii_case("localhost") || address.is_some_and(|address| address.is_loopback())
}

/// The configured account, or the one the endpoint tells: the path's first segment where the host is an address or
/// `localhost`, else the host's first label.
fn account(target: &Target) -> Result<String, Failure> {
    if let Some(account) = target.account.as_deref().filter(|account| !account.is_empty()) {
        return Ok(account.to_owned());
    }
    let endpoint = client::endpoint(target)?;
    let in_path =
        endpoint.path_segments().and_then(|mut segments| segments.next()).filter(|segment| !segment.is_empty());
    let in_host = endpoint.domain().and_then(|host| host.split_once('.')).map(|(label, _)| label);
    in_path.or(in_host).map(str::to_owned).ok_or_else(|| {
        Failure::new(Kind::Misconfigured, "target.endpoint does not tell the account's name")
            .remedy("set target.account")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn target(endpoint: &str, auth: TargetAuth) -> Target {
        Target { endpoint: endpoint.to_owned(), auth, ..Target::default() }
    }

    #[test]
    fn the_emulators_public_key_goes_to_this_machine_only() {
        for endpoint in ["http://127.0.0.1:10000/devstoreaccount1", "http://localhost:1/d", "http://[::1]:1/d"] {
            assert!(AzureAuth::resolve(&target(endpoint, TargetAuth::Emulator)).is_ok(), "{endpoint}");
        }
        for endpoint in
            ["http://10.0.0.1/devstoreaccount1", "https://localhost.example.com/", "https://x.blob.core.windows.net"]
        {
            let failure = AzureAuth::resolve(&target(endpoint, TargetAuth::Emulator)).unwrap_err();
            assert!(failure.kind == Kind::Misconfigured && failure.remedy.contains("shared-key"), "{failure:?}");
        }
    }

    #[test]
    fn the_account_is_told_by_the_setting_the_path_or_the_host() {
        let of = |endpoint: &str| account(&target(endpoint, TargetAuth::SharedKey)).ok();
        assert_eq!(of("https://shop.blob.core.windows.net/").as_deref(), Some("shop"));
        assert_eq!(of("http://127.0.0.1:10000/devstoreaccount1").as_deref(), Some("devstoreaccount1"));
        assert_eq!(of("http://127.0.0.1:10000/"), None);
        let set =
            Target { account: Some("named".to_owned()), ..target("https://cdn.example.com", TargetAuth::SharedKey) };
        assert_eq!(account(&set).unwrap(), "named");
    }

    #[test]
    fn secrets_do_not_show_in_debug_output() {
        let auths = [
            AzureAuth::SharedKey { account: "a".to_owned(), key: "c2VjcmV0".into() },
            AzureAuth::Sas("sig=c2VjcmV0".into()),
        ];
        assert!(!format!("{auths:?}").contains("c2VjcmV0"));
    }
}
