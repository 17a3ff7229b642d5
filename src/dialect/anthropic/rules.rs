//! What Claude models take, whoever hosts them: how they are told to think, what may stand beside it, and
//! which reasoning is theirs.

use serde::Serialize;

use super::family::{Family, Sampling, Thinks};
use crate::chat::message::{Content, Detail, DetailBody, Message, Part, Role};
use crate::chat::settings::{self, Effort};
use crate::chat::{Chat, RequestError};
use crate::json::Raw;

/// The least budget that the API takes, and the most that is asked for unless the client names a number.
const BUDGET: std::ops::RangeInclusive<u64> = 1024..=32_000;

/// How the model thinks, in the API's own shape.
#[derive(Debug, Clone, Copy, Serialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub(in crate::dialect) enum Thinking<'a> {
    Disabled,
    Enabled {
        budget_tokens: u64,
    },
    /// Newer models decide by themselves how much; the summary is not sent unless it is asked for.
    Adaptive {
        display: &'static str,
    },
    #[serde(untagged)]
    Own(Raw<'a>),
}

/// What decides whether there is room for thought.
#[derive(Debug, Clone, Copy)]
pub(in crate::dialect) struct Room {
    /// The most tokens of the answer.
    pub(in crate::dialect) max_tokens: u64,
    /// A tool must be called.
    pub(in crate::dialect) is_forced: bool,
    /// The conversation goes on after a tool call whose signed reasoning did not come back.
    pub(in crate::dialect) is_lost: bool,
}

/// By what the model is told to think: the thinking itself and an effort.
pub(in crate::dialect) type Told = (Option<Thinking<'static>>, Option<&'static str>);

/// How the model is told to think: by a budget or by an effort. `None` if it was asked to and cannot.
pub(in crate::dialect) fn thinking(family: Family, asked: settings::Thinking, room: Room) -> Option<Told> {
    let max_tokens = room.max_tokens;
    if asked.is_off() {
        let can = family.thinks != Thinks::Never;
        return Some((can.then_some(Thinking::Disabled), None));
    }
    if !asked.is_on() {
        return Some((None, None));
    }
    // A tool that must be called leaves no room for thought.
    if room.is_forced {
        return None;
    }
    match family.thinks {
        Thinks::Adaptive { extra_high } => {
            let effort = effort(asked, max_tokens).map(|effort| match effort {
                Effort::None | Effort::Minimal | Effort::Low => "low",
                Effort::Medium => "medium",
                Effort::High => "high",
                Effort::ExtraHigh if extra_high => "xhigh",
                Effort::Max if extra_high => "max",
                Effort::ExtraHigh | Effort::Max => "high",
            });
            Some((Some(Thinking::Adaptive { display: "summarized" }), effort))
        }
        // With a budget, a turn that goes on after a tool call must begin with the thought that led to it.
        Thinks::Budget if max_tokens > *BUDGET.start() && !room.is_lost => {
            let percent = asked.effort.unwrap_or(Effort::Medium).percent();
            let share = (max_tokens.saturating_mul(percent) / 100).clamp(*BUDGET.start(), *BUDGET.end());
            let budget = asked.tokens.map_or(share, |tokens| tokens.max(*BUDGET.start()));
            let budget_tokens = budget.min((max_tokens.saturating_mul(95) / 100).max(*BUDGET.start()));
            Some((Some(Thinking::Enabled { budget_tokens }), None))
        }
        Thinks::Budget | Thinks::Never => None,
    }
}

/// The effort that is asked for, in a word or as a share of the answer's tokens.
pub(in crate::dialect) fn effort(asked: settings::Thinking, max_tokens: u64) -> Option<Effort> {
    let of_tokens = |tokens: u64| match tokens.saturating_mul(100) / max_tokens.max(1) {
        0..=25 => Effort::Low,
        26..=60 => Effort::Medium,
        _ => Effort::High,
    };
    asked.effort.or_else(|| asked.tokens.map(of_tokens))
}

/// Temperature, `top_p`, `top_k`, as far as the family takes them beside thinking; what it does not is added
/// to `dropped`.
pub(in crate::dialect) fn sampling<'a>(
    chat: &'a Chat,
    family: Family,
    thinks: bool,
    dropped: &mut Vec<String>,
) -> Result<[Option<&'a str>; 3], RequestError> {
    let number = |raw: &str| raw.parse::<f64>().unwrap_or(1.0);
    let mut temperature = chat.number("temperature")?;
    let mut top_p = chat.number("top_p")?;
    let mut top_k = chat.number("top_k")?;
    if temperature.is_some_and(|raw| number(raw) > 1.0) {
        // Here it ends at one.
        temperature = Some("1");
        note(dropped, "temperature");
    }
    let is_default = |raw: &str| number(raw) == 1.0;
    // Leaves a number out, and says so unless it means what is done anyway.
    let mut leave = |name: &str, number: &mut Option<&str>, is_default: &dyn Fn(&str) -> bool| {
        if number.take().is_some_and(|raw| !is_default(raw)) {
            note(dropped, name);
        }
    };
    if family.sampling == Sampling::One && temperature.is_some() && top_p.is_some() {
        leave("top_p", &mut top_p, &is_default);
    }
    if family.sampling == Sampling::None {
        leave("temperature", &mut temperature, &is_default);
        leave("top_p", &mut top_p, &is_default);
        leave("top_k", &mut top_k, &|_| false);
    } else if thinks {
        if !temperature.is_none_or(is_default) {
            leave("temperature", &mut temperature, &|_| false);
        }
        if top_p.is_some_and(|raw| number(raw) < 0.95) {
            leave("top_p", &mut top_p, &|_| false);
        }
        leave("top_k", &mut top_k, &|_| false);
    }
    Ok([temperature, top_p, top_k])
}

/// Names a field that was left out, once.
pub(in crate::dialect) fn note(dropped: &mut Vec<String>, name: &str) {
    if !dropped.iter().any(|known| known == name) {
        dropped.push(name.to_owned());
    }
}

/// True if the conversation goes on after a tool call whose signed reasoning did not come back.
pub(in crate::dialect) fn lost_its_thoughts(messages: &[Message<'_>]) -> bool {
    let last = messages.iter().rev().find(|message| message.role != Role::Tool);
    let goes_on = messages.last().is_some_and(|message| message.role == Role::Tool);
    goes_on
        && last.is_some_and(|last| {
            last.role == Role::Assistant && !last.calls.is_empty() && !last.details.iter().any(is_signed)
        })
}

/// The text of a part of a system message, which may be nothing else.
pub(in crate::dialect) fn system_text<'b>(part: &'b Part<'b>) -> Result<&'b str, RequestError> {
    match &part.content {
        Content::Text(text) => Ok(text),
        Content::Refusal(_)
        | Content::Image(_)
        | Content::File(_)
        | Content::Audio(_)
        | Content::Video(_) => Err(RequestError::unsupported(part.place, "a system message is text only.")),
    }
}

/// True for reasoning that a Claude model signed; what another provider signed is of no use to it.
pub(in crate::dialect) fn is_signed(detail: &Detail<'_>) -> bool {
    let is_ours = match detail.format.as_deref() {
        Some(format) if format.starts_with("anthropic") => true,
        // Clients may forget the form of a text, but what is encrypted could be anyone's.
        None | Some("unknown") => matches!(detail.body, DetailBody::Text { .. }),
        Some(_) => false,
    };
    is_ours
        && match detail.body {
            DetailBody::Text { ref signature, .. } => signature.is_some(),
            DetailBody::Encrypted(_) => true,
            DetailBody::Summary(_) => false,
        }
}
