//! Exercises: folders of data, read with every mistake named, and what is made of them for a candidate.

mod case;
mod edits;
mod flaws;
mod key;
mod manifest;
mod past;
mod seed;
mod variant;
mod variant_file;
mod workspace;

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use sha2::{Digest, Sha256};

use crate::document::{self, Document, Problem, Problems};

pub use case::{Case, CaseFile, CaseKind};
pub use key::{KEY_FILE, Key, KeyError};
pub use manifest::{
    Alerts, Background, Break, Budget, Contract, Count, Difficulty, Distribution, Edit, EngineKind, ExerciseImage, Inference, Input, Manifest,
    Models, Parameter, PlatformService, Ready, ReleaseCommands, Role, VariantRule,
};
pub use past::{DIAGNOSIS_FILE, Day, Diagnosed, Diagnosis, Past, Recorded, Wanted, diagnosed};
pub use seed::{NoSeed, Population, Row, Seed, accounts, request_body, rows, shuffled};
pub use variant::Variant;
pub use variant_file::{VARIANT_FILE, VariantError, VariantFile};
pub use workspace::{ACCOUNTS_FILE, RECORDED_FILE, ROWS_FILE, day, render_workspace, unanswered};

/// Files by their path relative to some folder, with `/` between the parts.
pub type Files = BTreeMap<String, Vec<u8>>;

/// The file of an exercise that says what happened on the day before.
const PAST_FILE: &str = "past.yaml";

/// A file of an exercise that is read by someone else.
#[derive(Debug, Clone)]
pub struct Source {
    /// What errors call it.
    pub name: String,
    /// Its text.
    pub text: String,
}

/// An exercise, read and found consistent.
#[derive(Debug, Clone)]
pub struct Exercise {
    /// Its folder.
    pub dir: PathBuf,
    /// `exercise.yaml`.
    pub manifest: Manifest,
    /// `contract.yaml`.
    pub contract: Contract,
    /// `contract.yaml` as candidates read it.
    pub contract_text: String,
    /// `brief.md`, a template.
    pub brief: Source,
    /// The requirements of the brief: id and text.
    pub requirements: BTreeMap<String, String>,
    /// `exam.yaml`, for the grader.
    pub exam: Source,
    /// `checks.yaml`, for the grader.
    pub checks: Source,
    /// `past.yaml`, as the reference has it, if there is one.
    pub past: Option<Source>,
    /// What a diagnosis of that day says.
    pub facts: Vec<String>,
    /// The breaks by id.
    pub breaks: BTreeMap<String, Break>,
    /// The working deployment.
    pub reference: Files,
    /// A digest of everything above.
    pub digest: String,
    /// A digest of those that decide, beside a submission's own files, what an exam of it records: not of those by which it is judged.
    pub exam_digest: String,
    /// The breaks that edit the same text, both ways round.
    meeting: BTreeSet<(String, String)>,
    /// The checks whose failure explains that a check fails, by `needs` of checks.yaml, in the end.
    needs: BTreeMap<String, BTreeSet<String>>,
}

/// Why an exercise cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum ExerciseError {
    /// No folder of that name.
    #[error("no exercise `{id}`; known: {known}")]
    Unknown {
        /// What was asked for.
        id: String,
        /// What there is.
        known: String,
    },
    /// No exercises at all.
    #[error("no exercises found; give their folder with `--exercises DIR`")]
    NoneFound,
    /// A break that the exercise does not have.
    #[error("exercise `{exercise}` has no break `{id}`; known: {known}")]
    UnknownBreak {
        /// The exercise.
        exercise: String,
        /// What was asked for.
        id: String,
        /// What there is.
        known: String,
    },
    /// No set of its breaks is a variant.
    #[error("no set of the breaks of exercise `{exercise}` keeps the rule that `variants` in its exercise.yaml states")]
    NoVariant {
        /// The exercise.
        exercise: String,
    },
    /// A file of it cannot be read.
    #[error("`{}`: {source}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// The system's words.
        source: std::io::Error,
    },
    /// Its files are wrong.
    #[error(transparent)]
    Malformed(#[from] Problems),
}

/// The folder of exercises: as given, else beside the program, else above the current folder.
pub fn folder(given: Option<PathBuf>) -> Result<PathBuf, ExerciseError> {
    let places = [std::env::current_exe().ok(), std::env::current_dir().ok()];
    let above = places.iter().flatten().flat_map(|place| place.ancestors().skip(usize::from(place.is_file())));
    let found = given.or_else(|| above.map(|folder| folder.join("exercises")).find(|folder| folder.join("platform").is_dir()));
    found.and_then(|folder| std::path::absolute(folder).ok()).ok_or(ExerciseError::NoneFound)
}

impl Exercise {
    /// Reads the exercise in a folder.
    pub fn load(dir: &Path) -> Result<Self, ExerciseError> {
        let mut problems = Vec::new();
        let manifest = read::<Manifest>(dir, "exercise.yaml", &mut problems)?;
        let contract = read::<Contract>(dir, "contract.yaml", &mut problems)?;
        let brief = source(dir, "brief.md")?;
        let (exam, checks) = (source(dir, "exam.yaml")?, source(dir, "checks.yaml")?);
        let past = if dir.join(PAST_FILE).is_file() { Some(source(dir, PAST_FILE)?) } else { None };
        let mut facts = Vec::new();
        if past.is_some()
            && let Some((read, document)) = read::<Past>(dir, PAST_FILE, &mut problems)?
        {
            problems.extend(read.flaws(&document));
            facts = read.facts.into_iter().map(|fact| fact.id).collect();
        }
        let mut breaks = BTreeMap::new();
        let mut documents = BTreeMap::new();
        let mut texts = String::new();
        let reference = files_below(&dir.join("reference"))?;
        for path in files_below(&dir.join("breaks"))?.keys() {
            let name = format!("breaks/{path}");
            if let Some((one, document)) = read::<Break>(dir, &name, &mut problems)? {
                if format!("{}.yaml", one.id) != *path {
                    problems.push(document.problem("/id", format!("the file is called `{path}`, the break `{}`", one.id)));
                }
                problems.extend(flaws::of_edits(&one.edits, &document, &reference));
                texts.push_str(&document.text);
                documents.insert(one.id.clone(), document);
                breaks.insert(one.id.clone(), one);
            }
        }
        problems.extend(flaws::of_masks(&breaks, &documents));
        let (Some((manifest, document)), Some((contract, contract_document))) = (manifest, contract) else { return Err(Problems(problems).into()) };
        if dir.file_name().is_none_or(|folder| *folder != *manifest.id) {
            problems.push(document.problem("/id", format!("the folder `{}` has another name than `{}`", dir.display(), manifest.id)));
        }
        if !problems.is_empty() {
            return Err(Problems(problems).into());
        }
        let mut digest = Sha256::new();
        let mut exam_digest = Sha256::new();
        let past_text = past.as_ref().map_or("", |past| past.text.as_str());
        for text in [&document.text[..], &contract_document.text, &exam.text, past_text] {
            exam_digest.update(text);
            exam_digest.update([0]);
        }
        for text in [&document.text[..], &contract_document.text, &brief.text, &exam.text, &checks.text, &texts, past_text] {
            digest.update(text);
            digest.update([0]);
        }
        for (path, content) in &reference {
            digest.update(path);
            digest.update(content);
        }
        let exercise = Self {
            dir: dir.to_owned(),
            manifest,
            contract,
            contract_text: contract_document.text.to_string(),
            requirements: requirements(&brief.text),
            needs: needs(&checks.text),
            brief,
            exam,
            checks,
            meeting: meeting(&breaks, &reference),
            past,
            facts,
            breaks,
            reference,
            digest: hex(&digest.finalize()),
            exam_digest: hex(&exam_digest.finalize()),
        };
        let problems =
            [flaws::of_networks(&exercise.manifest, &document), flaws::of_parameters(&exercise, &document), flaws::of_variants(&exercise, &document)]
                .concat();
        if problems.is_empty() { Ok(exercise) } else { Err(Problems(problems).into()) }
    }

    /// The exercise of a name in a folder of exercises.
    pub fn find(id: &str, exercises: &Path) -> Result<Self, ExerciseError> {
        let known = Self::known(exercises)?;
        if !known.iter().any(|known| known == id) {
            return Err(ExerciseError::Unknown { id: id.to_owned(), known: known.join(", ") });
        }
        Self::load(&exercises.join(id))
    }

    /// The names of all exercises in a folder.
    pub fn known(exercises: &Path) -> Result<Vec<String>, ExerciseError> {
        let failed = |source| ExerciseError::File { path: exercises.to_owned(), source };
        let mut known = Vec::new();
        for entry in std::fs::read_dir(exercises).map_err(failed)? {
            let entry = entry.map_err(failed)?;
            if entry.path().join("exercise.yaml").is_file() {
                known.push(entry.file_name().to_string_lossy().into_owned());
            }
        }
        known.sort();
        if known.is_empty() { Err(ExerciseError::NoneFound) } else { Ok(known) }
    }

    /// Whether two breaks edit the same text, so that no workspace can have both.
    fn meets(&self, one: &str, other: &str) -> bool {
        self.meeting.contains(&(one.to_owned(), other.to_owned()))
    }

    /// Whether no seed picks two breaks together: one hides the other, or both edit the same text.
    pub fn excludes(&self, one: &str, other: &str) -> bool {
        self.hides(one, other) || self.hides(other, one) || self.meets(one, other)
    }

    /// Whether a break hides another: it says so, or each check that the other fails it fails too, or explains, so that nothing could tell
    /// whether the other was repaired.
    fn hides(&self, one: &str, other: &str) -> bool {
        let (Some(one), Some(hidden)) = (self.breaks.get(one), self.breaks.get(other)) else { return false };
        one.masks.contains(other) || hidden.fails.iter().all(|check| self.explains(one, check))
    }

    /// Whether a break alone would explain that a check fails.
    fn explains(&self, one: &Break, check: &String) -> bool {
        one.fails.contains(check) || self.needs.get(check).is_some_and(|needs| !needs.is_disjoint(&one.fails))
    }

    /// Whether each break of a set fails a check that no other of them explains.
    fn tell_apart(&self, breaks: &[&Break]) -> bool {
        let is_own = |one: &Break, check: &String| breaks.iter().all(|other| other.id == one.id || !self.explains(other, check));
        breaks.iter().all(|one| one.fails.iter().any(|check| is_own(one, check)))
    }

    /// The checks that fail on the untouched variant with these breaks: what there is to repair.
    pub fn baseline(&self, breaks: &[String]) -> BTreeSet<String> {
        let applied: Vec<&Break> = breaks.iter().filter_map(|id| self.breaks.get(id)).collect();
        let masked = |id: &String| applied.iter().any(|other| other.masks.contains(id));
        applied.iter().filter(|one| !masked(&one.id)).flat_map(|one| one.fails.iter().cloned()).collect()
    }
}

/// The digest's usual spelling.
pub fn hex(bytes: &[u8]) -> String {
    use std::fmt::Write;
    bytes.iter().fold(String::new(), |mut text, byte| {
        // Writing to a String cannot fail.
        let _ = write!(text, "{byte:02x}");
        text
    })
}

/// For each check of checks.yaml the checks that it needs, those that these need, and so on. The grader tells what is wrong with the file.
fn needs(checks: &str) -> BTreeMap<String, BTreeSet<String>> {
    let value = Document::parse("checks.yaml", checks).map(|document| document.root.value()).unwrap_or_default();
    let mut needs: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    // Checks need such as stand before them, which are whole by then.
    for check in value["checks"].as_array().into_iter().flatten() {
        let named: Vec<&str> = check["needs"].as_array().into_iter().flatten().filter_map(serde_json::Value::as_str).collect();
        let further = named.iter().filter_map(|need| needs.get(*need)).flatten().cloned();
        let all = further.chain(named.iter().map(|need| (*need).to_owned())).collect();
        needs.insert(check["id"].as_str().unwrap_or_default().to_owned(), all);
    }
    needs
}

/// All pairs of breaks that edit the same text.
fn meeting(breaks: &BTreeMap<String, Break>, reference: &Files) -> BTreeSet<(String, String)> {
    let pairs = breaks.values().flat_map(|one| breaks.values().map(move |other| (one, other)));
    let meeting = pairs.filter(|(one, other)| one.id != other.id && edits::meet(reference, one, other));
    meeting.map(|(one, other)| (one.id.clone(), other.id.clone())).collect()
}

/// Reads one YAML file; what is wrong with it is added to the list.
fn read<T: serde::de::DeserializeOwned + schemars::JsonSchema>(
    dir: &Path,
    name: &str,
    problems: &mut Vec<Problem>,
) -> Result<Option<(T, Document)>, ExerciseError> {
    let Source { name, text } = source(dir, name)?;
    match document::load::<T>(&name, &text) {
        Ok(loaded) => Ok(Some(loaded)),
        Err(Problems(found)) => {
            problems.extend(found);
            Ok(None)
        }
    }
}

fn source(dir: &Path, name: &str) -> Result<Source, ExerciseError> {
    let path = dir.join(name);
    let text = std::fs::read_to_string(&path).map_err(|source| ExerciseError::File { path: path.clone(), source })?;
    Ok(Source { name: path.to_string_lossy().into_owned(), text })
}

/// Every file below a folder, without folders of caches and those that are hidden.
pub(crate) fn files_below(dir: &Path) -> Result<Files, ExerciseError> {
    let mut files = Files::new();
    let mut folders = vec![(dir.to_owned(), String::new())];
    while let Some((folder, prefix)) = folders.pop() {
        let failed = |source| ExerciseError::File { path: folder.clone(), source };
        for entry in std::fs::read_dir(&folder).map_err(failed)? {
            let entry = entry.map_err(failed)?;
            let name = format!("{prefix}{}", entry.file_name().to_string_lossy());
            if entry.file_type().map_err(failed)?.is_dir() {
                // Tools leave their caches beside what they look at.
                if !name.ends_with("__pycache__") && !entry.file_name().to_string_lossy().starts_with('.') {
                    folders.push((entry.path(), name + "/"));
                }
            } else {
                files.insert(name, std::fs::read(entry.path()).map_err(failed)?);
            }
        }
    }
    Ok(files)
}

/// The requirements of a brief: list items that begin with `**ID**`, and rows of tables that do.
fn requirements(brief: &str) -> BTreeMap<String, String> {
    let mut found = BTreeMap::new();
    let mut last: Option<String> = None;
    for line in brief.lines() {
        let item = line.strip_prefix("- **").and_then(|rest| rest.split_once("**"));
        let row = line.strip_prefix("| **").and_then(|rest| rest.split_once("** |"));
        if let Some((id, text)) = item {
            found.insert(id.to_owned(), text.trim().to_owned());
            last = Some(id.to_owned());
        } else if let Some((id, cells)) = row {
            let cells: Vec<&str> = cells.split('|').map(str::trim).filter(|cell| !cell.is_empty()).collect();
            found.insert(id.to_owned(), cells.join("; "));
        } else if let (Some(id), true) = (&last, line.starts_with("  ")) {
            if let Some(text) = found.get_mut(id) {
                text.push(' ');
                text.push_str(line.trim());
            }
        } else {
            last = None;
        }
    }
    found
}

#[cfg(test)]
mod tests;
