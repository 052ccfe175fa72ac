//! Reports as people and machines read them.

use harness::document;

use super::*;
use crate::check::Rubric;
use crate::check::tests::{faultless, with_results};
use crate::exam::Exam;
use crate::history::{RequestResult, What};

fn wrong_scores() -> Report {
    let wrong = RequestResult::Answered { status: 200, version: Some("3".to_owned()), score: Some(0.25), degraded: Some(false) };
    Report::new(&with_results(|seq| seq % 2 == 0, &wrong)).expect("the rules are right")
}

#[test]
fn the_summary_says_what_is_open() {
    insta::assert_snapshot!(markdown::render(&wrong_scores()));
}

#[test]
fn a_faultless_repair_is_100() {
    let report = Report::new(&faultless()).expect("the rules are right");
    assert_eq!((report.score_text().as_str(), report.outcome), ("100", Outcome::Passed));
}

#[test]
fn texts_of_a_submission_are_texts() {
    let hostile = "<script>alert(1)</script>\u{1b}[2J\u{202e}| **x** [y](http://z)";
    let result = RequestResult::Answered { status: 200, version: Some(hostile.to_owned()), score: None, degraded: None };
    let report = Report::new(&with_results(|seq| seq % 2 == 0, &result)).expect("the rules are right");
    let (page, summary, table) = (html::render(&report).expect("it renders"), markdown::render(&report), table(&report));
    assert!(page.contains("alert(1)") && !page.contains("<script"), "HTML");
    assert!(summary.contains("alert") && !summary.contains("<script") && !summary.contains("](http"), "Markdown");
    for text in [&page, &summary, &table] {
        assert!(!text.contains(['\u{1b}', '\u{202e}']), "control codes");
    }
}

#[test]
fn the_page_needs_nothing_from_elsewhere() {
    // What a picture's patterns are called by is the page's own.
    let page = html::render(&wrong_scores()).expect("it renders").replace("url(#", "");
    for outside in ["src=", "href=", "@import", "url("] {
        assert!(!page.contains(outside), "{outside}");
    }
}

#[test]
fn the_schemas_in_docs_are_those_of_the_types() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/schema");
    for (name, wanted) in [("report", document::schema::<Report>()), ("exam", document::schema::<Exam>()), ("checks", document::schema::<Rubric>())] {
        let path = folder.join(format!("{name}.json"));
        if std::env::var_os("MODELDOWN_WRITE_SCHEMAS").is_some() {
            std::fs::write(&path, &wanted).expect("writable");
        }
        assert!(std::fs::read_to_string(&path).unwrap_or_default() == wanted, "{name}: run `make schemas`");
    }
}

/// A history in which two phases were held in the order that the seed drew, and not in that of `exam.yaml`.
fn shuffled() -> History {
    let mut history = faultless();
    let swap = |phase: &mut String| match phase.as_str() {
        "release-good" => "release-slow".clone_into(phase),
        "release-slow" => "release-good".clone_into(phase),
        _ => {}
    };
    for event in &mut history.events {
        if let What::PhaseEntered { phase } | What::PhaseLeft { phase, .. } = &mut event.what {
            swap(phase);
        }
    }
    history
}

#[test]
fn phases_have_the_numbers_of_the_order_in_which_they_were_held() {
    let report = Report::new(&shuffled()).expect("the rules are right");
    let places: Vec<Option<usize>> = report.timeline.phases.iter().map(|phase| phase.place).collect();
    assert_eq!(places, (1..=places.len()).map(Some).collect::<Vec<_>>());
    let place = |id: &str| report.timeline.phases.iter().position(|phase| phase.id == id).expect("it is a phase") + 1;
    assert!(place("release-slow") < place("release-good"), "{:?}", report.timeline.phases);
    for check in &report.checks {
        let window = check.window.as_ref().expect("everything was held");
        assert_eq!(window.place, place(&window.phase), "{}", check.id);
    }
    let page = html::render(&report).expect("it renders");
    let of = |title: &str| page.find(&format!("<li>{title}")).unwrap_or_else(|| panic!("{title} is not listed"));
    assert!(of("A version that is slow is released") < of("A good version is released"));
    assert!(page.contains("version 3 (2 to 99 s), version 3 (111 to 203 s), version 4 (203 to") && page.contains("url(#v1)"), "the versions");
}

#[test]
fn a_check_shows_where_it_was_judged_and_when_its_evidence_was_seen() {
    let page = html::render(&wrong_scores()).expect("it renders");
    assert!(page.contains("phase 1, A quiet while with users, 2.0 s to 42.0 s of the exam"), "the window");
    assert!(page.contains("at 2.0 s: row 0: score 0.250000; the champion says"), "the evidence");
}

#[test]
fn a_report_says_where_a_candidate_could_have_looked_up_what_is_broken() {
    let mut history = faultless();
    let said =
        |history: &History| markdown::render(&Report::new(history).expect("the rules are right")).contains("> public exercise: a candidate could");
    assert!(!said(&history));
    history.manifest.public = true;
    assert!(said(&history));
}

#[test]
fn a_break_is_repaired_in_part_where_some_of_its_checks_pass() {
    let history = |fails: [&str; 2]| {
        let mut history = with_results(|seq| seq % 2 == 0, &RequestResult::TimedOut);
        history.manifest.breaks.values_mut().for_each(|one| one.fails = fails.map(str::to_owned).into());
        history.manifest.baseline = fails.map(str::to_owned).into();
        history
    };
    let state = |fails| Report::new(&history(fails)).expect("the rules are right").breaks[0].state;
    assert_eq!(state(["answers-available", "series-budget"]), BreakState::Partly);
    assert_eq!(state(["answers-available", "kill-survived"]), BreakState::Open);
    assert_eq!(state(["replicas-ready", "series-budget"]), BreakState::Repaired);
}
