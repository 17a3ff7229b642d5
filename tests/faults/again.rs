//! With retries: what failed before its first word is tried again, and nothing is said twice.

use std::time::Duration;

use crate::bases::{Base, SPEECHES, Speech};
use crate::said::Said;
use crate::scenario::{Act, Scenario, Text, Upstream};
use crate::suite::play_with;
use crate::upstream::chunk;
use crate::wire::{self, failure, garbage, head, heartbeat, refusal, whole};

/// As by default, without long pauses. The header with the number of attempts waits for the last of them.
const CONFIG: &str = "retry.base = \"1ms\"\nretry.budget = 100.0\nheaders_after = \"20s\"";
/// Each has two retries at most, and the budget saves up ten: with so many at once none goes without.
const AT_ONCE: usize = 4;
const PATIENT: &str = "idle_timeout = \"1m\"";
const IMPATIENT: &str =
    "response_timeout = \"250ms\"\nfirst_event_timeout = \"250ms\"\nidle_timeout = \"1m\"";

/// The seam behind the first frame that says something.
fn first_word(base: &Base) -> usize {
    let says = |seam: &usize| !Said::by(base.speech.name, base.until(*seam)).0.is_empty();
    (1..base.seams.len()).find(says).unwrap()
}

/// Ways to fail before the first word, with the code of the fault.
fn early(base: &Base) -> Vec<(&'static str, Vec<Act>, &'static str)> {
    let speech = base.speech;
    let write = |bytes: Vec<u8>| vec![Act::Write(bytes)];
    let begun = || Act::Write(head(speech, ""));
    let refused = |status: u16| {
        let body = refusal(speech, status);
        write(wire::response(&format!("{status} No"), "application/json", body.as_bytes()))
    };
    // Ids, a role, an empty text: held back until there is a word, and forgotten if there is none.
    let wordless = Act::Write(
        [head(speech, ""), chunk([base.until(first_word(base) - 1), &heartbeat(speech)].concat())].concat(),
    );
    let beats = Act::Repeat(chunk(heartbeat(speech)), Duration::from_millis(30));
    vec![
        ("429", refused(429), "upstream_error"),
        ("500", refused(500), "upstream_error"),
        ("503", refused(503), "upstream_error"),
        ("529", refused(529), "upstream_error"),
        ("nothing", vec![Act::Close], "connection_lost"),
        ("a reset", vec![Act::Reset], "connection_lost"),
        ("no body", write(whole(speech, "", b"")), "empty"),
        ("garbage", write(whole(speech, "", &garbage(speech))), "malformed"),
        ("headers, then the end", vec![begun(), Act::Close], "connection_lost"),
        ("a beginning without a word", vec![wordless, Act::Close], "connection_lost"),
        ("no headers in time", vec![Act::Silence], "stalled"),
        ("headers alone", vec![begun(), Act::Silence], "stalled"),
        ("heartbeats alone", vec![begun(), beats], "stalled"),
    ]
}

fn retried(base: &Base) -> Vec<Scenario> {
    let speech = base.speech;
    let (said, end) = Said::by(speech.name, &base.body);
    let good = vec![Act::Write(whole(speech, "", &base.body))];
    let row = |what: String, scripts: Vec<Vec<Act>>, end: &str, text: Text, attempts: usize| {
        let scenario = Scenario::new(format!("{}, {what}", base.label()), speech, Vec::new(), end, text);
        Scenario { upstream: Upstream::Plain(scripts), attempts, config: PATIENT, ..scenario }
    };
    let mut all = Vec::new();
    for (way, bad, fault) in early(base) {
        let scripts = vec![bad.clone(), good.clone()];
        let config = if fault == "stalled" { IMPATIENT } else { PATIENT };
        let once =
            row(format!("{way}, then an answer"), scripts, end, Text::All(said.clone()), 2).config(config);
        all.extend([once.as_object(), once]);
        if fault != "stalled" {
            let scripts = vec![bad.clone(), bad.clone(), good.clone()];
            all.push(row(format!("{way} twice, then an answer"), scripts, end, Text::All(said.clone()), 3));
        }
        let nothing = Text::All(Said::default());
        all.push(row(format!("nothing but {way}"), vec![bad], fault, nothing, 3).config(config));
    }
    // What cannot come right is not tried again.
    let body = refusal(speech, 400);
    let refused = vec![Act::Write(wire::response("400 No", "application/json", body.as_bytes()))];
    let nothing = Text::All(Said::default());
    all.push(row("400".to_owned(), vec![refused, good.clone()], "upstream_error", nothing, 1));
    // In the middle: a stream has said a part, an object has not.
    let part = base.until(first_word(base));
    let (begun, so_far) = Said::by(speech.name, part);
    assert_eq!(so_far, "truncated");
    let open = Act::Write([head(speech, ""), chunk(part)].concat());
    for (way, bad, fault) in [
        ("a cut", vec![Act::Write(whole(speech, "", part))], "truncated"),
        ("a lost connection", vec![open, Act::Close], "connection_lost"),
        ("garbage", vec![Act::Write(whole(speech, "", &[part, &garbage(speech)].concat()))], "malformed"),
        (
            "a failure",
            vec![Act::Write(whole(speech, "", &[part, &failure(speech)].concat()))],
            "upstream_error",
        ),
    ] {
        let scripts = vec![bad, good.clone()];
        let stream = row(format!("{way} in the middle"), scripts, fault, Text::All(begun.clone()), 1);
        let object = stream.as_object();
        all.push(Scenario { end: end.to_owned(), text: Text::All(said.clone()), attempts: 2, ..object });
        all.push(stream);
    }
    all
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_said_nothing_is_tried_again_and_told_alike_in_four_places() {
    play_with("again", CONFIG, AT_ONCE, SPEECHES.map(Speech::text).iter().flat_map(retried).collect()).await;
}
