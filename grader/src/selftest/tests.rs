use std::collections::BTreeSet;

use harness::compose::vet;

use super::agree::{differences, is_open};
use super::*;
use crate::check::Rubric;
use crate::check::tests::model_down;
use crate::exam::Exam;
use crate::report::Report;

fn proven() -> (harness::exercise::Exercise, Exam, Rubric, Vec<Cell>) {
    let exercise = model_down();
    let exam = Exam::parse("exam.yaml", &exercise.exam.text).expect("it is right");
    let rubric = Rubric::parse("checks.yaml", &exercise.checks.text, &exam, &exercise.requirements).expect("it is right");
    let cells = cells(&exercise, &exam, &rubric, 2).expect("they are right");
    (exercise, exam, rubric, cells)
}

fn cell<'a>(cells: &'a [Cell], id: &str) -> &'a Cell {
    cells.iter().find(|cell| cell.id == id).unwrap_or_else(|| panic!("there is no {id}"))
}

#[test]
fn everything_is_proven_at_its_cheapest_level() {
    let (_, exam, _, cells) = proven();
    let ids: BTreeSet<&str> = cells.iter().map(|cell| cell.id.as_str()).collect();
    assert_eq!(ids.len(), cells.len());
    // One that fits to no other has its own cell, which is cheaper.
    assert!(cells.iter().filter(|cell| cell.kind() == "group").all(|group| group.variant.breaks.len() > 1));
    for (id, level) in [
        ("reference/02", "full"),
        ("untouched/01", "full"),
        ("group/01", "full"),
        ("break/burn-in-percent", "replay"),
        ("break/dashboard-still", "replay"),
        ("break/rollback-flip", "segment"),
        ("alternative/simple-thresholds", "replay"),
        ("alternative/weights", "full"),
        ("cheat/scaled-to-zero", "static"),
        // It scrapes something else, so that no other exam's recording says anything of it.
        ("cheat/two-faces", "full"),
    ] {
        assert_eq!(cell(&cells, id).level.name(), level, "{id}");
    }
    let Level::Segment(phases) = &cell(&cells, "break/rollback-flip").level else { panic!("it is a segment") };
    for phase in ["baseline", "release-good", "release-unknown", "rollback", "rollback-again"] {
        assert!(phases.iter().any(|id| id == phase), "{phase} is not in {phases:?}");
    }
    assert!(!phases.iter().any(|id| id == "kill" || id == "restart"), "{phases:?}");
    assert!(exam.part(phases).is_ok());
}

#[test]
fn what_is_refused_says_so_and_nothing_else_is() {
    let (exercise, _, _, cells) = proven();
    for cell in &cells {
        let refused = vet(&cell.files, &exercise.manifest).err().map(|problems| problems.to_string());
        match (&cell.expected.refused, &refused) {
            (None, None) => {}
            (Some(words), Some(said)) => assert!(said.contains(words.as_str()), "{}: {said}", cell.id),
            (None, Some(said)) => panic!("{}: {said}", cell.id),
            (Some(_), None) => panic!("{} is not refused", cell.id),
        }
    }
}

#[test]
fn alternatives_and_cheats_are_as_many_as_promised() {
    let (_, _, _, cells) = proven();
    let count = |kind: &str| cells.iter().filter(|cell| cell.kind() == kind).count();
    assert!(count("alternative") >= 6 && count("cheat") >= 15 && count("break") >= 16 && count("pair") == 3, "too few");
}

/// A report whose every check has the word that is asked for it.
fn report(word: impl Fn(&str) -> &'static str) -> Report {
    let history = crate::check::tests::faultless();
    let mut report = Report::new(&history).expect("its rules are right");
    for check in &mut report.checks {
        check.word = word(&check.id).to_owned();
    }
    (report.score.low, report.score.high) = (100.0, 100.0);
    report
}

#[test]
fn what_differs_is_named_with_what_was_seen() {
    let (_, _, rubric, cells) = proven();
    let reference = cell(&cells, "reference/01");
    assert_eq!(differences(reference, &report(|_| "passed"), &rubric), Vec::<String>::new());
    let said = differences(reference, &report(|id| if id == "kill-survived" { "failed" } else { "passed" }), &rubric);
    assert!(said.len() == 1 && said[0].starts_with("`kill-survived` is failed, and not passed: "), "{said:?}");
    let flip = cell(&cells, "break/rollback-flip");
    let fails = |id: &str| if flip.expected.fails.contains(id) { "failed" } else { "passed" };
    assert_eq!(differences(flip, &report(fails), &rubric), Vec::<String>::new());
    assert_eq!(differences(flip, &report(|_| "passed"), &rubric).len(), flip.expected.fails.len());
    // A break names all that it fails; a cheat needs not name what follows from it.
    let follows = |id: &str| if id == "kill-correct" { "failed" } else { fails(id) };
    assert_eq!(differences(flip, &report(follows), &rubric).len(), 1);
    // What was not graded may be held again, unless something else contradicts: no run is picked.
    let open = |id: &str| if flip.expected.fails.contains(id) { "not graded" } else { "passed" };
    assert!(is_open(flip, &report(open), &rubric) && !differences(flip, &report(open), &rubric).is_empty());
    let both = |id: &str| if id == "kill-correct" { "failed" } else { open(id) };
    assert!(!is_open(flip, &report(both), &rubric) && !is_open(flip, &report(fails), &rubric));
    let half = cell(&cells, "cheat/half-right");
    let follows = |id: &str| if matches!(id, "answers-correct" | "kill-correct") { "failed" } else { "passed" };
    assert_eq!(differences(half, &report(follows), &rubric), Vec::<String>::new());
}

#[test]
fn a_replay_says_nothing_of_what_was_live() {
    let (_, _, rubric, cells) = proven();
    let one = cell(&cells, "break/burn-in-percent");
    let word = |id: &str| if one.expected.fails.contains(id) || id == "kill-survived" { "failed" } else { "passed" };
    assert_eq!(differences(one, &report(word), &rubric), Vec::<String>::new());
}

#[test]
fn recordings_of_other_submissions_are_no_proof() {
    let (exercise, _, _, mut cells) = proven();
    let below = tempfile::tempdir().expect("room");
    let ledger = Ledger::of(&exercise, below.path()).expect("writable");
    let lock = ledger.lock().expect("nobody has it");
    assert!(ledger.lock().expect_err("somebody has it").to_string().ends_with("another selftest records here"));
    drop(lock);
    let mut one = cells.swap_remove(0);
    assert_eq!(ledger.read(&one), None);
    let recorded = "2026-01-01T00:00:00Z".to_owned();
    let entry = Entry { key: Key::of(&one), recorded, attempts: 1, seconds: 1.0, refused: None, replayed: None };
    let scratch = ledger.scratch(&one).expect("writable");
    std::fs::write(scratch.join("report.html"), "new").expect("writable");
    ledger.keep(&one, &entry, &scratch).expect("writable");
    assert_eq!(ledger.read(&one), Some(entry));
    assert!(ledger.place(&one).join("report.html").is_file() && !scratch.exists());
    // Nor are those of a part of an exam, or of other files.
    let part = Cell { level: Level::Segment(vec!["baseline".to_owned()]), ..one.clone() };
    assert_eq!(ledger.read(&part), None);
    one.files.insert("more.txt".to_owned(), Vec::new());
    assert_eq!(ledger.read(&one), None);
}

#[test]
fn what_was_held_elsewhere_is_known_here_as_long_as_nothing_changes() {
    let (exercise, _, rubric, cells) = proven();
    let below = tempfile::tempdir().expect("room");
    let ledger = Ledger::of(&exercise, below.path()).expect("writable");
    let reference = cell(&cells, "reference/02");
    let recorded = "2026-01-01T00:00:00Z".to_owned();
    let entry = Entry { key: Key::of(reference), recorded, attempts: 1, seconds: 285.5, refused: None, replayed: None };
    let history = crate::check::tests::faultless();
    let of = |cell: &Cell| Version::of(cell, &exercise, &ledger, "a machine").digest;
    let version = Version::of(reference, &exercise, &ledger, "a machine");
    let row = Row::new(reference, version, entry, Some(&history), &rubric).expect("its rules are right");
    assert_eq!((row.differences.len(), row.not_graded(), row.is_open, row.checks.len()), (0, 0, false, rubric.checks.len()), "{row:?}");
    assert!(row.checks["answers-fast"].figure.is_some() && row.phases["baseline"] > 1.0, "{row:?}");

    let file = below.path().join("rows.jsonl");
    assert!(rows(&file).expect("there need not be one").is_empty());
    add_rows(&file, [row.clone()]).expect("writable");
    let others = Row { exercise: "another".to_owned(), ..row.clone() };
    let all = add_rows(&file, [others]).expect("writable");
    assert!(all.len() == 2 && rows(&file).expect("it is whole") == all, "{all:?}");
    // What differs is never replaced, by no recording and by no merge of two files; what was left open is.
    let differs = Row { differences: vec!["it differs".to_owned()], ..row.clone() };
    let open = Row { is_open: true, ..differs.clone() };
    assert!(differs.differs() && !open.differs());
    assert_eq!(differs.clone().or(row.clone()), differs);
    assert_eq!((open.clone().or(row.clone()), row.clone().or(open)), (row.clone(), row.clone()));
    let newer = Row { version: "another".to_owned(), ..row.clone() };
    assert_eq!(differs.clone().or(newer.clone()), newer);
    let key = (row.exercise.clone(), row.cell.clone());
    assert_eq!(add_rows(&file, [differs.clone(), row.clone()]).expect("writable")[&key], differs);
    std::fs::write(&file, "{}\n").expect("writable");
    assert!(rows(&file).expect_err("it is no row").to_string().contains("line 1: missing field `exercise`"));

    // Another submission, another level, other expectations, another rubric: another version.
    let mut other = reference.clone();
    other.expected.score = Some(99);
    let mut changed = exercise.clone();
    changed.checks.text.push('\n');
    let part = Cell { level: Level::Segment(vec!["baseline".to_owned()]), ..reference.clone() };
    let submission = Cell { files: cell(&cells, "untouched/02").files.clone(), ..reference.clone() };
    let mut versions: BTreeSet<String> = [&other, &part, &submission].map(of).into();
    versions.extend([Version::of(reference, &changed, &ledger, "").digest, row.version.clone()]);
    assert_eq!(versions.len(), 5);
    assert_eq!(of(cell(&cells, "reference/01")), row.version);
}
