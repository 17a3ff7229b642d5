//! What OpenAI's API has beside chats, in a small form: embeddings, moderations, images, audio, rerankings, files and
//! batches.
//!
//! A model has any name, and perhaps a fault behind it (`any/429`, `any/abort-after-1`), as far as a fault makes sense
//! for one piece. The same request gets the same answer; only files and batches are remembered, the last of them.

mod answers;
mod form;
mod store;

use http::Method;
use http::Response;
use http::header::CONTENT_TYPE;
use http::request::Parts;
use serde_json::Value;

use self::form::Form;
pub use self::store::Store;
use super::fault::Fault;
use super::json::{Handwriting, Object};
use super::ledger::Ticket;
use super::refuse::Problem;
use super::reply;
use super::script::{Broken, ResetSwitch, Script};

/// The bases below which the endpoints are, the longest first.
const BASES: [&str; 4] = ["/v1beta/openai/", "/openai/v1/", "/v1/", "/v2/"];

/// A request as the endpoints read it.
struct Ask<'a> {
    /// The body in JSON; null if it is none.
    json: Value,
    /// The fields of the body, if it is a form.
    form: Form<'a>,
}

/// An answer.
struct Said {
    kind: &'static str,
    body: Vec<u8>,
}

impl Said {
    fn json(object: Object) -> Said {
        Said { kind: "application/json", body: object.write(Handwriting::default()).into_bytes() }
    }
}

impl Ask<'_> {
    /// The text of a field.
    fn text(&self, name: &str) -> Option<String> {
        let of_json = self.json.get(name).and_then(Value::as_str).map(str::to_owned);
        of_json.or_else(|| self.form.text(name))
    }

    fn number(&self, name: &str) -> Option<u64> {
        self.json.get(name).and_then(Value::as_u64)
    }

    /// The texts of a field that is one of them, or a list; lists of tokens are texts as well.
    fn texts(&self, name: &str) -> Vec<String> {
        let text = |value: &Value| value.as_str().map_or_else(|| value.to_string(), str::to_owned);
        match self.json.get(name) {
            Some(Value::Array(list)) if !list.iter().all(Value::is_number) => list.iter().map(text).collect(),
            Some(value) => vec![text(value)],
            None => Vec::new(),
        }
    }
}

/// True for a request that is answered here.
pub fn serves(path: &str) -> bool {
    segments(path).is_some_and(|segments| {
        matches!(
            segments.first(),
            Some(&("embeddings" | "moderations" | "images" | "audio" | "rerank" | "files" | "batches"))
        )
    })
}

fn segments(path: &str) -> Option<Vec<&str>> {
    let rest = BASES.iter().find_map(|base| path.strip_prefix(base))?;
    Some(rest.split('/').collect())
}

/// Answers a request.
pub async fn answer(
    parts: &Parts,
    body: &[u8],
    store: &Store,
    reset: ResetSwitch,
    ticket: Ticket,
) -> Result<Response<Script>, Broken> {
    let kind = parts.headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let ask = Ask { json: serde_json::from_slice(body).unwrap_or_default(), form: Form::read(kind, body) };
    let segments = segments(parts.uri.path()).unwrap_or_default();
    let said = match (&parts.method, segments.as_slice()) {
        (&Method::POST, ["embeddings"]) => answers::embeddings(&ask),
        (&Method::POST, ["moderations"]) => answers::moderations(&ask),
        (&Method::POST, ["images", "generations" | "edits" | "variations"]) => answers::images(&ask),
        (&Method::POST, ["audio", "speech"]) => answers::speech(&ask),
        (&Method::POST, ["audio", "transcriptions" | "translations"]) => answers::transcription(&ask),
        (&Method::POST, ["rerank"]) => answers::rerank(&ask),
        (method, ["files", rest @ ..]) => store.files(method, rest, &ask),
        (method, ["batches", rest @ ..]) => store.batches(method, rest, &ask),
        (_, _) => None,
    };
    let model = ask.text("model").unwrap_or_default();
    let fault = model.rsplit('/').next().and_then(Fault::find);
    match said {
        Some(Said { kind, body }) => reply::piece(kind, body, &parts.headers, fault, reset, ticket).await,
        None => {
            let nothing = Problem {
                message: "The mock has no such thing, or the request lacks a field.",
                code: "not_found",
                ..Problem::of_status(404)
            };
            Ok(reply::problem(nothing, ticket))
        }
    }
}
