//! `grader selftest`

use std::path::PathBuf;
use std::process::ExitCode;
use std::str::FromStr;

use globset::Glob;
use harness::cli::CliError as Shared;
use harness::engine::Engine;
use harness::exercise::Exercise;
use harness::progress::Progress;
use harness::{exercise, exit, images, output};
use serde_json::json;

use super::{CliError, loaded};
use crate::check::Rubric;
use crate::history::History;
use crate::selftest::{
    Cell, Entry, Held, HoldError, KINDS, Ledger, Level, Means, Row, Rows, Stop, Version, add_rows, cells, hold, of_today, page, rows,
};

/// The cell whose recording others are replayed on.
const REFERENCE: &str = "reference/01";

#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  grader selftest model-down --list
  grader selftest model-down 'break/*' 'cheat/*'
  grader selftest model-down --shard 1/3
  grader selftest model-down --runs 20 --rows docs/validity.jsonl --page docs/validity.md

Exit codes: 0 everything agrees with what the exercise says, 1 something
differs, 4 something could not be recorded or was not graded")]
pub(super) struct Arguments {
    /// The exercise.
    exercise: String,
    /// Which submissions, by their name or a pattern of names; all of them without.
    cells: Vec<String>,
    /// How often the reference and an untouched variant are examined.
    #[arg(long, value_name = "N", default_value_t = 1)]
    runs: usize,
    /// Every Nth submission only, beginning with the Kth: for several machines.
    #[arg(long, value_name = "K/N")]
    shard: Option<Shard>,
    /// Where recordings are kept: what is there is not recorded again.
    #[arg(long, value_name = "DIR", default_value = "report/selftest")]
    ledger: PathBuf,
    /// What an exam of the reference recorded, instead of one of the ledger.
    #[arg(long, value_name = "DIR", conflicts_with_all = ["rows", "page"])]
    history: Option<PathBuf>,
    /// Lists the submissions, and runs nothing.
    #[arg(long)]
    list: bool,
    /// What became of submissions on other machines and days, a JSON object a line: what it says of this version is not held again, and what is
    /// held now is added to it.
    #[arg(long, value_name = "FILE")]
    rows: Option<PathBuf>,
    /// Writes what is known as a page of Markdown.
    #[arg(long, value_name = "FILE")]
    page: Option<PathBuf>,
    /// Writes JSON.
    #[arg(long)]
    json: bool,
}

/// One of so many parts.
#[derive(Debug, Clone, Copy)]
struct Shard {
    part: usize,
    of: usize,
}

impl FromStr for Shard {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let numbers = text.split_once('/').and_then(|(part, of)| Some((part.parse().ok()?, of.parse().ok()?)));
        match numbers {
            Some((part, of)) if (1..=of).contains(&part) => Ok(Self { part, of }),
            _ => Err("say which part of how many, such as 2/3".to_owned()),
        }
    }
}

impl Arguments {
    pub(super) async fn run(self, exercises: Option<PathBuf>) -> Result<ExitCode, CliError> {
        let exercises = exercise::folder(exercises)?;
        let exercise = Exercise::find(&self.exercise, &exercises)?;
        let (exam, rubric) = loaded(&exercise)?;
        let all = cells(&exercise, &exam, &rubric, self.runs.max(1))?;
        let chosen = self.chosen(&all)?;
        let ledger = Ledger::of(&exercise, &self.ledger)?;
        let known = self.rows.as_deref().map(rows).transpose()?.unwrap_or_default();
        let reference = all.iter().find(|cell| cell.id == REFERENCE);
        let history = self.history.clone().or_else(|| Some(ledger.place(reference?).join("history"))).unwrap_or_default();
        let means = Means { exercise: &exercise, exercises: &exercises, ledger: &ledger, history: &history };
        let mut proof = Proof { rubric: &rubric, machine: String::new(), rows: known, must_record: None, means };
        if self.list {
            return self.tell_list(&chosen, &proof);
        }
        let _lock = ledger.lock()?;
        let engine = Engine::connect().await?;
        proof.machine = harness::engine::machine(&engine.version);
        let progress = Progress::stderr();
        images::ensure(&engine, &exercise, &progress).await?;
        if exam.replay.is_some() {
            images::replay(&engine, &exercises, &progress).await?;
        }
        let mut work = chosen.clone();
        // What is replayed on its recording comes after it, and brings it along.
        if self.history.is_none() && chosen.iter().any(|cell| cell.level == Level::Replay && proof.known(cell).is_none()) {
            work.retain(|cell| cell.id != REFERENCE);
            work.splice(0..0, reference);
            proof.must_record = reference;
        }
        let (mut different, mut unknown, mut stop) = (0, 0, Stop::default());
        for (index, cell) in work.iter().enumerate() {
            let told = || progress.step(format!("{} of {}: {} ({})", index + 1, work.len(), cell.id, cell.level.name()));
            let Some(held) = proof.held(cell, &mut stop, told).await? else {
                unknown += 1;
                continue;
            };
            if held.row.differs() {
                different += 1;
            } else if held.row.not_graded() > 0 {
                unknown += 1;
            }
            self.tell(&held, &ledger)?;
            if let Some(file) = &self.rows {
                proof.rows = add_rows(file, [held.row])?;
            }
        }
        progress.done();
        if let Some(file) = &self.page {
            // As often as the reference was held in any run of this command.
            let of_this = proof.rows.values().filter(|row| row.exercise == exercise.manifest.id);
            let most = of_this.filter_map(|row| row.cell.strip_prefix("reference/")?.parse().ok()).max().unwrap_or(1);
            let all = cells(&exercise, &exam, &rubric, self.runs.max(most))?;
            let held: Vec<Held<'_>> = all.iter().filter_map(|cell| proof.told(cell)).collect();
            std::fs::write(file, page(&exercise, &exam, &rubric, &held, &all)).map_err(Shared::file(file))?;
        }
        output::say(format_args!("{} of {} agree with what `{}` says of them", work.len() - different - unknown, work.len(), exercise.manifest.id));
        Ok(ExitCode::from(match (different, unknown) {
            (_, 1..) => exit::NOT_GRADED,
            (1.., 0) => exit::BELOW,
            (0, 0) => exit::DONE,
        }))
    }

    /// The cells that were asked for.
    fn chosen<'a>(&self, all: &'a [Cell]) -> Result<Vec<&'a Cell>, CliError> {
        let patterns = self.cells.iter().map(|cell| Ok(Glob::new(cell)?.compile_matcher())).collect::<Result<Vec<_>, globset::Error>>();
        let patterns = patterns.map_err(|error| Shared::usage(error.to_string()))?;
        if let Some(unknown) = patterns.iter().find(|pattern| !all.iter().any(|cell| pattern.is_match(&cell.id))) {
            let kinds = KINDS.map(|(kind, _)| format!("{kind}/*")).join(", ");
            let message = format!("no submission is called `{}`; known: {kinds}; `--list` lists all of them", unknown.glob());
            Err(Shared::usage(message))?;
        }
        let is_named = |cell: &&Cell| patterns.is_empty() || patterns.iter().any(|pattern| pattern.is_match(&cell.id));
        let named: Vec<&Cell> = all.iter().filter(is_named).collect();
        let in_shard = |index: usize| self.shard.is_none_or(|shard| index % shard.of == shard.part - 1);
        Ok(named.into_iter().enumerate().filter(|(index, _)| in_shard(*index)).map(|(_, cell)| cell).collect())
    }

    fn tell_list(&self, chosen: &[&Cell], proof: &Proof<'_>) -> Result<ExitCode, CliError> {
        let is_known = |cell: &Cell| proof.known(cell).is_some();
        if self.json {
            let row = |cell: &&Cell| json!({ "id": cell.id, "title": cell.title, "level": cell.level.name(), "recorded": is_known(cell) });
            output::print(json!({ "cells": chosen.iter().map(row).collect::<Vec<_>>() }))?;
        } else {
            for cell in chosen {
                let mark = if is_known(cell) { "recorded" } else { "" };
                output::print(format_args!("{:<8} {:<8} {}", cell.level.name(), mark, cell.id))?;
            }
        }
        Ok(ExitCode::from(exit::DONE))
    }

    fn tell(&self, held: &Held<'_>, ledger: &Ledger) -> Result<(), CliError> {
        let cell = held.cell;
        let place = ledger.place(cell);
        if self.json {
            output::print(json!({
                "id": cell.id, "level": cell.level.name(), "seconds": held.row.entry.seconds, "agrees": held.row.differences.is_empty(),
                "differences": held.row.differences, "not_graded": held.row.not_graded(), "attempts": held.row.entry.attempts, "report": place,
            }))?;
            return Ok(());
        }
        let word = if held.row.differences.is_empty() { "agrees" } else { "DIFFERS" };
        output::print(format_args!("{word:<8} {:<8} {:>4.0} s  {}", cell.level.name(), held.row.entry.seconds, cell.id))?;
        for difference in &held.row.differences {
            output::print(format_args!("         {difference}"))?;
        }
        if !held.row.differences.is_empty() && place.is_dir() {
            output::print(format_args!("         its recording: {}", place.display()))?;
        }
        Ok(())
    }
}

/// What cells are recorded and judged with.
struct Proof<'a> {
    rubric: &'a Rubric,
    /// This one, in a sentence.
    machine: String,
    /// What became of cells on this and other machines and days.
    rows: Rows,
    /// The cell of which a recording is needed, and not only a row.
    must_record: Option<&'a Cell>,
    means: Means<'a>,
}

impl Proof<'_> {
    /// What became of a cell: held now where nobody knows, and once more where that leaves it open; nothing where it cannot be held, which is said.
    async fn held<'c>(&self, cell: &'c Cell, stop: &mut Stop, tell: impl Fn()) -> Result<Option<Held<'c>>, CliError> {
        let must_record = self.must_record.is_some_and(|one| one.id == cell.id) && self.recorded(cell).is_none();
        let attempts = match self.told(cell) {
            Some(held) if held.row.is_open => held.row.entry.attempts,
            Some(held) if !must_record => return Ok(Some(held)),
            _ => 0,
        };
        tell();
        let first = self.made(cell, attempts + 1, stop).await?;
        // What is replayed comes to the same again.
        let is_open = first.as_ref().is_some_and(|held| held.row.is_open) && cell.level != Level::Replay;
        if !is_open {
            return Ok(first);
        }
        output::say(format_args!("grader: {}: not all of it was graded; it is held again, which its page counts", cell.id));
        tell();
        Ok(self.made(cell, attempts + 2, stop).await?.or(first))
    }

    async fn made<'c>(&self, cell: &'c Cell, attempt: u32, stop: &mut Stop) -> Result<Option<Held<'c>>, CliError> {
        match hold(cell, &self.means, attempt, stop).await {
            Ok(entry) => self.judged(cell, entry).map(Some),
            Err(HoldError::Interrupted(interrupt)) => Err(interrupt.into()),
            Err(error) => {
                output::say(format_args!("grader: {}: {error}", cell.id));
                Ok(None)
            }
        }
    }

    /// A cell's recording, judged.
    fn judged<'c>(&self, cell: &'c Cell, entry: Entry) -> Result<Held<'c>, CliError> {
        let Means { exercise, ledger, .. } = self.means;
        let folder = ledger.place(cell).join("history");
        let history = if folder.is_dir() { Some(of_today(History::read(&folder)?, exercise, &cell.variant)) } else { None };
        let version = Version::of(cell, exercise, ledger, &self.machine);
        let row = Row::new(cell, version, entry, history.as_ref(), self.rubric).map_err(CliError::Rules)?;
        Ok(Held { cell, row })
    }

    /// What the ledger has of a cell; nothing where that cannot be read, or replays an exam that is not there any more.
    fn recorded<'c>(&self, cell: &'c Cell) -> Option<Held<'c>> {
        let held = self.judged(cell, self.means.ledger.read(cell)?).ok()?;
        let is_of_this = |replayed: &String| History::read(self.means.history).is_ok_and(|history| history.manifest.started == *replayed);
        held.row.entry.replayed.as_ref().is_none_or(is_of_this).then_some(held)
    }

    /// What is known of a cell, by its recording here and by what was written down of it.
    fn told<'c>(&self, cell: &'c Cell) -> Option<Held<'c>> {
        let Means { exercise, ledger, .. } = self.means;
        let version = Version::of(cell, exercise, ledger, &self.machine).digest;
        let written = self.rows.get(&(exercise.manifest.id.clone(), cell.id.clone())).filter(|row| row.version == version).cloned();
        let row = match (written, self.recorded(cell).map(|held| held.row)) {
            (Some(written), Some(recorded)) => written.or(recorded),
            (written, recorded) => written.or(recorded)?,
        };
        Some(Held { cell, row })
    }

    /// The same, unless it leaves the cell open: then it is held again. What differs stays.
    fn known<'c>(&self, cell: &'c Cell) -> Option<Held<'c>> {
        self.told(cell).filter(|held| !held.row.is_open)
    }
}
