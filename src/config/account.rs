//! Another account than the configured one: the one that documents are restored into.

use reqwest::Url;

use super::validate::{is_loopback, validate};
use super::{Config, ConfigError, Source, SourceAuth};

/// The flag that names it.
const FLAG: &str = "--account";

impl Config {
    /// The account at `endpoint`, with the settings of the configured one. Where nobody said how to prove who we are (`auth_is_said`), that is
    /// the emulator's public key on this machine, and elsewhere the person who types, signed in by the tools of a developer.
    ///
    /// # Errors
    ///
    /// Where it is no account's endpoint, or the proof does not go with it. The message repeats nothing of it.
    pub fn account(&self, endpoint: &str, auth_is_said: bool) -> Result<Source, ConfigError> {
        let mut source = Source { endpoint: endpoint.to_owned(), ..self.source.clone() };
        let url = endpoint.parse::<Url>().ok();
        let loopback = url.as_ref().and_then(Url::host_str).is_some_and(is_loopback);
        if !auth_is_said {
            source.auth = if loopback { SourceAuth::Emulator } else { SourceAuth::Developer };
        }
        let mut faults = validate(&Self { source: source.clone(), ..Self::default() });
        faults.retain(|fault| fault.field.starts_with("source."));
        for fault in &mut faults {
            if fault.field == "source.endpoint" {
                FLAG.clone_into(&mut fault.field);
            }
        }
        if faults.is_empty() { Ok(source) } else { Err(ConfigError { faults }) }
    }
}

/// Whether two endpoints are of one account: an account's name is its host. Accounts answer at 443 of a name of their own; only emulators on
/// one machine differ by their ports.
pub fn same_account(one: &str, other: &str) -> bool {
    one == other || account_host(one) == account_host(other)
}

/// What names an account: its endpoint's host, and the port where it is none of the scheme's.
pub fn account_host(endpoint: &str) -> String {
    let Ok(url) = endpoint.parse::<Url>() else { return endpoint.to_owned() };
    let host = url.host_str().unwrap_or_default().to_owned();
    match url.port() {
        Some(port) if url.scheme() == "http" => format!("{host}:{port}"),
        _ => host,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_account_has_the_proof_that_was_named_or_the_usual_one() {
        let config = Config::default();
        let auth = |endpoint: &str, said| config.account(endpoint, said).map(|source| source.auth);
        assert_eq!(auth("https://new.documents.azure.com:443/", false).unwrap(), SourceAuth::Developer);
        assert_eq!(auth("http://127.0.0.1:8081/", false).unwrap(), SourceAuth::Emulator);
        let refused = auth("https://new.documents.azure.com/", true).unwrap_err().to_string();
        assert!(refused.starts_with("--account: auth = \"emulator\""), "{refused}");
        for wrong in ["", "new", "http://new.documents.azure.com/", "https://a/?key=SECRET", "https://u:SECRET@a/"] {
            let refused = auth(wrong, false).unwrap_err().to_string();
            assert!(refused.starts_with("--account: ") && !refused.contains("SECRET"), "{refused}");
        }
    }

    #[test]
    fn an_account_is_told_by_its_host() {
        assert!(same_account("https://a.documents.azure.com:443/", "https://A.documents.azure.com"));
        assert!(!same_account("https://a.documents.azure.com/", "https://b.documents.azure.com/"));
        assert!(!same_account("http://127.0.0.1:8081/", "http://127.0.0.1:8082/"));
        assert!(same_account("not a url", "not a url"));
    }
}
