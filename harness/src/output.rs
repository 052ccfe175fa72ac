//! What commands say: data on stdout, everything else on stderr.
//!
//! The standard library's macros panic when nobody listens any more, as after `grader run ... | head` or when a terminal is closed.
//! A command that is told to end must still clean up.

use std::fmt::Display;
use std::io::{ErrorKind, Write};

/// Says a line on stderr, to whoever still listens.
pub fn say(line: impl Display) {
    // There is nobody to tell that there is nobody.
    drop(writeln!(std::io::stderr(), "{line}"));
}

/// Prints a line of data on stdout. A reader who has seen enough is no error; a full disk is.
pub fn print(line: impl Display) -> Result<(), OutputError> {
    match writeln!(std::io::stdout(), "{line}") {
        Err(error) if error.kind() != ErrorKind::BrokenPipe => Err(OutputError(error)),
        _ => Ok(()),
    }
}

/// Data that could not be written.
#[derive(Debug, thiserror::Error)]
#[error("the result cannot be written to standard output: {0}")]
pub struct OutputError(std::io::Error);
