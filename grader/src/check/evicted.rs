//! Pods can be evicted, and not all at once.

use schemars::JsonSchema;
use serde::Deserialize;

use super::{Control, Evidence, Finding, Judge, View};
use crate::history::What;

/// Pods can be evicted, and not all at once.
#[derive(Debug, Clone, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Evicted {}

impl Judge for Evicted {
    fn expected(&self) -> String {
        "the first eviction is granted, and one that follows at once is refused".to_owned()
    }

    fn controls(&self) -> &'static [Control] {
        &[]
    }

    fn judge(&self, view: &View<'_>) -> Finding {
        let asked: Vec<(u64, &String, Option<&String>)> = view
            .events()
            .filter_map(|(number, event)| match &event.what {
                What::Evicted { target, refused, impossible } => Some((number, target, refused.as_ref().or(impossible.as_ref()))),
                _ => None,
            })
            .collect();
        let granted = asked.iter().filter(|(.., refused)| refused.is_none()).count();
        let impossible = view.events().find_map(|(_, event)| match &event.what {
            What::Evicted { target, impossible: Some(_), .. } => Some(target),
            _ => None,
        });
        let said = match (impossible, asked.len(), granted) {
            (Some(target), ..) => format!("`{target}` can never be evicted, whoever else goes: a node could never be emptied"),
            (None, 0, _) => "no pod was ready, so there was none to evict".to_owned(),
            (None, 1, _) => "one pod was ready: whether all of them could be evicted at once cannot be seen".to_owned(),
            (None, all, 0) => format!("none of {all} pods could be evicted: a node could never be emptied"),
            (None, all, granted) if all == granted => format!("all {all} pods could be evicted at once"),
            (None, all, granted) => format!("{granted} of {all} pods could be evicted at once"),
        };
        let told = |(number, target, refused): &(u64, &String, Option<&String>)| {
            Evidence::new(vec![*number], refused.map_or(format!("`{target}`: granted"), |why| format!("`{target}`: {why}")))
        };
        Finding::new(impossible.is_none() && granted > 0 && granted < asked.len(), false, said).with(asked.iter().take(4).map(told))
    }
}
