//! `checks.yaml`: what is judged, what it is worth, and which requirement it proves.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use harness::document::{self, Document, Problem, Problems};
use harness::exercise::{Exercise, Source};
use schemars::JsonSchema;
use serde::Deserialize;

use super::{Control, Kind};
use crate::exam::Exam;

/// The whole of `checks.yaml`.
#[derive(Debug, Clone, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Rubric {
    /// The checks, in the order of the report.
    #[schemars(length(min = 1, max = 100))]
    pub checks: Vec<Check>,
}

/// One check.
#[derive(Debug, Clone, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Check {
    /// What breaks and other checks call it.
    #[schemars(regex(pattern = "^[a-z][a-z0-9-]{0,31}$"))]
    pub id: String,
    /// The requirement of the brief that it proves.
    pub requirement: String,
    /// What the report calls it.
    pub title: String,
    /// What it costs of 100 to break it; among the checks that fail because of one break, how that break's worth is shared.
    #[schemars(range(min = 1, max = 100))]
    pub points: u32,
    /// What meeting it takes.
    pub competency: String,
    /// The phase of the exam that it judges.
    pub phase: String,
    /// Earlier checks whose failure explains that this one fails.
    #[serde(default)]
    pub needs: Vec<String>,
    /// What it judges, with its thresholds.
    pub kind: Kind,
}

impl Check {
    /// Whether it is judged by what the replay came to.
    pub fn is_replayed(&self) -> bool {
        self.kind.judge().controls().contains(&Control::Replayed)
    }
}

impl Rubric {
    /// The checks whose failure explains that one fails: those that it needs, those that these need, and so on.
    pub fn needed<'a>(&'a self, check: &'a Check) -> BTreeSet<&'a str> {
        let mut needed = BTreeSet::new();
        let mut open = vec![check];
        while let Some(one) = open.pop() {
            let new = one.needs.iter().filter_map(|need| self.checks.iter().find(|other| other.id == *need));
            open.extend(new.filter(|other| needed.insert(other.id.as_str())));
        }
        needed
    }

    /// Complaints about checks that a file names and the rubric does not have: nobody would ever see them fail.
    pub fn unknown<'a>(&self, named: impl Iterator<Item = &'a String>, file: &Path) -> Vec<Problem> {
        let known: Vec<&str> = self.checks.iter().map(|check| check.id.as_str()).collect();
        let text = std::fs::read_to_string(file).unwrap_or_default();
        let unknown = named.filter(|id| !known.contains(&id.as_str()));
        unknown
            .map(|id| {
                let offset = text.find(id.as_str()).unwrap_or(0);
                let problem = Problem::at(&file.to_string_lossy(), &text, offset, format!("there is no check `{id}`"));
                problem.with_help(format!("known: {}", known.join(", ")))
            })
            .collect()
    }

    /// Complaints about checks that judge a fact for which the exercise does not ask: no submission could meet them.
    pub fn unasked(&self, exercise: &Exercise) -> Vec<Problem> {
        let Source { name, text } = &exercise.checks;
        let judged = self.checks.iter().filter_map(|check| if let Kind::Told(told) = &check.kind { Some(&told.fact) } else { None });
        let unknown = judged.filter(|fact| !exercise.facts.contains(fact));
        let problem = |fact: &String| {
            Problem::at(name, text, text.find(&format!("fact: {fact}")).unwrap_or(0), format!("`past.yaml` does not ask for `{fact}`"))
        };
        unknown.map(|fact| problem(fact).with_help(format!("known: {}", exercise.facts.join(", ")))).collect()
    }

    /// The checks that an exam which is a part of theirs can say something about.
    #[must_use]
    pub fn of(mut self, exam: &Exam) -> Self {
        let held = |id: &str| exam.phases.iter().any(|phase| phase.id == id);
        self.checks.retain(|check| {
            let can_be_read = held(&check.phase) && check.kind.judge().also_reads().is_none_or(held);
            let played = |incident: &&str| exam.replay.iter().flat_map(|replay| &replay.incidents).any(|one| one.id == **incident);
            let is_played = exam.replay.is_some() && check.kind.judge().incidents().iter().all(played);
            can_be_read && (is_played || !check.is_replayed())
        });
        self
    }

    /// The phases that checks, and what they need, read.
    pub fn phases<'a>(&'a self, checks: impl IntoIterator<Item = &'a Check>) -> BTreeSet<&'a str> {
        let read = |check: &'a Check| [Some(check.phase.as_str()), check.kind.judge().also_reads()].into_iter().flatten();
        let find = |id: &str| self.checks.iter().find(|check| check.id == id);
        checks.into_iter().flat_map(|check| read(check).chain(self.needed(check).into_iter().filter_map(find).flat_map(read))).collect()
    }

    /// Reads `checks.yaml`; `name` is what errors call the file.
    pub fn parse(name: &str, text: &str, exam: &Exam, requirements: &BTreeMap<String, String>) -> Result<Self, Problems> {
        let (rubric, document) = document::load::<Self>(name, text)?;
        let problems = rubric.contradictions(&document, exam, requirements);
        if problems.is_empty() { Ok(rubric) } else { Err(Problems(problems)) }
    }

    /// What a schema cannot say.
    fn contradictions(&self, document: &Document, exam: &Exam, requirements: &BTreeMap<String, String>) -> Vec<Problem> {
        let mut problems = Vec::new();
        let phases: Vec<&str> = exam.phases.iter().map(|phase| phase.id.as_str()).collect();
        for (index, check) in self.checks.iter().enumerate() {
            let mut wrong = |key: &str, message: String, known: String| {
                problems.push(document.problem(&format!("/checks/{index}/{key}"), message).with_help(format!("known: {known}")));
            };
            let earlier: Vec<&str> = self.checks[..index].iter().map(|check| check.id.as_str()).collect();
            if earlier.contains(&check.id.as_str()) {
                wrong("id", format!("there is another check `{}`", check.id), earlier.join(", "));
            }
            if !requirements.contains_key(&check.requirement) {
                let known: Vec<&str> = requirements.keys().map(String::as_str).collect();
                wrong("requirement", format!("the brief has no requirement `{}`", check.requirement), known.join(", "));
            }
            for phase in [Some(check.phase.as_str()), check.kind.judge().also_reads()].into_iter().flatten() {
                if !phases.contains(&phase) {
                    wrong("phase", format!("the exam has no phase `{phase}`"), phases.join(", "));
                }
            }
            let incidents: Vec<&str> = exam.replay.iter().flat_map(|replay| &replay.incidents).map(|incident| incident.id.as_str()).collect();
            for incident in check.kind.judge().incidents() {
                if !incidents.contains(&incident) {
                    wrong("kind", format!("the exam replays no incident `{incident}`"), incidents.join(", "));
                }
            }
            for need in &check.needs {
                if !earlier.contains(&need.as_str()) {
                    wrong("needs", format!("no check `{need}` stands before this one"), earlier.join(", "));
                }
            }
        }
        problems
    }
}
