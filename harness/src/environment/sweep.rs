//! Removing what belongs to a lease, found by its label: containers, networks, volumes, built images. Nothing else is touched.

use std::collections::HashMap;
use std::time::Duration;

use bollard::query_parameters::{
    ListContainersOptionsBuilder, ListImagesOptionsBuilder, ListNetworksOptionsBuilder, ListVolumesOptionsBuilder, RemoveContainerOptionsBuilder,
    RemoveImageOptionsBuilder, RemoveVolumeOptions,
};
use futures_util::future::try_join_all;
use tokio::time::sleep;

use super::docker::EnvironmentError;
use super::lease::Leases;
use crate::engine::Engine;

/// How many looks there are at most; a `docker compose` that was killed may create things for a moment longer.
const LOOKS: u32 = 100;
/// After how many looks that end in the same refusal it is taken for an answer: an engine may hold on to a network until it is started
/// anew.
const REFUSED: u32 = 20;

/// What is swept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sweep {
    /// Containers and networks: what can be made again and loses nobody's data.
    Running,
    /// Volumes and built images too.
    Everything,
}

/// Removes what belongs to a lease until two looks in a row find nothing.
pub async fn sweep(engine: &Engine, lease: &str, what: Sweep) -> Result<(), EnvironmentError> {
    let filters = HashMap::from([("label", vec![format!("modeldown.lease={lease}")])]);
    let (mut quiet, mut refused, mut last) = (0, 0, Ok(()));
    for _ in 0..LOOKS {
        match look(engine, &filters, what).await {
            Ok(0) => quiet += 1,
            Ok(_) => (quiet, refused) = (0, 0),
            // Someone else may remove the same thing just now; what stays is found by the next look.
            Err(error) => (quiet, refused, last) = (0, refused + 1, Err(error)),
        }
        if quiet == 2 {
            return Ok(());
        }
        if refused == REFUSED {
            return last;
        }
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
        if let Err(error) = sweep(engine, &lease.record.id, Sweep::Everything).await {
            engine.api.ping().await?;
            eprintln!("something of an earlier command could not be removed (starting the engine anew helps): {error}");
            continue;
        }
        lease.end().map_err(EnvironmentError::Leases)?;
        count += 1;
    }
    Ok(count)
}

async fn look(engine: &Engine, filters: &HashMap<&str, Vec<String>>, what: Sweep) -> Result<usize, EnvironmentError> {
    let api = &engine.api;
    let mut found = 0;
    let all = ListContainersOptionsBuilder::new().all(true).filters(filters).build();
    // All at once: one that ends slowly must not hold up the others.
    let removals = api.list_containers(Some(all)).await?.into_iter().map(|container| {
        found += 1;
        // Volumes without a name carry no label and go with their container.
        let options = RemoveContainerOptionsBuilder::new().force(true).v(what == Sweep::Everything).build();
        async move { api.remove_container(&container.id.unwrap_or_default(), Some(options)).await }
    });
    try_join_all(removals.collect::<Vec<_>>()).await?;
    for network in api.list_networks(Some(ListNetworksOptionsBuilder::new().filters(filters).build())).await? {
        found += 1;
        api.remove_network(&network.id.unwrap_or_default()).await?;
    }
    if what == Sweep::Running {
        return Ok(found);
    }
    let volumes = api.list_volumes(Some(ListVolumesOptionsBuilder::new().filters(filters).build())).await?;
    for volume in volumes.volumes.unwrap_or_default() {
        found += 1;
        api.remove_volume(&volume.name, None::<RemoveVolumeOptions>).await?;
    }
    for image in api.list_images(Some(ListImagesOptionsBuilder::new().filters(filters).build())).await? {
        found += 1;
        api.remove_image(&image.id, Some(RemoveImageOptionsBuilder::new().force(true).build()), None).await?;
    }
    Ok(found)
}
