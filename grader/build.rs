//! Tells the program by which sources exams are recorded: recordings of other sources are no proof of this one.

use std::path::{Path, PathBuf};

use sha2::{Digest, Sha256};

/// What decides what a recording holds, from the repository's root, beside the images of exercise and platform, which have tags. Judges and
/// reports do not: they read it anew each time.
const SOURCES: [&str; 16] = [
    "exercises/platform/replay",
    "grader/src/cli/replay.rs",
    "grader/src/cli/run.rs",
    "grader/src/exam",
    "grader/src/history",
    "grader/src/replay",
    "grader/src/selftest/hold.rs",
    "harness/src/compose",
    "harness/src/document",
    "harness/src/engine",
    "harness/src/environment",
    "harness/src/exercise/past",
    "harness/src/exercise/seed.rs",
    "harness/src/exercise/workspace.rs",
    "harness/src/images",
    "harness/src/submission",
];

/// What decides what a recording comes to, beside what the exercise says.
const JUDGES: [&str; 6] = [
    "grader/src/check",
    "grader/src/report",
    "grader/src/score",
    "grader/src/selftest/agree.rs",
    "grader/src/selftest/hold.rs",
    "grader/src/selftest/row.rs",
];

fn main() {
    println!("cargo::rustc-env=MODELDOWN_RECORDER={}", digest(&SOURCES));
    println!("cargo::rustc-env=MODELDOWN_JUDGES={}", digest(&JUDGES));
}

/// The first letters of the digest of what lies below some paths.
fn digest(sources: &[&str]) -> String {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let mut digest = Sha256::new();
    for source in sources {
        println!("cargo::rerun-if-changed=../{source}");
        for file in files(&root.join(source)) {
            digest.update(file.strip_prefix(&root).unwrap_or(&file).to_string_lossy().as_bytes());
            digest.update(std::fs::read(&file).unwrap_or_else(|error| panic!("{}: {error}", file.display())));
        }
    }
    digest.finalize().iter().take(6).fold(String::new(), |text, byte| text + &format!("{byte:02x}"))
}

/// A file, or every file below a folder, in an order that is always the same.
fn files(path: &Path) -> Vec<PathBuf> {
    let Ok(entries) = std::fs::read_dir(path) else { return vec![path.to_owned()] };
    let mut below: Vec<PathBuf> = entries.flatten().map(|entry| entry.path()).collect();
    below.sort();
    below.iter().flat_map(|path| files(path)).collect()
}
