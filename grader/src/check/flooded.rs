//! Whoever is woken is told once, and not by everything that notices.

use schemars::JsonSchema;
use serde::Deserialize;

use super::played::Played;
use super::{Control, Evidence, Figure, Finding, Judge, PLAYED, View, share};
use crate::exam::Receiver;

/// How often someone may be reminded of what goes on, in seconds: Alertmanager's own default.
const REMINDED_S: f64 = 14_400.0;

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
        format!("at most {} messages reach `/page` while a fault lasts, and one more for every four hours of it", self.pages)
    }

    fn controls(&self) -> &'static [Control] {
        PLAYED
    }

    fn judge(&self, view: &View<'_>) -> Finding {
        let played = Played::new(view);
        // What is not listed counts as if it fell into the fault: who floods someone before it hides what comes then.
        let counted = played.traces().map(|trace| {
            let numbers: Vec<u64> =
                trace.messages(false, Receiver::Page).filter(|(_, one)| trace.is_during(one.at_s)).map(|(number, _)| number).collect();
            let pages = numbers.len() + trace.unlisted(false, Receiver::Page);
            #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "an incident lasts days, not ages")]
            let reminders = (trace.line.end_s.max(0.0) / REMINDED_S) as usize;
            (pages.saturating_sub(reminders), pages, &trace.line.trace, numbers)
        });
        let Some((counted, pages, id, numbers)) = counted.max_by_key(|(counted, ..)| *counted) else {
            return Finding::new(false, false, "nothing was played".to_owned());
        };
        #[allow(clippy::cast_precision_loss, reason = "far fewer than 2^52 messages")]
        let figure = Figure::count(share(counted, 1), self.pages as f64);
        let passed = counted <= self.pages;
        let excerpt = format!("{pages} messages to `/page` in {id}");
        let evidence = (!passed).then(|| Evidence::of_replay(numbers.into_iter().take(8).collect(), excerpt.clone()));
        Finding::new(passed, false, format!("at most {excerpt}")).measured(figure).with(evidence)
    }
}
