//! What happened on the day before is known: a fact of `diagnosis.yaml` is what the exercise says.

use schemars::JsonSchema;
use serde::Deserialize;

use super::{Control, Evidence, Finding, Judge, View};
use crate::history::What;

/// What happened on the day before is known.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Told {
    /// The fact, by its id in `past.yaml`.
    pub fact: String,
}

impl Judge for Told {
    fn expected(&self) -> String {
        format!("`diagnosis.yaml` answers `{}` as it was", self.fact)
    }

    fn controls(&self) -> &'static [Control] {
        &[]
    }

    fn is_of_its_phase(&self) -> bool {
        false
    }

    fn judge(&self, view: &View<'_>) -> Finding {
        let told = view.until_now().find_map(|(number, event)| match &event.what {
            What::Diagnosed { facts } => facts.iter().find(|one| one.fact == self.fact).map(|one| (number, one)),
            _ => None,
        });
        let Some((number, one)) = told else { return Finding::new(false, false, "the exercise does not ask for it".to_owned()) };
        let Some(said) = &one.said else { return Finding::new(false, false, one.complaint.clone()) };
        // Who can grade as often as they like must not be told.
        let right = if view.is_public() { ", and that is not what happened".to_owned() } else { format!("; right is {}", one.wanted) };
        let (is_right, why) = match one.wanted.accepts(said) {
            Ok(true) => (true, format!("it says {said}")),
            Ok(false) => (false, format!("it says {said}{right}")),
            Err(form) => (false, format!("it says {said}, and {form}{right}")),
        };
        Finding::new(is_right, false, why).with([Evidence::new(vec![number], format!("{} {said}", one.asks))])
    }
}
