//! Cosmos DB and Blob Storage endpoints on localhost.

mod clock;
