//! Calls of tools in a manner: the fragments that they are said in.

use super::answer::Call;
use super::ids::Ids;
use super::json::{Json, Object};
use super::manner::{Blank, Calls, Index, Later, Nothing};

/// Cuts calls into fragments.
#[derive(Debug, Clone, Copy)]
pub struct Fragments {
    manner: Calls,
    ids: Ids,
    candidate: usize,
}

/// What a fragment says of the arguments.
enum Arguments {
    Text(String),
    Value(Json),
    Absent,
}

impl Fragments {
    /// Prepares for the calls of one candidate.
    pub fn new(manner: Calls, ids: Ids, candidate: usize) -> Self {
        Self { manner, ids, candidate }
    }

    /// The deltas that say the calls, each with the number of its tokens.
    pub fn deltas(self, calls: &[Call]) -> Vec<(Object, u64)> {
        if self.manner.legacy {
            return calls.first().map(|call| self.legacy(call)).unwrap_or_default();
        }
        let mut fragments: Vec<(Json, u64)> = Vec::new();
        for (slot, call) in calls.iter().enumerate() {
            let mut left = call.pieces.len() as u64;
            for (turn, arguments) in self.arguments(call).into_iter().enumerate() {
                let pieces = match &arguments {
                    Arguments::Text(text) if text.is_empty() => 0,
                    Arguments::Absent => 0,
                    Arguments::Text(_) | Arguments::Value(_) if self.manner.whole => left,
                    Arguments::Text(_) | Arguments::Value(_) => left.min(1),
                };
                left -= pieces;
                // The name is a token as well.
                let tokens = pieces + u64::from(turn == 0);
                fragments.push((self.fragment(slot, call, turn, arguments), tokens));
            }
        }
        let calls_delta = |calls: Vec<Json>| Object::default().with("tool_calls", calls);
        if self.manner.together && !fragments.is_empty() {
            let tokens = fragments.iter().map(|(_, tokens)| tokens).sum();
            let all = fragments.into_iter().map(|(fragment, _)| fragment);
            return vec![(calls_delta(all.collect()), tokens)];
        }
        fragments.into_iter().map(|(fragment, tokens)| (calls_delta(vec![fragment]), tokens)).collect()
    }

    /// The call as it stands in a message that is not streamed.
    pub fn finished(self, slot: usize, call: &Call) -> Json {
        let whole = Self {
            manner: Calls { whole: true, repeats: false, index: Index::Absent, ..self.manner },
            ..self
        };
        let arguments = whole.arguments(call).into_iter().next();
        whole.fragment(slot, call, 0, arguments.unwrap_or(Arguments::Absent))
    }

    /// What the fragments of a call say of its arguments, one after the other.
    fn arguments(self, call: &Call) -> Vec<Arguments> {
        let Some(value) = &call.value else {
            return self.no_arguments();
        };
        let text: String = call.pieces.concat();
        let full = |text: String| match self.manner.objects {
            true => Arguments::Value(value.clone()),
            false => Arguments::Text(text),
        };
        let mut parts = Vec::new();
        if self.manner.whole {
            parts.push(full(text.clone()));
        } else {
            let mut pieces = call.pieces.iter().cloned();
            let first = if self.manner.eager { pieces.next() } else { None };
            parts.push(Arguments::Text(first.unwrap_or_default()));
            if self.manner.extra_empty {
                parts.push(Arguments::Text(String::new()));
            }
            parts.extend(pieces.map(Arguments::Text));
        }
        if self.manner.repeats {
            parts.push(full(text));
        }
        parts
    }

    fn no_arguments(self) -> Vec<Arguments> {
        let whole = match self.manner.nothing {
            Nothing::Object if self.manner.objects => Arguments::Value(Object::default().into()),
            Nothing::Object => Arguments::Text("{}".to_owned()),
            Nothing::Empty => Arguments::Text(String::new()),
            Nothing::Word => Arguments::Text("null".to_owned()),
            Nothing::Null => Arguments::Value(Json::Null),
            Nothing::Absent => Arguments::Absent,
        };
        if self.manner.whole || self.manner.nothing != Nothing::Object {
            let mut parts = vec![whole];
            if self.manner.extra_empty {
                parts.push(Arguments::Text(String::new()));
            }
            return parts;
        }
        let mut parts = vec![Arguments::Text(String::new())];
        if self.manner.extra_empty {
            parts.push(Arguments::Text(String::new()));
        }
        parts.push(whole);
        parts
    }

    fn fragment(self, slot: usize, call: &Call, turn: usize, arguments: Arguments) -> Json {
        let mut fragment = Object::default();
        self.set_index(&mut fragment, slot);
        let again = match self.manner.id {
            Later::Fresh => turn,
            Later::Blank(_) | Later::Same => 0,
        };
        let id = self.ids.call(self.manner.id_prefix, self.candidate, slot, again);
        set_later(&mut fragment, "id", &id, turn, self.manner.id);
        if self.manner.kind != Later::Fresh {
            set_later(&mut fragment, "type", "function", turn, self.manner.kind);
        }
        let mut function = Object::default();
        set_later(&mut function, "name", &call.name, turn, self.manner.name);
        set_arguments(&mut function, arguments);
        fragment.set("function", function);
        if self.manner.signature && turn == 0 {
            let google = Object::default().with("thought_signature", "bW9jayBzaWduYXR1cmU=");
            fragment.set("extra_content", Object::default().with("google", google));
        }
        fragment.into()
    }

    fn set_index(self, fragment: &mut Object, slot: usize) {
        let slot = slot as u64;
        match self.manner.index {
            Index::From(first) => fragment.set("index", first + slot),
            Index::Zero => fragment.set("index", 0),
            Index::Text => fragment.set("index", slot.to_string()),
            Index::Null => fragment.set("index", Json::Null),
            Index::Absent => fragment,
        };
    }

    fn legacy(self, call: &Call) -> Vec<(Object, u64)> {
        let parts = self.arguments(call).into_iter().enumerate();
        parts
            .map(|(turn, arguments)| {
                let mut function = Object::default();
                set_later(&mut function, "name", &call.name, turn, self.manner.name);
                set_arguments(&mut function, arguments);
                (Object::default().with("function_call", function), 1)
            })
            .collect()
    }
}

fn set_later(object: &mut Object, key: &str, value: &str, turn: usize, later: Later) {
    if turn == 0 {
        object.set(key, value);
        return;
    }
    match later {
        Later::Same | Later::Fresh => object.set(key, value),
        Later::Blank(Blank::Null) => object.set(key, Json::Null),
        Later::Blank(Blank::Empty) => object.set(key, ""),
        Later::Blank(Blank::Absent) => object,
    };
}

fn set_arguments(function: &mut Object, arguments: Arguments) {
    match arguments {
        Arguments::Text(text) => function.set("arguments", text),
        Arguments::Value(value) => function.set("arguments", value),
        Arguments::Absent => function,
    };
}

#[cfg(test)]
mod tests {
    use super::super::json::Handwriting;
    use super::super::manners;
    use super::*;

    fn check(manner: &str, expect: &[&str]) {
        let manner = manners::find(manner).expect("a manner");
        let call = Call {
            name: "f".to_owned(),
            pieces: vec!["{\"a\"".to_owned(), ":1}".to_owned()],
            value: Some(Object::default().with("a", 1).into()),
        };
        let idle = Call { name: "g".to_owned(), pieces: Vec::new(), value: None };
        let calls = Calls { id_prefix: "", ..manner.calls };
        let said = Fragments::new(calls, Ids::new(1), 0).deltas(&[call, idle]);
        let said: Vec<String> = said
            .iter()
            .map(|(delta, _)| delta.write(Handwriting::default()))
            .map(|text| text.replace("{\"tool_calls\":[", "").replace("]}", ""))
            .collect();
        assert_eq!(said, expect);
    }

    #[test]
    fn fragments_as_openai_sends_them() {
        check(
            "demo",
            &[
                r#"{"index":0,"id":"","type":"function","function":{"name":"f","arguments":""}}"#,
                r#"{"index":0,"function":{"arguments":"{\"a\""}}"#,
                r#"{"index":0,"function":{"arguments":":1}"}}"#,
                r#"{"index":1,"id":"","type":"function","function":{"name":"g","arguments":""}}"#,
                r#"{"index":1,"function":{"arguments":"{}"}}"#,
            ],
        );
    }

    #[test]
    fn whole_calls_in_one_delta_without_index_and_type() {
        check(
            "mistral-magistral",
            &[
                r#"{"id":"","function":{"name":"f","arguments":"{\"a\":1}"}},{"id":"","function":{"name":"g","arguments":"{}"}}"#,
            ],
        );
    }

    #[test]
    fn objects_that_come_twice() {
        check(
            "home-made",
            &[
                r#"{"index":"0","id":"","type":"function","function":{"name":"f","arguments":{"a":1}}}"#,
                r#"{"index":"0","function":{"arguments":{"a":1}}}"#,
                r#"{"index":"1","id":"","type":"function","function":{"name":"g","arguments":null}}"#,
            ],
        );
    }
}
