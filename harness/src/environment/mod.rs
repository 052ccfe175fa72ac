//! Environments: what runs, and under whose lease.

mod docker;
mod lease;
mod sweep;

pub use docker::{Docker, EnvironmentError, Service, Wait};
pub use lease::{Hold, Lease, Leases, Record};
pub use sweep::sweep;
