//! Nobody answers: where every replica is dead, an answer comes from something that an exam would have to kill as well.

use schemars::JsonSchema;
use serde::Deserialize;

use super::view::{Request, evidence};
use super::{Control, Figure, Finding, Judge, SERVED, View, percent, share};

/// Nobody answers.
#[derive(Debug, Clone, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Silence {
    /// From so many seconds after the phase's last fault on: what was in hand is answered.
    #[schemars(range(max = 60))]
    pub seconds_after_fault: u64,
    /// The share of requests that may be answered with HTTP 200.
    #[schemars(range(min = 0, max = 1))]
    pub at_most: f64,
}

impl Judge for Silence {
    fn expected(&self) -> String {
        format!("{} s after the last fault at most {} of requests are answered with HTTP 200", self.seconds_after_fault, percent(self.at_most))
    }

    fn controls(&self) -> &'static [Control] {
        SERVED
    }

    fn judge(&self, view: &View<'_>) -> Finding {
        let from_ns = view.faults().last().map_or(0, |fault| fault.began_ns) + self.seconds_after_fault * 1_000_000_000;
        let (answered, lost): (Vec<_>, Vec<_>) = view.requests().filter(|request| request.intended_ns >= from_ns).partition(Request::is_answered);
        let all = answered.len() + lost.len();
        let silent = share(lost.len(), all);
        let version = |request: &Request<'_>| request.version().map_or("no version".to_owned(), |version| format!("version {version}"));
        let observed = format!("{} of {all} requests were answered", percent(share(answered.len(), all)));
        Finding::new(silent >= 1.0 - self.at_most, false, observed)
            .measured(Figure::share(silent, 1.0 - self.at_most))
            .with(evidence(answered.into_iter(), version))
    }
}
