//! How much of the machine's processors services use, by the engine's own count: nobody can add to another's.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use bollard::query_parameters::StatsOptionsBuilder;
use futures_util::StreamExt;
use futures_util::future::join_all;

use super::docker::{Docker, EnvironmentError};

/// Counts processor time from look to look.
#[derive(Debug, Clone)]
pub struct Usage {
    /// What each container had used at the last look.
    counted: HashMap<String, u64>,
    looked: Instant,
}

/// Processor time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Spent {
    /// What was used.
    pub used: Duration,
    /// What there was, of all processors together.
    pub of: Duration,
}

impl Default for Usage {
    fn default() -> Self {
        Self { counted: HashMap::new(), looked: Instant::now() }
    }
}

impl Usage {
    /// What services used since the last look.
    pub async fn look(&mut self, environment: &Docker, services: &[String]) -> Result<Spent, EnvironmentError> {
        let containers = environment.containers(false).await?.into_iter().filter(|container| {
            let service = container.labels.as_ref().and_then(|labels| labels.get("com.docker.compose.service"));
            service.is_some_and(|service| services.contains(service))
        });
        let asked = containers.filter_map(|container| container.id).map(|id| async move {
            let options = StatsOptionsBuilder::new().stream(false).one_shot(true).build();
            let mut stats = Box::pin(environment.engine.api.stats(&id, Some(options)));
            // One that is gone or on its way uses nothing.
            let cpu = stats.next().await?.ok()?.cpu_stats?;
            Some((id, cpu.cpu_usage?.total_usage?, cpu.online_cpus))
        });
        let (mut used, mut processors) = (0, 1);
        for (id, total, online) in join_all(asked).await.into_iter().flatten() {
            processors = processors.max(online.unwrap_or(1));
            let before = self.counted.insert(id, total).unwrap_or(0);
            // A container that was started again counts from 0.
            used += total.checked_sub(before).unwrap_or(total);
        }
        let of = std::mem::replace(&mut self.looked, Instant::now()).elapsed() * processors;
        Ok(Spent { used: Duration::from_nanos(used), of })
    }
}
