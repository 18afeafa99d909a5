//! `emulator`: the local Cosmos and Blob endpoints, until a signal.

use std::path::Path;
use std::pin::pin;

use cosmirror_emulator::{BLOB_ACCOUNT, BindError, DataError, Emulator, Options};
use serde_json::json;
use tokio_util::sync::CancellationToken;

use super::Context;
use super::args::EmulatorArgs;
use crate::failure::{CommandError, Exit};
use crate::run::termination;

/// Runs the command.
pub(super) async fn run(args: EmulatorArgs, context: Context) -> Result<(), CommandError> {
    let options = Options { cosmos: args.cosmos, blob: args.blob };
    let mut emulator = Emulator::bind(options).await.map_err(refused)?;
    if let Some(folder) = &args.data {
        emulator = emulator.with_data(folder).map_err(|error| unusable(folder, &error))?;
    }
    let signal = termination()?;
    let cosmos = format!("http://{}/", emulator.cosmos_addr());
    let blob = format!("http://{}/{BLOB_ACCOUNT}", emulator.blob_addr());
    if context.output.format.is_json() {
        context.output.json(&json!({"cosmos": cosmos, "blob": blob}))?;
    } else {
        context.output.line(format!("cosmos {cosmos}"))?;
        context.output.line(format!("blob   {blob}"))?;
    }
    let stop = CancellationToken::new();
    let mut serving = pin!(emulator.serve(stop.clone()));
    let served = tokio::select! {
        served = &mut serving => served,
        _ = signal => {
            stop.cancel();
            serving.await
        }
    };
    served.map_err(|error| CommandError::new(Exit::Failure, error.to_string(), "start it again"))
}

fn unusable(folder: &Path, error: &DataError) -> CommandError {
    let remedy = match error {
        DataError::InUse { .. } => "end the other emulator, or choose another folder with --data".to_owned(),
        DataError::Folder { .. } => "choose a folder that can be written with --data".to_owned(),
        DataError::Journal(_) => {
            format!("move {} away to start empty, or bring back a sound copy of it", folder.display())
        }
    };
    CommandError::new(Exit::Usage, error.to_string(), remedy)
}

fn refused(error: BindError) -> CommandError {
    let BindError { service, address, source } = error;
    let (message, remedy) = if source.kind() == std::io::ErrorKind::AddrInUse {
        (
            format!("the {service} port of {address} is taken by another process"),
            format!("end that process, or choose another address with --{service}"),
        )
    } else {
        (
            format!("cannot listen on {address} for {service}: {source}"),
            format!("choose an address of this machine with --{service}"),
        )
    };
    CommandError::new(Exit::Usage, message, remedy)
}
