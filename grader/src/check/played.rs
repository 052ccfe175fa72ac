//! What checks of the replay have in common: whether there is one, and who was told what in a trace.

use std::collections::BTreeMap;

use super::{Evidence, Finding, View};
use crate::history::{AlertLine, Change, Count, Line, Notification, PanelLine, RuleRef, TraceLine};

/// The replay of a history.
pub(super) struct Played<'a> {
    lines: &'a [Line],
}

/// A trace of it.
pub(super) struct Trace<'a> {
    played: &'a Played<'a>,
    pub(super) line: &'a TraceLine,
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
    pub(super) fn trace(&'a self, id: &str) -> Option<Trace<'a>> {
        let line =
            self.lines.iter().find_map(|line| if let Line::Trace(trace) = line { Some(trace).filter(|trace| trace.trace == id) } else { None })?;
        Some(Trace { played: self, line })
    }
}

/// When an alert fires, in seconds of its trace: from, to. What fires when the trace ends has no end.
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

    /// The messages, of the incident's time and from its onset to the end of the fault, that tell of an alert because of the incident: line,
    /// moment, urgency and the alert's name, in order of time.
    pub(super) fn told(&self) -> Vec<Told<'a>> {
        let rules = self.rules();
        let mut told: Vec<Told<'a>> = Vec::new();
        for (number, one) in self.notifications(false).filter(|(_, one)| (0.0..=self.line.end_s).contains(&one.at_s)) {
            let mut because: BTreeMap<&str, Vec<&AlertLine>> = BTreeMap::new();
            let about = one.alerts.iter().filter(|alert| alert.status == "firing").find_map(|alert| {
                let name = alert.labels.get("alertname")?.as_str();
                let own = rules.get(name)?;
                let because = because.entry(name).or_insert_with(|| own.iter().flat_map(|rule| rule.because(self.line, one.at_s)).collect());
                // What leaves Prometheus may have more labels than the alert, and relabelled ones: where none has these, the name must do.
                let is_it = |own: &&AlertLine| own.labels.iter().all(|(label, value)| alert.labels.get(label).is_none_or(|other| other == value));
                let is_known = || own.iter().any(|rule| rule.incident.iter().any(|(_, own)| is_it(own) && fires(own, one.at_s)));
                (because.iter().any(is_it) || (!because.is_empty() && !is_known())).then_some(name)
            });
            told.extend(about.map(|alert| Told { number, at_s: one.at_s, urgency: &one.urgency, alert }));
        }
        told.sort_by(|one, other| one.at_s.total_cmp(&other.at_s));
        told
    }

    /// The alerts of a name that still fire because of the incident so many seconds after the fault, with the numbers of their lines.
    pub(super) fn firing_after(&self, name: &str, seconds: f64) -> Vec<(u64, &'a AlertLine)> {
        let at_s = self.line.end_s + seconds;
        let rules = self.rules();
        let of = |rule: &Rule<'a>| {
            let because = rule.because(self.line, at_s);
            rule.incident.iter().filter(|(_, alert)| because.contains(alert)).copied().collect::<Vec<_>>()
        };
        rules.get(name).into_iter().flatten().flat_map(of).collect()
    }

    /// What each rule did, by the name of its alerts.
    fn rules(&self) -> BTreeMap<&'a str, Vec<Rule<'a>>> {
        let mut rules: BTreeMap<&RuleRef, Rule<'a>> = BTreeMap::new();
        for (twin, (number, alert)) in self.alerts(false).map(|one| (false, one)).chain(self.alerts(true).map(|one| (true, one))) {
            let rule = rules.entry(&alert.rule).or_default();
            if twin { rule.twin.push(alert) } else { rule.incident.push((number, alert)) }
        }
        for (_, line) in self.played.numbered() {
            if let Line::Count(Count { trace, twin, rule: Some(of), count, .. }) = line
                && *trace == self.line.trace
                && let Some(rule) = rules.get_mut(of)
            {
                rule.left_out |= *count > if *twin { rule.twin.len() } else { rule.incident.len() };
            }
        }
        let mut named: BTreeMap<&str, Vec<Rule<'a>>> = BTreeMap::new();
        for (of, rule) in rules {
            named.entry(&of.name).or_default().push(rule);
        }
        named
    }
}

/// What the alerts of one rule did in a trace, and in the same time without the incident.
#[derive(Default)]
struct Rule<'a> {
    incident: Vec<(u64, &'a AlertLine)>,
    twin: Vec<&'a AlertLine>,
    /// There were more than are listed.
    left_out: bool,
}

impl<'a> Rule<'a> {
    /// The alerts that fire at a moment because of the incident: neither before it nor in the same time without it, and beside everything that
    /// the rule does at that moment without it. A rule that does something else then, as one does with a value in a label, tells nothing; nor
    /// does one of whose alerts only some are listed.
    fn because(&self, trace: &TraceLine, at_s: f64) -> Vec<&'a AlertLine> {
        let now: Vec<&AlertLine> = self.incident.iter().map(|(_, alert)| *alert).filter(|alert| fires(alert, at_s)).collect();
        let as_well = self.twin.iter().filter(|twin| fires(twin, at_s)).all(|twin| now.iter().any(|own| own.labels == twin.labels));
        if self.left_out || !as_well {
            return Vec::new();
        }
        let before = |alert: &AlertLine| firing(alert).iter().any(|(from, _)| *from < 0.0);
        let without = |alert: &AlertLine| {
            let is_there = |twin: &&&AlertLine| twin.labels == alert.labels;
            self.twin.iter().filter(is_there).any(|twin| firing(twin).iter().any(|(from, to)| *from < trace.end_s && *to > 0.0))
        };
        now.into_iter().filter(|alert| !before(alert) && !without(alert)).collect()
    }
}

/// Whether an alert fires at a moment.
fn fires(alert: &AlertLine, at_s: f64) -> bool {
    firing(alert).iter().any(|(from, to)| *from <= at_s && *to > at_s)
}

/// A message because of an incident.
pub(super) struct Told<'a> {
    pub(super) number: u64,
    pub(super) at_s: f64,
    pub(super) urgency: &'a str,
    pub(super) alert: &'a str,
}

/// A length of time as people say it: `7 min`, `3 h 20 min`.
pub(super) fn said(seconds: f64) -> String {
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "an incident lasts days, not ages")]
    let minutes = (seconds.max(0.0) / 60.0).ceil() as u64;
    match (minutes / 60, minutes % 60) {
        (0, minutes) => format!("{minutes} min"),
        (hours, 0) => format!("{hours} h"),
        (hours, minutes) => format!("{hours} h {minutes} min"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::history::NotifiedAlert;

    type Labels<'a> = &'a [(&'a str, &'a str)];

    fn labels(name: &str, more: Labels<'_>) -> BTreeMap<String, String> {
        more.iter().chain(&[("alertname", name)]).map(|(label, value)| ((*label).to_owned(), (*value).to_owned())).collect()
    }

    /// An alert that fires from one moment to another.
    fn alert(twin: bool, name: &str, more: Labels<'_>, from: f64, to: f64) -> Line {
        let rule = RuleRef { file: "a.yml".to_owned(), group: "a".to_owned(), name: name.to_owned(), index: 0 };
        let changes = [(from, "firing"), (to, "inactive")].map(|(at_s, state)| Change { at_s, state: state.to_owned() });
        Line::Alert(AlertLine { trace: "t".to_owned(), twin, rule, labels: labels(name, more), changes_total: 2, changes: changes.to_vec() })
    }

    /// Whether a page ten minutes after the onset of an hour's incident counts.
    fn counts(name: &str, more: Labels<'_>, mut lines: Vec<Line>) -> bool {
        lines.push(Line::Notification(Notification {
            trace: "t".to_owned(),
            twin: false,
            at_s: 600.0,
            receiver: "page".to_owned(),
            integration: "webhook".to_owned(),
            urgency: "page".to_owned(),
            status: "firing".to_owned(),
            group_labels: BTreeMap::new(),
            alerts: vec![NotifiedAlert { labels: labels(name, more), status: "firing".to_owned() }],
        }));
        lines.push(Line::Trace(TraceLine { trace: "t".to_owned(), onset: String::new(), from_s: -1800.0, end_s: 3600.0, to_s: 7200.0 }));
        let told = Played { lines: &lines }.trace("t").expect("it is there").told().len();
        told == 1
    }

    #[test]
    fn what_fires_because_of_the_incident_counts() {
        assert!(counts("A", &[], vec![alert(false, "A", &[], 300.0, 3700.0)]));
        // With a label of the outside, and one that was shortened on the way.
        assert!(counts("A", &[("site", "x"), ("instance", "blue")], vec![alert(false, "A", &[("instance", "blue:8000")], 300.0, 3700.0)]));
        // Another instance's alert goes on as it always does.
        let other = |twin| alert(twin, "A", &[("instance", "other")], -1800.0, 7200.0);
        assert!(counts("A", &[("instance", "blue")], vec![other(false), other(true), alert(false, "A", &[("instance", "blue")], 300.0, 3700.0)]));
    }

    #[test]
    fn what_fires_without_it_too_or_did_before_does_not() {
        assert!(!counts("A", &[], vec![alert(false, "A", &[], 300.0, 900.0), alert(true, "A", &[], 2000.0, 2100.0)]));
        assert!(!counts("A", &[], vec![alert(false, "A", &[], -10.0, 900.0)]));
    }

    #[test]
    fn a_value_in_a_label_makes_no_news() {
        assert!(!counts(
            "A",
            &[("requests", "9")],
            vec![
                alert(false, "A", &[("requests", "8")], -1800.0, 500.0),
                alert(false, "A", &[("requests", "9")], 500.0, 7200.0),
                alert(true, "A", &[("requests", "8")], -1800.0, 550.0),
                alert(true, "A", &[("requests", "10")], 550.0, 7200.0),
            ]
        ));
    }

    #[test]
    fn a_name_that_an_alert_got_on_the_way_tells_nothing() {
        let always = |twin| alert(twin, "Always", &[], -1800.0, 7200.0);
        assert!(!counts("Down", &[], vec![always(false), always(true)]));
        // Nor does that of a rule that does not fire then.
        assert!(!counts("Down", &[], vec![always(false), always(true), alert(false, "Down", &[], 1000.0, 1100.0)]));
    }

    #[test]
    fn what_fires_when_the_trace_ends_has_not_ended() {
        let mut lines = vec![alert(false, "A", &[], 300.0, 7300.0)];
        let Some(Line::Alert(one)) = lines.first_mut() else { unreachable!() };
        one.changes.truncate(1);
        lines.push(Line::Trace(TraceLine { trace: "t".to_owned(), onset: String::new(), from_s: -1800.0, end_s: 3600.0, to_s: 7200.0 }));
        let trace = Played { lines: &lines };
        assert_eq!(trace.trace("t").expect("it is there").firing_after("A", 3600.0).len(), 1);
    }

    #[test]
    fn a_rule_with_more_alerts_than_are_listed_tells_nothing() {
        let rule = RuleRef { file: "a.yml".to_owned(), group: "a".to_owned(), name: "A".to_owned(), index: 0 };
        let count = Count { trace: "t".to_owned(), twin: true, rule: Some(rule), receiver: String::new(), urgency: String::new(), count: 1 };
        assert!(!counts("A", &[], vec![alert(false, "A", &[], 300.0, 3700.0), Line::Count(count)]));
    }
}
