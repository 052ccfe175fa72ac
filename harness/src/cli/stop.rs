//! `harness stop`

use std::path::PathBuf;

use super::CliError;
use crate::engine::Engine;
use crate::environment::{Environment, Leases, Sweep, sweep};
use crate::output;

#[derive(clap::Args)]
#[command(after_help = "Examples:\n  harness stop --dir work/model-down\n  harness stop --dir work/model-down --remove")]
pub(super) struct Arguments {
    /// The workspace.
    #[arg(long, value_name = "DIR")]
    dir: PathBuf,
    /// Removes volumes and built images too, so that nothing but the workspace is left.
    #[arg(long)]
    remove: bool,
}

impl Arguments {
    pub(super) async fn run(self) -> Result<(), CliError> {
        let dir = super::folder(&self.dir)?;
        let leases = Leases::open().map_err(CliError::Leases)?;
        let Some(lease) = leases.of_folder(&dir).map_err(CliError::Leases)? else {
            output::say(format_args!("nothing was started in {}", dir.display()));
            return Ok(());
        };
        let engine = Engine::connect().await?;
        Environment::of(engine.clone(), &lease.record).stop().await?;
        let what = if self.remove { Sweep::Everything } else { Sweep::Running };
        sweep(&engine, &lease.record, what).await?;
        if self.remove {
            lease.end().map_err(CliError::Leases)?;
        }
        let again = if self.remove { "; `harness start` makes the rest anew" } else { "" };
        output::say(format_args!("stopped; your files stay in {}{again}", dir.display()));
        Ok(())
    }
}
