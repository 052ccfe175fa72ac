//! Environments: what runs, and under whose lease.

mod lease;

pub use lease::{Hold, Lease, Leases, Record};
