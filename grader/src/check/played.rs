//! What checks of the replay have in common: whether there is one, and who was told what in a trace.

use super::{Evidence, Finding, View};
use crate::history::{AlertLine, Change, Line, Notification, PanelLine, TraceLine};

/// The replay of a history.
pub(crate) struct Played<'a> {
    lines: &'a [Line],
}

/// A trace of it.
pub(crate) struct Trace<'a> {
    played: &'a Played<'a>,
    pub(crate) line: &'a TraceLine,
}

/// The replay that a view's history has; else why there can be none, which is the submission's doing: what is ours is a control.
pub(super) fn played<'a>(view: &View<'a>) -> Result<Played<'a>, Finding> {
    let lines = view.replay().unwrap_or_default();
    let refused = |(number, line): (u64, &Line)| match line {
        Line::LoadError(error) => {
            let place = if error.line == 0 { String::new() } else { format!(":{}", error.line) };
            Some((number, format!("`{}`{place}: {}", error.file, error.message)))
        }
        Line::Ended(ended) => Some((number, ended.message.clone())),
        _ => None,
    };
    if let Some((number, why)) = (1..).zip(lines).find_map(refused) {
        return Err(Finding::new(false, false, format!("nothing could be replayed: {why}")).with([Evidence::of_replay(vec![number], why)]));
    }
    match view.unrecorded() {
        Some(why) => Err(Finding::new(false, false, format!("the metrics of the submission could not be recorded: {why}"))),
        None => Ok(Played { lines }),
    }
}

impl<'a> Played<'a> {
    /// Every line with its number.
    pub(super) fn numbered(&self) -> impl Iterator<Item = (u64, &'a Line)> + use<'a> {
        (1..).zip(self.lines)
    }

    /// A trace, if it was played.
    pub(crate) fn trace(&'a self, id: &str) -> Option<Trace<'a>> {
        let line =
            self.lines.iter().find_map(|line| if let Line::Trace(trace) = line { Some(trace).filter(|trace| trace.trace == id) } else { None })?;
        Some(Trace { played: self, line })
    }
}

/// When an alert fires, in seconds of its trace: from, to.
fn firing(alert: &AlertLine, end_s: f64) -> Vec<(f64, f64)> {
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
    spans.extend(since.map(|from| (from, end_s)));
    spans
}

impl<'a> Trace<'a> {
    /// Its messages with the numbers of their lines, of the incident's time or of the same time without it.
    pub(super) fn notifications(&self, twin: bool) -> impl Iterator<Item = (u64, &'a Notification)> + use<'a> {
        let id = &self.line.trace;
        self.played.numbered().filter_map(move |(number, line)| match line {
            Line::Notification(one) if one.trace == *id && one.twin == twin => Some((number, one)),
            _ => None,
        })
    }

    fn alerts(&self, twin: bool) -> impl Iterator<Item = (u64, &'a AlertLine)> + use<'a> {
        let id = &self.line.trace;
        self.played.numbered().filter_map(move |(number, line)| match line {
            Line::Alert(one) if one.trace == *id && one.twin == twin => Some((number, one)),
            _ => None,
        })
    }

    /// Its dashboard queries with the numbers of their lines.
    pub(super) fn panels(&self) -> impl Iterator<Item = (u64, &'a PanelLine)> + use<'a> {
        let id = &self.line.trace;
        self.played.numbered().filter_map(move |(number, line)| match line {
            Line::Panel(one) if one.trace == *id => Some((number, one)),
            _ => None,
        })
    }

    /// The alerts that fire while the fault lasts and do not count: those that fired before it began, and those that fire in the same time
    /// without it.
    fn is_unrelated(&self, name: &str, labels: &std::collections::BTreeMap<String, String>) -> bool {
        let TraceLine { end_s, to_s, .. } = *self.line;
        // What leaves Prometheus may have more labels than the alert, and relabelled ones.
        let is_it = |alert: &AlertLine| {
            alert.rule.name == name && alert.labels.iter().all(|(label, value)| labels.get(label).is_none_or(|other| other == value))
        };
        let before = self.alerts(false).any(|(_, alert)| is_it(alert) && firing(alert, to_s).iter().any(|(from, _)| *from < 0.0));
        before || self.alerts(true).any(|(_, alert)| is_it(alert) && firing(alert, to_s).iter().any(|(from, to)| *from < end_s && *to > 0.0))
    }

    /// The messages, of the incident's time and from its onset to the end of the fault, that tell of an alert because of the incident: line,
    /// moment, urgency and the alert's name, in order of time.
    pub(crate) fn told(&self) -> Vec<Told<'a>> {
        let mut told: Vec<Told<'a>> = Vec::new();
        for (number, one) in self.notifications(false).filter(|(_, one)| (0.0..=self.line.end_s).contains(&one.at_s)) {
            let about = one.alerts.iter().filter(|alert| alert.status == "firing").find_map(|alert| {
                let name = alert.labels.get("alertname")?;
                (!self.is_unrelated(name, &alert.labels)).then_some(name.as_str())
            });
            told.extend(about.map(|alert| Told { number, at_s: one.at_s, urgency: &one.urgency, alert }));
        }
        told.sort_by(|one, other| one.at_s.total_cmp(&other.at_s));
        told
    }

    /// The alerts of a name that still fire because of the incident so many seconds after the fault, with the numbers of their lines.
    pub(super) fn firing_after(&self, name: &str, seconds: f64) -> Vec<(u64, &'a AlertLine)> {
        let TraceLine { end_s, to_s, .. } = *self.line;
        let still = |alert: &AlertLine| firing(alert, to_s).iter().any(|(from, to)| *from < end_s + seconds && *to > end_s + seconds);
        self.alerts(false).filter(|(_, alert)| alert.rule.name == name && still(alert) && !self.is_unrelated(name, &alert.labels)).collect()
    }
}

/// What pictures of a replay need of its judgement.
impl<'a> Played<'a> {
    /// The replay of some lines; nothing where the submission's files were refused or the grader ended it.
    pub(crate) fn of(lines: &'a [Line]) -> Option<Self> {
        let is_none = lines.iter().any(|line| matches!(line, Line::LoadError(_) | Line::Ended(_)));
        (!is_none).then_some(Self { lines })
    }
}

/// What pictures of a trace need of its judgement.
impl Trace<'_> {
    /// Whether an alert that fires by a moment does so because of the incident.
    pub(crate) fn is_because(&self, name: &str, labels: &std::collections::BTreeMap<String, String>) -> bool {
        !self.is_unrelated(name, labels)
    }

    /// When an alert fires: from, to.
    pub(crate) fn spans(&self, alert: &AlertLine) -> Vec<(f64, f64)> {
        firing(alert, self.line.to_s)
    }
}

/// A message because of an incident.
pub(crate) struct Told<'a> {
    pub(crate) number: u64,
    pub(crate) at_s: f64,
    pub(crate) urgency: &'a str,
    pub(crate) alert: &'a str,
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
