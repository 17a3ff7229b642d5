//! An answer in the hands of its client, and what becomes of it when the client leaves.

use std::convert::Infallible;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http_body::{Body, Frame};
use tokio::runtime::Handle;

use super::relay::Relay;

/// The relay, for as long as a client waits for it.
pub(super) struct Answer(Option<Box<Relay>>);

impl Answer {
    /// Hands the relay to its client.
    pub(super) fn new(relay: Box<Relay>) -> Answer {
        Answer(Some(relay))
    }

    /// The relay; `None` only after the answer was dropped.
    pub(super) fn relay(&mut self) -> Option<&mut Relay> {
        self.0.as_deref_mut()
    }
}

impl Body for Answer {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        let Some(relay) = self.get_mut().relay() else { return Poll::Ready(None) };
        Poll::Ready(ready!(relay.poll_out(cx)).map(|out| Ok(Frame::data(out))))
    }

    fn is_end_stream(&self) -> bool {
        self.0.as_ref().is_none_or(|relay| relay.is_handed_over())
    }
}

impl Drop for Answer {
    fn drop(&mut self) {
        let Some(relay) = self.0.take() else { return };
        // Without a runtime the process is ending.
        if let (true, Ok(runtime)) = (relay.outlives_client(), Handle::try_current()) {
            runtime.spawn(relay.drain());
        }
    }
}
