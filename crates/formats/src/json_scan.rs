//! Reading a JSON object's members one by one, without building a tree.
//!
//! Values stay borrowed slices of the input, so nothing is re-serialised. Names are read as bytes because a document
//! may legally carry a lone surrogate in a property name, which is no Rust string. A name that occurs twice is
//! reported twice; callers that keep the last one agree with every JSON reader in the field.

use std::borrow::Cow;
use std::fmt;

use serde::Deserializer as _;
use serde::de::{DeserializeSeed, Error, MapAccess, Visitor};
use serde_json::value::RawValue;

/// Calls `member` with each property name and raw value of the object in `json`.
pub(crate) fn for_each_member<'a>(
    json: &'a str,
    mut member: impl FnMut(&[u8], &'a RawValue),
) -> Result<(), serde_json::Error> {
    let mut deserializer = serde_json::Deserializer::from_str(json);
    deserializer.deserialize_map(Members(&mut member))?;
    deserializer.end()
}

struct Members<'f, F>(&'f mut F);

impl<'a, F: FnMut(&[u8], &'a RawValue)> Visitor<'a> for Members<'_, F> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON object")
    }

    fn visit_map<A: MapAccess<'a>>(self, mut map: A) -> Result<(), A::Error> {
        while let Some(name) = map.next_key_seed(Name)? {
            (self.0)(&name, map.next_value()?);
        }
        Ok(())
    }
}

struct Name;

impl<'a> DeserializeSeed<'a> for Name {
    type Value = Cow<'a, [u8]>;

    fn deserialize<D: serde::Deserializer<'a>>(self, d: D) -> Result<Self::Value, D::Error> {
        d.deserialize_bytes(self)
    }
}

impl<'a> Visitor<'a> for Name {
    type Value = Cow<'a, [u8]>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a property name")
    }

    fn visit_borrowed_bytes<E: Error>(self, v: &'a [u8]) -> Result<Self::Value, E> {
        Ok(Cow::Borrowed(v))
    }

    fn visit_bytes<E: Error>(self, v: &[u8]) -> Result<Self::Value, E> {
        Ok(Cow::Owned(v.to_vec()))
    }

    fn visit_borrowed_str<E: Error>(self, v: &'a str) -> Result<Self::Value, E> {
        Ok(Cow::Borrowed(v.as_bytes()))
    }

    fn visit_str<E: Error>(self, v: &str) -> Result<Self::Value, E> {
        Ok(Cow::Owned(v.as_bytes().to_vec()))
    }
}

#[cfg(test)]
mod tests {
    use super::for_each_member;

    fn names(json: &str) -> Vec<Vec<u8>> {
        let mut names = Vec::new();
        for_each_member(json, |name, _| names.push(name.to_vec())).unwrap();
        names
    }

    #[test]
    fn repeated_names_are_all_reported() {
        assert_eq!(names(r#"{"a":1,"a":2}"#), [b"a", b"a"]);
    }

    #[test]
    fn a_lone_surrogate_in_a_name_or_value_is_no_error() {
        assert_eq!(names(r#"{"\ud800":1,"b":"\udc00"}"#).len(), 2);
    }

    #[test]
    fn trailing_text_is_an_error() {
        assert!(for_each_member("{} {}", |_, _| ()).is_err());
    }
}
