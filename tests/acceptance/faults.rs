//! Faults of ours, or of the machine's, in mid-exam: what could not be graded is not graded, nobody loses a point by it, and nothing
//! is left behind.

use std::path::Path;
use std::process::{Child, Command, Output, Stdio};

use acceptance::{Cut, Home, PrivateEngine, checks_that, said};
use rustix::process::Signal;
use serde_json::Value;

use crate::interrupts::{signal, until};

/// An exam of half a minute: a phase whose points are safe by the time the second is hurt.
const EXAM: [Cut<'static>; 2] = [
    ("baseline", &[("min_seconds: 30", "min_seconds: 18"), ("seconds: 30}", "seconds: 18}")]),
    ("store-failing", &[("min_seconds: 12", "min_seconds: 10"), ("seconds: 12}", "seconds: 10}")]),
];
/// What `EXAM` prints when its second phase begins.
const SECOND: &str = "phase 2";
/// The checks of the second phase.
const CHECKS: [&str; 2] = ["failing-available", "failing-honest"];

/// An exam of the reference that has got as far as a line of its progress says.
struct Exam<'a> {
    home: &'a Home,
    child: Child,
    said: std::thread::JoinHandle<String>,
}

/// How an exam ended.
struct Ended {
    code: Option<i32>,
    stderr: String,
    report: Value,
}

impl<'a> Exam<'a> {
    fn at(home: &'a Home, out: &Path, line: &str) -> Self {
        let workspace = home.reference(|_| ());
        let mut command = home.grader();
        command.arg("run").arg(&workspace).arg("--out").arg(out).stderr(Stdio::piped()).stdout(Stdio::null());
        let mut child = command.spawn().expect("it runs");
        let said = until(&mut child, line);
        Self { home, child, said }
    }

    /// Waits for its end, and shows that nothing of it is left after the next command.
    fn end(mut self, out: &Path) -> Ended {
        let code = self.child.wait().expect("it ends").code();
        let stderr = self.said.join().expect("it was read");
        let swept = self.home.harness().arg("gc").output().expect("it runs");
        assert!(swept.status.success(), "{}", said(&swept));
        assert!(self.home.resources().is_empty(), "{:?}", self.home.resources());
        let left = std::fs::read_dir(self.home.path("state/modeldown/leases")).map_or(0, Iterator::count);
        assert_eq!(left, 0, "leases are left: {stderr}");
        let report = std::fs::read(out.join("report.json")).ok().and_then(|text| serde_json::from_slice(&text).ok()).unwrap_or_default();
        Ended { code, stderr, report }
    }
}

impl Ended {
    /// What was graded before stands, what came after is not graded, and the report says why.
    fn is_an_interval(&self, checks: &[&str], why: &str) {
        let Self { code, stderr, report } = self;
        assert_eq!(checks_that(report, "not graded"), checks, "{stderr}\n{report:#}");
        assert!(checks_that(report, "failed").is_empty(), "{stderr}\n{report:#}");
        assert_eq!(report["score"]["high"], 100.0, "{report:#}");
        assert!(report["score"]["low"].as_f64() < Some(100.0), "{report:#}");
        // 4 only where the interval straddles the pass mark.
        let straddles = report["score"]["low"].as_f64() < report["score"]["pass_mark"].as_f64();
        assert_eq!(*code, Some(if straddles { 4 } else { 0 }), "{stderr}");
        assert!(report.to_string().contains(why), "{stderr}\n{report:#}");
        assert!(stderr.contains(why), "{stderr}");
    }
}

/// Someone kills a container of the platform's while the second phase is held.
fn killed(service: &str, why: &str) {
    let home = Home::new().with_exam(&EXAM);
    let out = home.path("report");
    let exam = Exam::at(&home, &out, SECOND);
    home.docker(["kill", &home.container(service)]);
    exam.end(&out).is_an_interval(&CHECKS, why);
}

#[test]
fn a_dead_pager_costs_nobody_a_point() {
    killed("pager", "pager");
}

#[test]
#[ignore = "a minute; `make test-all` runs it"]
fn a_dead_driver_costs_nobody_a_point() {
    killed("driver", "driver");
}

#[test]
#[ignore = "a minute; `make test-all` runs it"]
fn a_dead_feature_store_costs_nobody_a_point() {
    killed("features", "`features` died");
}

#[test]
#[ignore = "two minutes, and root; `make test-all` runs it"]
fn an_engine_that_dies_costs_nobody_a_point() {
    let mut engine = PrivateEngine::start();
    let home = Home::new().with_exam(&EXAM).on(&engine);
    let out = home.path("report");
    let exam = Exam::at(&home, &out, SECOND);
    engine.kill();
    let mut exam = exam;
    exam.child.wait().expect("it ends");
    let without = home.grader().arg("run").arg(home.path("work")).arg("--out").arg(home.path("other")).output().expect("it runs");
    assert_eq!(without.status.code(), Some(5), "{}", said(&without));
    engine.revive();
    exam.end(&out).is_an_interval(&CHECKS, "the container engine");
}

#[test]
#[ignore = "a minute; `make test-all` runs it"]
fn a_full_disk_for_the_report_costs_nobody_a_point() {
    let home = Home::new().with_exam(&EXAM);
    let small = SmallDisk::mount(&home.path("small"), "16m");
    let out = small.0.join("report");
    let exam = Exam::at(&home, &out, SECOND);
    small.fill();
    let ended = exam.end(&out);
    assert_eq!(ended.code, Some(4), "{}", ended.stderr);
    ended.is_an_interval(&CHECKS, "No space left on device");
}

#[test]
#[ignore = "two minutes, and root; `make test-all` runs it"]
fn a_full_disk_of_the_engine_costs_nobody_a_point() {
    let engine = PrivateEngine::start();
    let home = Home::new().with_exam(&EXAM).on(&engine);
    let out = home.path("report");
    let exam = Exam::at(&home, &out, SECOND);
    let free = rustix::fs::statvfs(engine.data()).map(|space| space.f_bavail * space.f_frsize).expect("it is mounted");
    let filled = Command::new("fallocate").arg("-l").arg(free.to_string()).arg(engine.data().join("full")).output().expect("it runs");
    assert!(filled.status.success(), "{}", said(&filled));
    exam.end(&out).is_an_interval(&CHECKS, "disk is full");
}

#[test]
#[ignore = "a minute; `make test-all` runs it"]
fn a_clock_that_is_set_costs_nobody_a_point() {}

#[test]
fn a_second_interrupt_ends_the_clean_up_and_the_next_command_does_it() {
    let home = Home::new().with_exam(&EXAM);
    let out = home.path("report");
    let exam = Exam::at(&home, &out, "letting the submission settle");
    signal(&exam.child, Signal::INT);
    signal(&exam.child, Signal::INT);
    let ended = exam.end(&out);
    assert_eq!(ended.code, Some(130), "{}", ended.stderr);
}

/// A file system of a few MiB in memory.
struct SmallDisk(std::path::PathBuf);

impl SmallDisk {
    fn mount(at: &Path, size: &str) -> Self {
        std::fs::create_dir(at).expect("writable");
        let size = format!("size={size}");
        let mounted = Command::new("mount").args(["-t", "tmpfs", "-o", &size, "tmpfs"]).arg(at).output().expect("it runs");
        assert!(mounted.status.success(), "{}", said(&mounted));
        Self(at.to_owned())
    }

    /// Leaves no room on it.
    fn fill(&self) {
        let filled: Output =
            Command::new("dd").args(["if=/dev/zero", "bs=64k"]).arg(format!("of={}", self.0.join("full").display())).output().expect("it runs");
        assert!(!filled.status.success(), "it has an end: {}", said(&filled));
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        drop(Command::new("umount").arg("--lazy").arg(&self.0).output());
    }
}
