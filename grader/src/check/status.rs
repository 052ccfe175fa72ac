//! The release command says what is served: the champion as the registry has it, and the versions that answered users.

use std::collections::{BTreeMap, BTreeSet};

use schemars::JsonSchema;
use serde::Deserialize;

use super::release::last;
use super::{Control, Evidence, Finding, Judge, View, share};
use crate::history::ReleaseCommand;

/// The release command says what is served: the champion as the registry has it, and the versions that answered users.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Status {}

/// A version that gave no larger share of the answers need not be told.
const STRAY: f64 = 0.01;

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
        &[Control::Punctuality]
    }

    fn judge(&self, view: &View<'_>) -> Finding {
        let Some(ran) = last(view, ReleaseCommand::Status) else {
            return Finding::new(false, false, "`status` was never run: there is no service of its role".to_owned());
        };
        let evidence = Evidence::new(vec![ran.number], format!("`status` said: {}", ran.output.trim()));
        let complaint = match (ran.exit_code, object(ran.output)) {
            (None, _) => Some(ran.output.to_owned()),
            (Some(0), None) => Some("it printed no JSON object with the text `champion` and the list `serving`".to_owned()),
            (Some(0), Some(said)) => disagreement(view, &said, ran.began_ns),
            (Some(code), _) => Some(format!("its exit code is {code}")),
        };
        let observed = complaint.clone().unwrap_or_else(|| "it did".to_owned());
        Finding::new(complaint.is_none(), false, observed).with([evidence])
    }
}

/// The object that was printed, wherever it begins: a command may warn of something on the way, were it in objects of its own.
fn object(output: &str) -> Option<Said> {
    let read = |(at, _)| serde_json::Deserializer::from_str(&output[at..]).into_iter::<Said>().next()?.ok();
    output.match_indices('{').find_map(read)
}

/// What it says that is not so. The champion is that of the moment in which it was asked: the exam may have moved the alias before, to see who looks.
fn disagreement(view: &View<'_>, said: &Said, asked_ns: u64) -> Option<String> {
    let champion = view.alias_at(asked_ns);
    if champion != Some(said.champion.as_str()) {
        return Some(format!("it says that the champion is {}; the registry's is {}", said.champion, champion.unwrap_or("none")));
    }
    let mut answers: BTreeMap<String, usize> = BTreeMap::new();
    for version in view.requests().filter_map(|request| request.version().map(str::to_owned)) {
        *answers.entry(version).or_default() += 1;
    }
    let all = answers.values().sum();
    // As with a release, an answer in a hundred may be another's.
    let served: BTreeSet<String> = answers.into_iter().filter(|(_, count)| share(*count, all) > STRAY).map(|(version, _)| version).collect();
    let list = |versions: &BTreeSet<String>| versions.iter().map(String::as_str).collect::<Vec<_>>().join(", ");
    (served != said.serving).then(|| format!("it says that users are served {}; they were served {}", list(&said.serving), list(&served)))
}
