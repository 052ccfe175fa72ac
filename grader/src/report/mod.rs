//! The report: one value, made from a history alone, and one file a format that it is written in.

mod html;
mod incidents;
mod json;
mod lanes;
mod markdown;
mod picture;
mod terminal;
mod timeline;
mod versions;

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use harness::document::Problems;
use schemars::JsonSchema;
use serde::Serialize;

use crate::check::{Exhibit, Figure, Judgement, Verdict, Window, judge, rules};
use crate::history::{BreakRecord, History, Line, Notice, What};
use crate::score::{Item, Outcome, Part, Score, own, score};

pub use incidents::{Deadline, Episode, Fired, First, Lane, Message, Replayed, Scene, Standing};
pub use terminal::table;
pub use timeline::{Fault, PhaseSpan, Second, Timeline};

/// The longest text of a submission that a report shows, in characters.
const LIMIT: usize = 400;

/// Everything that a report says.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
pub struct Report {
    /// The format of this value: 1.
    pub format: u32,
    /// The exercise's id.
    pub exercise: String,
    /// The exercise's title.
    pub title: String,
    /// Whether the score reaches the pass mark.
    pub outcome: Outcome,
    /// The score.
    pub score: Score,
    /// What was broken when the candidate began.
    pub breaks: Vec<BreakReport>,
    /// The seed that picked it.
    pub seed: Option<String>,
    /// When the exam began, RFC 3339.
    pub started: String,
    /// The checks, in the order of the rubric.
    pub checks: Vec<CheckReport>,
    /// Points by competency.
    pub competencies: Vec<Competency>,
    /// What the grader restored by its own means.
    pub restored: Vec<String>,
    /// Remarks of the grader.
    pub notes: Vec<String>,
    /// The exam, second by second.
    pub timeline: Timeline,
    /// The phases that were held, where somebody asked for a part of the exam: that is no grade.
    pub part: Option<Vec<String>>,
    /// What was replayed after the exam; nothing where the exam has no replay.
    pub replayed: Option<Replayed>,
    /// The digest of the exercise.
    pub exercise_digest: String,
    /// The seed from which the exam was drawn.
    pub exam_seed: String,
    /// The grader that held the exam.
    pub grader_version: String,
}

/// A break of the variant, and whether it was repaired.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
pub struct BreakReport {
    /// Its id.
    pub id: String,
    /// What went wrong.
    pub title: String,
    /// How long a good candidate needs, in minutes.
    pub minutes: u32,
    /// Whether the checks that failed because of it pass now.
    pub state: BreakState,
}

/// Whether a break was repaired.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum BreakState {
    /// Every check that failed because of it alone passes.
    Repaired,
    /// Some of them pass, or one passes in part; others do not.
    Partly,
    /// None of them passes, not even in part.
    Open,
    /// One of them was not graded, and none fails.
    NotGraded,
}

/// One check of a report.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
pub struct CheckReport {
    /// Its id.
    pub id: String,
    /// Its title.
    pub title: String,
    /// The requirement's id.
    pub requirement: String,
    /// What the brief says.
    pub requirement_text: String,
    /// What meeting it takes.
    pub competency: String,
    /// The verdict.
    pub verdict: Verdict,
    /// The verdict in one word: passed, partly, failed, not graded.
    pub word: String,
    /// What it gave or took.
    pub item: Item,
    /// What is asked for.
    pub expected: String,
    /// What was seen.
    pub observed: String,
    /// The number in it, where it is a matter of degree.
    pub figure: Option<Figure>,
    /// The part of the exam in which it was looked for; nothing where that was not held.
    pub window: Option<Window>,
    /// Where it was seen.
    pub evidence: Vec<Exhibit>,
    /// The title of the check whose failure explains this one.
    pub caused_by: Option<String>,
}

/// Something that is not met.
#[derive(Serialize)]
struct Open<'a> {
    check: &'a CheckReport,
    /// Whether it was fine when the candidate began.
    regressed: bool,
    /// Titles of checks that fail because of it.
    explains: Vec<&'a str>,
}

/// How a competency did.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
pub struct Competency {
    /// Its name.
    pub name: String,
    /// Checks passed.
    pub passed: usize,
    /// Checks in all.
    pub of: usize,
}

impl Report {
    /// The report of a history.
    pub fn new(history: &History) -> Result<Self, Problems> {
        let (exam, rubric) = rules(history)?;
        let judgements = judge(history, &exam, &rubric);
        let manifest = &history.manifest;
        let score = score(&judgements, &rubric, manifest);
        let titles: BTreeMap<&str, &str> = rubric.checks.iter().map(|check| (check.id.as_str(), check.title.as_str())).collect();
        let mut checks = Vec::new();
        for check in &rubric.checks {
            let (Some(judgement), Some(item)) = (judgements.get(&check.id), score.items.get(&check.id)) else { continue };
            checks.push(CheckReport {
                id: check.id.clone(),
                title: check.title.clone(),
                requirement: check.requirement.clone(),
                requirement_text: history.requirements.get(&check.requirement).cloned().unwrap_or_default(),
                competency: check.competency.clone(),
                word: word(&judgement.verdict).to_owned(),
                verdict: judgement.verdict.clone(),
                item: item.clone(),
                expected: judgement.expected.clone(),
                observed: clean(&judgement.observed),
                figure: judgement.figure,
                window: judgement.window.clone(),
                evidence: judgement.evidence.iter().map(|one| Exhibit { excerpt: clean(&one.excerpt), ..one.clone() }).collect(),
                caused_by: judgement.caused_by.as_deref().and_then(|id| titles.get(id)).map(|title| (*title).to_owned()),
            });
        }
        let mut competencies: Vec<Competency> = Vec::new();
        for check in &checks {
            let index = competencies.iter().position(|one| one.name == check.competency).unwrap_or_else(|| {
                competencies.push(Competency { name: check.competency.clone(), passed: 0, of: 0 });
                competencies.len() - 1
            });
            competencies[index].of += 1;
            competencies[index].passed += usize::from(matches!(check.verdict, Verdict::Passed { .. }));
        }
        let mut restored = Vec::new();
        let mut notes: Vec<String> = Vec::new();
        if manifest.public {
            notes.push(
                "public exercise: a candidate could have looked up what is broken, since neither a company's key nor a private exercise was used"
                    .to_owned(),
            );
        }
        for event in &history.events {
            match &event.what {
                What::Restored { phase, how } => restored.push(format!("before `{phase}`: {how}")),
                What::Note { text } => notes.push(clean(text)),
                What::DriverFault { message } | What::GraderFault { message } => notes.push(format!("a fault of ours: {}", clean(message))),
                _ => {}
            }
        }
        let replayed = history.replay.iter().flatten();
        notes.extend(replayed.filter_map(|line| if let Line::Notice(Notice { message }) = line { Some(clean(message)) } else { None }));
        if history.truncated {
            notes.push("the recording was cut off".to_owned());
        }
        Ok(Self {
            format: 1,
            exercise: manifest.exercise.clone(),
            title: manifest.title.clone(),
            outcome: if manifest.phases.is_some() { Outcome::NotGraded } else { score.outcome() },
            part: manifest.phases.clone(),
            score,
            breaks: manifest.breaks.iter().map(|(id, one)| BreakReport::new(id, one, &own(id, &rubric, manifest), &judgements)).collect(),
            seed: manifest.seed.clone(),
            started: manifest.started.clone(),
            checks,
            competencies,
            restored,
            notes,
            timeline: Timeline::new(history, &exam),
            replayed: Replayed::new(history, &exam, &rubric, &judgements),
            exercise_digest: manifest.exercise_digest.clone(),
            exam_seed: manifest.exam_seed.clone(),
            grader_version: manifest.grader_version.clone(),
        })
    }

    /// The score as people read it: `84.5`, or `60 to 85` where something was not graded.
    pub fn score_text(&self) -> String {
        let Score { low, high, .. } = self.score;
        if (low - high).abs() < f64::EPSILON { format!("{low}") } else { format!("{low} to {high}") }
    }

    /// The outcome in a sentence.
    pub fn sentence(&self) -> String {
        let mark = self.score.pass_mark;
        if let Some(phases) = &self.part {
            return format!("only a part of the exam was held ({}): not graded", phases.join(", "));
        }
        match self.outcome {
            Outcome::Passed => format!("{} of 100 points; {mark} are asked for: passed", self.score_text()),
            Outcome::Failed => format!("{} of 100 points; {mark} are asked for: not passed", self.score_text()),
            Outcome::NotGraded => format!("{} of 100 points, because part of the exam failed on our side: not graded", self.score_text()),
        }
    }

    /// What is not met and explained by nothing else, each with the titles of what it explains.
    fn open(&self) -> Vec<Open<'_>> {
        let unmet = || self.checks.iter().filter(|check| !matches!(check.verdict, Verdict::Passed { .. }));
        let roots = unmet().filter(|check| check.caused_by.is_none());
        let explained =
            |root: &CheckReport| unmet().filter(|check| check.caused_by.as_ref() == Some(&root.title)).map(|check| check.title.as_str()).collect();
        roots
            .map(|check| Open { check, regressed: check.item.part == Part::Guard && check.word != "not graded", explains: explained(check) })
            .collect()
    }

    /// Writes `report.json`, `summary.md` and `report.html` into a folder.
    pub fn write(&self, folder: &Path) -> std::io::Result<()> {
        std::fs::write(folder.join("report.json"), json::render(self)?)?;
        std::fs::write(folder.join("summary.md"), markdown::render(self))?;
        std::fs::write(folder.join("report.html"), html::render(self).map_err(std::io::Error::other)?)
    }
}

impl BreakReport {
    fn new(id: &str, one: &BreakRecord, own: &BTreeSet<&str>, judgements: &BTreeMap<String, Judgement>) -> Self {
        // Behind another break that masks it nothing is its own.
        let shown: BTreeSet<&str> = if own.is_empty() { one.fails.iter().map(String::as_str).collect() } else { own.clone() };
        let verdicts: Vec<&Verdict> = shown.iter().filter_map(|check| judgements.get(*check)).map(|judgement| &judgement.verdict).collect();
        let any = |wanted: fn(&Verdict) -> bool| verdicts.iter().any(|verdict| wanted(verdict));
        let lacks = any(|verdict| matches!(verdict, Verdict::Failed | Verdict::Partial { .. }));
        let earns = any(|verdict| matches!(verdict, Verdict::Passed { .. } | Verdict::Partial { .. }));
        let state = match (lacks, earns) {
            (true, true) => BreakState::Partly,
            (true, false) => BreakState::Open,
            (false, false) => BreakState::NotGraded,
            (false, true) if any(|verdict| matches!(verdict, Verdict::NotGraded { .. })) => BreakState::NotGraded,
            (false, _) => BreakState::Repaired,
        };
        Self { id: id.to_owned(), title: one.title.clone(), minutes: one.minutes, state }
    }
}

fn word(verdict: &Verdict) -> &'static str {
    match verdict {
        Verdict::Passed { .. } => "passed",
        Verdict::Partial { .. } => "partly",
        Verdict::Failed => "failed",
        Verdict::NotGraded { .. } => "not graded",
    }
}

/// A text that may be a submission's, without control codes or direction marks, and not endless.
fn clean(text: &str) -> String {
    let is_odd = |c: char| {
        (c.is_control() && c != '\n') || matches!(c, '\u{061c}' | '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
    };
    let mut cleaned: String = text.chars().take(LIMIT).map(|c| if is_odd(c) { '\u{fffd}' } else { c }).collect();
    if text.chars().nth(LIMIT).is_some() {
        cleaned.push_str(" ...");
    }
    cleaned
}

#[cfg(test)]
mod tests;
