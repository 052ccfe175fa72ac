//! Nobody is woken on a day on which nothing happens, and the queue of tickets stays short.

use schemars::JsonSchema;
use serde::Deserialize;

use super::played::played;
use super::{Control, Evidence, Finding, Judge, REPLAYED, View};
use crate::exam::{QUIET, Receiver};
use crate::history::{Line, Notification};

/// Nobody is woken on a day on which nothing happens, and the queue of tickets stays short.
#[derive(Debug, Clone, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Undisturbed {
    /// How many messages to the team's queue are accepted on a quiet day.
    pub tickets: usize,
}

impl Judge for Undisturbed {
    fn expected(&self) -> String {
        format!("on a quiet day, and in every incident's time without it, nobody is paged; at most {} messages become tickets", self.tickets)
    }

    fn controls(&self) -> &'static [Control] {
        REPLAYED
    }

    fn judge(&self, view: &View<'_>) -> Finding {
        let played = match played(view) {
            Ok(played) => played,
            Err(finding) => return finding,
        };
        let about = |one: &Notification| one.alerts.iter().filter_map(|alert| alert.labels.get("alertname").cloned()).collect::<Vec<_>>().join(", ");
        let of = |receiver: Receiver| {
            played.numbered().filter_map(move |(number, line)| match line {
                Line::Notification(one) if one.status == "firing" && one.urgency == receiver.name() && (one.twin || one.trace == QUIET) => {
                    Some((number, one))
                }
                _ => None,
            })
        };
        let pages: Vec<_> = of(Receiver::Page).collect();
        let tickets: Vec<_> = of(Receiver::Ticket).filter(|(_, one)| one.trace == QUIET && !one.twin).collect();
        let observed = format!("{} pages; {} tickets on the quiet day", pages.len(), tickets.len());
        let wrong = if pages.is_empty() { &tickets } else { &pages };
        let passed = pages.is_empty() && tickets.len() <= self.tickets;
        let evidence = wrong.iter().filter(|_| !passed).take(5);
        Finding::new(passed, false, observed)
            .with(evidence.map(|(number, one)| Evidence::of_replay(vec![*number], format!("`/{}`: {}", one.urgency, about(one)))))
    }
}
