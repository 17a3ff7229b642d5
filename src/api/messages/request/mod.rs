//! A request of the Messages API becomes a chat. Its own words stay beside it, for providers that speak them.

mod content;
mod settings;

use std::borrow::Cow;
use std::sync::Arc;

use content::Messages;

use crate::chat::{self, Chat, Origin, RequestError, Tongue};
use crate::json::{self, Field, Members};

/// Reads the body of a request.
pub fn read(body: &[u8]) -> Result<Chat, RequestError> {
    let members = chat::object(body)?;
    let stream = chat::stream(&members)?;
    let model = chat::model(&members)?;
    chat::check_messages(&members)?;
    let mut origin = Origin::new(Tongue::Messages, &members);
    let mut messages = Messages::new(&mut origin);
    messages.system(members.find("system").unwrap_or("null"))?;
    messages.read(members.find("messages").unwrap_or_default())?;
    let mut fields = vec![field("messages", messages.finish()?)];
    settings::read(&members, &mut fields, &mut origin)?;
    Ok(Chat {
        model,
        stream,
        include_usage: true,
        stream_options: None,
        provider_options: chat::provider_options(&members),
        fields,
        is_completion: false,
        origin: Some(Arc::new(origin)),
    })
}

/// A field of the chat, of JSON text.
fn field(name: &'static str, value: Vec<u8>) -> Field<'static> {
    let value = String::from_utf8_lossy(&value).into_owned();
    Field { name: Cow::Borrowed(name), value: Cow::Owned(value) }
}

/// Appends a member of JSON text to an object that is begun.
fn member(name: &str, raw: &str, out: &mut Vec<u8>) {
    if out.last() != Some(&b'{') {
        out.push(b',');
    }
    json::write_string(name, out);
    out.push(b':');
    out.extend_from_slice(raw.as_bytes());
}

/// Appends a member that is a text.
fn text_member(name: &str, text: &str, out: &mut Vec<u8>) {
    member(name, "", out);
    json::write_string(text, out);
}

/// The members of an object that is not null.
fn object<'a>(members: &Members<'a>, name: &str) -> Members<'a> {
    members.find(name).map(Members::of).unwrap_or_default()
}

/// A member that is not null.
fn given<'a>(members: &Members<'a>, name: &str) -> Option<&'a str> {
    members.find(name).filter(|raw| *raw != "null")
}

/// The type of a block, a tool and the like.
fn kind<'a>(members: &Members<'a>) -> Cow<'a, str> {
    members.find("type").and_then(json::word).unwrap_or_default()
}

fn malformed(place: impl ToString, expected: &'static str) -> RequestError {
    RequestError::Malformed { place: place.to_string(), expected }
}
