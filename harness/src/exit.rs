//! Exit codes, and whose fault an error is: one place, so that no `?` can turn one into the other.

use crate::output;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::process::ExitCode;

/// Whose an error is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Owner {
    /// The submission's.
    Candidate,
    /// Ours, or the machine's.
    Grader,
    /// Of whoever typed the command.
    Operator,
    /// The container engine's.
    Engine,
}

/// Done, at or above the pass mark.
pub const DONE: u8 = 0;
/// Done, below the pass mark.
pub const BELOW: u8 = 1;
/// The command or a file of the exercise is wrong.
pub const USAGE: u8 = 2;
/// The submission was rejected.
pub const REJECTED: u8 = 3;
/// Not graded: the environment or the grader failed.
pub const NOT_GRADED: u8 = 4;
/// No usable container engine.
pub const ENGINE: u8 = 5;
/// Interrupted, and cleaned up.
pub const INTERRUPTED: u8 = 130;
/// Told to end, and cleaned up.
pub const TERMINATED: u8 = 143;

/// The exit code for an error of someone.
pub fn code(owner: Owner) -> ExitCode {
    ExitCode::from(match owner {
        Owner::Candidate => REJECTED,
        Owner::Grader => NOT_GRADED,
        Owner::Operator => USAGE,
        Owner::Engine => ENGINE,
    })
}

/// Runs a program's asynchronous main function; a panic of ours is [`NOT_GRADED`], whatever it was doing.
///
/// `MODELDOWN_LOG=debug` says on stderr what is done on the engine.
pub fn guarded<F: Future<Output = ExitCode>>(main: impl FnOnce() -> F) -> ExitCode {
    let filter = tracing_subscriber::EnvFilter::from_env("MODELDOWN_LOG");
    tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).init();
    let run = || match tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build() {
        Ok(runtime) => {
            let code = runtime.block_on(main());
            // A thread that waits for a line of a terminal must not keep the program.
            runtime.shutdown_background();
            code
        }
        Err(error) => {
            output::say(format_args!("cannot start: {error}"));
            ExitCode::from(NOT_GRADED)
        }
    };
    catch_unwind(AssertUnwindSafe(run)).unwrap_or_else(|_| ExitCode::from(NOT_GRADED))
}
