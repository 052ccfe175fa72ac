//! The conductor: walks through the phases of an exam and does what their steps say. It measures nothing and judges nothing.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use ::platform::protocol::{BODY_LIMIT, Command, Request};
use harness::compose::RULES_FOLDER;
use harness::environment::{Disturbance, Environment, Fault, Misreleased, Replica};
use harness::exercise::{Exercise, Files};
use harness::progress::Progress;
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::Rng;
use tokio::sync::watch;
use tokio::time::{Instant, sleep_until, timeout, timeout_at};

use super::driver::{Driver, Seen};
use super::plan::{Condition, Exam, FeatureFault, Phase, Receiver, Shows, Step};
use super::platform::{Artifact, Platform};
use super::submitted::Submitted;
use super::{ExamError, ring};
use crate::history::{PhaseEnd, Recorder, ReleaseCommand, What};

/// How long a phase waits for its entry condition, before the grader restores the environment.
const ENTRY: Duration = Duration::from_secs(10);
/// How many seconds services have to stop; and where nobody asks how they do, since what they have in hand takes long.
const GRACE: i32 = 5;
const PROMPTLY: i32 = 1;
/// How long a replica that crashed has to come back before the next one does.
const COMES_BACK: Duration = Duration::from_secs(12);
/// How long it may take until it is seen that one is dead.
const DIES: Duration = Duration::from_secs(2);
/// How long a balancer may need to find that one is back.
const FOUND: Duration = Duration::from_secs(3);
/// What histories call drifted transactions, and whom they come from.
const DRIFT: &str = "drift";
const USERS: &str = "users";
/// What they call an alias that the grader points elsewhere.
const ALIAS: &str = "alias";

/// Everything that an exam is conducted with.
pub(super) struct Conductor<'a> {
    pub(super) exam: &'a Exam,
    /// How long the submission's commands have taken together.
    pub(super) commands_took: Duration,
    /// The exam's phases in the order in which they are held.
    pub(super) phases: Vec<&'a Phase>,
    pub(super) exercise: &'a Exercise,
    /// The submission's files.
    pub(super) files: &'a Files,
    pub(super) submitted: &'a Submitted,
    pub(super) environment: &'a Environment,
    /// An image of the platform's with a shell.
    pub(super) tools: &'a str,
    pub(super) driver: &'a Driver,
    pub(super) platform: Platform<'a>,
    /// Every version that the oracle knows.
    pub(super) artifacts: &'a BTreeMap<String, Artifact>,
    /// Versions that may be served.
    pub(super) sound: BTreeSet<String>,
    /// What they are made of.
    pub(super) published: BTreeMap<String, &'a Artifact>,
    /// The last of them that was the champion.
    pub(super) champion: String,
    /// The one that was when the environment was last remembered.
    pub(super) served: String,
    /// A request that a user could send.
    pub(super) question: String,
    /// The number of the newest registered version.
    pub(super) newest: u64,
    pub(super) recorder: &'a Recorder,
    pub(super) seen: watch::Receiver<Seen>,
    pub(super) random: ChaCha8Rng,
    /// How many faults hit each replica so far.
    pub(super) hits: BTreeMap<String, u32>,
    pub(super) progress: &'a Progress,
    /// Whether a fault was made since the environment was last fresh: restoring an untouched one would change nothing.
    pub(super) disturbed: bool,
    /// Whether the grader broke a command off, and nobody knows how far it was.
    pub(super) broken_off: bool,
}

/// A fault that is held until its phase ends.
pub(super) enum Held {
    /// A service is dead, or as good as dead.
    Service { fault: Disturbance, role: String },
    /// Transactions are drifted.
    Drift,
    /// The feature store has a fault.
    Features(FeatureFault),
    /// The registry's alias points elsewhere.
    Alias { version: String, before: String, restart: Option<String> },
    /// A Deployment has an image that is not there.
    Image { misreleased: Misreleased, role: String },
}

impl Held {
    /// The role whose services it hits.
    fn role(&self) -> Option<String> {
        match self {
            Self::Service { role, .. } | Self::Image { role, .. } => Some(role.clone()),
            Self::Alias { restart, .. } => restart.clone(),
            Self::Drift | Self::Features(_) => None,
        }
    }
}

impl Conductor<'_> {
    /// Conducts the exam from the first phase to the last, under one stream of traffic.
    pub(super) async fn conduct(&mut self) -> Result<(), ExamError> {
        self.usual_rows().await?;
        let request = self.submitted.inference(self.exercise, self.exam.timeout_ms);
        self.driver.tell(&Command::Traffic { request, rate_per_second: self.exam.rate_per_second }).await?;
        let phases = self.phases.clone();
        let began = Instant::now();
        for (index, phase) in phases.iter().enumerate() {
            self.progress.step(format!("phase {} of {}: {}", index + 1, phases.len(), phase.title));
            if let Some(why) = self.exam.too_late(phase, began.elapsed(), self.commands_took) {
                self.record(What::PhaseLeft { phase: phase.id.clone(), end: PhaseEnd::Skipped { why } }).await?;
                continue;
            }
            self.phase(phase).await?;
        }
        self.driver.tell(&Command::StopTraffic).await
    }

    /// Holds a phase. A service of the platform that runs and does not do what it is asked for is kept from it by the submission, since
    /// nothing else is there: the phase is not held, which is no fault of ours.
    async fn phase(&mut self, phase: &Phase) -> Result<(), ExamError> {
        match self.held(phase).await {
            Err(ExamError::Platform(why)) => self.record(What::PhaseLeft { phase: phase.id.clone(), end: PhaseEnd::Skipped { why } }).await,
            held => held,
        }
    }

    async fn held(&mut self, phase: &Phase) -> Result<(), ExamError> {
        if let Some(why) = self.enter(phase).await? {
            return self.record(What::PhaseLeft { phase: phase.id.clone(), end: PhaseEnd::Skipped { why } }).await;
        }
        self.record(What::PhaseEntered { phase: phase.id.clone() }).await?;
        let began = Instant::now();
        let mut faults = Vec::new();
        let stepped = timeout_at(began + phase.cap(), self.steps(phase, &mut faults)).await;
        if matches!(stepped, Ok(Ok(()))) {
            sleep_until(began + phase.min()).await;
        }
        // The window that is judged ends before the fault does: what a mended service does is the next phase's business.
        let stepped = stepped.map_or(Ok(PhaseEnd::Capped), |stepped| stepped.map(|()| PhaseEnd::Completed));
        if let Ok(end) = &stepped {
            self.record(What::PhaseLeft { phase: phase.id.clone(), end: end.clone() }).await?;
        }
        let roles: BTreeSet<String> = faults.iter().filter_map(Held::role).collect();
        for held in faults.into_iter().rev() {
            match self.end(held).await {
                Err(ExamError::Platform(why)) => self.record(What::Note { text: format!("a fault could not be ended: {why}") }).await?,
                ended => ended?,
            }
        }
        // A while to come back, so that the next phase does not start in its shadow; whether it did is what entry conditions ask.
        for role in &roles {
            self.ready_by(role, Instant::now() + ENTRY).await.ok();
        }
        // Ready is not served yet: a balancer that has lost all of them must find one again.
        if !roles.is_empty() {
            match self.champion_serves_by(Instant::now() + ENTRY).await {
                Ok(_) | Err(ExamError::Platform(_)) => {}
                Err(error) => return Err(error),
            }
        }
        stepped.map(drop)
    }

    async fn steps(&mut self, phase: &Phase, faults: &mut Vec<Held>) -> Result<(), ExamError> {
        for step in &phase.steps {
            match step {
                Step::Hold { seconds, shows } => {
                    let from_ns = self.recorder.now_ns();
                    tokio::time::sleep(Duration::from_secs(*seconds)).await;
                    self.shown(from_ns, shows.as_ref()).await?;
                }
                Step::Kill { role } => {
                    if let Some(target) = self.draw(role).await? {
                        self.disturb(phase, role, target, faults, Fault::Kill).await?;
                    }
                }
                Step::KillAll { role } => {
                    for target in self.replicas(role).await? {
                        self.disturb(phase, role, target, faults, Fault::Kill).await?;
                    }
                }
                Step::Pause { role } => {
                    if let Some(target) = self.draw(role).await? {
                        self.disturb(phase, role, target, faults, Fault::Pause).await?;
                    }
                }
                Step::Crash { role, each } => self.crash(phase, role, *each).await?,
                Step::PauseOthers { seconds } => self.pause_others(phase, *seconds, faults).await?,
                Step::Drift {} => self.drift(phase, faults).await?,
                Step::Features { fault, unseen } => self.disturb_features(phase, *fault, *unseen, faults).await?,
                Step::Publish { artifact, digest } => self.publish(artifact, *digest).await?,
                Step::Promote { restart } => self.promote(phase, restart.as_deref(), faults).await?,
                Step::Deploy { version } => self.deploy(*version).await?,
                Step::Rollback {} => self.command(ReleaseCommand::Rollback, None).await?,
                Step::Status {} => self.command(ReleaseCommand::Status, None).await?,
                Step::Restart {} => self.restart_all().await?,
                Step::Delete { role } => self.delete(phase, role).await?,
                Step::Evict { role } => self.evict(phase, role).await?,
                Step::Roll { role } => self.roll(role).await?,
                Step::Misrelease { role } => self.misrelease(phase, role, faults).await?,
                Step::Exhaust { role } => self.exhaust(phase, role).await?,
                Step::Survey {} => self.survey().await?,
                Step::Ring { receivers, within_seconds, shows } => {
                    let from_ns = self.recorder.now_ns();
                    self.ring(receivers, Duration::from_secs(*within_seconds)).await?;
                    self.shown(from_ns, shows.as_ref()).await?;
                }
            }
        }
        Ok(())
    }

    /// Records what a stretch that is over showed.
    async fn shown(&self, from_ns: u64, shows: Option<&Shows>) -> Result<(), ExamError> {
        let (signature, onset) = match shows {
            None => return Ok(()),
            Some(Shows::Healthy) => (None, Duration::ZERO),
            Some(Shows::Signature { id, steady_after_seconds }) => (Some(id.clone()), Duration::from_secs(*steady_after_seconds)),
        };
        let steady_from_ns = from_ns + u64::try_from(onset.as_nanos()).unwrap_or(0);
        self.record(What::Shown { signature, from_ns, steady_from_ns }).await
    }

    /// How long a submission may take to start, however its services wait for each other.
    fn patience(&self) -> Duration {
        Duration::from_secs(self.exam.settle_seconds)
    }

    /// Waits for the phase's entry conditions, restores the environment once where that can help; `Some` says what stayed unmet.
    async fn enter(&mut self, phase: &Phase) -> Result<Option<String>, ExamError> {
        let unmet = if self.broken_off { Some("a command before it was broken off".to_owned()) } else { self.unmet(&phase.entry, ENTRY).await? };
        let Some(last_seen) = unmet else {
            // Only a cluster changes by what a submission's own commands do to it.
            if let Environment::Kind(kind) = self.environment
                && phase.entry.contains(&Condition::ChampionServes {})
            {
                self.remember(kind).await?;
            }
            return Ok(None);
        };
        self.record(What::EntryUnmet { phase: phase.id.clone(), last_seen: last_seen.clone() }).await?;
        if !self.disturbed {
            return Ok(Some(last_seen));
        }
        // A champion that may not be served would be served again; and where the environment itself says which version is served, it says what was remembered.
        let champion = match self.environment {
            Environment::Docker(_) => self.sound_champion().await?,
            Environment::Kind(_) => self.served_champion().await?,
        };
        for text in self.environment.recreate(&self.submitted.names(), self.patience()).await? {
            self.record(What::Note { text }).await?;
        }
        (self.disturbed, self.broken_off) = (false, false);
        self.deployed().await?;
        let how = format!("every service of the submission was created anew, with version {champion} as the champion");
        self.record(What::Restored { phase: phase.id.clone(), how }).await?;
        self.unmet(&phase.entry, self.patience()).await
    }

    /// Waits until all conditions are met, or says what was last seen of the first that is not.
    async fn unmet(&mut self, conditions: &[Condition], within: Duration) -> Result<Option<String>, ExamError> {
        let deadline = Instant::now() + within;
        for condition in conditions {
            let met = match condition {
                Condition::Ready { role } => self.ready_by(role, deadline).await,
                Condition::ChampionServes {} => self.champion_serves_by(deadline).await?,
                Condition::Running { role } => self.running(role).await?,
            };
            if let Err(last_seen) = met {
                return Ok(Some(last_seen));
            }
        }
        Ok(None)
    }

    pub(super) async fn ready_by(&mut self, role: &str, deadline: Instant) -> Result<(), String> {
        let replicas = self.exercise.manifest.roles.get(role).map_or(1, |role| role.replicas);
        // One that is not ready is one that no fault hits: who answers users must not stand among these.
        let well = |seen: &Seen| seen.ready() >= replicas && seen.not_ready().next().is_none();
        if matches!(timeout_at(deadline, self.seen.wait_for(well)).await, Ok(Ok(_))) {
            return Ok(());
        }
        let said: Vec<String> = self.seen.borrow().not_ready().collect();
        Err(format!(
            "{replicas} ready replicas of role `{role}` are needed, and none that is not: {}",
            if said.is_empty() { "there are fewer".to_owned() } else { said.join(", ") }
        ))
    }

    async fn running(&self, role: &str) -> Result<Result<(), String>, ExamError> {
        let services = self.environment.services().await?;
        let found = services.iter().find(|service| service.role.as_deref() == Some(role));
        Ok(match found {
            Some(service) if service.state == "running" => Ok(()),
            Some(service) => Err(format!("`{}` is `{}`", service.name, service.state)),
            None => Err(format!("no service has the role `{role}`")),
        })
    }

    /// The replicas of a role as they are now.
    pub(super) async fn replicas(&self, role: &str) -> Result<Vec<String>, ExamError> {
        let now = self.environment.replicas(role, &self.submitted.of_role(role)).await?;
        Ok(now.into_iter().map(|replica| replica.name).collect())
    }

    /// Those that say that they are ready.
    pub(super) async fn ready_replicas(&self, role: &str) -> Result<Vec<String>, ExamError> {
        Ok(self.ready(role).await?.into_iter().map(|replica| replica.name).collect())
    }

    async fn ready(&self, role: &str) -> Result<Vec<Replica>, ExamError> {
        let mut now = self.environment.replicas(role, &self.submitted.of_role(role)).await?;
        let seen = self.seen.borrow();
        now.retain(|replica| seen.is_ready(&replica.name));
        Ok(now)
    }

    /// One of these, drawn from the exam's seed among those that the fewest faults have hit: two replicas need not be alike, and a verdict must not
    /// hang on which of them is drawn. Among these it is one whose containers were started again least often: Kubernetes waits before it does
    /// that a second time, however well a container is made, and an exam that chose the same pod twice would ask for more than it says.
    pub(super) async fn draw(&mut self, role: &str) -> Result<Option<String>, ExamError> {
        let rank = |replica: &Replica, hits: &BTreeMap<String, u32>| (hits.get(&replica.name).copied().unwrap_or(0), replica.restarts);
        let mut ready = self.ready(role).await?;
        let least = ready.iter().map(|replica| rank(replica, &self.hits)).min();
        ready.retain(|replica| Some(rank(replica, &self.hits)) == least);
        let drawn = usize::try_from(self.random.next_u32()).unwrap_or(0).checked_rem(ready.len());
        Ok(drawn.map(|drawn| {
            let name = ready.swap_remove(drawn).name;
            *self.hits.entry(name.clone()).or_default() += 1;
            name
        }))
    }

    /// Disturbs a replica of a role until the phase ends.
    async fn disturb(&mut self, phase: &Phase, role: &str, target: String, faults: &mut Vec<Held>, how: Fault) -> Result<(), ExamError> {
        self.disturbed = true;
        self.is_as_it_was(&target).await?;
        // Whatever comes now, it is ended with its phase, made or half made.
        let fault = Disturbance { fault: how, target: target.clone() };
        faults.push(Held::Service { fault: fault.clone(), role: role.to_owned() });
        self.environment.disturb(&fault).await?;
        self.record(What::FaultBegan { phase: phase.id.clone(), fault: how.name().to_owned(), target }).await
    }

    /// Pauses everything that has no role until the phase ends: where users suffer by it, something answers them that no other fault hits.
    async fn pause_others(&mut self, phase: &Phase, seconds: u64, faults: &mut Vec<Held>) -> Result<(), ExamError> {
        let has_role = |name: &str| self.submitted.services.iter().any(|one| one.service == name && one.role.is_some());
        let running = self.environment.running(&self.submitted.names()).await?;
        let others: Vec<String> = running.into_iter().filter(|one| one.role.is_none() && !has_role(&one.name)).map(|one| one.name).collect();
        if others.is_empty() {
            return Ok(());
        }
        let role = self.exercise.contract.ready.role.clone();
        for target in others {
            self.disturb(phase, &role, target, faults, Fault::Pause).await?;
        }
        tokio::time::sleep(Duration::from_secs(seconds)).await;
        Ok(())
    }

    /// Records a pod as it is when a fault hits it: it may be younger than the exam.
    async fn is_as_it_was(&self, target: &str) -> Result<(), ExamError> {
        // A container was recorded when it was deployed.
        if matches!(self.environment, Environment::Docker(_)) {
            return Ok(());
        }
        let running = self.environment.running(&[target.to_owned()]).await?;
        match running.into_iter().find(|one| one.name == target) {
            Some(one) => self.runs(one).await,
            None => Ok(()),
        }
    }

    /// Records a fault that is over as soon as it is made.
    pub(super) async fn hit(&self, phase: &Phase, fault: &str, target: &str) -> Result<(), ExamError> {
        let (fault, target) = (fault.to_owned(), target.to_owned());
        self.record(What::FaultBegan { phase: phase.id.clone(), fault: fault.clone(), target: target.clone() }).await?;
        self.record(What::FaultEnded { fault, target }).await
    }

    /// Lets the process of a service die, or those of all, one after the other; a fault is over as soon as it is made.
    async fn crash(&mut self, phase: &Phase, role: &str, each: bool) -> Result<(), ExamError> {
        let targets = if each { self.ready_replicas(role).await? } else { self.draw(role).await?.into_iter().collect() };
        let mut before: Option<String> = None;
        for target in targets {
            if let Some(before) = before.replace(target.clone()) {
                // Whether it comes back is what the phase is judged by; what was last seen of it may be older than its death. Ready is not
                // served yet: a balancer must find it again.
                let deadline = Instant::now() + COMES_BACK;
                timeout_at(Instant::now() + DIES, self.seen.wait_for(|seen| !seen.is_ready(&before))).await.ok();
                timeout_at(deadline, self.seen.wait_for(|seen| seen.is_ready(&before))).await.ok();
                tokio::time::sleep(FOUND).await;
            }
            self.disturbed = true;
            self.is_as_it_was(&target).await?;
            if self.environment.crash(&target, self.tools).await? {
                self.hit(phase, "crash", &target).await?;
            } else {
                self.record(What::Note { text: format!("`{target}` did not run any more when its process was to die") }).await?;
            }
        }
        Ok(())
    }

    /// Lets users ask about drifted transactions until the phase ends.
    async fn drift(&mut self, phase: &Phase, faults: &mut Vec<Held>) -> Result<(), ExamError> {
        self.driver.tell(&Command::Use { first: self.exam.rows, count: self.exam.drifted_rows }).await?;
        faults.push(Held::Drift);
        self.record(What::FaultBegan { phase: phase.id.clone(), fault: DRIFT.to_owned(), target: USERS.to_owned() }).await
    }

    /// Lets users ask about transactions like those of training.
    async fn usual_rows(&self) -> Result<(), ExamError> {
        self.driver.tell(&Command::Use { first: 0, count: self.exam.rows - self.exam.unseen_rows }).await
    }

    async fn disturb_features(&mut self, phase: &Phase, fault: FeatureFault, unseen: bool, faults: &mut Vec<Held>) -> Result<(), ExamError> {
        if unseen {
            let count = self.exam.unseen_rows;
            self.driver.tell(&Command::Use { first: self.exam.rows - count, count }).await?;
        }
        // It may have heard of it even where it does not say so.
        faults.push(Held::Features(fault));
        self.platform.fault(Some(fault)).await?;
        let target = "features".to_owned();
        self.record(What::FaultBegan { phase: phase.id.clone(), fault: fault.name().to_owned(), target }).await
    }

    /// Points the registry's alias at the version that was registered last until the phase ends.
    async fn promote(&mut self, phase: &Phase, restart: Option<&str>, faults: &mut Vec<Held>) -> Result<(), ExamError> {
        let before = self.platform.champion().await?.unwrap_or_else(|| self.champion.clone());
        let target = self.newest.to_string();
        self.disturbed = true;
        faults.push(Held::Alias { version: target.clone(), before, restart: restart.map(str::to_owned) });
        self.platform.promote(&target).await?;
        self.record(What::FaultBegan { phase: phase.id.clone(), fault: ALIAS.to_owned(), target }).await?;
        if let Some(role) = restart {
            self.restart(&self.submitted.of_role(role), PROMPTLY).await?;
            self.ready_by(role, Instant::now() + ENTRY).await.ok();
        }
        Ok(())
    }

    /// Stops services, which are given so many seconds for it, and starts them again.
    async fn restart(&self, services: &[String], grace_seconds: i32) -> Result<(), ExamError> {
        for text in self.environment.restart(services, grace_seconds).await? {
            self.record(What::Note { text }).await?;
        }
        Ok(())
    }

    async fn restart_all(&mut self) -> Result<(), ExamError> {
        self.alias().await?;
        self.count_series().await?;
        self.disturbed = true;
        for text in self.environment.reboot(&self.submitted.names(), GRACE).await? {
            self.record(What::Note { text }).await?;
        }
        self.record(What::Restarted).await
    }

    /// Ends a fault.
    async fn end(&mut self, held: Held) -> Result<(), ExamError> {
        match held {
            Held::Service { fault, .. } => self.mend(fault).await,
            Held::Image { misreleased, .. } => self.unmisrelease(&misreleased).await,
            Held::Drift => {
                self.usual_rows().await?;
                self.record(What::FaultEnded { fault: DRIFT.to_owned(), target: USERS.to_owned() }).await
            }
            Held::Features(fault) => {
                self.usual_rows().await?;
                self.platform.fault(None).await?;
                self.record(What::FaultEnded { fault: fault.name().to_owned(), target: "features".to_owned() }).await
            }
            Held::Alias { version, before, restart } => {
                self.platform.promote(&before).await?;
                self.record(What::FaultEnded { fault: ALIAS.to_owned(), target: version }).await?;
                self.alias().await?;
                match restart {
                    Some(role) => self.restart(&self.submitted.of_role(&role), PROMPTLY).await,
                    None => Ok(()),
                }
            }
        }
    }

    /// Ends a fault of a service.
    async fn mend(&mut self, fault: Disturbance) -> Result<(), ExamError> {
        if let Err(why) = self.environment.mend(&fault).await? {
            self.record(What::Note { text: format!("`{}` could not be started again: {why}", fault.target) }).await?;
        }
        self.record(What::FaultEnded { fault: fault.fault.name().to_owned(), target: fault.target }).await
    }

    async fn ring(&mut self, receivers: &[Receiver], within: Duration) -> Result<(), ExamError> {
        let rules: Vec<(Receiver, String)> = receivers.iter().map(|receiver| (*receiver, ring::name(&mut self.random))).collect();
        let Some(prometheus) = self.submitted.of_role("prometheus").into_iter().next() else { return Ok(()) };
        let Some(alerts) = &self.exercise.contract.alerts else { return Ok(()) };
        let folder = self.submitted.folder_of("alertmanager").unwrap_or_default();
        let alertmanager = self.files.get(&format!("{folder}/alertmanager.yml")).map(|content| String::from_utf8_lossy(content));
        let file = ring::rule_file(&rules, alerts, &ring::compared(&alertmanager.unwrap_or_default()));
        if let Err(why) = self.environment.put(&prometheus, RULES_FOLDER, ring::FILE, &file).await? {
            self.record(What::Note { text: format!("`{prometheus}` took no rule: {why}") }).await?;
        }
        let host = self.submitted.host_of("prometheus").unwrap_or(&prometheus);
        let reloaded = self.driver.ask(ring::reload(host)).await?;
        if let Err(why) = super::answer::plain(&reloaded) {
            self.record(What::Note { text: format!("prometheus did not reload its configuration: {why}") }).await?;
        }
        for (receiver, alertname) in &rules {
            self.record(What::Rang { receiver: receiver.name().to_owned(), alertname: alertname.clone() }).await?;
        }
        let heard =
            |seen: &Seen| rules.iter().all(|(receiver, name)| seen.delivered.iter().any(|(to, alert)| to == receiver.name() && alert == name));
        // Not being heard is a finding, which the history holds already.
        timeout(within, self.seen.wait_for(heard)).await.ok();
        Ok(())
    }

    pub(super) async fn record(&self, what: What) -> Result<(), ExamError> {
        Ok(self.recorder.record(what).await?)
    }
}

/// Asks an address of the exercise's network for 200.
pub(super) fn get(url: String, timeout_ms: u64) -> Request {
    Request { method: "GET".to_owned(), url, headers: Vec::new(), body: None, timeout_ms, body_limit: BODY_LIMIT }
}
