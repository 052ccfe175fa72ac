//! A history is written, read back, and refused where it is not one.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use super::*;

fn manifest() -> Manifest {
    Manifest {
        format: FORMAT,
        exercise: "model-down".to_owned(),
        title: "t".to_owned(),
        exercise_digest: "d".to_owned(),
        seed: None,
        breaks: BTreeMap::new(),
        baseline: BTreeSet::new(),
        exam_seed: "s".to_owned(),
        started: "2030-01-01T00:00:00Z".to_owned(),
        grader_version: "0".to_owned(),
        pass_mark: 70,
    }
}

async fn write(folder: &Path) {
    let requirements = BTreeMap::new();
    let rules = Rules { exam: "e", checks: "c", requirements: &requirements };
    let (recorder, writing) = Recorder::begin(folder, &manifest(), &rules, || 9).expect("it is writable");
    for what in [
        What::PhaseEntered { phase: "baseline".to_owned() },
        What::Request { seq: 0, row: 3, intended_ns: 10, sent_ns: 11, done_ns: 12, result: RequestResult::TimedOut },
        What::PhaseLeft { phase: "baseline".to_owned(), end: PhaseEnd::Completed },
    ] {
        recorder.record(what).await.expect("it is being written");
    }
    drop(recorder);
    writing.finish().await.expect("it is written");
}

#[tokio::test]
async fn what_is_written_is_read_back() {
    let folder = tempfile::tempdir().expect("a folder");
    write(folder.path()).await;
    let history = History::read(folder.path()).expect("it is whole");
    assert_eq!((history.manifest.clone(), history.events.len(), history.truncated), (manifest(), 3, false));
    assert_eq!(history.phase("baseline"), PhaseRecord::Recorded(9..9));
    assert_eq!(history.phase("kill"), PhaseRecord::Missing);
}

#[tokio::test]
async fn damage_names_its_place() {
    let folder = tempfile::tempdir().expect("a folder");
    write(folder.path()).await;
    let events = folder.path().join("events.jsonl.zst");
    let said = |content: &[u8]| {
        std::fs::write(&events, zstd::encode_all(content, 1).expect("in memory")).expect("writable");
        History::read(folder.path()).map(|history| history.truncated).map_err(|error| error.to_string())
    };
    let note = "{\"at_ns\":1,\"kind\":\"note\",\"text\":\"x\"}\n";
    assert_eq!(said(format!("{note}{{\"at_ns\":2,\"ki").as_bytes()), Ok(true));
    let unknown = said(format!("{note}{{\"at_ns\":2,\"kind\":\"rumour\"}}\n").as_bytes()).expect_err("it is unknown");
    assert!(unknown.starts_with("`events.jsonl`:2:") && unknown.contains("rumour"), "{unknown}");
    let manifest = folder.path().join("manifest.json");
    std::fs::write(&manifest, "{\"format\": 9, \"colour\": \"red\"}").expect("writable");
    assert!(matches!(History::read(folder.path()), Err(HistoryError::Newer { found: 9 })));
    std::fs::write(&manifest, "{\"format\": 1,\n \"colour\": \"red\"}").expect("writable");
    let said = History::read(folder.path()).expect_err("it is malformed").to_string();
    assert!(said.starts_with("`manifest.json`:2:") && said.contains("colour"), "{said}");
}
