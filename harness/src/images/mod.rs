//! Images without a registry: one base, the platform's on top of it, the exercise's on top of those.
//!
//! A tag is the digest of what the image is made from, so that nothing is rebuilt when nothing changed.

use std::collections::{BTreeMap, HashMap};
use std::path::{Path, PathBuf};

use serde_json::json;
use sha2::{Digest, Sha256};

use crate::compose::Images;
use crate::engine::{self, Engine};
use crate::exercise::{Exercise, ExerciseImage, hex};
use crate::progress::Progress;

/// What every image stands on.
pub const BASE: &str = "debian:trixie-slim";
/// What a cluster's node is made of: the image that kind 0.30 was made with, by its digest.
const NODE: &str = "kindest/node:v1.34.0@sha256:7416a61b42b1662ca6ca89f02028ac133a309a2a30ba309614e8ec94d976dc5a";
/// What stands in for it where no registry answers: `make kind-node` assembles it, for tests.
const NODE_HERE: &str = "modeldown/kind-node";

/// Targets of the platform's Dockerfile that environments use.
const PLATFORM: [&str; 5] = ["alertmanager", "haproxy", "platform", "prometheus", "python"];

/// The program that runs alerting rules in production time.
pub const REPLAY: &str = "replay";
/// What it is made of, below the folder of exercises; its tests play the reference's rules.
const REPLAY_SOURCES: [&str; 2] = ["platform/replay", "model-down/reference"];

/// Targets that only tests use.
pub const TOOLS: [&str; 2] = ["browser", "lint"];

/// Why an image cannot be had.
#[derive(Debug, thiserror::Error)]
pub enum ImageError {
    /// A file that it is made from cannot be read.
    #[error("`{}`: {source}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// The system's words.
        source: std::io::Error,
    },
    /// A command failed.
    #[error("`{command}` failed:\n{output}")]
    Failed {
        /// The command.
        command: String,
        /// The end of what it said.
        output: String,
    },
}

/// Builds what an exercise needs and is missing, and says the exact tag of every alias.
pub async fn ensure(engine: &Engine, exercise: &Exercise, progress: &Progress) -> Result<Images, ImageError> {
    let exercises = exercises_of(exercise);
    let platform_tag = platform_digest(exercises)?;
    let mut images = platform_tagged(engine, exercises, &PLATFORM, &platform_tag, progress).await?;
    let mut missing: BTreeMap<(PathBuf, String), Vec<Image>> = BTreeMap::new();
    for one in &exercise.manifest.images {
        let tag = own_digest(exercise, one, &platform_tag)?;
        let image = Image { alias: one.alias.clone(), target: one.target.clone(), tag };
        if let Some(image) = image.missing(engine, &mut images).await {
            missing.entry(source(exercise, one)).or_default().push(image);
        }
    }
    for ((context, dockerfile), images) in missing {
        progress.step("building the exercise's images (once)");
        build(engine, &context, &dockerfile, &images).await?;
    }
    Ok(images)
}

/// The image that a cluster's node is made of, where it is here: kind's own, else what was assembled in its place.
pub async fn node_here(engine: &Engine) -> Option<String> {
    if engine.api.inspect_image(NODE).await.is_ok() {
        return Some(NODE.to_owned());
    }
    let filters = HashMap::from([("reference", vec![NODE_HERE.to_owned()])]);
    let options = bollard::query_parameters::ListImagesOptionsBuilder::new().filters(&filters).build();
    let mut found = engine.api.list_images(Some(options)).await.ok()?;
    found.sort_by_key(|image| std::cmp::Reverse(image.created));
    // One that is half made is called so.
    found.into_iter().flat_map(|image| image.repo_tags).find(|tag| !tag.ends_with(":base"))
}

/// The same; kind's own is pulled wherever a registry answers.
pub async fn node(engine: &Engine, progress: &Progress) -> Result<String, ImageError> {
    let here = node_here(engine).await;
    if here.as_deref() == Some(NODE) {
        return Ok(NODE.to_owned());
    }
    progress.step(format!("pulling {NODE} (once)"));
    let mut pull = engine.command();
    pull.args(["pull", "--quiet", NODE]);
    let pulled = run(pull, "docker pull kindest/node (where no registry answers, `make kind-node` assembles what tests need)", None).await;
    match (pulled, here) {
        (Ok(()), _) => Ok(NODE.to_owned()),
        (Err(_), Some(here)) => Ok(here),
        (Err(error), None) => Err(error),
    }
}

/// A digest of what an exercise's images, and the platform's below them, are made from.
pub fn sources(exercise: &Exercise) -> Result<String, ImageError> {
    let platform = platform_digest(exercises_of(exercise))?;
    let tags: Result<String, ImageError> = exercise.manifest.images.iter().map(|one| own_digest(exercise, one, &platform)).collect();
    digest(exercises_of(exercise), &[], &(tags? + &platform))
}

/// The tag of an image of an exercise's: a digest of what it, and the platform's below it, are made from.
fn own_digest(exercise: &Exercise, image: &ExerciseImage, platform: &str) -> Result<String, ImageError> {
    let own = digest(&owner(exercise, image).join("images"), &["."], platform)?;
    let shares: Vec<&str> = image.shares.iter().map(String::as_str).collect();
    if shares.is_empty() { Ok(own) } else { digest(exercises_of(exercise), &shares, &own) }
}

/// The folder of the exercise whose Dockerfile makes an image.
fn owner(exercise: &Exercise, image: &ExerciseImage) -> PathBuf {
    image.of.as_ref().map_or_else(|| exercise.dir.clone(), |other| exercises_of(exercise).join(other))
}

/// The context in which an image is built, and its Dockerfile there.
fn source(exercise: &Exercise, image: &ExerciseImage) -> (PathBuf, String) {
    if image.shares.is_empty() {
        return (owner(exercise, image).join("images"), "Dockerfile".to_owned());
    }
    let name = image.of.as_deref().unwrap_or(&exercise.manifest.id);
    (exercises_of(exercise).to_owned(), format!("{name}/images/Dockerfile"))
}

/// The tag of the replay program beside an exercise; nothing where it has none.
pub fn replay_tag(exercise: &Exercise) -> Result<String, ImageError> {
    let exercises = exercises_of(exercise);
    let is_there = REPLAY_SOURCES.iter().all(|source| exercises.join(source).is_dir());
    if is_there { replay_digest(exercises) } else { Ok(String::new()) }
}

fn replay_digest(exercises: &Path) -> Result<String, ImageError> {
    digest(exercises, &REPLAY_SOURCES, "")
}

/// The folder that an exercise lies in, with the platform beside it.
fn exercises_of(exercise: &Exercise) -> &Path {
    exercise.dir.parent().unwrap_or(Path::new("."))
}

/// Builds what is missing of some targets of the platform's.
pub async fn platform(engine: &Engine, exercises: &Path, targets: &[&str], progress: &Progress) -> Result<Images, ImageError> {
    platform_tagged(engine, exercises, targets, &platform_digest(exercises)?, progress).await
}

/// Builds the replay program, where it is missing (its own tests are part of that), and says its exact tag.
pub async fn replay(engine: &Engine, exercises: &Path, progress: &Progress) -> Result<String, ImageError> {
    let mut images = Images::new();
    let tag = replay_digest(exercises)?;
    let exact = format!("modeldown/{REPLAY}:{tag}");
    let image = Image { alias: format!("modeldown/{REPLAY}"), target: REPLAY.to_owned(), tag };
    if let Some(missing) = image.missing(engine, &mut images).await {
        base(engine, progress).await?;
        progress.step("building and testing the replay program (minutes, once)");
        build(engine, exercises, "platform/replay/Dockerfile", &[missing]).await?;
    }
    Ok(exact)
}

async fn platform_tagged(engine: &Engine, exercises: &Path, targets: &[&str], tag: &str, progress: &Progress) -> Result<Images, ImageError> {
    let (mut images, mut missing) = (Images::new(), Vec::new());
    for target in targets {
        let image = Image { alias: format!("modeldown/{target}"), target: (*target).to_owned(), tag: tag.to_owned() };
        missing.extend(image.missing(engine, &mut images).await);
    }
    if !missing.is_empty() {
        base(engine, progress).await?;
        progress.step("building the platform's images (minutes, once)");
        build(engine, &exercises.join("platform"), "images/Dockerfile", &missing).await?;
    }
    Ok(images)
}

fn platform_digest(exercises: &Path) -> Result<String, ImageError> {
    digest(&exercises.join("platform"), &["Cargo.toml", "Cargo.lock", "src", "images"], "")
}

struct Image {
    alias: String,
    target: String,
    tag: String,
}

impl Image {
    /// Itself, if it is not there yet. Candidates' Dockerfiles name the alias alone, so `latest` follows the exact tag.
    async fn missing(self, engine: &Engine, images: &mut Images) -> Option<Self> {
        let exact = format!("{}:{}", self.alias, self.tag);
        images.insert(self.alias.clone(), exact.clone());
        let options = bollard::query_parameters::TagImageOptionsBuilder::new().repo(&self.alias).tag("latest").build();
        engine.api.tag_image(&exact, Some(options)).await.is_err().then_some(self)
    }
}

async fn build(engine: &Engine, context: &Path, dockerfile: &str, images: &[Image]) -> Result<(), ImageError> {
    let certificates = ["/etc/ssl/certs/ca-certificates.crt", "/etc/ssl/cert.pem"].into_iter().find(|path| Path::new(path).exists());
    let secrets = certificates.map_or_else(|| json!({}), |path| json!({ "ca": { "file": path } }));
    let wanted: Vec<&str> = certificates.map(|_| "ca").into_iter().collect();
    let services: serde_json::Map<_, _> = images
        .iter()
        .map(|image| {
            let build = json!({
                "context": context, "dockerfile": dockerfile, "target": image.target, "secrets": wanted,
                "tags": [format!("{}:latest", image.alias)],
            });
            (image.target.clone(), json!({ "image": format!("{}:{}", image.alias, image.tag), "build": build }))
        })
        .collect();
    let project = json!({ "name": "modeldown-images", "services": services, "secrets": secrets }).to_string();
    let mut command = engine.command();
    command.args(["compose", "--progress", "plain", "--file", "-", "build"]);
    run(command, "docker compose build", Some(project.as_bytes())).await
}

/// The base: pulled, else made from the distribution's packages.
async fn base(engine: &Engine, progress: &Progress) -> Result<(), ImageError> {
    if engine.api.inspect_image(BASE).await.is_ok() {
        return Ok(());
    }
    progress.step(format!("getting {BASE}"));
    let mut pull = engine.command();
    pull.args(["pull", "--quiet", BASE]);
    if run(pull, "docker pull", None).await.is_ok() {
        return Ok(());
    }
    progress.step(format!("no registry answers: making {BASE} from Debian's packages"));
    let script = format!(
        "set -eu; dir=$(mktemp -d); trap 'rm -rf \"$dir\"' EXIT; debootstrap --variant=minbase trixie \"$dir/root\" >\"$dir/log\" 2>&1 || {{ tail -5 \"$dir/log\" >&2; exit 1; }}; \
         rm -rf \"$dir\"/root/var/cache/apt/archives/*.deb; tar -C \"$dir/root\" -c . | docker import - {BASE}"
    );
    let mut shell = tokio::process::Command::new("sh");
    // The same cleared environment and engine as every command.
    shell.env_clear().envs(engine.command().as_std().get_envs().filter_map(|(name, value)| Some((name.to_owned(), value?.to_owned()))));
    shell.args(["-c", &script]);
    run(shell, "debootstrap (needs root: run `make setup`, or `docker pull` the base yourself)", None).await
}

async fn run(command: tokio::process::Command, name: &str, input: Option<&[u8]>) -> Result<(), ImageError> {
    let failed = |output: String| ImageError::Failed { command: name.to_owned(), output };
    let output = engine::run(command, input).await.map_err(|error| failed(error.to_string()))?;
    if output.status.success() { Ok(()) } else { Err(failed(engine::tail(&output.stderr))) }
}

/// The first twelve digits of the digest of files and folders, and of what they stand on.
fn digest(root: &Path, parts: &[&str], on: &str) -> Result<String, ImageError> {
    let mut sum = Sha256::new();
    sum.update(on);
    let mut waiting: Vec<PathBuf> = parts.iter().map(|part| root.join(part)).collect();
    let mut files = Vec::new();
    while let Some(path) = waiting.pop() {
        let failed = |source| ImageError::File { path: path.clone(), source };
        if std::fs::metadata(&path).map_err(failed)?.is_dir() {
            for entry in std::fs::read_dir(&path).map_err(failed)? {
                waiting.push(entry.map_err(failed)?.path());
            }
        } else {
            files.push(path);
        }
    }
    files.sort();
    for path in files {
        let content = std::fs::read(&path).map_err(|source| ImageError::File { path: path.clone(), source })?;
        sum.update(path.strip_prefix(root).unwrap_or(&path).to_string_lossy().as_bytes());
        sum.update((content.len() as u64).to_le_bytes());
        sum.update(content);
    }
    Ok(hex(&sum.finalize())[..12].to_owned())
}
