//! Answers of the Responses API that are kept for a while, for clients that only name them.
//!
//! `previous_response_id` and `item_reference` become what they name; `GET` and `DELETE /v1/responses/{id}` look at an
//! answer and forget it. Another client does not find it.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use axum::Extension;
use axum::extract::{Path, State};
use axum::response::Response;
use http::{HeaderMap, StatusCode};

use super::access::Client;
use super::handler::json;
use super::{App, Current};
use crate::api::Encoder;
use crate::api::responses::{Keep, Kept, Known, Reading, expand, input_of, output_of};
use crate::chat::Chat;
use crate::error::Error;
use crate::json as text;
use crate::recall::{Limits, Memory, Scope};

/// The store, locked for moments.
pub(super) struct Store(Mutex<Memory>);

impl Store {
    pub(super) fn new(limits: Limits) -> Store {
        Store(Mutex::new(Memory::new(limits)))
    }

    fn lock(&self) -> MutexGuard<'_, Memory> {
        // Whoever panicked with it left at worst a wrong count of bytes.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn find(&self, scope: &Scope, kind: &str, id: &str) -> Option<Arc<str>> {
        self.lock().find(Instant::now(), &scope.of_name(&format!("{kind} {id}")))
    }

    fn keep(&self, scope: &Scope, kind: &str, id: &str, value: &str) {
        self.lock().keep(Instant::now(), scope.of_name(&format!("{kind} {id}")), value);
    }

    fn forget(&self, scope: &Scope, kind: &str, id: &str) -> bool {
        self.lock().forget(&scope.of_name(&format!("{kind} {id}")))
    }

    /// Keeps an answer, what was asked, and each item under its own name.
    fn keep_all(&self, scope: &Scope, input: &str, kept: &Kept) {
        let Kept { id, response, items } = kept;
        self.keep(scope, "response", id, &String::from_utf8_lossy(response));
        self.keep(scope, "input", id, input);
        for (id, item) in items {
            self.keep(scope, "item", id, item);
        }
    }
}

/// What is the client's own.
fn scope(client: &Client, headers: &HeaderMap) -> Scope {
    Scope::new("", "responses", client.identity(headers))
}

/// Reads a request, with what it only names.
pub(super) fn read(
    current: &Current,
    client: &Client,
    headers: &HeaderMap,
    body: &[u8],
) -> Result<(Chat, Box<dyn Encoder>), Error> {
    let born = Some(uuid::Uuid::new_v4().simple().to_string());
    let Some(store) = &current.responses else { return Ok(Reading::of(body)?.with(born, None)) };
    let scope = scope(client, headers);
    let mut answer = |id: &str| {
        let response = store.find(&scope, "response", id)?;
        let input = store.find(&scope, "input", id)?;
        Some(Known { input: input.to_string(), output: output_of(response.as_bytes()) })
    };
    let mut item = |id: &str| store.find(&scope, "item", id).map(|item| item.to_string());
    let expanded = expand(body, &mut answer, &mut item);
    let whole = expanded.as_deref().unwrap_or(body);
    let mut reading = Reading::of(whole)?;
    if expanded.is_some() {
        reading.repeats(body);
    }
    let keep = reading.store.then(|| {
        let (store, input) = (Arc::clone(store), input_of(whole));
        Box::new(move |kept: Kept| store.keep_all(&scope, &input, &kept)) as Keep
    });
    Ok(reading.with(born, keep))
}

/// An answer that is kept.
pub(super) async fn one(
    State(app): State<Arc<App>>,
    Extension(client): Extension<Client>,
    Path(id): Path<String>,
    headers: HeaderMap,
) -> Result<Response, Error> {
    let current = app.current();
    let found =
        current.responses.as_ref().and_then(|store| store.find(&scope(&client, &headers), "response", &id));
    let response = found.ok_or(Error::NoSuchResponse(id))?;
    Ok(json(StatusCode::OK, response.as_bytes().to_vec()))
}

/// Forgets an answer.
pub(super) async fn delete(
    State(app): State<Arc<App>>,
    Extension(client): Extension<Client>,
    Path(id): Path<String>,
    headers: HeaderMap,
) -> Result<Response, Error> {
    let current = app.current();
    let scope = scope(&client, &headers);
    let response = current.responses.as_ref().and_then(|store| {
        let response = store.find(&scope, "response", &id)?;
        store.forget(&scope, "response", &id);
        store.forget(&scope, "input", &id);
        Some(response)
    });
    let Some(response) = response else { return Err(Error::NoSuchResponse(id)) };
    if let Some(store) = &current.responses {
        for item in text::elements(text::Members::of(&response).find("output").unwrap_or("[]")) {
            if let Some(id) = text::Members::of(item).find("id").and_then(text::word) {
                store.forget(&scope, "item", &id);
            }
        }
    }
    let mut out = Vec::from(b"{\"id\":");
    text::write_string(&id, &mut out);
    out.extend_from_slice(b",\"object\":\"response\",\"deleted\":true}");
    Ok(json(StatusCode::OK, out))
}
