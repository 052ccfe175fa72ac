//! What checks of the replay have in common: whether there is one, and who was told what in a trace.

use std::collections::{BTreeMap, BTreeSet};

use super::{Evidence, Finding, View};
use crate::exam::{QUIET, Receiver};
use crate::history::{AlertLine, Change, Count, Line, Notification, NotifiedAlert, PanelLine, TraceLine};

/// The replay of a history.
pub(crate) struct Played<'a> {
    lines: &'a [Line],
    /// Names of alerts that page on the quiet day: who is woken by them then learns nothing from one more. Of a carpet of thresholds some is
    /// crossed in any incident and not in its twin.
    cried: BTreeSet<&'a str>,
}

/// So many alerts of a rule may fire in a twin with labels that the incident does not have.
const STRANGERS: usize = 3;

/// A trace of it.
pub(crate) struct Trace<'a> {
    pub(crate) line: &'a TraceLine,
    /// Its dashboard queries with the numbers of their lines.
    pub(super) panels: Vec<(u64, &'a PanelLine)>,
    notifications: Vec<(u64, &'a Notification)>,
    /// How many messages there were, by receiver.
    counts: Vec<&'a Count>,
    /// By name; only those of which the twin says enough.
    alerts: BTreeMap<&'a str, Named<'a>>,
    /// Names of alerts that page on the quiet day as well.
    cried: BTreeSet<&'a str>,
}

/// Why there is no replay of a view's history, which is the submission's doing: what is ours is a control.
pub(super) fn refused(view: &View<'_>) -> Option<Finding> {
    let refusal = |(number, line): (u64, &Line)| Some((number, line.refusal()?));
    if let Some((number, why)) = (1..).zip(view.replay().unwrap_or_default()).find_map(refusal) {
        return Some(Finding::new(false, false, format!("nothing could be replayed: {why}")).with([Evidence::of_replay(vec![number], why)]));
    }
    let unrecorded = |why| Finding::new(false, false, format!("the metrics of the submission could not be recorded: {why}"));
    view.unrecorded().map(unrecorded)
}

impl<'a> Played<'a> {
    /// The replay of a view's history, which was not [`refused`].
    pub(super) fn new(view: &View<'a>) -> Self {
        Self::of_lines(view.replay().unwrap_or_default())
    }

    /// The replay of some lines; nothing where the submission's files were refused or the grader ended it.
    pub(crate) fn of(lines: &'a [Line]) -> Option<Self> {
        (!lines.iter().any(|line| line.refusal().is_some())).then(|| Self::of_lines(lines))
    }

    fn of_lines(lines: &'a [Line]) -> Self {
        let page = Receiver::Page.name();
        let is_cry = |one: &&Notification| one.trace == QUIET && !one.twin && one.urgency == page && one.status == "firing";
        let cries = lines.iter().filter_map(|line| if let Line::Notification(one) = line { Some(one).filter(is_cry) } else { None });
        Self { lines, cried: cries.flat_map(|one| one.alerts.iter().filter_map(NotifiedAlert::name)).collect() }
    }

    /// Every line with its number.
    pub(super) fn numbered(&self) -> impl Iterator<Item = (u64, &'a Line)> + use<'a> {
        (1..).zip(self.lines)
    }

    /// A trace, if it was played.
    pub(crate) fn trace(&self, id: &str) -> Option<Trace<'a>> {
        Some(Trace::new(self, self.begun().find(|line| line.trace == id)?))
    }

    /// Every trace that was played.
    pub(super) fn traces(&self) -> impl Iterator<Item = Trace<'a>> {
        self.begun().map(|line| Trace::new(self, line))
    }

    fn begun(&self) -> impl Iterator<Item = &'a TraceLine> + use<'a> {
        self.lines.iter().filter_map(|line| if let Line::Trace(trace) = line { Some(trace) } else { None })
    }
}

/// When an alert fires, in seconds of its trace: from, to. What still fires at the end of what is listed has no end.
fn firing(alert: &AlertLine) -> Vec<(f64, f64)> {
    let mut spans = Vec::new();
    let mut since = None;
    for Change { at_s, state } in &alert.changes {
        match (state.as_str(), since) {
            ("firing", None) => since = Some(*at_s),
            ("firing", Some(_)) => {}
            (_, Some(from)) => {
                spans.push((from, *at_s));
                since = None;
            }
            _ => {}
        }
    }
    spans.extend(since.map(|from| (from, f64::INFINITY)));
    spans
}

/// Whether an alert may be the one of these labels: what leaves Prometheus may have more of them than the alert, and fewer.
fn agrees(alert: &AlertLine, labels: &BTreeMap<String, String>) -> bool {
    alert.labels.iter().all(|(label, value)| labels.get(label).is_none_or(|other| other == value))
}

/// The alerts of a name in a trace and in its twin.
#[derive(Default)]
struct Named<'a> {
    incident: Vec<(u64, &'a AlertLine)>,
    twin: Vec<&'a AlertLine>,
    /// How many the twin has, those included that are not listed.
    twin_total: usize,
}

impl<'a> Named<'a> {
    /// Whether the twin says enough to tell what fires because of the incident: it lists all of them, and they are not named after noise. A
    /// rule that writes a number into its labels always fires, and never with the same labels twice.
    fn is_comparable(&self, end_s: f64) -> bool {
        let is_strange = |twin: &&&AlertLine| {
            firing(twin).iter().any(|(from, _)| *from < end_s) && !self.incident.iter().any(|(_, alert)| alert.labels == twin.labels)
        };
        self.twin_total <= self.twin.len() && self.twin.iter().filter(is_strange).count() <= STRANGERS
    }

    /// The alerts that may be the one of these labels, and fire because of the incident: they began to between its onset and a moment, and
    /// none that may be it fires in the same time without the incident. Where relabelling left none that agrees, each of the name may be it.
    /// Beside it everything fires that fires at that moment without the incident: what does something else then, as an alert with its value
    /// in a label, tells nothing.
    fn because(&self, labels: &BTreeMap<String, String>, at_s: f64, end_s: f64) -> Vec<(u64, &'a AlertLine)> {
        let began = |alert: &AlertLine| firing(alert).iter().any(|(from, _)| (0.0..=at_s).contains(from));
        let is_known = self.incident.iter().any(|(_, alert)| agrees(alert, labels) && began(alert));
        let may_be = |alert: &AlertLine| !is_known || agrees(alert, labels);
        // Until the onset a trace and its twin are the same, so this sees what fired before it too. What is cut off may fire.
        let fires_anyway = |alert: &&AlertLine| {
            let is_cut = alert.changes_total > alert.changes.len() && alert.changes.last().is_none_or(|last| last.at_s < at_s);
            is_cut || firing(alert).iter().any(|(from, _)| *from < end_s)
        };
        let fires_then = |alert: &AlertLine| firing(alert).iter().any(|(from, to)| *from <= at_s && at_s < *to);
        let is_beside = |twin: &AlertLine| self.incident.iter().any(|(_, alert)| alert.labels == twin.labels && fires_then(alert));
        if self.twin.iter().any(|twin| fires_then(twin) && !is_beside(twin)) {
            return Vec::new();
        }
        if self.twin.iter().any(|alert| may_be(alert) && fires_anyway(alert)) {
            return Vec::new();
        }
        self.incident.iter().filter(|(_, alert)| may_be(alert) && began(alert)).copied().collect()
    }
}

impl<'a> Trace<'a> {
    fn new(played: &Played<'a>, line: &'a TraceLine) -> Self {
        let mut trace =
            Self { line, notifications: Vec::new(), panels: Vec::new(), counts: Vec::new(), alerts: BTreeMap::new(), cried: played.cried.clone() };
        let id = &line.trace;
        for (number, line) in played.numbered() {
            match line {
                Line::Notification(one) if one.trace == *id => trace.notifications.push((number, one)),
                Line::Panel(one) if one.trace == *id => trace.panels.push((number, one)),
                Line::Alert(one) if one.trace == *id => {
                    let named = trace.alerts.entry(&one.rule.name).or_default();
                    if one.twin { named.twin.push(one) } else { named.incident.push((number, one)) }
                }
                Line::Count(one) if one.trace == *id => match &one.rule {
                    Some(rule) if one.twin => trace.alerts.entry(&rule.name).or_default().twin_total += one.count,
                    Some(_) => {}
                    None => trace.counts.push(one),
                },
                _ => {}
            }
        }
        trace.alerts.retain(|_, named| named.is_comparable(line.end_s));
        trace
    }

    /// Its messages that tell someone of something that fires, with the numbers of their lines, of the incident's time or of the same time
    /// without it.
    pub(super) fn messages(&self, twin: bool, to: Receiver) -> impl Iterator<Item = (u64, &'a Notification)> + '_ {
        let is_wanted = move |one: &Notification| one.twin == twin && one.status == "firing" && one.urgency == to.name();
        self.notifications.iter().copied().filter(move |(_, one)| is_wanted(one))
    }

    /// How many more messages there were than are listed; nobody knows when, nor whether something fired.
    pub(super) fn unlisted(&self, twin: bool, to: Receiver) -> usize {
        let counted: usize = self.counts.iter().filter(|one| one.twin == twin && one.urgency == to.name()).map(|one| one.count).sum();
        let listed = self.notifications.iter().filter(|(_, one)| one.twin == twin && one.urgency == to.name()).count();
        counted.saturating_sub(listed)
    }

    /// Whether a moment is one of the fault.
    pub(super) fn is_during(&self, at_s: f64) -> bool {
        (0.0..=self.line.end_s).contains(&at_s)
    }

    /// The messages to `page` and `ticket`, of the incident's time and from its onset to the end of the fault, that tell of an alert because of
    /// the incident: line, moment, urgency and the alert's name, in order of time.
    pub(crate) fn told(&self) -> Vec<Told<'a>> {
        let mut told: Vec<Told<'a>> = Vec::new();
        let is_for_people = |one: &Notification| [Receiver::Page, Receiver::Ticket].iter().any(|receiver| receiver.name() == one.urgency);
        let own = self.notifications.iter().copied().filter(|(_, one)| !one.twin && self.is_during(one.at_s) && is_for_people(one));
        for (number, one) in own {
            let about = one.alerts.iter().filter(|alert| alert.status == "firing").find_map(|alert| {
                let name = alert.name()?;
                if one.urgency == Receiver::Page.name() && self.cried.contains(name) {
                    return None;
                }
                let because = self.alerts.get(name)?.because(&alert.labels, one.at_s, self.line.end_s);
                (!because.is_empty()).then_some((name, &alert.labels))
            });
            told.extend(about.map(|(alert, labels)| Told { number, at_s: one.at_s, urgency: &one.urgency, alert, labels }));
        }
        told.sort_by(|one, other| one.at_s.total_cmp(&other.at_s));
        told
    }

    /// The alerts that a message told of, which fire because of the incident, and still do so many seconds after the fault, with the numbers of
    /// their lines. Another of that name, such as one of another urgency, may go on.
    pub(super) fn firing_after(&self, told: &Told<'_>, seconds: f64) -> Vec<(u64, &'a AlertLine)> {
        let end_s = self.line.end_s;
        let still = |alert: &AlertLine| firing(alert).iter().any(|(from, to)| *from <= end_s + seconds && *to > end_s + seconds);
        let Some(named) = self.alerts.get(told.alert) else { return Vec::new() };
        let is_because = |alert: &AlertLine| !named.because(&alert.labels, end_s, end_s).is_empty();
        named.incident.iter().filter(|(_, alert)| agrees(alert, told.labels) && still(alert) && is_because(alert)).copied().collect()
    }
}

/// What pictures of a trace need of its judgement.
impl Trace<'_> {
    /// Whether an alert that fires by a moment does so because of the incident.
    pub(crate) fn is_because(&self, name: &str, labels: &BTreeMap<String, String>) -> bool {
        self.alerts.get(name).is_some_and(|named| !named.because(labels, self.line.to_s, self.line.end_s).is_empty())
    }

    /// When an alert fires: from, to.
    pub(crate) fn spans(&self, alert: &AlertLine) -> Vec<(f64, f64)> {
        firing(alert).into_iter().map(|(from, to)| (from, to.min(self.line.to_s))).collect()
    }
}

/// A message because of an incident.
pub(crate) struct Told<'a> {
    pub(crate) number: u64,
    pub(crate) at_s: f64,
    pub(crate) urgency: &'a str,
    pub(crate) alert: &'a str,
    /// Those of the alert, as the message has them.
    pub(crate) labels: &'a BTreeMap<String, String>,
}

/// A length of time as people say it: `7 min`, `3 h 20 min`.
pub(crate) fn said(seconds: f64) -> String {
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "an incident lasts days, not ages")]
    let minutes = (seconds.max(0.0) / 60.0).ceil() as u64;
    match (minutes / 60, minutes % 60) {
        (0, minutes) => format!("{minutes} min"),
        (hours, 0) => format!("{hours} h"),
        (hours, minutes) => format!("{hours} h {minutes} min"),
    }
}
