//! Operations on the account: its kind, and the properties of its blob service.
//!
//! Of the properties only the retention of deleted blobs has an effect: it is the account's setting for soft delete,
//! in both directions. The others are kept as they were set and shown again. Versioning is not among them: it belongs
//! to the management of the account, and the service tells it only by version ids.

use std::collections::BTreeMap;

use bytes::Bytes;
use http::StatusCode;

use super::StorageSettings;
use super::errors::{Error, Result};
use super::reply::Reply;
use super::xml::{Element, Xml};

/// Days a deleted blob may be kept, by the service's documentation.
const RETENTION_DAYS_MAX: u32 = 365;
/// Rules of one account, by the service's documentation.
const CORS_RULES_MAX: usize = 5;

/// The kept properties, by the names of their elements, with the elements each may have.
const SECTIONS: [(&str, &[&str]); 6] = [
    ("Logging", &["Version", "Delete", "Read", "Write", "RetentionPolicy"]),
    ("HourMetrics", &["Version", "Enabled", "IncludeAPIs", "RetentionPolicy"]),
    ("MinuteMetrics", &["Version", "Enabled", "IncludeAPIs", "RetentionPolicy"]),
    ("Cors", &["CorsRule"]),
    ("DefaultServiceVersion", &[]),
    ("StaticWebsite", &["Enabled", "IndexDocument", "ErrorDocument404Path", "DefaultIndexDocumentPath"]),
];

/// What was set of the service's properties, besides the account's own settings.
#[derive(Debug, Default)]
pub(super) struct ServiceProperties(BTreeMap<&'static str, Element>);

/// What a Set Blob Service Properties changes: it keeps what it does not name.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct PropertyChange {
    sections: BTreeMap<&'static str, Element>,
    /// Days deleted blobs are kept; 0: not at all.
    pub(super) soft_delete_days: Option<u32>,
}

impl PropertyChange {
    /// Reads the document.
    pub(super) fn parse(body: &Bytes) -> Result<Self> {
        let root = Element::document(body, "StorageServiceProperties")?;
        let mut change = Self { sections: BTreeMap::new(), soft_delete_days: None };
        for section in root.children {
            if section.name == "DeleteRetentionPolicy" {
                change.soft_delete_days = Some(retention_days(&section)?);
                continue;
            }
            let known = SECTIONS.iter().find(|(name, _)| *name == section.name);
            let (name, elements) = known.ok_or(Error::InvalidXml)?;
            if section.children.iter().any(|child| !elements.contains(&child.name.as_str())) {
                return Err(Error::InvalidXml);
            }
            if *name == "Cors" && section.children.len() > CORS_RULES_MAX {
                return Err(Error::InvalidXml);
            }
            if let Some(policy) = section.child("RetentionPolicy") {
                retention_days(policy)?;
            }
            change.sections.insert(name, section);
        }
        Ok(change)
    }
}

impl ServiceProperties {
    /// Takes over what was set.
    pub(super) fn apply(&mut self, change: PropertyChange) {
        self.0.extend(change.sections);
    }

    /// Get Blob Service Properties.
    pub(super) fn show(&self, settings: StorageSettings) -> Reply {
        let mut xml = Xml::new();
        xml.open("StorageServiceProperties");
        for (name, _) in SECTIONS {
            match self.0.get(name) {
                Some(section) => render(&mut xml, section),
                None => render_default(&mut xml, name),
            }
            if name == "Cors" {
                retention(&mut xml, "DeleteRetentionPolicy", settings.soft_delete_days);
            }
        }
        xml.close("StorageServiceProperties");
        Reply::xml(StatusCode::OK, xml)
    }
}

/// Get Account Information.
pub(super) fn information(settings: StorageSettings) -> Reply {
    let mut reply = Reply::new(StatusCode::OK);
    reply.set("x-ms-sku-name", settings.sku.name());
    reply.set("x-ms-account-kind", "StorageV2");
    let hns = if settings.hierarchical_namespace { "true" } else { "false" };
    reply.set("x-ms-is-hns-enabled", hns);
    reply
}

/// Reads a retention policy: the days, or 0 if it is not enabled.
fn retention_days(policy: &Element) -> Result<u32> {
    if policy.text_of("AllowPermanentDelete").is_some_and(|allowed| allowed.eq_ignore_ascii_case("true")) {
        return Err(Error::lacks("permanent deletes (AllowPermanentDelete)"));
    }
    let value = |name: &'static str, text: &str| Error::InvalidXmlValue { name, value: text.to_owned() };
    match policy.text_of("Enabled").ok_or(Error::InvalidXml)? {
        "false" => Ok(0),
        "true" => {
            let days = policy.text_of("Days").ok_or(Error::InvalidXml)?;
            let number = days.parse().ok().filter(|days| (1..=RETENTION_DAYS_MAX).contains(days));
            number.ok_or_else(|| value("Days", days))
        }
        other => Err(value("Enabled", other)),
    }
}

fn render(xml: &mut Xml, element: &Element) {
    if element.children.is_empty() {
        xml.element(&element.name, element.text.trim());
        return;
    }
    xml.open(&element.name);
    for child in &element.children {
        render(xml, child);
    }
    xml.close(&element.name);
}

/// What the service shows of a property that was never set.
fn render_default(xml: &mut Xml, name: &str) {
    match name {
        "Logging" => {
            xml.open(name).element("Version", "1.0");
            for what in ["Delete", "Read", "Write"] {
                xml.element(what, "false");
            }
            retention(xml, "RetentionPolicy", 0);
            xml.close(name);
        }
        "HourMetrics" | "MinuteMetrics" => {
            xml.open(name).element("Version", "1.0").element("Enabled", "false");
            retention(xml, "RetentionPolicy", 0);
            xml.close(name);
        }
        "StaticWebsite" => {
            xml.open(name).element("Enabled", "false").close(name);
        }
        "Cors" => {
            xml.element(name, "");
        }
        _ => {}
    }
}

fn retention(xml: &mut Xml, name: &str, days: u32) {
    xml.open(name);
    if days > 0 {
        xml.element("Enabled", "true").element("Days", &days.to_string());
    } else {
        xml.element("Enabled", "false");
    }
    xml.close(name);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn change(inner: &str) -> Result<PropertyChange> {
        let text = format!("<StorageServiceProperties>{inner}</StorageServiceProperties>");
        PropertyChange::parse(&Bytes::from(text))
    }

    #[test]
    fn the_retention_of_deleted_blobs_is_read_within_its_limits() {
        let policy = |inner: &str| change(&format!("<DeleteRetentionPolicy>{inner}</DeleteRetentionPolicy>"));
        let days = |inner: &str| policy(inner).map(|change| change.soft_delete_days);
        assert_eq!(days("<Enabled>true</Enabled><Days>365</Days>"), Ok(Some(365)));
        assert_eq!(days("<Enabled>false</Enabled>"), Ok(Some(0)));
        assert!(matches!(days("<Enabled>true</Enabled><Days>366</Days>"), Err(Error::InvalidXmlValue { .. })));
        assert_eq!(days("<Enabled>true</Enabled>"), Err(Error::InvalidXml));
        let permanent = "<Enabled>false</Enabled><AllowPermanentDelete>true</AllowPermanentDelete>";
        assert!(matches!(days(permanent), Err(Error::NotImplemented { .. })));
        assert_eq!(change("").unwrap().soft_delete_days, None);
    }

    #[test]
    fn unknown_properties_are_refused() {
        for bad in ["<IsVersioningEnabled>true</IsVersioningEnabled>", "<Logging><Other/></Logging>"] {
            assert_eq!(change(bad), Err(Error::InvalidXml), "{bad}");
        }
    }
}
