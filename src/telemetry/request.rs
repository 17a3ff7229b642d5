//! One request: its SERVER span, its log line, and the inference inside it.

use std::sync::Arc;
use std::time::Instant;

use http::{HeaderMap, Method};
use opentelemetry::propagation::TextMapPropagator;
use opentelemetry::trace::{Span as _, SpanContext, SpanKind, Status, TraceContextExt, TraceId, Tracer};
use opentelemetry::{Context, KeyValue};
use opentelemetry_http::HeaderExtractor;
use opentelemetry_sdk::trace::Span;

use super::inference::{Inference, Summary};
use super::{Accepted, Inner, semconv};
use crate::event::{Event, Fault};
use crate::observe::{End, Observer, Outcome, Routed, Unreachable};

/// Paths that machines ask for over and over: no span, no metric, and a log line for the curious only.
const QUIET: [&str; 3] = ["/healthz", "/readyz", "/metrics"];

/// The observer of one request.
pub(super) struct Request {
    shared: Arc<Inner>,
    method: Method,
    scheme: &'static str,
    route: Option<String>,
    request_id: String,
    is_quiet: bool,
    /// The trace that the client began, if it did.
    parent: Context,
    span: Option<Span>,
    accepted: Instant,
    received: Instant,
    inference: Option<Box<Inference>>,
}

impl Request {
    pub(super) fn new(shared: Arc<Inner>, accepted: Accepted<'_>) -> Request {
        let Accepted { method, scheme, route, path, headers } = accepted;
        let parent = if shared.settings.trace_context {
            shared.propagator.extract_with_context(&Context::new(), &HeaderExtractor(headers))
        } else {
            Context::new()
        };
        let text = |name: &str| headers.get(name).and_then(|value| value.to_str().ok()); // Not text: not told.
        let request_id = text("x-request-id").unwrap_or_default().to_owned();
        let is_quiet = QUIET.contains(&path);
        let span = shared.tracer.as_ref().filter(|_| !is_quiet).map(|tracer| {
            let name = route.map_or_else(|| method.to_string(), |route| format!("{method} {route}"));
            let mut attributes = vec![
                KeyValue::new(semconv::HTTP_METHOD, method.to_string()),
                KeyValue::new(semconv::URL_SCHEME, scheme),
                KeyValue::new(semconv::URL_PATH, path.to_owned()),
                KeyValue::new(semconv::REQUEST_ID, request_id.clone()),
            ];
            attributes.extend(route.map(|route| KeyValue::new(semconv::HTTP_ROUTE, route.to_owned())));
            let agent = text("user-agent");
            attributes.extend(agent.map(|agent| KeyValue::new(semconv::USER_AGENT, agent.to_owned())));
            let builder = tracer.span_builder(name).with_kind(SpanKind::Server).with_attributes(attributes);
            tracer.build_with_context(builder, &parent)
        });
        let now = Instant::now();
        let request = Request {
            method: method.clone(),
            scheme,
            route: route.map(str::to_owned),
            request_id,
            is_quiet,
            parent,
            span,
            accepted: now,
            received: now,
            inference: None,
            shared,
        };
        if !is_quiet {
            request.shared.metrics.server_active.add(1, &request.active());
        }
        request
    }

    fn active(&self) -> [KeyValue; 2] {
        [
            KeyValue::new(semconv::HTTP_METHOD, method_label(&self.method)),
            KeyValue::new(semconv::URL_SCHEME, self.scheme),
        ]
    }

    /// The context that spans of this request have as their parent.
    fn context(&self) -> Context {
        match &self.span {
            Some(span) => self.parent.with_remote_span_context(span.span_context().clone()),
            None => self.parent.clone(),
        }
    }

    fn trace_id(&self) -> Option<TraceId> {
        let context = match &self.span {
            Some(span) => span.span_context().clone(),
            None => self.parent.span().span_context().clone(),
        };
        Some(context).filter(SpanContext::is_valid).map(|context| context.trace_id())
    }

    /// Ends the SERVER span, and counts the request.
    fn conclude(&mut self, outcome: &Outcome<'_>) {
        if self.is_quiet {
            return;
        }
        let error = server_error(outcome);
        let mut attributes = vec![
            KeyValue::new(semconv::HTTP_METHOD, method_label(&self.method)),
            KeyValue::new(semconv::URL_SCHEME, self.scheme),
        ];
        attributes.extend(self.route.as_ref().map(|route| KeyValue::new(semconv::HTTP_ROUTE, route.clone())));
        let status = outcome.status.map(|status| KeyValue::new(semconv::HTTP_STATUS, i64::from(status)));
        attributes.extend(status.clone());
        attributes.extend(error.clone().map(|error| KeyValue::new(semconv::ERROR_TYPE, error)));
        let metrics = &self.shared.metrics;
        metrics.server_duration.record(self.accepted.elapsed().as_secs_f64(), &attributes);
        metrics.server_active.add(-1, &self.active());
        let Some(span) = &mut self.span else { return };
        span.set_attributes(status);
        if let Some(error) = error {
            span.set_attribute(KeyValue::new(semconv::ERROR_TYPE, error));
            // A client that leaves, or asks wrongly, is no failure of this server's.
            if matches!(outcome.end, End::Fault(_) | End::Panicked)
                || outcome.status.is_some_and(|status| status >= 500)
            {
                span.set_status(Status::error(""));
            }
        }
        span.end();
    }

    fn log(&self, outcome: &Outcome<'_>, summary: Option<&Summary>) {
        let trace_id = self.trace_id().map(|id| id.to_string());
        let end = end_reason(&outcome.end);
        let duration_ms = milliseconds(self.accepted.elapsed().as_secs_f64());
        let route = self.route.as_deref();
        let (method, status) = (self.method.as_str(), outcome.status);
        let request_id = self.request_id.as_str();
        if self.is_quiet {
            tracing::debug!(target: "millpond::request", method, route, status, duration_ms, "request");
            return;
        }
        let Some(summary) = summary else {
            tracing::info!(
                target: "millpond::request", method, route, status, end, duration_ms, request_id, trace_id,
                "request"
            );
            return;
        };
        let repairs = Some(summary.repairs.as_str()).filter(|repairs| !repairs.is_empty());
        // Files and the like name none.
        let model = Some(summary.model.as_str()).filter(|model| !model.is_empty());
        tracing::info!(
            target: "millpond::request",
            method,
            route,
            provider = summary.provider.as_str(),
            model,
            status,
            end,
            attempts = summary.attempts,
            repairs,
            input_tokens = summary.input,
            output_tokens = summary.output,
            cost = summary.cost,
            time_to_first_event_ms = summary.first.map(milliseconds),
            duration_ms,
            request_id,
            trace_id,
            "request"
        );
    }
}

impl Observer for Request {
    fn received(&mut self) {
        self.received = Instant::now();
    }

    fn routed(&mut self, route: &Routed<'_>) {
        if let Some(inference) = &mut self.inference {
            return inference.reroute(route);
        }
        let context = self.context();
        let inference = Inference::new(Arc::clone(&self.shared), route, context, self.received);
        self.inference = Some(Box::new(inference));
    }

    fn sending(&mut self, url: &url::Url, headers: &mut HeaderMap) {
        if let Some(inference) = &mut self.inference {
            inference.sending(url, headers);
        }
    }

    fn responded(&mut self, status: u16, headers: &HeaderMap) {
        if let Some(inference) = &mut self.inference {
            inference.responded(status, headers);
        }
    }

    fn unreachable(&mut self, cause: Unreachable) {
        if let Some(inference) = &mut self.inference {
            inference.unreachable(cause);
        }
    }

    fn retrying(&mut self, fault: &Fault) {
        if let Some(inference) = &mut self.inference {
            inference.retrying(fault);
        }
    }

    fn event(&mut self, event: &Event<'_>) {
        if let Some(inference) = &mut self.inference {
            inference.event(event);
        }
    }

    fn arrived(&mut self, at: Instant, done: Instant) {
        if let Some(inference) = &mut self.inference {
            inference.arrived(at, done);
        }
    }

    fn end(&mut self, outcome: &Outcome<'_>) {
        let summary = self.inference.as_mut().map(|inference| inference.end(outcome));
        self.conclude(outcome);
        self.log(outcome, summary.as_ref());
    }
}

/// Methods that are none become one, as labels are to be few.
fn method_label(method: &Method) -> &'static str {
    match method.as_str() {
        "GET" => "GET",
        "POST" => "POST",
        "PUT" => "PUT",
        "PATCH" => "PATCH",
        "DELETE" => "DELETE",
        "HEAD" => "HEAD",
        "OPTIONS" => "OPTIONS",
        _ => "_OTHER",
    }
}

fn milliseconds(seconds: f64) -> f64 {
    (seconds * 1e6).round() / 1e3
}

/// The word for why a request ended.
pub(super) fn end_reason(end: &End<'_>) -> &'static str {
    match end {
        End::Complete => "complete",
        End::Fault(fault) => fault.code.as_str(),
        End::Rejected => "rejected",
        End::Disconnected => "client_disconnect",
        End::Panicked => "panic",
    }
}

/// What went wrong, as this server's client sees it.
fn server_error(outcome: &Outcome<'_>) -> Option<String> {
    match (&outcome.end, outcome.status) {
        (End::Disconnected, _) => Some("client_disconnect".to_owned()),
        (End::Panicked, _) => Some("panic".to_owned()),
        (_, Some(status)) if status >= 500 => Some(status.to_string()),
        (End::Fault(fault), Some(status)) if status < 400 => Some(fault.code.as_str().to_owned()),
        (End::Complete | End::Rejected | End::Fault(_), _) => None,
    }
}
