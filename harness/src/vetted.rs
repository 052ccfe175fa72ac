//! A submission that passed the policy of what its exercise runs on.

use crate::compose;
use crate::document::Problems;
use crate::exercise::{EngineKind, Files, Manifest};
use crate::kustomize::{self, KustomizeError};
use crate::manifests;

/// A submission that passed.
#[derive(Debug, Clone)]
pub enum Vetted {
    /// A Compose file.
    Compose(compose::Vetted),
    /// Kubernetes manifests.
    Manifests(manifests::VettedManifests),
}

/// Why a submission did not pass, or could not be looked at.
#[derive(Debug, thiserror::Error)]
pub enum VetError {
    /// Everything that is not allowed.
    #[error("{0}")]
    Policy(#[from] Problems),
    /// What Kustomize makes of it could not be had.
    #[error(transparent)]
    Kustomize(#[from] KustomizeError),
}

/// Checks a submission's files against the policy of an exercise.
pub async fn vet(files: &Files, manifest: &Manifest) -> Result<Vetted, VetError> {
    Ok(match manifest.engine {
        EngineKind::Docker => Vetted::Compose(compose::vet(files, manifest)?),
        EngineKind::Kind => Vetted::Manifests(match kustomize::render(files).await? {
            Some(rendered) => manifests::vet_each([(kustomize::RENDERED, rendered.as_bytes())], files, manifest)?,
            None => manifests::vet(files, manifest)?,
        }),
    })
}

impl Vetted {
    /// The submission's files; what its manifests put before trusted programs lies below folders that are called like their roles.
    pub fn files(&self, manifest: &Manifest) -> Files {
        match self {
            Self::Compose(vetted) => vetted.files().clone(),
            Self::Manifests(vetted) => vetted.files(manifest),
        }
    }

    /// The services with their roles and limits.
    pub fn services(&self, manifest: &Manifest) -> Vec<compose::ServiceRole> {
        match self {
            Self::Compose(vetted) => vetted.services(manifest),
            Self::Manifests(vetted) => vetted.services(manifest),
        }
    }
}
