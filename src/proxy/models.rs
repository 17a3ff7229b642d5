//! `GET /v1/models`: the models of the providers that are set up, and the names of the config.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use axum::Extension;
use axum::extract::{Path, State};
use axum::response::Response;
use bytes::Bytes;
use http::{HeaderMap, Request, StatusCode};
use tokio::sync::Mutex;
use tokio::task::JoinSet;
use tokio::time::{Instant, timeout};

use super::access::Client;
use super::handler::json;
use super::{App, Current, upstream};
use crate::config::Upstream;
use crate::dialect::Outgoing;
use crate::error::Error;
use crate::json::{self as text, Members};

/// How long a provider's list is used before it is asked for again.
const FRESH: Duration = Duration::from_secs(60);
/// How long a provider may take to list its models.
const PATIENCE: Duration = Duration::from_secs(5);
/// The longest list that is read.
const LIST_LIMIT: usize = 16 << 20;

/// The lists that were fetched lately.
#[derive(Debug, Default)]
pub(super) struct Cache(Mutex<HashMap<String, Listing>>);

/// A list, and when it was fetched.
type Listing = (Instant, Arc<Vec<Model>>);

/// One model: its name for clients, and the object that describes it.
#[derive(Debug, Clone)]
struct Model {
    id: String,
    object: String,
}

/// Lists the models that the client may ask for.
pub(super) async fn list(State(app): State<Arc<App>>, Extension(client): Extension<Client>) -> Response {
    let mut out = Vec::from(b"{\"object\":\"list\",\"data\":[");
    let models = all(&app.current()).await;
    for (at, model) in models.iter().filter(|model| client.may_use(&model.id)).enumerate() {
        if at > 0 {
            out.push(b',');
        }
        out.extend_from_slice(model.object.as_bytes());
    }
    out.extend_from_slice(b"]}");
    json(StatusCode::OK, out)
}

/// Describes one model, by its name with or without the default provider's.
pub(super) async fn one(
    State(app): State<Arc<App>>,
    Extension(client): Extension<Client>,
    Path(id): Path<String>,
) -> Result<Response, Error> {
    client.check_model(&id)?;
    let current = app.current();
    let models = all(&current).await;
    let default = current
        .config
        .providers
        .get(current.config.default_provider)
        .map_or("", |provider| provider.name.as_str());
    let full = format!("{default}/{id}");
    let found =
        models.iter().find(|model| model.id == id).or_else(|| models.iter().find(|model| model.id == full));
    match found {
        Some(model) => Ok(json(StatusCode::OK, model.object.clone().into_bytes())),
        None => Err(Error::NoSuchModel(id)),
    }
}

async fn all(current: &Current) -> Vec<Model> {
    let mut tasks = JoinSet::new();
    let providers: Vec<Upstream> = current.config.set_up().cloned().collect();
    for (at, provider) in providers.iter().cloned().enumerate() {
        let current = current.clone();
        tasks.spawn(async move { (at, of_provider(&current, &provider).await) });
    }
    let mut lists: Vec<(usize, Arc<Vec<Model>>)> = Vec::new();
    while let Some(list) = tasks.join_next().await {
        lists.extend(list); // A task that panicked lists nothing.
    }
    lists.sort_by_key(|(at, _)| *at);
    let aliases = current.config.aliases.keys().map(|alias| plain(alias, "millpond"));
    let configured = providers.iter().flat_map(|provider| {
        provider.models.iter().map(|model| plain(&format!("{}/{model}", provider.name), &provider.name))
    });
    let mut models: Vec<Model> = aliases.chain(configured).collect();
    for (_, list) in lists {
        models.extend(list.iter().cloned());
    }
    let mut seen = std::collections::HashSet::new();
    models.retain(|model| seen.insert(model.id.clone()));
    models
}

async fn of_provider(current: &Current, provider: &Upstream) -> Arc<Vec<Model>> {
    // Without an address, or where nothing lists them, those of the config are all.
    let request = provider.base_url.as_ref().ok().and_then(|url| provider.dialect.as_dialect().models(url));
    let Some(Outgoing { request, .. }) = request else { return Arc::default() };
    if let Some((at, list)) = current.models.0.lock().await.get(&provider.name)
        && at.elapsed() < FRESH
    {
        return Arc::clone(list);
    }
    let Ok(Some(list)) = timeout(PATIENCE, fetch(current, provider, request)).await else {
        tracing::warn!(provider = provider.name, "the provider did not list its models");
        return Arc::default();
    };
    let list = Arc::new(list);
    current.models.0.lock().await.insert(provider.name.clone(), (Instant::now(), Arc::clone(&list)));
    list
}

async fn fetch(current: &Current, provider: &Upstream, mut request: Request<Bytes>) -> Option<Vec<Model>> {
    upstream::authorize(provider, &HeaderMap::new(), request.headers_mut()).ok()?; // Keys were checked before.
    let mut response =
        current.clients.of(provider).execute(upstream::to_reqwest(request).ok()?).await.ok()?; // The caller tells.
    if !response.status().is_success() {
        return None;
    }
    let mut body = Vec::new();
    while let Some(data) = response.chunk().await.ok()? {
        body.extend_from_slice(&data);
        if body.len() > LIST_LIMIT {
            return None;
        }
    }
    read(&provider.name, std::str::from_utf8(&body).ok()?)
}

/// Reads a list: an object with `data` (OpenAI, Anthropic) or `models` (Gemini, Cohere, Ollama), or a bare array.
fn read(provider: &str, body: &str) -> Option<Vec<Model>> {
    let outer = Members::of(body);
    let list = outer.find("data").or_else(|| outer.find("models")).unwrap_or(body.trim());
    if !list.starts_with('[') {
        return None;
    }
    Some(text::elements(list).into_iter().filter_map(|raw| named(provider, raw)).collect())
}

/// The model under its name for clients, with everything else that the provider says of it.
fn named(provider: &str, raw: &str) -> Option<Model> {
    let members = Members::of(raw);
    let id = members.find("id").or_else(|| members.find("name")).and_then(text::word)?;
    let id = format!("{provider}/{}", id.strip_prefix("models/").unwrap_or(&id));
    let mut out = Vec::from(b"{\"id\":");
    text::write_string(&id, &mut out);
    out.extend_from_slice(b",\"object\":\"model\"");
    for (name, default) in [("created", "0"), ("owned_by", "")] {
        if members.find(name).is_none() {
            out.push(b',');
            text::write_string(name, &mut out);
            out.push(b':');
            if default.is_empty() {
                text::write_string(provider, &mut out)
            } else {
                out.extend_from_slice(default.as_bytes())
            }
        }
    }
    for (name, value) in members.0.iter().filter(|(name, _)| !matches!(name.as_ref(), "id" | "object")) {
        out.push(b',');
        text::write_string(name, &mut out);
        out.push(b':');
        text::write_raw(value, &mut out);
    }
    out.push(b'}');
    String::from_utf8(out).ok().map(|object| Model { id, object }) // Made of strings.
}

fn plain(id: &str, owner: &str) -> Model {
    let mut out = Vec::from(b"{\"id\":");
    text::write_string(id, &mut out);
    out.extend_from_slice(b",\"object\":\"model\",\"created\":0,\"owned_by\":");
    text::write_string(owner, &mut out);
    out.push(b'}');
    Model { id: id.to_owned(), object: String::from_utf8_lossy(&out).into_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_model_keeps_what_its_provider_says() {
        let list =
            read("p", r#"{"object":"list","data":[{"id":"a/b","context_length": 8e3},{"name":"models/g"}]}"#)
                .unwrap();
        assert_eq!(list[0].id, "p/a/b");
        assert_eq!(
            list[0].object,
            r#"{"id":"p/a/b","object":"model","created":0,"owned_by":"p","context_length":8e3}"#
        );
        assert_eq!(list[1].id, "p/g");
    }

    #[test]
    fn what_is_no_list_is_none() {
        assert!(read("p", "<html>").is_none());
        assert!(read("p", r#"{"error":"x"}"#).is_none());
    }
}
