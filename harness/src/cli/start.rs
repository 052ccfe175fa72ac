//! `harness start`

use std::fs::{File, TryLockError};
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::{CliError, status};
use crate::compose::{self, Images, cage, past_of};
use crate::engine::Engine;
use crate::environment::{Docker, Foundation, Hold, Lease, Leases, Sweep, Wait, fill_volume, has_volume, past_volume, sweep, sweep_dead};
use crate::exercise::{
    ACCOUNTS_FILE, Exercise, Files, Key, RECORDED_FILE, ROWS_FILE, Seed, VARIANT_FILE, Variant, VariantError, VariantFile, render_workspace,
};
use crate::exit::Owner;
use crate::images;
use crate::interrupt::Interrupt;
use crate::manifests;
use crate::output;
use crate::progress::Progress;
use crate::submission::{self, write_files};
use crate::vetted::{Vetted, vet};

/// How long the services of a broken deployment may take to show what is wrong with them.
const SETTLE: Duration = Duration::from_secs(40);
/// After how many hours a candidate's environment counts as forgotten.
const HOURS: i64 = 72;
const ENV_FILE: &str = ".env";
const CAGE_FILE: &str = ".modeldown/cage.yaml";

#[derive(clap::Args)]
#[command(
    after_help = "Examples:\n  harness start model-down\n  harness start model-down --seed acme-42 --dir ~/fraud\n  harness start model-down --break scrape-port --break page-to-nowhere"
)]
pub(super) struct Arguments {
    /// The exercise.
    exercise: String,
    /// Picks the breaks: 1 to 64 letters, digits, `-` and `_`; without it a fresh one is drawn.
    #[arg(long)]
    seed: Option<Seed>,
    /// A break by its name instead of a seed; may be given more than once.
    #[arg(long = "break", value_name = "BREAK", conflicts_with = "seed")]
    breaks: Vec<String>,
    /// Nothing is broken.
    #[arg(long, conflicts_with_all = ["seed", "breaks"])]
    reference: bool,
    /// The workspace; else `work/EXERCISE`.
    #[arg(long, value_name = "DIR")]
    dir: Option<PathBuf>,
    /// Only makes the workspace; nothing is started.
    #[arg(long)]
    only_files: bool,
}

impl Arguments {
    pub(super) async fn run(self, exercises: &Path) -> Result<(), CliError> {
        let exercise = Exercise::find(&self.exercise, exercises)?;
        let key = Key::from_environment()?;
        if self.only_files {
            let dir = self.dir.clone().unwrap_or_else(|| Path::new("work").join(&exercise.manifest.id));
            self.workspace(&exercise, &key, &dir)?;
            output::say(super::folder(&dir)?.display());
            return Ok(());
        }
        let engine = Engine::connect().await?;
        let leases = Leases::open().map_err(CliError::Leases)?;
        sweep_dead(&engine, &leases).await?;
        let dir = self.dir.clone().unwrap_or_else(|| Path::new("work").join(&exercise.manifest.id));
        let made = self.workspace(&exercise, &key, &dir)?;
        let dir = super::folder(&dir)?;
        let _alone = alone(&dir)?;
        output::say(format_args!("{} {}", if made { "workspace made:" } else { "going on in the workspace" }, dir.display()));
        let mut lease = lease(&leases, &exercise, &dir)?;
        let fresh = lease.record.hold == Hold::Attached;
        let progress = Progress::stderr();
        let started = tokio::select! {
            started = start(&engine, &exercise, &leases, &mut lease, &dir, &progress) => started,
            interrupt = Interrupt::next() => Err(interrupt.into()),
        };
        progress.done();
        if let (Err(CliError::Interrupted(_)), true) = (&started, fresh) {
            output::say("cleaning up; the workspace stays");
            tokio::select! {
                swept = sweep(&engine, &lease.record, Sweep::Everything) => { swept?; lease.end().map_err(CliError::Leases)?; }
                // The lease stays for the next command to sweep.
                _ = Interrupt::next() => {}
            }
            return started.map(drop);
        }
        // Nothing was made yet.
        if let (Err(CliError::Policy(_) | CliError::Kustomize(_)), true) = (&started, fresh) {
            lease.end().map_err(CliError::Leases)?;
            return started.map(drop);
        }
        // What is there belongs to the candidate now, even where it could not be started whole.
        lease.detach().map_err(CliError::Leases)?;
        let unwell = started?;
        status::Arguments::new(dir.clone()).run(Some(exercises.to_owned())).await?;
        if !unwell.is_empty() {
            output::print(format_args!("\nNot every service is well ({unwell}): that may be what you are here for."))?;
        }
        output::print(format_args!("\nRead {}, then repair what is wrong.", dir.join("brief.md").display()))?;
        Ok(())
    }

    /// Makes the workspace unless it is there; says whether it was made.
    fn workspace(&self, exercise: &Exercise, key: &Key, dir: &Path) -> Result<bool, CliError> {
        let chosen = self.seed.is_some() || !self.breaks.is_empty() || self.reference;
        let shown = dir.display();
        if dir.join(VARIANT_FILE).is_file() {
            let found = match found(dir, key) {
                // Candidates have no key, and need none to go on.
                Err(CliError::Variant { source: VariantError::Sealed, .. }) if !chosen => return Ok(false),
                found => found?,
            };
            let same = found.exercise == exercise.manifest.id;
            if same && (!chosen || self.variant(exercise, key)? == found.variant(exercise, key)?) {
                return Ok(false);
            }
            let other = if same { "another variant".to_owned() } else { format!("the exercise `{}`", found.exercise) };
            return Err(CliError::usage(format!("`{shown}` holds {other}, and is never overwritten; choose another folder with --dir")));
        }
        let empty = match std::fs::read_dir(dir) {
            Ok(mut entries) => entries.next().is_none(),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => true,
            Err(error) => return Err(CliError::file(dir)(error)),
        };
        if !empty {
            return Err(CliError::usage(format!("`{shown}` is neither empty nor a workspace; choose another folder with --dir")));
        }
        make(exercise, &self.variant(exercise, key)?, key, dir)?;
        Ok(true)
    }

    fn variant(&self, exercise: &Exercise, key: &Key) -> Result<Variant, CliError> {
        if self.reference {
            Ok(Variant::reference())
        } else if self.breaks.is_empty() {
            Ok(Variant::pick(exercise, self.seed.clone().unwrap_or_else(Seed::fresh), key)?)
        } else {
            Ok(Variant::named(exercise, &self.breaks)?)
        }
    }
}

/// Makes a workspace in a folder that is empty or not there.
pub(super) fn make(exercise: &Exercise, variant: &Variant, key: &Key, dir: &Path) -> Result<(), CliError> {
    write_whole(render_workspace(exercise, variant, key)?, dir)
}

/// Writes a folder that is empty or not there: whole beside its place, and moved there, so that it is never half there.
pub(super) fn write_whole(files: Files, dir: &Path) -> Result<(), CliError> {
    let parent = dir.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    std::fs::create_dir_all(parent).map_err(CliError::file(parent))?;
    let made = tempfile::Builder::new().prefix(".modeldown-").tempdir_in(parent).map_err(CliError::file(parent))?;
    write_files(&files.into(), made.path())?;
    std::fs::rename(made.path(), dir).map_err(CliError::file(dir))
}

/// The variant that a folder says it is.
pub(super) fn found(dir: &Path, key: &Key) -> Result<VariantFile, CliError> {
    let path = dir.join(VARIANT_FILE);
    let content = std::fs::read(&path).map_err(CliError::file(&path))?;
    VariantFile::read(&content, key).map_err(|source| CliError::Variant { path, source })
}

/// Keeps other starts out of a folder for as long as it is held.
fn alone(dir: &Path) -> Result<File, CliError> {
    let folder = File::open(dir).map_err(CliError::file(dir))?;
    match folder.try_lock() {
        Ok(()) => Ok(folder),
        Err(TryLockError::WouldBlock) => Err(CliError::usage(format!("another `harness start` is at work in `{}`; wait for it", dir.display()))),
        Err(TryLockError::Error(error)) => Err(CliError::file(dir)(error)),
    }
}

/// The candidate's lease of the folder, else a new one.
fn lease(leases: &Leases, exercise: &Exercise, dir: &Path) -> Result<Lease, CliError> {
    match leases.of_folder(dir).map_err(CliError::Leases)? {
        Some(mut lease) => {
            lease.renew(HOURS).map_err(CliError::Leases)?;
            Ok(lease)
        }
        None => leases.take(&exercise.manifest.id, exercise.manifest.engine, Some(dir), HOURS).map_err(CliError::Leases),
    }
}

/// Starts what is not running; says which services are not well.
async fn start(
    engine: &Engine,
    exercise: &Exercise,
    leases: &Leases,
    lease: &mut Lease,
    dir: &Path,
    progress: &Progress,
) -> Result<String, CliError> {
    progress.step("reading the workspace");
    let files = submission::read(dir)?.files;
    let owner = leases.owner().map_err(CliError::Leases)?;
    // What is refused leaves nothing behind.
    let settled = match vet(&files, &exercise.manifest).await? {
        Vetted::Compose(vetted) => {
            let images = images::ensure(engine, exercise, progress).await?;
            let past = past(engine, exercise, &images, lease, &owner, dir, progress).await?;
            harden(exercise, &vetted, &images, lease, &owner, past.as_deref(), dir)?;
            progress.step("starting the environment");
            let docker = Docker::new(engine.clone(), &lease.record.project, &lease.record.id, dir.to_owned());
            docker.up().await?;
            progress.step("waiting for the services to settle");
            docker.wait_quiet(SETTLE).await?
        }
        Vetted::Manifests(vetted) => {
            let images = images::ensure(engine, exercise, progress).await?;
            let node = images::node(engine, progress).await?;
            let text = |file: &str| std::fs::read_to_string(dir.join(file)).map_err(CliError::file(&dir.join(file)));
            let platform = manifests::platform(&exercise.manifest, &exercise.contract, &text(ROWS_FILE)?, &text(ACCOUNTS_FILE)?);
            let foundation = Foundation { engine, manifest: &exercise.manifest, images: &images, node: &node, lease, owner: &owner, progress };
            let kind = foundation.cluster(&platform).await?;
            progress.step("applying your manifests");
            kind.apply(&vetted.objects, Owner::Candidate).await?;
            progress.step("waiting for the deployments to settle");
            kind.wait_quiet(SETTLE).await?
        }
    };
    let unwell = |services: &[crate::environment::Service]| {
        let names: Vec<String> = services.iter().filter(|service| !service.is_well()).map(|service| format!("`{}`", service.name)).collect();
        names.join(", ")
    };
    Ok(match settled {
        Wait::Met(services) => unwell(&services),
        Wait::Pending { last_seen } => last_seen,
        Wait::Impossible { why, .. } => why,
    })
}

/// Gives the candidate's Prometheus what was recorded before they came, unless it has that; says in which volume. Nothing where the workspace
/// has no past.
async fn past(
    engine: &Engine,
    exercise: &Exercise,
    images: &Images,
    lease: &mut Lease,
    owner: &str,
    dir: &Path,
    progress: &Progress,
) -> Result<Option<String>, CliError> {
    let path = dir.join(RECORDED_FILE);
    let Some((role, folder)) = past_of(&exercise.manifest).filter(|_| path.is_file()) else { return Ok(None) };
    let volume = past_volume(&lease.record.project);
    if lease.record.past.is_none() || !has_volume(engine, &volume).await? {
        progress.step("giving Prometheus its past");
        // Until it is there whole, the lease must not say that it is. One that this command took itself says so when it is detached.
        if lease.record.past.take().is_some() {
            lease.renew(HOURS).map_err(CliError::Leases)?;
        }
        let content = std::fs::read(&path).map_err(CliError::file(&path))?;
        let recorded = serde_json::from_slice(&content).map_err(|error| CliError::file(&path)(error.into()))?;
        let image = images.get(&role.image).unwrap_or(&role.image);
        let midnight = fill_volume(engine, &volume, (image, folder), &recorded, &lease.ownership(owner)).await?;
        lease.record.past = Some(midnight.strftime("%Y-%m-%d").to_string());
    }
    Ok(Some(volume))
}

/// Writes the generated part of the workspace: what plain `docker compose` reads beside the candidate's own file.
fn harden(
    exercise: &Exercise,
    vetted: &compose::Vetted,
    images: &Images,
    lease: &Lease,
    owner: &str,
    past: Option<&str>,
    dir: &Path,
) -> Result<(), CliError> {
    let cage = cage(vetted, &exercise.manifest, &exercise.contract, images, &lease.ownership(owner), past);
    std::fs::write(dir.join(CAGE_FILE), cage).map_err(CliError::file(&dir.join(CAGE_FILE)))?;
    let path = dir.join(ENV_FILE);
    let old = match std::fs::read_to_string(&path) {
        Ok(old) => old,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => String::new(),
        Err(error) => return Err(CliError::file(&path)(error)),
    };
    let new = with_settings(&old, &[("COMPOSE_PROJECT_NAME", &lease.record.project), ("COMPOSE_FILE", &format!("compose.yaml:{CAGE_FILE}"))]);
    if new == old { Ok(()) } else { std::fs::write(&path, new).map_err(CliError::file(&path)) }
}

/// A `.env` file with some settings changed and every other line as it was.
fn with_settings(text: &str, settings: &[(&str, &str)]) -> String {
    let is = |line: &str, name: &str| line.trim_start().strip_prefix(name).is_some_and(|rest| rest.trim_start().starts_with('='));
    let mut lines: Vec<String> = text.lines().filter(|line| !settings.iter().any(|(name, _)| is(line, name))).map(str::to_owned).collect();
    lines.extend(settings.iter().map(|(name, value)| format!("{name}={value}")));
    lines.join("\n") + "\n"
}

#[cfg(test)]
mod tests {
    use super::{alone, with_settings};

    #[test]
    fn a_folder_is_started_once_at_a_time() {
        let dir = tempfile::tempdir().expect("a folder");
        let first = alone(dir.path()).expect("nobody else is there");
        assert!(alone(dir.path()).expect_err("somebody is there").to_string().contains("another `harness start` is at work"));
        drop(first);
        alone(dir.path()).expect("nobody is there any more");
    }

    #[test]
    fn lines_of_others_stay() {
        assert_eq!(with_settings("", &[("A", "1")]), "A=1\n");
        assert_eq!(with_settings("# mine\nA=0\nAB=2\n A = 4", &[("A", "1")]), "# mine\nAB=2\nA=1\n");
        assert_eq!(with_settings("AB=2\nA=1\n", &[("A", "1")]), "AB=2\nA=1\n");
    }
}
