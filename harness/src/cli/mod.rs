//! The command `harness`: one file a subcommand. Data goes to stdout, progress and errors to stderr.

mod doctor;
mod error;
mod gc;
mod images;
mod list;
mod new;
mod reset;
mod start;
mod status;
mod stop;

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::{Parser, Subcommand};

use crate::output;
use crate::{exercise, exit};

pub use error::CliError;

const EXAMPLES: &str = "\
Examples:
  harness list                              what there is to repair
  harness start model-down                  broken, in work/model-down
  harness start model-down --seed acme-42   always the same breaks
  harness status --dir work/model-down      what runs, and how long is left
  harness reset --dir work/model-down       back to the beginning; keeps a copy
  harness stop --dir work/model-down        ends it; files and volumes stay
  harness new churn-model                   an exercise of your own

With MODELDOWN_KEY_FILE, the path of a file with a secret of yours, nobody
else can tell what a seed breaks, and workspaces are sealed.

Exit codes:
  0 done, 2 wrong usage or exercise, 3 a workspace that breaks the rules,
  4 our fault or the machine's, 5 no usable container engine,
  130 and 143 interrupted";

#[derive(Parser)]
#[command(name = "harness", version, about = "Starts broken model deployments for candidates to repair", after_help = EXAMPLES)]
struct Cli {
    /// The folder of exercises; else `exercises` beside the program or above the current folder.
    #[arg(long, global = true, value_name = "DIR")]
    exercises: Option<PathBuf>,
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Lists the exercises.
    List(list::Arguments),
    /// Makes an exercise that is a copy of another, for whoever writes one.
    New(new::Arguments),
    /// Makes a workspace, or takes the one that is there, and starts its environment.
    Start(start::Arguments),
    /// Says what runs, under which addresses, and how long is left.
    Status(status::Arguments),
    /// Puts a workspace back to the beginning, and keeps a copy of what was there.
    Reset(reset::Arguments),
    /// Ends an environment; the workspace stays as it is.
    Stop(stop::Arguments),
    /// Removes what dead commands and lost workspaces left behind.
    Gc(gc::Arguments),
    /// Builds images beforehand, and prints their exact tags.
    Images(images::Arguments),
    /// Says what this machine has, what it lacks, and how to get it.
    Doctor(doctor::Arguments),
}

/// Runs the program.
pub fn main() -> ExitCode {
    exit::guarded(|| async {
        let cli = Cli::parse();
        match run(cli).await {
            Ok(()) => ExitCode::from(exit::DONE),
            Err(error) => {
                output::say(format_args!("harness: {error}"));
                error.code()
            }
        }
    })
}

async fn run(cli: Cli) -> Result<(), CliError> {
    match cli.command {
        Command::List(arguments) => arguments.run(&exercises(cli.exercises)?),
        Command::New(arguments) => arguments.run(&exercises(cli.exercises)?),
        Command::Start(arguments) => arguments.run(&exercises(cli.exercises)?).await,
        Command::Status(arguments) => arguments.run(cli.exercises).await,
        Command::Reset(arguments) => arguments.run(&exercises(cli.exercises)?).await,
        Command::Stop(arguments) => arguments.run().await,
        Command::Gc(arguments) => arguments.run().await,
        Command::Images(arguments) => arguments.run(&exercises(cli.exercises)?).await,
        Command::Doctor(arguments) => arguments.run().await,
    }
}

fn exercises(given: Option<PathBuf>) -> Result<PathBuf, CliError> {
    Ok(exercise::folder(given)?)
}

/// A folder that is there, as the one name that it has.
fn folder(path: &Path) -> Result<PathBuf, CliError> {
    path.canonicalize().map_err(CliError::file(path))
}
