//! Memory limits stay within a budget.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::Deserialize;

use super::{Control, Evidence, Finding, Judge, View};
use crate::history::What;

/// Memory limits stay within a budget.
#[derive(Debug, Clone, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct MemoryBudget {
    /// The sum of the limits in MiB.
    pub at_most_mib: u64,
}

impl Judge for MemoryBudget {
    fn expected(&self) -> String {
        format!("all services together have limits of at most {} MiB", self.at_most_mib)
    }

    fn controls(&self) -> &'static [Control] {
        &[]
    }

    fn judge(&self, view: &View<'_>) -> Finding {
        let mut limits: BTreeMap<&str, (u64, u64)> = BTreeMap::new();
        for (number, event) in view.until_now() {
            if let What::Deployed { service, memory_mib, .. } = &event.what {
                limits.insert(service, (*memory_mib, number));
            }
        }
        let total: u64 = limits.values().map(|(limit, _)| limit).sum();
        let said: Vec<String> = limits.iter().map(|(service, (limit, _))| format!("`{service}` {limit}")).collect();
        let evidence = Evidence::new(limits.values().map(|(_, number)| *number).collect(), said.join(", "));
        Finding::new(!limits.is_empty() && total <= self.at_most_mib, false, format!("{total} MiB")).with([evidence])
    }
}
