//! The one map from what can go wrong to what a client is told: status, type, message.

use std::time::Duration;

use http::header::RETRY_AFTER;
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
    /// The client's: the body is too long.
    #[error("The request body is longer than {limit} bytes. Send less, or raise body_limit_bytes.")]
    BodyTooLarge {
        /// The limit in force.
        limit: usize,
    },
    /// The client's: the body broke off.
    #[error("The request body could not be read to its end.")]
    BodyUnreadable,
    /// The client's: nobody serves this path.
    #[error("There is no {0}. Try POST /v1/chat/completions, GET /v1/models or GET /healthz.")]
    NoSuchPath(String),
    /// The client's: the path does not take this method.
    #[error("{0} does not take this method. Try POST /v1/chat/completions or GET /v1/models.")]
    NoSuchMethod(String),
    /// The client's: nobody lists this model.
    #[error("There is no model \"{0}\". GET /v1/models lists those of the providers that are set up.")]
    NoSuchModel(String),
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
    /// The provider's: it failed so often of late that it is left alone for a while.
    #[error("Provider {provider} failed too often of late; it is asked again in {} s.", seconds(*.retry_after))]
    Broken {
        /// The provider.
        provider: String,
        /// How long it is left alone.
        retry_after: Duration,
    },
    /// The provider's: it refused, or its answer failed before it said anything.
    #[error("{}", .0.fault.message)]
    Upstream(Box<Refusal>),
    /// Ours.
    #[error("The proxy failed. This is a bug; the log says more.")]
    Internal,
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
            Error::ContentType(_) => StatusCode::UNSUPPORTED_MEDIA_TYPE,
            Error::BodyTooLarge { .. } => StatusCode::PAYLOAD_TOO_LARGE,
            Error::NoSuchPath(_) | Error::NoSuchModel(_) => StatusCode::NOT_FOUND,
            Error::NoSuchMethod(_) => StatusCode::METHOD_NOT_ALLOWED,
            Error::ProviderUnset { .. } => StatusCode::NOT_FOUND,
            Error::NoKey { .. } => StatusCode::UNAUTHORIZED,
            Error::CountsNothing { .. } => StatusCode::NOT_IMPLEMENTED,
            Error::Broken { .. } => StatusCode::SERVICE_UNAVAILABLE,
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
            | Error::BodyUnreadable
            | Error::CountsNothing { .. }
            | Error::NoSuchMethod(_) => ErrorType::InvalidRequest,
            Error::BodyTooLarge { .. } => ErrorType::RequestTooLarge,
            Error::NoSuchPath(_) | Error::NoSuchModel(_) | Error::ProviderUnset { .. } => ErrorType::NotFound,
            Error::NoKey { .. } => ErrorType::Authentication,
            Error::Broken { .. } => ErrorType::Overloaded,
            Error::Upstream(refusal) => refusal.fault.error_type,
            Error::Internal => ErrorType::Server,
        }
    }

    /// The headers that go with the answer: what of the upstream's is passed on, and when to come back.
    pub fn headers(&self) -> HeaderMap {
        match self {
            Error::Upstream(refusal) => refusal.headers.clone(),
            Error::Broken { retry_after, .. } => {
                HeaderMap::from_iter([(RETRY_AFTER, HeaderValue::from(seconds(*retry_after)))])
            }
            Error::Request(_)
            | Error::ContentType(_)
            | Error::BodyTooLarge { .. }
            | Error::BodyUnreadable
            | Error::NoSuchPath(_)
            | Error::NoSuchMethod(_)
            | Error::NoSuchModel(_)
            | Error::ProviderUnset { .. }
            | Error::NoKey { .. }
            | Error::CountsNothing { .. }
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
            Error::Request(error) => body.param = error.param(),
            Error::NoSuchModel(_) => body.param = Some("model"),
            Error::ProviderUnset { provider, .. }
            | Error::NoKey { provider, .. }
            | Error::CountsNothing { provider }
            | Error::Broken { provider, .. } => {
                body.provider = Some(provider);
            }
            Error::Upstream(refusal) => {
                let Refusal { provider, upstream_status, fault, .. } = refusal.as_ref();
                body =
                    ErrorBody { upstream_status: *upstream_status, ..ErrorBody::of_fault(fault, provider) };
            }
            Error::ContentType(_)
            | Error::BodyTooLarge { .. }
            | Error::BodyUnreadable
            | Error::NoSuchPath(_)
            | Error::NoSuchMethod(_)
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
