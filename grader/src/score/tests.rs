//! The score's properties, whatever was judged, and the cases that people ask about.

use std::sync::LazyLock;

use harness::exercise::{Key, Seed, Variant};
use proptest::prelude::*;

use super::*;
use crate::check::Verdict;
use crate::check::tests::{faultless, model_down, model_down_rubric};
use crate::history::BreakRecord;

static RUBRIC: LazyLock<Rubric> = LazyLock::new(model_down_rubric);
static MANIFEST: LazyLock<Manifest> = LazyLock::new(|| faultless().manifest);

const PASSED: Verdict = Verdict::Passed { grey: false };

/// Judgements of checks with these verdicts, in the order of the rubric.
fn judged(rubric: &Rubric, verdicts: &[Verdict]) -> BTreeMap<String, Judgement> {
    rubric.checks.iter().zip(verdicts).map(|(check, verdict)| (check.id.clone(), judgement(verdict.clone()))).collect()
}

/// Judgements in which everything is passed but what is named.
pub(super) fn passed_but(rubric: &Rubric, others: &[(&str, Verdict)]) -> BTreeMap<String, Judgement> {
    let verdict = |id: &str| others.iter().find(|(other, _)| *other == id).map_or(PASSED, |(_, verdict)| verdict.clone());
    for (other, _) in others {
        assert!(rubric.checks.iter().any(|check| check.id == *other), "there is no check `{other}`");
    }
    rubric.checks.iter().map(|check| (check.id.clone(), judgement(verdict(&check.id)))).collect()
}

fn judgement(verdict: Verdict) -> Judgement {
    Judgement { verdict, expected: String::new(), observed: String::new(), window: None, evidence: Vec::new(), figure: None, caused_by: None }
}

/// What a check of a variant was when the candidate began.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Start {
    Fine,
    Broken,
    /// Broken behind another break.
    Masked,
}

/// A variant with a break for every few checks that are broken; one check fails because of two of them.
fn variant(rubric: &Rubric, starts: &[Start]) -> Manifest {
    let of = |wanted: &[Start]| -> Vec<String> {
        rubric.checks.iter().zip(starts).filter(|(_, start)| wanted.contains(start)).map(|(check, _)| check.id.clone()).collect()
    };
    let broken = of(&[Start::Broken, Start::Masked]);
    let record = |(index, fails): (usize, &[String])| {
        let fails = fails.iter().chain(broken.first()).cloned().collect();
        (format!("break-{index}"), BreakRecord { title: String::new(), minutes: 5 + u32::try_from(index).unwrap_or(0), fails })
    };
    let baseline = of(&[Start::Broken]).into_iter().collect();
    Manifest { breaks: broken.chunks(3).enumerate().map(record).collect(), baseline, ..MANIFEST.clone() }
}

fn verdict() -> impl Strategy<Value = Verdict> {
    prop_oneof![
        any::<bool>().prop_map(|grey| Verdict::Passed { grey }),
        // Shares that meet each other's cost, too.
        prop_oneof![Just(0.5), 0.0..1.0].prop_map(|share| Verdict::Partial { share }),
        Just(Verdict::Failed),
        Just(Verdict::NotGraded { control: "x".to_owned() }),
    ]
}

fn start() -> impl Strategy<Value = Start> {
    prop_oneof![4 => Just(Start::Fine), 3 => Just(Start::Broken), 1 => Just(Start::Masked)]
}

/// One of a strategy for every check of the rubric.
fn each<S: Strategy>(one: S) -> impl Strategy<Value = Vec<S::Value>> {
    proptest::collection::vec(one, RUBRIC.checks.len())
}

proptest! {
    #[test]
    fn the_score_is_between_0_and_100_and_an_interval(verdicts in each(verdict()), starts in each(start())) {
        let score = score(&judged(&RUBRIC, &verdicts), &RUBRIC, &variant(&RUBRIC, &starts));
        prop_assert!(0.0 <= score.low && score.low <= score.high && score.high <= 100.0, "{score:?}");
    }

    #[test]
    fn repairing_more_never_costs(verdicts in each(verdict()), starts in each(start()), which in 0..RUBRIC.checks.len()) {
        let variant = variant(&RUBRIC, &starts);
        let before = score(&judged(&RUBRIC, &verdicts), &RUBRIC, &variant);
        let mut better = verdicts;
        better[which] = PASSED;
        let after = score(&judged(&RUBRIC, &better), &RUBRIC, &variant);
        prop_assert!(after.low >= before.low && after.high >= before.high, "{before:?}\n{after:?}");
    }

    #[test]
    fn untouched_is_0_and_whole_is_100(starts in each(start()), behind in each(verdict())) {
        let variant = variant(&RUBRIC, &starts);
        prop_assume!(!variant.baseline.is_empty());
        let untouched: Vec<Verdict> = starts.iter().zip(behind).map(|(start, behind)| match start {
            Start::Fine => PASSED,
            Start::Broken => Verdict::Failed,
            Start::Masked => behind,
        }).collect();
        prop_assert!(score(&judged(&RUBRIC, &untouched), &RUBRIC, &variant).high < 0.1);
        prop_assert!(score(&passed_but(&RUBRIC, &[]), &RUBRIC, &variant).low > 99.9);
    }

    #[test]
    fn what_another_break_hides_neither_earns_nor_costs(verdicts in each(verdict()), starts in each(start()), other in verdict()) {
        let variant = variant(&RUBRIC, &starts);
        let before = score(&judged(&RUBRIC, &verdicts), &RUBRIC, &variant);
        let changed: Vec<Verdict> = starts.iter().zip(verdicts)
            .map(|(start, verdict)| if *start == Start::Masked { other.clone() } else { verdict }).collect();
        prop_assert_eq!(before, score(&judged(&RUBRIC, &changed), &RUBRIC, &variant));
    }

    #[test]
    fn the_order_of_checks_is_irrelevant(
        verdicts in each(verdict()), starts in each(start()), order in Just((0..RUBRIC.checks.len()).collect::<Vec<_>>()).prop_shuffle()
    ) {
        let variant = variant(&RUBRIC, &starts);
        let shuffled = Rubric { checks: order.iter().map(|index| RUBRIC.checks[*index].clone()).collect() };
        let judgements = judged(&RUBRIC, &verdicts);
        prop_assert_eq!(score(&judgements, &RUBRIC, &variant), score(&judgements, &shuffled, &variant));
    }
}

proptest! {
    #[test]
    fn a_guard_costs_nothing_while_a_repair_that_it_needs_fails(verdicts in each(verdict()), starts in each(start())) {
        let judgements = judged(&RUBRIC, &verdicts);
        let score = score(&judgements, &RUBRIC, &variant(&RUBRIC, &starts));
        // Whatever stands on what two breaks fail costs what one of them has earned together.
        let is_alone = |check: &&Check| RUBRIC.needed(check).into_iter().all(|need| score.items[need].part != Part::Shared);
        for check in RUBRIC.checks.iter().filter(|check| score.items[&check.id].part == Part::Guard).filter(is_alone) {
            let needed = RUBRIC.needed(check).into_iter().map(|need| &score.items[need]);
            for need in needed.filter(|need| matches!(need.part, Part::Repair | Part::Hidden)) {
                // Both are rounded.
                prop_assert!(-score.items[&check.id].earned <= need.earned.max(0.0) + 0.11, "{}: {score:?}", check.id);
            }
        }
    }

    #[test]
    fn a_repair_that_shows_what_else_is_broken_never_costs(
        verdicts in each(verdict()), which in 0..RUBRIC.checks.len(), other in 0..RUBRIC.checks.len(), minutes in 1..40_u32
    ) {
        // One that earns little, beside one that earns enough to lose some of it.
        let (which, other) = (&RUBRIC.checks[which].id, &RUBRIC.checks[other].id);
        prop_assume!(which != other);
        let variant = broken(&[(which, 1), (other, minutes)]);
        let with = |verdict: Verdict| {
            let mut judgements = judged(&RUBRIC, &verdicts);
            judgements.insert(other.clone(), judgement(PASSED));
            judgements.insert(which.clone(), judgement(verdict));
            score(&judgements, &RUBRIC, &variant)
        };
        let (before, after) = (with(Verdict::Failed), with(PASSED));
        prop_assert!(after.low >= before.low && after.high >= before.high, "{before:?}\n{after:?}");
    }
}

/// A variant in which some checks were broken, each by a break of its own that takes so many minutes.
fn broken(checks: &[(&str, u32)]) -> Manifest {
    let record = |(id, minutes): &(&str, u32)| {
        let one = BreakRecord { title: String::new(), minutes: *minutes, fails: [(*id).to_owned()].into() };
        ((*id).to_owned(), one)
    };
    Manifest { breaks: checks.iter().map(record).collect(), baseline: checks.iter().map(|(id, _)| (*id).to_owned()).collect(), ..whole() }
}

#[test]
fn guards_that_need_the_same_repair_cost_no_more_than_it_earns() {
    // They stand on three different roots.
    let guards = ["kill-survived", "deploy-good", "burst-paged"];
    let with = |ready: Verdict| {
        let mut found = guards.map(|id| (id, Verdict::Failed)).to_vec();
        found.push(("replicas-ready", ready));
        score(&passed_but(&RUBRIC, &found), &RUBRIC, &broken(&[("replicas-ready", 1), ("memory-budget", 19)])).low
    };
    assert_eq!((with(Verdict::Failed), with(PASSED)), (95.0, 95.0));
}

#[test]
fn a_guard_costs_at_most_what_the_repairs_that_it_needs_have_earned() {
    let earned = |page: Verdict, others: &[&'static str]| {
        let mut found = vec![("page-arrives", page)];
        found.extend(others.iter().map(|id| (*id, Verdict::Failed)));
        score(&passed_but(&RUBRIC, &found), &RUBRIC, &broken(&[("page-arrives", 10), ("memory-budget", 10)])).low
    };
    let told = &["burst-paged", "outage-paged", "latency-paged"];
    // Nobody is paged, so nobody is paged of anything.
    assert!((earned(Verdict::Failed, told) - 50.0).abs() < 0.1);
    // Where pages arrive and tell of nothing, that is charged once.
    assert!((earned(PASSED, told) - (100.0 - points("outage-paged"))).abs() < 0.1);
    assert!((earned(Verdict::Partial { share: 0.1 }, told) - 50.0).abs() < 0.1, "5 points are earned, and no more are lost");
    // What does not need them costs what it costs.
    assert!((earned(Verdict::Failed, &["series-budget"]) - (50.0 - points("series-budget"))).abs() < 0.1);
}

/// Of each break that is left open in the variants of a hundred seeds, alone and beside another.
#[test]
fn a_break_left_open_costs_its_minutes() {
    let exercise = model_down();
    for index in 0..100 {
        let seed = Seed::new(&format!("seed-{index}")).expect("it is a seed");
        let variant = Variant::pick(&exercise, seed.clone(), &Key::public()).expect("it picks");
        let manifest = Manifest::of(&exercise, &variant, &seed);
        let lost = |open: &[&str]| {
            let fails: BTreeSet<&String> = open.iter().flat_map(|id| &exercise.breaks[*id].fails).collect();
            // Who cannot be reached is told of no incident, whatever the rules say.
            let is_explained = |check: &Check| check.is_replayed() && RUBRIC.needed(check).into_iter().any(|need| fails.contains(&need.to_owned()));
            let failed = RUBRIC.checks.iter().filter(|check| fails.contains(&check.id) || is_explained(check));
            let failed: Vec<(&str, Verdict)> = failed.map(|check| (check.id.as_str(), Verdict::Failed)).collect();
            100.0 - score(&passed_but(&RUBRIC, &failed), &RUBRIC, &manifest).low
        };
        let minutes = |id: &str| f64::from(exercise.breaks[id].minutes);
        let all: f64 = variant.breaks.iter().map(|id| minutes(id)).sum();
        for (place, id) in variant.breaks.iter().enumerate() {
            let share = 100.0 * minutes(id) / all;
            assert!((lost(&[id]) - share).abs() <= 0.2 * share + 0.05, "{variant:?}: `{id}` costs {}, its minutes are {share}", lost(&[id]));
            for other in &variant.breaks[..place] {
                let (both, one, two) = (lost(&[id, other]), lost(&[id]), lost(&[other]));
                assert!(
                    both <= one + two + 0.11 && both >= one.max(two) - 0.11,
                    "{variant:?}: `{id}` and `{other}` cost {both}, alone {one} and {two}"
                );
            }
        }
    }
}

/// A variant in which nothing was broken.
fn whole() -> Manifest {
    variant(&RUBRIC, &[])
}

fn points(id: &str) -> f64 {
    f64::from(RUBRIC.checks.iter().find(|check| check.id == id).map_or(0, |check| check.points))
}

#[test]
fn one_cause_is_charged_once_and_at_its_dearest() {
    let failed = ["answers-available", "answers-correct", "answers-fast", "champion-served"].map(|id| (id, Verdict::Failed));
    let score = score(&passed_but(&RUBRIC, &failed), &RUBRIC, &whole());
    assert!((score.low - (100.0 - points("answers-correct"))).abs() < 0.1, "{score:?}");
}

#[test]
fn of_two_that_are_equally_dear_the_first_by_id_is_charged() {
    let checks = ["answers-fast", "champion-served"];
    assert!((points(checks[0]) - points(checks[1])).abs() < f64::EPSILON, "the test wants two checks of one root with the same points");
    let score = score(&passed_but(&RUBRIC, &checks.map(|id| (id, Verdict::Failed))), &RUBRIC, &whole());
    assert_eq!(checks.map(|id| score.items[id].earned < 0.0), [true, false]);
}

#[test]
fn a_grey_pass_is_a_full_pass() {
    let grey = passed_but(&RUBRIC, &[("answers-available", Verdict::Passed { grey: true })]);
    let plain = passed_but(&RUBRIC, &[]);
    assert_eq!(score(&grey, &RUBRIC, &whole()), score(&plain, &RUBRIC, &whole()));
}

#[test]
fn part_of_a_guard_costs_the_rest_of_it() {
    let score = score(&passed_but(&RUBRIC, &[("page-arrives", Verdict::Partial { share: 0.5 })]), &RUBRIC, &whole());
    assert!((score.items["page-arrives"].earned + points("page-arrives") / 2.0).abs() < 0.1, "{score:?}");
}

/// The score of a whole deployment of which a check was not graded and others failed, at a pass mark.
fn with_ungraded(failed: &[&str], pass_mark: u32) -> Score {
    let mut others: Vec<(&str, Verdict)> = failed.iter().map(|id| (*id, Verdict::Failed)).collect();
    others.push(("page-arrives", Verdict::NotGraded { control: "the pager".to_owned() }));
    score(&passed_but(&RUBRIC, &others), &RUBRIC, &Manifest { pass_mark, ..whole() })
}

#[test]
fn only_an_interval_on_both_sides_of_the_pass_mark_is_not_graded() {
    let score = with_ungraded(&[], 100);
    assert!((score.high - score.low - points("page-arrives")).abs() < 0.1, "{score:?}");
    assert_eq!(score.outcome(), Outcome::NotGraded);
    assert_eq!(with_ungraded(&[], 50).outcome(), Outcome::Passed);
    assert_eq!(with_ungraded(&["answers-correct"], 100).outcome(), Outcome::Failed);
    // Exactly at the mark is passed.
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a score of whole points between 0 and 100")]
    let low = score.low as u32;
    assert_eq!((with_ungraded(&[], low).outcome(), with_ungraded(&[], low + 1).outcome()), (Outcome::Passed, Outcome::NotGraded));
}

#[test]
fn a_check_without_a_judgement_is_not_graded() {
    let mut judgements = passed_but(&RUBRIC, &[]);
    judgements.remove("page-arrives");
    let score = score(&judgements, &RUBRIC, &whole());
    assert!(score.low < score.high, "{score:?}");
}
