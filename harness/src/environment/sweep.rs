//! Removing what belongs to a lease, found by its label: containers, networks, volumes, built images. Nothing else is touched. Nodes of a cluster
//! carry kind's labels only, with the lease's project for a name.

use std::collections::HashMap;
use std::time::Duration;

use bollard::errors::Error;
use bollard::query_parameters::{
    ListContainersOptionsBuilder, ListImagesOptionsBuilder, ListNetworksOptionsBuilder, ListVolumesOptionsBuilder, RemoveContainerOptionsBuilder,
    RemoveImageOptionsBuilder, RemoveVolumeOptions,
};
use futures_util::future::join_all;
use tokio::time::sleep;

use super::docker::EnvironmentError;
use super::kind::CLUSTER_LABEL;
use super::lease::{Leases, Record};
use crate::engine::Engine;
use crate::exercise::EngineKind;
use crate::output;

/// How many looks there are at most; a `docker compose` that was killed may create things for a moment longer.
const LOOKS: u32 = 100;
/// How many looks in a row must find nothing; and where a `kind` may be at work whose command was killed, and begins with its network.
const QUIET: u32 = 2;
const QUIET_OF_KIND: u32 = 15;
/// After how many looks in a row that remove nothing a refusal is taken for an answer: an engine may hold on to a network until it
/// is started anew.
const REFUSED: u32 = 20;

/// What is swept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sweep {
    /// Containers and networks: what can be made again and loses nobody's data.
    Running,
    /// Volumes and built images too.
    Everything,
}

/// Removes what belongs to a lease until looks in a row find nothing.
pub async fn sweep(engine: &Engine, lease: &Record, what: Sweep) -> Result<(), EnvironmentError> {
    let enough = if lease.engine == EngineKind::Kind { QUIET_OF_KIND } else { QUIET };
    let (mut quiet, mut refused, mut before, mut last) = (0, 0, usize::MAX, Ok(()));
    for _ in 0..LOOKS {
        let Look { found, refusal } = look(engine, lease, what).await?;
        quiet = if found == 0 { quiet + 1 } else { 0 };
        if quiet == enough {
            return Ok(());
        }
        // As long as something goes, the rest may follow: a network goes after its containers.
        refused = if refusal.is_none() || found < before { 0 } else { refused + 1 };
        last = refusal.map_or(Ok(()), |error| Err(error.into()));
        if refused == REFUSED {
            return last;
        }
        before = found;
        sleep(Duration::from_millis(200)).await;
    }
    last
}

/// Removes what dead commands left behind, before anything new is made; says how many there were. What other commands and
/// candidates run stays. What the engine does not let go of stays with its lease for the next command, and keeps nobody from working.
pub async fn sweep_dead(engine: &Engine, leases: &Leases) -> Result<usize, EnvironmentError> {
    let dead = leases.dead().map_err(EnvironmentError::Leases)?;
    let mut count = 0;
    for lease in dead {
        if let Err(error) = sweep(engine, &lease.record, Sweep::Everything).await {
            engine.api.ping().await?;
            output::say(format_args!("something of an earlier command could not be removed (starting the engine anew helps): {error}"));
            continue;
        }
        lease.end().map_err(EnvironmentError::Leases)?;
        count += 1;
    }
    Ok(count)
}

/// What a look found and could not remove.
struct Look {
    /// How many things there were.
    found: usize,
    /// Why one of them stays, if one does.
    refusal: Option<Error>,
}

impl Look {
    /// Counts a removal. What is gone, or on its way, is no refusal: someone else may remove the same thing just now.
    fn count(&mut self, removed: Result<(), Error>) {
        self.found += 1;
        match removed {
            Ok(()) | Err(Error::DockerResponseServerError { status_code: 404, .. }) => {}
            Err(Error::DockerResponseServerError { status_code: 409, message }) if message.contains("already in progress") => {}
            Err(error) => self.refusal = Some(error),
        }
    }
}

async fn look(engine: &Engine, lease: &Record, what: Sweep) -> Result<Look, EnvironmentError> {
    let api = &engine.api;
    let filters = &HashMap::from([("label", vec![format!("modeldown.lease={}", lease.id)])]);
    let mut look = Look { found: 0, refusal: None };
    let all = ListContainersOptionsBuilder::new().all(true).filters(filters).build();
    let mut containers: Vec<(String, bool)> =
        api.list_containers(Some(all)).await?.into_iter().map(|one| (one.id.unwrap_or_default(), what == Sweep::Everything)).collect();
    let mut networks = api.list_networks(Some(ListNetworksOptionsBuilder::new().filters(filters).build())).await?;
    if lease.engine == EngineKind::Kind {
        let nodes = HashMap::from([("label", vec![format!("{CLUSTER_LABEL}={}", lease.project)])]);
        let all = ListContainersOptionsBuilder::new().all(true).filters(&nodes).build();
        // What a node keeps in its volumes is worth nothing without it.
        containers.extend(api.list_containers(Some(all)).await?.into_iter().map(|one| (one.id.unwrap_or_default(), true)));
        // A kind that is left alone makes its network anew where it is gone, without a label.
        let named = HashMap::from([("name", vec![format!("^{}$", lease.project)])]);
        networks.extend(api.list_networks(Some(ListNetworksOptionsBuilder::new().filters(&named).build())).await?);
    }
    // All at once, and each to its end: one that ends slowly or is refused must not hold up the others.
    let removals = containers.iter().map(|(container, with_volumes)| {
        // Volumes without a name carry no label and go with their container.
        let options = RemoveContainerOptionsBuilder::new().force(true).v(*with_volumes).build();
        api.remove_container(container, Some(options))
    });
    join_all(removals).await.into_iter().for_each(|removed| look.count(removed));
    for network in networks {
        look.count(api.remove_network(&network.id.unwrap_or_default()).await);
    }
    if what == Sweep::Running {
        return Ok(look);
    }
    let volumes = api.list_volumes(Some(ListVolumesOptionsBuilder::new().filters(filters).build())).await?;
    for volume in volumes.volumes.unwrap_or_default() {
        look.count(api.remove_volume(&volume.name, None::<RemoveVolumeOptions>).await);
    }
    for image in api.list_images(Some(ListImagesOptionsBuilder::new().filters(filters).build())).await? {
        let options = RemoveImageOptionsBuilder::new().force(true).build();
        look.count(api.remove_image(&image.id, Some(options), None).await.map(drop));
    }
    Ok(look)
}
