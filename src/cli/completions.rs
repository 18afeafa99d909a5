//! `completions`: a script that makes a shell complete commands and options.

use clap::CommandFactory as _;

use super::args::CompletionsArgs;
use super::{Cli, Context};
use crate::failure::CommandError;

/// Runs the command.
pub(super) fn run(args: &CompletionsArgs, context: &Context) -> Result<(), CommandError> {
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut Cli::command(), "cosmirror", &mut script);
    context.output.bytes(&script)
}
