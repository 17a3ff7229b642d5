//! What millpond cannot mend: a fault in the stream, or an upstream's refusal.

/// Why an answer is incomplete. The contract's closed list (F4).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FaultCode {
    /// The body ended without an end mark or a finish reason.
    Truncated,
    /// The body ended before anything was said.
    Empty,
    /// A frame that may have held a part of the answer could not be read.
    Malformed,
    /// Nothing came for too long.
    Stalled,
    /// The answer took too long.
    Timeout,
    /// The upstream reported a failure.
    UpstreamError,
    /// The connection broke.
    ConnectionLost,
    /// A frame was longer than the limit.
    TooLarge,
    /// millpond is shutting down.
    Draining,
}

impl FaultCode {
    /// The code on the wire.
    pub fn as_str(self) -> &'static str {
        match self {
            FaultCode::Truncated => "truncated",
            FaultCode::Empty => "empty",
            FaultCode::Malformed => "malformed",
            FaultCode::Stalled => "stalled",
            FaultCode::Timeout => "timeout",
            FaultCode::UpstreamError => "upstream_error",
            FaultCode::ConnectionLost => "connection_lost",
            FaultCode::TooLarge => "too_large",
            FaultCode::Draining => "draining",
        }
    }

    /// Why, in a sentence for people.
    pub fn message(self) -> &'static str {
        match self {
            FaultCode::Truncated => {
                "The upstream's answer was cut: it ended without saying that it is complete."
            }
            FaultCode::Empty => "The upstream's answer ended before it said anything.",
            FaultCode::Malformed => "The upstream sent data that cannot be read.",
            FaultCode::Stalled => "The upstream fell silent in the middle of its answer.",
            FaultCode::Timeout => "The upstream's answer took too long.",
            FaultCode::UpstreamError => "The upstream failed without giving a reason.",
            FaultCode::ConnectionLost => "The connection to the upstream broke in the middle of its answer.",
            FaultCode::TooLarge => "The upstream sent an event that is longer than the limit.",
            FaultCode::Draining => "The proxy is shutting down.",
        }
    }

    /// The status and type of an HTTP error that reports the fault before anything was sent.
    fn refusal(self) -> (u16, ErrorType) {
        match self {
            FaultCode::Truncated
            | FaultCode::Empty
            | FaultCode::Malformed
            | FaultCode::UpstreamError
            | FaultCode::ConnectionLost
            | FaultCode::TooLarge => (502, ErrorType::Upstream),
            FaultCode::Stalled | FaultCode::Timeout => (504, ErrorType::Timeout),
            FaultCode::Draining => (503, ErrorType::Server),
        }
    }
}

/// The type of an error object. The contract's closed list (F4).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ErrorType {
    /// The request is wrong.
    InvalidRequest,
    /// The request is too long.
    RequestTooLarge,
    /// The key is missing or wrong.
    Authentication,
    /// The key may not do this.
    Permission,
    /// There is no such model, provider or path.
    NotFound,
    /// Too many requests, or no credit left.
    RateLimit,
    /// The upstream failed.
    Upstream,
    /// The upstream took too long.
    Timeout,
    /// millpond failed.
    Server,
    /// The upstream has no capacity.
    Overloaded,
}

impl ErrorType {
    /// The type on the wire.
    pub fn as_str(self) -> &'static str {
        match self {
            ErrorType::InvalidRequest | ErrorType::RequestTooLarge => "invalid_request_error",
            ErrorType::Authentication => "authentication_error",
            ErrorType::Permission => "permission_error",
            ErrorType::NotFound => "not_found_error",
            ErrorType::RateLimit => "rate_limit_error",
            ErrorType::Upstream => "upstream_error",
            ErrorType::Timeout => "timeout_error",
            ErrorType::Server => "server_error",
            ErrorType::Overloaded => "overloaded_error",
        }
    }

    /// The type that an upstream's error status means.
    pub fn of_status(status: u16) -> ErrorType {
        match status {
            401 => ErrorType::Authentication,
            403 => ErrorType::Permission,
            404 => ErrorType::NotFound,
            402 | 429 => ErrorType::RateLimit,
            408 | 504 => ErrorType::Timeout,
            413 => ErrorType::RequestTooLarge,
            503 | 529 => ErrorType::Overloaded,
            400..=499 => ErrorType::InvalidRequest,
            _ => ErrorType::Upstream,
        }
    }
}

/// A failure of the upstream: what an error object tells about it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fault {
    /// Why the answer is incomplete.
    pub code: FaultCode,
    /// The kind of error.
    pub error_type: ErrorType,
    /// Never empty.
    pub message: String,
    /// The field of the request that is to blame, where the upstream says so.
    pub param: Option<String>,
    /// The provider's own code or type.
    pub provider_code: Option<String>,
    /// The status of the HTTP error, if nothing was sent yet.
    pub status: u16,
}

impl Fault {
    /// A fault that says no more than its code.
    pub fn new(code: FaultCode) -> Fault {
        let (status, error_type) = code.refusal();
        Fault {
            code,
            error_type,
            message: code.message().to_owned(),
            param: None,
            provider_code: None,
            status,
        }
    }
}
