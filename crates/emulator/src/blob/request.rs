//! A request of the blob service, read as far as every operation needs it: what it targets and its parameters.
//!
//! Paths have the emulator's form, `/account/container/blob`. The blob's name is all that follows the
//! container, percent-decoded once, so `/` and `%2F` are the same.

use http::header::TRANSFER_ENCODING;
use http::{HeaderMap, Method};
use percent_encoding::percent_decode_str;

use super::errors::{Error, Result};

/// Characters a blob's name may have, by the service's documentation.
const NAME_CHARACTERS_MAX: usize = 1_024;
/// Segments between slashes a blob's name may have.
const NAME_SEGMENTS_MAX: usize = 254;

/// What a request acts on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Target {
    Account,
    Container(String),
    Blob { container: String, name: String },
}

/// The query parameters in order, names in lower case, values decoded.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Query(Vec<(String, String)>);

impl Query {
    /// Reads the part of a URL behind the `?`.
    pub(super) fn parse(query: &str) -> Self {
        let pairs = query.split('&').filter(|pair| !pair.is_empty());
        Self(
            pairs
                .map(|pair| {
                    let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
                    (decode(name).to_ascii_lowercase(), decode(value))
                })
                .collect(),
        )
    }

    /// The value of the first parameter with this lower-case name.
    pub(super) fn get(&self, name: &str) -> Option<&str> {
        self.0.iter().find_map(|(key, value)| (key == name).then_some(value.as_str()))
    }

    /// All parameters.
    pub(super) fn pairs(&self) -> &[(String, String)] {
        &self.0
    }
}

/// Whether a text can be a version of the protocol: a date.
pub(super) fn is_version(text: &str) -> bool {
    text.parse::<jiff::civil::Date>().is_ok()
}

fn decode(text: &str) -> String {
    let spaced = text.replace('+', " ");
    percent_decode_str(&spaced).decode_utf8_lossy().into_owned()
}

/// A request without its body.
#[derive(Debug)]
pub(super) struct Call<'a> {
    pub(super) method: &'a Method,
    pub(super) headers: &'a HeaderMap,
    /// The path as sent, which signatures cover.
    pub(super) path: &'a str,
    pub(super) query: Query,
    pub(super) target: Target,
    /// `http://host:port`, for the listing's `ServiceEndpoint`.
    pub(super) origin: String,
}

impl<'a> Call<'a> {
    /// Reads the head of a request.
    pub(super) fn parse(parts: &'a http::request::Parts) -> Result<Self> {
        let host = parts
            .headers
            .get(http::header::HOST)
            .and_then(|value| value.to_str().ok())
            .or_else(|| parts.uri.authority().map(http::uri::Authority::as_str))
            .unwrap_or("127.0.0.1");
        let call = Self {
            method: &parts.method,
            headers: &parts.headers,
            path: parts.uri.path(),
            query: Query::parse(parts.uri.query().unwrap_or_default()),
            target: target(parts.uri.path())?,
            origin: format!("http://{host}"),
        };
        call.check_head()?;
        Ok(call)
    }

    /// Refuses a version of the protocol that is no date, and a body whose length nobody told ("Versioning for Azure
    /// Storage", "Put Blob").
    fn check_head(&self) -> Result<()> {
        if let Some(version) = self.header("x-ms-version")?
            && !is_version(version)
        {
            return Err(Error::InvalidHeader { name: "x-ms-version".to_owned(), value: version.to_owned() });
        }
        if self.headers.contains_key(TRANSFER_ENCODING) {
            return Err(Error::MissingContentLength);
        }
        Ok(())
    }

    /// A header's value as text, trimmed; absent and empty are the same.
    pub(super) fn header(&self, name: &str) -> Result<Option<&'a str>> {
        let Some(value) = self.headers.get(name) else {
            return Ok(None);
        };
        let text = value.to_str().map_err(|_| Error::InvalidHeader {
            name: name.to_owned(),
            value: String::from_utf8_lossy(value.as_bytes()).into_owned(),
        })?;
        Ok(Some(text.trim()).filter(|text| !text.is_empty()))
    }

    /// A header that must be `true` or `false`; absent is `false`.
    pub(super) fn flag(&self, name: &str) -> Result<bool> {
        match self.header(name)? {
            None => Ok(false),
            Some(text) if text.eq_ignore_ascii_case("true") => Ok(true),
            Some(text) if text.eq_ignore_ascii_case("false") => Ok(false),
            Some(text) => Err(Error::InvalidHeader { name: name.to_owned(), value: text.to_owned() }),
        }
    }

    /// The target's container.
    pub(super) fn container(&self) -> &str {
        match &self.target {
            Target::Account => "",
            Target::Container(container) | Target::Blob { container, .. } => container,
        }
    }

    /// The target's blob name.
    pub(super) fn blob(&self) -> &str {
        match &self.target {
            Target::Blob { name, .. } => name,
            _ => "",
        }
    }
}

/// Splits a raw path into account, container and blob, each still encoded; parts that are not there are empty.
pub(super) fn split(path: &str) -> (&str, &str, &str) {
    let path = path.strip_prefix('/').unwrap_or(path);
    let (account, rest) = path.split_once('/').unwrap_or((path, ""));
    let (container, blob) = rest.split_once('/').unwrap_or((rest, ""));
    (account, container, blob)
}

fn target(path: &str) -> Result<Target> {
    let (account, container, blob) = split(path);
    if account != crate::BLOB_ACCOUNT {
        return Err(Error::AccountNotFound { account: account.to_owned() });
    }
    let utf8 = |part: &str| {
        percent_decode_str(part)
            .decode_utf8()
            .map(std::borrow::Cow::into_owned)
            .map_err(|_| Error::InvalidUri { reason: "the path is not UTF-8".to_owned() })
    };
    if container.is_empty() {
        return Ok(Target::Account);
    }
    let container = utf8(container)?;
    if blob.is_empty() {
        return Ok(Target::Container(container));
    }
    let name = utf8(blob)?;
    if name.chars().count() > NAME_CHARACTERS_MAX {
        return Err(Error::ResourceNameLength);
    }
    if name.split('/').count() > NAME_SEGMENTS_MAX {
        return Err(Error::InvalidUri { reason: format!("more than {NAME_SEGMENTS_MAX} path segments") });
    }
    Ok(Target::Blob { container, name })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn blob(path: &str) -> String {
        match target(path).unwrap() {
            Target::Blob { name, .. } => name,
            other => panic!("{path} is {other:?}"),
        }
    }

    #[test]
    fn a_blob_name_is_decoded_once_and_slashes_may_be_encoded() {
        assert_eq!(blob("/devstoreaccount1/c/a%2Fb/c%2520d"), "a/b/c%20d");
        assert_eq!(blob("/devstoreaccount1/c/a+b~7E"), "a+b~7E");
    }

    #[test]
    fn paths_without_blob_or_container_name_the_level_above() {
        let container = Target::Container("c".to_owned());
        assert_eq!(target("/devstoreaccount1"), Ok(Target::Account));
        assert_eq!(target("/devstoreaccount1/"), Ok(Target::Account));
        assert_eq!(target("/devstoreaccount1/c"), Ok(container.clone()));
        assert_eq!(target("/devstoreaccount1/c/"), Ok(container));
    }

    #[test]
    fn names_over_the_limits_and_other_accounts_are_refused() {
        let long = format!("/devstoreaccount1/c/{}", "é".repeat(1_025));
        assert_eq!(target(&long), Err(Error::ResourceNameLength));
        let deep = format!("/devstoreaccount1/c/{}", "a/".repeat(254));
        assert!(matches!(target(&deep), Err(Error::InvalidUri { .. })));
        assert!(matches!(target("/other/c/b"), Err(Error::AccountNotFound { .. })));
        assert!(matches!(target("/devstoreaccount1/c/%FF"), Err(Error::InvalidUri { .. })));
    }

    #[test]
    fn query_names_are_case_insensitive_and_values_are_decoded() {
        let query = Query::parse("startFrom=a%2Bb+c&COMP=list&empty");
        assert_eq!(query.get("startfrom"), Some("a+b c"));
        assert_eq!(query.get("comp"), Some("list"));
        assert_eq!(query.get("empty"), Some(""));
        assert_eq!(query.get("marker"), None);
    }
}
