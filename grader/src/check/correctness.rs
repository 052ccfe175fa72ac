//! Answers hold the score that the champion gives for their row; where the feature store has a fault, one that was made without it
//! will do, if the answer says so.

use schemars::JsonSchema;
use serde::Deserialize;

use super::view::{Request, evidence};
use super::{Control, Figure, Finding, Judge, SERVED, View, percent, share};

/// Whether an answer may be made without the feature store.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Degraded {
    /// It may not: the store is well.
    #[default]
    Wrong,
    /// It may, with the model's defaults, if it says so.
    Allowed,
}

/// Answers hold the score that the champion gives for their row.
#[derive(Debug, Clone, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Correctness {
    /// The share of answers that must.
    #[schemars(range(min = 0, max = 1))]
    pub at_least: f64,
    /// How far a score may be off.
    #[schemars(range(min = 0, max = 1))]
    pub tolerance: f64,
    /// Whether an answer may be made without the feature store.
    #[serde(default)]
    pub degraded: Degraded,
}

impl Judge for Correctness {
    fn expected(&self) -> String {
        let (least, tolerance) = (percent(self.at_least), self.tolerance);
        match self.degraded {
            Degraded::Wrong => format!("at least {least} of answers hold the champion's score, to within {tolerance}"),
            Degraded::Allowed => format!(
                "at least {least} of requests get the champion's score, to within {tolerance}, or say that they are degraded and hold its score with the model's defaults"
            ),
        }
    }

    fn controls(&self) -> &'static [Control] {
        SERVED
    }

    fn judge(&self, view: &View<'_>) -> Finding {
        let (scores, defaulted) = view.champion().and_then(|champion| view.expected(champion)).unwrap_or_default();
        let right = |request: &Request<'_>| {
            let without = self.degraded == Degraded::Allowed && request.says_degraded() && request.holds(defaulted, self.tolerance);
            without || request.holds(scores, self.tolerance)
        };
        // While the store has a fault it is requests that count: a server that answers one in ten and that one rightly is no help.
        let (judged, what): (Vec<_>, _) = match self.degraded {
            Degraded::Wrong => (view.requests().filter(Request::is_good).collect(), "answers"),
            Degraded::Allowed => (view.requests().collect(), "requests"),
        };
        if judged.is_empty() {
            return Finding::new(false, false, "no request was answered".to_owned());
        }
        let wrong: Vec<_> = judged.iter().copied().filter(|request| !right(request)).collect();
        let good = share(judged.len() - wrong.len(), judged.len());
        let observed = format!("{} of {} {what}", percent(good), judged.len());
        Finding::new(good >= self.at_least, false, observed).measured(Figure::share(good, self.at_least)).with(evidence(
            wrong.into_iter(),
            |request| {
                let score = request.said_score();
                let degraded = if request.says_degraded() { " and degraded" } else { "" };
                let at = |wanted: &[f64]| wanted.get(request.row).copied().unwrap_or(f64::NAN);
                let without = match self.degraded {
                    Degraded::Wrong => String::new(),
                    Degraded::Allowed => format!(", or {:.6} with defaults", at(defaulted)),
                };
                format!("row {}: {score}{degraded}; the champion says {:.6}{without}", request.row, at(scores))
            },
        ))
    }
}
