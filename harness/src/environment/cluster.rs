//! A cluster in which the trusted services run: what a candidate and an exam begin with alike.

use std::collections::BTreeSet;
use std::time::Duration;

use serde_json::Value;

use super::{EnvironmentError, Kind, Lease, Wait};
use crate::compose::{Images, Ownership};
use crate::engine::Engine;
use crate::exercise::Manifest;
use crate::exit::Owner;
use crate::manifests::{self, PLATFORM};
use crate::progress::Progress;

/// How long a cluster, and what is ours in it, may take to come up.
const PATIENCE: Duration = Duration::from_mins(5);

/// What a cluster is made with.
pub struct Foundation<'a> {
    /// The engine.
    pub engine: &'a Engine,
    /// The exercise's.
    pub manifest: &'a Manifest,
    /// Exact image tags by alias.
    pub images: &'a Images,
    /// What its nodes are made of.
    pub node: &'a str,
    /// The lease that it belongs to, and under which name this installation owns it.
    pub lease: &'a Lease,
    /// The name under which this installation owns resources.
    pub owner: &'a str,
    /// Where progress is told.
    pub progress: &'a Progress,
}

impl Foundation<'_> {
    /// Makes the cluster, unless it is there, gives it the exercise's images, and starts the trusted services.
    pub async fn cluster(&self, platform: &[Value]) -> Result<Kind, EnvironmentError> {
        let kind = Kind::new(self.engine.clone(), &self.lease.record);
        kind.up(self).await?;
        self.progress.step("waiting for the cluster");
        usable(kind.wait_usable(PATIENCE).await?)?;
        self.progress.step("starting the platform");
        kind.apply(&manifests::namespaces(self.manifest), Owner::Engine).await?;
        kind.apply(platform, Owner::Engine).await?;
        usable(kind.wait_settled(PLATFORM, Owner::Engine, PATIENCE).await?.map(drop))?;
        Ok(kind)
    }

    /// Whose the cluster is.
    pub(super) fn ownership(&self) -> Ownership {
        self.lease.ownership(self.owner)
    }

    /// Images of the submission.
    pub(super) fn submitted(&self) -> Images {
        self.only(&self.manifest.aliases.iter().collect())
    }

    /// Images of what is trusted.
    pub(super) fn trusted(&self) -> Images {
        self.only(&self.manifest.platform.values().map(|service| &service.image).collect())
    }

    /// Both.
    pub(super) fn in_nodes(&self) -> Images {
        self.submitted().into_iter().chain(self.trusted()).collect()
    }

    fn only(&self, aliases: &BTreeSet<&String>) -> Images {
        self.images.iter().filter(|(alias, _)| aliases.contains(alias)).map(|(alias, exact)| (alias.clone(), exact.clone())).collect()
    }
}

/// Whether what is ours came up.
fn usable(wait: Wait<()>) -> Result<(), EnvironmentError> {
    let (Wait::Pending { last_seen: why } | Wait::Impossible { why, .. }) = wait else { return Ok(()) };
    Err(EnvironmentError::Command { command: "the cluster's start".to_owned(), output: why, owner: Owner::Engine })
}
