//! What is in flight, of all containers together: bytes, requests to the target and the limit of these, and how often services
//! asked for less.

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;

const BYTES_IN_FLIGHT: &str = "bytes_in_flight";
const REQUESTS_IN_FLIGHT: &str = "requests_in_flight";
const REQUESTS_IN_FLIGHT_LIMIT: &str = "requests_in_flight_limit";
const THROTTLES: &str = "throttles";

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ServiceLabels {
    service: &'static str,
}

/// The metrics of what is in flight. Clones share one state.
#[derive(Debug, Clone)]
pub struct FlowMetrics {
    /// Bytes of changes that are read, or being read, and not stored yet.
    pub bytes_in_flight: Gauge,
    /// Requests to the target that wait for their answers.
    pub requests_in_flight: Gauge,
    /// How many of them there may be at the moment.
    pub requests_in_flight_limit: Gauge,
    /// How often the source answered that it is asked too much.
    pub throttles_source: Counter,
    /// How often the target did.
    pub throttles_target: Counter,
}

impl FlowMetrics {
    pub(super) fn register(registry: &mut Registry) -> Self {
        let mut gauge = |name: &str, help: &str| {
            let gauge = Gauge::default();
            registry.register(name, help, gauge.clone());
            gauge
        };
        let bytes_in_flight = gauge(BYTES_IN_FLIGHT, "Bytes read, or being read, and not stored yet");
        let requests_in_flight = gauge(REQUESTS_IN_FLIGHT, "Requests to the target that wait for their answers");
        let requests_in_flight_limit = gauge(REQUESTS_IN_FLIGHT_LIMIT, "How many requests to the target there may be");
        let throttles = Family::<ServiceLabels, Counter>::default();
        registry.register(THROTTLES, "Answers of a service that it is asked too much", throttles.clone());
        let of = |service| throttles.get_or_create_owned(&ServiceLabels { service });
        Self {
            bytes_in_flight,
            requests_in_flight,
            requests_in_flight_limit,
            throttles_source: of("source"),
            throttles_target: of("target"),
        }
    }
}
