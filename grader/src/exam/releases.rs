//! Releases: versions are registered under neutral names, and the contract's commands are run in the submission.

use std::time::Duration;

use harness::environment::Kind;
use tokio::time::{Instant, sleep};

use super::conductor::Conductor;
use super::plan::{Deployed, Digest};
use super::{ExamError, answer};
use crate::history::{ReleaseCommand, RequestResult, What};

/// How many answers of the champion in a row mean that it serves: enough to have met every replica.
const IN_A_ROW: u32 = 6;
/// How far above the newest version the one is that nobody registered.
const UNKNOWN: u64 = 40;

impl Conductor<'_> {
    /// Registers a version under the next number.
    pub(super) async fn publish(&mut self, artifact: &str, digest: Digest) -> Result<(), ExamError> {
        let Some(found) = self.artifacts.get(artifact) else {
            let known: Vec<&str> = self.artifacts.keys().map(String::as_str).collect();
            return Err(ExamError::Oracle(format!("it knows no artifact `{artifact}`; known: {}", known.join(", "))));
        };
        self.newest += 1;
        let version = self.newest.to_string();
        self.platform.publish(&version, found, digest).await?;
        let (scores, degraded) = (found.scores.clone(), found.degraded.clone());
        self.record(What::Published { version: version.clone(), artifact: artifact.to_owned(), digest_holds: digest == Digest::Right }).await?;
        if !scores.is_empty() {
            if digest == Digest::Right {
                self.sound.insert(version.clone());
                self.published.insert(version.clone(), found);
            }
            self.record(What::Expected { version, scores, degraded }).await?;
        }
        Ok(())
    }

    /// Runs `deploy`.
    pub(super) async fn deploy(&mut self, version: Deployed) -> Result<(), ExamError> {
        let version = match version {
            Deployed::Latest => self.newest,
            Deployed::Unknown => self.newest + UNKNOWN,
        };
        self.command(ReleaseCommand::Deploy, Some(version.to_string())).await
    }

    /// Runs one of the contract's commands, with the registry's champion before and after it.
    pub(super) async fn command(&mut self, command: ReleaseCommand, version: Option<String>) -> Result<(), ExamError> {
        let Some(release) = &self.exercise.contract.release else { return Ok(()) };
        let mut words = match command {
            ReleaseCommand::Deploy => release.deploy.clone(),
            ReleaseCommand::Rollback => release.rollback.clone(),
            ReleaseCommand::Status => release.status.clone(),
        };
        words.extend(version.clone());
        let Some(runner) = self.submitted.of_role(&release.role).into_iter().next() else { return Ok(()) };
        self.alias().await?;
        self.disturbed = true;
        let began_ns = self.recorder.now_ns();
        // The phase's cap may end this wait too.
        self.broken_off = true;
        let ran = self.environment.exec(&runner, &words, Duration::from_secs(release.within_seconds)).await?;
        self.broken_off = matches!(ran, Ok(None));
        let (exit_code, output) = match ran {
            Ok(Some((code, output))) => (Some(code), output),
            Ok(None) => (None, format!("not over after {} s, or it said more than 4 MiB", release.within_seconds)),
            Err(why) => (None, format!("could not be run: {why}")),
        };
        self.commands_took += Duration::from_nanos(self.recorder.now_ns().saturating_sub(began_ns));
        self.record(What::Command { command, version, began_ns, exit_code, output }).await?;
        self.alias().await
    }

    /// Waits until users are answered by the registry's champion, which must be a version that may be served.
    pub(super) async fn champion_serves_by(&self, deadline: Instant) -> Result<Result<(), String>, ExamError> {
        let mut request = self.submitted.inference(self.exercise, self.exam.timeout_ms);
        request.body = Some(self.question.clone());
        let mut in_a_row = 0;
        loop {
            let champion = self.platform.champion().await?;
            let Some(version) = champion.filter(|version| self.sound.contains(version)) else {
                return Ok(Err("the registry's champion is a version that must not be served".to_owned()));
            };
            let answer = answer::read(&self.driver.ask(request.clone()).await?, &answer::Inference::of(self.exercise));
            let served = match answer {
                RequestResult::Answered { status: 200, version: Some(served), .. } if served == version => {
                    in_a_row += 1;
                    if in_a_row == IN_A_ROW {
                        return Ok(Ok(()));
                    }
                    continue;
                }
                RequestResult::Answered { status: 200, version: Some(served), .. } => format!("version {served} answers"),
                _ => "nobody answers".to_owned(),
            };
            in_a_row = 0;
            if Instant::now() > deadline {
                return Ok(Err(format!("the champion is version {version}, and {served}")));
            }
            sleep(Duration::from_millis(200)).await;
        }
    }

    /// The registry's champion, once it is a version that may be served: the grader puts back the last one that was.
    pub(super) async fn sound_champion(&mut self) -> Result<String, ExamError> {
        match self.platform.champion().await? {
            Some(version) if self.sound.contains(&version) => Ok(version),
            _ => self.put_back(self.champion.clone()).await,
        }
    }

    /// The version that was the champion when the environment was last remembered, once it is that again.
    pub(super) async fn served_champion(&mut self) -> Result<String, ExamError> {
        self.put_back(self.served.clone()).await
    }

    /// Makes a version the champion that was it.
    async fn put_back(&mut self, version: String) -> Result<String, ExamError> {
        if self.exercise.contract.registry.is_none() {
            return Ok(version);
        }
        // A submission may have deleted it.
        if let (false, Some(artifact)) = (self.platform.has(&version).await?, self.published.get(&version)) {
            self.platform.publish(&version, artifact, Digest::Right).await?;
        }
        self.platform.promote(&version).await?;
        self.alias().await?;
        Ok(version)
    }

    /// Remembers a cluster in which the champion serves.
    pub(super) async fn remember(&mut self, cluster: &Kind) -> Result<(), ExamError> {
        cluster.remember().await?;
        if let Some(version) = self.platform.champion().await? {
            self.served = version;
        }
        Ok(())
    }

    /// Records what the registry's champion is.
    pub(super) async fn alias(&mut self) -> Result<(), ExamError> {
        let champion = self.platform.champion().await?;
        if let Some(sound) = champion.as_ref().filter(|version| self.sound.contains(*version)) {
            self.champion.clone_from(sound);
        }
        self.record(What::Alias { champion }).await
    }
}
