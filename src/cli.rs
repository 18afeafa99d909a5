//! The command line: one file per command, and what they share.
//!
//! | file | what it holds |
//! |---|---|
//! | `cli/args.rs` | the arguments of every command |
//! | `cli/context.rs` | what every command gets |
//! | `cli/mirror.rs` | a mirror in place of a configuration |
//! | `cli/output.rs` | data on standard output, errors on standard error |
//! | `cli/help.rs` | examples, and what exit codes mean |
//! | `cli/logging.rs` | logs on standard error |
//! | `cli/<command>.rs` | the command: `run(args, context)` |
//!
//! Names, exit codes and JSON fields are a contract with scripts. A command ends with `Ok` and code 0, or with a
//! [`CommandError`] that carries its code, one line, and the way out.

use std::ffi::OsString;
use std::path::PathBuf;

use clap::{CommandFactory as _, FromArgMatches as _, Parser, Subcommand};
use tokio::task::JoinSet;

use crate::config::{self, Loaded, MirrorUrl, Override};
use crate::failure::{CommandError, Exit};

pub mod args;
mod check;
mod completions;
mod config_show;
mod context;
mod dead_letters;
#[cfg(feature = "emulator")]
mod demo;
mod diff;
#[cfg(feature = "emulator")]
mod emulator;
mod export;
mod gaps;
mod health;
mod help;
mod history;
mod import;
mod interrupt;
mod logging;
mod man;
mod mirror;
pub mod output;
mod purge;
mod rehearse;
mod restore;
mod run;
mod show;
mod status;
mod table;
mod verify;

#[cfg(feature = "emulator")]
use args::EmulatorArgs;
use args::{ConfigCommand, DeadLettersCommand, GapsCommand, HealthArgs};
pub use context::Context;
use logging::Speaker;
pub use output::{Format, Output};

/// What the options of every command stand under.
const GLOBAL: &str = "Options of every command";

/// Follows the change feed of Azure Cosmos DB containers and keeps every version of every document in a blob.
#[derive(Debug, Parser)]
#[command(name = "cosmirror", version, propagate_version = false, max_term_width = 120, after_long_help = help::TOP)]
pub struct Cli {
    /// Configuration file (TOML); COSMIRROR_CONFIG names one too
    #[arg(short, long, global = true, value_name = "FILE", help_heading = GLOBAL)]
    config: Option<PathBuf>,

    /// One setting, stronger than file and environment, such as admin.listen=127.0.0.1:9465; repeats
    #[arg(long, global = true, value_name = "KEY=VALUE", value_parser = args::setting, help_heading = GLOBAL)]
    set: Vec<Override>,

    /// A mirror in place of a configuration, for when there is none any more: https://ACCOUNT.blob.core.windows.net/CONTAINER[/PREFIX], or a
    /// directory. No file is read, and neither its source nor the leases are asked
    #[arg(long, global = true, value_name = "URL", help_heading = GLOBAL)]
    mirror: Option<String>,

    /// The target whose mirror the command works with: "first", or a name of [[targets]]; left out, the first
    #[arg(long, global = true, value_name = "NAME", help_heading = GLOBAL)]
    target: Option<String>,

    /// Form of the data on standard output, and of errors
    #[arg(short, long, global = true, value_enum, default_value_t, value_name = "FORMAT", help_heading = GLOBAL)]
    output: Format,

    /// Form of the logs on standard error
    #[arg(long, global = true, value_enum, default_value_t, value_name = "FORMAT", help_heading = GLOBAL)]
    log_format: logging::LogFormat,

    /// More logs; twice for everything
    #[arg(short, long, global = true, action = clap::ArgAction::Count, help_heading = GLOBAL)]
    verbose: u8,

    /// Only errors
    #[arg(short, long, global = true, conflicts_with = "verbose", help_heading = GLOBAL)]
    quiet: bool,

    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Follow the configured containers and keep every version of every document
    #[command(after_long_help = help::RUN)]
    Run(args::RunArgs),
    /// Show the product at work: emulator, documents and daemon in one process
    #[cfg(feature = "emulator")]
    #[command(after_long_help = help::DEMO)]
    Demo(args::DemoArgs),
    /// Audit settings, accounts, rights and cost before the first write
    #[command(after_long_help = help::CHECK)]
    Check(args::CheckArgs),
    /// Show how far each container is mirrored, and each range of it
    #[command(after_long_help = help::STATUS)]
    Status(args::StatusArgs),
    /// List the versions of a document, oldest first
    #[command(after_long_help = help::HISTORY)]
    History(args::HistoryArgs),
    /// Print a document as it is, was at an instant, or in a version
    #[command(after_long_help = help::SHOW)]
    Show(args::ShowArgs),
    /// Tell what changed in a document; ends with 1 where the states differ
    #[command(after_long_help = help::DIFF)]
    Diff(args::DiffArgs),
    /// Put documents back as they were
    #[command(after_long_help = help::RESTORE)]
    Restore(Box<restore::args::RestoreArgs>),
    /// Write documents as they were at an instant into files
    #[command(after_long_help = help::EXPORT)]
    Export(Box<export::args::ExportArgs>),
    /// Write documents from files into containers
    #[command(after_long_help = help::IMPORT)]
    Import(Box<import::args::ImportArgs>),
    /// Restore a sample into a scratch container, and compare it
    #[command(after_long_help = help::REHEARSE)]
    Rehearse(args::RehearseArgs),
    /// Look at the intervals for which history is incomplete
    #[command(subcommand)]
    Gaps(GapsCommand),
    /// Look at changes that could not be stored, and replay them
    #[command(subcommand)]
    DeadLetters(DeadLettersCommand),
    /// Compare source and mirror, and repair what differs
    #[command(after_long_help = help::VERIFY)]
    Verify(args::VerifyArgs),
    /// Erase all that is stored of a document, and keep it away
    #[command(after_long_help = help::PURGE)]
    Purge(args::PurgeArgs),
    /// Run local Cosmos and Blob endpoints, in memory
    #[cfg(feature = "emulator")]
    #[command(after_long_help = help::EMULATOR)]
    Emulator(EmulatorArgs),
    /// Ask a running daemon whether it is ready; for container health checks
    #[command(after_long_help = help::HEALTH)]
    Health(HealthArgs),
    /// Look at the configuration
    #[command(subcommand)]
    Config(ConfigCommand),
    /// Print a script that makes a shell complete commands and options
    #[command(after_long_help = help::COMPLETIONS)]
    Completions(args::CompletionsArgs),
    /// Print the manual page, or write one for each command
    #[command(after_long_help = help::MAN)]
    Man(args::ManArgs),
}

impl Command {
    /// Whether the command works by the configuration. One that does not must not fail on a broken one.
    fn reads_configuration(&self) -> bool {
        match self {
            #[cfg(feature = "emulator")]
            Self::Emulator(_) | Self::Demo(_) => false,
            Self::Run(_) | Self::Check(_) | Self::Status(_) | Self::History(_) | Self::Show(_) | Self::Diff(_) => true,
            Self::Restore(_) | Self::Rehearse(_) | Self::Verify(_) | Self::Purge(_) => true,
            Self::Export(_) | Self::Import(_) => true,
            Self::Health(health) => health.url.is_none(),
            Self::Completions(_) | Self::Man(_) => false,
            Self::Gaps(_) | Self::DeadLetters(_) | Self::Config(_) => true,
        }
    }

    /// Whether the command works with containers, whoever names them.
    fn needs_containers(&self) -> bool {
        self.reads_configuration() && !matches!(self, Self::Config(_) | Self::Health(_))
    }

    /// Long-running commands say what they do; the others speak when something is wrong.
    fn speaker(&self) -> Speaker {
        match self {
            Self::Run(run) if !run.once => Speaker::Daemon,
            _ if self.is_service() => Speaker::Service,
            _ => Speaker::Command,
        }
    }

    fn is_service(&self) -> bool {
        match self {
            #[cfg(feature = "emulator")]
            Self::Emulator(_) => true,
            #[cfg(feature = "emulator")]
            Self::Demo(_) => false,
            Self::Run(_) => true,
            Self::Check(_)
            | Self::Status(_)
            | Self::History(_)
            | Self::Show(_)
            | Self::Diff(_)
            | Self::Restore(_)
            | Self::Export(_)
            | Self::Import(_)
            | Self::Rehearse(_)
            | Self::Gaps(_)
            | Self::DeadLetters(_)
            | Self::Verify(_)
            | Self::Purge(_)
            | Self::Health(_)
            | Self::Completions(_)
            | Self::Man(_)
            | Self::Config(_) => false,
        }
    }
}

/// The command line as read, or the answer to give at once: help, a version, or what is wrong with it.
pub fn parse(arguments: Vec<OsString>) -> Result<Cli, Box<clap::Error>> {
    let command = Cli::command();
    command
        .try_get_matches_from(dead_letters::with_names(arguments))
        .and_then(|matches| Cli::from_arg_matches(&matches))
        .map_err(Box::new)
}

impl Cli {
    /// The form in which this command line wants its errors.
    pub fn format(&self) -> Format {
        self.output
    }

    /// The mirror that stands in place of a configuration. The message repeats nothing of what was given, which may hold a secret.
    fn mirror(&self) -> Result<Option<MirrorUrl>, CommandError> {
        let usage = |message: String, remedy| Err(CommandError::new(Exit::Usage, message, remedy));
        if self.target.is_some() && matches!(self.command, Command::Run(_)) {
            let remedy = "leave --target out: the daemon follows for every target of its configuration";
            return usage("--target is not for run".to_owned(), remedy);
        }
        let Some(text) = self.mirror.as_deref() else { return Ok(None) };
        if self.command.is_service() || !self.command.reads_configuration() {
            return usage("--mirror is not for this command".to_owned(), "it is for commands that read a mirror");
        }
        if self.target.is_some() {
            return usage(
                "--mirror names one place, and --target chooses among several".to_owned(),
                "leave one of both out",
            );
        }
        match MirrorUrl::parse(text) {
            Ok(mirror) => Ok(Some(mirror)),
            Err(fault) => usage(
                format!("--mirror {fault}"),
                "the form is https://ACCOUNT.blob.core.windows.net/CONTAINER[/PREFIX], or a directory",
            ),
        }
    }

    /// Does what the command line asks for.
    pub async fn execute(self) -> Result<(), CommandError> {
        if self.output == Format::JsonPatch && !matches!(self.command, Command::Diff(_)) {
            return Err(CommandError::new(Exit::Usage, "-o json-patch is for diff only", "use -o json"));
        }
        // Dropped at the end, when all has been said.
        let _beside = logging::start(self.log_format, self.verbose, self.quiet, self.command.speaker())?;
        let mirror = self.mirror()?;
        let config = match &mirror {
            Some(mirror) => config::load_mirror(mirror, &self.set)?,
            None if self.command.reads_configuration() => config::load(self.config.as_deref(), &self.set)?,
            None => Loaded::default(),
        };
        let (targets, output) = (config.config.clone(), Output::new(self.output));
        let mut context = Context { config, targets, target: None, mirror, account: None, output };
        if let Some(name) = &self.target {
            context = context.on_target(name)?;
        }
        if self.command.needs_containers() {
            context = mirror::with_its_containers(context).await?;
        }
        match self.command {
            #[cfg(feature = "emulator")]
            Command::Emulator(args) => emulator::run(args, context).await,
            #[cfg(feature = "emulator")]
            Command::Demo(args) => demo::run(args).await,
            Command::Run(args) => run::run(args, context).await,
            Command::Check(args) => check::run(&args, &context).await,
            Command::Status(args) => status::run(&args, &context).await,
            Command::History(args) => history::run(&args, &context).await,
            Command::Show(args) => show::run(&args, &context).await,
            Command::Diff(args) => diff::run(&args, &context).await,
            Command::Restore(args) => on_a_worker(async move { restore::run(&args, &context).await }).await,
            Command::Export(args) => on_a_worker(async move { export::run(&args, &context).await }).await,
            Command::Import(args) => on_a_worker(async move { import::run(&args, &context).await }).await,
            Command::Rehearse(args) => rehearse::run(&args, &context).await,
            Command::Gaps(GapsCommand::List(args)) => gaps::list(&args, &context).await,
            Command::DeadLetters(command) => dead_letters::run(&command, &context).await,
            Command::Verify(args) => verify::run(&args, &context).await,
            Command::Purge(args) => purge::run(&args, &context).await,
            Command::Health(args) => health::run(args, context).await,
            Command::Completions(args) => completions::run(&args, &context),
            Command::Man(args) => man::run(&args, &context),
            Command::Config(ConfigCommand::Show) => config_show::run(context).await,
        }
    }
}

/// Does the work on one of the runtime's threads, where the connections are: each answer that has to cross to the main thread costs two
/// switches of threads. Dropped, the work ends.
async fn on_a_worker<T: Send + 'static>(work: impl Future<Output = T> + Send + 'static) -> T {
    let mut worker = JoinSet::new();
    worker.spawn(work);
    match worker.join_next().await {
        Some(Ok(done)) => done,
        Some(Err(error)) if error.is_panic() => std::panic::resume_unwind(error.into_panic()),
        // Nobody else can end it.
        _ => std::future::pending().await,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn a_dead_letter_of_the_first_range_begins_with_a_hyphen_and_flags_stay_flags() {
        let line = "cosmirror dead-letters replay -FF/1.json --dry-run -05C1/2.json -o json --source db/c -c/dir/file";
        let cli = parse(line.split(' ').map(OsString::from).collect()).unwrap();
        let Command::DeadLetters(DeadLettersCommand::Replay(args)) = &cli.command else { panic!("{cli:?}") };
        assert_eq!(args.names.len(), 2);
        assert!(args.names[0].ends_with("/-FF/1.json") && args.names[1].ends_with("/-05C1/2.json"), "{args:?}");
        assert!(args.dry_run && !args.all && args.sources == ["db/c"] && cli.output == Format::Json);
        for wrong in
            ["cosmirror dead-letters replay", "cosmirror dead-letters replay a --all", "cosmirror history -FF/1.json"]
        {
            assert!(parse(wrong.split(' ').map(OsString::from).collect()).is_err(), "{wrong}");
        }
    }
}
