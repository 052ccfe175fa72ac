//! Which container engine there is, and how it is spoken to: its API for looking, `docker compose` for life cycles.

use std::path::Path;

use bollard::Docker as Api;
use tokio::process::Command;

/// Where engines usually listen.
const SOCKETS: [&str; 4] = ["/var/run/docker.sock", "~/.docker/run/docker.sock", "~/.colima/default/docker.sock", "~/.rd/docker.sock"];
/// What the `docker` command may see of our environment.
const KEPT: [&str; 6] = ["PATH", "HOME", "USER", "DOCKER_CONFIG", "XDG_RUNTIME_DIR", "TMPDIR"];

/// A container engine that answered.
#[derive(Debug, Clone)]
pub struct Engine {
    /// Its API.
    pub api: Api,
    /// Its address, as `DOCKER_HOST` has it.
    pub host: String,
    /// Its version.
    pub version: String,
}

/// Why no engine can be used.
#[derive(Debug, thiserror::Error)]
pub enum EngineError {
    /// No engine answers.
    #[error("no container engine answers at `{host}`: {why}; `make setup` gets one, `harness doctor` says more")]
    Unreachable {
        /// Where it was looked for.
        host: String,
        /// The system's words.
        why: String,
    },
    /// An address that cannot be used.
    #[error("the engine's address `{host}` cannot be used: only unix:// and tcp:// are; choose another with DOCKER_HOST or `docker context use`")]
    Unsupported {
        /// The address.
        host: String,
    },
}

impl Engine {
    /// The engine of `DOCKER_HOST`, else of the current context, else of the first usual socket.
    pub async fn connect() -> Result<Self, EngineError> {
        let host = address().await;
        let unreachable = |why: bollard::errors::Error| EngineError::Unreachable { host: host.clone(), why: why.to_string() };
        let api = if let Some(path) = host.strip_prefix("unix://") {
            Api::connect_with_unix(path, 120, bollard::API_DEFAULT_VERSION).map_err(unreachable)?
        } else if host.starts_with("tcp://") {
            Api::connect_with_http(&host, 120, bollard::API_DEFAULT_VERSION).map_err(unreachable)?
        } else {
            return Err(EngineError::Unsupported { host });
        };
        let api = api.negotiate_version().await.map_err(unreachable)?;
        let version = api.version().await.map_err(unreachable)?.version.unwrap_or_default();
        Ok(Self { api, host, version })
    }

    /// The `docker` command for this engine, in a process group of its own and with a cleared environment.
    pub fn command(&self) -> Command {
        let mut command = Command::new("docker");
        command.env_clear();
        for name in KEPT {
            if let Some(value) = std::env::var_os(name) {
                command.env(name, value);
            }
        }
        command.env("DOCKER_HOST", &self.host).process_group(0).kill_on_drop(true).stdin(std::process::Stdio::null());
        command
    }
}

async fn address() -> String {
    if let Some(host) = std::env::var("DOCKER_HOST").ok().filter(|host| !host.is_empty()) {
        return host;
    }
    let context = Command::new("docker").args(["context", "inspect", "--format", "{{.Endpoints.docker.Host}}"]).output().await;
    if let Ok(output) = context
        && output.status.success()
    {
        let host = String::from_utf8_lossy(&output.stdout).trim().to_owned();
        if host.strip_prefix("unix://").is_none_or(|path| Path::new(path).exists()) && !host.is_empty() {
            return host;
        }
    }
    let home = std::env::var("HOME").unwrap_or_default();
    let sockets = SOCKETS.map(|socket| socket.replacen('~', &home, 1));
    let found = sockets.iter().find(|socket| Path::new(socket).exists()).unwrap_or(&sockets[0]);
    format!("unix://{found}")
}
