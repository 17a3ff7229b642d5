//! What is known of one choice.

use super::carry::Waiting;
use super::finish::{Meaning, meaning};
use super::heard::Heard;
use super::think::Splitter;
use super::tools::Tools;
use crate::dialect::ThinkTags;
use crate::event::{FinishReason, Repair, Repairs};

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
    pub(super) splitter: Splitter,
    pub(super) tools: Tools,
    pub(super) finish: Option<Finished>,
    /// Unknown fields that wait: beside `delta`, inside `delta`.
    pub(super) beside: Waiting,
    pub(super) inside: Waiting,
}

/// A finish reason in the provider's words.
#[derive(Debug)]
pub(super) struct Finished {
    pub(super) reason: String,
    pub(super) native: Option<String>,
}

impl Choice {
    pub(super) fn new(index: u32, think_tags: ThinkTags) -> Choice {
        Choice {
            index,
            started: false,
            role_named: false,
            said: false,
            spoke_late: false,
            text: Heard::default(),
            reasoning: Heard::default(),
            refusal: Heard::default(),
            plain_reasoning: false,
            pending_reasoning: String::new(),
            pending_details: Vec::new(),
            splitter: Splitter::new(think_tags),
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
            FinishReason::Stop if !self.tools.is_empty() => FinishReason::ToolCalls,
            other => other,
        };
        (said, reason)
    }

    /// The reason and the native word that leave (E1).
    pub(super) fn reason(&mut self, repairs: &mut Repairs) -> (FinishReason, Option<String>) {
        let Some(finish) = self.finish.take() else {
            let called = !self.tools.is_empty();
            return (if called { FinishReason::ToolCalls } else { FinishReason::Stop }, None);
        };
        let (said, reason) = self.resolve(&finish);
        let renamed = finish.reason != reason.as_str();
        match said {
            None => repairs.count(Repair::FinishUnknown),
            Some(said) if said != reason => repairs.count(Repair::FinishCorrected),
            Some(_) if renamed => repairs.count(Repair::FinishRenamed),
            Some(_) => {}
        }
        let Finished { reason: word, native } = finish;
        (reason, native.or_else(|| renamed.then_some(word)))
    }
}
