//! How stored bytes are encrypted, in one line of text: in a version's metadata, a dead letter, a plan and an undo file.
//!
//! The bytes are a file of `age-encryption.org/v1`, in its binary form, to X25519 recipients; <https://age-encryption.org/v1> describes
//! it. Which keys open them is said by ids, so that it is known without a key which ones are needed.

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

use crate::version::{ENCRYPTED_FORMAT, sha256_hex};

/// What the text begins with.
const SCHEME: &str = "age:";
/// Digits of a key's id.
const ID_DIGITS: usize = 16;

/// Says that bytes are encrypted, and to whom.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Encryption {
    /// The [ids](key_id) of the public keys; each of their owners can open it. At least one.
    pub recipients: Vec<String>,
}

/// What stands for a public key `age1…`: the first 16 lower-case hexadecimal digits of its SHA-256.
pub fn key_id(recipient: &str) -> String {
    let mut id = sha256_hex(recipient.as_bytes());
    id.truncate(ID_DIGITS);
    id
}

impl Encryption {
    /// Makes a version's metadata that of its encrypted bytes, whose hash is `sha256`.
    pub fn mark(&self, metadata: &mut BTreeMap<String, String>, sha256: String) {
        metadata.insert("format".to_owned(), ENCRYPTED_FORMAT.to_owned());
        metadata.insert("encryption".to_owned(), self.to_string());
        metadata.insert("sha256".to_owned(), sha256);
    }
}

impl fmt::Display for Encryption {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{SCHEME}{}", self.recipients.join(","))
    }
}

impl FromStr for Encryption {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        let ids = text.strip_prefix(SCHEME).ok_or(())?;
        let is_id = |id: &str| !id.is_empty() && id.bytes().all(|byte| byte.is_ascii_hexdigit());
        let recipients: Vec<String> = ids.split(',').map(str::to_owned).collect();
        if recipients.iter().all(|id| is_id(id)) { Ok(Self { recipients }) } else { Err(()) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_text_reads_back() {
        let encryption = Encryption { recipients: vec![key_id("age1a"), key_id("age1b")] };
        assert_eq!(encryption.to_string().parse(), Ok(encryption));
        for wrong in ["", "age:", "age:xyz", "age:00,,11", "gpg:00", "00"] {
            assert_eq!(wrong.parse::<Encryption>(), Err(()), "{wrong}");
        }
    }

    #[test]
    fn the_id_of_a_key_is_the_beginning_of_its_hash() {
        // `printf age1test | sha256sum`
        assert_eq!(key_id("age1test"), sha256_hex(b"age1test")[..16]);
        assert_eq!(key_id("age1test").len(), 16);
    }
}
