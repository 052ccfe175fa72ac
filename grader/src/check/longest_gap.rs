//! No long silence between good answers.

use schemars::JsonSchema;
use serde::Deserialize;

use super::view::Request;
use super::{Control, Evidence, Figure, Finding, Judge, SERVED, View, ms};

/// No long silence between good answers.
#[derive(Debug, Clone, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct LongestGap {
    /// The longest in milliseconds.
    pub at_most_ms: u64,
    /// Above this it passes with less room than the reference has.
    pub grey_above_ms: u64,
}

impl Judge for LongestGap {
    fn expected(&self) -> String {
        format!("never more than {} ms between two good answers", self.at_most_ms)
    }

    fn controls(&self) -> &'static [Control] {
        SERVED
    }

    fn judge(&self, view: &View<'_>) -> Finding {
        let window = view.window();
        let mut answers: Vec<(u64, Option<u64>)> =
            view.requests().filter(Request::is_good).map(|request| (request.done_ns.min(window.end), Some(request.number))).collect();
        answers.extend([(window.start, None), (window.end, None)]);
        answers.sort_unstable();
        let longest = answers.windows(2).max_by_key(|pair| pair[1].0 - pair[0].0);
        let Some([(from, before), (to, after)]) = longest else { return Finding::new(false, false, "nothing was recorded".to_owned()) };
        let gap_ns = to - from;
        let excerpt = format!("from {:.1} s to {:.1} s of the exam", ms(*from) / 1e3, ms(*to) / 1e3);
        let evidence = Evidence::new([*before, *after].into_iter().flatten().collect(), excerpt);
        Finding::new(gap_ns <= self.at_most_ms * 1_000_000, gap_ns > self.grey_above_ms * 1_000_000, format!("at most {:.0} ms", ms(gap_ns)))
            .measured(Figure::milliseconds(ms(gap_ns), ms(self.at_most_ms * 1_000_000)))
            .with([evidence])
    }
}
