//! The change feed of a Cosmos container, one page a call, through the driver.
//!
//! The driver's iterator hides splits: it goes on with the children by itself. A lease covers one range, so each call
//! here builds its plan from the caller's position and afterwards requires that the plan still stands on that one range
//! with the page's own etag; anything else is `Kind::RangeGone` and the page is not given out.
//!
//! The position is the page's etag, as the .NET processor stores it. The driver wants a token of its own making around
//! it, whose format its makers do not document: the driver's version is pinned, and `self_test` compares a real token
//! with one of ours before anything depends on it.

use std::num::NonZeroU32;

use async_trait::async_trait;
use azure_data_cosmos_driver::OperationPlan;
use azure_data_cosmos_driver::models::{
    ChangeFeedStartFrom, ContinuationToken, CosmosOperation, EffectivePartitionKey, FeedRange, MaxItemCountHint,
};
use azure_data_cosmos_driver::options::PlanOptions;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use cosmirror_formats::EpkRange;
use serde::{Deserialize, Serialize};
use tokio::sync::Mutex;

use crate::config::FeedMode;
use crate::cosmos::{Account, Resolved, failure, items, operation_options};
use crate::failure::{Failure, Kind};
use crate::feed::{ChangeFeed, FeedPage, PhysicalRange, Position, SourceContainer};

/// The change feed of one container.
pub struct CosmosFeed {
    account: Account,
    container: Resolved,
    name: String,
    /// Held while the driver's list of ranges is renewed.
    renewing: Mutex<()>,
}

impl CosmosFeed {
    /// The feed of a container that was resolved.
    pub fn new(account: Account, container: Resolved, name: String) -> Self {
        Self { account, container, name, renewing: Mutex::new(()) }
    }

    fn operation(&self, range: &EpkRange, mode: FeedMode, position: &Position) -> Result<CosmosOperation, Failure> {
        let scope = feed_range(range)?;
        let reference = self.container.reference.clone();
        let operation = match mode {
            FeedMode::AllVersionsAndDeletes => {
                CosmosOperation::change_feed_all_versions_and_deletes(reference, Some(scope))
            }
            FeedMode::LatestVersion => CosmosOperation::change_feed(reference, Some(scope)),
        };
        let start = match position {
            // With a token the start is only what the token's own field says.
            Position::Beginning | Position::Token(_) => ChangeFeedStartFrom::Beginning,
            Position::Now => ChangeFeedStartFrom::Now,
            Position::Instant(at) => ChangeFeedStartFrom::PointInTime(
                azure_core::time::parse_rfc3339(&instant_text(*at)?)
                    .map_err(|e| Failure::new(Kind::Internal, format!("the start instant {at} is not usable: {e}")))?,
            ),
        };
        Ok(match (position, mode) {
            (Position::Token(_), FeedMode::AllVersionsAndDeletes) => {
                operation.with_change_feed_start(ChangeFeedStartFrom::Now)
            }
            _ => operation.with_change_feed_start(start),
        })
    }

    async fn plan(
        &self,
        range: &EpkRange,
        mode: FeedMode,
        position: &Position,
        count_max: u32,
    ) -> Result<OperationPlan, Failure> {
        let mut operation = self.operation(range, mode, position)?;
        if let Some(count) = NonZeroU32::new(count_max) {
            operation = operation.with_max_item_count(MaxItemCountHint::Limit(count));
        }
        let token = match position {
            Position::Token(etag) => {
                let token = Token::new(&self.container.source.rid, range, mode, etag);
                Some(ContinuationToken::from_string(token.encode()))
            }
            _ => None,
        };
        let (options, plan_options) = (operation_options(), PlanOptions::default());
        let plan = self.account.driver().plan_operation(operation, &options, token.as_ref(), &plan_options);
        self.account.bounded(&self.what(range), plan).await
    }

    fn what(&self, range: &EpkRange) -> String {
        format!("read the change feed of {} in {range}", self.name)
    }

    /// The etag of the page just read, if the plan still stands on the one range it was made for.
    fn position_after(&self, plan: &OperationPlan, range: &EpkRange) -> Result<String, Failure> {
        let token = plan.to_continuation_token().map_err(|e| failure(&e, &self.what(range)))?;
        let token = Token::decode(token.as_str())?;
        match token.root.active_tokens.as_slice() {
            [only] if only.min_epk == range.min && only.max_epk == range.max => {
                only.server_continuation.clone().ok_or_else(|| unknown_token("it has no position"))
            }
            others => {
                let ranges = others.iter().map(|t| format!("[{},{})", t.min_epk, t.max_epk)).collect::<Vec<_>>();
                let message = format!("the range {range} of {} is now {}", self.name, ranges.join(" and "));
                Err(Failure::new(Kind::RangeGone, message))
            }
        }
    }
}

#[async_trait]
impl ChangeFeed for CosmosFeed {
    fn container(&self) -> &SourceContainer {
        &self.container.source
    }

    async fn describe(&self) -> Result<SourceContainer, Failure> {
        let (database, container) = self.name.split_once('/').unwrap_or_default();
        self.account.describe(database, container).await
    }

    /// Who asks the driver to renew its list while another does waits without rest, and for ever where that one gave up. So one asks at a
    /// time, and a list that was left unread is read first.
    async fn ranges(&self) -> Result<Vec<PhysicalRange>, Failure> {
        let what = format!("read the partition key ranges of {}", self.name);
        let _one_at_a_time = self.renewing.lock().await;
        let driver = self.account.driver();
        self.account.bounded(&what, driver.resolve_all_partition_key_ranges(&self.container.reference, false)).await?;
        let read = driver.resolve_all_partition_key_ranges(&self.container.reference, true);
        let ranges = self
            .account
            .looked_up(&what, read)
            .await?
            .ok_or_else(|| Failure::new(Kind::Transient, format!("could not {what}: the service gave none")))?;
        Ok(ranges
            .iter()
            .map(|r| PhysicalRange {
                id: r.id.clone(),
                range: EpkRange::new(r.min_inclusive.to_hex(), r.max_exclusive.to_hex()),
                parents: r.parents.clone().unwrap_or_default(),
            })
            .collect())
    }

    async fn read(
        &self,
        range: &EpkRange,
        mode: FeedMode,
        position: &Position,
        count_max: u32,
    ) -> Result<FeedPage, Failure> {
        let what = self.what(range);
        let refused = |f: Failure| explain_refusal(f, mode, position);
        let mut plan = self.plan(range, mode, position, count_max).await.map_err(refused)?;
        let read =
            self.account.driver().execute_plan(&mut plan, Some(self.container.reference.clone()), operation_options());
        let response = self.account.answered(&what, read).await.map_err(refused)?;
        let response = response.ok_or_else(|| Failure::new(Kind::Internal, format!("could not {what}: no page")))?;
        let token = self.position_after(&plan, range)?;
        let not_modified = u16::from(response.status().status_code()) == 304;
        let request_units = response.headers().request_charge.map_or(0.0, |charge| charge.value());
        if let Some(etag) = &response.headers().etag
            && etag.to_string() != token
        {
            return Err(unknown_token("it differs from the page's etag"));
        }
        let session_lsn = response.headers().session_token.as_ref().and_then(|token| lsn_of_session(token.as_str()));
        let entries = items(response.into_body(), &what)?;
        Ok(FeedPage { entries, token, not_modified, request_units, session_lsn })
    }

    async fn self_test(&self, range: &EpkRange, mode: FeedMode) -> Result<(), Failure> {
        let mut plan =
            self.plan(range, mode, &Position::Now, 1).await.map_err(|f| explain_refusal(f, mode, &Position::Now))?;
        let what = self.what(range);
        let read =
            self.account.driver().execute_plan(&mut plan, Some(self.container.reference.clone()), operation_options());
        self.account.answered(&what, read).await.map_err(|f| explain_refusal(f, mode, &Position::Now))?;
        let real = plan.to_continuation_token().map_err(|e| failure(&e, &what))?;
        let decoded = Token::decode(real.as_str())?;
        let etag = self.position_after(&plan, range)?;
        let ours = Token::new(&self.container.source.rid, range, mode, &etag);
        let same = decoded.op == ours.op
            && decoded.rid == ours.rid
            && decoded.full_fidelity.unwrap_or(false) == ours.full_fidelity.unwrap_or(false)
            && decoded.root.kind == ours.root.kind
            && decoded.root.active_tokens == ours.root.active_tokens;
        if same { Ok(()) } else { Err(unknown_token("its fields differ from the known ones")) }
    }

    async fn service_time(&self) -> Result<i64, Failure> {
        self.account.clock().now().await
    }
}

fn explain_refusal(failure: Failure, mode: FeedMode, position: &Position) -> Failure {
    if failure.kind != Kind::Refused || mode != FeedMode::AllVersionsAndDeletes {
        return failure;
    }
    let message = failure.message;
    // The service words an expired token in several ways, all of which speak of retention or of a token that is too old.
    let lower = message.to_lowercase();
    if matches!(position, Position::Token(_)) && (lower.contains("retention") || lower.contains("too old")) {
        return Failure::new(Kind::TokenExpired, message);
    }
    Failure::new(Kind::Misconfigured, message).remedy(
        "the account must have continuous backup and all versions and deletes enabled; else set feed = \"latest-version\"",
    )
}

/// The LSN in a session token, `<range>:<version>#<lsn>#<region>=<lsn>…` or the older `<range>:<lsn>`. Source:
/// `ChangeFeedEstimatorIterator.ExtractLsnFromSessionToken` of azure-cosmos-dotnet-v3.
fn lsn_of_session(token: &str) -> Option<u64> {
    let value = token.split_once(':').map_or(token, |(_, value)| value);
    let mut parts = value.split('#');
    let first = parts.next()?;
    parts.next().unwrap_or(first).parse().ok()
}

fn feed_range(range: &EpkRange) -> Result<FeedRange, Failure> {
    let bad = |e| Failure::new(Kind::Internal, format!("the range {range} is not valid: {e}"));
    let min = EffectivePartitionKey::try_from(range.min.as_str()).map_err(bad)?;
    let max = EffectivePartitionKey::try_from(range.max.as_str()).map_err(bad)?;
    FeedRange::new(min, max).map_err(bad)
}

fn instant_text(seconds: i64) -> Result<String, Failure> {
    let timestamp = jiff::Timestamp::from_second(seconds);
    timestamp.map(|t| t.to_string()).map_err(|e| Failure::new(Kind::Internal, format!("instant {seconds}: {e}")))
}

fn unknown_token(why: &str) -> Failure {
    Failure::new(Kind::Internal, format!("the driver's continuation token is not of the known format: {why}"))
        .remedy("this build was made with another version of azure_data_cosmos_driver than it was tested with")
}

/// The driver's token, format `c1.`.
#[derive(Debug, PartialEq, Serialize, Deserialize)]
struct Token {
    op: String,
    rid: String,
    root: Root,
    #[serde(rename = "cfm", default, skip_serializing_if = "Option::is_none")]
    full_fidelity: Option<bool>,
}

#[derive(Debug, PartialEq, Serialize, Deserialize)]
struct Root {
    kind: String,
    #[serde(default)]
    active_tokens: Vec<RangedToken>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    start_from: Option<serde_json::Value>,
}

#[derive(Debug, PartialEq, Serialize, Deserialize)]
struct RangedToken {
    min_epk: String,
    max_epk: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    server_continuation: Option<String>,
}

impl Token {
    fn new(rid: &str, range: &EpkRange, mode: FeedMode, etag: &str) -> Self {
        let all_versions = mode == FeedMode::AllVersionsAndDeletes;
        Self {
            op: "ChangeFeed".to_owned(),
            rid: rid.to_owned(),
            root: Root {
                kind: "unordered_merge".to_owned(),
                active_tokens: vec![RangedToken {
                    min_epk: range.min.clone(),
                    max_epk: range.max.clone(),
                    server_continuation: Some(etag.to_owned()),
                }],
                start_from: Some(serde_json::json!({ "kind": if all_versions { "now" } else { "beginning" } })),
            },
            full_fidelity: all_versions.then_some(true),
        }
    }

    fn encode(&self) -> String {
        // Strings and vectors of strings have no failing serialisation.
        format!("c1.{}", URL_SAFE_NO_PAD.encode(serde_json::to_vec(self).unwrap_or_default()))
    }

    fn decode(token: &str) -> Result<Self, Failure> {
        let body = token.strip_prefix("c1.").ok_or_else(|| unknown_token("it does not begin with \"c1.\""))?;
        let json = URL_SAFE_NO_PAD.decode(body).map_err(|_| unknown_token("it is not base64url"))?;
        serde_json::from_slice(&json).map_err(|e| unknown_token(&e.to_string()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn golden_token() {
        let token = Token::new("TQxHAKF8vo8=", &EpkRange::full(), FeedMode::AllVersionsAndDeletes, "\"15\"");
        let json = serde_json::to_string(&token).unwrap();
        let golden = r#"{"op":"ChangeFeed","rid":"TQxHAKF8vo8=","root":{"kind":"unordered_merge","active_tokens":[{"min_epk":"","max_epk":"FF","server_continuation":"\"15\""}],"start_from":{"kind":"now"}},"cfm":true}"#;
        assert_eq!(json, golden);
        assert_eq!(Token::decode(&token.encode()).unwrap(), token);
    }

    #[test]
    fn session_tokens_of_either_form_hold_an_lsn() {
        assert_eq!(lsn_of_session("0:-1#175#3=12"), Some(175));
        assert_eq!(lsn_of_session("7:1#9"), Some(9));
        assert_eq!(lsn_of_session("0:42"), Some(42));
        assert_eq!(lsn_of_session("none"), None);
    }

    #[test]
    fn a_token_of_another_format_is_refused_with_the_reason() {
        for token in ["c2.e30", "c1.!", "c1.e30"] {
            let failure = Token::decode(token).unwrap_err();
            assert_eq!(failure.kind, Kind::Internal, "{token}");
        }
    }

    #[test]
    fn an_expired_token_and_a_mode_the_account_lacks_are_told_apart() {
        let mode = FeedMode::AllVersionsAndDeletes;
        let refused = |text: &str| Failure::new(Kind::Refused, text);
        let token = Position::Token("\"1\"".to_owned());
        assert_eq!(explain_refusal(refused("outside the Retention window"), mode, &token).kind, Kind::TokenExpired);
        assert_eq!(explain_refusal(refused("not enabled"), mode, &Position::Now).kind, Kind::Misconfigured);
        assert_eq!(explain_refusal(refused("x"), FeedMode::LatestVersion, &token).kind, Kind::Refused);
    }
}
