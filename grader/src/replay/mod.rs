//! Replay: what an exam recorded of a submission's metrics is played in production time, by a program in an image of ours without a
//! network (`exercises/platform/replay`). What comes of it is part of the history; judges read it there.

mod input;

use std::path::Path;
use std::time::Duration;

use harness::document::Problems;
use harness::engine::{self, Engine};
use harness::environment::{EnvironmentError, Once, Ran, run_once};
use tokio::time::timeout;

use crate::check::rules;
use crate::history::{Ended, History, HistoryError, Line, REPLAY, keep, pack, recording};

/// The most memory that the program may use, in MiB: it bounds what rules cost by itself, at less.
const MEMORY_MIB: u64 = 3_072;
/// The most time that it may take, which is what the submission's rules and routes make of it.
const LONGEST: Duration = Duration::from_mins(15);
/// The exit code of a process that was killed, such as for its memory.
const KILLED: i32 = 137;

/// Why there is no replay.
#[derive(Debug, thiserror::Error)]
pub enum ReplayError {
    /// The history cannot be read or written.
    #[error(transparent)]
    History(#[from] HistoryError),
    /// Its rules are wrong.
    #[error("the history's own rules are wrong:\n{0}")]
    Rules(Problems),
    /// It was recorded without what a replay is made of.
    #[error("there is nothing to replay: {0}")]
    Nothing(&'static str),
    /// The engine failed.
    #[error(transparent)]
    Environment(#[from] EnvironmentError),
    /// The program failed.
    #[error("the replay program: {0}")]
    Program(String),
}

/// Replays the history in a folder, and writes what comes of it beside it, in place of what was there.
pub async fn replay(engine: &Engine, lease: &str, image: &str, folder: &Path) -> Result<(), ReplayError> {
    let history = History::read(folder)?;
    let (exam, _) = rules(&history).map_err(ReplayError::Rules)?;
    let Some(plan) = &exam.replay else { return Err(ReplayError::Nothing("the exam has no replay")) };
    let Some(monitoring) = &history.monitoring else { return Err(ReplayError::Nothing("the submission's monitoring was not kept")) };
    let recording = recording(folder)?;
    let input = input::write(&history, plan, monitoring, recording.as_deref());
    let once = Once { image, memory_mib: MEMORY_MIB, command: &["replay"] };
    let Ok(ran) = timeout(LONGEST, run_once(engine, lease, &once, &input)).await else {
        // A hundred times what it takes: what it does not give up by itself is routes and their messages.
        let why = format!("rules and routes took more than {} minutes", LONGEST.as_secs() / 60);
        return Ok(keep(folder, REPLAY, &pack(&ended(&why))?)?);
    };
    let Ran { output, out_of_memory } = ran?;
    let said = match output.status.code() {
        Some(0) => output.stdout,
        _ if out_of_memory => ended(&format!("the rules took more than {MEMORY_MIB} MiB of memory")),
        // The machine was out of memory, or somebody killed it.
        Some(KILLED) => return Err(ReplayError::Program("it was killed, and not for its own memory".to_owned())),
        _ => return Err(ReplayError::Program(engine::tail(&output.stderr))),
    };
    Ok(keep(folder, REPLAY, &pack(&said)?)?)
}

/// What stands in place of a replay that the grader ended.
fn ended(why: &str) -> Vec<u8> {
    serde_json::to_vec(&Line::Ended(Ended { message: why.to_owned() })).unwrap_or_default()
}
