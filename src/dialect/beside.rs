//! Fields that no other delta has a place for: they are carried beside what a frame says (B3).

use std::borrow::Cow;

use crate::event::{Delta, Scope};
use crate::json::{Field, Members};

/// Carries every member that is none of these and says something.
pub(super) fn others<'a>(members: &Members<'a>, known: &[&str], scope: Scope, out: &mut Vec<Delta<'a>>) {
    for (name, value) in &members.0 {
        if !known.contains(&name.as_ref()) && *value != "null" {
            out.push(Delta::Unknown(scope, Field { name: name.clone(), value: Cow::Borrowed(value) }));
        }
    }
}

/// Adds items, as JSON texts with commas between them, to a list that the frame carries in a choice's delta.
pub(super) fn item(choice: u32, name: &'static str, raw: &str, out: &mut Vec<Delta<'_>>) {
    for delta in out.iter_mut() {
        if let Delta::Unknown(Scope::Delta(known), field) = delta
            && *known == choice
            && field.name == name
            && field.value.ends_with(']')
        {
            let list = field.value.to_mut();
            list.truncate(list.len() - 1);
            list.push_str(&format!(",{raw}]"));
            return;
        }
    }
    let field = Field { name: Cow::Borrowed(name), value: Cow::Owned(format!("[{raw}]")) };
    out.push(Delta::Unknown(Scope::Delta(choice), field));
}
