//! Operations on containers and the account's list of them.

use http::StatusCode;

use super::ContainerImmutability;
use super::conditions::{Conditions, Validators};
use super::content::{Metadata, metadata};
use super::context::Context;
use super::encryption::ScopeRule;
use super::errors::{Error, Result};
use super::lease::{Lease, Resource};
use super::list::items_max;
use super::reply::Reply;
use super::request::Call;
use super::store::{Container, Store};
use super::time::http_date;
use super::xml::Xml;

/// Create Container.
pub(super) fn create(store: &Store, call: &Call<'_>, context: &Context) -> Result<Reply> {
    check_name(call.container())?;
    if call.header("x-ms-blob-public-access")?.is_some() {
        return Err(Error::PublicAccessNotPermitted);
    }
    const WORM: &str = "x-ms-immutable-storage-with-versioning-enabled";
    if call.flag(WORM)? && !context.policy.worm {
        return Err(Error::VersionLevelImmutabilityOff);
    }
    let created = store.create(call.container(), metadata(call)?, ScopeRule::of(call)?, context.now)?;
    let mut reply = Reply::new(StatusCode::CREATED);
    reply.set_validators(created.etag, created.last_modified);
    Ok(reply)
}

/// Get Container Properties and Get Container Metadata.
pub(super) fn properties(store: &Store, call: &Call<'_>, context: &Context) -> Result<Reply> {
    let lease = call.header("x-ms-lease-id")?;
    store.with(call.container(), |container| {
        Lease::guard_read(container.lease.as_deref(), lease, Resource::Container, context.now)?;
        let shown = Shown::of(call.container(), container, context);
        let mut reply = Reply::new(StatusCode::OK);
        reply.set_validators(container.etag, container.last_modified);
        for (name, value) in &shown.metadata {
            reply.set_named(&format!("x-ms-meta-{name}"), value);
        }
        let (status, state, duration) = shown.lease;
        reply.set("x-ms-lease-status", status);
        reply.set("x-ms-lease-state", state);
        reply.set_optional("x-ms-lease-duration", duration);
        reply.set("x-ms-has-immutability-policy", word(context.immutability == ContainerImmutability::Policy));
        reply.set("x-ms-has-legal-hold", word(context.immutability == ContainerImmutability::LegalHold));
        reply.set("x-ms-immutable-storage-with-versioning-enabled", word(context.policy.worm));
        reply.set("x-ms-default-encryption-scope", &shown.rule.scope);
        reply.set("x-ms-deny-encryption-scope-override", word(shown.rule.deny_override));
        Ok(reply)
    })
}

/// Set Container Metadata.
pub(super) fn set_metadata(store: &Store, call: &Call<'_>, context: &Context) -> Result<Reply> {
    let conditions = Conditions::of_container(call)?;
    let metadata = metadata(call)?;
    let lease = call.header("x-ms-lease-id")?;
    store.with(call.container(), |container| {
        Lease::guard_read(container.lease.as_deref(), lease, Resource::Container, context.now)?;
        conditions.for_change(container.validators())?;
        container.touch(context.now);
        container.metadata = metadata;
        let mut reply = Reply::new(StatusCode::OK);
        reply.set_validators(container.etag, container.last_modified);
        Ok(reply)
    })
}

/// Delete Container, at once: the service keeps the name for half a minute, which would only slow tests. A
/// container with a protected state stays.
pub(super) fn delete(store: &Store, call: &Call<'_>, context: &Context) -> Result<Reply> {
    let conditions = Conditions::of_container(call)?;
    let lease = call.header("x-ms-lease-id")?;
    store.delete(call.container(), |container| {
        Lease::guard_write(container.lease.as_deref(), lease, Resource::Container, context.now)?;
        conditions.for_change(container.validators())?;
        let mut states = container.blobs.values().flat_map(|entry| entry.all(context.now));
        states.try_for_each(|state| state.aside.protection.guard(context.now))
    })?;
    Ok(Reply::new(StatusCode::ACCEPTED))
}

/// What listings and properties show of a container.
struct Shown {
    name: String,
    validators: Validators<'static>,
    metadata: Metadata,
    rule: ScopeRule,
    lease: (&'static str, &'static str, Option<&'static str>),
}

impl Shown {
    fn of(name: &str, container: &Container, context: &Context) -> Self {
        Self {
            name: name.to_owned(),
            validators: container.validators(),
            metadata: container.metadata.clone(),
            rule: container.scope_rule.clone(),
            lease: Lease::shown(container.lease.as_deref(), context.now),
        }
    }
}

const fn word(flag: bool) -> &'static str {
    if flag { "true" } else { "false" }
}

/// List Containers. Its marker is the next container's name.
pub(super) fn list(store: &Store, call: &Call<'_>, context: &Context) -> Result<Reply> {
    let with_metadata = include(call.query.get("include"))?;
    let prefix = call.query.get("prefix").unwrap_or_default();
    let marker = call.query.get("marker").unwrap_or_default();
    let view = |name: &str, container: &Container| Shown::of(name, container, context);
    let (page, next) = store.page(prefix, marker, items_max(call)?, view);
    let endpoint = format!("{}/{}/", call.origin, crate::BLOB_ACCOUNT);
    let mut xml = Xml::new();
    xml.open_with("EnumerationResults", &[("ServiceEndpoint", &endpoint)]);
    for (element, parameter) in [("Prefix", "prefix"), ("Marker", "marker"), ("MaxResults", "maxresults")] {
        xml.optional(element, call.query.get(parameter));
    }
    xml.open("Containers");
    for shown in &page {
        render(&mut xml, shown, with_metadata, context);
    }
    xml.close("Containers");
    xml.element("NextMarker", next.as_deref().unwrap_or_default());
    xml.close("EnumerationResults");
    Ok(Reply::xml(StatusCode::OK, xml))
}

fn render(xml: &mut Xml, shown: &Shown, with_metadata: bool, context: &Context) {
    let (status, state, duration) = shown.lease;
    xml.open("Container").element("Name", &shown.name).open("Properties");
    xml.element("Last-Modified", &http_date(shown.validators.last_modified))
        .element("Etag", &shown.validators.etag.quoted())
        .element("LeaseStatus", status)
        .element("LeaseState", state)
        .optional("LeaseDuration", duration)
        .element("DefaultEncryptionScope", &shown.rule.scope)
        .element("DenyEncryptionScopeOverride", word(shown.rule.deny_override))
        .element("HasImmutabilityPolicy", word(context.immutability == ContainerImmutability::Policy))
        .element("HasLegalHold", word(context.immutability == ContainerImmutability::LegalHold))
        .element("ImmutableStorageWithVersioningEnabled", word(context.policy.worm))
        .close("Properties");
    if with_metadata {
        xml.open("Metadata");
        for (name, value) in &shown.metadata {
            xml.element(name, value);
        }
        xml.close("Metadata");
    }
    xml.close("Container");
}

/// Whether metadata is to be listed. Deleted and system containers do not exist here.
fn include(text: Option<&str>) -> Result<bool> {
    let Some(text) = text.filter(|text| !text.is_empty()) else {
        return Ok(false);
    };
    if text.split(',').any(|word| !matches!(word, "metadata" | "deleted" | "system")) {
        return Err(Error::InvalidQuery {
            name: "include",
            value: text.to_owned(),
            reason: "Invalid query parameter value.",
        });
    }
    Ok(text.split(',').any(|word| word == "metadata"))
}

/// Names are 3 to 63 lower-case letters, digits and single hyphens between them, or one of the service's own.
fn check_name(name: &str) -> Result<()> {
    if matches!(name, "$root" | "$logs" | "$web") {
        return Ok(());
    }
    if !(3..=63).contains(&name.len()) {
        return Err(Error::ResourceNameLength);
    }
    let plain = name.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-');
    if !plain || name.starts_with('-') || name.ends_with('-') || name.contains("--") {
        return Err(Error::InvalidResourceName);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn container_names_follow_the_services_rules() {
        for good in ["abc", "a-b-1", "$root"] {
            assert_eq!(check_name(good), Ok(()), "{good}");
        }
        for bad in ["Abc", "a--b", "-ab", "ab-", "a_b", "$other"] {
            assert_eq!(check_name(bad), Err(Error::InvalidResourceName), "{bad}");
        }
        assert_eq!(check_name("ab"), Err(Error::ResourceNameLength));
        assert_eq!(check_name(&"a".repeat(64)), Err(Error::ResourceNameLength));
    }
}
