//! Requests are answered with HTTP 200 before users give up.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::Deserialize;

use super::view::{Request, evidence};
use super::{Control, Figure, Finding, Judge, SERVED, View, percent, share};

/// Requests are answered with HTTP 200 before users give up.
#[derive(Debug, Clone, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Availability {
    /// The share of requests that must be.
    #[schemars(range(min = 0, max = 1))]
    pub at_least: f64,
    /// Below this share it passes with less room than the reference has.
    #[schemars(range(min = 0, max = 1))]
    pub grey_below: f64,
}

impl Judge for Availability {
    fn expected(&self) -> String {
        format!("at least {} of requests are answered with HTTP 200 and a score in time", percent(self.at_least))
    }

    fn controls(&self) -> &'static [Control] {
        SERVED
    }

    fn judge(&self, view: &View<'_>) -> Finding {
        let all = view.requests().count();
        let bad: Vec<_> = view.requests().filter(|request| !request.is_good()).collect();
        let good = share(all - bad.len(), all);
        let mut reasons: BTreeMap<String, usize> = BTreeMap::new();
        for request in &bad {
            *reasons.entry(request.said()).or_default() += 1;
        }
        let mut reasons: Vec<(String, usize)> = reasons.into_iter().collect();
        reasons.sort_by_key(|(_, count)| std::cmp::Reverse(*count));
        let reasons: Vec<String> = reasons.into_iter().take(4).map(|(reason, count)| format!("{count} {reason}")).collect();
        let because = if reasons.is_empty() { String::new() } else { format!(": {}", reasons.join("; ")) };
        let observed = format!("{} of {all} requests{because}", percent(good));
        Finding::new(good >= self.at_least, good < self.grey_below, observed)
            .measured(Figure::share(good, self.at_least))
            .with(evidence(bad.into_iter(), Request::said))
    }
}
