//! Blob index tags: their limits, the header and the document that carry them, and the operations Get and Set
//! Blob Tags.
//!
//! Tags belong to one state of a blob. Setting them changes neither ETag nor Last-Modified and makes no version,
//! and a state that replaces another begins without any. (Azure Storage REST reference: "Set Blob Tags".)

pub(super) mod find;
pub(super) mod query;

use std::collections::BTreeMap;

use bytes::Bytes;
use http::StatusCode;
use percent_encoding::percent_decode_str;

use super::conditions::Conditions;
use super::content::check_transport;
use super::context::Context;
use super::errors::{Error, Result};
use super::reply::Reply;
use super::request::Call;
use super::store::Store;
use super::which::Which;
use super::xml::{Element, Xml};

/// Tags of one state, by the service's documentation.
const TAGS_MAX: usize = 10;
/// Characters of a tag's key, by the service's documentation.
const KEY_CHARACTERS_MAX: usize = 128;
/// Characters of a tag's value, by the service's documentation.
const VALUE_CHARACTERS_MAX: usize = 256;

/// The tags of a state: key → value.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Tags(BTreeMap<String, String>);

impl Tags {
    /// No tags.
    pub(super) const NONE: Self = Self(BTreeMap::new());

    /// No tags, to be borrowed for as long as one likes.
    pub(super) fn none() -> &'static Self {
        static NONE: Tags = Tags::NONE;
        &NONE
    }

    /// Reads `x-ms-tags`, which has the form of a query string; absent is none.
    pub(super) fn of_header(call: &Call<'_>) -> Result<Self> {
        let Some(text) = call.header("x-ms-tags")? else {
            return Ok(Self::NONE);
        };
        let decoded = |part: &str| {
            let spaced = part.replace('+', " ");
            let text = percent_decode_str(&spaced).decode_utf8().map(std::borrow::Cow::into_owned);
            text.map_err(|_| Error::header("x-ms-tags", part))
        };
        let mut tags = Self::NONE;
        for pair in text.split('&') {
            let (key, value) = pair.split_once('=').ok_or_else(|| Error::header("x-ms-tags", text))?;
            tags.add(decoded(key)?, decoded(value)?)?;
        }
        Ok(tags)
    }

    /// Reads the document of Set Blob Tags.
    fn of_document(body: &[u8]) -> Result<Self> {
        let root = Element::document(body, "Tags")?;
        let set = root.child("TagSet").ok_or(Error::InvalidXml)?;
        let mut tags = Self::NONE;
        for tag in &set.children {
            // Space may be all of a value, so these texts are not trimmed.
            let text = |name| tag.child(name).map(|child| child.text.clone()).ok_or(Error::InvalidXml);
            if tag.name != "Tag" {
                return Err(Error::InvalidXml);
            }
            tags.add(text("Key")?, text("Value")?)?;
        }
        Ok(tags)
    }

    fn add(&mut self, key: String, value: String) -> Result<()> {
        let refuse = |code, reason| Err(Error::Tags { code, reason });
        let allowed = |text: &str| text.chars().all(|c| c.is_ascii_alphanumeric() || " +-./:=_".contains(c));
        if key.is_empty() {
            return refuse("EmptyTagName", "a key is empty");
        }
        if key.len() > KEY_CHARACTERS_MAX || value.len() > VALUE_CHARACTERS_MAX {
            return refuse("TagsTooLarge", "a key has 128 characters at most, a value 256");
        }
        if !allowed(&key) || !allowed(&value) {
            return refuse("InvalidTags", "only letters, digits, space and + - . / : = _ are allowed");
        }
        if self.0.insert(key, value).is_some() {
            return refuse("DuplicateTagNames", "a key is there twice");
        }
        if self.0.len() > TAGS_MAX {
            return refuse("TagsTooLarge", "a blob has ten tags at most");
        }
        Ok(())
    }

    /// The value of a tag.
    pub(super) fn get(&self, key: &str) -> Option<&str> {
        self.0.get(key).map(String::as_str)
    }

    /// Those with one of these keys.
    pub(super) fn only(&self, keys: &[&str]) -> Self {
        let named = self.0.iter().filter(|(key, _)| keys.contains(&key.as_str()));
        Self(named.map(|(key, value)| (key.clone(), value.clone())).collect())
    }

    /// How many there are.
    pub(super) fn len(&self) -> usize {
        self.0.len()
    }

    /// Writes the `TagSet`.
    pub(super) fn render(&self, xml: &mut Xml) {
        xml.open("Tags").open("TagSet");
        for (key, value) in &self.0 {
            xml.open("Tag").element("Key", key).element("Value", value).close("Tag");
        }
        xml.close("TagSet").close("Tags");
    }
}

/// Get Blob Tags.
pub(super) fn get(store: &Store, call: &Call<'_>, context: &Context) -> Result<Reply> {
    let conditions = Conditions::parse(call)?;
    let which = Which::of(call)?;
    let lease = call.header("x-ms-lease-id")?;
    let tags = store.with(call.container(), |container| {
        let entry = container.entry(call.blob(), context.now).ok_or(Error::BlobNotFound)?;
        entry.guard_read(lease, context.now)?;
        let (state, _) = entry.find(which).ok_or(Error::BlobNotFound)?;
        conditions.for_read(state.validators())?;
        Ok(state.aside.tags.clone())
    })?;
    let mut xml = Xml::new();
    tags.render(&mut xml);
    Ok(Reply::xml(StatusCode::OK, xml))
}

/// Set Blob Tags: all of a state's tags at once.
pub(super) fn set(store: &Store, call: &Call<'_>, body: &Bytes, context: &Context) -> Result<Reply> {
    check_transport(call, body)?;
    let conditions = Conditions::parse(call)?;
    let which = Which::of(call)?;
    let tags = Tags::of_document(body)?;
    let lease = call.header("x-ms-lease-id")?;
    store.with(call.container(), |container| {
        let entry = container.entry(call.blob(), context.now).ok_or(Error::BlobNotFound)?;
        if which == Which::Current {
            entry.guard_write(lease, context.now)?;
        }
        let state = entry.find_mut(which).ok_or(Error::BlobNotFound)?;
        conditions.for_change(state.validators())?;
        state.aside.tags = tags;
        Ok(())
    })?;
    Ok(Reply::new(StatusCode::NO_CONTENT))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn header(text: &str) -> Result<Tags> {
        let request = http::Request::put("/devstoreaccount1/c/b").header("x-ms-tags", text);
        let parts = request.body(()).unwrap().into_parts().0;
        Tags::of_header(&Call::parse(&parts).unwrap())
    }

    fn code(result: Result<Tags>) -> &'static str {
        result.unwrap_err().status_and_code().1
    }

    #[test]
    fn the_header_is_read_like_a_query_string() {
        let tags = header("a=1&b%20c=x+y%3D&empty=").unwrap();
        assert_eq!((tags.len(), tags.get("b c"), tags.get("empty")), (3, Some("x y="), Some("")));
        assert_eq!(code(header("a")), "InvalidHeaderValue");
    }

    #[test]
    fn the_limits_on_tags_are_the_documented_ones() {
        let ten: Vec<_> = (0..10).map(|n| format!("k{n}=v")).collect();
        assert!(header(&ten.join("&")).is_ok());
        assert_eq!(code(header(&format!("{}&k10=v", ten.join("&")))), "TagsTooLarge");
        assert!(header(&format!("{}={}", "k".repeat(128), "v".repeat(256))).is_ok());
        assert_eq!(code(header(&format!("{}=v", "k".repeat(129)))), "TagsTooLarge");
        assert_eq!(code(header(&format!("k={}", "v".repeat(257)))), "TagsTooLarge");
        assert_eq!(code(header("k=a%2Cb")), "InvalidTags");
        assert_eq!(code(header("k=%C3%A9")), "InvalidTags");
        assert_eq!(code(header("k=1&k=2")), "DuplicateTagNames");
        assert_eq!(code(header("=1")), "EmptyTagName");
    }

    #[test]
    fn the_document_reads_back_as_it_was_written() {
        let tags = header("a=1&b= x ").unwrap();
        let mut xml = Xml::new();
        tags.render(&mut xml);
        assert_eq!(Tags::of_document(xml.finish().as_bytes()), Ok(tags));
        assert_eq!(Tags::of_document(b"<Tags><TagSet /></Tags>"), Ok(Tags::NONE));
        for bad in ["<Tags/>", "<Tags><TagSet><Tag><Key>a</Key></Tag></TagSet></Tags>", "<TagSet/>"] {
            assert_eq!(Tags::of_document(bad.as_bytes()), Err(Error::InvalidXml), "{bad}");
        }
    }
}
