//! The attributes of spans: what a request asks for, what an answer reports.

use http::HeaderMap;
use opentelemetry::{Array, KeyValue, StringValue, Value};
use url::{Host, Url};

use super::semconv;
use super::settings::Propagate;
use crate::chat::Chat;
use crate::event::Usage;
use crate::json::{self, Members};

/// The names under which providers tell their name for a request, best first.
const REQUEST_IDS: [&str; 5] =
    ["x-request-id", "request-id", "x-generation-id", "mistral-correlation-id", "x-amzn-requestid"];

/// The parameters of a chat as attributes; only those that the client gave.
pub(super) fn parameters(chat: &Chat) -> Vec<KeyValue> {
    let mut out = Vec::with_capacity(16);
    for (field, attribute) in [
        ("temperature", semconv::TEMPERATURE),
        ("top_p", semconv::TOP_P),
        ("frequency_penalty", semconv::FREQUENCY_PENALTY),
        ("presence_penalty", semconv::PRESENCE_PENALTY),
    ] {
        let value = chat.field(field).and_then(|raw| raw.parse::<f64>().ok()); // Not a number: not told.
        out.extend(value.filter(|value| value.is_finite()).map(|value| KeyValue::new(attribute, value)));
    }
    for (fields, attribute) in [
        (&["top_k"][..], semconv::TOP_K),
        (&["max_completion_tokens", "max_tokens"], semconv::MAX_TOKENS),
        (&["seed"], semconv::SEED),
    ] {
        let value = fields.iter().find_map(|field| json::integer(chat.field(field)?));
        out.extend(value.map(|value| KeyValue::new(attribute, value)));
    }
    let choices = chat.field("n").and_then(json::integer).filter(|&choices| choices != 1);
    out.extend(choices.map(|choices| KeyValue::new(semconv::CHOICE_COUNT, choices)));
    if let Some(stop) = chat.field("stop") {
        let words: Vec<StringValue> = match json::string(stop) {
            Some(word) => vec![word.into_owned().into()],
            None => json::elements(stop)
                .into_iter()
                .filter_map(|word| Some(json::string(word)?.into_owned().into()))
                .collect(),
        };
        if !words.is_empty() {
            out.push(KeyValue::new(semconv::STOP_SEQUENCES, Value::Array(Array::String(words))));
        }
    }
    out.extend(reasoning_level(chat).map(|level| KeyValue::new(semconv::REASONING_LEVEL, level)));
    out.extend(output_type(chat).map(|kind| KeyValue::new(semconv::OUTPUT_TYPE, kind)));
    let tier = chat.field("service_tier").and_then(json::string);
    out.extend(tier.map(|tier| KeyValue::new(semconv::REQUEST_SERVICE_TIER, tier.into_owned())));
    if chat.stream {
        out.push(KeyValue::new(semconv::STREAM, true));
    }
    out
}

fn reasoning_level(chat: &Chat) -> Option<String> {
    let effort = chat.field("reasoning_effort").and_then(json::string);
    let nested = || Members::of(chat.field("reasoning")?).find("effort").and_then(json::string);
    effort.or_else(nested).map(std::borrow::Cow::into_owned)
}

fn output_type(chat: &Chat) -> Option<&'static str> {
    let modalities = chat.field("modalities").map(json::elements).unwrap_or_default();
    if modalities.contains(&"\"audio\"") {
        return Some("speech");
    }
    if modalities.contains(&"\"image\"") {
        return Some("image");
    }
    match json::string(Members::of(chat.field("response_format")?).find("type")?)?.as_ref() {
        "text" => Some("text"),
        "json_object" | "json_schema" => Some("json"),
        _ => None,
    }
}

/// The tokens of an answer as attributes; an unknown count is none.
pub(super) fn usage(usage: &Usage, out: &mut Vec<KeyValue>) {
    let counts = [
        (semconv::INPUT_TOKENS, usage.prompt),
        (semconv::OUTPUT_TOKENS, usage.completion),
        (semconv::CACHE_READ_TOKENS, usage.cached()),
        (semconv::CACHE_WRITE_TOKENS, usage.cache_written()),
        (semconv::REASONING_TOKENS, usage.reasoning()),
        (semconv::AUDIO_INPUT_TOKENS, usage.prompt_detail("audio_tokens")),
        (semconv::IMAGE_INPUT_TOKENS, usage.prompt_detail("image_tokens")),
        (semconv::TEXT_INPUT_TOKENS, usage.prompt_detail("text_tokens")),
        (semconv::AUDIO_OUTPUT_TOKENS, usage.completion_detail("audio_tokens")),
        (semconv::IMAGE_OUTPUT_TOKENS, usage.completion_detail("image_tokens")),
        (semconv::TEXT_OUTPUT_TOKENS, usage.completion_detail("text_tokens")),
    ];
    for (attribute, count) in counts {
        out.extend(count.and_then(|count| Some(KeyValue::new(attribute, i64::try_from(count).ok()?))));
    }
}

/// The upstream's name for the request.
pub(super) fn request_id(headers: &HeaderMap) -> Option<String> {
    let value = REQUEST_IDS.iter().find_map(|name| headers.get(*name))?;
    Some(value.to_str().ok()?.to_owned()) // Not text: no name.
}

/// An address without what may be a secret: the values of a query, but for the API's version.
pub(super) fn redacted(url: &Url) -> String {
    let mut redacted = url.clone();
    if url.query().is_some() {
        redacted.set_query(None);
        for (name, value) in url.query_pairs() {
            let known = matches!(name.as_ref(), "api-version" | "alt");
            redacted.query_pairs_mut().append_pair(&name, if known { &value } else { "REDACTED" });
        }
    }
    redacted.into()
}

/// True if the upstream may be sent a trace context.
pub(super) fn may_propagate(propagate: Propagate, url: &Url) -> bool {
    match propagate {
        Propagate::Always => true,
        Propagate::Never => false,
        Propagate::Private => is_private(url),
    }
}

fn is_private(url: &Url) -> bool {
    match url.host() {
        Some(Host::Ipv4(address)) => address.is_loopback() || address.is_private() || address.is_link_local(),
        Some(Host::Ipv6(address)) => {
            address.is_loopback() || address.is_unique_local() || address.is_unicast_link_local()
        }
        Some(Host::Domain(name)) => {
            let inner = [".local", ".localhost", ".internal", ".svc", ".lan", ".home.arpa"];
            !name.contains('.') || inner.iter().any(|end| name.ends_with(end))
        }
        None => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn url(text: &str) -> Url {
        text.parse().unwrap()
    }

    #[test]
    fn queries_are_hidden() {
        assert_eq!(
            redacted(&url("https://h/v1/x?key=secret&api-version=1")),
            "https://h/v1/x?key=REDACTED&api-version=1"
        );
        assert_eq!(redacted(&url("https://h/v1/x")), "https://h/v1/x");
    }

    #[test]
    fn private_hosts_are_told_the_trace() {
        for (address, private) in [
            ("http://127.0.0.1:1/", true),
            ("http://10.1.2.3/", true),
            ("http://[::1]:1/", true),
            ("http://[fd00::1]/", true),
            ("http://localhost:8000/", true),
            ("http://vllm:8000/", true),
            ("http://vllm.models.svc.cluster.local/", true),
            ("https://openrouter.ai/", false),
            ("https://8.8.8.8/", false),
            ("https://[2001:4860:4860::8888]/", false),
        ] {
            assert_eq!(may_propagate(Propagate::Private, &url(address)), private, "{address}");
        }
        assert!(may_propagate(Propagate::Always, &url("https://openrouter.ai/")));
        assert!(!may_propagate(Propagate::Never, &url("http://localhost/")));
    }

    #[test]
    fn parameters_are_those_that_were_given() {
        let chat = Chat::read(
            br#"{"model":"m","messages":[{}],"temperature":0.5,"n":2,"max_tokens":9,"stop":["a","b"],
               "reasoning":{"effort":"high"},"response_format":{"type":"json_schema"},"top_p":"x"}"#,
        )
        .unwrap();
        let found: Vec<String> =
            parameters(&chat).iter().map(|pair| format!("{}={}", pair.key, pair.value)).collect();
        assert_eq!(
            found,
            [
                "gen_ai.request.temperature=0.5",
                "gen_ai.request.max_tokens=9",
                "gen_ai.request.choice.count=2",
                "gen_ai.request.stop_sequences=[\"a\",\"b\"]",
                "gen_ai.request.reasoning.level=high",
                "gen_ai.output.type=json",
            ]
        );
    }
}
