//! Checks on hand-written histories: a faultless exam, and what becomes of it when one thing is changed.

mod cluster;
mod played;
mod replay;

use std::collections::BTreeSet;
use std::ops::Range;
use std::path::Path;

use harness::exercise::{Diagnosed, Exercise, Wanted};

use super::*;
use crate::history::{Alert, AlertRule, BreakRecord, Event, FORMAT, Manifest, Panel, PhaseEnd, ReleaseCommand, RequestResult, Target, What};
use crate::report::Report;

const SECOND: u64 = 1_000_000_000;
/// Requests a second, as in the exam of the flagship.
const RATE: u64 = 50;
const ROWS: usize = 400;

/// The flagship.
pub(crate) fn model_down() -> Exercise {
    Exercise::load(&Path::new(env!("CARGO_MANIFEST_DIR")).join("../exercises/model-down")).expect("the exercise is right")
}

/// The rubric of the flagship.
pub(crate) fn model_down_rubric() -> Rubric {
    let exercise = model_down();
    let exam = Exam::parse("exam.yaml", &exercise.exam.text).expect("the exam is right");
    Rubric::parse("checks.yaml", &exercise.checks.text, &exam, &exercise.requirements).expect("the rubric is right")
}

/// What a version answers to a row.
fn score_of(version: u64, row: usize) -> f64 {
    share(row, ROWS) / 2.0 + share(usize::try_from(version).expect("it fits"), 100)
}

fn expected(version: u64) -> What {
    let scores = (0..ROWS).map(|row| score_of(version, row)).collect();
    What::Expected { version: version.to_string(), scores, degraded: vec![DEFAULTED; ROWS] }
}

/// What every version answers without the feature store.
const DEFAULTED: f64 = 0.9;

fn target(service: &str, up: bool) -> Target {
    Target {
        job: "model".to_owned(),
        instance: format!("{service}:8000"),
        scrape_url: format!("http://{service}:8000/metrics"),
        interval_ms: 5_000,
        health: if up { "up" } else { "down" }.to_owned(),
        last_error: String::new(),
    }
}

fn alert(name: &str) -> Alert {
    Alert { status: "firing".to_owned(), labels: [("alertname".to_owned(), name.to_owned())].into(), annotations: BTreeMap::new() }
}

fn surveyed() -> What {
    let rule = |name: &str, urgency: &str| AlertRule {
        name: name.to_owned(),
        urgency: urgency.to_owned(),
        runbook: "runbooks/a.md".to_owned(),
        runbook_found: true,
        error: String::new(),
    };
    let panel = |title: &str| Panel { file: "d.json".to_owned(), title: title.to_owned(), query: "up".to_owned(), series: 2, error: String::new() };
    What::Surveyed {
        alerts: vec![rule("A", "page"), rule("B", "ticket"), AlertRule { runbook_found: false, ..rule("C", "heartbeat") }],
        panels: ["a", "b", "c", "d", "e", "f", "g", "h", "i"].map(panel).into(),
        series: Some(2_000),
    }
}

fn swapped_features() -> BreakRecord {
    let title = "The server feeds the model two features in the wrong order".to_owned();
    BreakRecord { title, minutes: 25, fails: BTreeSet::from(["answers-correct".to_owned()]) }
}

/// What a submission says of the day before, all of it right.
fn diagnosed() -> [Diagnosed; 6] {
    let one_of =
        |known: &[&str], right: &str| Wanted::Word { known: known.iter().map(|word| (*word).to_owned()).collect(), right: [right.to_owned()].into() };
    let fact = |fact: &str, said: &str, wanted: Wanted| Diagnosed {
        fact: fact.to_owned(),
        asks: "How was it?".to_owned(),
        said: Some(said.to_owned()),
        complaint: String::new(),
        wanted,
    };
    [
        fact("version", "2", one_of(&["2", "3"], "2")),
        fact("first_bad_minute", "18:58", Wanted::Time { minute: 19 * 60, within_minutes: 3 }),
        fact("failed_requests", "1900", Wanted::Count { count: 2_000, within_share: 0.1 }),
        fact("status", "504", one_of(&["500", "503", "504"], "504")),
        fact("dependency", "none", one_of(&["features", "none"], "none")),
        fact("first_metric", "lookups_total", Wanted::Metric { known: ["lookups".to_owned()].into(), right: ["lookups".to_owned()].into() }),
    ]
}

/// The phases of the exam in a faultless history, with their ends in seconds; the first begins at 2.
const PHASES: [(&str, u64); 27] = [
    ("baseline", 42),
    ("kill", 72),
    ("crash", 88),
    ("pause", 99),
    ("outage", 111),
    ("store-slow", 123),
    ("store-failing", 135),
    ("store-stale", 147),
    ("store-well", 155),
    ("drift", 165),
    ("bystanders", 167),
    ("wiring", 179),
    ("wrong-version", 188),
    ("slow-version", 201),
    ("release-good", 207),
    ("release-slow", 213),
    ("release-damaged", 219),
    ("release-forged", 225),
    ("release-better", 231),
    ("release-inverted", 237),
    ("release-status", 241),
    ("release-unknown", 245),
    ("rollback", 251),
    ("rollback-again", 257),
    ("rollback-wounded", 267),
    ("restart", 295),
    ("survey", 297),
];

/// When a phase begins and ends, in seconds.
fn seconds(id: &str) -> Range<u64> {
    let index = PHASES.iter().position(|(phase, _)| *phase == id).expect("it is a phase");
    index.checked_sub(1).map_or(2, |before| PHASES[before].1)..PHASES[index].1
}

/// The commands of a faultless exam: the phase, what is run, its version, whether it succeeds, and the champion after it.
const COMMANDS: [(&str, ReleaseCommand, Option<u64>, bool, u64); 12] = [
    ("release-good", ReleaseCommand::Deploy, Some(4), true, 4),
    ("release-slow", ReleaseCommand::Deploy, Some(5), false, 4),
    ("release-damaged", ReleaseCommand::Deploy, Some(6), false, 4),
    ("release-forged", ReleaseCommand::Deploy, Some(7), false, 4),
    ("release-better", ReleaseCommand::Deploy, Some(8), true, 8),
    ("release-inverted", ReleaseCommand::Deploy, Some(9), false, 8),
    ("release-status", ReleaseCommand::Status, None, true, 8),
    ("release-unknown", ReleaseCommand::Deploy, Some(49), false, 8),
    ("rollback", ReleaseCommand::Rollback, None, true, 4),
    ("rollback-again", ReleaseCommand::Rollback, None, true, 4),
    ("rollback-wounded", ReleaseCommand::Deploy, Some(11), true, 11),
    ("rollback-wounded", ReleaseCommand::Rollback, None, true, 4),
];

/// What commands print: what `status` has to, while version 8 is served and the alias was moved to 9.
const STATUS: &str = "{\"champion\": \"9\", \"serving\": [\"8\"]}\n";

/// When a command begins and ends, in nanoseconds: the second of its phase follows three seconds later.
fn command_ns(index: usize) -> Range<u64> {
    let (phase, ..) = COMMANDS[index];
    let second = index.checked_sub(1).is_some_and(|before| COMMANDS[before].0 == phase);
    let begins = (seconds(phase).start + if second { 4 } else { 1 }) * SECOND;
    begins..begins + SECOND
}

/// The version that answers at a moment of a faultless exam.
fn served_at(at_ns: u64) -> u64 {
    let mut done = (0..COMMANDS.len()).filter(|index| command_ns(*index).end <= at_ns);
    done.next_back().map_or(3, |index| COMMANDS[index].4)
}

/// What becomes of the commands, and of the alias before and after each.
fn commanded() -> Vec<(u64, What)> {
    let mut events = Vec::new();
    let mut add = |at_ns: u64, what: What| events.push((at_ns, what));
    for (index, (_, command, version, succeeds, champion)) in COMMANDS.into_iter().enumerate() {
        let Range { start, end } = command_ns(index);
        let alias = |version: u64| What::Alias { champion: Some(version.to_string()) };
        let is_moved = command == ReleaseCommand::Status;
        add(start, alias(if is_moved { 9 } else { served_at(start) }));
        let version = version.map(|version| version.to_string());
        let exit_code = Some(i64::from(!succeeds));
        add(end, What::Command { command, version, began_ns: start, exit_code, output: STATUS.to_owned() });
        add(end, alias(if is_moved { 9 } else { champion }));
        if is_moved {
            add(end + SECOND, alias(champion));
        }
    }
    events
}

/// The history of a faultless exam.
pub(crate) fn faultless() -> History {
    let exercise = model_down();
    let mut events = Vec::new();
    let mut add = |at_ns: u64, what: What| events.push(Event { at_ns, what });
    let deployed = |service: &str, role: &str| What::Deployed {
        service: service.to_owned(),
        role: Some(role.to_owned()),
        memory_mib: 192,
        addresses: vec![format!("10.0.0.{}", service.len())],
    };
    add(0, What::Champion { version: "3".to_owned() });
    add(0, What::Diagnosed { facts: diagnosed().into() });
    for version in [2, 3, 4, 8, 11] {
        add(0, expected(version));
    }
    add(SECOND, deployed("model-blue", "model"));
    add(SECOND, deployed("model-green", "model"));
    for (id, Range { start, end }) in PHASES.map(|(id, _)| (id, seconds(id))) {
        add(start * SECOND, What::PhaseEntered { phase: id.to_owned() });
        add(end * SECOND, What::PhaseLeft { phase: id.to_owned(), end: PhaseEnd::Completed });
    }
    for (at_ns, what) in commanded() {
        add(at_ns, what);
    }
    add(seconds("restart").start * SECOND, What::Alias { champion: Some("4".to_owned()) });
    add(seconds("restart").start * SECOND, What::Series { count: 2_000 });
    add(seconds("restart").start * SECOND + SECOND, What::Restarted);
    let killed_ns = 46 * SECOND;
    let begins = |phase: &str| seconds(phase).start * SECOND + SECOND / 100;
    for (phase, fault, at_ns) in [
        ("kill", "kill", killed_ns),
        ("crash", "crash", seconds("crash").start * SECOND + SECOND),
        ("pause", "pause", begins("pause")),
        ("drift", "drift", begins("drift")),
        ("store-slow", "slow", begins("store-slow")),
        ("store-failing", "failing", begins("store-failing")),
        ("store-stale", "stale", begins("store-stale")),
        ("outage", "kill", begins("outage")),
        ("wrong-version", "alias", begins("wrong-version")),
        ("slow-version", "alias", begins("slow-version")),
        ("release-status", "alias", begins("release-status")),
        ("rollback-wounded", "kill", begins("rollback-wounded")),
    ] {
        add(at_ns, What::FaultBegan { phase: phase.to_owned(), fault: fault.to_owned(), target: "model-blue".to_owned() });
    }
    add(seconds("survey").end * SECOND + SECOND, What::Recorded { series: 10, samples: 1_000, missing: None, began_unix_ms: 0 });
    let wiring = seconds("wiring").start * SECOND;
    add(seconds("survey").start * SECOND + SECOND, surveyed());
    for (receiver, name) in [("page", "A"), ("ticket", "B")] {
        add(wiring + SECOND, What::Rang { receiver: receiver.to_owned(), alertname: name.to_owned() });
        add(wiring + 10 * SECOND, What::Delivered { receiver: receiver.to_owned(), alerts: vec![alert(name)] });
    }
    for seq in 0..seconds("survey").end * RATE - 2 * RATE {
        let intended_ns = 2 * SECOND + seq * SECOND / RATE;
        let row = usize::try_from(seq).expect("it fits") % ROWS;
        let version = served_at(intended_ns);
        let without = (seconds("store-slow").start * SECOND..seconds("store-stale").end * SECOND).contains(&intended_ns);
        let score = if without { DEFAULTED } else { score_of(version, row) };
        let answered = RequestResult::Answered { status: 200, version: Some(version.to_string()), score: Some(score), degraded: Some(without) };
        let is_dead = seconds("outage").contains(&(intended_ns / SECOND));
        let result = if is_dead { RequestResult::Answered { status: 503, version: None, score: None, degraded: None } } else { answered };
        let done_ns = intended_ns + 3_000_000;
        add(done_ns, What::Request { seq, row, intended_ns, sent_ns: intended_ns + 10_000, done_ns, result });
    }
    for look in 0..(seconds("survey").end - 2) * 5 {
        let at_ns = 2 * SECOND + look * SECOND / 5;
        let watched = |name: &str, ok: bool| What::Watched { name: name.to_owned(), sent_ns: at_ns, done_ns: at_ns, ok, detail: String::new() };
        let is_down = (killed_ns..72 * SECOND).contains(&at_ns);
        add(at_ns, watched("canary", true));
        add(at_ns, watched("ready:model-blue", !is_down));
        add(at_ns, watched("ready:model-green", true));
        add(at_ns, What::Targets { targets: vec![target("model-blue", !is_down), target("model-green", true)] });
    }
    events.sort_by_key(|event| event.at_ns);
    let exam = Exam::parse("exam.yaml", &exercise.exam.text).expect("the exam is right");
    History {
        manifest: Manifest {
            format: FORMAT,
            exercise: exercise.manifest.id.clone(),
            title: exercise.manifest.title.clone(),
            exercise_digest: "0".repeat(64),
            seed: Some("acme".to_owned()),
            breaks: [("swapped-features".to_owned(), swapped_features())].into(),
            baseline: BTreeSet::from(["answers-correct".to_owned()]),
            exam_seed: "fixed".to_owned(),
            started: "2026-01-01T00:00:00Z".to_owned(),
            grader_version: "0.1.0".to_owned(),
            pass_mark: 70,
            public: false,
            phases: None,
        },
        events,
        exam: exercise.exam.text,
        checks: exercise.checks.text,
        requirements: exercise.requirements,
        truncated: false,
        monitoring: Some(replay::monitoring()),
        replay: Some(replay::faultless(&exam)),
    }
}

/// A faultless history with every event changed by a function; an event for which it says `false` is left out.
fn changed(change: impl FnMut(&mut Event) -> bool) -> History {
    let mut history = faultless();
    history.events.retain_mut(change);
    history
}

/// A faultless history with some requests, by their number in the stream, ending otherwise.
pub(crate) fn with_results(pick: impl Fn(u64) -> bool, result: &RequestResult) -> History {
    changed(|event| {
        if let What::Request { seq, result: was, .. } = &mut event.what
            && pick(*seq)
        {
            *was = result.clone();
        }
        true
    })
}

fn judge(history: &History) -> Result<BTreeMap<String, Judgement>, Problems> {
    let (exam, rubric) = rules(history)?;
    Ok(super::judge(history, &exam, &rubric))
}

fn verdicts(history: &History) -> BTreeMap<String, Verdict> {
    judge(history).expect("the rules are right").into_iter().map(|(id, judgement)| (id, judgement.verdict)).collect()
}

/// The checks that are not plainly passed.
fn unmet(history: &History) -> Vec<String> {
    verdicts(history).into_iter().filter(|(_, verdict)| !matches!(verdict, Verdict::Passed { .. })).map(|(id, _)| id).collect()
}

fn is_not_graded(history: &History, check: &str) -> bool {
    matches!(verdicts(history)[check], Verdict::NotGraded { .. })
}

#[test]
fn a_faultless_exam_passes_everything_with_room() {
    let judged = verdicts(&faultless());
    assert_eq!(judged.len(), model_down_rubric().checks.len());
    assert!(judged.values().all(|verdict| *verdict == Verdict::Passed { grey: false }), "{judged:?}");
}

#[test]
fn the_same_history_gives_the_same_bytes() {
    let text = |history: &History| serde_json::to_string(&Report::new(history).expect("the rules are right")).expect("it is text");
    assert_eq!(text(&faultless()), text(&faultless()));
}

#[test]
fn availability_counts_what_users_get() {
    let timed_out = |every: u64| with_results(move |seq| seq < 40 * RATE && seq % every == 0, &RequestResult::TimedOut);
    assert_eq!(unmet(&timed_out(150)), ["answers-available"]);
    assert_eq!(verdicts(&timed_out(400))["answers-available"], Verdict::Passed { grey: true });
    let refused = RequestResult::Answered { status: 503, version: None, score: None, degraded: None };
    let history = with_results(|seq| seq < 40 * RATE, &refused);
    let judged = judge(&history).expect("the rules are right");
    assert_eq!(judged["answers-available"].observed, "0 % of 2000 requests: 2000 answered with 503");
    assert_eq!(judged["answers-correct"].caused_by.as_deref(), Some("answers-available"));
    // Users were not served, so a page would not have been for nothing.
    assert_eq!(judged["no-false-page"].verdict, Verdict::Passed { grey: false });
}

#[test]
fn wrong_scores_and_missing_scores_are_wrong() {
    for (score, checks) in [(Some(0.123), &["answers-correct", "kill-correct"][..]), (None, &["answers-available", "answers-fast", "kill-survived"])]
    {
        let wrong = RequestResult::Answered { status: 200, version: Some("3".to_owned()), score, degraded: None };
        assert_eq!(unmet(&with_results(|seq| seq < 70 * RATE && seq % 10 == 7, &wrong)), checks, "{score:?}");
    }
}

#[test]
fn another_version_or_none_is_not_the_champion() {
    for version in [Some("2".to_owned()), None] {
        let other = with_results(
            |seq| seq % 100 == 7,
            &RequestResult::Answered { status: 200, version: version.clone(), score: Some(score_of(3, 7)), degraded: None },
        );
        assert!(unmet(&other).contains(&"champion-served".to_owned()), "{version:?}");
    }
}

/// A faultless history in which the answers of some seconds are changed.
fn with_answers(seconds: Range<u64>, change: impl Fn(&mut RequestResult, usize)) -> History {
    changed(|event| {
        if let What::Request { intended_ns, row, result, .. } = &mut event.what
            && (seconds.start * SECOND..seconds.end * SECOND).contains(intended_ns)
        {
            change(result, *row);
        }
        true
    })
}

/// A faultless history in which the command of a phase came to something else.
fn with_command(phase: &str, exit: Option<i64>, champion_after: u64) -> History {
    let index = COMMANDS.iter().rposition(|(of, ..)| *of == phase).expect("it has one");
    let end = command_ns(index).end;
    let mut history = changed(|event| {
        if event.at_ns == end {
            match &mut event.what {
                What::Command { exit_code, .. } => *exit_code = exit,
                What::Alias { champion } => *champion = Some(champion_after.to_string()),
                _ => {}
            }
        }
        true
    });
    // What is read before the next command is what was left after this one.
    if let Some(next) = history.events.iter_mut().find(|event| event.at_ns > end && matches!(event.what, What::Alias { .. })) {
        next.what = What::Alias { champion: Some(champion_after.to_string()) };
    }
    history
}

/// An answer in which nothing stands.
fn answered_otherwise(status: u16) -> RequestResult {
    RequestResult::Answered { status, version: None, score: None, degraded: None }
}

fn answer(version: u64, score: f64, degraded: bool) -> RequestResult {
    RequestResult::Answered { status: 200, version: Some(version.to_string()), score: Some(score), degraded: Some(degraded) }
}

#[test]
fn without_the_store_an_answer_is_whole_or_says_what_it_is() {
    let failing = || seconds("store-failing");
    let silent = with_answers(failing(), |result, _| *result = answer(3, DEFAULTED, false));
    assert_eq!(unmet(&silent), ["failing-honest"]);
    let made_up = with_answers(failing(), |result, _| *result = answer(3, 0.42, true));
    assert_eq!(unmet(&made_up), ["failing-honest"]);
    // A server that remembers what it knew a moment ago answers as well as ever.
    let whole = with_answers(failing(), |result, row| *result = answer(3, score_of(3, row), false));
    assert!(unmet(&whole).is_empty());
    let still_degraded = with_answers(seconds("store-well"), |result, _| *result = answer(3, DEFAULTED, true));
    assert_eq!(unmet(&still_degraded), ["store-recovered"]);
}

#[test]
fn a_release_is_exit_code_champion_and_answers() {
    assert_eq!(unmet(&with_command("release-better", Some(1), 8)), ["deploy-better", "rollback-done"]);
    assert_eq!(unmet(&with_command("release-unknown", Some(0), 8)), ["refuses-unknown"]);
    assert_eq!(unmet(&with_command("release-unknown", None, 8)), ["refuses-unknown"]);
    assert!(unmet(&with_command("release-inverted", Some(1), 9)).contains(&"refuses-wrong".to_owned()));
    assert!(unmet(&with_command("release-good", Some(0), 3)).contains(&"deploy-good".to_owned()));
    let leaked = with_answers(seconds("release-slow").start + 1..seconds("release-slow").start + 2, |result, _| *result = answer(5, 0.1, false));
    assert_eq!(unmet(&leaked), ["refuses-slow"]);
    let degraded = with_answers(seconds("release-slow"), |result, _| *result = answer(4, DEFAULTED, true));
    assert!(unmet(&degraded).is_empty());
    let silent = with_answers(seconds("release-slow"), |result, _| *result = answer(4, DEFAULTED, false));
    assert_eq!(unmet(&silent), ["refuses-slow"]);
    let forged =
        with_answers(seconds("release-good").start + 3..seconds("release-good").end, |result, row| *result = answer(4, score_of(3, row), false));
    assert_eq!(unmet(&forged), ["deploy-good"]);
    let late =
        with_answers(seconds("release-good").start + 3..seconds("release-good").end, |result, row| *result = answer(3, score_of(3, row), false));
    assert_eq!(unmet(&late), ["deploy-good"]);
}

#[test]
fn a_rollback_goes_where_the_last_deploy_came_from() {
    assert!(unmet(&with_command("rollback", Some(0), 8)).contains(&"rollback-done".to_owned()));
    assert!(unmet(&with_command("rollback-again", Some(0), 8)).contains(&"rollback-again".to_owned()));
    assert_eq!(unmet(&with_command("rollback-wounded", Some(1), 4)), ["rollback-wounded"]);
    // Without a deploy that succeeded there is nothing that a rollback could prove.
    let never = changed(|event| !matches!(&event.what, What::Command { command: ReleaseCommand::Deploy, .. }));
    let judged = judge(&never).expect("the rules are right");
    assert_eq!(judged["rollback-done"].caused_by.as_deref(), Some("deploy-good"));
}

#[test]
fn a_restart_must_bring_the_champion_back() {
    let restart = seconds("restart");
    let other = with_answers(restart.start + 1..restart.end, |result, row| *result = answer(3, score_of(3, row), false));
    assert_eq!(unmet(&other), ["restart-restored"]);
    let slow = with_answers(restart.start..restart.start + 12, |result, _| *result = RequestResult::TimedOut);
    assert!(unmet(&slow).is_empty());
    let too_slow = with_answers(restart.start..restart.start + 24, |result, _| *result = RequestResult::TimedOut);
    assert_eq!(unmet(&too_slow), ["restart-restored"]);
    // An answer without the feature store is one where it says so.
    let defaulted = |said: bool| with_answers(restart.start + 1..restart.end, |result, _| *result = answer(4, DEFAULTED, said));
    assert!(unmet(&defaulted(true)).is_empty());
    assert_eq!(unmet(&defaulted(false)), ["restart-restored"]);
}

#[test]
fn what_prometheus_and_dashboards_hold_is_counted() {
    fn survey(edit: impl Fn(&mut Vec<AlertRule>, &mut Vec<Panel>, &mut Option<u64>)) -> Vec<String> {
        unmet(&changed(|event| {
            if let What::Surveyed { alerts, panels, series } = &mut event.what {
                edit(alerts, panels, series);
            }
            true
        }))
    }
    assert_eq!(survey(|alerts, _, _| alerts.clear()), ["alerts-loaded"]);
    assert_eq!(survey(|alerts, _, _| alerts[0].runbook_found = false), ["alerts-loaded"]);
    assert_eq!(survey(|alerts, _, _| alerts[1].error = "no such metric".to_owned()), ["alerts-loaded"]);
    // One dead query is what a break leaves, and what a share would pay for.
    assert_eq!(survey(|_, panels, _| panels[2].series = 0), ["dashboard-alive"]);
    assert_eq!(survey(|_, panels, _| panels.truncate(8)), ["dashboard-alive"]);
    assert_eq!(survey(|_, _, series| *series = Some(60_000)), ["series-budget"]);
    assert_eq!(survey(|_, _, series| *series = None), ["series-budget"]);
    // A restart may empty Prometheus.
    let mut emptied = faultless();
    emptied.events.insert(0, Event { at_ns: 0, what: What::Series { count: 60_000 } });
    assert_eq!(unmet(&emptied), ["series-budget"]);
}

#[test]
fn slow_answers_fail_by_the_schedule_and_not_by_the_clock_of_the_server() {
    let slow = changed(|event| {
        if let What::Request { intended_ns, done_ns, seq, .. } = &mut event.what
            && seq.is_multiple_of(10)
        {
            *done_ns = *intended_ns + 400_000_000;
        }
        true
    });
    assert_eq!(unmet(&slow), ["answers-fast"]);
}

#[test]
fn what_passes_with_less_room_than_the_reference_is_grey() {
    let slower = changed(|event| {
        if let What::Request { intended_ns, done_ns, .. } = &mut event.what {
            *done_ns = *intended_ns + 100_000_000;
        }
        true
    });
    assert_eq!(verdicts(&slower)["answers-fast"], Verdict::Passed { grey: true });
    let kill = seconds("kill");
    let silent = with_answers(kill.start + 4..kill.start + 5, |result, _| *result = RequestResult::TimedOut);
    assert_eq!(verdicts(&silent)["kill-gap"], Verdict::Passed { grey: true });
}

#[test]
fn a_request_that_fails_at_once_is_not_a_quick_answer() {
    let refused = RequestResult::Refused { why: "connection refused".to_owned() };
    let unmet = unmet(&with_results(|seq| seq < 40 * RATE && seq % 10 == 0, &refused));
    assert_eq!(unmet, ["answers-available", "answers-fast"]);
}

#[test]
fn a_replica_that_is_not_ready_or_not_there_is_missed() {
    let unready = changed(|event| {
        if let What::Watched { name, ok, .. } = &mut event.what {
            *ok &= name != "ready:model-green";
        }
        true
    });
    assert_eq!(unmet(&unready), ["crash-recovered", "replicas-ready"]);
    let alone = changed(|event| !matches!(&event.what, What::Watched { name, .. } if name == "ready:model-green"));
    assert_eq!(unmet(&alone), ["crash-recovered", "replicas-ready"]);
}

#[test]
fn a_replica_that_crashed_must_be_back_in_time() {
    let crash = seconds("crash");
    let back_after = |seconds: u64| {
        changed(|event| {
            if let What::Watched { name, ok, .. } = &mut event.what {
                let is_down = (crash.start + 1..crash.start + 1 + seconds).contains(&(event.at_ns / SECOND));
                *ok &= !(name == "ready:model-blue" && is_down);
            }
            true
        })
    };
    assert!(unmet(&back_after(10)).is_empty());
    assert_eq!(unmet(&back_after(14)), ["crash-recovered"]);
    // The time begins with its own last death.
    let mut again = back_after(14);
    let phase = "crash".to_owned();
    let fault = What::FaultBegan { phase, fault: "crash".to_owned(), target: "model-blue".to_owned() };
    let at = again.events.iter().position(|event| event.at_ns >= (crash.start + 3) * SECOND).expect("there is one");
    again.events.insert(at, Event { at_ns: (crash.start + 3) * SECOND, what: fault });
    assert!(unmet(&again).is_empty());
    // One look may fail, however few there are.
    let missed = |looks: u64| {
        changed(|event| {
            if let What::Watched { name, ok, .. } = &mut event.what {
                *ok &= !(name == "ready:model-blue" && (crash.end * SECOND - looks * SECOND / 5..crash.end * SECOND).contains(&event.at_ns));
            }
            true
        })
    };
    assert!(unmet(&missed(1)).is_empty());
    assert_eq!(unmet(&missed(2)), ["crash-recovered"]);
    let nobody_crashed = changed(|event| !matches!(&event.what, What::FaultBegan { fault, .. } if fault == "crash"));
    assert_eq!(unmet(&nobody_crashed), ["crash-recovered"]);
}

#[test]
fn a_fault_that_could_not_be_made_proves_nothing() {
    for (fault, checks) in [
        ("pause", &["hang-correct", "hang-gap", "hang-survived"][..]),
        ("drift", &["drift-available", "drift-correct", "drift-noticed"]),
        ("slow", &["slow-available", "slow-fast", "slow-honest"]),
        ("alias", &["latency-paged", "status-told", "version-noticed"]),
    ] {
        let history = changed(|event| !matches!(&event.what, What::FaultBegan { fault: began, .. } if began == fault));
        assert_eq!(unmet(&history), checks, "{fault}");
    }
}

#[test]
fn what_refuses_everything_refuses_nothing() {
    let refusing = changed(|event| {
        if let What::Command { command: ReleaseCommand::Deploy, exit_code, .. } = &mut event.what {
            *exit_code = Some(1);
        }
        true
    });
    let unmet = unmet(&refusing);
    for check in ["refuses-wrong", "refuses-slow", "refuses-damaged", "refuses-forged", "refuses-unknown", "deploy-good"] {
        assert!(unmet.contains(&check.to_owned()), "{check} is not among {unmet:?}");
    }
    // So does what says yes to everything, and changes nothing.
    let idle = changed(|event| {
        match &mut event.what {
            What::Command { command: ReleaseCommand::Deploy, exit_code, .. } => *exit_code = Some(0),
            What::Alias { champion } => *champion = Some("3".to_owned()),
            What::Request { row, result, .. } => {
                let score = Some(score_of(3, *row));
                *result = RequestResult::Answered { status: 200, version: Some("3".to_owned()), score, degraded: Some(false) };
            }
            _ => {}
        }
        true
    });
    let judged = judge(&idle).expect("the rules are right");
    for check in ["refuses-wrong", "refuses-slow", "refuses-damaged", "refuses-forged", "refuses-unknown"] {
        let (verdict, observed) = (&judged[check].verdict, &judged[check].observed);
        assert!(*verdict == Verdict::Failed && observed.contains("does not tell versions apart"), "{check}: {observed}");
    }
    // What serves a version and forgets the alias tells versions apart all the same.
    let forgetful = changed(|event| {
        if let What::Alias { champion } = &mut event.what {
            *champion = Some("3".to_owned());
        }
        true
    });
    let judged = judge(&forgetful).expect("the rules are right");
    assert!(judged["deploy-good"].verdict == Verdict::Failed);
    for check in ["refuses-wrong", "refuses-slow", "refuses-damaged", "refuses-forged", "refuses-unknown"] {
        assert!(!judged[check].observed.contains("does not tell versions apart"), "{check}: {}", judged[check].observed);
    }
}

#[test]
fn what_is_explained_by_something_that_is_not_graded_is_not_graded_either() {
    let release = seconds("release-good").start * SECOND..seconds("release-good").end * SECOND;
    let unseen = |is_unseen: bool| {
        changed(|event| match &mut event.what {
            What::Request { intended_ns, seq, .. } => !(is_unseen && release.contains(intended_ns) && seq.is_multiple_of(2)),
            What::Command { command: ReleaseCommand::Rollback, exit_code, .. } => {
                *exit_code = Some(1);
                true
            }
            _ => true,
        })
    };
    assert_eq!(verdicts(&unseen(false))["rollback-done"], Verdict::Failed);
    let unseen = unseen(true);
    assert!(is_not_graded(&unseen, "deploy-good") && is_not_graded(&unseen, "rollback-done"));
    let observed = &judge(&unseen).expect("the rules are right")["rollback-done"].observed;
    assert!(observed.starts_with("`deploy-good`, which may explain it, is not graded; seen was: its exit code is 1"), "{observed}");
    // What is fine needs no explanation.
    assert!(matches!(verdicts(&unseen)["deploy-better"], Verdict::Passed { .. }));
}

#[test]
fn a_status_must_be_json_and_true() {
    let told = |said: &str| {
        changed(|event| {
            if let What::Command { command: ReleaseCommand::Status, output, .. } = &mut event.what {
                said.clone_into(output);
            }
            true
        })
    };
    assert!(unmet(&told(&format!("a warning\n{STATUS}"))).is_empty());
    assert!(unmet(&told("a warning\n{\n  \"champion\": \"9\",\n  \"serving\": [\"8\"]\n}\nanother")).is_empty());
    for wrong in [
        "champion: 9",
        "{'champion': '9', 'serving': ['8']}",
        r#"{"champion": "4", "serving": ["8"]}"#,
        r#"{"champion": "9", "serving": ["4"]}"#,
        // What asks the registry alone, or users alone, says.
        r#"{"champion": "9", "serving": ["9"]}"#,
        r#"{"champion": "8", "serving": ["8"]}"#,
        "[]",
        "",
    ] {
        assert_eq!(unmet(&told(wrong)), ["status-told"], "{wrong}");
    }
    assert_eq!(unmet(&with_command("release-status", Some(1), 8)), ["status-told"]);
}

#[test]
fn an_error_that_says_200_is_no_right_answer() {
    let made_up = with_answers(seconds("pause"), |result, row| *result = answer(3, if row % 2 == 0 { 0.02 } else { score_of(3, row) }, false));
    assert_eq!(unmet(&made_up), ["hang-correct"]);
    let sorry = with_answers(seconds("pause"), |result, _| *result = answered_otherwise(200));
    assert_eq!(unmet(&sorry), ["hang-correct", "hang-gap", "hang-survived"]);
    let refusing = |seconds: Range<u64>| {
        with_answers(seconds, |result, row| {
            if row % 2 == 0 {
                *result = answered_otherwise(400);
            }
        })
    };
    assert_eq!(unmet(&refusing(seconds("drift"))), ["drift-available"]);
    // A release that is refused costs users nothing, nor does one for which there is nothing to do.
    for (phase, check) in [("release-slow", "refuses-slow"), ("rollback-again", "rollback-again")] {
        let history = refusing(seconds(phase));
        assert_eq!(unmet(&history), [check]);
        assert!(judge(&history).expect("the rules are right")[check].observed.contains("requests were answered"), "{phase}");
    }
}

#[test]
fn where_every_replica_is_dead_nobody_answers() {
    let outage = seconds("outage");
    let answered = |from: u64| with_answers(outage.start + from..outage.end, |result, row| *result = answer(3, score_of(3, row), false));
    assert_eq!(unmet(&answered(0)), ["outage-silent"]);
    assert_eq!(unmet(&answered(8)), ["outage-silent"], "after a while");
    let in_hand = with_answers(outage.start..outage.start + 1, |result, row| *result = answer(3, score_of(3, row), false));
    assert!(unmet(&in_hand).is_empty());
}

#[test]
fn users_need_nothing_that_has_no_role() {
    let phase = seconds("bystanders");
    let hung = |is_answered: bool| {
        let mut history = with_answers(phase.clone(), |result, _| {
            if !is_answered {
                *result = RequestResult::TimedOut;
            }
        });
        let fault = What::FaultBegan { phase: "bystanders".to_owned(), fault: "pause".to_owned(), target: "hidden".to_owned() };
        let at = history.events.iter().position(|event| event.at_ns > phase.start * SECOND).expect("there is one");
        history.events.insert(at, Event { at_ns: phase.start * SECOND + 1, what: fault });
        history
    };
    assert!(unmet(&hung(true)).is_empty());
    assert_eq!(unmet(&hung(false)), ["bystanders-dispensable"]);
}

#[test]
fn a_prometheus_that_forgot_is_counted_by_what_was_recorded() {
    let many = |is_counted: bool| {
        changed(|event| {
            if let What::Recorded { series, .. } = &mut event.what {
                *series = if is_counted { 8_000 } else { 10 };
            }
            true
        })
    };
    assert_eq!(unmet(&many(true)), ["series-budget"]);
    let silent = changed(|event| !matches!(event.what, What::Series { .. }));
    assert_eq!(unmet(&silent), ["series-budget"]);
}

#[test]
fn a_silence_after_the_death_is_a_gap() {
    let silent = with_results(|seq| (44 * RATE..46 * RATE).contains(&seq), &RequestResult::TimedOut);
    assert_eq!(unmet(&silent), ["kill-gap", "kill-survived"]);
}

#[test]
fn a_target_that_is_down_absent_or_rarely_scraped_is_not_scraped() {
    let targets = |edit: &dyn Fn(&mut Vec<Target>)| {
        changed(|event| {
            if let What::Targets { targets } = &mut event.what {
                edit(targets);
            }
            true
        })
    };
    assert_eq!(unmet(&targets(&|targets| targets.truncate(1))), ["replicas-scraped"]);
    assert_eq!(unmet(&targets(&|targets| targets[1].health = "down".to_owned())), ["replicas-scraped"]);
    assert_eq!(unmet(&targets(&|targets| targets[1].interval_ms = 60_000)), ["replicas-scraped"]);
    for host in ["10.0.0.11", "10-0-0-11.model.shop.svc.cluster.local"] {
        let by_address = targets(&|targets| targets[1].scrape_url = format!("http://{host}:8000/metrics"));
        assert!(unmet(&by_address).is_empty(), "{host}");
    }
    assert_eq!(unmet(&targets(&Vec::clear)), ["kill-seen", "replicas-scraped"]);
    // One scrape that is missed shows until the next.
    let down_for = |seconds: u64| {
        changed(|event| {
            if let What::Targets { targets } = &mut event.what
                && (15 * SECOND..(15 + seconds) * SECOND).contains(&event.at_ns)
            {
                "down".clone_into(&mut targets[1].health);
            }
            true
        })
    };
    assert!(unmet(&down_for(4)).is_empty());
    assert_eq!(unmet(&down_for(12)), ["replicas-scraped"]);
}

#[test]
fn a_death_that_monitoring_does_not_notice_is_missed() {
    let blind = changed(|event| {
        if let What::Targets { targets } = &mut event.what {
            targets[0].health = "up".to_owned();
        }
        true
    });
    assert_eq!(unmet(&blind), ["kill-seen"]);
}

#[test]
fn an_alert_must_arrive_in_time_and_there_alone() {
    let lost = changed(|event| !matches!(&event.what, What::Delivered { receiver, .. } if receiver == "page"));
    assert_eq!(unmet(&lost), ["page-arrives"]);
    let mut astray = faultless();
    let at = astray.events.iter().position(|event| matches!(event.what, What::Delivered { .. })).expect("there is one");
    let copy = Event { at_ns: astray.events[at].at_ns, what: What::Delivered { receiver: "ticket".to_owned(), alerts: vec![alert("A")] } };
    astray.events.insert(at, copy);
    assert_eq!(verdicts(&astray)["page-arrives"], Verdict::Partial { share: 0.5 });
    assert_eq!(unmet(&astray), ["page-arrives"]);
}

#[test]
fn a_page_for_nothing_is_counted() {
    let mut history = faultless();
    let at = history.events.iter().position(|event| event.at_ns > 20 * SECOND).expect("there is one");
    for alerts in [vec![alert("Panic")], Vec::new()] {
        let page = What::Delivered { receiver: "page".to_owned(), alerts };
        history.events.insert(at, Event { at_ns: 20 * SECOND, what: page });
        assert_eq!(unmet(&history), ["no-false-page"]);
        history.events.remove(at);
    }
}

#[test]
fn limits_over_the_budget_are_counted() {
    let lavish = changed(|event| {
        if let What::Deployed { memory_mib, .. } = &mut event.what {
            *memory_mib = 500;
        }
        true
    });
    assert_eq!(unmet(&lavish), ["memory-budget"]);
}

#[test]
fn a_phase_that_could_not_be_held_fails_because_of_what_kept_it_from_it() {
    let mut history = changed(|event| {
        let unready = matches!(&event.what, What::Watched { name, .. } if name.starts_with("ready:"));
        !unready && !matches!(&event.what, What::PhaseEntered { phase } if phase == "kill")
    });
    for event in &mut history.events {
        if let What::PhaseLeft { phase, end } = &mut event.what
            && phase == "kill"
        {
            *end = PhaseEnd::Skipped { why: "no replica was ready".to_owned() };
        }
    }
    let judged = judge(&history).expect("the rules are right");
    for id in ["kill-survived", "kill-gap", "kill-correct", "kill-seen"] {
        assert_eq!((&judged[id].verdict, judged[id].caused_by.as_deref()), (&Verdict::Failed, Some("replicas-ready")), "{id}");
    }
}

#[test]
fn a_phase_that_a_fault_of_ours_kept_from_being_held_is_not_graded() {
    let skipped = || {
        changed(|event| {
            if let What::PhaseLeft { phase, end } = &mut event.what
                && phase == "kill"
            {
                *end = PhaseEnd::Skipped { why: "no replica was ready".to_owned() };
            }
            !matches!(&event.what, What::PhaseEntered { phase } if phase == "kill")
        })
    };
    assert_eq!(verdicts(&skipped())["kill-survived"], Verdict::Failed);
    // A machine that holds up the driver holds up the submission too.
    let mut starved = skipped();
    for event in &mut starved.events {
        if let What::Request { sent_ns, .. } = &mut event.what {
            *sent_ns += 30_000_000;
        }
    }
    assert!(is_not_graded(&starved, "kill-survived"));
    let mut broken = skipped();
    broken.events.insert(0, Event { at_ns: 0, what: What::DriverFault { message: "events were lost".to_owned() } });
    assert!(is_not_graded(&broken, "kill-survived"));
}

#[test]
fn what_fails_on_our_side_is_not_graded() {
    let late = changed(|event| {
        if let What::Request { sent_ns, seq, .. } = &mut event.what
            && seq.is_multiple_of(20)
        {
            *sent_ns += 30_000_000;
        }
        true
    });
    // Late requests fail nobody, and what was met in spite of them was met.
    let slow = |history: &History| {
        let mut history = history.clone();
        for event in &mut history.events {
            if let What::Request { done_ns, .. } = &mut event.what {
                *done_ns += 400_000_000;
            }
        }
        history
    };
    let passed = |history: &History, check: &str| verdicts(history)[check].shares().0 >= 1.0;
    assert!(passed(&late, "answers-fast") && is_not_graded(&slow(&late), "answers-fast"));
    // Errors that a crowded machine makes could be what an alert tells of.
    assert!(is_not_graded(&late, "burst-paged") && passed(&late, "quiet-day"));
    let spent_with = |history: &History, used_ms: u64, busy_ms: u64, others_ms: u64, stolen_ms: u64| {
        let mut history = history.clone();
        let at = history.events.iter().position(|event| event.at_ns > 10 * SECOND).expect("it is longer");
        let at_ns = history.events[at].at_ns;
        history
            .events
            .insert(at, Event { at_ns, what: What::Spent { used_ms, of_ms: 4_000, busy_ms, others_ms, most: Some("make".to_owned()), stolen_ms } });
        history
    };
    let spent = |history: &History, used_ms, busy_ms, others_ms| spent_with(history, used_ms, busy_ms, others_ms, 0);
    let with_use = |used_ms: u64| spent(&slow(&late), used_ms, 0, 0);
    // Users wait for a machine that others keep busy, though the driver may not; half a machine is enough for an exam.
    let crowded = spent(&faultless(), 1_000, 3_900, 1_000);
    assert!(unmet(&crowded).is_empty());
    let Verdict::NotGraded { control } = verdicts(&slow(&crowded))["answers-fast"].clone() else { panic!("it is graded") };
    assert_eq!(control, "the machine was busy 97.5 % of the time for seconds, with programs of others for 25 %, above all `make`");
    let fails = |used_ms, busy_ms, others_ms| verdicts(&spent(&slow(&faultless()), used_ms, busy_ms, others_ms))["answers-fast"] == Verdict::Failed;
    assert!(fails(2_900, 3_900, 380) && fails(1_000, 2_000, 1_000));
    let stolen = |stolen_ms| is_not_graded(&spent_with(&slow(&faultless()), 500, 1_000, 0, stolen_ms), "answers-fast");
    assert!((stolen(2_300), stolen(2_500)) == (false, true), "other machines on the same hardware");
    assert!(is_not_graded(&with_use(1_900), "answers-fast"));
    // Who takes the machine for itself is late by itself.
    assert!(!is_not_graded(&with_use(3_100), "answers-fast"));
    // What does not depend on when requests were sent is judged all the same.
    assert!(["champion-served", "memory-budget"].iter().all(|check| !is_not_graded(&late, check)));
    let hiccup = seconds("release-good").start * SECOND..seconds("release-good").start * SECOND + SECOND / 5;
    let once = changed(|event| {
        if let What::Request { intended_ns, sent_ns, .. } = &mut event.what
            && hiccup.contains(intended_ns)
        {
            *sent_ns += 30_000_000;
        }
        true
    });
    assert!(unmet(&once).is_empty(), "a hiccup of a fifth of a second");
    let unsent = changed(|event| !matches!(event.what, What::Request { seq, .. } if seq.is_multiple_of(20)));
    assert!(is_not_graded(&unsent, "answers-available"));
    let deaf = changed(|event| !matches!(&event.what, What::Watched { name, .. } if name == "canary"));
    assert!(is_not_graded(&deaf, "page-arrives"));
    let ill = changed(|event| {
        if let What::Watched { name, ok, .. } = &mut event.what {
            *ok &= name != "canary";
        }
        true
    });
    assert!(is_not_graded(&ill, "page-arrives"));
}

#[test]
fn what_was_recorded_before_a_fault_of_ours_is_graded() {
    let mut history = changed(|event| event.at_ns < 60 * SECOND);
    history.events.push(Event { at_ns: 60 * SECOND, what: What::GraderFault { message: "the engine went away".to_owned() } });
    let judged = verdicts(&history);
    assert_eq!(judged["answers-available"], Verdict::Passed { grey: false });
    for id in ["kill-survived", "page-arrives"] {
        assert!(is_not_graded(&history, id), "{id}");
    }
    let report = Report::new(&history).expect("the rules are right");
    // Guards that were not graded can still cost points, so the score is an interval; it stays above the pass mark here.
    assert!(report.score.low < report.score.high, "{:?}", report.score);
}

#[test]
fn a_dead_submission_fails_and_is_never_not_graded() {
    let dead = changed(|event| {
        match &mut event.what {
            What::Request { result, .. } => *result = RequestResult::Refused { why: "connection refused".to_owned() },
            What::Watched { name, ok, .. } => *ok = name == "canary",
            What::Targets { .. } | What::Delivered { .. } => return false,
            _ => {}
        }
        true
    });
    let judged = verdicts(&dead);
    assert!(judged.values().all(|verdict| !matches!(verdict, Verdict::NotGraded { .. })), "{judged:?}");
    assert!(Report::new(&dead).expect("the rules are right").score.high < 0.1);
}

#[test]
fn each_answer_about_the_day_before_counts_for_itself() {
    let with = |fact: &str, said: Option<&str>, complaint: &str| {
        changed(|event| {
            if let What::Diagnosed { facts } = &mut event.what {
                let one = facts.iter_mut().find(|one| one.fact == fact).expect("it is asked for");
                (one.said, one.complaint) = (said.map(str::to_owned), complaint.to_owned());
            }
            true
        })
    };
    assert_eq!(unmet(&with("failed_requests", Some("2201"), "")), ["told-failed"]);
    assert!(unmet(&with("failed_requests", Some("2,200"), "")).is_empty());
    let late = with("first_bad_minute", Some("19:04"), "");
    let judged = judge(&late).expect("the rules are right");
    assert_eq!(
        (unmet(&late), judged["told-begin"].observed.as_str()),
        (vec!["told-begin".to_owned()], "it says 19:04; right is 19:00, to within 3 min")
    );
    assert_eq!(judged["told-begin"].evidence[0].excerpt, "How was it? 19:04");
    for (said, complaint, observed) in [
        (Some("seven"), "", "it says seven, and a time is `HH:MM`, by the clock of UTC; right is 19:00, to within 3 min"),
        (None, "`first_bad_minute` is empty", "`first_bad_minute` is empty"),
    ] {
        let judged = judge(&with("first_bad_minute", said, complaint)).expect("the rules are right");
        assert_eq!((&judged["told-begin"].verdict, judged["told-begin"].observed.as_str()), (&Verdict::Failed, observed));
    }
    let mut public = late;
    public.manifest.public = true;
    assert_eq!(judge(&public).expect("the rules are right")["told-begin"].observed, "it says 19:04, and that is not what happened");
    // Whoever knows what happened knows it also where nothing of theirs runs.
    let mut history = faultless();
    history.events.retain(|event| !matches!(&event.what, What::PhaseEntered { phase } if phase == "baseline"));
    for event in &mut history.events {
        if let What::PhaseLeft { phase, end } = &mut event.what
            && phase == "baseline"
        {
            *end = PhaseEnd::Skipped { why: "nothing starts".to_owned() };
        }
    }
    let unmet = unmet(&history);
    assert!(unmet.contains(&"answers-available".to_owned()) && !unmet.iter().any(|id| id.starts_with("told-")), "{unmet:?}");
}

#[test]
fn a_rubric_that_contradicts_itself_names_every_place() {
    let exercise = model_down();
    let exam = Exam::parse("exam.yaml", &exercise.exam.text).expect("the exam is right");
    let text = exercise.checks.text.replacen("requirement: H1", "requirement: H9", 1).replacen("phase: kill", "phase: kil", 1);
    let text = text.replacen("needs: [answers-available]", "needs: [nothing]", 1);
    let said = Rubric::parse("checks.yaml", &text, &exam, &exercise.requirements).expect_err("it must be refused").to_string();
    for expected in ["the brief has no requirement `H9`", "the exam has no phase `kil`", "no check `nothing`", "checks.yaml:8:"] {
        assert!(said.contains(expected), "{expected} is missing in\n{said}");
    }
}

/// What `alerts-loaded` makes of a survey whose rules are changed: its verdict, and its words.
fn judged_alerts(edit: impl Fn(&mut Vec<AlertRule>)) -> (Verdict, String) {
    let history = changed(|event| {
        if let What::Surveyed { alerts, .. } = &mut event.what {
            // Three sound rules to page, one to ticket.
            let (page, ticket) = (alerts[0].clone(), alerts[1].clone());
            let page = |name: &str| AlertRule { name: name.to_owned(), ..page.clone() };
            *alerts = vec![page("A"), page("B"), page("C"), ticket];
            edit(alerts);
        }
        true
    });
    let judgement = judge(&history).expect("the rules are right").remove("alerts-loaded").expect("it is a check");
    (judgement.verdict, judgement.observed)
}

#[test]
fn alerting_rules_are_counted_while_every_urgency_has_a_sound_one() {
    let three_of_four = (Verdict::Partial { share: 0.75 }, "3 of 4 rules are sound: `B` names no runbook".to_owned());
    assert_eq!(judged_alerts(|rules| rules[1].runbook.clear()), three_of_four);
    assert_eq!(judged_alerts(|rules| rules[3].error = "no such metric".to_owned()).0, Verdict::Failed);
    assert_eq!(judged_alerts(|rules| rules.truncate(3)), (Verdict::Failed, "no rule with the urgency ticket is loaded and sound".to_owned()));
    assert_eq!(judged_alerts(Vec::clear).0, Verdict::Failed);
}

#[test]
fn a_refusal_that_reports_success_is_half_of_one() {
    assert_eq!(verdicts(&with_command("release-slow", Some(0), 4))["refuses-slow"], Verdict::Partial { share: 0.5 });
    // Neither a command that never ends nor a version that reached users is.
    assert_eq!(verdicts(&with_command("release-slow", None, 4))["refuses-slow"], Verdict::Failed);
    assert_eq!(verdicts(&with_command("release-slow", Some(0), 5))["refuses-slow"], Verdict::Failed);
    // A second rollback that fails is what a break leaves behind where the first one failed.
    assert_eq!(verdicts(&with_command("rollback-again", Some(1), 4))["rollback-again"], Verdict::Failed);
}

#[test]
fn every_judgement_says_where_it_looked_and_when_it_saw() {
    let judged = judge(&with_results(|seq| seq % 20 == 7, &RequestResult::TimedOut)).expect("the rules are right");
    for (id, judgement) in &judged {
        let window = judgement.window.as_ref().unwrap_or_else(|| panic!("{id} has no window"));
        let held = seconds(&window.phase);
        assert_eq!((window.from, window.to), (seconds_of(held.start), seconds_of(held.end)), "{id}");
        assert_eq!(PHASES[window.place - 1].0, window.phase, "{id}");
    }
    let late = &judged["kill-survived"].evidence[0];
    let window = judged["kill-survived"].window.as_ref().expect("it was held");
    assert!((window.from..window.to).contains(&late.from) && late.from <= late.to, "{late:?}");
}

fn seconds_of(whole: u64) -> f64 {
    super::seconds(whole * SECOND)
}
