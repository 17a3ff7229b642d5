//! Metrics as they arrived: the last export, which holds all that was counted since the start.

use std::collections::BTreeSet;

use millpond::telemetry::semconv::{Kind, METRICS, Metric};
use opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsServiceRequest;
use opentelemetry_proto::tonic::metrics::v1::metric::Data;
use opentelemetry_proto::tonic::metrics::v1::number_data_point::Value as Number;
use opentelemetry_proto::tonic::metrics::v1::{AggregationTemporality, Metric as Wire, NumberDataPoint};

use crate::sink::Arrived;
use crate::trace::{Attributes, attributes};

/// One series.
#[derive(Debug, Clone)]
pub struct Series {
    pub name: &'static str,
    pub attributes: Attributes,
    pub measured: Measured,
}

/// What a series holds.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Measured {
    Sum(f64),
    Histogram { count: u64, sum: f64 },
}

/// Every series of one export.
#[derive(Debug, Clone)]
pub struct Measures {
    pub series: Vec<Series>,
    pub resource: Attributes,
}

impl Measures {
    /// The last export. Each of its metrics is as `semconv` says.
    pub fn last(arrived: &Arrived) -> Measures {
        Measures::of(arrived.metrics.last().expect("metrics arrived"))
    }

    fn of(message: &ExportMetricsServiceRequest) -> Measures {
        let [group] = message.resource_metrics.as_slice() else { panic!("not one resource: {message:#?}") };
        let resource = group.resource.as_ref().map(|r| attributes(&r.attributes)).unwrap_or_default();
        let mut series = Vec::new();
        let mut seen = BTreeSet::new();
        for metric in group.scope_metrics.iter().flat_map(|scope| &scope.metrics) {
            assert!(seen.insert(&metric.name), "{} comes twice", metric.name);
            let known = METRICS.iter().find(|known| known.name == metric.name);
            let known = known.unwrap_or_else(|| panic!("{} is not in semconv", metric.name));
            assert_eq!((metric.unit.as_str(), metric.description.as_str()), (known.unit, known.help));
            series.extend(read(metric, known));
        }
        for series in &series {
            let known = METRICS.iter().find(|known| known.name == series.name).unwrap();
            for name in series.attributes.keys() {
                assert!(known.attributes.contains(&name.as_str()), "{} has {name}", series.name);
            }
        }
        Measures { series, resource }
    }

    /// The names of all metrics.
    pub fn names(&self) -> BTreeSet<&str> {
        self.series.iter().map(|series| series.name).collect()
    }

    /// The series of a metric with these attributes, whatever others they have.
    pub fn find(&self, metric: Metric, with: &[(&str, &str)]) -> Vec<&Series> {
        let matches = |series: &&Series| {
            series.name == metric.name
                && with.iter().all(|(name, value)| series.attributes.get(*name).is_some_and(|v| v == value))
        };
        self.series.iter().filter(matches).collect()
    }

    /// The sum of all series of a metric with these attributes; zero if there are none.
    pub fn sum(&self, metric: Metric, with: &[(&str, &str)]) -> f64 {
        let value = |series: &&Series| match series.measured {
            Measured::Sum(sum) | Measured::Histogram { sum, .. } => sum,
        };
        self.find(metric, with).iter().map(value).sum()
    }

    /// How many values all series of a histogram with these attributes hold.
    pub fn count(&self, metric: Metric, with: &[(&str, &str)]) -> u64 {
        let value = |series: &&Series| match series.measured {
            Measured::Histogram { count, .. } => count,
            Measured::Sum(_) => panic!("{} is no histogram", series.name),
        };
        self.find(metric, with).iter().map(value).sum()
    }

    /// The values that an attribute has, over all series.
    pub fn values(&self, attribute: &str) -> BTreeSet<String> {
        let values = self.series.iter().filter_map(|series| series.attributes.get(attribute));
        values.map(|value| value.as_str().unwrap().to_owned()).collect()
    }
}

fn read(metric: &Wire, known: &Metric) -> Vec<Series> {
    let cumulative = AggregationTemporality::Cumulative;
    match metric.data.as_ref().unwrap() {
        Data::Sum(sum) => {
            let expect = if sum.is_monotonic { Kind::Counter } else { Kind::UpDownCounter };
            assert_eq!(known.kind, expect, "{}", known.name);
            assert_eq!(sum.aggregation_temporality(), cumulative, "{}", known.name);
            let series = |point: &NumberDataPoint| Series {
                name: known.name,
                attributes: attributes(&point.attributes),
                measured: Measured::Sum(number(point)),
            };
            sum.data_points.iter().map(series).collect()
        }
        Data::Histogram(histogram) => {
            let Kind::Histogram(bounds) = known.kind else { panic!("{} is a histogram", known.name) };
            assert_eq!(histogram.aggregation_temporality(), cumulative, "{}", known.name);
            let points = histogram.data_points.iter().map(|point| {
                assert_eq!(point.explicit_bounds, bounds, "{}", known.name);
                assert_eq!(point.bucket_counts.iter().sum::<u64>(), point.count, "{}", known.name);
                Series {
                    name: known.name,
                    attributes: attributes(&point.attributes),
                    measured: Measured::Histogram { count: point.count, sum: point.sum.unwrap() },
                }
            });
            points.collect()
        }
        other => panic!("{} is {other:?}", known.name),
    }
}

fn number(point: &NumberDataPoint) -> f64 {
    match point.value.unwrap() {
        Number::AsDouble(value) => value,
        Number::AsInt(value) => value as f64,
    }
}
