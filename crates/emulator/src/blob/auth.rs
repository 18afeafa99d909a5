//! Who may do what: shared key, account and service shared access signatures.
//!
//! Each request is judged alone and before its parameters are looked at. The age of a signed request is not
//! checked, because the service's clock may be shifted on purpose; the times in a shared access signature are.

mod sas;
mod shared_key;

use hmac::{Hmac, Mac};
use jiff::Timestamp;
use sha2::Sha256;

use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;

use super::context::Context;
use super::errors::{Error, Result};
use super::request::Call;
use super::route::Operation;
use super::store::Store;

/// The account's key, set up for signing: that is a good part of the work of a signature, and done once.
#[derive(Clone)]
pub(super) struct AccountKey(Hmac<Sha256>);

impl AccountKey {
    /// Reads a key in base64.
    pub(super) fn from_base64(text: &str) -> Option<Self> {
        Hmac::new_from_slice(&BASE64.decode(text).ok()?).ok().map(Self)
    }

    fn mac(&self, text: &str) -> Hmac<Sha256> {
        self.0.clone().chain_update(text.as_bytes())
    }

    /// Whether `signature` (base64) is the HMAC-SHA256 of `text`, compared in constant time.
    fn verifies(&self, text: &str, signature: &str) -> bool {
        BASE64.decode(signature).is_ok_and(|signature| self.mac(text).verify_slice(&signature).is_ok())
    }
}

/// What the caller was found to be allowed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Access {
    /// Whether a blob that exists may be overwritten. A signature that grants only `c` may not.
    pub(super) overwrite: bool,
    /// Whether the caller has the account's key, and so may read any source of a copy.
    pub(super) owner: bool,
}

/// Judges a request.
pub(super) fn authorize(
    call: &Call<'_>,
    operation: &Result<Operation>,
    key: &AccountKey,
    store: &Store,
    now: Timestamp,
) -> Result<Access> {
    if let Some(value) = call.header("authorization")? {
        let (scheme, credential) = value.split_once(' ').unwrap_or((value, ""));
        return match scheme {
            "SharedKey" => shared_key::verify(call, credential, key),
            "SharedKeyLite" => Err(Error::AuthenticationFailed {
                detail: "The emulator knows SharedKey, not SharedKeyLite.".to_owned(),
            }),
            "Bearer" => Err(Error::InvalidAuthenticationInfo {
                reason: "the emulator knows no tokens; use the shared key or a shared access signature".to_owned(),
            }),
            _ => Err(Error::InvalidAuthenticationInfo { reason: "unknown authorization scheme".to_owned() }),
        };
    }
    if call.query.get("sig").is_some() {
        return sas::verify(call, operation, key, store, now);
    }
    Err(Error::NoAuthenticationInformation)
}

/// Judges the read of a copy's source, whose URL is all there is: by its signature, or, where the caller's own
/// credential counts (`by_caller`), by the account's key.
pub(super) fn authorize_source(
    source: &Call<'_>,
    key: &AccountKey,
    store: &Store,
    context: &Context,
    by_caller: bool,
) -> Result<()> {
    if source.query.get("sig").is_some() {
        return sas::verify(source, &Ok(Operation::GetBlob), key, store, context.now).map(|_| ());
    }
    if context.access.owner && by_caller { Ok(()) } else { Err(Error::NoAuthenticationInformation) }
}
