//! Reports of usage in the manner's figures.

use super::answer::{Answer, Choice};
use super::json::{Json, Object};
use super::manner::{Figure, Figures};

/// What is counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Counts {
    /// Tokens of the prompt.
    pub prompt: u64,
    /// Tokens of the answer, reasoning included.
    pub completion: u64,
    /// Tokens of reasoning.
    pub reasoning: u64,
}

impl Counts {
    /// Counts a whole answer.
    pub fn of(answer: &Answer) -> Self {
        Self {
            prompt: answer.prompt_tokens,
            completion: answer.completion_tokens(),
            reasoning: answer.reasoning_tokens(),
        }
    }

    /// Counts one candidate.
    pub fn of_choice(choice: &Choice, prompt: u64) -> Self {
        Self { prompt, completion: choice.tokens(), reasoning: choice.reasoning.len() as u64 }
    }

    /// Reports the counts.
    pub fn report(self, figures: Figures) -> Json {
        let mut report = Object::default();
        for (key, figure) in figures {
            report.set(key, self.figure(figure));
        }
        report.into()
    }

    /// Reports what is known before the end: the rest is `null`.
    pub fn report_unfinished(self, figures: Figures) -> Json {
        let mut report = Object::default();
        for (key, figure) in figures {
            let value = match figure {
                Figure::Completion | Figure::Total => Json::Null,
                known => self.figure(known),
            };
            report.set(key, value);
        }
        report.into()
    }

    fn figure(self, figure: &Figure) -> Json {
        let cached = self.prompt / 2;
        match figure {
            Figure::Prompt => self.prompt.into(),
            Figure::Cached => cached.into(),
            Figure::Uncached => (self.prompt - cached).into(),
            Figure::Completion => self.completion.into(),
            Figure::Visible => self.completion.saturating_sub(self.reasoning).into(),
            Figure::Reasoning => self.reasoning.into(),
            Figure::Overcount => (self.completion + 3).into(),
            Figure::Total => (self.prompt + self.completion).into(),
            Figure::Float(figure) => {
                Json::Raw(format!("{}.0", self.figure(figure).write(Default::default())))
            }
            Figure::Raw(raw) => Json::Raw((*raw).to_owned()),
            Figure::Group(figures) => self.report(figures),
        }
    }
}
