//! Which key opens what: several recipients, keys that change, content from before, wrong files, and the reference implementation of age.

use std::process::{Command, Stdio};

use serde_json::json;

use super::super::world::{Target, World};
use super::{ORDERS, PLANTED, blobs, document, forms, is_refused};

/// The name of the only document's blob.
const BLOB: &str = "shop/orders/documents/p/d.json";

async fn write(world: &World, step: u32) {
    world.source("orders").put(r#"["p"]"#, &document("d", step)).await;
    world.catch_up().await;
}

/// The versions of the document, by name, oldest first.
async fn versions(world: &World) -> Vec<String> {
    let history = world.json(&["history", "d"]).await;
    let versions = history["versions"].as_array().unwrap();
    versions.iter().map(|version| version["version"].as_str().unwrap().to_owned()).collect()
}

#[tokio::test]
async fn each_recipient_opens_what_was_stored_while_it_was_one_and_several_files_open_all() {
    let mut world = World::new(&ORDERS, Target::Blobs).await;
    world.source("orders").make(&["/pk"]).await;
    let [first, second, third] = ["first", "second", "third"].map(|name| world.make_key(name));
    write(&world, 0).await;
    let forms = forms();
    assert_eq!(blobs(&world.closed_mirror().await, &forms), [BLOB], "before it is encrypted it is found");
    let checked = world.json(&["check", "--sample", "0s"]).await;
    let named = |checked: &serde_json::Value, name: &str| {
        checked["checks"].as_array().unwrap().iter().find(|check| check["name"] == name).unwrap().clone()
    };
    let finding = |checked: &serde_json::Value| named(checked, "container.encryption")["status"].clone();
    assert_eq!(finding(&checked), "ok", "{checked}");
    assert!(named(&checked, "configuration.encryption")["detail"].as_str().unwrap().contains("as it comes"));
    world.set("TARGET__RECIPIENTS__0", &first.public);
    let checked = world.json(&["check", "--sample", "0s"]).await;
    assert_eq!(finding(&checked), "warn", "{checked}");
    write(&world, 1).await;
    world.set("TARGET__RECIPIENTS__1", &second.public);
    let checked = world.json(&["check", "--offline"]).await;
    assert!(named(&checked, "configuration.encryption")["detail"].as_str().unwrap().contains("to 2 keys"));
    write(&world, 2).await;
    world.unset("COSMIRROR__TARGET__RECIPIENTS__0");
    world.unset("COSMIRROR__TARGET__RECIPIENTS__1");
    world.set("TARGET__RECIPIENTS__0", &third.public);
    write(&world, 3).await;

    let names = versions(&world).await;
    let opens = [&[0, 1, 2][..], &[0, 2], &[0, 3]];
    for (key, opens) in [&first, &second, &third].into_iter().zip(opens) {
        for (at, name) in names.iter().enumerate() {
            let shown = world.run(&["show", "d", "--version", name, "--identity", &key.file]).await;
            if opens.contains(&at) {
                assert!(String::from_utf8(shown.out).unwrap().contains(&format!("{PLANTED} {at}")), "{at}");
            } else {
                assert!(is_refused(&shown), "{at}: {shown:?}");
            }
        }
    }
    // With both generations of keys, everything.
    for (at, name) in names.iter().enumerate() {
        let both = ["show", "d", "--version", name, "--identity", &first.file, "--identity", &third.file];
        assert!(String::from_utf8(world.succeed(&both).await).unwrap().contains(&format!("{PLANTED} {at}")));
    }
    world.succeed(&["verify", "--mode", "full", "--identity", &third.file]).await;
    for key in [&first, &second, &third] {
        let log = world.run(&["-vv", "show", "d", "--identity", &key.file]).await;
        assert!(!log.err.contains(&key.secret()) && !log.err.contains("AGE-SECRET"), "{}", log.err);
    }

    // Who forgets the setting is told.
    world.unset("COSMIRROR__TARGET__RECIPIENTS__0");
    let checked = world.json(&["check", "--sample", "0s"]).await;
    assert_eq!(finding(&checked), "warn", "{checked}");
}

#[tokio::test]
async fn files_and_settings_that_are_no_keys_are_refused_and_not_repeated() {
    let mut world = World::encrypted(&ORDERS, Target::Blobs).await;
    world.source("orders").make(&["/pk"]).await;
    write(&world, 0).await;
    let key = world.make_key("another");
    for (text, part) in
        [("", "holds no identity"), ("age-encryption.org/v1\n-> scrypt", "passphrase"), ("hunter2", "line 1")]
    {
        let file = world.folder().join("wrong");
        std::fs::write(&file, text).unwrap();
        let refused = world.run(&["show", "d", "--identity", file.to_str().unwrap()]).await;
        assert_eq!(refused.code, Some(2), "{}", refused.err);
        assert!(refused.err.contains(part) && !refused.err.contains("hunter2"), "{}", refused.err);
    }
    // A file that others may read is used all the same, with a word about it.
    use std::os::unix::fs::PermissionsExt as _;
    let file = world.folder().join("key");
    std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o644)).unwrap();
    let shown = world.run(&["show", "d"]).await;
    assert!(shown.code == Some(0) && shown.err.contains("chmod 600"), "{shown:?}");

    world.set("TARGET__RECIPIENTS__1", &key.secret());
    let refused = world.run(&["config", "show"]).await;
    assert_eq!(refused.code, Some(2), "{}", refused.err);
    assert!(refused.err.contains("target.recipients[1]") && refused.err.contains("secret"), "{}", refused.err);
    assert!(!refused.err.contains(&key.secret()), "the secret is repeated");
}

/// Runs a program of age on these bytes; none where it is not installed, which CI does not accept.
fn run(program: &str, arguments: &[&str], input: &[u8]) -> Option<Vec<u8>> {
    let started = Command::new(program).args(arguments).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn();
    let mut process = match started {
        Ok(process) => process,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            assert!(std::env::var_os("CI").is_none(), "{program} is not installed");
            eprintln!("skipped: {program} is not installed");
            return None;
        }
        Err(error) => panic!("{program}: {error}"),
    };
    std::io::Write::write_all(&mut process.stdin.take().unwrap(), input).unwrap();
    let output = process.wait_with_output().unwrap();
    assert!(output.status.success(), "{program} {arguments:?}");
    Some(output.stdout)
}

#[tokio::test]
async fn what_is_stored_opens_with_the_program_age_and_its_keys_open_here() {
    let mut world = World::new(&ORDERS, Target::Blobs).await;
    world.source("orders").make(&["/pk"]).await;
    let file = world.folder().join("made-by-age").to_str().unwrap().to_owned();
    let Some(_) = run("age-keygen", &["-o", &file], b"") else { return };
    let public = String::from_utf8(run("age-keygen", &["-y", &file], b"").unwrap()).unwrap();
    world.set("TARGET__RECIPIENTS__0", public.trim());
    write(&world, 0).await;
    let stored = world.closed_mirror().await;
    let opened = run("age", &["--decrypt", "--identity", &file], &stored[BLOB][0].body).unwrap();
    assert_eq!(opened, world.succeed(&["show", "d", "--raw", "--identity", &file]).await);
    assert!(String::from_utf8(opened).unwrap().contains(PLANTED));

    // The other way round: a file of that program's, in the place of ours.
    let own = world.make_key("own");
    let theirs = run("age", &["--encrypt", "--recipient", &own.public], br#"{"a":1}"#).unwrap();
    assert_eq!(own.open(&theirs).unwrap(), json!({ "a": 1 }).to_string().as_bytes());
}
