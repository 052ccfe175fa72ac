//! What a seed picks: breaks that fit together, and a choice for each parameter.

use std::collections::{BTreeMap, BTreeSet};

use super::{Break, Exercise, ExerciseError, Key, Seed, VariantRule, seed};

/// What is broken in a workspace, and what its names are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Variant {
    /// The seed that picked it; `None` where breaks were named, or for the reference.
    pub seed: Option<Seed>,
    /// The ids of its breaks, sorted.
    pub breaks: Vec<String>,
    /// What was drawn for each parameter, by its id; the reference's own word where there is nothing.
    pub parameters: BTreeMap<String, String>,
}

impl Variant {
    /// The working deployment.
    pub fn reference() -> Self {
        Self { seed: None, breaks: Vec::new(), parameters: BTreeMap::new() }
    }

    /// The variant that a seed picks: breaks that keep the rule of the exercise, of which none hides or meets another.
    pub fn pick(exercise: &Exercise, seed: Seed, key: &Key) -> Result<Self, ExerciseError> {
        let manifest = &exercise.manifest;
        let stream = |purpose: &str| seed.secret_stream(key, &manifest.id, purpose);
        let mut random = stream("breaks");
        let counts = seed::shuffled((manifest.variants.breaks.min..=manifest.variants.breaks.max).collect(), &mut random);
        let order = seed::shuffled(exercise.breaks.values().collect(), &mut random);
        let Some(mut breaks) = fitting(exercise, &order, &counts) else {
            return Err(ExerciseError::NoVariant { exercise: manifest.id.clone() });
        };
        breaks.sort();
        let drawn = manifest.parameters.iter().map(|parameter| {
            let index = seed::index(parameter.choices.len(), &mut stream(&format!("parameter {}", parameter.id)));
            (parameter.id.clone(), parameter.choices[index].clone())
        });
        Ok(Self { parameters: drawn.collect(), breaks, seed: Some(seed) })
    }

    /// The variant with the breaks that are named.
    pub fn named(exercise: &Exercise, breaks: &[String]) -> Result<Self, ExerciseError> {
        let mut breaks = breaks.to_vec();
        breaks.sort();
        breaks.dedup();
        match breaks.iter().find(|id| !exercise.breaks.contains_key(*id)) {
            None => Ok(Self { breaks, ..Self::reference() }),
            Some(id) => Err(ExerciseError::UnknownBreak {
                exercise: exercise.manifest.id.clone(),
                id: id.clone(),
                known: exercise.breaks.keys().cloned().collect::<Vec<_>>().join(", "),
            }),
        }
    }
}

/// The first set of breaks that keeps the rule, in the order of `counts` and then in that of `order`; `None` where no set does.
pub(super) fn fitting(exercise: &Exercise, order: &[&Break], counts: &[usize]) -> Option<Vec<String>> {
    let search = Search { exercise, rule: &exercise.manifest.variants, order };
    counts.iter().find_map(|count| search.complete(&mut Vec::new(), 0, *count)).map(|found| found.iter().map(|one| one.id.clone()).collect())
}

struct Search<'a> {
    exercise: &'a Exercise,
    rule: &'a VariantRule,
    order: &'a [&'a Break],
}

impl<'a> Search<'a> {
    /// What was chosen, with as many of the breaks from a place on as are left to choose.
    fn complete(&self, chosen: &mut Vec<&'a Break>, from: usize, left: usize) -> Option<Vec<&'a Break>> {
        let covered: BTreeSet<&str> = chosen.iter().map(|one| one.competency.as_str()).collect();
        let lacking: BTreeSet<&String> = self.rule.covers.iter().filter(|competency| !covered.contains(competency.as_str())).collect();
        if lacking.len() > left || !self.in_reach(chosen, from, left) {
            return None;
        }
        if left == 0 {
            return self.exercise.tell_apart(chosen).then(|| chosen.clone());
        }
        for (index, one) in self.order.iter().enumerate().skip(from) {
            let needed = lacking.len() < left || lacking.contains(&one.competency);
            if !needed || chosen.iter().any(|other| self.exercise.excludes(&one.id, &other.id)) {
                continue;
            }
            chosen.push(one);
            if let Some(found) = self.complete(chosen, index + 1, left - 1) {
                return Some(found);
            }
            chosen.pop();
        }
        None
    }

    /// Whether so many more breaks, from a place on, could make up the minutes: what cannot is not tried at length.
    fn in_reach(&self, chosen: &[&Break], from: usize, left: usize) -> bool {
        let minutes = || self.order.iter().skip(from).map(|one| u64::from(one.minutes));
        let (least, most) = (minutes().min().unwrap_or(0), minutes().max().unwrap_or(0));
        let (sum, left) = (chosen.iter().map(|one| u64::from(one.minutes)).sum::<u64>(), left as u64);
        let span = self.rule.span();
        sum + left * most >= u64::from(*span.start()) && sum + left * least <= u64::from(*span.end())
    }
}
