//! What became of a cell, without its recording: what a page is made of, and what is kept where recordings are too large to be. A file of rows says
//! what was held on other machines and other days; what says that it is of another version counts for nothing.

use std::collections::BTreeMap;
use std::path::Path;

use harness::document::Problems;
use harness::exercise::{Exercise, hex};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::agree::{differences, is_open};
use super::ledger::{Entry, Ledger, LedgerError};
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
    /// Its id.
    pub cell: String,
    /// The digest of everything that this may depend on: exam, images, submission, what records, what judges, and what is expected.
    pub version: String,
    /// What its recording says about itself.
    pub entry: Entry,
    /// The score, as reports write it; nothing where it was refused.
    pub score: Option<String>,
    /// What became of each check.
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
    pub fn new(cell: &Cell, version: String, entry: Entry, history: Option<&History>, rubric: &Rubric) -> Result<Self, Problems> {
        let report = history.map(Report::new).transpose()?;
        let differences = match (&cell.expected.refused, &entry.refused, &report) {
            (Some(words), Some(said), _) if said.contains(words.as_str()) => Vec::new(),
            (Some(words), Some(said), _) => vec![format!("it is refused with other words than `{words}`: {said}")],
            (Some(_), None, _) => vec!["it is not refused".to_owned()],
            (None, Some(said), _) => vec![format!("it is refused: {said}")],
            (None, None, Some(report)) => differences(cell, report, rubric),
            (None, None, None) => vec!["there is no recording".to_owned()],
        };
        let checks = report.iter().flat_map(|report| &report.checks);
        let spans = report.iter().flat_map(|report| &report.timeline.phases);
        let is_page = |line: &&Line| matches!(line, Line::Notification(one) if one.trace == QUIET && one.urgency == "page");
        Ok(Self {
            cell: cell.id.clone(),
            version,
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
}

/// The version of a cell that its row must be of.
pub fn version(cell: &Cell, exercise: &Exercise, ledger: &Ledger) -> String {
    let mut digest = Sha256::new();
    let phases = if let Level::Segment(phases) = &cell.level { phases.join(",") } else { cell.level.name().to_owned() };
    for part in [
        ledger.version().as_bytes(),
        JUDGES.as_bytes(),
        exercise.checks.text.as_bytes(),
        phases.as_bytes(),
        format!("{:?}", cell.expected).as_bytes(),
    ] {
        digest.update(part.len().to_le_bytes());
        digest.update(part);
    }
    digest.update(super::ledger::submission(&cell.files));
    hex(&digest.finalize()).chars().take(16).collect()
}

/// The rows of a file, by cell; none where there is no file.
pub fn rows(file: &Path) -> Result<BTreeMap<String, Row>, LedgerError> {
    let text = match std::fs::read_to_string(file) {
        Ok(text) => text,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(BTreeMap::new()),
        Err(error) => return Err(LedgerError::at(file)(error)),
    };
    let read = |(index, line): (usize, &str)| {
        let row: Row =
            serde_json::from_str(line).map_err(|error| LedgerError::at(file)(std::io::Error::other(format!("line {}: {error}", index + 1))))?;
        Ok((row.cell.clone(), row))
    };
    text.lines().enumerate().filter(|(_, line)| !line.is_empty()).map(read).collect()
}

/// Writes rows, one a line, by their cells.
pub fn write_rows(file: &Path, rows: &BTreeMap<String, Row>) -> Result<(), LedgerError> {
    let text: String = rows.values().map(|row| serde_json::to_string(row).unwrap_or_default() + "\n").collect();
    let beside = file.with_extension("new");
    std::fs::write(&beside, text).map_err(LedgerError::at(&beside))?;
    std::fs::rename(&beside, file).map_err(LedgerError::at(file))
}
