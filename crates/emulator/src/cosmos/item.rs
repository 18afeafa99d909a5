//! Items, one at a time: create, upsert, read, replace, delete, patch.

pub(super) mod patch;

use http::StatusCode;
use http::request::Parts;

use super::Call;
use super::errors::CosmosError;
use super::headers;
use super::json;
use super::keys::{self, Component, Key, KeyDefinition};
use super::respond::{Position, Reply};
use super::session;
use super::state::{State, Write, WriteKind, Written};
use super::store::Container;
use super::system_properties;

/// The largest document.
const ITEM_BYTES_MAX: usize = 2 << 20;

/// The longest id.
const ID_BYTES_MAX: usize = 1023;

/// The first byte of Cosmos' binary JSON.
const BINARY_MARK: u8 = 0x80;

/// A document that was sent, without the service's properties.
#[derive(Debug)]
pub(super) struct Draft {
    pub(super) id: String,
    pub(super) text: String,
    pub(super) components: Vec<Component>,
}

impl Draft {
    /// Checks a document and takes what the store needs to know from it.
    pub(super) fn parse(body: &[u8], definition: &KeyDefinition) -> Result<Self, CosmosError> {
        if body.first() == Some(&BINARY_MARK) {
            return Err(CosmosError::bad_request(
                "The body is in Cosmos' binary encoding, which this emulator does not read: turn binary encoding off in \
                 the client (BinaryEncodingOptions in the Rust SDK).",
            ));
        }
        if body.len() > ITEM_BYTES_MAX {
            return Err(CosmosError::too_large(ITEM_BYTES_MAX));
        }
        let text = json::validate(body).map_err(|reason| {
            CosmosError::bad_request(format!("The request body is not a JSON document: {reason}."))
        })?;
        if !json::is_object(text) {
            return Err(CosmosError::bad_request("The request body is JSON, but not an object."));
        }
        let id = json::member(text, "id")
            .ok_or_else(|| CosmosError::bad_request("The required property 'id' is missing."))
            .and_then(|id| {
                json::string(id).ok_or_else(|| CosmosError::bad_request("The property 'id' is not a string."))
            })?
            .into_owned();
        if id.is_empty() || id.len() > ID_BYTES_MAX || id.contains(['/', '\\']) {
            return Err(CosmosError::bad_request(format!(
                "The id is empty, longer than {ID_BYTES_MAX} bytes, or holds a slash or backslash."
            )));
        }
        let text = system_properties::strip(text);
        let components = definition.components_of(&text);
        Ok(Self { id, text, components })
    }
}

/// `POST …/docs`: create, or upsert if the header says so.
pub(super) fn create(call: &Call<'_>, container: &Container) -> Result<Reply, CosmosError> {
    let draft = Draft::parse(call.body, &container.definition)?;
    let key = key_in(call.parts, &container.definition, Some(&draft))?;
    let upsert = headers::flag(call.parts, "x-ms-documentdb-is-upsert");
    let kind = if upsert { WriteKind::Upsert(draft.text) } else { WriteKind::Create(draft.text) };
    write(call, container, &key, &draft.id, kind)
}

/// `GET …/docs/{id}`.
pub(super) fn read(call: &Call<'_>, container: &Container, id: &str) -> Result<Reply, CosmosError> {
    let key = key_in(call.parts, &container.definition, None)?;
    write(call, container, &key, id, WriteKind::Read)
}

/// `PUT …/docs/{id}`.
pub(super) fn replace(call: &Call<'_>, container: &Container, id: &str) -> Result<Reply, CosmosError> {
    let draft = Draft::parse(call.body, &container.definition)?;
    let key = key_in(call.parts, &container.definition, Some(&draft))?;
    if draft.id != id && container.state().id_of(&key, id) != draft.id {
        return Err(CosmosError::bad_request("The id in the document is not the id in the request's path."));
    }
    write(call, container, &key, &draft.id, WriteKind::Replace(draft.text))
}

/// `DELETE …/docs/{id}`.
pub(super) fn delete(call: &Call<'_>, container: &Container, id: &str) -> Result<Reply, CosmosError> {
    let key = key_in(call.parts, &container.definition, None)?;
    write(call, container, &key, id, WriteKind::Delete)
}

/// The partition key in the header, checked against the document if there is one.
pub(super) fn key_in(parts: &Parts, definition: &KeyDefinition, draft: Option<&Draft>) -> Result<Key, CosmosError> {
    let header = headers::text(parts, headers::PARTITION_KEY)
        .ok_or_else(|| CosmosError::bad_request("PartitionKey value must be supplied for this operation."))?;
    let key = definition.key(&keys::parse_header(header)?)?;
    check_key(&key, draft)?;
    Ok(key)
}

/// Refuses a document whose key is another one.
pub(super) fn check_key(key: &Key, draft: Option<&Draft>) -> Result<(), CosmosError> {
    match draft {
        Some(draft) if keys::text_of(&draft.components) != *key.text => Err(CosmosError::key_mismatch()),
        _ => Ok(()),
    }
}

/// A charge in request units, roughly as the service's: per kilobyte, writes dearer than reads.
pub(super) fn charge(written: &Written) -> f64 {
    let kilobytes =
        written.change().document.as_ref().map_or(1, |document| document.len().div_ceil(1024).max(1)) as f64;
    match written {
        Written::Read(_) | Written::NotModified(_) => 0.5 + 0.5 * kilobytes,
        Written::Created(_) | Written::Deleted(_) => 4.5 + 1.5 * kilobytes,
        Written::Replaced(_) => 8.5 + 1.5 * kilobytes,
    }
}

/// The status of a step that succeeded.
pub(super) fn status(written: &Written) -> StatusCode {
    match written {
        Written::Created(_) => StatusCode::CREATED,
        Written::Replaced(_) | Written::Read(_) => StatusCode::OK,
        Written::Deleted(_) => StatusCode::NO_CONTENT,
        Written::NotModified(_) => StatusCode::NOT_MODIFIED,
    }
}

/// Runs one write or read as a transaction of its own and answers it.
fn write(call: &Call<'_>, container: &Container, key: &Key, id: &str, kind: WriteKind) -> Result<Reply, CosmosError> {
    let mut state = container.current(call.now);
    let id = match kind {
        WriteKind::Read | WriteKind::Delete => state.id_of(key, id),
        _ => id.to_owned(),
    };
    let (written, position) = write_in(call, &mut state, key, id, kind)?;
    drop(state);
    Ok(reply(call, container, &written, &position))
}

/// Runs one write or read as a transaction of its own, and tells where the partition stands after it.
fn write_in(
    call: &Call<'_>,
    state: &mut State,
    key: &Key,
    id: String,
    kind: WriteKind,
) -> Result<(Written, Position), CosmosError> {
    let owned = |name| headers::text(call.parts, name).map(str::to_owned);
    let reads = matches!(kind, WriteKind::Read);
    if reads {
        session::check(call.parts, state.partition_of(&key.epk))?;
    }
    // If-Match is a condition of writes and If-None-Match one of reads; the other kind does not look at it.
    let if_match = owned(headers::IF_MATCH).filter(|_| !reads);
    let if_none_match = owned(headers::IF_NONE_MATCH).filter(|_| reads);
    let mut write = Write { id, kind, if_match, if_none_match };
    let exists = state.partition_of(&key.epk).get(&key.epk, &key.text, &write.id).is_some();
    waive_if_new(&mut write, exists);
    let written = state
        .transact(key, vec![write], &call.service.store.etags, call.now)
        .map_err(|(_, error)| error.at(position(state, key, None)))?
        .pop()
        .ok_or_else(|| CosmosError::bad_request("The transaction is empty."))?;
    let position = position(state, key, Some(written.change().lsn));
    Ok((written, position))
}

/// Where the partition of a key stands.
fn position(state: &State, key: &Key, item_lsn: Option<u64>) -> Position {
    let partition = state.partition_of(&key.epk);
    Position { range: partition.id.to_string(), lsn: partition.lsn(), item_lsn }
}

/// Where there is no item, an upsert creates one, whatever version it is conditional on: issue 1698 of
/// azure-cosmos-dotnet-v3.
pub(super) fn waive_if_new(write: &mut Write, exists: bool) {
    if matches!(write.kind, WriteKind::Upsert(_)) && !exists {
        write.if_match = None;
    }
}

/// The answer to a write or read that was done.
fn reply(call: &Call<'_>, container: &Container, written: &Written, position: &Position) -> Reply {
    let change = written.change();
    let bodyless = matches!(written, Written::Deleted(_) | Written::NotModified(_))
        || (headers::wants_minimal(call.parts) && !matches!(written, Written::Read(_)));
    let reply = match &change.document {
        Some(document) if !bodyless => Reply::json(status(written), document.clone()),
        _ => Reply::empty(status(written)),
    };
    let reply = if change.op.removes() { reply } else { reply.with_etag(&change.etag) };
    reply.with_charge(charge(written)).with_paths(container).at(position)
}
