//! Spans as they arrived, and the tree that the spans of one request must be.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::fmt;

use opentelemetry_proto::tonic::common::v1::any_value::Value as Any;
use opentelemetry_proto::tonic::common::v1::{AnyValue, KeyValue};
use opentelemetry_proto::tonic::trace::v1::Span as Wire;
use opentelemetry_proto::tonic::trace::v1::span::SpanKind;
use opentelemetry_proto::tonic::trace::v1::status::StatusCode;
use serde_json::{Value, json};

use crate::sink::Arrived;

/// Attributes by name. Whole numbers and others stay apart: 5 is not 5.0.
pub type Attributes = BTreeMap<String, Value>;

/// One span.
#[derive(Clone)]
pub struct Span {
    /// In hexadecimal digits, as all ids here.
    pub trace: String,
    pub id: String,
    /// Empty for a root.
    pub parent: String,
    pub state: String,
    pub name: String,
    pub kind: SpanKind,
    pub status: StatusCode,
    pub message: String,
    pub attributes: Attributes,
    /// The names of its events.
    pub events: Vec<String>,
    pub start: u64,
    pub end: u64,
    pub resource: Attributes,
    pub scope: (String, String),
}

/// The spans of one request.
#[derive(Debug, Clone)]
pub struct Tree {
    pub server: Span,
    /// None where no provider was to be asked.
    pub inference: Option<Span>,
    pub attempts: Vec<Span>,
}

/// An attribute's value as JSON.
pub fn plain(value: Option<&AnyValue>) -> Value {
    match value.and_then(|value| value.value.as_ref()) {
        None => Value::Null,
        Some(Any::StringValue(text)) => json!(text),
        Some(Any::BoolValue(truth)) => json!(truth),
        Some(Any::IntValue(number)) => json!(number),
        Some(Any::DoubleValue(number)) => json!(number),
        Some(Any::ArrayValue(list)) => list.values.iter().map(|value| plain(Some(value))).collect(),
        Some(Any::KvlistValue(map)) => map
            .values
            .iter()
            .map(|pair| (pair.key.clone(), plain(pair.value.as_ref())))
            .collect::<serde_json::Map<_, _>>()
            .into(),
        Some(other) => panic!("an attribute has the value {other:?}"),
    }
}

/// Attributes by name; none comes twice.
pub fn attributes(pairs: &[KeyValue]) -> Attributes {
    let mut all = Attributes::new();
    for pair in pairs {
        let before = all.insert(pair.key.clone(), plain(pair.value.as_ref()));
        assert!(before.is_none(), "{} comes twice in {pairs:?}", pair.key);
    }
    all
}

fn hex(id: &[u8]) -> String {
    id.iter().map(|byte| format!("{byte:02x}")).collect()
}

impl fmt::Debug for Span {
    /// What tells spans apart: the resource and the scope are the same for all.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Span { trace, id, parent, name, kind, status, message, attributes, events, .. } = self;
        writeln!(f, "{kind:?} {name} {status:?} {message:?} {trace} {id} below {parent:?} {events:?}")?;
        attributes.iter().try_for_each(|(name, value)| writeln!(f, "  {name} = {value}"))
    }
}

impl Span {
    fn read(wire: &Wire, resource: &Attributes, scope: &(String, String)) -> Span {
        let status = wire.status.clone().unwrap_or_default();
        Span {
            trace: hex(&wire.trace_id),
            id: hex(&wire.span_id),
            parent: hex(&wire.parent_span_id),
            state: wire.trace_state.clone(),
            name: wire.name.clone(),
            kind: wire.kind(),
            status: status.code(),
            message: status.message,
            attributes: attributes(&wire.attributes),
            events: wire.events.iter().map(|event| event.name.clone()).collect(),
            start: wire.start_time_unix_nano,
            end: wire.end_time_unix_nano,
            resource: resource.clone(),
            scope: scope.clone(),
        }
    }

    /// An attribute; null if it is absent.
    pub fn at(&self, name: &str) -> &Value {
        self.attributes.get(name).unwrap_or(&Value::Null)
    }

    /// The span's own values, checked name by name so that a failure shows which one differs. The values of
    /// `varying` must be there, whatever they are.
    #[track_caller]
    pub fn has_exactly(&self, expect: Value, varying: &[&str]) {
        let mut expect: Attributes = serde_json::from_value(expect).unwrap();
        for name in varying {
            let value = self.attributes.get(*name);
            let value =
                value.unwrap_or_else(|| panic!("{} has no {name}: {:#?}", self.name, self.attributes));
            expect.insert((*name).to_owned(), value.clone());
        }
        let names: HashSet<&String> = self.attributes.keys().chain(expect.keys()).collect();
        let mut wrong: Vec<String> = names
            .into_iter()
            .filter(|name| self.attributes.get(*name) != expect.get(*name))
            .map(|name| {
                let text = |value: Option<&Value>| value.map_or("absent".to_owned(), Value::to_string);
                format!("{name} is {}, expected {}", text(self.attributes.get(name)), text(expect.get(name)))
            })
            .collect();
        wrong.sort();
        assert!(wrong.is_empty(), "{}:\n{}", self.name, wrong.join("\n"));
    }

    /// How it ended: the status and `error.type`.
    pub fn ended(&self) -> (StatusCode, Option<&str>) {
        (self.status, self.at("error.type").as_str())
    }
}

/// Every span that arrived.
pub fn spans(arrived: &Arrived) -> Vec<Span> {
    let mut spans = Vec::new();
    for group in arrived.traces.iter().flat_map(|message| &message.resource_spans) {
        let resource = group.resource.as_ref().map(|r| attributes(&r.attributes)).unwrap_or_default();
        for of_scope in &group.scope_spans {
            let scope = of_scope.scope.as_ref();
            let scope = scope.map(|s| (s.name.clone(), s.version.clone())).unwrap_or_default();
            spans.extend(of_scope.spans.iter().map(|wire| Span::read(wire, &resource, &scope)));
        }
    }
    spans
}

/// The trees of all requests, by trace; whatever is no such tree is a failure.
pub fn trees(arrived: &Arrived) -> HashMap<String, Tree> {
    let mut by_trace: HashMap<String, Vec<Span>> = HashMap::new();
    let mut ids = HashSet::new();
    for span in spans(arrived) {
        assert!(ids.insert((span.trace.clone(), span.id.clone())), "a span came twice: {span:#?}");
        by_trace.entry(span.trace.clone()).or_default().push(span);
    }
    by_trace.into_iter().map(|(trace, spans)| (trace, tree(spans))).collect()
}

/// The only tree.
#[track_caller]
pub fn only_tree(arrived: &Arrived) -> Tree {
    let trees = trees(arrived);
    assert_eq!(trees.len(), 1, "{trees:#?}");
    trees.into_values().next().unwrap()
}

fn tree(spans: Vec<Span>) -> Tree {
    let text = format!("{spans:#?}");
    let of_kind = |kind: SpanKind| spans.iter().filter(move |span| span.kind == kind).cloned();
    let servers: Vec<Span> = of_kind(SpanKind::Server).collect();
    let [server] = servers.as_slice() else { panic!("{} SERVER spans in one trace: {text}", servers.len()) };
    let mut inferences = of_kind(SpanKind::Client).filter(|span| span.parent == server.id);
    let inference = inferences.next();
    assert!(inferences.next().is_none(), "two inferences in one request: {text}");
    let within = inference.as_ref().map_or("", |span| span.id.as_str());
    let mut attempts: Vec<Span> =
        of_kind(SpanKind::Client).filter(|span| !within.is_empty() && span.parent == within).collect();
    attempts.sort_by_key(|span| span.start);
    let placed = 1 + usize::from(inference.is_some()) + attempts.len();
    assert_eq!(placed, spans.len(), "a span without its place: {text}");
    let tree = Tree { server: server.clone(), inference, attempts };
    tree.check(&text);
    tree
}

impl Tree {
    /// What holds for every request.
    fn check(&self, text: &str) {
        for span in self.all() {
            assert!(span.status != StatusCode::Ok, "a status is never Ok: {text}");
            let failed = span.status == StatusCode::Error;
            let error = span.attributes.get("error.type");
            // A client that left is no failure of the server's, but told all the same.
            let left =
                span.kind == SpanKind::Server && error.is_some_and(|error| error == "client_disconnect");
            assert!(failed == error.is_some() || left, "Error has a type: {text}");
            assert!(span.start <= span.end && span.end > 0, "a span has its times: {text}");
            assert_eq!(span.scope.0, "millpond", "{text}");
            assert_eq!(span.trace, self.server.trace, "{text}");
            assert_eq!(span.state, self.server.state, "{text}");
        }
        for child in self.all().skip(1) {
            let within = self.server.start <= child.start && child.end <= self.server.end;
            assert!(within, "a child lies within the request: {text}");
        }
        let gen_ai = |span: &Span| span.attributes.keys().any(|name| name.starts_with("gen_ai."));
        assert!(!gen_ai(&self.server), "gen_ai is of the inference: {text}");
        assert!(!self.attempts.iter().any(gen_ai), "gen_ai is of the inference: {text}");
        if let Some(inference) = &self.inference {
            let model = inference.at("gen_ai.request.model").as_str().unwrap_or_default();
            let is_text = self.server.at("http.route") == "/v1/completions";
            let operation = if is_text { "text_completion" } else { "chat" };
            assert_eq!(inference.at("gen_ai.operation.name"), operation, "{text}");
            assert_eq!(inference.name, format!("{operation} {model}"), "{text}");
            let counted = inference.at("millpond.attempts").as_u64().unwrap_or_default();
            assert_eq!(counted, self.attempts.len() as u64, "attempts are counted: {text}");
        }
        for attempt in &self.attempts {
            assert_eq!(attempt.name, "POST", "{text}");
        }
    }

    /// All its spans, the request's first.
    pub fn all(&self) -> impl Iterator<Item = &Span> {
        [&self.server].into_iter().chain(&self.inference).chain(&self.attempts)
    }

    /// The inference, which must be there.
    #[track_caller]
    pub fn inference(&self) -> &Span {
        self.inference.as_ref().unwrap_or_else(|| panic!("no inference: {self:#?}"))
    }

    /// The only attempt.
    #[track_caller]
    pub fn attempt(&self) -> &Span {
        let [attempt] = self.attempts.as_slice() else { panic!("not one attempt: {self:#?}") };
        attempt
    }
}
