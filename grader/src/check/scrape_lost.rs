//! Prometheus notices that a replica died.

use schemars::JsonSchema;
use serde::Deserialize;

use super::scraped::is_of;
use super::view::Fault;
use super::{Control, Evidence, Figure, Finding, Judge, SERVED, View, ms};
use crate::history::{Target, What};

/// Prometheus notices that a replica died.
#[derive(Debug, Clone, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ScrapeLost {
    /// The role of the replicas.
    pub role: String,
    /// A phase since which the replica must have been scraped.
    pub before: String,
    /// How soon it must notice, in seconds.
    #[schemars(range(max = 3_600))]
    pub within_seconds: u64,
}

impl Judge for ScrapeLost {
    fn expected(&self) -> String {
        format!("within {} s of a replica's death its target is down or gone", self.within_seconds)
    }

    fn also_reads(&self) -> Option<&str> {
        Some(&self.before)
    }

    fn controls(&self) -> &'static [Control] {
        SERVED
    }

    fn judge(&self, view: &View<'_>) -> Finding {
        let Some(Fault { number: fault, began_ns: killed_ns, target: service }) = view.faults().next() else {
            return Finding::new(false, false, "there was no replica that could be killed".to_owned());
        };
        let replicas = view.deployed(&self.role);
        let addresses = replicas.iter().find(|(name, _)| *name == service).map_or(&[][..], |(_, addresses)| addresses);
        let is_up = |targets: &[Target]| targets.iter().any(|target| is_of(target, service, addresses) && target.health == "up");
        // A pod may be younger than the phase before.
        let from_ns = view.phase(&self.before).map_or(killed_ns, |before| before.window().start);
        let mut looks = view.until_now().filter(|(_, event)| (from_ns..killed_ns).contains(&event.at_ns));
        let was_up = looks.any(|(_, event)| matches!(&event.what, What::Targets { targets } if is_up(targets)));
        if !was_up {
            return Finding::new(false, false, format!("`{service}` was not scraped before it was killed"))
                .with([Evidence::new(vec![fault], format!("`{service}` was killed"))]);
        }
        let noticed = view.events().find_map(|(number, event)| match &event.what {
            What::Targets { targets } if event.at_ns > killed_ns && !is_up(targets) => Some((number, event.at_ns - killed_ns)),
            _ => None,
        });
        match noticed {
            Some((number, after_ns)) => {
                let passed = after_ns <= self.within_seconds * 1_000_000_000;
                Finding::new(passed, false, format!("noticed after {:.1} s", ms(after_ns) / 1e3))
                    .measured(Figure::milliseconds(ms(after_ns), ms(self.within_seconds * 1_000_000_000)))
                    .with([Evidence::new(vec![fault, number], format!("`{service}` was killed and lost"))])
            }
            None => Finding::new(false, false, format!("`{service}` still counted as up when the phase ended"))
                .with([Evidence::new(vec![fault], format!("`{service}` was killed"))]),
        }
    }
}
