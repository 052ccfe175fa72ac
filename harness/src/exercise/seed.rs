//! Seeds and what is derived from them: the same seed gives the same bytes on every machine and in every version.

use std::fmt;
use std::str::FromStr;

use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};
use sha2::{Digest, Sha256};

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

    /// The stream of random numbers for one purpose. A new purpose never changes what the others draw.
    pub fn stream(&self, exercise: &str, purpose: &str) -> ChaCha8Rng {
        let digest = Sha256::digest(format!("modeldown/1|{exercise}|{}|{purpose}", self.0));
        ChaCha8Rng::from_seed(digest.into())
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
fn unit(random: &mut ChaCha8Rng) -> f64 {
    // The upper 53 bits: as many as a double holds.
    #[allow(clippy::cast_precision_loss)]
    let whole = (random.next_u64() >> 11) as f64;
    whole / 9_007_199_254_740_992.0
}

/// Draws rows of features, rounded to four places so that every machine draws the same.
pub fn rows(inputs: &[Input], count: usize, random: &mut ChaCha8Rng) -> Vec<Vec<f64>> {
    let draw = |input: &Input, random: &mut ChaCha8Rng| {
        let value = match input.distribution {
            Distribution::Uniform { low, high } => low + (high - low) * unit(random),
            Distribution::Lognormal { mu, sigma } => {
                // Box and Muller's transform.
                let (radius, angle) = ((-2.0 * (1.0 - unit(random)).ln()).sqrt(), std::f64::consts::TAU * unit(random));
                (mu + sigma * radius * angle.cos()).exp()
            }
        };
        (value * 1e4).round() / 1e4
    };
    (0..count).map(|_| inputs.iter().map(|input| draw(input, random)).collect()).collect()
}

/// The request of the Open Inference Protocol that asks about a row: one tensor of shape `[1]` a feature.
pub fn request_body(inputs: &[Input], row: &[f64]) -> String {
    let tensors: Vec<_> = inputs
        .iter()
        .zip(row)
        .map(|(input, value)| serde_json::json!({ "name": input.name, "shape": [1], "datatype": "FP64", "data": [value] }))
        .collect();
    serde_json::json!({ "inputs": tensors }).to_string()
}

/// Draws `count` different indices below `of`, in random order.
pub(super) fn choose(count: usize, of: usize, random: &mut ChaCha8Rng) -> Vec<usize> {
    let mut left: Vec<usize> = (0..of).collect();
    let mut chosen = Vec::new();
    while chosen.len() < count && !left.is_empty() {
        let index = usize::try_from(random.next_u64() % left.len() as u64).unwrap_or(0);
        chosen.push(left.swap_remove(index));
    }
    chosen
}
