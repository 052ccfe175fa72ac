//! Reports as people and machines read them.

use harness::document;

use super::*;
use crate::check::Rubric;
use crate::check::tests::{faultless, with_results};
use crate::exam::Exam;
use crate::history::RequestResult;

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
    let page = html::render(&wrong_scores()).expect("it renders");
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
