//! The score: points repaired, of what was broken, less what was broken anew.
//!
//! A check that failed on the untouched variant is a *repair*: it earns its points by passing. Every other check is a *guard*:
//! it earns nothing, and costs its points by failing. Guards that stand on the same root (by `needs`) are one cluster, of
//! which only the dearest failure is charged: one cause is paid for once. Where two are equally dear it is the one whose id comes
//! first, so that the order of a rubric says nothing but in which order a report lists checks. The reference's own grade has
//! nothing to repair, and begins at 100.
//!
//! A guard that fails costs at most as much as the least that any repair among the checks that it needs has earned: where one of them
//! still fails the cause is paid for, and nobody who repairs it later loses by what shows only then. For the same reason guards that
//! need the same repair are one cluster, too. A guard that needs what another break hides costs nothing.
//!
//! What there is to repair is worth 100 together. Each break weighs as many parts as minutes that a good candidate needs for it, and
//! shares them among the checks that fail because of it alone, by their points. A check that fails because of two breaks is nobody's
//! repair: it is a guard that costs at most what either break's own have earned together, so that a break that is left open costs its
//! minutes and no more. (Only of a break that has no check to itself, which no seed picks, does such a check get the share.)
//! What a break breaks behind another that masks it neither earns nor costs. No seed picks two such breaks; people may.
//!
//! `docs/scoring.md` explains all of this to people who hire.

use std::collections::{BTreeMap, BTreeSet};

use schemars::JsonSchema;
use serde::Serialize;

use crate::check::{Check, Judgement, Rubric};
use crate::history::{BreakRecord, Manifest};

/// What a check is to the score.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Part {
    /// It was broken, and earns its points by passing.
    Repair,
    /// It was fine, and costs its points by failing.
    Guard,
    /// It was broken by more than one break, and costs its points by failing when all of them are repaired.
    Shared,
    /// It was broken behind another break that masks it: nobody could see it, so it neither earns nor costs.
    Hidden,
}

/// A score of 100, as an interval: wide where something was not graded.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
pub struct Score {
    /// With everything that was not graded failed.
    pub low: f64,
    /// With everything that was not graded passed.
    pub high: f64,
    /// What is asked for.
    pub pass_mark: u32,
    /// What each check gave or took, in points of 100, at the low end.
    pub items: BTreeMap<String, Item>,
}

/// What a check gave or took.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
pub struct Item {
    /// What it is to the score.
    pub part: Part,
    /// What it could give (a repair) or take (a guard, or what is shared), in points of 100.
    pub of: f64,
    /// What it gave, or took where it is negative.
    pub earned: f64,
}

/// What a score says of a candidate.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// At or above the pass mark.
    Passed,
    /// Below it.
    Failed,
    /// On either side of it, depending on what was not graded.
    NotGraded,
}

impl Score {
    /// Which side of the pass mark it is on.
    pub fn outcome(&self) -> Outcome {
        let mark = f64::from(self.pass_mark);
        match (self.low >= mark, self.high >= mark) {
            (true, _) => Outcome::Passed,
            (false, false) => Outcome::Failed,
            (false, true) => Outcome::NotGraded,
        }
    }
}

/// Scores judgements. A check without a judgement counts as not graded.
pub fn score(judgements: &BTreeMap<String, Judgement>, rubric: &Rubric, manifest: &Manifest) -> Score {
    let own = manifest.breaks.keys().map(|id| (id.as_str(), own(id, rubric, manifest))).collect();
    let weights = weights(rubric, manifest, &own);
    let parts = rubric.checks.iter().map(|check| (check.id.as_str(), worth(check, manifest, &weights))).collect();
    let is_guard = |check: &&Check| matches!(part(&parts, &check.id), Part::Guard | Part::Shared);
    let guards: Vec<Guard<'_>> = rubric.checks.iter().filter(is_guard).map(|check| Guard::new(check, rubric, manifest, &own, &parts)).collect();
    let clusters = clusters(&guards);
    let start = if weights.is_empty() { 100.0 } else { 0.0 };
    let shares = |check: &Check| judgements.get(&check.id).map_or((0.0, 1.0), |judgement| judgement.verdict.shares());
    let items = |share: &dyn Fn(&Check) -> f64| items(rubric, &parts, guards.iter().zip(&clusters), share);
    let (low, high) = (items(&|check| shares(check).0), items(&|check| shares(check).1));
    // A hair up, so that points that cancel each other out leave no trace.
    let total = |items: &BTreeMap<String, Item>| tenths((start + items.values().map(|item| item.earned).sum::<f64>() + 1e-9).clamp(0.0, 100.0));
    let rounded = |item: Item| Item { of: tenths(item.of), earned: tenths(item.earned), ..item };
    let (low_total, high_total) = (total(&low), total(&high));
    let items = low.into_iter().map(|(id, item)| (id, rounded(item))).collect();
    Score { low: low_total, high: high_total, pass_mark: manifest.pass_mark, items }
}

/// What is each break's own, by its id.
type Own<'a> = BTreeMap<&'a str, BTreeSet<&'a str>>;
/// What each check is to the score, and how many points of 100 it could give or take, by its id.
type Parts<'a> = BTreeMap<&'a str, (Part, f64)>;

fn part(parts: &Parts<'_>, id: &str) -> Part {
    parts[id].0
}

/// What each repair is worth, of 100.
fn weights<'a>(rubric: &'a Rubric, manifest: &Manifest, own: &Own<'_>) -> BTreeMap<&'a str, f64> {
    let mut weights: BTreeMap<&str, f64> = BTreeMap::new();
    for (id, one) in &manifest.breaks {
        let repairs: Vec<&Check> = rubric.checks.iter().filter(|check| own[id.as_str()].contains(check.id.as_str())).collect();
        let points: u32 = repairs.iter().map(|check| check.points).sum();
        for check in repairs {
            *weights.entry(&check.id).or_default() += f64::from(one.minutes * check.points) / f64::from(points);
        }
    }
    let whole: f64 = weights.values().sum();
    for weight in weights.values_mut() {
        *weight *= 100.0 / whole;
    }
    weights
}

/// The checks by which it shows whether a break was repaired: those that fail because of no other break of the variant; where there are
/// none, all that it fails.
pub(crate) fn own<'a>(id: &str, rubric: &'a Rubric, manifest: &Manifest) -> BTreeSet<&'a str> {
    let Some(one) = manifest.breaks.get(id) else { return BTreeSet::new() };
    let seen = || rubric.checks.iter().filter(|check| one.fails.contains(&check.id) && manifest.baseline.contains(&check.id));
    let is_shared = |check: &Check| manifest.breaks.iter().any(|(other, another)| other != id && fails(another, check, rubric));
    let alone: BTreeSet<&str> = seen().filter(|check| !is_shared(check)).map(|check| check.id.as_str()).collect();
    if alone.is_empty() { seen().map(|check| check.id.as_str()).collect() } else { alone }
}

/// Whether a check fails because of a break: it says so, or the check judges the replay and needs one of which it says so. Who cannot be
/// reached is told of nothing.
fn fails(one: &BreakRecord, check: &Check, rubric: &Rubric) -> bool {
    one.fails.contains(&check.id) || (check.is_replayed() && rubric.needed(check).into_iter().any(|need| one.fails.contains(need)))
}

/// What each check gives or takes, in points of 100.
fn items<'a>(
    rubric: &Rubric,
    parts: &Parts<'_>,
    guards: impl Iterator<Item = (&'a Guard<'a>, &'a &'a str)>,
    share: &dyn Fn(&Check) -> f64,
) -> BTreeMap<String, Item> {
    let mut items: BTreeMap<String, Item> = BTreeMap::new();
    for check in &rubric.checks {
        let (part, of) = parts[check.id.as_str()];
        let earned = if part == Part::Repair { of * share(check) } else { 0.0 };
        items.insert(check.id.clone(), Item { part, of, earned });
    }
    // The dearest failed guard of every cluster so far.
    let mut charged: BTreeMap<&str, (&str, f64)> = BTreeMap::new();
    for (guard, cluster) in guards {
        let of = f64::from(guard.check.points) * (1.0 - share(guard.check));
        let earned = |repairs: &Vec<&str>| repairs.iter().map(|need| items[*need].earned).sum::<f64>();
        let cost = guard.broken.iter().map(earned).fold(of, f64::min);
        if cost > 0.0 {
            let dearest = charged.entry(cluster).or_insert((&guard.check.id, cost));
            let is_dearer = cost.total_cmp(&dearest.1).then_with(|| dearest.0.cmp(guard.check.id.as_str())).is_gt();
            if is_dearer {
                *dearest = (&guard.check.id, cost);
            }
        }
    }
    for (check, cost) in charged.into_values() {
        if let Some(item) = items.get_mut(check) {
            item.earned = -cost;
        }
    }
    items
}

/// A guard, and what links it to others.
struct Guard<'a> {
    check: &'a Check,
    /// The check on which it stands in the end.
    root: &'a str,
    /// What was broken of all that it needs: repairs of which it costs no more than each, and such as it costs no more than together.
    broken: Vec<Vec<&'a str>>,
}

impl<'a> Guard<'a> {
    fn new(check: &'a Check, rubric: &'a Rubric, manifest: &Manifest, own: &Own<'a>, parts: &Parts<'_>) -> Self {
        let mut needed = rubric.needed(check);
        needed.insert(&check.id);
        // What is shared needs all that is each break's own.
        let shared: Vec<&Check> =
            rubric.checks.iter().filter(|check| needed.contains(check.id.as_str()) && part(parts, &check.id) == Part::Shared).collect();
        let sharing = manifest.breaks.iter().filter(|(_, one)| shared.iter().any(|check| fails(one, check, rubric)));
        let together = sharing.map(|(id, _)| own[id.as_str()].iter().copied().collect::<Vec<_>>());
        let mut broken: Vec<Vec<&str>> = together.filter(|own| !own.is_empty()).collect();
        let counted: BTreeSet<&str> = broken.iter().flatten().copied().collect();
        let single = needed.into_iter().filter(|need| matches!(part(parts, need), Part::Repair | Part::Hidden) && !counted.contains(need));
        broken.extend(single.map(|need| vec![need]));
        Self { check, root: root(check, rubric), broken }
    }

    fn links(&self) -> impl Iterator<Item = &&'a str> {
        self.broken.iter().flatten().chain([&self.root])
    }
}

/// The cluster of each guard, by the first of the links that its guards have: guards are in one that share a root, or something that
/// was broken. If two clusters needed the same repair, it could cost twice what it earns.
fn clusters<'a>(guards: &[Guard<'a>]) -> Vec<&'a str> {
    let mut first: BTreeMap<&str, &str> = guards.iter().flat_map(Guard::links).map(|link| (*link, *link)).collect();
    loop {
        let before = first.clone();
        for guard in guards {
            let least = guard.links().map(|link| first[link]).min().unwrap_or(guard.root);
            for link in guard.links() {
                first.insert(link, least);
            }
        }
        if first == before {
            return guards.iter().map(|guard| first[guard.root]).collect();
        }
    }
}

/// What a check is to the score, and how many points of 100 it could give or take.
fn worth(check: &Check, manifest: &Manifest, weights: &BTreeMap<&str, f64>) -> (Part, f64) {
    let is_broken = || manifest.breaks.values().any(|one| one.fails.contains(&check.id));
    match weights.get(check.id.as_str()) {
        Some(weight) => (Part::Repair, *weight),
        None if manifest.baseline.contains(&check.id) && is_broken() => (Part::Shared, f64::from(check.points)),
        None if is_broken() => (Part::Hidden, 0.0),
        None => (Part::Guard, f64::from(check.points)),
    }
}

/// The check on which a check stands in the end. A rubric's `needs` point backwards only.
fn root<'a>(check: &'a Check, rubric: &'a Rubric) -> &'a str {
    let need = check.needs.first().and_then(|need| rubric.checks.iter().find(|other| other.id == *need));
    need.map_or(&check.id, |need| root(need, rubric))
}

fn tenths(value: f64) -> f64 {
    let rounded = (value * 10.0).round() / 10.0;
    // No negative zero in a report.
    if rounded == 0.0 { 0.0 } else { rounded }
}

#[cfg(test)]
mod examples;
#[cfg(test)]
mod tests;
