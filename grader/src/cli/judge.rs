//! `grader judge`

use std::path::PathBuf;

use harness::cli::CliError as Shared;

use super::{CliError, fresh, tell};
use crate::history::History;
use crate::report::Report;
use crate::score::Outcome;

#[derive(clap::Args)]
pub(super) struct Arguments {
    /// The folder of a history, or a tar of it.
    history: PathBuf,
    /// Where the report is written, too; a folder that is new or empty.
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
    /// Writes JSON.
    #[arg(long)]
    json: bool,
}

impl Arguments {
    pub(super) fn run(self) -> Result<Outcome, CliError> {
        let report = Report::new(&History::read(&self.history)?).map_err(CliError::Rules)?;
        if let Some(out) = &self.out {
            fresh(out)?;
            report.write(out).map_err(Shared::file(out))?;
        }
        tell(&report, self.json)?;
        Ok(report.outcome)
    }
}
