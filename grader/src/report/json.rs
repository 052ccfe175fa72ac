//! `report.json`, for machines. Its schema is `docs/schema/report.json`.

use super::Report;

pub(super) fn render(report: &Report) -> Result<String, serde_json::Error> {
    serde_json::to_string_pretty(report).map(|text| text + "\n")
}
