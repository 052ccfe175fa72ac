//! The candidate's folder: a variant of the reference, the brief, the contract, and what the harness needs to find it again.

use globset::{Glob, GlobSetBuilder};
use minijinja::{Environment, UndefinedBehavior, context};
use serde::{Deserialize, Serialize};

use super::{Exercise, ExerciseError, Files, Population, Seed, accounts, request_body, rows, seed};
use crate::compose::{COMPOSE_FILE, ComposeFile};
use crate::document::{self, Problem, Problems};

/// Where a workspace says which variant it is.
pub const VARIANT_FILE: &str = ".modeldown/variant.json";

/// The rows that the background traffic at home sends, one request body a line.
const ROWS_FILE: &str = ".modeldown/rows.jsonl";

/// What the feature store at home knows of their accounts.
const ACCOUNTS_FILE: &str = ".modeldown/accounts.json";

/// The schema by which editors help with [`COMPOSE_FILE`].
const COMPOSE_SCHEMA: &str = ".modeldown/schema/compose.json";

/// Which breaks are in a workspace.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Variant {
    /// The seed that picked them; `None` where they were named, or for the reference.
    pub seed: Option<Seed>,
    /// Their ids, sorted.
    pub breaks: Vec<String>,
}

/// What [`VARIANT_FILE`] holds.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct VariantFile {
    /// The format of this file: 1.
    pub format: u32,
    /// The exercise's id.
    pub exercise: String,
    /// The seed.
    pub seed: Option<Seed>,
    /// The breaks, where they were named instead of picked.
    pub breaks: Vec<String>,
    /// The digest of the exercise that it was made from.
    pub exercise_digest: String,
}

impl VariantFile {
    /// The variant that it names.
    pub fn variant(&self, exercise: &Exercise) -> Result<Variant, ExerciseError> {
        match &self.seed {
            Some(seed) => Ok(Variant::pick(exercise, seed.clone())),
            None => Variant::named(exercise, &self.breaks),
        }
    }
}

impl Variant {
    /// The working deployment.
    pub fn reference() -> Self {
        Self { seed: None, breaks: Vec::new() }
    }

    /// The variant that a seed picks: breaks of which none hides another.
    pub fn pick(exercise: &Exercise, seed: Seed) -> Self {
        let mut random = seed.stream(&exercise.manifest.id, "breaks");
        let ids: Vec<&String> = exercise.breaks.keys().collect();
        let mut breaks: Vec<String> = Vec::new();
        for index in seed::choose(ids.len(), ids.len(), &mut random) {
            let one = &exercise.breaks[ids[index]];
            let hides = |other: &String| one.masks.contains(other) || exercise.breaks[other].masks.contains(&one.id);
            if breaks.len() < exercise.manifest.breaks_per_variant && !breaks.iter().any(hides) {
                breaks.push(one.id.clone());
            }
        }
        breaks.sort();
        Self { seed: Some(seed), breaks }
    }

    /// The variant with the breaks that are named.
    pub fn named(exercise: &Exercise, breaks: &[String]) -> Result<Self, ExerciseError> {
        let mut breaks = breaks.to_vec();
        breaks.sort();
        breaks.dedup();
        match breaks.iter().find(|id| !exercise.breaks.contains_key(*id)) {
            None => Ok(Self { seed: None, breaks }),
            Some(id) => Err(ExerciseError::UnknownBreak {
                exercise: exercise.manifest.id.clone(),
                id: id.clone(),
                known: exercise.breaks.keys().cloned().collect::<Vec<_>>().join(", "),
            }),
        }
    }
}

/// All files of a workspace except those that depend on the machine. The same variant always gives the same bytes.
pub fn render_workspace(exercise: &Exercise, variant: &Variant) -> Result<Files, ExerciseError> {
    let mut files = candidate_files(exercise)?;
    for id in &variant.breaks {
        let one = &exercise.breaks[id];
        for edit in &one.edits {
            let Some(content) = files.get_mut(&edit.file) else {
                return Err(wrong(format!("breaks/{id}.yaml"), format!("`{}` does not reach candidates", edit.file)));
            };
            let text = String::from_utf8_lossy(content);
            // Loading has seen that it stands there once; another break may have taken it away.
            if text.matches(&edit.find).count() != 1 {
                return Err(wrong(
                    format!("breaks/{id}.yaml"),
                    format!("its edit to `{}` meets another break's: {}", edit.file, variant.breaks.join(", ")),
                ));
            }
            *content = text.replace(&edit.find, &edit.replace).into_bytes();
        }
    }
    files.insert("brief.md".to_owned(), brief(exercise)?.into_bytes());
    files.insert("contract.yaml".to_owned(), exercise.contract_text.clone().into_bytes());
    let manifest = &exercise.manifest;
    let seed = variant.seed.clone().unwrap_or_else(|| Seed::new("reference").unwrap_or_else(Seed::fresh));
    let mut random = seed.stream(&manifest.id, "background");
    let drawn = rows(&manifest.inputs, Population::Usual, 500, &mut random);
    let account = &exercise.contract.inference.account;
    let bodies = drawn.iter().map(|row| request_body(&manifest.inputs, account, row) + "\n").collect::<String>();
    files.insert(ROWS_FILE.to_owned(), bodies.into_bytes());
    files.insert(ACCOUNTS_FILE.to_owned(), accounts(&manifest.inputs, &drawn).to_string().into_bytes());
    let file = VariantFile {
        format: 1,
        exercise: manifest.id.clone(),
        // What a seed picks is not written down where a candidate reads it.
        breaks: if variant.seed.is_some() { Vec::new() } else { variant.breaks.clone() },
        seed: variant.seed.clone(),
        exercise_digest: exercise.digest.clone(),
    };
    // Editors that know the language server for YAML complete and check the file by this.
    if let Some(content) = files.get_mut(COMPOSE_FILE) {
        *content = [format!("# yaml-language-server: $schema={COMPOSE_SCHEMA}\n").as_bytes(), content].concat();
    }
    files.insert(COMPOSE_SCHEMA.to_owned(), document::schema::<ComposeFile>().into_bytes());
    let mut text = serde_json::to_string_pretty(&file).map_err(|error| wrong(VARIANT_FILE.to_owned(), error.to_string()))?;
    text.push('\n');
    files.insert(VARIANT_FILE.to_owned(), text.into_bytes());
    Ok(files)
}

fn candidate_files(exercise: &Exercise) -> Result<Files, ExerciseError> {
    let mut globs = GlobSetBuilder::new();
    for glob in &exercise.manifest.candidate_files {
        globs.add(Glob::new(glob).map_err(|error| wrong("exercise.yaml".to_owned(), format!("candidate_files: {error}")))?);
    }
    let globs = globs.build().map_err(|error| wrong("exercise.yaml".to_owned(), format!("candidate_files: {error}")))?;
    Ok(exercise.reference.iter().filter(|(path, _)| globs.is_match(path)).map(|(path, content)| (path.clone(), content.clone())).collect())
}

fn brief(exercise: &Exercise) -> Result<String, ExerciseError> {
    let mut environment = Environment::new();
    environment.set_undefined_behavior(UndefinedBehavior::Strict);
    let manifest = &exercise.manifest;
    let values = context! {
        title => &manifest.title,
        time_limit_minutes => manifest.time_limit_minutes,
        pass_mark => manifest.pass_mark,
        memory_mib => manifest.budget.memory_mib,
        champion => &manifest.models.champion,
    };
    environment.render_named_str("brief.md", &exercise.brief.text, values).map_err(|error| {
        let problem =
            Problem { file: exercise.brief.name.clone(), line: error.line().unwrap_or(1), column: 1, message: error.to_string(), help: None };
        Problems(vec![problem]).into()
    })
}

fn wrong(file: String, message: String) -> ExerciseError {
    Problems(vec![Problem { file, line: 1, column: 1, message, help: None }]).into()
}
