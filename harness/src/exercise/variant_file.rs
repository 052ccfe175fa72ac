//! The file by which a workspace says which variant it is: plain without a company's key, sealed with one.

use serde::{Deserialize, Serialize};

use super::{Exercise, ExerciseError, KEY_FILE, Key, Seed, Variant};
use crate::exit::Owner;

/// Where a workspace says which variant it is.
pub const VARIANT_FILE: &str = ".modeldown/variant.json";

/// The format that this program writes. In earlier ones seeds picked other breaks.
const FORMAT: u32 = 4;

/// What [`VARIANT_FILE`] holds, plain or sealed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct VariantFile {
    /// The format of this file.
    pub format: u32,
    /// The exercise's id.
    pub exercise: String,
    /// The seed.
    pub seed: Option<Seed>,
    /// The breaks, where they were named instead of picked.
    pub breaks: Vec<String>,
    /// The digest of the exercise that it was made from.
    pub exercise_digest: String,
}

/// The same where only a key opens it.
#[derive(Serialize, Deserialize)]
struct Sealed {
    format: u32,
    sealed: String,
}

/// What every format of the file has.
#[derive(Deserialize)]
struct Head {
    format: u32,
    #[serde(default)]
    sealed: Option<String>,
}

/// Why nobody can say which variant a workspace is.
#[derive(Debug, thiserror::Error)]
pub enum VariantError {
    /// The file is missing.
    #[error("there is no such file, and it says what this is a repair of; send the whole folder")]
    Missing,
    /// It does not say what it should.
    #[error("{line}:{column}: {source}", line = source.line(), column = source.column())]
    Malformed {
        /// What is wrong, and what would be right.
        #[from]
        source: serde_json::Error,
    },
    /// No program wrote it, or a newer one.
    #[error("there is no format {found}; known: 1 to {FORMAT}")]
    Unknown {
        /// The format.
        found: u32,
    },
    /// Its seed picked other breaks when it was made.
    #[error("it was made when seeds picked other breaks than now; grade it with the version of modeldown that made it")]
    Old,
    /// Only a key opens it, and there is none.
    #[error("it is sealed with a company's key; set `{KEY_FILE}` to the file of that key")]
    Sealed,
    /// The key does not open it.
    #[error("the seal is not of the key that `{KEY_FILE}` names: the file was changed, or sealed with another key; set `{KEY_FILE}` to that one")]
    BadSeal,
    /// Anybody may have written it, and whoever has a key expects a seal.
    #[error(
        "it is not sealed, and `{KEY_FILE}` is set: the workspace was made without a key, or somebody took the seal away; unset it for a public one"
    )]
    NotSealed,
    /// There is no such exercise, or it has no such break.
    #[error(transparent)]
    Exercise(#[from] ExerciseError),
}

impl VariantError {
    /// Whose it is. Whether a seal was broken or made with another key nobody can tell, so whoever has the key is asked.
    pub fn owner(&self) -> Owner {
        match self {
            Self::Missing | Self::Malformed { .. } | Self::Unknown { .. } | Self::Exercise(_) => Owner::Candidate,
            Self::Old | Self::Sealed | Self::BadSeal | Self::NotSealed => Owner::Operator,
        }
    }

    /// Whether a key is there, and the file does not have its seal: whoever knows the exercise and the seed can do without the file.
    pub fn is_a_bad_seal(&self) -> bool {
        matches!(self, Self::BadSeal | Self::NotSealed)
    }
}

impl VariantFile {
    /// What a variant's file says.
    pub(super) fn new(exercise: &Exercise, variant: &Variant) -> Self {
        Self {
            format: FORMAT,
            exercise: exercise.manifest.id.clone(),
            // What a seed picks is not written down where a candidate reads it.
            breaks: if variant.seed.is_some() { Vec::new() } else { variant.breaks.clone() },
            seed: variant.seed.clone(),
            exercise_digest: exercise.digest.clone(),
        }
    }

    /// Reads it. With a company's key it must be sealed: a plain one could be a candidate's, with breaks that are quickly repaired.
    pub fn read(content: &[u8], key: &Key) -> Result<Self, VariantError> {
        let head: Head = serde_json::from_slice(content)?;
        if !(1..=FORMAT).contains(&head.format) {
            return Err(VariantError::Unknown { found: head.format });
        }
        let file: Self = match (head.sealed, key.is_public()) {
            (Some(_), true) => return Err(VariantError::Sealed),
            (None, false) => return Err(VariantError::NotSealed),
            (Some(sealed), false) => serde_json::from_str(&key.open(&sealed).ok_or(VariantError::BadSeal)?)?,
            (None, true) => serde_json::from_slice(content)?,
        };
        if file.format < FORMAT && file.seed.is_some() { Err(VariantError::Old) } else { Ok(file) }
    }

    /// Its bytes, sealed where the key has a secret.
    pub(super) fn write(&self, key: &Key) -> Result<Vec<u8>, serde_json::Error> {
        let sealed = key.seal(&serde_json::to_string(self)?);
        let text =
            sealed.map_or_else(|| serde_json::to_string_pretty(self), |sealed| serde_json::to_string_pretty(&Sealed { format: FORMAT, sealed }));
        Ok((text? + "\n").into_bytes())
    }

    /// The variant that it names.
    pub fn variant(&self, exercise: &Exercise, key: &Key) -> Result<Variant, ExerciseError> {
        match &self.seed {
            Some(seed) => Variant::pick(exercise, seed.clone(), key),
            None => Variant::named(exercise, &self.breaks),
        }
    }
}
