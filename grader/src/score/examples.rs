//! The worked examples of `docs/scoring.md`, computed from the flagship's own rubric and breaks, so that the document cannot drift.
//!
//! A place in it is a pair of comments, `<!-- example: NAME -->` and `<!-- end -->`; `make schemas` writes what stands between them.

use std::fmt::Write as _;
use std::path::Path;

use harness::exercise::Exercise;

use super::tests::passed_but;
use super::*;
use crate::check::Verdict;
use crate::check::tests::{faultless, model_down, model_down_rubric};
use crate::history::BreakRecord;

/// What was broken in all examples; none of these hides another.
const BREAKS: [&str; 5] = ["no-timeout", "gate-metric", "switch-gap", "page-to-nowhere", "generous-limit"];

/// What an exam found, beside all that it found passed.
fn found(example: &str) -> Vec<(&'static str, Verdict)> {
    let failed = |ids: &[&'static str]| ids.iter().map(|id| (*id, Verdict::Failed)).collect::<Vec<_>>();
    let ungraded = |ids: &[&'static str]| ids.iter().map(|id| (*id, Verdict::NotGraded { control: "the pager".to_owned() })).collect::<Vec<_>>();
    match example {
        "untouched" => failed(&baseline(&model_down())),
        "most" => failed(&["page-arrives"]),
        "halfway" => failed(&["deploy-gap", "rollback-lossless"]),
        "regression" => failed(&["burst-paged", "burn-noticed"]),
        "explained" => failed(&["page-arrives", "burst-paged", "outage-paged", "latency-paged"]),
        "astray" => vec![("page-arrives", Verdict::Partial { share: 0.5 })],
        "runbook" => vec![("alerts-loaded", Verdict::Partial { share: 0.75 })],
        "grey" => vec![("answers-available", Verdict::Passed { grey: true })],
        "ungraded" => [ungraded(&["page-arrives", "ticket-arrives"]), failed(&["refuses-wrong"])].concat(),
        other => panic!("docs/scoring.md has an example `{other}`, of which nothing is known"),
    }
}

fn baseline(exercise: &Exercise) -> Vec<&'static str> {
    let ids = exercise.baseline(&BREAKS.map(str::to_owned));
    ids.into_iter().map(|id| &*id.leak()).collect()
}

fn manifest(exercise: &Exercise) -> Manifest {
    let record = |id: &str| {
        let one = exercise.breaks.get(id).unwrap_or_else(|| panic!("there is no break `{id}`: choose another for the examples"));
        let hidden: Vec<&&str> = BREAKS.iter().filter(|other| one.masks.contains(**other)).collect();
        assert!(hidden.is_empty(), "`{id}` hides {hidden:?}: choose another for the examples");
        (id.to_owned(), BreakRecord { title: one.title.clone(), minutes: one.minutes, fails: one.fails.clone() })
    };
    Manifest {
        breaks: BREAKS.into_iter().map(record).collect(),
        baseline: exercise.baseline(&BREAKS.map(str::to_owned)),
        pass_mark: exercise.manifest.pass_mark,
        public: false,
        phases: None,
        ..faultless().manifest
    }
}

/// What each break is worth, and how its checks share that.
fn worth_of_breaks(rubric: &Rubric, manifest: &Manifest) -> String {
    let score = score(&passed_but(rubric, &[]), rubric, manifest);
    let mut text = "| what was broken | minutes | points | shared among |\n|---|---|---|---|\n".to_owned();
    let minutes: u32 = manifest.breaks.values().map(|one| one.minutes).sum();
    for one in BREAKS.map(|id| &manifest.breaks[id]) {
        let checks = rubric.checks.iter().filter(|check| one.fails.contains(&check.id) && score.items[&check.id].part == Part::Repair);
        let shares: Vec<String> = checks.map(|check| format!("{} ({})", check.title, score.items[&check.id].of)).collect();
        let points = tenths(100.0 * f64::from(one.minutes) / f64::from(minutes));
        writeln!(text, "| {} | {} | {points} | {} |", one.title, one.minutes, shares.join(", ")).expect("in memory");
    }
    text
}

/// Whatever is not plainly passed, with its points, all repairs that are in one line, and the score.
fn worked(example: &str, rubric: &Rubric, manifest: &Manifest) -> String {
    let judgements = passed_but(rubric, &found(example));
    let score = score(&judgements, rubric, manifest);
    let mut text = "| check | it was | verdict | points |\n|---|---|---|---|\n".to_owned();
    let mut repaired: Vec<&Item> = Vec::new();
    for check in &rubric.checks {
        let (item, verdict) = (&score.items[&check.id], &judgements[&check.id].verdict);
        let (was, points) = match (item.part, *verdict == (Verdict::Passed { grey: false })) {
            (Part::Repair, true) => {
                repaired.push(item);
                continue;
            }
            (_, true) => continue,
            (Part::Repair, false) => ("broken", format!("{} of {}", item.earned, item.of)),
            (_, false) => ("fine", format!("{}", item.earned)),
        };
        writeln!(text, "| {} | {was} | {} | {points} |", check.title, said(verdict)).expect("in memory");
    }
    if !repaired.is_empty() {
        let (count, points) = (repaired.len(), tenths(repaired.iter().map(|item| item.of).sum()));
        let which = if count == manifest.baseline.len() { "all that were broken" } else { "the others that were broken" };
        writeln!(text, "| {which}: {count} | broken | passed | {points} of {points} |").expect("in memory");
    }
    let total = if score.low < score.high { format!("{} to {}", score.low, score.high) } else { format!("{}", score.low) };
    let outcome = match score.outcome() {
        Outcome::Passed => "passed",
        Outcome::Failed => "not passed",
        Outcome::NotGraded => "not graded",
    };
    assert_eq!(outcome == "not graded", example == "ungraded", "the text around `{example}` says otherwise: choose other checks for it");
    writeln!(text, "| **Score** | | **{outcome}** | **{total} of 100** |").expect("in memory");
    text
}

fn said(verdict: &Verdict) -> String {
    match verdict {
        Verdict::Passed { grey: false } => "passed".to_owned(),
        Verdict::Passed { grey: true } => "passed (little room)".to_owned(),
        Verdict::Partial { share } => format!("partly ({} %)", share * 100.0),
        Verdict::Failed => "failed".to_owned(),
        Verdict::NotGraded { .. } => "not graded".to_owned(),
    }
}

#[test]
fn the_examples_in_docs_are_those_of_the_rubric() {
    const BEGIN: &str = "<!-- example: ";
    const END: &str = "<!-- end -->";
    let (rubric, exercise) = (model_down_rubric(), model_down());
    let manifest = manifest(&exercise);
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/scoring.md");
    let text = std::fs::read_to_string(&path).expect("it is there");
    let mut pieces = text.split(BEGIN);
    let mut wanted = pieces.next().unwrap_or_default().to_owned();
    let mut examples = 0;
    for piece in pieces {
        let (name, rest) = piece.split_once(" -->").expect("the comment ends");
        let (_, after) = rest.split_once(END).expect("the example ends");
        let worked = if name == "breaks" { worth_of_breaks(&rubric, &manifest) } else { worked(name, &rubric, &manifest) };
        write!(wanted, "{BEGIN}{name} -->\n\n{worked}\n{END}{after}").expect("in memory");
        examples += 1;
    }
    assert!(examples > 5, "the document has lost its examples");
    if std::env::var_os("MODELDOWN_WRITE_SCHEMAS").is_some() {
        std::fs::write(&path, &wanted).expect("writable");
    } else {
        assert!(text == wanted, "docs/scoring.md: run `make schemas`");
    }
}
