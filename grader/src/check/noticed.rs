//! In an incident someone is told in time, and because of it.
//!
//! A message counts if its alert did not fire before the onset and does not fire in the same time without the incident: this sees
//! through rules that always fire, go by the clock, or carpet thresholds. Half the points for a message of the right urgency
//! that comes too late but while the fault lasts, and for one in time that wakes someone for what can wait, or lets wait what cannot.

use schemars::JsonSchema;
use serde::Deserialize;

use super::played::{Played, said};
use super::{CAUSED, Control, Evidence, Figure, Finding, Judge, View};
use crate::exam::Receiver;
use crate::history::NotifiedAlert;

/// What a late message is worth, and one of another urgency.
const HALF: f64 = 0.5;

/// In an incident someone is told in time, and because of it.
#[derive(Debug, Clone, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Noticed {
    /// The incident, as in `exam.yaml`.
    pub incident: String,
    /// Whom it may reach.
    #[schemars(length(min = 1))]
    pub urgencies: Vec<Receiver>,
    /// How many minutes after its onset at the latest.
    #[schemars(range(min = 1))]
    pub within_minutes: f64,
}

impl Judge for Noticed {
    fn expected(&self) -> String {
        let urgencies: Vec<String> = self.urgencies.iter().map(|one| format!("`/{}`", one.name())).collect();
        format!("{} is told within {}, by an alert that fires because of it", urgencies.join(" or "), said(self.within_minutes * 60.0))
    }

    fn controls(&self) -> &'static [Control] {
        CAUSED
    }

    fn incidents(&self) -> Vec<&str> {
        vec![&self.incident]
    }

    fn judge(&self, view: &View<'_>) -> Finding {
        let played = Played::new(view);
        let Some(trace) = played.trace(&self.incident) else {
            return Finding::new(false, false, "the fault's mark on the metrics was not recorded: the phase ended early".to_owned());
        };
        let told = trace.told();
        let limit_s = self.within_minutes * 60.0;
        let is_accepted = |urgency: &str| self.urgencies.iter().any(|one| one.name() == urgency);
        let right = told.iter().find(|one| is_accepted(one.urgency));
        let other = told.iter().find(|one| one.at_s <= limit_s);
        let evidence = |one: &super::played::Told<'_>| {
            Evidence::of_replay(vec![one.number], format!("`{}` reaches `/{}` after {}", one.alert, one.urgency, said(one.at_s)))
        };
        match (right, other) {
            (Some(one), _) if one.at_s <= limit_s => {
                Finding::new(true, false, format!("`/{}` after {}, by `{}`", one.urgency, said(one.at_s), one.alert))
                    .measured(Figure::minutes(one.at_s / 60.0, self.within_minutes))
                    .with([evidence(one)])
            }
            (_, Some(one)) => {
                Finding::partial(HALF, format!("`{}` after {}, but at `/{}`", one.alert, said(one.at_s), one.urgency)).with([evidence(one)])
            }
            (Some(one), _) => Finding::partial(HALF, format!("`/{}` only after {}, by `{}`", one.urgency, said(one.at_s), one.alert))
                .measured(Figure::minutes(one.at_s / 60.0, self.within_minutes))
                .with([evidence(one)]),
            (None, None) => {
                let unrelated: Vec<Evidence> = self
                    .urgencies
                    .iter()
                    .flat_map(|urgency| trace.messages(false, *urgency))
                    .filter(|(_, one)| trace.is_during(one.at_s))
                    .take(3)
                    .map(|(number, one)| {
                        let names: Vec<&str> = one.alerts.iter().filter_map(NotifiedAlert::name).collect();
                        Evidence::of_replay(vec![number], format!("{} is told too, but fires without the incident, or did before", names.join(", ")))
                    })
                    .collect();
                let late = told.first();
                let but = match late {
                    Some(one) => format!(" as asked for: `/{}` only after {}, by `{}`", one.urgency, said(one.at_s), one.alert),
                    None if unrelated.is_empty() => String::new(),
                    None => " because of it; some are told of what happens without it too".to_owned(),
                };
                Finding::new(false, false, format!("nobody is told{but}")).with(late.map(evidence)).with(unrelated)
            }
        }
    }
}
