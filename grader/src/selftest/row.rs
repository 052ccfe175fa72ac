//! What became of a cell, without its recording: what a page is made of, and what is kept where recordings are too large to be. A file of rows says
//! what was held on other machines and other days; what says that it is of another version counts for nothing.

use std::collections::BTreeMap;
use std::io::Write;
use std::path::Path;

use harness::document::Problems;
use harness::exercise::{Exercise, hex};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::agree::{differences, is_open, said};
use super::ledger::{Entry, Ledger, LedgerError, submission};
use super::{Cell, Level};
use crate::check::{Figure, Rubric};
use crate::exam::QUIET;
use crate::history::{History, Line};
use crate::report::Report;

/// The digest of the sources by which this program judges.
const JUDGES: &str = env!("MODELDOWN_JUDGES");

/// What became of a cell.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Row {
    /// The exercise.
    pub exercise: String,
    /// The cell's id.
    pub cell: String,
    /// The digest of everything that this may depend on: exam, images, submission, what records, what judges, and what is expected.
    pub version: String,
    /// The machine that held it, in a sentence.
    pub machine: String,
    /// What its recording says about itself.
    pub entry: Entry,
    /// The score, as reports write it; nothing where it was refused.
    pub score: Option<String>,
    /// What became of each check that it says something of.
    pub checks: BTreeMap<String, Seen>,
    /// How long each phase took that was held to its end, in seconds.
    pub phases: BTreeMap<String, f64>,
    /// How many pages its alerts sent on the quiet day; nothing where no day was played.
    pub quiet_pages: Option<usize>,
    /// In what it differs from what is expected.
    pub differences: Vec<String>,
    /// Whether it must be held again to say something: not all of it was graded, and what was does not differ.
    pub is_open: bool,
}

/// What became of a check.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Seen {
    /// The verdict in one word.
    pub word: String,
    /// The number in it, where it is a matter of degree.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub figure: Option<Figure>,
}

impl Row {
    /// What a recording comes to; without one the submission was refused.
    pub fn new(cell: &Cell, of: Version, entry: Entry, history: Option<&History>, rubric: &Rubric) -> Result<Self, Problems> {
        let report = history.map(Report::new).transpose()?;
        let differences = match (&cell.expected.refused, &entry.refused, &report) {
            (Some(words), Some(said), _) if said.contains(words.as_str()) => Vec::new(),
            (Some(words), Some(said), _) => vec![format!("it is refused with other words than `{words}`: {said}")],
            (Some(_), None, _) => vec!["it is not refused".to_owned()],
            (None, Some(said), _) => vec![format!("it is refused: {said}")],
            (None, None, Some(report)) => differences(cell, report, rubric),
            (None, None, None) => vec!["there is no recording".to_owned()],
        };
        let checks = report.iter().flat_map(|report| said(cell, report, rubric));
        let spans = report.iter().flat_map(|report| &report.timeline.phases);
        let is_page = |line: &&Line| matches!(line, Line::Notification(one) if one.trace == QUIET && one.urgency == "page");
        Ok(Self {
            exercise: of.exercise,
            cell: cell.id.clone(),
            version: of.digest,
            machine: of.machine,
            score: report.as_ref().map(Report::score_text),
            checks: checks.map(|check| (check.id.clone(), Seen { word: check.word.clone(), figure: check.figure })).collect(),
            phases: spans.filter_map(|span| Some((span.id.clone(), span.to? - span.from?))).collect(),
            quiet_pages: history.and_then(|history| Some(history.replay.as_ref()?.iter().filter(is_page).count())),
            is_open: report.as_ref().is_some_and(|report| is_open(cell, report, rubric)),
            differences,
            entry,
        })
    }

    /// How many of its checks were not graded.
    pub fn not_graded(&self) -> usize {
        self.checks.values().filter(|check| check.word == "not graded").count()
    }

    /// Whether it contradicts what is expected: such a row is never replaced by another of its version.
    pub fn differs(&self) -> bool {
        !self.is_open && !self.differences.is_empty()
    }

    /// Which of two rows says what became of the cell: of one version the one that differs, and else the one that is not open; the newer one where
    /// that says nothing.
    #[must_use]
    pub fn or(self, newer: Self) -> Self {
        let stays = self.version == newer.version && (self.differs() || (newer.is_open && !self.is_open));
        if stays { self } else { newer }
    }
}

/// What a row is of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Version {
    exercise: String,
    /// The digest of everything that it may depend on.
    pub digest: String,
    machine: String,
}

impl Version {
    /// The version that the row of a cell must be of, and the machine that it is held on.
    pub fn of(cell: &Cell, exercise: &Exercise, ledger: &Ledger, machine: &str) -> Self {
        let mut digest = Sha256::new();
        let phases = if let Level::Segment(phases) = &cell.level { phases.join(",") } else { cell.level.name().to_owned() };
        let expected = format!("{:?}", cell.expected);
        for part in [ledger.version().as_str(), JUDGES, &exercise.checks.text, &phases, &expected, &submission(&cell.files)] {
            digest.update(part.len().to_le_bytes());
            digest.update(part);
        }
        let digest = hex(&digest.finalize()).chars().take(16).collect();
        Self { exercise: exercise.manifest.id.clone(), digest, machine: machine.to_owned() }
    }
}

/// Rows by exercise and cell.
pub type Rows = BTreeMap<(String, String), Row>;

/// The rows of a file; none where there is no file.
pub fn rows(file: &Path) -> Result<Rows, LedgerError> {
    let text = match std::fs::read_to_string(file) {
        Ok(text) => text,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Rows::new()),
        Err(error) => return Err(LedgerError::at(file)(error)),
    };
    let mut rows = Rows::new();
    for (index, line) in text.lines().enumerate().filter(|(_, line)| !line.is_empty()) {
        let why = |error| std::io::Error::other(format!("line {}: {error}; a row of another grader can go", index + 1));
        keep(&mut rows, serde_json::from_str(line).map_err(|error| LedgerError::at(file)(why(error)))?);
    }
    Ok(rows)
}

fn keep(rows: &mut Rows, row: Row) {
    let key = (row.exercise.clone(), row.cell.clone());
    let kept = match rows.remove(&key) {
        Some(before) => before.or(row),
        None => row,
    };
    rows.insert(key, kept);
}

/// Adds rows to a file, one a line, by their cells; what others wrote meanwhile stays.
pub fn add_rows(file: &Path, new: impl IntoIterator<Item = Row>) -> Result<Rows, LedgerError> {
    let mut rows = rows(file)?;
    new.into_iter().for_each(|row| keep(&mut rows, row));
    let text: String = rows.values().map(|row| serde_json::to_string(row).unwrap_or_default() + "\n").collect();
    let folder = file.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let mut beside = tempfile::NamedTempFile::new_in(folder).map_err(LedgerError::at(folder))?;
    beside.write_all(text.as_bytes()).map_err(LedgerError::at(file))?;
    beside.persist(file).map_err(|error| LedgerError::at(file)(error.error))?;
    Ok(rows)
}
