//! The account and its databases.

use crate::pair::{Ask, Pair};

pub(crate) async fn ask(pair: &mut Pair) {
    let query = r#"{"query":"SELECT * FROM r WHERE r.id = @id","parameters":[{"name":"@id","value":"second"}]}"#;
    pair.ask_all([
        Ask::get("account: read", "/"),
        Ask::get("account: a kind of resource that does not exist", "/nothing"),
        Ask::get("account: read with an activity id", "/")
            .with("x-ms-activity-id", "11111111-2222-3333-4444-555555555555"),
        Ask::get("account: list offers", "/offers"),
        Ask::get("databases: list none", "/dbs"),
        Ask::post("databases: create", "/dbs", r#"{"id":"d"}"#),
        Ask::post("databases: create twice", "/dbs", r#"{"id":"d"}"#),
        Ask::post("databases: create without body", "/dbs", r#"{"id":"second"}"#).minimal(),
        Ask::post("databases: create without id", "/dbs", r#"{"name":"d"}"#),
        Ask::post("databases: create from broken JSON", "/dbs", r#"{"id":"#),
        Ask::get("databases: read", "/dbs/d"),
        Ask::get("databases: read a missing one", "/dbs/missing"),
        Ask::get("databases: list two", "/dbs"),
        Ask::get("databases: list with a slash at the end", "/dbs/"),
        Ask::post("databases: query", "/dbs", query).with("x-ms-documentdb-isquery", "True"),
        Ask::delete("databases: delete", "/dbs/second"),
        Ask::delete("databases: delete a missing one", "/dbs/second"),
    ])
    .await;
}
