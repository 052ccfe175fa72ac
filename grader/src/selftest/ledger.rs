//! Recordings of cells, kept by the digests of what they were recorded of and by: an exercise's exam and its images, the sources that
//! record, a submission, and how much of an exam was held.
//! Where any of these changes the recording is no proof any more, and is made again; by which rules it is judged does not matter to it.

use std::fs::{File, TryLockError};
use std::path::{Path, PathBuf};

use harness::exercise::{EngineKind, Exercise, Files, hex};
use harness::images::{ImageError, replay_tag, sources};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::{Cell, Level};

/// The digest of the sources by which this program records exams on what an exercise runs on.
fn recorder(engine: EngineKind) -> &'static str {
    match engine {
        EngineKind::Docker => env!("MODELDOWN_RECORDER_DOCKER"),
        EngineKind::Kind => env!("MODELDOWN_RECORDER_KIND"),
    }
}

/// The file that says what was recorded.
const ENTRY: &str = "cell.json";
/// How many characters of an exercise's digest a folder's name has.
const SHORT: usize = 12;

/// What was recorded.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Key {
    /// The digest of the submission's files.
    pub submission: String,
    /// How much of an exam was held.
    pub level: String,
    /// The phases, where it was some of them.
    pub phases: Vec<String>,
}

impl Key {
    /// What a cell wants recorded.
    pub fn of(cell: &Cell) -> Self {
        let phases = if let Level::Segment(phases) = &cell.level { phases.clone() } else { Vec::new() };
        Self { submission: submission(&cell.files), level: cell.level.name().to_owned(), phases }
    }
}

/// What a recording says about itself.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Entry {
    /// What was recorded.
    pub key: Key,
    /// When it was recorded, RFC 3339.
    pub recorded: String,
    /// How many times it was recorded until something could be said.
    pub attempts: u32,
    /// How long that took, without building images, in seconds.
    pub seconds: f64,
    /// With which words it was refused before anything of it ran; nothing where it was not.
    pub refused: Option<String>,
    /// When the exam of the reference began that was replayed, RFC 3339; nothing where none was.
    pub replayed: Option<String>,
}

/// The folder of an exercise's recordings.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ledger {
    folder: PathBuf,
}

/// Why the ledger cannot be read or written.
#[derive(Debug, thiserror::Error)]
#[error("`{}`: {source}", path.display())]
pub struct LedgerError {
    /// The file.
    pub path: PathBuf,
    /// The system's words.
    pub source: std::io::Error,
}

impl LedgerError {
    pub(super) fn at(path: &Path) -> impl FnOnce(std::io::Error) -> Self {
        let path = path.to_owned();
        move |source| Self { path, source }
    }
}

impl Ledger {
    /// The recordings of an exercise below a folder, which need not be there yet.
    pub fn of(exercise: &Exercise, below: &Path) -> Result<Self, ImageError> {
        let digest: String = exercise.exam_digest.chars().take(SHORT).collect();
        // The program that replays is that of the exercises' folder, whichever this program was built with.
        let (images, program, recorder) = (sources(exercise)?, replay_tag(exercise)?, recorder(exercise.manifest.engine));
        Ok(Self { folder: below.join(format!("{}-{digest}-{images}-{program}-{recorder}", exercise.manifest.id)) })
    }

    /// What all of its recordings are of: exam, images and the sources that record.
    pub(super) fn version(&self) -> String {
        self.folder.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default()
    }

    /// Keeps others from recording here as long as the file is open; fails where somebody does.
    pub fn lock(&self) -> Result<File, LedgerError> {
        std::fs::create_dir_all(&self.folder).map_err(LedgerError::at(&self.folder))?;
        let lock = self.folder.join(".lock");
        let file = File::create(&lock).map_err(LedgerError::at(&lock))?;
        match file.try_lock() {
            Ok(()) => Ok(file),
            Err(TryLockError::WouldBlock) => Err(LedgerError::at(&lock)(std::io::Error::other("another selftest records here"))),
            Err(TryLockError::Error(error)) => Err(LedgerError::at(&lock)(error)),
        }
    }

    /// The folder of a cell's recording: a report's folder.
    pub fn place(&self, cell: &Cell) -> PathBuf {
        self.folder.join(&cell.id)
    }

    /// What was recorded of a cell, if it is what the cell wants.
    pub fn read(&self, cell: &Cell) -> Option<Entry> {
        let text = std::fs::read(self.place(cell).join(ENTRY)).ok()?;
        let entry: Entry = serde_json::from_slice(&text).ok()?;
        (entry.key == Key::of(cell)).then_some(entry)
    }

    /// An empty folder for a recording that is being made; what a killed program left in it goes.
    pub(super) fn scratch(&self, cell: &Cell) -> Result<PathBuf, LedgerError> {
        let scratch = self.folder.join(".now").join(cell.id.replace('/', "-"));
        if scratch.exists() {
            std::fs::remove_dir_all(&scratch).map_err(LedgerError::at(&scratch))?;
        }
        std::fs::create_dir_all(&scratch).map_err(LedgerError::at(&scratch))?;
        Ok(scratch)
    }

    /// Takes a recording that is whole; one of another submission under this name goes.
    pub(super) fn keep(&self, cell: &Cell, entry: &Entry, scratch: &Path) -> Result<(), LedgerError> {
        let place = self.place(cell);
        let text = serde_json::to_vec_pretty(entry).unwrap_or_default();
        std::fs::write(scratch.join(ENTRY), text).map_err(LedgerError::at(scratch))?;
        if let Some(parent) = place.parent() {
            std::fs::create_dir_all(parent).map_err(LedgerError::at(parent))?;
        }
        // Moved away whole first: half a recording would be taken for one that contradicts.
        let old = self.folder.join(".now").join("old");
        let is_gone = |path: &Path| if path.exists() { std::fs::remove_dir_all(path).map_err(LedgerError::at(path)) } else { Ok(()) };
        is_gone(&old)?;
        if place.exists() {
            std::fs::rename(&place, &old).map_err(LedgerError::at(&place))?;
        }
        std::fs::rename(scratch, &place).map_err(LedgerError::at(&place))?;
        is_gone(&old)
    }
}

/// A digest of files and their names; those that people read and no exam does are left out.
pub(super) fn submission(files: &Files) -> String {
    let mut digest = Sha256::new();
    for (path, content) in files.iter().filter(|(path, _)| *path != "brief.md" && !path.starts_with(".modeldown/")) {
        for part in [path.as_bytes(), content] {
            digest.update(part.len().to_le_bytes());
            digest.update(part);
        }
    }
    hex(&digest.finalize())
}
