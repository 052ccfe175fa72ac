//! Answers come from the version that users must be served, and say so.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::Deserialize;

use super::view::{Request, evidence};
use super::{Control, Figure, Finding, Judge, View, percent, share};
use crate::history::RequestResult;

/// Answers come from the version that users must be served, and say so.
#[derive(Debug, Clone, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Champion {
    /// The share of answers that must.
    #[schemars(range(min = 0, max = 1))]
    pub at_least: f64,
}

impl Judge for Champion {
    fn expected(&self) -> String {
        format!("at least {} of answers come from the champion", percent(self.at_least))
    }

    fn controls(&self) -> &'static [Control] {
        &[Control::Schedule]
    }

    fn judge(&self, view: &View<'_>) -> Finding {
        let champion = view.champion().unwrap_or_default();
        let version = |request: &Request<'_>| match request.result {
            RequestResult::Answered { version: Some(version), .. } => format!("version {version}"),
            _ => "no version".to_owned(),
        };
        let wanted = format!("version {champion}");
        let answers: Vec<_> = view.requests().filter(Request::is_good).collect();
        if answers.is_empty() {
            return Finding::new(false, false, "no request was answered".to_owned());
        }
        let mut versions: BTreeMap<String, usize> = BTreeMap::new();
        for answer in &answers {
            *versions.entry(version(answer)).or_default() += 1;
        }
        let good = share(versions.get(&wanted).copied().unwrap_or(0), answers.len());
        let seen: Vec<String> = versions.iter().take(5).map(|(version, count)| format!("{count} of {version}")).collect();
        let observed = format!("{} of {} answers: {}", percent(good), answers.len(), seen.join(", "));
        let others = answers.into_iter().filter(|answer| version(answer) != wanted);
        Finding::new(good >= self.at_least, false, observed).measured(Figure::share(good, self.at_least)).with(evidence(others, version))
    }
}
