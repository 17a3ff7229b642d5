//! The request that goes to the provider: where, with what body, and what had to be left out of it.

use bytes::Bytes;
use http::header::{ACCEPT, CONTENT_TYPE};
use http::{HeaderName, HeaderValue, Method, Request};
use url::Url;

/// Whom a request asks.
#[derive(Debug, Clone, Copy)]
pub struct Target<'a> {
    /// The provider's name: its member of `provider_options` is for it.
    pub provider: &'a str,
    /// Where it is.
    pub base_url: &'a Url,
    /// The model in the provider's own words.
    pub model: &'a str,
}

impl Target<'_> {
    /// The base URL with these segments behind its path.
    pub fn url<'s>(&self, segments: impl IntoIterator<Item = &'s str>) -> Url {
        below(self.base_url, segments)
    }
}

/// A base URL with these segments behind its path.
pub(super) fn below<'s>(base_url: &Url, segments: impl IntoIterator<Item = &'s str>) -> Url {
    let mut url = base_url.clone();
    if let Ok(mut path) = url.path_segments_mut() {
        path.pop_if_empty().extend(segments);
    }
    url
}

/// A request without keys.
#[derive(Debug)]
pub struct Outgoing {
    /// What is sent.
    pub request: Request<Bytes>,
    /// Fields of the client's request that the provider cannot take and that do no harm by their absence.
    pub dropped: Vec<String>,
}

impl Outgoing {
    /// A JSON body to be posted; the answer is asked for as an event stream.
    pub fn post(url: &Url, body: Vec<u8>) -> Outgoing {
        Outgoing::new(Method::POST, url, body)
            .header(CONTENT_TYPE, "application/json")
            .header(ACCEPT, "text/event-stream")
    }

    /// A question without a body; the answer is asked for as JSON.
    pub fn get(url: &Url) -> Outgoing {
        Outgoing::new(Method::GET, url, Vec::new()).header(ACCEPT, "application/json")
    }

    fn new(method: Method, url: &Url, body: Vec<u8>) -> Outgoing {
        let mut request = Request::new(Bytes::from(body));
        *request.method_mut() = method;
        if let Ok(uri) = url.as_str().parse() {
            *request.uri_mut() = uri;
        }
        Outgoing { request, dropped: Vec::new() }
    }

    /// The same with a header more, or with another value of it.
    pub fn header(mut self, name: HeaderName, value: &'static str) -> Outgoing {
        self.request.headers_mut().insert(name, HeaderValue::from_static(value));
        self
    }

    /// The same, with fields that were left out.
    pub fn without(mut self, dropped: Vec<String>) -> Outgoing {
        self.dropped = dropped;
        self
    }
}
