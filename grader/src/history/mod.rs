//! The history of an exam: everything that judges read, and nothing else.
//!
//! A folder (or a tar of it) with `manifest.json`, `events.jsonl.zst` and copies of the exercise's `exam.yaml`,
//! `checks.yaml` and `requirements.json`, so that it can be judged years later and anywhere. Where the exam has a replay,
//! `recording.json.zst` and `monitoring.json` are what it is made of, and `replay.jsonl.zst` is what it came to.

mod event;
mod phases;
mod read;
mod replay;
mod write;

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

use harness::exercise::{Break, Exercise, Seed, Variant};
use serde::{Deserialize, Serialize};

pub use event::{Alert, AlertRule, Event, Missing, Panel, PhaseEnd, ReleaseCommand, RequestResult, Target, What};
pub use phases::{PhaseRecord, Phases};
pub use read::recording;
pub use replay::{
    AlertLine, Change, Count, Curve, Ended, Limit, Line, LoadError, Muted, Notice, Notification, NotifiedAlert, PanelLine, Played, Rhythm, RuleError,
    RuleLine, RuleRef, TraceLine,
};
pub use write::{Recorder, Rules, Writing, keep, pack};

/// The format that this program writes, and the newest that it reads.
pub const FORMAT: u32 = 6;

/// What a history says about itself.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Manifest {
    /// The format of the folder.
    pub format: u32,
    /// The exercise's id.
    pub exercise: String,
    /// The exercise's title.
    pub title: String,
    /// A digest of all files of the exercise.
    pub exercise_digest: String,
    /// The seed that picked the variant; `None` for the reference.
    pub seed: Option<String>,
    /// The breaks of the variant, by id.
    pub breaks: BTreeMap<String, BreakRecord>,
    /// The checks that fail on the untouched variant: what there is to repair.
    pub baseline: BTreeSet<String>,
    /// The seed from which the exam drew rows and targets.
    pub exam_seed: String,
    /// When the exam began, RFC 3339.
    pub started: String,
    /// The grader that wrote it.
    pub grader_version: String,
    /// The score that is asked for.
    pub pass_mark: u32,
    /// Whether the candidate could have looked up what is broken: the exercise is public, and so is what its seeds pick.
    #[serde(default)]
    pub public: bool,
    /// The phases that were held, where an author asked for a part of the exam.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub phases: Option<Vec<String>>,
}

impl Manifest {
    /// The manifest of an exam of a variant that is drawn from a seed and begins now.
    pub fn of(exercise: &Exercise, variant: &Variant, exam_seed: &Seed) -> Self {
        let record = |one: &Break| BreakRecord { title: one.title.clone(), minutes: one.minutes, fails: one.fails.clone() };
        Self {
            format: FORMAT,
            exercise: exercise.manifest.id.clone(),
            title: exercise.manifest.title.clone(),
            exercise_digest: exercise.digest.clone(),
            seed: variant.seed.as_ref().map(ToString::to_string),
            breaks: variant.breaks.iter().filter_map(|id| Some((id.clone(), record(exercise.breaks.get(id)?)))).collect(),
            baseline: exercise.baseline(&variant.breaks),
            exam_seed: exam_seed.to_string(),
            started: jiff::Timestamp::now().to_string(),
            grader_version: env!("CARGO_PKG_VERSION").to_owned(),
            pass_mark: exercise.manifest.pass_mark,
            public: false,
            phases: None,
        }
    }
}

/// A break of the variant, as the exercise described it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BreakRecord {
    /// What went wrong.
    pub title: String,
    /// How long a good candidate needs.
    pub minutes: u32,
    /// The checks that fail because of it.
    pub fails: BTreeSet<String>,
}

/// A history that was read, with what is needed to judge it.
#[derive(Debug, Clone)]
pub struct History {
    /// What it says about itself.
    pub manifest: Manifest,
    /// The events in the order in which they were recorded.
    pub events: Vec<Event>,
    /// `exam.yaml` as it was.
    pub exam: String,
    /// `checks.yaml` as it was.
    pub checks: String,
    /// The requirements of the brief: id and text.
    pub requirements: BTreeMap<String, String>,
    /// Whether the last line was cut off: the grader died while it wrote.
    pub truncated: bool,
    /// What the replay needs of the submission; nothing where the exam has none.
    pub monitoring: Option<Monitoring>,
    /// What the replay came to, line by line; nothing where there was none.
    pub replay: Option<Vec<Line>>,
}

/// The file of the recording: what was scraped, as the replay program reads it.
pub const RECORDING: &str = "recording.json.zst";
/// The file with what the replay needs of the submission.
pub const MONITORING: &str = "monitoring.json";
/// The file of what the replay came to.
pub const REPLAY: &str = "replay.jsonl.zst";

/// What the replay needs of a submission.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Monitoring {
    /// Text files by their path in the workspace.
    pub files: BTreeMap<String, String>,
    /// Which of them is Prometheus' configuration.
    pub prometheus: String,
    /// Which is Alertmanager's.
    pub alertmanager: String,
    /// Addresses of the pager by the urgency that they mean.
    pub urgencies: BTreeMap<String, Vec<String>>,
    /// The dashboards' queries with their variables filled in.
    pub queries: Vec<DashboardQuery>,
}

/// A query of a dashboard.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DashboardQuery {
    /// The dashboard's file.
    pub file: String,
    /// The panel's title.
    pub title: String,
    /// The query.
    pub expr: String,
}

impl History {
    /// Events with their numbers.
    pub fn numbered(&self) -> impl Iterator<Item = (u64, &Event)> {
        (1..).zip(&self.events)
    }

    /// The first fault that the grader or its driver reported up to a moment, in nanoseconds.
    pub fn fault(&self, until_ns: u64) -> Option<(u64, &str)> {
        self.numbered().find_map(|(number, event)| match &event.what {
            What::DriverFault { message } | What::GraderFault { message } if event.at_ns <= until_ns => Some((number, message.as_str())),
            _ => None,
        })
    }
}

/// Why a history cannot be read or written.
#[derive(Debug, thiserror::Error)]
pub enum HistoryError {
    /// A file of it is missing or unreadable.
    #[error("`{}`: {source}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// The system's words.
        source: std::io::Error,
    },
    /// A file of it does not say what it should.
    #[error("`{file}`:{line}:{column}: {message}")]
    Malformed {
        /// The file, as it is called in the history.
        file: String,
        /// The line, from 1.
        line: usize,
        /// The column, from 1.
        column: usize,
        /// What is wrong, and what would be right.
        message: String,
    },
    /// A newer program wrote it.
    #[error("`manifest.json`: format {found} is newer than {FORMAT}, the newest that this grader reads; use the grader that wrote it")]
    Newer {
        /// The format.
        found: u32,
    },
    /// No program wrote it.
    #[error("`manifest.json`: there is no format {found}; known: 1 to {FORMAT}")]
    Unknown {
        /// The format.
        found: u32,
    },
    /// It is neither a folder nor a tar of one.
    #[error("`{}` is neither a history's folder nor a tar of it, plain or with gzip: {source}", path.display())]
    NotAHistory {
        /// The file.
        path: PathBuf,
        /// The system's words.
        source: std::io::Error,
    },
    /// A tar holds a file twice, so that nobody can say which one counts.
    #[error("`{file}` stands in the tar twice: this is not a history of one exam")]
    Twice {
        /// The file.
        file: String,
    },
    /// It is larger than any exam makes it.
    #[error("`{file}` is larger than {limit_mib} MiB when unpacked: this is not a history of an exam")]
    TooLarge {
        /// The file.
        file: String,
        /// The limit.
        limit_mib: u64,
    },
    /// The thread that writes it is gone.
    #[error("the history is not being written any more")]
    Closed,
}

impl HistoryError {
    pub(crate) fn file(path: impl Into<PathBuf>) -> impl FnOnce(std::io::Error) -> Self {
        let path = path.into();
        move |source| Self::File { path, source }
    }
}

#[cfg(test)]
mod tests;
