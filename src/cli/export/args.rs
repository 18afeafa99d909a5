//! The arguments of `export`.

use clap::{Args, ValueEnum};
use cosmirror_formats::export::Compression;
use jiff::Timestamp;

use crate::cli::args::{IdentityArgs, instant};
use crate::cli::restore::args::SideArg;
use crate::config::parse_size;
use crate::export::place::ExportPlace;

/// Arguments of `export`.
#[derive(Debug, Clone, Args)]
pub(crate) struct ExportArgs {
    /// As the documents were at the end of this second: RFC 3339, or relative such as -2h
    #[arg(long, value_name = "T", value_parser = instant, allow_hyphen_values = true, required_unless_present = "resume")]
    pub(crate) at: Option<Timestamp>,
    /// The directory to export to, which is created where it is missing, or blobs: https://ACCOUNT.blob.core.windows.net/CONTAINER/PREFIX
    /// in a container that is there. Either must be empty, or hold what an interrupted run left
    #[arg(long, value_name = "DIR|URL", value_parser = ExportPlace::parse)]
    pub(crate) out: ExportPlace,
    /// Only what is otherwise than in the earlier export in this place
    #[arg(long, value_name = "DIR|URL", value_parser = ExportPlace::parse)]
    pub(crate) since: Option<ExportPlace>,
    /// The containers; left out, those of the earlier export, or all that are configured
    #[arg(long = "source", value_name = "DATABASE/CONTAINER")]
    pub(crate) sources: Vec<String>,
    /// Go on with the unfinished export in the directory, as of the instant that was asked for then
    #[arg(long, conflicts_with = "at")]
    pub(crate) resume: bool,
    /// Bytes of lines in a file, at most; a larger document has a file of its own. Left out, 64MiB, and 8MiB in blobs
    #[arg(long, value_name = "SIZE", value_parser = file_size)]
    pub(crate) file_size: Option<u64>,
    /// How files are compressed
    #[arg(long, value_enum, default_value_t, value_name = "METHOD")]
    pub(crate) compress: CompressArg,
    /// Where a document changed within an interval and the mirror cannot tell when, as in latest-version mode: take the state
    /// before or after it. Left out, such documents are counted and left out
    #[arg(long, value_enum, value_name = "SIDE")]
    pub(crate) uncertain: Option<SideArg>,
    /// Where the mirror lacks what would tell a document's state: take the nearest state it has before or after. Left out, such
    /// documents are counted and left out
    #[arg(long, value_enum, value_name = "SIDE")]
    pub(crate) unknown: Option<SideArg>,
    /// What opens content that is encrypted; the export holds it in plain text
    #[command(flatten)]
    pub(crate) identity: IdentityArgs,
}

/// How files are compressed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum CompressArg {
    /// Not at all
    #[default]
    None,
    /// By Zstandard
    Zstd,
}

impl From<CompressArg> for Compression {
    fn from(arg: CompressArg) -> Self {
        match arg {
            CompressArg::None => Self::None,
            CompressArg::Zstd => Self::Zstd,
        }
    }
}

/// Reads a file's size; one of no bytes would make a file for each document by accident.
fn file_size(text: &str) -> Result<u64, String> {
    let size = parse_size(text)?;
    if size > 0 { Ok(size) } else { Err("a file has at least one byte".to_owned()) }
}
