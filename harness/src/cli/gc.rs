//! `harness gc`

use super::{CliError, sweep_dead};
use crate::engine::Engine;
use crate::environment::{Hold, Leases, Sweep, sweep};

#[derive(clap::Args)]
pub(super) struct Arguments {}

impl Arguments {
    pub(super) async fn run(self) -> Result<(), CliError> {
        let engine = Engine::connect().await?;
        let leases = Leases::open().map_err(CliError::Leases)?;
        let dead = sweep_dead(&engine, &leases).await?;
        let (mut lost, mut stopped) = (0, 0);
        let now = jiff::Timestamp::now();
        for record in leases.all().map_err(CliError::Leases)?.into_iter().filter(|record| record.hold == Hold::Detached) {
            if !record.folder.is_dir() {
                sweep(&engine, &record.id, Sweep::Everything).await?;
                if let Some(lease) = leases.of_folder(&record.folder).map_err(CliError::Leases)? {
                    lease.end().map_err(CliError::Leases)?;
                }
                lost += 1;
            } else if record.expires.parse::<jiff::Timestamp>().is_ok_and(|expires| expires < now) {
                sweep(&engine, &record.id, Sweep::Running).await?;
                stopped += 1;
            }
        }
        eprintln!("{dead} of dead commands and {lost} of lost workspaces removed, {stopped} forgotten environments stopped");
        Ok(())
    }
}
