//! Dialects of their own, through the proxy: what is said arrives, reasoning comes back signed, faults are told.

use serde_json::{Value, json};

use crate::harness::{KEY, Mock, Proxy, Reply, check_error, client, within};
use crate::support::contract::{Answer, Choice, End};
use crate::support::plain;

pub mod rows;

use rows::{BEDROCK, BUDGET, COHERE, GEMINI, NATIVES, Native, OLLAMA, RESPONSES};

pub const WORDS: &str = "This comes from the mock provider inside millpond. Its 42 ducks 🦆";
pub const THOUGHT: &str = "A short answer will do: quote the words, then the ducks 🦆, naïve as they are.";

/// How many tokens the thought has.
const THOUGHT_TOKENS: u64 = 16;

/// Bedrock alone does not go without a key.
fn keys(name: &str) -> Option<String> {
    (name == "AWS_BEARER_TOKEN_BEDROCK").then(|| KEY.to_owned())
}

/// A proxy that keeps no reasoning.
const FORGETFUL: &str = "[reasoning_memory]\nenabled = false\n";

pub async fn start(more: &str) -> (Mock, Proxy) {
    let mock = Mock::start().await;
    let provider = |native: &Native| {
        let Native { provider, dialect, base, .. } = native;
        let url = format!("http://{}{base}", mock.address);
        format!("[providers.{provider}]\nbase_url = \"{url}\"\ndialect = \"{dialect}\"\n")
    };
    let mut providers: Vec<String> = NATIVES.iter().map(provider).collect();
    providers.dedup();
    let providers = providers.concat();
    let proxy = Proxy::start_in(keys, &format!("{more}\n{providers}")).await;
    (mock, proxy)
}

impl Native {
    /// A request for an answer in words; `end` is the end of the model's name.
    fn ask(&self, end: &str, stream: bool) -> Value {
        let mut body = json!({
            "model": format!("{}/{}{end}", self.provider, self.model),
            "stream": stream,
            "max_tokens": 4000,
            "messages": [{"role": "user", "content": "Hello, ducks!"}],
        });
        if stream {
            body["stream_options"] = json!({"include_usage": true});
        }
        body
    }

    fn ask_thinking(&self, end: &str, stream: bool) -> Value {
        let mut body = self.ask(end, stream);
        let (field, how) = self.think;
        body[field] = serde_json::from_str(how).unwrap();
        body
    }

    /// A request with two tools, which are called one after the other.
    fn ask_tools(&self, stream: bool) -> Value {
        let tool = |name: &str, key: &str| {
            let parameters = json!({"type": "object", "properties": {key: {"type": "string"}}});
            json!({"type": "function", "function": {"name": name, "parameters": parameters}})
        };
        let mut body = self.ask_thinking("", stream);
        body["messages"][0]["content"] = json!("What is up? Use the tools one by one.");
        body["tools"] = json!([tool("weather", "city"), tool("clock", "zone")]);
        body
    }

    /// The bytes of the mock's own stream for the request that last went through the proxy, with another end
    /// of the model's name.
    async fn bytes(&self, mock: &Mock, end: &str) -> Vec<u8> {
        let mut body = mock.requests().await.pop().unwrap()["body"].clone();
        let model = format!("{}{end}", self.model);
        let path = self.path.replace("{model}", &model.replace('/', "%2F").replace(':', "%3A"));
        if path == self.path {
            body["model"] = json!(model);
        }
        let url = format!("http://{}{path}", mock.address);
        let sent = client().post(url).header(self.header.0, self.header.1).body(body.to_string()).send();
        let mut response = within("the mock's answer", sent).await.unwrap();
        let mut bytes = Vec::new();
        while let Ok(Some(piece)) = within("the mock's next piece", response.chunk()).await {
            bytes.extend_from_slice(&piece);
        }
        bytes
    }
}

#[track_caller]
fn understood(reply: &Reply, stream: bool) -> Answer {
    if stream { reply.complete(true) } else { reply.object() }
}

/// The assistant's message as a client sends it back that keeps all it was given.
fn message(choice: &Choice) -> Value {
    let details = choice.details.iter().map(|raw| serde_json::from_str::<Value>(raw).unwrap());
    let calls = choice.calls.iter().map(|call| {
        json!({
            "id": call.id,
            "type": "function",
            "function": {"name": call.name, "arguments": call.arguments},
        })
    });
    json!({
        "role": "assistant",
        "content": choice.text,
        "reasoning_content": choice.reasoning,
        "reasoning_details": details.collect::<Vec<_>>(),
        "tool_calls": calls.collect::<Vec<_>>(),
    })
}

fn push(body: &mut Value, message: Value) {
    body["messages"].as_array_mut().unwrap().push(message);
}

/// Answers the calls of a message.
fn push_results(body: &mut Value, choice: &Choice) {
    for call in &choice.calls {
        push(body, json!({"role": "tool", "tool_call_id": call.id, "content": "18 °C"}));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_answer_is_the_same_as_a_stream_and_as_an_object() {
    let (mock, proxy) = start("").await;
    for native in NATIVES {
        let mut all = Vec::new();
        for stream in [true, false] {
            let answer = understood(&proxy.chat(&native.ask_thinking("", stream)).await, stream);
            let choice = answer.choices[&0].clone();
            assert!(choice.text.contains(WORDS), "{native:?}: {}", choice.text);
            assert_eq!(choice.reasoning, THOUGHT, "{native:?}");
            assert_eq!(choice.finish.as_deref(), Some("stop"), "{native:?}");
            let usage = answer.usage.unwrap();
            let sum = usage["prompt_tokens"].as_u64().unwrap() + usage["completion_tokens"].as_u64().unwrap();
            assert_eq!(usage["total_tokens"], sum, "{native:?}: {usage}");
            let (cached, reasoned) = native.counts;
            for (count, is_told) in [
                (&usage["prompt_tokens_details"]["cached_tokens"], cached),
                (&usage["completion_tokens_details"]["reasoning_tokens"], reasoned),
            ] {
                assert_eq!(count.as_u64().is_some_and(|count| count > 0), is_told, "{native:?}: {usage}");
            }
            all.push((choice.text, usage));
        }
        assert_eq!(all[0], all[1], "{native:?}");
        let plain = plain::read(native.dialect, &native.bytes(&mock, "").await);
        assert_eq!((&plain.choices[&0].text, plain.choices[&0].reasoning.as_str()), (&all[0].0, THOUGHT));
        let quiet = proxy.chat(&native.ask("", true)).await.complete(true);
        assert_eq!((&quiet.choices[&0].text, quiet.choices[&0].reasoning.as_str()), (&all[0].0, ""));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_limit_cuts_thoughts_words_and_calls() {
    let (_mock, proxy) = start("").await;
    for native in NATIVES {
        for stream in [true, false] {
            let mut body = native.ask("", stream);
            body["max_tokens"] = json!(native.least.max(5));
            let answer = understood(&proxy.chat(&body).await, stream);
            assert_eq!(answer.choices[&0].finish.as_deref(), Some("length"), "{native:?}");
            assert!(answer.choices[&0].text.starts_with("You said"), "{native:?}");
            // A limit that may not be low is used up by thoughts.
            let thinks = native.least > 3;
            let mut body = if thinks { native.ask_tools(stream) } else { body };
            body["tools"] = native.ask_tools(stream)["tools"].clone();
            body["max_tokens"] = json!(3 + if thinks { THOUGHT_TOKENS } else { 0 });
            let answer = understood(&proxy.chat(&body).await, stream);
            let choice = &answer.choices[&0];
            assert_eq!(choice.finish.as_deref(), Some("length"), "{native:?}");
            assert_eq!(choice.reasoning, if thinks { THOUGHT } else { "" }, "{native:?}");
            assert_eq!(choice.calls.len(), native.cut_calls, "{native:?}: {choice:?}");
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn tools_in_three_turns_with_reasoning_that_comes_back() {
    let (mock, proxy) = start("").await;
    for native in NATIVES {
        for stream in [true, false] {
            let mut body = native.ask_tools(stream);
            for (turn, name) in ["weather", "clock", ""].into_iter().enumerate() {
                let reply = proxy.chat(&body).await;
                assert_eq!(reply.header("x-millpond-dropped"), None, "{native:?} {turn}");
                let answer = understood(&reply, stream);
                let choice = &answer.choices[&0];
                assert_eq!(choice.reasoning, THOUGHT, "{native:?} {turn}");
                let names: Vec<&str> = choice.calls.iter().map(|call| call.name.as_str()).collect();
                if name.is_empty() {
                    assert_eq!(choice.finish.as_deref(), Some("stop"), "{native:?} {turn}");
                    assert!(choice.text.starts_with("The tool says: “18 °C”."), "{}", choice.text);
                    assert!(names.is_empty(), "{native:?} {turn}");
                } else {
                    assert_eq!(choice.finish.as_deref(), Some("tool_calls"), "{native:?} {turn}");
                    assert_eq!(names, [name], "{native:?} {turn}");
                    let arguments: Value = serde_json::from_str(&choice.calls[0].arguments).unwrap();
                    assert!(arguments.as_object().unwrap().values().all(|value| value == "Paris"));
                }
                push(&mut body, message(choice));
                push_results(&mut body, choice);
            }
            let sent = mock.requests().await.pop().unwrap().to_string();
            let thoughts = if native.takes_thoughts { 2 } else { 0 };
            assert_eq!(sent.matches("A short answer will do").count(), thoughts, "{native:?}: {sent}");
            let signatures = if native.takes_thoughts { 0 } else { 2 };
            assert_eq!(sent.matches("\"thoughtSignature\"").count(), signatures, "{native:?}: {sent}");
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_calls_at_once_are_answered_together() {
    let (_mock, proxy) = start("").await;
    for native in NATIVES {
        for stream in [true, false] {
            let mut body = native.ask_tools(stream);
            body["messages"][0]["content"] = json!("What is up?");
            let answer = understood(&proxy.chat(&body).await, stream);
            let choice = &answer.choices[&0];
            assert_eq!(choice.calls.len(), 2, "{native:?}");
            push(&mut body, message(choice));
            let unanswered = body.clone();
            push_results(&mut body, choice);
            let done = understood(&proxy.chat(&body).await, stream);
            assert!(done.choices[&0].text.starts_with("The tool says"), "{native:?}");
            let mut half = unanswered;
            push(&mut half, json!({"role": "tool", "tool_call_id": choice.calls[0].id, "content": "x"}));
            let reply = proxy.chat(&half).await;
            if !native.wants_results {
                understood(&reply, stream);
                continue;
            }
            let error = reply.error(400);
            assert_eq!(error["type"], "invalid_request_error", "{native:?}: {error}");
            assert_eq!(error["provider"], native.provider, "{native:?}: {error}");
        }
    }
}

/// A turn that follows a tool call whose reasoning a test may spoil.
async fn second_turn(native: &Native, proxy: &Proxy, spoil: impl Fn(&mut Value)) -> (Value, Reply) {
    let mut body = native.ask_tools(true);
    let answer = proxy.chat(&body).await.complete(true);
    let choice = &answer.choices[&0];
    let mut said = message(choice);
    spoil(&mut said);
    push(&mut body, said);
    push_results(&mut body, choice);
    let reply = proxy.chat(&body).await;
    (body, reply)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_altered_signature_is_refused() {
    let (_mock, proxy) = start("").await;
    for native in NATIVES {
        let alter = |name: &'static str, key: &'static str| {
            move |said: &mut Value| {
                let details = said["reasoning_details"].as_array_mut().unwrap();
                for detail in details.iter_mut() {
                    if let Some(text) = detail[name].as_str() {
                        detail[name] = json!(format!("{key}{}", text.replace(key, "")));
                    }
                }
            }
        };
        for (name, word) in native.signed {
            let (_, reply) = second_turn(&native, &proxy, alter(name, word)).await;
            let error = reply.error(400);
            assert!(
                error["message"].as_str().unwrap().contains(native.altered),
                "{native:?} {name}: {error}"
            );
            assert_eq!(error["provider"], native.provider, "{error}");
            assert_eq!(error["upstream_status"], 400, "{error}");
        }
        let (_, reply) = second_turn(&native, &proxy, |_| {}).await;
        reply.complete(true);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_its_signed_thought_claude_goes_on_unthinking() {
    let (mock, proxy) = start(FORGETFUL).await;
    let forget = |said: &mut Value| {
        said.as_object_mut().unwrap().remove("reasoning_details");
    };
    for (native, place) in [(BUDGET, "/thinking"), (BEDROCK, "/additionalModelRequestFields/thinking")] {
        let (_, reply) = second_turn(&native, &proxy, forget).await;
        // A budget would be refused, see below: it is left out, and the client is told.
        assert_eq!(reply.header("x-millpond-dropped"), Some("reasoning_effort"), "{native:?}");
        let answer = reply.complete(true);
        assert_eq!((answer.choices[&0].reasoning.as_str(), answer.choices[&0].calls.len()), ("", 1));
        let mut sent = mock.requests().await.pop().unwrap()["body"].clone();
        assert_eq!(sent.pointer(place), None, "{native:?}");
        // The mock itself refuses the budget.
        let (parent, name) = place.rsplit_once('/').unwrap();
        if !parent.is_empty() {
            sent[parent.trim_start_matches('/')] = json!({});
        }
        sent.pointer_mut(parent).unwrap()[name] = json!({"type": "enabled", "budget_tokens": 1024});
        let path = native.path.replace("{model}", native.model);
        let request = client().post(format!("http://{}{path}", mock.address));
        let reply = request.header(native.header.0, native.header.1).body(sent.to_string()).send().await;
        let reply = reply.unwrap();
        assert_eq!(reply.status(), 400, "{native:?}");
        let body = String::from_utf8(reply.bytes().await.unwrap().to_vec()).unwrap();
        assert!(body.contains("must start with a thinking block"), "{native:?}: {body}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_its_signature_gemini_is_told_so() {
    let (mock, proxy) = start(FORGETFUL).await;
    let forget = |said: &mut Value| {
        said.as_object_mut().unwrap().remove("reasoning_details");
    };
    let (_, reply) = second_turn(&GEMINI, &proxy, forget).await;
    assert_eq!(reply.header("x-millpond-dropped"), None);
    assert_eq!(reply.complete(true).choices[&0].calls[0].name, "clock");
    let mut sent = mock.requests().await.pop().unwrap()["body"].clone();
    let call = sent["contents"][1]["parts"][0].as_object_mut().unwrap();
    // Google's own word for calls that have none; the mock itself refuses a call without it.
    assert_eq!(call.remove("thoughtSignature"), Some(json!("skip_thought_signature_validator")));
    let path = GEMINI.path.replace("{model}", GEMINI.model);
    let request = client().post(format!("http://{}{path}", mock.address)).body(sent.to_string());
    let reply = request.header(GEMINI.header.0, GEMINI.header.1).send().await.unwrap();
    assert_eq!(reply.status(), 400);
    let body = String::from_utf8(reply.bytes().await.unwrap().to_vec()).unwrap();
    assert!(body.contains("missing a thought_signature"), "{body}");
}

/// The assistant's message as a client sends it back that knows nothing of reasoning.
fn plain_message(choice: &Choice) -> Value {
    let mut message = message(choice);
    let fields = message.as_object_mut().unwrap();
    fields.retain(|name, _| ["role", "content", "tool_calls"].contains(&name.as_str()));
    if choice.calls.is_empty() {
        fields.remove("tool_calls");
    }
    message
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn tools_in_three_turns_with_a_client_that_drops_reasoning() {
    let (mock, proxy) = start("").await;
    for native in NATIVES {
        for stream in [true, false] {
            let mut body = native.ask_tools(stream);
            for (turn, name) in [(0, "weather"), (1, "clock"), (2, "")] {
                let reply = proxy.chat(&body).await;
                assert_eq!(reply.header("x-millpond-dropped"), None, "{native:?} {turn}");
                let answer = understood(&reply, stream);
                let choice = &answer.choices[&0];
                assert_eq!(choice.reasoning, THOUGHT, "{native:?} {turn}");
                let names: Vec<&str> = choice.calls.iter().map(|call| call.name.as_str()).collect();
                assert_eq!(names.concat(), name, "{native:?} {turn}");
                push(&mut body, plain_message(choice));
                push_results(&mut body, choice);
            }
            // The last answer has no calls: it is known by its words.
            push(&mut body, json!({"role": "user", "content": "Thank you."}));
            understood(&proxy.chat(&body).await, stream);
            let sent = mock.requests().await.pop().unwrap().to_string();
            if !native.signed.is_empty() {
                let count = |name: &str| sent.matches(name).count();
                let thoughts = if native.takes_thoughts { 3 } else { 0 };
                assert_eq!(count("A short answer will do"), thoughts, "{native:?}: {sent}");
                let names = ["\"signature\"", "\"encrypted_content\"", "\"thoughtSignature\""];
                assert_eq!(names.map(count).iter().sum::<usize>(), 3, "{native:?}: {sent}");
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_signature_returns_to_its_own_client_and_model_only() {
    let (mock, proxy) = start("").await;
    let mut body = BUDGET.ask_tools(true);
    let answer = proxy.chat(&body).await.complete(true);
    push(&mut body, plain_message(&answer.choices[&0]));
    push_results(&mut body, &answer.choices[&0]);
    body["model"] = json!("anthropic/claude-opus-4-5");
    let reply = proxy.chat(&body).await;
    assert_eq!(reply.header("x-millpond-dropped"), Some("reasoning_effort"));
    body["model"] = json!(format!("anthropic/{}", BUDGET.model));
    let reply = proxy.chat_with(&body, &[("authorization", "Bearer another")]).await;
    assert_eq!(reply.header("x-millpond-dropped"), Some("reasoning_effort"));
    let sent = mock.requests().await.pop().unwrap().to_string();
    assert!(!sent.contains("A short answer will do"), "{sent}");
    assert_eq!(proxy.chat(&body).await.header("x-millpond-dropped"), None);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_the_memory_such_a_client_is_refused() {
    for (more, is_remembered) in [("", true), (FORGETFUL, false)] {
        let (_mock, proxy) = start(more).await;
        let mut body = BUDGET.ask_tools(true);
        // The provider's own field: millpond does not take the budget back where the thought is lost.
        body["thinking"] = json!({"type": "enabled", "budget_tokens": 1024});
        let answer = proxy.chat(&body).await.complete(true);
        push(&mut body, plain_message(&answer.choices[&0]));
        push_results(&mut body, &answer.choices[&0]);
        let reply = proxy.chat(&body).await;
        if is_remembered {
            assert_eq!(reply.complete(true).choices[&0].reasoning, THOUGHT);
            continue;
        }
        let error = reply.error(400);
        assert!(error["message"].as_str().unwrap().contains("must start with a thinking block"), "{error}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_cannot_be_said_is_told() {
    let (mock, proxy) = start("").await;
    for native in NATIVES {
        for stream in [true, false] {
            let mut body = native.ask("", stream);
            body["seed"] = json!(7);
            body["logit_bias"] = json!({"50256": -100});
            let reply = proxy.chat(&body).await;
            understood(&reply, stream);
            let dropped = reply.header("x-millpond-dropped").unwrap().to_owned();
            assert!(dropped.contains("logit_bias"), "{native:?}: {dropped}");
            let sent = mock.requests().await.pop().unwrap()["body"].to_string();
            assert!(!sent.contains("logit_bias"), "{native:?}: {sent}");
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn hidden_thoughts_come_back() {
    let (mock, proxy) = start("").await;
    let triggered = "ANTHROPIC_MAGIC_STRING_TRIGGER_REDACTED_THINKING, one by one";
    // OpenAI hides thoughts whose summary nobody asked for.
    let silent = Native { think: ("reasoning_effort", r#""medium""#), ..RESPONSES };
    for (native, words, hidden) in
        [(BUDGET, triggered, "redacted_thinking"), (silent, "one by one", "encrypted_content\":\"")]
    {
        let mut body = native.ask_tools(true);
        body["messages"][0]["content"] = json!(words);
        let answer = proxy.chat(&body).await.complete(true);
        let choice = &answer.choices[&0];
        assert_eq!(choice.reasoning, "", "{native:?}");
        assert!(choice.details[0].contains("reasoning.encrypted"), "{native:?}: {:?}", choice.details);
        push(&mut body, message(choice));
        push_results(&mut body, choice);
        assert_eq!(proxy.chat(&body).await.complete(true).choices[&0].calls[0].name, "clock", "{native:?}");
        let sent = mock.requests().await.pop().unwrap()["body"].to_string();
        assert!(sent.contains(hidden), "{native:?}: {sent}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn refusals_are_told() {
    let (_mock, proxy) = start("").await;
    for (native, finish, word) in [
        (BUDGET, "content_filter", Some("refusal")),
        (BEDROCK, "content_filter", Some("content_filtered")),
        (GEMINI, "content_filter", Some("PROHIBITED_CONTENT")),
        (RESPONSES, "stop", Some("completed")),
        // They have no word for it.
        (COHERE, "stop", Some("COMPLETE")),
        (OLLAMA, "stop", None),
    ] {
        for stream in [true, false] {
            let mut body = native.ask("", stream);
            body["messages"][0]["content"] = json!("ANTHROPIC_MAGIC_STRING_TRIGGER_REFUSAL");
            let answer = understood(&proxy.chat(&body).await, stream);
            let choice = &answer.choices[&0];
            assert_eq!((choice.finish.as_deref(), choice.native.as_deref()), (Some(finish), word));
            let (said, silent) = match native.dialect {
                "openai-responses" => (&choice.refusal, &choice.text),
                _ => (&choice.text, &choice.refusal),
            };
            // Gemini blocks the prompt, to which there is no answer.
            let words = if native.dialect == "gemini" { "" } else { "I'm sorry" };
            assert_eq!(
                (said.get(..9).unwrap_or(said), silent.as_str()),
                (words, ""),
                "{native:?}: {choice:?}"
            );
        }
    }
}

/// A fault in place of an answer: its name, the status that it becomes, the upstream's, type and code.
const EARLY: [(&str, u16, u16, &str, &str); 12] = [
    ("400", 400, 400, "invalid_request_error", "upstream_error"),
    ("401", 401, 401, "authentication_error", "upstream_error"),
    ("403", 403, 403, "permission_error", "upstream_error"),
    ("404", 404, 404, "not_found_error", "upstream_error"),
    ("429", 429, 429, "rate_limit_error", "upstream_error"),
    ("500", 500, 500, "upstream_error", "upstream_error"),
    ("500-html", 500, 500, "upstream_error", "upstream_error"),
    ("529", 529, 529, "overloaded_error", "upstream_error"),
    ("html-200", 502, 200, "upstream_error", "upstream_error"),
    ("empty", 502, 200, "upstream_error", "empty"),
    ("cut-after-0", 502, 200, "upstream_error", "empty"),
    ("only-done", 502, 200, "upstream_error", "empty"),
];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_refusal_keeps_its_status() {
    let (_mock, proxy) = start("").await;
    for native in NATIVES {
        for (fault, status, upstream, kind, code) in EARLY {
            for stream in [true, false] {
                let reply = proxy.chat(&native.ask(&format!("/{fault}"), stream)).await;
                let error = reply.error(status);
                let told = (error["type"].as_str(), error["code"].as_str());
                assert_eq!(told, (Some(kind), Some(code)), "{native:?} {fault}: {error}");
                assert_eq!(error["provider"], native.provider, "{native:?} {fault}: {error}");
                assert_eq!(error["upstream_status"], upstream, "{native:?} {fault}: {error}");
                if fault == "429" {
                    assert_eq!(reply.header("retry-after"), Some("2"), "{native:?}");
                }
            }
        }
    }
}

/// A fault in the middle of an answer: its name, its code, its type, and the fault that says as much and can
/// be read by anybody.
const LATE: [(&str, &str, &str, &str); 10] = [
    ("cut-after-9", "truncated", "upstream_error", "cut-after-9"),
    ("cut-after-38", "truncated", "upstream_error", "cut-after-38"),
    ("cut-half-9", "truncated", "upstream_error", "cut-after-8"),
    ("abort-after-9", "connection_lost", "upstream_error", "cut-after-9"),
    ("reset-after-9", "connection_lost", "upstream_error", "cut-after-9"),
    ("stall-9", "stalled", "timeout_error", "cut-after-9"),
    ("garbage-9", "malformed", "upstream_error", "cut-after-9"),
    ("error-9", "upstream_error", "upstream_error", "cut-after-9"),
    ("no-finish-no-done", "truncated", "upstream_error", "no-finish-no-done"),
    ("huge-frame", "too_large", "upstream_error", "cut-after-1"),
];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_fault_is_told_in_the_stream() {
    // Only silence is waited for: a large frame on a busy machine would be taken for it.
    let (mock, patient) = start("").await;
    let (hasty_mock, hasty) = start("idle_timeout = \"500ms\"").await;
    for native in NATIVES {
        for (fault, code, kind, readable) in LATE {
            let is_silence = code == "stalled";
            let (mock, proxy) = if is_silence { (&hasty_mock, &hasty) } else { (&mock, &patient) };
            let end = format!("/{fault}");
            let reply = proxy.chat(&native.ask_thinking(&end, true)).await;
            let plain = plain::read(native.dialect, &native.bytes(mock, &format!("/{readable}")).await);
            let said = plain.choices.get(&0);
            let said = said.map(|said| (said.text.clone(), said.reasoning.clone())).unwrap_or_default();
            let error = if said == Default::default() {
                reply.error(502)
            } else {
                let answer = reply.stream(true);
                assert_eq!(answer.end, End::Fault(code.to_owned()), "{native:?} {fault}: {}", reply.text());
                let choice = &answer.choices[&0];
                assert_eq!((&choice.text, &choice.reasoning), (&said.0, &said.1), "{native:?} {fault}");
                let text = reply.text();
                assert!(!text.contains("[DONE]"), "{native:?} {fault}");
                let last = text.trim_end().rsplit("\n\n").next().unwrap().strip_prefix("data: ").unwrap();
                serde_json::from_str::<Value>(last).unwrap()["error"].clone()
            };
            check_error(&error);
            let told = (error["type"].as_str(), error["code"].as_str());
            let kind = if fault == "error-9" { error["type"].as_str().unwrap() } else { kind };
            assert_eq!(told, (Some(kind), Some(code)), "{native:?} {fault}: {error}");
            let whole = proxy.chat(&native.ask_thinking(&end, false)).await;
            let status = whole.status.as_u16();
            assert!(status >= 500, "{native:?} {fault}: {status}");
            check_error(&whole.json()["error"]);
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn harmless_oddities_change_nothing() {
    let (_mock, proxy) = start("").await;
    for native in NATIVES {
        let clean = proxy.chat(&native.ask_thinking("", true)).await.complete(true);
        for fault in [
            "drip",
            "keep-alives",
            "crlf",
            "bom",
            "unknown-frame-9",
            "no-blank-line",
            "after-done",
            "nan-9",
            "surrogate",
            "json",
        ] {
            if native.impossible.contains(&fault) {
                continue;
            }
            let answer = proxy.chat(&native.ask_thinking(&format!("/{fault}"), true)).await.complete(true);
            let (said, expect) = (&answer.choices[&0], &clean.choices[&0]);
            assert_eq!(
                (&said.text, &said.reasoning),
                (&expect.text, &expect.reasoning),
                "{native:?} {fault}"
            );
            assert_eq!(said.finish, expect.finish, "{native:?} {fault}");
            // A piece that is cut in two counts as two.
            assert!(fault == "surrogate" || answer.usage == clean.usage, "{native:?} {fault}");
        }
    }
}
