//! The Cosmos account: whether it answers, whom it accepts, and where it takes writes.

use azure_core::http::Url;

use super::bounds::Bounds;
use super::clock::{self, Service};
use super::findings::{SEVERAL_WRITERS, SOURCE_CLOCK_FAR, SOURCE_CLOCK_OFF, SOURCE_REFUSED, SOURCE_SILENT};
use super::report::Report;
use crate::config::Config;
use crate::cosmos::{Account, AccountProperties, Location};
use crate::failure::Failure;

const ACCOUNT: &str = "source.account";
const WRITE_REGIONS: &str = "source.write-regions";

/// Looks at it; gives the connection where the account accepts us.
pub(super) async fn check(config: &Config, bounds: &Bounds) -> (Report, Option<Account>) {
    let mut report = Report::default();
    let shown = &config.source.endpoint;
    let service = Service {
        reachable: "source.reachable",
        clock: "source.clock",
        silent: SOURCE_SILENT,
        far: SOURCE_CLOCK_FAR,
        off: SOURCE_CLOCK_OFF,
    };
    // Validation has seen to it that it is one.
    let answers = match shown.parse::<Url>() {
        Ok(url) => clock::check(&service, &url, shown, bounds, &mut report).await,
        Err(_) => false,
    };
    if !answers {
        report.not_checked(ACCOUNT, None, "source.reachable failed");
        report.not_checked(WRITE_REGIONS, None, "source.reachable failed");
        return (report, None);
    }
    let connected = async {
        let account = Account::connect(&config.source).await?;
        let properties = account.properties().await?;
        Ok::<_, Failure>((account, properties))
    };
    match bounds.look(&format!("read the account at {shown}"), connected).await {
        Ok((account, properties)) => {
            tell(&properties, &mut report);
            (report, Some(account))
        }
        Err(failure) => {
            report.failed(&SOURCE_REFUSED, None, &failure);
            report.not_checked(WRITE_REGIONS, None, "source.account failed");
            (report, None)
        }
    }
}

fn tell(account: &AccountProperties, report: &mut Report) {
    let names = |locations: &[Location]| {
        let names: Vec<&str> = locations.iter().map(|location| location.name.as_str()).collect();
        if names.is_empty() { "no region told".to_owned() } else { names.join(", ") }
    };
    let consistency = if account.consistency().is_empty() { "not told" } else { account.consistency() };
    let readable = names(&account.readable_locations);
    report.ok(ACCOUNT, None, format!("accepts us; consistency {consistency}; readable in {readable}"));
    let writable = names(&account.writable_locations);
    if account.enable_multiple_write_locations {
        report.found(&SEVERAL_WRITERS, None, format!("every region takes writes: {writable}"));
    } else {
        report.ok(WRITE_REGIONS, None, format!("writes go to {writable}"));
    }
}
