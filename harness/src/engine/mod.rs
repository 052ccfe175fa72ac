//! Which container engine there is, and how it is spoken to: its API for looking, `docker compose` for life cycles.

use std::path::Path;
use std::process::{Output, Stdio};

use bollard::Docker as Api;
use rustix::process::{Pid, Signal, kill_process_group};
use tokio::io::AsyncWriteExt;
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

    /// Where the engine keeps its data, and how many bytes are free there, where this machine can see that.
    pub async fn disk(&self) -> Result<(String, Option<u64>), bollard::errors::Error> {
        let root = self.api.info().await?.docker_root_dir.unwrap_or_default();
        let free = rustix::fs::statvfs(root.as_str()).ok().map(|space| space.f_bavail.saturating_mul(space.f_frsize));
        Ok((root, free))
    }

    /// The `docker` command for this engine, with a cleared environment.
    pub fn command(&self) -> Command {
        self.command_of("docker")
    }

    /// A program that works on this engine, with a cleared environment.
    pub fn command_of(&self, program: &str) -> Command {
        let mut command = Command::new(program);
        command.env_clear();
        for name in KEPT {
            if let Some(value) = std::env::var_os(name) {
                command.env(name, value);
            }
        }
        command.env("DOCKER_HOST", &self.host);
        command
    }
}

/// Runs a command of [`Engine::command`] to its end. Whoever drops the future ends the command and every process that it started:
/// `docker` leaves `docker-compose` running when it is killed alone.
pub async fn run(mut command: Command, input: Option<&[u8]>) -> std::io::Result<Output> {
    command.stdin(if input.is_some() { Stdio::piped() } else { Stdio::null() }).stdout(Stdio::piped()).stderr(Stdio::piped());
    tracing::debug!(command = ?command.as_std(), "runs");
    let mut child = command.process_group(0).kill_on_drop(true).spawn()?;
    let mut group = Group(child.id().and_then(|id| Pid::from_raw(i32::try_from(id).ok()?)));
    let stdin = child.stdin.take();
    let feed = async {
        if let (Some(input), Some(mut stdin)) = (input, stdin) {
            // A command that ends before it has read everything says so by its exit code.
            drop(stdin.write_all(input).await);
        }
    };
    let ((), output) = tokio::join!(feed, child.wait_with_output());
    group.0 = None;
    output
}

/// This machine with an engine of a version, in a sentence for documents with figures.
pub fn machine(version: &str) -> String {
    let cores = std::thread::available_parallelism().map_or(0, std::num::NonZero::get);
    let memory = std::fs::read_to_string("/proc/meminfo").unwrap_or_default();
    let kib: u64 = memory.lines().next().and_then(|line| line.split_whitespace().nth(1)?.parse().ok()).unwrap_or(0);
    format!("Machine: {cores} cores, {} GiB of memory, {} {}, engine {version}.", kib >> 20, std::env::consts::OS, std::env::consts::ARCH)
}

/// The last lines of what a command said.
pub fn tail(said: &[u8]) -> String {
    let said = String::from_utf8_lossy(said);
    let lines: Vec<&str> = said.lines().filter(|line| !line.trim().is_empty()).collect();
    lines[lines.len().saturating_sub(20)..].join("\n")
}

/// A process group that is killed unless it ended by itself.
struct Group(Option<Pid>);

impl Drop for Group {
    fn drop(&mut self) {
        if let Some(leader) = self.0 {
            // It may be gone already.
            let _ = kill_process_group(leader, Signal::KILL);
        }
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
