//! `report.html`, for people: one file that needs nothing else.

use minijinja::value::{Serde, Value};
use minijinja::{AutoEscape, Environment, HtmlEscape, UndefinedBehavior, context};
use serde::Serialize;

use super::Report;
use super::markdown::points;

/// The picture's size and margins, in its own units.
const WIDTH: f64 = 960.0;
const LEFT: f64 = 56.0;
const RIGHT: f64 = 14.0;
const TOP: f64 = 40.0;
const RATE_HEIGHT: f64 = 90.0;
const P99_TOP: f64 = TOP + RATE_HEIGHT + 34.0;
const P99_HEIGHT: f64 = 60.0;

pub(super) fn render(report: &Report) -> Result<String, minijinja::Error> {
    let mut environment = Environment::new();
    environment.set_undefined_behavior(UndefinedBehavior::Strict);
    environment.set_auto_escape_callback(|_| AutoEscape::Html);
    environment.add_filter("code", code);
    environment.add_template("report.html", include_str!("report.html"))?;
    let rows: Vec<_> = report.checks.iter().map(|check| context! { points => points(check), check => Serde(check) }).collect();
    environment.get_template("report.html")?.render(context! {
        report => Serde(report),
        rows => rows,
        score => report.score_text(),
        sentence => report.sentence(),
        open => Serde(report.open()),
        started => report.started.get(..16).unwrap_or(&report.started).replace('T', " "),
        picture => Serde(Picture::new(report)),
    })
}

/// A text with what stands between backticks set as code, and everything else as it is.
fn code(text: &str) -> Value {
    let mut html = String::new();
    for (index, piece) in text.split('`').enumerate() {
        let escaped = HtmlEscape(piece).to_string();
        if index % 2 == 1 { html.extend(["<code>", &escaped, "</code>"]) } else { html.push_str(&escaped) }
    }
    Value::from_safe_string(html)
}

/// The timeline in the picture's units.
#[derive(Serialize)]
struct Picture {
    width: f64,
    height: f64,
    left: f64,
    top: f64,
    rate_bottom: f64,
    p99_top: f64,
    p99_bottom: f64,
    rate_max: usize,
    p99_max: u64,
    phases: Vec<Area>,
    faults: Vec<Area>,
    bars: Vec<Bar>,
    line: String,
    ticks: Vec<Tick>,
}

/// A stretch of time with a name.
#[derive(Serialize)]
struct Area {
    x: f64,
    width: f64,
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

#[derive(Serialize)]
struct Tick {
    x: f64,
    label: u64,
}

impl Picture {
    #[allow(clippy::cast_precision_loss, reason = "seconds and requests of an exam")]
    fn new(report: &Report) -> Self {
        let timeline = &report.timeline;
        let first = timeline.seconds.first().map_or(0, |second| second.at);
        let end = timeline.seconds.last().map_or(1, |second| second.at + 1).max(first + 1);
        let scale = (WIDTH - LEFT - RIGHT) / (end - first) as f64;
        let x = |at: f64| round(LEFT + (at - first as f64).clamp(0.0, (end - first) as f64) * scale);
        let rate_max = timeline.seconds.iter().map(|second| second.requests).max().unwrap_or(1).max(1);
        let p99_max = timeline.seconds.iter().map(|second| second.p99_ms).max().unwrap_or(1).max(10);
        let (rate_bottom, p99_bottom) = (TOP + RATE_HEIGHT, P99_TOP + P99_HEIGHT);
        let height_of = |count: usize| round(RATE_HEIGHT * count as f64 / rate_max as f64);
        let bars = timeline.seconds.iter().map(|second| {
            let (height, failed_height) = (height_of(second.requests), height_of(second.failed));
            let versions: Vec<String> = second.versions.iter().map(|(version, count)| format!("{count} of version {version}")).collect();
            Bar {
                x: x(second.at as f64),
                width: round((scale - 0.6).max(0.4)),
                y: round(rate_bottom - height + failed_height),
                height: round(height - failed_height),
                failed_y: round(rate_bottom - height),
                failed_height,
                title: format!(
                    "second {}: {} requests, {} failed, 99 % within {} ms; {}",
                    second.at,
                    second.requests,
                    second.failed,
                    second.p99_ms,
                    versions.join(", ")
                ),
            }
        });
        let line: Vec<String> = timeline
            .seconds
            .iter()
            .map(|second| format!("{},{}", x(second.at as f64 + 0.5), round(p99_bottom - P99_HEIGHT * second.p99_ms as f64 / p99_max as f64)))
            .collect();
        let area = |from: f64, to: f64, title: String| Area { x: x(from), width: round(x(to) - x(from)), title };
        let mut held: Vec<(f64, f64, &str)> =
            timeline.phases.iter().filter_map(|phase| Some((phase.from?, phase.to?, phase.title.as_str()))).collect();
        held.sort_by(|one, other| one.0.total_cmp(&other.0));
        let phases = held.into_iter().map(|(from, to, title)| area(from, to, title.to_owned()));
        let faults =
            timeline.faults.iter().map(|fault| area(fault.from, fault.to.unwrap_or(end as f64), format!("{} {}", fault.fault, fault.target)));
        Self {
            width: WIDTH,
            height: p99_bottom + 26.0,
            left: LEFT,
            top: TOP,
            rate_bottom,
            p99_top: P99_TOP,
            p99_bottom,
            rate_max,
            p99_max,
            phases: phases.collect(),
            faults: faults.collect(),
            bars: bars.collect(),
            line: line.join(" "),
            ticks: (first..=end).filter(|at| at % 10 == 0).map(|at| Tick { x: x(at as f64), label: at }).collect(),
        }
    }
}

/// To a tenth of a unit: a shorter file, and the same bytes everywhere.
fn round(value: f64) -> f64 {
    (value * 10.0).round() / 10.0
}
