//! Error envelopes: the many shapes in which upstreams report a failure (F3).

use std::borrow::Cow;

use crate::event::{ErrorType, Fault, FaultCode};
use crate::json::{self, Members};

/// The longest message that is passed on, in characters.
const MESSAGE_LIMIT: usize = 2000;
/// The status of a failure that tells none.
const UNTOLD: u16 = 502;

/// Reads a failure out of a JSON object, if it tells of one.
///
/// `error` is understood as an object, a string or a flag; so are `errors`, `detail`, `message` and
/// `msg` at the top level, an `error` in an array, and MiniMax's `base_resp`.
pub fn read(raw: &str) -> Option<Fault> {
    let members = Members::of(raw);
    if let Some(error) = members.find("error").filter(|error| tells(error)) {
        return Some(of_error(error, &members));
    }
    if let Some(errors) = members.find("errors").filter(|errors| tells(errors)) {
        let first = json::elements(errors).first().copied().unwrap_or(errors);
        return Some(of_error(first, &members));
    }
    if let Some(fault) = members.find("base_resp").and_then(of_base_resp) {
        return Some(fault);
    }
    if let Some(detail) = members.find("detail").filter(|detail| tells(detail)) {
        return Some(fault(detail_message(detail), &[&members]));
    }
    let message =
        ["message", "msg", "Message"].iter().find_map(|name| members.find(name)).and_then(json::word)?;
    Some(fault(message.into_owned(), &[&members]))
}

/// Reads a failure out of the body of an HTTP error, whatever it is.
pub fn read_body(status: u16, body: &[u8]) -> Fault {
    let text = String::from_utf8_lossy(body);
    let text = text.trim();
    let element = if text.starts_with('[') { json::elements(text).first().copied() } else { Some(text) };
    let mut fault = element
        .and_then(read)
        .unwrap_or_else(|| Fault { message: describe(status, text), ..Fault::new(FaultCode::UpstreamError) });
    if (400..=599).contains(&status) {
        fault.status = status;
        fault.error_type = ErrorType::of_status(status);
    }
    fault
}

/// Reads a failure out of text that is no JSON: an HTML page, a plain message.
pub fn read_text(text: &[u8]) -> Option<Fault> {
    let text = String::from_utf8_lossy(text);
    let text = text.trim();
    (!text.is_empty())
        .then(|| Fault { message: describe(UNTOLD, text), ..Fault::new(FaultCode::UpstreamError) })
}

/// True for a value that reports an error: not null, false, zero or empty.
pub fn tells(raw: &str) -> bool {
    !json::says_nothing(raw) && !matches!(raw, "false" | "0")
}

fn of_error(error: &str, outer: &Members<'_>) -> Fault {
    match error.as_bytes().first() {
        Some(b'{') => {
            let inner = Members::of(error);
            let message = ["message", "msg", "detail", "error", "description", "reason"]
                .iter()
                .find_map(|name| inner.find(name).and_then(json::word))
                .map(Cow::into_owned)
                .unwrap_or_else(|| error.to_owned());
            let metadata = inner.find("metadata").map(Members::of).unwrap_or_default();
            let raw = metadata.find("raw").and_then(json::word);
            let message = match raw {
                // OpenRouter's own message is then "Provider returned error".
                Some(raw) if !message.contains(raw.as_ref()) => format!("{message}: {raw}"),
                Some(_) | None => message,
            };
            fault(message, &[&inner, outer])
        }
        Some(b'"') => fault(json::string(error).unwrap_or_default().into_owned(), &[outer]),
        _ => {
            let message = outer.find("message").or_else(|| outer.find("detail")).and_then(json::word);
            fault(message.map(Cow::into_owned).unwrap_or_default(), &[outer])
        }
    }
}

/// MiniMax reports failures as `{"base_resp": {"status_code": 1002, "status_msg": "…"}}`.
fn of_base_resp(raw: &str) -> Option<Fault> {
    let members = Members::of(raw);
    let code = members.find("status_code").and_then(json::integer).filter(|&code| code != 0)?;
    let status = match code {
        1002 | 1039 | 2045 | 2056 => 429,
        1004 | 2049 => 401,
        1008 => 402,
        1026 | 1027 | 1042 | 2013 => 400,
        _ => UNTOLD,
    };
    let message =
        members.find("status_msg").and_then(json::word).unwrap_or(Cow::Borrowed("The upstream failed."));
    Some(Fault {
        message: cut(&message),
        provider_code: Some(code.to_string()),
        status,
        error_type: ErrorType::of_status(status),
        ..Fault::new(FaultCode::UpstreamError)
    })
}

/// `{"detail": "…"}` and `{"detail": [{"loc": […], "msg": "…"}]}`.
fn detail_message(detail: &str) -> String {
    if let Some(text) = json::string(detail) {
        return text.into_owned();
    }
    let messages: Vec<String> = json::elements(detail)
        .into_iter()
        .map(|item| {
            let item = Members::of(item);
            let place: Vec<_> = json::elements(item.find("loc").unwrap_or("[]"))
                .into_iter()
                .filter_map(json::scalar)
                .collect();
            let message = ["msg", "message"].iter().find_map(|name| item.find(name).and_then(json::word));
            format!("{}: {}", place.join("."), message.unwrap_or_default())
        })
        .collect();
    messages.join("; ")
}

fn fault(message: String, sources: &[&Members<'_>]) -> Fault {
    let find = |names: &[&str]| {
        sources
            .iter()
            .find_map(|members| names.iter().find_map(|name| members.find(name).and_then(json::word)))
    };
    let code = find(&["code", "error_code"]);
    let kind = find(&["type"]).filter(|kind| kind != "error");
    let reason = find(&["status"]);
    let status = ["code", "status_code", "raw_status_code", "status", "statusCode", "http_status"]
        .iter()
        .flat_map(|name| sources.iter().filter_map(|members| members.find(name).and_then(json::integer)))
        .find_map(|status| u16::try_from(status).ok().filter(|status| (400..=599).contains(status)))
        .or_else(|| [&code, &kind, &reason].into_iter().flatten().find_map(|word| status_of_word(word)))
        .unwrap_or(UNTOLD);
    let provider_code =
        code.filter(|code| code.parse() != Ok(status)).or(kind).or(reason).map(Cow::into_owned);
    Fault {
        code: FaultCode::UpstreamError,
        error_type: ErrorType::of_status(status),
        message: if message.trim().is_empty() {
            FaultCode::UpstreamError.message().to_owned()
        } else {
            cut(&message)
        },
        param: find(&["param"]).map(Cow::into_owned),
        provider_code,
        status,
    }
}

/// The status that a code or a type means, by the words that providers use.
fn status_of_word(word: &str) -> Option<u16> {
    const WORDS: &[(&str, u16)] = &[
        ("rate_limit", 429),
        ("ratelimit", 429),
        ("quota", 429),
        ("limit_exceeded", 429),
        ("throttl", 429),
        ("too_many", 429),
        ("resource_exhausted", 429),
        ("insufficient_balance", 402),
        ("credit", 402),
        ("payment", 402),
        ("billing", 402),
        ("api_key", 401),
        ("authentication", 401),
        ("unauthorized", 401),
        ("unauthenticated", 401),
        ("permission", 403),
        ("forbidden", 403),
        ("not_found", 404),
        ("timeout", 504),
        ("deadline", 504),
        ("overload", 503),
        ("unavailable", 503),
        ("capacity", 503),
        ("invalid", 400),
        ("bad_request", 400),
        ("context_length", 400),
        ("content_filter", 400),
        ("moderation", 400),
        ("failed_precondition", 400),
        ("tool_use_failed", 400),
    ];
    let word = word.to_ascii_lowercase();
    WORDS.iter().find(|(part, _)| word.contains(part)).map(|&(_, status)| status)
}

/// A message for people out of a body that has none.
fn describe(status: u16, text: &str) -> String {
    if text.starts_with('<') {
        let title = tag(text, "title").or_else(|| tag(text, "h1"));
        return match title {
            Some(title) => format!("The upstream answered with a page: {}", cut(&title)),
            None => "The upstream answered with a page.".to_owned(),
        };
    }
    if text.is_empty() {
        return format!("The upstream answered with status {status} and no message.");
    }
    cut(text)
}

/// The text of the first element of that name.
fn tag(page: &str, name: &str) -> Option<String> {
    let lower = page.to_ascii_lowercase();
    let start = lower.find(&format!("<{name}"))?;
    let start = start + lower.get(start..)?.find('>')? + 1;
    let end = start + lower.get(start..)?.find("</")?;
    let words: Vec<&str> = page.get(start..end)?.split_whitespace().collect();
    (!words.is_empty()).then(|| words.join(" "))
}

fn cut(text: &str) -> String {
    let text = text.trim();
    match text.char_indices().nth(MESSAGE_LIMIT) {
        Some((end, _)) => format!("{}…", text.get(..end).unwrap_or_default()),
        None => text.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(raw: &str, status: u16, message: &str, provider_code: Option<&str>) {
        let fault = read(raw).expect("an error");
        assert_eq!((fault.status, fault.message.as_str()), (status, message));
        assert_eq!(fault.provider_code.as_deref(), provider_code);
    }

    #[test]
    fn every_envelope_is_read() {
        check(
            r#"{"error":{"message":"no","type":"invalid_request_error","code":"model_not_found","param":"model"}}"#,
            404,
            "no",
            Some("model_not_found"),
        );
        check(r#"{"error":{"code":429,"message":"slow"},"user_id":"u"}"#, 429, "slow", None);
        check(
            r#"{"error":{"code":502,"message":"Provider returned error","metadata":{"raw":"boom"}}}"#,
            502,
            "Provider returned error: boom",
            None,
        );
        check(r#"{"error":"text"}"#, 502, "text", None);
        check(r#"{"code":"bad_request","error":"text"}"#, 400, "text", Some("bad_request"));
        check(r#"{"detail":"text"}"#, 502, "text", None);
        check(r#"{"detail":[{"loc":["body",0],"msg":"wrong","type":"t"}]}"#, 502, "body.0: wrong", None);
        check(
            r#"{"object":"error","message":"m","type":"invalid","code":null,"raw_status_code":422}"#,
            422,
            "m",
            Some("invalid"),
        );
        check(r#"{"code":400,"message":"m","type":"Bad"}"#, 400, "m", Some("Bad"));
        check(
            r#"{"type":"error","error":{"type":"overloaded_error","message":"m"},"request_id":"r"}"#,
            503,
            "m",
            Some("overloaded_error"),
        );
        check(r#"{"id":"1","message":"m"}"#, 502, "m", None);
        check(r#"{"message":"m"}"#, 502, "m", None);
        check(
            r#"{"error":{"code":400,"message":"m","status":"INVALID_ARGUMENT","details":[]}}"#,
            400,
            "m",
            Some("INVALID_ARGUMENT"),
        );
        check(r#"{"success":false,"errors":[{"code":7003,"message":"m"}]}"#, 502, "m", Some("7003"));
        check(r#"{"base_resp":{"status_code":1002,"status_msg":"m"}}"#, 429, "m", Some("1002"));
        check(r#"{"error":{}, "message":"m"}"#, 502, "m", None);
        check(r#"{"error":true,"message":"m"}"#, 502, "m", None);
    }

    #[test]
    fn no_error_is_none() {
        for raw in
            [r#"{"error":null}"#, r#"{"base_resp":{"status_code":0,"status_msg":""}}"#, r#"{"type":"ping"}"#]
        {
            assert_eq!(read(raw), None, "{raw}");
        }
    }

    #[test]
    fn a_body_keeps_its_status_and_says_something() {
        let cases: [(&[u8], &str); 5] = [
            (b"", "The upstream answered with status 503 and no message."),
            (b"busy\n", "busy"),
            (
                b"<html><head><title>503 Busy</title></head></html>",
                "The upstream answered with a page: 503 Busy",
            ),
            (b"[{\"error\":{\"code\":400,\"message\":\"m\"}}]", "m"),
            (b"\xff", "\u{fffd}"),
        ];
        for (body, message) in cases {
            let fault = read_body(503, body);
            assert_eq!((fault.status, fault.error_type), (503, ErrorType::Overloaded));
            assert_eq!(fault.message, message);
        }
    }
}
