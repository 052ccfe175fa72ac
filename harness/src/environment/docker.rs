//! An environment on Docker: brought up and down by `docker compose`, looked at through the engine's API.

use std::collections::HashMap;
use std::path::PathBuf;
use std::pin::Pin;
use std::process::Stdio;
use std::time::Duration;

use bollard::container::LogOutput;
use bollard::exec::{StartExecOptions, StartExecResults};
use bollard::models::{ContainerState, EventMessage, ExecConfig, HealthStatusEnum};
use bollard::query_parameters::{
    AttachContainerOptionsBuilder, EventsOptionsBuilder, InspectContainerOptions, KillContainerOptionsBuilder, ListContainersOptionsBuilder,
    LogsOptionsBuilder, RemoveContainerOptionsBuilder, RestartContainerOptionsBuilder, StartContainerOptions, StopContainerOptionsBuilder,
    UploadToContainerOptionsBuilder,
};
use bytes::Bytes;
use futures_util::future::join_all;
use futures_util::{Stream, StreamExt};
use tokio::io::AsyncWrite;
use tokio::time::{Instant, sleep, timeout, timeout_at};
use tokio_util::io::ReaderStream;

use super::exam::{Replica, Running, Streams};
use super::usage::{Spent, Usage};
use crate::compose::{COMPOSE_FILE, ROLE_LABEL};
use crate::engine::{self, Engine};
use crate::exercise::Seed;
use crate::exit::Owner;

/// Below so many bytes the engine's disk counts as full.
const FULL: u64 = 256 << 20;
/// The most of a service's log that is kept.
const LOG_LIMIT: usize = 256 * 1024;
/// The most of a command's output that is kept.
pub(super) const OUTPUT_LIMIT: usize = 64 * 1024;
/// The most that a command may say: passing it on keeps the engine busy, and so what measures the submission.
pub(super) const OUTPUT_MOST: usize = 4 << 20;

/// How long after its streams a command may take to end, and how often that is looked at.
const EXEC_ENDS: Duration = Duration::from_secs(2);
const EXEC_LOOK: Duration = Duration::from_millis(20);

/// How many seconds services have to stop.
const GRACE: i32 = 5;
/// How often the engine is asked while something is waited for.
const LOOK: Duration = Duration::from_millis(200);

/// Why an environment does not do what it should.
#[derive(Debug, thiserror::Error)]
pub enum EnvironmentError {
    /// A command failed.
    #[error("`{command}` failed:\n{output}")]
    Command {
        /// Its first words.
        command: String,
        /// The end of what it said.
        output: String,
        /// Whose fault it is.
        owner: Owner,
    },
    /// The engine's API failed.
    #[error("the container engine: {0}")]
    Api(#[from] bollard::errors::Error),
    /// The cluster's API failed.
    #[error("the cluster: {0}")]
    Kubernetes(#[from] kube::Error),
    /// The file that says how to reach a cluster cannot be used.
    #[error("`{}`: {source}; `harness start` writes it", path.display())]
    Kubeconfig {
        /// The file.
        path: PathBuf,
        /// Why.
        source: kube::config::KubeconfigError,
    },
    /// The folder of leases cannot be read or written.
    #[error("leases: {0}")]
    Leases(std::io::Error),
    /// An archive could not be made in memory.
    #[error("an archive: {0}")]
    Archive(std::io::Error),
}

impl EnvironmentError {
    /// Whose error it is.
    pub fn owner(&self) -> Owner {
        match self {
            Self::Command { owner, .. } => *owner,
            Self::Api(_) | Self::Kubernetes(_) | Self::Kubeconfig { .. } => Owner::Engine,
            Self::Leases(_) | Self::Archive(_) => Owner::Grader,
        }
    }
}

/// Why nothing was read from a service.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Unread {
    /// There is more than is read.
    #[error("it is more than {0} MiB")]
    TooMuch(usize),
    /// The command failed.
    #[error("{0}")]
    Failed(String),
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
    /// It will not happen, however long one waits.
    Impossible {
        /// Why.
        why: String,
        /// Whose that is.
        owner: Owner,
    },
}

impl<T> Wait<T> {
    /// The same of what happened.
    pub fn map<U>(self, change: impl FnOnce(T) -> U) -> Wait<U> {
        match self {
            Self::Met(what) => Wait::Met(change(what)),
            Self::Pending { last_seen } => Wait::Pending { last_seen },
            Self::Impossible { why, owner } => Wait::Impossible { why, owner },
        }
    }
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
    /// The exit code of its last end, where it is not running.
    pub exit_code: Option<i64>,
    /// Since when it is not well, RFC 3339; `None` where it is, or where Docker does not tell.
    pub unwell_since: Option<String>,
    /// Its IP addresses in the environment's networks.
    pub addresses: Vec<String>,
    /// Ports: in the container, on the loopback interface.
    pub published: Vec<(u16, u16)>,
}

impl Service {
    /// One of which nothing is known but a word.
    pub(super) fn unknown(name: &str, state: String) -> Self {
        let (name, container) = (name.to_owned(), String::new());
        let (addresses, published) = (Vec::new(), Vec::new());
        Self { name, role: None, container, state, health: None, exit_code: None, unwell_since: None, addresses, published }
    }

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
    pub(super) engine: Engine,
    pub(super) project: String,
    pub(super) lease: String,
    folder: PathBuf,
    /// Whether nothing but our own Compose file is read: no `.env`, no override that lies beside it.
    sealed: bool,
}

impl Docker {
    /// The environment of a Compose project in a folder; nothing is started.
    pub fn new(engine: Engine, project: &str, lease: &str, folder: PathBuf) -> Self {
        Self { engine, project: project.to_owned(), lease: lease.to_owned(), folder, sealed: false }
    }

    /// The same for a folder that holds files of a submission: Compose reads the rendered file and nothing that lies beside it.
    pub fn sealed(engine: Engine, project: &str, lease: &str, folder: PathBuf) -> Self {
        Self { sealed: true, ..Self::new(engine, project, lease, folder) }
    }

    /// Asks the engine whether it is there.
    pub async fn ping(&self) -> Result<(), EnvironmentError> {
        self.engine.api.ping().await?;
        Ok(())
    }

    /// Whether Compose can read the file at all; where it cannot and the engine is well, that is the submission's.
    pub async fn check(&self) -> Result<(), EnvironmentError> {
        match self.compose(&["config", "--quiet"]).await {
            Err(EnvironmentError::Command { command, output, .. }) => {
                self.engine.api.ping().await?;
                Err(EnvironmentError::Command { command, output, owner: Owner::Candidate })
            }
            checked => checked,
        }
    }

    /// Builds the images that the submission brings.
    pub async fn build(&self) -> Result<(), EnvironmentError> {
        self.compose(&["build"]).await
    }

    /// Starts what is not running, builds what is missing or changed first.
    pub async fn up(&self) -> Result<(), EnvironmentError> {
        self.compose(&["up", "--detach", "--build", "--quiet-pull"]).await
    }

    /// Starts some services and nothing that they depend on, from images that there are.
    pub async fn start_only(&self, services: &[String]) -> Result<(), EnvironmentError> {
        let names = services.iter().map(String::as_str);
        let arguments: Vec<&str> = ["up", "--detach", "--no-build", "--no-deps", "--quiet-pull"].into_iter().chain(names).collect();
        self.compose(&arguments).await
    }

    /// Starts services of a submission, as their file says and, if that fails or takes too long, each for itself, again within
    /// the limit: one that cannot start must not keep the others from it. What could not be started is said, and is not an error.
    pub async fn start_each(&self, services: &[String], limit: Duration) -> Result<Vec<String>, EnvironmentError> {
        let names = services.iter().map(String::as_str);
        let arguments: Vec<&str> = ["up", "--detach", "--no-build", "--quiet-pull"].into_iter().chain(names).collect();
        let mut complaints = match timeout(limit, self.compose(&arguments)).await {
            Ok(Ok(())) => return Ok(Vec::new()),
            Ok(Err(error)) => vec![error.to_string()],
            Err(_) => vec![format!("not everything was started within {} s, as one service waits for another", limit.as_secs())],
        };
        let deadline = Instant::now() + limit;
        for service in services {
            match timeout_at(deadline, self.start_only(std::slice::from_ref(service))).await {
                Ok(Ok(())) => {}
                Ok(Err(error)) => complaints.push(format!("`{service}` could not be started: {error}")),
                Err(_) => complaints.push(format!("`{service}` was not started: the others took {} s", limit.as_secs())),
            }
        }
        // Whether it was the engine that failed, and not the submission, is told by the engine.
        self.engine.api.ping().await?;
        Ok(complaints)
    }

    /// Creates services of a submission anew, from images that there are; see [`Docker::start_each`].
    pub async fn recreate(&self, services: &[String], limit: Duration) -> Result<Vec<String>, EnvironmentError> {
        for service in self.services().await?.into_iter().filter(|service| services.contains(&service.name)) {
            let options = RemoveContainerOptionsBuilder::new().force(true).build();
            let removed = self.engine.api.remove_container(&service.container, Some(options)).await;
            // One that is on its way out already is gone by the time its successor is made.
            drop(self.refusable(removed).await?);
        }
        self.start_each(services, limit).await
    }

    async fn compose(&self, arguments: &[&str]) -> Result<(), EnvironmentError> {
        let mut command = self.engine.command();
        command.current_dir(&self.folder).args(["compose", "--progress", "plain", "--project-name", &self.project]);
        if self.sealed {
            command.args(["--file", COMPOSE_FILE, "--env-file", "/dev/null"]);
        }
        command.args(arguments);
        let failed = |output: String, owner| EnvironmentError::Command { command: format!("docker compose {}", arguments.join(" ")), output, owner };
        let output = engine::run(command, None).await.map_err(|error| failed(error.to_string(), Owner::Engine))?;
        if output.status.success() {
            return Ok(());
        }
        // BuildKit names the file and the line when a Dockerfile of the submission is at fault.
        let theirs = String::from_utf8_lossy(&output.stderr).contains("failed to solve") && !self.is_disk_full().await;
        Err(failed(engine::tail(&output.stderr), if theirs { Owner::Candidate } else { Owner::Engine }))
    }

    /// Whether the engine has no room left, as far as this machine can see.
    async fn is_disk_full(&self) -> bool {
        matches!(self.engine.disk().await, Ok((_, Some(free))) if free < FULL)
    }

    /// What the engine says of a container that a submission may have put into any state: `Err` with its words where it refuses,
    /// as long as it still answers.
    pub(super) async fn refusable(&self, done: Result<(), bollard::errors::Error>) -> Result<Result<(), String>, EnvironmentError> {
        match done {
            Ok(()) => Ok(Ok(())),
            Err(bollard::errors::Error::DockerResponseServerError { message, .. }) => {
                self.engine.api.ping().await?;
                Ok(Err(message))
            }
            Err(error) => Err(error.into()),
        }
    }

    /// The container of a service.
    fn container(&self, service: &str) -> String {
        format!("{}-{service}-1", self.project)
    }

    /// Both ends of a trusted program's standard streams. In grading those of the service that runs, from its first byte on; at home, where that one is at
    /// work, those of a second container beside it, which ends with its input or with what guards it.
    pub async fn converse(&self, service: &str) -> Result<Streams, EnvironmentError> {
        if !self.sealed {
            return self.beside(service);
        }
        let options = AttachContainerOptionsBuilder::new().stdin(true).stdout(true).stream(true).logs(true).build();
        let attached = self.engine.api.attach_container(&self.container(service), Some(options)).await?;
        Ok(Streams { input: attached.input, output: Box::pin(attached.output.filter_map(stdout)), guard: Box::new(()) })
    }

    fn beside(&self, service: &str) -> Result<Streams, EnvironmentError> {
        let mut run = self.engine.command();
        run.current_dir(&self.folder).args(["compose", "--progress", "quiet", "--project-name", &self.project, "run", "--rm", "--no-deps", "-T"]);
        // The program is called like its service.
        run.args([service, service]).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null());
        let failed = |why: String| EnvironmentError::Command { command: format!("docker compose run {service}"), output: why, owner: Owner::Engine };
        let mut child = run.process_group(0).kill_on_drop(true).spawn().map_err(|error| failed(error.to_string()))?;
        let (Some(stdin), Some(stdout)) = (child.stdin.take(), child.stdout.take()) else { return Err(failed("it has no streams".to_owned())) };
        Ok(Streams { input: Box::pin(stdin), output: Box::pin(ReaderStream::new(stdout)), guard: Box::new(child) })
    }

    /// What a service says from its first byte on, without an end while it runs.
    #[allow(clippy::unused_async, reason = "it is asked of every environment")]
    pub async fn follow(&self, service: &str) -> Result<Output, EnvironmentError> {
        let options = LogsOptionsBuilder::new().stdout(true).follow(true).build();
        let (api, container) = (self.engine.api.clone(), self.container(service));
        Ok(Box::pin(api.logs(&container, Some(options)).filter_map(stdout)))
    }

    /// Where a service is reached without asking for its name.
    pub async fn address(&self, service: &str) -> Result<Option<String>, EnvironmentError> {
        if !self.sealed {
            // At home it has one that the driver does not reach.
            return Ok(None);
        }
        let found = self.services().await?.into_iter().find(|one| one.name == service);
        Ok(found.and_then(|one| one.addresses.into_iter().next()))
    }

    /// What of a submission runs, or should; its file says in which roles and with which limits.
    pub async fn running(&self, services: &[String]) -> Result<Vec<Running>, EnvironmentError> {
        let all = self.services().await?;
        let addresses = |name: &String| all.iter().find(|one| one.name == *name).map(|one| one.addresses.clone()).unwrap_or_default();
        Ok(services.iter().map(|name| Running { name: name.clone(), role: None, memory_mib: None, addresses: addresses(name) }).collect())
    }

    /// Services of a role: each is a replica, whether it runs or not.
    #[allow(clippy::unused_async, reason = "it is asked of every environment")]
    pub async fn replicas(&self, _: &str, services: &[String]) -> Result<Vec<Replica>, EnvironmentError> {
        Ok(services.iter().map(|name| Replica { name: name.clone(), host: name.clone(), restarts: 0 }).collect())
    }

    /// What services used of the machine's processors since the last look.
    pub async fn spent(&self, usage: &mut Usage, services: &[String]) -> Result<Spent, EnvironmentError> {
        let is = |labels: &HashMap<String, String>, label: &str, value: &str| labels.get(label).is_some_and(|one| one == value);
        let is_ours =
            |labels: &HashMap<String, String>| is(labels, "com.docker.compose.project", &self.project) || is(labels, "modeldown.lease", &self.lease);
        let is_asked = |labels: &HashMap<String, String>| labels.get("com.docker.compose.service").is_some_and(|service| services.contains(service));
        usage.look(&self.engine, is_ours, is_asked).await
    }

    /// Disturbs a service until [`Docker::mend`].
    pub async fn disturb(&self, disturbance: &Disturbance) -> Result<(), EnvironmentError> {
        let container = self.container(&disturbance.target);
        let disturbed = match disturbance.fault {
            // Docker takes this for a stop by hand, and does not start it again.
            Fault::Kill => {
                let options = KillContainerOptionsBuilder::new().signal("SIGKILL").build();
                self.engine.api.kill_container(&container, Some(options)).await
            }
            // It keeps its connections and answers nobody.
            Fault::Pause => self.engine.api.pause_container(&container).await,
        };
        // One that died by itself a moment before is as dead, and answers nobody either.
        self.refusable(disturbed).await.map(drop)
    }

    /// Everything that a service said, the last 256 KiB of it at most.
    pub async fn logs(&self, service: &str) -> Result<Vec<u8>, EnvironmentError> {
        let options = LogsOptionsBuilder::new().stdout(true).stderr(true).tail("2000").build();
        let mut lines = Box::pin(self.engine.api.logs(&self.container(service), Some(options)));
        let mut said = Vec::new();
        while let Some(line) = lines.next().await {
            said.extend_from_slice(&line?.into_bytes());
            // Not with every line: what is kept moves each time.
            let excess = said.len().saturating_sub(LOG_LIMIT);
            if excess > LOG_LIMIT {
                said.drain(..excess);
            }
        }
        let excess = said.len().saturating_sub(LOG_LIMIT);
        said.drain(..excess);
        Ok(said)
    }

    /// Every change of a container's state from now on.
    pub fn transitions(&self) -> impl Stream<Item = Result<Transition, EnvironmentError>> + Send + 'static {
        let project = format!("com.docker.compose.project={}", self.project);
        let filters = HashMap::from([("label", vec![project]), ("type", vec!["container".to_owned()])]);
        let options = EventsOptionsBuilder::new().filters(&filters).build();
        let events = self.engine.api.clone().events(Some(options));
        events.filter_map(async |event| match event {
            Ok(event) => Transition::read(event).map(Ok),
            Err(error) => Some(Err(error.into())),
        })
    }

    /// Kills the process of a service from outside its container, as a crash does: what the engine does about it is the service's
    /// restart policy. (A kill by the engine's API counts as a stop by hand, and switches that policy off.) `tools` is an image of
    /// ours with a shell. One that is dead already has crashed already.
    pub async fn crash(&self, service: &str, tools: &str) -> Result<bool, EnvironmentError> {
        let Some((pid, container)) = self.process(service).await? else { return Ok(false) };
        let mut command = self.engine.command();
        command.args(["run", "--rm", "--pid", "host", "--network", "none", "--user", "0", "--cap-drop", "ALL", "--cap-add", "KILL", "--read-only"]);
        command.args(["--security-opt", "no-new-privileges", "--memory", "32m", "--pids-limit", "16", "--label"]);
        command.arg(format!("modeldown.lease={}", self.lease)).arg(tools);
        // The number may have become another process's meanwhile.
        command.args(["sh", "-c", r#"grep -q "$2" "/proc/$1/cgroup" && kill -KILL "$1""#, "sh"]).arg(pid.to_string()).arg(&container);
        let failed = |output: String| EnvironmentError::Command { command: format!("docker run {tools}"), output, owner: Owner::Grader };
        let output = engine::run(command, None).await.map_err(|error| failed(error.to_string()))?;
        if output.status.success() || self.process(service).await? != Some((pid, container)) {
            return Ok(true);
        }
        Err(failed(engine::tail(&output.stderr)))
    }

    /// The id that a service's first process has on the host, and its container's; `None` where it does not run.
    async fn process(&self, service: &str) -> Result<Option<(i64, String)>, EnvironmentError> {
        let container = match self.engine.api.inspect_container(&self.container(service), None::<InspectContainerOptions>).await {
            Ok(container) => container,
            Err(error) => return self.refusable(Err(error)).await.map(|_| None),
        };
        let pid = container.state.and_then(|state| state.pid).filter(|pid| *pid > 0);
        Ok(pid.zip(container.id))
    }

    /// Ends a disturbance; says why the engine could not, where the submission is what keeps it from it.
    pub async fn mend(&self, disturbance: &Disturbance) -> Result<Result<(), String>, EnvironmentError> {
        let container = self.container(&disturbance.target);
        let mended = match disturbance.fault {
            Fault::Kill => self.engine.api.start_container(&container, None::<StartContainerOptions>).await,
            Fault::Pause => self.engine.api.unpause_container(&container).await,
        };
        self.refusable(mended).await
    }

    /// Writes a file into a folder of a service; says why the engine could not, where the submission is what keeps it from it.
    pub async fn put(&self, service: &str, folder: &str, file: &str, content: &[u8]) -> Result<Result<(), String>, EnvironmentError> {
        let options = UploadToContainerOptionsBuilder::new().path(folder).build();
        let body = bollard::body_full(archive(file, content).map_err(EnvironmentError::Archive)?.into());
        let put = self.engine.api.upload_to_container(&self.container(service), Some(options), body).await;
        self.refusable(put).await
    }

    /// Runs a command in a service of a submission and says how it ended, with the end of its output. `None` for a command that was
    /// not over in time, or said more than 4 MiB: its service is started anew, so that nothing of it goes on. `Err` with the engine's words where it could not
    /// be run at all.
    pub async fn exec(&self, service: &str, command: &[String], limit: Duration) -> Result<Result<Option<(i64, String)>, String>, EnvironmentError> {
        let api = &self.engine.api;
        let container = self.container(service);
        let config = ExecConfig { cmd: Some(command.to_vec()), attach_stdout: Some(true), attach_stderr: Some(true), ..Default::default() };
        let created = match api.create_exec(&container, config).await {
            Ok(created) => created,
            Err(error) => return Ok(self.refusable(Err(error)).await?.map(|()| None)),
        };
        let started = match api.start_exec(&created.id, None::<StartExecOptions>).await {
            Ok(StartExecResults::Attached { output, .. }) => output,
            Ok(StartExecResults::Detached) => return Ok(Err("the engine did not attach to the command".to_owned())),
            Err(error) => return Ok(self.refusable(Err(error)).await?.map(|()| None)),
        };
        let (mut said, mut most) = (Vec::new(), OUTPUT_MOST);
        let read = async {
            let mut output = started;
            while let Some(Ok(line)) = output.next().await {
                let line = line.into_bytes();
                most = most.saturating_sub(line.len());
                said.extend_from_slice(&line);
                let excess = said.len().saturating_sub(OUTPUT_LIMIT);
                said.drain(..excess);
                if most == 0 {
                    return;
                }
            }
        };
        if timeout(limit, read).await.is_err() || most == 0 {
            return self.break_off(&container).await;
        }
        // Engines close the streams a moment before they know the exit code; who closes them and goes on is not over.
        let deadline = Instant::now() + EXEC_ENDS;
        let ended = loop {
            match api.inspect_exec(&created.id).await {
                Ok(ended) if ended.running != Some(true) => break ended.exit_code,
                Ok(_) if Instant::now() > deadline => return self.break_off(&container).await,
                Ok(_) => sleep(EXEC_LOOK).await,
                Err(error) => {
                    drop(self.refusable(Err(error)).await?);
                    break None;
                }
            }
        };
        // A container that died under its command takes the exit code with it, and on some engines the command too.
        Ok(Ok(Some((ended.unwrap_or(137), String::from_utf8_lossy(&said).into_owned()))))
    }

    /// Runs a command in a service of ours and returns all that it writes to stdout, up to a limit in bytes; `Err` says why there is
    /// nothing.
    pub async fn read(&self, service: &str, command: &[&str], limit: usize) -> Result<Result<Vec<u8>, Unread>, EnvironmentError> {
        let api = &self.engine.api;
        let cmd = Some(command.iter().map(|word| (*word).to_owned()).collect());
        let config = ExecConfig { cmd, attach_stdout: Some(true), attach_stderr: Some(true), ..Default::default() };
        let created = match api.create_exec(&self.container(service), config).await {
            Ok(created) => created,
            Err(error) => return Ok(self.refusable(Err(error)).await?.map(|()| Vec::new()).map_err(Unread::Failed)),
        };
        let StartExecResults::Attached { mut output, .. } = api.start_exec(&created.id, None::<StartExecOptions>).await? else {
            return Ok(Err(Unread::Failed("the engine did not attach to the command".to_owned())));
        };
        let (mut content, mut complaint) = (Vec::new(), Vec::new());
        while let Some(piece) = output.next().await {
            match piece? {
                LogOutput::StdErr { message } => complaint.extend_from_slice(&message[..message.len().min(OUTPUT_LIMIT)]),
                piece => content.extend_from_slice(&piece.into_bytes()),
            }
            if content.len() > limit {
                return Ok(Err(Unread::TooMuch(limit >> 20)));
            }
        }
        // Engines close the streams a moment before they know the exit code.
        let deadline = Instant::now() + EXEC_ENDS;
        loop {
            let ended = api.inspect_exec(&created.id).await?;
            match ended.exit_code {
                Some(0) => return Ok(Ok(content)),
                Some(_) => return Ok(Err(Unread::Failed(engine::tail(&complaint)))),
                None if Instant::now() > deadline => return Ok(Err(Unread::Failed("it did not end".to_owned()))),
                None => sleep(EXEC_LOOK).await,
            }
        }
    }

    /// Whether a service was ended because it used more memory than its limit.
    pub async fn ran_out_of_memory(&self, service: &str) -> Result<bool, EnvironmentError> {
        let inspected = self.engine.api.inspect_container(&self.container(service), None::<InspectContainerOptions>).await?;
        Ok(inspected.state.and_then(|state| state.oom_killed) == Some(true))
    }

    /// Ends a command that is not over with its service, which is started anew.
    async fn break_off(&self, container: &str) -> Result<Result<Option<(i64, String)>, String>, EnvironmentError> {
        let options = RestartContainerOptionsBuilder::new().t(0).build();
        drop(self.refusable(self.engine.api.restart_container(container, Some(options)).await).await?);
        Ok(Ok(None))
    }

    /// Stops services of a submission and starts them again, each for itself, as a machine does that boots; says what could not be.
    pub async fn restart(&self, services: &[String], grace_seconds: i32) -> Result<Vec<String>, EnvironmentError> {
        let running: Vec<Service> = self.services().await?.into_iter().filter(|service| services.contains(&service.name)).collect();
        let stopped = self.stop_all(&running, grace_seconds).await;
        let mut complaints = Vec::new();
        if let Err(EnvironmentError::Api(error)) = stopped {
            complaints.extend(self.refusable(Err(error)).await?.err());
        }
        // One after the other: engines of 20.10 lose count of a network's endpoints when many containers join it at once, and then never
        // let go of the network.
        for service in &running {
            let started = self.engine.api.start_container(&service.container, None::<StartContainerOptions>).await;
            if let Err(why) = self.refusable(started).await? {
                complaints.push(format!("`{}` could not be started again: {why}", service.name));
            }
        }
        Ok(complaints)
    }

    /// Ends services of a submission at once; what will not end is no error.
    pub async fn halt(&self, services: &[String]) -> Result<(), EnvironmentError> {
        let running: Vec<Service> = self.services().await?.into_iter().filter(|service| services.contains(&service.name)).collect();
        match self.stop_all(&running, 0).await {
            Err(EnvironmentError::Api(error)) => self.refusable(Err(error)).await.map(drop),
            halted => halted,
        }
    }

    /// Stops every container, all at once, and keeps them.
    pub async fn stop(&self) -> Result<(), EnvironmentError> {
        self.stop_all(&self.services().await?, GRACE).await
    }

    async fn stop_all(&self, services: &[Service], grace_seconds: i32) -> Result<(), EnvironmentError> {
        let stop = |container: String| async move {
            let options = StopContainerOptionsBuilder::new().t(grace_seconds).build();
            self.engine.api.stop_container(&container, Some(options)).await
        };
        let stopped = join_all(services.iter().filter(|service| service.state != "exited").map(|service| stop(service.container.clone()))).await;
        // One that stopped by itself meanwhile is what was wanted.
        stopped
            .into_iter()
            .find(|one| !matches!(one, Ok(()) | Err(bollard::errors::Error::DockerResponseServerError { status_code: 304 | 404, .. })))
            .map_or(Ok(()), |one| Ok(one?))
    }

    /// Every container of the environment.
    pub async fn services(&self) -> Result<Vec<Service>, EnvironmentError> {
        let filters = HashMap::from([("label", vec![format!("com.docker.compose.project={}", self.project)])]);
        let options = ListContainersOptionsBuilder::new().all(true).filters(&filters).build();
        let mut services = Vec::new();
        for container in self.engine.api.list_containers(Some(options)).await? {
            let labels = container.labels.unwrap_or_default();
            let id = container.id.unwrap_or_default();
            let state = match self.engine.api.inspect_container(&id, None::<InspectContainerOptions>).await {
                Ok(inspected) => inspected.state.unwrap_or_default(),
                // It went away a moment ago.
                Err(bollard::errors::Error::DockerResponseServerError { status_code: 404, .. }) => continue,
                Err(error) => return Err(error.into()),
            };
            let unwell_since = unwell_since(&state);
            let health = state.health.and_then(|health| health.status).map(|status| status.to_string()).filter(|status| status != "none");
            let state_word = state.status.map(|status| status.to_string()).unwrap_or_default();
            let networks = container.network_settings.and_then(|settings| settings.networks).unwrap_or_default();
            let addresses = networks.into_values().filter_map(|network| network.ip_address).filter(|address| !address.is_empty());
            let ports = container.ports.unwrap_or_default().into_iter();
            services.push(Service {
                name: labels.get("com.docker.compose.service").cloned().unwrap_or_default(),
                role: labels.get(ROLE_LABEL).cloned(),
                exit_code: state.exit_code.filter(|_| matches!(state_word.as_str(), "exited" | "restarting")),
                unwell_since,
                container: id,
                state: state_word,
                addresses: addresses.collect(),
                health: health.filter(|status| !status.is_empty()),
                published: ports.filter_map(|port| Some((port.private_port, port.public_port?))).collect(),
            });
        }
        services.sort_by(|a, b| a.name.cmp(&b.name));
        Ok(services)
    }

    /// Waits until every service is well or will not become so by waiting.
    pub async fn wait_quiet(&self, limit: Duration) -> Result<Wait<Vec<Service>>, EnvironmentError> {
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
}

/// Since when a container is not well: when it ended, when it was started and has not got ready since, or when its health check began
/// to fail. Docker keeps the last few checks only; before them it is reckoned back from their distance.
fn unwell_since(state: &ContainerState) -> Option<String> {
    if state.running != Some(true) || state.restarting == Some(true) {
        return state.finished_at.clone();
    }
    let health = state.health.as_ref()?;
    match health.status? {
        HealthStatusEnum::STARTING => state.started_at.clone(),
        HealthStatusEnum::UNHEALTHY => {
            let streak = usize::try_from(health.failing_streak?).ok()?;
            let starts: Vec<jiff::Timestamp> = health.log.iter().flatten().filter_map(|check| check.start.as_ref()?.parse().ok()).collect();
            let (first, last) = (*starts.first()?, *starts.last()?);
            let Some(before) = streak.checked_sub(starts.len()) else { return Some(starts[starts.len() - streak].to_string()) };
            let gaps = i32::try_from(starts.len().saturating_sub(1).max(1)).ok()?;
            let earlier = last.duration_since(first) / gaps * i32::try_from(before).ok()?;
            first.checked_sub(earlier).ok().map(|since| since.to_string())
        }
        _ => None,
    }
}

/// What a service is told.
pub type Input = Pin<Box<dyn AsyncWrite + Send>>;
/// What a service says, in pieces.
pub type Output = Pin<Box<dyn Stream<Item = std::io::Result<Bytes>> + Send>>;

/// A file as the archive that engines unpack.
fn archive(file: &str, content: &[u8]) -> std::io::Result<Vec<u8>> {
    let mut header = tar::Header::new_gnu();
    header.set_size(content.len() as u64);
    header.set_mode(0o644);
    let mut archive = tar::Builder::new(Vec::new());
    archive.append_data(&mut header, file, content)?;
    archive.into_inner()
}

async fn stdout(piece: Result<LogOutput, bollard::errors::Error>) -> Option<std::io::Result<Bytes>> {
    match piece {
        Ok(LogOutput::StdOut { message } | LogOutput::Console { message }) => Some(Ok(message)),
        Ok(_) => None,
        Err(error) => Some(Err(std::io::Error::other(error))),
    }
}

/// A fault that is held until [`Docker::mend`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Disturbance {
    /// Its kind.
    pub fault: Fault,
    /// The service that it hits, or the pod.
    pub target: String,
}

/// What can be done to a container.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// It is dead.
    Kill,
    /// It is paused.
    Pause,
}

impl Fault {
    /// Its name, as histories have it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Kill => "kill",
            Self::Pause => "pause",
        }
    }
}

/// A change of a container's state.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Transition {
    /// The Compose service.
    pub service: String,
    /// Its role, if it has one.
    pub role: Option<String>,
    /// Docker's word: `start`, `die`, `oom`, `health_status: unhealthy`, ...
    pub action: String,
    /// The exit code, when it died.
    pub exit_code: Option<i64>,
}

impl Transition {
    /// The change that an event tells of; running a health check changes nothing.
    fn read(event: EventMessage) -> Option<Self> {
        let action =
            event.action.filter(|action| !action.starts_with("exec_") && !matches!(action.as_str(), "attach" | "archive-path" | "extract-to-dir"))?;
        let mut attributes = event.actor?.attributes?;
        let exit_code = attributes.get("exitCode").and_then(|code| code.parse().ok());
        Some(Self { service: attributes.remove("com.docker.compose.service")?, role: attributes.remove(ROLE_LABEL), action, exit_code })
    }
}

/// What is run once, in a container of its own.
#[derive(Debug)]
pub struct Once<'a> {
    /// The image.
    pub image: &'a str,
    /// Its memory limit in MiB.
    pub memory_mib: u64,
    /// The command, where it is not the image's own.
    pub command: &'a [&'a str],
}

/// How something that was run once ended.
#[derive(Debug)]
pub struct Ran {
    /// Its exit code, and what it said.
    pub output: std::process::Output,
    /// Whether it was killed because it used more memory than its limit.
    pub out_of_memory: bool,
}

/// Runs an image once under a lease, without a network: input on stdin, and how it ended with what it said.
pub async fn run_once(engine: &Engine, lease: &str, once: &Once<'_>, input: &[u8]) -> Result<Ran, EnvironmentError> {
    let name = format!("modeldown-once-{}", Seed::fresh());
    let mut command = engine.command();
    command.args(["run", "--name", &name, "--interactive", "--network", "none", "--cap-drop", "ALL", "--read-only", "--tmpfs", "/tmp"]);
    command.args(["--security-opt", "no-new-privileges", "--pids-limit", "256", "--memory"]).arg(format!("{}m", once.memory_mib));
    command.arg("--label").arg(format!("modeldown.lease={lease}")).arg(once.image).args(once.command);
    let failed = |output: String| EnvironmentError::Command { command: format!("docker run {}", once.image), output, owner: Owner::Grader };
    let output = engine::run(command, Some(input)).await.map_err(|error| failed(error.to_string()))?;
    let state = engine.api.inspect_container(&name, None::<InspectContainerOptions>).await.ok().and_then(|container| container.state);
    let force = RemoveContainerOptionsBuilder::new().force(true).build();
    // One that never came to be need not go; else the lease's sweep finds it.
    drop(engine.api.remove_container(&name, Some(force)).await);
    Ok(Ran { output, out_of_memory: state.and_then(|state| state.oom_killed) == Some(true) })
}
