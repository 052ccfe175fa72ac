//! `grader replay`

use std::path::PathBuf;

use harness::cli::CliError as Shared;
use harness::engine::Engine;
use harness::environment::{Leases, sweep_dead};
use harness::exercise::EngineKind;
use harness::interrupt::Interrupt;
use harness::progress::Progress;
use harness::{exercise, images};

use super::{CliError, tell};
use crate::history::History;
use crate::replay::replay;
use crate::report::Report;
use crate::score::Outcome;

/// After how many hours nothing of a replay can be wanted any more.
pub(super) const HOURS: i64 = 1;

#[derive(clap::Args)]
#[command(after_help = "Examples:\n  grader replay report/history\n  grader replay report/history && grader judge report/history --out again")]
pub(super) struct Arguments {
    /// The folder of a history; what its replay came to is written into it, in place of what was there.
    history: PathBuf,
    /// Writes JSON.
    #[arg(long)]
    json: bool,
}

impl Arguments {
    pub(super) async fn run(self, exercises: Option<PathBuf>) -> Result<Outcome, CliError> {
        // Before anything is built for it.
        History::read(&self.history)?;
        let engine = Engine::connect().await?;
        let leases = Leases::open().map_err(Shared::Leases)?;
        sweep_dead(&engine, &leases).await?;
        let progress = Progress::stderr();
        let lease = leases.take("replay", EngineKind::Docker, None, HOURS).map_err(Shared::Leases)?;
        let work = async {
            let image = images::replay(&engine, &exercise::folder(exercises)?, &progress).await?;
            progress.step("replaying alerts in production time");
            Ok(replay(&engine, &lease.record.id, &image, &self.history).await?)
        };
        let replayed: Result<(), CliError> = tokio::select! {
            replayed = work => replayed,
            interrupt = Interrupt::next() => Err(interrupt.into()),
        };
        super::run::close(&engine, lease, &progress).await?;
        progress.done();
        replayed?;
        let report = Report::new(&History::read(&self.history)?).map_err(CliError::Rules)?;
        tell(&report, self.json)?;
        Ok(report.outcome)
    }
}
