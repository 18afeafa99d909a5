//! The results of a batch's operations, as JSON.

use super::super::errors::CosmosError;
use super::super::item;
use super::super::state::Written;

/// The result of an operation that was done.
pub(super) fn success(written: &Written, minimal: bool) -> String {
    let change = written.change();
    let mut result =
        format!("{{\"statusCode\":{},\"requestCharge\":{:.2}", item::status(written).as_u16(), item::charge(written));
    if !change.op.removes() {
        result.push_str(&format!(",\"eTag\":{}", serde_json::Value::from(&*change.etag)));
    }
    let shown = matches!(written, Written::Read(_))
        || (!minimal && matches!(written, Written::Created(_) | Written::Replaced(_)));
    if shown {
        result.push_str(&format!(",\"resourceBody\":{}", change.text()));
    }
    result.push('}');
    result
}

/// The result of an operation that was refused.
pub(super) fn refusal(error: &CosmosError) -> String {
    let substatus = error.substatus.map_or_else(String::new, |substatus| format!(",\"subStatusCode\":{substatus}"));
    format!("{{\"statusCode\":{},\"requestCharge\":1.00{substatus}}}", error.status.as_u16())
}

/// The result of an operation that another one's refusal undid or kept from being done.
pub(super) fn failed_dependency() -> String {
    "{\"statusCode\":424,\"requestCharge\":0}".to_owned()
}
