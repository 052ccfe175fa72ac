//! What a long command is doing, for people: steps on stderr, with a spinner on a terminal.

use std::io::IsTerminal;
use std::time::{Duration, Instant};

use crate::output;
use indicatif::{ProgressBar, ProgressStyle};

/// Where progress is told.
pub struct Progress {
    bar: ProgressBar,
    started: Instant,
    terminal: bool,
}

impl Progress {
    /// Tells on stderr.
    pub fn stderr() -> Self {
        let terminal = std::io::stderr().is_terminal();
        let bar = if terminal { ProgressBar::new_spinner() } else { ProgressBar::hidden() };
        if let Ok(style) = ProgressStyle::with_template("{spinner} {wide_msg} {elapsed:>4}") {
            bar.set_style(style);
        }
        bar.enable_steady_tick(Duration::from_millis(120));
        Self { bar, started: Instant::now(), terminal }
    }

    /// A new step began.
    pub fn step(&self, what: impl Into<String>) {
        let what = what.into();
        if self.terminal {
            self.bar.set_message(what);
        } else {
            output::say(format_args!("{:>4}s  {what}", self.started.elapsed().as_secs()));
        }
    }

    /// Clears the line that the spinner stands on.
    pub fn done(&self) {
        self.bar.finish_and_clear();
    }
}
