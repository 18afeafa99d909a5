//! Heads of versions from the service's answers, and metadata as the service takes it.

use std::collections::BTreeMap;

use super::answer::AnswerHeaders;
use super::errors::Attempt;
use crate::failure::{Failure, Kind};
use crate::store::Head;

pub(super) const METADATA_PREFIX: &str = "x-ms-meta-";
/// Longest name of a blob; ours are ASCII, so bytes are characters.
const NAME_BYTES_MAX: usize = 1_024;

/// Entity tags have quotes in headers and none in listings; the store's have them everywhere.
pub(super) fn quoted(etag: &str) -> String {
    if etag.ends_with('"') { etag.to_owned() } else { format!("\"{etag}\"") }
}

/// The head of the version that was asked for, which is the current one where `asked` is none. `length` is the content's
/// where it was read.
pub(super) fn from_headers(
    attempt: &Attempt<'_>,
    headers: &impl AnswerHeaders,
    asked: Option<&str>,
    length: Option<u64>,
) -> Result<Head, Failure> {
    let length = length.or_else(|| headers.text("content-length").and_then(|length| length.parse().ok()));
    Ok(Head {
        name: attempt.name.to_owned(),
        version: headers.text("x-ms-version-id").unwrap_or_default().to_owned(),
        etag: quoted(headers.text("etag").ok_or_else(|| attempt.malformed("it has no etag"))?),
        current: asked.is_none() || headers.text("x-ms-is-current-version") == Some("true"),
        length: length.ok_or_else(|| attempt.malformed("it has no length"))?,
        metadata: headers.metadata(),
    })
}

/// A name that every URL library takes as it is. The SDK would drop `..` and control characters without a word, and so name
/// another blob.
pub(super) fn check_name(attempt: &Attempt<'_>) -> Result<(), Failure> {
    let name = attempt.name;
    let is_addressable = name.len() <= NAME_BYTES_MAX
        && !name.contains(|c: char| c == '\\' || c.is_control())
        && name.split('/').all(|component| !matches!(component, "" | "." | ".."));
    if is_addressable {
        return Ok(());
    }
    Err(Failure::new(Kind::Refused, format!("the blob name {name:?} is too long, or has components that no URL keeps")))
}

/// Metadata rides in headers: names are identifiers and values printable ASCII without spaces at their ends, or they
/// would not come back as they were put.
pub(super) fn checked_metadata(
    attempt: &Attempt<'_>,
    metadata: BTreeMap<String, String>,
) -> Result<BTreeMap<String, String>, Failure> {
    for (name, value) in &metadata {
        let name_fits = name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
            && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_');
        let value_fits = value.bytes().all(|b| (b' '..=b'~').contains(&b)) && value.trim() == value.as_str();
        if !(name_fits && value_fits) {
            let what = if name_fits { "value cannot ride in a header" } else { "name is not an identifier" };
            return Err(Failure::new(
                Kind::Refused,
                format!("storing blob {:?}: the metadata field {name:?}: its {what}", attempt.name),
            ));
        }
    }
    if !metadata.keys().any(|name| name.bytes().any(|b| b.is_ascii_uppercase())) {
        return Ok(metadata);
    }
    let given = metadata.len();
    let checked: BTreeMap<_, _> =
        metadata.into_iter().map(|(name, value)| (name.to_ascii_lowercase(), value)).collect();
    if checked.len() < given {
        let message = format!("storing blob {:?}: two names of metadata differ only by case", attempt.name);
        return Err(Failure::new(Kind::Refused, message));
    }
    Ok(checked)
}
