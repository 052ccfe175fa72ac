//! Environments: what runs, and under whose lease.

mod disk;
mod docker;
mod lease;
mod past;
mod sweep;
mod usage;

pub use disk::Disk;
pub use docker::{Beside, Disturbance, Docker, EnvironmentError, Fault, Input, Once, Output, Ran, Service, Transition, Unread, Wait, run_once};
pub use lease::{Hold, Lease, Leases, Record};
pub use past::{fill_volume, has_volume, past_volume};
pub use sweep::{Sweep, sweep, sweep_dead};
pub use usage::{Spent, Usage, Whole};
