//! Exercises with shorter exams: a copy of the flagship that keeps some phases, some of them cut, and their checks. Everything else,
//! images too, is the flagship's own.

use std::path::{Path, PathBuf};

use crate::{copy, repository};

/// A phase that is kept, and for how many seconds it is held, where that is not as in the flagship.
pub type Cut<'a> = (&'a str, Option<u64>);

/// How the kinds of check begin that judge a replay.
const REPLAYED: [&str; 7] =
    ["kind: {noticed:", "kind: {resolved:", "kind: {undisturbed:", "kind: {flooded:", "kind: {awake:", "kind: {rules:", "kind: {moving:"];

/// Writes the folder of exercises, whose only one has the phases of `cut`, in the flagship's order.
///
/// # Panics
/// Where it cannot be written, and where there is no such phase.
pub fn exercises(folder: &Path, cut: &[Cut<'_>]) -> PathBuf {
    let original = repository().join("exercises");
    copy_platform(folder);
    for part in ["model-down/images", "model-down/reference"] {
        copy(&original.join(part), &folder.join(part));
    }
    for file in ["model-down/exercise.yaml", "model-down/contract.yaml", "model-down/past.yaml", "model-down/brief.md"] {
        std::fs::copy(original.join(file), folder.join(file)).expect("writable");
    }
    // What its breaks fail is not asked.
    std::fs::create_dir(folder.join("model-down/breaks")).expect("writable");
    let read = |name: &str| std::fs::read_to_string(original.join("model-down").join(name)).expect("readable");
    // Without most of its phases there is little to replay.
    let exam = read("exam.yaml");
    let (exam, _) = exam.split_once("\nreplay:\n").expect("it has a replay");
    let (head, phases) = entries(exam);
    assert!(cut.iter().all(|(kept, _)| phases.iter().any(|(id, _)| id == kept)), "there is a phase that the flagship has not: {cut:?}");
    let phases: String = phases.into_iter().filter_map(|(id, text)| Some(held(&text, cut.iter().find(|(kept, _)| *kept == id)?.1))).collect();
    std::fs::write(folder.join("model-down/exam.yaml"), head + &phases).expect("writable");
    let (head, checks) = entries(&read("checks.yaml"));
    let is_kept =
        |text: &str| cut.iter().any(|(phase, _)| text.contains(&format!("phase: {phase}\n"))) && !REPLAYED.iter().any(|kind| text.contains(kind));
    let kept: Vec<(String, String)> = checks.into_iter().filter(|(_, text)| is_kept(text)).collect();
    let ids: Vec<&str> = kept.iter().map(|(id, _)| id.as_str()).collect();
    let checks: String = kept.iter().map(|(_, text)| with_needs_of(text, &ids)).collect();
    std::fs::write(folder.join("model-down/checks.yaml"), head + &checks).expect("writable");
    folder.to_owned()
}

/// Gives a folder of exercises what the platform's images are made of.
///
/// # Panics
/// Where it cannot be written.
pub fn copy_platform(folder: &Path) {
    let (from, to) = (repository().join("exercises/platform"), folder.join("platform"));
    for part in ["src", "images"] {
        copy(&from.join(part), &to.join(part));
    }
    for file in ["Cargo.toml", "Cargo.lock"] {
        std::fs::copy(from.join(file), to.join(file)).expect("writable");
    }
}

/// What stands before a list of entries with ids, and the entries.
fn entries(text: &str) -> (String, Vec<(String, String)>) {
    let mut parts = text.split("\n  - id: ");
    let head = parts.next().unwrap_or_default().to_owned() + "\n";
    let id = |part: &str| part.lines().next().unwrap_or_default().to_owned();
    (head, parts.map(|part| (id(part), format!("  - id: {part}\n"))).collect())
}

/// A phase that is held for so many seconds.
fn held(text: &str, seconds: Option<u64>) -> String {
    let Some(seconds) = seconds else { return text.to_owned() };
    let line = |line: &str| match line.trim() {
        trimmed if trimmed.starts_with("min_seconds:") => format!("    min_seconds: {seconds}\n"),
        trimmed if trimmed.starts_with("- hold:") => format!("      - hold: {{seconds: {seconds}}}\n"),
        _ => format!("{line}\n"),
    };
    text.lines().map(line).collect()
}

/// A check that needs only what is still there.
fn with_needs_of(text: &str, ids: &[&str]) -> String {
    let line = |line: &str| match line.trim().strip_prefix("needs: [").and_then(|needs| needs.strip_suffix(']')) {
        Some(needs) => format!("    needs: [{}]\n", needs.split(", ").filter(|need| ids.contains(need)).collect::<Vec<_>>().join(", ")),
        None => format!("{line}\n"),
    };
    text.lines().map(line).collect()
}
