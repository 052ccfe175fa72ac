//! What is known of an exercise's cells, as a page for whoever asks how often the grader is wrong.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;

use harness::exercise::Exercise;

use super::{Cell, Level, Row};
use crate::check::{Check, Rubric};
use crate::exam::Exam;

/// How many times farther than the reference's worst a threshold should stand.
const MARGIN: f64 = 3.0;
/// The same for what alerts do in days that are played: deadlines allow for the windows that the field's rules have, and what varies
/// is the hour and the noise, not the machine.
const PLAYED_MARGIN: f64 = 1.5;
/// The kinds of cell, as their ids begin, and what agreement means for each.
pub const KINDS: [(&str, &str); 8] = [
    ("reference", "full marks, every time"),
    ("order", "full marks, whatever things are called, and whatever came before"),
    ("untouched", "0 points, and exactly the checks fail that its breaks name, every time"),
    ("break", "exactly the checks fail that it names"),
    ("pair", "exactly the checks fail that either names"),
    ("group", "exactly the checks fail that any of them names, in a whole exam"),
    ("alternative", "full marks for what it does otherwise"),
    ("cheat", "what it fakes earns nothing"),
];

/// A cell, and what became of it.
pub struct Held<'a> {
    /// The cell.
    pub cell: &'a Cell,
    /// What became of it.
    pub row: Row,
}

/// The page; `all` are the cells that there are, recorded or not.
pub fn page(exercise: &Exercise, exam: &Exam, rubric: &Rubric, held: &[Held<'_>], all: &[Cell]) -> String {
    let id = &exercise.manifest.id;
    let days: BTreeSet<&str> = held.iter().filter_map(|one| one.row.entry.recorded.get(..10)).collect();
    let machines: BTreeSet<&str> = held.iter().map(|one| one.row.machine.as_str()).collect();
    let [first, last] = [days.first(), days.last()].map(|day| day.copied().unwrap_or("no day"));
    let mut page = format!("# How often the grader is wrong\n\nWritten by `grader selftest {id}`, of what was held from {first} to {last}.\n");
    for machine in machines {
        let _ = writeln!(page, "{machine}");
    }
    let _ = writeln!(page, "Exercise `{id}`, digest `{}`.\n", exercise.digest.get(..12).unwrap_or_default());
    summary(&mut page, held, all);
    let of = |kind: &str| of_kind(held, kind);
    verdicts(&mut page, &[("the reference", of("reference")), ("an untouched variant", of("untouched"))]);
    let reference = of("reference");
    if !reference.is_empty() {
        room(&mut page, rubric, &reference);
        false_pages(&mut page, &reference);
        times(&mut page, exam, &reference);
    }
    unproven(&mut page, rubric, all);
    each(&mut page, held);
    page
}

fn of_kind<'a, 'b>(held: &'b [Held<'a>], kind: &str) -> Vec<&'b Held<'a>> {
    held.iter().filter(|one| one.cell.kind() == kind).collect()
}

/// The checks that no submission is expected to fail: nobody has seen that they can.
fn unproven(page: &mut String, rubric: &Rubric, all: &[Cell]) {
    let failed: BTreeSet<&String> = all.iter().flat_map(|cell| &cell.expected.fails).collect();
    let never: Vec<String> = rubric.checks.iter().filter(|check| !failed.contains(&check.id)).map(|check| format!("`{}`", check.id)).collect();
    page.push_str("\n## Checks that no submission here fails\n\n");
    let _ = match never.len() {
        0 => writeln!(page, "None."),
        count => writeln!(page, "{count} of {}: {}.", rubric.checks.len(), never.join(", ")),
    };
}

/// What agrees, by kind.
fn summary(page: &mut String, held: &[Held<'_>], all: &[Cell]) {
    page.push_str("## Summary\n\n| what | asked for | agree | of | not run |\n|---|---|---|---|---|\n");
    for (kind, asked) in KINDS {
        let total = all.iter().filter(|cell| cell.kind() == kind).count();
        if total == 0 {
            continue;
        }
        let of = of_kind(held, kind);
        let agree = of.iter().filter(|one| one.row.differences.is_empty()).count();
        let _ = writeln!(page, "| {kind} | {asked} | {agree} | {} | {} |", of.len(), total - of.len());
    }
    let once = held.iter().filter(|one| !one.cell.is_repeated() || one.cell.id.ends_with("/01"));
    let seconds: f64 = once.map(|one| one.row.entry.seconds).sum();
    let _ = writeln!(page, "\nWhat was run takes {:.0} minutes when each is held once.", seconds / 60.0);
    for one in held.iter().filter(|one| !one.row.differences.is_empty()) {
        let _ = write!(page, "\n`{}` differs:\n\n", one.cell.id);
        for difference in &one.row.differences {
            let _ = writeln!(page, "- {difference}");
        }
    }
}

/// Whether the same submission always gets the same verdicts.
fn verdicts(page: &mut String, submissions: &[(&str, Vec<&Held<'_>>)]) {
    page.push_str(
        "\n## The same submission, the same verdicts\n\n| submission | runs | scores | verdicts that changed | not graded | held again |\n|---|---|---|---|---|---|\n",
    );
    for (name, runs) in submissions.iter().filter(|(_, runs)| !runs.is_empty()) {
        let mut words: BTreeMap<&str, BTreeMap<&str, usize>> = BTreeMap::new();
        for (id, check) in runs.iter().flat_map(|run| &run.row.checks) {
            *words.entry(id).or_default().entry(&check.word).or_default() += 1;
        }
        let said = |words: &BTreeMap<&str, usize>| words.iter().map(|(word, count)| format!("{count} {word}")).collect::<Vec<_>>().join(", ");
        let changed: Vec<String> =
            words.iter().filter(|(_, words)| words.len() > 1).map(|(check, words)| format!("`{check}` ({})", said(words))).collect();
        let scores: BTreeSet<String> = runs.iter().filter_map(|run| run.row.score.clone()).collect();
        let name = match runs.first().and_then(|run| run.cell.variant.seed.as_ref()) {
            Some(seed) => format!("{name}: seed `{seed}`, breaks {}", runs[0].cell.variant.breaks.join(", ")),
            None => (*name).to_owned(),
        };
        let not_graded: usize = runs.iter().map(|run| run.row.not_graded()).sum();
        let again: u32 = runs.iter().map(|run| run.row.entry.attempts - 1).sum();
        let scores = scores.into_iter().collect::<Vec<_>>().join(", ");
        let changed = if changed.is_empty() { "none".to_owned() } else { changed.join("; ") };
        let _ = writeln!(page, "| {name} | {} | {scores} | {changed} | {not_graded} | {again} |", runs.len());
    }
}

/// How far the reference's worst run stays from each threshold.
fn room(page: &mut String, rubric: &Rubric, runs: &[&Held<'_>]) {
    let _ = write!(
        page,
        "\n## How far the reference stays from every threshold\n\nWorst of {} runs. Room: how many times worse it would have to be to fail; {MARGIN} is asked for, and {PLAYED_MARGIN} of what alerts do in days that are played, where deadlines allow for the windows that the field's rules have and no machine makes anything later. What misses it is marked.\n\n| | check | asked for | worst | room |\n|---|---|---|---|---|\n",
        runs.len()
    );
    for check in &rubric.checks {
        let _ = writeln!(page, "{}", margin(check, runs));
    }
}

fn margin(check: &Check, runs: &[&Held<'_>]) -> String {
    let expected = check.kind.judge().expected();
    let figures = runs.iter().filter_map(|run| run.row.checks.get(&check.id)?.figure.as_ref());
    let worst = figures.min_by(|one, other| one.room().total_cmp(&other.room()));
    let (seen, room) = match worst {
        None => ("not a matter of degree".to_owned(), String::new()),
        Some(figure) if figure.room().is_infinite() => (figure.to_string(), "without end".to_owned()),
        Some(figure) => {
            let asked = if check.is_replayed() { PLAYED_MARGIN } else { MARGIN };
            let mark = if figure.room() < asked { " **less than asked for**" } else { "" };
            (figure.to_string(), format!("{:.1}{mark}", figure.room()))
        }
    };
    format!("| {} | {} | {expected} | {seen} | {room} |", check.requirement, check.title)
}

/// How often the reference's own alerts would wake someone for nothing.
fn false_pages(page: &mut String, runs: &[&Held<'_>]) {
    let days: Vec<usize> = runs.iter().filter_map(|run| run.row.quiet_pages).collect();
    if !days.is_empty() {
        let (count, pages) = (days.len(), days.iter().sum::<usize>());
        let _ = write!(page, "\n## False pages\n\nOn {count} quiet days the reference's alerts sent {pages} pages.\n");
    }
}

/// How long a grade and its phases take.
fn times(page: &mut String, exam: &Exam, runs: &[&Held<'_>]) {
    let middle_and_longest = |mut values: Vec<f64>| {
        values.sort_by(f64::total_cmp);
        (values.get(values.len() / 2).copied().unwrap_or(f64::NAN), values.last().copied().unwrap_or(f64::NAN))
    };
    page.push_str("\n## How long it takes\n\nThe reference, in seconds.\n\n| phase | at least | median | longest |\n|---|---|---|---|\n");
    let minimum = exam.min().as_secs_f64();
    let (middle, longest) = middle_and_longest(runs.iter().map(|run| run.row.entry.seconds).collect());
    let (of_middle, of_longest) = (middle / minimum, longest / minimum);
    let _ = writeln!(page, "| the whole grade | {minimum:.0} | {middle:.0} ({of_middle:.2} times) | {longest:.0} ({of_longest:.2} times) |");
    for phase in &exam.phases {
        let (middle, longest) = middle_and_longest(runs.iter().filter_map(|run| run.row.phases.get(&phase.id).copied()).collect());
        let _ = writeln!(page, "| {} | {} | {middle:.1} | {longest:.1} |", phase.title, phase.min().as_secs());
    }
}

/// Every cell that is not a repetition.
fn each(page: &mut String, held: &[Held<'_>]) {
    let is_one = |one: &&Held<'_>| !one.cell.is_repeated();
    if !held.iter().any(|one| is_one(&one)) {
        return;
    }
    page.push_str(
        "\n## Each submission\n\n| submission | what it is | level | seconds | times held | fails | agrees |\n|---|---|---|---|---|---|---|\n",
    );
    for one in held.iter().filter(is_one) {
        let fails = match &one.cell.expected {
            expected if expected.refused.is_some() => "refused".to_owned(),
            expected => {
                let partly = expected.partly.iter().flatten().map(|id| format!("{id} in part"));
                let fails: Vec<String> = expected.fails.iter().cloned().chain(partly).collect();
                if fails.is_empty() { "nothing".to_owned() } else { fails.join(", ") }
            }
        };
        let level = match &one.cell.level {
            Level::Segment(phases) => format!("{} phases", phases.len()),
            level => level.name().to_owned(),
        };
        let attempts = one.row.entry.attempts;
        let agrees = if one.row.differences.is_empty() { "yes" } else { "**no**" };
        let _ = writeln!(page, "| {} | {} | {level} | {:.0} | {attempts} | {fails} | {agrees} |", one.cell.id, one.cell.title, one.row.entry.seconds);
    }
}
