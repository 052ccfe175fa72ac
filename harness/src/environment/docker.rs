//! An environment on Docker: brought up and down by `docker compose`, looked at through the engine's API.

use std::collections::HashMap;
use std::path::PathBuf;
use std::process::Stdio;
use std::time::Duration;

use bollard::query_parameters::{InspectContainerOptions, ListContainersOptionsBuilder};
use tokio::io::AsyncReadExt;
use tokio::process::Command;
use tokio::time::{Instant, sleep};

use crate::compose::ROLE_LABEL;
use crate::engine::Engine;
use crate::exit::Owner;

/// How often the engine is asked while something is waited for.
const LOOK: Duration = Duration::from_millis(200);

/// Why an environment does not do what it should.
#[derive(Debug, thiserror::Error)]
pub enum EnvironmentError {
    /// `docker compose` failed.
    #[error("`docker compose {command}` failed:\n{output}")]
    Compose {
        /// Its command.
        command: String,
        /// The end of what it said.
        output: String,
        /// Whose fault it is.
        owner: Owner,
    },
    /// The engine's API failed.
    #[error("the container engine: {0}")]
    Api(#[from] bollard::errors::Error),
}

/// What a wait came to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Wait<T> {
    /// It happened.
    Met(T),
    /// Time ran out first.
    Pending {
        /// What was seen last.
        last_seen: String,
    },
}

/// A container of the environment, as it is now.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct Service {
    /// The Compose service.
    pub name: String,
    /// Its role, if it has one.
    pub role: Option<String>,
    /// The container.
    pub container: String,
    /// Docker's word: `running`, `exited`, ...
    pub state: String,
    /// `healthy`, `unhealthy`, `starting`; `None` without a health check.
    pub health: Option<String>,
    /// The exit code, where it is not running.
    pub exit_code: Option<i64>,
    /// Ports: in the container, on the loopback interface.
    pub published: Vec<(u16, u16)>,
}

impl Service {
    /// Whether it is as well as Docker can tell.
    pub fn is_well(&self) -> bool {
        self.state == "running" && self.health.as_deref().is_none_or(|health| health == "healthy")
    }

    /// Whether waiting will not change what is said of it.
    fn is_settled(&self) -> bool {
        match self.state.as_str() {
            "running" => self.health.as_deref() != Some("starting"),
            "exited" | "dead" => true,
            _ => false,
        }
    }
}

/// An environment.
#[derive(Debug, Clone)]
pub struct Docker {
    engine: Engine,
    project: String,
    lease: String,
    folder: PathBuf,
}

impl Docker {
    /// The environment of a Compose project in a folder; nothing is started.
    pub fn new(engine: Engine, project: &str, lease: &str, folder: PathBuf) -> Self {
        Self { engine, project: project.to_owned(), lease: lease.to_owned(), folder }
    }

    /// Builds what is built and starts what is not running.
    pub async fn up(&self) -> Result<(), EnvironmentError> {
        self.compose(&["up", "--detach", "--build", "--quiet-pull"]).await
    }

    /// Stops everything and keeps containers and volumes.
    pub async fn stop(&self) -> Result<(), EnvironmentError> {
        self.compose(&["stop", "--timeout", "5"]).await
    }

    async fn compose(&self, arguments: &[&str]) -> Result<(), EnvironmentError> {
        let mut command: Command = self.engine.command();
        command.current_dir(&self.folder).args(["compose", "--progress", "plain"]).args(arguments);
        let failed = |output: String, owner| EnvironmentError::Compose { command: arguments.join(" "), output, owner };
        let mut child = command.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().map_err(|error| failed(error.to_string(), Owner::Engine))?;
        let mut said = Vec::new();
        if let Some(mut stderr) = child.stderr.take() {
            stderr.read_to_end(&mut said).await.map_err(|error| failed(error.to_string(), Owner::Engine))?;
        }
        let status = child.wait().await.map_err(|error| failed(error.to_string(), Owner::Engine))?;
        if status.success() {
            return Ok(());
        }
        let said = String::from_utf8_lossy(&said);
        let lines: Vec<&str> = said.lines().collect();
        // BuildKit names the file and the line when a Dockerfile of the submission is at fault.
        let owner = if said.contains("failed to solve") { Owner::Candidate } else { Owner::Engine };
        Err(failed(lines[lines.len().saturating_sub(20)..].join("\n"), owner))
    }

    /// Every container of the environment.
    pub async fn services(&self) -> Result<Vec<Service>, EnvironmentError> {
        let filters = HashMap::from([("label", vec![format!("com.docker.compose.project={}", self.project)])]);
        let options = ListContainersOptionsBuilder::new().all(true).filters(&filters).build();
        let mut services = Vec::new();
        for container in self.engine.api.list_containers(Some(options)).await? {
            let labels = container.labels.unwrap_or_default();
            let id = container.id.unwrap_or_default();
            let state = self.engine.api.inspect_container(&id, None::<InspectContainerOptions>).await?.state.unwrap_or_default();
            let health = state.health.and_then(|health| health.status).map(|status| status.to_string()).filter(|status| status != "none");
            let state_word = state.status.map(|status| status.to_string()).unwrap_or_default();
            let ports = container.ports.unwrap_or_default().into_iter();
            services.push(Service {
                name: labels.get("com.docker.compose.service").cloned().unwrap_or_default(),
                role: labels.get(ROLE_LABEL).cloned(),
                exit_code: state.exit_code.filter(|_| state_word == "exited"),
                container: id,
                state: state_word,
                health: health.filter(|status| !status.is_empty()),
                published: ports.filter_map(|port| Some((port.private_port, port.public_port?))).collect(),
            });
        }
        services.sort_by(|a, b| a.name.cmp(&b.name));
        Ok(services)
    }

    /// Waits until every service is well or will not become so by waiting.
    pub async fn wait_settled(&self, limit: Duration) -> Result<Wait<Vec<Service>>, EnvironmentError> {
        let deadline = Instant::now() + limit;
        loop {
            let services = self.services().await?;
            if !services.is_empty() && services.iter().all(Service::is_settled) {
                return Ok(Wait::Met(services));
            }
            if Instant::now() >= deadline {
                let open: Vec<String> = services
                    .iter()
                    .filter(|service| !service.is_settled())
                    .map(|service| format!("`{}` is {}", service.name, service.health.as_ref().unwrap_or(&service.state)))
                    .collect();
                return Ok(Wait::Pending { last_seen: open.join(", ") });
            }
            sleep(LOOK).await;
        }
    }

    /// Removes everything of the environment, volumes and built images too, until two looks find nothing.
    pub async fn close(&self) -> Result<(), EnvironmentError> {
        super::sweep::sweep(&self.engine, &self.lease).await
    }
}
