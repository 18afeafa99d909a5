//! Shared access signatures: account and service signatures of version 2020-12-06 and later, as in "Create an
//! account SAS" and "Create a service SAS" of the Azure Storage REST reference.
//!
//! What a service signature leaves out, the stored access policy that it names may say. Not known: user delegation
//! signatures and the directories of a hierarchical namespace. They are refused with the reason.

use std::net::Ipv4Addr;

use jiff::Timestamp;

use super::{Access, AccountKey};
use crate::blob::acl::AccessPolicy;
use crate::blob::errors::{Error, Result};
use crate::blob::request::{Call, Query, Target};
use crate::blob::route::{Need, Operation};
use crate::blob::store::Store;
use crate::blob::time::parse_sas_time;

/// The first version whose string-to-sign has the encryption scope.
const VERSION_MIN: &str = "2020-12-06";

/// Checks the signature in the query, its times and origin, and that it grants the operation.
pub(super) fn verify(
    call: &Call<'_>,
    operation: &Result<Operation>,
    key: &AccountKey,
    store: &Store,
    now: Timestamp,
) -> Result<Access> {
    let query = &call.query;
    if query.get("skoid").is_some() {
        return Err(failed("The emulator does not know user delegation signatures (skoid).".to_owned()));
    }
    let version = query.get("sv").unwrap_or_default();
    if version < VERSION_MIN {
        return Err(failed(format!(
            "The emulator knows signatures of version {VERSION_MIN} and later, not '{version}'."
        )));
    }
    let account_wide = query.get("ss").is_some();
    let text = if account_wide { account_string(query) } else { service_string(call)? };
    if !key.verifies(&text, query.get("sig").unwrap_or_default()) {
        return Err(failed(format!("Signature did not match. String to sign used was {text}")));
    }
    let terms = Terms::of(call, account_wide, store)?;
    check_times(&terms, now)?;
    check_origin(query)?;
    if account_wide && !query.get("ss").unwrap_or_default().contains('b') {
        return Err(Error::ServiceMismatch);
    }
    let Ok(operation) = operation else {
        // The refusal of the operation itself comes next; nothing is done.
        return Ok(Access { overwrite: false, owner: false });
    };
    let need = operation.need().ok_or(Error::PermissionMismatch)?;
    let resources = if account_wide { query.get("srt").unwrap_or_default() } else { "o" };
    let permissions = terms.permission.as_str();
    // What rides with a write needs its own letter.
    for (header, letter) in [("x-ms-tags", 't'), ("x-ms-immutability-policy-until-date", 'i'), ("x-ms-legal-hold", 'i')]
    {
        if call.headers.contains_key(header) && !permissions.contains(letter) {
            return Err(Error::PermissionMismatch);
        }
    }
    check_permission(*operation, need, resources, permissions, account_wide)
}

/// What a signature grants and when, partly from the policy that it names.
struct Terms {
    permission: String,
    start: String,
    expiry: String,
}

impl Terms {
    fn of(call: &Call<'_>, account_wide: bool, store: &Store) -> Result<Self> {
        let policy = match call.query.get("si").filter(|id| !id.is_empty() && !account_wide) {
            None => AccessPolicy::default(),
            Some(id) => {
                let found = store.with(call.container(), |container| {
                    Ok(container.policies.iter().find(|policy| policy.id == id).cloned())
                });
                let found = found.ok().flatten();
                found.ok_or_else(|| failed(format!("There is no stored access policy '{id}'.")))?
            }
        };
        let pick = |name: &str, stored: Option<String>| -> Result<String> {
            let own = call.query.get(name).filter(|text| !text.is_empty());
            match (own, stored) {
                (Some(_), Some(_)) => Err(failed(format!("{name} is in the signature and in the stored policy."))),
                (Some(own), None) => Ok(own.to_owned()),
                (None, stored) => Ok(stored.unwrap_or_default()),
            }
        };
        Ok(Self {
            permission: pick("sp", policy.permission)?,
            start: pick("st", policy.start)?,
            expiry: pick("se", policy.expiry)?,
        })
    }
}

fn check_permission(
    operation: Operation,
    need: Need,
    resources: &str,
    permissions: &str,
    account_wide: bool,
) -> Result<Access> {
    // A service signature lists and finds blobs but does nothing else to a container.
    let listing = matches!(operation, Operation::ListBlobs | Operation::FindBlobsInContainer) && !account_wide;
    if need.resource != '*' && !listing && !resources.contains(need.resource) {
        return Err(if account_wide { Error::ResourceTypeMismatch } else { Error::PermissionMismatch });
    }
    if !need.any_of.is_empty() && !need.any_of.chars().any(|letter| permissions.contains(letter)) {
        return Err(Error::PermissionMismatch);
    }
    Ok(Access { overwrite: permissions.contains('w'), owner: false })
}

fn failed(detail: String) -> Error {
    Error::AuthenticationFailed { detail }
}

fn account_string(query: &Query) -> String {
    let mut text = format!("{}\n", crate::BLOB_ACCOUNT);
    for name in ["sp", "ss", "srt", "st", "se", "sip", "spr", "sv", "ses"] {
        text.push_str(query.get(name).unwrap_or_default());
        text.push('\n');
    }
    text
}

fn service_string(call: &Call<'_>) -> Result<String> {
    let query = &call.query;
    let container = format!("/blob/{}/{}", crate::BLOB_ACCOUNT, call.container());
    let (resource, snapshot) = match (query.get("sr").unwrap_or_default(), &call.target) {
        ("c", Target::Container(_) | Target::Blob { .. }) => (container, ""),
        ("b", Target::Blob { name, .. }) => (format!("{container}/{name}"), ""),
        ("bv", Target::Blob { name, .. }) => {
            (format!("{container}/{name}"), query.get("versionid").unwrap_or_default())
        }
        ("bs", Target::Blob { name, .. }) => (format!("{container}/{name}"), query.get("snapshot").unwrap_or_default()),
        (other, _) => {
            return Err(failed(format!("sr '{other}' does not fit the resource of the request.")));
        }
    };
    let value = |name| query.get(name).unwrap_or_default();
    Ok([
        value("sp"),
        value("st"),
        value("se"),
        &resource,
        value("si"),
        value("sip"),
        value("spr"),
        value("sv"),
        value("sr"),
        snapshot,
        value("ses"),
        value("rscc"),
        value("rscd"),
        value("rsce"),
        value("rscl"),
        value("rsct"),
    ]
    .join("\n"))
}

fn check_times(terms: &Terms, now: Timestamp) -> Result<()> {
    let read = |name: &str, text: &str| -> Result<Option<Timestamp>> {
        match text {
            "" => Ok(None),
            text => parse_sas_time(text).map(Some).ok_or_else(|| failed(format!("{name} '{text}' is not a time."))),
        }
    };
    let start = read("st", &terms.start)?;
    let Some(expiry) = read("se", &terms.expiry)? else {
        return Err(failed("se is mandatory.".to_owned()));
    };
    if start.is_some_and(|start| now < start) || now >= expiry {
        return Err(failed(format!(
            "Signature not valid in the specified time frame: Start [{}] - Expiry [{expiry}] - Current [{now}]",
            start.map(|start| start.to_string()).unwrap_or_default(),
        )));
    }
    Ok(())
}

/// The emulator is plain HTTP on loopback.
fn check_origin(query: &Query) -> Result<()> {
    match query.get("spr").unwrap_or_default() {
        "" | "https,http" | "http,https" | "http" => {}
        "https" => return Err(Error::ProtocolMismatch),
        other => return Err(failed(format!("spr '{other}' is not a protocol."))),
    }
    let Some(range) = query.get("sip").filter(|range| !range.is_empty()) else {
        return Ok(());
    };
    let (low, high) = range.split_once('-').unwrap_or((range, range));
    match (low.parse::<Ipv4Addr>(), high.parse::<Ipv4Addr>()) {
        (Ok(low), Ok(high)) if low <= Ipv4Addr::LOCALHOST && Ipv4Addr::LOCALHOST <= high => Ok(()),
        (Ok(_), Ok(_)) => Err(Error::SourceIpMismatch),
        _ => Err(failed(format!("sip '{range}' is not an IP address or range."))),
    }
}

#[cfg(test)]
mod tests {
    use http::Method;

    use super::*;

    // The signatures were computed with Python's hmac module.
    const ACCOUNT: &str = "sp=rwl&ss=b&srt=sco&st=2026-11-20T00:00:00Z&se=2026-11-21T00:00:00Z&spr=https,http&\
        sv=2024-11-04&sig=F/mGdsX6k3/96zanEf4pLDN8pQQ2m4EvmgXp%2BwRnX5w=";
    const CONTAINER: &str =
        "sp=rl&se=2026-11-21T00:00:00Z&sv=2024-11-04&sr=c&sig=TZltbIg6d3r2lsPtheSsK8VweLcsRFs/1U%2BNJd65fy8=";
    const BLOB: &str =
        "sp=c&se=2026-11-21T00:00:00Z&sv=2024-11-04&sr=b&sig=6vM/hgWx7Xo7gx38PxoVa%2BFRBPAzgNdJfqoPc2neXyM=";

    fn judge(method: Method, path_and_query: &str, now: &str) -> Result<Access> {
        let parts = http::Request::builder()
            .method(method)
            .uri(format!("/devstoreaccount1{path_and_query}"))
            .body(())
            .unwrap()
            .into_parts()
            .0;
        let call = Call::parse(&parts).unwrap();
        let key = AccountKey::from_base64(crate::BLOB_KEY).unwrap();
        verify(&call, &Operation::of(&call), &key, &Store::default(), now.parse().unwrap())
    }

    const NOON: &str = "2026-11-20T12:00:00Z";

    #[test]
    fn an_account_signature_opens_what_it_grants() {
        let granted = Ok(Access { overwrite: true, owner: false });
        assert_eq!(judge(Method::PUT, &format!("/c/b?{ACCOUNT}"), NOON), granted);
        let list = format!("/c?restype=container&comp=list&{ACCOUNT}");
        assert_eq!(judge(Method::GET, &list, NOON), granted);
        assert_eq!(judge(Method::DELETE, &format!("/c/b?{ACCOUNT}"), NOON), Err(Error::PermissionMismatch));
    }

    #[test]
    fn a_signature_is_refused_before_its_start_and_from_its_expiry_on() {
        for now in ["2026-11-19T23:59:59Z", "2026-11-21T00:00:00Z"] {
            assert!(matches!(
                judge(Method::GET, &format!("/c/b?{ACCOUNT}"), now),
                Err(Error::AuthenticationFailed { .. })
            ));
        }
    }

    #[test]
    fn a_changed_parameter_breaks_the_signature() {
        let changed = ACCOUNT.replace("sp=rwl", "sp=rwdl");
        assert!(matches!(
            judge(Method::GET, &format!("/c/b?{changed}"), NOON),
            Err(Error::AuthenticationFailed { .. })
        ));
    }

    #[test]
    fn a_container_signature_reads_and_lists_its_container_only() {
        let granted = Ok(Access { overwrite: false, owner: false });
        assert_eq!(judge(Method::GET, &format!("/mirror/x?{CONTAINER}"), NOON), granted);
        let list = format!("/mirror?restype=container&comp=list&{CONTAINER}");
        assert_eq!(judge(Method::GET, &list, NOON), granted);
        let create = format!("/mirror?restype=container&{CONTAINER}");
        assert_eq!(judge(Method::PUT, &create, NOON), Err(Error::PermissionMismatch));
        assert!(matches!(
            judge(Method::GET, &format!("/other/x?{CONTAINER}"), NOON),
            Err(Error::AuthenticationFailed { .. })
        ));
    }

    #[test]
    fn a_blob_signature_with_create_alone_may_not_overwrite() {
        assert_eq!(
            judge(Method::PUT, &format!("/mirror/a%2Fb%20c?{BLOB}"), NOON),
            Ok(Access { overwrite: false, owner: false })
        );
        assert!(matches!(
            judge(Method::PUT, &format!("/mirror/a%2Fb?{BLOB}"), NOON),
            Err(Error::AuthenticationFailed { .. })
        ));
    }

    #[test]
    fn protocol_and_address_are_checked_for_plain_http_on_loopback() {
        let origin = |text: &str| check_origin(&Query::parse(text));
        assert_eq!(origin("spr=https"), Err(Error::ProtocolMismatch));
        assert_eq!(origin("spr=https,http&sip=127.0.0.0-127.0.0.9"), Ok(()));
        assert_eq!(origin("sip=10.0.0.1"), Err(Error::SourceIpMismatch));
    }
}
