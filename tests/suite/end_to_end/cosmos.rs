//! A client of the source that sends the bytes it is given.

use super::emulator::Emulator;
use super::wire::{DATE, ascii, percent, sign_cosmos};

/// The database of every test.
pub(super) const DATABASE: &str = "shop";

/// One container of the source.
pub(super) struct Source<'a> {
    pub(super) emulator: &'a Emulator,
    pub(super) container: &'a str,
}

impl Source<'_> {
    /// Creates the container, and its database where it is missing, with these paths as its partition key.
    pub(super) async fn make(&self, paths: &[&str]) {
        self.make_with(paths, serde_json::Map::new()).await;
    }

    /// The same with more properties.
    pub(super) async fn make_with(&self, paths: &[&str], more: serde_json::Map<String, serde_json::Value>) {
        let (status, text) = self.send("POST", &["dbs"], &[], format!(r#"{{"id":"{DATABASE}"}}"#)).await;
        assert!(status == 201 || status == 409, "{text}");
        let kind = if paths.len() == 1 { "Hash" } else { "MultiHash" };
        let key = serde_json::json!({ "paths": paths, "kind": kind, "version": 2 });
        let mut body = serde_json::json!({ "id": self.container, "partitionKey": key });
        body.as_object_mut().unwrap().extend(more);
        let (status, text) = self.send("POST", &["dbs", DATABASE, "colls"], &[], body.to_string()).await;
        assert_eq!(status, 201, "{text}");
    }

    /// Removes the container with all that it holds.
    pub(super) async fn remove(&self) {
        self.remove_from(DATABASE).await;
    }

    /// The same in another database.
    pub(super) async fn remove_from(&self, database: &str) {
        let (status, text) = self.send("DELETE", &["dbs", database, "colls", self.container], &[], String::new()).await;
        assert_eq!(status, 204, "{text}");
    }

    /// The container's properties as the service gives them.
    pub(super) async fn settings(&self) -> serde_json::Value {
        let (status, text) = self.send("GET", &["dbs", DATABASE, "colls", self.container], &[], String::new()).await;
        assert_eq!(status, 200, "{text}");
        serde_json::from_str(&text).unwrap()
    }

    /// Changes properties of the container, whose key is `/pk`.
    pub(super) async fn change_settings(&self, more: serde_json::Map<String, serde_json::Value>) {
        let key = serde_json::json!({ "paths": ["/pk"], "kind": "Hash", "version": 2 });
        let mut body = serde_json::json!({ "id": self.container, "partitionKey": key });
        body.as_object_mut().unwrap().extend(more);
        let path = ["dbs", DATABASE, "colls", self.container];
        let (status, text) = self.send("PUT", &path, &[], body.to_string()).await;
        assert_eq!(status, 200, "{text}");
    }

    /// Writes a document whether or not it exists; `key` is a JSON array.
    pub(super) async fn put(&self, key: &str, document: &str) {
        self.put_into(DATABASE, key, document).await;
    }

    /// The same in another database.
    pub(super) async fn put_into(&self, database: &str, key: &str, document: &str) {
        let headers = [("x-ms-documentdb-partitionkey", ascii(key)), ("x-ms-documentdb-is-upsert", "True".to_owned())];
        let path = ["dbs", database, "colls", self.container, "docs"];
        let (status, text) = self.send("POST", &path, &headers, document.to_owned()).await;
        assert!(status == 200 || status == 201, "{status} {text}: {document}");
    }

    /// Deletes a document that exists.
    pub(super) async fn delete(&self, key: &str, id: &str) {
        // These two are path segments that every client resolves away; the resource id names the document as well.
        let named = if id == "." || id == ".." { self.resource_id(key, id).await } else { id.to_owned() };
        let headers = [("x-ms-documentdb-partitionkey", ascii(key))];
        let path = ["dbs", DATABASE, "colls", self.container, "docs", named.as_str()];
        let (status, text) = self.send("DELETE", &path, &headers, String::new()).await;
        assert_eq!(status, 204, "{text}: {key} {id}");
    }

    /// Runs operations on documents of one key as one transaction; they are JSON objects as the service takes them.
    pub(super) async fn batch(&self, key: &str, operations: &[String]) {
        let headers = [
            ("x-ms-documentdb-partitionkey", ascii(key)),
            ("x-ms-cosmos-is-batch-request", "True".to_owned()),
            ("x-ms-cosmos-batch-atomic", "True".to_owned()),
        ];
        let path = ["dbs", DATABASE, "colls", self.container, "docs"];
        let (status, text) = self.send("POST", &path, &headers, format!("[{}]", operations.join(","))).await;
        assert_eq!(status, 200, "{text}: {operations:?}");
    }

    async fn resource_id(&self, key: &str, id: &str) -> String {
        let history = self.emulator.history(DATABASE, self.container).await.unwrap();
        let last = history.iter().rfind(|change| change.id == id && change.key == key).unwrap();
        let document: serde_json::Value = serde_json::from_str(last.document.as_deref().unwrap()).unwrap();
        document["_rid"].as_str().unwrap().to_owned()
    }

    async fn send(&self, verb: &str, path: &[&str], headers: &[(&str, String)], body: String) -> (u16, String) {
        let encoded: Vec<String> = path.iter().map(|segment| percent(segment)).collect();
        let url = format!("http://{}/{}", self.emulator.cosmos, encoded.join("/"));
        let request = self.emulator.http.request(verb.parse().unwrap(), url);
        let request = request.header("x-ms-date", DATE).header("authorization", sign_cosmos(verb, path));
        let request = headers.iter().fold(request, |request, (name, value)| request.header(*name, value));
        let answer = request.body(body).send().await.unwrap();
        (answer.status().as_u16(), answer.text().await.unwrap())
    }
}
