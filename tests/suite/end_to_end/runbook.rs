//! `docs/restore.md` and `docs/export.md` are true: every command in them is run, in its order, against the emulator, and prints what stands there.
//!
//! A comment `<!-- setting: … -->` says what happens to the source before the commands behind it. The services' clocks stand at the day that
//! the document tells of; what differs from run to run (seconds, ids, hashes, durations) is compared by its kind. With
//! `COSMIRROR_RUNBOOK_OUT=FOLDER` the document is written there with the outputs of this run.

use std::fmt::Write as _;
use std::path::Path;
use std::process::Stdio;

use jiff::Timestamp;
use serde_json::json;
use tokio::process::Command;

use super::LIMIT;
use super::cosmos::DATABASE;
use super::emulator::Emulator;
use super::mirror::CONTAINER;
use super::world::{ALL_VERSIONS, Target, World};

const RESTORE: &str = include_str!("../../../docs/restore.md");
const EXPORT: &str = include_str!("../../../docs/export.md");
/// The day that the document tells of.
const DAY: &str = "2026-03-02";
const ORDERS: u32 = 240;
const CUSTOMERS: u32 = 8;

/// What the document tells of.
struct Stage {
    world: World,
    /// The account that things are moved to.
    account: Option<Emulator>,
}

/// A part of the document.
enum Piece<'a> {
    Text(&'a str),
    Setting(&'a str),
    Command { line: &'a str, printed: String },
}

/// The document in its parts. A command is a line that begins with `$ ` in a console block; what follows is its output.
fn pieces(document: &str) -> Vec<Piece<'_>> {
    let (mut pieces, mut in_console) = (Vec::new(), false);
    for line in document.lines() {
        if line.starts_with("```") {
            in_console = line == "```console";
        } else if in_console {
            if let Some(command) = line.strip_prefix("$ ") {
                pieces.push(Piece::Command { line: command, printed: String::new() });
            } else if let Some(Piece::Command { printed, .. }) = pieces.last_mut() {
                writeln!(printed, "{line}").unwrap();
            }
            continue;
        }
        let setting = line.strip_prefix("<!-- setting: ").and_then(|rest| rest.strip_suffix(" -->"));
        if let Some(setting) = setting {
            pieces.push(Piece::Setting(setting));
        }
        pieces.push(Piece::Text(line));
    }
    pieces
}

fn order(number: u32, total: &str, status: &str) -> (String, String) {
    let customer = format!("customer-{}", number % CUSTOMERS);
    let text = format!(r#"{{"id":"order-{number}","customer":"{customer}","status":"{status}","total":{total}}}"#);
    (json!([customer]).to_string(), text)
}

fn total(number: u32) -> String {
    format!("{}.{:02}", 10 + number * 7 % 90, number * 13 % 100)
}

/// Moves the services' clocks to a minute of that day; what happened before it is mirrored.
async fn at(world: &World, minute: &str) {
    if world.emulator.history(DATABASE, "orders").await.is_some() {
        world.catch_up().await;
    }
    turn_clocks(&world.emulator, minute).await;
}

async fn turn_clocks(emulator: &Emulator, minute: &str) {
    let wanted: Timestamp = format!("{DAY}T{minute}:00Z").parse().unwrap();
    #[expect(clippy::disallowed_methods, reason = "the emulator's clocks are set relative to the host's")]
    let offset = wanted.as_second() - Timestamp::now().as_second();
    for service in ["cosmos", "blob"] {
        emulator.control("clock", &json!({ "service": service, "offsetSeconds": offset })).await;
    }
}

async fn set(stage: &mut Stage, setting: &str) {
    let Stage { world, account } = stage;
    match setting {
        "at 14:51 a new account is there" => {
            at(world, "14:51").await;
            let new = Emulator::start().await;
            turn_clocks(&new, "14:51").await;
            *account = Some(new);
        }
        "the account, the leases and the configuration are lost; another new account is there" => {
            world.catch_up().await;
            for container in ["orders", "leases"] {
                world.source(container).remove().await;
            }
            std::fs::remove_file(world.folder().join("cosmirror.toml")).unwrap();
            let new = Emulator::start().await;
            turn_clocks(&new, "15:20").await;
            *account = Some(new);
            return;
        }
        setting => change(world, setting).await,
    }
    world.catch_up().await;
}

/// What happens to the documents.
async fn change(world: &World, setting: &str) {
    let source = world.source("orders");
    match setting {
        "240 orders of 8 customers, mirrored since 14:00" => {
            at(world, "13:55").await;
            source.make(&["/customer"]).await;
            at(world, "14:00").await;
            for number in 0..ORDERS {
                let (key, text) = order(number, &total(number), "paid");
                source.put(&key, &text).await;
            }
        }
        "at 14:05 a deployment sets the totals of 120 orders to 0; at 14:12 the customer of order-16 pays again" => {
            at(world, "14:05").await;
            for number in (0..ORDERS).step_by(2) {
                let (key, text) = order(number, "0", "paid");
                source.put(&key, &text).await;
            }
            at(world, "14:12").await;
            let (key, text) = order(16, "99.00", "paid again");
            source.put(&key, &text).await;
            at(world, "14:21").await;
        }
        "at 14:25 order-8 is changed by its customer" => {
            at(world, "14:25").await;
            let (key, text) = order(8, &total(8), "shipped");
            source.put(&key, &text).await;
        }
        "at 14:30 somebody deletes order-3" => {
            at(world, "14:30").await;
            source.delete(r#"["customer-3"]"#, "order-3").await;
            at(world, "14:35").await;
        }
        "at 14:40 a script deletes every order" => {
            at(world, "14:40").await;
            for number in 0..ORDERS {
                source.delete(&order(number, "0", "").0, &format!("order-{number}")).await;
            }
            at(world, "14:45").await;
        }
        "at 14:46 the customer of order-5 asks to be forgotten, and the application deletes the order" => {
            at(world, "14:46").await;
            source.delete(r#"["customer-5"]"#, "order-5").await;
            at(world, "14:49").await;
        }
        "at 14:55 order-1 is shipped; then the application is stopped" => {
            at(world, "14:55").await;
            let (key, text) = order(1, &total(1), "shipped");
            source.put(&key, &text).await;
            at(world, "14:58").await;
        }
        other => panic!("nobody knows how to do this: {other}"),
    }
}

/// What a command prints on both streams, and its exit code where that is not 0.
async fn print(stage: &Stage, line: &str) -> String {
    let world = &stage.world;
    let programs = world.folder().join("bin");
    if !programs.exists() {
        std::fs::create_dir(&programs).unwrap();
        let program = Path::new(&crate::program()).canonicalize().unwrap();
        std::os::unix::fs::symlink(program, programs.join("cosmirror")).unwrap();
    }
    let mut command = Command::new("sh");
    command.arg("-c").arg(format!("{line} 2>&1")).current_dir(world.folder()).env_clear().stdin(Stdio::null());
    command.env("PATH", format!("{}:/usr/bin:/bin", programs.display())).env("COSMIRROR_CONFIG", "cosmirror.toml");
    command.env("MIRROR", format!("{}/{CONTAINER}", world.emulator.blob_endpoint()));
    command.envs(stage.account.as_ref().map(|account| ("ACCOUNT", format!("http://{}/", account.cosmos))));
    let output = tokio::time::timeout(LIMIT, command.kill_on_drop(true).output()).await.unwrap().unwrap();
    let mut printed = String::from_utf8(output.stdout).unwrap();
    let code = output.status.code().unwrap();
    if code != 0 {
        writeln!(printed, "(exit {code})").unwrap();
    }
    printed
}

/// A text in which everything that differs from run to run stands for its kind.
fn kinds(text: &str) -> String {
    text.lines().map(line_of_kinds).collect()
}

fn line_of_kinds(line: &str) -> String {
    let words: Vec<&str> = line.split([' ', '"', ',', '[', ']', '{', '}']).filter(|word| !word.is_empty()).collect();
    let mut kinds = String::new();
    for (at, word) in words.iter().enumerate() {
        let is_unit = |word: &&str| matches!(word.trim_end_matches('.'), "s" | "second" | "seconds");
        let said = match words.get(at + 1) {
            Some(next) if is_unit(next) && word.parse::<f64>().is_ok() => "N".to_owned(),
            Some(next) if next.starts_with("documents/s") => "N".to_owned(),
            _ if is_unit(word) => "seconds".to_owned(),
            _ => kind(word),
        };
        writeln!(kinds, "{said}").unwrap();
    }
    kinds
}

fn kind(word: &str) -> String {
    let inner = word.trim_matches(|c: char| !c.is_ascii_alphanumeric());
    let digits = inner.chars().filter(char::is_ascii_digit).count();
    let is_hex = inner.len() >= 8 && digits > 0 && inner.chars().all(|c| c.is_ascii_hexdigit() || c == '-');
    let is_id = (inner.len() >= 20 && digits >= 14) || word.ends_with('=') || word.starts_with("dbs/");
    let stands_for = match inner.parse::<Timestamp>() {
        // Within ten minutes everything may take as long as it does; other days are the host's.
        Ok(instant) if instant.strftime("%F").to_string() == DAY => {
            instant.strftime("%FT%H:%M").to_string().split_at(DAY.len() + 5).0.to_owned()
        }
        Ok(_) => "NOW".to_owned(),
        Err(_) if word.trim_start_matches("http://").starts_with("127.0.0.1:") => return "URL".to_owned(),
        Err(_) if is_hex => "HEX".to_owned(),
        Err(_) if is_id => "ID".to_owned(),
        Err(_) if inner.len() >= 10 && digits == inner.len() => "SECONDS".to_owned(),
        Err(_) => return word.to_owned(),
    };
    word.replace(inner, &stands_for)
}

#[tokio::test]
async fn every_command_of_the_runbook_prints_what_it_says() {
    assert_prints_what_it_says(RESTORE, "restore.md", 15).await;
}

#[tokio::test]
async fn every_command_of_the_page_about_exports_prints_what_it_says() {
    assert_prints_what_it_says(EXPORT, "export.md", 13).await;
}

async fn assert_prints_what_it_says(says: &str, name: &str, commands_min: usize) {
    let mut world = World::new(&[("orders", ALL_VERSIONS)], Target::Blobs).await;
    world.variable("NO_COLOR", "1");
    let mut stage = Stage { world, account: None };
    let (mut ran, mut document, mut differences) = (0, String::new(), String::new());
    for piece in pieces(says) {
        match piece {
            Piece::Text(line) => writeln!(document, "{line}").unwrap(),
            Piece::Setting(setting) => set(&mut stage, setting).await,
            Piece::Command { line, printed } => {
                let now = print(&stage, line).await;
                if stage.world.folder().join("cosmirror.toml").exists() {
                    stage.world.catch_up().await;
                }
                ran += 1;
                write!(document, "$ {line}\n{now}").unwrap();
                if kinds(&now) != kinds(&printed) {
                    writeln!(differences, "$ {line}\nprints\n{now}but the document says\n{printed}").unwrap();
                }
            }
        }
    }
    if let Some(folder) = std::env::var_os("COSMIRROR_RUNBOOK_OUT") {
        std::fs::write(Path::new(&folder).join(name), document).unwrap();
    }
    assert!(ran >= commands_min, "{ran} commands");
    assert!(differences.is_empty(), "{differences}");
}
