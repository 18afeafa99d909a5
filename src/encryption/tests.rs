//! Content encrypted and opened, keys that do not fit, and files that are no identities.

use std::io::Write as _;
use std::path::Path;

use bytes::Bytes;
use cosmirror_formats::{Encryption, Op, Version};
use proptest::prelude::*;
use secrecy::ExposeSecret as _;

use super::*;
use crate::failure::{Failure, Kind};
use crate::history::memory::{covered_store, key, paths, reader, reader_with, version};
use crate::store::{Condition, Put, VersionStore};

/// Somebody with a key of their own.
pub(crate) struct Owner(age::x25519::Identity);

impl Owner {
    pub(crate) fn new() -> Self {
        Self(age::x25519::Identity::generate())
    }

    pub(crate) fn public(&self) -> String {
        self.0.to_public().to_string()
    }

    pub(crate) fn recipients(&self) -> Recipients {
        Recipients::configured(&[self.public()]).unwrap().unwrap()
    }

    pub(crate) fn file(&self) -> String {
        format!("# created: today\n# public key: {}\n\n{}\n", self.public(), self.0.to_string().expose_secret())
    }

    pub(crate) fn identities(&self) -> Identities {
        of_text(&self.file()).unwrap()
    }
}

fn of_text(text: &str) -> Result<Identities, Failure> {
    let mut file = tempfile::NamedTempFile::new().unwrap();
    file.write_all(text.as_bytes()).unwrap();
    Identities::of_files(&[file.path()])
}

fn opened(identities: &Identities, recipients: &Recipients, ciphertext: &[u8]) -> Result<Bytes, Kind> {
    identities.open("it", recipients.encryption(), ciphertext).map_err(|failure| failure.kind)
}

fn put_of(version: &Version, body: &'static [u8]) -> Put {
    let name = paths().document(&version.pk, &version.id);
    Put { name, body: Bytes::from_static(body), metadata: version.to_metadata(), condition: Condition::Absent }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]

    #[test]
    fn every_owner_opens_what_was_encrypted_and_nobody_else_does(
        body in prop::collection::vec(any::<u8>(), 0..200_000), owners in 1usize..4,
    ) {
        let owners: Vec<Owner> = (0..owners).map(|_| Owner::new()).collect();
        let recipients: Vec<String> = owners.iter().map(Owner::public).collect();
        let recipients = Recipients::configured(&recipients).unwrap().unwrap();
        let ciphertext = recipients.encrypt(&body).unwrap();
        for owner in &owners {
            prop_assert_eq!(opened(&owner.identities(), &recipients, &ciphertext).unwrap(), &body);
        }
        prop_assert_eq!(opened(&Owner::new().identities(), &recipients, &ciphertext), Err(Kind::Unauthorized));
        prop_assert_eq!(opened(&Identities::default(), &recipients, &ciphertext), Err(Kind::Unauthorized));
    }

    #[test]
    fn what_was_cut_off_or_changed_anywhere_is_never_taken_for_content(
        body in prop::collection::vec(any::<u8>(), 1..70_000), at: prop::sample::Index, bit in 0u8..8,
    ) {
        let owner = Owner::new();
        let (identities, recipients) = (owner.identities(), owner.recipients());
        let ciphertext = recipients.encrypt(&body).unwrap();
        let at = at.index(ciphertext.len());
        prop_assert!(opened(&identities, &recipients, &ciphertext[..at]).is_err());
        let mut changed = ciphertext.to_vec();
        changed[at] ^= 1 << bit;
        // Of a header that was changed it cannot be told whether another key would open it.
        let kind = opened(&identities, &recipients, &changed).unwrap_err();
        prop_assert!(matches!(kind, Kind::Integrity | Kind::Unauthorized), "{kind:?}");
    }
}

#[test]
fn bytes_that_were_changed_behind_the_header_are_an_integrity_failure() {
    let owner = Owner::new();
    let mut ciphertext = owner.recipients().encrypt(b"{}").unwrap().to_vec();
    *ciphertext.last_mut().unwrap() ^= 1;
    assert_eq!(opened(&owner.identities(), &owner.recipients(), &ciphertext), Err(Kind::Integrity));
    ciphertext.truncate(ciphertext.len() - 1);
    assert_eq!(opened(&owner.identities(), &owner.recipients(), &ciphertext), Err(Kind::Integrity));
}

#[test]
fn a_large_body_takes_no_more_than_its_own_length_again() {
    let owner = Owner::new();
    let body = vec![7; 16 << 20];
    let ciphertext = owner.recipients().encrypt(&body).unwrap();
    let chunks = body.len() / (64 << 10) + 1;
    assert!(ciphertext.len() <= body.len() + 16 * chunks + 400, "{}", ciphertext.len());
    assert_eq!(opened(&owner.identities(), &owner.recipients(), &ciphertext).unwrap(), body);
}

#[test]
fn the_same_content_never_has_the_same_bytes() {
    let recipients = Owner::new().recipients();
    assert_ne!(recipients.encrypt(b"{}").unwrap(), recipients.encrypt(b"{}").unwrap());
}

#[test]
fn identities_of_several_files_open_what_any_of_them_opens() {
    let (old, new) = (Owner::new(), Owner::new());
    let both = of_text(&(old.file() + &new.file())).unwrap();
    for owner in [&old, &new] {
        let ciphertext = owner.recipients().encrypt(b"{}").unwrap();
        assert_eq!(opened(&both, &owner.recipients(), &ciphertext).unwrap(), "{}");
        both.require("it", [owner.recipients().encryption()]).unwrap();
    }
    let encryption = old.recipients().encryption().clone();
    let missing = new.identities().require("it", [&encryption]).unwrap_err();
    assert!(missing.message.contains(&encryption.recipients[0]), "{missing}");
}

#[test]
fn a_file_that_is_no_identity_says_which_line_and_what_to_do_and_nothing_of_what_stands_there() {
    let secret = "AGE-SECRET-KEY-1QQQQQQQQQQQQQQQQQQQQQQQQQQQQQQQQQQQQQQQQQQQQQQQQQQQQQQQQQQ";
    for (text, part) in [
        ("", "holds no identity"),
        ("# nothing\n\n", "holds no identity"),
        (secret, "line 1 is not an identity"),
        ("\n  AGE-PLUGIN-YUBIKEY-1QQQ", "line 2 is the identity of a plugin"),
        ("age1ql3z7hjy54pw3hyww5ayyfg7zqgvc7w3j2elw8zmrj2kg5sfn9aqmcac8p", "public key"),
        ("age-encryption.org/v1\n-> scrypt x 18\n", "passphrase"),
        ("-----BEGIN AGE ENCRYPTED FILE-----\nx", "passphrase"),
        ("-----BEGIN OPENSSH PRIVATE KEY-----\nx", "SSH"),
        ("hunter2", "line 1 is not an identity"),
    ] {
        let failure = of_text(text).unwrap_err();
        let told = format!("{failure:#}");
        assert!(failure.kind == Kind::Misconfigured && failure.message.contains(part), "{told}");
        assert!(!failure.remedy.is_empty() && !told.contains("QQQ") && !told.contains("hunter2"), "{told}");
    }
    let absent = Identities::of_files(&[Path::new("/nowhere/key")]).unwrap_err();
    assert!(absent.message.contains("/nowhere/key"), "{absent}");
    let endless = of_text(&"#".repeat(70_000)).unwrap_err();
    assert!(endless.message.contains("more than"), "{endless}");
}

#[test]
fn neither_debug_nor_an_error_shows_a_key() {
    let owner = Owner::new();
    let secret = owner.0.to_string();
    let encryption = owner.recipients().encryption().clone();
    let shown = format!(
        "{:?} {:?} {:#}",
        owner.identities(),
        owner.recipients(),
        owner.identities().open("it", &encryption, b"x").unwrap_err()
    );
    assert!(!shown.contains(secret.expose_secret()) && !shown.contains("AGE-SECRET"), "{shown}");
    assert!(shown.contains(&encryption.recipients[0]), "{shown}");
}

#[test]
fn what_is_no_public_key_is_refused_without_being_repeated() {
    let identity = Owner::new().0.to_string();
    let lower = identity.expose_secret().to_lowercase();
    for text in [identity.expose_secret(), lower.as_str(), "AGE-PLUGIN-YUBIKEY-1QQ"] {
        let why = recipient(text).err().unwrap();
        assert!(why.contains("is secret") && !why.contains(text), "{why}");
    }
    for text in ["", "age1", "age1yubikey1qqq", "ssh-ed25519 AAAA", "age1pq1qqqq", "x"] {
        assert!(recipient(text).is_err(), "{text}");
    }
    assert!(recipient(&Owner::new().public()).is_ok());
}

#[tokio::test]
async fn a_store_encrypts_the_content_of_versions_and_puts_everything_else_as_it_is() {
    let owner = Owner::new();
    let memory = covered_store(&serde_json::json!({}));
    let store = EncryptingStore::new(memory.clone(), owner.recipients());
    let body = br#"{"id":"d"}"#;
    let created = Version { op: Op::Create, ..version("d", "e", 10, Some(1), body) };
    store.put(put_of(&created, body)).await.unwrap();
    let gone = Version { op: Op::Delete, etag: None, ..version("gone", "", 20, Some(2), b"") };
    store.put(put_of(&gone, b"")).await.unwrap();
    let record = crate::records::put("record".to_owned(), &serde_json::json!({"a": 1}), Condition::Absent);
    store.put(record.clone()).await.unwrap();

    let (head, stored) = store.get(&paths().document(&created.pk, "d"), None).await.unwrap().unwrap();
    let told = Version::from_metadata(&head.metadata).unwrap();
    assert_eq!(told.sha256, crate::sha256::sha256_hex(&stored));
    assert_eq!((told.identity(), head.length), (created.identity(), stored.len() as u64));
    assert_eq!(opened(&owner.identities(), &owner.recipients(), &stored).unwrap(), &body[..]);
    let (head, stored) = store.get(&paths().document(&gone.pk, "gone"), None).await.unwrap().unwrap();
    assert_eq!((Version::from_metadata(&head.metadata).unwrap(), stored.len()), (gone, 0));
    assert_eq!(store.get("record", None).await.unwrap().unwrap().1, record.body);

    // What is encrypted stays as it is.
    let (mut again, body) = (created.clone(), owner.recipients().encrypt(body).unwrap());
    again.encryption = Some(Encryption { recipients: vec!["00".to_owned()] });
    let put = Put { name: "again".to_owned(), body, metadata: again.to_metadata(), condition: Condition::Absent };
    store.put(put.clone()).await.unwrap();
    let (head, stored) = store.get("again", None).await.unwrap().unwrap();
    assert_eq!((stored, head.metadata), (put.body, put.metadata));
}

#[tokio::test]
async fn a_reader_checks_without_a_key_and_opens_with_one() {
    let owner = Owner::new();
    let memory = covered_store(&serde_json::json!({}));
    let created = Version { op: Op::Create, ..version("d", "e", 10, Some(1), b"") };
    memory.add_version(created, r#"{"id":"d"}"#);
    memory.encrypt(&owner.recipients());
    let without = reader(&memory).await;
    let history = without.history(&key("p"), "d").await.unwrap();
    let entry = &history.entries[0];
    without.check(entry).await.unwrap();
    let refused = without.body(entry).await.unwrap_err();
    assert!(refused.kind == Kind::Unauthorized && refused.remedy.contains("--identity"), "{refused}");
    let with = reader_with(&memory, owner.identities()).await;
    assert_eq!(with.body(entry).await.unwrap(), r#"{"id":"d"}"#);
    memory.damage(&paths().document(&key("p"), "d"));
    assert_eq!(with.body(entry).await.unwrap_err().kind, Kind::Integrity);
    assert_eq!(without.check(entry).await.unwrap_err().kind, Kind::Integrity);
}
