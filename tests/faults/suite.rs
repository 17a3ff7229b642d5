//! Plays a table through one program, and compares what four places tell of each scenario.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Instant;

use millpond::telemetry::semconv;
use serde_json::{Value, json};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;

use crate::harness::{KEY, Reply};
use crate::measure::Measures;
use crate::player::Player;
use crate::program::Program;
use crate::said::Said;
use crate::scenario::{Scenario, Text, Upstream};
use crate::sink::Sink;
use crate::streams::Identity;
use crate::support::assert_none;
use crate::support::contract::{End, check_object, check_stream};
use crate::trace::{Tree, trees};
use crate::wire::{FRAME_LIMIT, content_type};

/// What a client was told.
struct Told {
    end: String,
    said: Said,
    attempts: Option<String>,
}

/// Everything that is known of one scenario after the run.
struct Evidence<'a> {
    scenario: &'a Scenario,
    provider: &'a str,
    told: Result<Told, String>,
    tree: &'a Tree,
    line: &'a Value,
    measures: &'a Measures,
    asked: usize,
}

/// Plays all scenarios, each once.
pub async fn play(name: &str, scenarios: Vec<Scenario>) {
    play_with(name, "", 48, scenarios).await;
}

/// Plays all scenarios, so many of them at once; `config` stands at the top of the program's.
pub async fn play_with(name: &str, config: &str, at_once: usize, scenarios: Vec<Scenario>) {
    let start = Instant::now();
    let (sink, identity) = (Sink::start().await, Identity::new(name));
    let plain = |upstream: &Upstream| match upstream {
        Upstream::Plain(scripts) => Some(scripts.clone()),
        Upstream::Streams(..) => None,
    };
    let scripts = scenarios.iter().enumerate();
    let scripts =
        scripts.filter_map(|(number, scenario)| Some((number, plain(&scenario.upstream)?))).collect();
    let player = Player::start(scripts).await;
    let mut counters = HashMap::new();
    let mut config = format!("frame_limit_bytes = {FRAME_LIMIT}\nbreaker.failures = 0\n{config}\n");
    for (number, scenario) in scenarios.iter().enumerate() {
        let speech = scenario.speech;
        let url = match &scenario.upstream {
            Upstream::Plain(_) => format!("http://{}/{number}{}", player.address, speech.base),
            Upstream::Streams(pieces, stop) => {
                let (address, asked) = identity.serve(content_type(speech), pieces.clone(), *stop).await;
                counters.insert(number, asked);
                format!("https://localhost:{}/{number}{}", address.port(), speech.base)
            }
        };
        let (dialect, more) = (speech.name, scenario.config);
        config += &format!(
            "[providers.s{number}]\nbase_url = \"{url}\"\ndialect = \"{dialect}\"\napi_key = \"{KEY}\"\n{more}\n"
        );
    }
    let variables = [
        sink.endpoint(),
        ("OTEL_BSP_SCHEDULE_DELAY", "50".to_owned()),
        ("SSL_CERT_FILE", identity.file.display().to_string()),
    ];
    let program = Arc::new(Program::start(name, &config, &variables).await);
    let (scenarios, places) = (Arc::new(scenarios), Arc::new(Semaphore::new(at_once)));
    let mut playing = JoinSet::new();
    for number in 0..scenarios.len() {
        let (program, scenarios, places) =
            (Arc::clone(&program), Arc::clone(&scenarios), Arc::clone(&places));
        playing.spawn(async move {
            let _place = places.acquire_owned().await.unwrap();
            let reply = ask(&program, number, scenarios[number].stream).await;
            (number, read(&reply, scenarios[number].stream))
        });
    }
    let told = playing.join_all().await;
    let ended = Arc::into_inner(program).unwrap().stop().await;
    let (trees, measures) = (trees(&sink.arrived()), Measures::last(&sink.arrived()));
    let lines = ended.requests();
    let lines: HashMap<&str, &Value> =
        lines.iter().map(|line| (line["trace_id"].as_str().unwrap(), line)).collect();
    assert_eq!((trees.len(), lines.len()), (scenarios.len(), scenarios.len()));
    let mut failures = Vec::new();
    for (number, told) in told {
        let (provider, trace) = (format!("s{number}"), trace(number));
        let scenario = &scenarios[number];
        let streamed = counters.get(&number).map(|asked| asked.load(Ordering::SeqCst));
        let evidence = Evidence {
            scenario,
            provider: &provider,
            told,
            tree: &trees[&trace],
            line: lines[trace.as_str()],
            measures: &measures,
            asked: streamed.unwrap_or_else(|| player.asked(number)),
        };
        let found = evidence.check();
        failures.extend(found.into_iter().map(|what| format!("[{number}] {}: {what}", scenario.name)));
    }
    failures.sort();
    println!("{name}: {} scenarios in {:?}", scenarios.len(), start.elapsed());
    assert_none(&failures);
}

/// The trace of a scenario.
fn trace(number: usize) -> String {
    format!("{:032x}", number + 1)
}

async fn ask(program: &Program, number: usize, stream: bool) -> Reply {
    let body = json!({
        "model": format!("s{number}/m"),
        "stream": stream,
        "max_tokens": 100,
        "messages": [{"role": "user", "content": "Hello, ducks!"}],
    });
    let context = format!("00-{}-00f067aa0ba902b7-01", trace(number));
    program.chat_with(&body, &[("traceparent", &context)]).await
}

/// What a client understands of an answer, or which rule the answer breaks.
fn read(reply: &Reply, stream: bool) -> Result<Told, String> {
    let attempts = reply.header("x-millpond-attempts").map(str::to_owned);
    if reply.status != 200 {
        let error = &reply.json()["error"];
        let code = error["code"].as_str().ok_or_else(|| format!("no code: {}", reply.text()))?;
        return Ok(Told { end: code.to_owned(), said: Said::default(), attempts });
    }
    let answer = if stream { check_stream(&reply.body, false) } else { check_object(&reply.body) };
    let answer = answer.map_err(|rule| format!("{rule}: {}", reply.text()))?;
    let end = match &answer.end {
        End::Complete => "complete".to_owned(),
        End::Fault(code) => code.clone(),
    };
    Ok(Told { end, said: Said::to(&answer), attempts })
}

impl Evidence<'_> {
    /// Whatever is not as it must be.
    fn check(&self) -> Vec<String> {
        let told = match &self.told {
            Ok(told) => told,
            Err(rule) => return vec![rule.clone()],
        };
        let mut wrong = Vec::new();
        let mut must = |is: bool, what: String| {
            if !is {
                wrong.push(what);
            }
        };
        let end = self.scenario.end.as_str();
        must(told.end == end, format!("the client was told {}, not {end}", told.end));
        let span = self.tree.inference();
        let reason = span.at(semconv::END_REASON);
        must(reason == end, format!("the span tells {reason}, not {end}"));
        let logged = &self.line["end"];
        must(logged == end, format!("the log tells {logged}, not {end}"));
        let of_provider = [(semconv::PROVIDER, self.provider)];
        let all = self.measures.sum(semconv::STREAM_END, &of_provider);
        let with = [of_provider[0], (semconv::END_REASON, end)];
        let counted = self.measures.sum(semconv::STREAM_END, &with);
        must((all, counted) == (1.0, 1.0), format!("the metric tells {counted} of {all} {end}"));
        let active = self.measures.sum(semconv::STREAMS_ACTIVE, &of_provider);
        must(active == 0.0, format!("{active} streams are active"));
        let attempts = self.scenario.attempts;
        must(self.asked == attempts, format!("{} requests came", self.asked));
        let header = told.attempts.as_deref();
        must(header == Some(attempts.to_string().as_str()), format!("the header tells {header:?} attempts"));
        let counts = [
            ("the span", span.at(semconv::ATTEMPTS).as_f64()),
            ("the log", self.line["attempts"].as_f64()),
            ("the metric", Some(self.measures.sum(semconv::ATTEMPTS_MADE, &of_provider))),
        ];
        for (place, count) in counts {
            must(count == Some(attempts as f64), format!("{place} tells {count:?} attempts"));
        }
        must(self.says_what_it_must(told), format!("said {:?}, not {:?}", told.said, self.scenario.text));
        wrong
    }

    fn says_what_it_must(&self, told: &Told) -> bool {
        if !self.scenario.stream && told.end != "complete" {
            return told.said.is_empty();
        }
        match &self.scenario.text {
            Text::All(all) if told.end == "complete" => told.said == *all,
            Text::All(all) => told.said.begins(all) && told.said.texts() == all.texts(),
            Text::Beginning(whole) => told.said.begins(whole),
            Text::Between(least, whole) => told.said.begins(whole) && least.begins(&told.said),
        }
    }
}
