//! A rollout that cannot progress is said to have failed.

use schemars::JsonSchema;
use serde::Deserialize;

use super::{Control, Evidence, Figure, Finding, Judge, View, ms};
use crate::history::What;

/// A rollout that cannot progress is said to have failed.
#[derive(Debug, Clone, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Stalled {
    /// How soon, in seconds.
    #[schemars(range(min = 1, max = 600))]
    pub within_seconds: u64,
}

impl Judge for Stalled {
    fn expected(&self) -> String {
        format!("within {} s Kubernetes says of every such Deployment that it does not progress", self.within_seconds)
    }

    fn controls(&self) -> &'static [Control] {
        &[]
    }

    fn judge(&self, view: &View<'_>) -> Finding {
        let began = view.events().filter_map(|(number, event)| match &event.what {
            What::FaultBegan { target, .. } => Some((number, event.at_ns, target)),
            _ => None,
        });
        let limit_ns = self.within_seconds * 1_000_000_000;
        let mut latest: Option<(u64, Evidence, String)> = None;
        for (fault, began_ns, hit) in began {
            let told = view.events().find_map(|(number, event)| match &event.what {
                What::Stalled { deployment, said } if deployment == hit => Some((number, event.at_ns.saturating_sub(began_ns), said)),
                _ => None,
            });
            let Some((number, after_ns, said)) = told else {
                return Finding::new(false, false, format!("nothing was said of `{hit}` while the phase lasted"))
                    .with([Evidence::new(vec![fault], "the image that is not there")]);
            };
            if latest.as_ref().is_none_or(|(longest_ns, ..)| after_ns > *longest_ns) {
                latest = Some((after_ns, Evidence::new(vec![fault, number], said.clone()), said.clone()));
            }
        }
        let Some((after_ns, evidence, said)) = latest else {
            return Finding::new(false, false, "there was no Deployment that took another image".to_owned());
        };
        Finding::new(after_ns <= limit_ns, false, format!("after {:.1} s: {said}", ms(after_ns) / 1e3))
            .measured(Figure::milliseconds(ms(after_ns), ms(limit_ns)))
            .with([evidence])
    }
}
