//! Replicas say that they are ready.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::Deserialize;

use super::{Control, Evidence, Figure, Finding, Judge, SERVED, View, percent, share};
use crate::history::What;

/// Among so many looks one may fail, however short the time is: it says that an answer took long, and not that a replica is not ready.
const FEW: usize = 3;

/// Replicas say that they are ready.
#[derive(Debug, Clone, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Readiness {
    /// How many replicas must.
    #[schemars(range(min = 1))]
    pub replicas: usize,
    /// The share of looks at which each must.
    #[schemars(range(min = 0, max = 1))]
    pub at_least: f64,
    /// From so many seconds after the phase's last fault of each on; without it, all the time.
    #[schemars(range(max = 3_600))]
    #[serde(default)]
    pub seconds_after_fault: Option<u64>,
}

impl Judge for Readiness {
    fn expected(&self) -> String {
        let when = self.seconds_after_fault.map_or(String::new(), |seconds| format!("{seconds} s after its fault "));
        let which = if self.seconds_after_fault.is_some() { "" } else { ", and all that there are," };
        format!("{when}at least {} replicas{which} say that they are ready, each {} of the time", self.replicas, percent(self.at_least))
    }

    fn controls(&self) -> &'static [Control] {
        SERVED
    }

    fn judge(&self, view: &View<'_>) -> Finding {
        let faults: BTreeMap<&str, u64> = view.faults().map(|fault| (fault.target, fault.began_ns)).collect();
        let last_ns = faults.values().copied().max();
        if self.seconds_after_fault.is_some() && last_ns.is_none() {
            return Finding::new(false, false, "no replica was ready, so there was none to disturb".to_owned());
        }
        // Each has its time from what hit it; a pod that took the place of one has that of the last.
        let from_ns = |service: &str| {
            let fault_ns = faults.get(service).copied().or(last_ns).unwrap_or(0);
            self.seconds_after_fault.map_or(0, |seconds| fault_ns + seconds * 1_000_000_000)
        };
        let mut replicas: BTreeMap<&str, (usize, usize, Option<Evidence>)> = BTreeMap::new();
        for (number, event) in view.events() {
            if let What::Watched { name, ok, detail, sent_ns, .. } = &event.what
                && let Some(service) = name.strip_prefix("ready:")
                && *sent_ns >= from_ns(service)
            {
                let (ready, looks, first) = replicas.entry(service).or_default();
                *looks += 1;
                *ready += usize::from(*ok);
                if !ok && first.is_none() {
                    *first = Some(Evidence::new(vec![number], format!("`{service}`: {detail}")));
                }
            }
        }
        let well = |ready: usize, looks: usize| share(ready, looks) >= self.at_least || (looks >= FEW && ready + 1 >= looks);
        let ready = replicas.values().filter(|(ready, looks, _)| well(*ready, *looks)).count();
        let said: Vec<String> = replicas
            .iter()
            .map(|(service, (ready, looks, _))| format!("`{service}` was ready {} of the time", percent(share(*ready, *looks))))
            .collect();
        // Where no fault is about, one that is not ready is one that no fault will hit.
        let wanted = if self.seconds_after_fault.is_some() { self.replicas } else { self.replicas.max(replicas.len()) };
        let mut shares: Vec<f64> = replicas.values().map(|(ready, looks, _)| share(*ready, *looks)).collect();
        shares.sort_by(|one, other| other.total_cmp(one));
        let last_needed = shares.get(wanted - 1).copied().unwrap_or(0.0);
        Finding::new(ready >= wanted, false, if said.is_empty() { "there is no replica".to_owned() } else { said.join(", ") })
            .measured(Figure::share(last_needed, self.at_least))
            .with(replicas.into_values().filter_map(|(_, _, first)| first))
    }
}
