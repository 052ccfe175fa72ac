//! What is wrong with an exercise beyond the shape of its files, each with its place.

use std::collections::{BTreeMap, BTreeSet};

use super::{Break, Edit, EngineKind, Exercise, Files, Manifest, PAST_FILE, edits, variant};
use crate::document::{Document, Problem};

/// Every edit must find its text exactly once in a file that there is.
pub(super) fn of_edits(edits: &[Edit], document: &Document, reference: &Files) -> Vec<Problem> {
    let mut problems = Vec::new();
    for (index, edit) in edits.iter().enumerate() {
        match reference.get(&edit.file) {
            None => problems.push(unknown_file(document.problem(&format!("/edits/{index}/file"), ""), &edit.file, reference)),
            Some(content) => {
                let count = std::str::from_utf8(content).map_or(0, |text| text.matches(&edit.find).count());
                if count != 1 {
                    let message = format!("this text stands {count} times in reference/{}; it must stand there exactly once", edit.file);
                    problems.push(document.problem(&format!("/edits/{index}/find"), message));
                } else if edits[..index].iter().any(|earlier| super::edits::overlap(reference, earlier, edit)) {
                    problems.push(document.problem(&format!("/edits/{index}/find"), "an edit before this one changes a part of this text"));
                }
            }
        }
    }
    problems
}

/// A masked break must be one, and none may mask itself, by way of others either: nothing of any of them would count as broken.
pub(super) fn of_masks(breaks: &BTreeMap<String, Break>, documents: &BTreeMap<String, Document>) -> Vec<Problem> {
    let mut problems = Vec::new();
    for (id, document) in documents {
        for masked in &breaks[id].masks {
            let told = |message: String| listed(document, "/masks", masked, message);
            if !breaks.contains_key(masked) {
                let known = breaks.keys().map(String::as_str).collect::<Vec<_>>().join(", ");
                problems.push(told(format!("there is no break `{masked}`")).with_help(format!("known: {known}")));
            } else if let Some(way) = way(breaks, masked, id) {
                problems.push(told(format!("`{id}` masks itself: it masks {}", way.join(", which masks "))));
            }
        }
    }
    problems
}

/// The shortest way by which a break masks another, from the one to the other.
fn way<'a>(breaks: &'a BTreeMap<String, Break>, from: &'a str, to: &str) -> Option<Vec<String>> {
    let mut seen = BTreeSet::from([from]);
    let mut ways = vec![vec![from]];
    while !ways.is_empty() {
        if let Some(found) = ways.iter().find(|way| way.last() == Some(&to)) {
            return Some(found.iter().map(|id| format!("`{id}`")).collect());
        }
        let mut longer = Vec::new();
        for way in &ways {
            let masked = way.last().and_then(|last| breaks.get(*last)).into_iter().flat_map(|one| &one.masks);
            longer.extend(masked.filter(|id| seen.insert(id)).map(|id| [way.as_slice(), &[id.as_str()]].concat()));
        }
        ways = longer;
    }
    None
}

/// The first choice of a parameter must stand in each of its files, and no word may be the choice of two.
pub(super) fn of_parameters(exercise: &Exercise, document: &Document) -> Vec<Problem> {
    let mut problems = Vec::new();
    let (mut ids, mut words) = (BTreeSet::new(), BTreeSet::new());
    for (index, parameter) in exercise.manifest.parameters.iter().enumerate() {
        let place = format!("/parameters/{index}");
        if !ids.insert(&parameter.id) {
            problems.push(document.problem(&format!("{place}/id"), format!("there are two parameters `{}`", parameter.id)));
        }
        for (choice, word) in parameter.choices.iter().enumerate().filter(|(_, word)| !words.insert(*word)) {
            let message = format!("`{word}` is a choice twice, so that two things could get one name");
            problems.push(document.problem(&format!("{place}/choices/{choice}"), message));
        }
        for file in &parameter.files {
            let text = match file.as_str() {
                "brief.md" => Some(exercise.brief.text.as_bytes()),
                PAST_FILE => exercise.past.as_ref().map(|past| past.text.as_bytes()),
                file => exercise.reference.get(file).map(Vec::as_slice),
            };
            let word = parameter.default();
            match text {
                None => problems.push(unknown_file(listed(document, &format!("{place}/files"), file, ""), file, &exercise.reference)),
                Some(text) if !std::str::from_utf8(text).is_ok_and(|text| edits::has_word(text, word)) => {
                    let message = format!("`{word}`, the first choice of `{}`, does not stand in `{file}` as a whole word", parameter.id);
                    problems.push(listed(document, &format!("{place}/files"), file, message));
                }
                Some(_) => {}
            }
        }
    }
    problems
}

/// On Docker a service that joins no network is reached by nobody; a cluster has but one.
pub(super) fn of_networks(manifest: &Manifest, document: &Document) -> Vec<Problem> {
    let roles = manifest.roles.iter().map(|(name, role)| (format!("/roles/{name}"), &role.networks));
    let platform = manifest.platform.iter().map(|(name, service)| (format!("/platform/{name}"), &service.networks));
    let is_docker = manifest.engine == EngineKind::Docker;
    let wrong = roles.chain(platform).filter(|(_, networks)| networks.is_empty() == is_docker);
    let message = if is_docker { "a service joins a network, such as `networks: [default]`" } else { "a cluster has no networks to join" };
    wrong.map(|(place, _)| document.problem(&place, message)).collect()
}

/// A seed must find breaks. An exercise that has none yet is its reference.
pub(super) fn of_variants(exercise: &Exercise, document: &Document) -> Vec<Problem> {
    let rule = &exercise.manifest.variants;
    let known: BTreeSet<&str> = exercise.breaks.values().map(|one| one.competency.as_str()).collect();
    if known.is_empty() {
        return Vec::new();
    }
    let unknown = rule.covers.iter().filter(|competency| !known.contains(competency.as_str()));
    let mut problems: Vec<Problem> = unknown
        .map(|competency| {
            let problem = listed(document, "/variants/covers", competency, format!("no break is of the competency `{competency}`"));
            problem.with_help(format!("known: {}", known.iter().copied().collect::<Vec<_>>().join(", ")))
        })
        .collect();
    let counts: Vec<usize> = (rule.breaks.min..=rule.breaks.max).collect();
    if problems.is_empty() && variant::fitting(exercise, &exercise.breaks.values().collect::<Vec<_>>(), &counts).is_none() {
        let message = format!(
            "no set of {} to {} breaks takes {} minutes to within a tenth and covers {}, none of them hiding or meeting another",
            rule.breaks.min,
            rule.breaks.max,
            rule.minutes,
            if rule.covers.is_empty() { "anything".to_owned() } else { rule.covers.iter().cloned().collect::<Vec<_>>().join(", ") }
        );
        problems.push(document.problem("/variants", message));
    }
    problems
}

pub(super) fn unknown_file(place: Problem, file: &str, reference: &Files) -> Problem {
    let known = reference.keys().map(String::as_str).collect::<Vec<_>>().join(", ");
    Problem { message: format!("no file `{file}` below reference/"), ..place }.with_help(format!("known: {known}"))
}

/// A complaint about one text of a list, whose order is lost by the time it is found wrong.
pub(super) fn listed(document: &Document, list: &str, text: &str, message: impl Into<String>) -> Problem {
    let of = |index: usize| format!("{list}/{index}");
    let index = (0..).map_while(|index| document.root.pointer(&of(index))).position(|node| node.text() == Some(text));
    document.problem(&index.map_or_else(|| list.to_owned(), of), message)
}
