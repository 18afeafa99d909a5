//! Traces for a collector of OpenTelemetry, by OTLP over HTTP.
//!
//! On where the environment names an endpoint. Requests are made on the exporter's own thread, so a collector that fails or hangs
//! holds up nothing; the queue is bounded, and what does not fit is dropped. What is told of failures names no URL and no header,
//! because both may hold secrets.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use opentelemetry::trace::TracerProvider as _;
use opentelemetry::{Context, Key, KeyValue};
use opentelemetry_http::{Bytes, HttpClient, HttpError, Request, Response};
use opentelemetry_otlp::{Protocol, SpanExporter, WithExportConfig as _, WithHttpConfig as _};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::error::OTelSdkResult;
use opentelemetry_sdk::trace::{BatchSpanProcessor, SdkTracerProvider, Span, SpanData, SpanProcessor};
use tokio::time::Instant;
use tracing::Subscriber;
use tracing_subscriber::Layer;
use tracing_subscriber::filter::filter_fn;
use tracing_subscriber::registry::LookupSpan;

use crate::traces;

/// How long what is left may take at the end.
const FLUSH_DEADLINE: Duration = Duration::from_secs(2);
/// How long a request may take where the environment says nothing, as the specification has it.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(10);
const REQUEST_TIMEOUT_MAX: Duration = Duration::from_mins(1);
/// Failures are told this often.
const TELL_INTERVAL: Duration = Duration::from_mins(1);

/// What is exported, until the command ends.
pub(in crate::cli) struct Exporting(SdkTracerProvider);

impl Exporting {
    /// Exports, if the environment asks for it; or says why that cannot be.
    pub(super) fn begin() -> Result<Option<Self>, &'static str> {
        let variable = |name: &str| std::env::var(name).ok().filter(|value| !value.is_empty());
        if is_wanted(variable) { Self::to(None, timeout(variable)).map(Some) } else { Ok(None) }
    }

    /// Exports to `endpoint`, or to where the environment says.
    fn to(endpoint: Option<String>, timeout: Duration) -> Result<Self, &'static str> {
        let exporter = SpanExporter::builder().with_http().with_http_client(Client::new(timeout)?);
        let exporter = exporter.with_protocol(Protocol::HttpBinary).with_timeout(timeout);
        let exporter = match endpoint {
            Some(endpoint) => exporter.with_endpoint(endpoint),
            None => exporter,
        };
        // What the error says may hold the endpoint, and that a secret.
        let exporter = exporter.build().map_err(|_| "OTEL_EXPORTER_OTLP_… is not valid, or asks for compression")?;
        let worth = WorthSeeing(BatchSpanProcessor::builder(exporter).build());
        Ok(Self(SdkTracerProvider::builder().with_resource(resource()).with_span_processor(worth).build()))
    }

    /// Takes up the spans of the work and nothing else: events hold ids.
    pub(super) fn layer<S: Subscriber + for<'a> LookupSpan<'a>>(&self) -> impl Layer<S> + use<S> {
        let layer = tracing_opentelemetry::layer().with_tracer(self.0.tracer("cosmirror"));
        let layer = layer.with_location(false).with_threads(false).with_tracked_inactivity(false).with_target(false);
        let layer = layer.with_context_activation(false);
        layer.with_filter(filter_fn(|metadata| metadata.is_span() && metadata.target() == traces::TARGET))
    }
}

impl Drop for Exporting {
    fn drop(&mut self) {
        // Why it did not work has been told by the client.
        let _ = self.0.shutdown_with_timeout(FLUSH_DEADLINE);
    }
}

fn is_wanted(variable: impl Fn(&str) -> Option<String>) -> bool {
    let has = |name: &str, word: &str| variable(name).is_some_and(|value| value.trim().eq_ignore_ascii_case(word));
    let endpoints = ["OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT"];
    endpoints.into_iter().any(|name| variable(name).is_some())
        && !has("OTEL_SDK_DISABLED", "true")
        && !has("OTEL_TRACES_EXPORTER", "none")
}

fn timeout(variable: impl Fn(&str) -> Option<String>) -> Duration {
    let asked = variable("OTEL_EXPORTER_OTLP_TRACES_TIMEOUT").or_else(|| variable("OTEL_EXPORTER_OTLP_TIMEOUT"));
    let asked = asked.and_then(|text| text.trim().parse().ok()).map(Duration::from_millis);
    asked.filter(|asked| !asked.is_zero()).unwrap_or(REQUEST_TIMEOUT).min(REQUEST_TIMEOUT_MAX)
}

/// What the environment says of this process.
fn resource() -> Resource {
    let name = Resource::builder().build().get(&Key::new("service.name"));
    let is_named = name.is_some_and(|name| !name.as_str().starts_with("unknown_service"));
    let resource = Resource::builder().with_attribute(KeyValue::new("service.version", env!("CARGO_PKG_VERSION")));
    if is_named { resource.build() } else { resource.with_service_name("cosmirror").build() }
}

/// Leaves out polls that found nothing.
#[derive(Debug)]
struct WorthSeeing(BatchSpanProcessor);

impl SpanProcessor for WorthSeeing {
    fn on_start(&self, span: &mut Span, context: &Context) {
        self.0.on_start(span, context);
    }

    fn on_end(&self, span: SpanData) {
        if !span.attributes.iter().any(|attribute| attribute.key.as_str() == traces::EMPTY) {
            self.0.on_end(span);
        }
    }

    fn force_flush(&self) -> OTelSdkResult {
        self.0.force_flush()
    }

    fn shutdown_with_timeout(&self, timeout: Duration) -> OTelSdkResult {
        self.0.shutdown_with_timeout(timeout)
    }

    fn set_resource(&mut self, resource: &Resource) {
        self.0.set_resource(resource);
    }
}

/// Sends requests by the HTTP client that the rest of the program has, on the thread that asks.
#[derive(Debug)]
struct Client {
    http: reqwest::Client,
    told: Mutex<Option<Instant>>,
}

impl Client {
    fn new(timeout: Duration) -> Result<Self, &'static str> {
        // Whoever is redirected to would learn the headers. Nothing is kept open, since nobody would look after it between two exports.
        let http = reqwest::Client::builder().redirect(reqwest::redirect::Policy::none()).pool_max_idle_per_host(0);
        let http = http.timeout(timeout).build().map_err(|_| "no HTTP client can be made")?;
        Ok(Self { http, told: Mutex::default() })
    }

    /// The status; the answer's body, of whatever size, is not read.
    fn send(&self, request: Request<Bytes>) -> Result<u16, String> {
        let request = reqwest::Request::try_from(request).map_err(|_| "its endpoint is no URL".to_owned())?;
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        let runtime = runtime.map_err(|error| error.to_string())?;
        let sent = runtime.block_on(async { self.http.execute(request).await.map(|answer| answer.status().as_u16()) });
        // A hanging look-up of a name must not be waited for.
        runtime.shutdown_background();
        sent.map_err(|error| match error {
            error if error.is_timeout() => "it did not answer in time".to_owned(),
            error if error.is_connect() => "it cannot be reached".to_owned(),
            error => error.without_url().to_string(),
        })
    }

    fn tell(&self, error: &str) {
        let now = Instant::now();
        let mut told = self.told.lock().unwrap_or_else(PoisonError::into_inner);
        if told.is_none_or(|told| now.duration_since(told) >= TELL_INTERVAL) {
            *told = Some(now);
            tracing::warn!(
                error,
                "traces do not reach the collector of OpenTelemetry, and are dropped; nothing else waits for it"
            );
        }
    }
}

#[async_trait]
impl HttpClient for Client {
    async fn send_bytes(&self, request: Request<Bytes>) -> Result<Response<Bytes>, HttpError> {
        let status = self.send(request).inspect_err(|error| self.tell(error))?;
        if !(200..300).contains(&status) {
            self.tell(&format!("it answered {status}"));
        }
        Ok(Response::builder().status(status).body(Bytes::new())?)
    }
}

#[cfg(test)]
mod tests;
