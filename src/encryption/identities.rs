//! The secret keys that open what was encrypted, from the files that a person names.
//!
//! A file is what `age-keygen` writes: a line `AGE-SECRET-KEY-1…` for each key, empty lines and lines that begin with `#`. Keys are
//! wiped from memory when they are dropped, and neither a message nor `Debug` shows one.

use std::collections::BTreeSet;
use std::fs::File;
use std::io::Read as _;
use std::path::Path;
use std::sync::Arc;

use age::x25519::Identity;
use age::{DecryptError, Decryptor};
use bytes::Bytes;
use cosmirror_formats::Encryption;
use cosmirror_formats::encryption::key_id;
use secrecy::{ExposeSecret as _, SecretString};

use super::Recipients;
use crate::failure::{Failure, Kind};

/// Longest file of identities, in bytes; a key has 74.
const FILE_BYTES_MAX: usize = 64 * 1024;

/// Any number of secret keys, none included. Clones share them.
#[derive(Clone, Default)]
pub struct Identities(Arc<Vec<Key>>);

struct Key {
    /// What stands for its public key.
    id: String,
    identity: Identity,
}

impl std::fmt::Debug for Identities {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Identities").field(&self.ids()).finish()
    }
}

impl Identities {
    /// The keys in all of these files.
    pub fn of_files<P: AsRef<Path>>(files: &[P]) -> Result<Self, Failure> {
        let mut keys = Vec::new();
        for file in files {
            let file = file.as_ref();
            let text = read(file)?;
            keys.extend(parse(text.expose_secret()).map_err(|fault| {
                Failure::new(Kind::Misconfigured, format!("the identity file {}: {}", file.display(), fault.what))
                    .remedy(fault.remedy)
            })?);
        }
        Ok(Self(Arc::new(keys)))
    }

    /// Their public keys; none where there is no key.
    pub fn recipients(&self) -> Option<Recipients> {
        Recipients::new(self.0.iter().map(|key| key.identity.to_public()).collect())
    }

    fn ids(&self) -> Vec<&str> {
        self.0.iter().map(|key| key.id.as_str()).collect()
    }

    /// That everything which is encrypted in these ways can be opened, without trying it. `what` is all of it, as the beginning of a
    /// sentence.
    pub fn require<'a>(&self, what: &str, all: impl IntoIterator<Item = &'a Encryption>) -> Result<(), Failure> {
        let own: BTreeSet<&str> = self.ids().into_iter().collect();
        let closed = |encryption: &&Encryption| encryption.recipients.iter().all(|id| !own.contains(id.as_str()));
        all.into_iter().find(closed).map_or(Ok(()), |encryption| Err(self.missing(what, encryption)))
    }

    /// Opens what is encrypted so. `what` is the beginning of a sentence about it.
    pub fn open(&self, what: &str, encryption: &Encryption, ciphertext: &[u8]) -> Result<Bytes, Failure> {
        if self.0.is_empty() {
            return Err(self.missing(what, encryption));
        }
        let broken = |why: &dyn std::fmt::Display| {
            Failure::new(Kind::Integrity, format!("{what} is encrypted and cannot be opened: {why}"))
                .remedy("the bytes were damaged or altered; nothing was written from them")
        };
        let decryptor = Decryptor::new_buffered(ciphertext).map_err(|error| broken(&error))?;
        let opened = decryptor.decrypt(self.0.iter().map(|key| &key.identity as &dyn age::Identity));
        let mut reader = opened.map_err(|error| match error {
            DecryptError::NoMatchingKeys => self.missing(what, encryption),
            error => broken(&error),
        })?;
        // Never longer than what it is made of.
        let mut bytes = Vec::with_capacity(ciphertext.len());
        reader.read_to_end(&mut bytes).map_err(|error| broken(&error))?;
        Ok(Bytes::from(bytes))
    }

    fn missing(&self, what: &str, encryption: &Encryption) -> Failure {
        let needed = encryption.recipients.join(" or ");
        let message = if self.0.is_empty() {
            format!("{what} is encrypted to the key {needed}, and no identity was given")
        } else {
            format!("{what} is encrypted to the key {needed}, and the identities given are {}", self.ids().join(", "))
        };
        Failure::new(Kind::Unauthorized, message).remedy(
            "name the file of an identity that opens it with --identity FILE, which may be repeated, or with COSMIRROR_IDENTITY",
        )
    }
}

/// Reads a file, which may also be a pipe.
fn read(path: &Path) -> Result<SecretString, Failure> {
    let failed = |why: &dyn std::fmt::Display| {
        Failure::new(Kind::Misconfigured, format!("cannot read the identity file {}: {why}", path.display()))
            .remedy("name a file as `age-keygen -o FILE` makes it, which you may read")
    };
    let file = File::open(path).map_err(|error| failed(&error))?;
    warn_of_readers(path, &file);
    let mut bytes = Vec::with_capacity(FILE_BYTES_MAX + 1);
    let read = file.take(FILE_BYTES_MAX as u64 + 1).read_to_end(&mut bytes);
    read.map_err(|error| failed(&error))?;
    if bytes.len() > FILE_BYTES_MAX {
        return Err(failed(&format!("it has more than {FILE_BYTES_MAX} bytes")));
    }
    // The bytes go on as the secret's own, which wipes them.
    let text = String::from_utf8(bytes).map_err(|_| failed(&"it is not UTF-8"))?;
    Ok(SecretString::from(text))
}

/// A secret that others may read is worth a word, but no reason to refuse what may be an urgent restore.
fn warn_of_readers(path: &Path, file: &File) {
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt as _;
        const OTHERS_MAY_READ: u32 = 0o044;
        let Ok(metadata) = file.metadata() else { return };
        let mode = metadata.permissions().mode() & 0o777;
        if metadata.is_file() && mode & OTHERS_MAY_READ != 0 {
            tracing::warn!(path = %path.display(), mode = format!("{mode:03o}"), "others may read the identity file: chmod 600");
        }
    }
    #[cfg(not(unix))]
    let _ = (path, file);
}

struct Fault {
    what: String,
    remedy: &'static str,
}

/// The keys in a file's text. A fault names the line, never what stands there.
fn parse(text: &str) -> Result<Vec<Key>, Fault> {
    const HOW: &str = "name a file as `age-keygen -o FILE` makes it";
    let mut keys = Vec::new();
    for (line, number) in text.lines().map(str::trim).zip(1..) {
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        let fault = |what: String, remedy| Err(Fault { what, remedy });
        if line.starts_with("age-encryption.org/") || line.starts_with("-----BEGIN AGE ENCRYPTED FILE-----") {
            return fault(
                "it is protected by a passphrase or another key".to_owned(),
                "open it first, without leaving it on a disk: --identity <(age --decrypt FILE)",
            );
        }
        if line.starts_with("-----BEGIN ") || line.starts_with("ssh-") {
            return fault(format!("line {number} is of an SSH or PEM key, and only age's own are taken"), HOW);
        }
        if line.starts_with("AGE-PLUGIN-") {
            let what = format!("line {number} is the identity of a plugin, such as a hardware token, and none is run");
            return fault(what, "name the file of a recipient without a plugin");
        }
        if line.starts_with("age1") {
            let what = format!("line {number} is a public key, which opens nothing");
            return fault(what, "name the file with the line AGE-SECRET-KEY-1… that belongs to it");
        }
        let Ok(identity) = line.parse::<Identity>() else {
            return fault(format!("line {number} is not an identity of age"), HOW);
        };
        keys.push(Key { id: key_id(&identity.to_public().to_string()), identity });
    }
    if keys.is_empty() {
        return Err(Fault { what: "it holds no identity".to_owned(), remedy: HOW });
    }
    Ok(keys)
}
