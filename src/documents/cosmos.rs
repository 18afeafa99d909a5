//! Single documents of a Cosmos container through the driver, byte for byte.
//!
//! Some ids do not survive a URL: `.` and `..` are path segments that every client resolves away, and tabs and line breaks
//! are dropped. Such documents are found by a query within their partition and then addressed by their resource id.

use std::sync::Arc;

use async_trait::async_trait;
use azure_data_cosmos_driver::models::{CosmosOperation, FeedRange, ItemReference, Precondition};
use azure_data_cosmos_driver::options::PlanOptions;
use azure_data_cosmos_driver::{CosmosResponse, OperationPlan};
use bytes::Bytes;
use cosmirror_formats::PartitionKey;
use cosmirror_formats::feed_page::SystemProperties;
use futures::stream::{self, BoxStream, StreamExt as _, TryStreamExt as _};
use serde::Deserialize;
use serde_json::json;

use crate::cosmos::{Account, Resolved, driver_key, items, operation_options};
use crate::documents::{Document, Documents};
use crate::failure::{Failure, Kind};
use crate::pace::RequestUnits;

/// The documents of one container.
pub struct CosmosDocuments {
    account: Account,
    container: Resolved,
    name: String,
    request_units: Arc<RequestUnits>,
    is_discreet: bool,
}

impl CosmosDocuments {
    /// The documents of a container that was resolved.
    pub fn new(account: Account, container: Resolved, name: String) -> Self {
        Self { account, container, name, request_units: Arc::new(RequestUnits::new(0)), is_discreet: false }
    }

    /// The same, taking what reads and writes of single documents cost from this budget. Waiting for it is the caller's.
    #[must_use]
    pub fn spending(self, request_units: Arc<RequestUnits>) -> Self {
        Self { request_units, ..self }
    }

    /// The same, whose errors do not name documents: they get into a daemon's log.
    #[must_use]
    pub fn discreet(self) -> Self {
        Self { is_discreet: true, ..self }
    }

    /// Runs one operation that answers once; what a refused one cost counts too.
    async fn execute(&self, operation: CosmosOperation, what: &str) -> Result<CosmosResponse, Failure> {
        let run = async {
            let answer = self.account.driver().execute_operation(operation, operation_options()).await;
            let response = match &answer {
                Ok(response) => response.as_ref().map(CosmosResponse::headers),
                Err(error) => error.response().map(|response| response.headers()),
            };
            let charge = response.and_then(|headers| headers.request_charge.as_ref());
            self.request_units.spend(charge.map_or(0.0, |charge| charge.value()));
            answer
        };
        let answer = self.account.answered(what, run).await?;
        answer.ok_or_else(|| Failure::new(Kind::Internal, format!("could not {what}: the driver gave no answer")))
    }

    fn what(&self, verb: &str, key: &PartitionKey, id: &str) -> String {
        if self.is_discreet {
            return format!("{verb} a document in {}", self.name);
        }
        format!("{verb} document {id:?} of partition {key} in {}", self.name)
    }

    fn by_name(&self, key: &PartitionKey, id: &str) -> Result<ItemReference, Failure> {
        Ok(ItemReference::from_name(&self.container.reference, driver_key(key)?, id.to_owned()))
    }

    /// The reference under which an existing document is written.
    async fn existing(&self, key: &PartitionKey, id: &str) -> Result<ItemReference, Failure> {
        if survives_urls(id) {
            return self.by_name(key, id);
        }
        #[derive(Deserialize)]
        struct Rid {
            #[serde(rename = "_rid")]
            rid: String,
        }
        let missing =
            || Failure::new(Kind::NotFound, format!("could not {}: it is not there", self.what("find", key, id)));
        let document = self.find(key, id).await?.ok_or_else(missing)?;
        let what = self.what("find", key, id);
        let rid: Rid = serde_json::from_slice(&document.bytes)
            .map_err(|e| Failure::new(Kind::Internal, format!("could not {what}: {e}")))?;
        // The service takes names or resource ids in a path, never both. The driver keeps what it resolved.
        let resolve =
            self.account.driver().resolve_container_by_rid(self.container.reference.rid(), operation_options());
        let container = self.account.looked_up(&what, resolve).await?;
        Ok(ItemReference::from_rid(&container, driver_key(key)?, rid.rid))
    }

    /// The document by a query, for ids that do not survive a URL.
    async fn find(&self, key: &PartitionKey, id: &str) -> Result<Option<Document>, Failure> {
        let definition = self.container.reference.partition_key_definition();
        let scope = FeedRange::for_partition(driver_key(key)?, definition);
        let sql = "SELECT * FROM c WHERE c.id = @id";
        let mut pages = self.query_pages(scope, sql, &[("@id", id)]);
        while let Some(page) = pages.try_next().await? {
            if let Some(bytes) = page.into_iter().next() {
                return document(bytes, &self.what("read", key, id)).map(Some);
            }
        }
        Ok(None)
    }

    fn query_pages<'a>(
        &'a self,
        scope: FeedRange,
        sql: &str,
        parameters: &[(&str, &str)],
    ) -> BoxStream<'a, Result<Vec<Bytes>, Failure>> {
        let parameters: Vec<_> =
            parameters.iter().map(|(name, value)| json!({ "name": name, "value": value })).collect();
        let body = json!({ "query": sql, "parameters": parameters }).to_string().into_bytes();
        let operation = CosmosOperation::query_items(self.container.reference.clone(), Some(scope)).with_body(body);
        // The driver's token cannot tell a query that has ended from one that has not begun, so the plan itself is kept.
        stream::try_unfold((Some(operation), None), move |(operation, plan)| async move {
            let what = format!("query {}", self.name);
            let mut plan: OperationPlan = match (operation, plan) {
                (Some(operation), _) => {
                    let (options, plan_options) = (operation_options(), PlanOptions::default());
                    self.account
                        .bounded(&what, self.account.driver().plan_operation(operation, &options, None, &plan_options))
                        .await?
                }
                (None, Some(plan)) => plan,
                (None, None) => return Ok(None),
            };
            let reference = Some(self.container.reference.clone());
            let page = self.account.driver().execute_plan(&mut plan, reference, operation_options());
            let Some(response) = self.account.answered(&what, page).await? else { return Ok(None) };
            Ok(Some((items(response.into_body(), &what)?, (None, Some(plan)))))
        })
        .boxed()
    }

    async fn write(&self, operation: CosmosOperation, what: &str) -> Result<String, Failure> {
        let response = self.execute(operation, what).await?;
        let etag = response.headers().etag.as_ref().map(ToString::to_string);
        etag.ok_or_else(|| Failure::new(Kind::Internal, format!("could not {what}: the answer has no etag")))
    }
}

#[async_trait]
impl Documents for CosmosDocuments {
    async fn read(&self, key: &PartitionKey, id: &str) -> Result<Option<Document>, Failure> {
        if !survives_urls(id) {
            return self.find(key, id).await;
        }
        let what = self.what("read", key, id);
        match self.execute(CosmosOperation::read_item(self.by_name(key, id)?), &what).await {
            Ok(response) => {
                let body = response.into_body().single();
                let body = body.map_err(|e| Failure::new(Kind::Internal, format!("could not {what}: {e}")))?;
                document(body, &what).map(Some)
            }
            Err(failure) if failure.kind == Kind::NotFound => Ok(None),
            Err(failure) => Err(failure),
        }
    }

    async fn create(&self, key: &PartitionKey, id: &str, body: Bytes) -> Result<String, Failure> {
        let operation = CosmosOperation::create_item(self.by_name(key, id)?).with_body(body.to_vec());
        self.write(operation, &self.what("create", key, id)).await
    }

    async fn replace(&self, key: &PartitionKey, id: &str, body: Bytes, etag: &str) -> Result<String, Failure> {
        let operation = CosmosOperation::replace_item(self.existing(key, id).await?)
            .with_body(body.to_vec())
            .with_precondition(Precondition::if_match(etag.to_owned()));
        self.write(operation, &self.what("replace", key, id)).await
    }

    async fn delete(&self, key: &PartitionKey, id: &str, etag: &str) -> Result<(), Failure> {
        let operation = CosmosOperation::delete_item(self.existing(key, id).await?)
            .with_precondition(Precondition::if_match(etag.to_owned()));
        self.execute(operation, &self.what("delete", key, id)).await.map(drop)
    }

    fn query<'a>(&'a self, sql: &str, parameters: &[(&str, &str)]) -> BoxStream<'a, Result<Vec<Bytes>, Failure>> {
        self.query_pages(FeedRange::full(), sql, parameters)
    }
}

fn document(bytes: Bytes, what: &str) -> Result<Document, Failure> {
    let broken = |why: String| Failure::new(Kind::Internal, format!("could not {what}: {why}"));
    let text = std::str::from_utf8(&bytes).map_err(|e| broken(e.to_string()))?;
    let etag = SystemProperties::of(text).map_err(|e| broken(e.to_string()))?.etag;
    let etag = etag.ok_or_else(|| broken("it has no _etag".to_owned()))?;
    Ok(Document { bytes, etag })
}

/// Whether a URL's path segment made of this id arrives as it was.
fn survives_urls(id: &str) -> bool {
    !matches!(id, "." | "..") && !id.chars().any(char::is_control) && id == id.trim()
}

#[cfg(test)]
mod tests {
    use super::survives_urls;

    #[test]
    fn ids_that_a_url_would_change_are_known() {
        for id in [".", "..", "a\tb", "a\n", " a", "a "] {
            assert!(!survives_urls(id), "{id:?}");
        }
        for id in ["a b", "a#b", "100%", "☃", "...", "a..b"] {
            assert!(survives_urls(id), "{id:?}");
        }
    }
}
