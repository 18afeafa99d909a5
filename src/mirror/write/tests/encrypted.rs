//! The same into a store that encrypts.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use cosmirror_formats::records::DeadLetter;
use cosmirror_formats::version::sha256_hex;

use super::*;
use crate::encryption::EncryptingStore;
use crate::encryption::tests::Owner;

fn encrypting_writer(store: &Arc<Flaky>, owner: &Owner) -> Arc<Writer> {
    let inner = Arc::clone(store) as Arc<dyn VersionStore>;
    writer_into(Arc::new(EncryptingStore::new(inner, owner.recipients())), 0)
}

async fn letters(store: &Flaky) -> Vec<(String, DeadLetter)> {
    let prefix = context().paths.dead_letters();
    crate::records::all(&store.inner, &prefix, 10, |name, record| (name, record)).await.unwrap()
}

#[tokio::test(start_paused = true)]
async fn a_dead_letter_keeps_its_bytes_encrypted_and_neither_field_nor_name_tells_of_them() {
    let (store, owner) = (Arc::new(Flaky::new(Vec::new())), Owner::new());
    let writer = encrypting_writer(&store, &owner);
    let unreadable = Bytes::from_static(br#"{"current":{"id":1,"planted":true}}"#);
    store.inner.fail_next(Kind::Refused);
    write(&writer, &[entry(0, 1, "create")], &open()).await.unwrap();
    write(&writer, std::slice::from_ref(&unreadable), &open()).await.unwrap();
    store.inner.fail_next(Kind::Refused);
    write(&writer, &[entry(1, 2, "delete")], &open()).await.unwrap();
    let stored = letters(&store).await;
    assert_eq!(stored.len(), 3);
    let text = br#"{"id":"d0","pk":"p","n":1,"_etag":"\"e1\"","_ts":1}"#;
    for (name, record) in &stored {
        let raw = STANDARD.decode(&record.raw_base64).unwrap();
        assert!(!name.contains(&sha256_hex(text)), "a hash of the content can be guessed");
        let Some(encryption) = &record.encryption else {
            assert!(raw.is_empty(), "a delete has nothing to encrypt");
            continue;
        };
        let opened = owner.identities().open("it", &encryption.parse().unwrap(), &raw).unwrap();
        match &record.metadata {
            Some(metadata) => {
                let version = Version::from_metadata(metadata).unwrap();
                assert_eq!((version.sha256, &opened[..]), (sha256_hex(&raw), &text[..]));
                assert_eq!(version.encryption.unwrap().to_string(), *encryption);
                assert_eq!((record.id.as_deref(), record.ts), (Some("d0"), Some(1_000)), "a listing tells them");
            }
            None => assert_eq!(opened, unreadable),
        }
    }
}

/// Encrypted again a letter has other bytes; it is the name that says that it is there.
#[tokio::test(start_paused = true)]
async fn a_page_that_is_read_again_finds_its_versions_and_dead_letters_stored() {
    let (store, owner) = (Arc::new(Flaky::new(Vec::new())), Owner::new());
    let page = [entry(0, 1, "create"), Bytes::from_static(br#"{"current":{"id":1}}"#), entry(0, 2, "replace")];
    for _ in 0..3 {
        // A process of its own each time, which remembers nothing.
        write(&encrypting_writer(&store, &owner), &page, &open()).await.unwrap();
        assert_eq!(stored_lsns(&store, 0), [1, 2]);
        assert_eq!(letters(&store).await.len(), 1);
    }
}
