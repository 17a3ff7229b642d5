//! What the client sent: where it names its model, and how that becomes the provider's word for it.

use std::ops::Range;

use axum::body::Body;
use bytes::{Bytes, BytesMut};
use http::header::{CONTENT_LENGTH, CONTENT_TYPE};
use http::{HeaderMap, Method};
use http_body::Body as _;
use http_body_util::BodyExt;
use serde::de::{Deserialize, Deserializer, IgnoredAny, MapAccess, Visitor};
use serde_json::value::RawValue;

use super::super::handler::{discard, essence, is_json, read_body};
use super::endpoint::Endpoint;
use super::form::Form;
use super::upload::{Failure, Upload};
use crate::chat::{self, RequestError};
use crate::error::Error;
use crate::json;

/// Bytes of a request that make a token, about.
const BYTES_PER_TOKEN: usize = 4;

/// A request's body.
#[derive(Debug)]
pub(super) struct Content {
    /// The model as the client named it, if it did.
    pub(super) model: Option<String>,
    /// All of it, or what was read of it.
    read: Bytes,
    /// Where the model stands in that.
    places: Vec<Range<usize>>,
    /// What is still to come, if it was not read to its end.
    pub(super) rest: Option<Upload>,
    /// The length that the client declared.
    length: Option<usize>,
    form: Way,
}

/// How a model is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Way {
    Json,
    Form,
}

impl Content {
    /// Reads as much as is needed to know the model: JSON to its end, of a form what comes before the field and the
    /// field; if `all` of them matter, the whole form.
    pub(super) async fn read(
        endpoint: &Endpoint,
        headers: &HeaderMap,
        body: Body,
        limit: usize,
        all: bool,
    ) -> Result<Content, Error> {
        let length = headers.get(CONTENT_LENGTH).and_then(|value| value.to_str().ok()?.parse().ok());
        let nothing = Content {
            model: None,
            read: Bytes::new(),
            places: Vec::new(),
            rest: None,
            length,
            form: Way::Form,
        };
        if endpoint.method != Method::POST {
            return Ok(Content { length: None, ..nothing });
        }
        if length.is_some_and(|length| length > limit) {
            discard(body).await;
            return Err(Error::BodyTooLarge { limit });
        }
        if !endpoint.has_model {
            let rest = (!body.is_end_stream()).then(|| Upload::new(body, limit));
            return Ok(Content { rest, ..nothing });
        }
        let kind = headers.get(CONTENT_TYPE).map(|value| String::from_utf8_lossy(value.as_bytes()));
        let kind = kind.unwrap_or_default();
        let essence = essence(&kind);
        match Form::new(&kind).filter(|_| essence == "multipart/form-data") {
            Some(form) => nothing.read_form(form, body, limit, all).await,
            None if is_json(&essence) => {
                let read = read_body(headers, body, limit).await?;
                let places = models(&read)?;
                let model = named(places.last().and_then(|at| read.get(at.clone())))?;
                Ok(Content { model, places, read, form: Way::Json, ..nothing })
            }
            None => {
                discard(body).await;
                Err(Error::FormType(if kind.is_empty() { "missing".to_owned() } else { kind.into_owned() }))
            }
        }
    }

    async fn read_form(
        self,
        mut form: Form,
        mut body: Body,
        limit: usize,
        all: bool,
    ) -> Result<Content, Error> {
        let mut read = BytesMut::new();
        while !form.is_over() && (all || form.models().is_empty()) {
            let Some(frame) = body.frame().await else { break };
            let data = frame.map_err(|_| Error::BodyUnreadable)?.into_data().unwrap_or_default();
            if read.len() + data.len() > limit {
                discard(body).await;
                return Err(Error::BodyTooLarge { limit });
            }
            read.extend_from_slice(&data);
            form.look(&read);
        }
        let places = form.models().to_vec();
        let value = places.last().and_then(|at| read.get(at.clone()));
        let model = value.map(|value| std::str::from_utf8(value).map(|value| value.trim().to_owned()));
        let model = model.transpose().map_err(|_| RequestError::WrongType("model", "text in UTF-8"));
        let rest = Upload::new(body, limit - read.len());
        match model {
            Ok(model) => {
                let model = model.filter(|model| !model.is_empty());
                Ok(Content { model, places, read: read.freeze(), rest: Some(rest), ..self })
            }
            Err(error) => {
                rest.discard().await;
                Err(error.into())
            }
        }
    }

    /// True if it can be sent more than once.
    pub(super) fn is_whole(&self) -> bool {
        self.rest.is_none()
    }

    /// The tokens that it may cost: of what is no JSON nothing is known.
    pub(super) fn expected_tokens(&self) -> u64 {
        if self.form == Way::Json { (self.read.len() / BYTES_PER_TOKEN) as u64 } else { 0 }
    }

    /// The body for a provider that calls the model so, and its length, if it is known.
    pub(super) fn body(&self, model: &str) -> (reqwest::Body, Option<usize>) {
        let beginning = self.with_model(model);
        let length = self.length.map(|length| length + beginning.len() - self.read.len().min(length));
        match &self.rest {
            None => {
                let length = beginning.len();
                (beginning.into(), Some(length))
            }
            Some(upload) => {
                upload.begin_with(beginning);
                (reqwest::Body::wrap(upload.clone()), length)
            }
        }
    }

    /// What was read, with another model in it if it has another name.
    fn with_model(&self, model: &str) -> Bytes {
        if self.model.as_deref().is_none_or(|named| named == model) {
            return self.read.clone();
        }
        let mut out = Vec::with_capacity(self.read.len() + model.len());
        let mut at = 0;
        for place in self.places.iter().filter(|place| !place.is_empty()) {
            out.extend_from_slice(self.read.get(at..place.start).unwrap_or_default());
            match self.form {
                Way::Json => json::write_string(model, &mut out),
                Way::Form => out.extend_from_slice(model.as_bytes()),
            }
            at = place.end;
        }
        out.extend_from_slice(self.read.get(at..).unwrap_or_default());
        out.into()
    }

    /// Why the body did not come to its end, if that is why a request failed.
    pub(super) fn failure(&self, limit: usize) -> Option<Error> {
        match self.rest.as_ref()?.failure()? {
            Failure::Unreadable => Some(Error::BodyUnreadable),
            Failure::TooLong => Some(Error::BodyTooLarge { limit }),
            Failure::GivenUp => None,
        }
    }

    /// Reads past what the client still sends.
    pub(super) async fn discard(&self) {
        if let Some(rest) = &self.rest {
            rest.discard().await;
        }
    }
}

/// The model that this JSON names.
fn named(value: Option<&[u8]>) -> Result<Option<String>, RequestError> {
    let raw = value.and_then(|value| std::str::from_utf8(value).ok()).filter(|raw| *raw != "null"); // It was text before.
    let Some(raw) = raw else { return Ok(None) };
    let model = json::string(raw).ok_or(RequestError::WrongType("model", "a string"))?;
    let model = model.trim();
    Ok((!model.is_empty()).then(|| model.to_owned()))
}

/// Where the values of all members called `model` stand: of a name that comes twice, readers differ in which counts.
fn models(body: &[u8]) -> Result<Vec<Range<usize>>, RequestError> {
    let Found(values) = chat::read_object(body)?;
    let start = body.as_ptr().addr();
    let place = |value: &str| {
        let at = value.as_ptr().addr() - start;
        at..at + value.len()
    };
    Ok(values.into_iter().map(place).collect())
}

/// The raw values of the members called `model`.
struct Found<'a>(Vec<&'a str>);

impl<'de> Deserialize<'de> for Found<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Look;
        impl<'de> Visitor<'de> for Look {
            type Value = Found<'de>;

            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                let mut found = Vec::new();
                while let Some(json::Key(name)) = map.next_key()? {
                    match name.as_ref() {
                        "model" => found.push(map.next_value::<&RawValue>()?.get()),
                        _ => drop(map.next_value::<IgnoredAny>()?),
                    }
                }
                Ok(Found(found))
            }
        }
        deserializer.deserialize_map(Look)
    }
}

#[cfg(test)]
mod tests {
    use super::super::endpoint::ENDPOINTS;
    use super::*;

    async fn read(kind: &str, body: &'static str, all: bool) -> Result<Content, Error> {
        let headers = HeaderMap::from_iter([
            (CONTENT_TYPE, kind.parse().unwrap()),
            (CONTENT_LENGTH, body.len().into()),
        ]);
        Content::read(&ENDPOINTS[0], &headers, Body::from(body), 1000, all).await
    }

    /// What a provider gets that calls the model so, and the length that it is told.
    async fn sent(content: &Content, model: &str) -> (String, Option<usize>) {
        let (body, length) = content.body(model);
        let bytes = body.collect().await.unwrap().to_bytes();
        (String::from_utf8(bytes.to_vec()).unwrap(), length)
    }

    #[tokio::test]
    async fn only_the_model_changes() {
        let body = "\u{feff} { \"a\":1.0e2,\r\n\"mod\\u0065l\" :\t\"x\\/m\" , \"n\":{\"model\":1} , \"model\":\"x/m\" }\n";
        let content = read("Application/x+JSON; charset=utf-8", body, false).await.unwrap();
        assert_eq!((content.model.as_deref(), content.is_whole()), (Some("x/m"), true));
        assert_eq!(sent(&content, "x/m").await, (body.to_owned(), Some(body.len())));
        let expected = body.replace("\"x\\/m\"", "\"m\\\"\"").replace("\"x/m\"", "\"m\\\"\"");
        assert_eq!(sent(&content, "m\"").await, (expected.clone(), Some(expected.len())));
    }

    #[tokio::test]
    async fn json_that_names_no_model_stays_as_it_is() {
        for body in ["{}", "{\"model\":null}", "{\"model\":\" \"}", "{\"a\":\"model\"}"] {
            let content = read("application/json", body, false).await.unwrap();
            assert_eq!(content.model, None, "{body}");
            assert_eq!(sent(&content, "").await.0, body);
        }
        for body in ["", "[]", "{\"model\":1}", "{\"model\":\"m\"", "{\"model\":\"m\"}x", "\"m\""] {
            let error = read("application/json", body, false).await.unwrap_err();
            assert_eq!(error.status(), 400, "{body}: {error}");
        }
        for kind in ["text/plain", "multipart/form-data", "application/x-www-form-urlencoded"] {
            assert_eq!(read(kind, "{}", false).await.unwrap_err().status(), 415, "{kind}");
        }
    }

    #[tokio::test]
    async fn a_form_gets_its_model_and_its_length() {
        const FORM: &str = "--b\r\ncontent-disposition: form-data; name=\"model\"\r\n\r\nfast\r\n--b\r\ncontent-disposition: form-data; name=\"model\"\r\n\r\nother\r\n--b--\r\n";
        let kind = "multipart/form-data; boundary=b";
        let content = read(kind, FORM, true).await.unwrap();
        assert_eq!((content.model.as_deref(), content.is_whole()), (Some("other"), false));
        let expected = FORM.replace("fast", "whisper-1").replace("other", "whisper-1");
        assert_eq!(sent(&content, "whisper-1").await, (expected.clone(), Some(expected.len())));
    }
}
