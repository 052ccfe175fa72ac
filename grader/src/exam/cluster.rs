//! Steps that only Kubernetes knows: what is done to pods, and to the Deployment that they are of, as people do it. An exam that asks for one elsewhere is
//! refused when it is read.

use std::time::Duration;

use harness::environment::{Environment, Eviction, Kind, Misreleased, Wait};
use tokio::time::{Instant, sleep};

use super::ExamError;
use super::conductor::{Conductor, Held};
use super::plan::Phase;
use crate::history::What;

/// How long every pod of a Deployment may take to be replaced.
const ROLLED: Duration = Duration::from_mins(1);
/// How long Kubernetes is asked whether a rollout goes on, and how often.
const STALLED: Duration = Duration::from_secs(75);
const LOOK: Duration = Duration::from_millis(500);
/// How long a process may take to use up the memory of its container.
const EXHAUSTED: Duration = Duration::from_secs(15);
/// How long it is tried to begin it.
const BEGUN: Duration = Duration::from_secs(5);
/// What histories call an image that is not there.
const IMAGE: &str = "image";

impl Conductor<'_> {
    fn cluster(&self) -> Result<&Kind, ExamError> {
        match self.environment {
            Environment::Kind(kind) => Ok(kind),
            Environment::Docker(_) => Err(ExamError::platform("there is no cluster")),
        }
    }

    /// Deletes a pod as people do: it has the time that it asks for.
    pub(super) async fn delete(&mut self, phase: &Phase, role: &str) -> Result<(), ExamError> {
        let Some(target) = self.draw(role).await? else { return Ok(()) };
        self.disturbed = true;
        self.cluster()?.delete(&target).await?;
        self.hit(phase, "delete", &target).await
    }

    /// Asks for the eviction of every ready pod, one right after the other, as whoever empties a node does.
    pub(super) async fn evict(&mut self, phase: &Phase, role: &str) -> Result<(), ExamError> {
        self.disturbed = true;
        for target in self.ready_replicas(role).await? {
            let (refused, impossible) = match self.cluster()?.evict(&target).await? {
                Eviction::Granted => {
                    self.hit(phase, "evict", &target).await?;
                    (None, None)
                }
                Eviction::Refused(why) => (Some(why), None),
                Eviction::Impossible(why) => (None, Some(why)),
            };
            self.record(What::Evicted { target, refused, impossible }).await?;
        }
        Ok(())
    }

    /// Lets every pod of a role be replaced, and waits until it is over.
    pub(super) async fn roll(&mut self, role: &str) -> Result<(), ExamError> {
        self.disturbed = true;
        for deployment in self.cluster()?.deployments_of(role).await? {
            let began_ns = self.recorder.now_ns();
            let missing = match self.cluster()?.roll(&deployment, ROLLED).await? {
                Wait::Met(()) => None,
                Wait::Pending { last_seen: why } | Wait::Impossible { why, .. } => Some(why),
            };
            self.record(What::Rolled { deployment, began_ns, missing }).await?;
        }
        Ok(())
    }

    /// Gives the Deployments of a role an image that is not there, to the end of the phase, and records when Kubernetes says that the rollout does
    /// not go on.
    pub(super) async fn misrelease(&mut self, phase: &Phase, role: &str, faults: &mut Vec<Held>) -> Result<(), ExamError> {
        self.disturbed = true;
        for deployment in self.cluster()?.deployments_of(role).await? {
            match self.cluster()?.misrelease(&deployment).await? {
                Ok(misreleased) => faults.push(Held::Image { misreleased, role: role.to_owned() }),
                Err(why) => {
                    self.record(What::Note { text: format!("`{deployment}` took no other image: {why}") }).await?;
                    continue;
                }
            }
            self.record(What::FaultBegan { phase: phase.id.clone(), fault: IMAGE.to_owned(), target: deployment.clone() }).await?;
            let deadline = Instant::now() + STALLED;
            while Instant::now() < deadline {
                if let Some(said) = self.cluster()?.stalled(&deployment).await? {
                    self.record(What::Stalled { deployment, said }).await?;
                    break;
                }
                sleep(LOOK).await;
            }
        }
        Ok(())
    }

    /// Gives a Deployment back its image.
    pub(super) async fn unmisrelease(&self, misreleased: &Misreleased) -> Result<(), ExamError> {
        if let Err(why) = self.cluster()?.unmisrelease(misreleased).await? {
            self.record(What::Note { text: format!("`{}` did not take its image back: {why}", misreleased.deployment) }).await?;
        }
        self.record(What::FaultEnded { fault: IMAGE.to_owned(), target: misreleased.deployment.clone() }).await
    }

    /// Lets a process in a pod's container ask for more and more memory.
    pub(super) async fn exhaust(&mut self, phase: &Phase, role: &str) -> Result<(), ExamError> {
        let Some(target) = self.draw(role).await? else { return Ok(()) };
        self.disturbed = true;
        // A node that is busy for a moment begins none.
        let deadline = Instant::now() + BEGUN;
        let exhausting = loop {
            match self.cluster()?.exhaust(&target).await? {
                Some(exhausting) => break exhausting,
                None if Instant::now() < deadline => sleep(LOOK).await,
                None => return self.record(What::Note { text: format!("no process could be begun in `{target}`") }).await,
            }
        };
        let fault = "memory".to_owned();
        self.record(What::FaultBegan { phase: phase.id.clone(), fault: fault.clone(), target: target.clone() }).await?;
        if !exhausting.is_ended(EXHAUSTED).await {
            self.record(What::Note { text: format!("nothing ended a process in `{target}` that asked for more and more memory") }).await?;
        }
        self.record(What::FaultEnded { fault, target }).await
    }
}
