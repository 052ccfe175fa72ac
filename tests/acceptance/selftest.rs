//! The exercise keeps what it says of its reference, breaks, alternatives and cheats: `grader selftest`, as its author runs it.

use std::path::{Path, PathBuf};
use std::process::Output;

use acceptance::{Home, said};
use serde_json::Value;

use crate::browser;

/// The group of breaks that `make test` examines in a whole exam. Not the first: it has the balancer's short time-out, with which users
/// feel whatever else the machine does.
const GROUP: &str = "group/02";
/// What it examines beside it, with a part of an exam.
const PARTS: [&str; 1] = ["cheat/alias-only"];
/// What it replays on the recording of an exam that was held anyway.
const REPLAYED: [&str; 3] = ["break/drift-against-itself", "alternative/simple-thresholds", "cheat/value-in-a-label"];

/// A selftest of some submissions.
fn selftest(home: &Home, exercise: &str, arguments: &[&str]) -> Output {
    home.grader().args(["selftest", exercise, "--json", "--ledger"]).arg(home.path("ledger")).args(arguments).output().expect("it runs")
}

/// What it said of each of the flagship's, in order; all of them agree.
fn agree(home: &Home, arguments: &[&str]) -> Vec<Value> {
    let output = selftest(home, "model-down", arguments);
    assert_eq!(output.status.code(), Some(0), "{}", said(&output));
    let told: Vec<Value> = String::from_utf8_lossy(&output.stdout).lines().map(|line| serde_json::from_str(line).expect("it is JSON")).collect();
    assert!(told.iter().all(|one| one["agrees"] == true), "{told:#?}");
    told
}

/// Samples of what is replayed, on the history of an exam that was held anyway.
pub(crate) fn samples(home: &Home, history: &Path) {
    let history = history.to_str().expect("it is UTF-8");
    let told = agree(home, &[&REPLAYED[..], &["--history", history]].concat());
    assert_eq!(told.len(), REPLAYED.len(), "{told:#?}");
    is_always_the_same(home, Path::new(history), 2);
}

#[test]
fn breaks_fail_what_they_say() {
    let home = Home::new();
    let told = agree(&home, &[GROUP]);
    home.is_clean();
    let report = PathBuf::from(told[0]["report"].as_str().expect("a path"));
    browser::shows(&home, &report, &["The fraud model is down", "Not passed", "What is open", "not repaired", "<svg", "grader judge history"]);
}

#[test]
fn a_part_of_an_exam_shows_what_it_says() {
    let home = Home::new();
    let told = agree(&home, &PARTS);
    assert!(told.iter().all(|one| one["level"] == "segment"), "{told:#?}");
}

/// The template, of which everything is proven in minutes: the reference, an untouched variant, breaks, alternatives and cheats.
#[test]
fn the_template_is_proven_and_nothing_is_recorded_twice() {
    let home = Home::new();
    let kinds = ["reference/*", "untouched/*", "break/*", "alternative/*", "cheat/*"];
    let page = home.path("validity.md");
    let options = ["--page", page.to_str().expect("it is UTF-8")];
    let first = selftest(&home, "warm-up", &[&kinds[..], &options].concat());
    assert_eq!(first.status.code(), Some(0), "{}", said(&first));
    home.is_clean();
    let again = selftest(&home, "warm-up", &kinds);
    assert_eq!(again.stdout, first.stdout, "{}", said(&again));
    let page = std::fs::read_to_string(page).expect("it was written");
    assert!(page.contains("| break | exactly the checks fail that it names | 2 | 2 | 0 |") && page.contains("| cheat/always-half |"), "{page}");
    // Whoever has the rows and no recordings holds nothing again.
    let rows = home.path("rows.jsonl");
    let options = ["--rows", rows.to_str().expect("it is UTF-8")];
    assert_eq!(selftest(&home, "warm-up", &[&kinds[..], &options].concat()).status.code(), Some(0));
    let elsewhere = home.path("elsewhere");
    let known = home.grader().args(["selftest", "warm-up", "--ledger"]).arg(&elsewhere).args(options).args(kinds).output().expect("it runs");
    assert_eq!(known.status.code(), Some(0), "{}", said(&known));
    let held = std::fs::read_dir(&elsewhere).expect("it locks one").flatten().any(|ledger| ledger.path().join("reference").exists());
    assert!(!held, "{}", said(&known));
    let listed = selftest(&home, "warm-up", &["--list"]);
    let listed: Value = serde_json::from_slice(&listed.stdout).expect("it is JSON");
    let recorded = |id: &str| listed["cells"].as_array().expect("a list").iter().find(|cell| cell["id"] == id).map(|cell| cell["recorded"].clone());
    assert_eq!((recorded("reference/01"), recorded("group/01")), (Some(true.into()), Some(false.into())), "{listed:#}");
}

#[test]
fn what_is_not_there_is_named() {
    let home = Home::new();
    let output = selftest(&home, "warm-up", &["break/nothing"]);
    assert_eq!(output.status.code(), Some(2), "{}", said(&output));
    assert!(said(&output).contains("no submission is called `break/nothing`; known: reference/*"), "{}", said(&output));
}

#[test]
fn shards_are_the_whole_and_nothing_twice() {
    let home = Home::new();
    let listed = |options: &[&str]| -> Vec<String> {
        let output = selftest(&home, "warm-up", &[&["--list"], options].concat());
        let list: Value = serde_json::from_slice(&output.stdout).unwrap_or_else(|_| panic!("{}", said(&output)));
        list["cells"].as_array().expect("a list").iter().map(|cell| cell["id"].as_str().expect("it has one").to_owned()).collect()
    };
    let mut parts: Vec<String> = ["1/3", "2/3", "3/3"].iter().flat_map(|shard| listed(&["--shard", shard])).collect();
    let mut whole = listed(&[]);
    assert!(listed(&["--shard", "2/3"]).len() > whole.len() / 4, "{parts:?}");
    parts.sort();
    whole.sort();
    assert_eq!(parts, whole);
    let wrong = selftest(&home, "warm-up", &["--shard", "4/3"]);
    assert!(wrong.status.code() == Some(2) && said(&wrong).contains("such as 2/3"), "{}", said(&wrong));
}

#[test]
#[ignore = "three hours; `make test-all` runs it"]
fn everything_agrees() {
    agree(&Home::new(), &[]);
}

#[test]
#[ignore = "a quarter of an hour; `make test-all` runs it"]
fn fifty_replays_are_the_same_bytes() {
    let home = Home::new();
    let told = agree(&home, &["reference/01"]);
    let report = PathBuf::from(told[0]["report"].as_str().expect("a path"));
    is_always_the_same(&home, &report.join("history"), 50);
}

/// Replays a history again and again.
fn is_always_the_same(home: &Home, history: &Path, times: usize) {
    let copy = home.path("again-and-again");
    std::fs::create_dir(&copy).expect("writable");
    for entry in std::fs::read_dir(history).expect("readable").flatten() {
        std::fs::copy(entry.path(), copy.join(entry.file_name())).expect("writable");
    }
    let of = |folder: &Path| std::fs::read(folder.join("replay.jsonl.zst")).expect("there is one");
    let first = of(history);
    for time in 1..=times {
        std::fs::remove_file(copy.join("replay.jsonl.zst")).expect("there is one");
        let replayed = home.grader().arg("replay").arg(&copy).output().expect("it runs");
        assert!(matches!(replayed.status.code(), Some(0 | 1)), "{}", said(&replayed));
        assert!(of(&copy) == first, "replay {time} differs from the first");
    }
}
