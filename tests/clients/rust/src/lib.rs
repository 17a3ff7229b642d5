//! What every client in Rust is put through, as `node/trial.mjs` has it for those in Node: in front of millpond the
//! manners of the fake provider are right, in words and with a tool whose result goes back, and faults are errors;
//! pointed at the fake provider itself, some manners break the client.

use std::process::ExitCode;
use std::time::Duration;

use serde_json::{Value, json};

/// Manners that differ in all that clients read.
const SOME: [&str; 8] =
    ["openai", "openrouter", "mistral-magistral", "groq", "google", "perplexity", "ollama", "home-made-cr"];
/// Faults that are told as errors: at once, in the middle and at the end, or instead of an answer.
const ERRORS: [&str; 5] = ["429", "cut-after-3", "error-3", "garbage-3", "empty"];
/// How long one run may take.
const LIMIT: Duration = Duration::from_secs(30);

/// What a client shows of a run.
pub struct Shown {
    /// The last words.
    pub text: String,
    /// The reasoning of all turns, of a client that shows any.
    pub reasoning: Option<String>,
    /// The arguments of the calls.
    pub called: Vec<Value>,
}

/// A client that asks in one way.
pub trait Way {
    /// Asks for an answer, with the tool [`weather`] if one is offered; the result of its call goes back.
    fn ask(&self, url: &str, model: &str, tool: bool) -> impl Future<Output = Result<Shown, String>>;
}

/// A file of data that all scripts share.
fn data(text: &str) -> Value {
    serde_json::from_str(text).unwrap()
}

fn manners() -> Value {
    data(include_str!("../../manners.json"))
}

fn word(name: &str) -> String {
    manners()[name].as_str().unwrap().to_owned()
}

/// What the user asks.
pub fn prompt() -> String {
    word("prompt")
}

/// What the tool gives back.
pub fn tool_result() -> String {
    word("tool_result")
}

/// The parameters of the tool that is offered, `weather`.
pub fn weather() -> Value {
    json!({
        "type": "object",
        "properties": {"city": {"type": "string"}, "days": {"type": "integer"}},
        "required": ["city", "days"],
        "additionalProperties": false,
    })
}

/// An address in the environment of the test.
fn address(name: &str) -> String {
    std::env::var(name).unwrap()
}

/// What is wrong with what a way shows: nothing if a fault is an error, or if the whole answer is there.
async fn wrong(way: &impl Way, url: &str, what: &str) -> Option<String> {
    let (name, tool) = what.strip_suffix(" tool").map_or((what, false), |name| (name, true));
    let (manner, fault) = name.split_once('/').unwrap_or((name, ""));
    let manners = manners();
    let provider = manners["by_provider"][manner]["provider"].as_str().unwrap_or("demo");
    let model =
        if url == address("MILLPOND_URL") { format!("{provider}/demo/{name}") } else { name.to_owned() };
    let faults = data(include_str!("../../faults.json"));
    let fails = ["early", "midway"].iter().any(|kind| faults[kind].get(fault).is_some());
    let shown = match tokio::time::timeout(LIMIT, way.ask(url, &model, tool)).await {
        Ok(Ok(shown)) => shown,
        Ok(Err(_)) if fails => return None,
        Ok(Err(error)) => return Some(format!("it fails: {error}")),
        Err(_) => return Some("it took too long".to_owned()),
    };
    if fails {
        return Some(format!("it takes {:?} for the answer", shown.text));
    }
    // The line breaks around tags are the provider's; invalid bytes become a character that no answer has.
    let clean = |text: &str| text.replace(['\n', '\u{fffd}'], "");
    let turns = if tool { 2 } else { 1 };
    let thinks = manners["reasons"].as_array().unwrap().iter().any(|name| name == manner);
    let reasoning = if thinks { word("reasoning").repeat(turns) } else { String::new() };
    let seen = (clean(&shown.text), shown.reasoning.as_deref().map(clean), shown.called);
    let right = (
        word(if tool { "tool_answer" } else { "answer" }),
        shown.reasoning.as_ref().map(|_| reasoning),
        if tool { vec![manners["arguments"]["weather"].clone()] } else { Vec::new() },
    );
    (seen != right).then(|| format!("it shows {seen:?} instead of {right:?}"))
}

/// Puts one way through all of it, and says whether it went well. `broken` is what breaks it without millpond.
pub async fn goes_well(title: &str, way: &impl Way, broken: &[&str]) -> bool {
    let (millpond, mock) = (address("MILLPOND_URL"), address("MOCK_URL"));
    let mut failed = 0;
    let mut complain = |what: &str, wrong: Option<String>| {
        let Some(wrong) = wrong else { return };
        failed += 1;
        println!("FAILED {title} {what}: {wrong}");
    };
    let answers = SOME.iter().flat_map(|manner| [(*manner).to_owned(), format!("{manner} tool")]);
    let faults = ERRORS.iter().map(|fault| format!("openai/{fault}"));
    for what in answers.chain(faults).chain(broken.iter().map(|what| (*what).to_owned())) {
        complain(&what, wrong(way, &millpond, &what).await);
    }
    complain("a clean manner without millpond", wrong(way, &mock, "openai").await);
    for what in broken {
        let right = wrong(way, &mock, what).await.is_none();
        complain(what, right.then(|| "it breaks nothing any more: name another manner".to_owned()));
    }
    println!("{title}: {failed} failed");
    failed == 0
}

/// The code to exit with.
pub fn exit(well: impl IntoIterator<Item = bool>) -> ExitCode {
    if well.into_iter().all(|well| well) { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
