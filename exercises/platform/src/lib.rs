//! The trusted programs inside an exercise's network, and the protocol that one of them speaks with the grader.
//!
//! Without features this is the protocol only. The feature `programs` adds what `driver` and `pager` are made of; they are
//! built inside an image, with the oldest Rust that the image's distribution has.

pub mod protocol;

#[cfg(feature = "programs")]
pub mod client;
#[cfg(feature = "programs")]
pub mod output;
#[cfg(feature = "programs")]
pub mod schedule;
#[cfg(feature = "programs")]
pub mod server;
