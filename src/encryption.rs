//! Content that only the owner of a key can read: encrypted before it is put, opened where it is read.
//!
//! | what | file |
//! |---|---|
//! | to whom it is encrypted: public keys, which are no secret | `encryption/recipients.rs` |
//! | who opens it: secret keys, which only commands of people hold | `encryption/identities.rs` |
//! | the store that encrypts what is put into it | `encryption/store.rs` |
//!
//! The bytes are files of `age-encryption.org/v1` (<https://age-encryption.org/v1>) to X25519 recipients, made and opened by the crate
//! `age`. Each is encrypted with a key of its own, so the same content never has the same bytes twice: which version is stored is told
//! by its metadata, never by its bytes. Hash and length in metadata are those of the stored bytes, so integrity is checked without a key.
//!
//! The daemon holds public keys alone and cannot read what it has written. What it encrypts is in memory twice until its put is answered.
//! Nothing here leaves anything behind in a crash.

mod identities;
mod recipients;
mod store;
#[cfg(test)]
pub(crate) mod tests;

pub use identities::Identities;
pub use recipients::{RECIPIENTS_MAX, Recipients, recipient};
pub use store::EncryptingStore;
