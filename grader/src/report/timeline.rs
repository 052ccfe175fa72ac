//! The exam second by second: what users got, while what was done.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::Serialize;

use crate::check::seconds;
use crate::exam::{Exam, Phase};
use crate::history::{History, PhaseRecord, Phases, RequestResult, What};

/// The exam second by second.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
pub struct Timeline {
    /// The phases, in the order in which they were held; those that the recording does not reach stand at the end.
    pub phases: Vec<PhaseSpan>,
    /// Every second in which traffic was due.
    pub seconds: Vec<Second>,
    /// The faults that were held.
    pub faults: Vec<Fault>,
}

/// A phase of the exam.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
pub struct PhaseSpan {
    /// Its id.
    pub id: String,
    /// Its title.
    pub title: String,
    /// Which phase it was, from 1; nothing where the recording does not reach it.
    pub place: Option<usize>,
    /// When it began, in seconds of the exam; nothing where it was not held.
    pub from: Option<f64>,
    /// When it ended.
    pub to: Option<f64>,
    /// Why it was not held.
    pub skipped: Option<String>,
}

/// One second of the traffic.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
pub struct Second {
    /// Which, from the exam's start.
    pub at: u64,
    /// Requests that were due.
    pub requests: usize,
    /// Requests that were not answered with 200.
    pub failed: usize,
    /// 99 % were answered within so many milliseconds.
    pub p99_ms: u64,
    /// How many answers came from each version.
    pub versions: BTreeMap<String, usize>,
}

/// A fault that was held.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
pub struct Fault {
    /// Its kind, such as `kill`.
    pub fault: String,
    /// The service that it hit.
    pub target: String,
    /// When it began, in seconds of the exam.
    pub from: f64,
    /// When it ended.
    pub to: Option<f64>,
}

impl Timeline {
    /// The timeline of a history.
    pub(super) fn new(history: &History, exam: &Exam) -> Self {
        let mut by_second: BTreeMap<u64, (Second, Vec<u64>)> = BTreeMap::new();
        let mut faults: Vec<Fault> = Vec::new();
        for event in &history.events {
            match &event.what {
                What::Request { intended_ns, done_ns, result, .. } => {
                    let at = intended_ns / 1_000_000_000;
                    let empty = || (Second { at, requests: 0, failed: 0, p99_ms: 0, versions: BTreeMap::new() }, Vec::new());
                    let (second, latencies) = by_second.entry(at).or_insert_with(empty);
                    second.requests += 1;
                    latencies.push(done_ns.saturating_sub(*intended_ns) / 1_000);
                    if let RequestResult::Answered { status: 200, version, .. } = result {
                        let version = version.as_deref().map_or_else(|| "none".to_owned(), super::clean);
                        // A submission that makes up versions does not make the report endless.
                        if second.versions.len() < 6 || second.versions.contains_key(&version) {
                            *second.versions.entry(version).or_default() += 1;
                        }
                    } else {
                        second.failed += 1;
                    }
                }
                What::FaultBegan { fault, target, .. } => {
                    faults.push(Fault { fault: fault.clone(), target: target.clone(), from: seconds(event.at_ns), to: None });
                }
                What::FaultEnded { fault, target } => {
                    let held = faults.iter_mut().find(|held| held.to.is_none() && held.fault == *fault && held.target == *target);
                    if let Some(held) = held {
                        held.to = Some(seconds(event.at_ns));
                    }
                }
                _ => {}
            }
        }
        let by_second = by_second.into_values().map(|(second, latencies)| Second { p99_ms: p99_us(latencies).div_ceil(1_000), ..second });
        Self { phases: phases(history, exam), seconds: by_second.collect(), faults }
    }
}

/// What 99 % of some latencies do not exceed. A second has few of them: sorting is quicker than a histogram.
fn p99_us(mut latencies: Vec<u64>) -> u64 {
    latencies.sort_unstable();
    let rank = (latencies.len() * 99).div_ceil(100);
    rank.checked_sub(1).map_or(0, |index| latencies[index])
}

/// The phases in the order in which they were held, which an exam draws in part.
fn phases(history: &History, exam: &Exam) -> Vec<PhaseSpan> {
    let held = Phases::new(history);
    let span = |phase: &Phase| {
        let (from, to, skipped) = match held.get(&phase.id) {
            PhaseRecord::Recorded(window) => (Some(seconds(window.start)), Some(seconds(window.end)), None),
            PhaseRecord::Skipped { why, .. } => (None, None, Some(super::clean(why))),
            PhaseRecord::Missing => (None, None, Some("the recording ends before".to_owned())),
        };
        PhaseSpan { id: phase.id.clone(), title: phase.title.clone(), place: held.place(&phase.id), from, to, skipped }
    };
    let mut phases: Vec<PhaseSpan> = exam.phases.iter().map(span).collect();
    phases.sort_by_key(|phase| phase.place.unwrap_or(usize::MAX));
    phases
}

#[cfg(test)]
mod tests {
    use super::p99_us;

    #[test]
    fn the_99th_of_a_hundred_is_p99() {
        assert_eq!(p99_us((1..=100).rev().collect()), 99);
        assert_eq!(p99_us((1..=50).collect()), 50);
        assert_eq!(p99_us(vec![7]), 7);
        assert_eq!(p99_us(Vec::new()), 0);
    }
}
