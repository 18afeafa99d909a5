//! A running emulator, a signing client without an SDK's help, and shorthands for Microsoft's driver.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;
use std::sync::Arc;

use azure_core::http::Url;
use azure_data_cosmos_driver::driver::{CosmosDriver, CosmosDriverRuntimeBuilder, OperationPlan};
use azure_data_cosmos_driver::error::CosmosError;
use azure_data_cosmos_driver::models::{
    AccountReference, ChangeFeedStartFrom, ContainerReference, CosmosOperation, CosmosResponse, DatabaseReference,
    FeedRange, ItemReference, MaxItemCountHint, PartitionKey,
};
use azure_data_cosmos_driver::options::{BinaryEncodingOptions, DriverOptions, OperationOptions, PlanOptions};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use cosmirror_emulator::{COSMOS_KEY, Emulator, Options};
use hmac::{Hmac, Mac};
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use serde_json::Value;
use sha2::Sha256;
use tokio_util::sync::{CancellationToken, DropGuard};
use tokio_util::task::TaskTracker;

const DATE: &str = "Fri, 20 Nov 2026 18:46:23 GMT";

/// An emulator that stops when dropped.
pub(crate) struct Running {
    pub(crate) cosmos: SocketAddr,
    pub(crate) blob: SocketAddr,
    http: reqwest::Client,
    tasks: TaskTracker,
    _stop: DropGuard,
}

/// Starts an emulator on free ports.
pub(crate) async fn start() -> Running {
    serve(Emulator::bind(free()).await.unwrap())
}

/// Starts an emulator that keeps its state in a folder.
pub(crate) async fn start_in(folder: &Path) -> Running {
    serve(Emulator::bind(free()).await.unwrap().with_data(folder).unwrap())
}

/// Free ports of this machine.
pub(crate) fn free() -> Options {
    let free = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
    Options { cosmos: free, blob: free }
}

fn serve(emulator: Emulator) -> Running {
    let (cosmos, blob) = (emulator.cosmos_addr(), emulator.blob_addr());
    let stop = CancellationToken::new();
    let tasks = TaskTracker::new();
    tasks.spawn(emulator.serve(stop.clone()));
    Running { cosmos, blob, http: reqwest::Client::new(), tasks, _stop: stop.drop_guard() }
}

/// An answer read to its end.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) headers: reqwest::header::HeaderMap,
    pub(crate) text: String,
}

impl Answer {
    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.text).unwrap_or_else(|error| panic!("{error}: {}", self.text))
    }

    pub(crate) fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().unwrap())
    }

    pub(crate) fn substatus(&self) -> &str {
        self.header("x-ms-substatus")
    }
}

impl Running {
    /// The address as a client would be configured with it.
    pub(crate) fn endpoint(&self) -> String {
        format!("http://{}/", self.cosmos)
    }

    /// Stops and waits for everything to end.
    pub(crate) async fn stop(self) {
        let Self { tasks, _stop, .. } = self;
        drop(_stop);
        tasks.close();
        tasks.wait().await;
    }

    /// A request signed with the account's key. The path is given decoded and is encoded here.
    pub(crate) async fn send(&self, verb: &str, path: &str, headers: &[(&str, &str)], body: &str) -> Answer {
        let segments: Vec<&str> = path.split('/').filter(|segment| !segment.is_empty()).collect();
        let authorization = sign(verb, &segments, COSMOS_KEY);
        self.raw(verb, &encoded(&segments), &[headers, &[("authorization", &authorization)]].concat(), body)
            .await
            .unwrap()
    }

    /// A request as it is given, with a date.
    pub(crate) async fn raw(
        &self,
        verb: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: &str,
    ) -> Result<Answer, reqwest::Error> {
        let url = format!("http://{}{path}", self.cosmos);
        let mut request = self.http.request(verb.parse().unwrap(), url).header("x-ms-date", DATE).body(body.to_owned());
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let response = request.send().await?;
        let (status, headers) = (response.status().as_u16(), response.headers().clone());
        Ok(Answer { status, headers, text: response.text().await? })
    }

    /// A control request.
    pub(crate) async fn control(&self, verb: &str, name: &str, body: &str) -> Answer {
        self.raw(verb, &format!("/_emulator/{name}"), &[], body).await.unwrap()
    }

    /// Creates database `d` and in it container `c` with a description.
    pub(crate) async fn create_container(&self, description: &str) {
        self.send("POST", "/dbs", &[], r#"{"id":"d"}"#).await;
        let created = self.send("POST", "/dbs/d/colls", &[], description).await;
        assert_eq!(created.status, 201, "{}", created.text);
    }

    /// Writes a document with an upsert.
    pub(crate) async fn upsert(&self, key: &str, document: &str) -> Answer {
        let headers = [("x-ms-documentdb-partitionkey", key), ("x-ms-documentdb-is-upsert", "True")];
        self.send("POST", "/dbs/d/colls/c/docs", &headers, document).await
    }

    /// A driver of Microsoft's with its resolved container `d`/`c`.
    pub(crate) async fn driver(&self) -> Driver {
        let account = AccountReference::with_account_key(Url::parse(&self.endpoint()).unwrap(), COSMOS_KEY);
        let runtime = CosmosDriverRuntimeBuilder::new().build().await.unwrap();
        let driver = runtime.create_driver(DriverOptions::builder(account.clone()).build()).await.unwrap();
        Driver { driver, account }
    }
}

/// The authorization header of a request.
pub(crate) fn sign(verb: &str, segments: &[&str], key: &str) -> String {
    let (kind, link) = match segments.len() {
        0 => ("", String::new()),
        n if n % 2 == 0 => (segments[n - 2], segments.join("/")),
        n => (segments[n - 1], segments[..n - 1].join("/")),
    };
    let payload = format!("{}\n{kind}\n{link}\n{}\n\n", verb.to_lowercase(), DATE.to_lowercase());
    let mac = Hmac::<Sha256>::new_from_slice(&STANDARD.decode(key).unwrap()).unwrap().chain_update(payload);
    let token = format!("type=master&ver=1.0&sig={}", STANDARD.encode(mac.finalize().into_bytes()));
    utf8_percent_encode(&token, NON_ALPHANUMERIC).to_string()
}

fn encoded(segments: &[&str]) -> String {
    let segments: Vec<_> = segments.iter().map(|s| utf8_percent_encode(s, NON_ALPHANUMERIC).to_string()).collect();
    format!("/{}", segments.join("/"))
}

/// Microsoft's driver, with text bodies.
pub(crate) struct Driver {
    pub(crate) driver: Arc<CosmosDriver>,
    pub(crate) account: AccountReference,
}

/// Options under which the driver sends the very bytes it was given.
pub(crate) fn text_options() -> OperationOptions {
    let mut options = OperationOptions::default();
    options.binary_encoding = Some(BinaryEncodingOptions::new().with_enabled(false));
    options
}

impl Driver {
    /// Creates database `d` and container `c`, and resolves it.
    pub(crate) async fn container(&self, description: &str) -> ContainerReference {
        let database = DatabaseReference::from_name(self.account.clone(), "d");
        let create = CosmosOperation::create_database(self.account.clone()).with_body(br#"{"id":"d"}"#.to_vec());
        self.run(create).await.unwrap();
        let create = CosmosOperation::create_container(database).with_body(description.as_bytes().to_vec());
        self.run(create).await.unwrap();
        self.resolve().await
    }

    /// Resolves container `c` of database `d`.
    pub(crate) async fn resolve(&self) -> ContainerReference {
        self.driver.resolve_container("d", "c", text_options()).await.unwrap()
    }

    /// Runs a point operation.
    pub(crate) async fn run(&self, operation: CosmosOperation) -> Result<CosmosResponse, CosmosError> {
        self.driver.execute_singleton_operation(operation, text_options()).await
    }

    /// Upserts a document.
    pub(crate) async fn upsert(&self, container: &ContainerReference, key: PartitionKey, id: &str, document: &str) {
        let item = ItemReference::from_name(container, key, id.to_owned());
        let operation = CosmosOperation::upsert_item(item).with_body(document.as_bytes().to_vec());
        self.run(operation).await.unwrap();
    }

    /// Reads a document's text.
    pub(crate) async fn read(&self, container: &ContainerReference, key: PartitionKey, id: &str) -> String {
        let item = ItemReference::from_name(container, key, id.to_owned());
        let response = self.run(CosmosOperation::read_item(item)).await.unwrap();
        String::from_utf8(response.into_body().single().unwrap().to_vec()).unwrap()
    }

    /// Plans a read of many pages.
    pub(crate) async fn plan(&self, operation: CosmosOperation) -> Result<OperationPlan, CosmosError> {
        self.driver.plan_operation(operation, &text_options(), None, &PlanOptions::default()).await
    }

    /// Plans a change feed of one range.
    pub(crate) async fn feed(
        &self,
        container: &ContainerReference,
        range: Option<FeedRange>,
        start: ChangeFeedStartFrom,
        all_versions: bool,
        items_max: u32,
    ) -> Result<OperationPlan, CosmosError> {
        let operation = if all_versions {
            CosmosOperation::change_feed_all_versions_and_deletes(container.clone(), range)
        } else {
            CosmosOperation::change_feed(container.clone(), range)
        };
        let items_max = MaxItemCountHint::Limit(items_max.try_into().unwrap());
        self.plan(operation.with_change_feed_start(start).with_max_item_count(items_max)).await
    }

    /// The next page's items; `None` if there is nothing new.
    pub(crate) async fn page(
        &self,
        container: &ContainerReference,
        plan: &mut OperationPlan,
    ) -> Result<Option<Vec<Value>>, CosmosError> {
        let response = self.driver.execute_plan(plan, Some(container.clone()), text_options()).await?;
        let Some(response) = response else { return Ok(None) };
        if u16::from(response.status().status_code()) == 304 {
            return Ok(None);
        }
        let bytes = response.into_body().single().unwrap();
        let body: Value = serde_json::from_slice(&bytes).unwrap();
        Ok(Some(body["Documents"].as_array().unwrap().clone()))
    }
}

/// The status code of a refusal.
pub(crate) fn status(error: &CosmosError) -> u16 {
    u16::from(error.status().status_code())
}
