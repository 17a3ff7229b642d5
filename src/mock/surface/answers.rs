//! Answers that follow from their requests.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use super::super::json::{Json, Object};
use super::{Ask, Said};

/// The length of vectors whose length nobody asked for.
const DIMENSIONS: u64 = 8;
/// The longest vectors.
const DIMENSIONS_AT_MOST: u64 = 4096;
/// The most images at once.
const IMAGES_AT_MOST: u64 = 10;
/// An image of one point.
const PNG: &str =
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNkYPhfDwAChwGA60e6kgAAAABJRU5ErkJggg==";
/// Samples of silence per second, and how many there are: a tenth of a second.
const RATE: u32 = 8000;
const SAMPLES: u32 = 800;

/// Tokens of a text: one for four bytes.
fn tokens(text: &str) -> u64 {
    (text.len() as u64).div_ceil(4)
}

fn all_tokens(texts: &[String]) -> u64 {
    texts.iter().map(|text| tokens(text)).sum()
}

fn raw(value: impl ToString) -> Json {
    Json::Raw(value.to_string())
}

/// A number that stands for a text (FNV-1a).
fn hash(text: &str) -> u64 {
    text.bytes()
        .fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3))
}

/// A vector of length one that stands for a text.
fn vector(text: &str, dimensions: u64) -> Vec<f32> {
    let mut state = hash(text) | 1;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state >> 40) as f32 / (1 << 23) as f32 - 1.0
    };
    let vector: Vec<f32> = (0..dimensions).map(|_| next()).collect();
    let length = vector.iter().map(|x| x * x).sum::<f32>().sqrt().max(f32::MIN_POSITIVE);
    vector.into_iter().map(|x| x / length).collect()
}

pub(super) fn embeddings(ask: &Ask<'_>) -> Option<Said> {
    let texts = ask.texts("input");
    let model = ask.text("model").filter(|_| !texts.is_empty())?;
    let dimensions = ask.number("dimensions").unwrap_or(DIMENSIONS).min(DIMENSIONS_AT_MOST);
    let in_base64 = ask.text("encoding_format").is_some_and(|format| format == "base64");
    let data = texts.iter().enumerate().map(|(at, text)| {
        let vector = vector(text, dimensions);
        let embedding = match in_base64 {
            true => {
                Json::from(STANDARD.encode(vector.iter().flat_map(|x| x.to_le_bytes()).collect::<Vec<_>>()))
            }
            false => Json::List(vector.iter().map(raw).collect()),
        };
        Object::default()
            .with("object", "embedding")
            .with("index", at as u64)
            .with("embedding", embedding)
            .into()
    });
    let data: Vec<Json> = data.collect();
    let count = all_tokens(&texts);
    let usage = Object::default().with("prompt_tokens", count).with("total_tokens", count);
    let list = Object::default().with("object", "list").with("data", data);
    Some(Said::json(list.with("model", model).with("usage", usage)))
}

pub(super) fn moderations(ask: &Ask<'_>) -> Option<Said> {
    let texts = ask.texts("input");
    let results = texts.iter().map(|text| {
        let is_flagged = text.contains("violence");
        let score = if is_flagged { "0.99" } else { "0.01" };
        Object::default()
            .with("flagged", is_flagged)
            .with("categories", Object::default().with("violence", is_flagged))
            .with("category_scores", Object::default().with("violence", raw(score)))
            .into()
    });
    let results: Vec<Json> = results.collect();
    if results.is_empty() {
        return None;
    }
    let model = ask.text("model").unwrap_or_else(|| "omni-moderation-latest".to_owned());
    Some(Said::json(Object::default().with("id", "modr-0001").with("model", model).with("results", results)))
}

pub(super) fn images(ask: &Ask<'_>) -> Option<Said> {
    let count = ask.number("n").unwrap_or(1).min(IMAGES_AT_MOST);
    let input = tokens(&ask.text("prompt").unwrap_or_default());
    let data: Vec<Json> = (0..count).map(|_| Object::default().with("b64_json", PNG).into()).collect();
    let usage = Object::default()
        .with("input_tokens", input)
        .with("output_tokens", count)
        .with("total_tokens", input + count);
    Some(Said::json(Object::default().with("created", 1_700_000_000).with("data", data).with("usage", usage)))
}

/// Silence, as a WAV file with one byte per sample, or as events.
pub(super) fn speech(ask: &Ask<'_>) -> Option<Said> {
    let input = ask.text("input")?;
    let mut wav = Vec::from(*b"RIFF");
    wav.extend((36 + SAMPLES).to_le_bytes());
    wav.extend(*b"WAVEfmt ");
    for (number, size) in [(16, 4), (1, 2), (1, 2), (RATE, 4), (RATE, 4), (1, 2), (8, 2)] {
        wav.extend(number.to_le_bytes().into_iter().take(size));
    }
    wav.extend(*b"data");
    wav.extend(SAMPLES.to_le_bytes());
    wav.resize(wav.len() + SAMPLES as usize, 0x80);
    if ask.text("stream_format").is_none_or(|format| format != "sse") {
        return Some(Said { kind: "audio/wav", body: wav });
    }
    let input = tokens(&input);
    let body = format!(
        "data: {{\"type\":\"speech.audio.delta\",\"audio\":\"{}\"}}\n\ndata: {{\"type\":\"speech.audio.done\",\"usage\":{{\"input_tokens\":{input},\"output_tokens\":1,\"total_tokens\":{}}}}}\n\n",
        STANDARD.encode(wav),
        input + 1
    );
    Some(Said { kind: "text/event-stream", body: body.into_bytes() })
}

/// Tells how long the file is: nobody listens to it.
pub(super) fn transcription(ask: &Ask<'_>) -> Option<Said> {
    let (name, file) = ask.form.file()?;
    let text = format!("The file {name} has {} bytes.", file.len());
    if ask.text("response_format").is_some_and(|format| format == "text") {
        return Some(Said { kind: "text/plain; charset=utf-8", body: text.into_bytes() });
    }
    let (input, output) = ((file.len() as u64).div_ceil(1000), tokens(&text));
    let usage = Object::default()
        .with("type", "tokens")
        .with("input_tokens", input)
        .with("output_tokens", output)
        .with("total_tokens", input + output);
    Some(Said::json(Object::default().with("text", text).with("usage", usage)))
}

/// The more words of the query a document has, the better.
pub(super) fn rerank(ask: &Ask<'_>) -> Option<Said> {
    let (query, documents) = (ask.text("query")?, ask.texts("documents"));
    let words: Vec<&str> = query.split_whitespace().collect();
    let score = |document: &String| words.iter().filter(|word| document.contains(**word)).count();
    let mut order: Vec<(usize, usize)> = documents.iter().map(score).enumerate().collect();
    order.sort_by_key(|(_, score)| std::cmp::Reverse(*score));
    let wanted = ask.number("top_n").unwrap_or(u64::MAX);
    let results = order.into_iter().take(usize::try_from(wanted).unwrap_or(usize::MAX)).map(|(at, score)| {
        let relevance = score as f32 / words.len().max(1) as f32;
        Object::default().with("index", at as u64).with("relevance_score", raw(relevance)).into()
    });
    let results: Vec<Json> = results.collect();
    let usage = Object::default().with("total_tokens", tokens(&query) + all_tokens(&documents));
    Some(Said::json(
        Object::default().with("id", "rerank-0001").with("results", results).with("usage", usage),
    ))
}
