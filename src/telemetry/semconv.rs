//! Every name that telemetry uses, once: attributes, metrics, buckets.
//!
//! Sources: OpenTelemetry's semantic conventions for generative AI (development channel, autumn 2026) and
//! for HTTP (1.44). What the conventions do not have is below `millpond.`.

/// The name of the operation: `chat`, or what else is asked for.
pub const OPERATION: &str = "gen_ai.operation.name";
/// Who serves the model, in the convention's word where it has one.
pub const PROVIDER: &str = "gen_ai.provider.name";
/// The model that the provider was asked for.
pub const REQUEST_MODEL: &str = "gen_ai.request.model";
/// The model that answered.
pub const RESPONSE_MODEL: &str = "gen_ai.response.model";
/// The answer's name.
pub const RESPONSE_ID: &str = "gen_ai.response.id";
/// Why each choice ended; `error` for one that did not.
pub const FINISH_REASONS: &str = "gen_ai.response.finish_reasons";
/// The client asked for a stream; only ever `true`.
pub const STREAM: &str = "gen_ai.request.stream";
/// From the request to the first event that said something, in seconds.
pub const TIME_TO_FIRST_CHUNK: &str = "gen_ai.response.time_to_first_chunk";
/// Tokens of the request, cached ones included.
pub const INPUT_TOKENS: &str = "gen_ai.usage.input_tokens";
/// Tokens of the answer, reasoning included.
pub const OUTPUT_TOKENS: &str = "gen_ai.usage.output_tokens";
/// Tokens of the request that came out of a cache.
pub const CACHE_READ_TOKENS: &str = "gen_ai.usage.cache_read.input_tokens";
/// Tokens of the request that were written into a cache.
pub const CACHE_WRITE_TOKENS: &str = "gen_ai.usage.cache_write.input_tokens";
/// Tokens of the answer that were reasoning.
pub const REASONING_TOKENS: &str = "gen_ai.usage.reasoning.output_tokens";
/// Tokens of the request that stand for audio.
pub const AUDIO_INPUT_TOKENS: &str = "gen_ai.usage.audio.input_tokens";
/// Tokens of the request that stand for images.
pub const IMAGE_INPUT_TOKENS: &str = "gen_ai.usage.image.input_tokens";
/// Tokens of the request that stand for text, where the provider counts them apart.
pub const TEXT_INPUT_TOKENS: &str = "gen_ai.usage.text.input_tokens";
/// Tokens of the answer that stand for audio.
pub const AUDIO_OUTPUT_TOKENS: &str = "gen_ai.usage.audio.output_tokens";
/// Tokens of the answer that stand for images.
pub const IMAGE_OUTPUT_TOKENS: &str = "gen_ai.usage.image.output_tokens";
/// Tokens of the answer that stand for text, where the provider counts them apart.
pub const TEXT_OUTPUT_TOKENS: &str = "gen_ai.usage.text.output_tokens";
/// The parameter of that name.
pub const TEMPERATURE: &str = "gen_ai.request.temperature";
/// The parameter of that name.
pub const TOP_P: &str = "gen_ai.request.top_p";
/// The parameter of that name.
pub const TOP_K: &str = "gen_ai.request.top_k";
/// `max_tokens` or `max_completion_tokens`.
pub const MAX_TOKENS: &str = "gen_ai.request.max_tokens";
/// The parameter of that name.
pub const SEED: &str = "gen_ai.request.seed";
/// The parameter of that name.
pub const FREQUENCY_PENALTY: &str = "gen_ai.request.frequency_penalty";
/// The parameter of that name.
pub const PRESENCE_PENALTY: &str = "gen_ai.request.presence_penalty";
/// `stop`, as a list.
pub const STOP_SEQUENCES: &str = "gen_ai.request.stop_sequences";
/// `n`, where it is not 1.
pub const CHOICE_COUNT: &str = "gen_ai.request.choice.count";
/// `reasoning_effort`, or the effort in `reasoning`.
pub const REASONING_LEVEL: &str = "gen_ai.request.reasoning.level";
/// `text`, `json`, `image` or `speech`, where the request says it.
pub const OUTPUT_TYPE: &str = "gen_ai.output.type";
/// Which API the client spoke.
pub const API_TYPE: &str = "openai.api.type";
/// The service tier that was asked for.
pub const REQUEST_SERVICE_TIER: &str = "openai.request.service_tier";
/// The service tier that served.
pub const RESPONSE_SERVICE_TIER: &str = "openai.response.service_tier";
/// The fingerprint of the system that served.
pub const SYSTEM_FINGERPRINT: &str = "openai.response.system_fingerprint";
/// Kinds of tokens in the older metric: `input` or `output`.
pub const TOKEN_TYPE: &str = "gen_ai.token.type";
/// What tokens stand for: `text`, `audio` or `image`.
pub const TOKEN_MODALITY: &str = "gen_ai.token.modality";
/// The request's messages, as JSON; only with content capture.
pub const INPUT_MESSAGES: &str = "gen_ai.input.messages";
/// The answer's messages, as JSON; only with content capture.
pub const OUTPUT_MESSAGES: &str = "gen_ai.output.messages";
/// The request's instructions, as JSON; only with content capture.
pub const SYSTEM_INSTRUCTIONS: &str = "gen_ai.system_instructions";
/// The request's tools, as JSON; only with content capture.
pub const TOOL_DEFINITIONS: &str = "gen_ai.tool.definitions";
/// The event that carries content, where it is not to be on the span.
pub const DETAILS_EVENT: &str = "gen_ai.client.inference.operation.details";

/// The host that was asked.
pub const SERVER_ADDRESS: &str = "server.address";
/// Its port.
pub const SERVER_PORT: &str = "server.port";
/// What went wrong, out of a closed list (see the module `telemetry`).
pub const ERROR_TYPE: &str = "error.type";
/// The method.
pub const HTTP_METHOD: &str = "http.request.method";
/// The path as it is routed.
pub const HTTP_ROUTE: &str = "http.route";
/// The status of the answer.
pub const HTTP_STATUS: &str = "http.response.status_code";
/// How many attempts came before this one.
pub const RESEND_COUNT: &str = "http.request.resend_count";
/// `http` or `https`.
pub const URL_SCHEME: &str = "url.scheme";
/// The path as the client wrote it.
pub const URL_PATH: &str = "url.path";
/// The address that was asked, without secrets.
pub const URL_FULL: &str = "url.full";
/// What the client calls itself.
pub const USER_AGENT: &str = "user_agent.original";

/// The model as the client named it.
pub const ROUTE: &str = "millpond.route";
/// True if another target than the first was asked.
pub const FALLBACK: &str = "millpond.fallback";
/// How many attempts were made.
pub const ATTEMPTS: &str = "millpond.attempts";
/// `complete`, a fault's code, or `client_disconnect`.
pub const END_REASON: &str = "millpond.stream.end_reason";
/// What was mended, by name.
pub const REPAIRS: &str = "millpond.repairs";
/// One thing that was mended.
pub const REPAIR: &str = "millpond.repair";
/// The upstream's name for the request.
pub const UPSTREAM_REQUEST_ID: &str = "millpond.upstream.request_id";
/// Whom a router like OpenRouter passed the request to.
pub const UPSTREAM_PROVIDER: &str = "millpond.upstream.provider";
/// What the answer cost, in US dollars.
pub const COST: &str = "millpond.usage.cost";
/// millpond's name for the request, the answer's `x-request-id`.
pub const REQUEST_ID: &str = "millpond.request_id";
/// When it was: `first_byte` or `chunk`; `before_first_byte` or `in_body`.
pub const PHASE: &str = "millpond.phase";
/// How it went: `ok` or an `error.type`; `ended`, `exported` or `failed`.
pub const OUTCOME: &str = "millpond.outcome";
/// Whose limit it was: `total`, `provider` or `key`.
pub const LIMIT: &str = "millpond.limit";
/// What there was too much of: `streams`, `requests`, `tokens` or `queue`.
pub const LIMIT_REASON: &str = "millpond.limit.reason";
/// `traces` or `metrics`.
pub const SIGNAL: &str = "millpond.signal";

/// Seconds, from 10 ms to 82 s, each bound twice the one before.
pub const SECONDS: &[f64] =
    &[0.01, 0.02, 0.04, 0.08, 0.16, 0.32, 0.64, 1.28, 2.56, 5.12, 10.24, 20.48, 40.96, 81.92];
/// Seconds to the first token, as the convention lists them.
pub const FIRST_TOKEN: &[f64] =
    &[0.001, 0.005, 0.01, 0.02, 0.04, 0.06, 0.08, 0.1, 0.25, 0.5, 0.75, 1.0, 2.5, 5.0, 7.5, 10.0];
/// Seconds per token, as the convention lists them.
pub const PER_TOKEN: &[f64] = &[0.01, 0.025, 0.05, 0.075, 0.1, 0.15, 0.2, 0.3, 0.4, 0.5, 0.75, 1.0, 2.5];
/// Seconds, from 1 µs to 65 ms.
pub const MICROSECONDS: &[f64] = &[
    0.000001, 0.000002, 0.000004, 0.000008, 0.000016, 0.000032, 0.000064, 0.000128, 0.000256, 0.000512,
    0.001024, 0.004096, 0.016384, 0.065536,
];
/// Tokens, each bound four times the one before.
pub const TOKENS: &[f64] = &[
    1.0, 4.0, 16.0, 64.0, 256.0, 1024.0, 4096.0, 16384.0, 65536.0, 262144.0, 1048576.0, 4194304.0,
    16777216.0, 67108864.0,
];
/// US dollars, from a hundredth of a cent to 10 dollars.
pub const DOLLARS: &[f64] = &[0.0001, 0.0003, 0.001, 0.003, 0.01, 0.03, 0.1, 0.3, 1.0, 3.0, 10.0];

/// What a metric is.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Kind {
    /// It grows.
    Counter,
    /// It grows and shrinks.
    UpDownCounter,
    /// Values in buckets with these upper bounds.
    Histogram(&'static [f64]),
}

/// Which generation of the convention a metric belongs to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Generation {
    /// The one of autumn 2026.
    Latest,
    /// The one before, which most dashboards query.
    Legacy,
    /// Both, or millpond's own.
    Any,
}

/// One metric.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Metric {
    /// Its name in OTLP.
    pub name: &'static str,
    /// What it is.
    pub kind: Kind,
    /// Its unit in UCUM, or a word in braces.
    pub unit: &'static str,
    /// What it tells, in a sentence.
    pub help: &'static str,
    /// Its attributes.
    pub attributes: &'static [&'static str],
    /// The generation of the convention.
    pub generation: Generation,
}

impl Metric {
    /// Its name in Prometheus: underscores, the unit, `_total` for what only grows.
    pub fn prometheus_name(&self) -> String {
        let mut name = self.name.replace('.', "_");
        let unit = match self.unit {
            "s" => "seconds",
            "By" => "bytes",
            unit if unit.starts_with('{') => "",
            unit => unit,
        };
        if !unit.is_empty() && !name.ends_with(unit) {
            name.push('_');
            name.push_str(unit);
        }
        if self.kind == Kind::Counter && !name.ends_with("_total") {
            name.push_str("_total");
        }
        name
    }
}

/// Declares the metrics once: constant, name, kind, unit, generation, attributes, what it tells.
macro_rules! metrics {
    ($(#[doc = $help:literal] $constant:ident = $name:literal, $kind:expr, $unit:literal, $generation:ident, $attributes:expr;)+) => {
        $(
            #[doc = $help]
            pub const $constant: Metric = Metric {
                name: $name,
                kind: $kind,
                unit: $unit,
                help: $help.trim_ascii(),
                attributes: $attributes,
                generation: Generation::$generation,
            };
        )+

        /// Every metric, in the order of declaration.
        pub const METRICS: &[Metric] = &[$($constant,)+];
    };
}

/// The attributes of all metrics about an inference.
pub const INFERENCE: &[&str] =
    &[OPERATION, PROVIDER, REQUEST_MODEL, RESPONSE_MODEL, SERVER_ADDRESS, SERVER_PORT];
const INFERENCE_OR_ERROR: &[&str] =
    &[OPERATION, PROVIDER, REQUEST_MODEL, RESPONSE_MODEL, SERVER_ADDRESS, SERVER_PORT, ERROR_TYPE];
const INFERENCE_BY_TYPE: &[&str] =
    &[OPERATION, PROVIDER, REQUEST_MODEL, RESPONSE_MODEL, SERVER_ADDRESS, SERVER_PORT, TOKEN_TYPE];
const INFERENCE_BY_MODALITY: &[&str] =
    &[OPERATION, PROVIDER, REQUEST_MODEL, RESPONSE_MODEL, SERVER_ADDRESS, SERVER_PORT, TOKEN_MODALITY];

metrics! {
    /// Time of an inference, from the request to the end of its answer.
    INFERENCE_DURATION = "gen_ai.client.inference.duration", Kind::Histogram(SECONDS), "s", Latest, INFERENCE_OR_ERROR;
    /// Time of an inference, from the request to the end of its answer (older name).
    OPERATION_DURATION = "gen_ai.client.operation.duration", Kind::Histogram(SECONDS), "s", Legacy, INFERENCE_OR_ERROR;
    /// Time from the request to the first event of the answer.
    INFERENCE_FIRST_CHUNK = "gen_ai.client.inference.time_to_first_chunk", Kind::Histogram(SECONDS), "s", Latest, INFERENCE;
    /// Time from the request to the first event of the answer (older name).
    OPERATION_FIRST_CHUNK = "gen_ai.client.operation.time_to_first_chunk", Kind::Histogram(SECONDS), "s", Legacy, INFERENCE;
    /// Time between two arrivals of the answer; events that arrive together are one arrival.
    INFERENCE_PER_CHUNK = "gen_ai.client.inference.time_per_output_chunk", Kind::Histogram(SECONDS), "s", Latest, INFERENCE;
    /// Time between two arrivals of the answer (older name).
    OPERATION_PER_CHUNK = "gen_ai.client.operation.time_per_output_chunk", Kind::Histogram(SECONDS), "s", Legacy, INFERENCE;
    /// Tokens of requests, cached ones included.
    USAGE_INPUT = "gen_ai.client.inference.usage.input_tokens", Kind::Counter, "{token}", Latest, INFERENCE_BY_MODALITY;
    /// Tokens of answers, reasoning included.
    USAGE_OUTPUT = "gen_ai.client.inference.usage.output_tokens", Kind::Counter, "{token}", Latest, INFERENCE_BY_MODALITY;
    /// Tokens of requests that came out of a cache.
    USAGE_CACHE_READ = "gen_ai.client.inference.usage.cache_read.input_tokens", Kind::Counter, "{token}", Latest, INFERENCE;
    /// Tokens of requests that were written into a cache.
    USAGE_CACHE_WRITE = "gen_ai.client.inference.usage.cache_write.input_tokens", Kind::Counter, "{token}", Latest, INFERENCE;
    /// Tokens of answers that were reasoning.
    USAGE_REASONING = "gen_ai.client.inference.usage.reasoning.output_tokens", Kind::Counter, "{token}", Latest, INFERENCE;
    /// Tokens of one request.
    INPUT_PER_INFERENCE = "gen_ai.client.inference.operation.input_tokens", Kind::Histogram(TOKENS), "{token}", Latest, INFERENCE_OR_ERROR;
    /// Tokens of one answer.
    OUTPUT_PER_INFERENCE = "gen_ai.client.inference.operation.output_tokens", Kind::Histogram(TOKENS), "{token}", Latest, INFERENCE_OR_ERROR;
    /// Tokens of one request or answer (older name).
    TOKEN_USAGE = "gen_ai.client.token.usage", Kind::Histogram(TOKENS), "{token}", Legacy, INFERENCE_BY_TYPE;
    /// Time of an inference as the gateway's clients see it.
    REQUEST_DURATION = "gen_ai.server.request.duration", Kind::Histogram(SECONDS), "s", Any, INFERENCE_OR_ERROR;
    /// Time to the first token as the gateway's clients see it.
    FIRST_TOKEN_TIME = "gen_ai.server.time_to_first_token", Kind::Histogram(FIRST_TOKEN), "s", Any, INFERENCE;
    /// Time per token after the first one.
    TOKEN_TIME = "gen_ai.server.time_per_output_token", Kind::Histogram(PER_TOKEN), "s", Any, INFERENCE;
    /// Cost of one answer, as the provider reports it or as the configured prices give it.
    USAGE_COST = "gen_ai.usage.cost", Kind::Histogram(DOLLARS), "USD", Any, INFERENCE;
    /// Time of a request to millpond, to the end of the answer's body.
    SERVER_DURATION = "http.server.request.duration", Kind::Histogram(SECONDS), "s", Any, &[HTTP_METHOD, HTTP_ROUTE, HTTP_STATUS, URL_SCHEME, ERROR_TYPE];
    /// Requests to millpond that are under way.
    SERVER_ACTIVE = "http.server.active_requests", Kind::UpDownCounter, "{request}", Any, &[HTTP_METHOD, URL_SCHEME];
    /// Time of one request to an upstream, to the end of its body.
    CLIENT_DURATION = "http.client.request.duration", Kind::Histogram(SECONDS), "s", Any, &[HTTP_METHOD, SERVER_ADDRESS, SERVER_PORT, HTTP_STATUS, ERROR_TYPE];
    /// What was mended in upstreams' answers.
    REPAIRS_MADE = "millpond.repairs", Kind::Counter, "{repair}", Any, &[PROVIDER, REPAIR];
    /// Answers that are under way.
    STREAMS_ACTIVE = "millpond.streams.active", Kind::UpDownCounter, "{stream}", Any, &[PROVIDER];
    /// How answers ended.
    STREAM_END = "millpond.stream.end", Kind::Counter, "{stream}", Any, &[PROVIDER, END_REASON];
    /// Time that millpond itself took: until the first byte, and for each arrival of the upstream.
    OVERHEAD = "millpond.overhead.duration", Kind::Histogram(MICROSECONDS), "s", Any, &[PROVIDER, PHASE];
    /// Requests to upstreams.
    ATTEMPTS_MADE = "millpond.attempts", Kind::Counter, "{attempt}", Any, &[PROVIDER, OUTCOME];
    /// Targets that failed so often that they are left alone.
    TARGETS_OPEN = "millpond.targets.open", Kind::UpDownCounter, "{target}", Any, &[PROVIDER];
    /// Clients that left before their answer ended.
    DISCONNECTS = "millpond.client_disconnects", Kind::Counter, "{request}", Any, &[PROVIDER, PHASE];
    /// Requests that were refused because of a limit.
    LIMIT_REJECTED = "millpond.limit.rejected", Kind::Counter, "{request}", Any, &[LIMIT, LIMIT_REASON];
    /// Requests that wait for a place.
    QUEUE_WAITING = "millpond.queue.waiting", Kind::UpDownCounter, "{request}", Any, &[];
    /// Spans that ended, and what became of them.
    TELEMETRY_SPANS = "millpond.telemetry.spans", Kind::Counter, "{span}", Any, &[OUTCOME];
    /// Exports of telemetry.
    TELEMETRY_EXPORTS = "millpond.telemetry.exports", Kind::Counter, "{export}", Any, &[SIGNAL, OUTCOME];
    /// Resident memory of the process.
    MEMORY = "process.memory.usage", Kind::UpDownCounter, "By", Any, &[];
    /// Processor time of the process.
    CPU_TIME = "process.cpu.time", Kind::Counter, "s", Any, &[];
}

/// The convention's words for providers that it knows, beside millpond's.
const PROVIDERS: &[(&str, &str)] = &[
    ("azure", "azure.ai.openai"),
    ("bedrock", "aws.bedrock"),
    ("google", "gcp.gemini"),
    ("mistral", "mistral_ai"),
    ("moonshot", "moonshot_ai"),
    ("vertex", "gcp.vertex_ai"),
    ("watsonx", "ibm.watsonx.ai"),
    ("xai", "x_ai"),
];

/// The convention's name of a provider; millpond's own where it has none.
pub fn provider_name(name: &str) -> &str {
    PROVIDERS.iter().find(|(ours, _)| *ours == name).map_or(name, |(_, theirs)| theirs)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_in_prometheus_have_unit_and_kind() {
        let name = |metric: Metric| metric.prometheus_name();
        assert_eq!(name(INFERENCE_DURATION), "gen_ai_client_inference_duration_seconds");
        assert_eq!(name(USAGE_INPUT), "gen_ai_client_inference_usage_input_tokens_total");
        assert_eq!(name(USAGE_COST), "gen_ai_usage_cost_USD");
        assert_eq!(name(SERVER_ACTIVE), "http_server_active_requests");
        assert_eq!(name(MEMORY), "process_memory_usage_bytes");
        assert_eq!(name(CPU_TIME), "process_cpu_time_seconds_total");
    }

    #[test]
    fn every_metric_says_what_it_tells() {
        for metric in METRICS {
            assert!(metric.help.ends_with('.') || metric.help.ends_with(')') || metric.help.len() > 10);
            if let Kind::Histogram(bounds) = metric.kind {
                assert!(bounds.is_sorted(), "{}", metric.name);
            }
        }
    }
}
