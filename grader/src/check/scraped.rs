//! Prometheus scrapes every replica, often enough.

use schemars::JsonSchema;
use serde::Deserialize;

use super::{Control, Evidence, Finding, Judge, SERVED, View, ms, percent, share};
use crate::history::{Target, What};

/// The share of looks at which a target must be up.
const UP_SHARE: f64 = 0.9;

/// Prometheus scrapes every replica, often enough.
#[derive(Debug, Clone, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Scraped {
    /// The role of the replicas.
    pub role: String,
    /// The longest time between two scrapes in seconds.
    pub every_seconds: u64,
}

impl Judge for Scraped {
    fn expected(&self) -> String {
        format!("every replica of role `{}` is a target that is up, scraped at least every {} s", self.role, self.every_seconds)
    }

    fn controls(&self) -> &'static [Control] {
        SERVED
    }

    fn judge(&self, view: &View<'_>) -> Finding {
        let replicas = view.deployed(&self.role);
        // A target that is new may wait for its first scrape as long as for any other.
        let settled_ns = view.window().start + self.every_seconds * 1_000_000_000;
        let looks: Vec<(u64, &[Target])> = view
            .events()
            .filter(|(_, event)| event.at_ns >= settled_ns)
            .filter_map(|(number, event)| if let What::Targets { targets } = &event.what { Some((number, targets.as_slice())) } else { None })
            .collect();
        let Some((last, targets)) = looks.last() else {
            return Finding::new(false, false, "Prometheus did not say what it scrapes".to_owned());
        };
        let seconds = ms(view.window().end.saturating_sub(settled_ns)) / 1e3;
        let mut said = Vec::new();
        let mut missing = replicas.is_empty();
        for (service, addresses) in &replicas {
            let up = looks.iter().filter(|(_, targets)| targets.iter().any(|target| is_of(target, service, addresses) && self.is_fine(target)));
            let up = up.count();
            // One missed scrape is not a lost replica: until the next, every look shows it.
            let interval = targets.iter().find(|target| is_of(target, service, addresses)).map_or(0, |target| target.interval_ms);
            let missed_once = ms(interval * 1_000_000) / 1e3 * share(looks.len(), 1) / seconds.max(1.0);
            let is_missed_once = up > 0 && share(looks.len() - up, 1) <= missed_once.max(1.0);
            let up = share(up, looks.len());
            if up >= UP_SHARE || is_missed_once {
                said.push(format!("`{service}` was up {} of the time", percent(up)));
                continue;
            }
            missing = true;
            said.push(match targets.iter().find(|target| is_of(target, service, addresses)) {
                None => format!("`{service}` is no target"),
                Some(target) if target.health != "up" => format!("`{service}` is {}: {}", target.health, target.last_error),
                Some(target) if !self.is_fine(target) => format!("`{service}` is scraped every {} s", target.interval_ms / 1_000),
                Some(_) => format!("`{service}` was up {} of the time", percent(up)),
            });
        }
        let listed: Vec<String> = targets.iter().take(8).map(|target| format!("{} {}", target.scrape_url, target.health)).collect();
        Finding::new(!missing, false, said.join(", ")).with([Evidence::new(vec![*last], listed.join(", "))])
    }
}

impl Scraped {
    fn is_fine(&self, target: &Target) -> bool {
        target.health == "up" && (1..=self.every_seconds * 1_000).contains(&target.interval_ms)
    }
}

/// Whether a host is what a cluster's DNS calls an address below a Service: `10-244-1-5.model.shop.svc.cluster.local`.
fn is_name_of(host: &str, address: &str) -> bool {
    host.split_once('.').is_some_and(|(first, _)| first == address.replace('.', "-"))
}

/// Whether a target is a service, by its name or by one of its addresses.
pub(super) fn is_of(target: &Target, service: &str, addresses: &[String]) -> bool {
    let host = target.scrape_url.split_once("://").map_or("", |(_, rest)| rest);
    let host = host.split(['/', '?']).next().unwrap_or_default();
    let host = host.rsplit_once(':').map_or(host, |(host, _)| host);
    host == service || addresses.iter().any(|address| address == host || is_name_of(host, address))
}
