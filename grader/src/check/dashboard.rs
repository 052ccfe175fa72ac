//! Every query of the dashboards gives data.

use schemars::JsonSchema;
use serde::Deserialize;

use super::view::surveyed;
use super::{Control, Evidence, Finding, Judge, View};

/// Every query of the dashboards gives data.
#[derive(Debug, Clone, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Dashboard {
    /// How many panels there must be.
    pub panels: usize,
}

impl Judge for Dashboard {
    fn expected(&self) -> String {
        format!("at least {} panels, and every query of theirs gives data", self.panels)
    }

    fn controls(&self) -> &'static [Control] {
        &[Control::Punctuality]
    }

    fn judge(&self, view: &View<'_>) -> Finding {
        let Some((number, survey)) = surveyed(view) else { return Finding::new(false, false, "prometheus was never asked".to_owned()) };
        let titles: std::collections::BTreeSet<_> = survey.panels.iter().map(|panel| (&panel.file, &panel.title)).collect();
        let dead: Vec<_> = survey.panels.iter().filter(|panel| panel.series == 0).collect();
        let named: Vec<String> = dead.iter().map(|panel| format!("`{}`", panel.title)).collect();
        let dead_or_not = if dead.is_empty() { "all with data".to_owned() } else { format!("without data: {}", named.join(", ")) };
        let evidence = dead.iter().take(5).map(|panel| {
            let why = if panel.error.is_empty() { "gives nothing" } else { &panel.error };
            Evidence::new(vec![number], format!("`{}`: {} {why}", panel.title, panel.query))
        });
        Finding::new(dead.is_empty() && titles.len() >= self.panels, false, format!("{} panels, {dead_or_not}", titles.len())).with(evidence)
    }
}
