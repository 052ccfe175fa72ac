//! Nobody is woken on a day on which nothing happens, and the queue of tickets stays short.

use schemars::JsonSchema;
use serde::Deserialize;

use super::played::Played;
use super::{Control, Evidence, Finding, Judge, PLAYED, View};
use crate::exam::{QUIET, Receiver};
use crate::history::{Notification, NotifiedAlert};

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
        PLAYED
    }

    fn judge(&self, view: &View<'_>) -> Finding {
        let played = Played::new(view);
        let about = |one: &Notification| one.alerts.iter().filter_map(NotifiedAlert::name).collect::<Vec<_>>().join(", ");
        let traces: Vec<_> = played.traces().collect();
        let Some(quiet) = traces.iter().find(|trace| trace.line.trace == QUIET) else {
            return Finding::new(false, false, "no quiet day was played".to_owned());
        };
        let (page, ticket) = (Receiver::Page, Receiver::Ticket);
        let twins = || traces.iter().map(|trace| (trace, true)).chain([(quiet, false)]);
        let pages: Vec<_> = twins().flat_map(|(trace, twin)| trace.messages(twin, page)).collect();
        let tickets: Vec<_> = quiet.messages(false, ticket).collect();
        let page_count = pages.len() + twins().map(|(trace, twin)| trace.unlisted(twin, page)).sum::<usize>();
        let ticket_count = tickets.len() + quiet.unlisted(false, ticket);
        let observed = format!("{page_count} pages; {ticket_count} tickets on the quiet day");
        let wrong = if pages.is_empty() { &tickets } else { &pages };
        let passed = page_count == 0 && ticket_count <= self.tickets;
        let evidence = wrong.iter().filter(|_| !passed).take(5);
        Finding::new(passed, false, observed)
            .with(evidence.map(|(number, one)| Evidence::of_replay(vec![*number], format!("`/{}`: {}", one.urgency, about(one)))))
    }
}
