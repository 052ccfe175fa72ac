//! The phases of a history, looked up once: when each was held, and among which events whatever belongs to it stands.
//!
//! Fifty checks ask for their phase's events several times each, and an exam has fifteen thousand of them.

use std::collections::BTreeMap;
use std::ops::Range;

use super::{History, PhaseEnd, What};

/// What became of a phase.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PhaseRecord {
    /// It was recorded; the window in nanoseconds.
    Recorded(Range<u64>),
    /// It was skipped because its entry condition was not met.
    Skipped {
        /// What was seen instead.
        why: String,
        /// From the end of the phase before it to its own, in nanoseconds.
        window: Range<u64>,
    },
    /// The recording ends before it does: nobody can say.
    Missing,
}

/// What became of every phase of a history.
#[derive(Debug, Clone)]
pub struct Phases {
    /// By id.
    records: BTreeMap<String, PhaseRecord>,
    /// The ids in the order in which they ended, which is the order in which they were held.
    order: Vec<String>,
    /// By window: among which events, by their index, those stand that happened in it or are requests that were due in it.
    spans: BTreeMap<(u64, u64), Range<usize>>,
}

impl Phases {
    /// The phases of a history.
    pub fn new(history: &History) -> Self {
        let (mut records, mut order) = (BTreeMap::new(), Vec::new());
        let mut entered: BTreeMap<&str, u64> = BTreeMap::new();
        // Traffic begins with the first phase.
        let mut before = history.events.iter().find_map(|event| match &event.what {
            What::Request { seq: 0, intended_ns, .. } => Some(*intended_ns),
            _ => None,
        });
        for event in &history.events {
            match &event.what {
                What::PhaseEntered { phase } => {
                    entered.insert(phase, event.at_ns);
                }
                What::PhaseLeft { phase, end } if !records.contains_key(phase) => {
                    let record = match (end, entered.get(phase.as_str())) {
                        (PhaseEnd::Skipped { why }, _) => {
                            PhaseRecord::Skipped { why: why.clone(), window: before.unwrap_or(event.at_ns).min(event.at_ns)..event.at_ns }
                        }
                        (_, Some(from)) => PhaseRecord::Recorded(*from..event.at_ns.max(*from)),
                        (_, None) => PhaseRecord::Missing,
                    };
                    records.insert(phase.clone(), record);
                    order.push(phase.clone());
                    before = Some(event.at_ns);
                }
                _ => {}
            }
        }
        let spans = spans(history, records.values());
        Self { records, order, spans }
    }

    /// What became of a phase.
    pub fn get(&self, id: &str) -> &PhaseRecord {
        self.records.get(id).unwrap_or(&PhaseRecord::Missing)
    }

    /// Which phase was held when, counted from 1; nothing for one that the recording does not reach.
    pub fn place(&self, id: &str) -> Option<usize> {
        self.order.iter().position(|held| held == id).map(|index| index + 1)
    }

    /// Among which events, by their index, those of a phase's window stand; the rest of them is not of it.
    pub(crate) fn span(&self, window: &Range<u64>) -> Range<usize> {
        self.spans.get(&(window.start, window.end)).cloned().unwrap_or(0..0)
    }
}

fn spans<'a>(history: &History, records: impl Iterator<Item = &'a PhaseRecord>) -> BTreeMap<(u64, u64), Range<usize>> {
    let windows = records.filter_map(|record| match record {
        PhaseRecord::Recorded(window) | PhaseRecord::Skipped { window, .. } => Some(window),
        PhaseRecord::Missing => None,
    });
    let mut spans: Vec<(&Range<u64>, Option<Range<usize>>)> = windows.map(|window| (window, None)).collect();
    for (index, event) in history.events.iter().enumerate() {
        let due_ns = if let What::Request { intended_ns, .. } = &event.what { *intended_ns } else { event.at_ns };
        for (window, span) in &mut spans {
            if window.contains(&event.at_ns) || window.contains(&due_ns) {
                span.get_or_insert(index..index).end = index + 1;
            }
        }
    }
    spans.into_iter().map(|(window, span)| ((window.start, window.end), span.unwrap_or(0..0))).collect()
}
