//! One document of each form there is, and what is written in its place, byte for byte.

use super::*;

const NET_0: &str = r#"{"id":"mirroracct.documents.azure.com_TQxHAA==_TQxHAKF8vo8=..0","version":0,"LeaseToken":"0","FeedRange":{"Range":{"min":"","max":"FF"}},"Owner":"pod-7f","ContinuationToken":"\"1526353662\"","properties":{},"timestamp":"2026-08-07T18:56:44.1234567Z","Mode":"Incremental Feed"}"#;
const NET_1: &str = r#"{"id":"mirroracct.documents.azure.com_TQxHAA==_TQxHAKF8vo8=..05C1-3F","version":1,"LeaseToken":"05C1-3F","FeedRange":{"Range":{"min":"05C1","max":"3F"}},"Owner":null,"ContinuationToken":"\"9\"","properties":{"a":"b"},"timestamp":"2026-08-07T18:56:44.1234567Z","Mode":"Full-Fidelity Feed"}"#;
const OURS: &str = r#"{"id":"cosmirrormirroracct.documents.azure.com_TQxHAA==_TQxHAKF8vo8=..2","version":0,"LeaseToken":"2","FeedRange":{"Range":{"min":"1F","max":"3F"}},"Owner":"pod-7f","ContinuationToken":"\"77\"","properties":{"cosmirror.backfill.now":"70","cosmirror.backfill.token":"\"12\"","cosmirror.lineage":"TQxHAKF8vo8=:1F","cosmirror.since":"1795194000","cosmirror.start":"beginning","cosmirror.watermark":"1795194111"},"timestamp":"2026-11-20T18:56:44.123456Z","Mode":"Full-Fidelity Feed"}"#;

fn range(min: &str, max: &str) -> Option<EpkRange> {
    Some(EpkRange::new(min, max))
}

#[test]
fn a_lease_of_version_0_is_read_and_written_as_net_does() {
    let lease = read(NET_0);
    assert_eq!((lease.version, lease.token.as_str(), lease.range.clone()), (0, "0", range("", "FF")));
    assert_eq!((lease.owner.as_deref(), lease.continuation.as_deref()), (Some("pod-7f"), Some("\"1526353662\"")));
    assert!(!lease.is_all_versions());
    assert_eq!(written(&lease), NET_0);
}

#[test]
fn a_lease_of_version_1_is_read_and_written_as_net_does() {
    let lease = read(NET_1);
    assert_eq!((lease.version, lease.token.as_str(), lease.range.clone()), (1, "05C1-3F", range("05C1", "3F")));
    assert_eq!((&lease.owner, lease.properties["a"].as_str()), (&None, "b"));
    assert!(lease.is_all_versions());
    assert_eq!(written(&lease), NET_1);
}

#[test]
fn a_lease_with_a_position_and_state_of_ours_is_read_and_written_alike() {
    let lease = read(OURS);
    assert_eq!(lease.properties["cosmirror.lineage"], "TQxHAKF8vo8=:1F");
    assert_eq!(written(&lease), OURS);
}

#[test]
fn a_lease_of_the_second_release_names_a_partition_and_goes_on_naming_it() {
    let old = format!(
        r#"{{"id":"{PREFIX}..7","_etag":"\"e\"","PartitionId":"7","Owner":"","ContinuationToken":"","_ts":1,"_rid":"r"}}"#
    );
    let lease = read(&old);
    assert_eq!((lease.version, lease.token.as_str(), &lease.range), (0, "7", &None));
    assert_eq!((&lease.owner, &lease.continuation, lease.timestamp.as_str()), (&None, &None, ""));
    let new = format!(
        r#"{{"id":"{PREFIX}..7","version":0,"LeaseToken":"7","Owner":null,"ContinuationToken":null,"properties":{{}},"timestamp":null,"Mode":null,"PartitionId":"7"}}"#
    );
    assert_eq!(written(&lease), new);
    assert_eq!(written(&read(&new)), new, "its successor, which has both names");
    // A part of the old lease's range: its token is another one, and the older name follows.
    let part = Lease { token: "12".to_owned(), range: range("", "10"), ..lease.clone() };
    assert!(written(&part).contains(r#""PartitionId":"12""#), "{}", written(&part));
    let part = Lease { version: 1, token: "-10".to_owned(), ..part };
    assert!(!written(&part).contains("PartitionId"), "no partition has that name: {}", written(&part));
}

#[test]
fn a_lease_of_the_first_third_release_lacks_version_bounds_and_mode() {
    let old = format!(
        r#"{{"id":"{PREFIX}..0","_etag":null,"LeaseToken":"0","Owner":" ","ContinuationToken":null,"properties":null,"timestamp":"2019-08-07T18:56:44.1234567Z","_ts":0}}"#
    );
    let lease = read(&old);
    assert_eq!((lease.version, &lease.range, &lease.owner, &lease.mode), (0, &None, &None, &None));
    assert_eq!(
        written(&lease),
        format!(
            r#"{{"id":"{PREFIX}..0","version":0,"LeaseToken":"0","Owner":null,"ContinuationToken":null,"properties":{{}},"timestamp":"2019-08-07T18:56:44.1234567Z","Mode":null}}"#
        )
    );
}

#[test]
fn bounds_are_understood_in_the_long_form_and_in_either_case() {
    let with = |bounds: &str| {
        format!(r#"{{"id":"{PREFIX}..0","LeaseToken":"0","FeedRange":{{"Range":{bounds}}},"properties":{{}}}}"#)
    };
    let short = read(&with(r#"{"min":"05C1","max":"3F"}"#));
    assert_eq!(short.range, range("05C1", "3F"));
    let long = r#"{"min":"05C1","max":"3F","isMinInclusive":true,"isMaxInclusive":false}"#;
    assert_eq!(read(&with(long)), short);
    assert_eq!(read(&with(r#"{"min":"05c1","max":"3f"}"#)), short);
    assert_eq!(read(&with(r#"{"min":"","max":"ff"}"#)).range, range("", "FF"));
}

#[test]
fn bounds_that_are_no_half_open_interval_are_refused_by_name() {
    for (bounds, why) in [
        (r#"{"Range":{"min":"","max":"FF","isMinInclusive":false}}"#, "isMinInclusive is false"),
        (r#"{"Range":{"min":"","max":"FF","isMaxInclusive":true}}"#, "isMaxInclusive is true"),
        (r#"{"Range":{"min":"","max":"FF","isMaxInclusive":"no"}}"#, r#"isMaxInclusive is "no""#),
        (r#"{"Range":{"min":"3F","max":"3F"}}"#, r#"min is "3F" and max is "3F""#),
        (r#"{"Range":{"min":"5","max":"3"}}"#, r#"min is "5" and max is "3""#),
        (r#"{"Range":{"min":"","max":"FF00"}}"#, r#"max is "FF00""#),
        (r#"{"Range":{"min":"x","max":"FF"}}"#, r#"min is "x""#),
        (r#"{"Range":{"min":"","max":null}}"#, "min and max must be strings"),
        (r#"{"Range":{"max":"FF"}}"#, "min and max must be strings"),
        (r#"{"PK":"[\"a\"]"}"#, "FeedRange has no Range"),
        (r#"{"PKRangeId":"1"}"#, "FeedRange has no Range"),
        (r#"{"Range":null}"#, "FeedRange has no Range"),
        (r#""-FF""#, "FeedRange is not an object"),
    ] {
        let refusal = refusal(&format!(r#"{{"id":"{PREFIX}..0","LeaseToken":"0","FeedRange":{bounds}}}"#));
        let named = refusal.contains(why) && refusal.contains(&format!("{PREFIX}..0")) && refusal.contains("correct");
        assert!(named, "{bounds}: {refusal}");
    }
}

#[test]
fn a_feed_range_that_repeats_the_partition_stays_until_bounds_are_known() {
    let named = format!(r#"{{"id":"{PREFIX}..4","LeaseToken":"4","FeedRange":{{"PKRangeId":"4"}}}}"#);
    let mut lease = read(&named);
    assert_eq!(lease.range, None);
    assert!(written(&lease).contains(r#""FeedRange":{"PKRangeId":"4"}"#), "{}", written(&lease));
    lease.range = range("", "10");
    assert!(written(&lease).contains(r#""FeedRange":{"Range":{"min":"","max":"10"}}"#), "{}", written(&lease));
}

#[test]
fn a_lease_of_version_1_without_feed_range_has_its_bounds_in_its_token() {
    let with = |token: &str| format!(r#"{{"id":"{PREFIX}..x","version":1,"LeaseToken":"{token}","FeedRange":null}}"#);
    // Without properties it could be Java's, were it not for the resource ids.
    assert_eq!(read(&with("-3F")).range, range("", "3F"));
    assert_eq!(read(&with("05C1-FF")).range, range("05C1", "FF"));
    assert_eq!(read(&with("7")).range, None);
    assert!(refusal(&with("3F-05")).contains("3F"));
}

#[test]
fn what_others_added_stays() {
    let lease = read(&format!(
        r#"{{"id":"{PREFIX}..0","LeaseToken":"0","properties":{{"mine":"kept","count":3,"none":null}},"partitionKey":"{PREFIX}..0","foreign":{{"a":[1,{{"b":null}}]}},"_etag":"x","_lsn":4}}"#
    ));
    assert_eq!(lease.properties.keys().collect::<Vec<_>>(), ["mine"]);
    assert_eq!(
        written(&lease),
        format!(
            r#"{{"id":"{PREFIX}..0","version":0,"LeaseToken":"0","Owner":null,"ContinuationToken":null,"properties":{{"count":3,"mine":"kept","none":null}},"timestamp":null,"Mode":null,"foreign":{{"a":[1,{{"b":null}}]}},"partitionKey":"{PREFIX}..0"}}"#
        )
    );
}

#[test]
fn javas_leases_are_refused_with_the_way_to_convert_them() {
    // Base64 of {"V":1,"Rid":…}; base64 of {"a":">>??"}, where the two alphabets differ.
    for position in ["eyJWIjoxLCJSaWQiOiJ4In0=", "eyJhIjoiPj4_PyJ9", "eyJhIjoiPj4/PyJ9"] {
        let java = format!(
            r#"{{"id":"{PREFIX}..-3F","version":1,"LeaseToken":"-3F","FeedRange":{{"Range":{{"min":"","max":"3F"}}}},"ContinuationToken":"{position}"}}"#
        );
        let refusal = refusal(&java);
        assert!(refusal.contains("Java") && refusal.contains("base64"), "{refusal}");
        assert!(refusal.contains("\"Taking over from a Java processor\" in docs/operations.md"), "{refusal}");
    }
    let unread = format!(
        r#"{{"id":"{PREFIX}..-3F","LeaseToken":"-3F","ContinuationToken":null,"timestamp":"2026-01-01T00:00:00Z","Owner":null,"version":1,"feedRange":{{"Range":{{"min":"","max":"3F","isMinInclusive":true,"isMaxInclusive":false}}}}}}"#
    );
    assert!(refusal(&unread).contains("version 1"));
    let named = r#"{"id":"appacct.documents.azure.com_shop_my_orders..0","_etag":"","LeaseToken":"0","ContinuationToken":"\"5\"","timestamp":"2026-01-01T00:00:00Z[UTC]","Owner":null}"#;
    assert!(refusal(named).contains("names instead of resource ids"), "{}", refusal(named));
    let converted = named.replace("_shop_my_orders..", "_TQxHAA==_TQxHAKF8vo8=..");
    assert_eq!(read(&converted).continuation.as_deref(), Some("\"5\""));
}

#[test]
fn what_refusals_and_the_manual_say_of_each_other_is_there() {
    let manual = include_str!("../../../../../docs/operations.md");
    assert!(manual.contains("\n## Taking over from a Java processor\n"));
    for field in ["version", "LeaseToken", "FeedRange.Range", "Owner", "ContinuationToken", "timestamp", "Mode"] {
        assert!(manual.contains(&format!("`{field}`")), "{field} is not explained");
    }
}

#[test]
fn a_position_that_only_looks_like_base64_is_a_position() {
    for position in ["\\\"175\\\"", "175", "abcd", "e30x"] {
        let json = format!(r#"{{"id":"{PREFIX}..0","LeaseToken":"0","ContinuationToken":"{position}"}}"#);
        let is_object = position == "e30x";
        assert_eq!(Lease::from_json(json.as_bytes()).is_err(), is_object, "{position}");
    }
}
