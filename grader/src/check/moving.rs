//! Dashboards show incidents: some panel looks otherwise in each of them than in the same time without it.
//!
//! Each incident of the list counts alike.

use std::collections::{BTreeMap, BTreeSet};

use schemars::JsonSchema;
use serde::Deserialize;

use super::played::Played;
use super::{CAUSED, Control, Evidence, Finding, Judge, View, share};
use crate::history::{Curve, PanelLine};

/// By which share of its twin's level a curve must differ from it to be seen, and in which share of the moments of a fault.
const DIFFERENCE: f64 = 0.2;
const OFTEN: f64 = 0.3;
/// How many curves the replay program lists of a side.
const LISTED: usize = 24;

/// Dashboards show incidents.
#[derive(Debug, Clone, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Moving {
    /// The incidents, as in `exam.yaml`.
    #[schemars(length(min = 1))]
    pub during: Vec<String>,
}

impl Judge for Moving {
    fn expected(&self) -> String {
        format!("a panel of the dashboards moves in each of: {}", self.during.join(", "))
    }

    fn controls(&self) -> &'static [Control] {
        CAUSED
    }

    fn incidents(&self) -> Vec<&str> {
        self.during.iter().map(String::as_str).collect()
    }

    fn judge(&self, view: &View<'_>) -> Finding {
        let played = Played::new(view);
        let (mut seen, mut unseen) = (Vec::new(), Vec::new());
        for id in &self.during {
            let moved = played.trace(id).and_then(|trace| {
                let end_s = trace.line.end_s;
                trace.panels.iter().copied().find(|(_, panel)| moves(panel, end_s)).map(|(number, panel)| (number, panel.query.clone()))
            });
            match moved {
                Some((number, query)) => {
                    let title = view.query(&query).map_or(query, |panel| panel.title.clone());
                    seen.push(Evidence::of_replay(vec![number], format!("{id}: `{title}` moves")));
                }
                None => unseen.push(id.as_str()),
            }
        }
        let observed = if unseen.is_empty() { "every one is seen".to_owned() } else { format!("no panel moves in: {}", unseen.join(", ")) };
        let finding = match (seen.len(), unseen.len()) {
            (_, 0) => Finding::new(true, false, observed),
            (0, _) => Finding::new(false, false, observed),
            (some, none) => Finding::partial(share(some, some + none), observed),
        };
        finding.with(seen)
    }
}

/// Whether a panel looks otherwise while the fault lasts than in the same time without it.
fn moves(panel: &PanelLine, end_s: f64) -> bool {
    // A query that was given up halfway has one side only.
    if !panel.error.is_empty() {
        return false;
    }
    let by_labels = |curves: &'_ [Curve]| curves.iter().map(|curve| (curve.labels.clone(), curve.values.clone())).collect::<BTreeMap<_, _>>();
    let (incident, twin) = (by_labels(&panel.incident), by_labels(&panel.twin));
    // Of more curves than are listed, one that is listed on one side may be there on the other.
    let is_whole = panel.series_total < LISTED && twin.len() < LISTED;
    let moments = incident.values().chain(twin.values()).map(Vec::len).max().unwrap_or(0);
    let at = |index: usize| panel.step_s.mul_add(share(index, 1), panel.from_s);
    let during: Vec<usize> = (0..moments).filter(|index| (0.0..=end_s).contains(&at(*index))).collect();
    let labels: BTreeSet<_> = incident.keys().chain(twin.keys()).collect();
    labels.into_iter().filter(|labels| is_whole || incident.contains_key(*labels) && twin.contains_key(*labels)).any(|labels| {
        let of = |curves: &BTreeMap<_, Vec<Option<f64>>>, index: usize| curves.get(labels).and_then(|values| *values.get(index)?);
        let differs = during.iter().filter(|index| differ(of(&incident, **index), of(&twin, **index))).count();
        differs > 0 && share(differs, during.len()) >= OFTEN
    })
}

/// Whether a value differs from what it would be otherwise, and by enough of that.
fn differ(one: Option<f64>, otherwise: Option<f64>) -> bool {
    match (one, otherwise) {
        // A hair less is enough: 0.8 is not quite a fifth less than 1 in binary.
        (Some(one), Some(otherwise)) => (one - otherwise).abs() >= ((DIFFERENCE - 1e-9) * otherwise.abs()).max(f64::MIN_POSITIVE),
        (one, otherwise) => one.is_some() != otherwise.is_some(),
    }
}
