//! There is no hour at which the person on call would not be woken.

use schemars::JsonSchema;
use serde::Deserialize;

use super::played::Played;
use super::{Control, Evidence, Finding, Judge, REPLAYED, View};
use crate::exam::Receiver;
use crate::history::{Line, Muted};

/// There is no hour at which the person on call would not be woken.
#[derive(Debug, Clone, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Awake {}

impl Judge for Awake {
    fn expected(&self) -> String {
        "no route to `/page` is muted at any hour of a year".to_owned()
    }

    fn controls(&self) -> &'static [Control] {
        REPLAYED
    }

    fn judge(&self, view: &View<'_>) -> Finding {
        let played = Played::new(view);
        let is_silent = |muted: &&Muted| muted.hours_per_year > 0.0 && muted.urgencies.iter().any(|urgency| urgency == Receiver::Page.name());
        let silent: Vec<Evidence> = played
            .numbered()
            .filter_map(
                |(number, line)| if let Line::Muted(muted) = line { Some(muted).filter(is_silent).map(|muted| (number, muted)) } else { None },
            )
            .map(|(number, muted)| {
                let when = muted.first.first().map(|first| format!(", first at {first}")).unwrap_or_default();
                let why = muted.intervals.join(", ");
                Evidence::of_replay(
                    vec![number],
                    format!("`{}` is silent {:.0} hours a year because of `{why}`{when}", muted.receiver, muted.hours_per_year),
                )
            })
            .collect();
        let observed = silent.first().map_or_else(|| "it reaches someone at every hour".to_owned(), |first| first.excerpt.clone());
        Finding::new(silent.is_empty(), false, observed).with(silent)
    }
}
