//! Upstreams that fall silent, or say nothing at length: each deadline ends in its own fault.

use std::time::Duration;

use crate::bases::{Base, SPEECHES, Speech};
use crate::said::Said;
use crate::scenario::{Act, Scenario, Text};
use crate::suite::play;
use crate::upstream::chunk;
use crate::wire::{head, heartbeat};

/// Deadlines that no scenario reaches, but for the one that is written again below it.
const PATIENT: &str = "response_timeout = \"1m\"\nfirst_event_timeout = \"1m\"\nidle_timeout = \"1m\"";
const FIRST: &str = "response_timeout = \"1m\"\nfirst_event_timeout = \"300ms\"\nidle_timeout = \"1m\"";
const IDLE: &str = "response_timeout = \"1m\"\nfirst_event_timeout = \"1m\"\nidle_timeout = \"300ms\"";
const RESPONSE: &str = "response_timeout = \"300ms\"\nfirst_event_timeout = \"1m\"\nidle_timeout = \"1m\"";
const TOTAL: &str = "response_timeout = \"1m\"\nfirst_event_timeout = \"1m\"\nidle_timeout = \"1m\"\ntotal_timeout = \"400ms\"";
/// How often an upstream says nothing.
const PACE: Duration = Duration::from_millis(30);

/// The first seam behind which something was said, and the last before the end.
fn spoken(base: &Base) -> (usize, usize) {
    let said = |seam: &usize| Said::by(base.speech.name, base.until(*seam));
    let first = (0..base.seams.len()).find(|seam| !said(seam).0.is_empty()).unwrap();
    let last = (0..base.seams.len()).rev().find(|seam| said(seam).1 != "complete").unwrap();
    (first, last)
}

/// The beginning of an answer, up to a seam.
fn begun(base: &Base, seam: usize) -> Act {
    let part = base.until(seam);
    let body = if part.is_empty() { Vec::new() } else { chunk(part) };
    Act::Write([head(base.speech, ""), body].concat())
}

fn silences(base: &Base) -> Vec<Scenario> {
    let (first, last) = spoken(base);
    let speech = base.speech;
    let mut all = Vec::new();
    let mut add = |what: &str, acts: Vec<Act>, config, end: &str, text: Text| {
        let scenario =
            Scenario::new(format!("{}, {what}", base.label()), speech, acts, end, text).config(config);
        all.extend([scenario.as_object(), scenario]);
    };
    let nothing = || Text::All(Said::default());
    let said = |seam: usize| Text::All(Said::by(speech.name, base.until(seam)).0);
    add("not even headers", vec![Act::Silence], RESPONSE, "stalled", nothing());
    add("headers alone", vec![begun(base, 0), Act::Silence], FIRST, "stalled", nothing());
    add("silence after the first word", vec![begun(base, first), Act::Silence], IDLE, "stalled", said(first));
    add("silence before the end", vec![begun(base, last), Act::Silence], IDLE, "stalled", said(last));
    for (what, noise) in [("heartbeats", heartbeat(speech)), ("comments", b": wait\n\n".to_vec())] {
        let is_binary = speech.name == "bedrock";
        if what == "comments" && (is_binary || speech.name == "ollama") {
            continue; // Their framings have none.
        }
        let noise = Act::Repeat(chunk(noise), PACE);
        let acts = vec![begun(base, 0), noise.clone()];
        add(&format!("{what} before the first word"), acts, FIRST, "stalled", nothing());
        let acts = vec![begun(base, first), noise];
        add(&format!("{what} after the first word"), acts, IDLE, "stalled", said(first));
    }
    // The bytes of a frame that never comes to its end say nothing either.
    let acts = vec![begun(base, first), Act::Repeat(chunk("\u{20}"), PACE)];
    if speech.name != "bedrock" {
        add("a frame without end", acts, IDLE, "stalled", said(first));
    }
    let frame = &base.body[base.seams[first - 1]..base.seams[first]];
    let many = [base.until(first), &frame.repeat(60)].concat();
    let (least, whole) = (Said::by(speech.name, base.until(first)).0, Said::by(speech.name, &many).0);
    let acts = vec![begun(base, first), Act::Repeat(chunk(frame), PACE)];
    add("words without end", acts, TOTAL, "timeout", Text::Between(least, whole));
    add("nothing, in total", vec![Act::Silence], TOTAL, "timeout", nothing());
    let (whole, end) = Said::by(speech.name, &base.body);
    let mut acts = vec![begun(base, 0)];
    for frame in base.frames() {
        acts.extend([Act::Write(chunk(frame)), Act::Pause(PACE)]);
    }
    acts.push(Act::Write(b"0\r\n\r\n".to_vec()));
    add("frame by frame, in time", acts, PATIENT, end, Text::All(whole));
    all
}

/// An answer that said that it is complete is not spoilt by the silence behind it.
fn silent_ends(base: &Base) -> Scenario {
    let (said, end) = Said::by(base.speech.name, &base.body);
    let acts = vec![begun(base, base.seams.len() - 1), Act::Silence];
    let name = format!("{}, silence behind the end", base.label());
    Scenario::new(name, base.speech, acts, end, Text::All(said)).config(IDLE)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_deadline_is_told_alike_in_four_places() {
    let mut all: Vec<Scenario> = SPEECHES.map(Speech::text).iter().flat_map(silences).collect();
    all.extend(
        SPEECHES.iter().flat_map(|speech| [speech.text(), speech.tool()]).map(|base| silent_ends(&base)),
    );
    play("silences", all).await;
}
