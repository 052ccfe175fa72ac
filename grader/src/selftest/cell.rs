//! What an exercise is proven by: its reference and a broken variant, again and again; the reference under other names; every break alone,
//! in pairs and in groups; every alternative and every cheat.

use std::collections::{BTreeMap, BTreeSet};

use harness::compose;
use harness::document::{Document, Node, Problem, Problems};
use harness::exercise::{Case, CaseKind, EngineKind, Exercise, ExerciseError, Files, Key, Seed, Variant, render_workspace, shuffled};
use harness::manifests::MANIFESTS;
use harness::vetted::Vetted;

use crate::check::{Check, Kind, Rubric};
use crate::exam::{Exam, HEALTHY_SECONDS, MONITORED, Phase, Step, monitoring};

/// The seed of the variant that is examined again and again, and of the pairs that are drawn.
const SEED: &str = "acme-1";
/// How many pairs of breaks are drawn.
const PAIRS: usize = 3;
/// A part of an exam that takes this share of it is not worth it: all of it tells more.
const WORTH_IT: f64 = 0.7;

/// A submission of which it is known what becomes of it.
#[derive(Debug, Clone, PartialEq)]
pub struct Cell {
    /// `break/NAME`, `reference/03`: what people call it, and where its recording stands in the ledger.
    pub id: String,
    /// What it is, in a sentence.
    pub title: String,
    /// What was broken in it, by its variant file.
    pub variant: Variant,
    /// The submission.
    pub files: Files,
    /// How much of an exam shows it.
    pub level: Level,
    /// What becomes of it.
    pub expected: Expected,
}

impl Cell {
    /// The kind of the cell, as its id begins.
    pub fn kind(&self) -> &str {
        self.id.split('/').next().unwrap_or_default()
    }

    /// Whether it is one of many examinations of the same submission.
    pub fn is_repeated(&self) -> bool {
        matches!(self.kind(), "reference" | "untouched")
    }
}

/// How much of an exam a cell needs, from seconds to minutes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Level {
    /// The policy alone: nothing runs.
    Static,
    /// What the reference's exam recorded is replayed with other rules, routes and dashboards.
    Replay,
    /// Some phases.
    Segment(Vec<String>),
    /// All of it.
    Full,
    /// All of it, in another order.
    Permuted,
}

impl Level {
    /// Its name.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Static => "static",
            Self::Replay => "replay",
            Self::Segment(_) => "segment",
            Self::Full => "full",
            Self::Permuted => "permuted",
        }
    }
}

/// What becomes of a submission.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Expected {
    /// The checks that fail.
    pub fails: BTreeSet<String>,
    /// The checks that are met in part; nothing where that is not said.
    pub partly: Option<BTreeSet<String>>,
    /// The score, where all of the exam is held.
    pub score: Option<u32>,
    /// Words of the complaint with which it is refused.
    pub refused: Option<String>,
}

/// Everything that proves an exercise, the dearest of each kind first; the reference and an untouched variant as often as `runs` says.
pub fn cells(exercise: &Exercise, exam: &Exam, rubric: &Rubric, runs: usize) -> Result<Vec<Cell>, ExerciseError> {
    let reference = render_workspace(exercise, &Variant::reference(), &Key::public())?;
    let maker = Maker { exercise, exam, rubric, given: given(&reference, exercise), reference };
    let mut cells = Vec::new();
    let seed = Seed::new(SEED).unwrap_or_else(Seed::fresh);
    let mut repeated = vec![maker.perfect("reference", "the reference", Variant::reference(), Level::Full)?];
    if !exercise.breaks.is_empty() {
        repeated.push(maker.untouched("untouched".to_owned(), Variant::pick(exercise, seed.clone(), &Key::public())?)?);
    }
    for run in 1..=runs {
        cells.extend(repeated.iter().map(|cell| Cell { id: format!("{}/{run:02}", cell.id), ..cell.clone() }));
    }
    // Both at once: neither may cost anything.
    let parameters = exercise.manifest.parameters.iter().filter_map(|one| Some((one.id.clone(), one.choices.last()?.clone())));
    let variant = Variant { parameters: parameters.collect(), ..Variant::reference() };
    let title = "the reference, with the last choice of every parameter, in an exam of another order";
    cells.push(maker.perfect("order/another", title, variant, Level::Permuted)?);
    for (index, group) in groups(exercise).iter().enumerate() {
        cells.push(maker.untouched(format!("group/{:02}", index + 1), Variant::named(exercise, group)?)?);
    }
    for (one, other) in pairs(exercise, &seed) {
        cells.push(maker.broken(format!("pair/{one}+{other}"), Variant::named(exercise, &[one, other])?)?);
    }
    for id in exercise.breaks.keys() {
        cells.push(maker.broken(format!("break/{id}"), Variant::named(exercise, std::slice::from_ref(id))?)?);
    }
    let cases = Case::all(exercise)?;
    let unknown = |case: &Case| rubric.unknown(case.file.fails.iter().chain(&case.file.partly), &case.path(exercise));
    let problems: Vec<Problem> = cases.iter().flat_map(unknown).collect();
    if !problems.is_empty() {
        return Err(Problems(problems).into());
    }
    cells.extend(cases.into_iter().map(|case| maker.case(case)));
    Ok(cells)
}

struct Maker<'a> {
    exercise: &'a Exercise,
    exam: &'a Exam,
    rubric: &'a Rubric,
    reference: Files,
    /// What a replay is given of the reference.
    given: BTreeMap<String, String>,
}

impl Maker<'_> {
    /// A variant in which nothing is broken.
    fn perfect(&self, id: &str, title: &str, variant: Variant, level: Level) -> Result<Cell, ExerciseError> {
        let files = render_workspace(self.exercise, &variant, &Key::public())?;
        let expected = Expected { partly: Some(BTreeSet::new()), score: Some(100), ..Expected::default() };
        Ok(Cell { id: id.to_owned(), title: title.to_owned(), variant, files, level, expected })
    }

    /// A variant that nobody repaired, in a whole exam.
    fn untouched(&self, id: String, variant: Variant) -> Result<Cell, ExerciseError> {
        let files = render_workspace(self.exercise, &variant, &Key::public())?;
        let expected = Expected { fails: self.exercise.baseline(&variant.breaks), score: Some(0), ..Expected::default() };
        let titles = variant.breaks.iter().filter_map(|id| self.exercise.breaks.get(id)).map(|one| one.title.as_str());
        let title = titles.collect::<Vec<_>>().join("; ");
        Ok(Cell { id, title, variant, files, level: Level::Full, expected })
    }

    /// The same, with no more of an exam than shows what is broken.
    fn broken(&self, id: String, variant: Variant) -> Result<Cell, ExerciseError> {
        let whole = self.untouched(id, variant)?;
        let expected = Expected { score: None, ..whole.expected };
        Ok(Cell { level: self.level(&whole.files, &expected), expected, ..whole })
    }

    fn case(&self, case: Case) -> Cell {
        let Case { kind, id, file, files } = case;
        let expected = Expected { fails: file.fails, partly: Some(file.partly), score: None, refused: file.refused };
        let level = self.level(&files, &expected);
        // What is replayed on the reference's exam is judged with the rest of that exam.
        let is_whole = matches!(level, Level::Full | Level::Replay);
        let is_perfect = kind == CaseKind::Alternative && is_whole && expected.fails.is_empty() && expected.partly.iter().all(BTreeSet::is_empty);
        let expected = Expected { score: is_perfect.then_some(100), ..expected };
        Cell { id: format!("{}/{id}", kind.name()), title: file.title, variant: Variant::reference(), level, files, expected }
    }

    /// The cheapest level that can show what is expected of a submission.
    fn level(&self, files: &Files, expected: &Expected) -> Level {
        if expected.refused.is_some() {
            return Level::Static;
        }
        let unmet: Vec<&Check> = expected.fails.iter().chain(expected.partly.iter().flatten()).filter_map(|id| self.check(id)).collect();
        let are_replayed = unmet.iter().all(|check| check.is_replayed());
        if are_replayed && self.exam.replay.is_some() && self.is_seen_by_a_replay(files) {
            return Level::Replay;
        }
        // What fails nothing must be seen to fail nothing; and series are made by all that happens.
        if unmet.is_empty() || unmet.iter().any(|check| matches!(check.kind, Kind::SeriesBudget(_))) {
            return Level::Full;
        }
        let Some(played) = self.played(&unmet) else { return Level::Full };
        let mut needed = self.rubric.phases(unmet);
        needed.extend(played);
        let segment = self.segment(&needed);
        let min = self.exam.part(&segment).map_or(self.exam.min(), |part| part.min());
        if min < self.exam.min().mul_f64(WORTH_IT) { Level::Segment(segment) } else { Level::Full }
    }

    /// The phases that a replay of the incidents needs which checks read; nothing where one of them reads all there are.
    fn played(&self, unmet: &[&Check]) -> Option<BTreeSet<&str>> {
        let mut needed = BTreeSet::new();
        let read = |check: &Check| check.kind.judge().incidents().into_iter().map(str::to_owned).collect::<Vec<_>>();
        for check in unmet.iter().filter(|check| check.is_replayed()) {
            let incidents = read(check);
            let explaining = self.rubric.needed(check).into_iter().filter_map(|id| self.check(id)).flat_map(read);
            if incidents.is_empty() {
                return None;
            }
            let phases = incidents.iter().cloned().chain(explaining).filter_map(|incident| self.exam.phase_of(&incident));
            needed.extend(phases.map(|phase| phase.id.as_str()).collect::<Vec<_>>());
        }
        if !needed.is_empty() {
            // What is well for longest, until a quiet day can be made of it.
            let mut well: Vec<&Phase> = self.exam.phases.iter().filter(|phase| phase.healthy_seconds() > 0 && !phase.makes_faults()).collect();
            well.sort_by_key(|phase| std::cmp::Reverse(phase.healthy_seconds()));
            let mut seconds = 0;
            needed.extend(well.into_iter().map_while(|phase| {
                let is_missing = seconds < HEALTHY_SECONDS;
                seconds += phase.healthy_seconds();
                is_missing.then_some(phase.id.as_str())
            }));
        }
        Some(needed)
    }

    /// The phases that are needed, with the first, in which everything is well, and with every release before a release or a restart: what
    /// a gate refuses says something only where it lets others through, a rollback needs something to go back to, and what comes back
    /// after a restart must be what was released last.
    fn segment(&self, needed: &BTreeSet<&str>) -> Vec<String> {
        let hangs_on_releases = |phase: &Phase| phase.runs_commands() || phase.steps.contains(&Step::Restart {});
        let last = self.exam.phases.iter().rposition(|phase| hangs_on_releases(phase) && needed.contains(phase.id.as_str()));
        let group = last.and_then(|last| self.exam.phases[last].shuffled.as_ref());
        let is_held = |(index, phase): &(usize, &Phase)| {
            let is_before = last.is_some_and(|last| *index <= last) || (group.is_some() && phase.shuffled.as_ref() == group);
            *index == 0 || needed.contains(phase.id.as_str()) || (phase.runs_commands() && is_before)
        };
        self.exam.phases.iter().enumerate().filter(is_held).map(|(_, phase)| phase.id.clone()).collect()
    }

    fn check(&self, id: &str) -> Option<&Check> {
        self.rubric.checks.iter().find(|check| check.id == *id)
    }

    /// Whether a submission differs from the reference only in what a replay is given, and scrapes the same.
    fn is_seen_by_a_replay(&self, files: &Files) -> bool {
        let (ours, theirs) = (&self.given, given(files, self.exercise));
        let dashboards = self.exercise.contract.dashboards.as_ref().map(|folder| format!("{folder}/"));
        let is_dashboard = |path: &String| dashboards.as_ref().is_some_and(|folder| path.starts_with(folder));
        let is_given = |path: &String| ours.contains_key(path) || theirs.contains_key(path) || is_dashboard(path);
        let paths: BTreeSet<&String> = self.reference.keys().chain(files.keys()).filter(|path| !path.starts_with(".modeldown/")).collect();
        let differ = |path: &&String| self.reference.get(*path) != files.get(*path);
        paths.into_iter().filter(differ).all(is_given) && scrapes(ours) == scrapes(&theirs)
    }
}

/// What a replay is given of a submission's files.
fn given(files: &Files, exercise: &Exercise) -> BTreeMap<String, String> {
    // Manifests would have to be rendered; what they render configuration from lies in folders that are called like its roles.
    if exercise.manifest.engine == EngineKind::Kind {
        let folders = MONITORED.map(|role| format!("{MANIFESTS}/{role}/"));
        let given = files.iter().filter(|(path, _)| folders.iter().any(|folder| path.starts_with(folder)));
        return given.filter_map(|(path, content)| Some((path.clone(), String::from_utf8(content.clone()).ok()?))).collect();
    }
    compose::vet(files, &exercise.manifest).map(|vetted| monitoring(&Vetted::Compose(vetted), exercise).files).unwrap_or_default()
}

/// What configurations scrape.
fn scrapes(files: &BTreeMap<String, String>) -> BTreeMap<&str, serde_json::Value> {
    let scrapes = |path: &String, text: &String| Document::parse(path, text).ok()?.root.get("scrape_configs").map(Node::value);
    files.iter().filter_map(|(path, text)| Some((path.as_str(), scrapes(path, text)?))).collect()
}

/// All breaks in as few groups as a first fit makes, of which none hides or meets another in its group. One that is left alone has a cell already.
fn groups(exercise: &Exercise) -> Vec<Vec<String>> {
    let mut groups: Vec<Vec<String>> = Vec::new();
    for id in exercise.breaks.keys() {
        match groups.iter_mut().find(|group| !group.iter().any(|other| exercise.excludes(id, other))) {
            Some(group) => group.push(id.clone()),
            None => groups.push(vec![id.clone()]),
        }
    }
    groups.retain(|group| group.len() > 1);
    groups
}

/// Pairs of breaks that fit together, drawn.
fn pairs(exercise: &Exercise, seed: &Seed) -> Vec<(String, String)> {
    let both = |one| exercise.breaks.keys().map(move |other| (one, other));
    let mut all: Vec<(&String, &String)> = exercise.breaks.keys().flat_map(both).filter(|(one, other)| one < other).collect();
    all.retain(|(one, other)| !exercise.excludes(one, other));
    let drawn = shuffled(all, &mut seed.stream(&exercise.manifest.id, "pairs of a selftest"));
    drawn.into_iter().take(PAIRS).map(|(one, other)| (one.clone(), other.clone())).collect()
}
