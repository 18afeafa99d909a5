//! Conditional headers, as in "Specifying conditional headers for Blob service operations" of the Azure Storage
//! REST reference.

use jiff::Timestamp;

use super::errors::{Error, Result};
use super::request::Call;
use super::time::{Etag, parse_http_date};

/// The state a condition is compared with.
#[derive(Debug, Clone, Copy)]
pub(super) struct Validators {
    pub(super) etag: Etag,
    pub(super) last_modified: Timestamp,
}

/// The conditions of a request.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Conditions {
    if_match: Option<Tags>,
    if_none_match: Option<Tags>,
    if_modified_since: Option<Timestamp>,
    if_unmodified_since: Option<Timestamp>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Tags {
    Any,
    OneOf(Vec<String>),
}

impl Tags {
    fn parse(text: &str) -> Self {
        if text == "*" {
            return Self::Any;
        }
        let unquoted = |tag: &str| tag.trim().trim_matches('"').to_owned();
        Self::OneOf(text.split(',').map(unquoted).collect())
    }

    fn contains(&self, etag: Etag) -> bool {
        match self {
            Self::Any => true,
            Self::OneOf(tags) => tags.contains(&etag.to_string()),
        }
    }
}

impl Conditions {
    /// Reads the conditions of a request. Conditions on tags are not known.
    pub(super) fn parse(call: &Call<'_>) -> Result<Self> {
        if call.headers.contains_key("x-ms-if-tags") {
            return Err(Error::lacks("conditions on blob index tags (x-ms-if-tags)"));
        }
        let date = |name: &str| -> Result<Option<Timestamp>> {
            call.header(name)?
                .map(|text| {
                    parse_http_date(text)
                        .ok_or_else(|| Error::InvalidHeader { name: name.to_owned(), value: text.to_owned() })
                })
                .transpose()
        };
        Ok(Self {
            if_match: call.header("if-match")?.map(Tags::parse),
            if_none_match: call.header("if-none-match")?.map(Tags::parse),
            if_modified_since: date("if-modified-since")?,
            if_unmodified_since: date("if-unmodified-since")?,
        })
    }

    /// Judges a write that creates what does not exist yet.
    pub(super) fn for_put(&self, existing: Option<Validators>) -> Result<()> {
        let Some(existing) = existing else {
            return match self.if_match {
                Some(_) => Err(Error::ConditionNotMet),
                None => Ok(()),
            };
        };
        if self.if_none_match == Some(Tags::Any) {
            return Err(Error::BlobAlreadyExists);
        }
        self.for_change(existing)
    }

    /// Judges a change or deletion of what exists.
    pub(super) fn for_change(&self, existing: Validators) -> Result<()> {
        if self.met(existing) && self.fresh(existing) { Ok(()) } else { Err(Error::ConditionNotMet) }
    }

    /// Judges a read of what exists.
    pub(super) fn for_read(&self, existing: Validators) -> Result<()> {
        if !self.met(existing) {
            return Err(Error::ConditionNotMet);
        }
        if !self.fresh(existing) {
            return Err(Error::NotModified);
        }
        Ok(())
    }

    /// Whether what exists is what the caller expects.
    fn met(&self, existing: Validators) -> bool {
        let matches = self.if_match.as_ref().is_none_or(|tags| tags.contains(existing.etag));
        let unmodified =
            self.if_unmodified_since.is_none_or(|since| existing.last_modified.as_second() <= since.as_second());
        matches && unmodified
    }

    /// Whether what exists is news to the caller.
    fn fresh(&self, existing: Validators) -> bool {
        let differs = self.if_none_match.as_ref().is_none_or(|tags| !tags.contains(existing.etag));
        let modified =
            self.if_modified_since.is_none_or(|since| existing.last_modified.as_second() > since.as_second());
        differs && modified
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::blob::time::Stamp;

    fn conditions(headers: &[(&str, &str)]) -> Conditions {
        let mut builder = http::Request::get("/devstoreaccount1/c/b");
        for (name, value) in headers {
            builder = builder.header(*name, *value);
        }
        let parts = builder.body(()).unwrap().into_parts().0;
        Conditions::parse(&Call::parse(&parts).unwrap()).unwrap()
    }

    fn existing() -> Validators {
        let last_modified = "2026-11-20T20:25:42.9Z".parse().unwrap();
        Validators { etag: Etag(Stamp::after(Stamp::zero(), last_modified)), last_modified }
    }

    const SAME_SECOND: &str = "Fri, 20 Nov 2026 20:25:42 GMT";
    const BEFORE: &str = "Fri, 20 Nov 2026 20:25:41 GMT";

    #[test]
    fn a_put_may_demand_absence_or_a_certain_state() {
        let etag = existing().etag.quoted();
        let absent = conditions(&[("if-none-match", "*")]);
        assert_eq!(absent.for_put(None), Ok(()));
        assert_eq!(absent.for_put(Some(existing())), Err(Error::BlobAlreadyExists));
        let same = conditions(&[("if-match", &etag)]);
        assert_eq!(same.for_put(Some(existing())), Ok(()));
        assert_eq!(same.for_put(None), Err(Error::ConditionNotMet));
        let other = conditions(&[("if-match", "\"0x8D\"")]);
        assert_eq!(other.for_put(Some(existing())), Err(Error::ConditionNotMet));
        let changed = conditions(&[("if-none-match", &etag)]);
        assert_eq!(changed.for_put(Some(existing())), Err(Error::ConditionNotMet));
    }

    #[test]
    fn an_etag_matches_with_and_without_quotes() {
        let bare = conditions(&[("if-match", &existing().etag.to_string())]);
        assert_eq!(bare.for_change(existing()), Ok(()));
        assert_eq!(conditions(&[("if-match", "*")]).for_change(existing()), Ok(()));
    }

    #[test]
    fn a_read_of_what_the_caller_has_is_not_modified() {
        let etag = existing().etag.quoted();
        let known = conditions(&[("if-none-match", &etag)]);
        assert_eq!(known.for_read(existing()), Err(Error::NotModified));
        let since = conditions(&[("if-modified-since", SAME_SECOND)]);
        assert_eq!(since.for_read(existing()), Err(Error::NotModified));
        let earlier = conditions(&[("if-modified-since", BEFORE)]);
        assert_eq!(earlier.for_read(existing()), Ok(()));
    }

    #[test]
    fn times_are_compared_in_whole_seconds() {
        let same = conditions(&[("if-unmodified-since", SAME_SECOND)]);
        assert_eq!(same.for_change(existing()), Ok(()));
        let before = conditions(&[("if-unmodified-since", BEFORE)]);
        assert_eq!(before.for_change(existing()), Err(Error::ConditionNotMet));
        assert_eq!(before.for_read(existing()), Err(Error::ConditionNotMet));
    }
}
