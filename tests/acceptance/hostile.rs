//! Submissions that try to be ungradable are graded.

use acceptance::{Home, checks_that, model_down, said};
use harness::exercise::{Variant, render_workspace};
use serde_json::Value;

/// One service waits for another that never ends, one can never start, and Alertmanager has no configuration that it could read.
#[test]
#[ignore = "four minutes; `make test-all` runs it"]
fn what_cannot_start_fails_and_is_not_ungraded() {
    let home = Home::new();
    let mut files = render_workspace(&model_down(), &Variant::reference()).expect("it renders");
    let text = String::from_utf8(files["compose.yaml"].clone()).expect("it is text");
    let text = text.replacen("  lb:\n", "  lb:\n    depends_on: {model-blue: {condition: service_completed_successfully}}\n", 1);
    let ghost = "services:\n  ghost:\n    image: modeldown/python\n    user: nobody-here\n    command: [sleep, '9']\n    mem_limit: 32m\n";
    files.insert("compose.yaml".to_owned(), text.replacen("services:\n", ghost, 1).into_bytes());
    files.insert("alertmanager/alertmanager.yml".to_owned(), b"route: {receiver: nowhere}\n".to_vec());
    let workspace = home.path("work");
    harness::submission::write_files(&files.into(), &workspace).expect("writable");
    let graded = home.grader().arg("run").arg(&workspace).args(["--json", "--out"]).arg(home.path("report")).output().expect("it runs");
    let report: Value = serde_json::from_slice(&graded.stdout).unwrap_or_else(|_| panic!("{}", said(&graded)));
    assert!(checks_that(&report, "not graded").is_empty(), "{report:#}");
    assert_eq!(checks_that(&report, "failed"), ["page-arrives", "ticket-arrives"], "{report:#}");
    assert!(home.resources().is_empty(), "{:?}", home.resources());
}
