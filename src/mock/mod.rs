//! A fake provider: it speaks chat completions over HTTP in the manner of each real one, and the
//! dialects of those that have one of their own, and misbehaves on request.
//!
//! The model's name says how: `demo/<manner>/<fault>`, or, in a dialect of its own, any name with
//! `/<fault>` behind it. The header `x-mock-fault` chooses the fault as well. An answer is made in
//! steps, and each step is a module:
//!
//! ```text
//! request ─ Ask ─► answer ─ Answer ─► render (voice, fragments, usage) ─ frames ─► wire ─ writes ─► script ─► socket
//!                    ▲                  ▲                   ▲                 ▲                 ▲
//!                  schema            manners         fault: damage      fault: wire      fault: reply
//! ```
//!
//! Text completions are the same, with texts in place of deltas (`texts`). A dialect of its own is a manner whose
//! frames are made in `native`, where its requests are checked as well. The same request always gets the same bytes.
//! What is no chat is in `surface`.

mod answer;
mod damage;
mod eventstream;
mod fault;
mod fragments;
mod ids;
mod json;
mod ledger;
mod listing;
mod manner;
mod manners;
mod native;
mod refuse;
mod render;
mod reply;
mod request;
mod schema;
mod script;
mod socket;
mod surface;
mod texts;
mod usage;
mod voice;
mod whole;
mod wire;

use std::future::Future;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use http::header::{CONTENT_TYPE, HeaderValue};
use http::{Method, Request, Response};
use http_body_util::{BodyExt, Limited};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;

use ledger::{Ledger, Ticket};
use refuse::Problem;
use script::{Broken, ResetSwitch, Script};
use socket::Socket;

/// The longest request body that is read, in bytes.
const BODY_LIMIT: usize = 64 << 20;

/// The pause after a connection could not be accepted, for instance for want of descriptors.
const ACCEPT_PAUSE: Duration = Duration::from_millis(20);

/// What one mock remembers.
#[derive(Debug, Default)]
struct Kept {
    ledger: Ledger,
    store: surface::Store,
}

/// Serves the mock until `shutdown` is done; connections that are still open are then dropped.
///
/// `GET /mock/requests` lists the last 100 requests with `method`, `path`, `headers` (secrets are
/// `"[hidden]"`), `body`, `open` (the answer is still being written) and `closed_early` (the client
/// left before it was).
pub async fn serve(listener: TcpListener, shutdown: impl Future<Output = ()> + Send + 'static) {
    let kept = Arc::new(Kept::default());
    let mut connections = JoinSet::new();
    let mut shutdown = pin!(shutdown);
    loop {
        let accepted = tokio::select! {
            () = &mut shutdown => return,
            accepted = listener.accept() => accepted,
        };
        while connections.try_join_next().is_some() {}
        match accepted {
            Ok((stream, _)) => {
                connections.spawn(converse(stream, Arc::clone(&kept)));
            }
            Err(_) => tokio::time::sleep(ACCEPT_PAUSE).await,
        }
    }
}

/// Lists the names of all models.
pub fn models() -> Vec<String> {
    let mut models = vec!["demo".to_owned(), "demo/slow".to_owned()];
    for manner in manners::all() {
        let name = match manner.name {
            "demo" => "demo".to_owned(),
            name => format!("demo/{name}"),
        };
        if !models.contains(&name) {
            models.push(name);
        }
    }
    for manner in manners::all() {
        let faults = fault::list();
        models.extend(faults.map(|(fault, _)| format!("demo/{}/{fault}", manner.name)));
    }
    models
}

/// Describes each manner, then each fault, by its name and a sentence; then the dialects of their own, by their
/// paths.
///
/// The name of a manner is a model's name; that of a fault begins with `demo/<manner>/`.
pub fn describe() -> Vec<(String, &'static str)> {
    let mut lines = Vec::new();
    for manner in manners::all() {
        match manner.name {
            "demo" => {
                lines.push(("demo".to_owned(), manner.about));
                let slow = "The same, with a piece every 250 ms.";
                lines.push(("demo/slow".to_owned(), slow));
            }
            name => lines.push((format!("demo/{name}"), manner.about)),
        }
    }
    let faults = fault::list();
    lines.extend(faults.map(|(fault, about)| (format!("demo/<manner>/{fault}"), about)));
    lines.extend(native::list_places().map(|(place, about)| (place.to_owned(), about)));
    lines
}

/// Serves one connection until it ends in whatever way.
async fn converse(stream: TcpStream, kept: Arc<Kept>) {
    // Without it the writes of one answer would be joined, and a fault between them be lost.
    stream.set_nodelay(true).ok();
    let reset = ResetSwitch::default();
    let socket = Socket::new(stream, reset.clone());
    let service = service_fn(|request| route(request, Arc::clone(&kept), reset.clone()));
    let connection = http1::Builder::new().serve_connection(TokioIo::new(socket), service);
    // Clients that leave and connections that are broken off on purpose are errors here.
    connection.await.ok();
}

async fn route(
    request: Request<Incoming>,
    kept: Arc<Kept>,
    reset: ResetSwitch,
) -> Result<Response<Script>, Broken> {
    let (parts, body) = request.into_parts();
    let path = parts.uri.path();
    if parts.method == Method::GET && path == "/mock/requests" {
        return Ok(json(kept.ledger.write()));
    }
    let Ok(body) = Limited::new(body, BODY_LIMIT).collect().await else {
        return Ok(reply::problem(Problem::of_status(413), Ticket::unrecorded()));
    };
    let body = body.to_bytes();
    let ticket = kept.ledger.record(&parts, &body);
    if parts.method == Method::POST && path.ends_with("/chat/completions") {
        return reply::chat(&parts.headers, &body, reset, ticket).await;
    }
    if parts.method == Method::POST && path.ends_with("/completions") {
        return reply::texts(&parts.headers, &body, reset, ticket).await;
    }
    if parts.method == Method::POST
        && let Some(native) = native::find(path)
    {
        return reply::native(native, &parts, &body, reset, ticket).await;
    }
    if parts.method == Method::GET
        && let Some(list) = listing::find(&parts)
    {
        ticket.finish();
        return Ok(json(list));
    }
    if surface::serves(path) {
        return surface::answer(&parts, &body, &kept.store, reset, ticket).await;
    }
    let missing =
        Problem { message: "The mock has no such page.", code: "not_found", ..Problem::of_status(404) };
    Ok(reply::problem(missing, ticket))
}

fn json(body: String) -> Response<Script> {
    let mut response = Response::new(Script::whole(body, Ticket::unrecorded()));
    let kind = HeaderValue::from_static("application/json");
    response.headers_mut().insert(CONTENT_TYPE, kind);
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_listed_model_exists() {
        for model in models() {
            assert!(reply::Part::of_model(&model).is_some(), "{model}");
        }
    }

    #[test]
    fn the_listing_names_every_manner_and_fault() {
        let models = models();
        let faults = fault::list().count();
        let manners = manners::all().count();
        assert_eq!(models.len(), 1 + manners + manners * faults);
        assert!(models.contains(&"demo/openrouter/cut-after-3".to_owned()));
        assert_eq!(describe().len(), 1 + manners + faults + native::list_places().count());
    }
}
