//! `harness new`

use std::path::Path;

use super::{CliError, start};
use crate::compose::is_name;
use crate::exercise::{self, Exercise, Files, files_below};
use crate::output;

/// The exercise that others are made like: the smallest that has everything.
const TEMPLATE: &str = "warm-up";

#[derive(clap::Args)]
#[command(
    after_help = "Examples:\n  harness new churn-model\n  harness new churn-model --exercises ~/our-exercises    (which begins as a copy of `exercises/`)"
)]
pub(super) struct Arguments {
    /// The new exercise: small letters, digits and `-`, a letter first.
    id: String,
    /// The exercise that it is a copy of.
    #[arg(long, value_name = "EXERCISE", default_value = TEMPLATE)]
    like: String,
}

impl Arguments {
    pub(super) fn run(self, exercises: &Path) -> Result<(), CliError> {
        let like = Exercise::find(&self.like, exercises)?;
        if !is_name(&self.id) {
            return Err(CliError::usage(format!(
                "`{}` is no name for an exercise: small letters, digits and `-`, at most 32, a letter first",
                self.id
            )));
        }
        let folder = exercises.join(&self.id);
        if folder.exists() {
            return Err(CliError::usage(format!("`{}` is there already, and nothing is overwritten", folder.display())));
        }
        let files = renamed(files_below(&like.dir)?, &self.like, &self.id);
        start::write_whole(files, &folder)?;
        Exercise::find(&self.id, exercises)?;
        tell(&self.id, exercises, &folder)
    }
}

/// The files of an exercise under another name.
fn renamed(mut files: Files, from: &str, to: &str) -> Files {
    if let Some(manifest) = files.get_mut("exercise.yaml") {
        let text = String::from_utf8_lossy(manifest).replacen(&format!("id: {from}\n"), &format!("id: {to}\n"), 1);
        *manifest = text.into_bytes();
    }
    files
}

fn tell(id: &str, exercises: &Path, folder: &Path) -> Result<(), CliError> {
    let is_found = exercise::folder(None).is_ok_and(|found| found == exercises);
    let there = if is_found { String::new() } else { format!(" --exercises {}", exercises.display()) };
    output::print(format_args!("{} is an exercise of its own. What to do with it:\n", folder.display()))?;
    for (what, command) in [
        ("what it is made of", folder.join("exercise.yaml").display().to_string()),
        ("what is wrong with it, and where", format!("grader selftest {id} --list{there}")),
        ("as a candidate sees it", format!("harness start {id}{there}")),
        ("proves it", format!("grader selftest {id}{there}")),
    ] {
        output::print(format_args!("  {what:<32}  {command}"))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::submission::write_files;

    #[test]
    fn a_copy_is_an_exercise_and_overwrites_nothing() {
        let original = Path::new(env!("CARGO_MANIFEST_DIR")).join("../exercises/warm-up");
        let folder = tempfile::tempdir().expect("room");
        write_files(&files_below(&original).expect("readable").into(), &folder.path().join(TEMPLATE)).expect("writable");
        let make = |id: &str| Arguments { id: id.to_owned(), like: TEMPLATE.to_owned() }.run(folder.path());
        make("churn-model").expect("it is made");
        let copy = Exercise::find("churn-model", folder.path()).expect("it is right");
        assert_eq!((copy.manifest.id.as_str(), copy.breaks.len()), ("churn-model", 2));
        let note = folder.path().join("churn-model/brief.md");
        std::fs::write(&note, "mine").expect("writable");
        for (id, expected) in [("churn-model", "nothing is overwritten"), ("Churn", "small letters"), ("../out", "small letters")] {
            let said = make(id).expect_err("it must be refused").to_string();
            assert!(said.contains(expected), "{said}");
        }
        assert_eq!(std::fs::read_to_string(note).expect("readable"), "mine");
        assert_eq!(std::fs::read_dir(folder.path()).expect("readable").count(), 2);
    }
}
