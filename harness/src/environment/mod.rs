//! Environments: what runs, and under whose lease.

mod cluster;
mod disk;
mod docker;
mod exam;
mod kind;
mod lease;
mod past;
mod pods;
mod stocked;
mod sweep;
mod told;
mod usage;
mod workload;

use crate::engine::Engine;
use crate::exercise::EngineKind;

pub use cluster::Foundation;
pub use disk::Disk;
pub use docker::{Disturbance, Docker, EnvironmentError, Fault, Input, Once, Output, Ran, Service, Transition, Unread, Wait, run_once};
pub use exam::{Replica, Running, Streams};
pub use kind::{KUBECONFIG, Kind};
pub use lease::{Hold, Lease, Leases, Record};
pub use past::{fill_volume, has_volume, past_volume};
pub use pods::{Eviction, Exhausting, Misreleased};
pub use sweep::{Sweep, sweep, sweep_dead};
pub use usage::{Spent, Usage, Whole};

/// What an environment runs on.
#[derive(Clone)]
pub enum Environment {
    /// Docker Compose.
    Docker(Docker),
    /// Kubernetes.
    Kind(Kind),
}

impl Environment {
    /// The environment of a lease; nothing is started.
    pub fn of(engine: Engine, record: &Record) -> Self {
        match record.engine {
            EngineKind::Docker => Self::Docker(Docker::new(engine, &record.project, &record.id, record.folder.clone())),
            EngineKind::Kind => Self::Kind(Kind::new(engine, record)),
        }
    }

    /// What of the candidate's runs, and how it is.
    pub async fn services(&self) -> Result<Vec<Service>, EnvironmentError> {
        match self {
            Self::Docker(docker) => docker.services().await,
            Self::Kind(kind) => kind.services().await,
        }
    }

    /// Stops what runs, as far as a sweep of its lease does not. What is in a cluster goes with it, and comes again from the workspace.
    pub async fn stop(&self) -> Result<(), EnvironmentError> {
        match self {
            Self::Docker(docker) => docker.stop().await,
            Self::Kind(kind) => kind.forget(),
        }
    }
}
