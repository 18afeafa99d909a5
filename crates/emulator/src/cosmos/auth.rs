//! The signature of requests with the account's key.
//!
//! The signed text is `verb \n type \n link \n date \n \n`, verb and date in lower case; see "Access control on Azure
//! Cosmos DB resources" of the REST reference. A client that addresses resources by resource id signs only that id,
//! in lower case.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, Mac};
use http::request::Parts;
use percent_encoding::percent_decode_str;
use sha2::Sha256;

use super::errors::CosmosError;
use super::headers;
use super::route::Path;

/// The account's key, set up for signing: that is half the work of a short signature, and done once.
pub(crate) struct Key(Option<Hmac<Sha256>>);

impl Key {
    /// Decodes a key; the only one in use is a constant of this crate. One that is not base64 signs nothing.
    pub(crate) fn from_base64(key: &str) -> Self {
        Self(STANDARD.decode(key).ok().and_then(|key| Hmac::new_from_slice(&key).ok()))
    }

    /// Accepts a request signed with this key, else 401.
    pub(crate) fn verify(&self, parts: &Parts, path: &Path) -> Result<(), CosmosError> {
        let header = headers::text(parts, "authorization")
            .ok_or_else(|| CosmosError::unauthorized("Required header 'authorization' is missing."))?;
        let token = percent_decode_str(header).decode_utf8_lossy();
        let signature = signature(&token)?;
        let date = headers::text(parts, "x-ms-date")
            .or_else(|| headers::text(parts, "date"))
            .ok_or_else(|| CosmosError::unauthorized("Required header 'x-ms-date' is missing."))?;
        let (kind, link) = path.signed();
        let by_rid = || path.signed_rid().map(str::to_ascii_lowercase);
        let signs = |link: &str| self.signs(&signature, parts.method.as_str(), kind, link, date);
        if signs(&link) || by_rid().is_some_and(|link| signs(&link)) {
            return Ok(());
        }
        Err(CosmosError::unauthorized(
            "The input authorization token can't serve the request. The wrong key is being used or the expected payload \
             is not built as per the protocol.",
        ))
    }

    fn signs(&self, signature: &[u8], verb: &str, kind: &str, link: &str, date: &str) -> bool {
        let mut payload = String::with_capacity(verb.len() + kind.len() + link.len() + date.len() + 5);
        for part in [verb, kind, link, date, ""] {
            payload.push_str(part);
            payload.push('\n');
        }
        // Verb and date are signed in lower case, the link between them as it is.
        payload[..verb.len()].make_ascii_lowercase();
        let date_at = payload.len() - date.len() - 2;
        payload[date_at..].make_ascii_lowercase();
        self.0.clone().is_some_and(|mac| mac.chain_update(payload.as_bytes()).verify_slice(signature).is_ok())
    }
}

/// The decoded signature of a master-key token.
fn signature(token: &str) -> Result<Vec<u8>, CosmosError> {
    // The signature is base64 and may itself hold '='.
    let field = |name: &str| token.split('&').find_map(|pair| pair.strip_prefix(name)?.strip_prefix('='));
    match field("type") {
        Some("master") => {}
        Some(kind) => {
            return Err(CosmosError::unauthorized(format!(
                "Authorization of type {kind:?} is not implemented by this emulator; use the account key."
            )));
        }
        None => return Err(CosmosError::unauthorized("The authorization header has no type.")),
    }
    field("sig")
        .and_then(|sig| STANDARD.decode(sig).ok())
        .ok_or_else(|| CosmosError::unauthorized("The authorization header has no base64 signature."))
}
