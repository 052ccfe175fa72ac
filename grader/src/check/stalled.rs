//! A rollout that cannot progress is said to have failed.

use schemars::JsonSchema;
use serde::Deserialize;

use super::view::Fault;
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
        let limit_ns = self.within_seconds * 1_000_000_000;
        let told = |fault: &Fault<'_>| {
            view.events().find_map(|(number, event)| match &event.what {
                What::Stalled { deployment, said } if deployment == fault.target => Some((event.at_ns.saturating_sub(fault.began_ns), number, said)),
                _ => None,
            })
        };
        if let Some(untold) = view.faults().find(|fault| told(fault).is_none()) {
            return Finding::new(false, false, format!("nothing was said of `{}` while the phase lasted", untold.target))
                .with([Evidence::new(vec![untold.number], "the image that is not there")]);
        }
        let all = view.faults().filter_map(|fault| Some((fault, told(&fault)?)));
        let Some((fault, (after_ns, number, said))) = all.max_by_key(|(_, (after_ns, ..))| *after_ns) else {
            return Finding::new(false, false, "there was no Deployment that took another image".to_owned());
        };
        Finding::new(after_ns <= limit_ns, false, format!("after {:.1} s: {said}", ms(after_ns) / 1e3))
            .measured(Figure::milliseconds(ms(after_ns), ms(limit_ns)))
            .with([Evidence::new(vec![fault.number, number], said.clone())])
    }
}
