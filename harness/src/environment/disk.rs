//! What an environment writes to the engine's disk: engines count it, and limit none of it.

use std::collections::{BTreeMap, HashMap};
use std::path::PathBuf;

use bollard::query_parameters::{ListContainersOptionsBuilder, RemoveContainerOptionsBuilder, RemoveVolumeOptionsBuilder};

use super::docker::{Docker, EnvironmentError};
use crate::engine::{self, Engine};
use crate::size;

/// The file system that holds the engine's data.
#[derive(Debug, Clone)]
pub struct Disk {
    root: PathBuf,
}

impl Disk {
    /// An engine's, where this machine can see it.
    pub(super) async fn of(engine: &Engine) -> Result<Option<Self>, EnvironmentError> {
        let (root, free) = engine.disk().await?;
        Ok(free.map(|_| Self { root: root.into() }))
    }

    /// How many bytes are free; `None` where the system does not say.
    pub fn free(&self) -> Option<u64> {
        rustix::fs::statvfs(&self.root).ok().map(|space| space.f_bavail.saturating_mul(space.f_frsize))
    }
}

impl Docker {
    /// The engine's disk, where this machine can see it.
    pub async fn disk(&self) -> Result<Option<Disk>, EnvironmentError> {
        Disk::of(&self.engine).await
    }

    /// How many bytes services have written: into their containers, and into volumes that they mount.
    pub async fn written(&self, services: &[String]) -> Result<BTreeMap<String, u64>, EnvironmentError> {
        // Engines before 25 and after it say it in different ways, which `docker` evens out.
        let mut command = self.engine.command();
        command.args(["system", "df", "--verbose", "--format", "{{range .Volumes}}{{.Name}} {{.Size}}{{println}}{{end}}"]);
        let said = engine::run(command, None).await.map(|output| output.stdout).unwrap_or_default();
        let said = String::from_utf8_lossy(&said);
        let volumes: HashMap<&str, i64> = said.lines().filter_map(|line| line.split_once(' ')).map(|(name, size)| (name, bytes(size))).collect();
        let mut written = BTreeMap::new();
        for container in self.containers(true).await? {
            let service = container.labels.unwrap_or_default().remove("com.docker.compose.service").unwrap_or_default();
            if !services.contains(&service) {
                continue;
            }
            let mounted = container.mounts.into_iter().flatten().filter_map(|mount| volumes.get(mount.name?.as_str()).copied());
            let bytes = container.size_rw.unwrap_or(0) + mounted.sum::<i64>();
            *written.entry(service).or_default() += u64::try_from(bytes).unwrap_or(0);
        }
        Ok(written)
    }

    /// Ends a service for good, with what it wrote where nobody else uses it.
    pub async fn end(&self, service: &str) -> Result<(), EnvironmentError> {
        for container in self.containers(false).await? {
            if container.labels.unwrap_or_default().get("com.docker.compose.service").is_none_or(|name| name != service) {
                continue;
            }
            let options = RemoveContainerOptionsBuilder::new().force(true).v(true).build();
            let removed = self.engine.api.remove_container(&container.id.unwrap_or_default(), Some(options)).await;
            drop(self.refusable(removed).await?);
            for volume in container.mounts.into_iter().flatten().filter_map(|mount| mount.name) {
                let removed = self.engine.api.remove_volume(&volume, Some(RemoveVolumeOptionsBuilder::new().build())).await;
                // Others may use it.
                drop(self.refusable(removed).await?);
            }
        }
        Ok(())
    }

    async fn containers(&self, sizes: bool) -> Result<Vec<bollard::models::ContainerSummary>, EnvironmentError> {
        let filters = HashMap::from([("label", vec![format!("com.docker.compose.project={}", self.project)])]);
        let options = ListContainersOptionsBuilder::new().all(true).size(sizes).filters(&filters).build();
        Ok(self.engine.api.list_containers(Some(options)).await?)
    }
}

/// A size as `docker` writes it, such as `1.23GB`; 0 for what is none.
fn bytes(text: &str) -> i64 {
    const UNITS: [(&str, u64); 5] = [("B", 1), ("kB", 1_000), ("MB", 1_000_000), ("GB", 1_000_000_000), ("TB", 1_000_000_000_000)];
    #[allow(clippy::cast_possible_truncation, clippy::cast_precision_loss, reason = "no disk has 2^52 bytes")]
    let bytes = |(number, unit): (f64, u64)| (number * unit as f64) as i64;
    size::read(text, &UNITS).map_or(0, bytes)
}

#[cfg(test)]
mod tests {
    #[test]
    fn sizes_are_read() {
        assert_eq!(["0B", "12.5kB", "1.07GB", "N/A", ""].map(super::bytes), [0, 12_500, 1_070_000_000, 0, 0]);
    }
}
