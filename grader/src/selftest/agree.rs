//! Whether what became of a submission is what was expected of it; where not, why, in words with their evidence.

use std::collections::BTreeSet;

use super::{Cell, Level};
use crate::check::{Check, Rubric};
use crate::report::{CheckReport, Report};

/// Everything in which a report differs from what a cell expects; nothing where they agree.
pub(super) fn differences(cell: &Cell, report: &Report, rubric: &Rubric) -> Vec<String> {
    let different = |check: &&CheckReport| {
        let wanted = wanted(cell, check);
        format!("`{}` is {}, and not {wanted}: {}{}", check.id, check.word, check.observed, evidence(check))
    };
    let mut differences: Vec<String> = different_checks(cell, report, rubric).map(|check| different(&check)).collect();
    let judged: BTreeSet<&str> = said(cell, report, rubric).map(|check| check.id.as_str()).collect();
    let missing = cell.expected.fails.iter().filter(|id| !judged.contains(id.as_str()));
    differences.extend(missing.map(|id| format!("`{id}` was not asked, though it is expected to fail")));
    if let (Some(score), Level::Full | Level::Permuted | Level::Replay) = (cell.expected.score, &cell.level)
        && report.score_text() != score.to_string()
    {
        differences.push(format!("the score is {}, and not {score}", report.score_text()));
    }
    differences
}

/// Whether a report leaves open what a cell expects: some of it was not graded, and nothing that was is otherwise.
pub(super) fn is_open(cell: &Cell, report: &Report, rubric: &Rubric) -> bool {
    said(cell, report, rubric).any(is_not_graded) && different_checks(cell, report, rubric).all(is_not_graded)
}

fn is_not_graded(check: &CheckReport) -> bool {
    check.word == "not graded"
}

/// The checks of a report that a cell says something of: what is replayed on the reference's recording says nothing of the rest.
pub(super) fn said<'a>(cell: &Cell, report: &'a Report, rubric: &Rubric) -> impl Iterator<Item = &'a CheckReport> {
    report.checks.iter().filter(move |check| cell.level != Level::Replay || find(&check.id, rubric).is_some_and(Check::is_replayed))
}

/// Those that came out otherwise than a cell expects.
fn different_checks<'a>(cell: &Cell, report: &'a Report, rubric: &Rubric) -> impl Iterator<Item = &'a CheckReport> {
    said(cell, report, rubric).filter(move |check| match (check.word.as_str(), wanted(cell, check)) {
        (word @ ("failed" | "partly"), wanted) => word != wanted && find(&check.id, rubric).is_none_or(|check| !is_explained(cell, check, rubric)),
        (word, wanted) => word != wanted,
    })
}

fn find<'a>(id: &str, rubric: &'a Rubric) -> Option<&'a Check> {
    rubric.checks.iter().find(|check| check.id == id)
}

fn wanted(cell: &Cell, check: &CheckReport) -> &'static str {
    if cell.expected.fails.contains(&check.id) {
        "failed"
    } else if cell.expected.partly.as_ref().is_some_and(|partly| partly.contains(&check.id)) {
        "partly"
    } else {
        "passed"
    }
}

/// Whether a check fails, or is met in part, because another fails that is expected to. A break names all that it fails: only who cannot be reached by any
/// message is told of no incident.
fn is_explained(cell: &Cell, check: &Check, rubric: &Rubric) -> bool {
    let may_be = check.is_replayed() || cell.variant.breaks.is_empty();
    may_be && rubric.needed(check).into_iter().any(|need| cell.expected.fails.contains(need))
}

/// Where it was seen.
fn evidence(check: &CheckReport) -> String {
    let Some(first) = check.evidence.first() else { return String::new() };
    let lines = |name: &str, numbers: &[u64]| numbers.first().map(|number| format!(" [{name} {number}]")).unwrap_or_default();
    format!("; such as: {}{}{}", first.excerpt, lines("event", &first.events), lines("line of the replay", &first.replay))
}
