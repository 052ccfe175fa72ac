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
        public: false,
        phases: None,
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
    let phases = Phases::new(&history);
    assert_eq!((phases.get("baseline"), phases.place("baseline")), (&PhaseRecord::Recorded(9..9), Some(1)));
    assert_eq!((phases.get("kill"), phases.place("kill")), (&PhaseRecord::Missing, None));
}

const NOTE: &str = "{\"at_ns\":1,\"kind\":\"note\",\"text\":\"x\"}\n";

/// What reading says of a written history of which one file was replaced: whether it is cut off, or why it is refused.
async fn said_of(file: &str, content: &[u8]) -> Result<bool, String> {
    let folder = tempfile::tempdir().expect("a folder");
    write(folder.path()).await;
    std::fs::write(folder.path().join(file), content).expect("writable");
    History::read(folder.path()).map(|history| history.truncated).map_err(|error| error.to_string())
}

async fn said_of_events(lines: &[u8]) -> Result<bool, String> {
    said_of("events.jsonl.zst", &zstd::encode_all(lines, 1).expect("in memory")).await
}

/// Asserts that something was refused, in words that begin and contain.
fn assert_refused(said: Result<bool, String>, begins: &str, contains: &str) {
    let said = said.expect_err("it must be refused");
    assert!(said.starts_with(begins) && said.contains(contains), "{said}");
}

/// Bytes of all files in a folder.
fn size(folder: &Path) -> u64 {
    let files = std::fs::read_dir(folder).expect("it is there");
    files.map(|file| file.and_then(|file| file.metadata()).expect("it is there").len()).sum()
}

#[tokio::test]
async fn a_full_exam_is_read_back_as_it_was_and_takes_little_room() {
    let exam = crate::check::tests::faultless();
    let folder = tempfile::tempdir().expect("a folder");
    let rules = Rules { exam: &exam.exam, checks: &exam.checks, requirements: &exam.requirements };
    let (recorder, writing) = Recorder::begin(folder.path(), &exam.manifest, &rules, || 0).expect("it is writable");
    let events = exam.events.clone();
    for event in events {
        recorder.record_at(event.at_ns, event.what).await.expect("it is being written");
    }
    drop(recorder);
    writing.finish().await.expect("it is written");
    let read = History::read(folder.path()).expect("it is whole");
    assert!(read.events == exam.events && read.manifest == exam.manifest && !read.truncated);
    // A live exam's times and scores are less alike, and still take less than 1 MiB.
    assert!(size(folder.path()) < 20 << 20, "{} bytes", size(folder.path()));
}

#[tokio::test]
async fn what_is_cut_off_is_read_up_to_there() {
    assert_eq!(said_of_events(NOTE.as_bytes()).await, Ok(false));
    assert_eq!(said_of_events(format!("{NOTE}{{\"at_ns\":2,\"ki").as_bytes()).await, Ok(true));
    // Cut off in the middle of a letter of two bytes.
    assert_eq!(said_of_events(&[NOTE.as_bytes(), b"{\"at_ns\":2,\"kind\":\"note\",\"text\":\"\xc3"].concat()).await, Ok(true));
    assert_eq!(said_of_events(b"").await, Ok(true));
    assert_eq!(said_of("events.jsonl.zst", b"").await, Ok(true));
    let packed = zstd::encode_all(NOTE.repeat(1_000).as_bytes(), 1).expect("in memory");
    assert_eq!(said_of("events.jsonl.zst", &packed[..packed.len() - 3]).await, Ok(true));
}

#[tokio::test]
async fn damage_names_its_place() {
    let event = |json: &str| format!("{NOTE}{json}\n");
    for (line, why) in [
        (r#"{"at_ns":2,"kind":"rumour"}"#, "rumour"),
        (r#"{"at_ns":2}"#, "kind"),
        (r#"{"kind":"restarted"}"#, "at_ns"),
        (r#"{"at_ns":-2,"kind":"restarted"}"#, "-2"),
        (r#"{"at_ns":2,"kind":"phase_left","phase":"a","end":{"how":"eaten"}}"#, "eaten"),
        ("", "EOF"),
        ("null", "null"),
        (r#"{"at_ns":99999999999999999,"kind":"restarted"}"#, "more than a day"),
        (r#"{"at_ns":9,"kind":"watched","name":"canary","sent_ns":9,"done_ns":8,"ok":true,"detail":""}"#, "before it began"),
    ] {
        assert_refused(said_of_events(event(line).as_bytes()).await, "`events.jsonl`:2:", why);
    }
    assert_refused(said_of_events(&[NOTE.as_bytes(), NOTE.as_bytes(), b"{\"\xff\"}\n"].concat()).await, "`events.jsonl`:3:3:", "not UTF-8");
    assert_refused(said_of("events.jsonl.zst", b"no frame").await, "`events.jsonl.zst`: ", "");
    assert_refused(said_of("manifest.json", b"").await, "`manifest.json`:1:", "EOF");
    assert_refused(said_of("manifest.json", b"{\"format\": 1,\n \"colour\": \"red\"}").await, "`manifest.json`:2:", "colour");
    // What Windows calls Unicode.
    assert_refused(said_of("manifest.json", b"\xff\xfe{\0}\0").await, "`manifest.json`:1:1:", "not UTF-8");
    assert_refused(said_of("checks.yaml", b"checks:\n  - \xe4").await, "`checks.yaml`:2:5:", "not UTF-8");
}

#[tokio::test]
async fn another_format_is_refused_whatever_else_stands_there() {
    assert_refused(
        said_of("manifest.json", b"{\"format\": 9, \"colour\": \"red\"}").await,
        &format!("`manifest.json`: format 9 is newer than {FORMAT}"),
        "the grader that wrote it",
    );
    assert_refused(said_of("manifest.json", b"{\"format\": 0}").await, "`manifest.json`: there is no format 0", &format!("known: 1 to {FORMAT}"));
}

/// What reading says of a written history with one file more, or what the replay in it came to.
async fn replay_of(file: &str, content: &[u8]) -> Result<Option<Vec<Line>>, String> {
    let folder = tempfile::tempdir().expect("a folder");
    write(folder.path()).await;
    std::fs::write(folder.path().join(file), content).expect("writable");
    History::read(folder.path()).map(|history| history.replay).map_err(|error| error.to_string())
}

const ENDED: &str = "{\"kind\":\"ended\",\"message\":\"x\"}\n";

fn ended() -> Line {
    Line::Ended(Ended { message: "x".to_owned() })
}

#[tokio::test]
async fn a_replay_is_read_whole_or_refused_at_its_place() {
    let packed = |text: &str| pack(text.as_bytes()).expect("in memory");
    assert_eq!(replay_of("else.txt", b"").await, Ok(None));
    assert_eq!(replay_of(REPLAY, &packed(&ENDED.repeat(2))).await, Ok(Some(vec![ended(), ended()])));
    let refused = async |content: &[u8]| replay_of(REPLAY, content).await.map(|_| false);
    assert_refused(refused(&packed(&format!("{ENDED}{{\"kind\":\"rumour\"}}\n"))).await, "`replay.jsonl`:2:", "rumour");
    assert_refused(refused(&packed(&format!("{ENDED}{{\"kind\":\"ended\"}}\n"))).await, "`replay.jsonl`:2:", "message");
    assert_refused(refused(&packed(&format!("{ENDED}{{\"kind\":\"en"))).await, "`replay.jsonl`:2:", "EOF");
    // Cut off between two lines it would look like a replay in which less happened.
    let whole = packed(&ENDED.repeat(1_000));
    assert_refused(refused(&whole[..whole.len() - 3]).await, "`replay.jsonl.zst`: ", "cut off");
    assert_refused(refused(b"").await, "`replay.jsonl.zst`: ", "cut off");
    assert_refused(said_of(MONITORING, b"{\"files\": {},\n \"colour\": \"red\"}").await, "`monitoring.json`:2:", "colour");
}

#[tokio::test]
async fn a_list_that_go_never_filled_is_empty() {
    let line = r#"{"kind":"alert","trace":"t","twin":false,"rule":{"file":"f","group":"g","name":"n","index":0},"labels":null,"changes_total":0,"changes":null}"#;
    let read = replay_of(REPLAY, &pack(line.as_bytes()).expect("in memory")).await.expect("it is a line").expect("there is one");
    assert!(matches!(&read[..], [Line::Alert(alert)] if alert.labels.is_empty() && alert.changes.is_empty()), "{read:?}");
}

#[tokio::test]
async fn a_recording_is_read_whole_or_not_at_all() {
    let folder = tempfile::tempdir().expect("a folder");
    assert_eq!(recording(folder.path()).expect("nothing is wrong"), None);
    let packed = pack(b"{}").expect("in memory");
    keep(folder.path(), RECORDING, &packed).expect("writable");
    assert_eq!(recording(folder.path()).expect("it is whole"), Some(b"{}".to_vec()));
    keep(folder.path(), RECORDING, &packed[..packed.len() - 1]).expect("writable");
    let said = recording(folder.path()).expect_err("it is cut off").to_string();
    assert!(said.starts_with("`recording.json.zst`: ") && said.contains("cut off"), "{said}");
}

#[tokio::test]
async fn histories_of_before_a_replay_are_still_read() {
    for format in 1..FORMAT {
        let old = serde_json::to_vec(&Manifest { format, ..manifest() }).expect("it is JSON");
        assert_eq!(said_of("manifest.json", &old).await, Ok(false), "{format}");
    }
}

#[tokio::test]
async fn a_tar_has_what_a_replay_left_too() {
    let folder = tempfile::tempdir().expect("a folder");
    write(folder.path()).await;
    keep(folder.path(), REPLAY, &pack(ENDED.as_bytes()).expect("in memory")).expect("writable");
    let mut tar = tar::Builder::new(Vec::new());
    tar.append_dir_all("history", folder.path()).expect("in memory");
    let file = tempfile::NamedTempFile::new().expect("a file");
    std::fs::write(file.path(), tar.into_inner().expect("in memory")).expect("writable");
    assert_eq!(History::read(file.path()).expect("it is whole").replay, Some(vec![ended()]));
}

#[tokio::test]
async fn what_unpacks_without_end_is_refused() {
    let mut bomb = zstd::Encoder::new(Vec::new(), 1).expect("in memory");
    std::io::copy(&mut std::io::Read::take(std::io::repeat(b' '), 257 << 20), &mut bomb).expect("in memory");
    let bomb = bomb.finish().expect("in memory");
    assert!(bomb.len() < 1 << 20, "it is small: {}", bomb.len());
    assert_refused(said_of("events.jsonl.zst", &bomb).await, "`events.jsonl` is larger than 256 MiB", "not a history of an exam");
    let restarted = "{\"at_ns\":1,\"kind\":\"restarted\"}\n";
    assert_refused(said_of_events(restarted.repeat(1_000_001).as_bytes()).await, "`events.jsonl`:1000001:", "fewer than 1000000 events");
}

/// A tar of a written history, with every file as often as said.
async fn tar_of(times: usize) -> Vec<u8> {
    let folder = tempfile::tempdir().expect("a folder");
    write(folder.path()).await;
    let mut tar = tar::Builder::new(Vec::new());
    for time in 0..times {
        tar.append_dir_all(format!("history-{time}"), folder.path()).expect("in memory");
    }
    tar.into_inner().expect("in memory")
}

fn said_of_tar(content: &[u8]) -> Result<bool, String> {
    let file = tempfile::NamedTempFile::new().expect("a file");
    std::fs::write(file.path(), content).expect("writable");
    History::read(file.path()).map(|history| history.truncated).map_err(|error| error.to_string())
}

#[tokio::test]
async fn a_tar_is_a_history_of_one_exam_or_none() {
    let tar = tar_of(1).await;
    assert_eq!(said_of_tar(&tar), Ok(false));
    let mut packed = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    std::io::Write::write_all(&mut packed, &tar).expect("in memory");
    assert_eq!(said_of_tar(&packed.finish().expect("in memory")), Ok(false));
    assert_refused(said_of_tar(&tar_of(2).await), "`", "stands in the tar twice");
    assert_refused(said_of_tar(&[b'x'; 2_000]), "`", "neither a history's folder nor a tar");
    assert_refused(said_of_tar(b""), "`", "no such file");
    assert_refused(said_of_tar(&tar[..tar.len() / 2]), "`", "");
}
