//! Alerting rules are loaded, can be evaluated, and name a runbook that there is.
//!
//! Rules are counted one by one: as long as every urgency has a sound one, each that is not costs a quarter. Where an urgency has
//! none the check fails, since nobody would hear of such an incident.

use schemars::JsonSchema;
use serde::Deserialize;

use super::view::surveyed;
use super::{Control, Evidence, Finding, Judge, View, share};
use crate::history::AlertRule;

/// What each rule that is not sound costs.
const UNSOUND: f64 = 0.25;

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

    fn controls(&self) -> &'static [Control] {
        &[Control::Punctuality]
    }

    fn judge(&self, view: &View<'_>) -> Finding {
        let Some((number, survey)) = surveyed(view) else { return Finding::new(false, false, "prometheus was never asked".to_owned()) };
        let judged: Vec<_> = survey.alerts.iter().filter(|rule| self.urgencies.contains(&rule.urgency)).collect();
        let complaints: Vec<String> = judged.iter().filter_map(|rule| complaint(rule)).collect();
        let sound = judged.len() - complaints.len();
        let unheard = |urgency: &&String| !judged.iter().any(|rule| rule.urgency == **urgency && complaint(rule).is_none());
        let unheard: Vec<String> =
            self.urgencies.iter().filter(unheard).map(|urgency| format!("no rule with the urgency {urgency} is loaded and sound")).collect();
        let finding = if !unheard.is_empty() {
            Finding::new(false, false, [unheard, complaints].concat().join("; "))
        } else if complaints.is_empty() {
            Finding::new(true, false, format!("{sound} rules"))
        } else {
            // By what is wrong, and not by its share: nobody earns by adding rules that are sound and say nothing.
            let left = 1.0 - UNSOUND * share(complaints.len(), 1);
            Finding::partial(left.max(0.0), format!("{sound} of {} rules are sound: {}", judged.len(), complaints.join("; ")))
        };
        finding.with([Evidence::new(vec![number], format!("prometheus has {} alerting rules", survey.alerts.len()))])
    }
}

/// What is wrong with a rule that is loaded.
fn complaint(rule: &AlertRule) -> Option<String> {
    if !rule.error.is_empty() {
        Some(format!("`{}` cannot be evaluated: {}", rule.name, rule.error))
    } else if rule.runbook.is_empty() {
        Some(format!("`{}` names no runbook", rule.name))
    } else if !rule.runbook_found {
        Some(format!("`{}` names the runbook `{}`, which is not there", rule.name, rule.runbook))
    } else {
        None
    }
}
