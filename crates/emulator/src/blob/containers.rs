//! Operations on containers and the account's list of them.

use http::StatusCode;
use jiff::Timestamp;

use super::conditions::{Conditions, Validators};
use super::content::{Metadata, metadata};
use super::errors::{Error, Result};
use super::list::items_max;
use super::reply::Reply;
use super::request::Call;
use super::store::Store;
use super::time::{Etag, http_date};
use super::xml::Xml;

/// Create Container.
pub(super) fn create(store: &Store, call: &Call<'_>, now: Timestamp) -> Result<Reply> {
    check_name(call.container())?;
    if call.header("x-ms-blob-public-access")?.is_some() {
        return Err(Error::PublicAccessNotPermitted);
    }
    for name in ["x-ms-default-encryption-scope", "x-ms-immutable-storage-with-versioning-enabled"] {
        if call.headers.contains_key(name) {
            return Err(Error::lacks(format!("the header {name}")));
        }
    }
    let created = store.create(call.container(), metadata(call)?, now)?;
    let mut reply = Reply::new(StatusCode::CREATED);
    reply.set_validators(created.etag, created.last_modified);
    Ok(reply)
}

/// Get Container Properties and Get Container Metadata.
pub(super) fn properties(store: &Store, call: &Call<'_>) -> Result<Reply> {
    refuse_lease(call)?;
    let (validators, metadata) =
        store.with(call.container(), |container| Ok((container.validators(), container.metadata.clone())))?;
    let mut reply = Reply::new(StatusCode::OK);
    reply.set_validators(validators.etag, validators.last_modified);
    for (name, value) in metadata {
        reply.set_named(&format!("x-ms-meta-{name}"), &value);
    }
    reply.set("x-ms-lease-status", "unlocked");
    reply.set("x-ms-lease-state", "available");
    reply.set("x-ms-has-immutability-policy", "false");
    reply.set("x-ms-has-legal-hold", "false");
    reply.set("x-ms-immutable-storage-with-versioning-enabled", "false");
    reply.set("x-ms-default-encryption-scope", "$account-encryption-key");
    reply.set("x-ms-deny-encryption-scope-override", "false");
    Ok(reply)
}

/// Set Container Metadata.
pub(super) fn set_metadata(store: &Store, call: &Call<'_>, now: Timestamp) -> Result<Reply> {
    refuse_lease(call)?;
    let conditions = Conditions::parse(call)?;
    let metadata = metadata(call)?;
    let validators = store.with(call.container(), |container| {
        conditions.for_change(container.validators())?;
        container.etag = Etag(container.stamp(now));
        container.last_modified = now;
        container.metadata = metadata;
        Ok(container.validators())
    })?;
    let mut reply = Reply::new(StatusCode::OK);
    reply.set_validators(validators.etag, validators.last_modified);
    Ok(reply)
}

/// Get Container ACL: there are no stored access policies.
pub(super) fn acl(store: &Store, call: &Call<'_>) -> Result<Reply> {
    let validators = store.with(call.container(), |container| Ok(container.validators()))?;
    let mut xml = Xml::new();
    xml.element("SignedIdentifiers", "");
    let mut reply = Reply::xml(StatusCode::OK, xml);
    reply.set_validators(validators.etag, validators.last_modified);
    Ok(reply)
}

/// Delete Container, at once: the service keeps the name for half a minute, which would only slow tests.
pub(super) fn delete(store: &Store, call: &Call<'_>) -> Result<Reply> {
    refuse_lease(call)?;
    let conditions = Conditions::parse(call)?;
    store.delete(call.container(), |existing| conditions.for_change(existing))?;
    Ok(Reply::new(StatusCode::ACCEPTED))
}

/// List Containers. Its marker is the next container's name.
pub(super) fn list(store: &Store, call: &Call<'_>) -> Result<Reply> {
    let with_metadata = include(call.query.get("include"))?;
    let prefix = call.query.get("prefix").unwrap_or_default();
    let marker = call.query.get("marker").unwrap_or_default();
    let (page, next) = store.page(prefix, marker, items_max(call)?, |name, container| {
        (name.to_owned(), container.validators(), container.metadata.clone())
    });
    let endpoint = format!("{}/{}/", call.origin, crate::BLOB_ACCOUNT);
    let mut xml = Xml::new();
    xml.open_with("EnumerationResults", &[("ServiceEndpoint", &endpoint)]);
    for (element, parameter) in [("Prefix", "prefix"), ("Marker", "marker"), ("MaxResults", "maxresults")] {
        xml.optional(element, call.query.get(parameter));
    }
    xml.open("Containers");
    for (name, validators, metadata) in &page {
        render(&mut xml, name, *validators, metadata, with_metadata);
    }
    xml.close("Containers");
    xml.element("NextMarker", next.as_deref().unwrap_or_default());
    xml.close("EnumerationResults");
    Ok(Reply::xml(StatusCode::OK, xml))
}

fn render(xml: &mut Xml, name: &str, validators: Validators, metadata: &Metadata, with_metadata: bool) {
    xml.open("Container").element("Name", name).open("Properties");
    xml.element("Last-Modified", &http_date(validators.last_modified))
        .element("Etag", &validators.etag.quoted())
        .element("LeaseStatus", "unlocked")
        .element("LeaseState", "available")
        .element("DefaultEncryptionScope", "$account-encryption-key")
        .element("DenyEncryptionScopeOverride", "false")
        .element("HasImmutabilityPolicy", "false")
        .element("HasLegalHold", "false")
        .element("ImmutableStorageWithVersioningEnabled", "false")
        .close("Properties");
    if with_metadata {
        xml.open("Metadata");
        for (name, value) in metadata {
            xml.element(name, value);
        }
        xml.close("Metadata");
    }
    xml.close("Container");
}

/// Whether metadata is to be listed. Deleted and system containers do not exist here.
fn include(text: Option<&str>) -> Result<bool> {
    let Some(text) = text else {
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

fn refuse_lease(call: &Call<'_>) -> Result<()> {
    match call.headers.contains_key("x-ms-lease-id") {
        true => Err(Error::lacks("the header x-ms-lease-id")),
        false => Ok(()),
    }
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
