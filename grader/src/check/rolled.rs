//! A rollout comes to its end.

use schemars::JsonSchema;
use serde::Deserialize;

use super::{Control, Evidence, Figure, Finding, Judge, SERVED, View, ms};
use crate::history::What;

/// A rollout comes to its end.
#[derive(Debug, Clone, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Rolled {
    /// How soon, in seconds.
    #[schemars(range(min = 1, max = 600))]
    pub within_seconds: u64,
}

impl Judge for Rolled {
    fn expected(&self) -> String {
        format!("every pod is replaced and available within {} s", self.within_seconds)
    }

    fn controls(&self) -> &'static [Control] {
        SERVED
    }

    fn judge(&self, view: &View<'_>) -> Finding {
        let rolled: Vec<(u64, &String, u64, Option<&String>)> = view
            .events()
            .filter_map(|(number, event)| match &event.what {
                What::Rolled { deployment, began_ns, missing } => Some((number, deployment, event.at_ns.saturating_sub(*began_ns), missing.as_ref())),
                _ => None,
            })
            .collect();
        let Some(slowest) = rolled.iter().map(|(_, _, took, _)| *took).max() else {
            return Finding::new(false, false, "there was no Deployment whose pods could be replaced, or it was not over".to_owned());
        };
        let limit_ns = self.within_seconds * 1_000_000_000;
        let is_done = rolled.iter().all(|(.., missing)| missing.is_none()) && slowest <= limit_ns;
        let said = |(_, deployment, took, missing): &(u64, &String, u64, Option<&String>)| {
            let seconds = ms(*took) / 1e3;
            missing.map_or(format!("`{deployment}` took {seconds:.1} s"), |why| format!("`{deployment}` was not done after {seconds:.1} s: {why}"))
        };
        let words: Vec<String> = rolled.iter().map(said).collect();
        Finding::new(is_done, false, words.join(", "))
            .measured(Figure::milliseconds(ms(slowest), ms(limit_ns)))
            .with(rolled.iter().map(|one| Evidence::new(vec![one.0], said(one))))
    }
}
