//! Streams that fail and clients that leave, at random: what is left of them, and what they said.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use serde_json::json;
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tokio::time::timeout;

use crate::ALONE;
use crate::harness::{KEY, client, until, within};
use crate::process::{Holdings, Mock, Process};
use crate::program::Program;
use crate::rows::{BEDROCK, BUDGET, COHERE, GEMINI, Native, OLLAMA, RESPONSES};
use crate::support::Random;
use crate::support::contract::{Answer, End, check_object, check_stream};

/// The first streams, in which everything is made that is kept for each model's name.
const WARM_UP: usize = 1000;
const AT_ONCE: usize = 200;
/// Memory after the storm, in parts of what it was after the warm-up.
const GROWTH: f64 = 1.10;

/// Has the allocator of glibc give free memory back, in place of keeping it for later: what is resident then
/// is what is held. Other allocators do not read these.
const ALLOCATOR: [(&str, &str); 3] =
    [("MALLOC_ARENA_MAX", "1"), ("MALLOC_TRIM_THRESHOLD_", "65536"), ("MALLOC_MMAP_THRESHOLD_", "65536")];

/// What goes wrong, and the ends that may come of it. Those with a number happen in that frame.
const FAULTS: [(&str, bool, &[&str]); 12] = [
    ("", false, &["complete"]),
    ("", false, &["complete"]),
    ("/cut-after", true, &["truncated", "empty"]),
    ("/cut-half", true, &["truncated", "empty"]),
    ("/abort-after", true, &["connection_lost"]),
    ("/reset-after", true, &["connection_lost"]),
    ("/garbage", true, &["malformed"]),
    ("/error", true, &["upstream_error"]),
    ("/stall", true, &["stalled"]),
    ("/500", false, &["upstream_error"]),
    ("/429", false, &["upstream_error"]),
    ("/empty", false, &["empty"]),
];

const CHAT: Native = Native {
    provider: "chat",
    dialect: "openai-chat",
    base: "/v1",
    path: "/v1/chat/completions",
    model: "demo/openai",
    ..BUDGET
};
const SPEECHES: [Native; 7] = [CHAT, BUDGET, BEDROCK, GEMINI, RESPONSES, COHERE, OLLAMA];

/// One request, as chance made it.
#[derive(Debug, Clone, Copy)]
struct Draw {
    speech: usize,
    fault: usize,
    frame: usize,
    stream: bool,
    /// After so many bytes of the body the client leaves; before the answer, if it is none.
    leaves: Option<usize>,
}

/// The frame of each fault in each dialect. It stays for a run: models' names are kept, up to a bound.
type Frames = [[usize; FAULTS.len()]; SPEECHES.len()];

impl Draw {
    fn new(random: &mut Random, frames: &Frames) -> Draw {
        let (speech, fault) = (random.below(SPEECHES.len()), random.below(FAULTS.len()));
        Draw {
            speech,
            fault,
            frame: frames[speech][fault],
            stream: random.below(8) > 0,
            leaves: (random.below(4) == 0).then(|| random.below(3000).saturating_sub(500)),
        }
    }

    fn body(&self) -> serde_json::Value {
        let Native { provider, model, .. } = SPEECHES[self.speech];
        let (fault, has_number, _) = FAULTS[self.fault];
        let number = if has_number { format!("-{}", self.frame) } else { String::new() };
        json!({
            "model": format!("{provider}/{model}{fault}{number}"),
            "stream": self.stream,
            "max_tokens": 4000,
            "messages": [{"role": "user", "content": "Hello, ducks!"}],
        })
    }
}

/// What became of a request.
#[derive(Debug)]
enum Outcome {
    Left,
    Ended {
        end: String,
        text: String,
    },
    /// What no answer may be.
    Wrong(String),
}

async fn ask(client: &reqwest::Client, url: &str, draw: Draw) -> Outcome {
    let sent =
        client.post(url).header("content-type", "application/json").body(draw.body().to_string()).send();
    let response = match draw.leaves {
        // It leaves before the answer began, or soon after.
        Some(0) => timeout(Duration::from_millis(draw.frame as u64), sent).await.ok(),
        _ => Some(within("an answer", sent).await),
    };
    let mut response = match response {
        None => return Outcome::Left,
        Some(Ok(response)) => response,
        Some(Err(error)) => return Outcome::Wrong(format!("no answer: {error:?}")),
    };
    let status = response.status();
    let mut body = Vec::new();
    loop {
        if draw.leaves.is_some_and(|bytes| body.len() >= bytes) {
            return Outcome::Left;
        }
        match within("the next part of an answer", response.chunk()).await {
            Ok(Some(piece)) => body.extend_from_slice(&piece),
            Ok(None) => break,
            Err(error) => return Outcome::Wrong(format!("the body broke off: {error:?}")),
        }
    }
    if status != 200 {
        let error: serde_json::Value = serde_json::from_slice(&body).unwrap_or_default();
        return match error["error"]["code"].as_str() {
            Some(code) => Outcome::Ended { end: code.to_owned(), text: String::new() },
            None => Outcome::Wrong(format!("{status}: {}", String::from_utf8_lossy(&body))),
        };
    }
    let answer = if draw.stream { check_stream(&body, false) } else { check_object(&body) };
    match answer {
        Ok(Answer { choices, end, .. }) => {
            let text = choices.get(&0).map(|choice| choice.text.clone()).unwrap_or_default();
            let end = match end {
                End::Complete => "complete".to_owned(),
                End::Fault(code) => code,
            };
            Outcome::Ended { end, text }
        }
        Err(rule) => Outcome::Wrong(format!("{rule}: {}", String::from_utf8_lossy(&body))),
    }
}

/// What clients saw.
#[derive(Debug, Default)]
struct Tally {
    left: usize,
    ends: HashMap<String, usize>,
    wrong: Vec<String>,
}

impl Tally {
    fn add(&mut self, draw: Draw, outcome: Outcome, whole: &[String]) {
        let (end, text) = match outcome {
            Outcome::Left => return self.left += 1,
            Outcome::Wrong(what) => return self.wrong.push(format!("{draw:?}: {what}")),
            Outcome::Ended { end, text } => (end, text),
        };
        let whole = &whole[draw.speech];
        let kept = if end == "complete" { text == *whole } else { whole.starts_with(&text) };
        if !kept {
            self.wrong.push(format!("{draw:?}: lost or doubled: {text:?} of {whole:?}"));
        }
        let (_, _, ends) = FAULTS[draw.fault];
        if !ends.contains(&end.as_str()) {
            self.wrong.push(format!("{draw:?}: an invented end: {end}"));
        }
        *self.ends.entry(end).or_default() += 1;
    }
}

/// Plays requests, at most [`AT_ONCE`] at a time, with connections of their own.
async fn play(program: &Program, draws: impl Iterator<Item = Draw>, whole: &[String], tally: &mut Tally) {
    let (client, places) = (client(), Arc::new(Semaphore::new(AT_ONCE)));
    let url = format!("http://{}/v1/chat/completions", program.address);
    let mut playing = JoinSet::new();
    for draw in draws {
        let place = Arc::clone(&places).acquire_owned().await.unwrap();
        let (client, url) = (client.clone(), url.clone());
        playing.spawn(async move {
            let outcome = ask(&client, &url, draw).await;
            drop(place);
            (draw, outcome)
        });
    }
    for (draw, outcome) in playing.join_all().await {
        tally.add(draw, outcome, whole);
    }
}

/// Waits until nothing is under way any more, and gives what is held then. A scrape is the largest thing that
/// the program makes: some of them first, so that it had room for one on each of its threads before.
async fn quiet(program: &Program) -> Holdings {
    until("the end of all streams", async || {
        let scrape = program.scrape().await;
        let mut active = scrape.lines().filter(|line| line.starts_with("millpond_streams_active{"));
        active.all(|line| line.ends_with(" 0"))
    })
    .await;
    for _ in 0..10 {
        program.scrape().await;
    }
    Process(program.id()).holdings()
}

/// A number out of the environment.
fn number(name: &str, default: u64) -> u64 {
    std::env::var(name).map_or(default, |text| text.parse().unwrap_or_else(|_| panic!("{name} is no number")))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_is_left_of_streams_that_failed_or_were_left() {
    let _alone = ALONE.lock().await;
    let (streams, seed) = (number("SOAK_STREAMS", 2000) as usize, number("SOAK_SEED", 7));
    let mock = Mock::start();
    let providers = SPEECHES.map(|Native { provider, dialect, base, .. }| {
        let address = mock.address;
        format!(
            "[providers.{provider}]\nbase_url = \"http://{address}{base}\"\ndialect = \"{dialect}\"\napi_key = \"{KEY}\"\n"
        )
    });
    // What is remembered on purpose grows up to its bound: that is no leak, and no part of this.
    let config = format!(
        "idle_timeout = \"5s\"\nbreaker.failures = 0\nreasoning_memory.enabled = false\n{}",
        providers.concat()
    );
    let allocator = ALLOCATOR.map(|(name, value)| (name, value.to_owned()));
    let program = Program::start("soak_storm", &config, &allocator).await;
    let (process, mut random, mut tally) = (Process(program.id()), Random(seed), Tally::default());
    let mut whole = Vec::new();
    let first = client();
    let url = format!("http://{}/v1/chat/completions", program.address);
    for (speech, Native { provider, .. }) in SPEECHES.iter().enumerate() {
        let draw = Draw { speech, fault: 0, frame: 0, stream: false, leaves: None };
        match ask(&first, &url, draw).await {
            Outcome::Ended { end, text } if end == "complete" => whole.push(text),
            other => panic!("{provider}: {other:?}"),
        }
    }
    drop(first);
    let start = quiet(&program).await;
    let frames: Frames = std::array::from_fn(|_| std::array::from_fn(|_| random.below(20)));
    let mut draws = std::iter::repeat_with(|| Draw::new(&mut random, &frames));
    play(&program, draws.by_ref().take(WARM_UP), &whole, &mut tally).await;
    let first = quiet(&program).await;
    // Connections that wait in the pool for the next request go with the upstream.
    let mock = mock.again();
    let unconnected = async || process.holdings().made == 0;
    until("the end of all connections to the upstream", unconnected).await;
    let warm = quiet(&program).await;
    let began = Instant::now();
    play(&program, draws.take(streams), &whole, &mut tally).await;
    let took = began.elapsed();
    let busy = quiet(&program).await;
    drop(mock);
    until("the end of all connections to the upstream", unconnected).await;
    let after = quiet(&program).await;
    println!("{streams} streams in {took:?}, seed {seed}: {} clients left, {:?}", tally.left, tally.ends);
    println!("start {start:?}\nfirst {first:?}\nwarm  {warm:?}\nbusy  {busy:?}\nafter {after:?}");
    assert!(
        tally.wrong.is_empty(),
        "{} wrong: {:#?}",
        tally.wrong.len(),
        &tally.wrong[..tally.wrong.len().min(10)]
    );
    assert_eq!(after.threads, start.threads);
    // No more than those of the scrapes, and those that streams can have needed at once.
    assert!(after.taken <= 2 && busy.taken <= 2 && busy.made <= AT_ONCE, "{busy:?}, {after:?}");
    assert_eq!(after.descriptors - after.taken, start.descriptors - start.taken - start.made);
    // The allocator gives back more or less with the connections: the level is the higher one of both.
    let growth = after.memory as f64 / first.memory.max(warm.memory) as f64;
    println!("memory is {growth:.3} of what it was after the warm-up");
    assert!(growth <= GROWTH, "{growth}");
    // What the metric counts is what clients saw, beside those that left before they saw it.
    let scrape = program.scrape().await;
    let counted = |end: &str| {
        let lines = scrape.lines().filter(|line| line.starts_with("millpond_stream_end_total{"));
        let of_end = lines.filter(|line| line.contains(&format!("\"{end}\"")));
        of_end.map(|line| line.rsplit(' ').next().unwrap().parse::<usize>().unwrap()).sum::<usize>()
    };
    let left = counted("client_disconnect");
    assert!(left > 0 && left <= tally.left, "{left} of {}", tally.left);
    for (end, seen) in &tally.ends {
        assert!(counted(end) >= *seen, "{end}: {} of {seen}", counted(end));
    }
    program.stop().await;
}
