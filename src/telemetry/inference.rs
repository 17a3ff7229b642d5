//! One inference: its span, its attempts, and what it is measured by.

use std::sync::Arc;
use std::time::{Instant, SystemTime};

use http::{HeaderMap, Method};
use opentelemetry::logs::{AnyValue, LogRecord, Logger};
use opentelemetry::propagation::TextMapPropagator;
use opentelemetry::trace::{Span as _, SpanContext, SpanKind, Status, TraceContextExt, Tracer};
use opentelemetry::{Array, Context, KeyValue, StringValue, Value};
use opentelemetry_http::HeaderInjector;
use opentelemetry_sdk::trace::Span;
use url::Url;

use super::content::{self, Said};
use super::cost::cost;
use super::metrics::{About, OfProvider, Series};
use super::request::end_reason;
use super::scrape::{Exemplar, labels};
use super::semconv::{self, Metric};
use super::{Inner, span};
use crate::chat::{Chat, Tongue};
use crate::event::{Event, Fault, Finish, Part, Usage};
use crate::json;
use crate::observe::{End, Outcome, Routed, Unreachable};

/// How many choices of an answer have their finish reasons told.
const CHOICES_AT_MOST: usize = 128;

/// What is known about one inference while it runs.
pub(super) struct Inference {
    shared: Arc<Inner>,
    /// The provider's name in the config.
    provider: String,
    model: String,
    operation: &'static str,
    /// The method of the requests to upstreams.
    method: Method,
    host: String,
    port: u16,
    of_provider: Arc<OfProvider>,
    span: Option<Span>,
    context: Context,
    /// Another target than the first was asked.
    is_rerouted: bool,
    attempt: Option<Attempt>,
    attempts: u32,
    /// The first attempt was sent.
    first_sent: Option<Instant>,
    /// The request's body was read.
    received: Instant,
    /// Resolved when the answer starts.
    series: Option<Arc<Series>>,
    /// The first event that said something came.
    first: Option<Instant>,
    last: Instant,
    spoke: bool,
    answer: Answer,
    said: Option<Box<Said>>,
    /// Recorded requests, until they are written into the event at the end.
    asked: Vec<(&'static str, String)>,
}

/// What an answer says of itself.
#[derive(Default)]
struct Answer {
    id: Option<String>,
    model: Option<String>,
    finishes: Vec<(u32, Option<&'static str>)>,
    upstream_provider: Option<String>,
    service_tier: Option<String>,
    fingerprint: Option<String>,
}

/// One request to an upstream.
struct Attempt {
    span: Option<Span>,
    sent: Instant,
    status: Option<u16>,
    cause: Option<Unreachable>,
    request_id: Option<String>,
}

/// What the log line tells.
pub(super) struct Summary {
    pub(super) provider: String,
    pub(super) model: String,
    pub(super) attempts: u32,
    pub(super) repairs: String,
    pub(super) input: Option<u64>,
    pub(super) output: Option<u64>,
    pub(super) cost: Option<f64>,
    /// Seconds to the first event.
    pub(super) first: Option<f64>,
}

impl Inference {
    pub(super) fn new(
        shared: Arc<Inner>,
        route: &Routed<'_>,
        parent: Context,
        received: Instant,
    ) -> Inference {
        let name = semconv::provider_name(route.provider);
        let host = route.url.host_str().unwrap_or_default().to_owned();
        let port = route.url.port_or_known_default().unwrap_or_default();
        let capture = shared.settings.capture;
        let budget = shared.settings.content_bytes;
        let operation = route.asked.operation();
        // Of what is passed on as it is nothing is recorded.
        let recorded = route.asked.chat().filter(|_| capture.on_span() || capture.in_event());
        let asked = recorded.map(|chat| asked(chat, budget)).unwrap_or_default();
        let span = shared.tracer.as_ref().map(|tracer| {
            let mut attributes = vec![KeyValue::new(semconv::OPERATION, operation)];
            let named = route.asked.model();
            attributes.extend(named.map(|model| KeyValue::new(semconv::ROUTE, model.to_owned())));
            if let Some(chat) = route.asked.chat() {
                // It names these two APIs of OpenAI's only.
                attributes.extend(match chat.origin.as_ref().map(|origin| origin.tongue) {
                    None if chat.is_completion => None,
                    None => Some(KeyValue::new(semconv::API_TYPE, "chat_completions")),
                    Some(Tongue::Responses) => Some(KeyValue::new(semconv::API_TYPE, "responses")),
                    Some(Tongue::Messages) => None,
                });
                attributes.extend(span::parameters(chat));
            }
            if capture.on_span() {
                attributes.extend(asked.iter().map(|(name, text)| KeyValue::new(*name, text.clone())));
            }
            let builder = tracer
                .span_builder(span_name(operation, route.model))
                .with_kind(SpanKind::Client)
                .with_attributes(attributes);
            tracer.build_with_context(builder, &parent)
        });
        let context = match &span {
            Some(span) => parent.with_remote_span_context(span.span_context().clone()),
            None => parent,
        };
        let of_provider = shared.metrics.provider(name);
        of_provider.active.add(1);
        Inference {
            provider: route.provider.to_owned(),
            model: route.model.to_owned(),
            operation,
            method: route.method.clone(),
            host,
            port,
            of_provider,
            span,
            context,
            is_rerouted: false,
            attempt: None,
            attempts: 0,
            first_sent: None,
            received,
            series: None,
            first: None,
            last: received,
            spoke: false,
            answer: Answer::default(),
            said: recorded.map(|_| Box::new(Said::new(budget))),
            asked,
            shared,
        }
    }

    /// Another attempt is to be made, perhaps at another target.
    pub(super) fn reroute(&mut self, route: &Routed<'_>) {
        let known = (self.provider.as_str(), self.model.as_str());
        if known == (route.provider, route.model) {
            return;
        }
        self.is_rerouted = true;
        let name = semconv::provider_name(route.provider);
        self.of_provider.active.add(-1);
        self.of_provider = self.shared.metrics.provider(name);
        self.of_provider.active.add(1);
        self.provider = route.provider.to_owned();
        self.model = route.model.to_owned();
        self.host = route.url.host_str().unwrap_or_default().to_owned();
        self.port = route.url.port_or_known_default().unwrap_or_default();
    }

    /// The attempt failed, and what its answer said is void.
    pub(super) fn retrying(&mut self, fault: &Fault) {
        let end = End::Fault(fault);
        let error = self.error_type(&end);
        self.end_attempt(error.as_deref());
        self.attempt = None;
        self.series = None;
        self.first = None;
        self.spoke = false;
        self.answer = Answer::default();
        if self.said.is_some() {
            self.said = Some(Box::new(Said::new(self.shared.settings.content_bytes)));
        }
    }

    pub(super) fn sending(&mut self, url: &Url, headers: &mut HeaderMap) {
        let resent = i64::from(self.attempts);
        self.attempts += 1;
        let span = self.shared.tracer.as_ref().map(|tracer| {
            let mut attributes = vec![
                KeyValue::new(semconv::HTTP_METHOD, self.method.to_string()),
                KeyValue::new(semconv::SERVER_ADDRESS, self.host.clone()),
                KeyValue::new(semconv::SERVER_PORT, i64::from(self.port)),
                KeyValue::new(semconv::URL_FULL, span::redacted(url)),
            ];
            if resent > 0 {
                attributes.push(KeyValue::new(semconv::RESEND_COUNT, resent));
            }
            let builder = tracer
                .span_builder(self.method.to_string())
                .with_kind(SpanKind::Client)
                .with_attributes(attributes);
            tracer.build_with_context(builder, &self.context)
        });
        let settings = &self.shared.settings;
        if settings.trace_context && span::may_propagate(settings.propagate, url) {
            let context = match &span {
                Some(span) => self.context.with_remote_span_context(span.span_context().clone()),
                None => self.context.clone(),
            };
            self.shared.propagator.inject_context(&context, &mut HeaderInjector(headers));
        }
        let sent = Instant::now();
        self.first_sent.get_or_insert(sent);
        self.attempt = Some(Attempt { span, sent, status: None, cause: None, request_id: None });
    }

    pub(super) fn responded(&mut self, status: u16, headers: &HeaderMap) {
        if let Some(attempt) = &mut self.attempt {
            attempt.status = Some(status);
            attempt.request_id = span::request_id(headers);
        }
    }

    pub(super) fn unreachable(&mut self, cause: Unreachable) {
        if let Some(attempt) = &mut self.attempt {
            attempt.cause = Some(cause);
        }
    }

    pub(super) fn event(&mut self, event: &Event<'_>) {
        match event {
            Event::Start(identity) => {
                self.answer.id = Some(identity.id.clone());
                self.answer.model = Some(identity.model.clone());
                self.series = Some(self.shared.metrics.series(self.about(Some(&identity.model)), true));
            }
            Event::Part(part) => {
                self.spoke = true;
                self.answer.part(part);
            }
            Event::Finish(finish) => {
                self.spoke = true;
                self.answer.finish(finish);
            }
            Event::Usage(_) | Event::Complete | Event::Fault(_) => {}
        }
        if let Some(said) = &mut self.said {
            said.event(event);
        }
    }

    pub(super) fn arrived(&mut self, at: Instant, done: Instant) {
        self.of_provider.chunk.record(seconds(at, done));
        if !self.spoke {
            return;
        }
        self.spoke = false;
        match self.first {
            None => {
                self.first = Some(at);
                // Failed attempts and the pauses between them are not millpond's time.
                let before = self.first_sent.map_or(0.0, |sent| seconds(self.received, sent));
                self.of_provider.first_byte.record(before + seconds(at, done));
            }
            Some(_) => {
                let gap = seconds(self.last, at);
                for histogram in self.series.iter().flat_map(|series| &series.per_chunk) {
                    histogram.record(gap);
                }
            }
        }
        self.last = at;
    }

    pub(super) fn end(&mut self, outcome: &Outcome<'_>) -> Summary {
        let error = self.error_type(&outcome.end);
        self.end_attempt(error.as_deref());
        let usage = outcome.usage;
        let cost = usage.and_then(|usage| cost(usage, &self.provider, &self.model, &self.shared.settings));
        self.record(outcome, error.as_deref(), cost);
        self.end_span(outcome, error, cost);
        let repairs: Vec<&str> = outcome
            .repairs
            .iter()
            .flat_map(|repairs| repairs.iter())
            .map(|(repair, _)| repair.as_str())
            .collect();
        Summary {
            provider: std::mem::take(&mut self.provider),
            model: std::mem::take(&mut self.model),
            attempts: self.attempts,
            repairs: repairs.join(","),
            input: usage.and_then(|usage| usage.prompt),
            output: usage.and_then(|usage| usage.completion),
            cost,
            first: self.time_to_first(),
        }
    }

    fn about<'a>(&'a self, response_model: Option<&'a str>) -> About<'a> {
        About {
            operation: self.operation,
            provider: &self.of_provider.name,
            request_model: &self.model,
            response_model,
            server: (&self.host, self.port),
        }
    }

    fn time_to_first(&self) -> Option<f64> {
        self.first.map(|first| seconds(self.received, first))
    }

    /// What went wrong, out of the closed list.
    fn error_type(&self, end: &End<'_>) -> Option<String> {
        match end {
            End::Complete => None,
            End::Disconnected | End::Rejected | End::Panicked => Some(end_reason(end).to_owned()),
            End::Fault(fault) => {
                let attempt = self.attempt.as_ref();
                let refused = attempt.and_then(|attempt| attempt.status).filter(|status| *status >= 300);
                Some(match (attempt.and_then(|attempt| attempt.cause), refused) {
                    (Some(cause), _) => cause.as_str().to_owned(),
                    (None, Some(status)) => status.to_string(),
                    (None, None) => fault.code.as_str().to_owned(),
                })
            }
        }
    }

    /// Ends the attempt that is under way, if there is one.
    fn end_attempt(&mut self, error: Option<&str>) {
        let Some(attempt) = &mut self.attempt else { return };
        let metrics = &self.shared.metrics;
        let duration = attempt.sent.elapsed().as_secs_f64();
        let status = attempt.status.map(|status| KeyValue::new(semconv::HTTP_STATUS, i64::from(status)));
        match (&self.series, error, attempt.status) {
            (Some(series), None, Some(200)) => series.client_duration.record(duration),
            (_, _, _) => {
                let mut attributes = vec![
                    KeyValue::new(semconv::HTTP_METHOD, self.method.to_string()),
                    KeyValue::new(semconv::SERVER_ADDRESS, self.host.clone()),
                    KeyValue::new(semconv::SERVER_PORT, i64::from(self.port)),
                ];
                attributes.extend(status.clone());
                attributes.extend(error.map(|error| KeyValue::new(semconv::ERROR_TYPE, error.to_owned())));
                metrics.client_duration.record(duration, &attributes);
            }
        }
        match error {
            None => self.of_provider.ok.add(1),
            Some(error) => {
                let provider = KeyValue::new(semconv::PROVIDER, self.of_provider.name.clone());
                metrics.attempts.add(1, &[provider, KeyValue::new(semconv::OUTCOME, error.to_owned())]);
            }
        }
        let Some(mut span) = attempt.span.take() else { return };
        span.set_attributes(status);
        if let Some(error) = error {
            span.set_attribute(KeyValue::new(semconv::ERROR_TYPE, error.to_owned()));
            span.set_status(Status::error(""));
        }
        span.end();
    }

    fn record(&mut self, outcome: &Outcome<'_>, error: Option<&str>, cost: Option<f64>) {
        let metrics = &self.shared.metrics;
        let provider = || KeyValue::new(semconv::PROVIDER, self.of_provider.name.clone());
        self.of_provider.active.add(-1);
        match outcome.end {
            End::Complete => self.of_provider.complete.add(1),
            End::Fault(_) | End::Rejected | End::Disconnected | End::Panicked => {
                let end = KeyValue::new(semconv::END_REASON, end_reason(&outcome.end));
                metrics.stream_end.add(1, &[provider(), end]);
            }
        }
        if let End::Disconnected = outcome.end {
            let phase = if outcome.status.is_some() { "in_body" } else { "before_first_byte" };
            metrics.disconnects.add(1, &[provider(), KeyValue::new(semconv::PHASE, phase)]);
        }
        for (repair, count) in outcome.repairs.iter().flat_map(|repairs| repairs.iter()) {
            let attributes = [provider(), KeyValue::new(semconv::REPAIR, repair.as_str())];
            metrics.repairs.add(u64::from(count), &attributes);
        }
        let series = match &self.series {
            Some(series) => Arc::clone(series),
            // Without events, only the end tells whether the upstream knows the model.
            None => metrics.series(self.about(None), error.is_none()),
        };
        let duration = self.received.elapsed().as_secs_f64();
        let failed = error.map(|error| with(&series.attributes, semconv::ERROR_TYPE, error.to_owned()));
        match &failed {
            None => {
                series.duration.iter().for_each(|histogram| histogram.record(duration));
                series.request_duration.record(duration);
            }
            Some(attributes) => {
                metrics.duration.iter().for_each(|(_, histogram)| histogram.record(duration, attributes));
                metrics.request_duration.record(duration, attributes);
            }
        }
        let first = self.time_to_first();
        if let Some(first) = first {
            for histogram in &series.first_chunk {
                histogram.record(first);
            }
            series.first_token.record(first);
        }
        if let Some(usage) = outcome.usage {
            self.record_usage(usage, &series, failed.as_deref());
            if let (Some(first), Some(tokens)) = (first, usage.completion.filter(|tokens| *tokens > 1)) {
                series.per_token.record((duration - first).max(0.0) / (tokens - 1) as f64);
            }
        }
        if let Some(cost) = cost {
            series.cost.record(cost);
        }
        self.keep_exemplars(duration, failed.as_deref(), first, &series);
    }

    /// Records the tokens; `failed` are the attributes of an inference that failed.
    fn record_usage(&self, usage: &Usage, series: &Series, failed: Option<&[KeyValue]>) {
        let metrics = &self.shared.metrics;
        let input = |name: &str| usage.prompt_detail(name);
        let output = |name: &str| usage.completion_detail(name);
        for (count, tokens, both, counter, detail) in [
            (usage.prompt, &series.input, &metrics.input, &metrics.usage_input, &input as &dyn Fn(&str) -> _),
            (usage.completion, &series.output, &metrics.output, &metrics.usage_output, &output),
        ] {
            let Some(count) = count else { continue };
            match failed {
                None => tokens.per_inference.iter().for_each(|histogram| histogram.record(count)),
                Some(attributes) => {
                    both.iter().for_each(|(_, histogram)| histogram.record(count, attributes))
                }
            }
            if let Some(histogram) = &tokens.usage {
                histogram.record(count);
            }
            // What the provider counts apart is told apart; the sum over all stays the count.
            let mut rest = count;
            for (name, modality) in [("audio_tokens", "audio"), ("image_tokens", "image")] {
                let Some(part) = detail(name).filter(|part| *part > 0) else { continue };
                let part = part.min(rest);
                rest -= part;
                if let Some(counter) = counter {
                    counter.add(part, &with(&series.attributes, semconv::TOKEN_MODALITY, modality));
                }
            }
            match (&tokens.count, counter) {
                (Some(bound), _) if rest == count => bound.add(count),
                (_, Some(counter)) => {
                    counter.add(rest, &with(&series.attributes, semconv::TOKEN_MODALITY, "text"));
                }
                (_, None) => {}
            }
        }
        for (count, counter) in [
            (usage.cached(), &series.cache_read),
            (usage.cache_written(), &series.cache_write),
            (usage.reasoning(), &series.reasoning),
        ] {
            if let (Some(count), Some(counter)) = (count, counter) {
                counter.add(count);
            }
        }
    }

    /// Keeps what leads from the histograms of times to this trace.
    fn keep_exemplars(
        &self,
        duration: f64,
        failed: Option<&[KeyValue]>,
        first: Option<f64>,
        series: &Series,
    ) {
        const DURATIONS: [Metric; 3] =
            [semconv::INFERENCE_DURATION, semconv::OPERATION_DURATION, semconv::REQUEST_DURATION];
        const FIRSTS: [Metric; 3] =
            [semconv::INFERENCE_FIRST_CHUNK, semconv::OPERATION_FIRST_CHUNK, semconv::FIRST_TOKEN_TIME];
        let Some(context) = self.span.as_ref().map(|span| span.span_context()) else { return };
        if !context.is_sampled() {
            return;
        }
        let (trace, span, at) = (context.trace_id(), context.span_id(), SystemTime::now());
        let exemplar = |value| Exemplar { trace, span, value, at };
        let failed = failed.map(labels);
        let labels = failed.as_deref().unwrap_or(&series.labels);
        self.shared.exemplars.keep(&DURATIONS, labels, exemplar(duration));
        if let Some(first) = first {
            self.shared.exemplars.keep(&FIRSTS, &series.labels, exemplar(first));
        }
    }

    fn end_span(&mut self, outcome: &Outcome<'_>, error: Option<String>, cost: Option<f64>) {
        let Some(mut span) = self.span.take() else { return };
        let mut attributes = Vec::with_capacity(24);
        // Not before it is known who answers.
        attributes.extend([
            KeyValue::new(semconv::PROVIDER, self.of_provider.name.clone()),
            KeyValue::new(semconv::SERVER_ADDRESS, self.host.clone()),
            KeyValue::new(semconv::SERVER_PORT, i64::from(self.port)),
        ]);
        if !self.model.is_empty() {
            attributes.push(KeyValue::new(semconv::REQUEST_MODEL, self.model.clone()));
        }
        if self.is_rerouted {
            span.update_name(span_name(self.operation, &self.model));
            attributes.push(KeyValue::new(semconv::FALLBACK, true));
        }
        let first = self.time_to_first();
        let answer = std::mem::take(&mut self.answer);
        attributes.extend(answer.attributes());
        attributes.extend(first.map(|first| KeyValue::new(semconv::TIME_TO_FIRST_CHUNK, first)));
        if let Some(usage) = outcome.usage {
            span::usage(usage, &mut attributes);
        }
        attributes.extend(cost.map(|cost| KeyValue::new(semconv::COST, cost)));
        attributes.push(KeyValue::new(semconv::ATTEMPTS, i64::from(self.attempts)));
        attributes.push(KeyValue::new(semconv::END_REASON, end_reason(&outcome.end)));
        let request_id = self.attempt.as_mut().and_then(|attempt| attempt.request_id.take());
        attributes.extend(request_id.map(|id| KeyValue::new(semconv::UPSTREAM_REQUEST_ID, id)));
        let repairs: Vec<StringValue> = outcome
            .repairs
            .iter()
            .flat_map(|repairs| repairs.iter())
            .map(|(repair, _)| repair.as_str().into())
            .collect();
        if !repairs.is_empty() {
            attributes.push(KeyValue::new(semconv::REPAIRS, Value::Array(Array::String(repairs))));
        }
        self.tell_content(&mut attributes, span.span_context());
        if let Some(error) = error {
            attributes.push(KeyValue::new(semconv::ERROR_TYPE, error));
            span.set_status(Status::error(""));
        }
        span.set_attributes(attributes);
        span.end();
    }

    /// What was asked and said, where the operator wants it.
    fn tell_content(&mut self, attributes: &mut Vec<KeyValue>, context: &SpanContext) {
        let Some(said) = self.said.take() else { return };
        let output = said.output();
        let capture = self.shared.settings.capture;
        if let Some(logger) = self.shared.logger.as_ref().filter(|_| capture.in_event()) {
            let mut record = logger.create_log_record();
            record.set_event_name(semconv::DETAILS_EVENT);
            record.set_timestamp(SystemTime::now());
            record.set_trace_context(context.trace_id(), context.span_id(), Some(context.trace_flags()));
            record.add_attribute(semconv::OPERATION, self.operation);
            record.add_attribute(semconv::PROVIDER, self.of_provider.name.clone());
            record.add_attribute(semconv::REQUEST_MODEL, self.model.clone());
            for (name, text) in std::mem::take(&mut self.asked) {
                record.add_attribute(name, AnyValue::from(text));
            }
            record.add_attribute(semconv::OUTPUT_MESSAGES, AnyValue::from(output.clone()));
            logger.emit(record);
        }
        if capture.on_span() {
            attributes.push(KeyValue::new(semconv::OUTPUT_MESSAGES, output));
        }
    }
}

fn asked(chat: &Chat, budget: usize) -> Vec<(&'static str, String)> {
    let mut asked = vec![(semconv::INPUT_MESSAGES, content::input(chat, budget))];
    asked.extend(content::instructions(chat, budget).map(|text| (semconv::SYSTEM_INSTRUCTIONS, text)));
    asked.extend(content::tools(chat, budget).map(|text| (semconv::TOOL_DEFINITIONS, text)));
    asked
}

/// The name of the inference's span, as the convention makes it.
fn span_name(operation: &str, model: &str) -> String {
    format!("{operation} {model}").trim_end().to_owned()
}

impl Answer {
    fn part(&mut self, part: &Part<'_>) {
        if part.first && self.finishes.len() < CHOICES_AT_MOST {
            self.finishes.push((part.choice, None));
        }
        self.look(part.unknown.answer);
    }

    fn finish(&mut self, finish: &Finish<'_>) {
        let reason = finish.reason.as_str();
        // It was told of when it opened, or is one too many.
        if let Some((_, known)) = self.finishes.iter_mut().find(|(choice, _)| *choice == finish.choice) {
            *known = Some(reason);
        }
        self.look(finish.unknown.answer);
    }

    /// Looks for what an answer says of itself beside its choices.
    fn look(&mut self, fields: &[json::Field<'_>]) {
        for field in fields {
            let found = match field.name.as_ref() {
                "provider" => &mut self.upstream_provider,
                "service_tier" => &mut self.service_tier,
                "system_fingerprint" => &mut self.fingerprint,
                _ => continue,
            };
            if found.is_none() {
                *found = json::string(&field.value).map(std::borrow::Cow::into_owned);
            }
        }
    }

    fn attributes(mut self) -> Vec<KeyValue> {
        let mut out = Vec::with_capacity(6);
        for (name, value) in [
            (semconv::RESPONSE_ID, self.id),
            (semconv::RESPONSE_MODEL, self.model),
            (semconv::UPSTREAM_PROVIDER, self.upstream_provider),
            (semconv::RESPONSE_SERVICE_TIER, self.service_tier),
            (semconv::SYSTEM_FINGERPRINT, self.fingerprint),
        ] {
            out.extend(value.map(|value| KeyValue::new(name, value)));
        }
        self.finishes.sort_unstable_by_key(|(choice, _)| *choice);
        let reasons: Vec<StringValue> =
            self.finishes.into_iter().map(|(_, reason)| reason.unwrap_or("error").into()).collect();
        if !reasons.is_empty() {
            out.push(KeyValue::new(semconv::FINISH_REASONS, Value::Array(Array::String(reasons))));
        }
        out
    }
}

fn with(attributes: &[KeyValue], name: &'static str, value: impl Into<Value>) -> Vec<KeyValue> {
    attributes.iter().cloned().chain([KeyValue::new(name, value)]).collect()
}

fn seconds(from: Instant, to: Instant) -> f64 {
    to.saturating_duration_since(from).as_secs_f64()
}
