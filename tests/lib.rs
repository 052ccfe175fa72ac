//! What acceptance tests share: the two binaries, a home of their own for every test, the engine as `docker` sees it, exercises
//! with shorter exams, and engines of their own for what would hurt others.

mod engine;
mod short;

use std::ffi::OsStr;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::sync::{Mutex, MutexGuard, Once, PoisonError};

use harness::exercise::{DIAGNOSIS_FILE, Exercise, Files, Key, VARIANT_FILE, Variant, VariantFile, Wanted, day, render_workspace};
use serde_json::Value;
use tempfile::TempDir;

pub use engine::{Nodes, PrivateEngine};
pub use short::{Cut, copy_platform, exercises};

/// One at a time: exams want the machine to themselves.
static MACHINE: Mutex<()> = Mutex::new(());
/// What a home's folder begins with; the number of its test process follows.
const PREFIX: &str = "modeldown-test-";
static SWEPT: Once = Once::new();

/// A home of its own, with leases that no other test sees, and the machine for as long as it lives.
pub struct Home {
    dir: TempDir,
    exercises: PathBuf,
    engine: Option<String>,
    inside: Option<Inside>,
    _machine: MutexGuard<'static, ()>,
}

/// Where commands run that must reach what an engine of its own publishes.
struct Inside {
    /// A process in its network.
    process: u32,
    /// What the `PATH` begins with.
    tools: PathBuf,
}

impl Home {
    /// A new home.
    ///
    /// # Panics
    /// Without room for temporary files.
    pub fn new() -> Self {
        let machine = MACHINE.lock().unwrap_or_else(PoisonError::into_inner);
        SWEPT.call_once(sweep_dead);
        let prefix = format!("{PREFIX}{}-", std::process::id());
        let dir = tempfile::Builder::new().prefix(&prefix).tempdir().expect("room for temporary files");
        Self { dir, exercises: repository().join("exercises"), engine: None, inside: None, _machine: machine }
    }

    /// The same with an exercise whose exam is shorter.
    #[must_use]
    pub fn with_exam(mut self, cut: &[Cut<'_>]) -> Self {
        self.exercises = exercises(&self.path("exercises"), cut);
        self
    }

    /// The same with other exercises.
    #[must_use]
    pub fn with_exercises(mut self, folder: PathBuf) -> Self {
        self.exercises = folder;
        self
    }

    /// The same with another engine, in whose network every command runs, with `kind` and `kubectl` at hand, and a home folder of its own.
    #[must_use]
    pub fn inside(mut self, engine: &PrivateEngine, nodes: &Nodes) -> Self {
        self.inside = Some(Inside { process: engine.process(), tools: nodes.folder.clone() });
        self.on(engine)
    }

    /// The same with another engine.
    #[must_use]
    pub fn on(mut self, engine: &PrivateEngine) -> Self {
        self.engine = Some(engine.host());
        self
    }

    /// The reference as a workspace that nobody started.
    ///
    /// # Panics
    /// Where it cannot be written.
    pub fn reference(&self, edit: impl FnOnce(&mut Files)) -> PathBuf {
        let exercise = Exercise::load(&self.exercises.join("model-down")).expect("the exercise is right");
        let mut files = render_workspace(&exercise, &Variant::reference(), &Key::public()).expect("it renders");
        edit(&mut files);
        let workspace = self.path("work");
        harness::submission::write_files(&files.into(), &workspace).expect("writable");
        workspace
    }

    /// A path in it.
    pub fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// The command `harness`.
    pub fn harness(&self) -> Command {
        self.binary("harness")
    }

    /// The command `grader`.
    pub fn grader(&self) -> Command {
        self.binary("grader")
    }

    fn binary(&self, name: &str) -> Command {
        let mut command = self.command(name);
        command.arg("--exercises").arg(&self.exercises);
        command
    }

    /// One of the two commands, without any option.
    ///
    /// # Panics
    /// Where it was not built.
    pub fn command(&self, name: &str) -> Command {
        self.placed(command_at(self.dir.path(), name))
    }

    /// A program of the machine's, called like our own.
    pub fn tool(&self, name: &str) -> Command {
        self.placed(Command::new(name))
    }

    fn placed(&self, mut command: Command) -> Command {
        if let Some(inside) = &self.inside {
            let mut entering = Command::new("nsenter");
            entering.arg(format!("--net=/proc/{}/ns/net", inside.process)).arg(command.get_program());
            entering.envs(command.get_envs().filter_map(|(name, value)| Some((name, value?)))).current_dir(self.dir.path());
            let path = std::env::var_os("PATH").unwrap_or_default();
            let paths = std::iter::once(inside.tools.clone()).chain(std::env::split_paths(&path));
            entering.env("PATH", std::env::join_paths(paths).expect("none has a colon")).env("HOME", self.path("home"));
            entering.env_remove("MODELDOWN_KEY_FILE").env_remove("KUBECONFIG");
            command = entering;
        }
        if let Some(host) = &self.engine {
            command.env("DOCKER_HOST", host);
        }
        command
    }

    /// Everything of this home's that the engine has: containers, networks, volumes and images. A network alone that the engine does not let go of,
    /// though nothing is in it, is not counted: engines of 20.10 may lose count of its endpoints, and find it again when they are started anew.
    ///
    /// # Panics
    /// Where the engine does not answer.
    pub fn resources(&self) -> Vec<String> {
        if !self.path("state/modeldown/owner").exists() {
            return Vec::new();
        }
        let filter = self.ownership();
        let list = |kind: &[&str]| lines(&self.docker(kind.iter().copied().chain(["--filter", &filter])));
        let mut networks = list(&["network", "ls", "--quiet"]);
        let mut others: Vec<String> =
            [&["ps", "--all", "--quiet"][..], &["volume", "ls", "--quiet"], &["images", "--quiet"]].iter().flat_map(|kind| list(kind)).collect();
        if others.is_empty() {
            networks.retain(|network| !self.is_miscounted(network));
        }
        others.append(&mut networks);
        others
    }

    /// Shows that the engine has nothing of this home's.
    ///
    /// # Panics
    /// Where it has.
    pub fn is_clean(&self) {
        let left = self.resources();
        assert!(left.is_empty(), "{left:?}");
    }

    /// The engine's filter for what is this home's.
    ///
    /// # Panics
    /// Where nothing ever was.
    pub fn ownership(&self) -> String {
        let owner = std::fs::read_to_string(self.path("state/modeldown/owner")).expect("there is one");
        format!("label=modeldown.owner={}", owner.trim())
    }

    /// Whether the engine says of a network in which nothing is that something is in it. (One that it removes when it is asked was left behind.)
    fn is_miscounted(&self, network: &str) -> bool {
        let inside = self.docker(["network", "inspect", "--format", "{{len .Containers}}", network]);
        let mut remove = command_for(self.engine.as_deref());
        lines(&inside) == ["0"] && said(&remove.args(["network", "rm", network]).output().expect("docker is there")).contains("has active endpoints")
    }

    /// What `docker` answers of this home's engine.
    ///
    /// # Panics
    /// Where it fails.
    pub fn docker<S: AsRef<OsStr>>(&self, arguments: impl IntoIterator<Item = S>) -> Output {
        asked(self.engine.as_deref(), arguments)
    }

    /// The container of a service of the exam that runs.
    ///
    /// # Panics
    /// Where there is none.
    pub fn container(&self, service: &str) -> String {
        let owner = self.ownership();
        let service = format!("label=com.docker.compose.service={service}");
        lines(&self.docker(["ps", "--quiet", "--filter", &owner, "--filter", &service])).pop().expect("it runs")
    }

    /// The exact tag of one of our images, which is built where it is missing.
    ///
    /// # Panics
    /// Where it cannot be built.
    pub fn image(&self, name: &str) -> String {
        let image = self.harness().args(["images", name]).output().expect("it runs");
        assert!(image.status.success(), "{}", said(&image));
        lines(&image).pop().expect("it prints a tag")
    }

    /// What `harness status` says of a workspace.
    ///
    /// # Panics
    /// Where there is none.
    pub fn status(&self, workspace: &Path) -> Value {
        let output = self.harness().args(["status", "--json", "--dir"]).arg(workspace).output().expect("it runs");
        assert!(output.status.success(), "{}", said(&output));
        serde_json::from_slice(&output.stdout).expect("it is JSON")
    }
}

impl Default for Home {
    fn default() -> Self {
        Self::new()
    }
}

impl Drop for Home {
    /// Whatever a failed test left running.
    fn drop(&mut self) {
        clean_up(self.dir.path(), || self.harness());
    }
}

/// What a command says that is given something to read.
///
/// # Panics
/// Where it does not start, or does not read.
pub fn fed(command: &mut Command, input: &str) -> Output {
    let mut running = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("it runs");
    running.stdin.take().expect("piped").write_all(input.as_bytes()).expect("it reads");
    running.wait_with_output().expect("it ends")
}

/// One of the two commands with a home, from beside this program.
fn command_at(home: &Path, name: &str) -> Command {
    let here = std::env::current_exe().expect("it has a path");
    let found = here.ancestors().skip(1).take(2).map(|folder| folder.join(name)).find(|path| path.is_file());
    let mut command = Command::new(found.expect("`cargo build --workspace` comes first"));
    command.env("XDG_STATE_HOME", home.join("state")).env_remove("MODELDOWN_KEY_FILE").current_dir(home);
    command
}

/// Ends what the leases in a home hold, by `harness` as called there.
fn clean_up(home: &Path, harness: impl Fn() -> Command) {
    let Ok(entries) = std::fs::read_dir(home.join("state/modeldown/leases")) else { return };
    for entry in entries.flatten() {
        let Ok(text) = std::fs::read_to_string(entry.path()) else { continue };
        let record: Value = serde_json::from_str(&text).unwrap_or_default();
        if let Some(folder) = record["folder"].as_str() {
            drop(harness().args(["stop", "--remove", "--dir", folder]).output());
        }
    }
    drop(harness().arg("gc").output());
}

/// Ends what test processes held that were killed: it would crowd the exams to come.
fn sweep_dead() {
    let Ok(entries) = std::fs::read_dir(std::env::temp_dir()) else { return };
    for home in entries.flatten() {
        let name = home.file_name();
        let process = name.to_str().and_then(|name| name.strip_prefix(PREFIX)?.split('-').next());
        if process.is_some_and(|process| !Path::new("/proc").join(process).exists()) {
            clean_up(&home.path(), || command_at(&home.path(), "harness"));
            drop(std::fs::remove_dir_all(home.path()));
        }
    }
}

/// This repository.
///
/// # Panics
/// Never: this package lies in it.
pub fn repository() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("it lies in the repository")
}

/// The flagship.
///
/// # Panics
/// Where its files are wrong.
pub fn model_down() -> Exercise {
    Exercise::load(&repository().join("exercises/model-down")).expect("the exercise is right")
}

/// What `docker` answers.
///
/// # Panics
/// Where it fails.
pub fn docker<S: AsRef<OsStr>>(arguments: impl IntoIterator<Item = S>) -> Output {
    asked(None, arguments)
}

fn asked<S: AsRef<OsStr>>(host: Option<&str>, arguments: impl IntoIterator<Item = S>) -> Output {
    let output = command_for(host).args(arguments).output().expect("docker is there");
    assert!(output.status.success(), "{}", said(&output));
    output
}

/// The `docker` command for an engine; for the machine's without an address.
fn command_for(host: Option<&str>) -> Command {
    let mut command = Command::new("docker");
    if let Some(host) = host {
        command.env("DOCKER_HOST", host);
    }
    command
}

/// Today, as documents date their figures.
///
/// # Panics
/// Without `date`.
pub fn today() -> String {
    String::from_utf8_lossy(&Command::new("date").arg("+%Y-%m-%d").output().expect("it runs").stdout).trim().to_owned()
}

/// This machine, in the words of documents with figures.
///
/// # Panics
/// Where the engine does not answer.
pub fn machine() -> String {
    harness::engine::machine(&lines(&docker(["version", "--format", "{{.Server.Version}}"])).pop().unwrap_or_default())
}

/// The lines of a command's stdout.
pub fn lines(output: &Output) -> Vec<String> {
    String::from_utf8_lossy(&output.stdout).lines().map(str::to_owned).collect()
}

/// Everything that a command said.
pub fn said(output: &Output) -> String {
    format!("{}\n{}\n{}", output.status, String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

/// Puts the reference's files over a workspace's, with what is right of its own day before: the repair that nobody can dispute.
///
/// # Panics
/// Where they cannot be copied.
pub fn apply_reference(workspace: &Path) {
    copy(&repository().join("exercises/model-down/reference"), workspace);
    let exercise = model_down();
    let content = std::fs::read(workspace.join(VARIANT_FILE)).expect("it is a workspace");
    let variant = VariantFile::read(&content, &Key::public()).expect("it is not sealed").variant(&exercise, &Key::public()).expect("it is one");
    let (_, day) = day(&exercise, &variant, &Key::public()).expect("it can be played").expect("there is one");
    let answers = day.wanted.iter().map(|(fact, wanted)| {
        let answer = match wanted {
            Wanted::Word { right, .. } | Wanted::Metric { right, .. } => right.first().cloned().unwrap_or_default(),
            Wanted::Time { minute, .. } => format!("{:02}:{:02}", minute / 60, minute % 60),
            Wanted::Count { count, .. } => count.to_string(),
        };
        format!("{fact}: {answer:?}\n")
    });
    std::fs::write(workspace.join(DIAGNOSIS_FILE), answers.collect::<String>()).expect("writable");
}

/// Copies a folder.
///
/// # Panics
/// Where it cannot be copied.
pub fn copy(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).expect("writable");
    for entry in std::fs::read_dir(from).expect("readable").flatten() {
        let target = to.join(entry.file_name());
        if entry.path().is_dir() {
            copy(&entry.path(), &target);
        } else {
            std::fs::copy(entry.path(), target).expect("writable");
        }
    }
}

/// A report's checks whose verdict is one word, sorted.
pub fn checks_that(report: &Value, word: &str) -> Vec<String> {
    let checks = report["checks"].as_array().cloned().unwrap_or_default();
    let mut ids: Vec<String> =
        checks.iter().filter(|check| check["word"] == word).filter_map(|check| Some(check["id"].as_str()?.to_owned())).collect();
    ids.sort();
    ids
}
