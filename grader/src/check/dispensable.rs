//! Users do not need what has no role: what answers them is what an exam's faults hit.

use schemars::JsonSchema;
use serde::Deserialize;

use super::view::{Request, evidence};
use super::{Control, Evidence, Figure, Finding, Judge, SERVED, View, percent, share};
use crate::history::What;

/// Users do not need what has no role.
#[derive(Debug, Clone, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Dispensable {
    /// The share of requests that must be answered while all of that hangs.
    #[schemars(range(min = 0, max = 1))]
    pub at_least: f64,
}

impl Judge for Dispensable {
    fn expected(&self) -> String {
        format!("at least {} of requests are answered while everything that has no role hangs", percent(self.at_least))
    }

    fn controls(&self) -> &'static [Control] {
        SERVED
    }

    fn judge(&self, view: &View<'_>) -> Finding {
        let mut paused = view.events().filter_map(|(number, event)| match &event.what {
            What::FaultBegan { target, .. } => Some((number, event.at_ns, target)),
            _ => None,
        });
        let Some((fault, from_ns, target)) = paused.next() else {
            return Finding::new(true, false, "everything has a role".to_owned());
        };
        let during: Vec<_> = view.requests().filter(|request| request.intended_ns >= from_ns).collect();
        let lost = || during.iter().filter(|request| !request.is_good()).copied();
        let good = share(during.len() - lost().count(), during.len());
        let first = Evidence::new(vec![fault], format!("`{target}`, which has no role, hangs"));
        Finding::new(good >= self.at_least, false, format!("{} of {} requests were answered", percent(good), during.len()))
            .measured(Figure::share(good, self.at_least))
            .with([first])
            .with(evidence(lost(), Request::said))
    }
}
