//! The exam as an exercise writes it down: `exam.yaml`, phases and their steps.
//!
//! It reads like a script that a person would follow. What a step does is in `conductor.rs`; what is measured all the time
//! (traffic, canary, readiness, scrape targets) needs no step.

use std::time::Duration;

use harness::document::{self, Document, Problem, Problems};
use harness::exercise::{Contract, EngineKind, Exercise, Source};
use rand_chacha::rand_core::Rng;
use schemars::JsonSchema;
use serde::Deserialize;

use super::ring;

/// For how many seconds phases must show a deployment that is well so that a quiet day can be made of them: what the replay asks for, and what it
/// leaves out where they begin.
pub const HEALTHY_SECONDS: u64 = 40;
/// The longest hold of the exam at home, in seconds: twice the slowest scrape that is allowed.
const HOLD_AT_HOME: u64 = 20;

/// The whole of `exam.yaml`.
#[derive(Debug, Clone, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Exam {
    /// Requests a second of the one open-loop stream that runs from the first phase to the last.
    #[schemars(range(min = 1, max = 500))]
    pub rate_per_second: f64,
    /// After how many milliseconds a user gives up on an answer.
    #[schemars(range(min = 50, max = 10_000))]
    pub timeout_ms: u64,
    /// How many distinct feature rows are drawn; each has an answer that is known beforehand.
    #[schemars(range(min = 10, max = 2_000))]
    pub rows: usize,
    /// How many of these nobody asks about but in phases that say so: a replica may answer from memory what it was asked before.
    #[serde(default)]
    pub unseen_rows: usize,
    /// How many more are drawn as the exercise says that input drifts.
    #[schemars(range(min = 0, max = 2_000))]
    #[serde(default)]
    pub drifted_rows: usize,
    /// How many seconds the submission has to settle after it was started, before the first phase.
    #[schemars(range(min = 5, max = 300))]
    pub settle_seconds: u64,
    /// How many seconds all commands of a submission may take together: phases that would run one after that are not held.
    #[schemars(range(min = 60, max = 3_600))]
    #[serde(default = "an_hour")]
    pub commands_seconds: u64,
    /// How many seconds the phases of a submission may take together, without its commands: what would begin after that is not held.
    #[schemars(range(min = 60, max = 3_600))]
    #[serde(default = "an_hour")]
    pub cap_seconds: u64,
    /// What happens, in order.
    #[schemars(length(min = 1, max = 40))]
    pub phases: Vec<Phase>,
    /// What the recording of the submission's metrics is played as when the phases are over: rules are run, and alerts sent, in
    /// production time.
    #[serde(default)]
    pub replay: Option<Replay>,
}

/// What is played in production time, each with a twin in which nothing happens.
#[derive(Debug, Clone, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Replay {
    /// A day on which nothing happens that anybody should be woken for.
    pub quiet: Quiet,
    /// What happens on other days.
    #[schemars(length(min = 1, max = 16))]
    pub incidents: Vec<Incident>,
}

/// A day on which nothing happens that anybody should be woken for.
#[derive(Debug, Clone, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Quiet {
    /// How long it is, in minutes.
    #[schemars(range(min = 60, max = 2_880))]
    pub minutes: f64,
    /// What is not perfect on a good day either.
    #[serde(default)]
    pub blemishes: Vec<Blemish>,
}

/// Something that is not perfect on a good day either.
#[derive(Debug, Clone, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Blemish {
    /// Which mark of a fault is shown.
    pub signature: String,
    /// How much of the traffic meets it, of 1.
    #[schemars(range(min = 0.0, max = 1.0))]
    #[serde(default = "whole")]
    pub share: f64,
    /// For how many seconds, at a moment that the exam's seed draws; the whole day without it.
    #[serde(default)]
    pub seconds: Option<f64>,
}

/// Something that alerts should find.
#[derive(Debug, Clone, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Incident {
    /// What checks call it.
    #[schemars(regex(pattern = "^[a-z][a-z0-9-]{0,31}$"))]
    pub id: String,
    /// What the report calls it.
    pub title: String,
    /// Which mark of a fault is shown: the name under which a step recorded it.
    pub signature: String,
    /// How much of the traffic meets it, of 1.
    #[schemars(range(min = 0.0, max = 1.0))]
    #[serde(default = "whole")]
    pub share: f64,
    /// How many minutes that share takes to grow from nothing.
    #[schemars(range(min = 0.0, max = 1_440.0))]
    #[serde(default)]
    pub ramp_minutes: f64,
    /// How many minutes it lasts.
    #[schemars(range(min = 1.0, max = 2_880.0))]
    pub minutes: f64,
    /// How many minutes are watched after it.
    #[schemars(range(min = 1.0, max = 1_440.0))]
    pub after_minutes: f64,
}

fn whole() -> f64 {
    1.0
}

/// What an exam and its commands may take where it does not say it: histories of before exams did can still be judged.
fn an_hour() -> u64 {
    3_600
}

/// A stretch of the exam with one purpose.
#[derive(Debug, Clone, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Phase {
    /// What checks call it.
    #[schemars(regex(pattern = "^[a-z][a-z0-9-]{0,31}$"))]
    pub id: String,
    /// What the report calls it.
    pub title: String,
    /// What must hold for the phase to mean anything; where it does not, the grader restores the environment once by its own
    /// means, and skips the phase if that does not help.
    #[serde(default)]
    pub entry: Vec<Condition>,
    /// The least number of seconds that the phase takes with a submission that does everything right.
    #[schemars(range(min = 1, max = 300))]
    pub min_seconds: u64,
    /// The number of seconds after which the phase is ended whatever its steps are waiting for.
    #[schemars(range(min = 1, max = 600))]
    pub cap_seconds: u64,
    /// Phases that follow each other and share this word come in an order that is drawn from the exam's seed.
    #[serde(default)]
    pub shuffled: Option<String>,
    /// Whether it is part of the short exam at home, which makes no faults; holds are cut to twenty seconds there.
    #[serde(default)]
    pub at_home: bool,
    /// What is done, in order.
    pub steps: Vec<Step>,
}

impl Phase {
    /// The least time that the phase takes.
    pub fn min(&self) -> Duration {
        Duration::from_secs(self.min_seconds)
    }

    /// For how many seconds it shows a deployment that is well.
    pub fn healthy_seconds(&self) -> u64 {
        let healthy = |step: &Step| match step {
            Step::Hold { seconds, shows: Some(Shows::Healthy) } => *seconds,
            Step::Ring { shows: Some(Shows::Healthy), .. } => ring::FOR_SECONDS,
            _ => 0,
        };
        self.steps.iter().map(healthy).sum()
    }

    /// Whether it is about a fault: without one, what users get in it proves nothing.
    pub fn makes_faults(&self) -> bool {
        let makes = |step: &Step| {
            matches!(step, Step::Kill { .. } | Step::KillAll { .. } | Step::Pause { .. } | Step::Crash { .. })
                || matches!(step, Step::Drift {} | Step::Features { .. } | Step::Promote { .. })
                || matches!(step, Step::Delete { .. } | Step::Misrelease { .. } | Step::Exhaust { .. })
        };
        self.steps.iter().any(makes)
    }

    /// Whether it runs commands of the submission, which may take as long as the contract lets them.
    pub fn runs_commands(&self) -> bool {
        self.steps.iter().any(|step| matches!(step, Step::Deploy { .. } | Step::Rollback {} | Step::Status {}))
    }

    /// The most time that the phase may take.
    pub fn cap(&self) -> Duration {
        Duration::from_secs(self.cap_seconds)
    }
}

/// What must hold before a phase begins.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Condition {
    /// As many services of the role as the exercise asks for answer the contract's readiness path with 200.
    Ready {
        /// The role, as in `exercise.yaml`.
        role: String,
    },
    /// Users are answered by the registry's champion, several times in a row, and it is a version that may be served.
    ChampionServes {},
    /// A service of the role runs.
    Running {
        /// The role, as in `exercise.yaml`.
        role: String,
    },
}

/// One thing that the conductor does.
#[derive(Debug, Clone, PartialEq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Step {
    /// Nothing but the traffic for a while.
    Hold {
        /// For how many seconds.
        seconds: u64,
        /// What the submission's metrics show meanwhile, for the replay.
        #[serde(default)]
        shows: Option<Shows>,
    },
    /// Kills one ready service of a role and holds it down to the end of the phase. Which one is drawn from the exam's seed, among those that
    /// the fewest faults have hit: what is right of one replica only shows.
    Kill {
        /// The role, as in `exercise.yaml`.
        role: String,
    },
    /// Kills every service of a role and holds them down to the end of the phase.
    KillAll {
        /// The role, as in `exercise.yaml`.
        role: String,
    },
    /// Pauses one ready service of a role, drawn like the one that is killed, and holds it to the end of the phase.
    Pause {
        /// The role, as in `exercise.yaml`.
        role: String,
    },
    /// Kills the process of one ready service of a role, drawn like the one that is killed, as a crash does: whether it comes back is
    /// the submission's business.
    Crash {
        /// The role, as in `exercise.yaml`.
        role: String,
        /// Whether that of every ready service is, each when the one before is back or had twelve seconds for it.
        #[serde(default)]
        each: bool,
    },
    /// Pauses everything of the submission that has no role, if there is anything, to the end of the phase, which it lets last so long.
    PauseOthers {
        /// For how many seconds.
        seconds: u64,
    },
    /// Lets users ask about drifted transactions, to the end of the phase.
    Drift {},
    /// Gives the feature store a fault, and holds it to the end of the phase.
    Features {
        /// Which.
        fault: FeatureFault,
        /// Whether users ask about the exam's unseen rows meanwhile, which no replica can answer from memory.
        #[serde(default)]
        unseen: bool,
    },
    /// Registers a version, under the next number.
    Publish {
        /// Which, by the name that the exercise's oracle knows.
        artifact: String,
        /// Whether it is registered with the digest that it has.
        #[serde(default)]
        digest: Digest,
    },
    /// Points the registry's alias at the version that was registered last, by the registry's API and not by the submission's command, to
    /// the end of the phase.
    Promote {
        /// A role whose services are restarted, now and at the end, so that they load what the alias points to.
        #[serde(default)]
        restart: Option<String>,
    },
    /// Runs the contract's `deploy`, within the contract's time.
    Deploy {
        /// What is deployed.
        version: Deployed,
    },
    /// Runs the contract's `rollback`, within the contract's time.
    Rollback {},
    /// Runs the contract's `status`, within the contract's time.
    Status {},
    /// Stops every service of the submission and starts them again; on Kubernetes, its node.
    Restart {},
    /// On Kubernetes: deletes one ready pod of a role, drawn like the one that is killed, as people do.
    Delete {
        /// The role, as in `exercise.yaml`.
        role: String,
    },
    /// On Kubernetes: asks for the eviction of every ready pod of a role, one right after the other.
    Evict {
        /// The role, as in `exercise.yaml`.
        role: String,
    },
    /// On Kubernetes: lets every pod of a role be replaced, and waits until it is over.
    Roll {
        /// The role, as in `exercise.yaml`.
        role: String,
    },
    /// On Kubernetes: gives the Deployments of a role an image that is not there, to the end of the phase, and waits until Kubernetes says that
    /// the rollout does not progress.
    Misrelease {
        /// The role, as in `exercise.yaml`.
        role: String,
    },
    /// On Kubernetes: lets a process in one ready pod of a role ask for more and more memory until it is ended.
    Exhaust {
        /// The role, as in `exercise.yaml`.
        role: String,
    },
    /// Asks Prometheus for its rules and series, and for what every query of the dashboards gives.
    Survey {},
    /// Lets a rule of the grader fire in the submission's Prometheus, once for each receiver, and waits for the pager to hear of it.
    Ring {
        /// Receivers of the contract.
        receivers: Vec<Receiver>,
        /// How long to wait for them in seconds.
        within_seconds: u64,
        /// What the submission's metrics show meanwhile, for the replay.
        #[serde(default)]
        shows: Option<Shows>,
    },
}

impl Step {
    /// Whether only Kubernetes knows it.
    fn is_of_kubernetes(&self) -> bool {
        matches!(self, Self::Delete { .. } | Self::Evict { .. } | Self::Roll { .. } | Self::Misrelease { .. } | Self::Exhaust { .. })
    }

    /// The parts of a contract that it needs and an exercise need not have: their keys, and whether they are there.
    fn needs(&self, contract: &Contract) -> Vec<(&'static str, bool)> {
        let registry = ("registry", contract.registry.is_some());
        match self {
            Self::Features { .. } => vec![("features", contract.features.is_some())],
            Self::Publish { .. } | Self::Promote { .. } => vec![registry],
            Self::Deploy { .. } | Self::Rollback {} | Self::Status {} => vec![("release", contract.release.is_some()), registry],
            Self::Ring { .. } => vec![("alerts", contract.alerts.is_some())],
            _ => Vec::new(),
        }
    }
}

/// What a stretch of the recording shows.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Shows {
    /// A deployment that is well: quiet time is made of it.
    Healthy,
    /// The mark of a fault that is held.
    Signature {
        /// Its name.
        id: String,
        /// After how many seconds it is at its height: what comes before is played at real speed, what comes then is stretched.
        #[schemars(range(min = 1))]
        steady_after_seconds: u64,
    },
}

/// What can be wrong with the feature store.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum FeatureFault {
    /// It answers after two seconds.
    Slow,
    /// It answers 503.
    Failing,
    /// It answers what it knew an hour ago.
    Stale,
}

impl FeatureFault {
    /// Its name, as histories have it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Slow => "slow",
            Self::Failing => "failing",
            Self::Stale => "stale",
        }
    }
}

/// Whether a version is registered with the digest that it has.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Digest {
    /// With its own.
    #[default]
    Right,
    /// With another's.
    Wrong,
}

/// What is deployed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Deployed {
    /// The version that was registered last.
    Latest,
    /// A version that the registry does not have.
    Unknown,
}

/// Whom an alert wakes, by the contract.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Receiver {
    /// The person on call, now.
    Page,
    /// The team, in working hours.
    Ticket,
}

impl Receiver {
    /// Its name in the contract, on the pager's paths and in the history.
    pub fn name(self) -> &'static str {
        match self {
            Self::Page => "page",
            Self::Ticket => "ticket",
        }
    }
}

/// The name of the trace of a quiet day.
pub const QUIET: &str = "quiet";

/// Puts things in random order.
fn shuffle<T>(things: &mut [T], random: &mut impl Rng) {
    for last in (1..things.len()).rev() {
        let drawn = usize::try_from(random.next_u64() % (last as u64 + 1)).unwrap_or(0);
        things.swap(drawn, last);
    }
}

/// The signature that a step shows.
fn signature(step: &Step) -> Option<&str> {
    match step {
        Step::Hold { shows: Some(Shows::Signature { id, .. }), .. } | Step::Ring { shows: Some(Shows::Signature { id, .. }), .. } => Some(id),
        _ => None,
    }
}

impl Exam {
    /// Reads `exam.yaml`; `name` is what errors call the file.
    pub fn parse(name: &str, text: &str) -> Result<Self, Problems> {
        Self::read(name, text).map(|(exam, _)| exam)
    }

    fn read(name: &str, text: &str) -> Result<(Self, Document), Problems> {
        let (exam, document) = document::load::<Self>(name, text)?;
        let problems: Vec<Problem> = exam.contradictions().into_iter().map(|(pointer, message)| document.problem(&pointer, message)).collect();
        if problems.is_empty() { Ok((exam, document)) } else { Err(Problems(problems)) }
    }

    /// Reads an exercise's own, which may ask only for what its contract has.
    pub fn of(exercise: &Exercise) -> Result<Self, Problems> {
        let Source { name, text } = &exercise.exam;
        let (exam, document) = Self::read(name, text)?;
        let mut problems = Vec::new();
        let asked = &exercise.contract.ready.role;
        for (index, phase) in exam.phases.iter().enumerate() {
            for (at, condition) in phase.entry.iter().enumerate() {
                if matches!(condition, Condition::Ready { role } if role != asked) {
                    let message = format!("contract.yaml says of the role `{asked}` alone how it says that it is ready");
                    problems.push(document.problem(&format!("/phases/{index}/entry/{at}/ready/role"), message));
                }
            }
            for (at, step) in phase.steps.iter().enumerate() {
                let place = format!("/phases/{index}/steps/{at}");
                for (part, _) in step.needs(&exercise.contract).into_iter().filter(|(_, is_there)| !is_there) {
                    let message = format!("this step needs `{part}` in contract.yaml, which is not there");
                    problems.push(document.problem(&place, message));
                }
                if step.is_of_kubernetes() && exercise.manifest.engine != EngineKind::Kind {
                    problems.push(document.problem(&place, "this step needs `engine: kind` in exercise.yaml"));
                }
            }
        }
        if problems.is_empty() { Ok(exam) } else { Err(Problems(problems)) }
    }

    /// What a schema cannot say, each with the JSON pointer of the place.
    fn contradictions(&self) -> Vec<(String, String)> {
        let mut found = Vec::new();
        if self.cap() < self.min() {
            let message = format!("the cap of {} s is below the {} s that the phases take at least", self.cap_seconds, self.min().as_secs());
            found.push(("/cap_seconds".to_owned(), message));
        }
        if self.unseen_rows >= self.rows {
            found.push(("/unseen_rows".to_owned(), format!("at most {} of {} rows can be kept back", self.rows.saturating_sub(1), self.rows)));
        }
        for (index, phase) in self.phases.iter().enumerate() {
            if self.phases[..index].iter().any(|earlier| earlier.id == phase.id) {
                found.push((format!("/phases/{index}/id"), format!("there is another phase `{}`", phase.id)));
            }
            let unseen = phase.steps.iter().position(|step| matches!(step, Step::Features { unseen: true, .. }));
            if let (Some(step), 0) = (unseen, self.unseen_rows) {
                found.push((format!("/phases/{index}/steps/{step}"), "there are no rows for it: set `unseen_rows`".to_owned()));
            }
            let drift = phase.steps.iter().position(|step| *step == Step::Drift {});
            if let (Some(step), 0) = (drift, self.drifted_rows) {
                found.push((format!("/phases/{index}/steps/{step}"), "there are no rows for it: set `drifted_rows`".to_owned()));
            }
            for (step, one) in phase.steps.iter().enumerate() {
                if let Step::Hold { seconds, shows: Some(Shows::Signature { id, steady_after_seconds }) } = one {
                    let place = format!("/phases/{index}/steps/{step}");
                    if steady_after_seconds >= seconds {
                        found.push((place.clone(), format!("`{id}` is at its height only when the hold is over")));
                    }
                    let earlier = self.phases[..index].iter().flat_map(|phase| &phase.steps).chain(&phase.steps[..step]);
                    if earlier.filter_map(signature).any(|other| other == id) {
                        found.push((place, format!("there is another signature `{id}`")));
                    }
                }
            }
            if phase.cap_seconds < phase.min_seconds {
                found.push((
                    format!("/phases/{index}/cap_seconds"),
                    format!("the cap of {} s is below the minimum of {} s", phase.cap_seconds, phase.min_seconds),
                ));
            }
        }
        if let Some(replay) = &self.replay {
            let known: Vec<&str> = self.phases.iter().flat_map(|phase| &phase.steps).filter_map(signature).collect();
            let mut named: Vec<(String, &str)> = Vec::new();
            for (index, incident) in replay.incidents.iter().enumerate() {
                named.push((format!("/replay/incidents/{index}/signature"), &incident.signature));
                if replay.incidents[..index].iter().any(|earlier| earlier.id == incident.id) || incident.id == QUIET {
                    found.push((format!("/replay/incidents/{index}/id"), format!("there is another trace `{}`", incident.id)));
                }
            }
            named.extend(
                replay
                    .quiet
                    .blemishes
                    .iter()
                    .enumerate()
                    .map(|(index, blemish)| (format!("/replay/quiet/blemishes/{index}/signature"), blemish.signature.as_str())),
            );
            for (place, signature) in named {
                if !known.contains(&signature) {
                    found.push((place, format!("no step shows the signature `{signature}`; known: {}", known.join(", "))));
                }
            }
        }
        found
    }

    /// The phases in the order in which they are held.
    pub fn order(&self, random: &mut impl Rng) -> Vec<&Phase> {
        let mut order: Vec<&Phase> = self.phases.iter().collect();
        for group in order.chunk_by_mut(|one, next| one.shuffled.is_some() && one.shuffled == next.shuffled) {
            shuffle(group, random);
        }
        order
    }

    /// The exam with what happens to the deployment before the first release in another order: nothing in it may hang on what came before. A
    /// phase without entry conditions goes on where the one before it ended, and stays behind it; the first, in which all is well, is first.
    #[must_use]
    pub fn permuted(&self, random: &mut impl Rng) -> Self {
        let releases = self.phases.iter().position(Phase::runs_commands).unwrap_or(self.phases.len());
        let mut phases = self.phases.clone();
        let after = phases.split_off(releases);
        let mut chains: Vec<Vec<Phase>> = Vec::new();
        for phase in phases.drain(1.min(releases)..) {
            match chains.last_mut() {
                Some(chain) if phase.entry.is_empty() => chain.push(phase),
                _ => chains.push(vec![phase]),
            }
        }
        shuffle(&mut chains, random);
        phases.extend(chains.into_iter().flatten().chain(after));
        Self { phases, ..self.clone() }
    }

    /// The short exam that a candidate takes at home: the phases that say so, with shorter holds.
    #[must_use]
    pub fn at_home(&self) -> Self {
        let mut short = self.clone();
        short.phases.retain(|phase| phase.at_home);
        short.replay = None;
        short.settle_seconds = short.settle_seconds.min(HOLD_AT_HOME);
        for phase in &mut short.phases {
            phase.min_seconds = 1;
            // The rule of a ring is part of what grading renders, and not of a candidate's own file.
            phase.steps.retain(|step| !matches!(step, Step::Ring { .. }));
            for step in &mut phase.steps {
                if let Step::Hold { seconds, .. } = step {
                    *seconds = (*seconds).min(HOLD_AT_HOME);
                }
            }
        }
        short
    }

    /// A part of the exam: the phases that are named, in their order. Where they show a deployment that is well for long enough, what they show of
    /// incidents is replayed. Fails with the first name that is no phase's.
    pub fn part(&self, phases: &[String]) -> Result<Self, String> {
        if let Some(unknown) = phases.iter().find(|id| !self.phases.iter().any(|phase| phase.id == **id)) {
            return Err(unknown.clone());
        }
        let mut part = self.clone();
        part.phases.retain(|phase| phases.contains(&phase.id));
        let is_long_enough = part.phases.iter().map(Phase::healthy_seconds).sum::<u64>() >= HEALTHY_SECONDS;
        let shown: Vec<&str> = part.phases.iter().flat_map(|phase| &phase.steps).filter_map(signature).collect();
        let replay = self.replay.clone().filter(|_| is_long_enough).map(|mut replay| {
            replay.incidents.retain(|incident| shown.contains(&incident.signature.as_str()));
            replay.quiet.blemishes.retain(|blemish| shown.contains(&blemish.signature.as_str()));
            replay
        });
        part.replay = replay.filter(|replay| !replay.incidents.is_empty());
        Ok(part)
    }

    /// The phase that shows what an incident is made of.
    pub fn phase_of(&self, incident: &str) -> Option<&Phase> {
        let wanted = self.replay.as_ref()?.incidents.iter().find(|one| one.id == incident)?;
        self.phases.iter().find(|phase| phase.steps.iter().filter_map(signature).any(|shown| shown == wanted.signature))
    }

    /// The most time that all commands of a submission may take together.
    pub fn commands(&self) -> Duration {
        Duration::from_secs(self.commands_seconds)
    }

    /// The most time that the phases take together without commands, but for the last of them.
    pub fn cap(&self) -> Duration {
        Duration::from_secs(self.cap_seconds)
    }

    /// Why a phase is not held any more after what was before it took so long, the commands in it so long, if so: a command that never ends costs what
    /// releases are asked, and a submission of which nothing works need not be asked everything.
    pub fn too_late(&self, phase: &Phase, took: Duration, commands: Duration) -> Option<String> {
        if phase.runs_commands() && commands >= self.commands() {
            return Some(format!("commands before it took {} s together", commands.as_secs()));
        }
        let rest = took.saturating_sub(commands);
        (rest >= self.cap()).then(|| format!("what was before it took {} s without its commands", rest.as_secs()))
    }

    /// The least time that the phases take together.
    pub fn min(&self) -> Duration {
        self.phases.iter().map(Phase::min).sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::check::tests::model_down;

    fn flagship() -> String {
        model_down().exam.text
    }

    fn refused(text: &str) -> String {
        Exam::parse("exam.yaml", text).expect_err("it must be refused").to_string()
    }

    #[test]
    fn what_is_too_late_is_not_held() {
        let exam = Exam::parse("exam.yaml", &flagship()).expect("it is right");
        let phase = |id: &str| exam.phases.iter().find(|phase| phase.id == id).expect("it is there");
        let at = |id: &str, took: u64, commands: u64| exam.too_late(phase(id), Duration::from_secs(took), Duration::from_secs(commands));
        assert_eq!((at("restart", 389, 0), at("restart", 680, 300), at("rollback", 500, 299)), (None, None, None));
        assert_eq!(at("rollback", 500, 300).as_deref(), Some("commands before it took 300 s together"));
        assert_eq!(at("restart", 700, 301).as_deref(), Some("what was before it took 399 s without its commands"));
        let short = flagship().replacen("cap_seconds: 390", "cap_seconds: 200", 1);
        assert!(refused(&short).contains("the cap of 200 s is below the 219 s that the phases take at least"), "{}", refused(&short));
    }

    #[test]
    fn a_replay_that_contradicts_the_phases_names_every_place() {
        let text = flagship()
            .replacen("signature: drift, minutes", "signature: drought, minutes", 1)
            .replacen("id: slow-burn, title", "id: error-burst, title", 1)
            .replacen("id: dead-replica, title", "id: quiet, title", 1)
            .replacen("{signature: restart, seconds", "{signature: nap, seconds", 1)
            .replacen("id: wrong-version, steady_after_seconds: 3", "id: outage, steady_after_seconds: 8", 1);
        let said = refused(&text);
        for expected in [
            "no step shows the signature `drought`; known: dead-replica, restart, store-failing,",
            "no step shows the signature `nap`",
            "there is another trace `error-burst`",
            "there is another trace `quiet`",
            "there is another signature `outage`",
            "`outage` is at its height only when the hold is over",
        ] {
            assert!(said.contains(expected), "{expected} is missing in\n{said}");
        }
    }

    #[test]
    fn a_part_replays_what_it_shows() {
        let exam = Exam::parse("exam.yaml", &flagship()).expect("it is right");
        let part = |phases: &[&str]| exam.part(&phases.iter().map(|id| (*id).to_owned()).collect::<Vec<_>>()).expect("they are there").replay;
        assert_eq!(part(&["baseline", "drift"]), None, "it is not well for long enough");
        assert_eq!(part(&["baseline", "store-well", "wiring"]), None, "it shows no incident");
        let replay = part(&["baseline", "store-well", "drift", "wiring"]).expect("there is one");
        assert_eq!(replay.incidents.iter().map(|one| one.id.as_str()).collect::<Vec<_>>(), ["drift"]);
        assert_eq!(replay.quiet.blemishes, []);
        assert_eq!(exam.phase_of("slow-burn").map(|phase| phase.id.as_str()), Some("outage"));
        let all: Vec<String> = exam.phases.iter().map(|phase| phase.id.clone()).collect();
        assert_eq!(exam.part(&all), Ok(exam.clone()));
    }

    #[test]
    fn phases_that_hold_a_fault_are_about_it() {
        let exam = Exam::parse("exam.yaml", &flagship()).expect("it is right");
        let about: Vec<&str> = exam.phases.iter().filter(|phase| phase.makes_faults()).map(|phase| phase.id.as_str()).collect();
        for phase in ["outage", "wrong-version", "slow-version", "kill", "drift"] {
            assert!(about.contains(&phase), "{phase} is not among {about:?}");
        }
        assert!(!about.contains(&"baseline") && !about.contains(&"survey"), "{about:?}");
    }

    #[test]
    fn nothing_is_replayed_at_home_or_of_an_exam_that_says_nothing_of_it() {
        let exam = Exam::parse("exam.yaml", &flagship()).expect("it is right");
        assert!(exam.replay.is_some() && exam.at_home().replay.is_none());
        let text = flagship();
        let before = text.split("\nreplay:").next().expect("there is a first part");
        assert_eq!(Exam::parse("exam.yaml", before).expect("a replay may be absent").replay, None);
    }

    #[test]
    fn another_order_has_the_same_phases_and_keeps_together_what_goes_on() {
        let exam = Exam::parse("exam.yaml", &flagship()).expect("it is right");
        let permuted = exam.permuted(&mut harness::exercise::Seed::new("one").expect("it is a seed").stream("x", "y"));
        let ids = |exam: &Exam| exam.phases.iter().map(|phase| phase.id.clone()).collect::<Vec<_>>();
        let (before, after) = (ids(&exam), ids(&permuted));
        let place = |id: &str| after.iter().position(|other| other == id).expect("it is there");
        assert_ne!(before, after);
        assert_eq!((place("baseline"), place("store-well"), place("store-slow")), (0, place("store-stale") + 1, place("pause") + 1));
        let releases = before.iter().position(|id| id == "release-good").expect("it is there");
        assert_eq!(before[releases..], after[releases..]);
        let sorted = |mut ids: Vec<String>| {
            ids.sort();
            ids
        };
        assert_eq!(sorted(before), sorted(after));
    }

    #[test]
    fn whoever_counts_back_from_the_champion_is_never_right() {
        let exam = Exam::parse("exam.yaml", &flagship()).expect("it is right");
        for seed in 0..100 {
            let mut random = harness::exercise::Seed::new(&format!("seed-{seed}")).expect("it is one").stream("x", "y");
            let (mut newest, mut latest_is_good, mut champion, mut before, mut rolled_back) = (100_u64, false, 100_u64, None, 0);
            for step in exam.order(&mut random).into_iter().flat_map(|phase| &phase.steps) {
                match step {
                    Step::Publish { artifact, digest } => {
                        newest += 1;
                        latest_is_good = artifact.starts_with("good") && *digest == Digest::Right;
                    }
                    Step::Deploy { version: Deployed::Latest } if latest_is_good => before = Some(std::mem::replace(&mut champion, newest)),
                    Step::Rollback {} => {
                        let Some(to) = before.take() else { continue };
                        assert_ne!(to, champion - 1, "seed {seed}");
                        champion = to;
                        rolled_back += 1;
                    }
                    _ => {}
                }
            }
            assert_eq!(rolled_back, 2, "seed {seed}");
        }
    }

    #[test]
    fn a_step_that_only_kubernetes_knows_is_refused_elsewhere() {
        let mut exercise = model_down();
        exercise.exam.text = flagship().replacen("- kill: {role: model}", "- delete: {role: model}", 1);
        let said = Exam::of(&exercise).expect_err("it must be refused").to_string();
        assert!(said.contains("this step needs `engine: kind` in exercise.yaml"), "{said}");
        exercise.manifest.engine = EngineKind::Kind;
        assert!(Exam::of(&exercise).is_ok());
    }

    #[test]
    fn readiness_is_a_condition_of_the_role_that_the_contract_names() {
        let mut exercise = model_down();
        exercise.exam.text = flagship().replacen("ready: {role: model}", "ready: {role: prometheus}", 1);
        let said = Exam::of(&exercise).expect_err("it must be refused").to_string();
        assert!(said.contains("exam.yaml:") && said.contains("contract.yaml says of the role `model` alone"), "{said}");
    }

    #[test]
    fn a_step_that_the_contract_has_nothing_for_names_its_place() {
        let mut exercise = model_down();
        assert!(Exam::of(&exercise).is_ok());
        (exercise.contract.features, exercise.contract.release) = (None, None);
        let said = Exam::of(&exercise).expect_err("it must be refused").to_string();
        assert!(said.contains("this step needs `features` in contract.yaml, which is not there"), "{said}");
        assert!(said.contains("this step needs `release` in contract.yaml") && !said.contains("`registry`"), "{said}");
    }
}
