//! Conditional headers, as in "Specifying conditional headers for Blob service operations" of the Azure Storage
//! REST reference.

use jiff::Timestamp;

use super::errors::{Error, Result};
use super::request::Call;
use super::tags::Tags;
use super::tags::query::{Expression, Grammar};
use super::time::{Etag, parse_http_date};

/// The state a condition is compared with.
#[derive(Debug, Clone, Copy)]
pub(super) struct Validators<'a> {
    pub(super) etag: Etag,
    pub(super) last_modified: Timestamp,
    pub(super) tags: &'a Tags,
}

/// The conditions of a request.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Conditions {
    if_match: Option<Etags>,
    if_none_match: Option<Etags>,
    if_modified_since: Option<Timestamp>,
    if_unmodified_since: Option<Timestamp>,
    if_tags: Option<Expression>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Etags {
    Any,
    OneOf(Vec<String>),
}

impl Etags {
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

/// The five headers of one set of conditions.
const OWN: [&str; 5] = ["if-match", "if-none-match", "if-modified-since", "if-unmodified-since", "x-ms-if-tags"];
const SOURCE: [&str; 5] = [
    "x-ms-source-if-match",
    "x-ms-source-if-none-match",
    "x-ms-source-if-modified-since",
    "x-ms-source-if-unmodified-since",
    "x-ms-source-if-tags",
];

impl Conditions {
    /// Reads the conditions of a request on a blob.
    pub(super) fn parse(call: &Call<'_>) -> Result<Self> {
        Self::read(call, OWN)
    }

    /// Reads the conditions on the source of a copy.
    pub(super) fn of_source(call: &Call<'_>) -> Result<Self> {
        Self::read(call, SOURCE)
    }

    /// Reads the conditions of a request on a container, which has no tags.
    pub(super) fn of_container(call: &Call<'_>) -> Result<Self> {
        if call.headers.contains_key("x-ms-if-tags") {
            return Err(Error::ConditionNotSupported);
        }
        Self::read(call, OWN)
    }

    fn read(call: &Call<'_>, names: [&'static str; 5]) -> Result<Self> {
        let date = |name: &'static str| -> Result<Option<Timestamp>> {
            let text = call.header(name)?;
            text.map(|text| parse_http_date(text).ok_or_else(|| Error::header(name, text))).transpose()
        };
        let [if_match, if_none_match, if_modified_since, if_unmodified_since, if_tags] = names;
        let tags = call.header(if_tags)?;
        let tags = tags
            .map(|text| Expression::parse(text, Grammar::Condition).ok_or_else(|| Error::header(if_tags, text)))
            .transpose()?;
        Ok(Self {
            if_match: call.header(if_match)?.map(Etags::parse),
            if_none_match: call.header(if_none_match)?.map(Etags::parse),
            if_modified_since: date(if_modified_since)?,
            if_unmodified_since: date(if_unmodified_since)?,
            if_tags: tags,
        })
    }

    /// Judges a write that creates what does not exist yet. What does not exist has no tags.
    pub(super) fn for_put(&self, existing: Option<Validators<'_>>) -> Result<()> {
        let Some(existing) = existing else {
            let unmet = self.if_match.is_some() || !self.tagged(Tags::none());
            return if unmet { Err(Error::ConditionNotMet) } else { Ok(()) };
        };
        if self.if_none_match == Some(Etags::Any) {
            return Err(Error::BlobAlreadyExists);
        }
        self.for_change(existing)
    }

    /// Judges a change or deletion of what exists.
    pub(super) fn for_change(&self, existing: Validators<'_>) -> Result<()> {
        let fresh = self.differs(existing).unwrap_or(true) && self.modified(existing).unwrap_or(true);
        if self.met(existing) && fresh { Ok(()) } else { Err(Error::ConditionNotMet) }
    }

    /// Judges a read of what exists. Of the two conditions that ask for news, one that is met is enough.
    pub(super) fn for_read(&self, existing: Validators<'_>) -> Result<()> {
        if !self.met(existing) {
            return Err(Error::ConditionNotMet);
        }
        match (self.differs(existing), self.modified(existing)) {
            (None | Some(true), None) | (_, Some(true)) | (Some(true), _) => Ok(()),
            _ => Err(Error::NotModified),
        }
    }

    /// Whether what exists is what the caller expects.
    fn met(&self, existing: Validators<'_>) -> bool {
        let matches = self.if_match.as_ref().is_none_or(|tags| tags.contains(existing.etag));
        let unmodified =
            self.if_unmodified_since.is_none_or(|since| existing.last_modified.as_second() <= since.as_second());
        matches && unmodified && self.tagged(existing.tags)
    }

    fn tagged(&self, tags: &Tags) -> bool {
        // `@container` is no part of a condition, so the container's name plays no role.
        self.if_tags.as_ref().is_none_or(|expression| expression.holds(tags, ""))
    }

    /// Whether what exists is another state than the caller knows, if the caller tells.
    fn differs(&self, existing: Validators<'_>) -> Option<bool> {
        self.if_none_match.as_ref().map(|tags| !tags.contains(existing.etag))
    }

    /// Whether what exists is younger than the caller knows, if the caller tells.
    fn modified(&self, existing: Validators<'_>) -> Option<bool> {
        self.if_modified_since.map(|since| existing.last_modified.as_second() > since.as_second())
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

    fn existing() -> Validators<'static> {
        let last_modified = "2026-11-20T20:25:42.9Z".parse().unwrap();
        Validators { etag: Etag(Stamp::after(Stamp::zero(), last_modified)), last_modified, tags: Tags::none() }
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
    fn a_read_with_two_conditions_on_news_needs_one_of_them() {
        let etag = existing().etag.quoted();
        let younger = conditions(&[("if-none-match", &etag), ("if-modified-since", BEFORE)]);
        assert_eq!(younger.for_read(existing()), Ok(()));
        assert_eq!(younger.for_change(existing()), Err(Error::ConditionNotMet));
        let neither = conditions(&[("if-none-match", &etag), ("if-modified-since", SAME_SECOND)]);
        assert_eq!(neither.for_read(existing()), Err(Error::NotModified));
    }

    #[test]
    fn a_condition_on_tags_fails_for_what_has_none() {
        let tagged = conditions(&[("x-ms-if-tags", "\"a\" = '1'")]);
        assert_eq!(tagged.for_put(None), Err(Error::ConditionNotMet));
        assert_eq!(tagged.for_read(existing()), Err(Error::ConditionNotMet));
        assert_eq!(tagged.for_change(existing()), Err(Error::ConditionNotMet));
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
