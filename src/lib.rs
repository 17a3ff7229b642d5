//! millpond
pub mod api;
pub mod chat;
pub mod config;
pub mod dialect;
pub mod error;
pub mod event;
pub mod filter;
pub mod framing;
pub mod json;
pub mod mock;
pub mod normalize;
pub mod pipeline;
pub mod provider;
pub mod proxy;
