//! Holding an exam: a submission is built, started where nothing else reaches it, driven through the phases of `exam.yaml`,
//! and everything that happens is recorded. Nothing is judged here.

mod answer;
mod clock;
mod conductor;
mod driver;
mod pager;
mod plan;
mod ring;
mod submitted;

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::time::Duration;

use futures_util::StreamExt;
use harness::compose::{Images, Vetted, render};
use harness::engine::Engine;
use harness::environment::{Docker, EnvironmentError, Lease, Wait, run_once};
use harness::exercise::{Exercise, Seed, request_body, rows};
use harness::exit::Owner;
use harness::progress::Progress;
use harness::submission::{Submission, SubmissionError, write_files};
use platform::protocol::Command;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, timeout_at};

use crate::history::{HistoryError, Manifest, Recorder, Rules, What};
use clock::Clock;
use conductor::{Conductor, get, readiness};
use driver::{Driver, Seen};
use submitted::Submitted;

pub use plan::{Condition, Exam, Phase, Receiver, Step};

/// How long the driver may take to answer what is in flight when the exam is over.
const GOODBYE: Duration = Duration::from_secs(20);
/// How often the canary, the replicas and the scrape targets are looked at, in milliseconds.
const WATCH_CANARY_MS: u64 = 200;
const WATCH_READY_MS: u64 = 500;
const WATCH_TARGETS_MS: u64 = 1_000;

/// The trusted services that an exam cannot do without.
const PAGER: &str = "pager";
const DRIVER: &str = "driver";

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
    /// The oracle did not say what the models answer.
    #[error("the oracle: {0}")]
    Oracle(String),
    /// An archive could not be made in memory.
    #[error("an archive: {0}")]
    Archive(std::io::Error),
}

impl ExamError {
    fn driver(why: impl std::fmt::Display) -> Self {
        Self::Driver(why.to_string())
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
    /// Exact image tags by alias.
    pub images: &'a Images,
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
    /// An error before the first event means that there is no history. A fault after it is in the history: what was recorded
    /// by then can be judged.
    pub async fn hold(&self, manifest: &Manifest, history: &Path, logs: &Path) -> Result<(), ExamError> {
        let record = &self.lease.record;
        let rendered = render(self.vetted, &self.exercise.manifest, self.images, &self.lease.ownership(self.owner));
        write_files(&Submission { files: rendered.files, executable: self.executable.clone() }, &record.folder)?;
        let environment = Docker::sealed(self.engine.clone(), &record.project, &record.id, record.folder.clone());
        self.progress.step("building the submission");
        environment.check().await?;
        environment.build().await?;
        self.progress.step("asking the oracle");
        let drawn = rows(&self.exercise.manifest.inputs, self.exam.rows, &mut self.seed.stream(&self.exercise.manifest.id, "rows"));
        let scores = self.oracle(&drawn).await?;
        self.progress.step("starting the submission");
        // The trusted services come first, so that what fails after them is the submission's.
        environment.start_only(&[DRIVER.to_owned(), PAGER.to_owned()]).await?;
        let submitted = Submitted::new(self.vetted, self.exercise);
        let complaints = environment.start_each(&submitted.names(), Duration::from_secs(self.exam.settle_seconds)).await?;

        let clock = Clock::start();
        let rules = Rules { exam: &self.exercise.exam.text, checks: &self.exercise.checks.text, requirements: &self.exercise.requirements };
        let (recorder, writing) = Recorder::begin(history, manifest, &rules, move || clock.now_ns())?;
        for text in complaints {
            recorder.record(What::Note { text }).await?;
        }
        recorder.record(What::Champion { version: self.exercise.manifest.models.champion.clone() }).await?;
        for (version, scores) in scores {
            recorder.record(What::Expected { version, scores }).await?;
        }
        let held = self.record(&environment, &submitted, &drawn, clock, &recorder).await;
        if let Err(error) = &held {
            recorder.record(What::GraderFault { message: error.to_string() }).await?;
        }
        drop(recorder);
        writing.finish()?;
        self.progress.step("keeping the logs");
        keep_logs(&environment, logs).await;
        Ok(())
    }

    async fn record(
        &self,
        environment: &Docker,
        submitted: &Submitted,
        rows: &[Vec<f64>],
        clock: Clock,
        recorder: &Recorder,
    ) -> Result<(), ExamError> {
        let (send, seen) = watch::channel(Seen::default());
        // Ended with this function, whatever happens in it.
        let mut listeners = JoinSet::new();
        listeners.spawn(pager::listen(environment.follow(PAGER), recorder.clone(), send.clone()));
        let mut transitions = Box::pin(environment.transitions());
        let to = recorder.clone();
        listeners.spawn(async move {
            while let Some(transition) = transitions.next().await {
                let change = transition?;
                to.record(What::Service { service: change.service, role: change.role, action: change.action, exit_code: change.exit_code }).await?;
            }
            Ok(())
        });
        let (input, output) = environment.attach(DRIVER).await?;
        let inference = answer::Inference { output: self.exercise.contract.inference.output.clone() };
        let driver = Driver::open(input, output, clock, inference, recorder.clone(), send).await?;
        let bodies = rows.iter().map(|row| request_body(&self.exercise.manifest.inputs, row)).collect();
        driver.tell(&Command::Rows { rows: bodies }).await?;
        self.watch(&driver, submitted).await?;
        let mut conductor = Conductor {
            exam: self.exam,
            exercise: self.exercise,
            submitted,
            environment,
            driver: &driver,
            recorder,
            seen,
            random: self.seed.stream(&self.exercise.manifest.id, "targets"),
            progress: self.progress,
            disturbed: false,
        };
        self.progress.step("letting the submission settle");
        conductor.settle(rows.first().map(Vec::as_slice).unwrap_or_default()).await?;
        let conducted = tokio::select! {
            conducted = conductor.conduct() => conducted,
            // None of them ends while the environment runs, unless something broke.
            Some(ended) = listeners.join_next() => Err(match ended {
                Ok(Err(error)) => error,
                other => ExamError::driver(format!("a listener ended early: {other:?}")),
            }),
        };
        conducted?;
        driver.close(GOODBYE).await?;
        listeners.shutdown().await;
        Ok(())
    }

    /// What every version of the model answers to the rows.
    async fn oracle(&self, rows: &[Vec<f64>]) -> Result<BTreeMap<String, Vec<f64>>, ExamError> {
        #[derive(serde::Deserialize)]
        struct Answer {
            scores: BTreeMap<String, Vec<f64>>,
        }
        let models = &self.exercise.manifest.models;
        let image = self.images.get(&models.artifacts).unwrap_or(&models.artifacts);
        let asked = serde_json::json!({ "rows": rows }).to_string();
        let said = run_once(self.engine, &self.lease.record.id, image, asked.as_bytes()).await?;
        let Answer { scores } = serde_json::from_slice(&said).map_err(|error| ExamError::Oracle(error.to_string()))?;
        match scores.get(&models.champion) {
            Some(champion) if champion.len() == rows.len() => Ok(scores),
            _ => Err(ExamError::Oracle(format!("it has no scores of the champion, version {}", models.champion))),
        }
    }

    /// Begins to look at what is watched throughout the exam.
    async fn watch(&self, driver: &Driver, submitted: &Submitted) -> Result<(), ExamError> {
        let pager = self.exercise.manifest.platform.get(PAGER).and_then(|pager| pager.port).unwrap_or(80);
        let request = get(format!("http://{PAGER}:{pager}/healthz"), 1_000);
        driver.tell(&Command::Watch { name: "canary".to_owned(), every_ms: WATCH_CANARY_MS, request }).await?;
        for (service, url) in submitted.readiness(self.exercise) {
            driver.tell(&Command::Watch { name: readiness(&service), every_ms: WATCH_READY_MS, request: get(url, 1_000) }).await?;
        }
        for prometheus in submitted.of_role("prometheus") {
            let request = get(format!("http://{prometheus}:9090/api/v1/targets?state=active"), 2_000);
            driver.tell(&Command::Watch { name: answer::TARGETS.to_owned(), every_ms: WATCH_TARGETS_MS, request }).await?;
        }
        Ok(())
    }
}

impl Conductor<'_> {
    /// Gives the submission its time to come up, ends it as soon as users are served, and records what was deployed.
    async fn settle(&mut self, row: &[f64]) -> Result<(), ExamError> {
        let deadline = Instant::now() + Duration::from_secs(self.exam.settle_seconds);
        let role = self.exercise.contract.ready.role.clone();
        // Whether it came up is what the phases measure.
        self.ready_by(&role, deadline).await.ok();
        let mut request = self.submitted.inference(self.exercise, self.exam.timeout_ms);
        request.body = Some(request_body(&self.exercise.manifest.inputs, row));
        while Instant::now() < deadline && answer::plain(&self.driver.ask(request.clone()).await?).is_err() {
            sleep(Duration::from_millis(200)).await;
        }
        let left = deadline.saturating_duration_since(Instant::now());
        if let Wait::Pending { last_seen } = self.environment.wait_settled(left).await? {
            self.recorder.record(What::Note { text: format!("the submission had not settled: {last_seen}") }).await?;
        }
        // Prometheus may not have looked at its targets yet.
        let looked = |seen: &Seen| seen.watched.contains_key(answer::TARGETS);
        timeout_at(deadline, self.seen.wait_for(looked)).await.ok();
        self.deployed().await
    }

    /// Records the services as they were deployed, with the addresses that they have now.
    async fn deployed(&self) -> Result<(), ExamError> {
        let running = self.environment.services().await?;
        for service in &self.submitted.services {
            let addresses = running.iter().find(|one| one.name == service.service).map(|one| one.addresses.clone()).unwrap_or_default();
            let what = What::Deployed { service: service.service.clone(), role: service.role.clone(), memory_mib: service.memory_mib, addresses };
            self.recorder.record(what).await?;
        }
        Ok(())
    }
}

/// Keeps what every service said. A log that cannot be had is no reason to lose an exam.
async fn keep_logs(environment: &Docker, folder: &Path) {
    let Ok(services) = environment.services().await else { return };
    if std::fs::create_dir_all(folder).is_err() {
        return;
    }
    for service in services.into_iter().filter(|service| service.name != DRIVER) {
        if let Ok(said) = environment.logs(&service.name).await {
            // The same: a full disk was noticed by the history already.
            drop(std::fs::write(folder.join(format!("{}.log", service.name)), said));
        }
    }
}
