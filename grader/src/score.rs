//! The score: points repaired, of what was broken, less what was broken anew.
//!
//! A check that failed on the untouched variant is a *repair*: it earns its points by passing. Every other check is a *guard*:
//! it earns nothing, and costs its points by failing. Guards that stand on the same root (by `needs`) are one cluster, of
//! which only the dearest failure is charged: one cause is paid for once. The reference's own grade has nothing to repair, and
//! begins at 100.
//!
//! What there is to repair is worth 100 together. Each break weighs as many parts as minutes that a good candidate needs for it, and
//! shares them among the checks that fail because of it, by their points; a check that fails because of two breaks gets both shares.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::Serialize;

use crate::check::{Check, Judgement, Rubric};
use crate::history::Manifest;

/// What a check is to the score.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Part {
    /// It was broken, and earns its points by passing.
    Repair,
    /// It was fine, and costs its points by failing.
    Guard,
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
    /// What it could give (a repair) or take (a guard), in points of 100.
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
    let weights = weights(rubric, manifest);
    let start = if weights.is_empty() { 100.0 } else { 0.0 };
    let shares = |check: &Check| judgements.get(&check.id).map_or((0.0, 1.0), |judgement| judgement.verdict.shares());
    let low = items(rubric, &weights, |check| shares(check).0);
    let high = items(rubric, &weights, |check| shares(check).1);
    let total = |items: &BTreeMap<String, Item>| tenths((start + items.values().map(|item| item.earned).sum::<f64>()).clamp(0.0, 100.0));
    let rounded = |item: Item| Item { of: tenths(item.of), earned: tenths(item.earned), ..item };
    let (low_total, high_total) = (total(&low), total(&high));
    let items = low.into_iter().map(|(id, item)| (id, rounded(item))).collect();
    Score { low: low_total, high: high_total, pass_mark: manifest.pass_mark, items }
}

/// What each repair is worth, of 100.
fn weights<'a>(rubric: &'a Rubric, manifest: &Manifest) -> BTreeMap<&'a str, f64> {
    let mut weights: BTreeMap<&str, f64> = BTreeMap::new();
    for one in manifest.breaks.values() {
        let failing = || rubric.checks.iter().filter(|check| one.fails.contains(&check.id) && manifest.baseline.contains(&check.id));
        let points: u32 = failing().map(|check| check.points).sum();
        for check in failing() {
            *weights.entry(&check.id).or_default() += f64::from(one.minutes * check.points) / f64::from(points);
        }
    }
    let whole: f64 = weights.values().sum();
    for weight in weights.values_mut() {
        *weight *= 100.0 / whole;
    }
    weights
}

/// What each check gives or takes, in points of 100.
fn items(rubric: &Rubric, weights: &BTreeMap<&str, f64>, share: impl Fn(&Check) -> f64) -> BTreeMap<String, Item> {
    let mut items = BTreeMap::new();
    // The dearest failed guard of every cluster so far.
    let mut charged: BTreeMap<&str, (&str, f64)> = BTreeMap::new();
    for check in &rubric.checks {
        let (part, points) = match weights.get(check.id.as_str()) {
            Some(weight) => (Part::Repair, *weight),
            None => (Part::Guard, f64::from(check.points)),
        };
        let earned = if part == Part::Repair { points * share(check) } else { 0.0 };
        items.insert(check.id.clone(), Item { part, of: points, earned });
        let cost = points * (1.0 - share(check));
        if part == Part::Guard && cost > 0.0 {
            let dearest = charged.entry(root(check, rubric)).or_insert((&check.id, cost));
            if cost > dearest.1 {
                *dearest = (&check.id, cost);
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
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::check::Verdict;
    use crate::check::tests::{faultless, model_down_rubric};
    use crate::history::BreakRecord;

    /// How many checks the flagship has.
    const CHECKS: usize = 43;

    fn judged(rubric: &Rubric, verdicts: &[Verdict]) -> BTreeMap<String, Judgement> {
        let judgement = |verdict: &Verdict| Judgement {
            verdict: verdict.clone(),
            expected: String::new(),
            observed: String::new(),
            evidence: Vec::new(),
            caused_by: None,
        };
        rubric.checks.iter().zip(verdicts).map(|(check, verdict)| (check.id.clone(), judgement(verdict))).collect()
    }

    /// A variant with a break for every few checks that are broken; one check fails because of two of them.
    fn variant(rubric: &Rubric, broken: &[bool]) -> Manifest {
        let baseline: Vec<String> = rubric.checks.iter().zip(broken).filter(|(_, broken)| **broken).map(|(check, _)| check.id.clone()).collect();
        let mut manifest = faultless().manifest;
        manifest.breaks = baseline
            .chunks(3)
            .enumerate()
            .map(|(index, fails)| {
                let fails = fails.iter().chain(baseline.first()).cloned().collect();
                (format!("break-{index}"), BreakRecord { title: String::new(), minutes: 5 + u32::try_from(index).unwrap_or(0), fails })
            })
            .collect();
        manifest.baseline = baseline.into_iter().collect();
        manifest
    }

    fn verdict() -> impl Strategy<Value = Verdict> {
        prop_oneof![
            any::<bool>().prop_map(|grey| Verdict::Passed { grey }),
            (0.0..1.0).prop_map(|share| Verdict::Partial { share }),
            Just(Verdict::Failed),
            Just(Verdict::NotGraded { control: "x".to_owned() }),
        ]
    }

    proptest! {
        #[test]
        fn the_score_is_between_0_and_100_and_an_interval(
            verdicts in proptest::collection::vec(verdict(), CHECKS), broken in proptest::collection::vec(any::<bool>(), CHECKS)
        ) {
            let rubric = model_down_rubric();
            let score = score(&judged(&rubric, &verdicts), &rubric, &variant(&rubric, &broken));
            prop_assert!(0.0 <= score.low && score.low <= score.high && score.high <= 100.0, "{score:?}");
        }

        #[test]
        fn repairing_more_never_costs(
            verdicts in proptest::collection::vec(verdict(), CHECKS), broken in proptest::collection::vec(any::<bool>(), CHECKS), which in 0_usize..CHECKS
        ) {
            let rubric = model_down_rubric();
            let variant = variant(&rubric, &broken);
            let before = score(&judged(&rubric, &verdicts), &rubric, &variant);
            let mut better = verdicts;
            better[which] = Verdict::Passed { grey: false };
            let after = score(&judged(&rubric, &better), &rubric, &variant);
            prop_assert!(after.low >= before.low && after.high >= before.high, "{before:?}\n{after:?}");
        }

        #[test]
        fn untouched_is_0_and_whole_is_100(broken in proptest::collection::vec(any::<bool>(), CHECKS)) {
            let rubric = model_down_rubric();
            let variant = variant(&rubric, &broken);
            prop_assume!(!variant.baseline.is_empty());
            let untouched: Vec<Verdict> = broken.iter().map(|broken| if *broken { Verdict::Failed } else { Verdict::Passed { grey: false } }).collect();
            prop_assert!(score(&judged(&rubric, &untouched), &rubric, &variant).high < 0.1);
            let whole = vec![Verdict::Passed { grey: false }; CHECKS];
            prop_assert!(score(&judged(&rubric, &whole), &rubric, &variant).low > 99.9);
        }
    }

    #[test]
    fn one_cause_is_charged_once_and_at_its_dearest() {
        let rubric = model_down_rubric();
        let failed = ["answers-available", "answers-correct", "answers-fast", "champion-served"];
        let verdicts: Vec<Verdict> = rubric
            .checks
            .iter()
            .map(|check| if failed.contains(&check.id.as_str()) { Verdict::Failed } else { Verdict::Passed { grey: false } })
            .collect();
        let score = score(&judged(&rubric, &verdicts), &rubric, &variant(&rubric, &[]));
        let points = |id: &str| rubric.checks.iter().find(|check| check.id == id).map_or(0, |check| check.points);
        let expected = 100.0 - f64::from(points("answers-correct"));
        assert!((score.low - expected).abs() < 0.1, "{score:?}");
    }
}
