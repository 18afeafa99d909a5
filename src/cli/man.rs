//! `man`: the manual pages, of the program and of each command.

use std::io;

use clap::CommandFactory as _;

use super::args::ManArgs;
use super::{Cli, Context};
use crate::failure::{CommandError, Exit};

/// Runs the command.
pub(super) fn run(args: &ManArgs, context: &Context) -> Result<(), CommandError> {
    let Some(folder) = &args.out else {
        let mut page = Vec::new();
        clap_mangen::Man::new(Cli::command()).render(&mut page).map_err(|error| failed("the page", &error))?;
        return context.output.bytes(&page);
    };
    let shown = folder.display().to_string();
    std::fs::create_dir_all(folder).map_err(|error| failed(&shown, &error))?;
    clap_mangen::generate_to(Cli::command(), folder).map_err(|error| failed(&shown, &error))?;
    if context.output.format.is_json() {
        return context.output.json(&serde_json::json!({ "out": shown }));
    }
    context.output.line(format!("wrote the manual pages to {shown}"))
}

fn failed(what: &str, error: &io::Error) -> CommandError {
    CommandError::new(Exit::Failure, format!("cannot write {what}: {error}"), "name a folder that can be written")
}
