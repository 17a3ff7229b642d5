//! millpond
pub mod api;
pub mod chat;
pub mod dialect;
pub mod event;
pub mod filter;
pub mod framing;
pub mod json;
pub mod normalize;
pub mod pipeline;
pub mod provider;
