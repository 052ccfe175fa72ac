//! An incident as a picture: the fault, the deadline, who was told when, and what fired. The quiet day is one without a fault.
//!
//! An incident may last a day and its deadline be five minutes: the axis ends where nothing that matters follows, and says what it leaves out.
//! Everything here is in the picture's own units; `report.html` draws it.

use serde::Serialize;

use super::incidents::{Deadline, Episode, Fired, Lane, Scene, Standing};
use super::picture::{Label, count_of, letters, round};
use crate::check::said;

/// The picture's size and margins.
const WIDTH: f64 = 700.0;
const LEFT: f64 = 182.0;
const RIGHT: f64 = 64.0;
/// The rows, from above: the fault and the deadline in words, a lane for each urgency, then the alerts.
const FAULT_TEXT: f64 = 12.0;
const DEADLINE_TEXT: f64 = 28.0;
const LANES: f64 = 50.0;
/// Where lanes begin on a day without a fault.
const QUIET_LANES: f64 = 18.0;
const LANE: f64 = 26.0;
const ROW: f64 = 20.0;
/// How wide a mark is, about: those that would lie on each other are drawn as one.
const MARK: f64 = 9.0;
/// How many times as long as the deadline and the first message the axis is at most.
const LONGEST: f64 = 12.0;
/// Which part of the axis is before the onset.
const BEFORE: f64 = 0.08;

/// The picture of an incident, or of the quiet day.
#[derive(Serialize)]
pub(super) struct Lanes {
    id: String,
    width: f64,
    height: f64,
    left: f64,
    right: f64,
    bottom: f64,
    top: f64,
    fault_text: f64,
    deadline_text: f64,
    /// What the picture shows, in words.
    words: String,
    fault: Option<Fault>,
    deadline: Option<Text>,
    rows: Vec<Row>,
    alerts: Vec<Bars>,
    /// How many alerts are not drawn.
    more: usize,
    more_y: f64,
    ticks: Vec<Label>,
}

/// The stretch in which the fault lasts.
#[derive(Serialize)]
struct Fault {
    x: f64,
    width: f64,
    label: String,
}

/// A text beside a place.
#[derive(Serialize)]
struct Text {
    /// The place.
    x: f64,
    label: String,
    label_x: f64,
    y: f64,
    anchor: &'static str,
}

/// The messages to someone.
#[derive(Serialize)]
struct Row {
    y: f64,
    name: String,
    marks: Vec<Mark>,
    /// How many are not drawn.
    more: usize,
}

/// Messages at a moment.
#[derive(Serialize)]
struct Mark {
    x: f64,
    resolved: bool,
    pale: bool,
    title: String,
    text: Option<Text>,
    #[serde(skip)]
    count: usize,
    #[serde(skip)]
    at_s: f64,
}

/// An alert's stretches.
#[derive(Serialize)]
struct Bars {
    y: f64,
    name: String,
    class: &'static str,
    title: String,
    stretches: Vec<(f64, f64)>,
    note: Option<Text>,
}

/// Where a moment is.
struct Scale {
    from: f64,
    to: f64,
    unit: f64,
}

impl Scale {
    fn new(scene: &Scene, episode: &Episode, is_quiet: bool) -> Self {
        if is_quiet {
            return Self::between(0.0, scene.to_s);
        }
        let first = episode.told.iter().map(|one| one.at_s).fold(0.0, f64::max);
        let matters = episode.deadline.as_ref().map_or(first, |deadline| deadline.within_s.max(first));
        let last_message = scene.lanes.iter().flat_map(|lane| &lane.messages).filter(|one| one.counts).map(|one| one.at_s).fold(0.0, f64::max);
        let last = scene.end_s.max(last_message).max(matters);
        let longest = if matters > 0.0 { matters * LONGEST } else { f64::MAX };
        let to = (last * 1.08).min(longest).min(scene.to_s).max(60.0);
        Self::between((-to * BEFORE).max(scene.from_s), to)
    }

    fn between(from: f64, to: f64) -> Self {
        Self { from, to, unit: (WIDTH - LEFT - RIGHT) / (to - from).max(1.0) }
    }

    fn x(&self, at: f64) -> f64 {
        round(LEFT + (at.clamp(self.from, self.to) - self.from) * self.unit)
    }

    fn holds(&self, at: f64) -> bool {
        (self.from..=self.to).contains(&at)
    }
}

impl Text {
    /// A text beside a place: to its right where there is room, else to its left.
    fn beside(x: f64, y: f64, label: String, gap: f64) -> Self {
        let is_right = x + gap + letters(&label) < WIDTH - RIGHT;
        let (label_x, anchor) = if is_right { (x + gap, "start") } else { (x - gap, "end") };
        Self { x, label, label_x: round(label_x), y, anchor }
    }
}

impl Lanes {
    /// The picture of what happened; nothing where it was not replayed.
    pub(super) fn new(episode: &Episode, is_quiet: bool) -> Option<Self> {
        let scene = episode.scene.as_ref()?;
        let scale = Scale::new(scene, episode, is_quiet);
        let lanes_top = if is_quiet { QUIET_LANES } else { LANES };
        let alerts_top = lanes_top + LANE * count_of(scene.lanes.len()) - 4.0;
        let alerts: Vec<Bars> =
            scene.alerts.iter().enumerate().map(|(index, fired)| Bars::new(fired, alerts_top + ROW * count_of(index), &scale)).collect();
        let more = scene.alerts_total - scene.alerts.len();
        let more_y = alerts_top + ROW * count_of(alerts.len());
        let bottom = more_y + if more > 0 { ROW } else { 0.0 } - 4.0;
        let rows = scene.lanes.iter().enumerate().map(|(index, lane)| Row::new(lane, lanes_top + LANE * count_of(index), &scale, is_quiet));
        Some(Self {
            id: episode.id.clone(),
            width: WIDTH,
            height: bottom + 24.0,
            left: LEFT,
            right: WIDTH - RIGHT,
            bottom,
            top: lanes_top - 16.0,
            fault_text: FAULT_TEXT,
            deadline_text: DEADLINE_TEXT,
            words: words(scene, episode, is_quiet),
            fault: (!is_quiet).then(|| fault(scene, &scale)),
            deadline: episode.deadline.as_ref().map(|deadline| Text::beside(scale.x(deadline.within_s), DEADLINE_TEXT, due(deadline), 5.0)),
            rows: rows.collect(),
            alerts,
            more,
            more_y,
            ticks: ticks(&scale, is_quiet),
        })
    }
}

fn fault(scene: &Scene, scale: &Scale) -> Fault {
    let (x, to) = (scale.x(0.0), scale.x(scene.end_s));
    let goes_on = if scale.holds(scene.end_s) { "" } else { ", goes on" };
    Fault { x, width: round(to - x), label: format!("the fault: {}{goes_on}", said(scene.end_s)) }
}

fn due(deadline: &Deadline) -> String {
    format!("{} is due by {}", deadline.whom().replace('`', ""), said(deadline.within_s))
}

impl Row {
    fn new(lane: &Lane, y: f64, scale: &Scale, is_quiet: bool) -> Self {
        let mut marks: Vec<Mark> = Vec::new();
        for message in lane.messages.iter().filter(|message| scale.holds(message.at_s)) {
            let (x, pale) = (scale.x(message.at_s), !message.counts);
            let verb = if message.resolved { "over" } else { "fires" };
            let reason = if message.counts { "" } else { ", as it does without the incident or did before" };
            let title = format!("/{} {}: {} {verb}{reason}", lane.urgency, when(message.at_s), message.alerts.join(", "));
            match marks.last_mut() {
                Some(last) if x - last.x < MARK && last.resolved == message.resolved && last.pale == pale => {
                    last.count += 1;
                    last.title = format!("/{} {}: {} messages", lane.urgency, when(last.at_s), last.count);
                }
                _ => marks.push(Mark { x, resolved: message.resolved, pale, title, text: None, count: 1, at_s: message.at_s }),
            }
        }
        let drawn: usize = marks.iter().map(|mark| mark.count).sum();
        write(&mut marks, y, is_quiet);
        Self { y, name: format!("/{}", lane.urgency), marks, more: lane.total.saturating_sub(drawn) }
    }
}

/// Writes beside marks how many messages they are, and when the first one counts.
fn write(marks: &mut [Mark], y: f64, is_quiet: bool) {
    let first = marks.iter().position(|mark| !is_quiet && !mark.pale && !mark.resolved);
    let places: Vec<f64> = marks.iter().map(|mark| mark.x).collect();
    for (index, mark) in marks.iter_mut().enumerate() {
        let is_first = first == Some(index);
        let many = if mark.count > 1 { format!("\u{d7}{}", mark.count) } else { String::new() };
        let label = match (is_first, many.is_empty()) {
            (true, true) => said(mark.at_s),
            (true, false) => format!("{}, {many}", said(mark.at_s)),
            (false, _) => many,
        };
        // A text gives way to the marks beside it; only that of the first rises above them then.
        let width = letters(&label) + 2.0 * MARK;
        let before = index.checked_sub(1).map_or(LEFT, |before| places[before]);
        let next = places.get(index + 1).copied().unwrap_or(WIDTH - RIGHT + MARK);
        let (x, y, anchor) = match (mark.x + width < next, before + width < mark.x) {
            (true, _) => (mark.x + MARK, y + 4.0, "start"),
            (false, true) => (mark.x - MARK, y + 4.0, "end"),
            (false, false) if is_first => (mark.x, y - 6.5, "start"),
            (false, false) => continue,
        };
        mark.text = (!label.is_empty()).then(|| Text { x: mark.x, label, label_x: round(x), y, anchor });
    }
}

impl Bars {
    fn new(fired: &Fired, y: f64, scale: &Scale) -> Self {
        let (class, note) = match fired.standing {
            Standing::Told => ("told", ""),
            Standing::Untold => ("untold", "no message of its own"),
            Standing::Before => ("pale", "fired before, too"),
            Standing::Without => ("pale", "fires without it, too"),
        };
        let seen = fired.spans.iter().filter(|(from, to)| *to >= scale.from && *from <= scale.to);
        // A short stretch is still seen.
        let stretches: Vec<(f64, f64)> = seen.map(|(from, to)| (scale.x(*from), round((scale.x(*to) - scale.x(*from)).max(2.0)))).collect();
        let later = if stretches.is_empty() { fired.spans.first().map(|(from, _)| format!("only {}", when(*from))) } else { None };
        let note = later.unwrap_or_else(|| note.to_owned());
        let x = stretches.first().map_or(LEFT, |(x, _)| *x);
        let title = format!("{}: {}{}{note}", fired.name, spans(fired), if note.is_empty() { "" } else { "; " });
        let note = (!note.is_empty()).then(|| Text::beside(x, y + 12.5, note, 4.0));
        Self { y, name: fitting(&fired.name), class, title, stretches, note }
    }
}

/// A name as far as there is room for it.
fn fitting(name: &str) -> String {
    let room = |name: &str| letters(name) < LEFT - 12.0;
    let mut cut = name.to_owned();
    while !room(&cut) {
        cut.pop();
    }
    if cut.len() < name.len() {
        cut.pop();
        cut.push('\u{2026}');
    }
    cut
}

/// When an alert fired, in words.
fn spans(fired: &Fired) -> String {
    match fired.spans.as_slice() {
        [] => "did not fire".to_owned(),
        [(from, to)] => format!("fired from {} to {}", moment(*from), moment(*to)),
        [(from, _), .., (_, to)] => format!("fired {} times from {} to {}", fired.spans.len(), moment(*from), moment(*to)),
    }
}

/// A moment in words.
fn moment(at_s: f64) -> String {
    if at_s < 0.0 { format!("{} before the onset", said(-at_s)) } else { said(at_s) }
}

/// A moment in words, as when something happened.
fn when(at_s: f64) -> String {
    if at_s < 0.0 { moment(at_s) } else { format!("after {}", said(at_s)) }
}

/// What the picture shows, in words.
fn words(scene: &Scene, episode: &Episode, is_quiet: bool) -> String {
    let mut words = if is_quiet { Vec::new() } else { vec![format!("The fault lasts {}", said(scene.end_s))] };
    words.extend(episode.deadline.as_ref().map(due));
    for lane in &scene.lanes {
        let first = episode.told.iter().find(|one| one.urgency == lane.urgency);
        let first = first.map(|one| format!(", the first because of it {} by {}", when(one.at_s), one.alert)).unwrap_or_default();
        let s = if lane.total == 1 { "" } else { "s" };
        words.push(format!("{} message{s} to /{}{first}", lane.total, lane.urgency));
    }
    for fired in &scene.alerts {
        let standing = match fired.standing {
            Standing::Told => "",
            Standing::Untold => ", without a message of its own",
            Standing::Before => ", and fired before, too",
            Standing::Without => ", and fires without it, too",
        };
        words.push(format!("{} {}{standing}", fired.name, spans(fired)));
    }
    words.join(". ") + "."
}

/// The axis: round lengths of time, in steps that leave room for their names.
fn ticks(scale: &Scale, is_quiet: bool) -> Vec<Label> {
    let steps = [1.0, 2.0, 5.0, 10.0, 15.0, 30.0, 60.0, 120.0, 180.0, 360.0, 720.0, 1_440.0];
    let step = steps.into_iter().find(|minutes| minutes * 60.0 * scale.unit > 64.0).unwrap_or(2_880.0);
    let mut ticks = Vec::new();
    let mut minutes = 0.0;
    while minutes * 60.0 <= scale.to {
        let label = match minutes {
            0.0 if !is_quiet => "onset".to_owned(),
            _ if step < 60.0 => format!("{minutes} min"),
            _ => format!("{} h", minutes / 60.0),
        };
        ticks.push(Label { x: scale.x(minutes * 60.0), label });
        minutes += step;
    }
    ticks
}
