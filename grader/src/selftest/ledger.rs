//! Recordings of cells, kept by the digests of what they were recorded of and by: an exercise, the sources that record, a submission.
//! Where any of these changes the recording is no proof any more, and is made again.

use std::path::{Path, PathBuf};

use harness::exercise::{Exercise, Files};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::Cell;

/// The digest of the sources by which this program records exams.
const RECORDER: &str = env!("MODELDOWN_RECORDER");
/// The file that says what was recorded.
const ENTRY: &str = "cell.json";
/// How many characters of a digest a folder's name has.
const SHORT: usize = 12;

/// What a recording says about itself.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Entry {
    /// The digest of the submission's files.
    pub submission: String,
    /// When it was recorded, RFC 3339.
    pub recorded: String,
    /// How long that took, without building images, in seconds.
    pub seconds: f64,
    /// With which words it was refused before anything of it ran; nothing where it was not.
    pub refused: Option<String>,
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
    pub fn of(exercise: &Exercise, below: &Path) -> Self {
        let digest = exercise.digest.get(..SHORT).unwrap_or(&exercise.digest);
        Self { folder: below.join(format!("{}-{digest}-{RECORDER}", exercise.manifest.id)) }
    }

    /// Where it is.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// The folder of a cell's recording: a report's folder.
    pub fn place(&self, cell: &Cell) -> PathBuf {
        self.folder.join(&cell.id)
    }

    /// What was recorded of a cell, if it was of this submission.
    pub fn read(&self, cell: &Cell) -> Option<Entry> {
        let text = std::fs::read(self.place(cell).join(ENTRY)).ok()?;
        let entry: Entry = serde_json::from_slice(&text).ok()?;
        (entry.submission == submission(&cell.files)).then_some(entry)
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
        if place.exists() {
            std::fs::remove_dir_all(&place).map_err(LedgerError::at(&place))?;
        }
        if let Some(parent) = place.parent() {
            std::fs::create_dir_all(parent).map_err(LedgerError::at(parent))?;
        }
        std::fs::rename(scratch, &place).map_err(LedgerError::at(&place))
    }
}

/// A digest of files and their names.
pub(super) fn submission(files: &Files) -> String {
    let mut digest = Sha256::new();
    for (path, content) in files {
        for part in [path.as_bytes(), content] {
            digest.update(part.len().to_le_bytes());
            digest.update(part);
        }
    }
    digest.finalize().iter().map(|byte| format!("{byte:02x}")).collect()
}
