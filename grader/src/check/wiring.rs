//! An alert of the grader finds its way through the submission's Prometheus and Alertmanager to the right receiver.

use schemars::JsonSchema;
use serde::Deserialize;

use super::{Control, Evidence, Figure, Finding, Judge, PAGED, View, ms};
use crate::exam::Receiver;
use crate::history::What;

/// What an alert is worth that also goes where it should not.
const ASTRAY: f64 = 0.5;

/// An alert of the grader finds its way to the right receiver.
#[derive(Debug, Clone, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Wiring {
    /// Who must hear of it.
    pub receiver: Receiver,
    /// Who must not.
    #[serde(default)]
    pub not: Vec<Receiver>,
    /// How soon, in seconds.
    #[schemars(range(max = 3_600))]
    pub within_seconds: u64,
}

impl Judge for Wiring {
    fn expected(&self) -> String {
        let not: Vec<String> = self.not.iter().map(|receiver| format!("`/{}`", receiver.name())).collect();
        let not = if not.is_empty() { String::new() } else { format!(" and not at {}", not.join(", ")) };
        format!("the alert arrives at `/{}` within {} s{not}", self.receiver.name(), self.within_seconds)
    }

    fn controls(&self) -> &'static [Control] {
        PAGED
    }

    fn judge(&self, view: &View<'_>) -> Finding {
        let rang = view.events().find_map(|(number, event)| match &event.what {
            What::Rang { receiver, alertname } if receiver == self.receiver.name() => Some((number, event.at_ns, alertname.as_str())),
            _ => None,
        });
        let Some((rang, rang_ns, alertname)) = rang else {
            return Finding::new(false, false, "there was no Prometheus to raise an alert in".to_owned());
        };
        let arrived = |at: Receiver| {
            view.events().find_map(move |(number, event)| match &event.what {
                What::Delivered { receiver, alerts } if receiver == at.name() && alerts.iter().any(|alert| alert.name() == alertname) => {
                    // The rule may fire between its loading and the event that tells of it.
                    Some((number, event.at_ns.saturating_sub(rang_ns)))
                }
                _ => None,
            })
        };
        let evidence = |number: u64| Evidence::new(vec![rang, number], format!("the alert `{alertname}`"));
        let astray: Vec<(Receiver, u64)> = self.not.iter().filter_map(|other| Some((*other, arrived(*other)?.0))).collect();
        let others: Vec<String> = astray.iter().map(|(receiver, _)| format!("`/{}`", receiver.name())).collect();
        match arrived(self.receiver) {
            Some((number, after_ns)) if after_ns <= self.within_seconds * 1_000_000_000 => {
                let observed = format!("it arrived after {:.1} s", ms(after_ns) / 1e3);
                if astray.is_empty() {
                    let figure = Figure::milliseconds(ms(after_ns), ms(self.within_seconds * 1_000_000_000));
                    return Finding::new(true, false, observed).measured(figure).with([evidence(number)]);
                }
                let observed = format!("{observed}, but at {} too", others.join(", "));
                let numbers = std::iter::once(number).chain(astray.into_iter().map(|(_, number)| number));
                Finding::partial(ASTRAY, observed).with(numbers.map(evidence))
            }
            Some((number, after_ns)) => Finding::new(false, false, format!("it arrived after {:.1} s", ms(after_ns) / 1e3)).with([evidence(number)]),
            None if others.is_empty() => {
                Finding::new(false, false, "it arrived nowhere".to_owned()).with([Evidence::new(vec![rang], format!("the alert `{alertname}`"))])
            }
            None => Finding::new(false, false, format!("it arrived at {} instead", others.join(", ")))
                .with(astray.into_iter().map(|(_, number)| evidence(number))),
        }
    }
}
