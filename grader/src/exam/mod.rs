//! Holding an exam: a submission is built, started where nothing else reaches it, driven through the phases of `exam.yaml`,
//! and everything that happens is recorded. Nothing is judged here.

mod answer;
mod clock;
mod cluster;
mod conductor;
mod driver;
mod machine;
mod pager;
mod plan;
mod platform;
mod recording;
mod releases;
mod replicas;
mod ring;
mod submitted;
mod survey;

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use ::platform::protocol::{Command, Request};
use futures_util::StreamExt;
use futures_util::stream::BoxStream;
use harness::compose::{Images, render};
use harness::engine::Engine;
use harness::environment::{Docker, Environment, EnvironmentError, Foundation, Lease, Once, Record, Running, Streams, Transition, Wait, run_once};
use harness::exercise::{Diagnosed, Exercise, Files, Population, Row, Seed, accounts, request_body, rows};
use harness::exit::Owner;
use harness::progress::Progress;
use harness::submission::{Submission, SubmissionError, write_files};
use harness::vetted::Vetted;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, timeout_at};

use self::platform::{Artifact, Platform};
use crate::history::{HistoryError, Manifest, Monitoring, Recorder, Rules, What};
use clock::Clock;
use conductor::{Conductor, get};
use driver::{Driver, Seen};
use replicas::Heirs;
use submitted::Submitted;

pub use recording::MONITORED;

pub use plan::{
    Blemish, Condition, Deployed, Digest, Exam, FeatureFault, HEALTHY_SECONDS, Incident, Phase, QUIET, Quiet, Receiver, Replay, Shows, Step,
};

/// How long the driver may take to answer what is in flight when the exam is over.
const GOODBYE: Duration = Duration::from_secs(20);
/// How often the canary and the scrape targets are looked at, in milliseconds.
const WATCH_CANARY_MS: u64 = 200;
const WATCH_TARGETS_MS: u64 = 1_000;

/// The most changes of containers' states that are recorded: a submission that flaps must not make a history that nobody can read.
const MOST_TRANSITIONS: u32 = 5_000;

/// The most memory that the oracle may use, in MiB.
const ORACLE_MIB: u64 = 512;

/// The trusted services that an exam cannot do without.
const PAGER: &str = "pager";
const DRIVER: &str = "driver";

/// What a replay needs of a submission's files. An exam keeps it beside its recording, which others may be replayed on as well.
pub fn monitoring(vetted: &Vetted, exercise: &Exercise) -> Monitoring {
    recording::monitoring(&vetted.files(&exercise.manifest), exercise, &Submitted::new(vetted, exercise))
}

/// Why an exam was not held, or not to its end.
#[derive(Debug, thiserror::Error)]
pub enum ExamError {
    /// The environment failed.
    #[error(transparent)]
    Environment(#[from] EnvironmentError),
    /// The history cannot be written.
    #[error(transparent)]
    History(#[from] HistoryError),
    /// The environment's files cannot be written.
    #[error(transparent)]
    Files(#[from] SubmissionError),
    /// The driver failed.
    #[error("the driver: {0}")]
    Driver(String),
    /// A service of the platform did not do what it was asked for, though it runs: a submission may keep it from it.
    #[error("a service of the platform: {0}")]
    Platform(String),
    /// A service of the platform died.
    #[error("a service of the platform: {0}")]
    Died(String),
    /// The machine did what no exam can stand.
    #[error("the machine: {0}")]
    Machine(String),
    /// The oracle did not say what the models answer.
    #[error("the oracle: {0}")]
    Oracle(String),
}

impl ExamError {
    fn driver(why: impl std::fmt::Display) -> Self {
        Self::Driver(why.to_string())
    }

    fn platform(why: impl std::fmt::Display) -> Self {
        Self::Platform(why.to_string())
    }

    /// Whose error it is. Only a build that fails is the submission's: everything else that it does is measured.
    pub fn owner(&self) -> Owner {
        match self {
            Self::Environment(error) => error.owner(),
            _ => Owner::Grader,
        }
    }
}

/// What an exam is held with.
pub struct Hall<'a> {
    /// The engine.
    pub engine: &'a Engine,
    /// The exercise.
    pub exercise: &'a Exercise,
    /// Its `exam.yaml`, parsed.
    pub exam: &'a Exam,
    /// The submission.
    pub vetted: &'a Vetted,
    /// Those of its files that are executable.
    pub executable: &'a BTreeSet<String>,
    /// What it says of the day before, where the exercise asks for that.
    pub diagnosed: Vec<Diagnosed>,
    /// Exact image tags by alias.
    pub images: &'a Images,
    /// What a cluster's nodes are made of; nothing where there is none.
    pub node: &'a str,
    /// The lease that everything belongs to.
    pub lease: &'a Lease,
    /// The name under which this installation owns resources.
    pub owner: &'a str,
    /// Where rows and targets are drawn from.
    pub seed: Seed,
    /// Where progress is told.
    pub progress: &'a Progress,
}

impl Hall<'_> {
    /// Holds the exam and writes the history into a folder that does not exist yet, and every service's log beside it.
    ///
    /// An error before the first event means that there is no history. A fault after it is in the history, and returned: what was
    /// recorded by then can be judged.
    pub async fn hold(&self, manifest: &Manifest, history: &Path, logs: &Path) -> Result<Option<ExamError>, ExamError> {
        let token = Seed::fresh().to_string();
        self.progress.step("asking the oracle");
        let drawn = draw(self.exercise, self.exam, &self.seed);
        let artifacts = oracle(self.engine, &self.lease.record.id, self.exercise, self.images, &drawn).await?;
        // The trusted services come first, so that what fails after them is the submission's.
        let environment = self.trusted(&token).await?;
        self.progress.step("starting the submission");
        let files = self.vetted.files(&self.exercise.manifest);
        let submitted = Submitted::new(self.vetted, self.exercise);
        let clock = Clock::start();
        let rules = Rules { exam: &self.exercise.exam.text, checks: &self.exercise.checks.text, requirements: &self.exercise.requirements };
        let (recorder, writing) = Recorder::begin(history, manifest, &rules, move || clock.now_ns())?;
        if !self.diagnosed.is_empty() {
            recorder.record(What::Diagnosed { facts: self.diagnosed.clone() }).await?;
        }
        let streams = environment.converse(DRIVER).await?;
        let sitting = Sitting {
            exercise: self.exercise,
            exam: self.exam,
            files: &files,
            submitted: &submitted,
            environment: &environment,
            images: self.images,
            artifacts: &artifacts,
            rows: &drawn,
            seed: &self.seed,
            token: Some(token),
            history: self.exam.replay.is_some().then_some(history),
            logs: Some(logs),
            progress: self.progress,
        };
        let held = sitting.record(streams, clock, &recorder).await;
        if let Err(error) = &held {
            // Where the history itself is what failed, the writer says why.
            recorder.record(What::GraderFault { message: error.to_string() }).await.ok();
        }
        drop(recorder);
        if let Err(error) = writing.finish().await {
            return Ok(Some(error.into()));
        }
        self.progress.step("keeping the logs");
        keep_logs(&environment, sitting.logged(), Some(logs)).await;
        Ok(held.err())
    }

    /// An environment in which the trusted services run, and whatever the submission needs before it can be started is there.
    async fn trusted(&self, token: &str) -> Result<Environment, ExamError> {
        let record = &self.lease.record;
        let manifest = &self.exercise.manifest;
        match self.vetted {
            Vetted::Compose(vetted) => {
                let rendered = render(vetted, manifest, self.images, &self.lease.ownership(self.owner), token);
                write_files(&Submission { files: rendered.files, executable: self.executable.clone() }, &record.folder)?;
                let docker = Docker::sealed(self.engine.clone(), &record.project, &record.id, record.folder.clone());
                self.progress.step("building the submission");
                docker.check().await?;
                docker.build().await?;
                docker.start_only(&manifest.platform.keys().cloned().collect::<Vec<_>>()).await?;
                Ok(Environment::Docker(docker))
            }
            Vetted::Manifests(vetted) => {
                let graded = vetted.graded(manifest, token);
                let (engine, images, node) = (self.engine, self.images, self.node);
                let foundation = Foundation { engine, manifest, images, node, lease: self.lease, owner: self.owner, progress: self.progress };
                Ok(Environment::Kind(foundation.cluster(&graded.platform).await?.with(graded.submitted)))
            }
        }
    }
}

/// A short exam at home: without faults, in a candidate's own environment, which runs.
pub struct Rehearsal<'a> {
    /// The engine.
    pub engine: &'a Engine,
    /// The exercise.
    pub exercise: &'a Exercise,
    /// Its exam, cut [for home](Exam::at_home).
    pub exam: &'a Exam,
    /// The workspace.
    pub vetted: &'a Vetted,
    /// Exact image tags by alias.
    pub images: &'a Images,
    /// The candidate's lease.
    pub lease: &'a Record,
    /// Where progress is told.
    pub progress: &'a Progress,
}

impl Rehearsal<'_> {
    /// Holds the short exam and writes its history into a folder that does not exist yet.
    pub async fn hold(&self, manifest: &Manifest, history: &Path) -> Result<(), ExamError> {
        let seed = Seed::fresh();
        self.progress.step("asking the oracle");
        let drawn = draw(self.exercise, self.exam, &seed);
        let artifacts = oracle(self.engine, &self.lease.id, self.exercise, self.images, &drawn).await?;
        let environment = Environment::of(self.engine.clone(), self.lease);
        let files = self.vetted.files(&self.exercise.manifest);
        let submitted = Submitted::new(self.vetted, self.exercise);
        let clock = Clock::start();
        let rules = Rules { exam: &self.exercise.exam.text, checks: &self.exercise.checks.text, requirements: &self.exercise.requirements };
        let (recorder, writing) = Recorder::begin(history, manifest, &rules, move || clock.now_ns())?;
        let streams = environment.converse(DRIVER).await?;
        let sitting = Sitting {
            exercise: self.exercise,
            exam: self.exam,
            files: &files,
            submitted: &submitted,
            environment: &environment,
            images: self.images,
            artifacts: &artifacts,
            rows: &drawn,
            seed: &seed,
            token: None,
            history: None,
            logs: None,
            progress: self.progress,
        };
        let held = sitting.record(streams, clock, &recorder).await;
        drop(recorder);
        writing.finish().await?;
        held
    }
}

/// Every row of an exam: those like training's first, then those that drifted.
fn draw(exercise: &Exercise, exam: &Exam, seed: &Seed) -> Vec<Row> {
    let drawn = |population, count, purpose| rows(&exercise.manifest.inputs, population, count, &mut seed.stream(&exercise.manifest.id, purpose));
    let mut all = drawn(Population::Usual, exam.rows, "rows");
    all.extend(drawn(Population::Drifted, exam.drifted_rows, "drifted rows"));
    all
}

/// What every version of the model answers to the rows, and what it is made of; by the name of its artifact.
async fn oracle(engine: &Engine, lease: &str, exercise: &Exercise, images: &Images, rows: &[Row]) -> Result<BTreeMap<String, Artifact>, ExamError> {
    let models = &exercise.manifest.models;
    let image = images.get(&models.artifacts).unwrap_or(&models.artifacts);
    let features: Vec<&[f64]> = rows.iter().map(|row| row.features.as_slice()).collect();
    let once = Once { image, memory_mib: ORACLE_MIB, command: &[] };
    let ran = run_once(engine, lease, &once, serde_json::json!({ "rows": features }).to_string().as_bytes()).await?.output;
    if !ran.status.success() {
        return Err(ExamError::Oracle(harness::engine::tail(&ran.stderr)));
    }
    let said = ran.stdout;
    let artifacts: BTreeMap<String, Artifact> = serde_json::from_slice(&said).map_err(|error| ExamError::Oracle(error.to_string()))?;
    match artifacts.get(&models.champion) {
        Some(champion) if champion.scores.len() == rows.len() && champion.degraded.len() == rows.len() => Ok(artifacts),
        _ => Err(ExamError::Oracle(format!("it has no scores of the champion, version {}", models.champion))),
    }
}

/// An exam in an environment that runs.
struct Sitting<'a> {
    exercise: &'a Exercise,
    exam: &'a Exam,
    files: &'a Files,
    submitted: &'a Submitted,
    environment: &'a Environment,
    images: &'a Images,
    artifacts: &'a BTreeMap<String, Artifact>,
    rows: &'a [Row],
    seed: &'a Seed,
    token: Option<String>,
    /// The history's folder, where there will be a replay of it.
    history: Option<&'a Path>,
    /// Where every service's log is kept; nowhere at home.
    logs: Option<&'a Path>,
    progress: &'a Progress,
}

impl Sitting<'_> {
    /// Lets the driver of some streams send and ask, walks through the phases, and records all of it.
    async fn record(&self, streams: Streams, clock: Clock, recorder: &Recorder) -> Result<(), ExamError> {
        let environment = self.environment;
        let Streams { input, output, guard: _guard } = streams;
        let (send, seen) = watch::channel(Seen::default());
        // Ended with this function, whatever happens in it.
        let mut listeners = JoinSet::new();
        listeners.spawn(pager::listen(environment.follow(PAGER).await?, recorder.clone(), send.clone()));
        // At home it is the candidate who may start them anew.
        let platform = &self.exercise.manifest.platform;
        // A shadow does what the submission's configuration says, and must not end an exam by it.
        let relied_on = || platform.iter().filter(|(_, service)| service.shadows.is_none()).map(|(name, _)| name.clone());
        let trusted: BTreeSet<String> = self.token.iter().flat_map(|_| relied_on()).collect();
        listeners.spawn(keep_transitions(environment.transitions(), trusted, recorder.clone()));
        // What a candidate wrote at home is theirs.
        let bounded = if self.token.is_some() { self.submitted.names() } else { Vec::new() };
        // What a shadow uses is the submission's doing: it scrapes what it is told to.
        let counted: Vec<String> = bounded.iter().chain(self.shadow()).cloned().collect();
        listeners.spawn(machine::watch(environment.clone(), bounded, counted, recorder.clone()));
        let driver = Driver::open(input, output, clock, answer::Inference::of(self.exercise), recorder.clone(), send.clone()).await?;
        let inputs = &self.exercise.manifest.inputs;
        let steered = Platform { driver: &driver, exercise: self.exercise, token: self.token.clone() };
        steered.accounts(&accounts(inputs, self.rows)).await?;
        // In grading nobody can have moved it yet.
        let moved = if self.token.is_some() { None } else { steered.champion().await? };
        let champion = moved.unwrap_or_else(|| self.exercise.manifest.models.champion.clone());
        self.start(recorder).await?;
        let registered = || self.artifacts.iter().filter_map(|(name, artifact)| Some((name.parse::<u64>().ok()?, artifact)));
        recorder.record(What::Champion { version: champion.clone() }).await?;
        for (version, artifact) in registered() {
            let (scores, degraded) = (artifact.scores.clone(), artifact.degraded.clone());
            recorder.record(What::Expected { version: version.to_string(), scores, degraded }).await?;
        }
        let newest = registered().map(|(version, _)| version).max().unwrap_or(0);
        let sound = registered().map(|(version, _)| version.to_string()).collect();
        let bodies = self.questions();
        driver.tell(&Command::Rows { rows: bodies.clone() }).await?;
        self.watch(&driver).await?;
        let id = &self.exercise.manifest.id;
        let tools = self.exercise.manifest.platform.get(DRIVER).map_or("", |driver| driver.image.as_str());
        let mut conductor = Conductor {
            exam: self.exam,
            commands_took: Duration::ZERO,
            phases: self.exam.order(&mut self.seed.stream(id, "order")),
            exercise: self.exercise,
            files: self.files,
            submitted: self.submitted,
            environment,
            tools: self.images.get(tools).map_or(tools, String::as_str),
            driver: &driver,
            platform: steered,
            artifacts: self.artifacts,
            sound,
            published: registered().map(|(version, artifact)| (version.to_string(), artifact)).collect(),
            served: champion.clone(),
            champion,
            question: bodies.first().cloned().unwrap_or_default(),
            newest,
            recorder,
            seen,
            random: self.seed.stream(id, "targets"),
            hits: BTreeMap::new(),
            progress: self.progress,
            disturbed: false,
            broken_off: false,
        };
        let heirs = Mutex::default();
        self.progress.step("letting the submission settle");
        let work = Box::pin(async {
            conductor.settle().await?;
            conductor.conduct().await?;
            self.keep(clock, &heirs, recorder).await
        });
        let conducted = tokio::select! {
            conducted = work => conducted,
            ended = replicas::watch(environment, self.exercise, self.submitted, &driver, &send, &heirs) => ended.map(|never| match never {}),
            // None of them ends while the environment runs, unless something broke.
            Some(ended) = listeners.join_next() => Err(match ended {
                Ok(Err(error)) => error,
                other => ExamError::driver(format!("a listener ended early: {other:?}")),
            }),
            error = driver.gone() => Err(error),
        };
        drop(conductor);
        if let Err(error) = conducted {
            // Everything hangs on the engine: where it is what died, the first to notice must not be blamed.
            environment.ping().await?;
            return Err(error);
        }
        driver.close(GOODBYE).await?;
        listeners.shutdown().await;
        Ok(())
    }

    /// What users ask, by row.
    fn questions(&self) -> Vec<String> {
        let (inputs, account) = (&self.exercise.manifest.inputs, self.exercise.contract.inference.account.as_deref());
        self.rows.iter().map(|row| request_body(inputs, account, row)).collect()
    }

    /// Every service, ours and the submission's.
    fn logged(&self) -> impl Iterator<Item = String> {
        self.exercise.manifest.platform.keys().cloned().chain(self.submitted.names())
    }

    /// The trusted service that scrapes what the submission's Prometheus does.
    fn shadow(&self) -> Option<&String> {
        self.exercise.manifest.platform.iter().find(|(_, service)| service.shadows.is_some()).map(|(name, _)| name)
    }

    /// Keeps what a replay is made of, where there will be one.
    async fn keep(&self, clock: Clock, heirs: &Mutex<Heirs>, recorder: &Recorder) -> Result<(), ExamError> {
        if let (Some(history), Some(shadow)) = (self.history, self.shadow()) {
            // It has shown what it can, and might keep the shadow from answering.
            keep_logs(self.environment, self.logged(), self.logs).await;
            self.environment.halt(&self.submitted.names()).await?;
            recording::keep_monitoring(history, &recording::monitoring(self.files, self.exercise, self.submitted))?;
            let heirs = heirs.lock().unwrap_or_else(PoisonError::into_inner).clone();
            recording::take(self.environment, shadow, clock, &heirs, recorder, history).await?;
        }
        Ok(())
    }

    /// Starts the submission; at home it runs. The platform was told all that it must know before: whoever keeps it from answering
    /// afterwards keeps it from its own users.
    async fn start(&self, recorder: &Recorder) -> Result<(), ExamError> {
        if self.token.is_some() {
            let limit = Duration::from_secs(self.exam.settle_seconds);
            for text in self.environment.start_each(&self.submitted.names(), limit).await? {
                recorder.record(What::Note { text }).await?;
            }
        }
        Ok(())
    }

    /// Begins to look at what is watched throughout the exam.
    async fn watch(&self, driver: &Driver) -> Result<(), ExamError> {
        let pager = self.exercise.manifest.platform.get(PAGER).and_then(|pager| pager.port).unwrap_or(80);
        // By its address, where there is one: who floods the names' service must not seem to have silenced it.
        let address = self.environment.address(PAGER).await?;
        let request = bare(get(format!("http://{}:{pager}/healthz", address.as_deref().unwrap_or(PAGER)), 1_000));
        driver.tell(&Command::Watch { name: "canary".to_owned(), every_ms: WATCH_CANARY_MS, request }).await?;
        if let Some(prometheus) = self.submitted.host_of("prometheus") {
            let request = get(format!("http://{prometheus}:9090/api/v1/targets?state=active"), 2_000);
            driver.tell(&Command::Watch { name: answer::TARGETS.to_owned(), every_ms: WATCH_TARGETS_MS, request }).await?;
        }
        Ok(())
    }
}

/// The same request, of whose answer only the status is wanted.
fn bare(request: Request) -> Request {
    Request { body_limit: 0, ..request }
}

impl Conductor<'_> {
    /// Gives the submission its time to come up, ends it as soon as users are served, and records what was deployed.
    async fn settle(&mut self) -> Result<(), ExamError> {
        let deadline = Instant::now() + Duration::from_secs(self.exam.settle_seconds);
        let role = self.exercise.contract.ready.role.clone();
        // Whether it came up is what the phases measure.
        self.ready_by(&role, deadline).await.ok();
        let mut request = self.submitted.inference(self.exercise, self.exam.timeout_ms);
        request.body = Some(self.question.clone());
        while Instant::now() < deadline && answer::plain(&self.driver.ask(request.clone()).await?).is_err() {
            // What is refused meanwhile is counted by whoever alerts on it.
            sleep(Duration::from_secs(1)).await;
        }
        let left = deadline.saturating_duration_since(Instant::now());
        if let Wait::Pending { last_seen } | Wait::Impossible { why: last_seen, .. } = self.environment.wait_quiet(left).await? {
            self.recorder.record(What::Note { text: format!("the submission had not settled: {last_seen}") }).await?;
        }
        // Prometheus, if there is one, may not have looked at its targets yet.
        if !self.submitted.of_role("prometheus").is_empty() {
            let looked = |seen: &Seen| seen.watched.get(answer::TARGETS).is_some_and(Result::is_ok);
            timeout_at(deadline, self.seen.wait_for(looked)).await.ok();
        }
        self.deployed().await
    }

    /// Records the services as they were deployed, or their pods, with the addresses that they have now.
    async fn deployed(&self) -> Result<(), ExamError> {
        for running in self.environment.running(&self.submitted.names()).await? {
            self.runs(running).await?;
        }
        Ok(())
    }

    /// Records one of them.
    async fn runs(&self, running: Running) -> Result<(), ExamError> {
        let Running { name, role, memory_mib, addresses } = running;
        let said = self.submitted.services.iter().find(|service| service.service == name);
        let role = role.or_else(|| said.and_then(|service| service.role.clone()));
        let memory_mib = memory_mib.or(said.map(|service| service.memory_mib)).unwrap_or(0);
        self.recorder.record(What::Deployed { service: name, role, memory_mib, addresses }).await?;
        Ok(())
    }
}

/// Records what becomes of containers, until one dies that is trusted.
async fn keep_transitions(
    mut transitions: BoxStream<'static, Result<Transition, EnvironmentError>>,
    trusted: BTreeSet<String>,
    recorder: Recorder,
) -> Result<(), ExamError> {
    let mut count = 0;
    while let Some(transition) = transitions.next().await {
        let change = transition?;
        if change.action == "die" && trusted.contains(&change.service) {
            let code = change.exit_code.map_or_else(|| "unknown".to_owned(), |code| code.to_string());
            return Err(ExamError::Died(format!("`{}` died with exit code {code}", change.service)));
        }
        count += 1;
        if count == MOST_TRANSITIONS {
            let text = format!("containers changed their state {count} times; what came later was not recorded");
            recorder.record(What::Note { text }).await?;
        }
        if count < MOST_TRANSITIONS {
            let what = What::Service { service: change.service, role: change.role, action: change.action, exit_code: change.exit_code };
            recorder.record(what).await?;
        }
    }
    Err(ExamError::Machine("the engine's events ended".to_owned()))
}

/// Keeps what every service said, where that was not kept before. A log that cannot be had is no reason to lose an exam.
async fn keep_logs(environment: &Environment, services: impl Iterator<Item = String>, folder: Option<&Path>) {
    let Some(folder) = folder.filter(|folder| std::fs::create_dir_all(folder).is_ok()) else { return };
    for service in services.filter(|service| service != DRIVER) {
        let file = folder.join(format!("{service}.log"));
        if file.exists() {
            continue;
        }
        if let Ok(said) = environment.logs(&service).await {
            // The same: a full disk was noticed by the history already.
            drop(std::fs::write(file, said));
        }
    }
}
