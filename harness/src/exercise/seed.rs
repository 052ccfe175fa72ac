//! Seeds and what is derived from them: the same seed gives the same bytes on every machine and in every version.

use std::fmt;
use std::str::FromStr;

use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};
use serde_json::{Map, Value, json};

use super::Key;
use super::manifest::{Distribution, Input};

/// What picks a variant, or draws an exam: any short text.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(transparent)]
pub struct Seed(String);

impl Seed {
    /// A seed from its text: 1 to 64 letters, digits, `-` and `_`.
    pub fn new(text: &str) -> Option<Self> {
        let fine = (1..=64).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_'));
        fine.then(|| Self(text.to_owned()))
    }

    /// A seed that nobody can guess.
    pub fn fresh() -> Self {
        let name = tempfile::Builder::new().prefix("").rand_bytes(12).make(|_| Ok(())).map(|drawn| drawn.path().to_owned());
        // Without the system's randomness there is still the clock and the process.
        let text = name.ok().and_then(|path| path.file_name()?.to_str().map(str::to_lowercase));
        Self(text.unwrap_or_else(|| format!("{}-{}", std::process::id(), jiff::Timestamp::now().as_nanosecond())))
    }

    /// The stream of random numbers for one purpose of an exam. A new purpose never changes what the others draw.
    pub fn stream(&self, exercise: &str, purpose: &str) -> ChaCha8Rng {
        self.secret_stream(&Key::public(), exercise, purpose)
    }

    /// The same for a purpose of a variant: a stream that nobody without the key can compute.
    pub(super) fn secret_stream(&self, key: &Key, exercise: &str, purpose: &str) -> ChaCha8Rng {
        ChaCha8Rng::from_seed(key.digest(&format!("modeldown/1|{exercise}|{}|{purpose}", self.0)))
    }
}

/// A text that is no seed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a seed is 1 to 64 letters, digits, `-` and `_`")]
pub struct NoSeed;

impl FromStr for Seed {
    type Err = NoSeed;

    fn from_str(text: &str) -> Result<Self, NoSeed> {
        Self::new(text).ok_or(NoSeed)
    }
}

impl fmt::Display for Seed {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(&self.0)
    }
}

/// A number in [0, 1).
pub(super) fn unit(random: &mut ChaCha8Rng) -> f64 {
    // The upper 53 bits: as many as a double holds.
    #[allow(clippy::cast_precision_loss)]
    let whole = (random.next_u64() >> 11) as f64;
    whole / 9_007_199_254_740_992.0
}

/// A transaction of the traffic.
#[derive(Debug, Clone, PartialEq)]
pub struct Row {
    /// The account that it names, which nobody has seen before.
    pub account: String,
    /// Every feature, in the order of the exercise's inputs, the stored ones as the feature store knows them.
    pub features: Vec<f64>,
    /// The same, the stored ones as they were an hour ago.
    pub before: Vec<f64>,
}

/// Which transactions are drawn from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Population {
    /// As in training.
    Usual,
    /// As an exercise says that they drift.
    Drifted,
}

/// Draws transactions; features are rounded to four places so that every machine draws the same.
pub fn rows(inputs: &[Input], population: Population, count: usize, random: &mut ChaCha8Rng) -> Vec<Row> {
    let draw = |input: &Input, random: &mut ChaCha8Rng| {
        let drifted = if population == Population::Drifted { input.drifted.as_ref() } else { None };
        let value = match *drifted.unwrap_or(&input.distribution) {
            Distribution::Uniform { low, high } => low + (high - low) * unit(random),
            Distribution::Lognormal { mu, sigma } => {
                // Box and Muller's transform.
                let (radius, angle) = ((-2.0 * (1.0 - unit(random)).ln()).sqrt(), std::f64::consts::TAU * unit(random));
                (mu + sigma * radius * angle.cos()).exp()
            }
        };
        (value * 1e4).round() / 1e4
    };
    let mut drawn = Vec::new();
    for _ in 0..count {
        let account = format!("a-{:012x}", random.next_u64() >> 16);
        let features: Vec<f64> = inputs.iter().map(|input| draw(input, random)).collect();
        let before = inputs.iter().zip(&features).map(|(input, now)| if input.stored { draw(input, random) } else { *now }).collect();
        drawn.push(Row { account, features, before });
    }
    drawn
}

/// The request of the Open Inference Protocol that asks about a row: one tensor of shape `[1]` for the account, where it has a name, and
/// each feature that the store does not know.
pub fn request_body(inputs: &[Input], account: Option<&str>, row: &Row) -> String {
    let known = inputs.iter().zip(&row.features).filter(|(input, _)| !input.stored);
    let tensors = known.map(|(input, value)| json!({ "name": input.name, "shape": [1], "datatype": "FP64", "data": [value] }));
    let account = account.map(|name| json!({ "name": name, "shape": [1], "datatype": "BYTES", "data": [row.account] }));
    let inputs: Vec<Value> = account.into_iter().chain(tensors).collect();
    json!({ "inputs": inputs }).to_string()
}

/// What the feature store is told of the rows' accounts.
pub fn accounts(inputs: &[Input], rows: &[Row]) -> Value {
    let stored = |features: &[f64]| -> Map<String, Value> {
        inputs.iter().zip(features).filter(|(input, _)| input.stored).map(|(input, value)| (input.name.clone(), json!(value))).collect()
    };
    rows.iter().map(|row| (row.account.clone(), json!({ "now": stored(&row.features), "before": stored(&row.before) }))).collect()
}

/// Draws an index below `of`.
pub(super) fn index(of: usize, random: &mut ChaCha8Rng) -> usize {
    usize::try_from(random.next_u64() % of.max(1) as u64).unwrap_or(0)
}

/// The same things in random order.
pub fn shuffled<T>(mut left: Vec<T>, random: &mut ChaCha8Rng) -> Vec<T> {
    let mut order = Vec::new();
    while !left.is_empty() {
        order.push(left.swap_remove(index(left.len(), random)));
    }
    order
}
