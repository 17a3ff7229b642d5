//! The wire types of a chat-completions frame, read in one pass.
//!
//! Known members are kept as raw JSON text and read leniently later; unknown ones are collected in the
//! order they came. A value of an odd type is read as [`Node::Other`] or [`List::Missing`] and costs
//! nothing beside it.

use std::borrow::Cow;
use std::fmt;

use serde::de::{
    Deserialize, DeserializeSeed, Deserializer, Error, IgnoredAny, MapAccess, SeqAccess, Visitor,
};
use serde_json::value::RawValue;
use smallvec::SmallVec;

use crate::json::{Field, Key};

type Raw<'a> = Option<&'a str>;

/// Unknown fields of one object at most; a frame that has more cannot be read.
const UNKNOWN_LIMIT: usize = 512;

/// A `chat.completion.chunk` or a `chat.completion`, as far as it is one.
#[derive(Debug, Default)]
pub(super) struct Chunk<'a> {
    pub(super) id: Raw<'a>,
    pub(super) object: Raw<'a>,
    pub(super) created: Raw<'a>,
    pub(super) model: Raw<'a>,
    pub(super) choices: List<Choice<'a>>,
    pub(super) usage: Raw<'a>,
    pub(super) x_groq: Raw<'a>,
    pub(super) error: Raw<'a>,
    pub(super) unknown: SmallVec<[Field<'a>; 2]>,
    /// Padding, dropped.
    pub(super) padding: Raw<'a>,
    pub(super) duplicated: bool,
}

/// One element of `choices`.
#[derive(Debug, Default)]
pub(super) struct Choice<'a> {
    pub(super) index: Raw<'a>,
    pub(super) delta: Node<'a, Message<'a>>,
    /// A whole message; few providers send one, so it stands apart.
    pub(super) message: Option<Box<Node<'a, Message<'a>>>>,
    pub(super) text: Raw<'a>,
    pub(super) finish_reason: Raw<'a>,
    pub(super) native_finish_reason: Raw<'a>,
    pub(super) error: Raw<'a>,
    /// Moonshot's place for it.
    pub(super) usage: Raw<'a>,
    pub(super) unknown: SmallVec<[Field<'a>; 2]>,
    /// Padding, dropped.
    pub(super) padding: Raw<'a>,
    pub(super) duplicated: bool,
}

/// A `delta` or a `message`.
#[derive(Debug, Default)]
pub(super) struct Message<'a> {
    pub(super) role: Raw<'a>,
    pub(super) content: Raw<'a>,
    pub(super) refusal: Raw<'a>,
    /// The reasoning under each of the names in [`REASONING`].
    pub(super) reasoning: [Raw<'a>; REASONING.len()],
    pub(super) reasoning_details: Raw<'a>,
    pub(super) tool_calls: List<ToolCall<'a>>,
    pub(super) function_call: Node<'a, Function<'a>>,
    pub(super) unknown: SmallVec<[Field<'a>; 2]>,
    pub(super) duplicated: bool,
}

/// The names under which providers send reasoning as text; the first is the most common.
pub(super) const REASONING: [&str; 4] = ["reasoning_content", "reasoning", "thinking", "reasoning_text"];

/// One element of `tool_calls`.
#[derive(Debug, Default)]
pub(super) struct ToolCall<'a> {
    pub(super) index: Raw<'a>,
    pub(super) id: Raw<'a>,
    pub(super) function: Node<'a, Function<'a>>,
    pub(super) extra_content: Raw<'a>,
    pub(super) unknown: Vec<Field<'a>>,
}

/// The `function` of a tool call, or a legacy `function_call`.
#[derive(Debug, Default)]
pub(super) struct Function<'a> {
    pub(super) name: Raw<'a>,
    pub(super) arguments: Raw<'a>,
}

/// A member that should be an object.
#[derive(Debug, Default)]
pub(super) enum Node<'a, T> {
    /// Missing or null.
    #[default]
    Missing,
    /// An object.
    Object(T),
    /// A string in its place.
    Text(Cow<'a, str>),
    /// Anything else.
    Other,
}

/// A member that should be an array of objects.
#[derive(Debug, Default)]
pub(super) enum List<T> {
    /// Missing or null.
    #[default]
    Missing,
    /// The objects, and whether it was one that stood alone, in place of a list of one.
    Items(Vec<T>, bool),
    /// Anything else.
    Other,
}

/// An object that reads its members one by one.
trait Object<'de>: Default {
    fn member<A: MapAccess<'de>>(&mut self, name: Cow<'de, str>, map: &mut A) -> Result<(), A::Error>;
}

fn raw<'de, A: MapAccess<'de>>(map: &mut A) -> Result<&'de str, A::Error> {
    map.next_value::<&'de RawValue>().map(RawValue::get)
}

/// Sets a known member; true if it was set before. The last one counts.
fn set<'de, A: MapAccess<'de>>(slot: &mut Raw<'de>, map: &mut A) -> Result<bool, A::Error> {
    Ok(slot.replace(raw(map)?).is_some())
}

/// Keeps an unknown member; true if it was there before. The last one counts.
fn keep<'de, A: MapAccess<'de>, S: smallvec::Array<Item = Field<'de>>>(
    unknown: &mut SmallVec<S>,
    name: Cow<'de, str>,
    map: &mut A,
) -> Result<bool, A::Error> {
    let value = Cow::Borrowed(raw(map)?);
    let many = unknown.len() >= UNKNOWN_LIMIT;
    match unknown.iter_mut().find(|field| field.name == name) {
        Some(field) => {
            field.value = value;
            Ok(true)
        }
        None if many => Err(A::Error::custom("too many fields")),
        None => {
            unknown.push(Field { name, value });
            Ok(false)
        }
    }
}

impl<'de> Object<'de> for Chunk<'de> {
    fn member<A: MapAccess<'de>>(&mut self, name: Cow<'de, str>, map: &mut A) -> Result<(), A::Error> {
        self.duplicated |= match name.as_ref() {
            "id" => set(&mut self.id, map)?,
            "object" => set(&mut self.object, map)?,
            "created" => set(&mut self.created, map)?,
            "model" => set(&mut self.model, map)?,
            "choices" => {
                map.next_value_seed(Fill(&mut self.choices))?;
                false
            }
            "usage" => set(&mut self.usage, map)?,
            "x_groq" => set(&mut self.x_groq, map)?,
            "error" => set(&mut self.error, map)?,
            "obfuscation" | "p" => set(&mut self.padding, map)?,
            _ => keep(&mut self.unknown, name, map)?,
        };
        Ok(())
    }
}

impl<'de> Object<'de> for Choice<'de> {
    fn member<A: MapAccess<'de>>(&mut self, name: Cow<'de, str>, map: &mut A) -> Result<(), A::Error> {
        self.duplicated |= match name.as_ref() {
            "index" => set(&mut self.index, map)?,
            "delta" => {
                map.next_value_seed(Fill(&mut self.delta))?;
                false
            }
            "message" => {
                let mut message = Node::Missing;
                map.next_value_seed(Fill(&mut message))?;
                self.message = Some(Box::new(message));
                false
            }
            "text" => set(&mut self.text, map)?,
            "finish_reason" => set(&mut self.finish_reason, map)?,
            "native_finish_reason" => set(&mut self.native_finish_reason, map)?,
            "error" => set(&mut self.error, map)?,
            "usage" => set(&mut self.usage, map)?,
            "obfuscation" | "p" => set(&mut self.padding, map)?,
            _ => keep(&mut self.unknown, name, map)?,
        };
        Ok(())
    }
}

impl<'de> Object<'de> for Message<'de> {
    fn member<A: MapAccess<'de>>(&mut self, name: Cow<'de, str>, map: &mut A) -> Result<(), A::Error> {
        self.duplicated |= match name.as_ref() {
            "role" => set(&mut self.role, map)?,
            "content" => set(&mut self.content, map)?,
            "refusal" => set(&mut self.refusal, map)?,
            "reasoning_details" => set(&mut self.reasoning_details, map)?,
            "tool_calls" => {
                map.next_value_seed(Fill(&mut self.tool_calls))?;
                false
            }
            "function_call" => {
                map.next_value_seed(Fill(&mut self.function_call))?;
                false
            }
            other => match REASONING.iter().position(|&known| known == other) {
                Some(at) => match self.reasoning.get_mut(at) {
                    Some(slot) => set(slot, map)?,
                    None => false,
                },
                None => keep(&mut self.unknown, name, map)?,
            },
        };
        Ok(())
    }
}

impl<'de> Object<'de> for ToolCall<'de> {
    fn member<A: MapAccess<'de>>(&mut self, name: Cow<'de, str>, map: &mut A) -> Result<(), A::Error> {
        match name.as_ref() {
            "index" => self.index = Some(raw(map)?),
            "id" => self.id = Some(raw(map)?),
            "type" => drop(map.next_value::<IgnoredAny>()?), // Always "function" downstream.
            "function" => map.next_value_seed(Fill(&mut self.function))?,
            "extra_content" => self.extra_content = Some(raw(map)?),
            _ => {
                let value = Cow::Borrowed(raw(map)?);
                let many = self.unknown.len() >= UNKNOWN_LIMIT;
                match self.unknown.iter_mut().find(|field| field.name == name) {
                    Some(field) => field.value = value,
                    None if many => return Err(A::Error::custom("too many fields")),
                    None => self.unknown.push(Field { name, value }),
                }
            }
        }
        Ok(())
    }
}

impl<'de> Object<'de> for Function<'de> {
    fn member<A: MapAccess<'de>>(&mut self, name: Cow<'de, str>, map: &mut A) -> Result<(), A::Error> {
        match name.as_ref() {
            "name" => self.name = Some(raw(map)?),
            "arguments" => self.arguments = Some(raw(map)?),
            _ => drop(map.next_value::<IgnoredAny>()?), // `parsed` and the like: the same again.
        }
        Ok(())
    }
}

impl<'de> Deserialize<'de> for Chunk<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let mut node = Node::Missing;
        Fill(&mut node).deserialize(deserializer)?;
        match node {
            Node::Object(chunk) => Ok(chunk),
            Node::Missing | Node::Text(_) | Node::Other => Err(D::Error::custom("not an object")),
        }
    }
}

/// Reads a value into its place: these structs are large, and moving them would cost more than reading.
struct Fill<'x, T>(&'x mut T);

impl<'de, T: Object<'de>> DeserializeSeed<'de> for Fill<'_, Node<'de, T>> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de, T: Object<'de>> Visitor<'de> for Fill<'_, Node<'de, T>> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        *self.0 = Node::Object(T::default());
        match self.0 {
            Node::Object(object) => read_object(object, &mut map),
            Node::Missing | Node::Text(_) | Node::Other => Ok(()),
        }
    }

    fn visit_unit<E>(self) -> Result<(), E> {
        *self.0 = Node::Missing;
        Ok(())
    }

    fn visit_borrowed_str<E>(self, text: &'de str) -> Result<(), E> {
        *self.0 = Node::Text(Cow::Borrowed(text));
        Ok(())
    }

    fn visit_str<E>(self, text: &str) -> Result<(), E> {
        *self.0 = Node::Text(Cow::Owned(text.to_owned()));
        Ok(())
    }

    fn visit_bool<E>(self, _: bool) -> Result<(), E> {
        *self.0 = Node::Other;
        Ok(())
    }

    fn visit_u64<E>(self, _: u64) -> Result<(), E> {
        *self.0 = Node::Other;
        Ok(())
    }

    fn visit_i64<E>(self, _: i64) -> Result<(), E> {
        *self.0 = Node::Other;
        Ok(())
    }

    fn visit_f64<E>(self, _: f64) -> Result<(), E> {
        *self.0 = Node::Other;
        Ok(())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<(), A::Error> {
        while seq.next_element::<IgnoredAny>()?.is_some() {}
        *self.0 = Node::Other;
        Ok(())
    }
}

fn read_object<'de, T: Object<'de>, A: MapAccess<'de>>(object: &mut T, map: &mut A) -> Result<(), A::Error> {
    while let Some(Key(name)) = map.next_key()? {
        object.member(name, map)?;
    }
    Ok(())
}

impl<'de, T: Object<'de>> DeserializeSeed<'de> for Fill<'_, List<T>> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de, T: Object<'de>> Visitor<'de> for Fill<'_, List<T>> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an array of objects")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<(), A::Error> {
        let mut items = Vec::new();
        let mut node = Node::Missing;
        while seq.next_element_seed(Fill(&mut node))?.is_some() {
            if let Node::Object(item) = std::mem::take(&mut node) {
                items.push(item);
            }
        }
        *self.0 = List::Items(items, false);
        Ok(())
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        let mut item = T::default();
        read_object(&mut item, &mut map)?;
        *self.0 = List::Items(vec![item], true);
        Ok(())
    }

    fn visit_unit<E>(self) -> Result<(), E> {
        *self.0 = List::Missing;
        Ok(())
    }

    fn visit_str<E>(self, _: &str) -> Result<(), E> {
        *self.0 = List::Other;
        Ok(())
    }

    fn visit_bool<E>(self, _: bool) -> Result<(), E> {
        *self.0 = List::Other;
        Ok(())
    }

    fn visit_u64<E>(self, _: u64) -> Result<(), E> {
        *self.0 = List::Other;
        Ok(())
    }

    fn visit_i64<E>(self, _: i64) -> Result<(), E> {
        *self.0 = List::Other;
        Ok(())
    }

    fn visit_f64<E>(self, _: f64) -> Result<(), E> {
        *self.0 = List::Other;
        Ok(())
    }
}
