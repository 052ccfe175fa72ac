//! What a replay came to: the lines of `replay.jsonl`, as the replay program writes them (`exercises/platform/replay/wire`), and one
//! of the grader's own. Times are seconds from the onset of the trace's incident, negative before it.

use std::collections::BTreeMap;

use serde::{Deserialize, Deserializer, Serialize};

/// One line. Its number, by which evidence refers to it, counts from 1.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Line {
    /// What was replayed.
    Replay {
        /// The format of the lines.
        format: u32,
        /// What noise and onsets were drawn from.
        seed: String,
        /// The first day of the calendar, `YYYY-MM-DD`.
        day: String,
        /// How many rules were loaded.
        rules: usize,
        /// How many series were recorded.
        series_recorded: usize,
        /// How many of them a rule or query can see.
        series_played: usize,
        /// How many seconds of healthy recording quiet time was made of.
        healthy_seconds: f64,
        /// How rates change over the day.
        rhythm: Rhythm,
    },
    /// Something in the submission's files that Prometheus or Alertmanager would refuse, in their words.
    LoadError {
        /// The file.
        file: String,
        /// The line, from 1; 0 where nobody says.
        line: usize,
        /// What is wrong.
        message: String,
    },
    /// A remark about the recording.
    Notice {
        /// The remark.
        message: String,
    },
    /// A rule that was loaded.
    Rule {
        /// Which.
        rule: RuleRef,
        /// `alert` or `record`.
        r#type: String,
        /// Its labels.
        #[serde(deserialize_with = "nullable")]
        labels: BTreeMap<String, String>,
        /// How often it is evaluated, in seconds.
        interval_s: f64,
        /// Its `for`, in seconds.
        for_s: f64,
        /// Its `keep_firing_for`, in seconds.
        keep_s: f64,
        /// How it was evaluated: `range` or `lockstep`.
        mode: String,
    },
    /// A route that is silent at some hours because of its time intervals.
    Muted {
        /// The route.
        route: String,
        /// Its receiver.
        receiver: String,
        /// Whom the receiver wakes.
        #[serde(deserialize_with = "nullable")]
        urgencies: Vec<String>,
        /// The names of the intervals.
        #[serde(deserialize_with = "nullable")]
        intervals: Vec<String>,
        /// In how many hours of a year it is silent.
        hours_per_year: f64,
        /// The first few of them.
        #[serde(deserialize_with = "nullable")]
        first: Vec<String>,
    },
    /// A trace begins; what belongs to it follows.
    Trace {
        /// Its id: an incident's, or `quiet`.
        trace: String,
        /// The moment of its onset on the calendar, RFC 3339.
        onset: String,
        /// Where it begins.
        from_s: f64,
        /// Where the fault ends.
        end_s: f64,
        /// Where it ends.
        to_s: f64,
    },
    /// What an alert did.
    Alert {
        /// The trace.
        trace: String,
        /// Whether it is of the same time without the incident.
        twin: bool,
        /// The rule.
        rule: RuleRef,
        /// The alert's labels.
        #[serde(deserialize_with = "nullable")]
        labels: BTreeMap<String, String>,
        /// How many changes there were, those left out included.
        changes_total: usize,
        /// The changes, in order; the first may say what it was when the trace began.
        #[serde(deserialize_with = "nullable")]
        changes: Vec<Change>,
    },
    /// A message that the submission's Alertmanager would send.
    Notification {
        /// The trace.
        trace: String,
        /// Whether it is of the same time without the incident.
        twin: bool,
        /// When.
        at_s: f64,
        /// The receiver.
        receiver: String,
        /// `webhook`, `email`, ...
        integration: String,
        /// Whom it wakes: `page`, `ticket`, `heartbeat`; empty where it reaches nobody of the contract.
        urgency: String,
        /// `firing` or `resolved`.
        status: String,
        /// What the group has in common.
        #[serde(deserialize_with = "nullable")]
        group_labels: BTreeMap<String, String>,
        /// Its alerts.
        #[serde(deserialize_with = "nullable")]
        alerts: Vec<NotifiedAlert>,
    },
    /// How many there were of what has many lines.
    Count {
        /// The trace.
        trace: String,
        /// Whether it is of the same time without the incident.
        twin: bool,
        /// Alerts of this rule, or
        #[serde(default, skip_serializing_if = "Option::is_none")]
        rule: Option<RuleRef>,
        /// notifications to this receiver.
        #[serde(default, skip_serializing_if = "String::is_empty")]
        receiver: String,
        /// Whom it wakes.
        #[serde(default, skip_serializing_if = "String::is_empty")]
        urgency: String,
        /// How many.
        count: usize,
    },
    /// A dashboard's query over a trace and its twin, at the same moments.
    Panel {
        /// The trace.
        trace: String,
        /// The query's id.
        query: String,
        /// The first moment.
        from_s: f64,
        /// The distance of moments.
        step_s: f64,
        /// Whether the incident's side has a number at all.
        data: bool,
        /// Why it could not be asked, else empty.
        #[serde(default, skip_serializing_if = "String::is_empty")]
        error: String,
        /// How many curves there were, those left out included.
        series_total: usize,
        /// The incident's curves.
        incident: Option<Vec<Curve>>,
        /// The twin's.
        twin: Option<Vec<Curve>>,
    },
    /// A rule that could not be evaluated at some moments.
    RuleError {
        /// The trace.
        trace: String,
        /// Whether it is of the same time without the incident.
        twin: bool,
        /// The rule.
        rule: RuleRef,
        /// Why.
        message: String,
        /// How often.
        count: usize,
        /// When first.
        first_s: f64,
    },
    /// A rule or query that was given up because it costs too much.
    Limit {
        /// The rule, or
        #[serde(default, skip_serializing_if = "Option::is_none")]
        rule: Option<RuleRef>,
        /// the query.
        #[serde(default, skip_serializing_if = "String::is_empty")]
        query: String,
        /// Why.
        message: String,
    },
    /// The grader ended the replay: its bounds are wider than any that the program keeps by itself.
    Ended {
        /// Why.
        message: String,
    },
}

/// How rates change over the day: a cosine between 1 at the peak and `low`.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Rhythm {
    /// The least rate, of 1.
    pub low: f64,
    /// The hour of the peak, UTC.
    pub peak_hour: f64,
}

/// Which rule.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct RuleRef {
    /// The file.
    pub file: String,
    /// The group.
    pub group: String,
    /// The name of the alert or series.
    pub name: String,
    /// Its place in the group, from 0.
    pub index: usize,
}

/// A moment at which an alert's state changed.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Change {
    /// When.
    pub at_s: f64,
    /// `pending`, `firing` or `inactive`.
    pub state: String,
}

/// An alert in a notification.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct NotifiedAlert {
    /// Its labels.
    #[serde(deserialize_with = "nullable")]
    pub labels: BTreeMap<String, String>,
    /// `firing` or `resolved`.
    pub status: String,
}

/// A curve of a panel; nothing at moments without data.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Curve {
    /// Its labels.
    #[serde(deserialize_with = "nullable")]
    pub labels: BTreeMap<String, String>,
    /// Its values.
    pub values: Vec<Option<f64>>,
}

/// Go writes `null` for a list or a map that was never filled.
fn nullable<'de, D: Deserializer<'de>, T: Deserialize<'de> + Default>(input: D) -> Result<T, D::Error> {
    Ok(Option::deserialize(input)?.unwrap_or_default())
}
