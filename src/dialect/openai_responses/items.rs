//! What is known of the items of an answer: what was heard of each, so that an event that says all of it
//! again adds only what is new.

use crate::event::Heard;

/// Items that are known at once at most; beyond it the oldest is forgotten.
const ITEMS_LIMIT: usize = 256;
/// Parts of one item that are known at most, and what is kept back of one item at most, in bytes.
const PARTS_LIMIT: usize = 1024;
const KEPT_LIMIT: usize = 1 << 20;

/// The items of an answer.
#[derive(Debug, Default)]
pub(super) struct Items {
    list: Vec<Item>,
    /// Items told of, with those that were forgotten.
    pub(super) count: usize,
}

/// One item.
#[derive(Debug)]
pub(super) struct Item {
    /// Its id; empty where it has none.
    pub(super) id: String,
    /// Its place in the answer.
    pub(super) place: Option<i64>,
    pub(super) body: Body,
    /// It was said to be done.
    pub(super) is_done: bool,
}

/// What an item is.
#[derive(Debug)]
pub(super) enum Body {
    /// Text and refusals.
    Message(Vec<Part>),
    /// Summaries and thoughts.
    Reasoning(Vec<Part>),
    /// A function call: its number, and its arguments so far.
    Call(i64, Heard),
    /// Anything else, as it came first; empty once it left.
    Other(String),
}

/// The kind of an item's body.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Message,
    Reasoning,
    Call,
    Other,
}

/// A part of an item.
#[derive(Debug)]
pub(super) struct Part {
    pub(super) voice: Voice,
    index: i64,
    pub(super) heard: Heard,
    /// Where its text begins in the answer, in characters.
    pub(super) start: usize,
    /// Its annotations so far.
    pub(super) annotations: usize,
    /// Its number among the items of structured reasoning.
    pub(super) detail: u32,
}

/// What a part says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Voice {
    Text,
    Refusal,
    Summary,
    Thought,
}

impl Voice {
    /// The kind of item that speaks so.
    pub(super) fn kind(self) -> Kind {
        match self {
            Voice::Text | Voice::Refusal => Kind::Message,
            Voice::Summary | Voice::Thought => Kind::Reasoning,
        }
    }

    /// The field that numbers such parts.
    pub(super) fn numbered_by(self) -> &'static str {
        match self {
            Voice::Text | Voice::Refusal | Voice::Thought => "content_index",
            Voice::Summary => "summary_index",
        }
    }
}

impl Kind {
    /// The kind of an item of that type.
    pub(super) fn of(kind: &str) -> Kind {
        match kind {
            "message" => Kind::Message,
            "reasoning" => Kind::Reasoning,
            "function_call" => Kind::Call,
            _ => Kind::Other,
        }
    }
}

impl Item {
    fn kind(&self) -> Kind {
        match self.body {
            Body::Message(_) => Kind::Message,
            Body::Reasoning(_) => Kind::Reasoning,
            Body::Call(_, _) => Kind::Call,
            Body::Other(_) => Kind::Other,
        }
    }

    /// The part of that number; `new` makes one that nobody opened.
    pub(super) fn part(&mut self, voice: Voice, index: i64, new: impl FnOnce() -> Part) -> Option<&mut Part> {
        let (Body::Message(parts) | Body::Reasoning(parts)) = &mut self.body else { return None };
        let known = parts.iter().rposition(|part| part.voice == voice && part.index == index);
        let at = match known {
            Some(at) => at,
            None => {
                if parts.len() >= PARTS_LIMIT {
                    parts.remove(0);
                }
                parts.push(Part { voice, index, ..new() });
                parts.len() - 1
            }
        };
        parts.get_mut(at)
    }
}

impl Part {
    /// A part that nobody heard yet.
    pub(super) fn new(start: usize, detail: u32) -> Part {
        Part { voice: Voice::Text, index: 0, heard: Heard::default(), start, annotations: 0, detail }
    }
}

impl Items {
    /// The item that an event is about: by its id, else by its place, else the last one of its kind. Some
    /// servers change ids between the events of an item, others give no places.
    pub(super) fn find(&self, kind: Kind, id: &str, place: Option<i64>) -> Option<usize> {
        let last = |fits: &dyn Fn(&Item) -> bool| {
            self.list.iter().rposition(|item| item.kind() == kind && fits(item))
        };
        self.named(kind, id).or_else(|| match place {
            Some(_) => last(&|item| item.place == place),
            None if kind == Kind::Other => None,
            None => last(&|item| !item.is_done && (id.is_empty() || item.id.is_empty())),
        })
    }

    /// The item that has an id.
    pub(super) fn named(&self, kind: Kind, id: &str) -> Option<usize> {
        let has = |item: &Item| item.kind() == kind && item.id == id;
        if id.is_empty() { None } else { self.list.iter().rposition(has) }
    }

    /// Adds an item; gives where it is.
    pub(super) fn add(&mut self, id: String, place: Option<i64>, body: Body) -> usize {
        if self.list.len() >= ITEMS_LIMIT {
            self.list.remove(0);
        }
        let body = match body {
            Body::Other(raw) if raw.len() > KEPT_LIMIT => Body::Other(String::new()),
            body => body,
        };
        self.list.push(Item { id, place, body, is_done: false });
        self.count += 1;
        self.list.len() - 1
    }

    /// The item at a place of the list.
    pub(super) fn at(&mut self, at: usize) -> Option<&mut Item> {
        self.list.get_mut(at)
    }

    /// Takes what is kept of items that were never done.
    pub(super) fn take_unfinished(&mut self) -> Vec<String> {
        let mut kept = Vec::new();
        for item in self.list.iter_mut().filter(|item| !item.is_done) {
            if let Body::Other(raw) = &mut item.body
                && !raw.is_empty()
            {
                kept.push(std::mem::take(raw));
            }
        }
        kept
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_item_is_found_by_its_id_then_its_place_then_as_the_last() {
        let mut items = Items::default();
        let message = || Body::Message(Vec::new());
        items.add("a".to_owned(), Some(0), message());
        items.add("b".to_owned(), Some(1), message());
        items.add(String::new(), None, message());
        for (id, place, expect) in [
            ("a", Some(1), Some(0)),
            ("changed", Some(1), Some(1)),
            ("", Some(0), Some(0)),
            ("", None, Some(2)),
            ("unknown", Some(7), None),
        ] {
            assert_eq!(items.find(Kind::Message, id, place), expect, "{id} {place:?}");
        }
        assert_eq!(items.find(Kind::Reasoning, "a", Some(0)), None);
    }

    #[test]
    fn the_oldest_items_are_forgotten() {
        let mut items = Items::default();
        for at in 0..300 {
            items.add(format!("i{at}"), Some(at), Body::Other("{}".to_owned()));
        }
        assert_eq!((items.count, items.named(Kind::Other, "i0")), (300, None));
        assert_eq!(items.take_unfinished().len(), ITEMS_LIMIT);
    }
}
