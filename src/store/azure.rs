//! Azure Blob Storage as version store: every object is a block blob, every version one of the account's blob versions.
//!
//! What is asked for every change and every version goes [`direct`]ly, all else through the SDK.
//!
//! Each operation is one request (an empty blob's content takes two): the SDK's retries are off, because the mirror's own
//! loop retries and must see each answer at once. Every request ends within [`REQUEST_TIMEOUT`], a put within
//! [`PUT_TIMEOUT`].
//!
//! **Versioning** is a setting of the account that the data plane does not tell. Its only sign is the version id in the
//! answer to a write, so [`prepare`](VersionStore::prepare) writes a small blob (`azure/prepare.rs`), and a put whose answer
//! lacks the id fails, although it was done: the next overwrite would lose it.
//!
//! **A blob without version id** was stored while versioning was off. Its version's name is empty, and
//! [`get`](VersionStore::get) takes the empty name for the current version; so also where a service leaves the id out of a
//! listing of current versions.
//!
//! Keys, tokens and SAS never reach an error or a log line from here: messages name the blob, the status and the
//! service's error code, never the URL.

use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::num::NonZero;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use azure_core::http::headers::Headers;
use azure_storage_blob::models::{
    BlobClientCreateSnapshotOptions, BlobClientDownloadOptions, BlobContainerClientListBlobsOptions,
    BlockBlobClientUploadOptions, ListBlobsIncludeItem,
};
use azure_storage_blob::{BlobClient, BlobContainerClient, BlobServiceClient};
use bytes::Bytes;
use futures::{FutureExt as _, TryFutureExt as _, TryStreamExt as _};

use self::direct::Direct;
use self::errors::{Attempt, Operation};
use self::listing::Shown;
use self::riders::{Ride, Riders};
use super::{Arriving, Condition, Head, Listing, Page, Put, Stored, VersionStore};
use crate::admin::{Protection, RequestMetrics};
use crate::config::Target;
use crate::failure::Failure;
use crate::time::HostClock;

mod answer;
mod audit;
mod auth;
mod client;
mod direct;
mod erase;
mod errors;
mod folders;
mod heads;
mod listing;
mod prepare;
mod riders;
mod shared_key;
mod snapshots;
mod versioning;

pub use audit::{AccountInformation, ContainerProperties, MayDelete, SoftDelete};
pub use auth::AzureAuth;
pub use snapshots::SnapshotStore;
pub use versioning::VersioningReport;

/// Time to find and greet the service. Storage answers in milliseconds; a firewall that drops packets never does.
pub const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// After so long without traffic a connection is probed: a firewall that forgot it would swallow the next request.
const TCP_KEEPALIVE: Duration = Duration::from_secs(60);
/// Time in which at least one byte must arrive.
pub const READ_TIMEOUT: Duration = Duration::from_secs(20);
/// Time for a whole request; a full page of a listing is several megabytes.
pub const REQUEST_TIMEOUT: Duration = Duration::from_secs(60);
/// Time for a put. Whoever owns a lease counts on it: a put begun before the lease runs out ends soon after.
pub const PUT_TIMEOUT: Duration = Duration::from_secs(12);

/// What no version is longer than; a file of an export may be.
const PUT_BYTES_COMMON: u64 = 16 << 20;
/// Bytes for each of which a longer put has a second more.
const PUT_BYTES_PER_SECOND: u64 = 1 << 20;

/// Time for a put of so many bytes.
fn put_timeout(bytes: usize) -> Duration {
    PUT_TIMEOUT + Duration::from_secs((bytes as u64).saturating_sub(PUT_BYTES_COMMON).div_ceil(PUT_BYTES_PER_SECOND))
}

/// Most items Azure puts on one page of a listing.
const PAGE_ITEMS_MAX: u16 = 5_000;
/// Largest Put Blob of the service. Below it the SDK never splits a body into blocks, which would be several requests.
const PUT_BYTES_MAX: NonZero<u64> = NonZero::new(5_000 * 1024 * 1024).expect("not zero");
/// Bytes asked for by one Get Blob, far above any version; what is longer takes several requests.
const GET_BYTES_MAX: NonZero<usize> = NonZero::new(256 * 1024 * 1024).expect("not zero");
/// The content type of every version.
const CONTENT_TYPE: &str = "application/json";

/// A state of a blob other than the current one.
#[derive(Debug, Clone, Copy)]
enum State<'a> {
    Version(&'a str),
    Snapshot(&'a str),
}

/// The store; holds one pool of connections.
pub struct AzureStore {
    container: BlobContainerClient,
    /// The same container, whose listings stop at each slash.
    folders: BlobContainerClient,
    service: BlobServiceClient,
    /// What is asked most, for less; none where that goes through the SDK as well.
    direct: Option<Arc<Direct>>,
    container_name: String,
    prefix: String,
    page_items_max: u16,
    versioning: versioning::Versioning,
    riders: Riders,
}

/// The client's own form shows its URL, and with it a SAS.
impl fmt::Debug for AzureStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AzureStore").field("container", &self.container_name).finish_non_exhaustive()
    }
}

impl AzureStore {
    /// A store in the container that `settings` name.
    ///
    /// # Errors
    ///
    /// `Kind::Misconfigured` where the settings make no usable URL or ask for what is not supported.
    pub fn new(settings: &Target, credentials: AzureAuth) -> Result<Self, Failure> {
        Self::counting(settings, credentials, RequestMetrics::unread())
    }

    /// The same, which counts every request.
    ///
    /// # Errors
    ///
    /// As of [`AzureStore::new`].
    pub fn counting(settings: &Target, credentials: AzureAuth, requests: RequestMetrics) -> Result<Self, Failure> {
        let client::Clients { container, folders, service, direct } = client::clients(settings, credentials, requests)?;
        Ok(Self {
            container,
            folders,
            service,
            direct: direct.map(Arc::new),
            container_name: settings.container.clone(),
            prefix: settings.prefix.trim_matches('/').to_owned(),
            page_items_max: PAGE_ITEMS_MAX,
            versioning: versioning::Versioning::default(),
            riders: Riders::new(settings),
        })
    }

    /// The same, for which it is as late as this clock says.
    #[must_use]
    pub fn with_clock(mut self, clock: HostClock) -> Self {
        self.riders.set_clock(clock);
        self
    }

    /// The same, which tells when versioning is switched off and on.
    #[must_use]
    pub fn with_versioning_report(mut self, report: VersioningReport) -> Self {
        self.versioning.set_report(report);
        self
    }

    /// The same, for which the answer of a probe counts so long.
    #[must_use]
    pub fn with_probe_interval(mut self, interval: Duration) -> Self {
        self.versioning.set_interval(interval);
        self
    }

    /// The same, of which every request goes through the SDK.
    #[must_use]
    pub fn by_the_sdk_alone(mut self) -> Self {
        self.direct = None;
        self
    }

    /// The same with shorter pages of listings.
    #[must_use]
    pub fn with_page_items_max(mut self, items: u16) -> Self {
        self.page_items_max = items.clamp(1, PAGE_ITEMS_MAX);
        self
    }

    fn attempt<'a>(&'a self, operation: Operation, name: &'a str) -> Attempt<'a> {
        Attempt { operation, name, container: &self.container_name }
    }

    /// Whoever puts on a version without id must know that it will be kept.
    fn remember(&self, head: &Head) {
        if head.current && head.version.is_empty() {
            self.versioning.seen_without_id(&head.etag);
        }
    }

    fn blob(&self, name: &str) -> BlobClient {
        self.container.blob_client(name)
    }

    /// One Put Blob. The version id is none where the account keeps no versions.
    async fn upload(
        &self,
        attempt: Attempt<'_>,
        body: Bytes,
        options: BlockBlobClientUploadOptions<'_>,
    ) -> Result<(String, Option<String>), Failure> {
        let options = BlockBlobClientUploadOptions {
            blob_content_type: Some(CONTENT_TYPE.to_owned()),
            parallel: Some(NonZero::<usize>::MIN),
            partition_size: Some(PUT_BYTES_MAX),
            ..options
        };
        let client = self.blob(attempt.name);
        let limit = put_timeout(body.len());
        let done = tokio::time::timeout(limit, client.upload(body.into(), Some(options)))
            .await
            .map_err(|_| attempt.timed_out(limit))?
            .map_err(|error| attempt.failure(&error))?;
        let etag = done.etag.ok_or_else(|| attempt.malformed("it has no etag"))?;
        Ok((heads::quoted(etag.as_ref()), done.version_id.filter(|id| !id.is_empty())))
    }

    /// One Put Blob of what was checked; gives the etag, and the version's id where the account keeps versions.
    async fn store(
        &self,
        attempt: &Attempt<'_>,
        body: Bytes,
        metadata: BTreeMap<String, String>,
        condition: &Condition,
    ) -> Result<(String, Option<String>), Failure> {
        let ride = self.riders.of(attempt.name, &metadata);
        let done = match &self.direct {
            Some(direct) => direct.put(attempt, body, metadata, condition, &ride).await,
            None => self.upload(*attempt, body, upload_options(metadata, condition, ride)).await,
        };
        done.inspect(|_| self.riders.stored(attempt.name)).map_err(|failure| self.riders.explained(failure))
    }

    /// One Snapshot Blob, of what has this etag; `Kind::Conflict` where something else is current by now, or nothing.
    async fn take_snapshot(&self, name: &str, etag: &str) -> Result<(), Failure> {
        let attempt = self.attempt(Operation::Snapshot, name);
        if let Some(direct) = &self.direct {
            return direct.snapshot(&attempt, etag).await;
        }
        let options = BlobClientCreateSnapshotOptions { if_match: Some(etag.to_owned().into()), ..Default::default() };
        let done = tokio::time::timeout(PUT_TIMEOUT, self.blob(name).create_snapshot(Some(options))).await;
        done.map_err(|_| attempt.timed_out(PUT_TIMEOUT))?.map(drop).map_err(|error| attempt.failure(&error))
    }

    async fn look(&self, attempt: &Attempt<'_>) -> Result<Option<Head>, Failure> {
        if let Some(direct) = &self.direct {
            return direct.head(attempt).await;
        }
        match self.blob(attempt.name).get_properties(None).await {
            Ok(answer) => heads::from_headers(attempt, answer.headers(), None, None).map(Some),
            Err(error) if errors::is_missing_blob(&error) => Ok(None),
            Err(error) => Err(attempt.failure(&error)),
        }
    }

    async fn fetch(&self, attempt: &Attempt<'_>, state: Option<State<'_>>) -> Result<Option<(Head, Bytes)>, Failure> {
        match &self.direct {
            Some(direct) => direct.get(attempt, state).await,
            None => self.get_by_the_sdk(attempt, state).await,
        }
    }

    async fn page(
        &self,
        attempt: &Attempt<'_>,
        shown: Shown,
        next: Option<String>,
    ) -> Result<Arriving<'static>, Failure> {
        match &self.direct {
            Some(direct) => direct.list(attempt, shown, next, self.page_items_max).await,
            None => self.list_by_the_sdk(attempt, shown, next).await,
        }
    }

    async fn list_by_the_sdk(
        &self,
        attempt: &Attempt<'_>,
        shown: Shown,
        next: Option<String>,
    ) -> Result<Arriving<'static>, Failure> {
        let mut include = vec![ListBlobsIncludeItem::Metadata];
        match shown {
            Shown::Current => {}
            Shown::Versions => include.push(ListBlobsIncludeItem::Versions),
            Shown::Snapshots => include.push(ListBlobsIncludeItem::Snapshots),
        }
        let options = BlobContainerClientListBlobsOptions {
            include: Some(include),
            marker: next,
            maxresults: Some(self.page_items_max.into()),
            prefix: (!attempt.name.is_empty()).then(|| attempt.name.to_owned()),
            ..BlobContainerClientListBlobsOptions::default()
        };
        let failed = |error: azure_core::Error| attempt.failure(&error);
        let mut pages = self.container.list_blobs(Some(options)).map_err(failed)?.into_pages();
        let page = pages.try_next().await.map_err(failed)?.ok_or_else(|| attempt.malformed("it has no page"))?;
        let page = page.into_model().map_err(failed)?;
        let heads = listing::heads_of(page.blob_items, shown).map_err(|fault| attempt.malformed(&fault))?;
        let next = page.next_marker.filter(|next| !next.is_empty());
        Ok(Arriving::there(Page { heads, next }))
    }

    async fn get_by_the_sdk(
        &self,
        attempt: &Attempt<'_>,
        state: Option<State<'_>>,
    ) -> Result<Option<(Head, Bytes)>, Failure> {
        let version = state.map(|(State::Version(version) | State::Snapshot(version))| version);
        match self.download(attempt.name, state).await {
            Ok((headers, body)) => {
                let head = heads::from_headers(attempt, &headers, version, Some(body.len() as u64))?;
                Ok(Some((head, body)))
            }
            Err(error) if errors::is_missing_blob(&error) => Ok(None),
            Err(error) if version.is_some() && errors::is_malformed_version(&error) => Ok(None),
            Err(error) => Err(attempt.failure(&error)),
        }
    }

    async fn download(&self, name: &str, state: Option<State<'_>>) -> azure_core::Result<(Headers, Bytes)> {
        let (client, version_id) = match state {
            None => (self.blob(name), None),
            Some(State::Version(version)) => (self.blob(name), Some(version.to_owned())),
            Some(State::Snapshot(snapshot)) => (self.blob(name).with_snapshot(snapshot)?, None),
        };
        let options = BlobClientDownloadOptions {
            version_id,
            parallel: Some(NonZero::<usize>::MIN),
            partition_size: Some(GET_BYTES_MAX),
            ..BlobClientDownloadOptions::default()
        };
        let answer = client.download(Some(options)).await?;
        let body = answer.body.collect().await?;
        Ok((answer.headers, body))
    }
}

#[async_trait]
impl VersionStore for AzureStore {
    async fn prepare(&self, create: bool) -> Result<(), Failure> {
        self.prove(create).await
    }

    async fn protection(&self) -> Result<Option<Protection>, Failure> {
        let soft_delete = self.soft_delete().await? != SoftDelete::Off;
        let container = self.container_properties().await?;
        let immutability = container.version_level_immutability || container.has_policy || container.has_legal_hold;
        let version = self.protection_of_newest().await?;
        Ok(Some(Protection { soft_delete, immutability, version }))
    }

    async fn put(&self, put: Put) -> Result<Stored, Failure> {
        let attempt = self.attempt(Operation::Put, &put.name);
        heads::check_name(&attempt)?;
        let metadata = heads::checked_metadata(&attempt, put.metadata)?;
        if self.versioning.is_in_doubt(&put.condition) {
            self.prove_for(&put.condition).await?;
        }
        let (etag, version) = self.store(&attempt, put.body, metadata, &put.condition).await?;
        let Some(version) = version else {
            let failure = prepare::versioning_is_off(&self.container_name);
            self.versioning.lost(&etag, &failure);
            return Err(failure);
        };
        self.versioning.replaced(&put.condition);
        Ok(Stored { etag, version })
    }

    async fn head(&self, name: &str) -> Result<Option<Head>, Failure> {
        let attempt = self.attempt(Operation::Read, name);
        heads::check_name(&attempt)?;
        let head = self.look(&attempt).await?;
        if let Some(head) = &head {
            self.remember(head);
        }
        Ok(head)
    }

    async fn get(&self, name: &str, version: Option<&str>) -> Result<Option<(Head, Bytes)>, Failure> {
        let attempt = self.attempt(Operation::Read, name);
        heads::check_name(&attempt)?;
        let version = version.filter(|version| !version.is_empty());
        let got = self.fetch(&attempt, version.map(State::Version)).await?;
        got.iter().for_each(|(head, _)| self.remember(head));
        Ok(got)
    }

    async fn folders(&self, prefix: &str, count_max: usize) -> Result<Vec<String>, Failure> {
        self.list_folders(prefix, count_max).await
    }

    async fn list(&self, prefix: &str, listing: Listing, next: Option<String>) -> Result<Page, Failure> {
        self.list_ahead(prefix, listing, next).await?.page().await
    }

    async fn list_ahead<'a>(
        &'a self,
        prefix: &str,
        listing: Listing,
        next: Option<String>,
    ) -> Result<Arriving<'a>, Failure> {
        let attempt = self.attempt(Operation::List, prefix);
        let Arriving { next, heads } = self.page(&attempt, listing.into(), next).await?;
        let remembered = heads.inspect_ok(move |heads| {
            if listing == Listing::Versions {
                heads.iter().for_each(|head| self.remember(head));
            }
        });
        Ok(Arriving { next, heads: remembered.boxed() })
    }
}

fn upload_options(
    metadata: BTreeMap<String, String>,
    condition: &Condition,
    ride: Ride,
) -> BlockBlobClientUploadOptions<'static> {
    let (if_match, if_none_match) = match condition {
        Condition::Absent => (None, Some("*".into())),
        Condition::Matches(etag) => (Some(etag.clone().into()), None),
    };
    let metadata: HashMap<String, String> = metadata.into_iter().collect();
    BlockBlobClientUploadOptions { metadata: Some(metadata), if_match, if_none_match, ..ride.options() }
}
