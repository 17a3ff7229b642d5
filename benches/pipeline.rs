//! The cost of one frame: from the upstream's bytes to the client's, in time and allocations.
//!
//! `cargo bench --bench pipeline`. Each iteration pushes one frame through a pipeline and its encoder that
//! have been running for a while; the allocator's counts are per iteration as well.

use divan::{AllocProfiler, Bencher};
use millpond::api::chat_completions::ReasoningField;
use millpond::api::{Api, Encoder};
use millpond::dialect::{AnyDialect, framer};
use millpond::event::Event;
use millpond::framing::FRAME_LIMIT;
use millpond::normalize::Birth;
use millpond::pipeline::Pipeline;
use millpond::provider::Provider;

#[global_allocator]
static ALLOCATOR: AllocProfiler = AllocProfiler::system();

const ANTHROPIC_START: &str = r#"event: message_start
data: {"type":"message_start","message":{"id":"msg_01","type":"message","role":"assistant","model":"claude-sonnet-4-6","content":[],"stop_reason":null,"stop_sequence":null,"usage":{"input_tokens":9,"output_tokens":1}}}"#;
const ANTHROPIC_TEXT: &str = r#"event: content_block_delta
data: {"type":"content_block_delta","index":0,"delta":{"type":"text_delta","text":" significantly from its"}}"#;
const ANTHROPIC_REASONING: &str = r#"event: content_block_delta
data: {"type":"content_block_delta","index":0,"delta":{"type":"thinking_delta","thinking":" significantly from its"}}"#;
const ANTHROPIC_TOOL: &str = r#"event: content_block_start
data: {"type":"content_block_start","index":0,"content_block":{"type":"tool_use","id":"toolu_01","name":"f","input":{}}}

event: content_block_delta
data: {"type":"content_block_delta","index":0,"delta":{"type":"input_json_delta","partial_json":"{\"a\":\""}}"#;
const ANTHROPIC_TOOL_MORE: &str = r#"event: content_block_delta
data: {"type":"content_block_delta","index":0,"delta":{"type":"input_json_delta","partial_json":"pond"}}"#;
const COHERE_START: &str = r#"event: message-start
data: {"id":"c1","type":"message-start","delta":{"message":{"role":"assistant","content":[],"tool_plan":"","tool_calls":[],"citations":[]}}}"#;
const COHERE_TEXT: &str = r#"event: content-delta
data: {"type":"content-delta","index":0,"delta":{"message":{"content":{"text":" significantly from its"}}}}"#;
const COHERE_REASONING: &str = r#"event: content-delta
data: {"type":"content-delta","index":0,"delta":{"message":{"content":{"thinking":" significantly from its"}}}}"#;
const OLLAMA_TEXT: &str = r#"{"model":"qwen3:4b","created_at":"2026-05-04T22:48:14.389618Z","message":{"role":"assistant","content":" lantern"},"done":false}"#;
const OLLAMA_REASONING: &str = r#"{"model":"qwen3:4b","created_at":"2026-05-04T22:48:14.389618Z","message":{"role":"assistant","content":"","thinking":" lantern"},"done":false}"#;
const BEDROCK_TEXT: &str = r#"{"contentBlockIndex":0,"delta":{"text":" significantly from its"},"p":"abcdefghijklmnopqrstuvwxyzABCDEFGHIJ"}"#;
const BEDROCK_REASONING: &str = r#"{"contentBlockIndex":0,"delta":{"reasoningContent":{"text":" significantly from its"}},"p":"abcdefghijklmnopqr"}"#;
const RESPONSES_TEXT: &str = r#"event: response.output_text.delta
data: {"type":"response.output_text.delta","sequence_number":9,"item_id":"msg_0149c5fe3ad7762400695cb5b77d80","output_index":1,"content_index":0,"delta":" lantern","logprobs":[],"obfuscation":"x7Qk2abc"}"#;
const RESPONSES_REASONING: &str = r#"event: response.reasoning_summary_text.delta
data: {"type":"response.reasoning_summary_text.delta","sequence_number":9,"item_id":"rs_0149c5fe3ad7762400695cb5b77d80","output_index":0,"summary_index":0,"delta":" perhaps","obfuscation":"x7Qk2abc"}"#;
const RESPONSES_TOOL: &str = r#"event: response.output_item.added
data: {"type":"response.output_item.added","sequence_number":8,"output_index":0,"item":{"id":"fc_0149c5fe","type":"function_call","status":"in_progress","arguments":"","call_id":"call_1","name":"f"}}

event: response.function_call_arguments.delta
data: {"type":"response.function_call_arguments.delta","sequence_number":9,"item_id":"fc_0149c5fe","output_index":0,"delta":"{\"a\":\""}"#;
const RESPONSES_TOOL_MORE: &str = r#"event: response.function_call_arguments.delta
data: {"type":"response.function_call_arguments.delta","sequence_number":10,"item_id":"fc_0149c5fe","output_index":0,"delta":"pond","obfuscation":"x7Qk2abc"}"#;
const GEMINI_TEXT: &str = r#"data: {"candidates": [{"content": {"parts": [{"text": " significantly from its"}],"role": "model"},"index": 0}],"usageMetadata": {"promptTokenCount": 15,"candidatesTokenCount": 18,"totalTokenCount": 1545,"promptTokensDetails": [{"modality": "TEXT","tokenCount": 15}],"thoughtsTokenCount": 742},"modelVersion": "gemini-2.5-pro","responseId": "6hkqaYC5BbGEz7IPwb3ggA8"}"#;
const GEMINI_REASONING: &str = r#"data: {"candidates": [{"content": {"parts": [{"text": " significantly from its","thought": true}],"role": "model"},"index": 0}],"usageMetadata": {"promptTokenCount": 15,"totalTokenCount": 757,"promptTokensDetails": [{"modality": "TEXT","tokenCount": 15}],"thoughtsTokenCount": 742},"modelVersion": "gemini-2.5-pro","responseId": "6hkqaYC5BbGEz7IPwb3ggA8"}"#;
const OPENAI_TEXT: &str = r#"data: {"id":"chatcmpl-C1","object":"chat.completion.chunk","created":1700000000,"model":"gpt-5-mini-2025-08-07","service_tier":"default","system_fingerprint":"fp_44709d6fcb","choices":[{"index":0,"delta":{"content":" lantern"},"logprobs":null,"finish_reason":null}],"usage":null,"obfuscation":"x7Qk2"}"#;
const OPENROUTER_TEXT: &str = r#"data: {"id":"gen-1700000000-aB","provider":"Anthropic","model":"anthropic/claude-sonnet-4.5","object":"chat.completion.chunk","created":1700000000,"choices":[{"index":0,"delta":{"role":"assistant","content":" lantern"},"finish_reason":null,"native_finish_reason":null,"logprobs":null}]}"#;
const OPENROUTER_REASONING: &str = r#"data: {"id":"gen-1700000000-aB","provider":"Anthropic","model":"anthropic/claude-sonnet-4.5","object":"chat.completion.chunk","created":1700000000,"choices":[{"index":0,"delta":{"role":"assistant","content":"","reasoning":" perhaps","reasoning_details":[{"type":"reasoning.text","text":" perhaps","format":"anthropic-claude-v1","index":0}]},"finish_reason":null,"native_finish_reason":null,"logprobs":null}]}"#;
const DEEPSEEK_REASONING: &str = r#"data: {"id":"c1","object":"chat.completion.chunk","created":1700000000,"model":"deepseek-reasoner","system_fingerprint":"fp_1","choices":[{"index":0,"delta":{"content":null,"reasoning_content":" perhaps"},"logprobs":null,"finish_reason":null}]}"#;
const TOOL_START: &str = r#"data: {"id":"chatcmpl-C1","object":"chat.completion.chunk","created":1700000000,"model":"gpt-5-mini","choices":[{"index":0,"delta":{"role":"assistant","content":null,"tool_calls":[{"index":0,"id":"call_1","type":"function","function":{"name":"weather","arguments":"{"}}]},"finish_reason":null}]}"#;
const TOOL_MORE: &str = r#"data: {"id":"chatcmpl-C1","object":"chat.completion.chunk","created":1700000000,"model":"gpt-5-mini","choices":[{"index":0,"delta":{"tool_calls":[{"index":0,"function":{"arguments":"\"city\":"}}]},"logprobs":null,"finish_reason":null}],"usage":null}"#;

fn main() {
    divan::main();
}

/// A pipeline with its encoder.
struct Machine {
    pipeline: Pipeline,
    encoder: Box<dyn Encoder>,
    out: Vec<u8>,
}

impl Machine {
    fn new(api: Api, provider: &str) -> Machine {
        let (row, name) = provider.split_once('+').unwrap_or((provider, "openai-chat"));
        let row = Provider::find(row);
        let entry = row.and_then(|row| row.entry(name).or(row.dialects.first()));
        let plain = || AnyDialect::plain("openai-chat").expect("known");
        let dialect = entry.map_or_else(plain, |entry| entry.dialect);
        let dialect = dialect.as_dialect();
        let birth = Birth { id: "bench".to_owned(), model: "model".to_owned(), created: 0 };
        Machine {
            pipeline: Pipeline::new(
                framer(dialect, FRAME_LIMIT),
                dialect.decoder(""),
                dialect.quirks(),
                birth,
            ),
            encoder: api.encoder(true, true, ReasoningField::Both),
            out: Vec::with_capacity(4096),
        }
    }

    fn push(&mut self, input: &[u8]) -> usize {
        self.out.clear();
        let Machine { pipeline, encoder, out } = self;
        pipeline.push(input, &mut |event: &Event<'_>| encoder.event(event, out));
        out.len()
    }
}

fn per_frame(bencher: Bencher<'_, '_>, provider: &str, first: &str, frame: &str) {
    let bytes = |frame: &str| format!("{frame}\n\n").into_bytes();
    per_bytes(bencher, Api::ChatCompletions, provider, &bytes(first), &bytes(frame));
}

/// The same, for a client of the Responses API.
fn per_frame_as_responses(bencher: Bencher<'_, '_>, provider: &str, first: &str, frame: &str) {
    let bytes = |frame: &str| format!("{frame}\n\n").into_bytes();
    per_bytes(bencher, Api::Responses, provider, &bytes(first), &bytes(frame));
}

/// The same for a client of Anthropic's API: at most twice the cost.
fn per_frame_in_messages(bencher: Bencher<'_, '_>, provider: &str, first: &str, frame: &str) {
    let bytes = |frame: &str| format!("{frame}\n\n").into_bytes();
    per_bytes(bencher, Api::Messages, provider, &bytes(first), &bytes(frame));
}

fn per_bytes(bencher: Bencher<'_, '_>, api: Api, provider: &str, first: &[u8], frame: &[u8]) {
    let mut machine = Machine::new(api, provider);
    machine.push(first);
    assert!(machine.push(frame) > 0, "the frame says something");
    bencher.bench_local(|| machine.push(divan::black_box(frame)));
}

/// A message of an AWS event stream.
fn message(name: &str, payload: &str) -> Vec<u8> {
    let mut headers = Vec::new();
    for (name, value) in
        [(":event-type", name), (":content-type", "application/json"), (":message-type", "event")]
    {
        headers.push(name.len() as u8);
        headers.extend(name.as_bytes());
        headers.push(7);
        headers.extend((value.len() as u16).to_be_bytes());
        headers.extend(value.as_bytes());
    }
    let mut out = Vec::new();
    out.extend((16 + headers.len() as u32 + payload.len() as u32).to_be_bytes());
    out.extend((headers.len() as u32).to_be_bytes());
    out.extend(crc32fast::hash(&out).to_be_bytes());
    out.extend(headers);
    out.extend(payload.as_bytes());
    out.extend(crc32fast::hash(&out).to_be_bytes());
    out
}

fn per_message(bencher: Bencher<'_, '_>, payload: &str) {
    let first = message("messageStart", r#"{"p":"abc","role":"assistant"}"#);
    per_bytes(bencher, Api::ChatCompletions, "bedrock", &first, &message("contentBlockDelta", payload));
}

#[divan::bench]
fn text_openai(bencher: Bencher<'_, '_>) {
    per_frame(bencher, "openai", OPENAI_TEXT, OPENAI_TEXT);
}

#[divan::bench]
fn text_openai_in_messages(bencher: Bencher<'_, '_>) {
    per_frame_in_messages(bencher, "openai", OPENAI_TEXT, OPENAI_TEXT);
}

#[divan::bench]
fn text_anthropic_in_messages(bencher: Bencher<'_, '_>) {
    per_frame_in_messages(bencher, "anthropic+anthropic", ANTHROPIC_START, ANTHROPIC_TEXT);
}

#[divan::bench]
fn reasoning_openrouter_in_messages(bencher: Bencher<'_, '_>) {
    per_frame_in_messages(bencher, "openrouter", OPENROUTER_REASONING, OPENROUTER_REASONING);
}

#[divan::bench]
fn tool_in_messages(bencher: Bencher<'_, '_>) {
    per_frame_in_messages(bencher, "openai", TOOL_START, TOOL_MORE);
}

#[divan::bench]
fn text_anthropic(bencher: Bencher<'_, '_>) {
    per_frame(bencher, "anthropic+anthropic", ANTHROPIC_START, ANTHROPIC_TEXT);
}

#[divan::bench]
fn reasoning_anthropic(bencher: Bencher<'_, '_>) {
    per_frame(bencher, "anthropic+anthropic", ANTHROPIC_START, ANTHROPIC_REASONING);
}

#[divan::bench]
fn tool_anthropic(bencher: Bencher<'_, '_>) {
    per_frame(bencher, "anthropic+anthropic", ANTHROPIC_TOOL, ANTHROPIC_TOOL_MORE);
}

#[divan::bench]
fn text_cohere(bencher: Bencher<'_, '_>) {
    per_frame(bencher, "cohere+cohere", COHERE_START, COHERE_TEXT);
}

#[divan::bench]
fn reasoning_cohere(bencher: Bencher<'_, '_>) {
    per_frame(bencher, "cohere+cohere", COHERE_START, COHERE_REASONING);
}

#[divan::bench]
fn text_ollama(bencher: Bencher<'_, '_>) {
    per_frame(bencher, "ollama+ollama", OLLAMA_TEXT, OLLAMA_TEXT);
}

#[divan::bench]
fn reasoning_ollama(bencher: Bencher<'_, '_>) {
    per_frame(bencher, "ollama+ollama", OLLAMA_REASONING, OLLAMA_REASONING);
}

#[divan::bench]
fn text_bedrock(bencher: Bencher<'_, '_>) {
    per_message(bencher, BEDROCK_TEXT);
}

#[divan::bench]
fn reasoning_bedrock(bencher: Bencher<'_, '_>) {
    per_message(bencher, BEDROCK_REASONING);
}

#[divan::bench]
fn text_responses(bencher: Bencher<'_, '_>) {
    per_frame(bencher, "openai+openai-responses", RESPONSES_TEXT, RESPONSES_TEXT);
}

#[divan::bench]
fn reasoning_responses(bencher: Bencher<'_, '_>) {
    per_frame(bencher, "openai+openai-responses", RESPONSES_REASONING, RESPONSES_REASONING);
}

#[divan::bench]
fn tool_responses(bencher: Bencher<'_, '_>) {
    per_frame(bencher, "openai+openai-responses", RESPONSES_TOOL, RESPONSES_TOOL_MORE);
}

#[divan::bench]
fn text_google(bencher: Bencher<'_, '_>) {
    per_frame(bencher, "google+gemini", GEMINI_TEXT, GEMINI_TEXT);
}

#[divan::bench]
fn reasoning_google(bencher: Bencher<'_, '_>) {
    per_frame(bencher, "google+gemini", GEMINI_REASONING, GEMINI_REASONING);
}

#[divan::bench]
fn text_openrouter(bencher: Bencher<'_, '_>) {
    per_frame(bencher, "openrouter", OPENROUTER_TEXT, OPENROUTER_TEXT);
}

#[divan::bench]
fn reasoning_openrouter(bencher: Bencher<'_, '_>) {
    per_frame(bencher, "openrouter", OPENROUTER_REASONING, OPENROUTER_REASONING);
}

#[divan::bench]
fn reasoning_deepseek(bencher: Bencher<'_, '_>) {
    per_frame(bencher, "deepseek", DEEPSEEK_REASONING, DEEPSEEK_REASONING);
}

#[divan::bench]
fn tool_fragment(bencher: Bencher<'_, '_>) {
    per_frame(bencher, "openai", TOOL_START, TOOL_MORE);
}

#[divan::bench]
fn text_openai_as_responses(bencher: Bencher<'_, '_>) {
    per_frame_as_responses(bencher, "openai", OPENAI_TEXT, OPENAI_TEXT);
}

#[divan::bench]
fn text_anthropic_as_responses(bencher: Bencher<'_, '_>) {
    per_frame_as_responses(bencher, "anthropic+anthropic", ANTHROPIC_START, ANTHROPIC_TEXT);
}

#[divan::bench]
fn text_responses_as_responses(bencher: Bencher<'_, '_>) {
    per_frame_as_responses(bencher, "openai+openai-responses", RESPONSES_TEXT, RESPONSES_TEXT);
}

#[divan::bench]
fn reasoning_anthropic_as_responses(bencher: Bencher<'_, '_>) {
    per_frame_as_responses(bencher, "anthropic+anthropic", ANTHROPIC_START, ANTHROPIC_REASONING);
}

#[divan::bench]
fn reasoning_responses_as_responses(bencher: Bencher<'_, '_>) {
    per_frame_as_responses(bencher, "openai+openai-responses", RESPONSES_REASONING, RESPONSES_REASONING);
}

#[divan::bench]
fn reasoning_deepseek_as_responses(bencher: Bencher<'_, '_>) {
    per_frame_as_responses(bencher, "deepseek", DEEPSEEK_REASONING, DEEPSEEK_REASONING);
}

#[divan::bench]
fn tool_fragment_as_responses(bencher: Bencher<'_, '_>) {
    per_frame_as_responses(bencher, "openai", TOOL_START, TOOL_MORE);
}
