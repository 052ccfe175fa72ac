//! The exam as a picture, from its timeline: phases, faults, requests and failures, p99, and the version that answered.
//!
//! Everything here is in the picture's own units; `report.html` draws it.

use serde::Serialize;

use super::Report;
use super::timeline::{Second, Timeline};
use super::versions::{Run, Versions};

/// The picture's size and margins.
const WIDTH: f64 = 960.0;
const LEFT: f64 = 56.0;
const RIGHT: f64 = 14.0;
/// The rows, from above: phases and faults, then three with a caption above each.
const TOP: f64 = 22.0;
const FAULTS_TOP: f64 = 44.0;
const RATE_TOP: f64 = 80.0;
const RATE_HEIGHT: f64 = 90.0;
const P99_TOP: f64 = RATE_TOP + RATE_HEIGHT + 26.0;
const P99_HEIGHT: f64 = 60.0;
const STRIP_TOP: f64 = P99_TOP + P99_HEIGHT + 40.0;
const STRIP_HEIGHT: f64 = 18.0;
const BOTTOM: f64 = STRIP_TOP + STRIP_HEIGHT;
/// How wide a letter of a label is, about.
const LETTER: f64 = 6.6;

/// The timeline in the picture's units.
#[derive(Serialize)]
pub(super) struct Picture {
    width: f64,
    height: f64,
    left: f64,
    top: f64,
    faults_top: f64,
    rate_top: f64,
    rate_bottom: f64,
    p99_top: f64,
    p99_bottom: f64,
    strip_top: f64,
    bottom: f64,
    rate_max: usize,
    p99_max: u64,
    phases: Vec<Area>,
    faults: Vec<Area>,
    bars: Vec<Bar>,
    line: String,
    pieces: Vec<Piece>,
    labels: Vec<Label>,
    /// The versions that answered; the place of each is the number of its pattern.
    versions: Vec<String>,
    runs: Vec<Run>,
    /// How many more runs there are than are told.
    more: usize,
    ticks: Vec<Label>,
}

/// A stretch of time with a name.
#[derive(Serialize)]
struct Area {
    x: f64,
    width: f64,
    /// What is written into it, where there is room.
    label: String,
    title: String,
}

/// A second's requests: answered below, failed on top.
#[derive(Serialize)]
struct Bar {
    x: f64,
    width: f64,
    y: f64,
    height: f64,
    failed_y: f64,
    failed_height: f64,
    title: String,
}

/// A piece of the strip of versions.
#[derive(Serialize)]
struct Piece {
    x: f64,
    y: f64,
    width: f64,
    height: f64,
    version: usize,
    title: String,
}

/// A text at a place.
#[derive(Serialize)]
pub(super) struct Label {
    pub(super) x: f64,
    pub(super) label: String,
}

/// Where a second of the exam is.
struct Scale {
    first: f64,
    end: f64,
    unit: f64,
}

impl Scale {
    fn new(timeline: &Timeline) -> Self {
        let first = timeline.seconds.first().map_or(0, |second| second.at);
        let end = timeline.seconds.last().map_or(1, |second| second.at + 1).max(first + 1);
        let (first, end) = (float(first), float(end));
        Self { first, end, unit: (WIDTH - LEFT - RIGHT) / (end - first) }
    }

    fn x(&self, at: f64) -> f64 {
        round(LEFT + (at.clamp(self.first, self.end) - self.first) * self.unit)
    }

    fn area(&self, from: f64, to: f64, label: &str, title: String) -> Area {
        let (x, width) = (self.x(from), round(self.x(to) - self.x(from)));
        let label = if letters(label) < width { label.to_owned() } else { String::new() };
        Area { x, width, label, title }
    }
}

impl Picture {
    pub(super) fn new(report: &Report) -> Self {
        let timeline = &report.timeline;
        let scale = Scale::new(timeline);
        let rate_max = timeline.seconds.iter().map(|second| second.requests).max().unwrap_or(1).max(1);
        let p99_max = timeline.seconds.iter().map(|second| second.p99_ms).max().unwrap_or(1).max(10);
        let Versions { names, parts, runs, more } = Versions::new(timeline);
        let pieces = parts.iter().map(|part| {
            let (x, to) = (scale.x(float(part.from)), scale.x(float(part.to)));
            let (y, height) = (STRIP_TOP + STRIP_HEIGHT * (1.0 - part.high), STRIP_HEIGHT * (part.high - part.low));
            let title = format!("seconds {} to {}: version {}", part.from, part.to, names[part.version]);
            Piece { x, y: round(y), width: round(to - x), height: round(height), version: part.version, title }
        });
        Self {
            width: WIDTH,
            height: BOTTOM + 26.0,
            left: LEFT,
            top: TOP,
            faults_top: FAULTS_TOP,
            rate_top: RATE_TOP,
            rate_bottom: RATE_TOP + RATE_HEIGHT,
            p99_top: P99_TOP,
            p99_bottom: P99_TOP + P99_HEIGHT,
            strip_top: STRIP_TOP,
            bottom: BOTTOM,
            rate_max,
            p99_max,
            phases: phases(timeline, &scale),
            faults: faults(timeline, &scale),
            bars: timeline.seconds.iter().map(|second| bar(second, rate_max, &scale)).collect(),
            line: line(timeline, p99_max, &scale),
            pieces: pieces.collect(),
            labels: labels(&runs, &scale),
            versions: names,
            runs,
            more,
            ticks: ticks(&scale),
        }
    }
}

/// The phases that were held, under the numbers that the list below the picture has.
fn phases(timeline: &Timeline, scale: &Scale) -> Vec<Area> {
    let held = timeline.phases.iter().filter_map(|phase| {
        let place = phase.place?;
        Some(scale.area(phase.from?, phase.to?, &place.to_string(), format!("{place}. {}", phase.title)))
    });
    held.collect()
}

fn faults(timeline: &Timeline, scale: &Scale) -> Vec<Area> {
    let area = |fault: &super::Fault| {
        let name = format!("{} {}", fault.fault, fault.target);
        // Where there is no room for both, the kind says more than the service.
        let both = scale.area(fault.from, fault.to.unwrap_or(scale.end), &name, name.clone());
        if both.label.is_empty() { scale.area(fault.from, fault.to.unwrap_or(scale.end), &fault.fault, name) } else { both }
    };
    timeline.faults.iter().map(area).collect()
}

fn bar(second: &Second, rate_max: usize, scale: &Scale) -> Bar {
    let height_of = |count: usize| round(RATE_HEIGHT * count_of(count) / count_of(rate_max));
    let (height, failed_height) = (height_of(second.requests), height_of(second.failed));
    let versions: Vec<String> = second.versions.iter().map(|(version, count)| format!("{count} of version {version}")).collect();
    let (at, requests, failed, p99_ms) = (second.at, second.requests, second.failed, second.p99_ms);
    let bottom = RATE_TOP + RATE_HEIGHT;
    Bar {
        x: scale.x(float(second.at)),
        width: round((scale.unit - 0.6).max(0.4)),
        y: round(bottom - height + failed_height),
        height: round(height - failed_height),
        failed_y: round(bottom - height),
        failed_height,
        title: format!("second {at}: {requests} requests, {failed} failed, 99 % within {p99_ms} ms; {}", versions.join(", ")),
    }
}

/// The line of p99, through the middle of every second.
fn line(timeline: &Timeline, p99_max: u64, scale: &Scale) -> String {
    let point = |second: &Second| {
        let y = P99_TOP + P99_HEIGHT * (1.0 - float(second.p99_ms) / float(p99_max));
        format!("{},{}", scale.x(float(second.at) + 0.5), round(y))
    };
    let points: Vec<String> = timeline.seconds.iter().map(point).collect();
    points.join(" ")
}

/// The names of the versions above the strip, as many as have room.
fn labels(runs: &[Run], scale: &Scale) -> Vec<Label> {
    let mut labels: Vec<Label> = Vec::new();
    let mut free = 0.0;
    for run in runs {
        let x = scale.x(float(run.from));
        if x >= free {
            free = x + letters(&run.name) + 4.0;
            labels.push(Label { x, label: run.name.clone() });
        }
    }
    labels
}

/// The axis: whole tens of seconds, in steps that leave room for their numbers.
fn ticks(scale: &Scale) -> Vec<Label> {
    let step = [10.0, 20.0, 30.0, 60.0, 120.0, 300.0, 600.0].into_iter().find(|step| step * scale.unit > 30.0).unwrap_or(3_600.0);
    let mut ticks = Vec::new();
    let mut at = (scale.first / step).ceil() * step;
    while at <= scale.end {
        ticks.push(Label { x: scale.x(at), label: format!("{at}") });
        at += step;
    }
    ticks
}

/// How wide a text is, about.
pub(super) fn letters(text: &str) -> f64 {
    count_of(text.chars().count()) * LETTER
}

/// To a tenth of a unit: a shorter file, and the same bytes everywhere.
pub(super) fn round(value: f64) -> f64 {
    (value * 10.0).round() / 10.0
}

#[allow(clippy::cast_precision_loss, reason = "seconds and milliseconds of an exam")]
fn float(value: u64) -> f64 {
    value as f64
}

#[allow(clippy::cast_precision_loss, reason = "requests of a second, letters of a label, rows")]
pub(super) fn count_of(value: usize) -> f64 {
    value as f64
}
