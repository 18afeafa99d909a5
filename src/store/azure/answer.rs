//! The headers of an answer, whichever client read it.

use std::collections::BTreeMap;

use azure_core::http::headers::{HeaderName, Headers};
use http::HeaderMap;

use super::heads::METADATA_PREFIX;

/// Looking into headers.
pub(super) trait AnswerHeaders {
    /// The header of this name, which is in lower case, if it is text.
    fn text(&self, name: &'static str) -> Option<&str>;

    /// Metadata by its names in lower case.
    fn metadata(&self) -> BTreeMap<String, String>;
}

impl AnswerHeaders for Headers {
    fn text(&self, name: &'static str) -> Option<&str> {
        self.get_optional_str(&HeaderName::from_static(name))
    }

    fn metadata(&self) -> BTreeMap<String, String> {
        let named =
            |name: &HeaderName| name.as_str().to_ascii_lowercase().strip_prefix(METADATA_PREFIX).map(str::to_owned);
        self.iter().filter_map(|(name, value)| Some((named(name)?, value.as_str().to_owned()))).collect()
    }
}

impl AnswerHeaders for HeaderMap {
    fn text(&self, name: &'static str) -> Option<&str> {
        self.get(name)?.to_str().ok()
    }

    fn metadata(&self) -> BTreeMap<String, String> {
        let named = |name: &http::HeaderName| name.as_str().strip_prefix(METADATA_PREFIX).map(str::to_owned);
        self.iter().filter_map(|(name, value)| Some((named(name)?, value.to_str().ok()?.to_owned()))).collect()
    }
}
