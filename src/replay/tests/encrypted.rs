//! Dead letters whose bytes are encrypted.

use cosmirror_formats::Encryption;

use super::*;
use crate::encryption::EncryptingStore;
use crate::encryption::tests::Owner;
use crate::history::memory::reader_with;

/// The letter as a store that encrypts leaves it.
fn encrypted(letter: DeadLetter, owner: &Owner) -> DeadLetter {
    let raw = STANDARD.decode(&letter.raw_base64).unwrap();
    let (recipients, mut metadata) = (owner.recipients(), letter.metadata.clone());
    let bytes = match &mut metadata {
        Some(metadata) => recipients.encrypt_version(&raw, metadata).unwrap(),
        None => recipients.encrypt(&raw).unwrap(),
    };
    let encryption = Some(recipients.encryption().to_string());
    DeadLetter { metadata, raw_base64: STANDARD.encode(bytes), encryption, ..letter }
}

fn of_version(lsn: u64, owner: &Owner) -> DeadLetter {
    let (version, text) = change(lsn);
    encrypted(letter(Some(&version), &text), owner)
}

/// An entry that is understood by now.
fn of_entry(owner: &Owner) -> (DeadLetter, String) {
    let (_, text) = change(2);
    let entry = format!(r#"{{"current":{text},"metadata":{{"lsn":2,"crts":200,"operationType":"create"}}}}"#);
    (encrypted(letter(None, &entry), owner), text)
}

/// What is stored of the document: how it is encrypted, and its text as `owner` reads it.
async fn stored(scene: &Scene, owner: &Owner) -> Vec<(Option<Encryption>, Bytes)> {
    let mirror = reader_with(&scene.store, owner.identities()).await;
    let mut all = Vec::new();
    for entry in mirror.history(&key("p"), "d").await.unwrap().entries {
        let text = mirror.body(&entry).await.unwrap();
        all.push((entry.version.encryption, text));
    }
    all
}

#[tokio::test(start_paused = true)]
async fn a_refused_version_is_part_of_its_history_and_is_replayed_as_it_was_encrypted_without_a_key() {
    let (scene, owner) = (Scene::new(), Owner::new());
    scene.add(2, &of_version(2, &owner));
    let expected = vec![(Some(owner.recipients().encryption().clone()), Bytes::from(change(2).1))];
    assert_eq!(stored(&scene, &owner).await, expected);
    let without = scene.reader().await;
    let entry = without.history(&key("p"), "d").await.unwrap().entries.remove(0);
    without.check(&entry).await.unwrap();
    assert_eq!(without.body(&entry).await.unwrap_err().kind, Kind::Unauthorized);
    // Neither a key nor recipients: the bytes are put as they are.
    assert_eq!(scene.run(&[2]).await.0, [Outcome::Stored]);
    assert_eq!(scene.history().await, (vec![2], 1));
    assert_eq!(stored(&scene, &owner).await, expected);
    assert_eq!(scene.run(&[2]).await.0, [Outcome::AlreadyResolved]);
}

#[tokio::test(start_paused = true)]
async fn an_entry_that_was_not_understood_is_opened_to_find_its_document_and_encrypted_again() {
    let (mut scene, owner) = (Scene::new(), Owner::new());
    let (letter, text) = of_entry(&owner);
    scene.add(5, &letter);
    let encrypting = EncryptingStore::new(scene.store.clone() as Arc<dyn VersionStore>, owner.recipients());
    let letters = async |scene: &Scene| vec![(name(5), scene.record(5).await)];
    let closed = Replay { store: &encrypting, ..scene.replay(false) }.run(letters(&scene).await).await.0;
    assert!(matches!(&closed[0].outcome, Outcome::Closed(why) if why.contains("no identity")), "{closed:?}");
    assert_eq!(scene.history().await, (Vec::new(), 0), "without a key its document is not known");
    assert_eq!(stored(&scene, &owner).await, [(letter.encryption.unwrap().parse().ok(), Bytes::from(text.clone()))]);

    scene.identities = owner.identities();
    let plain = scene.run(&[5]).await.0;
    assert!(matches!(&plain[..], [Outcome::Failed(why)] if why.contains("target.recipients")), "{plain:?}");
    assert!(scene.store.names(&scene.paths.documents()).is_empty(), "nothing is put readable");

    let done = Replay { store: &encrypting, ..scene.replay(false) }.run(letters(&scene).await).await.0;
    assert_eq!(done[0].outcome, Outcome::Stored);
    assert_eq!(scene.history().await, (vec![2], 1));
    assert_eq!(stored(&scene, &owner).await, [(Some(owner.recipients().encryption().clone()), Bytes::from(text))]);
}

#[tokio::test(start_paused = true)]
async fn bytes_that_do_not_belong_to_an_encrypted_letter_are_an_integrity_failure() {
    let (scene, owner) = (Scene::new(), Owner::new());
    let other = of_version(3, &owner);
    scene.add(2, &DeadLetter { raw_base64: other.raw_base64, ..of_version(2, &owner) });
    let reader = reader_with(&scene.store, owner.identities()).await;
    let history = reader.history(&key("p"), "d").await.unwrap();
    assert!(history.entries.is_empty() && history.unreadable.len() == 1);
    let nonsense = DeadLetter { encryption: Some("rot13:00".to_owned()), ..of_entry(&owner).0 };
    scene.add(5, &nonsense);
    let (outcomes, _) = scene.run(&[5]).await;
    assert!(matches!(&outcomes[..], [Outcome::Failed(_)]), "{outcomes:?}");
}
