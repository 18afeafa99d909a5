//! Settings that are valid and unwise, and whether the secrets can be read. A pure function but for the secrets.

use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;

use azure_core::http::Url;

use super::findings::{
    Finding, LISTENS_TO_OTHERS, NO_BEGINNING, NO_MARGIN, NO_RECONCILIATION, NO_SECRET, ODD_RETENTION, POLLS_OFTEN,
};
use super::report::Report;
use crate::admin::Access;
use crate::config::{Config, FeedMode, SourceAuth, Start, TargetAuth, TargetKind, format_duration, resolve_secret};
use crate::encryption::Recipients;

const NAME: &str = "configuration";
const SECRETS: &str = "configuration.secrets";
const POLL_INTERVAL_WISE: Duration = Duration::from_millis(100);
/// The two periods of continuous backup that there are.
const RETENTIONS: [Duration; 2] = [Duration::from_hours(7 * 24), Duration::from_hours(30 * 24)];

/// Looks at them. What is for a daemon alone is left out where a mirror is only read.
pub(super) fn check(config: &Config, reads_only: bool, report: &mut Report) {
    if reads_only {
        return secrets(config, report);
    }
    let unwise = unwise(config);
    if unwise.is_empty() {
        let containers = config.containers.len();
        let plural = if containers == 1 { "" } else { "s" };
        report.ok(NAME, None, format!("valid; {containers} container{plural} to follow"));
    }
    for (finding, setting, detail) in unwise {
        report.found(&finding, Some(&setting), format!("{setting}: {detail}"));
    }
    encryption(config, report);
    secrets(config, report);
}

/// To whom content is encrypted. That the keys are some was found out when the configuration was read.
fn encryption(config: &Config, report: &mut Report) {
    let detail = match Recipients::configured(&config.target.recipients) {
        Ok(Some(recipients)) => {
            let keys = &recipients.encryption().recipients;
            let plural = if keys.len() == 1 { "key" } else { "keys" };
            format!("content is encrypted to {} {plural}: {}", keys.len(), keys.join(", "))
        }
        Ok(None) | Err(_) => "content is stored as it comes: target.recipients is empty".to_owned(),
    };
    report.ok("configuration.encryption", Some("target.recipients"), detail);
}

fn unwise(config: &Config) -> Vec<(Finding, String, String)> {
    let source = &config.source;
    let mut all = Vec::new();
    let mut add = |finding: Finding, setting: &str, detail: String| all.push((finding, setting.to_owned(), detail));
    if config.admin.listen.parse::<SocketAddr>().is_ok_and(|address| !address.ip().is_loopback()) {
        add(LISTENS_TO_OTHERS, "admin.listen", format!("{} is open to other machines", config.admin.listen));
    }
    let polls = [
        ("source.poll_interval", source.poll_interval),
        ("source.poll_interval_idle_max", source.poll_interval_idle_max),
    ];
    if let Some((setting, interval)) = polls.into_iter().find(|(_, interval)| *interval < POLL_INTERVAL_WISE) {
        add(POLLS_OFTEN, setting, format!("{} between polls", format_duration(interval)));
    }
    let all_versions = config.containers.iter().any(|container| container.feed == FeedMode::AllVersionsAndDeletes);
    if all_versions && !RETENTIONS.contains(&source.feed_retention) {
        let retention = format_duration(source.feed_retention);
        add(ODD_RETENTION, "source.feed_retention", format!("{retention}; continuous backup keeps 7d or 30d"));
    }
    if source.staleness_margin.is_zero() && !is_of_this_machine(&source.endpoint) {
        add(NO_MARGIN, "source.staleness_margin", "no lag of a replica is allowed for".to_owned());
    }
    for (at, container) in config.containers.iter().enumerate() {
        let name = format!("{}/{}", container.database, container.container);
        if container.start != Start::Beginning {
            let detail = format!("{name} is not read from the beginning, so no instant of it can be restored");
            add(NO_BEGINNING, &format!("containers[{at}].start"), detail);
        }
        if container.feed == FeedMode::LatestVersion && config.reconcile.interval.is_zero() {
            add(NO_RECONCILIATION, "reconcile.interval", format!("nobody looks for deletes of {name}"));
        }
    }
    all
}

fn is_of_this_machine(endpoint: &str) -> bool {
    let Ok(url) = endpoint.parse::<Url>() else { return false };
    let host = url.host_str().unwrap_or_default().trim_matches(['[', ']']);
    host == "localhost" || host.parse::<std::net::IpAddr>().is_ok_and(|address| address.is_loopback())
}

fn secrets(config: &Config, report: &mut Report) {
    let mut told = Vec::new();
    let mut missing = false;
    let mut look = |setting: &str, what: &str, env: &str, file: Option<&Path>| match resolve_secret(env, file) {
        Ok(_) => told.push(format!("{setting}: {what}")),
        Err(why) => {
            missing = true;
            report.found(&NO_SECRET, Some(setting), format!("{setting}: {why}"));
        }
    };
    let (source, target) = (&config.source, &config.target);
    if source.auth == SourceAuth::Key {
        look("source", "a key, where an identity would need no secret", &source.key_env, source.key_file.as_deref());
    }
    let further = config.targets.iter().map(|further| (further.name.as_str(), &further.target));
    for (name, target) in [("target", target)].into_iter().chain(further) {
        let (key, sas) = ("a key, which may do everything", "a SAS token, which ends");
        match (target.kind, target.auth) {
            (TargetKind::Azure, TargetAuth::SharedKey) => look(name, key, &target.key_env, target.key_file.as_deref()),
            (TargetKind::Azure, TargetAuth::Sas) => look(name, sas, &target.sas_env, target.sas_file.as_deref()),
            _ => {}
        }
    }
    let admin = &config.admin;
    if let Err(refused) = Access::open(admin) {
        missing = true;
        report.found(&NO_SECRET, Some("admin"), format!("admin: {}", refused.message));
    }
    if admin.heartbeat_url_file.is_some()
        && let Err(why) = resolve_secret(&admin.heartbeat_url_env, admin.heartbeat_url_file.as_deref())
    {
        missing = true;
        report.found(&NO_SECRET, Some("admin"), format!("admin.heartbeat_url: {why}"));
    }
    if !missing {
        let detail = if told.is_empty() { "none is needed".to_owned() } else { format!("there; {}", told.join("; ")) };
        report.ok(SECRETS, None, detail);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Container;

    fn config() -> Config {
        let container = Container {
            database: "shop".to_owned(),
            container: "orders".to_owned(),
            feed: FeedMode::default(),
            start: Start::default(),
            versions_per_minute_max: 0,
        };
        Config { containers: vec![container], ..Config::default() }
    }

    #[test]
    fn the_defaults_are_wise() {
        assert_eq!(unwise(&config()), []);
    }

    #[test]
    fn each_unwise_setting_is_named() {
        let mut config = config();
        config.admin.listen = "0.0.0.0:9464".to_owned();
        config.source.poll_interval = Duration::from_millis(99);
        config.source.feed_retention = Duration::from_hours(24);
        config.source.staleness_margin = Duration::ZERO;
        config.source.endpoint = "https://shop.documents.azure.com/".to_owned();
        let mut of_latest = config.containers[0].clone();
        of_latest.feed = FeedMode::LatestVersion;
        of_latest.start = Start::Now;
        config.containers.push(of_latest);
        config.reconcile.interval = Duration::ZERO;
        let settings: Vec<String> = unwise(&config).into_iter().map(|(_, setting, _)| setting).collect();
        let expected = [
            "admin.listen",
            "source.poll_interval",
            "source.feed_retention",
            "source.staleness_margin",
            "containers[1].start",
            "reconcile.interval",
        ];
        assert_eq!(settings, expected);
        config.source.endpoint = "http://[::1]:8081/".to_owned();
        assert!(!unwise(&config).iter().any(|(finding, ..)| *finding == NO_MARGIN), "an emulator has no lag");
    }
}
