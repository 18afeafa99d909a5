//! Faults on purpose: rules that make chosen requests fail, stall or lose their answer.
//!
//! The first rule that matches a request applies, and only that one. A rule with a `count` is spent after so many
//! applications; one with a `probability` draws from a generator with a fixed seed, so that a run can be repeated.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use rand::rngs::SmallRng;
use rand::{RngExt, SeedableRng};
use serde::Deserialize;

/// The seed of every run: the same requests in the same order meet the same faults.
const SEED: u64 = 0x00c0_5a1d;

/// Operations of the document service that a rule can name.
const COSMOS_OPERATIONS: [&str; 8] =
    ["*", "feed", "pkranges", "item-read", "item-write", "query", "account", "container"];

/// Operations of the blob service that a rule can name.
const BLOB_OPERATIONS: [&str; 8] = ["*", "put", "head", "get", "list", "delete", "container", "account"];

/// One of the two services.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Service {
    Cosmos,
    Blob,
}

impl Service {
    /// The service's name in rules, counters and errors.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Cosmos => "cosmos",
            Self::Blob => "blob",
        }
    }
}

/// What a rule does to a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum Action {
    /// Answers with the rule's status and does no work.
    Status,
    /// Drops the connection (HTTP/1.1) or resets the stream (HTTP/2) without work.
    Reset,
    /// Never answers.
    Hang,
    /// Does the work, then drops the answer.
    RespondThenReset,
    /// Does the work and breaks off in the middle of the answer's body.
    Truncate,
}

/// One rule, as sent.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct Rule {
    service: Service,
    #[serde(default = "any_operation")]
    operation: String,
    status: Option<u16>,
    substatus: Option<u32>,
    retry_after_ms: Option<u64>,
    delay_ms: Option<u64>,
    action: Option<Action>,
    probability: Option<f64>,
    count: Option<u64>,
    container: Option<String>,
    range: Option<String>,
    /// A part of the request's path without percent-encoding, such as a blob's name.
    path: Option<String>,
}

fn any_operation() -> String {
    "*".to_owned()
}

/// The body of `POST /_emulator/faults`; it replaces the rules in force.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct RuleSet {
    rules: Vec<Rule>,
}

/// A status to answer instead of doing the work.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct InjectedStatus {
    pub(crate) status: http::StatusCode,
    pub(crate) substatus: Option<u32>,
    pub(crate) retry_after_ms: Option<u64>,
}

/// What happens to a request beside or instead of its work.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Effect {
    /// The work is done and answered; the rule only delays.
    None,
    Status(InjectedStatus),
    Reset,
    Hang,
    RespondThenReset,
    Truncate,
}

/// The fault chosen for one request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Fault {
    pub(crate) delay: Option<Duration>,
    pub(crate) effect: Effect,
}

/// The request as far as rules look at it. The range is asked for only by rules that name one.
pub(crate) struct Subject<'a> {
    pub(crate) service: Service,
    pub(crate) operation: &'static str,
    pub(crate) container: Option<&'a str>,
    pub(crate) path: &'a str,
    pub(crate) range: &'a dyn Fn() -> Option<String>,
}

/// The rules in force.
#[derive(Debug)]
pub(crate) struct Faults {
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    rules: Vec<InForce>,
    random: SmallRng,
}

#[derive(Debug)]
struct InForce {
    rule: Rule,
    effect: Effect,
    applied: u64,
}

impl Default for Faults {
    fn default() -> Self {
        Self { state: Mutex::new(State { rules: Vec::new(), random: SmallRng::seed_from_u64(SEED) }) }
    }
}

impl Faults {
    /// Replaces the rules and restarts the generator; an error names the rule at fault and changes nothing.
    pub(crate) fn replace(&self, set: RuleSet) -> Result<(), String> {
        let rules = set
            .rules
            .into_iter()
            .enumerate()
            .map(|(index, rule)| match effect_of(&rule) {
                Ok(effect) => Ok(InForce { rule, effect, applied: 0 }),
                Err(reason) => Err(format!("rules[{index}]: {reason}")),
            })
            .collect::<Result<Vec<_>, String>>()?;
        *self.lock() = State { rules, random: SmallRng::seed_from_u64(SEED) };
        Ok(())
    }

    /// Removes every rule.
    pub(crate) fn clear(&self) {
        self.lock().rules.clear();
    }

    /// Whether no rule is in force, so that nothing need be known of a request.
    pub(crate) fn is_empty(&self) -> bool {
        self.lock().rules.is_empty()
    }

    /// How many requests each rule in force has met.
    pub(crate) fn applied(&self) -> Vec<u64> {
        self.lock().rules.iter().map(|rule| rule.applied).collect()
    }

    /// The fault that applies to a request, if any; spends one application of a counted rule.
    pub(crate) fn decide(&self, subject: &Subject<'_>) -> Option<Fault> {
        let mut state = self.lock();
        let State { rules, random } = &mut *state;
        let chosen = rules.iter_mut().find(|InForce { rule, applied, .. }| {
            rule.matches(subject)
                && rule.count.is_none_or(|count| *applied < count)
                && rule.probability.is_none_or(|p| random.random_bool(p))
        })?;
        chosen.applied += 1;
        Some(Fault { delay: chosen.rule.delay_ms.map(Duration::from_millis), effect: chosen.effect })
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Rule {
    fn matches(&self, subject: &Subject<'_>) -> bool {
        self.service == subject.service
            && (self.operation == "*" || self.operation == subject.operation)
            && self.container.as_deref().is_none_or(|name| subject.container == Some(name))
            && self.path.as_deref().is_none_or(|part| subject.path.contains(part))
            && self.range.as_deref().is_none_or(|range| (subject.range)().as_deref() == Some(range))
    }
}

/// Validates a rule and says what it does.
fn effect_of(rule: &Rule) -> Result<Effect, String> {
    let known = match rule.service {
        Service::Cosmos => &COSMOS_OPERATIONS,
        Service::Blob => &BLOB_OPERATIONS,
    };
    if !known.contains(&rule.operation.as_str()) {
        return Err(format!("operation {:?} is none of {known:?}", rule.operation));
    }
    if rule.probability.is_some_and(|p| !(0.0..=1.0).contains(&p)) {
        return Err("probability must lie between 0 and 1".to_owned());
    }
    let action = match (rule.action, rule.status, rule.delay_ms) {
        (Some(action), ..) => action,
        (None, Some(_), _) => Action::Status,
        (None, None, Some(_)) => return Ok(Effect::None),
        (None, None, None) => return Err("give an action, a status or delayMs".to_owned()),
    };
    if action != Action::Status && rule.status.is_some() {
        return Err("status goes with action \"status\" only".to_owned());
    }
    Ok(match action {
        Action::Status => Effect::Status(InjectedStatus {
            status: injected_status(rule.status)?,
            substatus: rule.substatus,
            retry_after_ms: rule.retry_after_ms,
        }),
        Action::Reset => Effect::Reset,
        Action::Hang => Effect::Hang,
        Action::RespondThenReset => Effect::RespondThenReset,
        Action::Truncate => Effect::Truncate,
    })
}

fn injected_status(status: Option<u16>) -> Result<http::StatusCode, String> {
    let status = status.ok_or("action \"status\" needs a status")?;
    match http::StatusCode::from_u16(status) {
        Ok(code) if status >= 200 => Ok(code),
        _ => Err(format!("{status} is not a final HTTP status")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rules(json: &str) -> RuleSet {
        serde_json::from_str(json).unwrap()
    }

    fn decide(faults: &Faults, operation: &'static str, range: &str) -> Option<Effect> {
        let range = || Some(range.to_owned());
        let subject = Subject {
            service: Service::Cosmos,
            operation,
            container: Some("c"),
            path: "/dbs/d/colls/c",
            range: &range,
        };
        faults.decide(&subject).map(|fault| fault.effect)
    }

    #[test]
    fn the_first_matching_rule_wins_until_its_count_is_spent() {
        let faults = Faults::default();
        faults
            .replace(rules(
                r#"{"rules":[{"service":"cosmos","operation":"feed","range":"1","action":"reset","count":1},
                    {"service":"cosmos","status":429,"substatus":3200,"retryAfterMs":7}]}"#,
            ))
            .unwrap();
        assert_eq!(decide(&faults, "feed", "1"), Some(Effect::Reset));
        let throttled = Effect::Status(InjectedStatus {
            status: http::StatusCode::TOO_MANY_REQUESTS,
            substatus: Some(3200),
            retry_after_ms: Some(7),
        });
        assert_eq!(decide(&faults, "feed", "1"), Some(throttled));
        assert_eq!(decide(&faults, "query", "0"), Some(throttled));
        assert_eq!(faults.applied(), [1, 2]);
        faults.clear();
        assert_eq!(faults.applied(), [0_u64; 0]);
        assert_eq!(decide(&faults, "query", "0"), None);
    }

    #[test]
    fn a_rule_that_names_a_part_of_the_path_leaves_other_requests_alone() {
        let faults = Faults::default();
        faults.replace(rules(r#"{"rules":[{"service":"cosmos","path":"/colls/d","action":"reset"}]}"#)).unwrap();
        assert_eq!(decide(&faults, "feed", "0"), None);
        faults.replace(rules(r#"{"rules":[{"service":"cosmos","path":"/colls/c","action":"reset"}]}"#)).unwrap();
        assert_eq!(decide(&faults, "feed", "0"), Some(Effect::Reset));
    }

    #[test]
    fn a_rule_that_cannot_apply_is_refused_with_its_place() {
        let faults = Faults::default();
        for bad in [
            r#"{"service":"cosmos","operation":"put","status":500}"#,
            r#"{"service":"blob","operation":"put"}"#,
            r#"{"service":"blob","action":"status"}"#,
            r#"{"service":"blob","status":100}"#,
            r#"{"service":"blob","status":500,"probability":2}"#,
        ] {
            let refused = faults.replace(rules(&format!(r#"{{"rules":[{bad}]}}"#))).unwrap_err();
            assert!(refused.starts_with("rules[0]: "), "{refused}");
        }
        assert!(serde_json::from_str::<RuleSet>(r#"{"rules":[{"service":"blob","statsu":1}]}"#).is_err());
    }

    #[test]
    fn probability_draws_the_same_faults_in_every_run() {
        let draw = || {
            let faults = Faults::default();
            faults.replace(rules(r#"{"rules":[{"service":"cosmos","action":"hang","probability":0.5}]}"#)).unwrap();
            (0..64).map(|_| decide(&faults, "feed", "0").is_some()).collect::<Vec<_>>()
        };
        let first = draw();
        assert_eq!(first, draw());
        assert!(first.contains(&true) && first.contains(&false));
    }
}
