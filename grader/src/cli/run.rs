//! `grader run`

use std::path::{Path, PathBuf};

use harness::cli::CliError as Shared;
use harness::engine::Engine;
use harness::environment::{Lease, Leases, Sweep, sweep, sweep_dead};
use harness::exercise::{Exercise, ExerciseError, Files, Key, Seed, VARIANT_FILE, Variant, VariantError, VariantFile, diagnosed};
use harness::interrupt::Interrupt;
use harness::progress::Progress;
use harness::vetted::{Vetted, vet};
use harness::{exercise, images, submission};

use super::{CliError, fresh, loaded, replay, tell};
use crate::exam::Hall;
use crate::history::{History, Manifest};
use crate::report::Report;
use crate::score::Outcome;
use harness::output;

/// After how many hours nothing of a grading run can be wanted any more.
const HOURS: i64 = 6;
/// How many bytes of the report's disk are kept free for it: more than a report of the largest exam has.
const RESERVE: usize = 4 << 20;

#[derive(clap::Args)]
#[command(after_help = "Examples:\n  grader run work/model-down --out mine\n  grader run submission.tar.gz --out acme --seed acme-42 --json")]
pub(super) struct Arguments {
    /// A workspace, or a tar of it, gzipped or not.
    submission: PathBuf,
    /// Where history, report and logs are written; a folder that is new or empty.
    #[arg(long, value_name = "DIR")]
    out: PathBuf,
    /// The seed that the candidate was given; without it the submission's word is taken for it.
    #[arg(long)]
    seed: Option<Seed>,
    /// The exercise that the candidate was given: with it, nothing that the submission says of itself counts.
    #[arg(long, value_name = "EXERCISE", requires = "seed")]
    exercise: Option<String>,
    /// From where rows and targets are drawn; without it a fresh one.
    #[arg(long, value_name = "SEED")]
    exam_seed: Option<Seed>,
    /// Holds a part of the exam, and judges what it shows; no grade, so it ends with 4: for whoever writes an exercise.
    #[arg(long, value_name = "PHASE", value_delimiter = ',')]
    phases: Option<Vec<String>>,
    /// Lets what happens before the first release happen in an order that the exam's seed draws: for whoever writes an exercise.
    #[arg(long, conflicts_with = "phases")]
    permute: bool,
    /// Leaves the replay, which keeps the machine busy, for `grader replay`: until then what it shows is not graded.
    #[arg(long)]
    no_replay: bool,
    /// Writes JSON.
    #[arg(long)]
    json: bool,
}

impl Arguments {
    pub(super) async fn run(self, exercises: Option<PathBuf>) -> Result<Outcome, CliError> {
        let key = Key::from_environment()?;
        let public = key.is_public() && exercises.is_none();
        let exercises = exercise::folder(exercises)?;
        let submission = submission::read(&self.submission)?;
        let (exercise, variant) = self.variant(&submission.files, &exercises, &key)?;
        let (exam, _) = loaded(&exercise)?;
        let exam = match &self.phases {
            None => exam,
            Some(phases) => exam.part(phases).map_err(|unknown| {
                let known: Vec<&str> = exam.phases.iter().map(|phase| phase.id.as_str()).collect();
                Shared::usage(format!("the exam has no phase `{unknown}`; known: {}", known.join(", ")))
            })?,
        };
        let vetted = vet(&submission.files, &exercise.manifest).await?;
        let day = exercise::day(&exercise, &variant, &key)?;
        let diagnosed = day.map(|(past, day)| diagnosed(&past, day.wanted.into_iter(), &submission.files)).unwrap_or_default();
        fresh(&self.out)?;
        let engine = Engine::connect().await?;
        let leases = Leases::open().map_err(Shared::Leases)?;
        sweep_dead(&engine, &leases).await?;
        let owner = leases.owner().map_err(Shared::Leases)?;
        let progress = Progress::stderr();
        let made = async {
            let images = images::ensure(&engine, &exercise, &progress).await?;
            let node = if matches!(vetted, Vetted::Manifests(_)) { images::node(&engine, &progress).await? } else { String::new() };
            let program = if exam.replay.is_some() && !self.no_replay { Some(images::replay(&engine, &exercises, &progress).await?) } else { None };
            Ok::<_, CliError>((images, node, program))
        };
        let (images, node, program) = tokio::select! {
            made = made => made?,
            interrupt = Interrupt::next() => return Err(interrupt.into()),
        };
        let seed = self.exam_seed.clone().unwrap_or_else(Seed::fresh);
        let exam = if self.permute { exam.permuted(&mut seed.stream(&exercise.manifest.id, "permutation")) } else { exam };
        let manifest = Manifest { public, phases: self.phases.clone(), ..Manifest::of(&exercise, &variant, &seed) };
        let lease = leases.take(&exercise.manifest.id, exercise.manifest.engine, None, HOURS).map_err(Shared::Leases)?;
        // Room for a report about an exam that a full disk broke off.
        let reserve = self.out.join(".reserve");
        std::fs::write(&reserve, vec![0xA5; RESERVE]).map_err(Shared::file(&reserve))?;
        let history = self.out.join("history");
        let logs = self.out.join("logs");
        let hall = Hall {
            engine: &engine,
            exercise: &exercise,
            exam: &exam,
            vetted: &vetted,
            executable: &submission.executable,
            diagnosed,
            images: &images,
            node: &node,
            lease: &lease,
            owner: &owner,
            seed,
            progress: &progress,
        };
        let held = tokio::select! {
            held = hall.hold(&manifest, &history, &logs) => held.map_err(CliError::from),
            interrupt = Interrupt::next() => Err(interrupt.into()),
        };
        std::fs::remove_file(&reserve).map_err(Shared::file(&reserve))?;
        // Under a lease of its own: the exam's is over.
        let replaying = leases.take(&exercise.manifest.id, exercise.manifest.engine, None, replay::HOURS).map_err(Shared::Leases)?;
        let replayed = async {
            let (Some(program), Ok(None)) = (&program, &held) else { return Ok(()) };
            crate::replay::replay(&engine, &replaying.record.id, program, &history).await
        };
        let closed = tokio::select! {
            biased;
            // It listens by the time at which the clean-up is told of.
            interrupt = Interrupt::next() => Err(interrupt.into()),
            (closed, replayed) = async { tokio::join!(close(&engine, lease, &progress), replayed) } => {
                if let Err(error) = replayed {
                    output::say(format_args!("grader: what the exam recorded could not be replayed, and is not graded: {error}"));
                }
                closed
            }
        };
        let closed = closed.and(close(&engine, replaying, &progress).await);
        progress.done();
        if let Err(error) = closed {
            // What was recorded is worth a report; the lease stays for the next command to sweep.
            output::say(format_args!("grader: not everything could be cleaned up, the next command will do it: {error}"));
        }
        if let Some(fault) = held? {
            output::say(format_args!("grader: the exam was broken off, and what it had not come to by then is not graded: {fault}"));
        }
        // From the file, as everyone else will judge it.
        let recorded = History::read(&history).map_err(|error| CliError::Exam(error.into()))?;
        let report = Report::new(&recorded).map_err(CliError::Rules)?;
        report.write(&self.out).map_err(Shared::file(&self.out))?;
        tell(&report, self.json)?;
        output::say(format_args!("the report is {}", self.out.join("report.html").display()));
        Ok(report.outcome)
    }

    /// The exercise and the variant that a submission says it is, or that whoever grades says it is.
    fn variant(&self, files: &Files, exercises: &Path, key: &Key) -> Result<(Exercise, Variant), CliError> {
        let read = files.get(VARIANT_FILE).ok_or(VariantError::Missing).and_then(|content| VariantFile::read(content, key));
        if let (Some(id), Some(seed)) = (&self.exercise, &self.seed) {
            // Here seeds would pick something else than where it was made, whatever is said.
            if let Err(other @ (VariantError::Sealed | VariantError::Old)) = read {
                return Err(CliError::Variant(other));
            }
            let exercise = Exercise::find(id, exercises)?;
            let variant = Variant::pick(&exercise, seed.clone(), key)?;
            return Ok((exercise, variant));
        }
        let file = read.map_err(CliError::Variant)?;
        let exercise = Exercise::find(&file.exercise, exercises).map_err(|error| match error {
            unknown @ ExerciseError::Unknown { .. } => CliError::Variant(unknown.into()),
            wrong => wrong.into(),
        })?;
        let variant = match &self.seed {
            Some(seed) => Variant::pick(&exercise, seed.clone(), key)?,
            None => file.variant(&exercise, key).map_err(|error| CliError::Variant(error.into()))?,
        };
        Ok((exercise, variant))
    }
}

pub(super) async fn close(engine: &Engine, lease: Lease, progress: &Progress) -> Result<(), Shared> {
    progress.step("cleaning up");
    sweep(engine, &lease.record, Sweep::Everything).await?;
    lease.end().map_err(Shared::Leases)
}
