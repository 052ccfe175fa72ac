//! Rule files and Alertmanager's configuration load, and every rule can be evaluated at every moment and at a bearable cost.

use schemars::JsonSchema;
use serde::Deserialize;

use super::played::Played;
use super::{Control, Evidence, Finding, Judge, REPLAYED, View};
use crate::history::{Limit, Line, RuleRef};

/// Rule files and Alertmanager's configuration load, and every rule can be evaluated.
#[derive(Debug, Clone, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Rules {}

impl Judge for Rules {
    fn expected(&self) -> String {
        "rules and routes load, and no rule fails or costs too much in any trace".to_owned()
    }

    fn controls(&self) -> &'static [Control] {
        REPLAYED
    }

    fn judge(&self, view: &View<'_>) -> Finding {
        let played = Played::new(view);
        let named = |rule: &RuleRef| format!("rule {} of group `{}` in `{}`, `{}`", rule.index + 1, rule.group, rule.file, rule.name);
        let complaint = |(number, line): (u64, &Line)| match line {
            // A dashboard's query that is too expensive shows nothing, which another check finds.
            Line::Limit(Limit { rule: Some(rule), message, .. }) => Some(Evidence::of_replay(vec![number], format!("{}: {message}", named(rule)))),
            Line::RuleError(error) => Some(Evidence::of_replay(vec![number], format!("{}: {}", named(&error.rule), error.message))),
            _ => None,
        };
        let complaints: Vec<Evidence> = played.numbered().filter_map(complaint).collect();
        let count = played.numbered().filter(|(_, line)| matches!(line, Line::Rule(_))).count();
        let observed = complaints.first().map_or_else(|| format!("{count} rules"), |first| first.excerpt.clone());
        Finding::new(complaints.is_empty(), false, observed).with(complaints.into_iter().take(5))
    }
}
