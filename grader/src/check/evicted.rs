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
        let mut impossible = None;
        let asked: Vec<(u64, &String, Option<&String>)> = view
            .events()
            .filter_map(|(number, event)| match &event.what {
                What::Evicted { target, refused, impossible: why } => {
                    impossible = impossible.or(why.as_ref().map(|_| target));
                    Some((number, target, refused.as_ref().or(why.as_ref())))
                }
                _ => None,
            })
            .collect();
        let granted = asked.iter().filter(|(.., refused)| refused.is_none()).count();
        let said = match (asked.len(), granted) {
            _ if impossible.is_some() => {
                format!("`{}` can never be evicted, whoever else goes: a node could never be emptied", impossible.map_or("", String::as_str))
            }
            (0, _) => "no pod was ready, so there was none to evict".to_owned(),
            (1, _) => "one pod was ready: whether all of them could be evicted at once cannot be seen".to_owned(),
            (all, 0) => format!("none of {all} pods could be evicted: a node could never be emptied"),
            (all, granted) if all == granted => format!("all {all} pods could be evicted at once"),
            (all, granted) => format!("{granted} of {all} pods could be evicted at once"),
        };
        let told = |(number, target, refused): &(u64, &String, Option<&String>)| {
            Evidence::new(vec![*number], refused.map_or(format!("`{target}`: granted"), |why| format!("`{target}`: {why}")))
        };
        Finding::new(impossible.is_none() && granted > 0 && granted < asked.len(), false, said).with(asked.iter().take(4).map(told))
    }
}
