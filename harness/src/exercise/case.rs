//! `alternatives/*/case.yaml` and `cheats/*/case.yaml`: submissions of which the exercise's author says what becomes of them. They prove
//! the exercise, and are no part of it: no digest covers them, and no candidate sees them.

use std::collections::BTreeSet;
use std::path::PathBuf;

use schemars::JsonSchema;
use serde::Deserialize;

use super::{Edit, Exercise, ExerciseError, Files, Key, Variant, edits, files_below, flaws, read, render_workspace};
use crate::document::{Document, Problem, Problems};

/// The file of a case's folder that says what it is; every other file of it is the submission's.
const CASE_FILE: &str = "case.yaml";

/// What a case stands for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum CaseKind {
    /// A repair unlike the reference that is as good.
    Alternative,
    /// A submission that seems to do what it does not.
    Cheat,
}

impl CaseKind {
    /// Both.
    pub const ALL: [Self; 2] = [Self::Alternative, Self::Cheat];

    /// What one is called.
    pub fn name(self) -> &'static str {
        match self {
            Self::Alternative => "alternative",
            Self::Cheat => "cheat",
        }
    }

    /// The exercise's folder of them.
    fn folder(self) -> &'static str {
        match self {
            Self::Alternative => "alternatives",
            Self::Cheat => "cheats",
        }
    }
}

/// `case.yaml`: in what a submission differs from the reference, and what becomes of it.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct CaseFile {
    /// What it does, in a sentence.
    pub title: String,
    /// The checks that fail: exactly these, beside checks that fail because one of these does. Where the reference's recording is replayed
    /// nothing is said of the others.
    #[serde(default)]
    pub fails: BTreeSet<String>,
    /// The checks that are met in part, exactly.
    #[serde(default)]
    pub partly: BTreeSet<String>,
    /// Words of the complaint with which it is refused before anything of it runs.
    #[serde(default)]
    pub refused: Option<String>,
    /// What it does to the reference, beside the files that lie in its folder.
    #[serde(default)]
    pub edits: Vec<Edit>,
    /// Files of the reference that it does not have.
    #[serde(default)]
    pub without: BTreeSet<String>,
}

/// A submission of which it is known what becomes of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Case {
    /// What it stands for.
    pub kind: CaseKind,
    /// The name of its folder.
    pub id: String,
    /// What its author says of it.
    pub file: CaseFile,
    /// The whole submission.
    pub files: Files,
}

impl Case {
    /// The file that says what it is.
    pub fn path(&self, exercise: &Exercise) -> PathBuf {
        exercise.dir.join(self.kind.folder()).join(&self.id).join(CASE_FILE)
    }

    /// Every case of an exercise, alternatives first; what is wrong with any of them is told at once.
    pub fn all(exercise: &Exercise) -> Result<Vec<Self>, ExerciseError> {
        let reference = render_workspace(exercise, &Variant::reference(), &Key::public())?;
        let (mut cases, mut problems) = (Vec::new(), Vec::new());
        for kind in CaseKind::ALL {
            let folder = exercise.dir.join(kind.folder());
            if !folder.is_dir() {
                continue;
            }
            let below = files_below(&folder)?;
            let ids: BTreeSet<&str> = below.keys().filter_map(|path| Some(path.split_once('/')?.0)).collect();
            for id in ids {
                let name = format!("{}/{id}/{CASE_FILE}", kind.folder());
                let Some((file, document)) = read::<CaseFile>(&exercise.dir, &name, &mut problems)? else { continue };
                let prefix = format!("{id}/");
                let own = below.iter().filter_map(|(path, content)| Some((path.strip_prefix(&prefix)?, content)));
                let mut files = reference.clone();
                files.extend(own.filter(|(path, _)| *path != CASE_FILE).map(|(path, content)| (path.to_owned(), content.clone())));
                problems.extend(flaws::of_edits(&file.edits, &document, &files));
                problems.extend(absent(&file, &document, &files));
                // An edit that cannot be made is told already, with its place.
                if let Ok(mut files) = edits::edited(files, &file.edits) {
                    files.retain(|path, _| !file.without.contains(path));
                    cases.push(Self { kind, id: id.to_owned(), file, files });
                }
            }
        }
        if problems.is_empty() { Ok(cases) } else { Err(Problems(problems).into()) }
    }
}

/// Files that cannot be left out since they are not there.
fn absent(file: &CaseFile, document: &Document, files: &Files) -> Vec<Problem> {
    let absent = file.without.iter().filter(|path| !files.contains_key(*path));
    absent.map(|path| flaws::unknown_file(flaws::listed(document, "/without", path, ""), path, files)).collect()
}
