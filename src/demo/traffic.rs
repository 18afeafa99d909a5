//! Orders that are placed, change state and are removed: something to look at.

use std::time::Duration;

use bytes::Bytes;
use cosmirror_formats::PartitionKey;
use cosmirror_formats::partition_key::KeyValue;
use serde_json::json;
use tokio_util::sync::CancellationToken;

use super::Example;
use crate::documents::Documents;
use crate::failure::{Action, CommandError, Failure};

const ORDERS: u32 = 40;
const CUSTOMERS: u32 = 7;
const PAUSE: Duration = Duration::from_millis(200);
const STATES: [&str; 4] = ["placed", "paid", "sent", "delivered"];

fn key(order: u32) -> PartitionKey {
    PartitionKey(vec![KeyValue::String(format!("customer-{}", order % CUSTOMERS))])
}

fn body(order: u32, step: usize) -> Bytes {
    let state = STATES[step % STATES.len()];
    let customer = format!("customer-{}", order % CUSTOMERS);
    Bytes::from(json!({ "id": format!("order-{order}"), "pk": customer, "state": state, "step": step }).to_string())
}

/// Places the first orders.
pub(super) async fn first(store: &dyn Documents) -> Result<Example, Failure> {
    for order in 0..ORDERS {
        store.create(&key(order), &format!("order-{order}"), body(order, 0)).await?;
    }
    Ok(Example { id: "order-0".to_owned(), key: "customer-0".to_owned(), loaded: ORDERS as usize })
}

/// Changes one order after another until told to stop; does nothing until then if there is to be no traffic.
pub(super) async fn go_on(store: &dyn Documents, wanted: bool, stop: &CancellationToken) -> Result<(), CommandError> {
    let mut step = 0_usize;
    while wanted && !stop.is_cancelled() {
        let order = rand::random_range(0..ORDERS);
        step += 1;
        match change(store, order, step).await {
            // Whatever the order met, the next one may fare better.
            Err(failure) if matches!(failure.kind.action(), Action::Retry | Action::Look) => {}
            done => done?,
        }
        tokio::select! {
            () = tokio::time::sleep(PAUSE) => {}
            () = stop.cancelled() => {}
        }
    }
    // The daemon's end is the demonstration's end.
    std::future::pending().await
}

async fn change(store: &dyn Documents, order: u32, step: usize) -> Result<(), Failure> {
    let (key, id) = (key(order), format!("order-{order}"));
    match store.read(&key, &id).await? {
        None => store.create(&key, &id, body(order, 0)).await.map(drop),
        Some(document) if step.is_multiple_of(10) => store.delete(&key, &id, &document.etag).await,
        Some(document) => store.replace(&key, &id, body(order, step), &document.etag).await.map(drop),
    }
}
