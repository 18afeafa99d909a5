//! Which key a state is encrypted with: an encryption scope, or a key that the customer provides.
//!
//! Nothing is really encrypted. What is kept is what the service shows and enforces: the scope's name, and the
//! hash of the customer's key, without which the state is not read. A key itself is never kept.

use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;
use sha2::{Digest, Sha256};

use super::errors::{Error, Result};
use super::reply::Reply;
use super::request::Call;

/// The scope that stands for the account's own key.
pub(super) const ACCOUNT_SCOPE: &str = "$account-encryption-key";

/// Bytes of a customer's key.
const KEY_BYTES: usize = 32;

/// What a state is encrypted with; neither: the account's key.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Encryption {
    pub(super) scope: Option<String>,
    pub(super) key_sha256: Option<String>,
}

/// A container's rule for new states.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct ScopeRule {
    pub(super) scope: String,
    pub(super) deny_override: bool,
}

impl Default for ScopeRule {
    fn default() -> Self {
        Self { scope: ACCOUNT_SCOPE.to_owned(), deny_override: false }
    }
}

impl ScopeRule {
    /// Reads the headers of Create Container. The service wants both or none.
    pub(super) fn of(call: &Call<'_>) -> Result<Self> {
        const SCOPE: &str = "x-ms-default-encryption-scope";
        const DENY: &str = "x-ms-deny-encryption-scope-override";
        match (call.header(SCOPE)?, call.header(DENY)?) {
            (None, None) => Ok(Self::default()),
            (Some(scope), Some(_)) => Ok(Self { scope: scope.to_owned(), deny_override: call.flag(DENY)? }),
            (None, Some(_)) => Err(Error::MissingHeader { name: SCOPE }),
            (Some(_), None) => Err(Error::MissingHeader { name: DENY }),
        }
    }
}

impl Encryption {
    /// Reads what a request says.
    pub(super) fn of(call: &Call<'_>) -> Result<Self> {
        let key_sha256 = key(call, "x-ms-encryption-key", "x-ms-encryption-key-sha256", "x-ms-encryption-algorithm")?;
        let scope = call.header("x-ms-encryption-scope")?.map(str::to_owned);
        match (&scope, &key_sha256) {
            (Some(scope), Some(_)) => Err(Error::header("x-ms-encryption-scope", scope)),
            _ => Ok(Self { scope, key_sha256 }),
        }
    }

    /// Reads the key of a copy's source.
    pub(super) fn of_source(call: &Call<'_>) -> Result<Self> {
        let key_sha256 = key(
            call,
            "x-ms-source-encryption-key",
            "x-ms-source-encryption-key-sha256",
            "x-ms-source-encryption-algorithm",
        )?;
        Ok(Self { scope: None, key_sha256 })
    }

    /// What a new state in a container with this rule is encrypted with.
    pub(super) fn under(self, rule: &ScopeRule) -> Result<Self> {
        let overrides = self.key_sha256.is_some() || self.scope.as_ref().is_some_and(|scope| *scope != rule.scope);
        if overrides && rule.deny_override {
            return Err(Error::EncryptionPolicy);
        }
        let inherits = self == Self::default() && rule.scope != ACCOUNT_SCOPE;
        Ok(if inherits { Self { scope: Some(rule.scope.clone()), key_sha256: None } } else { self })
    }

    /// Judges access to a state with this encryption by a request that gives `given`.
    pub(super) fn open(&self, given: &Self) -> Result<()> {
        match (&self.key_sha256, &given.key_sha256) {
            (None, None) => Ok(()),
            (Some(own), Some(given)) if own == given => Ok(()),
            (Some(_), Some(_)) => Err(Error::KeyMismatch),
            (Some(_), None) => Err(Error::KeyMissing),
            (None, Some(_)) => Err(Error::KeyNotUsed),
        }
    }

    /// Writes the headers that reads and writes carry.
    pub(super) fn describe(&self, reply: &mut Reply) {
        reply.set_optional("x-ms-encryption-scope", self.scope.as_deref());
        reply.set_optional("x-ms-encryption-key-sha256", self.key_sha256.as_deref());
    }
}

/// Reads the three headers of a customer's key and returns its hash.
fn key(call: &Call<'_>, key: &'static str, hash: &'static str, algorithm: &'static str) -> Result<Option<String>> {
    let (given, sha256, name) = (call.header(key)?, call.header(hash)?, call.header(algorithm)?);
    if given.is_none() && sha256.is_none() && name.is_none() {
        return Ok(None);
    }
    let given = given.ok_or(Error::MissingHeader { name: key })?;
    let sha256 = sha256.ok_or(Error::MissingHeader { name: hash })?;
    let name = name.ok_or(Error::MissingHeader { name: algorithm })?;
    if name != "AES256" {
        return Err(Error::header(algorithm, name));
    }
    // The refusal does not repeat the key.
    let bytes = BASE64.decode(given).ok().filter(|bytes| bytes.len() == KEY_BYTES);
    let bytes = bytes.ok_or_else(|| Error::header(key, ""))?;
    if BASE64.encode(Sha256::digest(bytes)) != sha256 {
        return Err(Error::header(hash, sha256));
    }
    Ok(Some(sha256.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(headers: &[(&str, &str)]) -> Result<Encryption> {
        let mut request = http::Request::put("/devstoreaccount1/c/b");
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let parts = request.body(()).unwrap().into_parts().0;
        Encryption::of(&Call::parse(&parts).unwrap())
    }

    #[test]
    fn a_key_comes_with_its_hash_and_algorithm_and_excludes_a_scope() {
        let key = ("x-ms-encryption-key", &*BASE64.encode([7; KEY_BYTES]));
        let sha256 = BASE64.encode(Sha256::digest([7; KEY_BYTES]));
        let hash = ("x-ms-encryption-key-sha256", &*sha256);
        let algorithm = ("x-ms-encryption-algorithm", "AES256");
        assert_eq!(of(&[key, hash, algorithm]).unwrap().key_sha256.as_deref(), Some(&*sha256));
        assert!(matches!(of(&[key, hash]), Err(Error::MissingHeader { .. })));
        assert!(matches!(of(&[key, (hash.0, "AAAA"), algorithm]), Err(Error::InvalidHeader { .. })));
        assert!(matches!(of(&[(key.0, "AAAA"), hash, algorithm]), Err(Error::InvalidHeader { .. })));
        let scope = ("x-ms-encryption-scope", "s");
        assert!(matches!(of(&[key, hash, algorithm, scope]), Err(Error::InvalidHeader { .. })));
    }

    #[test]
    fn a_containers_scope_is_inherited_and_may_be_enforced() {
        let scope = |name: &str| Encryption { scope: Some(name.to_owned()), key_sha256: None };
        let mut rule = ScopeRule { scope: "mine".to_owned(), deny_override: false };
        assert_eq!(Encryption::default().under(&rule), Ok(scope("mine")));
        assert_eq!(scope("other").under(&rule), Ok(scope("other")));
        rule.deny_override = true;
        assert_eq!(scope("mine").under(&rule), Ok(scope("mine")));
        assert_eq!(scope("other").under(&rule), Err(Error::EncryptionPolicy));
        assert_eq!(Encryption::default().under(&ScopeRule::default()), Ok(Encryption::default()));
    }

    #[test]
    fn a_state_opens_with_its_own_key_only() {
        let with = |key: &str| Encryption { scope: None, key_sha256: Some(key.to_owned()) };
        let plain = Encryption::default();
        assert_eq!(with("a").open(&with("a")), Ok(()));
        assert_eq!(with("a").open(&with("b")), Err(Error::KeyMismatch));
        assert_eq!(with("a").open(&plain), Err(Error::KeyMissing));
        assert_eq!(plain.open(&with("a")), Err(Error::KeyNotUsed));
        assert_eq!(plain.open(&plain), Ok(()));
    }
}
