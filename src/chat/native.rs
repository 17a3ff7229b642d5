//! A request in the words of Anthropic's Messages API, kept beside the chat that it was translated to: a provider
//! that speaks the API gets it as it came, so that nothing is lost between them.

use super::RequestError;
use crate::json::Field;

/// How opaque text begins that stands for what a provider of another API said.
pub const SEALED: &str = "millpond.";

/// The request as the client wrote it.
#[derive(Debug, Clone)]
pub struct Native {
    /// The members of its body, without `model`, `stream` and `provider_options`.
    pub fields: Vec<Field<'static>>,
    /// Why no provider of another API can be asked this.
    pub only_here: Option<RequestError>,
}

impl Native {
    /// The raw value of a field that is not null.
    pub fn given(&self, name: &str) -> Option<&str> {
        let field = self.fields.iter().rev().find(|field| field.name == name);
        field.map(|field| field.value.as_ref()).filter(|raw| *raw != "null")
    }
}
