//! Settles on a real account what cosmirror believes of Cosmos DB and Blob Storage, one line for each belief.
//!
//! The daemon was built on documents, on the sources of Microsoft's clients and on an emulator. What only the service itself can settle is
//! written here as **beliefs** (`beliefs`): one function each, with what the code makes of it. The same run against the emulator keeps that
//! one honest. `deploy/live-kit/run` checks the variables, builds and starts this; its README lists them.
//!
//! **What it touches**: a database and a blob container of its own, with a random suffix, which it makes and removes (`kit`). It stops before
//! anything else where one of that name exists. After a crash they are left; their names are the first line of the output.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::Parser;

mod belief;
mod beliefs;
mod blob_wire;
mod cosmos_wire;
mod kit;
mod place;
mod report;
mod settings;
mod source_contract;
mod store_contract;

/// Settles on a real account what cosmirror believes of the services; against the emulator, whether that one agrees.
#[derive(Parser)]
#[command(name = "cosmirror-live-kit")]
pub(crate) struct Arguments {
    /// Only beliefs whose names contain one of these.
    names: Vec<String>,
    /// The accounts are those of cosmirror's emulator, whose control requests may be used.
    #[arg(long)]
    emulator: bool,
    /// Write what was seen to this file as well, as JSON.
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
    /// Print the beliefs' names and end.
    #[arg(long)]
    list: bool,
}

#[tokio::main]
async fn main() -> ExitCode {
    belief::keep_panics_quiet();
    let arguments = Arguments::parse();
    if arguments.list {
        beliefs::all().for_each(|belief| println!("{}", belief.name()));
        return ExitCode::SUCCESS;
    }
    match run(&arguments).await {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(message) => {
            eprintln!("error: {message}");
            ExitCode::from(2)
        }
    }
}

/// Runs what is wanted; whether nothing failed.
async fn run(arguments: &Arguments) -> Result<bool, String> {
    let is_wanted = |name: &str| arguments.names.is_empty() || arguments.names.iter().any(|part| name.contains(part));
    let wanted: Vec<_> = beliefs::all().filter(|belief| is_wanted(&belief.name())).collect();
    if wanted.is_empty() {
        return Err("no belief has such a name; --list prints them".to_owned());
    }
    let settings = settings::Settings::from_environment(arguments.emulator)?;
    let mut report = report::Report::new(&settings, arguments.json.as_deref())?;
    let signal = cosmirror::run::termination().map_err(|error| error.message)?;
    let kit = kit::Kit::open(settings).await?;
    println!("made: {}", kit.made());
    let held = tokio::select! {
        held = report.hold(&kit, &wanted) => held,
        signal = signal => Err(format!("interrupted by {signal}")),
    };
    let left = kit.remove().await;
    left.iter().for_each(|left| println!("left: {left}"));
    held?;
    report.end()
}
