//! Commands that are interrupted or killed leave nothing behind, and a candidate's environment alone.

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Stdio};
use std::thread::JoinHandle;

use acceptance::{Home, apply_reference, said};
use rustix::process::{Pid, Signal, kill_process};

/// A grading run that has got as far as a line of its progress says, and has nobody to tell more.
fn grading(home: &Home, workspace: &Path, out: &str, until: &str) -> Child {
    let mut command = home.grader();
    command.arg("run").arg(workspace).arg("--out").arg(home.path(out)).stderr(Stdio::piped()).stdout(Stdio::null());
    let mut child = command.spawn().expect("it runs");
    let mut lines = BufReader::new(child.stderr.take().expect("piped")).lines();
    let seen = lines.any(|line| line.expect("it is text").contains(until));
    assert!(seen, "it never got to `{until}`");
    // Nobody listens any more, as when a terminal is closed: it must clean up all the same.
    child
}

/// Waits for a line on a child's stderr; what it says in all comes when it has ended.
pub(crate) fn until(child: &mut Child, line: &str) -> JoinHandle<String> {
    let mut lines = BufReader::new(child.stderr.take().expect("piped")).lines().map(|line| line.expect("it is text"));
    let mut said = String::new();
    let seen = lines.by_ref().any(|one| {
        said.extend([one.as_str(), "\n"]);
        one.contains(line)
    });
    assert!(seen, "it never got to `{line}`: {said}");
    // Whatever it says later must not break its pipe.
    std::thread::spawn(move || said + &lines.map(|line| line + "\n").collect::<String>())
}

pub(crate) fn signal(child: &Child, signal: Signal) {
    let id = Pid::from_raw(i32::try_from(child.id()).expect("it fits")).expect("it is one");
    kill_process(id, signal).expect("it is ours");
}

#[test]
fn nothing_is_left_behind_and_what_lives_stays() {
    let home = Home::new();
    let workspace = home.path("work");
    let started = home.harness().args(["start", "model-down", "--reference", "--dir"]).arg(&workspace).output().expect("it runs");
    assert!(started.status.success(), "{}", said(&started));
    apply_reference(&workspace);
    let mut before = home.resources();
    before.sort();
    let now = |home: &Home| {
        let mut resources = home.resources();
        resources.sort();
        resources
    };

    for (round, (until, how, code)) in [
        ("starting the submission", Signal::INT, Some(130)),
        ("phase 1", Signal::INT, Some(130)),
        ("phase 1", Signal::TERM, Some(143)),
        ("building the submission", Signal::KILL, None),
        ("letting the submission settle", Signal::KILL, None),
    ]
    .into_iter()
    .enumerate()
    {
        let mut child = grading(&home, &workspace, &format!("out-{round}"), until);
        signal(&child, how);
        assert_eq!(child.wait().expect("it ends").code(), code, "{until}");
        if how == Signal::KILL {
            let swept = home.harness().arg("gc").output().expect("it runs");
            assert!(swept.status.success(), "{}", said(&swept));
        }
        assert_eq!(now(&home), before, "after {how:?} in `{until}`");
    }

    let leftover = std::fs::read_dir(home.path("state/modeldown/environments")).map_or(0, Iterator::count);
    assert_eq!(leftover, 0);
    let services = home.status(&workspace)["environments"][0]["services"].clone();
    let running = services.as_array().expect("a list").iter().filter(|service| service["state"] == "running").count();
    assert_eq!(running, 10, "{services:#}");
}
