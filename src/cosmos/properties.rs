//! What the account says of itself: its regions and its consistency.
//!
//! The driver reads this for its own routing and does not hand it out, so a small request of our own asks for it, with the same
//! credential. "Get database account" is not in the reference of the REST API; every SDK begins with it.

use std::sync::Arc;
use std::time::Duration;

use azure_core::credentials::TokenCredential;
use azure_core::http::Url;
use azure_data_cosmos_driver::models::AccountReference;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, Mac as _};
use secrecy::{ExposeSecret as _, SecretString};
use serde::Deserialize;
use sha2::Sha256;

use super::Account;
use crate::failure::{Failure, Kind};
use crate::time;

/// What tokens are asked for, as the SDKs do.
const TOKEN_SCOPE: &str = "https://cosmos.azure.com/.default";
/// A version of the protocol that every account answers.
const PROTOCOL: &str = "2020-07-15";
const REQUEST_TIMEOUT: Duration = Duration::from_secs(10);
/// Longest answer that is read, in bytes; one has a few thousand.
const ANSWER_BYTES_MAX: usize = 1024 * 1024;

/// How requests prove who we are.
#[derive(Clone)]
pub(super) enum Proof {
    /// By the account's key.
    Key(SecretString),
    /// By a token of Microsoft Entra.
    Token(Arc<dyn TokenCredential>),
}

impl Proof {
    /// The account as the driver wants it.
    pub(super) fn reference(&self, endpoint: Url) -> AccountReference {
        match self {
            Self::Key(key) => AccountReference::with_account_key(endpoint, key.expose_secret().to_owned()),
            Self::Token(credential) => AccountReference::with_credential(endpoint, Arc::clone(credential)),
        }
    }

    /// The authorization of a read of the account itself. Source: "Access control on Azure Cosmos DB Resources" of the REST reference.
    async fn authorization(&self, date: &str) -> Result<String, String> {
        let text = match self {
            Self::Key(key) => {
                let key =
                    STANDARD.decode(key.expose_secret().trim()).map_err(|_| "the key is not base64".to_owned())?;
                let keyed = Hmac::<Sha256>::new_from_slice(&key).map_err(|_| "the key cannot sign".to_owned())?;
                let signed = format!("get\n\n\n{}\n\n", date.to_ascii_lowercase());
                let signature = STANDARD.encode(keyed.chain_update(signed).finalize().into_bytes());
                format!("type=master&ver=1.0&sig={signature}")
            }
            Self::Token(credential) => {
                let token = credential.get_token(&[TOKEN_SCOPE], None).await;
                let token =
                    token.map_err(|error| error.to_string().split_whitespace().collect::<Vec<_>>().join(" "))?;
                format!("type=aad&ver=1.0&sig={}", token.token.secret())
            }
        };
        Ok(encoded(&text))
    }
}

/// What the account says of itself.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct AccountProperties {
    /// The regions that take writes.
    #[serde(default)]
    pub writable_locations: Vec<Location>,
    /// The regions that can be read.
    #[serde(default)]
    pub readable_locations: Vec<Location>,
    /// Whether several regions take writes at the same time.
    #[serde(default)]
    pub enable_multiple_write_locations: bool,
    #[serde(default)]
    user_consistency_policy: Consistency,
}

/// One region of the account.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Location {
    /// Its name, such as `West Europe`.
    pub name: String,
}

#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Consistency {
    default_consistency_level: String,
}

impl AccountProperties {
    /// The account's consistency level, such as `Session`; empty where it is not told.
    pub fn consistency(&self) -> &str {
        &self.user_consistency_policy.default_consistency_level
    }
}

impl Account {
    /// Asks the account for what it says of itself.
    pub async fn properties(&self) -> Result<AccountProperties, Failure> {
        let what = format!("read the account at {}", self.endpoint);
        let date = time::now().strftime("%a, %d %b %Y %H:%M:%S GMT").to_string();
        let authorization = self.proof.authorization(&date).await.map_err(|why| {
            Failure::new(Kind::Unauthorized, format!("could not {what}: {why}"))
                .remedy("check source.auth and the key, or that the identity exists and is assigned to this host")
        })?;
        let unanswered = |error: reqwest::Error| {
            Failure::new(Kind::Transient, format!("could not {what}: {}", error.without_url()))
                .remedy("check that the endpoint is right and reachable")
        };
        let client = reqwest::Client::builder().timeout(REQUEST_TIMEOUT).redirect(reqwest::redirect::Policy::none());
        let request = client.build().map_err(unanswered)?.get(self.endpoint.as_str());
        let request = request.header("x-ms-date", &date).header("x-ms-version", PROTOCOL);
        let mut answer = request.header("authorization", authorization).send().await.map_err(unanswered)?;
        let status = answer.status().as_u16();
        if status != 200 {
            return Err(refused(&what, status));
        }
        let mut body = Vec::new();
        while let Some(chunk) = answer.chunk().await.map_err(unanswered)? {
            body.extend_from_slice(&chunk);
            if body.len() > ANSWER_BYTES_MAX {
                return Err(Failure::new(Kind::Internal, format!("could not {what}: its answer does not end")));
            }
        }
        serde_json::from_slice(&body).map_err(|_| {
            Failure::new(Kind::Misconfigured, format!("could not {what}: what answers there is no Cosmos DB account"))
                .remedy("set source.endpoint to the account's URI, such as https://NAME.documents.azure.com/")
        })
    }
}

fn refused(what: &str, status: u16) -> Failure {
    let message = format!("could not {what}: it answers {status}");
    match status {
        401 | 403 => Failure::new(Kind::Unauthorized, message).remedy(
            "check source.auth and the key or identity (data action Microsoft.DocumentDB/databaseAccounts/readMetadata), the \
             account's firewall and this host's clock",
        ),
        408 | 429 | 500.. => Failure::new(Kind::Transient, message).remedy("try again"),
        _ => Failure::new(Kind::Misconfigured, message)
            .remedy("set source.endpoint to the account's URI, such as https://NAME.documents.azure.com/"),
    }
}

/// The text as a header of this protocol wants it: whatever is not unreserved as `%XX`.
fn encoded(text: &str) -> String {
    text.bytes().fold(String::new(), |mut out, byte| {
        if byte.is_ascii_alphanumeric() || b"-_.~".contains(&byte) {
            out.push(char::from(byte));
        } else {
            out.push_str(&format!("%{byte:02X}"));
        }
        out
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn the_signature_of_a_read_of_the_account() {
        let proof = Proof::Key("a2V5".into());
        let signed = proof.authorization("Sat, 21 Nov 2026 13:00:00 GMT").await.unwrap();
        let mac = Hmac::<Sha256>::new_from_slice(b"key").unwrap();
        let mac = mac.chain_update("get\n\n\nsat, 21 nov 2026 13:00:00 gmt\n\n").finalize().into_bytes();
        assert_eq!(signed, format!("type%3Dmaster%26ver%3D1.0%26sig%3D{}", encoded(&STANDARD.encode(mac))));
        let no_key = Proof::Key("not base64!".into()).authorization("").await.unwrap_err();
        assert!(!no_key.contains("not base64!"), "{no_key}");
    }

    #[test]
    fn an_account_that_says_little_is_understood() {
        let account: AccountProperties = serde_json::from_str("{}").unwrap();
        assert!(!account.enable_multiple_write_locations && account.consistency().is_empty());
        let text = r#"{"writableLocations":[{"name":"West Europe","databaseAccountEndpoint":"https://x/"}],
            "enableMultipleWriteLocations":true,"userConsistencyPolicy":{"defaultConsistencyLevel":"Strong"}}"#;
        let account: AccountProperties = serde_json::from_str(text).unwrap();
        assert_eq!((account.consistency(), account.writable_locations[0].name.as_str()), ("Strong", "West Europe"));
    }
}
