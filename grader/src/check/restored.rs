//! After a restart of everything users are served again, by the version that was the champion before it.

use schemars::JsonSchema;
use serde::Deserialize;

use super::view::{Request, evidence};
use super::{Control, Figure, Finding, Judge, SERVED, View, ms, percent, share};
use crate::history::What;

/// After a restart of everything users are served again, by the version that was the champion before it.
#[derive(Debug, Clone, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Restored {
    /// How soon, in seconds.
    #[schemars(range(max = 3_600))]
    pub within_seconds: u64,
    /// The share of requests that must be answered rightly from then on.
    #[schemars(range(min = 0, max = 1))]
    pub at_least: f64,
    /// How far a score may be off.
    #[schemars(range(min = 0, max = 1))]
    pub tolerance: f64,
}

impl Judge for Restored {
    fn expected(&self) -> String {
        let (seconds, least) = (self.within_seconds, percent(self.at_least));
        format!("{seconds} s after everything was restarted the champion answers {least} of requests, all features in it or saying that they are not")
    }

    fn controls(&self) -> &'static [Control] {
        SERVED
    }

    fn judge(&self, view: &View<'_>) -> Finding {
        let restarted = view.events().find_map(|(_, event)| matches!(event.what, What::Restarted).then_some(event.at_ns));
        let Some(restarted_ns) = restarted else { return Finding::new(false, false, "nothing was restarted".to_owned()) };
        let Some(champion) = view.alias_at(restarted_ns) else { return Finding::new(false, false, "the registry had no champion".to_owned()) };
        let (scores, defaulted) = view.expected(champion).unwrap_or_default();
        // Everything was started a moment ago: an answer without the feature store that says so is one.
        let right = |request: &Request<'_>| {
            let close = request.holds(scores, self.tolerance) || (request.says_degraded() && request.holds(defaulted, self.tolerance));
            close && request.version() == Some(champion)
        };
        let due_ns = restarted_ns + self.within_seconds * 1_000_000_000;
        let first = view.requests().find(|request| request.sent_ns > restarted_ns && right(request));
        let after: Vec<_> = view.requests().filter(|request| request.sent_ns >= due_ns).collect();
        if after.is_empty() {
            return Finding::new(false, false, "the exam ended before".to_owned());
        }
        let wrong: Vec<_> = after.iter().copied().filter(|request| !right(request)).collect();
        let good = share(after.len() - wrong.len(), after.len());
        let figure =
            first.map(|request| Figure::milliseconds(ms(request.done_ns.saturating_sub(restarted_ns)), ms(self.within_seconds * 1_000_000_000)));
        let first = first.map_or(format!("version {champion} never answered"), |request| {
            format!("version {champion} answered first after {:.1} s", ms(request.done_ns.saturating_sub(restarted_ns)) / 1e3)
        });
        let mut finding = Finding::new(
            good >= self.at_least,
            false,
            format!("{first}; {} of {} requests after {} s", percent(good), after.len(), self.within_seconds),
        );
        finding.figure = figure;
        finding.with(evidence(wrong.into_iter(), |request| match request.version() {
            Some(version) => format!("version {version}, {}", request.said_score()),
            None => request.said(),
        }))
    }
}
