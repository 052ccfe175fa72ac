//! Untouched variants fail exactly what their breaks say.

use acceptance::{Home, checks_that, model_down, said};
use grader::check::Rubric;
use grader::exam::Exam;
use harness::exercise::{Exercise, Key, Variant, render_workspace};
use serde_json::Value;

use crate::browser;

/// Which group of breaks `make test` examines; `make test-all` examines all of them, and every break alone. Not the first: it has the
/// balancer's short time-out, with which users feel whatever else the machine does.
const SAMPLE: usize = 1;

/// The report of a variant that nobody repaired; it must be 0 points.
fn untouched(exercise: &Exercise, breaks: &[String]) -> Value {
    let home = Home::new();
    let workspace = home.path("work");
    let variant = Variant::named(exercise, breaks).expect("they are known");
    let files = render_workspace(exercise, &variant, &Key::public()).expect("it renders");
    harness::submission::write_files(&files.into(), &workspace).expect("writable");
    let out = home.path("report");
    let graded = home.grader().arg("run").arg(&workspace).args(["--json", "--out"]).arg(&out).output().expect("it runs");
    assert_eq!(graded.status.code(), Some(1), "{breaks:?}: {}", said(&graded));
    assert!(home.resources().is_empty(), "{:?}", home.resources());
    browser::shows(&home, &out, &["The fraud model is down", "Not passed", "What is open", "not repaired", "<svg", "grader judge history"]);
    serde_json::from_slice(&graded.stdout).expect("it is JSON")
}

/// Asserts that the checks that breaks name fail, and no other but checks of the replay that need one of these: who does not find the way
/// to the pager tells of no incident.
fn fail_exactly_their_own(exercise: &Exercise, breaks: &[String]) {
    let report = untouched(exercise, breaks);
    let exam = Exam::parse(&exercise.exam.name, &exercise.exam.text).expect("it is right");
    let rubric = Rubric::parse(&exercise.checks.name, &exercise.checks.text, &exam, &exercise.requirements).expect("it is right");
    let wanted = exercise.baseline(breaks);
    let is_explained = |id: &String| {
        let check = rubric.checks.iter().find(|check| check.id == *id).expect("it is of the rubric");
        check.is_replayed() && rubric.needed(check).into_iter().any(|need| wanted.contains(need))
    };
    let failed: Vec<String> = checks_that(&report, "failed").into_iter().filter(|id| wanted.contains(id) || !is_explained(id)).collect();
    assert_eq!(failed, wanted.into_iter().collect::<Vec<_>>(), "{breaks:?}: {report:#}");
    assert_eq!(report["score"]["high"], 0.0, "{breaks:?}: {report:#}");
}

/// All breaks in as few groups as a first fit makes, of which none hides or meets another in its group.
fn groups(exercise: &Exercise) -> Vec<Vec<String>> {
    let mut groups: Vec<Vec<String>> = Vec::new();
    for id in exercise.breaks.keys() {
        match groups.iter_mut().find(|group| !group.iter().any(|other| exercise.excludes(id, other))) {
            Some(group) => group.push(id.clone()),
            None => groups.push(vec![id.clone()]),
        }
    }
    groups
}

#[test]
fn breaks_fail_what_they_say() {
    let exercise = model_down();
    fail_exactly_their_own(&exercise, &groups(&exercise)[SAMPLE]);
}

#[test]
#[ignore = "five minutes a group; `make test-all` runs it"]
fn all_groups_of_breaks_fail_what_they_say() {
    let exercise = model_down();
    for (_, group) in groups(&exercise).iter().enumerate().filter(|(index, _)| *index != SAMPLE) {
        fail_exactly_their_own(&exercise, group);
    }
}

#[test]
#[ignore = "four minutes a break; `make test-all` runs it"]
fn each_break_alone_fails_what_it_says() {
    let exercise = model_down();
    for id in exercise.breaks.keys() {
        fail_exactly_their_own(&exercise, std::slice::from_ref(id));
    }
}
