//! A request's body on its way to the provider, as it comes from the client.

use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, ready};

use axum::body::Body;
use bytes::Bytes;
use http_body::Frame;
use tokio::time::Instant;

use super::super::handler::discard;

/// The body; clones are the same one, so that whoever sends it can ask how it went.
#[derive(Debug, Clone)]
pub(super) struct Upload(Arc<Mutex<Source>>);

#[derive(Debug)]
struct Source {
    /// What was read of it already.
    beginning: Bytes,
    rest: Body,
    /// How long the rest may be, in bytes.
    room: usize,
    failure: Option<Failure>,
    /// When the provider last took a part of it.
    last: Instant,
}

/// Why a body did not come to its end.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(super) enum Failure {
    /// It broke off.
    #[error("the client's body broke off")]
    Unreadable,
    /// It is too long.
    #[error("the client's body is too long")]
    TooLong,
    /// Nobody waits for it any more.
    #[error("the provider has answered")]
    GivenUp,
}

impl Upload {
    /// A body of which nothing was read.
    pub(super) fn new(rest: Body, room: usize) -> Upload {
        let source = Source { beginning: Bytes::new(), rest, room, failure: None, last: Instant::now() };
        Upload(Arc::new(Mutex::new(source)))
    }

    /// The same, after its beginning, which may have been changed since it was read.
    pub(super) fn begin_with(&self, beginning: Bytes) {
        let mut source = self.lock();
        source.beginning = beginning;
        source.last = Instant::now();
    }

    /// Why it did not come to its end, if it did not.
    pub(super) fn failure(&self) -> Option<Failure> {
        self.lock().failure
    }

    /// When the provider last took a part of it.
    pub(super) fn last(&self) -> Instant {
        self.lock().last
    }

    /// Reads past what the client still sends; the provider gets nothing more.
    pub(super) async fn discard(&self) {
        let rest = {
            let mut source = self.lock();
            source.failure.get_or_insert(Failure::GivenUp);
            std::mem::take(&mut source.rest)
        };
        discard(rest).await;
    }

    fn lock(&self) -> MutexGuard<'_, Source> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Source {
    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Bytes, Failure>>> {
        if let Some(failure) = self.failure {
            return Poll::Ready(Some(Err(failure)));
        }
        if !self.beginning.is_empty() {
            return Poll::Ready(Some(Ok(std::mem::take(&mut self.beginning))));
        }
        loop {
            let data = match ready!(http_body::Body::poll_frame(Pin::new(&mut self.rest), cx)) {
                None => return Poll::Ready(None),
                Some(Err(_)) => Err(Failure::Unreadable),
                // Trailers say nothing.
                Some(Ok(frame)) => {
                    let data = frame.into_data().unwrap_or_default();
                    let room = self.room.checked_sub(data.len());
                    room.map(|room| self.room = room).ok_or(Failure::TooLong).map(|()| data)
                }
            };
            match data {
                Ok(data) if data.is_empty() => {}
                data => {
                    self.failure = data.as_ref().err().copied();
                    return Poll::Ready(Some(data));
                }
            }
        }
    }
}

impl http_body::Body for Upload {
    type Data = Bytes;
    type Error = Failure;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Failure>>> {
        let mut source = self.lock();
        let next = ready!(source.poll(cx));
        source.last = Instant::now();
        Poll::Ready(next.map(|data| data.map(Frame::data)))
    }
}
