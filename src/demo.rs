//! The whole product in one process: emulator, documents or traffic, daemon.
//!
//! Nothing here is a short cut: documents go into the emulator over HTTP like any client's, and the daemon follows it with
//! the configuration that was written for the person to try commands with. All ports are free ones, all state is in
//! memory, and nothing outlives the process but the configuration file.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use cosmirror_emulator::{Emulator, Options};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::config::{self, Config};
use crate::cosmos::Account;
use crate::documents::Documents;
use crate::documents::cosmos::CosmosDocuments;
use crate::failure::{CommandError, Exit};
use crate::run::{RunOptions, run_until, termination};

mod load;
mod traffic;

pub use load::Loading;

const DATABASE: &str = "demo";

/// What to demonstrate.
#[derive(Debug, Clone, Default)]
pub struct Demo {
    /// Where the configuration file goes; left out, a new directory among the temporary ones.
    pub directory: Option<PathBuf>,
    /// Documents to load instead of made-up traffic.
    pub loading: Option<Loading>,
    /// End after this time.
    pub limit: Option<Duration>,
}

/// Runs the demonstration until its time is over or the process is told to end.
pub async fn run(demo: Demo) -> Result<(), CommandError> {
    let directory = make_directory(demo.directory.as_deref())?;
    let documents = demo.loading.as_ref().map(Loading::read).transpose()?;
    let any = || std::net::SocketAddr::from(([127, 0, 0, 1], 0));
    let emulator = Emulator::bind(Options { cosmos: any(), blob: any() }).await;
    let emulator = emulator.map_err(|e| failed(format!("the emulator did not start: {e}")))?;
    let admin = free_address().await?;
    let key_path = demo.loading.as_ref().map_or_else(|| "/pk".to_owned(), Loading::key_path);
    let container = if documents.is_some() { "documents" } else { "orders" };
    let config = configuration(&emulator, &admin, container);
    let file = directory.join("cosmirror.toml");
    let text = toml_text(&config);
    std::fs::write(&file, &text).map_err(|e| failed(format!("{} was not written: {e}", file.display())))?;

    let stop = CancellationToken::new();
    let tracker = TaskTracker::new();
    let emulator_stop = CancellationToken::new();
    let serving = tracker.spawn(emulator.serve(emulator_stop.clone()));
    let show = async {
        let account = Account::connect(&config.source).await?;
        let properties = serde_json::json!({
            "id": container,
            "partitionKey": { "paths": [key_path], "kind": "Hash", "version": 2 },
        });
        account.create_container(DATABASE, properties).await?;
        let resolved = account.resolve(DATABASE, container).await?;
        let store: Arc<dyn Documents> =
            Arc::new(CosmosDocuments::new(account, resolved, format!("{DATABASE}/{container}")));
        let example = match documents {
            Some(documents) => load::load(store.as_ref(), documents).await?,
            None => traffic::first(store.as_ref()).await?,
        };
        announce(&config, &file, &example);
        let daemon = run_until(config.clone(), RunOptions::default(), stop.clone());
        tokio::select! {
            result = daemon => result,
            result = traffic::go_on(store.as_ref(), demo.loading.is_none(), &stop) => result,
        }
    };
    let result = until_told(show, demo.limit, &stop).await;
    // The daemon has drained by now; what the emulator served is gone with it.
    emulator_stop.cancel();
    let _ = serving.await;
    result
}

/// Runs `work`; on a signal or at the end of the time it is told to stop and drains.
async fn until_told(
    work: impl Future<Output = Result<(), CommandError>>,
    limit: Option<Duration>,
    stop: &CancellationToken,
) -> Result<(), CommandError> {
    let signal = termination()?;
    let over = async {
        match limit {
            Some(limit) => tokio::time::sleep(limit).await,
            None => std::future::pending().await,
        }
    };
    let told = async {
        tokio::select! {
            _ = signal => {}
            () = over => {}
        }
        stop.cancel();
        std::future::pending::<()>().await;
    };
    tokio::select! {
        result = work => result,
        () = told => Ok(()),
    }
}

fn failed(message: String) -> CommandError {
    CommandError::new(Exit::Failure, message, "")
}

fn make_directory(given: Option<&Path>) -> Result<PathBuf, CommandError> {
    let directory = match given {
        Some(directory) => directory.to_owned(),
        None => std::env::temp_dir().join(format!("cosmirror-demo-{:08x}", rand::random::<u32>())),
    };
    std::fs::create_dir_all(&directory).map_err(|e| {
        let message = format!("the directory {} cannot be made: {e}", directory.display());
        CommandError::new(Exit::Usage, message, "name another one with --dir")
    })?;
    Ok(directory)
}

/// An address that was free a moment ago.
async fn free_address() -> Result<String, CommandError> {
    let listener = crate::admin::bind("127.0.0.1:0").await?;
    let address = listener.local_addr().map_err(|e| failed(format!("no free port: {e}")))?;
    Ok(address.to_string())
}

fn configuration(emulator: &Emulator, admin: &str, container: &str) -> Config {
    let mut config = Config::default();
    config.source.endpoint = format!("http://{}/", emulator.cosmos_addr());
    config.source.staleness_margin = Duration::ZERO;
    config.source.poll_interval = Duration::from_millis(250);
    config.source.poll_interval_idle_max = Duration::from_secs(1);
    config.containers = vec![config::Container {
        database: DATABASE.to_owned(),
        container: container.to_owned(),
        feed: config::FeedMode::AllVersionsAndDeletes,
        start: config::Start::Beginning,
        versions_per_minute_max: 0,
    }];
    config.leases.database = DATABASE.to_owned();
    config.target.endpoint = format!("http://{}/{}", emulator.blob_addr(), cosmirror_emulator::BLOB_ACCOUNT);
    config.admin.listen = admin.to_owned();
    config.admin.browse = true;
    config
}

/// The settings that differ from their defaults, as a file.
fn toml_text(config: &Config) -> String {
    let container = &config.containers[0];
    format!(
        "# Written by `cosmirror demo`; what is left out has its default.\n\
         [source]\nendpoint = {:?}\nauth = \"emulator\"\nstaleness_margin = \"0s\"\n\n\
         [[containers]]\ndatabase = {:?}\ncontainer = {:?}\nfeed = {:?}\n\n\
         [leases]\ndatabase = {:?}\n\n\
         [target]\nendpoint = {:?}\nauth = \"emulator\"\n\n\
         [admin]\nlisten = {:?}\nbrowse = true\n",
        config.source.endpoint,
        container.database,
        container.container,
        container.feed.as_str(),
        config.leases.database,
        config.target.endpoint,
        config.admin.listen,
    )
}

/// A document to try commands with.
struct Example {
    id: String,
    key: String,
    loaded: usize,
}

#[expect(clippy::print_stdout, reason = "what the command is for")]
fn announce(config: &Config, file: &Path, example: &Example) {
    let program = std::env::args().next().unwrap_or_else(|| "cosmirror".to_owned());
    let command = format!("{program} -c {}", file.display());
    let Example { id, key, loaded } = example;
    println!("The page            http://{}/", config.admin.listen);
    println!("{loaded} documents are in {}/{}.", config.containers[0].database, config.containers[0].container);
    println!("Cosmos DB endpoint  {}", config.source.endpoint);
    println!("Blob endpoint       {}", config.target.endpoint);
    println!("Health and metrics  http://{}/metrics", config.admin.listen);
    println!("Configuration       {}", file.display());
    println!("\nTry in another terminal, once it has run for half a minute:");
    println!("  {command} status");
    println!("  {command} history {id:?} --pk {key:?}");
    println!("  {command} show {id:?} --pk {key:?} --at -10s");
    println!("  {command} restore --all --at -10s --dry-run");
    println!("  curl -s http://{}/metrics", config.admin.listen);
    println!("\nCtrl-C ends it.");
}
