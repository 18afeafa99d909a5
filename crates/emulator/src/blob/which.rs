//! Which state of a blob a request means: the current one, a version or a snapshot.

use super::errors::{Error, Result};
use super::request::Call;
use super::time::Stamp;

/// Which state of a blob a request means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Which {
    Current,
    Version(Stamp),
    Snapshot(Stamp),
}

impl Which {
    /// Reads `versionid` and `snapshot`.
    pub(super) fn of(call: &Call<'_>) -> Result<Self> {
        let stamp = |name: &'static str, id: &str| {
            Stamp::from_id(id).ok_or_else(|| Error::InvalidQuery {
                name,
                value: id.to_owned(),
                reason: "Not the id of a version or snapshot.",
            })
        };
        match (call.query.get("versionid"), call.query.get("snapshot")) {
            (None, None) => Ok(Self::Current),
            (Some(id), None) => stamp("versionid", id).map(Self::Version),
            (None, Some(id)) => stamp("snapshot", id).map(Self::Snapshot),
            (Some(_), Some(id)) => Err(Error::InvalidQuery {
                name: "snapshot",
                value: id.to_owned(),
                reason: "A version and a snapshot exclude each other.",
            }),
        }
    }
}
