//! Tells the program by which sources exams are recorded: recordings of other sources are no proof of this one.

use std::path::{Path, PathBuf};

use sha2::{Digest, Sha256};

/// What decides what a recording holds, from the repository's root, beside the images of exercise and platform, which have tags. Judges and
/// reports do not: they read it anew each time.
const SOURCES: [&str; 17] = [
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
    "harness/src/size.rs",
    "harness/src/submission",
];

/// What of these, and beside them, only exams on Kubernetes depend on.
const ON_KUBERNETES: [&str; 10] = [
    "grader/src/exam/cluster.rs",
    "harness/src/environment/cluster.rs",
    "harness/src/environment/kind.rs",
    "harness/src/environment/pods.rs",
    "harness/src/environment/stocked.rs",
    "harness/src/environment/told.rs",
    "harness/src/environment/workload.rs",
    "harness/src/kustomize.rs",
    "harness/src/manifests",
    "harness/src/vetted.rs",
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
    println!("cargo::rustc-env=MODELDOWN_RECORDER_DOCKER={}", digest(&SOURCES, &ON_KUBERNETES));
    println!("cargo::rustc-env=MODELDOWN_RECORDER_KIND={}", digest(&[&SOURCES[..], &ON_KUBERNETES].concat(), &[]));
    println!("cargo::rustc-env=MODELDOWN_JUDGES={}", digest(&JUDGES, &[]));
}

/// The first letters of the digest of what lies below some paths, but for that below others.
fn digest(sources: &[&str], but: &[&str]) -> String {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let mut digest = Sha256::new();
    for source in sources {
        println!("cargo::rerun-if-changed=../{source}");
        let is_meant = |file: &PathBuf| !but.iter().any(|other| file.starts_with(root.join(other)));
        for file in files(&root.join(source)).into_iter().filter(is_meant) {
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
