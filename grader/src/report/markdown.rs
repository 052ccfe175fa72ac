//! `summary.md`, for a pull request or a chat: what matters, on one page.

use std::fmt::Write as _;

use super::{CheckReport, Report};

pub(super) fn render(report: &Report) -> String {
    let mut text = format!("# {}\n\n**{}**\n", escape(&report.title), escape(&report.sentence()));
    let mut list = |title: &str, checks: Vec<&CheckReport>| {
        if !checks.is_empty() {
            // Writing to a String cannot fail.
            let _ = write!(text, "\n## {title}\n\n");
            for check in checks {
                let cause = check.caused_by.as_ref().map(|cause| format!(" (because of: {})", escape(cause))).unwrap_or_default();
                let _ = writeln!(text, "- **{}** {}: {}{cause}", check.requirement, escape(&check.title), escape(&check.observed));
            }
        }
    };
    list("Not repaired", report.open().collect());
    list("Was fine, is broken now", report.regressed().collect());
    let _ = write!(text, "\n## All checks\n\n| | requirement | verdict | points | seen |\n|---|---|---|---|---|\n");
    for check in &report.checks {
        let (title, seen) = (escape(&check.title), escape(&check.observed));
        let _ = writeln!(text, "| {} | {title} | {} | {} | {seen} |", check.requirement, check.word, points(check));
    }
    for note in &report.notes {
        let _ = write!(text, "\n> {}\n", escape(note));
    }
    text
}

/// What a check gave or took, as people read it.
pub(super) fn points(check: &CheckReport) -> String {
    match check.item.part {
        crate::score::Part::Repair => format!("{} of {}", check.item.earned, check.item.of),
        crate::score::Part::Guard if check.item.earned < 0.0 => format!("{}", check.item.earned),
        crate::score::Part::Guard => String::new(),
    }
}

/// A text as Markdown shows it: nothing in it formats, links or breaks out of its line.
fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '\n' | '\r' => escaped.push(' '),
            '<' => escaped.push_str("&lt;"),
            '&' => escaped.push_str("&amp;"),
            '\\' | '`' | '*' | '_' | '{' | '}' | '[' | ']' | '(' | ')' | '#' | '!' | '|' | '>' | '~' | '@' => escaped.extend(['\\', c]),
            c => escaped.push(c),
        }
    }
    // A bare address would become a link.
    escaped.replace("://", ":\u{200b}//")
}
