//! Providers with a dialect of their own: their answers are recorded as all others are.

use std::collections::HashMap;

use serde_json::json;

use crate::harness::{Mock, ask_usage};
use crate::outcomes::{Told, check, context};
use crate::program::Program;
use crate::sink::Sink;
use crate::trace::trees;

/// A provider's name, its dialect, the path of its base URL, the path that is asked, and the convention's name.
const NATIVES: [(&str, &str, &str, &str, &str); 6] = [
    ("anthropic", "anthropic", "/v1", "/v1/messages", "anthropic"),
    ("google", "gemini", "/v1beta", "/v1beta/models/", "gcp.gemini"),
    ("openai", "openai-responses", "/v1", "/v1/responses", "openai"),
    ("cohere", "cohere", "/v2", "/v2/chat", "cohere"),
    ("ollama", "ollama", "/api", "/api/chat", "ollama"),
    ("bedrock", "bedrock", "", "/model/", "aws.bedrock"),
];
/// What a model's name ends with, and how its answer ends then.
const ENDS: [(&str, &str); 3] = [("", "complete"), ("/cut-after-5", "truncated"), ("/429", "upstream_error")];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_dialect_has_the_same_tree() {
    let (sink, mock) = (Sink::start().await, Mock::start().await);
    let config: String = NATIVES
        .iter()
        .map(|(name, dialect, base, ..)| {
            format!(
                "[providers.{name}]\ndialect = \"{dialect}\"\nbase_url = \"http://{}{base}\"\napi_key = \"of-a-test\"\n",
                mock.address
            )
        })
        .collect();
    let program = Program::start("dialects", &config, &[sink.endpoint()]).await;
    let mut asked = Vec::new();
    for native in NATIVES {
        // A name with a slash is a path of its own to Gemini, so it cannot have a fault behind it.
        let ends = if native.1 == "gemini" { &ENDS[..1] } else { &ENDS[..] };
        for end in ends {
            asked.extend([true, false].map(|stream| (native, *end, stream)));
        }
    }
    let mut told = HashMap::new();
    for (number, ((name, ..), (fault, end), stream)) in asked.iter().enumerate() {
        let mut body = ask_usage(&format!("{name}/some-model{fault}"));
        body["max_tokens"] = 1000.into();
        if !stream {
            body["stream"] = false.into();
            body.as_object_mut().unwrap().remove("stream_options");
        }
        let (traceparent, trace) = context(number);
        let reply = program.chat_with(&body, &[("traceparent", &traceparent)]).await;
        let heard = Told::read(&reply, *stream);
        assert_eq!(&heard.end, end, "{name}{fault} {stream}: {}", reply.text());
        told.insert(trace, heard);
    }
    program.stop().await;
    let trees = trees(&sink.arrived());
    assert_eq!(trees.len(), asked.len());
    for (number, ((name, _, _, path, known), (fault, _), stream)) in asked.iter().enumerate() {
        let (_, trace) = context(number);
        let (tree, what) = (&trees[&trace], format!("{name}{fault} {stream}"));
        check(&what, tree, &told[&trace]);
        let inference = tree.inference();
        assert_eq!(inference.at("gen_ai.provider.name"), known, "{what}");
        assert_eq!(inference.at("gen_ai.request.model"), &json!(format!("some-model{fault}")), "{what}");
        let url = tree.attempt().at("url.full").as_str().unwrap();
        assert!(url.starts_with(&format!("http://{}{path}", mock.address)), "{what}: {url}");
        if fault.is_empty() {
            assert_eq!(inference.at("gen_ai.response.finish_reasons"), &json!(["stop"]), "{what}");
            assert!(inference.at("gen_ai.usage.output_tokens").as_u64() > Some(0), "{what}");
        }
    }
}
