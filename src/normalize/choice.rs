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

    /// True if the provider says that the choice was cut off or withheld: a call without arguments is
    /// then unfinished.
    pub(super) fn is_cut(&self) -> bool {
        let Some(finish) = &self.finish else { return false };
        let words = [Some(&finish.reason), finish.native.as_ref()];
        words.into_iter().flatten().any(|word| {
            matches!(meaning(word), Meaning::Reason(FinishReason::Length | FinishReason::ContentFilter))
        })
    }

    /// The reason and the native word that leave (E1).
    pub(super) fn reason(&mut self, repairs: &mut Repairs) -> (FinishReason, Option<String>) {
        let called = !self.tools.is_empty();
        let Some(Finished { reason: word, native }) = self.finish.take() else {
            let reason = if called { FinishReason::ToolCalls } else { FinishReason::Stop };
            return (reason, None);
        };
        let said = match meaning(&word) {
            Meaning::Reason(reason) => reason,
            Meaning::Failed | Meaning::Unknown => {
                repairs.count(Repair::FinishUnknown);
                FinishReason::Stop
            }
        };
        let cut = native.as_deref().map(meaning) == Some(Meaning::Reason(FinishReason::Length));
        let reason = match said {
            _ if cut => FinishReason::Length,
            FinishReason::Stop if called => FinishReason::ToolCalls,
            other => other,
        };
        if reason != said {
            repairs.count(Repair::FinishCorrected);
        } else if word != reason.as_str() {
            repairs.count(Repair::FinishRenamed);
        }
        let native = native.or_else(|| (word != reason.as_str()).then_some(word));
        (reason, native)
    }
}
