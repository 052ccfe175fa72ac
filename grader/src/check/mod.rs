//! Checks: pure functions from a history to a verdict. No I/O, no clock, no randomness: the same history gives the same bytes.
//!
//! A kind of check is one file here and one line in [`Kind`]. Whether a phase can be judged at all is decided in `control.rs`,
//! on things that a submission cannot touch.

mod alerts;
mod availability;
mod awake;
mod champion;
mod control;
mod correctness;
mod dashboard;
mod dispensable;
mod evicted;
mod figure;
mod flooded;
mod latency;
mod longest_gap;
mod memory_budget;
mod moving;
mod noticed;
mod played;
mod quiet;
mod readiness;
mod release;
mod resolved;
mod restored;
mod rolled;
mod rubric;
mod rules;
mod scrape_lost;
mod scraped;
mod series_budget;
mod silence;
mod stalled;
mod status;
mod told;
mod undisturbed;
mod view;
mod wiring;

#[cfg(test)]
pub(crate) mod tests;

use std::collections::BTreeMap;

use harness::document::{Problem, Problems};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::exam::Exam;
use crate::history::{History, PhaseRecord, Phases};
pub(crate) use control::noise;
use control::{CAUSED, Control, PAGED, PLAYED, REPLAYED, SERVED};
pub(crate) use played::{Played, Told, Trace, said};
pub(crate) use view::View;

pub use figure::{Figure, Unit};
pub use rubric::{Check, Rubric};

/// What a check came to.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
#[serde(tag = "is", rename_all = "snake_case")]
pub enum Verdict {
    /// The requirement is met.
    Passed {
        /// Met with less room than the reference has: worth a look, full marks.
        grey: bool,
    },
    /// Met in part.
    Partial {
        /// Which share of the points it earns, between 0 and 1.
        share: f64,
    },
    /// Not met.
    Failed,
    /// Nobody can say: something that the submission cannot touch did not work.
    NotGraded {
        /// What did not work.
        control: String,
    },
}

impl Verdict {
    /// The least and the most share of the points that it stands for.
    pub fn shares(&self) -> (f64, f64) {
        match self {
            Self::Passed { .. } => (1.0, 1.0),
            Self::Partial { share } => (*share, *share),
            Self::Failed => (0.0, 0.0),
            Self::NotGraded { .. } => (0.0, 1.0),
        }
    }
}

/// A place in the history that shows why, as a kind of check finds it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Evidence {
    /// Numbers of events: lines of `events.jsonl`.
    pub events: Vec<u64>,
    /// Numbers of lines of `replay.jsonl`.
    pub replay: Vec<u64>,
    /// What stands there, in words.
    pub excerpt: String,
}

impl Evidence {
    fn new(events: Vec<u64>, excerpt: impl Into<String>) -> Self {
        Self { events, replay: Vec::new(), excerpt: excerpt.into() }
    }

    fn of_replay(replay: Vec<u64>, excerpt: impl Into<String>) -> Self {
        Self { events: Vec::new(), replay, excerpt: excerpt.into() }
    }
}

/// Evidence with its time, which [`judge`] looks up.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
pub struct Exhibit {
    /// Numbers of events: lines of `events.jsonl`.
    pub events: Vec<u64>,
    /// Numbers of lines of `replay.jsonl`.
    pub replay: Vec<u64>,
    /// When the first of the events was recorded, in seconds of the exam; 0 without one.
    pub from: f64,
    /// When the last of them was.
    pub to: f64,
    /// What stands there, in words.
    pub excerpt: String,
}

/// The part of the exam that a check was judged on.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
pub struct Window {
    /// The phase's id.
    pub phase: String,
    /// The phase's title.
    pub title: String,
    /// Which phase it was, in the order in which they were held, from 1.
    pub place: usize,
    /// When it began, in seconds of the exam.
    pub from: f64,
    /// When it ended.
    pub to: f64,
}

/// A verdict with its reasons.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
pub struct Judgement {
    /// The verdict.
    pub verdict: Verdict,
    /// What is asked for.
    pub expected: String,
    /// What was seen.
    pub observed: String,
    /// The number in it, where it is a matter of degree.
    pub figure: Option<Figure>,
    /// The part of the exam in which it was looked for; nothing where that was not held.
    pub window: Option<Window>,
    /// Where it was seen.
    pub evidence: Vec<Exhibit>,
    /// The check whose failure explains this one.
    pub caused_by: Option<String>,
}

/// What a kind of check makes of a phase that can be judged.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Finding {
    verdict: Verdict,
    observed: String,
    figure: Option<Figure>,
    evidence: Vec<Evidence>,
}

impl Finding {
    fn new(passed: bool, grey: bool, observed: String) -> Self {
        Self { verdict: if passed { Verdict::Passed { grey } } else { Verdict::Failed }, observed, figure: None, evidence: Vec::new() }
    }

    /// Met in part, by a rule that `docs/scoring.md` states; `observed` says what is missing.
    fn partial(share: f64, observed: String) -> Self {
        Self { verdict: Verdict::Partial { share }, observed, figure: None, evidence: Vec::new() }
    }

    fn measured(mut self, figure: Figure) -> Self {
        self.figure = Some(figure);
        self
    }

    /// A machine without time for a submission hides what it could do, and lends it nothing: what was met on it was met.
    fn unless_hindered(self, hindrance: impl FnOnce() -> Option<String>) -> Self {
        let is_met = matches!(self.verdict, Verdict::Passed { .. } | Verdict::NotGraded { .. });
        if is_met { self } else { hindrance().map_or(self, not_graded) }
    }

    fn with(mut self, evidence: impl IntoIterator<Item = Evidence>) -> Self {
        self.evidence.extend(evidence);
        self
    }
}

/// A kind of check: what it asks for, and whether a phase gave it.
pub(crate) trait Judge {
    /// What is asked for, with its numbers.
    fn expected(&self) -> String;
    /// What of ours must have worked, so that what the phase gave is the submission's.
    fn controls(&self) -> &'static [Control];
    /// What the phase gave.
    fn judge(&self, view: &View<'_>) -> Finding;
    /// Phases beside its own that it reads.
    fn also_reads(&self) -> Option<&str> {
        None
    }
    /// Whether it judges what happened in its phase; what was handed in is judged whether the phase could be held or not.
    fn is_of_its_phase(&self) -> bool {
        true
    }
    /// Incidents of the replay that it reads.
    fn incidents(&self) -> Vec<&str> {
        Vec::new()
    }
}

/// Every kind of check.
#[derive(Debug, Clone, PartialEq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// Requests are answered.
    Availability(availability::Availability),
    /// Answers hold the right score.
    Correctness(correctness::Correctness),
    /// Answers come in time.
    Latency(latency::Latency),
    /// The champion answers.
    Champion(champion::Champion),
    /// Replicas say that they are ready.
    Readiness(readiness::Readiness),
    /// No long silence between good answers.
    LongestGap(longest_gap::LongestGap),
    /// Prometheus scrapes every replica.
    Scraped(scraped::Scraped),
    /// Prometheus notices that a replica died.
    ScrapeLost(scrape_lost::ScrapeLost),
    /// An alert finds its way to a receiver.
    Wiring(wiring::Wiring),
    /// Nobody is called for nothing.
    Quiet(quiet::Quiet),
    /// Memory limits stay within a budget.
    MemoryBudget(memory_budget::MemoryBudget),
    /// Prometheus holds few series.
    SeriesBudget(series_budget::SeriesBudget),
    /// A release does what it should.
    Release(release::Release),
    /// The release command says what is served.
    Status(status::Status),
    /// Users are served again after a restart.
    Restored(restored::Restored),
    /// Alerting rules are loaded, work, and have runbooks.
    Alerts(alerts::Alerts),
    /// The dashboards show data.
    Dashboard(dashboard::Dashboard),
    /// In an incident someone is told in time, and because of it.
    Noticed(noticed::Noticed),
    /// When an incident is over its alerts end.
    Resolved(resolved::Resolved),
    /// Nobody is woken on a quiet day.
    Undisturbed(undisturbed::Undisturbed),
    /// Whoever is woken is told once.
    Flooded(flooded::Flooded),
    /// There is no hour at which nobody would be woken.
    Awake(awake::Awake),
    /// Rules and routes load, and can be evaluated.
    Rules(rules::Rules),
    /// Dashboards show incidents.
    Moving(moving::Moving),
    /// What happened on the day before is known.
    Told(told::Told),
    /// Pods can be evicted, and not all at once.
    Evicted(evicted::Evicted),
    /// A rollout comes to its end.
    Rolled(rolled::Rolled),
    /// A rollout that cannot progress is said to have failed.
    Stalled(stalled::Stalled),
    /// Nobody answers.
    Silence(silence::Silence),
    /// Users do not need what has no role.
    Dispensable(dispensable::Dispensable),
}

impl Kind {
    pub(crate) fn judge(&self) -> &dyn Judge {
        match self {
            Self::Availability(kind) => kind,
            Self::Correctness(kind) => kind,
            Self::Latency(kind) => kind,
            Self::Champion(kind) => kind,
            Self::Readiness(kind) => kind,
            Self::LongestGap(kind) => kind,
            Self::Scraped(kind) => kind,
            Self::ScrapeLost(kind) => kind,
            Self::Wiring(kind) => kind,
            Self::Quiet(kind) => kind,
            Self::MemoryBudget(kind) => kind,
            Self::SeriesBudget(kind) => kind,
            Self::Release(kind) => kind,
            Self::Status(kind) => kind,
            Self::Restored(kind) => kind,
            Self::Alerts(kind) => kind,
            Self::Dashboard(kind) => kind,
            Self::Noticed(kind) => kind,
            Self::Resolved(kind) => kind,
            Self::Undisturbed(kind) => kind,
            Self::Flooded(kind) => kind,
            Self::Awake(kind) => kind,
            Self::Rules(kind) => kind,
            Self::Moving(kind) => kind,
            Self::Told(kind) => kind,
            Self::Evicted(kind) => kind,
            Self::Rolled(kind) => kind,
            Self::Stalled(kind) => kind,
            Self::Silence(kind) => kind,
            Self::Dispensable(kind) => kind,
        }
    }
}

/// A history's own copies of the exam and the rubric; where only a part of the exam was held, that part.
pub fn rules(history: &History) -> Result<(Exam, Rubric), Problems> {
    let exam = Exam::parse("exam.yaml", &history.exam)?;
    let rubric = Rubric::parse("checks.yaml", &history.checks, &exam, &history.requirements)?;
    let Some(phases) = &history.manifest.phases else { return Ok((exam, rubric)) };
    let part = exam.part(phases).map_err(|unknown| {
        let text = &history.exam;
        Problems(vec![Problem::at("exam.yaml", text, 0, format!("the exam has no phase `{unknown}`, of which the manifest says that it was held"))])
    })?;
    let rubric = rubric.of(&part);
    Ok((part, rubric))
}

/// Judges a history by its [`rules`].
pub fn judge(history: &History, exam: &Exam, rubric: &Rubric) -> BTreeMap<String, Judgement> {
    let phases = Phases::new(history);
    let mut judgements: BTreeMap<String, Judgement> =
        rubric.checks.iter().map(|check| (check.id.clone(), one(check, history, &phases, exam))).collect();
    for check in &rubric.checks {
        let failed = |id: &String| judgements.get(id).is_some_and(|judgement| judgement.verdict == Verdict::Failed);
        if !failed(&check.id) {
            continue;
        }
        let cause = check.needs.iter().find(|need| failed(need)).cloned();
        let is_open = |id: &&String| judgements.get(*id).is_some_and(|judgement| matches!(judgement.verdict, Verdict::NotGraded { .. }));
        let open = check.needs.iter().find(is_open).filter(|_| cause.is_none()).cloned();
        if let Some(judgement) = judgements.get_mut(&check.id) {
            judgement.caused_by = cause;
            // Nobody knows whether it would have failed as well if what may explain it had been seen.
            if let Some(open) = open {
                let control = format!("`{open}`, which may explain it, is not graded; seen was: {}", judgement.observed);
                judgement.observed.clone_from(&control);
                judgement.verdict = Verdict::NotGraded { control };
            }
        }
    }
    judgements
}

fn one(check: &Check, history: &History, phases: &Phases, exam: &Exam) -> Judgement {
    let judge = check.kind.judge();
    let record = phases.get(&check.phase);
    let finding = match record {
        PhaseRecord::Recorded(window) | PhaseRecord::Skipped { window, .. } => {
            let view = View::new(history, phases, window.clone());
            let controls = judge.controls();
            let found = || found(check, record, &view, exam);
            control::broken(controls, history, &view, exam)
                .map_or_else(found, not_graded)
                .unless_hindered(|| control::hindrance(controls, history, &view, exam))
        }
        PhaseRecord::Missing => not_graded(history.fault(u64::MAX).map_or_else(
            || "the recording ends before this part of the exam does".to_owned(),
            |(number, fault)| format!("the exam was broken off by a fault of ours (event {number}): {fault}"),
        )),
    };
    Judgement {
        verdict: finding.verdict,
        expected: judge.expected(),
        observed: finding.observed,
        figure: finding.figure,
        window: window(&check.phase, phases, exam),
        evidence: finding.evidence.into_iter().map(|one| Exhibit::new(one, history)).collect(),
        caused_by: None,
    }
}

/// What a phase gave whose controls are fine.
fn found(check: &Check, record: &PhaseRecord, view: &View<'_>, exam: &Exam) -> Finding {
    let judge = check.kind.judge();
    if let (PhaseRecord::Skipped { why, .. }, true) = (record, judge.is_of_its_phase()) {
        Finding::new(false, false, format!("this part of the exam could not be held: {why}"))
    } else if is_without_its_fault(&check.phase, view, exam) {
        Finding::new(false, false, "the fault could not be made: no replica was ready, or the phase's time was over".to_owned())
    } else if check.is_replayed()
        && let Some(refused) = played::refused(view)
    {
        refused
    } else {
        judge.judge(view)
    }
}

/// Whether a phase was to be about a fault that was never made: what users got in it proves nothing.
fn is_without_its_fault(phase: &str, view: &View<'_>, exam: &Exam) -> bool {
    let is_about = exam.phases.iter().any(|one| one.id == phase && one.makes_faults());
    is_about && view.faults().next().is_none()
}

/// The part of the exam that a phase was, if it was held.
fn window(id: &str, phases: &Phases, exam: &Exam) -> Option<Window> {
    let PhaseRecord::Recorded(held) = phases.get(id) else { return None };
    let title = exam.phases.iter().find(|phase| phase.id == id)?.title.clone();
    Some(Window { phase: id.to_owned(), title, place: phases.place(id)?, from: seconds(held.start), to: seconds(held.end) })
}

impl Exhibit {
    fn new(evidence: Evidence, history: &History) -> Self {
        let Evidence { events, replay, excerpt } = evidence;
        let at = |number: &u64| usize::try_from(*number).ok().and_then(|number| history.events.get(number.checked_sub(1)?)).map(|event| event.at_ns);
        let times = || events.iter().filter_map(at);
        let (from, to) = (times().min().unwrap_or_default(), times().max().unwrap_or_default());
        Self { from: seconds(from), to: seconds(to), events, replay, excerpt }
    }
}

fn not_graded(control: String) -> Finding {
    Finding { observed: control.clone(), verdict: Verdict::NotGraded { control }, figure: None, evidence: Vec::new() }
}

/// A share as people read it: `99.85 %`.
fn percent(share: f64) -> String {
    // Rounded down, so that 99.996 % never reads as 100 %; a hair up first, since 0.9975 is a little less in binary.
    format!("{} %", (share * 10_000.0 + 1e-6).floor() / 100.0)
}

/// How many of how many, as a share; 0 of 0 is 0.
#[allow(clippy::cast_precision_loss, reason = "an exam has far fewer than 2^52 requests")]
fn share(some: usize, all: usize) -> f64 {
    if all == 0 { 0.0 } else { some as f64 / all as f64 }
}

/// Milliseconds of nanoseconds.
#[allow(clippy::cast_precision_loss, reason = "an exam lasts far less than 2^52 ns")]
fn ms(ns: u64) -> f64 {
    ns as f64 / 1e6
}

/// Seconds of nanoseconds, to the millisecond.
#[allow(clippy::cast_precision_loss, reason = "an exam lasts far less than 2^52 ms")]
pub(crate) fn seconds(ns: u64) -> f64 {
    (ns / 1_000_000) as f64 / 1_000.0
}
