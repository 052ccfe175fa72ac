//! The candidate's folder: a variant of the reference, the brief, the contract, and what the harness needs to find it again.

use globset::{Glob, GlobSetBuilder};
use minijinja::{Environment, UndefinedBehavior, context};

use super::past::{Day, Past, Recorded, diagnosed};
use super::{
    Break, EngineKind, Exercise, ExerciseError, Files, Key, PAST_FILE, Population, Seed, VARIANT_FILE, Variant, VariantFile, accounts, edits,
    request_body, rows,
};
use crate::compose::{COMPOSE_FILE, ComposeFile};
use crate::document::{self, Problem, Problems};

/// The rows that the background traffic at home sends, one request body a line.
pub const ROWS_FILE: &str = ".modeldown/rows.jsonl";

/// What the feature store at home knows of their accounts.
pub const ACCOUNTS_FILE: &str = ".modeldown/accounts.json";

/// What was recorded on the day before, which `harness start` gives to the candidate's Prometheus.
pub const RECORDED_FILE: &str = ".modeldown/past.json";

/// The schema by which editors help with [`COMPOSE_FILE`].
const COMPOSE_SCHEMA: &str = ".modeldown/schema/compose.json";

/// All files of a workspace except those that depend on the machine. The same variant and key always give the same bytes.
pub fn render_workspace(exercise: &Exercise, variant: &Variant, key: &Key) -> Result<Files, ExerciseError> {
    let mut files = deployment(exercise, variant, key)?;
    files.insert("contract.yaml".to_owned(), exercise.contract_text.clone().into_bytes());
    let manifest = &exercise.manifest;
    let mut random = seed(variant).secret_stream(key, &manifest.id, "background");
    let drawn = rows(&manifest.inputs, Population::Usual, 500, &mut random);
    let account = exercise.contract.inference.account.as_deref();
    let bodies = drawn.iter().map(|row| request_body(&manifest.inputs, account, row) + "\n").collect::<String>();
    files.insert(ROWS_FILE.to_owned(), bodies.into_bytes());
    files.insert(ACCOUNTS_FILE.to_owned(), accounts(&manifest.inputs, &drawn).to_string().into_bytes());
    // Editors that know the language server for YAML complete and check the file by this.
    if let Some(content) = files.get_mut(COMPOSE_FILE) {
        *content = [format!("# yaml-language-server: $schema={COMPOSE_SCHEMA}\n").as_bytes(), content].concat();
    }
    if manifest.engine == EngineKind::Docker {
        files.insert(COMPOSE_SCHEMA.to_owned(), document::schema::<ComposeFile>().into_bytes());
    }
    if let Some((_, day)) = day(exercise, variant, key)? {
        files.insert(RECORDED_FILE.to_owned(), serde_json::to_vec(&day.recorded).unwrap_or_default());
        files.extend(day.logs);
    }
    let file = VariantFile::new(exercise, variant).write(key).map_err(|error| wrong(VARIANT_FILE.to_owned(), error.to_string()))?;
    files.insert(VARIANT_FILE.to_owned(), file);
    Ok(files)
}

/// The day before a candidate of the variant comes; nothing where the exercise has none. Of a variant without a seed anybody can tell.
pub fn day(exercise: &Exercise, variant: &Variant, key: &Key) -> Result<Option<(Past, Day)>, ExerciseError> {
    let Some(source) = &exercise.past else { return Ok(None) };
    let (past, _) = document::load::<Past>(&source.name, &edits::reworded(&source.text, &words(exercise, variant, PAST_FILE)))?;
    let public = Key::public();
    let key = if variant.seed.is_some() { key } else { &public };
    let played = past.day(|purpose| seed(variant).secret_stream(key, &exercise.manifest.id, &format!("past {purpose}")));
    Ok(Some((past, played)))
}

/// What is no answer in the diagnosis of a workspace, whatever is right: an empty one, several, or one in another form than is asked for.
/// `recorded` is the content of [`RECORDED_FILE`].
pub fn unanswered(exercise: &Exercise, files: &Files, recorded: &[u8]) -> Result<Vec<String>, ExerciseError> {
    let (Some(source), Ok(recorded)) = (&exercise.past, serde_json::from_slice::<Recorded>(recorded)) else { return Ok(Vec::new()) };
    let (past, _) = document::load::<Past>(&source.name, &source.text)?;
    let said = diagnosed(&past, past.forms(&recorded).into_iter(), files).into_iter();
    let complaint = said.map(|one| match &one.said {
        None => Some(one.complaint),
        Some(said) => one.wanted.accepts(said).err().map(|form| format!("`{}` is `{said}`: {form}", one.fact)),
    });
    Ok(complaint.flatten().collect())
}

fn seed(variant: &Variant) -> Seed {
    variant.seed.clone().unwrap_or_else(|| Seed::new("reference").unwrap_or_else(Seed::fresh))
}

/// What stands in a file of the reference, and what the variant has there.
fn words<'a>(exercise: &'a Exercise, variant: &'a Variant, file: &str) -> Vec<(&'a str, &'a str)> {
    let drawn = exercise.manifest.parameters.iter().filter(|parameter| parameter.files.contains(file));
    drawn.filter_map(|parameter| Some((parameter.default(), variant.parameters.get(&parameter.id)?.as_str()))).collect()
}

/// The reference as the variant has it, with its brief: breaks first, which are written for the reference, then parameters.
pub(super) fn deployment(exercise: &Exercise, variant: &Variant, key: &Key) -> Result<Files, ExerciseError> {
    let meets = |id: &String| variant.breaks.iter().find(|other| exercise.meets(id, other));
    if let Some((id, other)) = variant.breaks.iter().find_map(|id| Some((id, meets(id)?))) {
        return Err(wrong(format!("breaks/{id}.yaml"), format!("it edits a text that `{other}` edits too, so that they cannot be in one workspace")));
    }
    let breaks: Vec<&Break> = variant.breaks.iter().filter_map(|id| exercise.breaks.get(id)).collect();
    let mut files = edits::edited(candidate_files(exercise)?, breaks.iter().flat_map(|one| &one.edits)).map_err(|file| {
        wrong(
            "exercise.yaml".to_owned(),
            format!("candidate_files: `{file}`, which a break of {} edits, does not reach candidates", variant.breaks.join(", ")),
        )
    })?;
    files.insert("brief.md".to_owned(), brief(exercise, key)?.into_bytes());
    for (name, content) in &mut files {
        let words = words(exercise, variant, name);
        if let (false, Ok(text)) = (words.is_empty(), std::str::from_utf8(content)) {
            *content = edits::reworded(text, &words).into_bytes();
        }
    }
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

fn brief(exercise: &Exercise, key: &Key) -> Result<String, ExerciseError> {
    let mut environment = Environment::new();
    environment.set_undefined_behavior(UndefinedBehavior::Strict);
    let manifest = &exercise.manifest;
    let values = context! {
        title => &manifest.title,
        time_limit_minutes => manifest.time_limit_minutes,
        pass_mark => manifest.pass_mark,
        memory_mib => manifest.budget.memory_mib,
        champion => &manifest.models.champion,
        sealed => !key.is_public(),
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
