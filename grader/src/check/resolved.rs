//! When an incident is over, the alert that told of it first ends: who is on call must be able to tell.
//!
//! Others may go on, as one does that says how much of a month's budget is gone. Each incident of the list that someone is told of counts alike; where nobody is told of any, there is nothing that could end.

use schemars::JsonSchema;
use serde::Deserialize;

use super::played::{Played, said};
use super::{Control, Evidence, Finding, Judge, PLAYED, View, share};

/// When an incident is over its alerts end.
#[derive(Debug, Clone, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Resolved {
    /// The incidents, as in `exam.yaml`.
    #[schemars(length(min = 1))]
    pub of: Vec<String>,
    /// How many minutes after the fault at the latest.
    #[schemars(range(min = 1))]
    pub within_minutes: f64,
}

impl Judge for Resolved {
    fn expected(&self) -> String {
        format!("the alert that tells of an incident first ends within {} after it", said(self.within_minutes * 60.0))
    }

    fn controls(&self) -> &'static [Control] {
        PLAYED
    }

    fn incidents(&self) -> Vec<&str> {
        self.of.iter().map(String::as_str).collect()
    }

    fn judge(&self, view: &View<'_>) -> Finding {
        let played = Played::new(view);
        let (mut ended, mut told) = (0, 0);
        let mut evidence = Vec::new();
        for trace in self.of.iter().filter_map(|id| played.trace(id)) {
            let Some(first) = trace.told().into_iter().next() else { continue };
            told += 1;
            let still = trace.firing_after(&first, self.within_minutes * 60.0);
            ended += usize::from(still.is_empty());
            evidence.extend(
                still.into_iter().take(3).map(|(number, alert)| {
                    Evidence::of_replay(vec![number], format!("{}: `{}` still fires then", trace.line.trace, alert.rule.name))
                }),
            );
        }
        if told == 0 {
            return Finding::new(false, false, "nobody is told of any incident, so nothing could end".to_owned());
        }
        let observed = format!("of {told} incidents that someone is told of, the alert of {ended} ends in time");
        let finding = match ended {
            0 => Finding::new(false, false, observed),
            ended if ended == told => Finding::new(true, false, observed),
            ended => Finding::partial(share(ended, told), observed),
        };
        finding.with(evidence)
    }
}
