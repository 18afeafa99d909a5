//! What a rate of changes costs: puts and growth on the target, request units on an idle source.
//!
//! The price is the list price of one write in a general-purpose account, hot tier, LRS, as of 2026; regions and redundancy differ by a
//! factor of two. It gives the order of magnitude to someone who is about to start, nothing more.

use super::rate::Sample;
use crate::config::{Config, Container, FeedMode, TargetKind};

/// US dollars for 10,000 writes. Source: "Azure Blob Storage pricing", write operations, hot, LRS.
const DOLLARS_PER_10_000_PUTS: f64 = 0.055;
/// A month of 30.4 days.
const SECONDS_PER_MONTH: f64 = 30.4 * 24.0 * 3_600.0;
/// A replace of a lease document, with its index. Source: "Request units in Azure Cosmos DB": about 10 for a write of 1 KB.
const LEASE_WRITE_UNITS: f64 = 10.0;
/// A query for the leases. Source: the same, about 3 for a small query.
const LEASE_QUERY_UNITS: f64 = 3.0;
const GIB: f64 = 1024.0 * 1024.0 * 1024.0;

/// As a sentence.
pub(super) fn told(sample: &Sample, config: &Config, container: &Container) -> String {
    // What nothing costs is known; what a change a second would cost is the measure for everything.
    let nothing = sample.per_second <= 0.0;
    let versions = if nothing { SECONDS_PER_MONTH } else { sample.per_second * SECONDS_PER_MONTH };
    let most = if container.feed == FeedMode::LatestVersion { "at most " } else { "" };
    let each = if nothing { "each change a second would be " } else { "" };
    let mut parts = vec![format!("{each}{most}{} versions a month", about(versions))];
    let kinds = config.targets.iter().map(|further| further.target.kind).chain([config.target.kind]);
    let accounts = kinds.filter(|kind| *kind == TargetKind::Azure).count();
    if accounts > 0 {
        let dollars = versions * accounts as f64 / 10_000.0 * DOLLARS_PER_10_000_PUTS;
        let where_to = if accounts > 1 { format!(", in {accounts} accounts") } else { String::new() };
        parts.push(format!("about {} USD for their puts{where_to}", about(dollars)));
    }
    if let Some(bytes) = sample.document_bytes {
        parts.push(format!("{} GiB of growth a month", about(versions * bytes / GIB)));
    }
    let idle = idle_units(sample, config);
    let a_second = about(idle / SECONDS_PER_MONTH);
    let compares = container.feed == FeedMode::LatestVersion && !config.reconcile.interval.is_zero();
    let rest = if compares {
        ", without the comparisons of reconcile.interval, which read the ids of the whole container"
    } else {
        ""
    };
    format!("{}; {} request units a month when idle ({a_second} a second){rest}", parts.join(", "), about(idle))
}

/// Request units a month while nothing changes.
fn idle_units(sample: &Sample, config: &Config) -> f64 {
    let times = |interval: std::time::Duration| SECONDS_PER_MONTH / interval.as_secs_f64().max(0.001);
    let ranges = sample.ranges as f64;
    let polls = ranges * times(config.source.poll_interval_idle_max) * sample.poll_units;
    let renewals = ranges * times(config.leases.renew_interval) * LEASE_WRITE_UNITS;
    polls + renewals + times(config.leases.acquire_interval) * LEASE_QUERY_UNITS
}

/// A number with two digits that count.
pub(super) fn about(number: f64) -> String {
    for (unit, name) in [(1e9, " billion"), (1e6, " million"), (1e3, " thousand")] {
        if number >= unit * 0.9995 {
            return format!("{}{name}", digits(number / unit));
        }
    }
    digits(number)
}

fn digits(number: f64) -> String {
    match number {
        n if n <= 0.0 => "0".to_owned(),
        n if n < 0.01 => "less than 0.01".to_owned(),
        n if n < 1.0 => format!("{n:.2}"),
        n if n < 10.0 => format!("{n:.1}"),
        n => format!("{n:.0}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rate_is_priced_and_nothing_is_priced_as_one_change_a_second() {
        let mut config = Config::default();
        let container: Container = serde_json::from_str(r#"{"database":"shop","container":"orders"}"#).unwrap();
        let mut sample = Sample::new(2.0, 3, 2.0, Some(1_024.0));
        let told_of = |sample: &Sample, config: &Config| told(sample, config, &container);
        let of_two = told_of(&sample, &config);
        assert!(of_two.starts_with("5.3 million versions a month, about 29 USD for their puts, 5.0 GiB"), "{of_two}");
        assert!(of_two.contains("request units a month when idle ("), "{of_two}");
        sample.per_second = 0.0;
        let of_none = told_of(&sample, &config);
        assert!(
            of_none.starts_with("each change a second would be 2.6 million versions a month, about 14"),
            "{of_none}"
        );
        assert!(!of_none.contains("reconcile.interval"), "{of_none}");
        let latest = Container { feed: FeedMode::LatestVersion, ..container.clone() };
        assert!(told(&sample, &config, &latest).ends_with("read the ids of the whole container"));
        config.target.kind = TargetKind::Directory;
        assert!(!told_of(&sample, &config).contains("USD"));
    }

    #[test]
    fn numbers_have_the_digits_that_count() {
        let shown = [0.0, 0.001, 0.123, 2.5, 42.4, 1_000.0, 2_630_000.0, 5.2e9].map(about);
        assert_eq!(shown, ["0", "less than 0.01", "0.12", "2.5", "42", "1.0 thousand", "2.6 million", "5.2 billion"]);
    }
}
