//! Whether a service answers at all, and how far this host's clock is from its own.
//!
//! The request has no credential: services date their answers whether or not they accept who asks, so a wrong clock is told apart
//! from a wrong key.

use std::time::Duration;

use azure_core::http::Url;
use tokio::time::Instant;

use super::bounds::Bounds;
use super::findings::Finding;
use super::report::Report;
use crate::failure::{Failure, Kind};
use crate::time;

/// From here on it is worth knowing.
const OFF_SECONDS: f64 = 5.0;
/// Both services refuse signatures beyond it.
const FAR_SECONDS: f64 = 15.0 * 60.0;
const REQUEST_TIMEOUT: Duration = Duration::from_secs(10);

/// What is said of one service.
pub(super) struct Service {
    pub(super) reachable: &'static str,
    pub(super) clock: &'static str,
    pub(super) silent: Finding,
    pub(super) far: Finding,
    pub(super) off: Finding,
}

/// Asks, and reports both; whether anything answered.
pub(super) async fn check(service: &Service, url: &Url, shown: &str, bounds: &Bounds, report: &mut Report) -> bool {
    match bounds.look(&format!("reach {shown}"), ask(url, shown)).await {
        Err(failure) => {
            report.failed(&service.silent, None, &failure);
            report.not_checked(service.clock, None, &format!("{} failed", service.reachable));
            false
        }
        Ok(skew) => {
            report.ok(service.reachable, None, format!("{shown} answers"));
            match skew {
                None => report.found(&service.off, None, "the service's answer has no Date"),
                Some(skew) => tell(service, skew, report),
            }
            true
        }
    }
}

fn tell(service: &Service, skew: f64, report: &mut Report) {
    let seconds = skew.abs();
    let shown = if seconds < 120.0 { format!("{seconds:.0} s") } else { format!("{:.0} min", seconds / 60.0) };
    if seconds <= OFF_SECONDS {
        // The header has whole seconds.
        let detail = if seconds < 1.5 {
            "this host's clock is the service's, within a second".to_owned()
        } else {
            side(skew, &shown)
        };
        report.ok(service.clock, None, detail);
    } else if seconds <= FAR_SECONDS {
        report.found(&service.off, None, side(skew, &shown));
    } else {
        report.found(&service.far, None, side(skew, &shown));
    }
}

fn side(skew: f64, shown: &str) -> String {
    let side = if skew > 0.0 { "ahead of" } else { "behind" };
    format!("this host's clock is {shown} {side} the service's")
}

/// By how many seconds this host's clock is ahead of the service's; none where the answer has no date.
async fn ask(url: &Url, shown: &str) -> Result<Option<f64>, Failure> {
    let failed = |error: reqwest::Error| {
        let error = error.without_url();
        let mut innermost: &dyn std::error::Error = &error;
        while let Some(source) = innermost.source() {
            innermost = source;
        }
        Failure::new(Kind::Transient, format!("nothing answers at {shown}: {innermost}"))
    };
    let client = reqwest::Client::builder().timeout(REQUEST_TIMEOUT).redirect(reqwest::redirect::Policy::none());
    let client = client.build().map_err(failed)?;
    let begun = Instant::now();
    let answer = client.get(url.as_str()).send().await.map_err(failed)?;
    let half_way = begun.elapsed().as_secs_f64() / 2.0;
    let now = time::now().as_duration().as_secs_f64();
    let date = answer.headers().get("date").and_then(|date| date.to_str().ok());
    let date = date.and_then(|date| jiff::fmt::rfc2822::DateTimeParser::new().parse_timestamp(date).ok());
    // Half a second, because the header leaves the fraction out.
    Ok(date.map(|date| now - half_way - (date.as_duration().as_secs_f64() + 0.5)))
}

#[cfg(test)]
mod tests {
    use super::super::findings::{TARGET_CLOCK_FAR, TARGET_CLOCK_OFF, TARGET_SILENT};
    use super::super::report::Status;
    use super::*;

    #[test]
    fn seconds_are_well_minutes_are_told_and_a_quarter_of_an_hour_fails() {
        let service = Service {
            reachable: "target.reachable",
            clock: "target.clock",
            silent: TARGET_SILENT,
            far: TARGET_CLOCK_FAR,
            off: TARGET_CLOCK_OFF,
        };
        let said = |skew: f64| {
            let mut report = Report::default();
            tell(&service, skew, &mut report);
            let check = report.checks.remove(0);
            (check.status, check.detail)
        };
        assert_eq!(said(-1.2), (Status::Ok, "this host's clock is the service's, within a second".to_owned()));
        assert_eq!(said(4.9), (Status::Ok, "this host's clock is 5 s ahead of the service's".to_owned()));
        assert_eq!(said(-60.0), (Status::Warn, "this host's clock is 60 s behind the service's".to_owned()));
        assert_eq!(said(3_600.0), (Status::Fail, "this host's clock is 60 min ahead of the service's".to_owned()));
    }
}
