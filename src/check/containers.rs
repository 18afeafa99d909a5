//! The containers that are followed: whether they are there, whether their feed can be read as configured, and how much changes.

use cosmirror_formats::EpkRange;

use super::bounds::Bounds;
use super::findings::{CONTAINER_MISSING, FEED_REFUSED, RATE_UNKNOWN};
use super::report::Report;
use super::{cost, rate};
use crate::config::{Config, Container};
use crate::cosmos::Account;
use crate::failure::{Failure, Kind};
use crate::feed::cosmos::CosmosFeed;
use crate::feed::{ChangeFeed as _, SourceContainer};

const EXISTS: &str = "container.exists";
const FEED_MODE: &str = "container.feed-mode";
const CHANGE_RATE: &str = "container.change-rate";
const COST: &str = "container.cost";

/// What is measured, where that is asked for.
const MEASURED: [&str; 2] = [CHANGE_RATE, COST];

/// What is looked at behind the first one.
fn behind(bounds: &Bounds) -> impl Iterator<Item = &'static str> {
    let measured = MEASURED.into_iter().filter(|_| !bounds.sample.is_zero());
    [FEED_MODE].into_iter().chain(measured)
}

/// Looks at one; gives its resource id where it was found.
pub(super) async fn check(
    account: &Account,
    config: &Config,
    container: &Container,
    bounds: &Bounds,
) -> (Report, Option<String>) {
    let mut report = Report::default();
    let name = format!("{}/{}", container.database, container.container);
    let subject = Some(name.as_str());
    let found = async {
        let resolved = account.resolve(&container.database, &container.container).await?;
        let feed = CosmosFeed::new(account.clone(), resolved, name.clone());
        let ranges: Vec<EpkRange> = feed.ranges().await?.into_iter().map(|physical| physical.range).collect();
        Ok::<_, Failure>((feed, ranges))
    };
    let (feed, ranges) = match bounds.look(&format!("read the container {name}"), found).await {
        Ok(found) => found,
        Err(failure) => {
            report.failed(&CONTAINER_MISSING, subject, &failure);
            for rest in behind(bounds) {
                report.not_checked(rest, subject, &format!("{EXISTS} failed"));
            }
            return (report, None);
        }
    };
    report.ok(EXISTS, subject, described(&name, feed.container(), ranges.len()));
    let rid = Some(feed.container().rid.clone());
    let page = async {
        let range = ranges.first().ok_or_else(|| Failure::new(Kind::Transient, format!("{name} has no ranges")))?;
        feed.self_test(range, container.feed).await
    };
    if let Err(failure) = bounds.look(&format!("read the change feed of {name}"), page).await {
        report.failed(&FEED_REFUSED, subject, &failure);
        for rest in behind(bounds).skip(1) {
            report.not_checked(rest, subject, &format!("{FEED_MODE} failed"));
        }
        return (report, rid);
    }
    report.ok(FEED_MODE, subject, format!("{name}: a page of the feed {:?} was read", container.feed.as_str()));
    if bounds.sample.is_zero() {
        return (report, rid);
    }
    match rate::sample(&feed, &ranges, container.feed, bounds).await {
        Ok(sample) => {
            report.ok(CHANGE_RATE, subject, format!("{name}: {}", sample.told()));
            report.ok(COST, subject, format!("{name}: {}", cost::told(&sample, config, container)));
        }
        Err(failure) => {
            report.failed(&RATE_UNKNOWN, subject, &failure);
            report.not_checked(COST, subject, &format!("{CHANGE_RATE} is not known"));
        }
    }
    (report, rid)
}

/// The account could not be asked.
pub(super) fn not_checked(container: &Container, bounds: &Bounds, report: &mut Report) {
    let name = format!("{}/{}", container.database, container.container);
    for check in [EXISTS].into_iter().chain(behind(bounds)) {
        report.not_checked(check, Some(&name), "the account was not reached or refused us");
    }
}

fn described(name: &str, source: &SourceContainer, ranges: usize) -> String {
    let ttl = match source.settings["defaultTtl"].as_i64() {
        None => "no time to live".to_owned(),
        Some(seconds) if seconds < 0 => "time to live by document".to_owned(),
        Some(seconds) => format!("default time to live {seconds} s"),
    };
    let plural = if ranges == 1 { "" } else { "s" };
    format!("{name}: partition key {}; {ranges} range{plural}; {ttl}", source.key_paths.join(", "))
}
