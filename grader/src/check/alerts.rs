//! Alerting rules are loaded, can be evaluated, and name a runbook that there is.

use schemars::JsonSchema;
use serde::Deserialize;

use super::view::surveyed;
use super::{Evidence, Finding, Judge, View};

/// Alerting rules are loaded, can be evaluated, and name a runbook that there is.
#[derive(Debug, Clone, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Alerts {
    /// Urgencies of which at least one rule must be loaded, as the contract's label has them.
    #[schemars(length(min = 1))]
    pub urgencies: Vec<String>,
}

impl Judge for Alerts {
    fn expected(&self) -> String {
        format!("rules with the urgencies {} are loaded, and each of these works and names a runbook that is there", self.urgencies.join(", "))
    }

    fn judge(&self, view: &View<'_>) -> Finding {
        let Some((number, survey)) = surveyed(view) else { return Finding::new(false, false, "prometheus was never asked".to_owned()) };
        let judged: Vec<_> = survey.alerts.iter().filter(|rule| self.urgencies.contains(&rule.urgency)).collect();
        let mut complaints: Vec<String> = self
            .urgencies
            .iter()
            .filter(|urgency| !judged.iter().any(|rule| rule.urgency == **urgency))
            .map(|urgency| format!("no rule with the urgency {urgency} is loaded"))
            .collect();
        for rule in &judged {
            if !rule.error.is_empty() {
                complaints.push(format!("`{}` cannot be evaluated: {}", rule.name, rule.error));
            } else if rule.runbook.is_empty() {
                complaints.push(format!("`{}` names no runbook", rule.name));
            } else if !rule.runbook_found {
                complaints.push(format!("`{}` names the runbook `{}`, which is not there", rule.name, rule.runbook));
            }
        }
        let observed = if complaints.is_empty() { format!("{} rules", judged.len()) } else { complaints.join("; ") };
        Finding::new(complaints.is_empty(), false, observed)
            .with([Evidence { events: vec![number], excerpt: format!("prometheus has {} alerting rules", survey.alerts.len()) }])
    }
}
