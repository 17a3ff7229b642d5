//! The error object: in the stream, as `event: error`, and as the body of an HTTP error of any path of the API.

use crate::api::chat_completions::ErrorBody;
use crate::event::ErrorType;
use crate::json;

/// Appends `{"type":"error","error":{"type":…,"message":…}}`; what millpond knows beyond that stands behind.
pub fn write_error(body: &ErrorBody<'_>, out: &mut Vec<u8>) {
    out.extend_from_slice(b"{\"type\":\"error\",\"error\":{\"type\":");
    json::write_string(kind(body), out);
    out.extend_from_slice(b",\"message\":");
    json::write_string(body.message, out);
    for (name, value) in [("param", body.param), ("code", body.code)] {
        if let Some(value) = value {
            out.push(b',');
            json::write_string(name, out);
            out.push(b':');
            json::write_string(value, out);
        }
    }
    body.write_origin(out);
    out.extend_from_slice(b"}}");
}

/// The API's word for a type of errors.
fn kind(body: &ErrorBody<'_>) -> &'static str {
    match body.error_type {
        ErrorType::Upstream | ErrorType::Server => "api_error",
        ErrorType::RequestTooLarge => "request_too_large",
        ErrorType::InvalidRequest
        | ErrorType::Authentication
        | ErrorType::Permission
        | ErrorType::NotFound
        | ErrorType::RateLimit
        | ErrorType::Timeout
        | ErrorType::Overloaded => body.error_type.as_str(),
    }
}
