//! The error object: in the stream (F2) and as the body of an HTTP error (F1).

use crate::event::{ErrorType, Fault};
use crate::json;

/// What an error object says.
#[derive(Debug, Clone, Copy)]
pub struct ErrorBody<'a> {
    /// For people; never empty.
    pub message: &'a str,
    /// From the closed list.
    pub error_type: ErrorType,
    /// The field of the request that is to blame.
    pub param: Option<&'a str>,
    /// The code of a fault; of errors that are no faults few have one.
    pub code: Option<&'static str>,
    /// The provider that was asked.
    pub provider: Option<&'a str>,
    /// The provider's own code.
    pub provider_code: Option<&'a str>,
    /// The status of the upstream's answer.
    pub upstream_status: Option<u16>,
}

impl<'a> ErrorBody<'a> {
    /// What a fault says.
    pub fn of_fault(fault: &'a Fault, provider: &'a str) -> ErrorBody<'a> {
        ErrorBody {
            message: &fault.message,
            error_type: fault.error_type,
            param: fault.param.as_deref(),
            code: Some(fault.code.as_str()),
            provider: Some(provider),
            provider_code: fault.provider_code.as_deref(),
            upstream_status: None,
        }
    }

    /// Appends the members that tell where it comes from, those that are known.
    pub(crate) fn write_origin(&self, out: &mut Vec<u8>) {
        for (name, value) in [("provider", self.provider), ("provider_code", self.provider_code)] {
            if let Some(value) = value {
                out.push(b',');
                json::write_string(name, out);
                out.push(b':');
                json::write_string(value, out);
            }
        }
        if let Some(status) = self.upstream_status {
            out.extend_from_slice(b",\"upstream_status\":");
            json::write_number(status, out);
        }
    }
}

/// Appends `{"error": {…}}`.
pub fn write_error(body: &ErrorBody<'_>, out: &mut Vec<u8>) {
    let optional = |text: Option<&str>, out: &mut Vec<u8>| match text {
        Some(text) => json::write_string(text, out),
        None => out.extend_from_slice(b"null"),
    };
    out.extend_from_slice(b"{\"error\":{\"message\":");
    json::write_string(body.message, out);
    out.extend_from_slice(b",\"type\":");
    json::write_string(body.error_type.as_str(), out);
    out.extend_from_slice(b",\"param\":");
    optional(body.param, out);
    out.extend_from_slice(b",\"code\":");
    optional(body.code, out);
    body.write_origin(out);
    out.extend_from_slice(b"}}");
}
