//! What can happen in an exam: the events of a history, one JSON object a line.

use std::collections::BTreeMap;

use harness::exercise::Diagnosed;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// One event. Its number, by which evidence refers to it, is its line in `events.jsonl`, from 1.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Event {
    /// Nanoseconds since the exam began, of one monotonic clock.
    pub at_ns: u64,
    /// What happened.
    #[serde(flatten)]
    pub what: What,
}

/// What happened. Unknown kinds are refused by the reader: a judge that skips what it does not know is not a judge.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum What {
    /// A phase began.
    PhaseEntered {
        /// Its id in `exam.yaml`.
        phase: String,
    },
    /// The condition for entering a phase did not hold.
    EntryUnmet {
        /// The phase that should have begun.
        phase: String,
        /// What was seen instead.
        last_seen: String,
    },
    /// The grader restored the environment by its own means.
    Restored {
        /// The phase that should begin.
        phase: String,
        /// What was done.
        how: String,
    },
    /// A phase ended.
    PhaseLeft {
        /// Its id in `exam.yaml`.
        phase: String,
        /// How it ended.
        end: PhaseEnd,
    },
    /// A fault began and is held until it ends.
    FaultBegan {
        /// The phase that it belongs to.
        phase: String,
        /// Its kind, such as `kill`.
        fault: String,
        /// The service that it hits.
        target: String,
    },
    /// A fault was ended.
    FaultEnded {
        /// Its kind, such as `kill`.
        fault: String,
        /// The service that it hit.
        target: String,
    },
    /// What a version of the model answers, row by row, computed by the grader outside the environment.
    Expected {
        /// The version.
        version: String,
        /// The score of each row of the traffic.
        scores: Vec<f64>,
        /// The score of each row when the model's defaults stand in for the feature store.
        degraded: Vec<f64>,
    },
    /// A stretch of the exam that the replay is made of is over.
    Shown {
        /// What it showed: a signature's name; nothing for a deployment that is well.
        signature: Option<String>,
        /// When it began; it ended with this event.
        from_ns: u64,
        /// From when on the signature was at its height.
        steady_from_ns: u64,
    },
    /// The recording of the submission's metrics was taken, or could not be.
    Recorded {
        /// How many series it has.
        series: usize,
        /// How many samples.
        samples: usize,
        /// Why there is none, if so.
        missing: Option<Missing>,
        /// The wall clock when the exam began, in milliseconds of Unix time.
        began_unix_ms: i64,
    },
    /// What the submission says of the day before, beside what is right.
    Diagnosed {
        /// Every fact that the exercise asks for.
        facts: Vec<Diagnosed>,
    },
    /// How many series the submission's Prometheus holds, asked before something that may empty it.
    Series {
        /// Their count.
        count: u64,
    },
    /// A version was registered.
    Published {
        /// The version.
        version: String,
        /// What the exercise calls its artifact.
        artifact: String,
        /// Whether it was registered with the digest that it has.
        digest_holds: bool,
    },
    /// What the registry said of its champion alias.
    Alias {
        /// The version that it points to, if there is one.
        champion: Option<String>,
    },
    /// A command of the contract was run in the submission.
    Command {
        /// Which.
        command: ReleaseCommand,
        /// The version that it was given.
        version: Option<String>,
        /// When it began; it ended with this event.
        began_ns: u64,
        /// Its exit code; `None` when it was not over in time, or could not be run at all.
        exit_code: Option<i64>,
        /// The end of what it said.
        output: String,
    },
    /// Every service of the submission was stopped and started again.
    Restarted,
    /// The eviction of a pod was asked for.
    Evicted {
        /// The pod.
        target: String,
        /// The cluster's words where a budget refused it.
        refused: Option<String>,
        /// The cluster's words where it cannot be evicted at all.
        #[serde(default)]
        impossible: Option<String>,
    },
    /// Every pod of a Deployment was to be replaced.
    Rolled {
        /// The Deployment.
        deployment: String,
        /// When that was asked for; it was over, or given up, with this event.
        began_ns: u64,
        /// What was missing when it was given up, if it was.
        missing: Option<String>,
    },
    /// Kubernetes said that a rollout does not progress.
    Stalled {
        /// The Deployment.
        deployment: String,
        /// Its words.
        said: String,
    },
    /// What the submission's Prometheus and dashboards hold.
    Surveyed {
        /// The alerting rules that are loaded.
        alerts: Vec<AlertRule>,
        /// The dashboards' queries and what they gave.
        panels: Vec<Panel>,
        /// How many series Prometheus holds, if it said so.
        series: Option<u64>,
    },
    /// The version that users must be served.
    Champion {
        /// The version.
        version: String,
    },
    /// One request of the open-loop traffic.
    Request {
        /// Its number in the stream, from 0.
        seq: u64,
        /// Which row it asked about.
        row: usize,
        /// When the schedule wanted it sent, in the history's nanoseconds.
        intended_ns: u64,
        /// When it was sent.
        sent_ns: u64,
        /// When its fate was known.
        done_ns: u64,
        /// What became of it.
        result: RequestResult,
    },
    /// One look at an address that is watched throughout the exam.
    Watched {
        /// What is watched: `canary`, `ready:SERVICE` or `targets`.
        name: String,
        /// When it was asked.
        sent_ns: u64,
        /// When the answer was there.
        done_ns: u64,
        /// Whether the answer was the one that is wanted.
        ok: bool,
        /// What came instead, else empty.
        detail: String,
    },
    /// The pager was called.
    Delivered {
        /// Where: `page`, `ticket` or `heartbeat`.
        receiver: String,
        /// The alerts of the notification.
        alerts: Vec<Alert>,
    },
    /// A rule of the grader was loaded into the submission's Prometheus to fire at once.
    Rang {
        /// The receiver that must hear of it.
        receiver: String,
        /// The alert's name.
        alertname: String,
    },
    /// A container of the environment changed its state.
    Service {
        /// The Compose service.
        service: String,
        /// Its role, if it has one.
        role: Option<String>,
        /// Docker's word for it: `start`, `die`, `oom`, `health_status: unhealthy`, ...
        action: String,
        /// The exit code, when it died.
        exit_code: Option<i64>,
    },
    /// What Prometheus said that it scrapes.
    Targets {
        /// Every active target.
        targets: Vec<Target>,
    },
    /// A service of the submission, as it was deployed.
    Deployed {
        /// The Compose service.
        service: String,
        /// Its role, if it has one.
        role: Option<String>,
        /// The memory limit with which it runs, in MiB.
        memory_mib: u64,
        /// Its IP addresses at that moment.
        addresses: Vec<String>,
    },
    /// How much of the machine's processors the submission used since the last such event.
    Spent {
        /// Milliseconds of processor time that its services used.
        used_ms: u64,
        /// Milliseconds that there were, of all processors together.
        of_ms: u64,
        /// Milliseconds that the whole machine used; 0 where nobody counted.
        #[serde(default)]
        busy_ms: u64,
        /// Milliseconds of these that programs used which are neither of the exam's environment nor of the engine.
        #[serde(default)]
        others_ms: u64,
        /// The name of the one of these programs that used the most, as the kernel has it.
        #[serde(default)]
        most: Option<String>,
        /// Milliseconds that other machines on the same hardware took.
        #[serde(default)]
        stolen_ms: u64,
    },
    /// The driver reports a fault of its own.
    DriverFault {
        /// What went wrong.
        message: String,
    },
    /// The grader reports a fault of its own; what was not recorded by then is not graded.
    GraderFault {
        /// What went wrong.
        message: String,
    },
    /// A remark for the reader, which no judge reads.
    Note {
        /// The remark.
        text: String,
    },
}

/// Why a recording is missing.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Missing {
    /// What was said.
    pub why: String,
    /// Whether it is because the submission has more metrics than a recording holds.
    pub too_much: bool,
}

/// A command of the contract.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum ReleaseCommand {
    /// Makes a version the champion.
    Deploy,
    /// Goes back to the champion before the last deploy.
    Rollback,
    /// Says what is served.
    Status,
}

impl ReleaseCommand {
    /// Its name.
    pub fn name(self) -> &'static str {
        match self {
            Self::Deploy => "deploy",
            Self::Rollback => "rollback",
            Self::Status => "status",
        }
    }
}

/// An alerting rule, as Prometheus has loaded it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AlertRule {
    /// The alert's name.
    pub name: String,
    /// Whom it wakes, by the contract's label; empty without one.
    pub urgency: String,
    /// Its annotation `runbook_url`; empty without one.
    pub runbook: String,
    /// Whether the submission has the file that the annotation names.
    pub runbook_found: bool,
    /// Why it could not be evaluated, else empty.
    pub error: String,
}

/// A query of a dashboard.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Panel {
    /// The dashboard's file.
    pub file: String,
    /// The panel's title.
    pub title: String,
    /// The query, with variables filled in.
    pub query: String,
    /// How many series it gave.
    pub series: usize,
    /// Why it could not be asked, else empty.
    pub error: String,
}

/// How a phase ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "how", rename_all = "snake_case")]
pub enum PhaseEnd {
    /// Every step was done.
    Completed,
    /// The cap came first.
    Capped,
    /// Its entry condition was not met, even after the grader had restored what it could.
    Skipped {
        /// What was seen instead of the condition.
        why: String,
    },
}

/// What became of a request.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "is", rename_all = "snake_case")]
pub enum RequestResult {
    /// An HTTP answer came.
    Answered {
        /// The HTTP status.
        status: u16,
        /// The model version in the answer.
        version: Option<String>,
        /// The score in the answer.
        score: Option<f64>,
        /// Whether the answer says that it was made without all features.
        degraded: Option<bool>,
    },
    /// No answer in time.
    TimedOut,
    /// The name did not resolve.
    Unresolved {
        /// The resolver's words.
        why: String,
    },
    /// The connection was refused.
    Refused {
        /// The system's words.
        why: String,
    },
    /// The connection broke before the answer was whole.
    Broken {
        /// The system's words.
        why: String,
    },
}

/// One alert of a notification, in Alertmanager's terms.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Alert {
    /// `firing` or `resolved`.
    pub status: String,
    /// Its labels.
    #[serde(default)]
    pub labels: BTreeMap<String, String>,
    /// Its annotations.
    #[serde(default)]
    pub annotations: BTreeMap<String, String>,
}

impl Alert {
    /// The alert's name.
    pub fn name(&self) -> &str {
        self.labels.get("alertname").map_or("", String::as_str)
    }
}

/// One active target of Prometheus.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Target {
    /// Its `job` label.
    pub job: String,
    /// Its `instance` label.
    pub instance: String,
    /// The address that is scraped.
    pub scrape_url: String,
    /// How often it is scraped, in milliseconds.
    pub interval_ms: u64,
    /// `up`, `down` or `unknown`.
    pub health: String,
    /// Why the last scrape failed, else empty.
    pub last_error: String,
}
