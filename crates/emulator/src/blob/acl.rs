//! Stored access policies: Get and Set Container ACL, and what signatures take from a policy they name.

use bytes::Bytes;
use http::StatusCode;

use super::conditions::Conditions;
use super::content::check_transport;
use super::context::Context;
use super::errors::{Error, Result};
use super::lease::{Lease, Resource};
use super::reply::Reply;
use super::request::Call;
use super::store::Store;
use super::time::parse_sas_time;
use super::xml::{Element, Xml};

/// Policies of one container, by the service's documentation.
const POLICIES_MAX: usize = 5;
/// Characters of a policy's id, by the service's documentation.
const ID_CHARACTERS_MAX: usize = 64;

/// A stored access policy. What it leaves out, a signature must say.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct AccessPolicy {
    pub(super) id: String,
    pub(super) start: Option<String>,
    pub(super) expiry: Option<String>,
    pub(super) permission: Option<String>,
}

/// Get Container ACL.
pub(super) fn get(store: &Store, call: &Call<'_>, context: &Context) -> Result<Reply> {
    let lease = call.header("x-ms-lease-id")?;
    store.with(call.container(), |container| {
        Lease::guard_read(container.lease.as_deref(), lease, Resource::Container, context.now)?;
        let mut reply = Reply::xml(StatusCode::OK, render(&container.policies));
        reply.set_validators(container.etag, container.last_modified);
        Ok(reply)
    })
}

/// Set Container ACL.
pub(super) fn set(store: &Store, call: &Call<'_>, body: &Bytes, context: &Context) -> Result<Reply> {
    if call.header("x-ms-blob-public-access")?.is_some() {
        return Err(Error::PublicAccessNotPermitted);
    }
    check_transport(call, body)?;
    let conditions = Conditions::of_container(call)?;
    let policies = if body.is_empty() { Vec::new() } else { parse(body)? };
    let lease = call.header("x-ms-lease-id")?;
    store.with(call.container(), |container| {
        Lease::guard_read(container.lease.as_deref(), lease, Resource::Container, context.now)?;
        conditions.for_change(container.validators())?;
        container.policies = policies;
        container.touch(context.now);
        let mut reply = Reply::new(StatusCode::OK);
        reply.set_validators(container.etag, container.last_modified);
        Ok(reply)
    })
}

fn parse(body: &[u8]) -> Result<Vec<AccessPolicy>> {
    let root = Element::document(body, "SignedIdentifiers")?;
    if root.children.len() > POLICIES_MAX {
        return Err(Error::InvalidXml);
    }
    let mut policies: Vec<AccessPolicy> = Vec::new();
    for identifier in &root.children {
        let id = identifier.text_of("Id").unwrap_or_default().to_owned();
        let taken = policies.iter().any(|policy| policy.id == id);
        if identifier.name != "SignedIdentifier" || id.is_empty() || taken {
            return Err(Error::InvalidXml);
        }
        if id.chars().count() > ID_CHARACTERS_MAX {
            return Err(Error::InvalidXmlValue { name: "Id", value: id });
        }
        let policy = identifier.child("AccessPolicy");
        let text = |name| policy.and_then(|policy| policy.text_of(name)).filter(|text| !text.is_empty());
        let time = |name: &'static str| -> Result<Option<String>> {
            match text(name) {
                Some(value) if parse_sas_time(value).is_none() => {
                    Err(Error::InvalidXmlValue { name, value: value.to_owned() })
                }
                value => Ok(value.map(str::to_owned)),
            }
        };
        policies.push(AccessPolicy {
            start: time("Start")?,
            expiry: time("Expiry")?,
            permission: text("Permission").map(str::to_owned),
            id,
        });
    }
    Ok(policies)
}

fn render(policies: &[AccessPolicy]) -> Xml {
    let mut xml = Xml::new();
    if policies.is_empty() {
        xml.element("SignedIdentifiers", "");
        return xml;
    }
    xml.open("SignedIdentifiers");
    for policy in policies {
        xml.open("SignedIdentifier").element("Id", &policy.id).open("AccessPolicy");
        xml.optional("Start", policy.start.as_deref())
            .optional("Expiry", policy.expiry.as_deref())
            .optional("Permission", policy.permission.as_deref());
        xml.close("AccessPolicy").close("SignedIdentifier");
    }
    xml.close("SignedIdentifiers");
    xml
}

#[cfg(test)]
mod tests {
    use super::*;

    const TWO: &[u8] = b"<SignedIdentifiers><SignedIdentifier><Id>one</Id><AccessPolicy><Start>2026-11-20</Start>\
        <Expiry>2026-11-21T00:00:00Z</Expiry><Permission>rl</Permission></AccessPolicy></SignedIdentifier>\
        <SignedIdentifier><Id>two</Id></SignedIdentifier></SignedIdentifiers>";

    #[test]
    fn policies_read_back_as_they_were_written() {
        let policies = parse(TWO).unwrap();
        assert_eq!(policies[0].permission.as_deref(), Some("rl"));
        assert_eq!(policies[1], AccessPolicy { id: "two".to_owned(), ..AccessPolicy::default() });
        assert_eq!(parse(render(&policies).finish().as_bytes()), Ok(policies));
        assert_eq!(parse(render(&[]).finish().as_bytes()), Ok(Vec::new()));
    }

    #[test]
    fn too_many_or_malformed_policies_are_refused() {
        let of = |inner: &str| parse(format!("<SignedIdentifiers>{inner}</SignedIdentifiers>").as_bytes());
        let many: String = (0..6).map(|n| format!("<SignedIdentifier><Id>{n}</Id></SignedIdentifier>")).collect();
        let one = "<SignedIdentifier><Id>a</Id></SignedIdentifier>";
        for bad in [&many, &one.repeat(2), "<SignedIdentifier/>", "<Other><Id>a</Id></Other>"] {
            assert_eq!(of(bad), Err(Error::InvalidXml), "{bad}");
        }
        let time = "<SignedIdentifier><Id>a</Id><AccessPolicy><Start>x</Start></AccessPolicy></SignedIdentifier>";
        assert!(matches!(of(time), Err(Error::InvalidXmlValue { name: "Start", .. })));
    }
}
