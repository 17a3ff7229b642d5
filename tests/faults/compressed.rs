//! Bodies that come compressed although nobody asked for it: they are read like any other, as they come.

use std::io::Write;
use std::time::Duration;

use flate2::Compression;
use flate2::write::GzEncoder;

use crate::bases::{Base, SPEECHES, Speech};
use crate::said::Said;
use crate::scenario::{Act, Scenario, Text};
use crate::suite::play;
use crate::upstream::chunk;
use crate::wire::{self, head};

const CODINGS: [&str; 3] = ["gzip", "br", "zstd"];

/// The frames, each compressed and flushed, and what ends the coding.
fn compress(coding: &str, frames: &[&[u8]]) -> (Vec<Vec<u8>>, Vec<u8>) {
    match coding {
        "gzip" => {
            pieces(GzEncoder::new(Vec::new(), Compression::default()), frames, GzEncoder::get_mut, |e| {
                e.finish().unwrap()
            })
        }
        "br" => pieces(
            brotli::CompressorWriter::new(Vec::new(), 4096, 5, 20),
            frames,
            brotli::CompressorWriter::get_mut,
            brotli::CompressorWriter::into_inner,
        ),
        "zstd" => pieces(zstd::Encoder::new(Vec::new(), 3).unwrap(), frames, zstd::Encoder::get_mut, |e| {
            e.finish().unwrap()
        }),
        other => panic!("{other} is no coding"),
    }
}

fn pieces<E: Write>(
    mut encoder: E,
    frames: &[&[u8]],
    out: impl Fn(&mut E) -> &mut Vec<u8>,
    finish: impl FnOnce(E) -> Vec<u8>,
) -> (Vec<Vec<u8>>, Vec<u8>) {
    let mut all = Vec::new();
    for frame in frames {
        encoder.write_all(frame).unwrap();
        encoder.flush().unwrap();
        all.push(std::mem::take(out(&mut encoder)));
    }
    (all, finish(encoder))
}

fn compressed(base: &Base) -> Vec<Scenario> {
    let speech = base.speech;
    let frames: Vec<&[u8]> = base.frames().collect();
    let half = frames.len() / 2;
    let (whole, end) = Said::by(speech.name, &base.body);
    let (begun, begun_end) = Said::by(speech.name, base.until(half));
    assert_eq!((end, begun_end == "complete"), ("complete", false));
    let mut all = Vec::new();
    for coding in CODINGS {
        let header = format!("content-encoding: {coding}\r\n");
        let (pieces, last) = compress(coding, &frames);
        let mut add = |what: &str, acts: Vec<Act>, end: &str, text: &Said| {
            let name = format!("{} in {coding}, {what}", base.label());
            let scenario = Scenario::new(name, speech, acts, end, Text::All(text.clone()));
            let config = "response_timeout = \"1m\"\nfirst_event_timeout = \"1m\"\nidle_timeout = \"300ms\"";
            all.push(scenario.config(config));
        };
        let body = [pieces.concat(), last].concat();
        add("at once", vec![Act::Write(wire::whole(speech, &header, &body))], "complete", &whole);
        let begin = Act::Write(head(speech, &header));
        let drip =
            body.chunks(3).flat_map(|piece| [Act::Write(chunk(piece)), Act::Pause(Duration::from_millis(1))]);
        let drip = [vec![begin.clone()], drip.collect(), vec![Act::Write(b"0\r\n\r\n".to_vec())]].concat();
        add("in drips", drip, "complete", &whole);
        let part = Act::Write(chunk(pieces[..half].concat()));
        // What came is passed on at once, not when the coding ends.
        add("then silence", vec![begin.clone(), part.clone(), Act::Silence], "stalled", &begun);
        add(
            "cut, the connection with it",
            vec![begin.clone(), part.clone(), Act::Close],
            "connection_lost",
            &begun,
        );
        let acts = vec![begin.clone(), part.clone(), Act::Write(b"0\r\n\r\n".to_vec())];
        add("cut cleanly", acts, "truncated", &begun);
        let acts = vec![begin.clone(), part, Act::Write(chunk([0xff; 64])), Act::Silence];
        add("then what is none", acts, "malformed", &begun);
        let acts = vec![begin, Act::Write(chunk(&base.body)), Act::Silence];
        add("that is none at all", acts, "malformed", &Said::default());
    }
    let header = "content-encoding: unheard-of\r\n";
    let name = format!("{} in a coding that nobody knows", base.label());
    let acts = vec![Act::Write(wire::whole(speech, header, &base.body))];
    all.push(Scenario::new(name, speech, acts, "malformed", Text::All(Said::default())));
    let header = "content-encoding: identity\r\n";
    let name = format!("{} in identity", base.label());
    let acts = vec![Act::Write(wire::whole(speech, header, &base.body))];
    all.push(Scenario::new(name, speech, acts, "complete", Text::All(whole)));
    all
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn compressed_bodies_are_read_and_told_alike_in_four_places() {
    play("compressed", SPEECHES.map(Speech::text).iter().flat_map(compressed).collect()).await;
}
