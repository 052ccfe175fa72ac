//! What was replayed after the exam: the incidents and the quiet day, and who was told what in them. Every format shows this.
//!
//! Names are a submission's: they are cleaned and cut here, and lists have an end.

use std::collections::{BTreeMap, BTreeSet};

use schemars::JsonSchema;
use serde::Serialize;

use super::{clean, word};
use crate::check::{Judgement, Kind, Played, Rubric, Told, Trace, said};
use crate::exam::{Exam, Incident, QUIET};
use crate::history::{AlertLine, Count, History, Line, Notification, NotifiedAlert, TraceLine};

/// The most alerts that are shown of an incident.
const ALERTS: usize = 12;
/// The most stretches of time in which one of them fires; the nearest become one.
const SPANS: usize = 24;
/// The most messages of a lane from the onset on, and before it.
const MESSAGES: usize = 40;
const EARLIER: usize = 8;
/// The most alerts that are named in a message, and the longest name in characters.
const NAMES: usize = 3;
const NAME: usize = 64;
/// Those whom messages wake.
const LANES: [&str; 2] = ["page", "ticket"];

/// What was replayed in production time after the exam.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
pub struct Replayed {
    /// The incidents, in the order of `exam.yaml`.
    pub incidents: Vec<Episode>,
    /// The day on which nothing happens.
    pub quiet: Episode,
}

/// An incident, or the quiet day.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
pub struct Episode {
    /// Its id, as in `exam.yaml`.
    pub id: String,
    /// Its title.
    pub title: String,
    /// The check that judges it; nothing where none does.
    pub check: Option<String>,
    /// That check's verdict in one word.
    pub word: Option<String>,
    /// What is asked for.
    pub asked: Option<String>,
    /// By when who is to be told.
    pub deadline: Option<Deadline>,
    /// What was seen: who was told, when, and by which alert, or that nobody was.
    pub seen: String,
    /// The first message because of it to each of `page` and `ticket`, in order of time.
    pub told: Vec<First>,
    /// What happened; nothing where it was not replayed.
    pub scene: Option<Scene>,
}

/// By when who is to be told.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
pub struct Deadline {
    /// Whom a message may reach.
    pub urgencies: Vec<String>,
    /// How many seconds after the onset at the latest.
    pub within_s: f64,
}

/// The first message to someone because of an incident.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
pub struct First {
    /// Whom it reaches.
    pub urgency: String,
    /// How many seconds after the onset.
    pub at_s: f64,
    /// By which alert.
    pub alert: String,
}

/// What happened, in seconds from the onset, negative before it.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
pub struct Scene {
    /// Where the replay begins.
    pub from_s: f64,
    /// Where the fault ends.
    pub end_s: f64,
    /// Where the replay ends.
    pub to_s: f64,
    /// Messages: to `page`, then to `ticket`.
    pub lanes: Vec<Lane>,
    /// Alerts that fired, those that someone was told of first.
    pub alerts: Vec<Fired>,
    /// How many alerts fired, those left out included.
    pub alerts_total: usize,
}

/// The messages to someone.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
pub struct Lane {
    /// Whom they reach.
    pub urgency: String,
    /// How many there were, those left out included.
    pub total: usize,
    /// The messages, in order of time.
    pub messages: Vec<Message>,
}

/// A message.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
pub struct Message {
    /// When.
    pub at_s: f64,
    /// Whether it says that alerts have ended.
    pub resolved: bool,
    /// Whether one of its alerts fires because of the incident.
    pub counts: bool,
    /// The names of the first few of its alerts.
    pub alerts: Vec<String>,
    /// The number of its line in `replay.jsonl`.
    pub line: u64,
}

/// The alerts of a name.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
pub struct Fired {
    /// The name.
    pub name: String,
    /// What it says of the incident.
    pub standing: Standing,
    /// When one of them fired: from, to.
    pub spans: Vec<(f64, f64)>,
}

/// What an alert says of an incident.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Standing {
    /// It fires because of it, and someone is told.
    Told,
    /// It fires because of it, and nobody is told.
    Untold,
    /// Nothing: it fired before.
    Before,
    /// Nothing: it fires in the same time without the incident.
    Without,
}

impl Replayed {
    /// What was replayed; nothing where the exam has no replay.
    pub(super) fn new(history: &History, exam: &Exam, rubric: &Rubric, judgements: &BTreeMap<String, Judgement>) -> Option<Self> {
        let replay = exam.replay.as_ref()?;
        let lines = history.replay.as_deref().unwrap_or_default();
        let played = Played::of(lines);
        let part = |id: &str| Some(Part::new(played.as_ref()?.trace(id)?, lines));
        let incident = |incident: &Incident| {
            let judged = rubric.checks.iter().find_map(|check| match &check.kind {
                Kind::Noticed(kind) if kind.incident == incident.id => Some((check, kind)),
                _ => None,
            });
            let deadline = judged.map(|(_, kind)| Deadline {
                urgencies: kind.urgencies.iter().map(|one| one.name().to_owned()).collect(),
                within_s: kind.within_minutes * 60.0,
            });
            let asked = deadline.as_ref().map(|deadline| format!("{} within {}", deadline.whom(), said(deadline.within_s)));
            let judgement = judged.and_then(|(check, _)| Some((check.id.as_str(), judgements.get(&check.id)?)));
            let mut episode = Episode::new(&incident.id, &incident.title, judgement, part(&incident.id).as_ref());
            (episode.asked, episode.deadline) = (asked, deadline);
            episode
        };
        let undisturbed = rubric.checks.iter().find(|check| matches!(check.kind, Kind::Undisturbed(_)));
        let judgement = undisturbed.and_then(|check| Some((check.id.as_str(), judgements.get(&check.id)?)));
        let quiet = Episode::new(QUIET, "A day on which nothing happens", judgement, part(QUIET).as_ref());
        Some(Self {
            incidents: replay.incidents.iter().map(incident).collect(),
            quiet: Episode { asked: judgement.map(|(_, judgement)| judgement.expected.clone()), told: Vec::new(), ..quiet },
        })
    }
}

impl Episode {
    fn new(id: &str, title: &str, judgement: Option<(&str, &Judgement)>, part: Option<&Part<'_>>) -> Self {
        let told = part.map(|part| part.trace.told()).unwrap_or_default();
        let mut firsts: Vec<First> = LANES
            .iter()
            .filter_map(|urgency| told.iter().find(|one| one.urgency == *urgency))
            .map(|one| First { urgency: one.urgency.to_owned(), at_s: one.at_s, alert: name(one.alert) })
            .collect();
        firsts.sort_by(|one, other| one.at_s.total_cmp(&other.at_s));
        let in_words = || match (part, firsts.as_slice()) {
            (None, _) => "it was not replayed".to_owned(),
            (_, []) => "nobody is told because of it".to_owned(),
            (_, [first, ..]) => format!("`/{}` after {}, by `{}`", first.urgency, said(first.at_s), first.alert),
        };
        Self {
            id: id.to_owned(),
            title: title.to_owned(),
            check: judgement.map(|(check, _)| check.to_owned()),
            word: judgement.map(|(_, judgement)| word(&judgement.verdict).to_owned()),
            asked: None,
            deadline: None,
            seen: judgement.map_or_else(in_words, |(_, judgement)| clean(&judgement.observed)),
            scene: part.map(|part| Scene::new(part, &told)),
            told: firsts,
        }
    }

    /// The first message that is asked for; else the first to anybody.
    pub(super) fn first(&self) -> Option<&First> {
        let is_asked = |one: &&First| self.deadline.as_ref().is_some_and(|deadline| deadline.urgencies.contains(&one.urgency));
        self.told.iter().find(is_asked).or_else(|| self.told.first())
    }
}

impl Deadline {
    /// Whom a message may reach, in words.
    pub(super) fn whom(&self) -> String {
        let urgencies: Vec<String> = self.urgencies.iter().map(|one| format!("`/{one}`")).collect();
        urgencies.join(" or ")
    }
}

/// The lines of a trace that are not its twin's.
struct Part<'a> {
    trace: Trace<'a>,
    is_quiet: bool,
    /// With their numbers, in order of time.
    messages: Vec<(u64, &'a Notification)>,
    alerts: Vec<&'a AlertLine>,
    twins: Vec<&'a AlertLine>,
    counts: Vec<&'a Count>,
}

impl<'a> Part<'a> {
    fn new(trace: Trace<'a>, lines: &'a [Line]) -> Self {
        let id = trace.line.trace.as_str();
        let (mut messages, mut alerts, mut twins, mut counts) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
        for (number, line) in (1..).zip(lines) {
            match line {
                Line::Notification(one) if one.trace == id && !one.twin => messages.push((number, one)),
                Line::Alert(one) if one.trace == id && one.twin => twins.push(one),
                Line::Alert(one) if one.trace == id => alerts.push(one),
                Line::Count(one) if one.trace == id && !one.twin => counts.push(one),
                _ => {}
            }
        }
        messages.sort_by(|(_, one), (_, other)| one.at_s.total_cmp(&other.at_s));
        Self { is_quiet: id == QUIET, trace, messages, alerts, twins, counts }
    }

    /// Whether a message is of an alert that fires, or fired, because of the incident.
    fn counts(&self, one: &Notification) -> bool {
        let is_because = |alert: &NotifiedAlert| alert.name().is_some_and(|name| self.trace.is_because(name, &alert.labels));
        self.is_quiet || one.alerts.iter().any(|alert| alert.status == one.status && is_because(alert))
    }

    /// Why an alert says nothing of the incident: what fires at any time does so in the twin, and what fired before may do so nowhere else.
    fn idle(&self, alert: &AlertLine) -> Standing {
        let end_s = self.trace.line.end_s;
        let is_in_twin = |twin: &&AlertLine| twin.rule == alert.rule && self.trace.spans(twin).iter().any(|(from, to)| *from < end_s && *to > 0.0);
        let is_before = self.trace.spans(alert).iter().any(|(from, _)| *from < 0.0);
        if is_before && !self.twins.iter().any(is_in_twin) { Standing::Before } else { Standing::Without }
    }

    /// The alerts by name. Those that go by themselves and reach nobody but the heartbeat's watcher are left out, and on a quiet day all
    /// that nobody is told of.
    fn fired(&self) -> Vec<Fired> {
        let reaching = |urgencies: &[&str]| -> BTreeSet<&str> {
            let messages = self.messages.iter().filter(|(_, one)| urgencies.contains(&one.urgency.as_str()));
            messages.flat_map(|(_, one)| &one.alerts).filter_map(NotifiedAlert::name).collect()
        };
        let (told, beating) = (reaching(&LANES), reaching(&["heartbeat"]));
        let mut found: BTreeMap<(Standing, &str), Vec<(f64, f64)>> = BTreeMap::new();
        for alert in &self.alerts {
            let (name, spans) = (alert.rule.name.as_str(), self.trace.spans(alert));
            let (is_told, is_because) = (told.contains(name), self.is_quiet || self.trace.is_because(name, &alert.labels));
            let is_hidden = !is_told && (self.is_quiet || (beating.contains(name) && !is_because));
            if spans.is_empty() || is_hidden {
                continue;
            }
            let standing = match (is_because, is_told) {
                (true, true) => Standing::Told,
                (true, false) => Standing::Untold,
                (false, _) => self.idle(alert),
            };
            found.entry((standing, name)).or_default().extend(spans);
        }
        let fired = |((standing, one), spans): ((Standing, &str), Vec<_>)| Fired { name: name(one), standing, spans: merged(spans) };
        let mut fired: Vec<Fired> = found.into_iter().map(fired).collect();
        let begins = |one: &Fired| one.spans.first().map_or(f64::MAX, |(from, _)| *from);
        fired.sort_by(|one, other| one.standing.cmp(&other.standing).then(begins(one).total_cmp(&begins(other))));
        fired
    }
}

impl Scene {
    fn new(part: &Part<'_>, told: &[Told<'_>]) -> Self {
        let told: BTreeSet<u64> = told.iter().map(|one| one.number).collect();
        let lanes: Vec<Lane> = LANES.map(|urgency| Lane::new(part, urgency, &told)).into();
        let mut alerts = part.fired();
        let alerts_total = alerts.len();
        alerts.truncate(ALERTS);
        let TraceLine { from_s, end_s, to_s, .. } = *part.trace.line;
        Self { from_s, end_s, to_s, lanes, alerts, alerts_total }
    }
}

impl Lane {
    fn new(part: &Part<'_>, urgency: &str, told: &BTreeSet<u64>) -> Self {
        let all: Vec<(u64, &Notification)> = part.messages.iter().copied().filter(|(_, one)| one.urgency == urgency).collect();
        let listed = all.len();
        let (earlier, mut later): (Vec<_>, Vec<_>) = all.into_iter().partition(|(_, one)| one.at_s < 0.0);
        // What tells of the incident is shown before anything else.
        later.sort_by_key(|(number, _)| !told.contains(number));
        later.truncate(MESSAGES);
        later.sort_by(|(_, one), (_, other)| one.at_s.total_cmp(&other.at_s));
        let shown = earlier.iter().skip(earlier.len().saturating_sub(EARLIER)).chain(&later);
        let messages = shown.map(|(number, one)| Message {
            at_s: one.at_s,
            resolved: one.status != "firing",
            counts: part.counts(one),
            alerts: one.alerts.iter().filter_map(NotifiedAlert::name).collect::<BTreeSet<_>>().into_iter().take(NAMES).map(name).collect(),
            line: *number,
        });
        let counted: usize = part.counts.iter().filter(|one| one.urgency == urgency).map(|one| one.count).sum();
        Self { urgency: urgency.to_owned(), total: counted.max(listed), messages: messages.collect() }
    }
}

/// Stretches of time that do not meet, in order, and not too many.
fn merged(mut spans: Vec<(f64, f64)>) -> Vec<(f64, f64)> {
    spans.sort_by(|(one, _), (other, _)| one.total_cmp(other));
    let mut apart: Vec<(f64, f64)> = Vec::new();
    for (from, to) in spans {
        match apart.last_mut() {
            Some((_, end)) if from <= *end => *end = end.max(to),
            _ => apart.push((from, to)),
        }
    }
    // The widest gaps stay.
    let mut gaps: Vec<(f64, usize)> = apart.windows(2).enumerate().map(|(index, pair)| (pair[1].0 - pair[0].1, index)).collect();
    gaps.sort_by(|(one, _), (other, _)| other.total_cmp(one));
    let closed: BTreeSet<usize> = gaps.into_iter().skip(SPANS - 1).map(|(_, index)| index).collect();
    let mut kept: Vec<(f64, f64)> = Vec::new();
    for (index, (from, to)) in apart.into_iter().enumerate() {
        match kept.last_mut() {
            Some((_, end)) if index.checked_sub(1).is_some_and(|before| closed.contains(&before)) => *end = to,
            _ => kept.push((from, to)),
        }
    }
    kept
}

/// A name of a submission's, on one line and not endless.
fn name(text: &str) -> String {
    let mut cut = clean(&text.chars().take(NAME).collect::<String>()).replace(['\n', '\r'], " ");
    if text.chars().nth(NAME).is_some() {
        cut.push_str("...");
    }
    cut
}

#[cfg(test)]
mod tests;
