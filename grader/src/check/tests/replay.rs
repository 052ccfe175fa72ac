//! Replays written down as one would tell them: who is told of an incident, when, and what happens in the same time without it.

use std::collections::BTreeMap;

use crate::exam::{Exam, QUIET};
use crate::history::{
    AlertLine, Change, Count, Curve, DashboardQuery, History, Line, Monitoring, Notification, NotifiedAlert, PanelLine, Played, Rhythm, RuleRef,
    TraceLine,
};

const MINUTE: f64 = 60.0;
/// How long a trace is shown before its onset, in minutes.
const BEFORE: f64 = 30.0;
/// How far apart the moments of a panel are, in minutes.
const STEP: f64 = 5.0;

/// An alert that fires in an incident, and the messages that tell of it. Times are minutes after the onset.
#[derive(Clone)]
pub(super) struct Fires {
    name: &'static str,
    urgency: &'static str,
    at: f64,
    until: Option<f64>,
    labels: Labels,
    sent: Option<Labels>,
    twin: Option<Labels>,
    together: Vec<NotifiedAlert>,
}

type Labels = BTreeMap<String, String>;

pub(super) fn labels(pairs: &[(&str, &str)]) -> Labels {
    pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
}

/// An alert that wakes the person on call.
pub(super) fn page(name: &'static str) -> Fires {
    Fires { name, urgency: "page", at: 2.0, until: None, labels: Labels::new(), sent: None, twin: None, together: Vec::new() }
}

/// An alert that becomes a ticket.
pub(super) fn ticket(name: &'static str) -> Fires {
    Fires { urgency: "ticket", ..page(name) }
}

impl Fires {
    /// When it begins to fire, and is told.
    pub(super) fn at(self, minutes: f64) -> Self {
        Self { at: minutes, ..self }
    }

    /// When it ends.
    pub(super) fn until(self, minutes: f64) -> Self {
        Self { until: Some(minutes), ..self }
    }

    /// The labels that it has in Prometheus, beside its name.
    pub(super) fn with(self, pairs: &[(&str, &str)]) -> Self {
        Self { labels: labels(pairs), ..self }
    }

    /// The labels that it leaves with: relabelling changed them. May rename it.
    pub(super) fn sent_with(self, pairs: &[(&str, &str)]) -> Self {
        Self { sent: Some(labels(pairs)), ..self }
    }

    /// It fires in the same time without the incident too.
    pub(super) fn also_in_twin(self) -> Self {
        Self { twin: Some(self.labels.clone()), ..self }
    }

    /// Its rule fires in the same time without the incident too, with other labels.
    pub(super) fn in_twin_with(self, pairs: &[(&str, &str)]) -> Self {
        Self { twin: Some(labels(pairs)), ..self }
    }

    /// The message tells of another alert before it.
    pub(super) fn in_a_message_with(mut self, other: &Self) -> Self {
        self.together.push(other.notified("firing"));
        self
    }

    fn notified(&self, status: &str) -> NotifiedAlert {
        let mut labels = self.labels.clone();
        labels.insert("alertname".to_owned(), self.name.to_owned());
        if let Some(sent) = &self.sent {
            labels = [("alertname".to_owned(), self.name.to_owned())].into_iter().chain(sent.clone()).collect();
        }
        NotifiedAlert { labels, status: status.to_owned() }
    }

    /// Its lines in a trace.
    fn lines(&self, trace: &str) -> Vec<Line> {
        let mut lines = vec![alert(trace, false, self.name, &self.labels, self.at, self.until)];
        // What fires before the onset does so in the twin, whose past is the same.
        let twin = self.twin.clone().or_else(|| (self.at < 0.0).then(|| self.labels.clone()));
        lines.extend(twin.map(|labels| alert(trace, true, self.name, &labels, self.at, self.until)));
        for (at, status) in [(Some(self.at.max(0.0)), "firing"), (self.until, "resolved")] {
            let alerts = self.together.iter().cloned().chain([self.notified(status)]).collect();
            lines.extend(at.map(|at| message(trace, false, at, self.urgency, status, alerts)));
        }
        lines
    }
}

fn rule(name: &str) -> RuleRef {
    RuleRef { file: "prometheus/rules/alerts.yml".to_owned(), group: "g".to_owned(), name: name.to_owned(), index: 0 }
}

/// What an alert does: it fires from a moment on, to another or to the end.
pub(super) fn alert(trace: &str, twin: bool, name: &str, labels: &Labels, at: f64, until: Option<f64>) -> Line {
    let change = |minutes: f64, state: &str| Change { at_s: minutes * MINUTE, state: state.to_owned() };
    let changes: Vec<Change> = [change(at, "firing")].into_iter().chain(until.map(|until| change(until, "inactive"))).collect();
    Line::Alert(AlertLine { trace: trace.to_owned(), twin, rule: rule(name), labels: labels.clone(), changes_total: changes.len(), changes })
}

/// A message of some alerts.
pub(super) fn message(trace: &str, twin: bool, at: f64, urgency: &str, status: &str, alerts: Vec<NotifiedAlert>) -> Line {
    Line::Notification(Notification {
        trace: trace.to_owned(),
        twin,
        at_s: at * MINUTE,
        receiver: urgency.to_owned(),
        integration: "webhook".to_owned(),
        urgency: urgency.to_owned(),
        status: status.to_owned(),
        group_labels: Labels::new(),
        alerts,
    })
}

/// A message to someone of an alert of which nothing else is known.
pub(super) fn told(trace: &str, twin: bool, at: f64, urgency: &'static str) -> Line {
    let alert = Fires { urgency, ..page("Noise") };
    message(trace, twin, at, urgency, "firing", vec![alert.notified("firing")])
}

/// How many alerts of a rule there were, those that are not listed included.
pub(super) fn count_of_alerts(trace: &str, twin: bool, name: &str, count: usize) -> Line {
    Line::Count(Count { trace: trace.to_owned(), twin, rule: Some(rule(name)), receiver: String::new(), urgency: String::new(), count })
}

/// How many messages there were, those that are not listed included.
pub(super) fn count_of_messages(trace: &str, twin: bool, urgency: &str, count: usize) -> Line {
    Line::Count(Count { trace: trace.to_owned(), twin, rule: None, receiver: urgency.to_owned(), urgency: urgency.to_owned(), count })
}

/// A panel with one curve on either side; what a function makes of the level of 1 while the fault lasts is the incident's.
pub(super) fn panel(trace: &TraceLine, during: impl Fn(f64) -> Option<f64>) -> PanelLine {
    let step_s = STEP * MINUTE;
    let moments = (0..1_000u32).map(|index| step_s.mul_add(f64::from(index), trace.from_s)).take_while(|at| *at <= trace.to_s);
    let twin: Vec<Option<f64>> = moments.clone().map(|_| Some(1.0)).collect();
    let incident = moments.map(|at| if (0.0..=trace.end_s).contains(&at) { during(1.0) } else { Some(1.0) }).collect();
    let curve = |values| vec![Curve { labels: labels(&[("code", "500")]), values }];
    PanelLine {
        trace: trace.trace.clone(),
        query: "0".to_owned(),
        from_s: trace.from_s,
        step_s,
        data: true,
        error: String::new(),
        series_total: 1,
        incident: curve(incident),
        twin: curve(twin),
    }
}

/// What is kept of a submission for a replay.
pub(super) fn monitoring() -> Monitoring {
    Monitoring {
        files: BTreeMap::new(),
        prometheus: "prometheus/prometheus.yml".to_owned(),
        alertmanager: "alertmanager/alertmanager.yml".to_owned(),
        urgencies: BTreeMap::new(),
        queries: vec![DashboardQuery { file: "d.json".to_owned(), title: "Errors".to_owned(), expr: "x".to_owned() }],
    }
}

/// A replay in which someone is told of every incident after two minutes, and no longer than ten minutes after it; every panel moves,
/// and nothing else happens.
pub(super) fn faultless(exam: &Exam) -> Vec<Line> {
    let plan = exam.replay.as_ref().expect("the exam has a replay");
    let mut lines = vec![Line::Replay(Played {
        format: 1,
        seed: "fixed".to_owned(),
        day: "2026-01-01".to_owned(),
        rules: 2,
        series_recorded: 10,
        series_played: 10,
        healthy_seconds: 60.0,
        rhythm: Rhythm { low: 0.5, peak_hour: 14.0 },
    })];
    let trace = |id: &str, minutes: f64, after: f64| TraceLine {
        trace: id.to_owned(),
        onset: "2026-01-01T10:00:00Z".to_owned(),
        from_s: -BEFORE * MINUTE,
        end_s: minutes * MINUTE,
        to_s: (minutes + after) * MINUTE,
    };
    for one in &plan.incidents {
        let line = trace(&one.id, one.minutes, one.after_minutes);
        let is_urgent = ["error-burst", "total-outage", "latency"].contains(&one.id.as_str());
        let alert = if is_urgent { page("Burn") } else { ticket("Odd") };
        let moved = panel(&line, |level| Some(2.0 * level));
        lines.push(Line::Trace(line));
        lines.extend(alert.until(one.minutes + 10.0).lines(&one.id));
        lines.push(Line::Panel(moved));
    }
    lines.push(Line::Trace(trace(QUIET, plan.quiet.minutes, 0.0)));
    lines
}

/// A faultless history in whose replay of an incident the alerts are others.
pub(super) fn with_alerts(incident: &str, alerts: &[Fires]) -> History {
    with_lines(incident, alerts.iter().flat_map(|alert| alert.lines(incident)).collect())
}

/// A faultless history in whose replay of an incident alerts and messages are others; these may be of other traces, too.
pub(super) fn with_lines(incident: &str, lines: Vec<Line>) -> History {
    replayed(|replay| {
        replay.retain(|line| match line {
            Line::Alert(AlertLine { trace, .. }) | Line::Notification(Notification { trace, .. }) => trace != incident,
            _ => true,
        });
        replay.extend(lines);
    })
}

/// A faultless history with a replay that was changed.
pub(super) fn replayed(change: impl FnOnce(&mut Vec<Line>)) -> History {
    let mut history = super::faultless();
    change(history.replay.as_mut().expect("it has a replay"));
    history
}

/// A faultless history in which the panel of an incident was changed.
pub(super) fn with_panel(incident: &str, change: impl FnOnce(&TraceLine, &mut PanelLine)) -> History {
    replayed(|replay| {
        let of = |line: &Line| if let Line::Trace(trace) = line { Some(trace.clone()).filter(|trace| trace.trace == incident) } else { None };
        let trace = replay.iter().find_map(of).expect("it is played");
        let panel = replay.iter_mut().find_map(|line| match line {
            Line::Panel(panel) if panel.trace == incident => Some(panel),
            _ => None,
        });
        change(&trace, panel.expect("it has a panel"));
    })
}
