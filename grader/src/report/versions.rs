//! Which version answered when: a strip of the picture, and the same in words.
//!
//! Each version has a pattern beside its colour, and a label, so that nothing hangs on colours.

use std::collections::BTreeMap;

use serde::Serialize;

use super::timeline::{Second, Timeline};

/// How many versions have a pattern of their own; a submission that makes up more gets one for the rest.
const PATTERNS: usize = 8;
/// What the rest is called.
const OTHERS: &str = "others";
/// The most stretches that are told in words.
const TOLD: usize = 24;

/// Which version answered when.
#[derive(Serialize)]
pub(super) struct Versions {
    /// Every version, in the order in which they first answered; its place is the number of its pattern.
    pub(super) names: Vec<String>,
    /// Stretches of time in which the same versions answered, as the strip draws them.
    pub(super) parts: Vec<Part>,
    /// Stretches in which one version gave most of the answers.
    pub(super) runs: Vec<Run>,
    /// How many stretches are not told.
    pub(super) more: usize,
}

/// A piece of the strip: from when to when, in seconds, and which share of its height, from the bottom.
#[derive(Serialize, PartialEq, Debug)]
pub(super) struct Part {
    pub(super) from: u64,
    pub(super) to: u64,
    pub(super) low: f64,
    pub(super) high: f64,
    /// The place of its version in `names`.
    pub(super) version: usize,
}

/// A stretch in which one version gave most of the answers.
#[derive(Serialize, PartialEq, Debug)]
pub(super) struct Run {
    pub(super) from: u64,
    pub(super) to: u64,
    pub(super) name: String,
}

impl Versions {
    pub(super) fn new(timeline: &Timeline) -> Self {
        let mut names: Vec<String> = Vec::new();
        let (mut parts, mut runs): (Vec<Part>, Vec<Run>) = (Vec::new(), Vec::new());
        for second in &timeline.seconds {
            let counts = counted(second, &mut names);
            for part in stacked(second.at, &counts) {
                match parts.last_mut() {
                    // A stretch in which one version alone answers is one piece.
                    Some(last) if last.to == part.from && last.version == part.version && last.is_whole() && part.is_whole() => last.to = part.to,
                    _ => parts.push(part),
                }
            }
            let Some((most, _)) = counts.iter().max_by_key(|(version, count)| (**count, usize::MAX - **version)) else { continue };
            match runs.last_mut() {
                Some(last) if last.to == second.at && last.name == names[*most] => last.to = second.at + 1,
                _ => runs.push(Run { from: second.at, to: second.at + 1, name: names[*most].clone() }),
            }
        }
        let more = runs.len().saturating_sub(TOLD);
        runs.truncate(TOLD);
        Self { names, parts, runs, more }
    }
}

impl Part {
    fn is_whole(&self) -> bool {
        self.high - self.low > 0.999
    }
}

/// How many answers of a second came from each version, by its place in the names, to which new ones are added.
fn counted(second: &Second, names: &mut Vec<String>) -> BTreeMap<usize, usize> {
    let mut counts = BTreeMap::new();
    for (version, count) in &second.versions {
        let known = names.iter().position(|name| name == version);
        let place = known.unwrap_or_else(|| {
            if names.len() < PATTERNS {
                names.push(if names.len() + 1 == PATTERNS { OTHERS } else { version }.to_owned());
            }
            names.len() - 1
        });
        *counts.entry(place).or_default() += count;
    }
    counts
}

/// The pieces of one second, from the bottom.
#[allow(clippy::cast_precision_loss, reason = "answers of a second")]
fn stacked(at: u64, counts: &BTreeMap<usize, usize>) -> Vec<Part> {
    let all: usize = counts.values().sum();
    let mut below = 0;
    let mut pieces = Vec::new();
    for (version, count) in counts {
        let (low, high) = (below as f64 / all.max(1) as f64, (below + count) as f64 / all.max(1) as f64);
        pieces.push(Part { from: at, to: at + 1, low, high, version: *version });
        below += count;
    }
    pieces
}

#[cfg(test)]
mod tests {
    use super::*;

    fn timeline(seconds: &[&[(&str, usize)]]) -> Timeline {
        let second = |(at, versions): (usize, &&[(&str, usize)])| Second {
            at: at as u64,
            requests: 50,
            failed: 0,
            p99_ms: 3,
            versions: versions.iter().map(|(version, count)| ((*version).to_owned(), *count)).collect(),
        };
        Timeline { phases: Vec::new(), seconds: seconds.iter().enumerate().map(second).collect(), faults: Vec::new() }
    }

    #[test]
    fn a_switch_is_a_piece_of_each_and_then_one_of_the_new() {
        let versions = Versions::new(&timeline(&[&[("3", 50)], &[("3", 50)], &[("3", 10), ("4", 40)], &[], &[("4", 50)]]));
        let pieces: Vec<(u64, u64, usize)> = versions.parts.iter().map(|part| (part.from, part.to, part.version)).collect();
        assert_eq!(pieces, [(0, 2, 0), (2, 3, 0), (2, 3, 1), (4, 5, 1)]);
        let run = |from, to, name: &str| Run { from, to, name: name.to_owned() };
        assert_eq!(versions.runs, [run(0, 2, "3"), run(2, 3, "4"), run(4, 5, "4")]);
    }

    #[test]
    fn made_up_versions_share_a_pattern() {
        let made_up: Vec<String> = (0..30).map(|number| format!("v{number:02}")).collect();
        let seconds: Vec<[(&str, usize); 1]> = made_up.iter().map(|name| [(name.as_str(), 1)]).collect();
        let seconds: Vec<&[(&str, usize)]> = seconds.iter().map(<[_; 1]>::as_slice).collect();
        let versions = Versions::new(&timeline(&seconds));
        assert_eq!((versions.names.len(), versions.names.last().map(String::as_str)), (PATTERNS, Some(OTHERS)));
        assert!(versions.runs.len() <= TOLD, "{}", versions.runs.len());
    }
}
