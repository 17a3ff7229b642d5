//! `<think>…</think>` in the text of an answer becomes reasoning (G3), for providers known to send it.

use crate::dialect::ThinkTags;

const OPEN: &str = "<think>";
const CLOSE: &str = "</think>";

/// A piece of text, told apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Piece<'a> {
    Reasoning(&'a str),
    Text(&'a str),
}

/// Tells reasoning from text, however the tags are cut.
#[derive(Debug)]
pub(super) struct Splitter {
    state: State,
    open_omitted: bool,
    /// What may be white space before the opening tag, or the beginning of a tag.
    held: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    /// Nothing was said but white space and perhaps a part of the opening tag.
    Start,
    /// Between the tags.
    Inside,
    /// Behind the closing tag, or there never was one.
    Outside,
}

impl Splitter {
    pub(super) fn new(tags: ThinkTags) -> Splitter {
        let state = match tags {
            ThinkTags::None => State::Outside,
            ThinkTags::AtStart | ThinkTags::OpenOmitted => State::Start,
        };
        Splitter { state, open_omitted: tags == ThinkTags::OpenOmitted, held: String::new() }
    }

    /// Tells the next text apart; true if a tag was met.
    pub(super) fn push(&mut self, text: &str, out: &mut impl FnMut(Piece<'_>)) -> bool {
        if self.state == State::Outside {
            out(Piece::Text(text));
            return false;
        }
        let mut held = std::mem::take(&mut self.held);
        held.push_str(text);
        let mut rest = held.as_str();
        let mut met = false;
        if self.state == State::Start {
            let body = rest.trim_start();
            if let Some(inside) = body.strip_prefix(OPEN) {
                self.state = State::Inside;
                rest = inside;
                met = true;
            } else if OPEN.starts_with(body) {
                self.held = held;
                return false;
            } else if self.open_omitted {
                self.state = State::Inside;
            } else {
                self.state = State::Outside;
            }
        }
        if self.state == State::Inside {
            match rest.find(CLOSE) {
                Some(at) => {
                    let (inside, outside) = rest.split_at(at);
                    say(Piece::Reasoning(inside), out);
                    self.state = State::Outside;
                    rest = outside.strip_prefix(CLOSE).unwrap_or(outside);
                    met = true;
                }
                None => {
                    let keep = partial_tag(rest);
                    let (inside, tail) = rest.split_at(rest.len() - keep);
                    say(Piece::Reasoning(inside), out);
                    self.held = tail.to_owned();
                    return met;
                }
            }
        }
        say(Piece::Text(rest), out);
        met
    }

    /// Nothing more comes: what was held is said.
    pub(super) fn finish(&mut self, out: &mut impl FnMut(Piece<'_>)) {
        let held = std::mem::take(&mut self.held);
        match self.state {
            State::Inside => say(Piece::Reasoning(&held), out),
            State::Start if self.open_omitted => say(Piece::Reasoning(&held), out),
            State::Start | State::Outside => say(Piece::Text(&held), out),
        }
        self.state = State::Outside;
    }
}

fn say(piece: Piece<'_>, out: &mut impl FnMut(Piece<'_>)) {
    match piece {
        Piece::Reasoning("") | Piece::Text("") => {}
        Piece::Reasoning(_) | Piece::Text(_) => out(piece),
    }
}

/// How many bytes at the end of the text may be the beginning of the closing tag.
fn partial_tag(text: &str) -> usize {
    (1..CLOSE.len())
        .rev()
        .find(|&length| CLOSE.get(..length).is_some_and(|head| text.ends_with(head)))
        .unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn split(tags: ThinkTags, pieces: &[&str]) -> (String, String) {
        let mut splitter = Splitter::new(tags);
        let (mut reasoning, mut text) = (String::new(), String::new());
        let mut out = |piece: Piece<'_>| match piece {
            Piece::Reasoning(piece) => reasoning.push_str(piece),
            Piece::Text(piece) => text.push_str(piece),
        };
        for piece in pieces {
            splitter.push(piece, &mut out);
        }
        splitter.finish(&mut out);
        (reasoning, text)
    }

    /// Splits the input whole and cut at every two places.
    #[track_caller]
    fn check(tags: ThinkTags, input: &str, reasoning: &str, text: &str) {
        let expect = (reasoning.to_owned(), text.to_owned());
        let cuts: Vec<usize> = (0..=input.len()).filter(|&at| input.is_char_boundary(at)).collect();
        for &first in &cuts {
            for &second in cuts.iter().filter(|&&second| second >= first) {
                let pieces = [&input[..first], &input[first..second], &input[second..]];
                assert_eq!(split(tags, &pieces), expect, "{pieces:?}");
            }
        }
    }

    #[test]
    fn tags_part_reasoning_from_text() {
        check(ThinkTags::AtStart, "<think>\nwhy é</think>\n\nbecause", "\nwhy é", "\n\nbecause");
        check(ThinkTags::AtStart, "\n <think>why</think>x", "why", "x");
    }

    #[test]
    fn an_unclosed_tag_is_reasoning_to_the_end() {
        check(ThinkTags::AtStart, "<think>why </thin", "why </thin", "");
    }

    #[test]
    fn text_that_only_begins_like_a_tag_is_text() {
        check(ThinkTags::AtStart, " <thing> </think>", "", " <thing> </think>");
        check(ThinkTags::AtStart, "<thi", "", "<thi");
    }

    #[test]
    fn a_tag_later_in_the_answer_is_text() {
        check(ThinkTags::AtStart, "a <think>b</think>", "", "a <think>b</think>");
        check(ThinkTags::AtStart, "<think>a</think><think>b</think>", "a", "<think>b</think>");
    }

    #[test]
    fn a_missing_opening_tag_is_known() {
        check(ThinkTags::OpenOmitted, "why</think>x", "why", "x");
        check(ThinkTags::OpenOmitted, "<think>why</think>x", "why", "x");
    }

    #[test]
    fn without_the_quirk_tags_are_text() {
        check(ThinkTags::None, "<think>a</think>", "", "<think>a</think>");
    }
}
