//! `grader check`

use std::collections::BTreeMap;
use std::path::PathBuf;

use harness::cli::CliError as Shared;
use harness::engine::Engine;
use harness::environment::Leases;
use harness::exercise::{DIAGNOSIS_FILE, Exercise, RECORDED_FILE, Variant};
use harness::interrupt::Interrupt;
use harness::progress::Progress;
use harness::vetted::vet;
use harness::{exercise, images, submission};
use serde_json::json;

use super::{CliError, loaded};
use crate::check::{Judgement, Kind, Rubric, Verdict, judge};
use crate::exam::{Exam, Rehearsal};
use crate::history::{History, Manifest};
use crate::score::Outcome;
use harness::output::{self, OutputError};

#[derive(clap::Args)]
#[command(after_help = "Examples:\n  grader check work/model-down\n  grader check work/model-down --json")]
pub(super) struct Arguments {
    /// The workspace; its environment must run.
    workspace: PathBuf,
    /// Writes JSON.
    #[arg(long)]
    json: bool,
}

impl Arguments {
    pub(super) async fn run(self, exercises: Option<PathBuf>) -> Result<Outcome, CliError> {
        let exercises = exercise::folder(exercises)?;
        let folder = self.workspace.canonicalize().map_err(Shared::file(&self.workspace))?;
        let files = submission::read(&folder)?.files;
        let leases = Leases::open().map_err(Shared::Leases)?;
        let Some(lease) = leases.of_folder(&folder).map_err(Shared::Leases)? else {
            return Err(Shared::usage(format!("nothing runs in `{0}`; `harness start EXERCISE --dir {0}` starts it", folder.display())))?;
        };
        let exercise = Exercise::find(&lease.record.exercise, &exercises)?;
        let (exam, rubric) = loaded(&exercise)?;
        let (exam, rubric) = at_home(&exam, rubric);
        let vetted = vet(&files, &exercise.manifest).await?;
        let unanswered = exercise::unanswered(&exercise, &files, &std::fs::read(folder.join(RECORDED_FILE)).unwrap_or_default())?;
        let engine = Engine::connect().await?;
        let progress = Progress::stderr();
        // What is broken does not matter here, and may be sealed.
        let manifest = Manifest::of(&exercise, &Variant::reference(), &exercise::Seed::fresh());
        let scratch = tempfile::tempdir().map_err(Shared::file(&std::env::temp_dir()))?;
        let history = scratch.path().join("history");
        let work = async {
            let images = images::ensure(&engine, &exercise, &progress).await?;
            let rehearsal = Rehearsal {
                engine: &engine,
                exercise: &exercise,
                exam: &exam,
                vetted: &vetted,
                images: &images,
                lease: &lease.record,
                progress: &progress,
            };
            Ok::<_, CliError>(rehearsal.hold(&manifest, &history).await?)
        };
        let held = tokio::select! {
            held = work => held,
            interrupt = Interrupt::next() => Err(interrupt.into()),
        };
        progress.done();
        held?;
        let recorded = History::read(&history).map_err(|error| CliError::Exam(error.into()))?;
        let judgements = judge(&recorded, &exam, &rubric);
        if self.json {
            output::print(json!({ "checks": judgements, "unanswered": unanswered }))?;
        } else {
            tell(&exercise, &rubric, &judgements, &unanswered)?;
        }
        let verdicts = || judgements.values().map(|judgement| &judgement.verdict);
        Ok(if verdicts().any(|verdict| *verdict == Verdict::Failed) {
            Outcome::Failed
        } else if verdicts().any(|verdict| matches!(verdict, Verdict::NotGraded { .. })) {
            Outcome::NotGraded
        } else {
            Outcome::Passed
        })
    }
}

/// The short exam, and the checks that it can say something about: ringing, replaying, and what happened before is for grading.
fn at_home(exam: &Exam, rubric: Rubric) -> (Exam, Rubric) {
    let exam = exam.at_home();
    let mut rubric = rubric.of(&exam);
    rubric.checks.retain(|check| !matches!(check.kind, Kind::Wiring(_) | Kind::Told(_)));
    (exam, rubric)
}

/// Says what is met, and of what is not what was asked for, what was seen, and where.
fn tell(exercise: &Exercise, rubric: &Rubric, judgements: &BTreeMap<String, Judgement>, unanswered: &[String]) -> Result<(), OutputError> {
    let judged = || rubric.checks.iter().filter_map(|check| Some((check, judgements.get(&check.id)?)));
    for (check, judgement) in judged() {
        let mark = match judgement.verdict {
            Verdict::Passed { .. } => "ok",
            Verdict::Partial { .. } => "partly",
            Verdict::Failed => "NO",
            Verdict::NotGraded { .. } => "?",
        };
        output::print(format_args!("{mark:<6} {:<3} {}", check.requirement, check.title))?;
        if matches!(judgement.verdict, Verdict::Passed { .. }) {
            continue;
        }
        let requirement = exercise.requirements.get(&check.requirement).map_or("", String::as_str);
        let cause = judgement.caused_by.as_ref().and_then(|id| rubric.checks.iter().find(|check| check.id == *id));
        let seen = clean(&judgement.observed);
        let mut said = vec![format!("asked for: {requirement}"), format!("seen: {seen}")];
        said.extend(judgement.evidence.iter().take(2).map(|one| format!("such as: {}", clean(&one.excerpt))));
        said.extend(cause.map(|cause| format!("look first at {}: {}", cause.requirement, cause.title)));
        for line in said {
            output::print(textwrap(&line))?;
        }
    }
    let (met, all) = (judged().filter(|(_, judgement)| matches!(judgement.verdict, Verdict::Passed { .. })).count(), rubric.checks.len());
    output::print(format_args!(
        "\n{met} of {all} basics are met. What happens when something goes wrong is tried by the whole exam only;\nbrief.md says what is asked for there."
    ))?;
    if !unanswered.is_empty() {
        output::print(format_args!("\nNot answered in {DIAGNOSIS_FILE}; whether the other answers are right is not looked at here:"))?;
    }
    unanswered.iter().try_for_each(|one| output::print(textwrap(&clean(one))))
}

/// A text that may be a submission's, for a terminal.
fn clean(text: &str) -> String {
    text.chars().take(300).map(|c| if c.is_control() { ' ' } else { c }).collect()
}

/// A text in lines that fit a terminal, indented.
fn textwrap(text: &str) -> String {
    let mut lines = vec![String::new()];
    for word in text.split_whitespace() {
        let room = lines.last().map_or(0, |line| line.chars().count());
        match lines.last_mut() {
            Some(line) if room + word.chars().count() < 68 => {
                if !line.is_empty() {
                    line.push(' ');
                }
                line.push_str(word);
            }
            _ => lines.push(format!("  {word}")),
        }
    }
    lines.iter().map(|line| format!("           {line}")).collect::<Vec<_>>().join("\n")
}
