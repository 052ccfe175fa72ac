//! Answers come in time, counted from the moment at which the request was due.

use schemars::JsonSchema;
use serde::Deserialize;

use super::view::evidence;
use super::{Control, Figure, Finding, Judge, SERVED, View, ms, share};

/// Answers come in time, counted from the moment at which the request was due.
#[derive(Debug, Clone, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Latency {
    /// The quantile that is looked at.
    #[schemars(range(min = 0, max = 1))]
    pub quantile: f64,
    /// Its most milliseconds.
    pub at_most_ms: u64,
    /// Above this it passes with less room than the reference has.
    pub grey_above_ms: u64,
}

impl Judge for Latency {
    fn expected(&self) -> String {
        format!("{} % of requests are answered within {} ms", self.quantile * 100.0, self.at_most_ms)
    }

    fn controls(&self) -> &'static [Control] {
        SERVED
    }

    fn judge(&self, view: &View<'_>) -> Finding {
        let limit = self.at_most_ms * 1_000;
        // What was never answered has no latency at all, however soon it failed.
        let all = view.requests().count();
        let quick = view.requests().filter(|request| request.is_good() && request.latency_us() <= limit).count();
        let latencies = view.latencies();
        let at = latencies.value_at_quantile(self.quantile);
        let observed = format!(
            "{:.1} ms at {} %, {:.1} ms in the middle; {quick} of {all} requests were answered in time",
            ms(at * 1_000),
            self.quantile * 100.0,
            ms(latencies.value_at_quantile(0.5) * 1_000),
        );
        let slow = view.requests().filter(|request| !request.is_good() || request.latency_us() > limit);
        let passed = share(quick, all) >= self.quantile;
        Finding::new(passed, at > self.grey_above_ms * 1_000, observed)
            .measured(Figure::milliseconds(ms(at * 1_000), ms(limit * 1_000)))
            .with(evidence(slow, |request| format!("{} after {} ms", request.said(), request.latency_us() / 1_000)))
    }
}
