//! Unknown fields on their way: they ride on the chunk of the frame that brought them, or, where that
//! frame yields none, on the next one (B3).

use smallvec::SmallVec;

use crate::event::Scope;
use crate::json::Field;

/// Fields of one object.
pub(super) type Fields<'a> = SmallVec<[Field<'a>; 2]>;

/// Fields that wait for a chunk at most; beyond it they leave on a chunk of their own.
const WAITING_LIMIT: usize = 64;

/// The unknown fields of the frame that is being read.
#[derive(Debug, Default)]
pub(super) struct Carried<'a> {
    pub(super) answer: Fields<'a>,
    pub(super) choices: SmallVec<[CarriedChoice<'a>; 1]>,
}

/// Those of one choice.
#[derive(Debug, Default)]
pub(super) struct CarriedChoice<'a> {
    pub(super) choice: u32,
    pub(super) beside: Fields<'a>,
    pub(super) inside: Fields<'a>,
}

impl<'a> Carried<'a> {
    /// Adds a field, unless its name is the API's own: what is said there comes from events.
    pub(super) fn add(&mut self, scope: Scope, field: Field<'a>) {
        if is_taken(scope, &field.name) {
            return;
        }
        let fields = match scope {
            Scope::Answer => &mut self.answer,
            Scope::Choice(choice) => &mut self.of(choice).beside,
            Scope::Delta(choice) => &mut self.of(choice).inside,
        };
        // One choice may stand twice in a frame, where an index is missing.
        match fields.iter_mut().find(|known| known.name == field.name) {
            None => fields.push(field),
            Some(known) if known.says_nothing() => *known = field,
            Some(_) => {}
        }
    }

    fn of(&mut self, choice: u32) -> &mut CarriedChoice<'a> {
        let at = match self.choices.iter().position(|carried| carried.choice == choice) {
            Some(at) => at,
            None => {
                self.choices.push(CarriedChoice { choice, ..CarriedChoice::default() });
                self.choices.len() - 1
            }
        };
        &mut self.choices[at]
    }

    /// Takes the fields of one choice.
    pub(super) fn take(&mut self, choice: u32) -> CarriedChoice<'a> {
        let at = self.choices.iter().position(|carried| carried.choice == choice);
        at.map(|at| self.choices.remove(at)).unwrap_or_default()
    }
}

/// True for the names of the fields that the encoders write themselves, and of padding.
fn is_taken(scope: Scope, name: &str) -> bool {
    match scope {
        Scope::Answer => {
            matches!(
                name,
                "id" | "object" | "created" | "model" | "choices" | "usage" | "error" | "obfuscation" | "p"
            )
        }
        Scope::Choice(_) => {
            matches!(
                name,
                "index"
                    | "delta"
                    | "message"
                    | "finish_reason"
                    | "native_finish_reason"
                    | "obfuscation"
                    | "p"
            )
        }
        Scope::Delta(_) => matches!(
            name,
            "role"
                | "content"
                | "refusal"
                | "reasoning"
                | "reasoning_content"
                | "reasoning_details"
                | "tool_calls"
        ),
    }
}

/// Fields that wait for the next chunk.
#[derive(Debug, Default)]
pub(super) struct Waiting(Vec<Field<'static>>);

impl Waiting {
    /// True if the fields cannot leave together with those: one of the same name says something else.
    pub(super) fn conflicts(&self, fields: &[Field<'_>]) -> bool {
        self.0.len() + fields.len() > WAITING_LIMIT
            || self.0.iter().any(|waiting| {
                let same = fields.iter().find(|field| field.name == waiting.name);
                same.is_some_and(|same| {
                    same.value != waiting.value && !same.says_nothing() && !waiting.says_nothing()
                })
            })
    }

    /// Adds fields that do not conflict. A value that says something replaces one that does not.
    pub(super) fn add<'a>(&mut self, fields: impl IntoIterator<Item = Field<'a>>) {
        for field in fields {
            match self.0.iter_mut().find(|waiting| waiting.name == field.name) {
                None => self.0.push(field.into_owned()),
                Some(waiting) if waiting.says_nothing() => *waiting = field.into_owned(),
                Some(_) => {}
            }
        }
    }

    /// Puts what waits before the fields of the frame.
    pub(super) fn leave_with(&mut self, fields: &mut Fields<'_>) {
        for waiting in self.0.drain(..).rev() {
            match fields.iter_mut().find(|field| field.name == waiting.name) {
                None => fields.insert(0, waiting),
                Some(field) if field.says_nothing() => *field = waiting,
                Some(_) => {}
            }
        }
    }
}

/// True if one of the fields says something.
pub(super) fn any_says(fields: &[Field<'_>]) -> bool {
    fields.iter().any(|field| !field.says_nothing())
}

#[cfg(test)]
mod tests {
    use std::borrow::Cow;

    use super::*;

    fn field(name: &'static str, value: &'static str) -> Field<'static> {
        Field { name: Cow::Borrowed(name), value: Cow::Borrowed(value) }
    }

    #[test]
    fn what_says_something_replaces_what_does_not() {
        let mut waiting = Waiting::default();
        waiting.add([field("a", "null"), field("b", "1")]);
        waiting.add([field("a", "2"), field("b", "null")]);
        let mut fields: Fields<'_> = [field("c", "3"), field("b", "null")].into_iter().collect();
        waiting.leave_with(&mut fields);
        assert_eq!(fields.as_slice(), [field("a", "2"), field("c", "3"), field("b", "1")]);
        assert!(waiting.0.is_empty());
    }

    #[test]
    fn two_values_of_one_name_conflict() {
        let mut waiting = Waiting::default();
        waiting.add([field("a", "1")]);
        assert!(waiting.conflicts(&[field("a", "2")]));
        assert!(!waiting.conflicts(&[field("a", "1"), field("a2", "2")]));
        assert!(!waiting.conflicts(&[field("a", "null")]));
    }
}
