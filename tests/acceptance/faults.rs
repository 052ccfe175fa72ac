//! Faults of ours, or of the machine's, in mid-exam: what could not be graded is not graded, nobody loses a point by it, and nothing
//! is left behind.

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};
use std::thread::JoinHandle;

use acceptance::{Cut, Home, PrivateEngine, checks_that, said};
use grader::history::{History, What};
use rustix::process::Signal;
use serde_json::Value;

use crate::interrupts::{signal, until};

/// An exam of half a minute: a phase whose points are safe by the time the second is hurt.
const EXAM: [Cut<'static>; 2] = [("baseline", Some(18)), ("store-failing", Some(10))];
/// What `EXAM` prints when its second phase begins.
const SECOND: &str = "phase 2";
/// The checks of the second phase.
const CHECKS: [&str; 2] = ["failing-available", "failing-honest"];

/// An exam of the reference that has got as far as a line of its progress says.
struct Exam<'a> {
    home: &'a Home,
    child: Child,
    said: Option<JoinHandle<String>>,
}

impl Drop for Exam<'_> {
    /// A test that fails leaves no exam behind.
    fn drop(&mut self) {
        drop(self.child.kill().and_then(|()| self.child.wait()));
    }
}

/// How an exam ended.
struct Ended {
    code: Option<i32>,
    stderr: String,
    report: Value,
}

impl<'a> Exam<'a> {
    fn at(home: &'a Home, out: &Path, line: &str) -> Self {
        Self::with(home, out, line, |_| ())
    }

    fn with(home: &'a Home, out: &Path, line: &str, edit: impl FnOnce(&mut Command)) -> Self {
        let workspace = home.reference(|_| ());
        let mut command = home.grader();
        command.arg("run").arg(&workspace).arg("--out").arg(out).stderr(Stdio::piped()).stdout(Stdio::null());
        edit(&mut command);
        let mut child = command.spawn().expect("it runs");
        let said = Some(until(&mut child, line));
        Self { home, child, said }
    }

    /// Waits for its end, and shows that nothing of it is left after the next command.
    fn end(mut self, out: &Path) -> Ended {
        let code = self.child.wait().expect("it ends").code();
        let stderr = self.said.take().and_then(|said| said.join().ok()).expect("it was read");
        let swept = self.home.harness().arg("gc").output().expect("it runs");
        assert!(swept.status.success(), "{}", said(&swept));
        self.home.is_clean();
        // One is kept of what the engine does not let go of.
        let left = std::fs::read_dir(self.home.path("state/modeldown/leases")).map_or(0, Iterator::count);
        assert!(left == 0 || said(&swept).contains("starting the engine anew helps"), "leases are left: {stderr}");
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

/// An engine of its own, and a home that uses it, which goes first.
fn private() -> (PrivateEngine, Home) {
    let home = Home::new().with_exam(&EXAM);
    let engine = PrivateEngine::start();
    let home = home.on(&engine);
    (engine, home)
}

/// Someone kills a container of the platform's while the second phase is held.
fn killed(service: &str, why: &str) {
    let home = Home::new().with_exam(&EXAM);
    let out = home.path("report");
    let exam = Exam::at(&home, &out, SECOND);
    home.docker(["kill", &home.container(service)]);
    exam.end(&out).is_an_interval(&CHECKS, why);
}

/// So early that nobody can say on which side of the pass mark it would have ended.
#[test]
fn without_its_pager_an_exam_is_not_graded() {
    let home = Home::new().with_exam(&EXAM);
    let out = home.path("report");
    let exam = Exam::at(&home, &out, "phase 1");
    home.docker(["kill", &home.container("pager")]);
    let ended = exam.end(&out);
    assert_eq!(ended.code, Some(4), "{}", ended.stderr);
    assert!(checks_that(&ended.report, "failed").is_empty() && checks_that(&ended.report, "passed").is_empty(), "{:#}", ended.report);
    assert!(ended.stderr.contains("pager"), "{}", ended.stderr);
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
    let (mut engine, home) = private();
    let out = home.path("report");
    let mut exam = Exam::at(&home, &out, SECOND);
    engine.kill();
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
    ended.is_an_interval(&CHECKS, "No space left on device");
}

#[test]
#[ignore = "two minutes, and root; `make test-all` runs it"]
fn a_full_disk_of_the_engine_costs_nobody_a_point() {
    let (engine, home) = private();
    let out = home.path("report");
    let exam = Exam::at(&home, &out, SECOND);
    let free = rustix::fs::statvfs(engine.data()).map(|space| space.f_bavail * space.f_frsize).expect("it is mounted") - (64 << 20);
    let filled = Command::new("fallocate").arg("-l").arg(free.to_string()).arg(engine.data().join("full")).output().expect("it runs");
    assert!(filled.status.success(), "{}", said(&filled));
    exam.end(&out).is_an_interval(&CHECKS, "disk is full");
}

/// The machine's own clock stays as it is: the grader is told another time. It notices, since the submission's Prometheus would.
#[test]
#[ignore = "a minute, and Debian's package faketime; `make test-all` runs it"]
fn a_clock_that_is_set_costs_nobody_a_point() {
    let home = Home::new().with_exam(&EXAM);
    let (out, clock) = (home.path("report"), home.path("clock"));
    std::fs::write(&clock, "+0").expect("writable");
    let libraries = std::fs::read_dir("/usr/lib").expect("readable").flatten().map(|entry| entry.path().join("faketime/libfaketimeMT.so.1"));
    let library = libraries.into_iter().find(|path| path.exists()).expect("`apt-get install faketime` comes first");
    let exam = Exam::with(&home, &out, SECOND, |command| {
        let settings = [("FAKETIME_NO_CACHE", "1"), ("FAKETIME_DONT_FAKE_MONOTONIC", "1"), ("FAKETIME_DONT_RESET", "1")];
        command.env("LD_PRELOAD", library).env("FAKETIME_TIMESTAMP_FILE", &clock).envs(settings);
    });
    std::fs::write(&clock, "+3600").expect("writable");
    exam.end(&out).is_an_interval(&CHECKS, "its clock was set forward by");
}

/// Busy loops on the machine, beside the containers and with the same rights, while the second phase is held.
#[test]
#[ignore = "a minute; `make test-all` runs it"]
fn a_starved_machine_costs_nobody_a_point() {
    let home = Home::new().with_exam(&EXAM);
    let out = home.path("report");
    let exam = Exam::at(&home, &out, SECOND);
    let cores = std::thread::available_parallelism().map_or(2, usize::from);
    let hogs: Vec<Child> =
        (0..cores * 16).map(|_| Command::new("timeout").args(["15", "sh", "-c", "while :; do :; done"]).spawn().expect("it runs")).collect();
    let ended = exam.end(&out);
    for mut hog in hogs {
        drop(hog.wait());
    }
    assert!(checks_that(&ended.report, "failed").is_empty(), "{}\n{:#}", ended.stderr, ended.report);
    // They did what they are for: others had the machine, which the history says.
    let history = History::read(&out.join("history")).expect("it is whole");
    let most = history.events.iter().filter_map(|event| if let What::Spent { others_ms, .. } = &event.what { Some(*others_ms) } else { None }).max();
    assert!(most.is_some_and(|most| most > 200), "{most:?} ms of others at most");
}

#[test]
fn a_second_interrupt_ends_the_clean_up_and_the_next_command_does_it() {
    let home = Home::new().with_exam(&EXAM);
    let out = home.path("report");
    let workspace = home.reference(|_| ());
    let mut command = home.grader();
    command.arg("run").arg(&workspace).arg("--out").arg(&out).stderr(Stdio::piped()).stdout(Stdio::null());
    let mut child = command.spawn().expect("it runs");
    let mut lines = BufReader::new(child.stderr.take().expect("piped")).lines().map(|line| line.expect("it is text"));
    for until in ["letting the submission settle", "cleaning up"] {
        assert!(lines.any(|line| line.contains(until)), "it never got to `{until}`");
        signal(&child, Signal::INT);
    }
    assert_eq!(child.wait().expect("it ends").code(), Some(130));
    assert!(!home.resources().is_empty(), "the first clean-up was not ended");
    let exam = Exam { home: &home, child, said: Some(std::thread::spawn(|| lines.collect())) };
    assert_eq!(exam.end(&out).code, Some(130));
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
