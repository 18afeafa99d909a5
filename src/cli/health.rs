//! `health`: asks a running daemon whether it is ready.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use serde_json::json;

use super::Context;
use super::args::HealthArgs;
use crate::failure::{CommandError, Exit};

/// Container runtimes give a probe a few seconds; this stays below what they commonly allow.
const ANSWER_DEADLINE: Duration = Duration::from_secs(5);
/// Longest answer that is shown, in bytes.
const ANSWER_BYTES_MAX: usize = 16 * 1024;

/// Runs the command.
pub(super) async fn run(args: HealthArgs, context: Context) -> Result<(), CommandError> {
    let url = match args.url {
        Some(url) => url,
        None => readiness_url(&context.config.config.admin.listen),
    };
    let url = reqwest::Url::parse(&url)
        .map_err(|error| CommandError::new(Exit::Usage, format!("--url {url:?}: {error}"), "give a whole URL"))?;
    let (status, answer) = ask(&url).await.map_err(|error| {
        let message = format!("nothing answers at {url}: {error}");
        CommandError::new(Exit::Failure, message, "start the daemon, or name its address with --url")
    })?;
    let ready = status == 200;
    if context.output.format.is_json() {
        context.output.json(&json!({"url": url.as_str(), "status": status, "ready": ready, "answer": answer}))?;
    } else if ready {
        context.output.line(&answer)?;
    }
    if ready {
        return Ok(());
    }
    let reasons = answer.lines().collect::<Vec<_>>().join(", ");
    Err(CommandError::new(Exit::Failure, format!("not ready ({status}): {reasons}"), ""))
}

async fn ask(url: &reqwest::Url) -> Result<(u16, String), String> {
    // A daemon is asked directly: a proxy's answer would say nothing about it.
    let client = reqwest::Client::builder().timeout(ANSWER_DEADLINE).no_proxy().build().map_err(|e| causes(&e))?;
    let mut response = client.get(url.clone()).send().await.map_err(|e| causes(&e.without_url()))?;
    let status = response.status().as_u16();
    let mut body = Vec::new();
    while let Some(chunk) = response.chunk().await.map_err(|e| causes(&e.without_url()))? {
        body.extend_from_slice(&chunk);
        if body.len() >= ANSWER_BYTES_MAX {
            body.truncate(ANSWER_BYTES_MAX);
            break;
        }
    }
    Ok((status, String::from_utf8_lossy(&body).trim_end().to_owned()))
}

/// The innermost cause names what happened; the outer ones only say that a request failed.
fn causes(error: &dyn std::error::Error) -> String {
    let mut innermost = error;
    while let Some(source) = innermost.source() {
        innermost = source;
    }
    innermost.to_string()
}

/// A daemon that listens on every address is asked on this machine's own.
fn readiness_url(listen: &str) -> String {
    let Ok(mut address) = listen.parse::<SocketAddr>() else { return format!("http://{listen}/readyz") };
    match address.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => address.set_ip(Ipv4Addr::LOCALHOST.into()),
        IpAddr::V6(ip) if ip.is_unspecified() => address.set_ip(Ipv6Addr::LOCALHOST.into()),
        _ => {}
    }
    format!("http://{address}/readyz")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_address_is_asked_through_loopback() {
        assert_eq!(readiness_url("0.0.0.0:9464"), "http://127.0.0.1:9464/readyz");
        assert_eq!(readiness_url("[::]:9464"), "http://[::1]:9464/readyz");
        assert_eq!(readiness_url("10.0.0.7:80"), "http://10.0.0.7:80/readyz");
    }
}
