//! `exercise.yaml`, `contract.yaml` and `breaks/*.yaml`, as types.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::RangeInclusive;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// `exercise.yaml`: what an exercise is made of.
#[derive(Debug, Clone, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Manifest {
    /// The name of the exercise's folder.
    #[schemars(regex(pattern = "^[a-z][a-z0-9-]{0,31}$"))]
    pub id: String,
    /// What people call it.
    pub title: String,
    /// One sentence for `harness list`.
    pub summary: String,
    /// What its environments run on.
    pub engine: EngineKind,
    /// How long a candidate has.
    pub time_limit_minutes: u32,
    /// The score that is asked for, of 100.
    #[schemars(range(max = 100))]
    pub pass_mark: u32,
    /// Which breaks a seed picks.
    pub variants: VariantRule,
    /// What a seed draws beside the breaks.
    #[serde(default)]
    pub parameters: Vec<Parameter>,
    /// The services that a submission must have, by their label `modeldown.role`.
    pub roles: BTreeMap<String, Role>,
    /// The trusted services that the harness adds.
    pub platform: BTreeMap<String, PlatformService>,
    /// The images that a submission may name or build from.
    pub aliases: BTreeSet<String>,
    /// What the submission may use up in all.
    pub budget: Budget,
    /// Images that are made for the exercise.
    #[serde(default)]
    pub images: Vec<ExerciseImage>,
    /// Globs below `reference/`: what of it reaches a candidate.
    #[schemars(length(min = 1))]
    pub candidate_files: Vec<String>,
    /// The features of the model, in its order.
    #[schemars(length(min = 1))]
    pub inputs: Vec<Input>,
    /// The versions of the model.
    pub models: Models,
    /// The traffic that runs at home.
    pub background: Background,
}

/// Which breaks a seed picks: sets that are alike in what they take, and in which no break hides another.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct VariantRule {
    /// How many.
    pub breaks: Count,
    /// How many minutes a good candidate needs for all of them, to within a tenth.
    #[schemars(range(min = 1, max = 1000))]
    pub minutes: u32,
    /// The competencies of which there is a break in every variant.
    #[serde(default)]
    pub covers: BTreeSet<String>,
}

impl VariantRule {
    /// How many minutes breaks may take together.
    pub fn span(&self) -> RangeInclusive<u32> {
        (self.minutes * 9).div_ceil(10)..=self.minutes * 11 / 10
    }
}

/// From how many to how many.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Count {
    /// The fewest.
    #[schemars(range(min = 1))]
    pub min: usize,
    /// The most.
    #[schemars(range(max = 16))]
    pub max: usize,
}

/// A word of the reference that a seed replaces, such as a name or a port, so that variants do not look alike.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Parameter {
    /// Names the stream that it is drawn from: another id draws anew.
    #[schemars(regex(pattern = "^[a-z][a-z0-9-]{0,31}$"))]
    pub id: String,
    /// Words, of which the reference has the first.
    #[schemars(length(min = 2))]
    pub choices: Vec<String>,
    /// The files, below `reference/`, `brief.md` or `past.yaml`, in which another choice takes its place: wherever neither a letter nor a digit
    /// stands beside it. Edits of breaks are written for the first choice too.
    #[schemars(length(min = 1))]
    pub files: BTreeSet<String>,
}

impl Parameter {
    /// What stands in the reference.
    pub fn default(&self) -> &str {
        self.choices.first().map_or("", String::as_str)
    }
}

/// What an exercise's environments run on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum EngineKind {
    /// Docker Compose.
    #[default]
    Docker,
    /// Kubernetes, in a cluster that kind makes.
    Kind,
}

/// What a service of a role is.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Role {
    /// How many services of the role there must be at least.
    #[schemars(range(min = 1, max = 8))]
    pub replicas: usize,
    /// The port that it listens on, if it does.
    #[serde(default)]
    pub port: Option<u16>,
    /// The networks that it joins; a cluster has but one.
    #[serde(default)]
    pub networks: BTreeSet<String>,
    /// The memory limit in MiB of a service that sets none.
    pub memory_mib: u64,
    /// The alias that it must run, or `build` where the submission brings its own image.
    pub image: String,
    /// Whether its port is published on the loopback interface at home.
    #[serde(default)]
    pub publish: bool,
    /// Whether it is the platform's program: the submission supplies configuration and nothing else.
    #[serde(default)]
    pub trusted: bool,
    /// Where a trusted program reads its configuration: the one place at which a submission's folder may appear.
    #[serde(default)]
    pub config: Option<String>,
    /// Folders that its program writes to; emptied with the container unless a volume is there.
    #[serde(default)]
    pub scratch: BTreeSet<String>,
}

impl Role {
    /// The port that it listens on.
    pub fn port(&self) -> u16 {
        self.port.unwrap_or(80)
    }
}

/// A trusted service that the harness adds.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct PlatformService {
    /// The alias that it runs.
    pub image: String,
    /// Its command.
    pub command: Vec<String>,
    /// The networks that it joins; a cluster has but one.
    #[serde(default)]
    pub networks: BTreeSet<String>,
    /// The port that it listens on, if it does.
    pub port: Option<u16>,
    /// Whether its port is published on the loopback interface at home.
    #[serde(default)]
    pub publish: bool,
    /// A folder whose content outlives its container.
    #[serde(default)]
    pub volume: Option<String>,
    /// Its memory limit in MiB.
    #[serde(default = "platform_memory")]
    pub memory_mib: u64,
    /// The role whose scrape configuration it runs as well, once a second and for the recording of an exam; it is not there at home.
    #[serde(default)]
    pub shadows: Option<String>,
    /// Folders that its program writes to; emptied with the container.
    #[serde(default)]
    pub scratch: BTreeSet<String>,
}

impl PlatformService {
    /// Its command at home: there the driver sends the background traffic to a host, and the feature store knows the accounts that it is about. Both
    /// find their files in `/rows`.
    pub(crate) fn command_at_home(&self, name: &str, manifest: &Manifest, contract: &Contract, host: &str) -> Vec<String> {
        match name {
            "driver" => {
                let port = manifest.roles.get(&contract.inference.role).map_or(80, Role::port);
                let url = format!("http://{host}:{port}{}", contract.inference.path);
                let rate = manifest.background.rate_per_second.to_string();
                ["driver", "background", "--url", &url, "--rate", &rate, "--rows", "/rows/rows.jsonl"].map(str::to_owned).to_vec()
            }
            "features" => ["features", "/rows/accounts.json"].map(str::to_owned).to_vec(),
            _ => self.command.clone(),
        }
    }
}

fn platform_memory() -> u64 {
    64
}

/// What a submission may use up.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Budget {
    /// The sum of all memory limits in MiB.
    pub memory_mib: u64,
}

/// An image that is made for the exercise.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ExerciseImage {
    /// What others call it.
    pub alias: String,
    /// Its target in `images/Dockerfile`.
    pub target: String,
    /// The exercise beside this one whose Dockerfile that is; this one's where nothing is said.
    #[serde(default)]
    pub of: Option<String>,
    /// Folders that it is made from as well, such as `model-down/reference/model`. With any, the folder of all exercises is the context in which it
    /// is built.
    #[serde(default)]
    pub shares: BTreeSet<String>,
}

/// One feature of the model: part of every request, or known to the feature store.
#[derive(Debug, Clone, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Input {
    /// Its name, as requests call it.
    pub name: String,
    /// Whether the feature store knows it; requests name the account and leave it out.
    #[serde(default)]
    pub stored: bool,
    /// How its values are distributed.
    pub distribution: Distribution,
    /// How they are distributed where an exam lets its input drift; as ever without it.
    #[serde(default)]
    pub drifted: Option<Distribution>,
}

/// How values are distributed.
#[derive(Debug, Clone, PartialEq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Distribution {
    /// The exponential of a normal distribution.
    Lognormal {
        /// Mean of the logarithm.
        mu: f64,
        /// Standard deviation of the logarithm.
        sigma: f64,
    },
    /// All values between two bounds alike.
    Uniform {
        /// The lower bound.
        low: f64,
        /// The upper bound.
        high: f64,
    },
}

/// The versions of the model.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Models {
    /// What the registry calls the model.
    pub name: String,
    /// The version that users must be served.
    pub champion: String,
    /// The image that knows every version, also those that an exam releases: given rows on stdin it answers their scores and artifacts.
    pub artifacts: String,
}

/// The traffic that runs at home.
#[derive(Debug, Clone, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Background {
    /// Requests a second.
    pub rate_per_second: f64,
}

/// `contract.yaml`: what the exam relies on, and nothing else.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Contract {
    /// How the model is asked.
    pub inference: Inference,
    /// How a replica says that it can answer.
    pub ready: Ready,
    /// How versions are released; nothing where nobody releases any.
    #[serde(default)]
    pub release: Option<ReleaseCommands>,
    /// The registry's address; without one there is but one version.
    #[serde(default)]
    pub registry: Option<String>,
    /// The feature store's address, where there is one.
    #[serde(default)]
    pub features: Option<String>,
    /// The folder of the Grafana dashboards, where there are any.
    #[serde(default)]
    pub dashboards: Option<String>,
    /// How an alert says whom it wakes, where anybody is alerted.
    #[serde(default)]
    pub alerts: Option<Alerts>,
    /// Where the pager is called, by receiver.
    #[serde(default)]
    pub pager: BTreeMap<String, String>,
}

/// How the model is asked.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Inference {
    /// The role that users talk to.
    pub role: String,
    /// The path of the Open Inference Protocol's request.
    pub path: String,
    /// The input tensor that names the account; without it requests hold the features alone.
    #[serde(default)]
    pub account: Option<String>,
    /// The output tensor that holds the score.
    pub output: String,
}

/// How a replica says that it can answer.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Ready {
    /// The role of the replicas.
    pub role: String,
    /// The path that answers 200.
    pub path: String,
}

/// How versions are released: commands, run in the service of a role.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ReleaseCommands {
    /// The role of the service.
    pub role: String,
    /// Makes a version the champion; the version follows as the last word.
    #[schemars(length(min = 1))]
    pub deploy: Vec<String>,
    /// Goes back to the champion before the last deploy.
    #[schemars(length(min = 1))]
    pub rollback: Vec<String>,
    /// Says as JSON what is served.
    #[schemars(length(min = 1))]
    pub status: Vec<String>,
    /// How long a command may take.
    #[schemars(range(min = 1, max = 300))]
    pub within_seconds: u64,
}

/// How an alert says whom it wakes.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Alerts {
    /// The label that says it.
    pub label: String,
    /// Its value for the person on call.
    pub page: String,
    /// Its value for the team's queue.
    pub ticket: String,
}

/// `breaks/*.yaml`: one defect.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Break {
    /// The name of its file.
    #[schemars(regex(pattern = "^[a-z][a-z0-9-]{0,31}$"))]
    pub id: String,
    /// What went wrong, for reports.
    pub title: String,
    /// What finding it takes.
    pub competency: String,
    /// How hard it is.
    pub difficulty: Difficulty,
    /// How long a good candidate needs.
    pub minutes: u32,
    /// The checks that fail with this break alone: exactly these, beside checks of the replay that need one of them.
    #[schemars(length(min = 1))]
    pub fails: BTreeSet<String>,
    /// Breaks whose symptoms cannot be seen beside this one: no seed picks both.
    #[serde(default)]
    pub masks: BTreeSet<String>,
    /// What it does to the reference.
    #[schemars(length(min = 1))]
    pub edits: Vec<Edit>,
}

/// How hard a break is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Difficulty {
    /// Seen at once.
    Easy,
    /// Found by looking in the right place.
    Medium,
    /// Found by those who know what to suspect.
    Hard,
}

/// One edit to one file of the reference.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Edit {
    /// The file below `reference/`.
    pub file: String,
    /// A text that stands in the file exactly once.
    pub find: String,
    /// What stands there instead.
    pub replace: String,
}
