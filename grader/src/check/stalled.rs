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
        format!("within {} s Kubernetes says of the Deployment that it does not progress", self.within_seconds)
    }

    fn controls(&self) -> &'static [Control] {
        &[]
    }

    fn judge(&self, view: &View<'_>) -> Finding {
        let began = view.events().find_map(|(number, event)| matches!(event.what, What::FaultBegan { .. }).then_some((number, event.at_ns)));
        let Some((fault, began_ns)) = began else {
            return Finding::new(false, false, "there was no Deployment that took another image".to_owned());
        };
        let told = view.events().find_map(|(number, event)| match &event.what {
            What::Stalled { said, .. } => Some((number, event.at_ns.saturating_sub(began_ns), said)),
            _ => None,
        });
        let limit_ns = self.within_seconds * 1_000_000_000;
        match told {
            Some((number, after_ns, said)) => Finding::new(after_ns <= limit_ns, false, format!("after {:.1} s: {said}", ms(after_ns) / 1e3))
                .measured(Figure::milliseconds(ms(after_ns), ms(limit_ns)))
                .with([Evidence::new(vec![fault, number], said.clone())]),
            None => Finding::new(false, false, "nothing was said of it while the phase lasted".to_owned())
                .with([Evidence::new(vec![fault], "the image that is not there")]),
        }
    }
}
