//! What is known of one choice.

use super::carry::Waiting;
use super::finish::{Meaning, meaning};

use super::think::Splitter;
use super::tools::Tools;
use crate::dialect::Quirks;
use crate::event::{FinishReason, Heard, Repair, Repairs};
use crate::json::Members;

/// One choice of an answer.
#[derive(Debug)]
pub(super) struct Choice {
    pub(super) index: u32,
    /// Its first chunk left.
    pub(super) started: bool,
    pub(super) role_named: bool,
    /// It said something, even if that is held back.
    pub(super) said: bool,
    /// Something came after its finish reason.
    pub(super) spoke_late: bool,
    pub(super) text: Heard,
    pub(super) reasoning: Heard,
    pub(super) refusal: Heard,
    /// Reasoning came as plain text, beside structured items or without them.
    pub(super) plain_reasoning: bool,
    /// The reasoning of the frame that is being read.
    pub(super) pending_reasoning: String,
    pub(super) pending_details: Vec<String>,
    details: Details,
    pub(super) splitter: Splitter,
    pub(super) tools: Tools,
    pub(super) finish: Option<Finished>,
    /// Unknown fields that wait: beside `delta`, inside `delta`.
    pub(super) beside: Waiting,
    pub(super) inside: Waiting,
}

/// The items of structured reasoning so far.
#[derive(Debug, Default)]
struct Details {
    /// The index of the next item that has none.
    next: u64,
    /// The type and the id of the last item that had none.
    last: Option<(String, String)>,
}

/// A finish reason in the provider's words.
#[derive(Debug)]
pub(super) struct Finished {
    pub(super) reason: String,
    pub(super) native: Option<String>,
}

impl Choice {
    pub(super) fn new(index: u32, quirks: &Quirks) -> Choice {
        Choice {
            index,
            started: false,
            role_named: quirks.is_completion,
            said: false,
            spoke_late: false,
            text: Heard::default(),
            reasoning: Heard::default(),
            refusal: Heard::default(),
            plain_reasoning: false,
            pending_reasoning: String::new(),
            pending_details: Vec::new(),
            details: Details::default(),
            splitter: Splitter::new(quirks.think_tags),
            tools: Tools::default(),
            finish: None,
            beside: Waiting::default(),
            inside: Waiting::default(),
        }
    }

    /// Marks the first chunk; true if this is it.
    pub(super) fn start(&mut self, repairs: &mut Repairs) -> bool {
        if self.started {
            return false;
        }
        self.started = true;
        if !self.role_named {
            repairs.count(Repair::RoleMissing);
        }
        true
    }

    /// Takes an item of structured reasoning, to be said with the reasoning of the frame. It gets an index if
    /// it has none: strict clients join the pieces of an item by it.
    pub(super) fn take_detail(&mut self, raw: &str) {
        let mut raw = raw.to_owned();
        if memchr::memmem::find(raw.as_bytes(), b"\"index\":").is_none() {
            let members = Members::of(&raw);
            let text = |name| members.find(name).unwrap_or_default().to_owned();
            let key = (text("type"), text("id"));
            let empty = members.0.is_empty();
            if self.details.last.replace(key.clone()) != Some(key) {
                self.details.next += 1;
            }
            let index = self.details.next - 1;
            raw.truncate(raw.trim_end().len().saturating_sub(1));
            raw.push_str(&format!("{}\"index\":{index}}}", if empty { "" } else { "," }));
        }
        self.pending_details.push(raw);
    }

    pub(super) fn has_pending_reasoning(&self) -> bool {
        !self.pending_reasoning.is_empty() || !self.pending_details.is_empty()
    }

    /// True if the choice was cut off or withheld: a call without arguments is then unfinished, not empty.
    pub(super) fn is_cut(&self) -> bool {
        let reason = self.finish.as_ref().map(|finish| self.resolve(finish).1);
        matches!(reason, Some(FinishReason::Length | FinishReason::ContentFilter))
    }

    /// The reason as the provider's word means it, and the one that leaves (E1).
    fn resolve(&self, finish: &Finished) -> (Option<FinishReason>, FinishReason) {
        let said = match meaning(&finish.reason) {
            Meaning::Reason(reason) => Some(reason),
            Meaning::Failed | Meaning::Unknown => None,
        };
        let native = finish.native.as_deref().map(meaning);
        let reason = match said.unwrap_or(FinishReason::Stop) {
            _ if native == Some(Meaning::Reason(FinishReason::Length)) => FinishReason::Length,
            // A call that was withheld must not be run.
            _ if native == Some(Meaning::Reason(FinishReason::ContentFilter)) => FinishReason::ContentFilter,
            FinishReason::Stop if !self.tools.is_empty() => FinishReason::ToolCalls,
            other => other,
        };
        (said, reason)
    }

    /// The reason and the native word that leave (E1); that a foreign dialect has its own words is no repair.
    pub(super) fn reason(
        &mut self,
        is_foreign: bool,
        repairs: &mut Repairs,
    ) -> (FinishReason, Option<String>) {
        let Some(finish) = self.finish.take() else {
            let called = !self.tools.is_empty();
            return (if called { FinishReason::ToolCalls } else { FinishReason::Stop }, None);
        };
        let (said, reason) = self.resolve(&finish);
        let renamed = finish.reason != reason.as_str();
        match said {
            None => repairs.count(Repair::FinishUnknown),
            Some(said) if said != reason => repairs.count(Repair::FinishCorrected),
            Some(_) if renamed && !is_foreign => repairs.count(Repair::FinishRenamed),
            Some(_) => {}
        }
        let Finished { reason: word, native } = finish;
        (reason, native.or_else(|| renamed.then_some(word)))
    }
}
