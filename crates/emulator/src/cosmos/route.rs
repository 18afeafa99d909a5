//! From a request's path to the resource it addresses, and to the class of operation for faults and counters.

use std::borrow::Cow;

use http::Method;
use http::request::Parts;
use percent_encoding::percent_decode_str;

use super::errors::CosmosError;
use super::headers;

/// Segments of the longest path that addresses a resource.
const SEGMENTS_MAX: usize = 6;

/// The path's segments, percent-decoded, without the slashes at either end.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Path<'a>(Vec<Cow<'a, str>>);

/// The resource or feed a path addresses.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Target<'a> {
    Account,
    Databases,
    Database(&'a str),
    Containers(&'a str),
    Container(&'a str, &'a str),
    Ranges(&'a str, &'a str),
    Items(&'a str, &'a str),
    Item(&'a str, &'a str, &'a str),
    /// A kind of resource that the emulator does not have, by the name of its feed.
    Unsupported(&'a str),
}

impl<'a> Path<'a> {
    /// Splits and decodes a path.
    pub(crate) fn parse(path: &'a str) -> Result<Self, CosmosError> {
        let path = path.strip_prefix('/').unwrap_or(path);
        let path = path.strip_suffix('/').unwrap_or(path);
        if path.is_empty() {
            return Ok(Self(Vec::new()));
        }
        let mut segments = Vec::with_capacity(SEGMENTS_MAX);
        for segment in path.split('/') {
            let decoded = percent_decode_str(segment).decode_utf8();
            segments.push(decoded.map_err(|_| CosmosError::bad_request("The request path is not UTF-8."))?);
        }
        Ok(Self(segments))
    }

    /// The addressed resource.
    pub(crate) fn target(&self) -> Target<'_> {
        // One more than the longest known path, so that a longer one is told from it.
        let mut segments = [""; SEGMENTS_MAX + 1];
        let count = self.0.len().min(segments.len());
        for (slot, segment) in segments.iter_mut().zip(&self.0) {
            *slot = segment;
        }
        match segments[..count] {
            [] => Target::Account,
            ["dbs"] => Target::Databases,
            ["dbs", database] => Target::Database(database),
            ["dbs", database, "colls"] => Target::Containers(database),
            ["dbs", database, "colls", container] => Target::Container(database, container),
            ["dbs", database, "colls", container, "pkranges"] => Target::Ranges(database, container),
            ["dbs", database, "colls", container, "docs"] => Target::Items(database, container),
            ["dbs", database, "colls", container, "docs", id] => Target::Item(database, container, id),
            ["dbs", _, "colls", _, feed, ..] | ["dbs", _, feed, ..] | [feed, ..] => Target::Unsupported(feed),
        }
    }

    /// The resource type and the resource link that the request's signature covers.
    pub(crate) fn signed(&self) -> (&str, String) {
        match self.0.len() {
            0 => ("", String::new()),
            n if n % 2 == 0 => (&self.0[n - 2], self.0.join("/")),
            n => (&self.0[n - 1], self.0[..n - 1].join("/")),
        }
    }

    /// The id that the signature covers when the client addresses resources by resource id.
    pub(crate) fn signed_rid(&self) -> Option<&str> {
        let length = self.0.len() - self.0.len() % 2;
        self.0.get(length.checked_sub(1)?).map(|segment| &**segment)
    }
}

impl Target<'_> {
    /// The container's name, for fault rules.
    pub(crate) fn container(&self) -> Option<&str> {
        match self {
            Self::Container(_, name) | Self::Ranges(_, name) | Self::Items(_, name) | Self::Item(_, name, _) => {
                Some(name)
            }
            _ => None,
        }
    }
}

/// The class of operation, for fault rules and counters.
pub(crate) fn operation(parts: &Parts) -> &'static str {
    let Ok(path) = Path::parse(parts.uri.path()) else {
        return "other";
    };
    match (path.target(), &parts.method) {
        (Target::Account, _) => "account",
        (Target::Ranges(..), _) => "pkranges",
        (Target::Items(..), &Method::GET) if headers::text(parts, headers::A_IM).is_some() => "feed",
        (Target::Items(..), &Method::GET) => "query",
        (Target::Items(..), _) if headers::is_query(parts) => "query",
        (Target::Items(..), _) => "item-write",
        (Target::Item(..), &Method::GET) => "item-read",
        (Target::Item(..), _) => "item-write",
        (Target::Unsupported(_), _) => "other",
        _ => "container",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_decoded_after_the_path_is_split() {
        let path = Path::parse("/dbs/d/colls/c/docs/a%2Fb%20%23%25..%09/").unwrap();
        assert_eq!(path.target(), Target::Item("d", "c", "a/b #%..\t"));
        assert_eq!(path.signed(), ("docs", "dbs/d/colls/c/docs/a/b #%..\t".to_owned()));
    }

    #[test]
    fn a_feed_is_signed_by_its_owner() {
        let path = Path::parse("/dbs/d/colls").unwrap();
        assert_eq!(path.target(), Target::Containers("d"));
        assert_eq!(path.signed(), ("colls", "dbs/d".to_owned()));
        assert_eq!(Path::parse("/").unwrap().signed(), ("", String::new()));
    }

    #[test]
    fn unknown_kinds_of_resource_are_named() {
        assert_eq!(Path::parse("/dbs/d/colls/c/sprocs/s").unwrap().target(), Target::Unsupported("sprocs"));
        assert_eq!(Path::parse("/dbs/d/users").unwrap().target(), Target::Unsupported("users"));
        assert_eq!(Path::parse("/offers").unwrap().target(), Target::Unsupported("offers"));
    }
}
