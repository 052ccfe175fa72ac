//! The table that `grader` prints: one line a check, in 80 columns or whatever there is.

use comfy_table::presets::NOTHING;
use comfy_table::{Cell, Color, ContentArrangement, Table};

use super::Report;
use super::markdown::points;
use crate::check::Verdict;

/// The report as a table for a terminal.
pub fn table(report: &Report) -> String {
    let mut table = Table::new();
    table.load_style(NOTHING).set_content_arrangement(ContentArrangement::Dynamic);
    if table.width().is_none() {
        table.set_width(100);
    }
    table.set_header(["", "CHECK", "VERDICT", "POINTS", "SEEN"]);
    // The library leaves colours out where stdout is no terminal.
    let colored = std::env::var_os("NO_COLOR").is_none_or(|set| set.is_empty());
    for check in &report.checks {
        let color = match check.verdict {
            Verdict::Passed { .. } => Color::Green,
            Verdict::Partial { .. } | Verdict::NotGraded { .. } => Color::Yellow,
            Verdict::Failed => Color::Red,
        };
        let mut seen = check.observed.replace('\n', " ");
        if let Some(cause) = &check.caused_by {
            seen = format!("{seen} (because of: {cause})");
        }
        let verdict = if colored { Cell::new(&check.word).fg(color) } else { Cell::new(&check.word) };
        table.add_row([Cell::new(&check.requirement), Cell::new(&check.title), verdict, Cell::new(points(check)), Cell::new(seen)]);
    }
    format!("{}\n\n{}", table.trim_fmt(), report.sentence())
}
