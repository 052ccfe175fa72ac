//! What a replay came to: the lines of `replay.jsonl`, as the replay program writes them (`exercises/platform/replay/wire`), and one
//! of the grader's own. Times are seconds from the onset of the trace's incident, negative before it.

use std::collections::BTreeMap;

use serde::{Deserialize, Deserializer, Serialize};

/// One line. Its number, by which evidence refers to it, counts from 1.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Line {
    /// What was replayed.
    Replay(Played),
    /// Something in the submission's files that Prometheus or Alertmanager would refuse, in their words.
    LoadError(LoadError),
    /// A remark about the recording.
    Notice(Notice),
    /// A rule that was loaded.
    Rule(RuleLine),
    /// A route that is silent at some hours because of its time intervals.
    Muted(Muted),
    /// A trace begins; what belongs to it follows.
    Trace(TraceLine),
    /// What an alert did.
    Alert(AlertLine),
    /// A message that the submission's Alertmanager would send.
    Notification(Notification),
    /// How many there were of what has many lines.
    Count(Count),
    /// A dashboard's query over a trace and its twin, at the same moments.
    Panel(PanelLine),
    /// A rule that could not be evaluated at some moments.
    RuleError(RuleError),
    /// A rule or query that was given up because it costs too much.
    Limit(Limit),
    /// The grader ended the replay: its bounds are wider than any that the program keeps by itself.
    Ended(Ended),
}

impl Line {
    /// Why nothing could be replayed, with its place, where a line says so: that is the submission's doing.
    pub fn refusal(&self) -> Option<String> {
        match self {
            Self::LoadError(LoadError { file, line: 0, message }) => Some(format!("`{file}`: {message}")),
            Self::LoadError(LoadError { file, line, message }) => Some(format!("`{file}`:{line}: {message}")),
            Self::Ended(ended) => Some(ended.message.clone()),
            _ => None,
        }
    }
}

/// What was replayed.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Played {
    /// The format of the lines.
    pub format: u32,
    /// What noise and onsets were drawn from.
    pub seed: String,
    /// The first day of the calendar, `YYYY-MM-DD`.
    pub day: String,
    /// How many rules were loaded.
    pub rules: usize,
    /// How many series were recorded.
    pub series_recorded: usize,
    /// How many of them a rule or query can see.
    pub series_played: usize,
    /// How many seconds of healthy recording quiet time was made of.
    pub healthy_seconds: f64,
    /// How rates change over the day.
    pub rhythm: Rhythm,
}

/// Something in the submission's files that Prometheus or Alertmanager would refuse, in their words.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct LoadError {
    /// The file.
    pub file: String,
    /// The line, from 1; 0 where nobody says.
    pub line: usize,
    /// What is wrong.
    pub message: String,
}

/// A remark about the recording.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Notice {
    /// The remark.
    pub message: String,
}

/// A rule that was loaded.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct RuleLine {
    /// Which.
    pub rule: RuleRef,
    /// `alert` or `record`.
    pub r#type: String,
    /// Its labels.
    #[serde(deserialize_with = "nullable")]
    pub labels: BTreeMap<String, String>,
    /// How often it is evaluated, in seconds.
    pub interval_s: f64,
    /// Its `for`, in seconds.
    pub for_s: f64,
    /// Its `keep_firing_for`, in seconds.
    #[serde(rename = "keep_firing_for_s")]
    pub keep_s: f64,
    /// How it was evaluated: `range` or `lockstep`.
    pub mode: String,
}

/// A route that is silent at some hours because of its time intervals.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Muted {
    /// The route.
    pub route: String,
    /// Its receiver.
    pub receiver: String,
    /// Whom the receiver wakes.
    #[serde(deserialize_with = "nullable")]
    pub urgencies: Vec<String>,
    /// The names of the intervals.
    #[serde(deserialize_with = "nullable")]
    pub intervals: Vec<String>,
    /// In how many hours of a year it is silent.
    pub hours_per_year: f64,
    /// The first few of them.
    #[serde(deserialize_with = "nullable")]
    pub first: Vec<String>,
}

/// A trace begins; what belongs to it follows.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct TraceLine {
    /// Its id: an incident's, or `quiet`.
    pub trace: String,
    /// The moment of its onset on the calendar, RFC 3339.
    pub onset: String,
    /// Where it begins.
    pub from_s: f64,
    /// Where the fault ends.
    pub end_s: f64,
    /// Where it ends.
    pub to_s: f64,
}

/// What an alert did.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct AlertLine {
    /// The trace.
    pub trace: String,
    /// Whether it is of the same time without the incident.
    pub twin: bool,
    /// The rule.
    pub rule: RuleRef,
    /// The alert's labels.
    #[serde(deserialize_with = "nullable")]
    pub labels: BTreeMap<String, String>,
    /// How many changes there were, those left out included.
    pub changes_total: usize,
    /// The changes, in order; the first may say what it was when the trace began.
    #[serde(deserialize_with = "nullable")]
    pub changes: Vec<Change>,
}

/// A message that the submission's Alertmanager would send.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Notification {
    /// The trace.
    pub trace: String,
    /// Whether it is of the same time without the incident.
    pub twin: bool,
    /// When.
    pub at_s: f64,
    /// The receiver.
    pub receiver: String,
    /// `webhook`, `email`, ...
    pub integration: String,
    /// Whom it wakes: `page`, `ticket`, `heartbeat`; empty where it reaches nobody of the contract.
    pub urgency: String,
    /// `firing` or `resolved`.
    pub status: String,
    /// What the group has in common.
    #[serde(deserialize_with = "nullable")]
    pub group_labels: BTreeMap<String, String>,
    /// Its alerts.
    #[serde(deserialize_with = "nullable")]
    pub alerts: Vec<NotifiedAlert>,
}

/// How many there were of what has many lines.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Count {
    /// The trace.
    pub trace: String,
    /// Whether it is of the same time without the incident.
    pub twin: bool,
    /// Alerts of this rule, or
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rule: Option<RuleRef>,
    /// notifications to this receiver.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub receiver: String,
    /// Whom it wakes.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub urgency: String,
    /// How many.
    pub count: usize,
}

/// A dashboard's query over a trace and its twin, at the same moments.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct PanelLine {
    /// The trace.
    pub trace: String,
    /// The query's id.
    pub query: String,
    /// The first moment.
    pub from_s: f64,
    /// The distance of moments.
    pub step_s: f64,
    /// Whether the incident's side has a number at all.
    pub data: bool,
    /// Why it could not be asked, else empty.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub error: String,
    /// How many curves there were, those left out included.
    pub series_total: usize,
    /// The incident's curves.
    #[serde(deserialize_with = "nullable")]
    pub incident: Vec<Curve>,
    /// The twin's.
    #[serde(deserialize_with = "nullable")]
    pub twin: Vec<Curve>,
}

/// A rule that could not be evaluated at some moments.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct RuleError {
    /// The trace.
    pub trace: String,
    /// Whether it is of the same time without the incident.
    pub twin: bool,
    /// The rule.
    pub rule: RuleRef,
    /// Why.
    pub message: String,
    /// How often.
    pub count: usize,
    /// When first.
    pub first_s: f64,
}

/// A rule or query that was given up because it costs too much.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Limit {
    /// The rule, or
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rule: Option<RuleRef>,
    /// the query.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub query: String,
    /// Why.
    pub message: String,
}

/// The grader ended the replay: its bounds are wider than any that the program keeps by itself.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Ended {
    /// Why.
    pub message: String,
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

impl NotifiedAlert {
    /// The alert's name, if it has one.
    pub fn name(&self) -> Option<&str> {
        self.labels.get("alertname").map(String::as_str)
    }
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
