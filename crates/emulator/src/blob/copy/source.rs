//! The source of a copy: reads its URL, judges access to it and fetches the state it names.
//!
//! Only this account is a source. The service would read any URL; the emulator makes no requests of its own.

use http::Uri;
use http::uri::Authority;

use crate::blob::auth::{self, AccountKey};
use crate::blob::conditions::Conditions;
use crate::blob::context::Context;
use crate::blob::encryption::Encryption;
use crate::blob::entry::State;
use crate::blob::errors::{Error, Result};
use crate::blob::request::{Call, Target};
use crate::blob::store::Store;
use crate::blob::tier::Tiered;
use crate::blob::which::Which;

const HEADER: &str = "x-ms-copy-source";

/// A state to copy from.
#[derive(Debug)]
pub(super) struct Source {
    pub(super) state: State,
    /// Its address, without the signature that opened it.
    pub(super) url: String,
}

/// Fetches the source of a request. The operations that answer when they are done (`sync`) wrap what is wrong
/// with it in one code.
pub(super) fn fetch(store: &Store, call: &Call<'_>, key: &AccountKey, context: &Context, sync: bool) -> Result<Source> {
    let text = call.header(HEADER)?.ok_or(Error::MissingHeader { name: HEADER })?;
    let uri: Uri = text.parse().map_err(|_| Error::header(HEADER, text))?;
    let authority = uri.authority().cloned().ok_or_else(|| Error::header(HEADER, text))?;
    // `nonsense` alone would be read as an authority.
    if uri.scheme().is_none() {
        return Err(Error::header(HEADER, text));
    }
    if uri.scheme_str() != Some("http") || !is_here(&authority, &call.origin) {
        return Err(Error::lacks(format!("copying from another host ({authority}): a source is on {}", call.origin)));
    }
    if call.headers.contains_key("x-ms-copy-source-authorization") {
        return Err(Error::lacks("tokens for a copy's source (x-ms-copy-source-authorization)"));
    }
    let (parts, ()) = http::Request::get(uri).body(()).map_err(|_| Error::header(HEADER, text))?.into_parts();
    let source = Call::parse(&parts)?;
    if !matches!(source.target, Target::Blob { .. }) {
        return Err(Error::header(HEADER, text));
    }
    let verify = |error: Error| match error {
        Error::BlobNotFound | Error::ContainerNotFound if !sync => error,
        error => Error::CannotVerifyCopySource { status: error.status_and_code().0, reason: error.to_string() },
    };
    auth::authorize_source(&source, key, store, context, !sync).map_err(verify)?;
    let conditions = Conditions::of_source(call)?;
    let lease = call.header("x-ms-source-lease-id")?;
    let key = Encryption::of_source(call)?;
    let which = Which::of(&source)?;
    let found = store.with(source.container(), |container| {
        let entry = container.entry(source.blob(), context.now).ok_or(Error::BlobNotFound)?;
        let (state, current) = entry.find(which).ok_or(Error::BlobNotFound)?;
        let leased = if current { entry.guard_read(lease, context.now) } else { Ok(()) };
        Ok((state.clone(), leased))
    });
    let (state, leased) = found.map_err(verify)?;
    leased?;
    conditions.for_read(state.validators()).map_err(|_| Error::SourceConditionNotMet)?;
    Tiered::guard(state.aside.tier)?;
    state.content.encryption.open(&key)?;
    let suffix = match which {
        Which::Current => String::new(),
        Which::Version(id) => format!("?versionid={}", id.id()),
        Which::Snapshot(id) => format!("?snapshot={}", id.id()),
    };
    Ok(Source { state, url: format!("http://{authority}{}{suffix}", source.path) })
}

/// Whether an authority is the one the request came to, under this or another name of this machine.
fn is_here(authority: &Authority, origin: &str) -> bool {
    let Some(own) = origin.strip_prefix("http://").and_then(|text| text.parse::<Authority>().ok()) else {
        return false;
    };
    let port = |authority: &Authority| authority.port_u16().unwrap_or(80);
    let named = authority.host() == own.host() || matches!(authority.host(), "localhost" | "127.0.0.1" | "[::1]");
    named && port(authority) == port(&own)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_source_is_on_the_port_the_request_came_to() {
        let here = |text: &str| is_here(&text.parse().unwrap(), "http://127.0.0.1:10000");
        assert!(here("127.0.0.1:10000") && here("localhost:10000"));
        assert!(!here("127.0.0.1") && !here("localhost:10001") && !here("example.com:10000"));
    }
}
