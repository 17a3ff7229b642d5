//! The instruments, and the series that one inference records into.
//!
//! A series is all instruments with one set of attributes, resolved once: recording is a few nanoseconds
//! then. How many series there can be is bounded, because clients choose the names of models: see [`Names`].

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, LazyLock, Mutex, PoisonError, RwLock};

use opentelemetry::KeyValue;
use opentelemetry::metrics::{
    BoundCounter, BoundHistogram, BoundUpDownCounter, Counter, Histogram, Meter, UpDownCounter,
};

use super::scrape::labels;
use super::semconv::{self, Generation, Kind, Metric};
use super::{MetricNames, process};

/// Names of models that are learned from answers, at most; later ones are [`OTHER`].
const LEARNED_AT_MOST: usize = 200;
/// The label of names that are not known.
pub(super) const OTHER: &str = "_other";

/// Every instrument that requests record into.
pub(super) struct Metrics {
    meter: Meter,
    generations: MetricNames,
    names: Names,
    series: RwLock<HashMap<String, Arc<Series>>>,
    providers: RwLock<HashMap<String, Arc<OfProvider>>>,
    pub(super) duration: Both<f64>,
    pub(super) request_duration: Histogram<f64>,
    pub(super) input: Both<u64>,
    pub(super) output: Both<u64>,
    pub(super) token_usage: Option<Histogram<u64>>,
    pub(super) usage_input: Option<Counter<u64>>,
    pub(super) usage_output: Option<Counter<u64>>,
    pub(super) server_duration: Histogram<f64>,
    pub(super) server_active: UpDownCounter<i64>,
    pub(super) client_duration: Histogram<f64>,
    pub(super) repairs: Counter<u64>,
    pub(super) stream_end: Counter<u64>,
    pub(super) attempts: Counter<u64>,
    pub(super) disconnects: Counter<u64>,
    pub(super) limit_rejected: Counter<u64>,
    pub(super) queue_waiting: BoundUpDownCounter<i64>,
}

/// One instrument under the names that are in force: the latest, the older one, or both.
pub(super) struct Both<T>(Vec<(Metric, Histogram<T>)>);

impl<T> Both<T> {
    /// The instruments, with their names.
    pub(super) fn iter(&self) -> impl Iterator<Item = &(Metric, Histogram<T>)> {
        self.0.iter()
    }
}

/// What one inference records into while it runs, and at its end if it did not fail.
pub(super) struct Series {
    /// The attributes of all its instruments.
    pub(super) attributes: Vec<KeyValue>,
    /// The same as labels of Prometheus.
    pub(super) labels: String,
    pub(super) duration: Vec<Lazy<BoundHistogram<f64>>>,
    pub(super) request_duration: Lazy<BoundHistogram<f64>>,
    /// Of an attempt that the upstream answered with 200.
    pub(super) client_duration: Lazy<BoundHistogram<f64>>,
    pub(super) input: Tokens,
    pub(super) output: Tokens,
    pub(super) first_chunk: Vec<Lazy<BoundHistogram<f64>>>,
    pub(super) per_chunk: Vec<Lazy<BoundHistogram<f64>>>,
    pub(super) first_token: Lazy<BoundHistogram<f64>>,
    pub(super) per_token: Lazy<BoundHistogram<f64>>,
    pub(super) cost: Lazy<BoundHistogram<f64>>,
    pub(super) cache_read: Option<Lazy<BoundCounter<u64>>>,
    pub(super) cache_write: Option<Lazy<BoundCounter<u64>>>,
    pub(super) reasoning: Option<Lazy<BoundCounter<u64>>>,
}

/// Where one kind of tokens is recorded.
pub(super) struct Tokens {
    pub(super) per_inference: Vec<Lazy<BoundHistogram<u64>>>,
    /// The older metric of both kinds.
    pub(super) usage: Option<Lazy<BoundHistogram<u64>>>,
    pub(super) count: Option<Lazy<BoundCounter<u64>>>,
}

/// An instrument that is bound when it is first used: one that is bound counts zero, and a count that nobody
/// knows is not zero.
pub(super) type Lazy<T> = LazyLock<T, Box<dyn FnOnce() -> T + Send>>;

/// What is recorded by provider alone.
pub(super) struct OfProvider {
    /// The convention's name of the provider.
    pub(super) name: String,
    pub(super) active: BoundUpDownCounter<i64>,
    /// Answers that are complete, and attempts that went well.
    pub(super) complete: Lazy<BoundCounter<u64>>,
    pub(super) ok: Lazy<BoundCounter<u64>>,
    pub(super) first_byte: BoundHistogram<f64>,
    pub(super) chunk: BoundHistogram<f64>,
}

/// What an inference is about.
#[derive(Debug, Clone, Copy)]
pub(super) struct About<'a> {
    /// The convention's name of what is done.
    pub(super) operation: &'static str,
    /// The convention's name of the provider.
    pub(super) provider: &'a str,
    /// The model that was asked for.
    pub(super) request_model: &'a str,
    /// The model that answers.
    pub(super) response_model: Option<&'a str>,
    /// The upstream's host and port.
    pub(super) server: (&'a str, u16),
}

impl Metrics {
    pub(super) fn new(meter: Meter, generations: MetricNames, configured: HashSet<String>) -> Metrics {
        process::observe(&meter);
        let make = Maker { meter: &meter, generations };
        let queue_waiting = make.up_down(semconv::QUEUE_WAITING).bind(&[]);
        // That nobody waits is a figure as well.
        queue_waiting.add(0);
        Metrics {
            names: Names::new(configured),
            series: RwLock::default(),
            providers: RwLock::default(),
            duration: make.both(&[semconv::INFERENCE_DURATION, semconv::OPERATION_DURATION]),
            request_duration: make.seconds(semconv::REQUEST_DURATION),
            input: make.tokens(&[semconv::INPUT_PER_INFERENCE]),
            output: make.tokens(&[semconv::OUTPUT_PER_INFERENCE]),
            token_usage: make.tokens(&[semconv::TOKEN_USAGE]).0.pop().map(|(_, histogram)| histogram),
            usage_input: make.counter_of(semconv::USAGE_INPUT),
            usage_output: make.counter_of(semconv::USAGE_OUTPUT),
            server_duration: make.seconds(semconv::SERVER_DURATION),
            server_active: make.up_down(semconv::SERVER_ACTIVE),
            client_duration: make.seconds(semconv::CLIENT_DURATION),
            repairs: make.counter(semconv::REPAIRS_MADE),
            stream_end: make.counter(semconv::STREAM_END),
            attempts: make.counter(semconv::ATTEMPTS_MADE),
            disconnects: make.counter(semconv::DISCONNECTS),
            limit_rejected: make.counter(semconv::LIMIT_REJECTED),
            queue_waiting,
            generations,
            meter,
        }
    }

    /// Has the targets observed whose breakers are open: how many, by the provider's name in the config.
    pub(super) fn observe_open(&self, open: impl Fn() -> Vec<(String, i64)> + Send + Sync + 'static) {
        let metric = semconv::TARGETS_OPEN;
        self.meter
            .i64_observable_up_down_counter(metric.name)
            .with_unit(metric.unit)
            .with_description(metric.help)
            .with_callback(move |observer| {
                for (provider, count) in open() {
                    let name = semconv::provider_name(&provider).to_owned();
                    observer.observe(count, &[KeyValue::new(semconv::PROVIDER, name)]);
                }
            })
            .build();
    }

    /// The series of an inference. `answered` tells that the upstream knows the model: its name is learned.
    pub(super) fn series(&self, about: About<'_>, answered: bool) -> Arc<Series> {
        let request_model = self.names.known(about.request_model, answered);
        let response_model = about.response_model.map(|model| self.names.known(model, answered));
        let (host, port) = about.server;
        let key = format!(
            "{}\0{}\0{request_model}\0{}\0{host}\0{port}",
            about.operation,
            about.provider,
            response_model.unwrap_or_default()
        );
        if let Some(series) = self.series.read().unwrap_or_else(PoisonError::into_inner).get(&key) {
            return Arc::clone(series);
        }
        let mut attributes = vec![
            KeyValue::new(semconv::OPERATION, about.operation),
            KeyValue::new(semconv::PROVIDER, about.provider.to_owned()),
            KeyValue::new(semconv::SERVER_ADDRESS, host.to_owned()),
            KeyValue::new(semconv::SERVER_PORT, i64::from(port)),
        ];
        if !request_model.is_empty() {
            attributes.push(KeyValue::new(semconv::REQUEST_MODEL, request_model.to_owned()));
        }
        attributes
            .extend(response_model.map(|model| KeyValue::new(semconv::RESPONSE_MODEL, model.to_owned())));
        let mut all = self.series.write().unwrap_or_else(PoisonError::into_inner);
        Arc::clone(all.entry(key).or_insert_with(|| Arc::new(self.bind(attributes))))
    }

    fn bind(&self, attributes: Vec<KeyValue>) -> Series {
        let make = Maker { meter: &self.meter, generations: self.generations };
        let one = |metric: Metric| histogram(make.seconds(metric), attributes.clone());
        let both = |both: &Both<f64>| {
            both.iter().map(|(_, instrument)| histogram(instrument.clone(), attributes.clone())).collect()
        };
        let count = |counter: Option<Counter<u64>>| -> Option<Lazy<BoundCounter<u64>>> {
            let (attributes, counter) = (attributes.clone(), counter?);
            Some(LazyLock::new(Box::new(move || counter.bind(&attributes))))
        };
        let tokens = |per_inference: &Both<u64>, kind, counter: &Option<Counter<u64>>| Tokens {
            per_inference: per_inference
                .iter()
                .map(|(_, instrument)| histogram(instrument.clone(), attributes.clone()))
                .collect(),
            usage: self.token_usage.clone().map(|instrument| {
                let kind = KeyValue::new(semconv::TOKEN_TYPE, kind);
                histogram(instrument, attributes.iter().cloned().chain([kind]).collect())
            }),
            count: count(counter.clone()),
        };
        let server = attributes
            .iter()
            .filter(|pair| matches!(pair.key.as_str(), semconv::SERVER_ADDRESS | semconv::SERVER_PORT));
        let answered =
            [KeyValue::new(semconv::HTTP_METHOD, "POST"), KeyValue::new(semconv::HTTP_STATUS, 200)];
        let answered = server.cloned().chain(answered).collect();
        Series {
            labels: labels(&attributes),
            duration: both(&self.duration),
            request_duration: histogram(self.request_duration.clone(), attributes.clone()),
            client_duration: histogram(self.client_duration.clone(), answered),
            input: tokens(&self.input, "input", &self.usage_input),
            output: tokens(&self.output, "output", &self.usage_output),
            first_chunk: both(&make.both(&[semconv::INFERENCE_FIRST_CHUNK, semconv::OPERATION_FIRST_CHUNK])),
            per_chunk: both(&make.both(&[semconv::INFERENCE_PER_CHUNK, semconv::OPERATION_PER_CHUNK])),
            first_token: one(semconv::FIRST_TOKEN_TIME),
            per_token: one(semconv::TOKEN_TIME),
            cost: one(semconv::USAGE_COST),
            cache_read: count(make.counter_of(semconv::USAGE_CACHE_READ)),
            cache_write: count(make.counter_of(semconv::USAGE_CACHE_WRITE)),
            reasoning: count(make.counter_of(semconv::USAGE_REASONING)),
            attributes,
        }
    }

    /// What is recorded by provider; `name` is the convention's.
    pub(super) fn provider(&self, name: &str) -> Arc<OfProvider> {
        if let Some(found) = self.providers.read().unwrap_or_else(PoisonError::into_inner).get(name) {
            return Arc::clone(found);
        }
        let make = Maker { meter: &self.meter, generations: self.generations };
        let provider = KeyValue::new(semconv::PROVIDER, name.to_owned());
        let overhead = make.seconds(semconv::OVERHEAD);
        let phase = |phase| overhead.bind(&[provider.clone(), KeyValue::new(semconv::PHASE, phase)]);
        let counter = |counter: &Counter<u64>, name, value| -> Lazy<BoundCounter<u64>> {
            let (counter, attributes) = (counter.clone(), [provider.clone(), KeyValue::new(name, value)]);
            LazyLock::new(Box::new(move || counter.bind(&attributes)))
        };
        let of_provider = OfProvider {
            name: name.to_owned(),
            complete: counter(&self.stream_end, semconv::END_REASON, "complete"),
            ok: counter(&self.attempts, semconv::OUTCOME, "ok"),
            active: make.up_down(semconv::STREAMS_ACTIVE).bind(std::slice::from_ref(&provider)),
            first_byte: phase("first_byte"),
            chunk: phase("chunk"),
        };
        let mut all = self.providers.write().unwrap_or_else(PoisonError::into_inner);
        Arc::clone(all.entry(name.to_owned()).or_insert_with(|| Arc::new(of_provider)))
    }
}

fn histogram<T: 'static>(instrument: Histogram<T>, attributes: Vec<KeyValue>) -> Lazy<BoundHistogram<T>> {
    LazyLock::new(Box::new(move || instrument.bind(&attributes)))
}

/// Makes instruments as the table of metrics describes them.
#[derive(Clone, Copy)]
pub(super) struct Maker<'a> {
    pub(super) meter: &'a Meter,
    pub(super) generations: MetricNames,
}

impl Maker<'_> {
    fn wanted(self, metric: &Metric) -> bool {
        match (metric.generation, self.generations) {
            (Generation::Any, _) | (_, MetricNames::Both) => true,
            (Generation::Latest, MetricNames::Latest) | (Generation::Legacy, MetricNames::Legacy) => true,
            (Generation::Latest, MetricNames::Legacy) | (Generation::Legacy, MetricNames::Latest) => false,
        }
    }

    fn both(self, metrics: &[Metric]) -> Both<f64> {
        Both(metrics.iter().filter(|metric| self.wanted(metric)).map(|m| (*m, self.seconds(*m))).collect())
    }

    fn seconds(self, metric: Metric) -> Histogram<f64> {
        self.meter
            .f64_histogram(metric.name)
            .with_unit(metric.unit)
            .with_description(metric.help)
            .with_boundaries(bounds(metric))
            .build()
    }

    fn tokens(self, metrics: &[Metric]) -> Both<u64> {
        let make = |metric: Metric| {
            self.meter
                .u64_histogram(metric.name)
                .with_unit(metric.unit)
                .with_description(metric.help)
                .with_boundaries(bounds(metric))
                .build()
        };
        Both(metrics.iter().filter(|metric| self.wanted(metric)).map(|m| (*m, make(*m))).collect())
    }

    pub(super) fn counter(self, metric: Metric) -> Counter<u64> {
        self.meter.u64_counter(metric.name).with_unit(metric.unit).with_description(metric.help).build()
    }

    fn counter_of(self, metric: Metric) -> Option<Counter<u64>> {
        self.wanted(&metric).then(|| self.counter(metric))
    }

    fn up_down(self, metric: Metric) -> UpDownCounter<i64> {
        self.meter
            .i64_up_down_counter(metric.name)
            .with_unit(metric.unit)
            .with_description(metric.help)
            .build()
    }
}

fn bounds(metric: Metric) -> Vec<f64> {
    match metric.kind {
        Kind::Histogram(bounds) => bounds.to_vec(),
        Kind::Counter | Kind::UpDownCounter => Vec::new(),
    }
}

/// The names of models that may become labels: those of the config, and those that answered.
struct Names {
    configured: HashSet<String>,
    learned: Mutex<HashSet<String>>,
}

impl Names {
    fn new(configured: HashSet<String>) -> Names {
        Names { configured, learned: Mutex::default() }
    }

    /// The name if it is known, else [`OTHER`].
    fn known<'a>(&self, name: &'a str, answered: bool) -> &'a str {
        // Where no model is named there is nothing to learn.
        if name.is_empty() || self.configured.contains(name) {
            return name;
        }
        let mut learned = self.learned.lock().unwrap_or_else(PoisonError::into_inner);
        if learned.contains(name) {
            return name;
        }
        if answered && learned.len() < LEARNED_AT_MOST {
            learned.insert(name.to_owned());
            return name;
        }
        OTHER
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_model_is_other_until_it_is_configured_or_answered() {
        let names = Names::new(HashSet::from(["configured".to_owned()]));
        assert_eq!(names.known("configured", false), "configured");
        assert_eq!(names.known("invented", false), OTHER);
        assert_eq!(names.known("real", true), "real");
        assert_eq!(names.known("real", false), "real");
    }

    #[test]
    fn learning_has_an_end() {
        let names = Names::new(HashSet::new());
        for at in 0..LEARNED_AT_MOST {
            assert_ne!(names.known(&format!("m{at}"), true), OTHER);
        }
        assert_eq!(names.known("one-more", true), OTHER);
        assert_eq!(names.known("m0", false), "m0");
    }
}
