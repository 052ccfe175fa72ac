//! `harness gc`

use super::CliError;
use crate::engine::Engine;
use crate::environment::{Hold, Leases, Sweep, sweep, sweep_dead};
use crate::exercise::EngineKind;
use crate::output;

#[derive(clap::Args)]
#[command(after_help = "Examples:\n  harness gc\n  harness gc --lost     also what belongs to workspaces that are gone")]
pub(super) struct Arguments {
    /// Removes environments whose workspace is gone, with their volumes; else they are only stopped.
    #[arg(long)]
    lost: bool,
}

impl Arguments {
    pub(super) async fn run(self) -> Result<(), CliError> {
        let engine = Engine::connect().await?;
        let leases = Leases::open().map_err(CliError::Leases)?;
        let dead = sweep_dead(&engine, &leases).await?;
        output::say(format_args!("{dead} of dead commands removed"));
        let now = jiff::Timestamp::now();
        for record in leases.all().map_err(CliError::Leases)?.into_iter().filter(|record| record.hold == Hold::Detached) {
            let folder = record.folder.display();
            let gone = !record.folder.is_dir();
            if gone && self.lost {
                sweep(&engine, &record, Sweep::Everything).await?;
                if let Some(lease) = leases.of_folder(&record.folder).map_err(CliError::Leases)? {
                    lease.end().map_err(CliError::Leases)?;
                }
                output::say(format_args!("removed what belonged to {folder}, which is gone"));
            } else if gone || record.until.parse::<jiff::Timestamp>().is_ok_and(|until| until < now) {
                sweep(&engine, &record, Sweep::Running).await?;
                // What is in a cluster is in no volume that stays.
                let hint = match (gone, record.engine) {
                    (true, _) => "is gone; `harness gc --lost` removes what is left of it",
                    (false, EngineKind::Docker) => "was not used for days; its volumes stay",
                    (false, EngineKind::Kind) => "was not used for days; `harness start` makes its cluster anew",
                };
                output::say(format_args!("stopped what belonged to {folder}, which {hint}"));
            }
        }
        Ok(())
    }
}
