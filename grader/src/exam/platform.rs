//! Control requests to the platform's registry and feature store. In grading they carry a token that only the driver has.

use std::collections::BTreeMap;
use std::time::Duration;

use ::platform::protocol::{BODY_LIMIT, Outcome, Request};
use harness::exercise::Exercise;
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::time::{Instant, sleep};

use super::ExamError;
use super::answer::plain;
use super::driver::Driver;
use super::plan::{Digest, FeatureFault};

/// How long a slow feature store takes, in milliseconds.
const SLOW_MS: u64 = 2_000;
/// How long the platform's own services may take to answer: a submission may keep them busy, and must not win by that.
const PATIENCE: Duration = Duration::from_secs(20);

/// A version of the model, as the oracle describes it.
#[derive(Debug, Clone, Deserialize)]
pub(super) struct Artifact {
    sha256: String,
    /// Contents by name, in hexadecimal.
    files: BTreeMap<String, String>,
    /// What it answers, row by row; empty for a version that must never be served.
    pub(super) scores: Vec<f64>,
    /// The same with the model's defaults in place of the feature store.
    pub(super) degraded: Vec<f64>,
}

/// The platform's services that an exam steers.
pub(super) struct Platform<'a> {
    pub(super) driver: &'a Driver,
    pub(super) exercise: &'a Exercise,
    pub(super) token: Option<String>,
}

impl Platform<'_> {
    /// Tells the feature store of accounts, if there is one.
    pub(super) async fn accounts(&self, accounts: &Value) -> Result<(), ExamError> {
        let Some(features) = &self.exercise.contract.features else { return Ok(()) };
        self.control(format!("{features}/control/accounts"), accounts).await
    }

    /// The registry's address. An exam that needs one was refused where the contract has none.
    fn registry(&self) -> Result<&str, ExamError> {
        self.exercise.contract.registry.as_deref().ok_or_else(|| ExamError::platform("the contract has no registry"))
    }

    /// Gives the feature store a fault, or takes it away.
    pub(super) async fn fault(&self, fault: Option<FeatureFault>) -> Result<(), ExamError> {
        let body = match fault {
            None => json!({ "fault": "none" }),
            Some(FeatureFault::Slow) => json!({ "fault": "slow", "delay_ms": SLOW_MS }),
            Some(fault) => json!({ "fault": fault.name() }),
        };
        let features = self.exercise.contract.features.as_deref().ok_or_else(|| ExamError::platform("the contract has no feature store"))?;
        self.control(format!("{features}/control/fault"), &body).await
    }

    /// Registers a version.
    pub(super) async fn publish(&self, version: &str, artifact: &Artifact, digest: Digest) -> Result<(), ExamError> {
        let sha256 = match digest {
            Digest::Right => artifact.sha256.clone(),
            // Another's, by the looks of it.
            Digest::Wrong => artifact.sha256.chars().rev().collect(),
        };
        let name = &self.exercise.manifest.models.name;
        let body = json!({ "name": name, "version": version, "sha256": sha256, "files": artifact.files });
        self.control(format!("{}/control/publish", self.registry()?), &body).await
    }

    /// The version that the champion alias points to, if there is one; without a registry there is but one version.
    pub(super) async fn champion(&self) -> Result<Option<String>, ExamError> {
        let models = &self.exercise.manifest.models;
        let Some(registry) = &self.exercise.contract.registry else { return Ok(Some(models.champion.clone())) };
        let name = &models.name;
        let url = format!("{registry}/api/2.0/mlflow/registered-models/alias?name={name}&alias=champion");
        match self.answered(request("GET", url, None)).await? {
            Outcome::Response { status: 404, .. } => Ok(None),
            Outcome::Response { body, .. } => {
                let found: Value = serde_json::from_str(&body).map_err(ExamError::platform)?;
                Ok(found["model_version"]["version"].as_str().map(str::to_owned))
            }
            other => Err(ExamError::platform(format!("the registry: {other:?}"))),
        }
    }

    /// Whether the registry has a version.
    pub(super) async fn has(&self, version: &str) -> Result<bool, ExamError> {
        let name = &self.exercise.manifest.models.name;
        let url = format!("{}/api/2.0/mlflow/model-versions/get?name={name}&version={version}", self.registry()?);
        match self.answered(request("GET", url, None)).await? {
            Outcome::Response { status, .. } => Ok(status != 404),
            other => Err(ExamError::platform(format!("the registry: {other:?}"))),
        }
    }

    /// Makes a version the champion, by the registry's own API.
    pub(super) async fn promote(&self, version: &str) -> Result<(), ExamError> {
        let url = format!("{}/api/2.0/mlflow/registered-models/alias", self.registry()?);
        self.control(url, &json!({ "name": self.exercise.manifest.models.name, "alias": "champion", "version": version })).await
    }

    async fn control(&self, url: String, body: &Value) -> Result<(), ExamError> {
        let mut asked = request("POST", url.clone(), Some(body.to_string()));
        asked.headers.extend(self.token.as_ref().map(|token| ("authorization".to_owned(), format!("Bearer {token}"))));
        let answered = self.answered(asked).await?;
        plain(&answered).map_err(|why| ExamError::platform(format!("{url}: {why}: {answered:?}")))
    }

    /// The first answer that is one: a service that is busy with others is asked again.
    async fn answered(&self, request: Request) -> Result<Outcome, ExamError> {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let outcome = self.driver.ask(request.clone()).await?;
            if matches!(outcome, Outcome::Response { status: ..500, .. }) || Instant::now() > deadline {
                return Ok(outcome);
            }
            sleep(Duration::from_millis(200)).await;
        }
    }
}

fn request(method: &str, url: String, body: Option<String>) -> Request {
    Request { method: method.to_owned(), url, headers: Vec::new(), body, timeout_ms: 5_000, body_limit: BODY_LIMIT }
}
