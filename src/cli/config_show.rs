//! `config show`: every setting with where its value comes from.
//!
//! The configuration holds no secrets, only the names of variables and files that do; of those it is told whether they give one.

use std::path::Path;

use serde::Serialize;
use serde_json::Value;

use super::Context;
use crate::config::{Config, Origin, SourceAuth, Target, TargetAuth, TargetKind, resolve_secret, settings};
use crate::failure::CommandError;

#[derive(Serialize)]
struct Shown {
    settings: Vec<Setting>,
    secrets: Vec<Secret>,
}

#[derive(Serialize)]
struct Setting {
    key: String,
    value: Value,
    origin: String,
}

#[derive(Serialize)]
struct Secret {
    key: String,
    origin: String,
    available: bool,
    /// Why it is not.
    problem: Option<String>,
}

/// Runs the command.
pub(super) async fn run(context: Context) -> Result<(), CommandError> {
    let config = &context.config.config;
    let origin = |key: &str| context.config.origins.get(key).unwrap_or(&Origin::Default).to_string();
    let all = settings(config).into_iter();
    let settings = all.map(|(key, value)| Setting { origin: origin(&key), key, value }).collect();
    let shown = Shown { settings, secrets: secrets(config) };
    if context.output.format.is_json() {
        return context.output.json(&shown);
    }
    for Setting { key, value, origin } in &shown.settings {
        // TOML has no null: what is not set is left out.
        if !value.is_null() {
            context.output.line(format!("{key} = {value}  # {origin}"))?;
        }
    }
    for Secret { key, origin, problem, .. } in &shown.secrets {
        match problem {
            None => context.output.line(format!("{key} = ***  # {origin}"))?,
            Some(problem) => context.output.line(format!("{key} is missing  # {problem}"))?,
        }
    }
    Ok(())
}

fn secrets(config: &Config) -> Vec<Secret> {
    let mut secrets = Vec::new();
    let (source, target) = (&config.source, &config.target);
    if source.auth == SourceAuth::Key {
        secrets.push(secret("source.key", &source.key_env, source.key_file.as_deref()));
    }
    secrets.extend(of_target("target", target));
    for (at, further) in config.targets.iter().enumerate() {
        secrets.extend(of_target(&format!("targets[{at}]"), &further.target));
    }
    let admin = &config.admin;
    if admin.token_file.is_some() || std::env::var_os(&admin.token_env).is_some() || admin.jobs {
        secrets.push(secret("admin.token", &admin.token_env, admin.token_file.as_deref()));
    }
    if admin.heartbeat_url_file.is_some() || std::env::var_os(&admin.heartbeat_url_env).is_some() {
        let (env, file) = (&admin.heartbeat_url_env, admin.heartbeat_url_file.as_deref());
        secrets.push(secret("admin.heartbeat_url", env, file));
    }
    secrets
}

fn of_target(at: &str, target: &Target) -> Option<Secret> {
    match (target.kind, target.auth) {
        (TargetKind::Azure, TargetAuth::SharedKey) => {
            Some(secret(&format!("{at}.key"), &target.key_env, target.key_file.as_deref()))
        }
        (TargetKind::Azure, TargetAuth::Sas) => {
            Some(secret(&format!("{at}.sas"), &target.sas_env, target.sas_file.as_deref()))
        }
        _ => None,
    }
}

fn secret(key: &str, env: &str, file: Option<&Path>) -> Secret {
    let problem = resolve_secret(env, file).err();
    let origin = match file {
        Some(file) => Origin::File(file.to_owned()),
        None => Origin::Environment(env.to_owned()),
    };
    Secret { key: key.to_owned(), origin: origin.to_string(), available: problem.is_none(), problem }
}
