//! The folders directly beneath a prefix, by listing with a delimiter: what is in them is not listed.
//!
//! The SDK's listing knows no delimiter, so a policy adds it to the requests of a client of its own, and the page is read here. The form is that of
//! <https://learn.microsoft.com/rest/api/storageservices/list-blobs>.

use std::borrow::Cow;
use std::sync::Arc;

use async_trait::async_trait;
use azure_core::http::policies::{Policy, PolicyResult};
use azure_core::http::{Context, Request};
use azure_storage_blob::models::BlobContainerClientListBlobsOptions;
use futures::TryStreamExt as _;
use percent_encoding::percent_decode_str;
use quick_xml::Reader;
use quick_xml::events::Event;

use super::AzureStore;
use super::errors::Operation;
use super::listing::push_reference;
use crate::failure::Failure;
use crate::store::too_many_folders;

/// Makes listings stop at each slash.
#[derive(Debug)]
pub(super) struct Delimited;

#[async_trait]
impl Policy for Delimited {
    async fn send(&self, ctx: &Context, request: &mut Request, next: &[Arc<dyn Policy>]) -> PolicyResult {
        // Before the request is signed, and once however often it is sent.
        if !request.url().query_pairs().any(|(name, _)| name == "delimiter") {
            request.url_mut().query_pairs_mut().append_pair("delimiter", "/");
        }
        next[0].send(ctx, request, &next[1..]).await
    }
}

impl AzureStore {
    pub(super) async fn list_folders(&self, prefix: &str, count_max: usize) -> Result<Vec<String>, Failure> {
        let attempt = self.attempt(Operation::List, prefix);
        let options = BlobContainerClientListBlobsOptions {
            maxresults: Some(self.page_items_max.into()),
            prefix: (!prefix.is_empty()).then(|| prefix.to_owned()),
            ..BlobContainerClientListBlobsOptions::default()
        };
        let failed = |error: azure_core::Error| attempt.failure(&error);
        let mut pages = self.folders.list_blobs(Some(options)).map_err(failed)?.into_pages();
        let mut folders = Vec::new();
        while let Some(page) = pages.try_next().await.map_err(failed)? {
            let found = folders_of(page.into_body().as_ref()).map_err(|fault| attempt.malformed(&fault))?;
            let names = found.iter().filter_map(|name| name.strip_prefix(prefix)?.strip_suffix('/'));
            folders.extend(names.map(str::to_owned));
            if folders.len() > count_max {
                return Err(too_many_folders(prefix, count_max));
            }
        }
        folders.sort_unstable();
        Ok(folders)
    }
}

/// The whole names of the folders on a page.
fn folders_of(answer: &[u8]) -> Result<Vec<String>, Cow<'static, str>> {
    let mut reader = Reader::from_reader(answer);
    reader.config_mut().expand_empty_elements = true;
    let (mut folders, mut text) = (Vec::new(), String::new());
    let (mut place, mut encoded, mut ended): (Vec<Vec<u8>>, bool, bool) = (Vec::new(), false, false);
    loop {
        match reader.read_event().map_err(|_| "it is not well-formed")? {
            Event::Start(start) => {
                text.clear();
                encoded =
                    matches!(start.try_get_attribute("Encoded"), Ok(Some(said)) if said.value.as_ref() == b"true");
                place.push(start.name().0.to_vec());
            }
            Event::Text(part) => text.push_str(&part.decode().map_err(|_| "it is not UTF-8")?),
            Event::CData(part) => text.push_str(&part.decode().map_err(|_| "it is not UTF-8")?),
            Event::GeneralRef(reference) => push_reference(&mut text, &reference)?,
            Event::End(_) => {
                if matches!(&place[..], [_, _, prefix, name] if prefix == b"BlobPrefix" && name == b"Name") {
                    let name = std::mem::take(&mut text);
                    folders.push(if encoded { decoded(&name)? } else { name });
                }
                ended = place.len() == 1 && place[0] == b"EnumerationResults";
                place.pop();
            }
            Event::Eof if ended => return Ok(folders),
            Event::Eof => return Err("it ends too early".into()),
            Event::Empty(_) | Event::Comment(_) | Event::Decl(_) | Event::PI(_) | Event::DocType(_) => {}
        }
    }
}

fn decoded(name: &str) -> Result<String, Cow<'static, str>> {
    let decoded = percent_decode_str(name).decode_utf8().map_err(|_| "a folder's name is not UTF-8")?;
    Ok(decoded.into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn folders_are_told_from_the_blobs_beside_them_and_what_is_no_page_is_refused_whole() {
        let page = "<?xml version=\"1.0\"?><EnumerationResults><Prefix>a/</Prefix><Delimiter>/</Delimiter><Blobs>\
             <BlobPrefix><Name>a/x&amp;y/</Name><Properties><Etag>1</Etag></Properties></BlobPrefix>\
             <Blob><Name>a/b</Name><Properties><Etag>1</Etag></Properties></Blob>\
             <BlobPrefix><Name Encoded=\"true\">a/%EF%BF%BE/</Name></BlobPrefix></Blobs><NextMarker/></EnumerationResults>";
        assert_eq!(folders_of(page.as_bytes()).unwrap(), ["a/x&y/", "a/\u{fffe}/"]);
        for cut in 0..page.len() {
            assert!(folders_of(&page.as_bytes()[..cut]).is_err(), "{}", &page[..cut]);
        }
        assert!(folders_of(page.replace("%EF", "%FF").as_bytes()).is_err());
    }
}
