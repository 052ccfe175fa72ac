//! Incidents as the report shows them, on replays written by hand.

use std::path::Path;

use super::super::{Report, html, markdown};
use super::*;
use crate::check::tests::faultless;
use crate::history::{Change, Played as Head, Rhythm, RuleRef};

const ID: &str = "error-burst";

fn head() -> Line {
    Line::Replay(Head {
        format: 1,
        seed: "a".to_owned(),
        day: "2026-03-04".to_owned(),
        rules: 1,
        series_recorded: 1,
        series_played: 1,
        healthy_seconds: 60.0,
        rhythm: Rhythm { low: 0.3, peak_hour: 14.0 },
    })
}

fn trace(id: &str) -> Line {
    Line::Trace(TraceLine { trace: id.to_owned(), onset: "2026-03-04T15:44:09Z".to_owned(), from_s: -1_800.0, end_s: 1_200.0, to_s: 6_600.0 })
}

fn rule(name: &str) -> RuleRef {
    RuleRef { file: "a.yml".to_owned(), group: "g".to_owned(), name: name.to_owned(), index: 0 }
}

fn labels(name: &str) -> BTreeMap<String, String> {
    [("alertname".to_owned(), name.to_owned())].into()
}

/// An alert that fires from one second to another.
fn alert(name: &str, twin: bool, spans: &[(f64, f64)]) -> Line {
    let change = |at_s: f64, state: &str| Change { at_s, state: state.to_owned() };
    let changes: Vec<Change> = spans.iter().flat_map(|(from, to)| [change(*from, "firing"), change(*to, "inactive")]).collect();
    Line::Alert(AlertLine { trace: ID.to_owned(), twin, rule: rule(name), labels: labels(name), changes_total: changes.len(), changes })
}

fn message(at_s: f64, urgency: &str, status: &str, name: &str) -> Line {
    Line::Notification(Notification {
        trace: ID.to_owned(),
        twin: false,
        at_s,
        receiver: urgency.to_owned(),
        integration: "webhook".to_owned(),
        urgency: urgency.to_owned(),
        status: status.to_owned(),
        group_labels: BTreeMap::new(),
        alerts: vec![NotifiedAlert { labels: labels(name), status: status.to_owned() }],
    })
}

/// The report of an exam whose burst of errors was replayed with these lines.
fn report(lines: impl IntoIterator<Item = Line>) -> Report {
    let mut history = faultless();
    history.replay = Some([head(), trace(ID)].into_iter().chain(lines).collect());
    Report::new(&history).expect("the rules are right")
}

fn burst(report: &Report) -> &Episode {
    let incidents = &report.replayed.as_ref().expect("the exam has a replay").incidents;
    incidents.iter().find(|one| one.id == ID).expect("it is an incident")
}

fn scene(report: &Report) -> &Scene {
    burst(report).scene.as_ref().expect("it was replayed")
}

/// What the page shows of the incident.
fn picture(report: &Report) -> String {
    let page = html::render(report).expect("it renders");
    let from = page.find("<h3>15 % of requests fail").expect("it is shown");
    page[from..].split("</section>").next().expect("there is a first part").replace("&#x2f;", "/")
}

/// The incident's row of the summary.
fn row(report: &Report) -> String {
    markdown::render(report).lines().find(|line| line.starts_with("| 15 % of requests fail")).expect("it has a row").to_owned()
}

#[test]
fn who_was_told_first_is_shown_in_every_format() {
    let report = report([
        alert("Burn", false, &[(346.0, 2_926.0)]),
        message(376.0, "page", "firing", "Burn"),
        message(3_076.0, "page", "resolved", "Burn"),
        message(400.0, "ticket", "firing", "Burn"),
    ]);
    assert_eq!(row(&report), r"| 15 % of requests fail | \`/page\` within 10 min | 7 min, at \`/page\` | Burn |");
    assert_eq!(burst(&report).told.len(), 2, "to each");
    let picture = picture(&report);
    for shown in ["/page is due by 10 min", "the fault: 20 min", ">7 min</text>", "/page after 52 min: Burn over", "<desc id=\"error-burst-words\">"]
    {
        assert!(picture.contains(shown), "{shown} is missing in\n{picture}");
    }
}

#[test]
fn what_fires_anyway_is_pale_and_says_why() {
    let report = report([
        alert("Always", false, &[(-1_800.0, 6_600.0)]),
        alert("Always", true, &[(-1_800.0, 6_600.0)]),
        message(30.0, "page", "firing", "Always"),
        alert("Unrouted", false, &[(60.0, 900.0)]),
        alert("Watchdog", false, &[(-1_800.0, 6_600.0)]),
        alert("Watchdog", true, &[(-1_800.0, 6_600.0)]),
        message(90.0, "heartbeat", "firing", "Watchdog"),
    ]);
    let shown: Vec<(&str, Standing)> = scene(&report).alerts.iter().map(|one| (one.name.as_str(), one.standing)).collect();
    assert_eq!(shown, [("Unrouted", Standing::Untold), ("Always", Standing::Without)], "and not what only beats");
    assert!(scene(&report).lanes[0].messages.iter().all(|one| !one.counts));
    assert_eq!(row(&report), r"| 15 % of requests fail | \`/page\` within 10 min | nobody |  |");
    let picture = picture(&report);
    assert!(picture.contains("fires without it, too") && picture.contains("no message of its own") && picture.contains("mark pale"), "{picture}");
}

#[test]
fn an_incident_without_a_trace_or_a_replay_has_no_picture() {
    let mut history = faultless();
    let is_told = |history: &History| {
        let report = Report::new(history).expect("the rules are right");
        assert_eq!(burst(&report).scene, None);
        assert!(!picture(&report).contains("<svg") && row(&report).contains("not replayed"));
    };
    history.replay = Some(vec![head()]);
    is_told(&history);
    history.replay = None;
    is_told(&history);
    history.replay = Some(vec![trace(ID), Line::Ended(crate::history::Ended { message: "it took too long".to_owned() })]);
    is_told(&history);
}

#[test]
fn an_exam_without_a_replay_has_no_incidents() {
    let mut report = report([]);
    report.replayed = None;
    assert!(!html::render(&report).expect("it renders").contains("Incidents, replayed"));
    assert!(!markdown::render(&report).contains("Incidents, replayed"));
}

#[test]
fn a_thousand_messages_are_a_few_marks_and_a_number() {
    let storm: Vec<(f64, f64)> = (0..500).map(|index| (f64::from(index) * 2.0, f64::from(index) * 2.0 + 1.0)).collect();
    let noise = (0..1_000).map(|index| message(f64::from(index), "page", "firing", "Noise"));
    let report =
        report(noise.chain([alert("Noise", false, &[(-5.0, 6_600.0)]), alert("Storm", false, &storm), message(1_100.0, "page", "firing", "Storm")]));
    let (scene, picture) = (scene(&report), picture(&report));
    assert_eq!((scene.lanes[0].total, scene.lanes[0].messages.len()), (1_001, MESSAGES));
    assert!(scene.lanes[0].messages.iter().any(|one| one.counts), "what tells of the incident is shown before anything else");
    assert!(scene.alerts.iter().all(|one| one.spans.len() <= SPANS));
    assert!(picture.contains(" more</text>") && picture.len() < 20_000, "{} bytes", picture.len());
}

#[test]
fn names_of_alerts_are_texts_and_bounded() {
    let hostile = [
        "</svg><script>alert(1)</script>",
        "\u{1b}[2J\u{0}\r\n| **x**",
        "\u{202e}exe.png\u{200f}\u{61c}",
        "\" onload=\"alert(1)",
        &"A".repeat(10_000),
    ];
    let names: Vec<String> = hostile.map(str::to_owned).into_iter().chain((0..40).map(|index| format!("Extra{index}"))).collect();
    let report = report(names.iter().flat_map(|name| [alert(name, false, &[(10.0, 900.0)]), message(60.0, "page", "firing", name)]));
    assert_eq!((scene(&report).alerts.len(), scene(&report).alerts_total), (ALERTS, names.len()));
    let json = serde_json::to_string(&report.replayed).expect("it is data");
    let (page, summary) = (html::render(&report).expect("it renders"), markdown::render(&report));
    for text in [&json, &page, &summary] {
        assert!(!text.contains(['\u{1b}', '\u{0}', '\u{202e}', '\u{200f}', '\u{61c}']), "control codes");
        assert!(!text.contains(&"A".repeat(super::super::LIMIT + 1)), "an endless name");
    }
    assert!(!page.contains("<script") && !page.contains("\" onload") && !summary.contains("<script"));
    assert_eq!(page.matches("<svg").count(), page.matches("</svg>").count());
    assert_eq!(summary.lines().filter(|line| line.starts_with("| 15 % of requests fail")).count(), 1);
}

#[test]
fn a_deadline_of_minutes_is_readable_in_an_incident_of_a_day() {
    let mut history = faultless();
    let Line::Trace(line) = trace("total-outage") else { unreachable!() };
    history.replay = Some(vec![head(), Line::Trace(TraceLine { end_s: 86_400.0, to_s: 90_000.0, ..line })]);
    let page = html::render(&Report::new(&history).expect("the rules are right")).expect("it renders");
    assert!(page.contains("the fault: 24 h, goes on") && page.contains(">10 min</text>"), "the axis ends after an hour");
}

#[test]
fn evidence_of_the_replay_names_its_lines_and_no_moment_of_the_exam() {
    let mut report = report([]);
    let exhibit = |events: Vec<u64>, replay: Vec<u64>| crate::check::Exhibit { events, replay, from: 0.0, to: 0.0, excerpt: "it fires".to_owned() };
    report.checks[0].evidence = vec![exhibit(vec![], vec![7]), exhibit(vec![], vec![7, 9]), exhibit(vec![3], vec![7])];
    let page = html::render(&report).expect("it renders");
    for shown in [
        ">line 7 of <code>replay.jsonl</code>: it fires",
        ">lines 7, 9 of <code>",
        ">event 3, at 0.0 s; line 7 of <code>replay.jsonl</code>: it fires",
    ] {
        assert!(page.contains(shown), "{shown}");
    }
}

#[test]
fn the_same_history_gives_the_same_bytes() {
    let written = || {
        let names = ["B", "A", "C"];
        let report = report(names.iter().flat_map(|name| [alert(name, false, &[(10.0, 900.0)]), message(60.0, "ticket", "firing", name)]));
        let folder = tempfile::tempdir().expect("a folder");
        report.write(folder.path()).expect("it is written");
        let read = |file: &str| std::fs::read(Path::new(folder.path()).join(file)).expect("it is there");
        ["report.json", "summary.md", "report.html"].map(read)
    };
    assert_eq!(written(), written());
}

#[test]
fn stretches_that_meet_are_one_and_the_nearest_join_when_there_are_many() {
    assert_eq!(merged(vec![(5.0, 9.0), (0.0, 3.0), (2.0, 4.0)]), [(0.0, 4.0), (5.0, 9.0)]);
    let many: Vec<(f64, f64)> = (0..100).map(|index| (f64::from(index * index), f64::from(index * index) + 0.5)).collect();
    let kept = merged(many);
    assert_eq!((kept.len(), kept[0].0, kept[SPANS - 1]), (SPANS, 0.0, (9_801.0, 9_801.5)));
}
