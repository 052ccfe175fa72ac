//! `past.yaml`: a day before the candidate came, as monitoring recorded it and services logged it, with an incident in it that a seed picks;
//! and what a diagnosis of it must say.
//!
//! The day is played from shares: of a replica's requests, so many fail, so many are answered late. Everything is counted, nothing is
//! drawn for one series alone, so metrics and logs say the same. Arithmetic is `+ - * /` only, which every machine does alike.

pub(super) mod day;
pub(super) mod diagnosis;

use std::collections::{BTreeMap, BTreeSet};

use schemars::JsonSchema;
use serde::Deserialize;

use crate::document::{Document, Problem};

pub use day::{Day, Recorded};
use diagnosis::family;
pub use diagnosis::{DIAGNOSIS_FILE, Diagnosed, Diagnosis, Wanted, diagnosed};

/// The whole of `past.yaml`. The day is the one before the candidate's first, from midnight to midnight UTC.
#[derive(Debug, Clone, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Past {
    /// How often was scraped, in seconds.
    #[schemars(range(min = 5, max = 60))]
    pub every_seconds: u32,
    /// How many requests users sent: the fewest at four in the morning, the most at four in the afternoon.
    pub requests_per_second: Daily,
    /// The replicas' names, which stand for `$replica` in what follows.
    #[schemars(length(min = 1, max = 8))]
    pub replicas: Vec<String>,
    /// The versions of the day.
    pub versions: Versions,
    /// The hours at which an incident may begin to show.
    pub begins: Hours,
    /// What share of requests is answered within so many seconds on a usual day, in ascending order.
    #[schemars(length(min = 1))]
    pub answered_within: Vec<Within>,
    /// A usual minute.
    pub usual: Marks,
    /// With more memory than this, in MiB, a replica is killed, and is away until the next count.
    pub memory_limit_mib: f64,
    /// What was scraped.
    #[schemars(length(min = 1))]
    pub series: Vec<SeriesRule>,
    /// What was logged.
    pub logs: Logs,
    /// The incidents of which a seed picks one.
    #[schemars(length(min = 2))]
    pub incidents: Vec<Incident>,
    /// What a diagnosis says.
    #[schemars(length(min = 1))]
    pub facts: Vec<Fact>,
}

/// How many requests a second.
#[derive(Debug, Clone, Copy, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Daily {
    /// The fewest.
    #[schemars(range(min = 1))]
    pub least: f64,
    /// The most.
    pub most: f64,
}

/// The versions of the day: one is released after the other.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Versions {
    /// What the day began with.
    pub before: String,
    /// What it ended with.
    pub after: String,
}

/// From which hour to which, both of 0 to 23.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Hours {
    /// The first.
    #[schemars(range(max = 23))]
    pub from: u32,
    /// The last.
    #[schemars(range(max = 23))]
    pub to: u32,
}

/// A share of requests that is answered within some time.
#[derive(Debug, Clone, Copy, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Within {
    /// How many seconds.
    pub seconds: f64,
    /// The share.
    #[schemars(range(min = 0, max = 1))]
    pub share: f64,
}

/// What becomes of a replica's requests, in shares of them; what an incident's stage leaves out is as usual.
#[derive(Debug, Clone, Copy, PartialEq, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Marks {
    /// The replica fails: 500.
    #[serde(default)]
    pub failed: Option<f64>,
    /// The replica does not answer in time: 504 for users, a late 200 for the replica.
    #[serde(default)]
    pub hung: Option<f64>,
    /// The balancer finds nobody behind the first replica's address, as long as it is away: 503 for users.
    #[serde(default)]
    pub refused: Option<f64>,
    /// Answered, but not within a quarter of a second.
    #[serde(default)]
    pub slow: Option<f64>,
    /// Answered without the feature store, which did not answer in time.
    #[serde(default)]
    pub store_slow: Option<f64>,
    /// Answered without the feature store, which answered 503.
    #[serde(default)]
    pub store_failed: Option<f64>,
    /// How much memory the first replica takes more every minute, in MiB.
    #[serde(default)]
    pub leaks_mib: Option<f64>,
}

/// What a series counts or shows.
#[derive(Debug, Clone, Copy, PartialEq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Quantity {
    /// Requests that the replica answered with 200.
    Answered,
    /// Requests that it answered with 500.
    Failed,
    /// Requests that it dealt with.
    Requests,
    /// Requests that it dealt with within so many seconds.
    Within(f64),
    /// The seconds that it took for all of them.
    Seconds,
    /// Answers without the feature store.
    Degraded,
    /// Lookups that the feature store answered in time.
    LookupsAnswered,
    /// Lookups that it did not answer in time.
    LookupsSlow,
    /// Lookups that it answered with 503.
    LookupsFailed,
    /// Lookups that it answered well, in time or not.
    StoreAnswered,
    /// Users' requests that were answered with 200, by this replica where the series is of one.
    UsersAnswered,
    /// Users' requests that were answered with 5xx.
    UsersFailed,
    /// The bytes of memory that the replica takes.
    Memory,
    /// 1 where the replica is there, 0 where it is away.
    Up,
    /// 1 for the version that is served, which stands for `$version`.
    Serves,
}

/// One series, or one a replica where a label has `$replica`.
#[derive(Debug, Clone, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct SeriesRule {
    /// The metric.
    pub metric: String,
    /// Its labels.
    #[serde(default)]
    pub labels: BTreeMap<String, String>,
    /// What it counts or shows.
    pub of: Quantity,
}

impl SeriesRule {
    fn has(&self, word: &str) -> bool {
        self.labels.values().any(|value| value.contains(word))
    }
}

/// The logs of the day. In a line stand `$time`, `$replica`, `$status` and `$ms`, or `$time`, `$before` and `$version`.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Logs {
    /// One line for each user's request that failed.
    pub failures: Log,
    /// One line for each release.
    pub releases: Log,
}

/// A log.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Log {
    /// The file in the workspace.
    pub file: String,
    /// A line of it.
    pub line: String,
}

/// Something that went wrong on the day.
#[derive(Debug, Clone, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Incident {
    /// Its name, for reports.
    #[schemars(regex(pattern = "^[a-z][a-z0-9-]{0,31}$"))]
    pub id: String,
    /// What it was, for reports.
    pub title: String,
    /// Whether it is the release of the day's second version that begins it, and going back that ends it.
    #[serde(default)]
    pub by_release: bool,
    /// What happened, one after the other: first what monitoring shows and users do not feel yet.
    #[schemars(length(min = 2))]
    pub stages: Vec<Stage>,
    /// What a diagnosis may say, by the ids of facts that are not counted.
    pub answers: BTreeMap<String, BTreeSet<String>>,
}

/// Some minutes of an incident.
#[derive(Debug, Clone, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Stage {
    /// From how many minutes to how many.
    pub minutes: Span,
    /// What becomes of requests.
    pub marks: Marks,
}

/// From how many to how many.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Span {
    /// The fewest.
    #[schemars(range(min = 5))]
    pub min: u32,
    /// The most.
    #[schemars(range(max = 120))]
    pub max: u32,
}

/// Something that a diagnosis says.
#[derive(Debug, Clone, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Fact {
    /// Its key in `diagnosis.yaml`.
    #[schemars(regex(pattern = "^[a-z][a-z0-9_]{0,31}$"))]
    pub id: String,
    /// The question, as `diagnosis.yaml` has it.
    pub asks: String,
    /// How it is answered.
    pub answer: Answer,
}

/// How a fact is answered.
#[derive(Debug, Clone, PartialEq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Answer {
    /// The version that answered users in the first bad minute.
    Version {},
    /// The first bad minute: of which more than a hundredth of users' requests failed.
    FirstBadMinute {
        /// How many minutes off is right.
        within_minutes: u32,
    },
    /// How many users' requests failed from the first bad minute to the last.
    Failed {
        /// Which share off is right.
        within_share: f64,
    },
    /// One of some words; incidents say which.
    Choice(Vec<String>),
    /// A metric; incidents say which.
    Metric {},
}

/// What is true of a day.
#[derive(Default)]
struct Truth {
    version: String,
    minute: u32,
    failed: u64,
    /// What the incident says of a fact that is not counted.
    words: BTreeSet<String>,
}

impl Past {
    /// What answers look like, without what is right: of the day that was recorded.
    pub(super) fn forms(&self, recorded: &Recorded) -> Vec<(String, Wanted)> {
        self.facts.iter().map(|fact| (fact.id.clone(), self.wanted(&fact.answer, recorded, &Truth::default()))).collect()
    }

    fn wanted(&self, answer: &Answer, recorded: &Recorded, truth: &Truth) -> Wanted {
        let right = truth.words.clone();
        let versions = || [&self.versions.before, &self.versions.after].map(String::clone).into();
        match answer {
            Answer::Version {} => Wanted::Word { known: versions(), right: [truth.version.clone()].into() },
            Answer::FirstBadMinute { within_minutes } => Wanted::Time { minute: truth.minute, within_minutes: *within_minutes },
            Answer::Failed { within_share } => Wanted::Count { count: truth.failed, within_share: *within_share },
            Answer::Choice(words) => Wanted::Word { known: words.iter().cloned().collect(), right },
            Answer::Metric {} => {
                let known = recorded.series.iter().map(|series| family(&series.metric).to_owned()).collect();
                Wanted::Metric { known, right: right.iter().map(|metric| family(metric).to_owned()).collect() }
            }
        }
    }

    /// What a schema cannot say.
    pub(super) fn flaws(&self, document: &Document) -> Vec<Problem> {
        let mut problems = Vec::new();
        let families: BTreeSet<&str> = self.series.iter().map(|one| family(&one.metric)).collect();
        for (place, incident) in self.incidents.iter().enumerate() {
            for fact in &self.facts {
                let given = incident.answers.get(&fact.id);
                let at = format!("/incidents/{place}/answers");
                let known: Vec<&str> = match &fact.answer {
                    Answer::Choice(words) => words.iter().map(String::as_str).collect(),
                    Answer::Metric {} => families.iter().copied().collect(),
                    _ if given.is_some() => {
                        problems.push(document.problem(&at, format!("`{}` is counted, and not for an incident to say", fact.id)));
                        continue;
                    }
                    _ => continue,
                };
                match given {
                    Some(words) if !words.is_empty() => {
                        for word in words.iter().filter(|word| !known.contains(&word.as_str())) {
                            let problem = document.problem(&at, format!("`{word}` is no answer to `{}`", fact.id));
                            problems.push(problem.with_help(format!("known: {}", known.join(", "))));
                        }
                    }
                    _ => problems.push(document.problem(&at, format!("nothing answers `{}`", fact.id))),
                }
            }
        }
        let mut wrong = |pointer: &str, message: &str| problems.push(document.problem(pointer, message));
        if !60_u32.is_multiple_of(self.every_seconds.max(1)) {
            wrong("/every_seconds", "a minute must be a whole number of counts");
        }
        if self.begins.from > self.begins.to {
            wrong("/begins", "`from` comes before `to`");
        }
        for (place, incident) in self.incidents.iter().enumerate() {
            if incident.stages.iter().any(|stage| stage.minutes.min > stage.minutes.max) {
                wrong(&format!("/incidents/{place}/stages"), "`min` is at most `max`");
            }
            let longest: u32 = incident.stages.iter().map(|stage| stage.minutes.max).sum();
            if self.begins.to * 60 + longest >= day::CLEANED_UP.0 {
                wrong(&format!("/incidents/{place}/stages"), "it must be over before 22:45 whenever it begins");
            }
        }
        for (place, fact) in self.facts.iter().enumerate() {
            if self.facts[..place].iter().any(|other| other.id == fact.id) {
                wrong(&format!("/facts/{place}/id"), "two facts have this id");
            }
        }
        problems
    }
}
