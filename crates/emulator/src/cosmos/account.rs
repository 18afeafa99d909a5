//! `GET /`: the account, as the SDKs read it to learn where to send requests.

use std::sync::atomic::Ordering;

use http::StatusCode;
use serde_json::json;

use super::Call;
use super::headers;
use super::respond::Reply;

/// Describes the account. Its only location is the address the client came by, because SDKs switch to it.
pub(super) fn read(call: &Call<'_>) -> Reply {
    // HTTP/2 has the host in the request's target, HTTP/1.1 in a header.
    let host = call
        .parts
        .uri
        .authority()
        .map(ToString::to_string)
        .or_else(|| headers::text(call.parts, "host").map(str::to_owned))
        .unwrap_or_else(|| call.service.address.to_string());
    let locations = json!([{ "name": "Local", "databaseAccountEndpoint": format!("http://{host}/") }]);
    let account = json!({
        "_self": "",
        "id": "cosmirror-emulator",
        "_rid": "cosmirror-emulator.documents.azure.com",
        "media": "//media/",
        "addresses": "//addresses/",
        "_dbs": "//dbs/",
        "writableLocations": locations,
        "readableLocations": locations,
        "enableMultipleWriteLocations": call.service.multiple_write_locations.load(Ordering::Relaxed),
        "continuousBackupEnabled": true,
        "enableNRegionSynchronousCommit": false,
        "enablePerPartitionFailoverBehavior": false,
        "userReplicationPolicy": { "asyncReplication": false, "minReplicaSetSize": 3, "maxReplicasetSize": 4 },
        "userConsistencyPolicy": { "defaultConsistencyLevel": "Session" },
        "systemReplicationPolicy": { "minReplicaSetSize": 3, "maxReplicasetSize": 4 },
        "readPolicy": { "primaryReadCoefficient": 1, "secondaryReadCoefficient": 1 },
        "queryEngineConfiguration": "{}",
    });
    Reply::json(StatusCode::OK, account.to_string())
}
