//! Life at home: a candidate looks, checks, releases, stops, goes on, makes mistakes, and begins anew.

use std::path::Path;
use std::process::Output;

use acceptance::{Home, docker, said};
use serde_json::Value;

fn harness(home: &Home, arguments: &[&str], workspace: &Path) -> Output {
    home.harness().args(arguments).arg("--dir").arg(workspace).output().expect("it runs")
}

/// A command in the service that releases.
fn release(home: &Home, workspace: &Path, arguments: &[&str]) -> String {
    let status = home.status(workspace);
    let project = status["environments"][0]["lease"]["project"].as_str().expect("it has one").to_owned();
    let output = docker(["exec", &format!("{project}-release-1"), "release"].into_iter().chain(arguments.iter().copied()));
    String::from_utf8_lossy(&output.stdout).into_owned()
}

fn check(home: &Home, workspace: &Path) -> Output {
    home.grader().arg("check").arg(workspace).output().expect("it runs")
}

fn edit(workspace: &Path, file: &str, from: &str, to: &str) {
    let path = workspace.join(file);
    let text = std::fs::read_to_string(&path).expect("readable");
    assert!(text.contains(from), "{file}");
    std::fs::write(path, text.replacen(from, to, 1)).expect("writable");
}

#[test]
fn a_candidate_s_hour() {
    let home = Home::new();
    let workspace = home.path("work");
    let started = harness(&home, &["start", "model-down", "--reference"], &workspace);
    assert!(started.status.success() && said(&started).contains("Whom your alerts have reached: http://127.0.0.1:"), "{}", said(&started));
    assert!(workspace.join(".modeldown/schema/compose.json").is_file());

    let checked = check(&home, &workspace);
    assert_eq!(checked.status.code(), Some(0), "{}", said(&checked));
    assert!(said(&checked).contains("ok     H2") && !said(&checked).contains("Not answered"), "{}", said(&checked));

    work_survives_stop_and_start(&home, &workspace);
    mistakes_are_named(&home, &workspace);
    a_reset_keeps_a_copy(&home, &workspace);
    let stopped = harness(&home, &["stop", "--remove"], &workspace);
    assert!(stopped.status.success(), "{}", said(&stopped));
    home.is_clean();
}

fn work_survives_stop_and_start(home: &Home, workspace: &Path) {
    assert!(release(home, workspace, &["deploy", "2"]).contains("version 2 is the champion"));
    for arguments in [&["stop"][..], &["start", "model-down"]] {
        let done = harness(home, arguments, workspace);
        assert!(done.status.success(), "{}", said(&done));
    }
    let status: Value = serde_json::from_str(&release(home, workspace, &["status", "--json"])).expect("it is JSON");
    assert_eq!((&status["champion"], &status["serving"][0]), (&"2".into(), &"2".into()), "{status}");
    assert!(release(home, workspace, &["rollback"]).contains("version 3 is the champion again"));
}

/// What goes wrong in an hour of work is said with its place, and never ends in a hang.
fn mistakes_are_named(home: &Home, workspace: &Path) {
    let compose = std::fs::read_to_string(workspace.join("compose.yaml")).expect("readable");
    for (from, to, expected) in [
        ("  lb:\n", "  lb\n", "compose.yaml:"),
        ("    mem_limit: 64m\n", "   mem_limit: 64m\n", "compose.yaml:"),
        ("    image: modeldown/haproxy\n", "    image: modeldown/haproxy\n    ports: [\"8080:8080\"]\n", "unknown key `ports`"),
        ("build: ./model", "build: ./modle", "there is no file `modle/Dockerfile`"),
    ] {
        edit(workspace, "compose.yaml", from, to);
        for output in [harness(home, &["start", "model-down"], workspace), check(home, workspace)] {
            assert_eq!(output.status.code(), Some(3), "{}", said(&output));
            assert!(said(&output).contains(expected), "`{expected}` is missing in {}", said(&output));
        }
        std::fs::write(workspace.join("compose.yaml"), &compose).expect("writable");
    }

    edit(workspace, "release/Dockerfile", "COPY golden.csv", "COPY golden.tsv");
    let unbuilt = harness(home, &["start", "model-down"], workspace);
    assert!(!unbuilt.status.success() && said(&unbuilt).contains("golden.tsv"), "{}", said(&unbuilt));
    edit(workspace, "release/Dockerfile", "COPY golden.tsv", "COPY golden.csv");

    edit(workspace, "model/app.py", "NAME = \"fraud\"", "NAME = fraud");
    edit(workspace, "diagnosis.yaml", "status: \"503\"", "status: `bad`");
    let fallen = harness(home, &["start", "model-down"], workspace);
    assert!(fallen.status.success() && said(&fallen).contains("Not every service is well (`model-blue`"), "{}", said(&fallen));
    let checked = check(home, workspace);
    assert_eq!(checked.status.code(), Some(1), "{}", said(&checked));
    for expected in
        ["NO     H1", "asked for: At least 99.5 % of requests", "answered with 503", "NO     H5", "`status` is `bad`: one of 500, 503, 504"]
    {
        assert!(said(&checked).contains(expected), "`{expected}` is missing in {}", said(&checked));
    }
}

fn a_reset_keeps_a_copy(home: &Home, workspace: &Path) {
    let asked = harness(home, &["reset"], workspace);
    assert_eq!(asked.status.code(), Some(2), "{}", said(&asked));
    let reset = harness(home, &["reset", "--yes"], workspace);
    assert!(reset.status.success(), "{}", said(&reset));
    let text = |path: &Path| std::fs::read_to_string(path.join("model/app.py")).expect("readable");
    assert!(text(workspace).contains("NAME = \"fraud\"") && text(&home.path("work.before-reset-1")).contains("NAME = fraud"));
    let started = harness(home, &["start", "model-down"], workspace);
    assert!(started.status.success(), "{}", said(&started));
    let checked = check(home, workspace);
    assert_eq!(checked.status.code(), Some(0), "{}", said(&checked));
}
