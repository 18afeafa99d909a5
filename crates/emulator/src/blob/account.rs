//! Operations on the account: its kind and the properties of its blob service.

use http::StatusCode;

use super::StorageSettings;
use super::reply::Reply;
use super::xml::Xml;

/// Get Account Information.
pub(super) fn information(settings: StorageSettings) -> Reply {
    let mut reply = Reply::new(StatusCode::OK);
    reply.set("x-ms-sku-name", "Standard_LRS");
    reply.set("x-ms-account-kind", "StorageV2");
    let hns = if settings.hierarchical_namespace { "true" } else { "false" };
    reply.set("x-ms-is-hns-enabled", hns);
    reply
}

/// Get Blob Service Properties. Versioning is not among them: the service tells it only by version ids.
pub(super) fn service_properties(settings: StorageSettings) -> Reply {
    let mut xml = Xml::new();
    xml.open("StorageServiceProperties");
    xml.open("Logging").element("Version", "1.0");
    for what in ["Delete", "Read", "Write"] {
        xml.element(what, "false");
    }
    retention(&mut xml, "RetentionPolicy", 0);
    xml.close("Logging");
    for metrics in ["HourMetrics", "MinuteMetrics"] {
        xml.open(metrics).element("Version", "1.0").element("Enabled", "false");
        retention(&mut xml, "RetentionPolicy", 0);
        xml.close(metrics);
    }
    xml.element("Cors", "");
    retention(&mut xml, "DeleteRetentionPolicy", settings.soft_delete_days);
    xml.open("StaticWebsite").element("Enabled", "false").close("StaticWebsite");
    xml.close("StorageServiceProperties");
    Reply::xml(StatusCode::OK, xml)
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
