//! Relations within an answer, and between an answer and an earlier one: what remains comparable of entity tags, resource
//! ids and sequence numbers, whose values differ from server to server.

use serde_json::Value;

use crate::pair::Reply;

/// Relations that hold or not within an answer; those whose parts are not there are left out.
pub(crate) fn within(reply: &Reply) -> Vec<(String, String)> {
    let body: Value = serde_json::from_str(&reply.text).unwrap_or_default();
    let same = |one: Option<&str>, other: Option<&str>| Some((one? == other?).to_string());
    let header = |name: &str| reply.headers.get(name).map(String::as_str);
    let rid = body["_rid"].as_str();
    let self_link = body["_self"].as_str().and_then(|link| link.trim_end_matches('/').rsplit('/').next());
    let relations = [
        ("etag is _etag", same(header("etag"), body["_etag"].as_str())),
        ("_self ends in _rid", same(self_link, rid)),
        ("lsn is the session's", same(header("lsn"), header("x-ms-session-token").and_then(sequence_number))),
        (
            "lsn less item's",
            number(header("lsn")).zip(number(header("x-ms-item-lsn"))).map(|(lsn, item)| sign(lsn - item)),
        ),
    ];
    relations.into_iter().filter_map(|(name, value)| Some((format!("within {name}"), value?))).collect()
}

/// What an answer and an earlier one have in common.
pub(crate) fn since(earlier: &Reply, reply: &Reply) -> Vec<(String, String)> {
    let bodies = [earlier, reply].map(|reply| serde_json::from_str::<Value>(&reply.text).unwrap_or_default());
    let changed =
        |one: Option<&str>, other: Option<&str>| Some(if one? == other? { "the same" } else { "another" }.to_owned());
    let member = |name: &str| changed(bodies[0][name].as_str(), bodies[1][name].as_str());
    let header = |name: &str| [earlier, reply].map(|reply| reply.headers.get(name).map(String::as_str));
    let [before, after] = header("etag");
    let [from, to] = header("lsn").map(number);
    let relations = [
        ("_rid", member("_rid")),
        ("_self", member("_self")),
        ("etag", changed(before, after)),
        ("lsn", from.zip(to).map(|(from, to)| format!("{:+}", to - from))),
    ];
    relations.into_iter().filter_map(|(name, value)| Some((format!("since {name}"), value?))).collect()
}

/// The sequence number in the token of one range.
fn sequence_number(token: &str) -> Option<&str> {
    if token.contains(',') { None } else { token.split('#').nth(1) }
}

fn number(text: Option<&str>) -> Option<i64> {
    text?.parse().ok()
}

/// How far the range is ahead of the item depends on what else was written, so only whether it is.
fn sign(difference: i64) -> String {
    difference.signum().to_string()
}

#[test]
fn an_answer_agrees_with_itself() {
    let headers = [("etag", "\"e\""), ("lsn", "7"), ("x-ms-item-lsn", "5"), ("x-ms-session-token", "0:1#7#0=7")];
    let headers = headers.map(|(name, value)| (name.to_owned(), value.to_owned())).into();
    let text = r#"{"_rid":"AA==","_self":"dbs/AA==/","_etag":"other"}"#.to_owned();
    let reply = Reply { status: 200, headers, text };
    let values: Vec<String> = within(&reply).into_iter().map(|(_, value)| value).collect();
    assert_eq!(values, ["false", "true", "true", "1"]);
    let values: Vec<String> = since(&reply, &reply).into_iter().map(|(_, value)| value).collect();
    assert_eq!(values, ["the same", "the same", "the same", "+0"]);
}
