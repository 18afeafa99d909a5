//! The connection to one Cosmos account, shared by feeds, leases and restores.
//!
//! Everything goes through Microsoft's driver crate, which hands bodies over as bytes: the SDK above it re-serialises
//! documents. Binary encoding is off for the same reason, and HTTP/2 because it costs more and can fail to be agreed upon. The driver's own retries are short: the loops above
//! retry by the failure table, count what they do, and can be cancelled.

use std::sync::Arc;
use std::time::Duration;

use azure_core::http::{StatusCode, Url};
use azure_data_cosmos_driver::driver::CosmosDriverRuntime;
use azure_data_cosmos_driver::models::{
    AccountReference, ContainerReference, CosmosOperation, DatabaseReference, FeedRange, PartitionKey as DriverKey,
    PartitionKeyValue, ResponseBody,
};
use azure_data_cosmos_driver::options::{
    BinaryEncodingOptions, ConnectionPoolOptions, OperationOptions, OperationOptionsBuilder,
    ThrottlingRetryOptionsBuilder,
};
use azure_data_cosmos_driver::{CosmosDriver, CosmosError, CosmosResponse, DriverOptions};
use bytes::Bytes;
use cosmirror_formats::partition_key::KeyValue;
use cosmirror_formats::{KeyDefinition, PartitionKey};

use crate::admin::RequestMetrics;
use crate::config::{self, SourceAuth};
use crate::failure::{Failure, Kind};
use crate::feed::SourceContainer;
use properties::Proof;
use requests::OPERATION_TIMEOUT;

mod properties;
mod requests;
mod service_time;

pub use properties::{AccountProperties, Location};
pub use service_time::ServiceClock;

/// The public key of every Cosmos emulator; no secret.
const EMULATOR_KEY: &str = "C2y6yDjf5/R+ob0N8A7Cgv30VRDJIWEHLM+4QDU5DE2nQ9nDuVTqobD4b8mGGyPMbIZnqyMsEcaGQy67XIw/Jw==";

/// How often the driver may retry a throttled request before the failure table decides.
const DRIVER_THROTTLE_RETRIES: u32 = 2;

/// One Cosmos account.
#[derive(Clone)]
pub struct Account {
    driver: Arc<CosmosDriver>,
    reference: AccountReference,
    endpoint: Url,
    clock: Arc<ServiceClock>,
    proof: Proof,
    requests: RequestMetrics,
}

/// A container whose name was resolved.
#[derive(Clone)]
pub struct Resolved {
    /// The driver's handle.
    pub reference: ContainerReference,
    /// What is known of it.
    pub source: SourceContainer,
}

impl Resolved {
    /// Where a partition key stands among the effective ones, in upper-case hex.
    pub fn effective_key(&self, key: &PartitionKey) -> Result<String, Failure> {
        let range = FeedRange::for_partition(driver_key(key)?, self.reference.partition_key_definition());
        Ok(range.min_inclusive().to_hex())
    }
}

impl Account {
    /// Connects by the configured credential. Makes no request yet.
    pub async fn connect(settings: &config::Source) -> Result<Self, Failure> {
        Self::connect_counting(settings, RequestMetrics::unread()).await
    }

    /// The same, which counts every request.
    pub async fn connect_counting(settings: &config::Source, requests: RequestMetrics) -> Result<Self, Failure> {
        let endpoint: Url = settings.endpoint.parse().map_err(|e| {
            Failure::new(Kind::Misconfigured, format!("source.endpoint {:?} is no URL: {e}", settings.endpoint))
        })?;
        let proof = proof(settings)?;
        let reference = proof.reference(endpoint.clone());
        let unusable = |e| failure(&e, "start the Cosmos driver");
        let connections = ConnectionPoolOptions::builder().with_is_http2_allowed(false).build().map_err(unusable)?;
        let runtime = CosmosDriverRuntime::builder().with_default_operation_options(operation_options());
        let runtime = runtime.with_connection_pool(connections).build().await.map_err(unusable)?;
        let options = DriverOptions::builder(reference.clone()).build();
        let driver =
            runtime.create_driver(options).await.map_err(|e| failure(&e, &format!("connect to {endpoint}")))?;
        let clock = Arc::new(ServiceClock::new(endpoint.clone(), requests.clone())?);
        Ok(Self { driver, reference, endpoint, clock, proof, requests })
    }

    /// The account's endpoint.
    pub fn endpoint(&self) -> &Url {
        &self.endpoint
    }

    /// The driver behind it.
    pub fn driver(&self) -> &CosmosDriver {
        &self.driver
    }

    /// The service's clock.
    pub fn clock(&self) -> &Arc<ServiceClock> {
        &self.clock
    }

    /// Looks a container up; `Kind::NotFound` names it.
    pub async fn resolve(&self, database: &str, container: &str) -> Result<Resolved, Failure> {
        let source = self.describe(database, container).await?;
        let what = format!("find the container {database}/{container} at {}", self.endpoint);
        let reference = self.driver.resolve_container(database, container, operation_options());
        let reference = self.looked_up(&what, reference).await?;
        // The driver may remember a container that is no more; what it reads would be of that one.
        Ok(Resolved { source: SourceContainer { rid: reference.rid().to_owned(), ..source }, reference })
    }

    /// What the service says of a container at present; `Kind::NotFound` names it.
    pub async fn describe(&self, database: &str, container: &str) -> Result<SourceContainer, Failure> {
        let what = format!("find the container {database}/{container} at {}", self.endpoint);
        let database_reference = DatabaseReference::from_name(self.reference.clone(), database.to_owned());
        let operation = CosmosOperation::read_container_by_name(database_reference, container.to_owned());
        let response = self.execute(operation, &what).await?;
        let bytes = response.into_body().single().map_err(|e| failure(&e, &what))?;
        let settings: serde_json::Value = serde_json::from_slice(&bytes)
            .map_err(|e| Failure::new(Kind::Internal, format!("could not {what}: the answer is no JSON ({e})")))?;
        let paths: Vec<String> = settings["partitionKey"]["paths"]
            .as_array()
            .map(|paths| paths.iter().filter_map(|p| p.as_str().map(str::to_owned)).collect())
            .unwrap_or_default();
        let rid = settings["_rid"].as_str().unwrap_or_default().to_owned();
        Ok(SourceContainer { rid, key: KeyDefinition::new(&paths), key_paths: paths, settings })
    }

    /// Creates a container and, where it is missing, its database. Existing ones are left as they are. Gives whether this call created the container:
    /// one that it may have created, by an attempt whose answer was lost, counts as somebody else's.
    pub async fn create_container(&self, database: &str, properties: serde_json::Value) -> Result<bool, Failure> {
        let what = format!("create the container {database}/{}", properties["id"].as_str().unwrap_or_default());
        let body = serde_json::json!({ "id": database }).to_string().into_bytes();
        let create = CosmosOperation::create_database(self.reference.clone()).with_body(body);
        self.unless_there(create, &format!("create the database {database}")).await?;
        let reference = DatabaseReference::from_name(self.reference.clone(), database.to_owned());
        let create = CosmosOperation::create_container(reference).with_body(properties.to_string().into_bytes());
        self.unless_there(create, &what).await
    }

    /// Deletes a container with all that it holds; one that is gone already is as good.
    pub async fn delete_container(&self, container: &Resolved, name: &str) -> Result<(), Failure> {
        let delete = CosmosOperation::delete_container(container.reference.clone());
        match self.execute(delete, &format!("delete the container {name}")).await {
            Err(failure) if failure.kind == Kind::NotFound => Ok(()),
            done => done.map(drop),
        }
    }

    /// Creates something, and gives whether it was not there.
    async fn unless_there(&self, operation: CosmosOperation, what: &str) -> Result<bool, Failure> {
        match self.execute(operation, what).await {
            Ok(_) => Ok(true),
            Err(failure) if failure.kind == Kind::Conflict => Ok(false),
            Err(failure) => Err(failure),
        }
    }

    /// Runs one operation that answers once.
    pub async fn execute(&self, operation: CosmosOperation, what: &str) -> Result<CosmosResponse, Failure> {
        let run = self.driver.execute_operation(operation, operation_options());
        let answer = self.answered(what, run).await?;
        answer.ok_or_else(|| Failure::new(Kind::Internal, format!("could not {what}: the driver gave no answer")))
    }
}

/// The options of every operation.
pub(crate) fn operation_options() -> OperationOptions {
    let throttling = ThrottlingRetryOptionsBuilder::new().with_max_retry_count(DRIVER_THROTTLE_RETRIES).build();
    OperationOptionsBuilder::new()
        .with_binary_encoding(BinaryEncodingOptions::new().with_enabled(false))
        .with_throttling_retry_options(throttling)
        .with_end_to_end_latency_policy(OPERATION_TIMEOUT.into())
        .build()
}

/// The items of a page, each as delivered, whether or not the driver has taken the page apart.
pub(crate) fn items(body: ResponseBody, what: &str) -> Result<Vec<Bytes>, Failure> {
    #[derive(serde::Deserialize)]
    struct Page<'a> {
        #[serde(borrow, rename = "Documents")]
        documents: Vec<&'a serde_json::value::RawValue>,
    }
    match body {
        ResponseBody::NoPayload => Ok(Vec::new()),
        ResponseBody::Items(items) => Ok(items),
        ResponseBody::Bytes(bytes) => {
            let page: Page<'_> = serde_json::from_slice(&bytes)
                .map_err(|e| Failure::new(Kind::Transient, format!("could not {what}: the page is not whole ({e})")))?;
            Ok(page.documents.iter().map(|d| bytes.slice_ref(d.get().as_bytes())).collect())
        }
    }
}

fn proof(settings: &config::Source) -> Result<Proof, Failure> {
    let identity = |error: azure_core::Error| {
        Failure::new(Kind::Unauthorized, format!("could not set up source.auth: {error}"))
            .remedy("run where this identity exists, or choose another source.auth")
    };
    Ok(match settings.auth {
        SourceAuth::Emulator => Proof::Key(EMULATOR_KEY.into()),
        SourceAuth::Key => {
            let key = config::resolve_secret(&settings.key_env, settings.key_file.as_deref());
            Proof::Key(key.map_err(|message| {
                Failure::new(Kind::Misconfigured, format!("source.auth is \"key\", but {message}"))
                    .remedy("set the variable named by source.key_env or the file named by source.key_file")
            })?)
        }
        SourceAuth::ManagedIdentity => Proof::Token(crate::identity::managed_identity().map_err(identity)?),
        SourceAuth::WorkloadIdentity => {
            Proof::Token(azure_identity::WorkloadIdentityCredential::new(None).map_err(identity)?)
        }
        SourceAuth::Developer => Proof::Token(azure_identity::DeveloperToolsCredential::new(None).map_err(identity)?),
    })
}

/// A partition key as the driver wants it.
pub(crate) fn driver_key(key: &PartitionKey) -> Result<DriverKey, Failure> {
    let unusable = |e: CosmosError| Failure::new(Kind::Refused, format!("the partition key {key} is not usable: {e}"));
    let component = |value: &KeyValue| match value {
        KeyValue::String(s) => Ok(PartitionKeyValue::from(s.clone())),
        KeyValue::Number(n) => PartitionKeyValue::try_from(*n).map_err(unusable),
        KeyValue::Bool(b) => Ok(PartitionKeyValue::from(*b)),
        KeyValue::Null => Ok(DriverKey::NULL),
        KeyValue::Undefined => Ok(DriverKey::UNDEFINED),
    };
    let values = key.0.iter().map(component).collect::<Result<Vec<_>, _>>()?;
    DriverKey::try_from(values).map_err(unusable)
}

/// The driver's error as one of ours. The text holds status and message, never a body.
pub(crate) fn failure(error: &CosmosError, what: &str) -> Failure {
    let status = error.status();
    let kind = kind_of(status.status_code(), status.sub_status().map_or(0, |s| s.value()));
    let text = error.to_string();
    let line = text.lines().next().unwrap_or_default();
    let wait = error.response().and_then(|r| r.headers().retry_after_ms).map(Duration::from_millis);
    let mut failure = Failure::new(kind, format!("could not {what}: {line}")).retry_after(wait);
    failure.throttled = u16::from(status.status_code()) == 429;
    match kind {
        Kind::Unauthorized => failure.remedy(
            "check source.auth and the key or identity: it needs to read and write items, read the change feed and read container settings",
        ),
        Kind::NotFound => failure.remedy("create it, or correct its name in the configuration"),
        Kind::Transient => failure.remedy("check that the endpoint is right and reachable"),
        _ => failure,
    }
}

fn kind_of(status: StatusCode, sub_status: u16) -> Kind {
    match (u16::from(status), sub_status) {
        // 403/3 is a region that does not take writes at the moment, 404/1002 a session that has not arrived yet.
        (403, 3 | 1008) | (404, 1002) => Kind::Transient,
        (401 | 403, _) => Kind::Unauthorized,
        (404, _) => Kind::NotFound,
        (409 | 412, _) => Kind::Conflict,
        (410, 1002 | 1007 | 1008) => Kind::RangeGone,
        (400 | 413, _) => Kind::Refused,
        (408 | 410 | 429 | 449, _) => Kind::Transient,
        (code, _) if code >= 500 => Kind::Transient,
        _ => Kind::Internal,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn statuses_become_kinds() {
        let kind = |status: u16, sub| kind_of(StatusCode::from(status), sub);
        assert_eq!(kind(401, 0), Kind::Unauthorized);
        assert_eq!(kind(404, 0), Kind::NotFound);
        assert_eq!(kind(404, 1002), Kind::Transient);
        assert_eq!(kind(410, 1002), Kind::RangeGone);
        assert_eq!(kind(412, 0), Kind::Conflict);
        assert_eq!(kind(429, 3200), Kind::Transient);
        assert_eq!(kind(503, 0), Kind::Transient);
    }
}
