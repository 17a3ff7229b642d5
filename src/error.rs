//! The one map from what can go wrong to what a client is told: status, type, message.

use std::time::Duration;

use http::header::{RETRY_AFTER, WWW_AUTHENTICATE};
use http::{HeaderMap, HeaderValue, StatusCode};

use crate::api::Api;
use crate::api::chat_completions::ErrorBody;
use crate::chat::RequestError;
use crate::event::{ErrorType, Fault};

/// Why a request gets an HTTP error. Every variant says whose fault it is.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The client's: the request cannot be understood.
    #[error(transparent)]
    Request(#[from] RequestError),
    /// The client's: the body is not declared as JSON.
    #[error("The content type must be application/json; it is {0}.")]
    ContentType(String),
    /// The client's: the body is neither JSON nor a form.
    #[error("The content type must be application/json or multipart/form-data with a boundary; it is {0}.")]
    FormType(String),
    /// The client's: the body is too long.
    #[error("The request body is longer than {limit} bytes. Send less, or raise body_limit_bytes.")]
    BodyTooLarge {
        /// The limit in force.
        limit: usize,
    },
    /// The client's: the body broke off.
    #[error("The request body could not be read to its end.")]
    BodyUnreadable,
    /// The client's: it sent no key of ours, or one that is not taken.
    #[error("{0}")]
    Unauthorized(&'static str),
    /// The client's: its key is not for this model.
    #[error("This key of millpond's is not for the model \"{0}\".")]
    ModelNotAllowed(String),
    /// The client's: it asked under another name than those of this machine.
    #[error(
        "The host of the request is none of this machine's names. Ask for localhost, or add the host to allowed_hosts."
    )]
    ForeignHost,
    /// The client's: it is a page in a browser, from somewhere else.
    #[error("Pages of this origin may not ask. Add it to origins in [cors] if they should.")]
    ForeignOrigin,
    /// The client's: nobody serves this path.
    #[error(
        "There is no {0}. Try POST /v1/chat/completions, /v1/responses or /v1/messages, GET /v1/models or GET /healthz."
    )]
    NoSuchPath(String),
    /// The client's: the path does not take this method.
    #[error("{0} does not take this method; the header `allow` names those that it takes.")]
    NoSuchMethod(String),
    /// The client's: nobody lists this model.
    #[error("There is no model \"{0}\". GET /v1/models lists those of the providers that are set up.")]
    NoSuchModel(String),
    /// The client's: nobody has this name.
    #[error(
        "There is no provider \"{0}\" (x-millpond-provider). `millpond check` lists those that are set up."
    )]
    NoSuchProvider(String),
    /// The client's: its key is for some models only, and the request names none.
    #[error("This key of millpond's is for some models only, and the request names none.")]
    ModelUntold,
    /// The provider's: it has no such endpoint.
    #[error("Provider {provider} does not have {endpoint} under an address that millpond knows.")]
    NotServed {
        /// The provider.
        provider: String,
        /// The method and the path.
        endpoint: String,
    },
    /// The client's: no such answer is kept.
    #[error("There is no response \"{0}\" here. Answers are kept for a while, unless store is false.")]
    NoSuchResponse(String),
    /// The operator's: the provider has no address.
    #[error("Provider {provider} needs the environment variable {variable}, or base_url in the config.")]
    ProviderUnset {
        /// The provider.
        provider: String,
        /// What is missing.
        variable: String,
    },
    /// The operator's or the client's: neither of them gave a key.
    #[error("Provider {provider} needs a key. {hint}")]
    NoKey {
        /// The provider.
        provider: String,
        /// What to do.
        hint: String,
    },
    /// The provider's: it counts no tokens.
    #[error(
        "Provider {provider} counts no tokens. messages.estimate_tokens = true in the config switches an estimate on."
    )]
    CountsNothing {
        /// The provider.
        provider: String,
    },
    /// The provider's: it goes on with no texts.
    #[error(
        "Provider {provider} has no text completions: it speaks {dialect}. Send messages to POST /v1/chat/completions, or ask a provider that speaks openai-chat."
    )]
    CompletesNothing {
        /// The provider.
        provider: String,
        /// What it speaks instead.
        dialect: &'static str,
    },
    /// The provider's: it failed so often of late that it is left alone for a while.
    #[error("Provider {provider} failed too often of late; it is asked again in {} s.", seconds(*.retry_after))]
    Broken {
        /// The provider.
        provider: String,
        /// How long it is left alone.
        retry_after: Duration,
    },
    /// Nobody's: there is as much under way, or was of late, as there may be.
    #[error(transparent)]
    Limited(#[from] Limited),
    /// The provider's: it refused, or its answer failed before it said anything.
    #[error("{}", .0.fault.message)]
    Upstream(Box<Refusal>),
    /// Ours.
    #[error("The proxy failed. This is a bug; the log says more.")]
    Internal,
}

/// A request that came over a limit.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{} Try again in {} s.", self.reason(), seconds(*.retry_after))]
pub struct Limited {
    /// Whose limit it is.
    pub limit: Limit,
    /// What there is too much of.
    pub excess: Excess,
    /// When there may be room again.
    pub retry_after: Duration,
}

/// Whose limit it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Limit {
    /// That of all answers together.
    Total,
    /// That of the provider of this name.
    Provider(String),
    /// That of the client's key.
    Key,
}

/// What there is too much of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Excess {
    /// Answers under way.
    Streams,
    /// Requests of late.
    Requests,
    /// Tokens of late.
    Tokens,
    /// Requests that wait for a place.
    Queue,
}

impl Limit {
    /// The word in metrics.
    pub fn as_str(&self) -> &'static str {
        match self {
            Limit::Total => "total",
            Limit::Provider(_) => "provider",
            Limit::Key => "key",
        }
    }
}

impl Excess {
    /// The word in metrics.
    pub fn as_str(self) -> &'static str {
        match self {
            Excess::Streams => "streams",
            Excess::Requests => "requests",
            Excess::Tokens => "tokens",
            Excess::Queue => "queue",
        }
    }
}

impl Limited {
    /// True if an answer that ends makes room: a rate has its own time.
    pub fn may_wait(&self) -> bool {
        self.excess == Excess::Streams
    }

    fn reason(&self) -> String {
        let whose = match &self.limit {
            Limit::Total => "millpond".to_owned(),
            Limit::Provider(name) => format!("Provider {name}"),
            Limit::Key => "This key".to_owned(),
        };
        let what = match self.excess {
            Excess::Streams => "has as many answers under way as it may have (streams).",
            Excess::Requests => "had as many requests of late as it may have (requests_per_minute).",
            Excess::Tokens => "had as many tokens of late as it may have (tokens_per_minute).",
            Excess::Queue => "has no place left, and no more requests may wait for one (queue).",
        };
        format!("{whose} {what}")
    }
}

/// A refusal of the provider's.
#[derive(Debug)]
pub struct Refusal {
    /// The provider.
    pub provider: String,
    /// The status of its answer.
    pub upstream_status: Option<u16>,
    /// What failed.
    pub fault: Fault,
    /// What of its headers is passed on.
    pub headers: HeaderMap,
}

impl Error {
    /// The status of the answer.
    pub fn status(&self) -> StatusCode {
        match self {
            Error::Request(_) | Error::BodyUnreadable => StatusCode::BAD_REQUEST,
            Error::NoSuchProvider(_) => StatusCode::BAD_REQUEST,
            Error::ContentType(_) | Error::FormType(_) => StatusCode::UNSUPPORTED_MEDIA_TYPE,
            Error::BodyTooLarge { .. } => StatusCode::PAYLOAD_TOO_LARGE,
            Error::NoSuchPath(_) | Error::NoSuchModel(_) | Error::NoSuchResponse(_) => StatusCode::NOT_FOUND,
            Error::NoSuchMethod(_) => StatusCode::METHOD_NOT_ALLOWED,
            Error::ProviderUnset { .. } => StatusCode::NOT_FOUND,
            Error::NoKey { .. } | Error::Unauthorized(_) => StatusCode::UNAUTHORIZED,
            Error::ModelNotAllowed(_) | Error::ModelUntold | Error::ForeignHost | Error::ForeignOrigin => {
                StatusCode::FORBIDDEN
            }
            Error::CountsNothing { .. } | Error::CompletesNothing { .. } | Error::NotServed { .. } => {
                StatusCode::NOT_IMPLEMENTED
            }
            Error::Broken { .. } | Error::Limited(Limited { limit: Limit::Total, .. }) => {
                StatusCode::SERVICE_UNAVAILABLE
            }
            Error::Limited(_) => StatusCode::TOO_MANY_REQUESTS,
            Error::Upstream(refusal) => {
                StatusCode::from_u16(refusal.fault.status).unwrap_or(StatusCode::BAD_GATEWAY)
            }
            Error::Internal => StatusCode::INTERNAL_SERVER_ERROR,
        }
    }

    fn error_type(&self) -> ErrorType {
        match self {
            Error::Request(_)
            | Error::ContentType(_)
            | Error::FormType(_)
            | Error::BodyUnreadable
            | Error::CountsNothing { .. }
            | Error::NotServed { .. }
            | Error::NoSuchProvider(_)
            | Error::CompletesNothing { .. }
            | Error::NoSuchMethod(_) => ErrorType::InvalidRequest,
            Error::BodyTooLarge { .. } => ErrorType::RequestTooLarge,
            Error::NoSuchPath(_)
            | Error::NoSuchModel(_)
            | Error::NoSuchResponse(_)
            | Error::ProviderUnset { .. } => ErrorType::NotFound,
            Error::NoKey { .. } | Error::Unauthorized(_) => ErrorType::Authentication,
            Error::ModelNotAllowed(_) | Error::ModelUntold | Error::ForeignHost | Error::ForeignOrigin => {
                ErrorType::Permission
            }
            Error::Broken { .. } | Error::Limited(Limited { limit: Limit::Total, .. }) => {
                ErrorType::Overloaded
            }
            Error::Limited(_) => ErrorType::RateLimit,
            Error::Upstream(refusal) => refusal.fault.error_type,
            Error::Internal => ErrorType::Server,
        }
    }

    /// The headers that go with the answer: what of the upstream's is passed on, when to come back, how to send a key.
    pub fn headers(&self) -> HeaderMap {
        match self {
            Error::Upstream(refusal) => refusal.headers.clone(),
            Error::Broken { retry_after, .. } | Error::Limited(Limited { retry_after, .. }) => {
                HeaderMap::from_iter([(RETRY_AFTER, HeaderValue::from(seconds(*retry_after)))])
            }
            Error::Unauthorized(_) => {
                HeaderMap::from_iter([(WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"))])
            }
            Error::Request(_)
            | Error::ContentType(_)
            | Error::BodyTooLarge { .. }
            | Error::BodyUnreadable
            | Error::FormType(_)
            | Error::ModelNotAllowed(_)
            | Error::ModelUntold
            | Error::NoSuchProvider(_)
            | Error::NotServed { .. }
            | Error::ForeignHost
            | Error::ForeignOrigin
            | Error::NoSuchPath(_)
            | Error::NoSuchMethod(_)
            | Error::NoSuchModel(_)
            | Error::NoSuchResponse(_)
            | Error::ProviderUnset { .. }
            | Error::NoKey { .. }
            | Error::CountsNothing { .. }
            | Error::CompletesNothing { .. }
            | Error::Internal => HeaderMap::new(),
        }
    }

    /// The error object of that API, as the body of the answer.
    pub fn body(&self, api: Api) -> Vec<u8> {
        let message = self.to_string();
        let mut body = ErrorBody {
            message: &message,
            error_type: self.error_type(),
            param: None,
            code: None,
            provider: None,
            provider_code: None,
            upstream_status: None,
        };
        match self {
            Error::Request(error) => (body.param, body.code) = (error.param(), error.code()),
            Error::NoSuchModel(_) | Error::ModelNotAllowed(_) | Error::ModelUntold => {
                body.param = Some("model");
            }
            Error::ProviderUnset { provider, .. }
            | Error::NoKey { provider, .. }
            | Error::CountsNothing { provider }
            | Error::NotServed { provider, .. }
            | Error::CompletesNothing { provider, .. }
            | Error::Broken { provider, .. }
            | Error::Limited(Limited { limit: Limit::Provider(provider), .. }) => {
                body.provider = Some(provider);
            }
            Error::Upstream(refusal) => {
                let Refusal { provider, upstream_status, fault, .. } = refusal.as_ref();
                body =
                    ErrorBody { upstream_status: *upstream_status, ..ErrorBody::of_fault(fault, provider) };
            }
            Error::ContentType(_)
            | Error::FormType(_)
            | Error::BodyTooLarge { .. }
            | Error::BodyUnreadable
            | Error::NoSuchProvider(_)
            | Error::Unauthorized(_)
            | Error::ForeignHost
            | Error::ForeignOrigin
            | Error::NoSuchPath(_)
            | Error::NoSuchMethod(_)
            | Error::Limited(_)
            | Error::NoSuchResponse(_)
            | Error::Internal => {}
        }
        let mut out = Vec::new();
        api.write_error(&body, &mut out);
        out
    }
}

/// Whole seconds, at least one: clients ignore zero and fractions.
fn seconds(time: Duration) -> u64 {
    time.as_secs().saturating_add(u64::from(time.subsec_nanos() > 0)).max(1)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::FaultCode;

    #[test]
    fn the_four_keys_are_always_there() {
        let body = Error::NoSuchModel("x".into()).body(Api::default());
        assert_eq!(
            String::from_utf8(body).unwrap(),
            r#"{"error":{"message":"There is no model \"x\". GET /v1/models lists those of the providers that are set up.","type":"not_found_error","param":"model","code":null}}"#
        );
    }

    #[test]
    fn a_limit_says_whose_it_is_and_when_to_come_back() {
        for (limit, status, error_type) in [
            (Limit::Total, 503, "overloaded_error"),
            (Limit::Provider("groq".into()), 429, "rate_limit_error"),
            (Limit::Key, 429, "rate_limit_error"),
        ] {
            let retry_after = Duration::from_millis(1001);
            let error = Error::from(Limited { limit, excess: Excess::Requests, retry_after });
            assert_eq!(
                (error.status().as_u16(), error.headers()[RETRY_AFTER].as_bytes()),
                (status, &b"2"[..])
            );
            let body = String::from_utf8(error.body(Api::default())).unwrap();
            assert!(body.contains(error_type) && body.contains("Try again in 2 s."), "{body}");
            assert_eq!(body.contains("\"provider\":\"groq\""), body.contains("Provider groq"), "{body}");
        }
    }

    #[test]
    fn a_fault_keeps_its_status_and_codes() {
        let fault = Fault {
            provider_code: Some("slow_down".into()),
            status: 429,
            ..Fault::new(FaultCode::UpstreamError)
        };
        let error = Error::Upstream(Box::new(Refusal {
            provider: "p".into(),
            upstream_status: Some(200),
            fault,
            headers: HeaderMap::new(),
        }));
        assert_eq!(error.status(), StatusCode::TOO_MANY_REQUESTS);
        let body = String::from_utf8(error.body(Api::default())).unwrap();
        assert!(body.contains(r#""provider_code":"slow_down","upstream_status":200"#), "{body}");
    }
}
