//! Repeats exams of the same submission and writes `docs/validity.md`: whether verdicts change, and how far the reference stays from
//! every threshold.
//!
//! ```text
//! validity [RUNS [JOBS]]     so many runs of each submission (20), so many side by side (1)
//! ```
//!
//! Histories are kept in `report/validity/`, by the digest of the exercise: a run that is there is not repeated, so that this can be
//! broken off and goes on where it was. All of them are judged anew each time.

#![allow(clippy::print_stderr, reason = "progress, for whoever waits")]

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Mutex;
use std::time::Instant;

use acceptance::{machine, model_down, repository, today};
use grader::check::Check;
use grader::exam::Exam;
use grader::history::History;
use grader::report::{CheckReport, Report};
use harness::exercise::{Exercise, Key, Seed, Variant, render_workspace};

/// The variant that is repeated beside the reference.
const SEED: &str = "acme-1";
/// How many times farther than the reference's worst a threshold should stand.
const MARGIN: f64 = 3.0;

/// What is examined again and again.
struct Submission {
    name: &'static str,
    variant: Variant,
}

/// A run that was held.
struct Run {
    report: Report,
    seconds: f64,
}

fn main() {
    let mut numbers = std::env::args().skip(1).map(|word| word.parse::<usize>().expect("usage: validity [RUNS [JOBS]]"));
    let (runs, jobs) = (numbers.next().unwrap_or(20), numbers.next().unwrap_or(1));
    let exercise = model_down();
    let exam = Exam::parse(&exercise.exam.name, &exercise.exam.text).expect("it is right");
    let ledger = repository().join("report/validity").join(&exercise.digest[..12]);
    let submissions = [
        Submission { name: "reference", variant: Variant::reference() },
        Submission {
            name: "untouched",
            variant: Variant::pick(&exercise, Seed::new(SEED).expect("it is a seed"), &Key::public()).expect("it picks"),
        },
    ];
    hold(&exercise, &ledger, &submissions, runs, jobs);
    let held: Vec<(&Submission, Vec<Run>)> = submissions.iter().map(|submission| (submission, read(&ledger, submission.name, runs))).collect();
    let mut page = format!("# Validity\n\nWritten by `make validity` on {}.\n{}\n", today(), machine());
    let _ = writeln!(page, "Exams were held {jobs} at a time. Exercise `{}`, digest `{}`.\n", exercise.manifest.id, &exercise.digest[..12]);
    verdicts(&mut page, &held);
    room(&mut page, &exercise, &held[0].1);
    times(&mut page, &exam, &held[0].1);
    std::fs::write(repository().join("docs/validity.md"), page).expect("writable");
}

/// Holds the exams that the ledger does not have yet, the submissions in turn.
fn hold(exercise: &Exercise, ledger: &Path, submissions: &[Submission], runs: usize, jobs: usize) {
    let wanted = (0..runs).flat_map(|run| submissions.iter().map(move |submission| (submission, run)));
    let missing: Vec<_> = wanted.filter(|(submission, run)| !entry(ledger, submission.name, *run).exists()).collect();
    let (left, of) = (Mutex::new(missing.into_iter()), runs * submissions.len());
    std::thread::scope(|scope| {
        for _ in 0..jobs {
            scope.spawn(|| {
                loop {
                    let next = left.lock().expect("nobody panics with it").next();
                    let Some((submission, run)) = next else { return };
                    eprintln!("{} {} of {of}", submission.name, run + 1);
                    examine(exercise, &submission.variant, &entry(ledger, submission.name, run));
                }
            });
        }
    });
}

fn entry(ledger: &Path, name: &str, run: usize) -> PathBuf {
    ledger.join(format!("{name}-{run:02}"))
}

/// One exam; its history takes its place in the ledger when it is whole.
fn examine(exercise: &Exercise, variant: &Variant, place: &Path) {
    let home = tempfile::tempdir().expect("room for temporary files");
    let (workspace, out) = (home.path().join("work"), home.path().join("report"));
    harness::submission::write_files(&render_workspace(exercise, variant, &Key::public()).expect("it renders").into(), &workspace).expect("writable");
    let program = std::env::current_exe().expect("it has a path").with_file_name("grader");
    let mut command = Command::new(program);
    command.env("XDG_STATE_HOME", home.path().join("state")).arg("--exercises").arg(repository().join("exercises"));
    let began = Instant::now();
    let graded = command.arg("run").arg(&workspace).arg("--out").arg(&out).stdout(Stdio::null()).output().expect("`cargo build` comes first");
    let seconds = began.elapsed().as_secs_f64();
    assert!(matches!(graded.status.code(), Some(0 | 1 | 4)), "{}", acceptance::said(&graded));
    std::fs::write(out.join("history/seconds"), seconds.to_string()).expect("writable");
    std::fs::create_dir_all(place.parent().expect("it has one")).expect("writable");
    // Another file system cannot take it by its name.
    let copied = Command::new("cp").arg("-r").arg(out.join("history")).arg(place).status().expect("it runs");
    assert!(copied.success());
}

fn read(ledger: &Path, name: &str, runs: usize) -> Vec<Run> {
    let read = |place: PathBuf| {
        let seconds = std::fs::read_to_string(place.join("seconds")).expect("readable").trim().parse().expect("a number");
        Run { report: Report::new(&History::read(&place).expect("it is whole")).expect("its rules are right"), seconds }
    };
    (0..runs).map(|run| read(entry(ledger, name, run))).collect()
}

/// Whether the same submission always gets the same verdicts.
fn verdicts(page: &mut String, held: &[(&Submission, Vec<Run>)]) {
    page.push_str(
        "## The same submission, the same verdicts\n\n| submission | runs | scores | verdicts that changed | not graded |\n|---|---|---|---|---|\n",
    );
    for (submission, runs) in held {
        let mut words: BTreeMap<&str, BTreeMap<&str, usize>> = BTreeMap::new();
        for check in runs.iter().flat_map(|run| &run.report.checks) {
            *words.entry(&check.id).or_default().entry(&check.word).or_default() += 1;
        }
        let said = |words: &BTreeMap<&str, usize>| words.iter().map(|(word, count)| format!("{count} {word}")).collect::<Vec<_>>().join(", ");
        let changed: Vec<String> =
            words.iter().filter(|(_, words)| words.len() > 1).map(|(check, words)| format!("`{check}` ({})", said(words))).collect();
        let not_graded: usize = words.values().filter_map(|words| words.get("not graded")).sum();
        let scores: BTreeSet<String> = runs.iter().map(|run| run.report.score_text()).collect();
        let name = match &submission.variant.seed {
            Some(seed) => format!("{}: seed `{seed}`, breaks {}", submission.name, submission.variant.breaks.join(", ")),
            None => format!("the {}", submission.name),
        };
        let scores = scores.into_iter().collect::<Vec<_>>().join(", ");
        let changed = if changed.is_empty() { "none".to_owned() } else { changed.join("; ") };
        let _ = writeln!(page, "| {name} | {} | {scores} | {changed} | {not_graded} |", runs.len());
    }
}

/// How far the reference's worst run stays from each threshold.
fn room(page: &mut String, exercise: &Exercise, runs: &[Run]) {
    let _ = write!(
        page,
        "\n## How far the reference stays from every threshold\n\nWorst of {} runs. Room: how many times worse it would have to be to fail; {MARGIN} is asked for. What misses it is marked.\n\n| | check | asked for | worst | room |\n|---|---|---|---|---|\n",
        runs.len()
    );
    let exam = Exam::parse(&exercise.exam.name, &exercise.exam.text).expect("it is right");
    let rubric = grader::check::Rubric::parse(&exercise.checks.name, &exercise.checks.text, &exam, &exercise.requirements).expect("it is right");
    for check in &rubric.checks {
        let _ = writeln!(page, "{}", margin(check, runs));
    }
}

fn margin(check: &Check, runs: &[Run]) -> String {
    let of = |run: &'_ Run| -> Option<CheckReport> { run.report.checks.iter().find(|one| one.id == check.id).cloned() };
    let judged: Vec<CheckReport> = runs.iter().filter_map(of).collect();
    let expected = judged.first().map(|one| one.expected.clone()).unwrap_or_default();
    let figures = judged.iter().filter_map(|one| one.figure.as_ref());
    let worst = figures.min_by(|one, other| one.room().total_cmp(&other.room()));
    let (seen, room) = match worst {
        None => ("not a matter of degree".to_owned(), String::new()),
        Some(figure) if figure.room().is_infinite() => (figure.to_string(), "without end".to_owned()),
        Some(figure) => {
            let mark = if figure.room() < MARGIN { " **less than asked for**" } else { "" };
            (figure.to_string(), format!("{:.1}{mark}", figure.room()))
        }
    };
    format!("| {} | {} | {expected} | {seen} | {room} |", check.requirement, check.title)
}

/// How long a grade and its phases take.
fn times(page: &mut String, exam: &Exam, runs: &[Run]) {
    let median = |mut values: Vec<f64>| {
        values.sort_by(f64::total_cmp);
        (values.get(values.len() / 2).copied().unwrap_or(f64::NAN), values.last().copied().unwrap_or(f64::NAN))
    };
    page.push_str("\n## How long it takes\n\nThe reference, in seconds.\n\n| phase | at least | median | longest |\n|---|---|---|---|\n");
    let minimum = exam.min().as_secs_f64();
    let (middle, longest) = median(runs.iter().map(|run| run.seconds).collect());
    let _ = writeln!(
        page,
        "| the whole grade | {minimum:.0} | {middle:.0} ({:.2} times) | {longest:.0} ({:.2} times) |",
        middle / minimum,
        longest / minimum
    );
    for phase in &exam.phases {
        let held = |run: &Run| -> Option<f64> {
            let span = run.report.timeline.phases.iter().find(|span| span.id == phase.id)?;
            Some(span.to? - span.from?)
        };
        let (middle, longest) = median(runs.iter().filter_map(held).collect());
        let _ = writeln!(page, "| {} | {} | {middle:.1} | {longest:.1} |", phase.title, phase.min().as_secs());
    }
}
