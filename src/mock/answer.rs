//! What the mock says, in pieces, before any manner of saying it.

use serde_json::Value;

use super::json::{Handwriting, Json, Object};
use super::request::{Ask, Tool};
use super::schema;

/// How much of the client's words an answer quotes, in characters.
const QUOTE: usize = 80;

/// The most pieces that a quotation is cut into.
const QUOTE_PIECES: usize = 8;

/// What every answer in words goes on with. It holds letters of two, three and four bytes, and a
/// number that stands alone in its piece.
const WORDS: &str = " This comes from the mock provider inside millpond. Its 42 ducks 🦆 drift past \
    the café, the mill (水車) turns, and each piece crossed a real socket.";

const REASONING: &str = "A short answer will do: quote the words, then the ducks 🦆, naïve as they are.";

const REFUSAL: &str = "I'm sorry, but the ducks 🦆 of this pond — naïve as they are — can't help with that.";

/// What the manner lets an answer have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Means {
    /// It thinks aloud first.
    pub reasons: bool,
    /// It refuses whatever is asked.
    pub refuses: bool,
    /// It gives as many candidates as asked for.
    pub candidates: bool,
    /// The most calls that it makes.
    pub calls: usize,
    /// How many characters of arguments make a piece.
    pub argument_piece: usize,
    /// How arguments are written.
    pub hand: Handwriting,
}

/// The whole answer.
#[derive(Debug, Clone, PartialEq)]
pub struct Answer {
    /// One for each candidate.
    pub choices: Vec<Choice>,
    /// The tokens of the prompt.
    pub prompt_tokens: u64,
    /// The number from which ids are made.
    pub seed: u64,
}

/// One candidate. Each piece is a token, so far as counting goes.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Choice {
    /// Thinking aloud.
    pub reasoning: Vec<String>,
    /// Whether nobody may read it.
    pub hidden: bool,
    /// Whether it is wanted in a form that can be sent back.
    pub sealed: bool,
    /// The answer in words.
    pub text: Vec<String>,
    /// Words of refusal.
    pub refusal: Vec<String>,
    /// Calls of tools.
    pub calls: Vec<Call>,
    /// Whether the limit cut it short.
    pub cut: bool,
}

/// A call of a tool.
#[derive(Debug, Clone, PartialEq)]
pub struct Call {
    /// The tool's name.
    pub name: String,
    /// The arguments as JSON text in pieces; none for a tool without parameters.
    pub pieces: Vec<String>,
    /// The arguments whole; `None` for a tool without parameters.
    pub value: Option<Json>,
}

impl Answer {
    /// Composes the answer to a request.
    pub fn compose(ask: &Ask, means: Means) -> Self {
        let count = if means.candidates { ask.candidates } else { 1 };
        let choices =
            (0..count).map(|number| Choice::compose(ask, means, number).limited(ask.limit)).collect();
        Self { choices, prompt_tokens: ask.prompt_tokens, seed: ask.seed }
    }

    /// Counts the tokens of all candidates, reasoning included.
    pub fn completion_tokens(&self) -> u64 {
        self.choices.iter().map(Choice::tokens).sum()
    }

    /// Counts the tokens of reasoning of all candidates.
    pub fn reasoning_tokens(&self) -> u64 {
        self.choices.iter().map(|choice| choice.reasoning.len() as u64).sum()
    }
}

impl Choice {
    fn compose(ask: &Ask, means: Means, number: u64) -> Self {
        let mut choice = Self::default();
        if means.refuses || ask.refused {
            choice.refusal = words(REFUSAL);
            return choice;
        }
        if means.reasons || ask.thinks {
            choice.reasoning = words(REASONING);
            choice.hidden = ask.hides;
            choice.sealed = ask.seals;
        }
        if ask.calls.is_empty() {
            choice.text = said(ask, number);
        } else {
            choice.calls =
                ask.calls.iter().take(means.calls).map(|tool| Call::compose(tool, means)).collect();
        }
        choice
    }

    /// Counts the tokens: one for each piece, and one for the name of each call.
    pub fn tokens(&self) -> u64 {
        let calls: usize = self.calls.iter().map(|call| call.pieces.len() + 1).sum();
        (self.reasoning.len() + self.text.len() + self.refusal.len() + calls) as u64
    }

    /// Cuts the answer short where the limit is below its length.
    fn limited(mut self, limit: Option<u64>) -> Self {
        let Some(limit) = limit.filter(|limit| *limit < self.tokens()) else {
            return self;
        };
        let mut left = usize::try_from(limit).unwrap_or(usize::MAX);
        for pieces in [&mut self.reasoning, &mut self.text, &mut self.refusal] {
            pieces.truncate(left);
            left -= pieces.len();
        }
        self.calls.retain_mut(|call| {
            if left == 0 {
                return false;
            }
            call.pieces.truncate(left - 1);
            left -= call.pieces.len() + 1;
            true
        });
        self.cut = true;
        self
    }
}

impl Call {
    fn compose(tool: &Tool, means: Means) -> Self {
        let value = schema::has_properties(&tool.parameters).then(|| schema::example(&tool.parameters));
        let pieces = match &value {
            Some(value) => slices(&value.write(means.hand), means.argument_piece),
            None => Vec::new(),
        };
        Self { name: tool.name.clone(), pieces, value }
    }
}

/// The answer in words, or the structured one.
fn said(ask: &Ask, number: u64) -> Vec<String> {
    if let Some(structure) = &ask.structure {
        let value = match structure {
            Value::Null => Object::default()
                .with("city", "Paris")
                .with("ducks", 42)
                .with("says", "Quack, naïvely 🦆")
                .into(),
            schema => schema::example(schema),
        };
        return slices(&value.write(Handwriting::default()), 5);
    }
    let (opening, quoted) = match (&ask.tool_result, number) {
        (Some(result), _) => ("The tool says: “", result),
        (None, 0) => ("You said: “", &ask.user),
        (None, _) => ("Again, you said: “", &ask.user),
    };
    let mut pieces = words(opening);
    pieces.extend(grouped(words(&shortened(quoted)), QUOTE_PIECES));
    pieces.push("”.".to_owned());
    pieces.extend(words(WORDS));
    pieces
}

fn shortened(text: &str) -> String {
    let mut short: String = text.chars().take(QUOTE).collect();
    if short.len() < text.len() {
        short.push('…');
    }
    short
}

/// Cuts text before each blank, and around each number.
fn words(text: &str) -> Vec<String> {
    let mut pieces: Vec<String> = Vec::new();
    let mut last = ' ';
    for character in text.chars() {
        let blank = character.is_whitespace() && !last.is_whitespace();
        let number = character.is_ascii_digit() != last.is_ascii_digit();
        match pieces.last_mut() {
            Some(piece) if !blank && !number => piece.push(character),
            _ => pieces.push(character.to_string()),
        }
        last = character;
    }
    pieces
}

/// Joins neighbours until no more than `most` pieces are left.
fn grouped(pieces: Vec<String>, most: usize) -> Vec<String> {
    let size = pieces.len().div_ceil(most).max(1);
    pieces.chunks(size).map(<[String]>::concat).collect()
}

/// Cuts text into slices of so many characters.
fn slices(text: &str, size: usize) -> Vec<String> {
    let characters: Vec<char> = text.chars().collect();
    characters.chunks(size.max(1)).map(|slice| slice.iter().collect()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const MEANS: Means = Means {
        reasons: false,
        refuses: false,
        candidates: true,
        calls: 2,
        argument_piece: 6,
        hand: Handwriting { blanks: false, escape: super::super::json::Escape::Least },
    };

    fn ask(user: &str) -> Ask {
        Ask { user: user.to_owned(), candidates: 1, ..Ask::default() }
    }

    #[test]
    fn an_answer_quotes_and_has_20_to_40_pieces() {
        for user in ["hi", "x".repeat(500).as_str(), "so many words ".repeat(30).as_str()] {
            let answer = Answer::compose(&ask(user), MEANS);
            let pieces = &answer.choices[0].text;
            assert!((20..=45).contains(&pieces.len()), "{}", pieces.len());
            assert!(pieces.contains(&"42".to_owned()));
            assert!(pieces.concat().starts_with("You said: “"));
        }
    }

    #[test]
    fn a_limit_cuts_reasoning_first_and_is_marked() {
        let means = Means { reasons: true, ..MEANS };
        let thought = words(REASONING).len() as u64;
        let limited = Ask { limit: Some(thought + 2), ..ask("hi") };
        let choice = &Answer::compose(&limited, means).choices[0];
        assert!(choice.cut);
        assert_eq!(choice.reasoning.len() as u64, thought);
        assert_eq!(choice.text.len(), 2);
        let roomy = Ask { limit: Some(500), ..ask("hi") };
        assert!(!Answer::compose(&roomy, means).choices[0].cut);
    }

    #[test]
    fn arguments_are_cut_by_the_limit_too() {
        let tool = Tool {
            name: "weather".to_owned(),
            parameters: serde_json::json!({"properties": {"city": {"type": "string"}}}),
        };
        let limited = Ask { calls: vec![tool.clone(), tool], limit: Some(2), ..ask("hi") };
        let choice = &Answer::compose(&limited, MEANS).choices[0];
        assert_eq!(choice.calls.len(), 1);
        assert_eq!(choice.calls[0].pieces, [r#"{"city"#]);
    }
}
