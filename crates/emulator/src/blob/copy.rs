//! Operations whose bytes come from another blob of this account: Copy Blob, Copy Blob From URL, Put Blob From URL,
//! Put Block From URL and Abort Copy Blob.
//!
//! A copy is done when it is answered, so there is never one to abort. Source and target are looked at one after
//! the other, like two requests. A version copied onto its own blob becomes the current state again.

mod source;

use std::sync::Arc;

use http::StatusCode;
use jiff::Timestamp;

use super::auth::AccountKey;
use super::blocks;
use super::checksum;
use super::conditions::Conditions;
use super::content::{Content, ContentHeaders, metadata, refuse_lacking};
use super::context::Context;
use super::draft::Draft;
use super::encryption::Encryption;
use super::entry::State;
use super::errors::{Error, Result};
use super::put;
use super::reply::Reply;
use super::request::Call;
use super::store::Store;
use super::time::http_date;
use super::xml::Xml;
use source::{Source, fetch};

/// What a state tells of the copy that made it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Copied {
    id: String,
    source: String,
    bytes: usize,
    at: Timestamp,
}

impl Copied {
    /// Writes the headers of a read.
    pub(super) fn describe(&self, reply: &mut Reply) {
        reply.set("x-ms-copy-id", &self.id);
        reply.set("x-ms-copy-source", &self.source);
        reply.set("x-ms-copy-status", "success");
        reply.set("x-ms-copy-progress", &format!("{0}/{0}", self.bytes));
        reply.set("x-ms-copy-completion-time", &http_date(self.at));
    }

    /// Writes the properties of a listing.
    pub(super) fn render(&self, xml: &mut Xml) {
        xml.element("CopyId", &self.id)
            .element("CopySource", &self.source)
            .element("CopyStatus", "success")
            .element("CopyProgress", &format!("{0}/{0}", self.bytes))
            .element("CopyCompletionTime", &http_date(self.at));
    }
}

/// Copy Blob and, with `x-ms-requires-sync`, Copy Blob From URL.
pub(super) fn blob(store: &Store, call: &Call<'_>, key: &AccountKey, context: &Context) -> Result<Reply> {
    refuse_lacking(call)?;
    let conditions = Conditions::parse(call)?;
    let sync = call.flag("x-ms-requires-sync")?;
    let source = fetch(store, call, key, context, sync)?;
    let replacement = metadata(call)?;
    let mut content = Content { encryption: Encryption::of(call)?, ..Content::clone(&source.state.content) };
    if !replacement.is_empty() {
        content.metadata = replacement;
    }
    let sums = if sync { Some(check_source(call, &source)?) } else { None };
    let mut draft = Draft::with(call, content, context)?;
    if sync {
        take_tags(call, &source.state, &mut draft)?;
    }
    let written = store.with(call.container(), |container| {
        let id = container.upcoming(context.now).guid();
        let bytes = draft.content.body.len();
        draft.aside.copied = Some(Arc::new(Copied { id, source: source.url, bytes, at: context.now }));
        put::write(container, call, draft, &conditions, context)
    });
    let written = written.map_err(|error| match error {
        Error::ConditionNotMet => Error::TargetConditionNotMet,
        other => other,
    })?;
    let mut reply = Reply::new(StatusCode::ACCEPTED);
    reply.set_written(&written);
    if let Some(copied) = &written.aside.copied {
        reply.set("x-ms-copy-id", &copied.id);
    }
    reply.set("x-ms-copy-status", "success");
    if let Some((md5, crc64)) = sums {
        reply.set("content-md5", &md5);
        reply.set("x-ms-content-crc64", &crc64);
    }
    Ok(reply)
}

/// Put Blob From URL: a new blob with the source's bytes and, unless told otherwise, its properties.
pub(super) fn put_blob(store: &Store, call: &Call<'_>, key: &AccountKey, context: &Context) -> Result<Reply> {
    let conditions = Conditions::parse(call)?;
    match call.header("x-ms-blob-type")? {
        Some("BlockBlob") => refuse_lacking(call)?,
        other => return Err(Error::header("x-ms-blob-type", other.unwrap_or_default())),
    }
    let source = fetch(store, call, key, context, true)?;
    let (md5, crc64) = check_source(call, &source)?;
    let keeps = call.header("x-ms-copy-source-blob-properties")?.is_none();
    let keeps = keeps || call.flag("x-ms-copy-source-blob-properties")?;
    let own = ContentHeaders::of(call)?;
    Error::check_md5(own.md5.as_deref(), &md5)?;
    let headers = if keeps { own.or(&source.state.content.headers) } else { own };
    let mut given = metadata(call)?;
    if given.is_empty() && keeps {
        given.clone_from(&source.state.content.metadata);
    }
    let content = Content {
        body: source.state.content.body.clone(),
        headers: ContentHeaders { md5: Some(md5.clone()), ..headers },
        metadata: given,
        blocks: Vec::new(),
        encryption: Encryption::of(call)?,
    };
    let mut draft = Draft::with(call, content, context)?;
    take_tags(call, &source.state, &mut draft)?;
    let written = store.with(call.container(), |container| put::write(container, call, draft, &conditions, context))?;
    let mut reply = Reply::new(StatusCode::CREATED);
    reply.set_written(&written);
    reply.set("content-md5", &md5);
    reply.set("x-ms-content-crc64", &crc64);
    reply.set("x-ms-request-server-encrypted", "true");
    Ok(reply)
}

/// Put Block From URL: a block with a range of the source's bytes.
pub(super) fn put_block(store: &Store, call: &Call<'_>, key: &AccountKey, context: &Context) -> Result<Reply> {
    refuse_lacking(call)?;
    let id = blocks::block_id(call)?;
    let source = fetch(store, call, key, context, true)?;
    let body = &source.state.content.body;
    let part = match call.header("x-ms-source-range")? {
        None => body.clone(),
        Some(text) => {
            let (start, end) = super::get::parse_range(text).ok_or_else(|| Error::header("x-ms-source-range", text))?;
            if start >= body.len() {
                return Err(Error::InvalidRange { length: body.len() });
            }
            body.slice(start..end.map_or(body.len(), |end| end.saturating_add(1).min(body.len())))
        }
    };
    let (md5, crc64) = check(call, &part)?;
    let encryption = blocks::stage(store, call, id, part, context)?;
    let mut reply = Reply::new(StatusCode::CREATED);
    reply.set("content-md5", &md5);
    reply.set("x-ms-content-crc64", &crc64);
    reply.set("x-ms-request-server-encrypted", "true");
    encryption.describe(&mut reply);
    Ok(reply)
}

/// Abort Copy Blob: every copy was done when it was answered.
pub(super) fn abort(store: &Store, call: &Call<'_>, context: &Context) -> Result<Reply> {
    match call.header("x-ms-copy-action")? {
        Some("abort") => {}
        Some(other) => return Err(Error::header("x-ms-copy-action", other)),
        None => return Err(Error::MissingHeader { name: "x-ms-copy-action" }),
    }
    store.with(call.container(), |container| {
        let entry = container.entry(call.blob(), context.now).ok_or(Error::BlobNotFound)?;
        entry.current().ok_or(Error::BlobNotFound)?;
        Err(Error::NoPendingCopyOperation)
    })
}

fn check_source(call: &Call<'_>, source: &Source) -> Result<(String, String)> {
    check(call, &source.state.content.body)
}

/// Checks bytes against the checksums sent for the source; returns both of theirs.
fn check(call: &Call<'_>, bytes: &[u8]) -> Result<(String, String)> {
    let (md5, crc64) = (checksum::md5(bytes), checksum::crc64(bytes));
    Error::check_md5(call.header("x-ms-source-content-md5")?, &md5)?;
    Error::check_crc64(call.header("x-ms-source-content-crc64")?, || crc64.clone())?;
    Ok((md5, crc64))
}

/// Copies the source's tags if the request wants them.
fn take_tags(call: &Call<'_>, source: &State, draft: &mut Draft) -> Result<()> {
    const OPTION: &str = "x-ms-copy-source-tag-option";
    match call.header(OPTION)? {
        Some(text) if text.eq_ignore_ascii_case("copy") => {
            if call.header("x-ms-tags")?.is_some() {
                let code = "BothUserTagsAndSourceTagsCopyPresentException";
                return Err(Error::Tags { code, reason: "tags are either given or copied" });
            }
            draft.aside.tags = source.aside.tags.clone();
            Ok(())
        }
        Some(text) if !text.eq_ignore_ascii_case("replace") => Err(Error::header(OPTION, text)),
        _ => Ok(()),
    }
}
