//! A container engine of a test's own, for what would hurt others: it can be killed, and its disk can be filled. It lives in a network
//! of its own, so that neither its addresses nor its packet filter meet the machine's, and on a small file system of its own. It needs
//! root, and takes its images from the machine's engine.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use harness::engine::Engine;
use harness::exercise::Exercise;
use harness::images::ImageError;
use harness::progress::Progress;
use tempfile::TempDir;

use crate::{lines, model_down, repository, said};

/// Its disk, in bytes; a file with holes.
const DISK: u64 = 6 << 30;
/// The same of one that has nodes of clusters.
const DISK_OF_NODES: u64 = 16 << 30;
/// How many watches of files a machine with nodes of clusters must allow a user.
const WATCHES: u32 = 1_024;
/// How long it may take to start or to end.
const PATIENCE: Duration = Duration::from_mins(1);

/// The engine; it ends, with everything in it, when this is dropped.
pub struct PrivateEngine {
    dir: TempDir,
    daemon: Child,
    options: String,
}

impl PrivateEngine {
    /// Starts one, and gives it the flagship's images.
    ///
    /// # Panics
    /// Where it does not start: without root, `dockerd`, or a file system for it.
    pub fn start() -> Self {
        Self::started(&model_down(), DISK, &[], "")
    }

    /// Starts one that can have nodes of clusters, and gives it an exercise's images, the node's, and the replay program's where the exercise has one.
    ///
    /// # Panics
    /// As [`PrivateEngine::start`].
    pub fn with_nodes(exercise: &Exercise, nodes: &Nodes) -> Self {
        // A node needs more watches of files than systems allow.
        let allowed = std::fs::read_to_string("/proc/sys/fs/inotify/max_user_instances").expect("it is Linux");
        if allowed.trim().parse::<u32>().is_ok_and(|allowed| allowed < WATCHES) {
            run(Command::new("sysctl").args(["--quiet", "--write", &format!("fs.inotify.max_user_instances={WATCHES}")]));
        }
        let runtime = repository().join("tests/kind-node/runc");
        let options = format!("--add-runtime node={} --default-runtime node", runtime.display());
        let more: Vec<String> = replay(exercise).into_iter().chain([nodes.image.clone()]).collect();
        Self::started(exercise, DISK_OF_NODES, &more, if may_do_everything() { "" } else { &options })
    }

    fn started(exercise: &Exercise, bytes: u64, more: &[String], options: &str) -> Self {
        // Short, since a socket's path must be.
        let dir = tempfile::Builder::new().prefix("md").tempdir_in("/tmp").expect("room for temporary files");
        let (disk, data) = (dir.path().join("disk"), dir.path().join("data"));
        File::create(&disk).and_then(|file| file.set_len(bytes)).expect("writable");
        std::fs::create_dir(&data).expect("writable");
        // No blocks are kept for root: a full disk is full for everyone.
        run(Command::new("mkfs.ext4").args(["-q", "-m", "0", "-E", "lazy_itable_init=1"]).arg(&disk));
        run(Command::new("mount").args(["-o", "loop"]).args([&disk, &data]));
        let engine = Self { daemon: daemon(dir.path(), options), dir, options: options.to_owned() };
        engine.wait();
        engine.load(exercise, more);
        engine
    }

    /// A process in its network.
    pub fn process(&self) -> u32 {
        self.daemon.id()
    }

    /// Its address.
    pub fn host(&self) -> String {
        format!("unix://{}", self.dir.path().join("s").display())
    }

    /// Where its data is: a file system of its own.
    pub fn data(&self) -> PathBuf {
        self.dir.path().join("data")
    }

    /// Kills it as a machine's out-of-memory killer does.
    ///
    /// # Panics
    /// Where it is not there.
    pub fn kill(&mut self) {
        self.daemon.kill().expect("it runs");
        self.daemon.wait().expect("it ends");
    }

    /// Starts it again after [`PrivateEngine::kill`].
    pub fn revive(&mut self) {
        self.daemon = daemon(self.dir.path(), &self.options);
        self.wait();
    }

    fn wait(&self) {
        let deadline = Instant::now() + PATIENCE;
        while !self.docker(["info"]).output().is_ok_and(|output| output.status.success()) {
            assert!(Instant::now() < deadline, "{}", std::fs::read_to_string(self.dir.path().join("log")).unwrap_or_default());
            std::thread::sleep(Duration::from_millis(100));
        }
    }

    /// Copies the images from the machine's engine, which makes what it lacks.
    fn load(&self, exercise: &Exercise, more: &[String]) {
        let images = on_the_machine(async |engine| harness::images::ensure(engine, exercise, &Progress::stderr()).await);
        let latest = images.keys().map(|alias| format!("{alias}:latest"));
        let mut save = Command::new("docker")
            .arg("save")
            .args(images.values().cloned().chain(latest).chain(more.iter().cloned()))
            .stdout(Stdio::piped())
            .spawn()
            .expect("docker is there");
        let stream = save.stdout.take().expect("piped");
        let loaded = self.docker(["load", "--quiet"]).stdin(stream).output().expect("docker is there");
        assert!(loaded.status.success() && save.wait().is_ok_and(|saved| saved.success()), "{}", said(&loaded));
    }

    fn docker<const N: usize>(&self, arguments: [&str; N]) -> Command {
        let mut command = Command::new("docker");
        command.env("DOCKER_HOST", self.host()).args(arguments);
        command
    }
}

impl Drop for PrivateEngine {
    fn drop(&mut self) {
        if !matches!(self.daemon.try_wait(), Ok(None)) {
            // Containers outlive an engine that was killed; only an engine can end them.
            self.revive();
        }
        let listed = self.docker(["ps", "--all", "--quiet"]).output();
        for container in listed.map(|listed| crate::lines(&listed)).unwrap_or_default() {
            drop(self.docker(["rm", "--force", &container]).output());
        }
        let id = i32::try_from(self.daemon.id()).ok().and_then(rustix::process::Pid::from_raw);
        if id.is_some_and(|id| rustix::process::kill_process(id, rustix::process::Signal::TERM).is_ok()) {
            drop(self.daemon.wait());
        }
        // Its programs let go of it a moment after it ended.
        let deadline = Instant::now() + PATIENCE;
        while !Command::new("umount").arg(self.data()).output().is_ok_and(|output| output.status.success()) && Instant::now() < deadline {
            std::thread::sleep(Duration::from_millis(100));
        }
    }
}

/// The image of the replay program beside an exercise, if there is one.
fn replay(exercise: &Exercise) -> Option<String> {
    let tag = harness::images::replay_tag(exercise).expect("readable");
    let exercises = exercise.dir.parent().filter(|_| !tag.is_empty())?;
    Some(on_the_machine(async |engine| harness::images::replay(engine, exercises, &Progress::stderr()).await))
}

/// What the machine's own engine makes.
fn on_the_machine<T>(make: impl AsyncFnOnce(&Engine) -> Result<T, ImageError>) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("it starts");
    runtime.block_on(async {
        let engine = Engine::connect().await.expect("the machine has an engine");
        make(&engine).await.expect("it can be made")
    })
}

/// The daemon, in a network namespace of its own, with every path below a folder.
fn daemon(dir: &Path, options: &str) -> Child {
    let log = File::options().create(true).append(true).open(dir.join("log")).expect("writable");
    let dir = dir.display();
    let script = format!(
        "ip link set lo up; exec dockerd --host unix://{dir}/s --data-root {dir}/data --exec-root {dir}/x --pidfile {dir}/pid --storage-driver overlay2 {options}"
    );
    let errors = log.try_clone().expect("it can be");
    let mut command = Command::new("unshare");
    command.args(["--net", "sh", "-c", &script]).stdin(Stdio::null()).stdout(log).stderr(errors);
    command.spawn().expect("unshare is there")
}

/// What nodes of clusters are made of, and the commands that make them, where no registry answers.
pub struct Nodes {
    /// The folder with `kind` and `kubectl`.
    pub folder: PathBuf,
    /// The image, in the machine's engine.
    pub image: String,
}

impl Nodes {
    /// As `tests/kind-node/build` assembles them, unless it has.
    ///
    /// # Panics
    /// Where they cannot be assembled.
    pub fn assembled() -> Self {
        let output = Command::new(repository().join("tests/kind-node/build")).stderr(Stdio::inherit()).output().expect("bash is there");
        assert!(output.status.success(), "{}", said(&output));
        let folder = PathBuf::from(lines(&output).pop().expect("it prints a folder"));
        Self { image: std::fs::read_to_string(folder.join("image")).expect("it is there"), folder }
    }
}

/// Whether this process may give a container every capability.
fn may_do_everything() -> bool {
    /// `CAP_SYS_RESOURCE`, by `capability.h`.
    const BIT: u64 = 1 << 24;
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let bounds = status.lines().find_map(|line| u64::from_str_radix(line.strip_prefix("CapBnd:")?.trim(), 16).ok());
    bounds.is_none_or(|bounds| bounds & BIT != 0)
}

fn run(command: &mut Command) {
    let output = command.output().unwrap_or_else(|error| panic!("{command:?}: {error}"));
    assert!(output.status.success(), "{command:?}: {}", said(&output));
}
