//! The part of the Compose file that a submission may use, as types: a key that does not stand here is refused with its line.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// A candidate's `compose.yaml`.
#[derive(Debug, Clone, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ComposeFile {
    /// The services by name.
    #[schemars(length(min = 1, max = 16))]
    pub services: BTreeMap<String, Service>,
    /// Named volumes; they take no options.
    #[serde(default)]
    #[schemars(length(max = 16))]
    pub volumes: BTreeMap<String, Option<NoOptions>>,
}

/// Nothing.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct NoOptions {}

/// One service, in Compose's terms.
#[derive(Debug, Clone, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Service {
    /// An image of the exercise.
    pub image: Option<String>,
    /// How its own image is built.
    pub build: Option<Build>,
    /// Its command.
    pub command: Option<Words>,
    /// Its entry point.
    pub entrypoint: Option<Words>,
    /// Its environment.
    #[serde(default)]
    pub environment: Pairs,
    /// Its labels; `modeldown.role` says what it is to the exam.
    #[serde(default)]
    pub labels: Pairs,
    /// Its memory limit, such as `192m`.
    pub mem_limit: Option<Scalar>,
    /// How many processors it may use.
    pub cpus: Option<Scalar>,
    /// How many processes it may have.
    #[schemars(range(min = 1, max = 512))]
    pub pids_limit: Option<u32>,
    /// What is started before it.
    pub depends_on: Option<DependsOn>,
    /// How Docker sees whether it is well.
    pub healthcheck: Option<Healthcheck>,
    /// When it is started again.
    pub restart: Option<String>,
    /// Whether a small init runs as its first process.
    pub init: Option<bool>,
    /// Whether its root file system is read-only.
    pub read_only: Option<bool>,
    /// How long it may take to stop.
    pub stop_grace_period: Option<String>,
    /// The signal that stops it.
    pub stop_signal: Option<String>,
    /// Ports that other services use; for readers only.
    #[serde(default)]
    pub expose: Vec<Scalar>,
    /// Folders of the submission (`./x:/y:ro`) and named volumes (`data:/y`).
    #[serde(default)]
    #[schemars(length(max = 8))]
    pub volumes: Vec<String>,
    /// The folder in which its command starts.
    pub working_dir: Option<String>,
    /// The user that it runs as.
    pub user: Option<Scalar>,
}

/// How an image is built.
#[derive(Debug, Clone, PartialEq, Deserialize, JsonSchema)]
#[serde(untagged)]
pub enum Build {
    /// The folder with the Dockerfile.
    Context(String),
    /// With more to say.
    Detailed(DetailedBuild),
}

/// How an image is built, in full.
#[derive(Debug, Clone, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct DetailedBuild {
    /// The folder whose files it may copy.
    pub context: String,
    /// The Dockerfile, relative to the context.
    pub dockerfile: Option<String>,
    /// The stage to build.
    pub target: Option<String>,
    /// Values of the Dockerfile's `ARG`s.
    #[serde(default)]
    pub args: Pairs,
}

impl Build {
    /// The context, the Dockerfile below it, the stage and the arguments.
    pub(super) fn parts(&self) -> (&str, &str, Option<&str>, Pairs) {
        match self {
            Self::Context(context) => (context, "Dockerfile", None, Pairs::default()),
            Self::Detailed(build) => {
                (&build.context, build.dockerfile.as_deref().unwrap_or("Dockerfile"), build.target.as_deref(), build.args.clone())
            }
        }
    }
}

/// A command line, as one text for the shell or as a list of words.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(untagged)]
pub enum Words {
    /// For the shell.
    Line(String),
    /// Word by word.
    List(Vec<String>),
}

/// A text, a number or a truth value.
#[derive(Debug, Clone, PartialEq, Deserialize, Serialize, JsonSchema)]
#[serde(untagged)]
pub enum Scalar {
    /// A truth value.
    Bool(bool),
    /// A whole number.
    Whole(i64),
    /// A number.
    Number(f64),
    /// A text.
    Text(String),
}

impl std::fmt::Display for Scalar {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Bool(value) => value.fmt(out),
            Self::Whole(value) => value.fmt(out),
            Self::Number(value) => value.fmt(out),
            Self::Text(value) => value.fmt(out),
        }
    }
}

/// Names and values, as a mapping or as a list of `NAME=value`.
#[derive(Debug, Clone, PartialEq, Deserialize, JsonSchema)]
#[serde(untagged)]
pub enum Pairs {
    /// `NAME: value`.
    Mapping(BTreeMap<String, Scalar>),
    /// `NAME=value`.
    List(Vec<String>),
}

impl Default for Pairs {
    fn default() -> Self {
        Self::Mapping(BTreeMap::new())
    }
}

impl Pairs {
    /// Names and values as text. A name without a value has an empty one: nothing comes from the host's environment.
    pub(super) fn all(&self) -> BTreeMap<String, String> {
        match self {
            Self::Mapping(mapping) => mapping.iter().map(|(name, value)| (name.clone(), value.to_string())).collect(),
            Self::List(list) => {
                list.iter().map(|pair| pair.split_once('=').unwrap_or((pair, ""))).map(|(name, value)| (name.to_owned(), value.to_owned())).collect()
            }
        }
    }
}

/// What is started before a service.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(untagged)]
pub enum DependsOn {
    /// These.
    List(Vec<String>),
    /// These, once they are that far.
    Mapping(BTreeMap<String, Dependency>),
}

impl DependsOn {
    pub(super) fn names(&self) -> Vec<&str> {
        match self {
            Self::List(names) => names.iter().map(String::as_str).collect(),
            Self::Mapping(mapping) => mapping.keys().map(String::as_str).collect(),
        }
    }

    /// Those that must be healthy.
    pub(super) fn healthy(&self) -> Vec<&str> {
        match self {
            Self::List(_) => Vec::new(),
            Self::Mapping(mapping) => {
                mapping.iter().filter(|(_, dependency)| dependency.condition == "service_healthy").map(|(name, _)| name.as_str()).collect()
            }
        }
    }
}

/// How far a service must be.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Dependency {
    /// `service_started`, `service_healthy` or `service_completed_successfully`.
    pub condition: String,
}

/// How Docker sees whether a service is well.
#[derive(Debug, Clone, PartialEq, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Healthcheck {
    /// What is run.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub test: Option<Words>,
    /// How often.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub interval: Option<String>,
    /// How long it may take.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub timeout: Option<String>,
    /// How many failures make it unhealthy.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub retries: Option<u32>,
    /// How long failures do not count after the start.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub start_period: Option<String>,
    /// Whether the image's own check is off.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub disable: Option<bool>,
}
