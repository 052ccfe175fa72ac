//! Why a command ended early, and with which exit code; the grader's commands share it.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use crate::document::Problems;
use crate::engine::EngineError;
use crate::environment::EnvironmentError;
use crate::exercise::{ExerciseError, KeyError, VariantError};
use crate::exit::{self, Owner};
use crate::images::ImageError;
use crate::interrupt::Interrupt;
use crate::kustomize::KustomizeError;
use crate::output::OutputError;
use crate::submission::SubmissionError;
use crate::vetted::VetError;

/// Why a command ended early.
#[derive(Debug, thiserror::Error)]
pub enum CliError {
    /// An exercise cannot be used.
    #[error(transparent)]
    Exercise(#[from] ExerciseError),
    /// The company's key cannot be read.
    #[error(transparent)]
    Key(#[from] KeyError),
    /// A workspace does not say which variant it is.
    #[error("`{}`: {source}", path.display())]
    Variant {
        /// The file that says it.
        path: PathBuf,
        /// Why it does not.
        source: VariantError,
    },
    /// There is no engine.
    #[error(transparent)]
    Engine(#[from] EngineError),
    /// An image cannot be had.
    #[error(transparent)]
    Images(#[from] ImageError),
    /// An environment does not do what it should.
    #[error(transparent)]
    Environment(#[from] EnvironmentError),
    /// A submission or a workspace cannot be read.
    #[error(transparent)]
    Submission(#[from] SubmissionError),
    /// A submission or a workspace breaks the rules.
    #[error("the deployment breaks the rules of the exercise, so nothing was started:\n{0}")]
    Policy(Problems),
    /// What the submission asks of Kustomize is refused, or Kustomize is not there.
    #[error("the manifests cannot be rendered, so nothing was started:\n{0}")]
    Kustomize(#[from] KustomizeError),
    /// A file of ours cannot be read or written.
    #[error("`{}`: {source}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// The system's words.
        source: std::io::Error,
    },
    /// The folder of leases cannot be read or written.
    #[error("leases: {0}")]
    Leases(std::io::Error),
    /// The command is wrong.
    #[error("{0}")]
    Usage(String),
    /// Told to end.
    #[error("{0}")]
    Interrupted(#[from] Interrupt),
    /// The result cannot be printed.
    #[error(transparent)]
    Output(#[from] OutputError),
    /// The doctor found something missing.
    #[error("this machine cannot run an exercise yet")]
    Unusable,
}

impl From<VetError> for CliError {
    fn from(error: VetError) -> Self {
        match error {
            VetError::Policy(problems) => Self::Policy(problems),
            VetError::Kustomize(error) => Self::Kustomize(error),
        }
    }
}

impl CliError {
    /// The command is wrong.
    pub fn usage(message: impl Into<String>) -> Self {
        Self::Usage(message.into())
    }

    /// A file of ours that cannot be read or written.
    pub fn file(path: &Path) -> impl FnOnce(std::io::Error) -> Self {
        let path = path.to_owned();
        move |source| Self::File { path, source }
    }

    /// The exit code that tells whose it is.
    pub fn code(&self) -> ExitCode {
        exit::code(match self {
            Self::Interrupted(interrupt) => return ExitCode::from(interrupt.code()),
            Self::Exercise(_) | Self::Key(_) | Self::Variant { .. } | Self::Usage(_) => Owner::Operator,
            Self::Engine(_) | Self::Unusable | Self::Kustomize(KustomizeError::Tool(_)) => Owner::Engine,
            Self::Environment(error) => error.owner(),
            Self::Submission(error) => error.owner(),
            Self::Policy(_) | Self::Kustomize(KustomizeError::Refused(_)) => Owner::Candidate,
            Self::Images(_) | Self::File { .. } | Self::Leases(_) | Self::Output(_) => Owner::Grader,
        })
    }
}
