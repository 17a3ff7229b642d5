//! Metrics over OTLP: the names of each generation, and values that are those of the answers.

use std::collections::BTreeSet;

use millpond::telemetry::semconv::{self, Generation, Kind, METRICS, Metric};
use serde_json::{Value, json};

use crate::client::Client;
use crate::harness::{Mock, ask, ask_usage, until};
use crate::measure::Measures;
use crate::program::{Program, provider};
use crate::sink::Sink;
use crate::trees::stream;
use crate::upstream::Upstream;

/// A provider that is asked once in a minute, and is not there.
const NARROW: &str =
    "[providers.narrow]\nbase_url = \"http://127.0.0.1:1/v1\"\nlimits.requests_per_minute = 1\n";

/// An answer with this usage. Its two events come at different times.
fn answer(model: &str, usage: &Value) -> [Vec<u8>; 2] {
    let chunk = |choices: Value| json!({"id": "c-1", "object": "chat.completion.chunk", "created": 7, "model": model, "choices": choices});
    let first =
        chunk(json!([{"index": 0, "delta": {"role": "assistant", "content": "a"}, "finish_reason": null}]));
    let second = chunk(json!([{"index": 0, "delta": {"content": "b"}, "finish_reason": null}]));
    let finish = chunk(json!([{"index": 0, "delta": {}, "finish_reason": "stop"}]));
    let mut last = chunk(json!([]));
    last["usage"] = usage.clone();
    let whole = stream("", &[first.clone(), second, finish, last]);
    let split = String::from_utf8_lossy(&whole).find("data: {").unwrap() + format!("data: {first}\n\n").len();
    // The halves are parts of one HTTP chunk, which nobody minds.
    [whole[..split].to_vec(), whole[split..].to_vec()]
}

/// Asks once, and sees that the two halves of the answer arrive apart.
async fn once(program: &Program, upstream: &mut Upstream, body: &Value, answer: [Vec<u8>; 2]) {
    let mut client = Client::ask(program.address, body).await;
    let (mut connection, _) = upstream.request().await;
    connection.write(&answer[0]).await;
    if body["stream"] == true {
        assert_eq!(client.head().await.status, 200);
        assert!(client.chunk().await.is_some());
        connection.write(&answer[1]).await;
        client.rest().await;
    } else {
        connection.write(&answer[1]).await;
        assert_eq!(client.head().await.status, 200);
    }
}

fn names(wanted: impl Fn(&Metric) -> bool) -> BTreeSet<&'static str> {
    METRICS.iter().filter(|metric| wanted(metric)).map(|metric| metric.name).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_generation_has_its_names_and_both_are_the_default() {
    type Wanted = fn(&Metric) -> bool;
    let both: Wanted = |_| true;
    let latest = |metric: &Metric| metric.generation != Generation::Legacy;
    let legacy = |metric: &Metric| metric.generation != Generation::Latest;
    let cases: [(&str, &str, Option<&str>, Wanted); 6] = [
        ("default", "", None, both),
        ("both", "[telemetry]\nmetrics = \"both\"", None, both),
        ("latest", "[telemetry]\nmetrics = \"latest\"", None, latest),
        ("legacy", "[telemetry]\nmetrics = \"legacy\"", None, legacy),
        ("opt_in", "", Some("http,gen_ai_latest_experimental"), latest),
        ("opt_in_wins", "[telemetry]\nmetrics = \"legacy\"", Some("gen_ai_latest_experimental"), latest),
    ];
    // Everything is counted that can be: with an upstream that mends, leaves and reports.
    let usage = json!({
        "prompt_tokens": 9, "completion_tokens": 4, "total_tokens": 13, "cost": 0.5,
        "prompt_tokens_details": {"cached_tokens": 4, "cache_write_tokens": 1},
        "completion_tokens_details": {"reasoning_tokens": 2},
    });
    for (test, config, opt_in, wanted) in cases {
        let (sink, mut upstream) = (Sink::start().await, Upstream::start().await);
        let opt_in = opt_in.map(|words| ("OTEL_SEMCONV_STABILITY_OPT_IN", words.to_owned()));
        let variables: Vec<_> = [sink.endpoint()].into_iter().chain(opt_in).collect();
        let config = &format!("{config}\n{NARROW}");
        let program = Program::before(&format!("names_{test}"), upstream.address, config, &variables).await;
        once(&program, &mut upstream, &ask_usage("mine/m"), answer("m", &usage)).await;
        let mut client = Client::ask(program.address, &ask_usage("mine/m")).await;
        let (mut connection, _) = upstream.request().await;
        let mended = json!({"choices": [{"delta": {"content": "no id"}, "finish_reason": "stop"}]});
        connection.write(stream("", &[mended])).await;
        client.head().await;
        client.rest().await;
        // It would be used again.
        drop(connection);
        let sent =
            program.send("POST", "/v1/chat/completions", &[("content-type", "application/json")], "{").await;
        assert_eq!(sent.status.as_u16(), 400);
        // One who comes over a limit.
        for status in [502, 429] {
            let sent = program.chat(&ask("narrow/m", true)).await;
            assert_eq!(sent.status.as_u16(), status);
        }
        // One who leaves.
        let client = Client::ask(program.address, &ask_usage("mine/m")).await;
        let (mut connection, _) = upstream.request().await;
        drop(client);
        connection.closed().await;
        program.stop().await;
        let measures = Measures::last(&sink.arrived());
        let expect = names(wanted);
        assert_eq!(measures.names(), expect, "{test}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn values_are_those_of_the_answers() {
    let (sink, mut upstream) = (Sink::start().await, Upstream::start().await);
    let program = Program::before("values", upstream.address, "", &[sink.endpoint()]).await;
    let usage = |prompt: u64, completion: u64, cost: f64| {
        json!({
            "prompt_tokens": prompt, "completion_tokens": completion, "total_tokens": prompt + completion,
            "cost": cost, "prompt_tokens_details": {"cached_tokens": prompt / 2, "cache_write_tokens": 3},
            "completion_tokens_details": {"reasoning_tokens": completion / 2},
        })
    };
    let asked = [("a", true, 100, 10, 0.25), ("a", false, 50, 20, 0.5), ("b", true, 1_000_000, 3, 0.0)];
    for (model, streamed, prompt, completion, cost) in asked {
        let mut body = ask(&format!("mine/{model}"), streamed);
        if streamed {
            body["stream_options"] = json!({"include_usage": true});
        }
        once(&program, &mut upstream, &body, answer(model, &usage(prompt, completion, cost))).await;
    }
    program.stop().await;
    let measures = Measures::last(&sink.arrived());
    let (sum, count) = (
        |metric, with: &[(&str, &str)]| measures.sum(metric, with),
        |metric, with: &[(&str, &str)]| measures.count(metric, with),
    );
    for (model, requests, prompt, completion) in [("a", 2, 150.0, 30.0), ("b", 1, 1e6, 3.0)] {
        let with = [
            (semconv::OPERATION, "chat"),
            (semconv::PROVIDER, "mine"),
            (semconv::REQUEST_MODEL, model),
            (semconv::RESPONSE_MODEL, model),
            (semconv::SERVER_ADDRESS, "127.0.0.1"),
        ];
        assert_eq!(sum(semconv::USAGE_INPUT, &with), prompt, "{model}");
        assert_eq!(sum(semconv::USAGE_OUTPUT, &with), completion, "{model}");
        assert_eq!(sum(semconv::USAGE_CACHE_READ, &with), prompt / 2.0, "{model}");
        assert_eq!(sum(semconv::USAGE_CACHE_WRITE, &with), 3.0 * requests as f64, "{model}");
        assert_eq!(sum(semconv::INPUT_PER_INFERENCE, &with), prompt, "{model}");
        assert_eq!(sum(semconv::OUTPUT_PER_INFERENCE, &with), completion, "{model}");
        for (kind, tokens) in [("input", prompt), ("output", completion)] {
            let with = [&with[..], &[(semconv::TOKEN_TYPE, kind)]].concat();
            assert_eq!(sum(semconv::TOKEN_USAGE, &with), tokens, "{model} {kind}");
            assert_eq!(count(semconv::TOKEN_USAGE, &with), requests, "{model} {kind}");
        }
        for metric in [
            semconv::INFERENCE_DURATION,
            semconv::OPERATION_DURATION,
            semconv::REQUEST_DURATION,
            semconv::INFERENCE_FIRST_CHUNK,
            semconv::OPERATION_FIRST_CHUNK,
            semconv::FIRST_TOKEN_TIME,
            semconv::TOKEN_TIME,
            semconv::USAGE_COST,
            semconv::INPUT_PER_INFERENCE,
        ] {
            assert_eq!(count(metric, &with), requests, "{model}: {}", metric.name);
        }
        assert!(measures.find(semconv::INFERENCE_DURATION, &with).iter().all(|series| {
            series.attributes[semconv::SERVER_PORT] == upstream.address.port()
                && !series.attributes.contains_key(semconv::ERROR_TYPE)
        }));
    }
    assert_eq!(sum(semconv::USAGE_REASONING, &[]), 5.0 + 10.0 + 1.0);
    assert_eq!(sum(semconv::USAGE_COST, &[]), 0.75);
    assert_eq!(sum(semconv::ATTEMPTS_MADE, &[(semconv::PROVIDER, "mine"), (semconv::OUTCOME, "ok")]), 3.0);
    assert_eq!(sum(semconv::STREAM_END, &[(semconv::END_REASON, "complete")]), 3.0);
    assert_eq!(sum(semconv::DISCONNECTS, &[]), 0.0);
    assert_eq!(sum(semconv::STREAMS_ACTIVE, &[]), 0.0);
    assert_eq!(count(semconv::SERVER_DURATION, &[(semconv::HTTP_ROUTE, "/v1/chat/completions")]), 3);
    assert_eq!(count(semconv::CLIENT_DURATION, &[(semconv::HTTP_METHOD, "POST")]), 3);
    // Whoever streams sees the two arrivals of each answer apart.
    assert!(count(semconv::INFERENCE_PER_CHUNK, &[]) >= 2);
    assert_eq!(count(semconv::OVERHEAD, &[(semconv::PHASE, "first_byte")]), 3);
    assert!(count(semconv::OVERHEAD, &[(semconv::PHASE, "chunk")]) >= 5);
    assert!(sum(semconv::OVERHEAD, &[]) < sum(semconv::INFERENCE_DURATION, &[]));
    assert!(sum(semconv::MEMORY, &[]) > 1e6 && sum(semconv::CPU_TIME, &[]) >= 0.0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn counts_that_nobody_gave_are_not_measured() {
    let (sink, mut upstream) = (Sink::start().await, Upstream::start().await);
    let program = Program::before("no_counts", upstream.address, "", &[sink.endpoint()]).await;
    for usage in [Value::Null, json!({"prompt_tokens": 0, "completion_tokens": 0, "total_tokens": 0})] {
        once(&program, &mut upstream, &ask("mine/m", true), answer("m", &usage)).await;
    }
    let ended = program.stop().await;
    let arrived = sink.arrived();
    let measures = Measures::last(&arrived);
    for metric in METRICS.iter().filter(|metric| metric.unit == "{token}") {
        // A counter may be there and not have counted; a histogram would tell of a request with no tokens.
        match metric.kind {
            Kind::Histogram(_) => assert_eq!(measures.count(*metric, &[]), 0, "{}", metric.name),
            Kind::Counter | Kind::UpDownCounter => {
                assert_eq!(measures.sum(*metric, &[]), 0.0, "{}", metric.name)
            }
        }
    }
    assert_eq!(measures.count(semconv::USAGE_COST, &[]), 0);
    for tree in crate::trace::trees(&arrived).values() {
        let counted = tree.inference().attributes.keys().find(|name| name.contains("usage"));
        assert_eq!(counted, None);
    }
    for line in ended.requests() {
        for absent in ["input_tokens", "output_tokens", "cost"] {
            assert!(line.get(absent).is_none_or(Value::is_null), "{line}");
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_cost_is_the_provider_s_or_follows_from_the_prices() {
    let (sink, mock) = (Sink::start().await, Mock::start().await);
    let config = format!(
        "{}[prices.\"mine/demo/deepseek\"]\ninput = 2.0\noutput = 10.0\ncache_read = 0.5\n\
         [prices.\"mine/demo/openrouter\"]\ninput = 1000.0\noutput = 1000.0\n",
        provider("mine", mock.address, "")
    );
    let program = Program::start("prices", &config, &[sink.endpoint()]).await;
    let answer = program.chat(&ask_usage("mine/demo/deepseek")).await.complete(true);
    let usage = answer.usage.unwrap();
    let count = |path: &str| usage.pointer(path).and_then(Value::as_f64).unwrap();
    let (prompt, completion) = (count("/prompt_tokens"), count("/completion_tokens"));
    let cached = count("/prompt_tokens_details/cached_tokens");
    assert!(cached > 0.0 && cached < prompt, "{usage}");
    let priced = ((prompt - cached) * 2.0 + cached * 0.5 + completion * 10.0) / 1e6;
    let told = program.chat(&ask_usage("mine/demo/openrouter")).await.complete(true).usage.unwrap();
    let reported = told["cost"].as_f64().unwrap();
    program.chat(&ask_usage("mine/demo/mistral")).await.complete(true);
    let ended = program.stop().await;
    let arrived = sink.arrived();
    let near = |found: f64, expect: f64| (found - expect).abs() < 1e-12;
    let cost_of = |model: &str| {
        let trees = crate::trace::trees(&arrived);
        let tree = trees.values().find(|tree| tree.inference().at("gen_ai.request.model") == model).unwrap();
        tree.inference().at("millpond.usage.cost").as_f64()
    };
    assert!(near(cost_of("demo/deepseek").unwrap(), priced), "{:?} {priced}", cost_of("demo/deepseek"));
    assert!(near(cost_of("demo/openrouter").unwrap(), reported), "the provider knows better");
    assert_eq!(cost_of("demo/mistral"), None);
    let measures = Measures::last(&arrived);
    assert_eq!(measures.count(semconv::USAGE_COST, &[]), 2);
    assert!(near(measures.sum(semconv::USAGE_COST, &[]), priced + reported));
    let costs: Vec<Option<f64>> = ended.requests().iter().map(|line| line["cost"].as_f64()).collect();
    assert!(near(costs[0].unwrap(), priced) && near(costs[1].unwrap(), reported), "{costs:?}");
    assert_eq!(costs[2], None);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn names_that_clients_invent_become_one() {
    let (sink, mock) = (Sink::start().await, Mock::start().await);
    let models = "models = [\"listed\"]";
    let config = format!("[aliases]\nquick = \"mine/aliased\"\n{}", provider("mine", mock.address, models));
    let program = Program::start("cardinality", &config, &[sink.endpoint()]).await;
    for number in 0..300 {
        let reply = program.chat(&ask(&format!("mine/invented-{number}"), number % 2 == 0)).await;
        assert_eq!(reply.status.as_u16(), 404, "{}", reply.text());
    }
    // Names of the config are known even if they are refused, and those that answered.
    for model in ["mine/listed", "quick"] {
        assert_eq!(program.chat(&ask(model, true)).await.status.as_u16(), 404);
    }
    program.chat(&ask("mine/demo/groq", true)).await.complete(false);
    program.stop().await;
    let arrived = sink.arrived();
    let measures = Measures::last(&arrived);
    let expect: BTreeSet<String> = ["_other", "aliased", "demo/groq", "listed"].map(str::to_owned).into();
    assert_eq!(measures.values(semconv::REQUEST_MODEL), expect);
    let other = [(semconv::REQUEST_MODEL, "_other"), (semconv::ERROR_TYPE, "404")];
    assert_eq!(measures.count(semconv::INFERENCE_DURATION, &other), 300);
    assert_eq!(measures.find(semconv::INFERENCE_DURATION, &other).len(), 1, "one series");
    // A span is no series: it has the name as it was.
    let trees = crate::trace::trees(&arrived);
    let names: BTreeSet<&str> =
        trees.values().map(|tree| tree.inference().at("gen_ai.request.model").as_str().unwrap()).collect();
    assert_eq!(names.len(), 303);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn methods_and_paths_that_clients_invent_become_few() {
    let (sink, mock) = (Sink::start().await, Mock::start().await);
    let program = Program::before("paths", mock.address, "", &[sink.endpoint()]).await;
    for number in 0..50 {
        let reply = program.send(&format!("QUACK{number}"), &format!("/pond/{number}"), &[], "").await;
        assert_eq!(reply.status.as_u16(), 404, "{}", reply.text());
    }
    program.stop().await;
    let measures = Measures::last(&sink.arrived());
    assert_eq!(measures.find(semconv::SERVER_DURATION, &[]).len(), 1);
    assert_eq!(measures.count(semconv::SERVER_DURATION, &[(semconv::HTTP_METHOD, "_OTHER")]), 50);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn answers_are_active_while_they_run() {
    let (sink, mut upstream) = (Sink::start().await, Upstream::start().await);
    let interval = ("OTEL_METRIC_EXPORT_INTERVAL", "50".to_owned());
    let program = Program::before("active", upstream.address, "", &[sink.endpoint(), interval]).await;
    let client = Client::ask(program.address, &ask("mine/m", true)).await;
    let (mut connection, _) = upstream.request().await;
    let active =
        |arrived| Measures::last(&arrived).sum(semconv::STREAMS_ACTIVE, &[(semconv::PROVIDER, "mine")]);
    until("a running answer", async || {
        let arrived = sink.arrived();
        !arrived.metrics.is_empty() && active(arrived) == 1.0
    })
    .await;
    drop(client);
    connection.closed().await;
    until("no running answer", async || active(sink.arrived()) == 0.0).await;
    // What is exported at intervals is exported at the end as well.
    let before = sink.arrived().metrics.len();
    program.stop().await;
    assert!(sink.arrived().metrics.len() > before);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_interval_of_the_file_is_kept() {
    let (sink, mock) = (Sink::start().await, Mock::start().await);
    let config = "[telemetry]\nmetric_interval = \"50ms\"";
    let program = Program::before("interval", mock.address, config, &[sink.endpoint()]).await;
    until("three exports", async || sink.arrived().metrics.len() >= 3).await;
    program.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_became_of_telemetry_is_counted() {
    let (sink, mock) = (Sink::start().await, Mock::start().await);
    let delay = ("OTEL_BSP_SCHEDULE_DELAY", "20".to_owned());
    let interval = ("OTEL_METRIC_EXPORT_INTERVAL", "50".to_owned());
    let program = Program::before("tally", mock.address, "", &[sink.endpoint(), delay, interval]).await;
    program.chat(&ask("mine/demo", true)).await.complete(false);
    for (outcome, count) in [("ended", "3"), ("exported", "3"), ("failed", "0")] {
        let series = format!("millpond_telemetry_spans_total{{millpond_outcome=\"{outcome}\"}}");
        program.until_series(&series, count).await;
    }
    for signal in ["traces", "metrics"] {
        let none = format!(
            "millpond_telemetry_exports_total{{millpond_outcome=\"ok\",millpond_signal=\"{signal}\"}} 0"
        );
        until(&format!("an export of {signal}"), async || !program.scrape().await.contains(&none)).await;
    }
    program.stop().await;
    let measures = Measures::last(&sink.arrived());
    let exports = |signal: &str, outcome: &str| {
        measures.sum(semconv::TELEMETRY_EXPORTS, &[(semconv::SIGNAL, signal), (semconv::OUTCOME, outcome)])
    };
    assert!(exports("traces", "ok") >= 1.0 && exports("metrics", "ok") >= 1.0);
    assert_eq!((exports("traces", "failed"), exports("metrics", "failed")), (0.0, 0.0));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_scrape_and_an_export_hold_the_same() {
    let (sink, mock) = (Sink::start().await, Mock::start().await);
    let program = Program::before("same", mock.address, "", &[sink.endpoint()]).await;
    for manner in ["openai", "groq", "openrouter/cut-after-3", "openai/429"] {
        program.chat(&ask_usage(&format!("mine/demo/{manner}"))).await;
    }
    let page = program.scrape().await;
    program.stop().await;
    let measures = Measures::last(&sink.arrived());
    for metric in [semconv::USAGE_OUTPUT, semconv::REPAIRS_MADE, semconv::STREAM_END, semconv::ATTEMPTS_MADE]
    {
        let name = metric.prometheus_name();
        let lines =
            page.lines().filter(|line| line.strip_prefix(&name).is_some_and(|rest| rest.starts_with('{')));
        let scraped: f64 = lines.map(|line| line.rsplit_once(' ').unwrap().1.parse::<f64>().unwrap()).sum();
        assert!(scraped > 0.0, "{name}");
        assert_eq!(measures.sum(metric, &[]), scraped, "{name}");
    }
}
