//! What `deploy/` says of the program is true of the program: every metric that an alert or the dashboard asks for is told by a daemon that
//! follows containers, with the labels that are asked for, and every configuration there is one that it takes.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use serde_json::json;
use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::net::TcpListener;

use super::cosmos::DATABASE;
use super::eventually;
use super::observer::admins;
use super::world::{ALL_VERSIONS, LATEST_VERSION, Target, World, cosmirror};

const ASKING: [&str; 2] = ["deploy/prometheus/alerts.yaml", "deploy/grafana/cosmirror.json"];
const PREFIXES: [&str; 2] = ["cosmirror_", "process_"];
/// Variables of the Bicep template, and what they may be. The template's parameters have these names.
const PARAMETERS: [(&str, &str); 10] = [
    ("identityClientId", "11111111-1111-1111-1111-111111111111"),
    ("sourceEndpoint", "https://account.documents.azure.com:443/"),
    ("feedRetention", "30d"),
    ("leaseDatabase", "shop"),
    ("leaseContainer", "leases"),
    ("targetEndpoint", "https://storage.blob.core.windows.net/"),
    ("targetContainer", "mirror"),
    ("containers[i]", "shop"),
    ("heartbeatUrl", "https://heartbeat.example/abc"),
    ("tags", "true"),
];

fn repository(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(path)
}

fn read(path: &str) -> String {
    std::fs::read_to_string(repository(path)).unwrap()
}

/// A metric that is asked for, and the value of a label that it must have.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Asked {
    metric: String,
    label: Option<(String, String)>,
}

/// The matchers behind a metric's name, where they are texts that must be found.
fn matchers(behind: &str) -> Vec<(String, String)> {
    let Some(inner) = behind.strip_prefix('{').and_then(|rest| rest.split_once('}')).map(|(inner, _)| inner) else {
        return Vec::new();
    };
    let mut found = Vec::new();
    for matcher in inner.replace('\\', "").split(',') {
        let Some((label, value)) = matcher.split_once('=') else { continue };
        let value = value.trim_start_matches(['~', '=']).trim_matches('"').to_owned();
        let label = label.trim_end_matches('!');
        if !value.contains('$') && !label.starts_with("__") {
            found.extend(value.split('|').map(|value| (label.to_owned(), value.to_owned())));
        }
    }
    found
}

fn asked_by(text: &str) -> BTreeSet<Asked> {
    let is_part = |c: char| c.is_ascii_alphanumeric() || c == '_';
    let mut asked = BTreeSet::new();
    for prefix in PREFIXES {
        for (at, _) in text.match_indices(prefix) {
            if text[..at].ends_with(is_part) {
                continue;
            }
            let end = text[at..].find(|c| !is_part(c)).map_or(text.len(), |length| at + length);
            let metric = text[at..end].to_owned();
            asked.insert(Asked { metric: metric.clone(), label: None });
            let with = |label| Asked { metric: metric.clone(), label: Some(label) };
            asked.extend(matchers(&text[end..]).into_iter().map(with));
        }
    }
    asked
}

/// Whether a line of an exposition is of what is asked for.
fn answers(line: &str, asked: &Asked) -> bool {
    let Some(rest) = line.strip_prefix(&asked.metric) else { return false };
    let is_named = rest.starts_with(['{', ' ']);
    is_named && asked.label.as_ref().is_none_or(|(label, value)| rest.contains(&format!("{label}=\"{value}\"")))
}

#[tokio::test]
async fn every_metric_and_label_that_alerts_and_dashboard_ask_for_is_told_by_a_daemon() {
    let mut world = World::new(&[("orders", ALL_VERSIONS), ("users", LATEST_VERSION)], Target::Blobs).await;
    // Its metrics are there only where it is.
    let optional = world.folder().join("optional");
    world.set("TARGETS__0__NAME", "optional");
    world.set("TARGETS__0__REQUIRED", "false");
    world.set("TARGETS__0__KIND", "directory");
    world.set("TARGETS__0__PATH", optional.to_str().unwrap());
    for container in ["orders", "users"] {
        let seed = json!({ "database": DATABASE, "container": container, "count": 20, "partitions": 2 });
        world.emulator.control("seed", &seed).await;
    }
    let asked: BTreeSet<Asked> = ASKING.iter().flat_map(|path| asked_by(&read(path))).collect();
    assert!(asked.len() > 40, "{asked:?}");
    let daemon = world.start(&["run"]);
    let admin = admins(&daemon, 1).await.remove(0);
    let mut lacking = BTreeSet::new();
    let told = async {
        eventually("every metric", async || {
            let answer = world.emulator.http.get(format!("http://{admin}/metrics")).send().await.unwrap();
            let text = answer.text().await.unwrap();
            let missing = |asked: &&Asked| !text.lines().any(|line| answers(line, asked));
            lacking = asked.iter().filter(missing).cloned().collect();
            lacking.is_empty().then_some(())
        })
        .await;
    };
    // What takes longer than this is never told.
    let outcome = tokio::time::timeout(super::LIMIT / 3, told).await;
    assert!(outcome.is_ok(), "not told: {lacking:?}");
    assert_eq!(daemon.terminate().await, Some(0));
}

/// The configuration files within a manifest of Kubernetes.
fn embedded(manifest: &str) -> Vec<String> {
    let mut files: Vec<String> = Vec::new();
    let mut indent = None;
    for line in manifest.lines() {
        let depth = line.len() - line.trim_start().len();
        if line.trim() == "cosmirror.toml: |" {
            indent = Some(depth + 2);
            files.push(String::new());
        } else if let (Some(at), Some(file)) = (indent, files.last_mut()) {
            if depth >= at || line.trim().is_empty() {
                file.push_str(line.get(at..).unwrap_or_default());
                file.push('\n');
            } else {
                indent = None;
            }
        }
    }
    files
}

fn configurations() -> BTreeMap<String, String> {
    let mut found = BTreeMap::new();
    for folder in ["deploy/compose", "deploy/helm/expected", "deploy/helm/examples"] {
        for entry in std::fs::read_dir(repository(folder)).unwrap() {
            let path = entry.unwrap().path();
            let text = std::fs::read_to_string(&path).unwrap();
            let name = path.display().to_string();
            if path.extension().is_some_and(|extension| extension == "toml") {
                found.insert(name, text);
            } else {
                let files = embedded(&text).into_iter().enumerate();
                found.extend(files.map(|(number, file)| (format!("{name} {number}"), file)));
            }
        }
    }
    found
}

#[tokio::test]
async fn every_configuration_that_is_shipped_is_one_that_the_program_takes() {
    let folder = tempfile::tempdir().unwrap();
    let configurations = configurations();
    assert!(configurations.len() >= 6, "{:?}", configurations.keys());
    for (name, text) in configurations {
        let file = folder.path().join("cosmirror.toml");
        std::fs::write(&file, &text).unwrap();
        let output = cosmirror().arg("-c").arg(&file).args(["config", "show"]).output().await.unwrap();
        assert!(output.status.success(), "{name}: {}", String::from_utf8_lossy(&output.stderr));
        assert!(text.contains("[[containers]]"), "{name}");
    }
}

/// The variables of the container app, with values for the template's parameters.
fn variables_of_app() -> Vec<(String, String)> {
    let template = read("deploy/bicep/modules/app.bicep");
    let lines: Vec<&str> = template.lines().map(str::trim).collect();
    let mut variables = Vec::new();
    for pair in lines.windows(2) {
        let name = pair[0].strip_prefix("name: '").and_then(|rest| rest.strip_suffix('\''));
        // The one secret is the heartbeat's URL.
        let value = pair[1].strip_prefix("value: ").or(pair[1].starts_with("secretRef: ").then_some("heartbeatUrl"));
        let (Some(name), Some(value)) = (name, value) else { continue };
        let value = match value.strip_prefix('\'') {
            Some(text) => text.trim_end_matches('\'').to_owned(),
            None if value.ends_with(".feed") => ALL_VERSIONS.to_owned(),
            None => {
                let parameter = value.split('.').next().unwrap();
                let known = PARAMETERS.iter().find(|(name, _)| *name == parameter);
                known.unwrap_or_else(|| panic!("what is {value}?")).1.to_owned()
            }
        };
        variables.push((name.replace("${i}", "0"), value));
    }
    variables
}

#[tokio::test]
async fn the_container_app_of_the_bicep_template_sets_what_the_program_takes() {
    let variables = variables_of_app();
    assert!(variables.len() >= 15, "{variables:?}");
    let output = cosmirror().envs(variables).args(["-o", "json", "config", "show"]).output().await.unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let shown = String::from_utf8(output.stdout).unwrap();
    assert!(shown.contains("managed-identity") && shown.contains("\"shop\""), "{shown}");
    assert!(shown.contains("admin.heartbeat_url") && !shown.contains("heartbeat.example"), "{shown}");
}

/// The first line of the request with which a command asks the platform for a token.
async fn token_request(environment: &[(&str, &str)]) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let platform = format!("http://{}/token", listener.local_addr().unwrap());
    let mut command = cosmirror();
    command.envs(environment.iter().copied()).env("IDENTITY_ENDPOINT", platform).env("IDENTITY_HEADER", "anything");
    command.env("COSMIRROR__CONTAINERS__0__DATABASE", "shop").env("COSMIRROR__CONTAINERS__0__CONTAINER", "orders");
    command.env("COSMIRROR__TARGET__ENDPOINT", "https://storage.invalid");
    let mut asking = command.env("COSMIRROR__TARGET__AUTH", "managed-identity").args(["gaps", "list"]).spawn().unwrap();
    let (stream, _) = tokio::time::timeout(super::LIMIT, listener.accept()).await.unwrap().unwrap();
    let mut line = String::new();
    BufReader::new(stream).read_line(&mut line).await.unwrap();
    asking.kill().await.unwrap();
    line
}

/// The Bicep template gives the app a user-assigned identity, and no other. Without its client id the platform has none to give a token for.
#[tokio::test]
async fn a_managed_identity_is_the_one_that_the_environment_names() {
    let named = token_request(&[("AZURE_CLIENT_ID", PARAMETERS[0].1)]).await;
    assert!(named.contains(&format!("client_id={}", PARAMETERS[0].1)), "{named}");
    let own = token_request(&[]).await;
    assert!(own.starts_with("GET /token?") && !own.contains("client_id"), "{own}");
}
