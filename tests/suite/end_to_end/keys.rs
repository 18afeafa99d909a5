//! Keys of age, made and used without any code of the product.

use std::fs::OpenOptions;
use std::io::Write as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;

use age::secrecy::ExposeSecret as _;

/// A key and the file that holds it.
#[derive(Clone)]
pub(super) struct Key {
    pub(super) public: String,
    pub(super) file: String,
    identity: age::x25519::Identity,
}

impl Key {
    /// A new one, in a new file that only its owner may read.
    pub(super) fn new(file: &Path) -> Self {
        let identity = age::x25519::Identity::generate();
        let public = identity.to_public().to_string();
        let text = format!("# public key: {public}\n{}\n", identity.to_string().expose_secret());
        let mut opened = OpenOptions::new().write(true).create_new(true).mode(0o600).open(file).unwrap();
        opened.write_all(text.as_bytes()).unwrap();
        Self { public, file: file.to_str().unwrap().to_owned(), identity }
    }

    /// The line that must be in nobody's log.
    pub(super) fn secret(&self) -> String {
        self.identity.to_string().expose_secret().to_owned()
    }

    /// What was encrypted to it; none where it was not.
    pub(super) fn open(&self, ciphertext: &[u8]) -> Option<Vec<u8>> {
        age::decrypt(&self.identity, ciphertext).ok()
    }
}
