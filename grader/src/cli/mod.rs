//! The command `grader`: one file a subcommand. Data goes to stdout, progress and errors to stderr.

mod judge;
mod run;

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::{Parser, Subcommand};
use harness::document::Problems;
use harness::engine::EngineError;
use harness::environment::EnvironmentError;
use harness::exercise::ExerciseError;
use harness::exit::{self, Owner};
use harness::images::ImageError;
use harness::interrupt::Interrupt;
use harness::submission::SubmissionError;

use crate::exam::ExamError;
use crate::history::HistoryError;
use crate::report::Report;
use crate::score::Outcome;

const EXAMPLES: &str = "\
Examples:
  grader run work/model-down --out report     examines a workspace
  grader run submission.tar.gz --out report   or an archive of one
  grader judge report/history --out again     the same report once more

Exit codes:
  0 at or above the pass mark, 1 below it, 2 wrong usage or exercise,
  3 a submission that breaks the rules, 4 not graded (our fault or the
  machine's), 5 no usable container engine, 130 and 143 interrupted";

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
    /// Starts a submission where nothing else reaches it, examines it, judges it and writes the report.
    Run(run::Arguments),
    /// Judges a recorded exam again: the same history gives the same report.
    Judge(judge::Arguments),
}

/// Why a command ended early.
#[derive(Debug, thiserror::Error)]
enum CliError {
    #[error(transparent)]
    Exercise(#[from] ExerciseError),
    #[error(transparent)]
    Engine(#[from] EngineError),
    #[error(transparent)]
    Images(#[from] ImageError),
    #[error(transparent)]
    Environment(#[from] EnvironmentError),
    #[error(transparent)]
    Submission(#[from] SubmissionError),
    #[error("the submission breaks the rules of the exercise, so it was not graded:\n{0}")]
    Policy(Problems),
    #[error("`{file}` of the submission: {0}", file = harness::exercise::VARIANT_FILE)]
    Variant(String),
    #[error("the exercise's own files are wrong:\n{0}")]
    Rules(Problems),
    #[error("the submission does not build, so it was not graded: {0}")]
    Build(EnvironmentError),
    #[error("the exam was not held: {0}")]
    Exam(ExamError),
    #[error(transparent)]
    History(#[from] HistoryError),
    #[error("`{}`: {source}", path.display())]
    File { path: PathBuf, source: std::io::Error },
    #[error("leases: {0}")]
    Leases(std::io::Error),
    #[error("{0}")]
    Usage(String),
    #[error("{0}, and cleaned up")]
    Interrupted(#[from] Interrupt),
}

impl CliError {
    fn file(path: &Path) -> impl FnOnce(std::io::Error) -> Self {
        let path = path.to_owned();
        move |source| Self::File { path, source }
    }

    fn code(&self) -> ExitCode {
        exit::code(match self {
            Self::Interrupted(interrupt) => return ExitCode::from(interrupt.code()),
            Self::Exercise(_) | Self::Usage(_) | Self::Rules(_) | Self::History(_) => Owner::Operator,
            Self::Engine(_) => Owner::Engine,
            Self::Environment(error) => error.owner(),
            Self::Exam(error) => error.owner(),
            Self::Submission(error) => error.owner(),
            Self::Policy(_) | Self::Build(_) | Self::Variant(_) => Owner::Candidate,
            Self::Images(_) | Self::File { .. } | Self::Leases(_) => Owner::Grader,
        })
    }
}

impl From<ExamError> for CliError {
    fn from(error: ExamError) -> Self {
        match error {
            ExamError::Environment(build) if build.owner() == Owner::Candidate => Self::Build(build),
            ExamError::Environment(error) => Self::Environment(error),
            error => Self::Exam(error),
        }
    }
}

/// Runs the program.
pub fn main() -> ExitCode {
    exit::guarded(|| async {
        let cli = Cli::parse();
        let done = match cli.command {
            Command::Run(arguments) => arguments.run(cli.exercises).await,
            Command::Judge(arguments) => arguments.run(),
        };
        match done {
            Ok(outcome) => ExitCode::from(match outcome {
                Outcome::Passed => exit::DONE,
                Outcome::Failed => exit::BELOW,
                Outcome::NotGraded => exit::NOT_GRADED,
            }),
            Err(error) => {
                eprintln!("grader: {error}");
                error.code()
            }
        }
    })
}

/// Says what a report says: a table for people, or the whole of it for machines.
fn tell(report: &Report, json: bool) {
    if json {
        // Everything in it is text and numbers of ours.
        println!("{}", serde_json::to_string(report).unwrap_or_default());
    } else {
        println!("{}", crate::report::table(report));
    }
}

/// A folder for results: new or empty, so that nothing is overwritten.
fn fresh(folder: &Path) -> Result<(), CliError> {
    match std::fs::read_dir(folder) {
        Ok(mut entries) => match entries.next() {
            None => Ok(()),
            Some(_) => {
                Err(CliError::Usage(format!("`{}` is not empty, and nothing is overwritten; choose another folder with --out", folder.display())))
            }
        },
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => std::fs::create_dir_all(folder).map_err(CliError::file(folder)),
        Err(error) if error.kind() == std::io::ErrorKind::NotADirectory => {
            Err(CliError::Usage(format!("`{}` is a file; choose a folder with --out", folder.display())))
        }
        Err(error) => Err(CliError::file(folder)(error)),
    }
}
