//! Users do not need what has no role: what answers them is what an exam's faults hit.

use schemars::JsonSchema;
use serde::Deserialize;

use super::view::{Request, evidence};
use super::{Control, Evidence, Figure, Finding, Judge, SERVED, View, percent, share};

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
        let Some(fault) = view.faults().next() else {
            return Finding::new(true, false, "everything has a role".to_owned());
        };
        let during = view.requests().filter(|request| request.intended_ns >= fault.began_ns);
        let (answered, lost): (Vec<_>, Vec<_>) = during.partition(Request::is_good);
        let all = answered.len() + lost.len();
        let good = share(answered.len(), all);
        let first = Evidence::new(vec![fault.number], format!("`{}`, which has no role, hangs", fault.target));
        Finding::new(good >= self.at_least, false, format!("{} of {all} requests were answered", percent(good)))
            .measured(Figure::share(good, self.at_least))
            .with([first])
            .with(evidence(lost.into_iter(), Request::said))
    }
}
