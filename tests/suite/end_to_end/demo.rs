//! `cosmirror demo`: what it prints works while it runs.

use std::path::Path;
use std::process::Stdio;

use serde_json::Value;
use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::process::{Child, Command};

use super::world::cosmirror;
use super::{LIMIT, eventually};

/// A running demonstration and what it printed before it began to wait.
struct Demo {
    process: Child,
    printed: String,
}

impl Demo {
    async fn start(folder: &Path, arguments: &[&str]) -> Self {
        let mut process =
            cosmirror().arg("demo").arg("--dir").arg(folder).args(arguments).stdout(Stdio::piped()).spawn().unwrap();
        let mut lines = BufReader::new(process.stdout.take().unwrap()).lines();
        let mut printed = String::new();
        let reading = async {
            while let Some(line) = lines.next_line().await.unwrap() {
                printed.push_str(&line);
                printed.push('\n');
                if line.starts_with("Ctrl-C") {
                    return;
                }
            }
        };
        tokio::time::timeout(LIMIT, reading).await.unwrap();
        Self { process, printed }
    }

    /// What follows a label in what it printed.
    fn told(&self, label: &str) -> &str {
        let line = self.printed.lines().find_map(|line| line.strip_prefix(label));
        line.unwrap_or_else(|| panic!("no {label:?} in {}", self.printed)).trim()
    }

    /// The output of a command with the configuration it wrote, as soon as the command succeeds.
    async fn ask(&self, arguments: &[&str]) -> Vec<u8> {
        let file = self.told("Configuration");
        eventually(&format!("{arguments:?} succeeds"), async || {
            let output = cosmirror().args(["-c", file]).args(arguments).output().await.unwrap();
            output.status.success().then_some(output.stdout)
        })
        .await
    }

    /// The commands it proposes, without the program and its configuration file.
    fn commands(&self) -> Vec<Vec<String>> {
        let proposed = self.printed.lines().filter_map(|line| line.strip_prefix("  ")?.split_once(" -c "));
        let words = proposed.map(|(_, rest)| rest.split(' ').skip(1).map(|word| word.trim_matches('"').to_owned()));
        words.map(Iterator::collect).collect()
    }

    async fn ended(mut self) -> Option<i32> {
        tokio::time::timeout(LIMIT, self.process.wait()).await.unwrap().unwrap().code()
    }
}

#[tokio::test]
async fn the_demonstration_shows_its_addresses_and_commands_that_work_until_it_is_told_to_end() {
    let folder = tempfile::tempdir().unwrap();
    let demo = Demo::start(folder.path(), &[]).await;
    let http = reqwest::Client::builder().no_proxy().build().unwrap();
    let health = format!("{}_emulator/health", demo.told("Cosmos DB endpoint"));
    assert!(http.get(health).send().await.unwrap().status().is_success());
    assert!(demo.told("Blob endpoint").starts_with("http://127.0.0.1:"));
    let history = demo.ask(&["-o", "json", "history", "order-0", "--pk", "customer-0"]).await;
    let history: Value = serde_json::from_slice(&history).unwrap();
    assert_eq!(history["id"], "order-0");
    let metrics = http.get(demo.told("Health and metrics")).send().await.unwrap().text().await.unwrap();
    assert!(metrics.contains("cosmirror_versions_written_total"), "{metrics}");
    assert!(demo.printed.starts_with("The page "), "{}", demo.printed);
    let page = demo.told("The page");
    let answer = http.get(page).send().await.unwrap().text().await.unwrap();
    assert!(answer.starts_with("<!doctype html>"), "{answer}");
    let search = format!("{page}browse/search?container=demo/orders&id=order-0");
    let found: Value = serde_json::from_slice(&http.get(search).send().await.unwrap().bytes().await.unwrap()).unwrap();
    assert_eq!(found["documents"][0]["id"], "order-0", "{found}");
    let commands = demo.commands();
    assert_eq!(commands.len(), 4, "{}", demo.printed);
    for command in commands {
        demo.ask(&command.iter().map(String::as_str).collect::<Vec<_>>()).await;
    }
    let id = demo.process.id().unwrap().to_string();
    assert!(Command::new("kill").args(["-s", "TERM", &id]).status().await.unwrap().success());
    assert_eq!(demo.ended().await, Some(0));
}

#[tokio::test]
async fn the_demonstration_loads_the_documents_of_a_file_as_they_stand_and_ends_in_time() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("documents.json");
    let first =
        "{ \"code\" : \"☃ 1\", \"kind\":\"k\", \"price\":1.10, \"n\":12345678901234567890, \"o\":{\"a\":1,\"a\":2} }";
    let second = r#"{"kind":"k","code":"b","text":"\u00e9\/"}"#;
    std::fs::write(&file, format!("[{first},\n{second}]")).unwrap();
    let loading = ["--documents", file.to_str().unwrap(), "--id", "code", "--pk", "kind", "--seconds", "8"];
    let demo = Demo::start(folder.path(), &loading).await;
    assert!(demo.printed.contains("\n2 documents are in demo/documents.\n"), "{}", demo.printed);
    for (id, text) in [("☃ 1", first), ("b", second)] {
        let shown = demo.ask(&["show", "--raw", "--pk", "k", id]).await;
        let shown = String::from_utf8(shown).unwrap();
        let sent = text.strip_prefix('{').unwrap().strip_suffix('}').unwrap();
        assert!(shown.starts_with(&format!("{{\"id\":\"{id}\",{sent},\"_rid\":")), "{shown}");
    }
    assert_eq!(demo.ended().await, Some(0));
}
