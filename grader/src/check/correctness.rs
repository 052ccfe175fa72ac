//! Answers hold the score that the champion gives for their row.

use schemars::JsonSchema;
use serde::Deserialize;

use super::view::{Request, evidence};
use super::{Finding, Judge, View, percent, share};
use crate::history::RequestResult;

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
}

impl Judge for Correctness {
    fn expected(&self) -> String {
        format!("at least {} of answers hold the champion's score, to within {}", percent(self.at_least), self.tolerance)
    }

    fn judge(&self, view: &View<'_>) -> Finding {
        let scores = view.champion().and_then(|champion| view.expected(champion)).unwrap_or_default();
        let wanted = |request: &Request<'_>| scores.get(request.row).copied();
        let said = |request: &Request<'_>| match request.result {
            RequestResult::Answered { score, .. } => *score,
            _ => None,
        };
        let right = |request: &Request<'_>| match (said(request), wanted(request)) {
            (Some(said), Some(wanted)) => (said - wanted).abs() <= self.tolerance,
            _ => false,
        };
        let answers: Vec<_> = view.requests().filter(Request::is_good).collect();
        if answers.is_empty() {
            return Finding::new(false, false, "no request was answered".to_owned());
        }
        let wrong: Vec<_> = answers.iter().copied().filter(|request| !right(request)).collect();
        let good = share(answers.len() - wrong.len(), answers.len());
        let observed = format!("{} of {} answers", percent(good), answers.len());
        Finding::new(good >= self.at_least, false, observed).with(evidence(wrong.into_iter(), |request| {
            let score = said(request).map_or("no score".to_owned(), |score| format!("{score:.6}"));
            format!("row {}: {score}, the champion says {:.6}", request.row, wanted(request).unwrap_or(f64::NAN))
        }))
    }
}
