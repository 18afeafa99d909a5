//! What a write asks for, before the container it goes to has been looked at.

use bytes::Bytes;

use super::content::Content;
use super::context::Context;
use super::entry::Aside;
use super::errors::Result;
use super::immutability::Protection;
use super::request::Call;
use super::tags::Tags;
use super::tier::Tiered;

/// A state to be written. Its encryption is what the request says; the container's rule is still to be applied.
#[derive(Debug, Clone)]
pub(super) struct Draft {
    pub(super) content: Content,
    pub(super) aside: Aside,
}

impl Draft {
    /// Reads a Put Blob.
    pub(super) fn of_put(call: &Call<'_>, body: Bytes, context: &Context) -> Result<Self> {
        Self::with(call, Content::of_put(call, body)?, context)
    }

    /// Puts what the headers say of tags, tier and protection beside a content.
    pub(super) fn with(call: &Call<'_>, content: Content, context: &Context) -> Result<Self> {
        let aside = Aside {
            tags: Tags::of_header(call)?,
            tier: Tiered::of_header(call, context.now)?,
            protection: Protection::of_headers(call, context)?,
            copied: None,
        };
        Ok(Self { content, aside })
    }
}
