//! What only the directory store promises; the contract it shares with the others is held by `tests/suite`.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::time::{Duration, SystemTime};

use super::*;
use crate::store::Condition;

async fn prepared() -> (tempfile::TempDir, DirectoryStore) {
    let directory = tempfile::tempdir().unwrap();
    let store = DirectoryStore::new(directory.path().join("mirror"));
    store.prepare(true).await.unwrap();
    (directory, store)
}

fn put_of(name: &str, condition: Condition) -> Put {
    Put { name: name.to_owned(), body: Bytes::from_static(b"{}"), metadata: BTreeMap::new(), condition }
}

fn root(store: &DirectoryStore) -> &Path {
    &store.shared.root
}

async fn listed(store: &DirectoryStore, prefix: &str) -> Vec<String> {
    let page = store.list(prefix, Listing::Versions, None).await.unwrap();
    page.heads.into_iter().map(|head| format!("{}@{}", head.name, head.version)).collect()
}

#[tokio::test]
async fn a_file_left_by_a_crash_is_never_listed_and_goes_after_a_day() {
    let (_directory, store) = prepared().await;
    store.put(put_of("a.json", Condition::Absent)).await.unwrap();
    let staging = root(&store).join(".staging");
    let (young, old) = (staging.join("1-0"), staging.join("1-1"));
    fs::write(&young, "{\"format\":1,").unwrap();
    fs::write(&old, "{\"format\":1,\"length\":0,\"metadata\":{}}\n").unwrap();
    let probe = fs::metadata(&young).unwrap().modified().unwrap();
    let made: SystemTime = probe - Duration::from_secs(25 * 60 * 60);
    fs::File::options().write(true).open(&old).unwrap().set_modified(made).unwrap();

    assert_eq!(listed(&store, "").await, ["a.json@1"]);
    assert_eq!(listed(&store, ".staging/").await, [""; 0]);
    assert!(store.head(".staging/1-1").await.unwrap().is_none());

    store.prepare(false).await.unwrap();
    assert_eq!((young.exists(), old.exists()), (true, false));
}

#[tokio::test]
async fn a_put_leaves_nothing_in_staging_whether_it_is_done_or_not() {
    let (_directory, store) = prepared().await;
    store.put(put_of("a.json", Condition::Absent)).await.unwrap();
    store.put(put_of("a.json", Condition::Absent)).await.unwrap_err();
    store.put(put_of("a.json", Condition::Matches("1".to_owned()))).await.unwrap();
    assert_eq!(fs::read_dir(root(&store).join(".staging")).unwrap().count(), 0);
}

#[tokio::test]
async fn files_and_directories_are_for_their_owner_only() {
    let (_directory, store) = prepared().await;
    store.put(put_of("p/a.json", Condition::Absent)).await.unwrap();
    let mode = |path: &str| fs::metadata(root(&store).join(path)).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode("p/a.json/00000000000000000001"), 0o600);
    assert_eq!([mode(""), mode("p"), mode("p/a.json"), mode(".staging")], [0o700; 4]);
}

#[tokio::test]
async fn a_component_of_twenty_digits_is_no_version() {
    let (_directory, store) = prepared().await;
    let (digits, below) = ("a/00000000000000000001", "a/00000000000000000001/00000000000000000002");
    for name in ["a", digits, below, ".staging/1-0", "lost+found"] {
        store.put(put_of(name, Condition::Absent)).await.unwrap();
    }
    fs::create_dir(root(&store).join("lost+found")).unwrap();
    let all = [".staging/1-0@1", "a@1", &format!("{digits}@1"), &format!("{below}@1"), "lost+found@1"];
    assert_eq!(listed(&store, "").await, all);
    assert_eq!(listed(&store, digits).await, [format!("{digits}@1"), format!("{below}@1")]);
}

#[tokio::test]
async fn a_prefix_never_leads_out_of_the_root() {
    let (directory, store) = prepared().await;
    let outside = DirectoryStore::new(directory.path().join("outside"));
    outside.prepare(true).await.unwrap();
    outside.put(put_of("secret", Condition::Absent)).await.unwrap();
    for prefix in ["../outside/", "../", "/", "a/../../outside/", &format!("{}/", root(&outside).display())] {
        assert_eq!(listed(&store, prefix).await, [""; 0], "{prefix}");
    }
}

#[tokio::test]
async fn a_root_that_is_gone_is_not_an_empty_mirror() {
    let (_directory, store) = prepared().await;
    store.put(put_of("a.json", Condition::Absent)).await.unwrap();
    fs::rename(root(&store), root(&store).with_extension("unmounted")).unwrap();
    let failures = [
        store.head("a.json").await.unwrap_err(),
        store.get("a.json", None).await.unwrap_err(),
        store.list("", Listing::Current, None).await.unwrap_err(),
        store.put(put_of("a.json", Condition::Absent)).await.unwrap_err(),
        store.prepare(false).await.unwrap_err(),
    ];
    for failure in failures {
        assert!(failure.kind == Kind::NotFound && !failure.remedy.is_empty(), "{failure:?}");
    }
    assert!(!root(&store).exists(), "an unmounted directory's place was written to");
}

#[tokio::test]
async fn a_root_that_is_a_file_is_refused_with_the_remedy() {
    let file = tempfile::NamedTempFile::new().unwrap();
    let failure = DirectoryStore::new(file.path().to_path_buf()).prepare(true).await.unwrap_err();
    assert_eq!(failure.kind, Kind::Misconfigured);
    assert!(failure.remedy.contains("target.path"), "{failure}");
}

#[tokio::test]
async fn a_damaged_version_is_an_integrity_failure_for_whoever_meets_it() {
    let (_directory, store) = prepared().await;
    store.put(put_of("a.json", Condition::Absent)).await.unwrap();
    fs::write(root(&store).join("a.json/00000000000000000001"), "{\"format\":1").unwrap();
    assert_eq!(store.head("a.json").await.unwrap_err().kind, Kind::Integrity);
    assert_eq!(store.get("a.json", None).await.unwrap_err().kind, Kind::Integrity);
    assert_eq!(store.list("", Listing::Current, None).await.unwrap_err().kind, Kind::Integrity);
}

#[tokio::test]
async fn two_processes_with_the_same_number_do_not_share_a_staged_file() {
    let (_directory, store) = prepared().await;
    let other = DirectoryStore::new(root(&store).to_path_buf());
    let first = store.shared.staging.file().unwrap();
    let second = other.shared.staging.file().unwrap();
    assert_ne!(first.path, second.path);
}

#[tokio::test]
async fn of_many_writers_in_two_processes_one_succeeds() {
    let (_directory, store) = prepared().await;
    let other = DirectoryStore::new(root(&store).to_path_buf());
    for condition in [Condition::Absent, Condition::Matches("1".to_owned()), Condition::Matches("2".to_owned())] {
        let puts = [&store, &other].repeat(8).into_iter().map(|store| store.put(put_of("a", condition.clone())));
        let answers = futures::future::join_all(puts).await;
        assert_eq!(answers.iter().filter(|answer| answer.is_ok()).count(), 1);
        assert!(answers.into_iter().filter_map(Result::err).all(|failure| failure.kind == Kind::Conflict));
    }
    assert_eq!(listed(&store, "").await, ["a@1", "a@2", "a@3"]);
}

#[tokio::test]
async fn two_names_of_metadata_that_differ_only_by_case_are_refused() {
    let (_directory, store) = prepared().await;
    let metadata = BTreeMap::from([("Op".to_owned(), "1".to_owned()), ("op".to_owned(), "2".to_owned())]);
    let failure = store.put(Put { metadata, ..put_of("a", Condition::Absent) }).await.unwrap_err();
    assert_eq!(failure.kind, Kind::Refused);
}

fn claimant(processor: &str) -> Claimant {
    let text = str::to_owned;
    Claimant {
        account: text("https://shop.documents.azure.com/"),
        leases: text("shop/leases"),
        processor: text(processor),
    }
}

#[tokio::test(start_paused = true)]
async fn a_mirror_is_claimed_by_one_daemon_and_its_replicas_until_the_last_of_them_is_gone() {
    let (_directory, store) = prepared().await;
    let other = DirectoryStore::new(root(&store).to_path_buf());
    let mut claims = vec![
        store.claim("shop/orders", &claimant("ours")).await.unwrap(),
        other.claim("shop/orders", &claimant("ours")).await.unwrap(),
    ];
    while let Some(claim) = claims.pop() {
        let failure = other.claim("shop/orders", &claimant("theirs")).await.unwrap_err();
        assert_eq!(failure.kind, Kind::Held);
        assert!(failure.message.contains("processor \"ours\"") && failure.remedy.contains("fuser"), "{failure}");
        drop(claim);
    }
    let _theirs = other.claim("shop/orders", &claimant("theirs")).await.unwrap();
    let failure = store.claim("shop/orders", &claimant("ours")).await.unwrap_err();
    assert!(failure.message.contains("processor \"theirs\""), "{failure}");
    let _other_container = store.claim("shop/customers", &claimant("ours")).await.unwrap();
    assert_eq!(listed(&store, "").await, [""; 0]);
}

#[tokio::test(start_paused = true)]
async fn whoever_dies_while_it_claims_a_mirror_keeps_nobody_from_it() {
    let (_directory, store) = prepared().await;
    let lock = root(&store).join("shop/orders/+lock");
    drop(store.claim("shop/orders", &claimant("dead")).await.unwrap());
    assert_eq!(fs::metadata(&lock).unwrap().permissions().mode() & 0o777, 0o600);
    for left in ["", "{\"account\":\"shop.docu", "{\"account\":\"a\",\"leases\":\"b\",\"processor\":\"dead\"}\n   "] {
        fs::write(&lock, left).unwrap();
        drop(store.claim("shop/orders", &claimant("ours")).await.unwrap());
        let named: Claimant = serde_json::from_slice(&fs::read(&lock).unwrap()).unwrap();
        assert_eq!(named, claimant("ours"));
    }
}

/// Two daemons start at once, again and again: never do both have it.
#[tokio::test(flavor = "multi_thread")]
async fn of_two_daemons_that_claim_a_mirror_at_once_never_both_get_it() {
    let (_directory, store) = prepared().await;
    for _ in 0..200 {
        let ask = |processor: &'static str| {
            let store = store.clone();
            async move { store.blocking(move |shared| shared.ask_for_lock("shop/orders", &claimant(processor))).await }
        };
        let asked = tokio::join!(ask("ours"), ask("theirs"));
        let granted = [asked.0.unwrap(), asked.1.unwrap()].map(|asked| matches!(asked, Asked::Granted(_)));
        assert_ne!(granted, [true, true]);
    }
}

/// Such file systems (vfat, NTFS, APFS as it comes) take no part in the tests' machines, so their one difference is made up here.
#[tokio::test]
async fn a_file_system_that_does_not_tell_upper_from_lower_case_is_refused() {
    let (_directory, store) = prepared().await;
    let probe = store.shared.staging.file().unwrap();
    let folded = |path: &Path| {
        let name = path.file_name().unwrap().to_str().unwrap();
        put::create(&path.with_file_name(name.to_lowercase()))
    };
    let failure = store.shared.prove_case(&probe, folded).unwrap_err();
    assert_eq!((failure.kind, failure.kind.exit()), (Kind::Misconfigured, crate::failure::Exit::Usage));
    assert!(
        failure.message.contains("upper from lower case") && failure.remedy.contains("case-sensitive"),
        "{failure}"
    );
    store.shared.prove_case(&probe, put::create).unwrap();
}
