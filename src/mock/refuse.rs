//! Error bodies in the envelopes of the providers, and the headers that go with them.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use super::fault::Retry;
use super::json::{Handwriting, Json, Object};
use super::manner::{Envelope, Table};

/// A page, as a proxy in front of a provider sends it.
pub const PAGE: &str = "<!doctype html>\n<html><head><title>Bad Gateway</title></head>\
    <body><h1>502 Bad Gateway</h1><hr><p>millpond mock</p></body></html>\n";

/// How long a limited client should wait.
const WAIT: Duration = Duration::from_secs(2);

/// The rate limit headers that come with status 429.
pub const LIMITS: Table = &[
    ("x-ratelimit-limit-requests", "60"),
    ("x-ratelimit-remaining-requests", "0"),
    ("x-ratelimit-reset-requests", "2s"),
];

/// An error as OpenAI writes it.
#[derive(Debug, Clone, Copy)]
pub struct Problem<'a> {
    /// The status, which some envelopes repeat.
    pub status: u16,
    /// What went wrong.
    pub message: &'a str,
    /// The kind of error.
    pub kind: &'a str,
    /// The code.
    pub code: &'a str,
}

impl Problem<'static> {
    /// The problem that a status stands for.
    pub fn of_status(status: u16) -> Self {
        let (kind, code, message) = match status {
            400 => ("invalid_request_error", "invalid_value", "The mock dislikes this request."),
            401 => ("authentication_error", "invalid_api_key", "The mock does not know this key."),
            402 => ("insufficient_quota", "insufficient_credits", "The mock wants more credits."),
            403 => ("permission_error", "forbidden", "The mock does not allow this."),
            404 => ("not_found_error", "model_not_found", "The mock has no such model."),
            413 => ("invalid_request_error", "too_large", "The request is too large for the mock."),
            429 => ("rate_limit_error", "rate_limit_exceeded", "The mock has had too many requests."),
            529 => ("overloaded_error", "overloaded", "The mock is overloaded."),
            _ => ("server_error", "internal_error", "The mock failed."),
        };
        Self { status, message, kind, code }
    }
}

impl Problem<'_> {
    /// Writes the problem in an envelope.
    pub fn write(self, envelope: Envelope) -> String {
        self.envelope(envelope).write(Handwriting::default())
    }

    fn envelope(self, envelope: Envelope) -> Json {
        let status = u64::from(self.status);
        let error = |error: Object| Object::default().with("error", error);
        let message = || Object::default().with("message", self.message);
        let object = match envelope {
            Envelope::OpenAi => error(self.openai()),
            Envelope::OpenRouter => {
                let metadata = Object::default().with("provider_name", "Millpond");
                error(message().with("code", status).with("metadata", metadata)).with("user_id", "user_mock")
            }
            Envelope::Text => Object::default().with("error", self.message),
            Envelope::CodeAndText => Object::default().with("code", self.code).with("error", self.message),
            Envelope::Detail => Object::default().with("detail", self.message),
            Envelope::DetailList => self.details(),
            Envelope::Mistral => message()
                .with("object", "error")
                .with("type", self.kind)
                .with("param", Json::Null)
                .with("code", status.to_string())
                .with("raw_status_code", status),
            Envelope::Flat => self.openai(),
            Envelope::Anthropic => Object::default()
                .with("type", "error")
                .with("error", Object::default().with("type", self.anthropic()).with("message", self.message))
                .with("request_id", "req_mock0001"),
            Envelope::Message | Envelope::Aws => message(),
            Envelope::Cohere => Object::default().with("id", "omock-0001").with("message", self.message),
            Envelope::Status => error(
                Object::default()
                    .with("code", status)
                    .with("message", self.message)
                    .with("status", grpc(self.status)),
            ),
            Envelope::Google => {
                let status_word = Object::default()
                    .with("code", status)
                    .with("message", self.message)
                    .with("status", self.code.to_uppercase());
                return vec![error(status_word).into()].into();
            }
            Envelope::Cloudflare => Object::default()
                .with("success", false)
                .with("errors", vec![message().with("code", 7000).into()])
                .with("messages", Vec::new())
                .with("result", Json::Null),
            Envelope::Identified => Object::default().with("id", "omMock-0001").with("error", self.openai()),
            Envelope::Numbered => error(
                Object::default().with("code", status).with("message", self.message).with("type", self.kind),
            ),
        };
        object.into()
    }

    fn openai(self) -> Object {
        Object::default()
            .with("message", self.message)
            .with("type", self.kind)
            .with("param", Json::Null)
            .with("code", self.code)
    }

    /// Anthropic's word for the kind.
    fn anthropic(&self) -> &str {
        match self.kind {
            "insufficient_quota" => "billing_error",
            "server_error" => "api_error",
            kind => kind,
        }
    }

    fn details(self) -> Object {
        let place: Vec<Json> = vec!["body".into(), "messages".into()];
        let detail = Object::default().with("type", self.kind).with("loc", place).with("msg", self.message);
        Object::default().with("detail", vec![detail.into()])
    }
}

/// gRPC's word for a status.
fn grpc(status: u16) -> &'static str {
    match status {
        400 => "INVALID_ARGUMENT",
        401 => "UNAUTHENTICATED",
        403 => "PERMISSION_DENIED",
        404 => "NOT_FOUND",
        429 => "RESOURCE_EXHAUSTED",
        502 | 503 | 529 => "UNAVAILABLE",
        _ => "INTERNAL",
    }
}

/// AWS's word for a status, which stands in a header.
pub fn aws(status: u16) -> &'static str {
    match status {
        400 => "ValidationException",
        401 | 403 => "AccessDeniedException",
        404 => "ResourceNotFoundException",
        429 => "ThrottlingException",
        502 | 503 | 529 => "ServiceUnavailableException",
        _ => "InternalServerException",
    }
}

/// The value of `retry-after`.
pub fn retry_after(retry: Retry, now: SystemTime) -> Option<String> {
    match retry {
        Retry::Absent => None,
        Retry::Seconds => Some(WAIT.as_secs().to_string()),
        Retry::Date => Some(http_date(now + WAIT)),
    }
}

/// An HTTP date (RFC 9110, section 5.6.7).
fn http_date(time: SystemTime) -> String {
    const DAYS: [&str; 7] = ["Thu", "Fri", "Sat", "Sun", "Mon", "Tue", "Wed"];
    const MONTHS: [&str; 12] =
        ["Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec", "Jan", "Feb"];
    let seconds = time.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
    let (day, second) = (seconds / 86_400, seconds % 86_400);
    let weekday = DAYS.get(day as usize % 7).copied().unwrap_or_default();
    // Days since the first of March of the year 0, so that leap days end their year.
    let days = day + 719_468;
    let (era, day_of_era) = (days / 146_097, days % 146_097);
    let year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month = (5 * day_of_year + 2) / 153;
    let day_of_month = day_of_year - (153 * month + 2) / 5 + 1;
    let year = era * 400 + year_of_era + u64::from(month >= 10);
    let month = MONTHS.get(month as usize).copied().unwrap_or_default();
    let (hour, minute, second) = (second / 3600, second / 60 % 60, second % 60);
    format!("{weekday}, {day_of_month:02} {month} {year} {hour:02}:{minute:02}:{second:02} GMT")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_date_is_written_as_http_wants_it() {
        let at = |seconds| http_date(UNIX_EPOCH + Duration::from_secs(seconds));
        assert_eq!(at(784_111_777), "Sun, 06 Nov 1994 08:49:37 GMT");
        assert_eq!(at(1_709_208_000), "Thu, 29 Feb 2024 12:00:00 GMT");
        assert_eq!(at(1_767_225_599), "Wed, 31 Dec 2025 23:59:59 GMT");
    }

    #[test]
    fn envelopes_hold_the_message() {
        let problem = Problem::of_status(401);
        for envelope in [
            Envelope::OpenAi,
            Envelope::DetailList,
            Envelope::Google,
            Envelope::Cloudflare,
            Envelope::Anthropic,
        ] {
            let text = problem.write(envelope);
            assert!(text.contains(problem.message), "{text}");
            assert!(serde_json::from_str::<serde_json::Value>(&text).is_ok());
        }
    }
}
