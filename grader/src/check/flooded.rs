//! Whoever is woken is told once, and not by everything that notices.

use schemars::JsonSchema;
use serde::Deserialize;

use super::played::played;
use super::{Control, Evidence, Figure, Finding, Judge, REPLAYED, View, share};
use crate::exam::Receiver;
use crate::history::Line;

/// Whoever is woken is told once, and not by everything that notices.
#[derive(Debug, Clone, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Flooded {
    /// How many messages may reach the person on call while a fault lasts.
    #[schemars(range(min = 1))]
    pub pages: usize,
}

impl Judge for Flooded {
    fn expected(&self) -> String {
        format!("at most {} messages reach `/page` while a fault lasts", self.pages)
    }

    fn controls(&self) -> &'static [Control] {
        REPLAYED
    }

    fn judge(&self, view: &View<'_>) -> Finding {
        let played = match played(view) {
            Ok(played) => played,
            Err(finding) => return finding,
        };
        let ids = played.numbered().filter_map(|(_, line)| if let Line::Trace(trace) = line { Some(&trace.trace) } else { None });
        let counted = ids.filter_map(|id| {
            let trace = played.trace(id)?;
            let pages = trace
                .notifications(false)
                .filter(|(_, one)| one.urgency == Receiver::Page.name() && one.status == "firing" && (0.0..=trace.line.end_s).contains(&one.at_s));
            let numbers: Vec<u64> = pages.map(|(number, _)| number).collect();
            Some((id, numbers))
        });
        let Some((id, numbers)) = counted.max_by_key(|(_, numbers)| numbers.len()) else {
            return Finding::new(false, false, "nothing was played".to_owned());
        };
        #[allow(clippy::cast_precision_loss, reason = "a replay lists hundreds of messages")]
        let figure = Figure::count(share(numbers.len(), 1), self.pages as f64);
        let passed = numbers.len() <= self.pages;
        let excerpt = format!("{} messages to `/page` in {id}", numbers.len());
        let evidence = (!passed).then(|| Evidence::of_replay(numbers.iter().copied().take(8).collect(), excerpt.clone()));
        Finding::new(passed, false, format!("at most {excerpt}")).measured(figure).with(evidence)
    }
}
