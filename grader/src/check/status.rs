//! The release command says what is served: the champion as the registry has it, and the versions that answered users.

use std::collections::BTreeSet;

use schemars::JsonSchema;
use serde::Deserialize;

use super::release::last;
use super::{Control, Evidence, Finding, Judge, View};
use crate::history::ReleaseCommand;

/// The release command says what is served: the champion as the registry has it, and the versions that answered users.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Status {}

/// What the contract says that `status` prints.
#[derive(Deserialize)]
struct Said {
    champion: String,
    serving: BTreeSet<String>,
}

impl Judge for Status {
    fn expected(&self) -> String {
        "`status` succeeds and prints JSON: `champion` is the registry's, `serving` are the versions that answer users".to_owned()
    }

    fn controls(&self) -> &'static [Control] {
        &[]
    }

    fn judge(&self, view: &View<'_>) -> Finding {
        let Some(ran) = last(view, ReleaseCommand::Status) else {
            return Finding::new(false, false, "`status` was never run: there is no service of its role".to_owned());
        };
        let evidence = Evidence { events: vec![ran.number], excerpt: format!("`status` said: {}", ran.output.trim()) };
        let complaint = match (ran.exit_code, object(ran.output)) {
            (None, _) => Some(ran.output.to_owned()),
            (Some(0), None) => Some("it printed no JSON object with the text `champion` and the list `serving`".to_owned()),
            (Some(0), Some(said)) => disagreement(view, &said),
            (Some(code), _) => Some(format!("its exit code is {code}")),
        };
        let observed = complaint.clone().unwrap_or_else(|| "it did".to_owned());
        Finding::new(complaint.is_none(), false, observed).with([evidence])
    }
}

/// The object that was printed: all of it, or a line of it, since a command may warn of something on the way.
fn object(output: &str) -> Option<Said> {
    serde_json::from_str(output).ok().or_else(|| output.lines().find_map(|line| serde_json::from_str(line).ok()))
}

/// What it says that is not so.
fn disagreement(view: &View<'_>, said: &Said) -> Option<String> {
    let champion = view.alias_at(view.window().end);
    if champion != Some(said.champion.as_str()) {
        return Some(format!("it says that the champion is {}; the registry's is {}", said.champion, champion.unwrap_or("none")));
    }
    let served: BTreeSet<String> = view.requests().filter_map(|request| request.version().map(str::to_owned)).collect();
    let list = |versions: &BTreeSet<String>| versions.iter().map(String::as_str).collect::<Vec<_>>().join(", ");
    (served != said.serving).then(|| format!("it says that users are served {}; they were served {}", list(&said.serving), list(&served)))
}
