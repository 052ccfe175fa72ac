//! What a check sees: one phase of a history.

use std::ops::Range;

use hdrhistogram::Histogram;

use super::Evidence;
use crate::history::{AlertRule, DashboardQuery, Event, History, Line, Panel, PhaseRecord, Phases, RequestResult, What};

/// The largest latency that is told apart, in microseconds.
const LATENCY_MAX_US: u64 = 60_000_000;

/// One phase of a history.
pub(crate) struct View<'a> {
    history: &'a History,
    phases: &'a Phases,
    window: Range<u64>,
    /// Among which events, by index, those of the window stand.
    span: Range<usize>,
}

/// A fault that began.
#[derive(Clone, Copy)]
pub(crate) struct Fault<'a> {
    /// Its event's number.
    pub(crate) number: u64,
    pub(crate) began_ns: u64,
    /// What it hits.
    pub(crate) target: &'a str,
}

/// A request of the traffic.
#[derive(Clone, Copy)]
pub(crate) struct Request<'a> {
    /// Its event's number.
    pub(crate) number: u64,
    pub(crate) row: usize,
    pub(crate) intended_ns: u64,
    pub(crate) sent_ns: u64,
    pub(crate) done_ns: u64,
    pub(crate) result: &'a RequestResult,
}

impl<'a> Request<'a> {
    /// The request that an event is, if it is one.
    pub(crate) fn of((number, event): (u64, &'a Event)) -> Option<Self> {
        let What::Request { row, intended_ns, sent_ns, done_ns, result, .. } = &event.what else { return None };
        Some(Self { number, row: *row, intended_ns: *intended_ns, sent_ns: *sent_ns, done_ns: *done_ns, result })
    }

    /// Whether it was answered with 200 and a score.
    pub(crate) fn is_good(&self) -> bool {
        self.score().is_some()
    }

    /// Whether it was answered with 200, whatever was in it.
    pub(crate) fn is_answered(&self) -> bool {
        matches!(self.result, RequestResult::Answered { status: 200, .. })
    }

    /// From the moment at which it was due to the moment at which its fate was known, in microseconds.
    pub(crate) fn latency_us(&self) -> u64 {
        self.done_ns.saturating_sub(self.intended_ns) / 1_000
    }

    /// The version in its answer, if it was answered with 200.
    pub(crate) fn version(&self) -> Option<&str> {
        match self.result {
            RequestResult::Answered { status: 200, version, .. } => version.as_deref(),
            _ => None,
        }
    }

    /// The score in its answer, if it was answered with 200.
    pub(crate) fn score(&self) -> Option<f64> {
        match self.result {
            RequestResult::Answered { status: 200, score, .. } => *score,
            _ => None,
        }
    }

    /// Whether its answer holds the score that a version gives for its row, of these of all rows.
    pub(crate) fn holds(&self, scores: &[f64], tolerance: f64) -> bool {
        matches!((self.score(), scores.get(self.row)), (Some(said), Some(score)) if (said - score).abs() <= tolerance)
    }

    /// Whether its answer says that it was made without all features.
    pub(crate) fn says_degraded(&self) -> bool {
        matches!(self.result, RequestResult::Answered { degraded: Some(true), .. })
    }

    /// The score in its answer, in words.
    pub(crate) fn said_score(&self) -> String {
        self.score().map_or("no score".to_owned(), |score| format!("score {score:.6}"))
    }

    /// What became of it, in words.
    pub(crate) fn said(&self) -> String {
        match self.result {
            RequestResult::Answered { status: 200, score: None, .. } => "answered with 200 and no score".to_owned(),
            RequestResult::Answered { status, .. } => format!("answered with {status}"),
            RequestResult::TimedOut => "timed out".to_owned(),
            RequestResult::Unresolved { why } => format!("name did not resolve: {why}"),
            RequestResult::Refused { why } => format!("connection refused: {why}"),
            RequestResult::Broken { why } => format!("connection broke: {why}"),
        }
    }
}

impl<'a> View<'a> {
    pub(crate) fn new(history: &'a History, phases: &'a Phases, window: Range<u64>) -> Self {
        let span = phases.span(&window);
        Self { history, phases, window, span }
    }

    /// Whether the candidate could have looked up what is right.
    pub(crate) fn is_public(&self) -> bool {
        self.history.manifest.public
    }

    /// When the phase began and ended, in nanoseconds of the history.
    pub(crate) fn window(&self) -> Range<u64> {
        self.window.clone()
    }

    /// Another phase, if it was recorded.
    pub(crate) fn phase(&self, id: &str) -> Option<View<'a>> {
        match self.phases.get(id) {
            PhaseRecord::Recorded(window) => Some(View::new(self.history, self.phases, window.clone())),
            _ => None,
        }
    }

    /// The events among which all of the phase stand, with their numbers.
    fn near(&self) -> impl Iterator<Item = (u64, &'a Event)> + use<'a> {
        let span = self.span.clone();
        (span.start as u64 + 1..).zip(&self.history.events[span])
    }

    /// The events of the phase, with their numbers.
    pub(crate) fn events(&self) -> impl Iterator<Item = (u64, &'a Event)> + use<'a> {
        let window = self.window.clone();
        self.near().filter(move |(_, event)| window.contains(&event.at_ns))
    }

    /// The faults that began in the phase, in order.
    pub(crate) fn faults(&self) -> impl Iterator<Item = Fault<'a>> + use<'a> {
        self.events().filter_map(|(number, event)| match &event.what {
            What::FaultBegan { target, .. } => Some(Fault { number, began_ns: event.at_ns, target }),
            _ => None,
        })
    }

    /// What the replay came to, line by line.
    pub(crate) fn replay(&self) -> Option<&'a [Line]> {
        self.history.replay.as_deref()
    }

    /// A dashboard's query, by the id that the replay calls it.
    pub(crate) fn query(&self, id: &str) -> Option<&'a DashboardQuery> {
        self.history.monitoring.as_ref()?.queries.get(id.parse::<usize>().ok()?)
    }

    /// Why the submission's metrics were not recorded, if so.
    pub(crate) fn unrecorded(&self) -> Option<&'a str> {
        self.all().find_map(|event| match &event.what {
            What::Recorded { missing: Some(missing), .. } => Some(missing.why.as_str()),
            _ => None,
        })
    }

    /// Every event of the history.
    pub(crate) fn all(&self) -> impl Iterator<Item = &'a Event> + use<'a> {
        self.history.events.iter()
    }

    /// Every event of the history, with its number.
    pub(crate) fn numbered(&self) -> impl Iterator<Item = (u64, &'a Event)> + use<'a> {
        self.history.numbered()
    }

    /// Every event up to the end of the phase, with its number.
    pub(crate) fn until_now(&self) -> impl Iterator<Item = (u64, &'a Event)> + use<'a> {
        let end = self.window.end;
        self.history.numbered().filter(move |(_, event)| event.at_ns <= end)
    }

    /// The requests that were due in the phase, whenever their fate was known.
    pub(crate) fn requests(&self) -> impl Iterator<Item = Request<'a>> + use<'a> {
        let window = self.window.clone();
        self.near().filter_map(Request::of).filter(move |request| window.contains(&request.intended_ns))
    }

    /// How the machine's processors were used in the phase. A count is of the time since the one before it, so the first after the end
    /// of the phase belongs to it as well.
    pub(crate) fn spent(&self) -> impl Iterator<Item = Spent<'a>> + use<'a> {
        let window = self.window.clone();
        let mut is_over = false;
        self.history.events[self.span.start..]
            .iter()
            .map_while(move |event| {
                if is_over {
                    return None;
                }
                let Some(spent) = Spent::of(&event.what) else { return Some(None) };
                is_over = event.at_ns >= window.end;
                Some((event.at_ns >= window.start).then_some(spent))
            })
            .flatten()
    }

    /// The latencies of all requests of the phase in microseconds; what was not answered counts as it stands: the time until
    /// its fate was known.
    pub(crate) fn latencies(&self) -> Histogram<u64> {
        histogram(self.requests().map(|request| request.latency_us()))
    }

    /// The version that users must be served.
    pub(crate) fn champion(&self) -> Option<&'a str> {
        self.until_now().filter_map(|(_, event)| if let What::Champion { version } = &event.what { Some(version.as_str()) } else { None }).last()
    }

    /// What a version answers, row by row: with all features, and with the model's defaults in place of the feature store.
    pub(crate) fn expected(&self, wanted: &str) -> Option<(&'a [f64], &'a [f64])> {
        self.all().find_map(|event| match &event.what {
            What::Expected { version, scores, degraded } if version == wanted => Some((scores.as_slice(), degraded.as_slice())),
            _ => None,
        })
    }

    /// What the registry's champion alias was at a moment, by the last look before it.
    pub(crate) fn alias_at(&self, at_ns: u64) -> Option<&'a str> {
        let looks = self.history.events.iter().filter(|event| event.at_ns <= at_ns);
        looks.filter_map(|event| if let What::Alias { champion } = &event.what { Some(champion.as_deref()) } else { None }).next_back().flatten()
    }

    /// Looks at a watched address in the phase: number, whether it was well, and what was said otherwise.
    pub(crate) fn watched(&self, wanted: &'a str) -> impl Iterator<Item = (u64, bool, &'a str)> + use<'a> {
        self.events().filter_map(move |(number, event)| match &event.what {
            What::Watched { name, ok, detail, .. } if name == wanted => Some((number, *ok, detail.as_str())),
            _ => None,
        })
    }

    /// The services of a role as they were deployed last: name and addresses.
    pub(crate) fn deployed(&self, wanted: &str) -> Vec<(&'a str, &'a [String])> {
        let mut found: Vec<(&str, &[String])> = Vec::new();
        for (_, event) in self.until_now() {
            if let What::Deployed { service, role, addresses, .. } = &event.what
                && role.as_deref() == Some(wanted)
            {
                found.retain(|(name, _)| name != service);
                found.push((service, addresses));
            }
        }
        found
    }
}

/// How the machine's processors were used for a while, in milliseconds: by the submission, of what there was; in all, and by programs of
/// others, with the name of the one that used the most; and what was stolen.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Spent<'a> {
    pub(crate) used: u64,
    pub(crate) of: u64,
    pub(crate) busy: u64,
    pub(crate) others: u64,
    pub(crate) most: Option<&'a str>,
    pub(crate) stolen: u64,
}

impl<'a> Spent<'a> {
    /// What a count says; nothing where an event is none.
    pub(super) fn of(what: &'a What) -> Option<Self> {
        let What::Spent { used_ms, of_ms, busy_ms, others_ms, most, stolen_ms } = what else { return None };
        let (used, of, busy, others, stolen) = (*used_ms, *of_ms, *busy_ms, *others_ms, *stolen_ms);
        Some(Self { used, of, busy, others, most: most.as_deref(), stolen })
    }
}

/// Latencies in microseconds, to three digits.
fn histogram(latencies: impl Iterator<Item = u64>) -> Histogram<u64> {
    // Bounds that the library takes; a histogram that could not be made would be empty, which no check passes.
    let mut histogram = Histogram::new_with_bounds(1, LATENCY_MAX_US, 3).unwrap_or_else(|_| Histogram::new(3).expect("three digits are known"));
    for latency in latencies {
        histogram.saturating_record(latency.max(1));
    }
    histogram
}

/// The first few of some requests, as evidence.
pub(crate) fn evidence<'a>(requests: impl Iterator<Item = Request<'a>>, say: impl Fn(&Request<'a>) -> String) -> Vec<Evidence> {
    requests.take(5).map(|request| Evidence::new(vec![request.number], say(&request))).collect()
}

/// What the submission's Prometheus and dashboards held.
pub(crate) struct Survey<'a> {
    pub(crate) alerts: &'a [AlertRule],
    pub(crate) panels: &'a [Panel],
    pub(crate) series: Option<u64>,
}

/// The last survey of the phase, with its number.
pub(crate) fn surveyed<'a>(view: &View<'a>) -> Option<(u64, Survey<'a>)> {
    let surveys = view.events().filter_map(|(number, event)| match &event.what {
        What::Surveyed { alerts, panels, series } => Some((number, Survey { alerts, panels, series: *series })),
        _ => None,
    });
    surveys.last()
}
