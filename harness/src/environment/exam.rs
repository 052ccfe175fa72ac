//! What an exam does with an environment, whatever it runs on. What a service is there is said where it matters: a container of Docker's, or on
//! Kubernetes a Deployment, whose replicas are pods that come and go under names of their own.

use std::collections::BTreeMap;
use std::time::Duration;

use futures_util::StreamExt;
use futures_util::stream::BoxStream;

use super::docker::{Disturbance, EnvironmentError, Input, Output, Service, Transition, Unread, Wait};
use super::usage::{Spent, Usage};
use super::{Disk, Environment};

/// A replica of a role.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Replica {
    /// The container's service, or the pod.
    pub name: String,
    /// Where it is reached: a name or an address.
    pub host: String,
    /// How often a container of it was started again in its place, where whoever does that waits longer each time: a pod, and not a container.
    pub restarts: i32,
}

/// Something of the submission that runs: a container, or a pod.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Running {
    /// The container's service, or the pod.
    pub name: String,
    /// Its role, if it has one.
    pub role: Option<String>,
    /// The memory limit with which it runs, in MiB; nothing where only the submission's file says it.
    pub memory_mib: Option<u64>,
    /// Its addresses.
    pub addresses: Vec<String>,
}

/// Both ends of a program's standard streams.
pub struct Streams {
    /// What it is told.
    pub input: Input,
    /// What it says.
    pub output: Output,
    /// The program ends with this, if not with its input.
    pub guard: Box<dyn Send>,
}

/// Does the same with both kinds of environments.
macro_rules! on {
    ($environment:expr, $one:ident => $what:expr) => {
        match $environment {
            Environment::Docker($one) => $what,
            Environment::Kind($one) => $what,
        }
    };
}

impl Environment {
    /// Asks what it runs on whether it is there.
    pub async fn ping(&self) -> Result<(), EnvironmentError> {
        on!(self, one => one.ping().await)
    }

    /// Both ends of a trusted program's standard streams: in grading those of the service that runs, at home those of a second one beside it.
    pub async fn converse(&self, service: &str) -> Result<Streams, EnvironmentError> {
        on!(self, one => one.converse(service).await)
    }

    /// What a trusted service says from its first byte on, without an end while it runs.
    pub async fn follow(&self, service: &str) -> Result<Output, EnvironmentError> {
        on!(self, one => one.follow(service).await)
    }

    /// Everything that a service said, the last 256 KiB of it at most.
    pub async fn logs(&self, service: &str) -> Result<Vec<u8>, EnvironmentError> {
        on!(self, one => one.logs(service).await)
    }

    /// Every change of what runs from now on.
    pub fn transitions(&self) -> BoxStream<'static, Result<Transition, EnvironmentError>> {
        on!(self, one => one.transitions().boxed())
    }

    /// Where a trusted service is reached without asking for its name.
    pub async fn address(&self, service: &str) -> Result<Option<String>, EnvironmentError> {
        on!(self, one => one.address(service).await)
    }

    /// Starts services of a submission; says what could not be.
    pub async fn start_each(&self, services: &[String], limit: Duration) -> Result<Vec<String>, EnvironmentError> {
        on!(self, one => one.start_each(services, limit).await)
    }

    /// Creates services of a submission anew, as they were submitted or remembered; says what could not be.
    pub async fn recreate(&self, services: &[String], limit: Duration) -> Result<Vec<String>, EnvironmentError> {
        on!(self, one => one.recreate(services, limit).await)
    }

    /// Stops services of a submission and starts them again; says what could not be.
    pub async fn restart(&self, services: &[String], grace_seconds: i32) -> Result<Vec<String>, EnvironmentError> {
        on!(self, one => one.restart(services, grace_seconds).await)
    }

    /// Restarts everything of a submission at once, as a machine does that boots: all services, or the node that they are on.
    pub async fn reboot(&self, services: &[String], grace_seconds: i32) -> Result<Vec<String>, EnvironmentError> {
        match self {
            Self::Docker(docker) => docker.restart(services, grace_seconds).await,
            Self::Kind(kind) => kind.reboot().await,
        }
    }

    /// Ends services of a submission at once; what will not end is no error.
    pub async fn halt(&self, services: &[String]) -> Result<(), EnvironmentError> {
        on!(self, one => one.halt(services).await)
    }

    /// What of a submission runs, replica by replica.
    pub async fn running(&self, services: &[String]) -> Result<Vec<Running>, EnvironmentError> {
        on!(self, one => one.running(services).await)
    }

    /// The replicas of a role as they are now; `services` are those of the submission that have it.
    pub async fn replicas(&self, role: &str, services: &[String]) -> Result<Vec<Replica>, EnvironmentError> {
        on!(self, one => one.replicas(role, services).await)
    }

    /// Waits until every service is well or will not become so by waiting.
    pub async fn wait_quiet(&self, limit: Duration) -> Result<Wait<Vec<Service>>, EnvironmentError> {
        on!(self, one => one.wait_quiet(limit).await)
    }

    /// Disturbs a replica until [`Environment::mend`].
    pub async fn disturb(&self, disturbance: &Disturbance) -> Result<(), EnvironmentError> {
        on!(self, one => one.disturb(disturbance).await)
    }

    /// Ends a disturbance; says why it could not be, where the submission is what keeps it from it.
    pub async fn mend(&self, disturbance: &Disturbance) -> Result<Result<(), String>, EnvironmentError> {
        on!(self, one => one.mend(disturbance).await)
    }

    /// Kills a replica's process from outside, as a crash does; `false` where none runs. `tools` is an image of ours with a shell.
    pub async fn crash(&self, replica: &str, tools: &str) -> Result<bool, EnvironmentError> {
        on!(self, one => one.crash(replica, tools).await)
    }

    /// Writes a file into a folder of a service of the submission; says why it could not be, where the submission is what keeps it from it.
    pub async fn put(&self, service: &str, folder: &str, name: &str, content: &[u8]) -> Result<Result<(), String>, EnvironmentError> {
        on!(self, one => one.put(service, folder, name, content).await)
    }

    /// Runs a command in a service of a submission; see [`Docker::exec`](super::Docker::exec).
    pub async fn exec(&self, service: &str, command: &[String], limit: Duration) -> Result<Result<Option<(i64, String)>, String>, EnvironmentError> {
        on!(self, one => one.exec(service, command, limit).await)
    }

    /// Runs a command in a service of ours and returns all that it writes to stdout, up to a limit in bytes.
    pub async fn read(&self, service: &str, command: &[&str], limit: usize) -> Result<Result<Vec<u8>, Unread>, EnvironmentError> {
        on!(self, one => one.read(service, command, limit).await)
    }

    /// Whether a service of ours was ended because it used more memory than its limit.
    pub async fn ran_out_of_memory(&self, service: &str) -> Result<bool, EnvironmentError> {
        on!(self, one => one.ran_out_of_memory(service).await)
    }

    /// What services used of the machine's processors since the last look.
    pub async fn spent(&self, usage: &mut Usage, services: &[String]) -> Result<Spent, EnvironmentError> {
        on!(self, one => one.spent(usage, services).await)
    }

    /// The engine's disk, where this machine can see it.
    pub async fn disk(&self) -> Result<Option<Disk>, EnvironmentError> {
        on!(self, one => one.disk().await)
    }

    /// How many bytes services have written.
    pub async fn written(&self, services: &[String]) -> Result<BTreeMap<String, u64>, EnvironmentError> {
        on!(self, one => one.written(services).await)
    }

    /// Ends a service for good, with what it wrote.
    pub async fn end(&self, service: &str) -> Result<(), EnvironmentError> {
        on!(self, one => one.end(service).await)
    }
}
