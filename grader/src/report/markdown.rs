//! `summary.md`, for a pull request or a chat: what matters, on one page.

use std::fmt::Write as _;

use super::{BreakState, CheckReport, Report};
use crate::check::said;
use crate::score::Part;

pub(super) fn render(report: &Report) -> String {
    let mut text = format!("# {}\n\n**{}**\n", escape(&report.title), escape(&report.sentence()));
    // Writing to a String cannot fail, here and below.
    if !report.breaks.is_empty() {
        text.push_str("\n## What was broken\n\n");
    }
    for one in &report.breaks {
        let state = match one.state {
            BreakState::Repaired => "repaired",
            BreakState::Partly => "**repaired in part**",
            BreakState::Open => "**not repaired**",
            BreakState::NotGraded => "not graded",
        };
        let _ = writeln!(text, "- {}: {state}", escape(&one.title));
    }
    let open = report.open();
    if !open.is_empty() {
        text.push_str("\n## What is open\n\n");
    }
    for one in open {
        let anew = if one.regressed { " (was fine before)" } else { "" };
        let word = if one.check.word == "failed" { String::new() } else { format!(" ({})", one.check.word) };
        let _ = write!(text, "- **{}** {}{word}{anew}: {}", one.check.requirement, escape(&one.check.title), escape(&one.check.observed));
        let explains: Vec<String> = one.explains.iter().map(|title| escape(title)).collect();
        let _ = writeln!(text, "{}", if explains.is_empty() { String::new() } else { format!(". Because of it: {}", explains.join(", ")) });
    }
    if let Some(replayed) = &report.replayed {
        text.push_str("\n## Incidents, replayed\n\n| incident | asked for | told after | by |\n|---|---|---|---|\n");
        for one in &replayed.incidents {
            let (after, by) = match (one.first(), &one.scene) {
                (Some(first), _) => (format!("{}, at `/{}`", said(first.at_s), first.urgency), first.alert.as_str()),
                (None, Some(_)) => ("nobody".to_owned(), ""),
                (None, None) => ("not replayed".to_owned(), ""),
            };
            let asked = one.asked.as_deref().unwrap_or_default();
            let _ = writeln!(text, "| {} | {} | {} | {} |", escape(&one.title), escape(asked), escape(&after), escape(by));
        }
    }
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
        Part::Repair => format!("{} of {}", check.item.earned, check.item.of),
        Part::Guard | Part::Shared if check.item.earned < 0.0 => format!("{}", check.item.earned),
        // Two breaks failed it: it is worth something to neither.
        Part::Shared => "shared".to_owned(),
        // Charged with another failure of the same cause.
        Part::Guard if !matches!(check.verdict, crate::check::Verdict::Passed { .. }) => "0".to_owned(),
        Part::Guard | Part::Hidden => String::new(),
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
