//! Untouched variants fail exactly what their breaks say.

use acceptance::{Home, checks_that, model_down, said};
use serde_json::Value;

use crate::browser;

/// The report of a variant that nobody repaired; it must be 0 points.
fn untouched(breaks: &[String]) -> Value {
    let home = Home::new();
    let workspace = home.path("work");
    let exercise = model_down();
    let variant = harness::exercise::Variant::named(&exercise, breaks).expect("they are known");
    let files = harness::exercise::render_workspace(&exercise, &variant).expect("it renders");
    harness::submission::write_files(&files.into(), &workspace).expect("writable");
    let out = home.path("report");
    let graded = home.grader().arg("run").arg(&workspace).args(["--json", "--out"]).arg(&out).output().expect("it runs");
    assert_eq!(graded.status.code(), Some(1), "{}", said(&graded));
    assert!(home.resources().is_empty(), "{:?}", home.resources());
    browser::shows(&home, &out, &["The fraud model is down", "Not passed", "What is open", "not repaired", "<svg", "grader judge history"]);
    serde_json::from_slice(&graded.stdout).expect("it is JSON")
}

fn fails_exactly_its_own(breaks: &[String]) {
    let report = untouched(breaks);
    let wanted: Vec<String> = model_down().baseline(breaks).into_iter().collect();
    assert_eq!(checks_that(&report, "failed"), wanted, "{breaks:?}: {report:#}");
    assert_eq!(report["score"]["high"], 0.0, "{report:#}");
}

#[test]
fn all_breaks_together_fail_what_they_say() {
    fails_exactly_its_own(&model_down().breaks.into_keys().collect::<Vec<_>>());
}

#[test]
#[ignore = "a minute and a half a break; `make test-all` runs it"]
fn each_break_alone_fails_what_it_says() {
    for id in model_down().breaks.into_keys() {
        fails_exactly_its_own(&[id]);
    }
}
