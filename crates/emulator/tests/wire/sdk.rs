//! Microsoft's SDK, as a program would use it.

use azure_core::credentials::Secret;
use azure_data_cosmos::feed::FeedScope;
use azure_data_cosmos::models::{ContainerProperties, PartitionKeyDefinition};
use azure_data_cosmos::options::{
    BinaryEncodingOptions, ChangeFeedMode, ChangeFeedOptions, ChangeFeedStartFrom, Region,
};
use azure_data_cosmos::{
    AccountEndpoint, AccountReference, ContainerClient, CosmosClient, CosmosClientBuilder, Query, RoutingStrategy,
    TransactionalBatch,
};
use cosmirror_emulator::COSMOS_KEY;
use futures::{StreamExt, TryStreamExt};
use serde_json::{Value, json};

use crate::support::start;

async fn connect(endpoint: &str) -> CosmosClient {
    let endpoint: AccountEndpoint = endpoint.parse().unwrap();
    let account = AccountReference::with_authentication_key(endpoint, Secret::from(COSMOS_KEY));
    CosmosClientBuilder::new()
        .with_binary_encoding_options(BinaryEncodingOptions::new().with_enabled(false))
        .build(account, RoutingStrategy::ProximityTo(Region::EAST_US))
        .await
        .unwrap()
}

async fn container(client: &CosmosClient) -> ContainerClient {
    client.create_database("shop", None).await.unwrap();
    let database = client.database_client("shop");
    let properties = ContainerProperties::new("orders", PartitionKeyDefinition::from("/customer"));
    database.create_container(properties, None).await.unwrap();
    database.container_client("orders", None).await.unwrap()
}

#[tokio::test]
async fn a_program_creates_reads_queries_and_follows() {
    let emulator = start().await;
    let client = connect(&emulator.endpoint()).await;
    let orders = container(&client).await;
    let mode = ChangeFeedOptions::default().with_mode(ChangeFeedMode::AllVersionsAndDeletes);
    let mut versions = orders
        .query_change_feed::<Value>(FeedScope::full_container(), ChangeFeedStartFrom::Now, Some(mode))
        .await
        .unwrap();
    assert!(versions.next().await.unwrap().unwrap().items().is_empty());

    for number in 0..5 {
        let order = json!({"id": format!("o{number}"), "customer": "ada", "total": number * 10});
        orders.create_item("ada", &format!("o{number}"), order, None).await.unwrap();
    }
    let order: Value = orders.read_item("ada", "o3", None).await.unwrap().into_model().unwrap();
    assert_eq!(order["total"], 30);
    orders.upsert_item("ada", "o3", json!({"id": "o3", "customer": "ada", "total": 31}), None).await.unwrap();
    orders.delete_item("ada", "o4", None).await.unwrap();

    let query = Query::from("SELECT c.id, c.total FROM c WHERE c.total > @least").with_parameter("@least", 5).unwrap();
    let found: Vec<Value> =
        orders.query_items(query, FeedScope::full_container(), None).await.unwrap().try_collect().await.unwrap();
    assert_eq!(found.len(), 3);
    let ordered: Vec<Value> = orders
        .query_items("SELECT VALUE c.total FROM c ORDER BY c.total DESC", FeedScope::full_container(), None)
        .await
        .unwrap()
        .try_collect()
        .await
        .unwrap();
    assert_eq!(json!(ordered), json!([31, 20, 10, 0]));

    let mut latest = orders
        .query_change_feed::<Value>(FeedScope::full_container(), ChangeFeedStartFrom::Beginning, None)
        .await
        .unwrap();
    let page = latest.next().await.unwrap().unwrap();
    let ids: Vec<_> = page.items().iter().map(|item| item.current().unwrap()["id"].clone()).collect();
    assert_eq!(json!(ids), json!(["o0", "o1", "o2", "o3"]));

    let page = versions.next().await.unwrap().unwrap();
    let kinds: Vec<_> = page.items().iter().map(|item| format!("{:?}", item.operation_type().unwrap())).collect();
    assert_eq!(kinds, ["Create", "Create", "Create", "Create", "Create", "Replace", "Delete"]);
    let deleted = page.items()[6].metadata().unwrap();
    assert_eq!((deleted.id(), deleted.partition_key()), (Some("o4"), Some(&json!({"customer": "ada"}))));
    emulator.stop().await;
}

#[tokio::test]
async fn a_program_commits_a_batch_and_sees_the_ranges() {
    let emulator = start().await;
    let client = connect(&emulator.endpoint()).await;
    let orders = container(&client).await;
    let batch = TransactionalBatch::new("ada")
        .create_item(json!({"id": "1", "customer": "ada"}))
        .unwrap()
        .upsert_item(json!({"id": "2", "customer": "ada"}), None)
        .unwrap();
    let answer = orders.execute_transactional_batch(batch, None).await.unwrap().into_model().unwrap();
    assert_eq!(answer.results().len(), 2);
    assert_eq!(orders.read_feed_ranges(None).await.unwrap().len(), 1);
    let databases: Vec<_> =
        client.query_databases("SELECT * FROM root", None).await.unwrap().try_collect().await.unwrap();
    assert_eq!(databases.len(), 1);
    let properties = orders.read(None).await.unwrap().into_model().unwrap();
    assert_eq!(properties.partition_key.paths()[0], "/customer");
}
