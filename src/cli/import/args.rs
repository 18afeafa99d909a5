//! The arguments of `import`.

use std::path::PathBuf;

use clap::Args;

use crate::cli::args::container_name;
use crate::cli::restore::args::OverwriteArg;
use crate::export::place::ExportPlace;

/// What its options stand under in the help.
const INPUT: &str = "What is imported";
const WRITING: &str = "Where to, and what happens to what is there";
const PACE: &str = "How fast, and how much may fail";

/// Arguments of `import`.
#[derive(Debug, Clone, Args)]
pub(crate) struct ImportArgs {
    /// The place of an export, a folder or the URL of blobs, and behind it those that build on it, in order; or one file of documents:
    /// NDJSON or a JSON array, compressed by Zstandard or not; - is standard input
    #[arg(required = true, value_name = "DIR|URL|FILE", value_parser = ExportPlace::parse)]
    pub(crate) paths: Vec<ExportPlace>,
    /// Of an export only these containers; left out, all that it has
    #[arg(long = "source", value_name = "DATABASE/CONTAINER", help_heading = INPUT)]
    pub(crate) sources: Vec<String>,
    /// Collect lines that cannot be used in this file and import the others; left out, one such line and nothing is written
    #[arg(long, value_name = "FILE", help_heading = INPUT)]
    pub(crate) skip_bad: Option<PathBuf>,
    /// Import into this container; its partition key must be that of the export. Left out, the documents of an export go into the
    /// containers of the names that they come from
    #[arg(long, value_name = "DATABASE/CONTAINER", value_parser = container_name, help_heading = WRITING)]
    pub(crate) into: Option<String>,
    /// Import into this account; left out, the configured one
    #[arg(long, value_name = "URL", help_heading = WRITING)]
    pub(crate) account: Option<String>,
    /// Create the containers that are missing, with the settings in the export
    #[arg(long, help_heading = WRITING)]
    pub(crate) create: bool,
    /// What happens to documents that exist and have another content
    #[arg(long, value_enum, default_value_t, value_name = "POLICY", help_heading = WRITING)]
    pub(crate) overwrite: OverwriteArg,
    /// Say what would be done and do nothing
    #[arg(long, help_heading = WRITING)]
    pub(crate) dry_run: bool,
    /// Do not ask
    #[arg(long, help_heading = WRITING)]
    pub(crate) yes: bool,
    /// Where to keep how far it is, so that an interrupted import goes on; left out, import-<digest>.progress in the working
    /// directory. It is removed at the end
    #[arg(long, value_name = "FILE", help_heading = WRITING)]
    pub(crate) progress: Option<PathBuf>,
    /// Request units per second to take at most; 0 is no limit. Left out, the configuration's source.request_units_per_second_max
    #[arg(long, value_name = "N", help_heading = PACE)]
    pub(crate) request_units_per_second: Option<u32>,
    /// Documents at a time, at most; a container that is asked too much gets fewer
    #[arg(
        long, value_name = "N", default_value_t = 16, value_parser = clap::value_parser!(u32).range(1..=512),
        help_heading = PACE
    )]
    pub(crate) concurrency: u32,
    /// Stop when so many documents have failed; left out, go on with the others
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..), help_heading = PACE)]
    pub(crate) max_failures: Option<u64>,
}
