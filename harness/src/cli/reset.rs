//! `harness reset`

use std::io::{BufRead, IsTerminal};
use std::path::{Path, PathBuf};

use super::{CliError, start};
use crate::engine::Engine;
use crate::environment::{Environment, Leases, Sweep, sweep};
use crate::exercise::{Exercise, Key, VARIANT_FILE, VariantError};
use crate::output;

#[derive(clap::Args)]
#[command(after_help = "Examples:\n  harness reset --dir work/model-down         asks first\n  harness reset --dir work/model-down --yes   does not")]
pub(super) struct Arguments {
    /// The workspace.
    #[arg(long, value_name = "DIR")]
    dir: PathBuf,
    /// Does not ask.
    #[arg(long)]
    yes: bool,
}

impl Arguments {
    pub(super) async fn run(self, exercises: &Path) -> Result<(), CliError> {
        let dir = super::folder(&self.dir)?;
        if !dir.join(VARIANT_FILE).is_file() {
            return Err(CliError::usage(format!("`{}` is not a workspace; `harness start EXERCISE --dir DIR` makes one", dir.display())));
        }
        let key = Key::from_environment()?;
        let found = start::found(&dir, &key).map_err(|error| match error {
            CliError::Variant { source: VariantError::Sealed, .. } => CliError::usage(format!(
                "`{}` was sealed by whoever sent it, and only their key makes it anew; unpack what you were sent once more, beside it",
                dir.display()
            )),
            error => error,
        })?;
        let exercise = Exercise::find(&found.exercise, exercises)?;
        let variant = found.variant(&exercise, &key)?;
        let kept = aside(&dir);
        if !self.yes && !agreed(&dir, &kept)? {
            output::say("nothing was changed");
            return Ok(());
        }
        let leases = Leases::open().map_err(CliError::Leases)?;
        // The lease stays, and with it the time that has passed.
        if let Some(lease) = leases.of_folder(&dir).map_err(CliError::Leases)? {
            let engine = Engine::connect().await?;
            Environment::of(engine.clone(), &lease.record).stop().await?;
            sweep(&engine, &lease.record, Sweep::Everything).await?;
        }
        std::fs::rename(&dir, &kept).map_err(CliError::file(&kept))?;
        if let Err(error) = start::make(&exercise, &variant, &key, &dir) {
            std::fs::rename(&kept, &dir).map_err(CliError::file(&dir))?;
            return Err(error);
        }
        output::say(format_args!("as it was in the beginning: {}", dir.display()));
        output::say(format_args!("your files are kept in {}", kept.display()));
        output::say(format_args!("`harness start {} --dir {}` starts it", exercise.manifest.id, dir.display()));
        Ok(())
    }
}

/// Where a workspace is moved: beside its place, under a name that is not taken.
fn aside(dir: &Path) -> PathBuf {
    let name = dir.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
    let numbered = |number: u32| dir.with_file_name(format!("{name}.before-reset-{number}"));
    (1..u32::MAX).map(numbered).find(|path| !path.exists()).unwrap_or_else(|| numbered(0))
}

fn agreed(dir: &Path, kept: &Path) -> Result<bool, CliError> {
    if !std::io::stdin().is_terminal() {
        return Err(CliError::usage("nobody can be asked here: `--yes` does it without asking"));
    }
    output::say(format_args!("Puts everything in {} back to the beginning, the registry and all volumes too.", dir.display()));
    output::say(format_args!("Your files are kept in {}. Go on? [y/N]", kept.display()));
    let mut answer = String::new();
    std::io::stdin().lock().read_line(&mut answer).map_err(CliError::file(dir))?;
    Ok(matches!(answer.trim(), "y" | "Y" | "yes"))
}

#[cfg(test)]
mod tests {
    use super::aside;

    #[test]
    fn what_is_kept_is_never_overwritten() {
        let folder = tempfile::tempdir().expect("a folder");
        let dir = folder.path().join("work");
        assert_eq!(aside(&dir), folder.path().join("work.before-reset-1"));
        std::fs::create_dir(folder.path().join("work.before-reset-1")).expect("writable");
        assert_eq!(aside(&dir), folder.path().join("work.before-reset-2"));
    }
}
