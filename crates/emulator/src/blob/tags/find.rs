//! Find Blobs by Tags, in the account or in one container.
//!
//! The service looks into an index that lags behind; here every current blob is looked at. A page begins where its
//! marker says, so what pages cost adds up to one walk.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD as BASE64;
use http::StatusCode;

use super::Tags;
use super::query::{Expression, Grammar};
use crate::blob::errors::{Error, Result};
use crate::blob::list::items_max;
use crate::blob::reply::Reply;
use crate::blob::request::{Call, Target};
use crate::blob::store::Store;
use crate::blob::xml::Xml;

/// A blob that was found.
struct Found {
    container: String,
    name: String,
    tags: Tags,
}

/// Where a page begins: container and blob.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
struct Marker {
    container: String,
    name: String,
}

impl Marker {
    /// No container's name has a slash, so the first one ends it.
    fn encode(&self) -> String {
        BASE64.encode(format!("{}/{}", self.container, self.name))
    }

    fn decode(text: &str) -> Option<Self> {
        let text = String::from_utf8(BASE64.decode(text).ok()?).ok()?;
        let (container, name) = text.split_once('/')?;
        Some(Self { container: container.to_owned(), name: name.to_owned() })
    }
}

/// Find Blobs by Tags.
pub(in crate::blob) fn blobs(store: &Store, call: &Call<'_>) -> Result<Reply> {
    let text = call.query.get("where").unwrap_or_default();
    let refuse = |name, value: &str, reason| Error::InvalidQuery { name, value: value.to_owned(), reason };
    let expression = Expression::parse(text, Grammar::Search)
        .ok_or_else(|| refuse("where", text, "Not an expression on tags that a search knows."))?;
    let from = match call.query.get("marker").filter(|marker| !marker.is_empty()) {
        None => Marker::default(),
        Some(marker) => {
            Marker::decode(marker).ok_or_else(|| refuse("marker", marker, "Not a marker of this service."))?
        }
    };
    if let Some(word) = call.query.get("include").filter(|include| !include.is_empty()) {
        return Err(Error::lacks(format!("searches for more than current blobs (include={word})")));
    }
    let items_max = items_max(call)?;
    let containers = match &call.target {
        Target::Account => store.names(),
        Target::Container(name) | Target::Blob { container: name, .. } => {
            store.with(name, |_| Ok(()))?;
            vec![name.clone()]
        }
    };
    let (found, next) = find(store, &containers, &expression, &from, items_max);
    Ok(Reply::xml(StatusCode::OK, render(call, text, &found, next.as_ref())))
}

fn find(
    store: &Store,
    containers: &[String],
    expression: &Expression,
    from: &Marker,
    items_max: usize,
) -> (Vec<Found>, Option<Marker>) {
    let mut found = Vec::new();
    // The service shows the tags that were asked for, not all there are.
    let mut keys = Vec::new();
    expression.keys(&mut keys);
    for name in containers.iter().filter(|name| **name >= from.container) {
        let start = if *name == from.container { from.name.as_str() } else { "" };
        // A container that was deleted meanwhile has nothing to be found.
        let next = store.with(name, |container| {
            for (blob, entry) in container.blobs.range(start.to_owned()..) {
                let Some(state) = entry.current().filter(|state| expression.holds(&state.aside.tags, name)) else {
                    continue;
                };
                if found.len() == items_max {
                    return Ok(Some(Marker { container: name.clone(), name: blob.clone() }));
                }
                let tags = state.aside.tags.only(&keys);
                found.push(Found { container: name.clone(), name: blob.clone(), tags });
            }
            Ok(None)
        });
        if let Ok(Some(next)) = next {
            return (found, Some(next));
        }
    }
    (found, None)
}

fn render(call: &Call<'_>, text: &str, found: &[Found], next: Option<&Marker>) -> Xml {
    let endpoint = format!("{}/{}/", call.origin, crate::BLOB_ACCOUNT);
    let mut xml = Xml::new();
    xml.open_with("EnumerationResults", &[("ServiceEndpoint", endpoint.as_str())]);
    xml.element("Where", text).open("Blobs");
    for Found { container, name, tags } in found {
        xml.open("Blob").blob_name(name).element("ContainerName", container);
        tags.render(&mut xml);
        xml.close("Blob");
    }
    xml.close("Blobs");
    xml.element("NextMarker", &next.map(Marker::encode).unwrap_or_default()).close("EnumerationResults");
    xml
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn markers_keep_names_with_slashes() {
        let marker = Marker { container: "con".to_owned(), name: "a/b".to_owned() };
        assert_eq!(Marker::decode(&marker.encode()), Some(marker));
        assert_eq!(Marker::decode("?"), None);
    }
}
