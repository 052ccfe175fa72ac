//! Prometheus holds few enough series: a label with a value of its own for every account makes it the dearest part of a deployment.

use schemars::JsonSchema;
use serde::Deserialize;

use super::view::surveyed;
use super::{Control, Evidence, Figure, Finding, Judge, View};
use crate::history::What;

/// Prometheus holds few enough series.
#[derive(Debug, Clone, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct SeriesBudget {
    /// The most series.
    pub at_most: u64,
}

impl Judge for SeriesBudget {
    fn expected(&self) -> String {
        format!("prometheus holds at most {} series", self.at_most)
    }

    fn controls(&self) -> &'static [Control] {
        &[Control::Punctuality]
    }

    fn judge(&self, view: &View<'_>) -> Finding {
        let Some((number, survey)) = surveyed(view) else { return Finding::new(false, false, "prometheus was never asked".to_owned()) };
        let Some(series) = survey.series else { return Finding::new(false, false, "prometheus did not say how many it holds".to_owned()) };
        // A restart may have emptied it since, or the submission before.
        let was_restarted = view.until_now().any(|(_, event)| matches!(event.what, What::Restarted));
        let counted =
            || view.until_now().filter_map(|(number, event)| if let What::Series { count } = event.what { Some((number, count)) } else { None });
        if was_restarted && counted().next().is_none() {
            return Finding::new(false, false, "prometheus did not say how many it held before everything was restarted".to_owned());
        }
        // What the same targets showed to someone who keeps it.
        let recorded = view.numbered().filter_map(|(number, event)| match event.what {
            What::Recorded { series, missing: None, .. } => Some((number, u64::try_from(series).unwrap_or(u64::MAX))),
            _ => None,
        });
        let (number, series) = counted().chain(recorded).chain([(number, series)]).max_by_key(|(_, count)| *count).unwrap_or((number, series));
        #[allow(clippy::cast_precision_loss, reason = "far fewer than 2^52 series")]
        let figure = Figure::count(series as f64, self.at_most as f64);
        Finding::new(series <= self.at_most, false, format!("{series} series"))
            .measured(figure)
            .with([Evidence::new(vec![number], format!("{series} series were counted"))])
    }
}
