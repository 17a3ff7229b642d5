//! What breaks at a place of the answer: cuts, lost connections, garbage, what is too long, reported failures.

use std::collections::BTreeSet;
use std::time::Duration;

use crate::bases::{Base, SPEECHES, Speech};
use crate::said::Said;
use crate::scenario::{Act, Scenario, Stop, Text, Upstream};
use crate::suite::play;
use crate::support::Random;
use crate::upstream::chunk;
use crate::wire::{self, failure, garbage, head, oversize, refusal, whole};

/// The end of an answer whose body is broken off: what is complete already stays so.
fn broken(end: &'static str, break_is: &'static str) -> &'static str {
    if end == "complete" { end } else { break_is }
}

/// Every answer that is broken.
fn bases() -> Vec<Base> {
    SPEECHES.into_iter().flat_map(|speech| [speech.text(), speech.tool()]).collect()
}

/// A body that ends cleanly: after every frame, and at bytes that chance chose.
fn cuts() -> Vec<Scenario> {
    let mut all = Vec::new();
    let mut random = Random(7);
    for base in bases() {
        let bytes = random.places(4, base.body.len());
        let places =
            base.seams.iter().map(|at| (*at, "seam")).chain(bytes.into_iter().map(|at| (at, "byte")));
        for (at, kind) in places {
            let part = &base.body[..at];
            let (said, end) = Said::by(base.speech.name, part);
            let name = format!("{} cut at {kind} {at}", base.label());
            let acts = vec![Act::Write(whole(base.speech, "", part))];
            let scenario = Scenario::new(name, base.speech, acts, end, Text::All(said));
            if kind == "byte" {
                all.push(scenario.as_object());
            }
            all.push(scenario);
        }
    }
    all
}

/// A connection that ends without the end of the body, or with a reset.
fn lost() -> Vec<Scenario> {
    let mut all = Vec::new();
    for base in bases() {
        for seam in BTreeSet::from([0, 2, base.seams.len() / 2, base.seams.len() - 1]) {
            let part = base.until(seam);
            let (said, end) = Said::by(base.speech.name, part);
            let end = broken(end, "connection_lost");
            let body = if part.is_empty() { Vec::new() } else { chunk(part) };
            let begun = Act::Write([head(base.speech, ""), body].concat());
            let name = format!("{} without its last chunk, seam {seam}", base.label());
            let acts = vec![begun.clone(), Act::Close];
            let closed = Scenario::new(name, base.speech, acts, end, Text::All(said.clone()));
            all.extend([closed.as_object(), closed]);
            if end == "complete" {
                continue; // A reset may take the frames with it.
            }
            let name = format!("{} reset, seam {seam}", base.label());
            let acts = vec![begun, Act::Pause(Duration::from_millis(20)), Act::Reset];
            all.push(Scenario::new(name, base.speech, acts, end, Text::Beginning(said)));
        }
        let part = &base.body[..base.body.len() / 2];
        let (said, end) = Said::by(base.speech.name, part);
        let end = broken(end, "connection_lost");
        let announced = format!("{:x}\r\n", base.body.len());
        let acts = vec![
            Act::Write([head(base.speech, ""), announced.into_bytes(), part.to_vec()].concat()),
            Act::Close,
        ];
        let name = format!("{} cut within a chunk", base.label());
        all.push(Scenario::new(name, base.speech, acts, end, Text::All(said.clone())));
        let length = format!("content-length: {}\r\n", base.body.len());
        let begun = wire::head_of("200 OK", wire::content_type(base.speech), &length);
        let acts = vec![Act::Write([begun, part.to_vec()].concat()), Act::Close];
        let name = format!("{} shorter than announced", base.label());
        all.push(Scenario::new(name, base.speech, acts, end, Text::All(said)));
        let acts = vec![
            Act::Write([head(base.speech, ""), chunk(part), b"no number\r\n".to_vec()].concat()),
            Act::Silence,
        ];
        let (said, _) = Said::by(base.speech.name, part);
        let name = format!("{} in chunks that are none", base.label());
        all.push(Scenario::new(name, base.speech, acts, end, Text::All(said)));
    }
    for (what, bytes) in [("nothing", &b""[..]), ("half a head", b"HTTP/1.1 200 OK\r\ncontent-ty")] {
        for act in [Act::Close, Act::Reset] {
            let name = format!("{what}, then {act:?}");
            let acts = vec![Act::Write(bytes.to_vec()), act];
            let scenario =
                Scenario::new(name, SPEECHES[0], acts, "connection_lost", Text::All(Said::default()));
            all.extend([scenario.as_object(), scenario]);
        }
    }
    all
}

/// A frame in the words of a dialect.
type Frame = fn(Speech) -> Vec<u8>;

/// A frame that breaks the answer, at every seam.
fn intruders() -> Vec<Scenario> {
    let frames: [(&str, Frame, &str); 3] = [
        ("garbage", garbage, "malformed"),
        ("a frame too long", oversize, "too_large"),
        ("a reported failure", failure, "upstream_error"),
    ];
    let mut all = Vec::new();
    for base in SPEECHES.map(Speech::text) {
        for (what, frame, end) in frames {
            for seam in 0..base.seams.len() {
                let (said, so_far) = Said::by(base.speech.name, base.until(seam));
                if so_far == "complete" {
                    break; // What comes behind the end is told of below.
                }
                let body = base.with(seam, &frame(base.speech));
                let name = format!("{}, {what} at seam {seam}", base.label());
                let acts = vec![Act::Write(whole(base.speech, "", &body))];
                let scenario = Scenario::new(name, base.speech, acts, end, Text::All(said));
                if seam % 3 == 1 {
                    all.push(scenario.as_object());
                }
                all.push(scenario);
            }
            let body = base.with(base.seams.len() - 1, &frame(base.speech));
            let (said, end) = Said::by(base.speech.name, &base.body);
            // An answer without an end mark ends with its body: until then it may fail.
            if matches!(base.speech.name, "gemini" | "openai-responses" | "anthropic" | "cohere" | "bedrock")
                && what == "garbage"
            {
                let name = format!("{}, {what} behind the end", base.label());
                let acts = vec![Act::Write(whole(base.speech, "", &body))];
                all.push(Scenario::new(name, base.speech, acts, end, Text::All(said)));
            }
        }
    }
    all
}

/// An answer with an error status, in the envelope of the dialect and in those of proxies before it.
fn refusals() -> Vec<Scenario> {
    let mut all = Vec::new();
    for speech in SPEECHES {
        let mut add = |name: String, response: Vec<u8>| {
            let acts = vec![Act::Write(response)];
            let scenario = Scenario::new(name, speech, acts, "upstream_error", Text::All(Said::default()));
            all.extend([scenario.as_object(), scenario]);
        };
        for status in [400, 401, 429, 500, 529] {
            let body = refusal(speech, status);
            let response = wire::response(&format!("{status} No"), "application/json", body.as_bytes());
            add(format!("{} refuses with {status}", speech.name), response);
        }
        let page = b"<html><title>502 Bad Gateway</title></html>";
        add(format!("{} with a page", speech.name), wire::response("502 No", "text/html", page));
        add(format!("{} without words", speech.name), wire::response("503 No", "text/plain", b""));
        let body = refusal(speech, 500);
        let response = wire::response("200 OK", "application/json", body.as_bytes());
        add(format!("{} refuses with 200", speech.name), response);
        add(format!("{} with a page and 200", speech.name), wire::response("200 OK", "text/html", page));
    }
    all
}

/// Answers that are in order, in ways that are not usual.
fn odd_but_whole() -> Vec<Scenario> {
    let mut all = Vec::new();
    for base in bases() {
        let (said, end) = Said::by(base.speech.name, &base.body);
        assert_eq!(end, "complete", "{}", base.label());
        let mut add = |what: &str, acts: Vec<Act>| {
            let name = format!("{}, {what}", base.label());
            all.push(Scenario::new(name, base.speech, acts, end, Text::All(said.clone())));
        };
        let early = b"HTTP/1.1 103 Early Hints\r\nlink: </style.css>\r\n\r\nHTTP/1.1 102 Processing\r\n\r\n";
        let answer = whole(base.speech, "", &base.body);
        add("after interim answers", vec![Act::Write([&early[..], &answer].concat())]);
        let drip = base
            .body
            .chunks(5)
            .flat_map(|piece| [Act::Write(chunk(piece)), Act::Pause(Duration::from_millis(1))]);
        let begin = Act::Write(head(base.speech, ""));
        add("in drips", [vec![begin], drip.collect(), vec![Act::Write(b"0\r\n\r\n".to_vec())]].concat());
        let begun = wire::head_of("200 OK", wire::content_type(base.speech), "connection: close\r\n");
        add(
            "up to the end of the connection",
            vec![Act::Write([begun, base.body.clone()].concat()), Act::Close],
        );
    }
    all
}

/// The ends of HTTP/2.
fn streams() -> Vec<Scenario> {
    let mut all = Vec::new();
    for base in SPEECHES.map(Speech::text) {
        let (said, _) = Said::by(base.speech.name, &base.body);
        let half = base.until(base.seams.len() / 2).to_vec();
        let (half_said, half_end) = Said::by(base.speech.name, &half);
        for (what, stop, end) in [
            ("RST_STREAM INTERNAL_ERROR", Stop::Reset(h2::Reason::INTERNAL_ERROR), "connection_lost"),
            ("RST_STREAM CANCEL", Stop::Reset(h2::Reason::CANCEL), "connection_lost"),
            // HTTP/2 has it for answers that came early: the body is at its end.
            ("RST_STREAM NO_ERROR", Stop::Reset(h2::Reason::NO_ERROR), half_end),
            ("REFUSED_STREAM at once", Stop::ResetAtOnce(h2::Reason::REFUSED_STREAM), "connection_lost"),
            ("GOAWAY INTERNAL_ERROR", Stop::GoAway(h2::Reason::INTERNAL_ERROR), "connection_lost"),
            ("GOAWAY NO_ERROR at once", Stop::GoAway(h2::Reason::NO_ERROR), "connection_lost"),
            ("an end without the rest", Stop::End, half_end),
        ] {
            let said = if matches!(stop, Stop::ResetAtOnce(_)) { Said::default() } else { half_said.clone() };
            let name = format!("{}, {what}", base.label());
            let text = if stop == Stop::End { Text::All(said) } else { Text::Beginning(said) };
            let scenario = Scenario::new(name, base.speech, Vec::new(), end, text);
            all.push(Scenario { upstream: Upstream::Streams(vec![half.clone()], stop), ..scenario });
        }
        for (what, stop) in [("HTTP/2", Stop::End), ("GOAWAY after this stream", Stop::GoAwayAfterThis)] {
            let pieces = base.frames().map(<[u8]>::to_vec).collect();
            let name = format!("{}, {what}", base.label());
            let scenario = Scenario::new(name, base.speech, Vec::new(), "complete", Text::All(said.clone()));
            all.push(Scenario { upstream: Upstream::Streams(pieces, stop), ..scenario });
        }
    }
    all
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_breaks_off_is_told_alike_in_four_places() {
    play("cuts", [cuts(), lost(), odd_but_whole()].concat()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_intrudes_or_refuses_is_told_alike_in_four_places() {
    play("intruders", [intruders(), refusals()].concat()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_ends_of_http_2_are_told_alike_in_four_places() {
    play("streams", streams()).await;
}
