//! /metrics: the families of `families.rs` in OpenMetrics' text format.

use std::fmt;
use std::sync::Arc;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::text::encode;
use prometheus_client::encoding::{DescriptorEncoder, MetricEncoder, NoLabelSet};
use prometheus_client::metrics::MetricType;
use prometheus_client::registry::Registry;

use super::Served;
use super::families::{FAMILIES, Facts, Family, Kind, Value};

/// What the format is called.
pub(super) const MEDIA_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// All metrics, as they are now.
pub(super) fn exposition(served: &Served) -> String {
    let mut registry = Registry::with_prefix("ferrock");
    let facts = Facts { report: served.report(), pool: served.pool.figures() };
    registry.register_collector(Box::new(All(Arc::new(facts))));
    let mut text = String::new();
    // Writing to a string cannot fail.
    let _ = encode(&mut text, &registry);
    text
}

struct All(Arc<Facts>);

impl fmt::Debug for All {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("all metrics")
    }
}

impl Collector for All {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        FAMILIES.iter().try_for_each(|family| encode_family(family, &self.0, &mut encoder))
    }
}

fn encode_family(family: &Family, facts: &Facts, encoder: &mut DescriptorEncoder<'_>) -> fmt::Result {
    let kind = match family.kind {
        Kind::Counter => MetricType::Counter,
        Kind::Gauge => MetricType::Gauge,
        Kind::Histogram => MetricType::Histogram,
        Kind::Info => MetricType::Info,
    };
    let mut metric = encoder.encode_descriptor(family.name, family.help, family.unit.as_ref(), kind)?;
    let mut outcome = Ok(());
    (family.tell)(facts, &mut |labels, value| {
        if outcome.is_ok() {
            outcome = encode_sample(&mut metric, family.kind, labels, &value);
        }
    });
    outcome
}

fn encode_sample(metric: &mut MetricEncoder<'_>, kind: Kind, labels: &[(&str, &str)], value: &Value) -> fmt::Result {
    if kind == Kind::Info {
        return metric.encode_info(&labels);
    }
    if labels.is_empty() {
        encode_value(metric, kind, value)
    } else {
        encode_value(&mut metric.encode_family(&labels)?, kind, value)
    }
}

fn encode_value(metric: &mut MetricEncoder<'_>, kind: Kind, value: &Value) -> fmt::Result {
    match (kind, value) {
        (Kind::Counter, Value::Whole(number)) => metric.encode_counter::<NoLabelSet, u64, f64>(number, None),
        (Kind::Counter, Value::Real(number)) => metric.encode_counter::<NoLabelSet, f64, f64>(number, None),
        (_, Value::Whole(number)) => metric.encode_gauge(number),
        (_, Value::Real(number)) => metric.encode_gauge(number),
        (_, Value::Counts { sum, buckets }) => {
            let count = buckets.iter().map(|(_, count)| count).sum();
            metric.encode_histogram::<NoLabelSet>(*sum, count, buckets, None)
        }
    }
}
