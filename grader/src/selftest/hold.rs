//! Recording a cell at its level: by the program itself, as everyone else calls it.

use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::process::{Output, Stdio};
use std::time::Instant;

use futures_util::FutureExt;
use harness::engine::tail;
use harness::exercise::{Exercise, KEY_FILE, Seed, Variant};
use harness::exit;
use harness::interrupt::Interrupt;
use harness::kustomize::KustomizeError;
use harness::submission::write_files;
use harness::vetted::{VetError, vet};
use rustix::process::{Pid, Signal, kill_process};
use tokio::process::Command;

use super::ledger::{Entry, Key, Ledger, LedgerError};
use super::{Cell, Level};
use crate::exam::monitoring;
use crate::history::{History, HistoryError, MONITORING, Manifest, REPLAY};
use crate::report::{CheckReport, Report};

/// The seed of the exams of what is examined once.
const EXAM_SEED: &str = "selftest";

/// What cells are recorded with.
pub struct Means<'a> {
    /// The exercise.
    pub exercise: &'a Exercise,
    /// The folder that it lies in.
    pub exercises: &'a Path,
    /// Where recordings are kept.
    pub ledger: &'a Ledger,
    /// What an exam of the reference recorded, which is replayed with other files.
    pub history: &'a Path,
}

/// Why a cell was not recorded.
#[derive(Debug, thiserror::Error)]
pub enum HoldError {
    /// The ledger cannot be written.
    #[error(transparent)]
    Ledger(#[from] LedgerError),
    /// The program ended as it does where it cannot work.
    #[error("`{command}` ended with {status}:\n{said}")]
    Program {
        /// The subcommand.
        command: &'static str,
        /// How it ended.
        status: std::process::ExitStatus,
        /// Its last words.
        said: String,
    },
    /// Somebody told this program to end; what it had started was told, and has cleaned up.
    #[error("{0}")]
    Interrupted(#[from] Interrupt),
    /// What should be replayed cannot be read.
    #[error(transparent)]
    History(#[from] HistoryError),
    /// What should be replayed shows something else than the reference would.
    #[error("`{}` is no whole exam of this exercise in which nothing failed: what is replayed needs one: mend the reference first, or give another `--history`", .0.display())]
    NotWell(PathBuf),
    /// The program left nothing behind that could be judged.
    #[error("`{command}` recorded nothing:\n{said}")]
    Nothing {
        /// The subcommand.
        command: &'static str,
        /// Its last words.
        said: String,
    },
}

/// Listens for whoever tells this program to end, from cell to cell.
pub struct Stop(Pin<Box<dyn Future<Output = Interrupt> + Send>>);

impl Default for Stop {
    fn default() -> Self {
        Self(Box::pin(Interrupt::next()))
    }
}

impl Stop {
    /// Whether somebody did; it listens from the first time that this is asked.
    fn check(&mut self) -> Result<(), Interrupt> {
        (&mut self.0).now_or_never().map_or(Ok(()), Err)
    }
}

/// Records a cell, for the `attempt`th time, and keeps it in the ledger.
pub async fn hold(cell: &Cell, means: &Means<'_>, attempt: u32, stop: &mut Stop) -> Result<Entry, HoldError> {
    stop.check()?;
    let began = Instant::now();
    let scratch = means.ledger.scratch(cell)?;
    let mut replayed = None;
    let refused = match &cell.level {
        Level::Static => match vet(&cell.files, &means.exercise.manifest).await {
            Err(VetError::Kustomize(KustomizeError::Tool(error))) => return Err(HoldError::Nothing { command: "vet", said: error.to_string() }),
            vetted => vetted.err().map(|problems| problems.to_string()),
        },
        Level::Replay => {
            replayed = Some(replay(cell, means, &scratch, stop).await?);
            None
        }
        Level::Segment(phases) => run(cell, means, &scratch, &["--phases", &phases.join(",")], stop).await?,
        Level::Permuted => run(cell, means, &scratch, &["--permute"], stop).await?,
        Level::Full => run(cell, means, &scratch, &[], stop).await?,
    };
    let recorded = jiff::Timestamp::now().to_string();
    let entry = Entry { key: Key::of(cell), recorded, attempts: attempt, seconds: began.elapsed().as_secs_f64(), refused, replayed };
    means.ledger.keep(cell, &entry, &scratch)?;
    Ok(entry)
}

/// Holds an exam, or a part of it; says with which words it was refused.
async fn run(cell: &Cell, means: &Means<'_>, scratch: &Path, options: &[&str], stop: &mut Stop) -> Result<Option<String>, HoldError> {
    let home = tempfile::tempdir().map_err(LedgerError::at(&std::env::temp_dir()))?;
    let workspace = home.path().join("work");
    write_files(&cell.files.clone().into(), &workspace).map_err(|error| LedgerError::at(&workspace)(std::io::Error::other(error)))?;
    let mut command = program(means, "run");
    command.arg(&workspace).args(options).arg("--out").arg(scratch);
    // What is examined again and again is to meet other orders and rows each time; the rest always the same.
    if !cell.is_repeated() {
        command.arg("--exam-seed").arg(EXAM_SEED);
    }
    let output = ended(command, "run", &[exit::DONE, exit::BELOW, exit::NOT_GRADED, exit::REJECTED], stop).await?;
    if output.status.code() == Some(i32::from(exit::REJECTED)) {
        return Ok(Some(String::from_utf8_lossy(&output.stderr).trim().to_owned()));
    }
    if scratch.join("report.json").is_file() { Ok(None) } else { Err(HoldError::Nothing { command: "run", said: tail(&output.stderr) }) }
}

/// A recording as it is judged by what the exercise says today: its own copies are those of the day on which it was made.
pub fn of_today(history: History, exercise: &Exercise, variant: &Variant) -> History {
    let today = Manifest::of(exercise, variant, &Seed::fresh());
    let manifest = Manifest {
        title: today.title,
        exercise_digest: today.exercise_digest,
        breaks: today.breaks,
        baseline: today.baseline,
        pass_mark: today.pass_mark,
        ..history.manifest
    };
    History { manifest, checks: exercise.checks.text.clone(), requirements: exercise.requirements.clone(), ..history }
}

/// Replays the reference's exam with the files of a cell; says which exam it was.
async fn replay(cell: &Cell, means: &Means<'_>, scratch: &Path, stop: &mut Stop) -> Result<String, HoldError> {
    let from = means.history;
    let held = of_today(History::read(from)?, means.exercise, &Variant::reference());
    let is_whole = held.manifest.exercise == means.exercise.manifest.id && held.exam == means.exercise.exam.text && held.manifest.phases.is_none();
    let is_met = |check: &CheckReport| !matches!(check.word.as_str(), "failed" | "partly");
    if !is_whole || !Report::new(&held).is_ok_and(|report| report.checks.iter().all(is_met)) {
        return Err(HoldError::NotWell(from.to_owned()));
    }
    let history = scratch.join("history");
    std::fs::create_dir(&history).map_err(LedgerError::at(&history))?;
    for entry in std::fs::read_dir(from).map_err(LedgerError::at(from))? {
        let file = entry.map_err(LedgerError::at(from))?;
        // What the reference's own replay came to is not this cell's.
        if file.file_name() != REPLAY {
            std::fs::copy(file.path(), history.join(file.file_name())).map_err(LedgerError::at(&file.path()))?;
        }
    }
    // Its level says that the policy lets it pass.
    if let Ok(vetted) = vet(&cell.files, &means.exercise.manifest).await {
        let other = serde_json::to_vec_pretty(&monitoring(&vetted, means.exercise)).unwrap_or_default();
        std::fs::write(history.join(MONITORING), other).map_err(LedgerError::at(&history))?;
    }
    let mut command = program(means, "replay");
    command.arg(&history);
    let output = ended(command, "replay", &[exit::DONE, exit::BELOW, exit::NOT_GRADED], stop).await?;
    let is_there = history.join(REPLAY).is_file();
    if is_there { Ok(held.manifest.started) } else { Err(HoldError::Nothing { command: "replay", said: tail(&output.stderr) }) }
}

/// This program, with the exercises of the cell. What its variants are is plain.
fn program(means: &Means<'_>, command: &str) -> Command {
    let mut program = Command::new(std::env::current_exe().unwrap_or_else(|_| PathBuf::from("grader")));
    program.env_remove(KEY_FILE).arg("--exercises").arg(means.exercises).arg(command);
    // A terminal's Ctrl-C would reach it beside ours, and two end its clean-up.
    program.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped()).process_group(0);
    program
}

/// Waits for a program; one that is told to end is given the time to clean up.
async fn ended(mut command: Command, name: &'static str, codes: &[u8], stop: &mut Stop) -> Result<Output, HoldError> {
    let child = command.spawn().map_err(LedgerError::at(Path::new(name)))?;
    let pid = child.id().and_then(|id| Pid::from_raw(i32::try_from(id).ok()?));
    let mut waiting = Box::pin(child.wait_with_output());
    let output = tokio::select! {
        output = &mut waiting => output,
        interrupt = &mut stop.0 => {
            // One that ended meanwhile needs no telling. The second one ends its clean-up, too.
            loop {
                pid.and_then(|pid| kill_process(pid, Signal::INT).ok());
                tokio::select! {
                    _ = &mut waiting => return Err(interrupt.into()),
                    _ = Interrupt::next() => {}
                }
            }
        }
    };
    let output = output.map_err(LedgerError::at(Path::new(name)))?;
    if output.status.code().is_some_and(|code| codes.iter().any(|known| i32::from(*known) == code)) {
        return Ok(output);
    }
    Err(HoldError::Program { command: name, status: output.status, said: tail(&output.stderr) })
}
