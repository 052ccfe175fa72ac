//! What monitoring is worth in production time. One recorded history is replayed with other rules, routes and dashboards: with every break
//! of monitoring; with what a good candidate could have written as well (`tests/alternatives`); with what must earn nothing (`tests/cheats`).
//!
//! Alternatives and cheats are a folder each, with the files that differ from the reference's. Its `case.yaml` says what it is (`title`), which checks of
//! the replay fail (`fails`) and which are met in part (`partly`): exactly these. `edits` are those of a break, `without` are files that go.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use acceptance::{Home, model_down, repository, said};
use grader::exam::monitoring;
use harness::compose::vet;
use harness::document::Document;
use harness::exercise::{Edit, Exercise, Files, Key, Variant, render_workspace};
use serde_json::Value;

/// What `make test` looks at: a break, an alternative and a cheat.
const SAMPLE: [&str; 3] = ["drift-against-itself", "simple-thresholds", "value-in-a-label"];
/// Where a history stands that is replayed instead of an exam's; what the reference's own exam recorded.
const HISTORY: &str = "MODELDOWN_HISTORY";
/// What may stand in a `case.yaml`.
const KEYS: [&str; 5] = ["title", "fails", "partly", "edits", "without"];
/// The folders of the reference that a replay reads.
const MONITORING: [&str; 3] = ["prometheus/", "alertmanager/", "grafana/"];

/// Other monitoring, and what the replay's checks make of it.
struct Case {
    name: String,
    files: Files,
    fails: BTreeSet<String>,
    /// Nothing for a break: it says what fails.
    partly: Option<BTreeSet<String>>,
}

/// The three samples, on the history of an exam that was held anyway.
pub(crate) fn samples(home: &Home, history: &Path) {
    let exercise = model_down();
    let all = cases(&exercise);
    for name in SAMPLE {
        is_judged_as_it_says(home, &exercise, history, all.iter().find(|case| case.name == name).expect("there is one"));
    }
    is_always_the_same(home, history, 2);
}

#[test]
#[ignore = "half a minute a case; `make test-all` runs it"]
fn all_are_judged_as_they_say() {
    let (home, history) = recorded();
    let exercise = model_down();
    for case in cases(&exercise) {
        is_judged_as_it_says(&home, &exercise, &history, &case);
    }
}

#[test]
#[ignore = "half an hour; `make test-all` runs it"]
fn fifty_replays_are_the_same_bytes() {
    let (home, history) = recorded();
    is_always_the_same(&home, &history, 50);
}

/// What scrapes something else needs an exam of its own: a probe, drift as a gauge of the model servers' and discovery by name, all at once;
/// and metrics that are one thing to Prometheus and another to whoever else asks, and are forged on the way.
#[test]
#[ignore = "six minutes each; `make test-all` runs it"]
fn what_is_scraped_otherwise_is_judged_as_it_says() {
    let exercise = model_down();
    let reference = render_workspace(&exercise, &Variant::reference(), &Key::public()).expect("it renders");
    for (folder, is_as_good) in [("alternatives/probed-and-discovered", true), ("cheats/two-faces", false)] {
        let case = read(&repository().join("tests").join(folder), &reference);
        let home = Home::new();
        let workspace = home.reference(|files| files.clone_from(&case.files));
        let graded = home.grader().arg("run").arg(&workspace).args(["--json", "--out"]).arg(home.path("report")).output().expect("it runs");
        let report: Value = serde_json::from_slice(&graded.stdout).unwrap_or_else(|_| panic!("{}", said(&graded)));
        agrees(&report, &case);
        let open: Vec<&Value> = report["checks"].as_array().expect("a list").iter().filter(|check| check["word"] != "passed").collect();
        assert!(!is_as_good || open.is_empty(), "{open:#?}");
    }
}

/// The history of an exam of the reference.
fn recorded() -> (Home, PathBuf) {
    let home = Home::new();
    if let Some(history) = std::env::var_os(HISTORY) {
        return (home, history.into());
    }
    let workspace = home.reference(|_| ());
    let out = home.path("report");
    let graded = home.grader().arg("run").arg(&workspace).arg("--out").arg(&out).output().expect("it runs");
    assert_eq!(graded.status.code(), Some(0), "{}", said(&graded));
    (home, out.join("history"))
}

/// Every break of monitoring, alternative and cheat.
fn cases(exercise: &Exercise) -> Vec<Case> {
    let reference = render_workspace(exercise, &Variant::reference(), &Key::public()).expect("it renders");
    let is_seen = |files: &Files| {
        let differs = |path: &&String| files.get(*path) != reference.get(*path) && !path.starts_with(".modeldown/");
        let is_monitoring = |path: &String| MONITORING.iter().any(|folder| path.starts_with(folder));
        // Whoever scrapes something else needs a recording of it.
        files.keys().filter(differs).all(is_monitoring) && scrapes(files) == scrapes(&reference)
    };
    let mut cases: Vec<Case> = exercise
        .breaks
        .values()
        .map(|one| {
            let variant = Variant::named(exercise, std::slice::from_ref(&one.id)).expect("it is known");
            let files = render_workspace(exercise, &variant, &Key::public()).expect("it renders");
            Case { name: one.id.clone(), files, fails: one.fails.clone(), partly: None }
        })
        .filter(|case| is_seen(&case.files))
        .collect();
    for folder in ["alternatives", "cheats"] {
        let mut folders: Vec<PathBuf> =
            std::fs::read_dir(repository().join("tests").join(folder)).expect("readable").flatten().map(|entry| entry.path()).collect();
        folders.sort();
        cases.extend(folders.iter().map(|folder| read(folder, &reference)).filter(|case| is_seen(&case.files)));
    }
    cases
}

/// What a submission scrapes.
fn scrapes(files: &Files) -> Value {
    let text = std::str::from_utf8(&files["prometheus/prometheus.yml"]).expect("it is text");
    Document::parse("prometheus.yml", text).expect("it is YAML").root.get("scrape_configs").map_or(Value::Null, harness::document::Node::value)
}

/// A folder of `tests/alternatives` or `tests/cheats`.
fn read(folder: &Path, reference: &Files) -> Case {
    let name = folder.file_name().expect("it has one").to_string_lossy().into_owned();
    let text = std::fs::read_to_string(folder.join("case.yaml")).expect("every case has one");
    let case = Document::parse(&name, &text).expect("it is YAML").root.value();
    let unknown: Vec<&String> = case.as_object().expect("it is a mapping").keys().filter(|key| !KEYS.contains(&key.as_str())).collect();
    assert!(unknown.is_empty() && case["title"].is_string(), "{name}: {unknown:?}");
    let words = |key: &str| -> Vec<String> { serde_json::from_value(case.get(key).cloned().unwrap_or(Value::Array(Vec::new()))).expect("a list") };
    let edits: Vec<Edit> = serde_json::from_value(case.get("edits").cloned().unwrap_or(Value::Array(Vec::new()))).expect("edits");
    let mut files = reference.clone();
    overlay(folder, "", &mut files);
    for path in words("without") {
        assert!(files.remove(&path).is_some(), "{name}: {path}");
    }
    for edit in edits {
        let content = files.get_mut(&edit.file).unwrap_or_else(|| panic!("{name}: {}", edit.file));
        let text = String::from_utf8_lossy(content);
        assert_eq!(text.matches(&edit.find).count(), 1, "{name}: {}", edit.find);
        *content = text.replace(&edit.find, &edit.replace).into_bytes();
    }
    Case { name, files, fails: words("fails").into_iter().collect(), partly: Some(words("partly").into_iter().collect()) }
}

fn overlay(folder: &Path, below: &str, files: &mut Files) {
    for entry in std::fs::read_dir(folder).expect("readable").flatten() {
        let path = format!("{below}{}", entry.file_name().to_string_lossy());
        if entry.path().is_dir() {
            overlay(&entry.path(), &format!("{path}/"), files);
        } else if path != "case.yaml" {
            files.insert(path, std::fs::read(entry.path()).expect("readable"));
        }
    }
}

/// A copy of a history.
fn copied(home: &Home, history: &Path, name: &str) -> PathBuf {
    let copy = home.path(name);
    std::fs::create_dir(&copy).expect("writable");
    for entry in std::fs::read_dir(history).expect("readable").flatten() {
        std::fs::copy(entry.path(), copy.join(entry.file_name())).expect("writable");
    }
    copy
}

fn is_judged_as_it_says(home: &Home, exercise: &Exercise, history: &Path, case: &Case) {
    let copy = copied(home, history, &case.name);
    let vetted = vet(&case.files, &exercise.manifest).expect("it keeps the rules");
    let other = serde_json::to_vec(&monitoring(&case.files, &vetted, exercise)).expect("it is JSON");
    std::fs::write(copy.join("monitoring.json"), other).expect("writable");
    let replayed = home.grader().arg("replay").arg(&copy).arg("--json").output().expect("it runs");
    let report: Value = serde_json::from_slice(&replayed.stdout).unwrap_or_else(|_| panic!("{}: {}", case.name, said(&replayed)));
    agrees(&report, case);
    std::fs::remove_dir_all(copy).expect("it is ours");
}

/// Whether the checks of the replay fail that a case names, and no others.
fn agrees(report: &Value, case: &Case) {
    let checks: Vec<&Value> = report["checks"].as_array().expect("a list").iter().filter(|check| is_replayed(check)).collect();
    let id = |check: &Value| check["id"].as_str().expect("it has one").to_owned();
    let that = |word: &str| checks.iter().filter(|check| check["word"] == word).copied().collect::<Vec<&Value>>();
    // What fails because of something that fails needs no mention.
    let failed: BTreeSet<String> =
        that("failed").into_iter().filter(|check| check["caused_by"].is_null() || case.fails.contains(&id(check))).map(id).collect();
    let named: BTreeSet<String> = case.fails.iter().filter(|fails| checks.iter().any(|check| id(check) == **fails)).cloned().collect();
    let all: BTreeSet<String> = that("failed").into_iter().map(id).collect();
    assert_eq!((&failed, named.difference(&all).next()), (&named, None), "{}: {:#?}", case.name, that("failed"));
    let partly: BTreeSet<String> = that("partly").into_iter().map(id).collect();
    assert!(case.partly.as_ref().is_none_or(|wanted| *wanted == partly), "{}: {:#?}", case.name, that("partly"));
    assert!(that("not graded").is_empty(), "{}: {:#?}", case.name, that("not graded"));
}

/// Whether a check judges the replay: `A1` to `A13`, and how dashboards move.
fn is_replayed(check: &Value) -> bool {
    let requirement = check["requirement"].as_str().unwrap_or_default();
    requirement.starts_with('A') || requirement == "M8"
}

/// Replays a history again and again.
fn is_always_the_same(home: &Home, history: &Path, times: usize) {
    let of = |folder: &Path| std::fs::read(folder.join("replay.jsonl.zst")).expect("there is one");
    let first = of(history);
    let copy = copied(home, history, "again-and-again");
    for time in 1..=times {
        std::fs::remove_file(copy.join("replay.jsonl.zst")).expect("there is one");
        let replayed = home.grader().arg("replay").arg(&copy).output().expect("it runs");
        assert!(matches!(replayed.status.code(), Some(0 | 1)), "{}", said(&replayed));
        assert!(of(&copy) == first, "replay {time} differs from the first");
    }
}
