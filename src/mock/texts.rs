//! Text completions in the manner of each provider: what it says in a chat, with texts in place of deltas.

use super::answer::Answer;
use super::json::{Json, Object};
use super::manner::{Manner, Speech};
use super::manners::CHAT;
use super::render::{self, Frame};
use super::whole;
use crate::json::{self, Members};

/// The shapes of text completions.
pub const TEXTS: Speech = Speech {
    stream,
    whole,
    late: ("", r#"{"object":"text_completion","choices":[{"index":0,"text":" late"}]}"#),
    ..CHAT
};

/// What may stand in a delta beside the words.
const BESIDE: [&str; 2] = ["reasoning", "reasoning_content"];

fn stream(answer: &Answer, manner: &Manner, asked: bool) -> Vec<Frame> {
    let mut frames = render::stream(answer, manner, asked);
    for frame in frames.iter_mut().filter(|frame| frame.is_chunk()) {
        if let Ok(text) = std::str::from_utf8(&frame.data) {
            frame.data = retold(text).write(manner.hand).into_bytes();
        }
    }
    frames
}

fn whole(answer: &Answer, manner: &Manner) -> Object {
    retold(&whole::completion(answer, manner).write(manner.hand))
}

/// The same chunk or object, with texts.
fn retold(chat: &str) -> Object {
    let mut out = Object::default();
    for (name, raw) in &Members::of(chat).0 {
        match name.as_ref() {
            "object" if raw.starts_with("\"chat.completion") => out.set("object", "text_completion"),
            "choices" if raw.starts_with('[') => {
                out.set("choices", json::elements(raw).into_iter().map(choice).collect::<Vec<Json>>())
            }
            _ => out.set(name, Json::Raw((*raw).to_owned())),
        };
    }
    out
}

fn choice(chat: &str) -> Json {
    let mut out = Object::default();
    for (name, raw) in &Members::of(chat).0 {
        match name.as_ref() {
            "delta" | "message" => {
                let said = Members::of(raw);
                out.set("text", words(&said));
                for (name, raw) in said.0.iter().filter(|(name, _)| BESIDE.contains(&name.as_ref())) {
                    out.set(name, Json::Raw((*raw).to_owned()));
                }
            }
            "text" => {}
            _ => {
                out.set(name, Json::Raw((*raw).to_owned()));
            }
        }
    }
    out.into()
}

/// The words of a delta or a message, wherever they stand in it.
fn words(said: &Members<'_>) -> Json {
    let transcript = said.find("audio").and_then(|audio| Members::of(audio).find("transcript"));
    let found = [said.find("content"), said.find("refusal"), transcript];
    match found.into_iter().flatten().find(|raw| !json::says_nothing(raw)) {
        Some(parts) if parts.starts_with('[') => {
            let texts = json::elements(parts).into_iter().filter_map(|part| Members::of(part).find("text"));
            Json::Text(texts.filter_map(json::string).collect())
        }
        Some(raw) => Json::Raw(raw.to_owned()),
        None => Json::Text(String::new()),
    }
}

#[cfg(test)]
mod tests {
    use super::super::manners;
    use super::super::request::Ask;
    use super::*;

    #[test]
    fn every_manner_says_texts_and_the_same_words() {
        let ask = Ask { user: "Hello, pond".to_owned(), ..Ask::about("hello") };
        for manner in manners::all() {
            let answer = Answer::compose(&ask, manner.means());
            let mut text = String::new();
            for frame in stream(&answer, manner, true).iter().filter(|frame| frame.is_chunk()) {
                let chunk: serde_json::Value = serde_json::from_slice(&frame.data).unwrap();
                for choice in chunk["choices"].as_array().into_iter().flatten() {
                    assert!(choice.get("delta").is_none() && choice.get("message").is_none());
                    match &choice["text"] {
                        serde_json::Value::String(piece) => text += piece,
                        serde_json::Value::Null => {}
                        number => text += &number.to_string(),
                    }
                }
            }
            let said: String =
                answer.choices.iter().flat_map(|one| [&one.text, &one.refusal]).flatten().cloned().collect();
            assert!(text.ends_with(&said), "{}: {text:?} does not end with {said:?}", manner.name);
        }
    }
}
