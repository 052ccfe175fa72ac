//! The command `grader`: one file a subcommand. Data goes to stdout, progress and errors to stderr.

mod check;
mod judge;
mod replay;
mod run;
mod selftest;

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::{Parser, Subcommand};
use harness::document::{Problem, Problems};
use harness::environment::EnvironmentError;
use harness::exercise::{Exercise, VARIANT_FILE, VariantError};
use harness::exit::{self, Owner};

use crate::check::Rubric;
use crate::exam::{Exam, ExamError};
use crate::history::HistoryError;
use crate::replay::ReplayError;
use crate::report::Report;
use crate::score::Outcome;
use crate::selftest::LedgerError;
use harness::output::{self, OutputError};

const EXAMPLES: &str = "\
Examples:
  grader check work/model-down                the basics, while you work
  grader run work/model-down --out mine       examines a workspace
  grader run submission.tar.gz --out acme     or an archive of one
  grader judge acme/history --out again       the same report once more
  grader replay acme/history                  its alerts in production time, again
  grader selftest model-down 'break/*'        proves that an exercise is right

With MODELDOWN_KEY_FILE, the path of the file with the secret that sealed
workspaces were made with, `run` knows what was broken in them.

Exit codes:
  0 at or above the pass mark, 1 below it, 2 wrong usage or exercise,
  3 a submission that breaks the rules, 4 not graded (our fault or the
  machine's, or only a part was held), 5 no usable container engine,
  130 and 143 interrupted";

/// What there is to do about a bad seal.
const SAY_IT: &str = "; or say what it is: `--exercise EXERCISE --seed SEED`";

#[derive(Parser)]
#[command(name = "grader", version, about = "Examines repaired deployments and writes the report", after_help = EXAMPLES)]
struct Cli {
    /// The folder of exercises; else `exercises` beside the program or above the current folder.
    #[arg(long, global = true, value_name = "DIR")]
    exercises: Option<PathBuf>,
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Looks at a candidate's own environment: rules, contract, and a short exam without faults, in half a minute.
    Check(check::Arguments),
    /// Starts a submission where nothing else reaches it, examines it, judges it and writes the report.
    Run(run::Arguments),
    /// Plays a recorded exam's alerts in production time again; a grade does this by itself.
    Replay(replay::Arguments),
    /// Judges a recorded exam again: the same history gives the same report.
    Judge(judge::Arguments),
    /// Examines submissions of which the exercise says what becomes of them: its reference, breaks, alternatives and cheats.
    Selftest(selftest::Arguments),
}

/// Why a command ended early.
#[derive(Debug, thiserror::Error)]
enum CliError {
    #[error(transparent)]
    Shared(harness::cli::CliError),
    #[error("`{VARIANT_FILE}` of the submission: {0}{hint}", hint = if .0.is_a_bad_seal() { SAY_IT } else { "" })]
    Variant(VariantError),
    #[error("the exercise's own files are wrong:\n{0}")]
    Rules(Problems),
    #[error("the submission does not build or load, so it was not graded: {0}")]
    Build(EnvironmentError),
    #[error("the exam was not held: {0}")]
    Exam(ExamError),
    #[error(transparent)]
    History(#[from] HistoryError),
    #[error("the exam was not replayed: {0}")]
    Replay(#[from] ReplayError),
    #[error(transparent)]
    Ledger(#[from] LedgerError),
}

impl CliError {
    fn code(&self) -> ExitCode {
        exit::code(match self {
            Self::Shared(error) => return error.code(),
            Self::Exam(error) => error.owner(),
            Self::Replay(ReplayError::Environment(error)) => error.owner(),
            Self::Replay(ReplayError::Program(_)) | Self::Ledger(_) => Owner::Grader,
            Self::Rules(_) | Self::History(_) | Self::Replay(_) => Owner::Operator,
            Self::Variant(error) => error.owner(),
            Self::Build(_) => Owner::Candidate,
        })
    }
}

/// What goes wrong in the harness goes wrong in the same way here.
impl<E: Into<harness::cli::CliError>> From<E> for CliError {
    fn from(error: E) -> Self {
        Self::Shared(error.into())
    }
}

impl From<ExamError> for CliError {
    fn from(error: ExamError) -> Self {
        match error {
            ExamError::Environment(build) if build.owner() == Owner::Candidate => Self::Build(build),
            ExamError::Environment(error) => Self::Shared(error.into()),
            error => Self::Exam(error),
        }
    }
}

/// Runs the program.
pub fn main() -> ExitCode {
    exit::guarded(|| async {
        let cli = Cli::parse();
        let done = match cli.command {
            Command::Check(arguments) => arguments.run(cli.exercises).await,
            Command::Run(arguments) => arguments.run(cli.exercises).await,
            Command::Replay(arguments) => arguments.run(cli.exercises).await,
            Command::Judge(arguments) => arguments.run(),
            Command::Selftest(arguments) => return ended(arguments.run(cli.exercises).await),
        };
        ended(done.map(|outcome| {
            ExitCode::from(match outcome {
                Outcome::Passed => exit::DONE,
                Outcome::Failed => exit::BELOW,
                Outcome::NotGraded => exit::NOT_GRADED,
            })
        }))
    })
}

/// The exit code of a command; why it ended early is said.
fn ended(done: Result<ExitCode, CliError>) -> ExitCode {
    done.unwrap_or_else(|error| {
        output::say(format_args!("grader: {error}"));
        error.code()
    })
}

/// An exercise's own exam and rubric, which agree with its contract and its breaks.
fn loaded(exercise: &Exercise) -> Result<(Exam, Rubric), CliError> {
    let exam = Exam::of(exercise).map_err(CliError::Rules)?;
    let rubric = Rubric::parse(&exercise.checks.name, &exercise.checks.text, &exam, &exercise.requirements).map_err(CliError::Rules)?;
    // The points of a check that is not there would never be found.
    let file = |id: &str| exercise.dir.join("breaks").join(format!("{id}.yaml"));
    let unknown = exercise.breaks.values().flat_map(|one| rubric.unknown(one.fails.iter(), &file(&one.id)));
    let unknown: Vec<Problem> = unknown.chain(rubric.unasked(exercise)).collect();
    if unknown.is_empty() { Ok((exam, rubric)) } else { Err(CliError::Rules(Problems(unknown))) }
}

/// Says what a report says: a table for people, or the whole of it for machines.
fn tell(report: &Report, json: bool) -> Result<(), OutputError> {
    // Everything in it is text and numbers of ours.
    if json { output::print(serde_json::to_string(report).unwrap_or_default()) } else { output::print(crate::report::table(report)) }
}

/// A folder for results: new or empty, so that nothing is overwritten.
fn fresh(folder: &Path) -> Result<(), CliError> {
    use harness::cli::CliError;
    let shown = folder.display();
    match std::fs::read_dir(folder) {
        Ok(mut entries) => match entries.next() {
            None => Ok(()),
            Some(_) => Err(CliError::usage(format!("`{shown}` is not empty, and nothing is overwritten; choose another folder with --out")))?,
        },
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(std::fs::create_dir_all(folder).map_err(CliError::file(folder))?),
        Err(error) if error.kind() == std::io::ErrorKind::NotADirectory => {
            Err(CliError::usage(format!("`{shown}` is a file; choose a folder with --out")))?
        }
        Err(error) => Err(CliError::file(folder)(error))?,
    }
}
