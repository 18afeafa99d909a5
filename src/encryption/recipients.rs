//! The public keys that content is encrypted to.

use std::collections::BTreeMap;
use std::io::Write as _;
use std::sync::Arc;

use age::x25519::Recipient;
use bytes::Bytes;
use cosmirror_formats::Encryption;
use cosmirror_formats::encryption::key_id;

use crate::failure::{Failure, Kind};
use crate::sha256::sha256_hex;

/// Recipients at most: each costs time and a hundred bytes in every version.
pub const RECIPIENTS_MAX: usize = 16;
/// What a header takes, about: first for the file, then for each recipient.
const HEADER_BYTES: usize = 200;
/// Content is encrypted in chunks of 64 KiB, each with 16 bytes that prove it.
const CHUNK_BYTES: usize = 64 * 1024;
const TAG_BYTES: usize = 16;

/// One or more public keys; the owner of any opens what is encrypted to them. Clones share them.
#[derive(Clone)]
pub struct Recipients {
    keys: Arc<[Recipient]>,
    encryption: Encryption,
}

impl std::fmt::Debug for Recipients {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Recipients").field(&self.encryption.recipients).finish()
    }
}

/// Reads a public key. What is wrong is told without repeating the text, which may be a secret key by mistake.
pub fn recipient(text: &str) -> Result<Recipient, &'static str> {
    let upper = text.trim().to_ascii_uppercase();
    if upper.starts_with("AGE-SECRET-KEY-") || upper.starts_with("AGE-PLUGIN-") {
        return Err(
            "is an identity, which is secret and does not belong here: name its public key, the line `# public key: age1…` of the identity's file or what `age-keygen -y FILE` prints. Whoever has read this setting can open what is encrypted to that key, so consider a new one",
        );
    }
    if text.starts_with("ssh-") {
        return Err("is an SSH key: only age's own keys are taken, age1…, which `age-keygen` makes");
    }
    if text.starts_with("age1pq1") || text.starts_with("age1tag1") || text.starts_with("age1tagpq1") {
        return Err("is not of age's X25519 keys: take age1… with 62 characters, which `age-keygen` makes");
    }
    text.parse::<Recipient>().map_err(|_| {
        "is not a public key of age: age1 and 58 more letters and digits, which `age-keygen` prints; keys of plugins are not taken"
    })
}

impl Recipients {
    /// Those that a configuration names; none where it names none.
    pub fn configured(texts: &[String]) -> Result<Option<Self>, Failure> {
        let keys = texts.iter().enumerate().map(|(at, text)| {
            recipient(text).map_err(|why| Failure::new(Kind::Misconfigured, format!("target.recipients[{at}] {why}")))
        });
        Ok(Self::new(keys.collect::<Result<Vec<_>, _>>()?))
    }

    /// These; none where there is none.
    pub(super) fn new(keys: Vec<Recipient>) -> Option<Self> {
        let ids: Vec<String> = keys.iter().map(|key| key_id(&key.to_string())).collect();
        (!keys.is_empty()).then(|| Self { keys: keys.into(), encryption: Encryption { recipients: ids } })
    }

    /// What is said of bytes that are encrypted to them.
    pub fn encryption(&self) -> &Encryption {
        &self.encryption
    }

    /// Encrypts bytes, with a key that nothing else is encrypted with.
    pub fn encrypt(&self, bytes: &[u8]) -> Result<Bytes, Failure> {
        let chunks = bytes.len() / CHUNK_BYTES + 1;
        let capacity = bytes.len() + (self.keys.len() + 1) * HEADER_BYTES + chunks * TAG_BYTES;
        let mut ciphertext = Vec::with_capacity(capacity);
        let written = age::Encryptor::with_recipients(self.keys.iter().map(|key| key as _))
            .map_err(|error| Failure::new(Kind::Internal, format!("encrypting: {error}")))?
            .wrap_output(&mut ciphertext)
            .and_then(|mut writer| writer.write_all(bytes).and_then(|()| writer.finish().map(drop)));
        written.map_err(|error| Failure::new(Kind::Internal, format!("encrypting: {error}")))?;
        Ok(Bytes::from(ciphertext))
    }

    /// A version's bytes, encrypted, with its metadata made to say so.
    pub fn encrypt_version(&self, bytes: &[u8], metadata: &mut BTreeMap<String, String>) -> Result<Bytes, Failure> {
        let ciphertext = self.encrypt(bytes)?;
        self.encryption.mark(metadata, sha256_hex(&ciphertext));
        Ok(ciphertext)
    }
}
