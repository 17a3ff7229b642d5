//! millpond: any LLM provider's stream in, one clean stream out, in the API that the client speaks.
//!
//! # The path
//! ```text
//! client ─► proxy::handler ─ Chat ─► route ─► provider (a row) ─► dialect.request() ─► upstream: send
//!  ┌─ pipeline: no I/O, no clock, no chance ──────────────────┐                          │ body bytes
//!  │ Framer ─ Frame ─► Decoder ─ Delta ─► Normalizer ─ Event  ┼──┐   ◄───────────────────┘
//!  └──────────────────────────────────────────────────────────┘  └─► encoder of the API ─► bytes ─► client
//! ```
//! Bytes become frames ([`framing`]), frames become deltas ([`dialect`]), deltas become events
//! ([`normalize`]), events become bytes ([`api`]). [`pipeline`] is the first three as one machine.
//!
//! # Order of the modules
//! A module uses earlier ones only: [`json`], [`event`], [`framing`], [`chat`], [`dialect`], [`normalize`],
//! [`pipeline`], [`provider`], [`api`], [`recall`], [`observe`], [`telemetry`], [`config`], [`error`], [`filter`],
//! [`proxy`], [`mock`].
//! `tests/tidy.rs` reads the sources and holds them to it.
//!
//! # Invariants
//! - A [`Delta`](event::Delta) is what a frame said, however oddly; an [`Event`](event::Event) is what millpond
//!   promises. Only the normalizer turns one into the other, so the encoders trust the laws on `Event` and
//!   do not doubt. The promises are the [`contract`].
//! - The pipeline is pure: the same bytes give the same events, however they were cut. The end of the body
//!   is an input. It cannot fail: what goes wrong becomes a fault, which is an event.
//! - Frames, deltas and events borrow from the bytes they came from. A frame of the usual form costs one
//!   allocation.
//! - What a provider does differently is a field of its dialect's value (a quirk), set in its row of the table
//!   in [`provider`]; there is no code per provider.
//! - The answer on its way to the client is one value: it owns the upstream's body, the pipeline and the
//!   encoder. Dropping it ends all three, so a client that leaves closes the upstream's connection.
//! - Observers see the events that the client gets and change nothing ([`observe`]); they are told of the end
//!   exactly once, whatever happens. All telemetry is one of them ([`telemetry`]).
//! - What is no chat is passed on byte for byte: [`forward`].
//! - What is tried again, how long, and what a client sees of failures is said in [`reliability`].
//! - Only [`proxy`], [`mock`], [`telemetry`] and the program itself do I/O or ask for the time.
//! - Memory is bounded by the longest frame, a request's body and, for answers that are no streams, the
//!   folded object; the memory of signatures ([`recall`]) has limits of its own.

pub mod api;
pub mod chat;
pub mod config;
#[doc = include_str!("contract.md")]
pub mod contract {}
pub mod dialect;
pub mod error;
pub mod event;
pub mod filter;
#[doc = include_str!("forward.md")]
pub mod forward {}
pub mod framing;
pub mod json;
pub mod mock;
pub mod normalize;
pub mod observe;
pub mod pipeline;
pub mod provider;
pub mod proxy;
pub mod recall;
#[doc = include_str!("reliability.md")]
pub mod reliability {}
pub mod telemetry;
