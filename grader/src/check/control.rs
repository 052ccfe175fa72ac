//! Whether a phase can be judged: measured on the driver's own schedule and on the pager's network, which no submission reaches. Each
//! kind of check names the controls without which it would not mean anything, or nothing against a submission.

use std::ops::Range;

use super::view::Spent;
use super::{View, ms, percent, share};
use crate::exam::Exam;
use crate::history::{History, Line, Missing, What};

/// A request that left later than this was late.
const LATE_NS: u64 = 20_000_000;
/// What a late request tells of the time around it.
const AROUND_NS: u64 = 1_000_000_000;
/// The share of quiet time that must be undisturbed for it to say something.
const UNDISTURBED: f64 = 0.5;
/// The share of requests that may be late.
const LATE_SHARE: f64 = 0.02;
/// So many seconds' worth of requests may be late in any window, however short: one hiccup of the machine's, which users have
/// time to wait for.
const HICCUP_SECONDS: f64 = 0.2;
/// The share of the schedule's requests that must have been sent.
const SENT_SHARE: f64 = 0.98;
/// The share of looks at the canary that must be well.
const CANARY_SHARE: f64 = 0.97;

/// A submission that uses more of the machine than this share keeps everyone from working, itself and the driver: what its users get then
/// is its own doing. The reference uses a third of it on two processors, and half while it tries a slow version.
const OWN_DOING: f64 = 0.75;
/// A machine that is as busy as this, by programs of others to this share, does not let a submission show itself, were it for two seconds of
/// a phase: the reference has answered one request in ten without the feature store then. (An exam alone leaves half of two processors idle.)
const BUSY: f64 = 0.8;
const OTHERS: f64 = 0.1;
/// Nor does one of which other machines on the same hardware take this share. (A tenth to a fifth, and for two seconds almost a half, were seen in
/// exams in which the reference passed everything.)
const STOLEN: f64 = 0.6;
/// In a shorter window a request more or less is a share too large to say anything.
const SHORTEST_NS: u64 = 2_000_000_000;

/// Something of ours that must have worked in a phase.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Control {
    /// The driver sent the requests that its schedule wanted.
    Schedule,
    /// It sent them when they were due, and nobody else kept the processors busy: the machine had time for it, and so for the submission.
    /// Without it nothing is held against a submission; what it did nevertheless, it did.
    Punctuality,
    /// The same where what holds up a submission could pass for what is looked for, such as errors of which an alert tells. Without it a phase
    /// says nothing.
    Calm,
    /// The pager answered it.
    Canary,
    /// What the exam recorded was replayed.
    Replayed,
    /// Others left the machine alone in most of the time of which quiet days are made. Without it nothing is held against a submission.
    Undisturbed,
}

/// Every control of what users are served.
pub(super) const SERVED: &[Control] = &[Control::Schedule, Control::Punctuality];
/// Every control of what reaches the pager.
pub(super) const PAGED: &[Control] = &[Control::Punctuality, Control::Canary];
/// Every control of what the replay says of rules and routes.
pub(super) const REPLAYED: &[Control] = &[Control::Punctuality, Control::Replayed];
/// Every control of what happens in days that are played.
pub(super) const PLAYED: &[Control] = &[Control::Punctuality, Control::Replayed, Control::Undisturbed];
/// Every control of what the replay shows only because of an incident.
pub(super) const CAUSED: &[Control] = &[Control::Calm, Control::Replayed, Control::Undisturbed];

/// The counts of an exam, each with the time that it is of: that since the one before it.
fn counts(history: &History) -> impl Iterator<Item = (Range<u64>, Spent<'_>)> {
    let mut last_ns = 0;
    history.events.iter().filter_map(move |event| {
        let spent = Spent::of(&event.what)?;
        Some((std::mem::replace(&mut last_ns, event.at_ns)..event.at_ns, spent))
    })
}

/// The stretches of an exam in which the driver was late or others crowded the machine, in order and apart: nothing healthy is taken from them.
pub(crate) fn noise(history: &History) -> Vec<Range<u64>> {
    let late = history.events.iter().filter_map(|event| match &event.what {
        What::Request { intended_ns, sent_ns, .. } if sent_ns.saturating_sub(*intended_ns) > LATE_NS => {
            Some(intended_ns.saturating_sub(AROUND_NS)..sent_ns + AROUND_NS)
        }
        _ => None,
    });
    let crowded = counts(history).filter(|(_, spent)| is_crowded(spent)).map(|(span, _)| span);
    let mut spans: Vec<Range<u64>> = late.chain(crowded).collect();
    spans.sort_by_key(|span| span.start);
    let mut apart: Vec<Range<u64>> = Vec::new();
    for span in spans {
        match apart.last_mut() {
            Some(last) if span.start <= last.end => last.end = last.end.max(span.end),
            _ => apart.push(span),
        }
    }
    apart
}

/// Whether others leave a submission too little of the machine.
fn is_crowded(spent: &Spent<'_>) -> bool {
    (part(spent.busy, spent.of) > BUSY && part(spent.others, spent.of) > OTHERS) || part(spent.stolen, spent.of) > STOLEN
}

/// Why days that are played of what was healthy say nothing against a submission, if so: others crowded most of it, and it did not.
fn disturbed(history: &History) -> Option<String> {
    let shown = history.events.iter().filter_map(|event| match &event.what {
        What::Shown { signature: None, from_ns, .. } => Some(*from_ns..event.at_ns),
        _ => None,
    });
    let healthy: Vec<Range<u64>> = shown.collect();
    let within = |span: &Range<u64>| -> u64 { healthy.iter().map(|one| one.end.min(span.end).saturating_sub(one.start.max(span.start))).sum() };
    let (mut lost, mut used, mut of) = (0, 0, 0);
    for (span, spent) in counts(history).filter(|(span, _)| within(span) > 0) {
        lost += if is_crowded(&spent) { within(&span) } else { 0 };
        (used, of) = (used + spent.used, of + spent.of);
    }
    let lost = part(lost, healthy.iter().map(|span| span.end - span.start).sum());
    (lost > 1.0 - UNDISTURBED && part(used, of) <= OWN_DOING)
        .then(|| format!("others crowded the machine in {} of the time of which quiet days are made", percent(lost)))
}

/// Why a phase says nothing at all, if so.
pub(super) fn broken(controls: &[Control], history: &History, view: &View<'_>, exam: &Exam) -> Option<String> {
    if let Some((number, message)) = history.fault(view.window().end) {
        return Some(format!("a fault of ours (event {number}): {message}"));
    }
    controls.iter().find_map(|control| match control {
        // What was recorded is replayed or not, however short the phase was.
        Control::Replayed => replayed(history),
        _ if is_short(view) => None,
        Control::Schedule if is_its_own_doing(view) => None,
        Control::Schedule => schedule(view, exam),
        Control::Canary => canary(view),
        Control::Punctuality | Control::Undisturbed => None,
        Control::Calm => held_up(view, exam),
    })
}

/// Why a phase says nothing against a submission, if so.
pub(super) fn hindrance(controls: &[Control], history: &History, view: &View<'_>, exam: &Exam) -> Option<String> {
    let is_asked = controls.contains(&Control::Punctuality) && !is_short(view);
    let of_days = || if controls.contains(&Control::Undisturbed) { disturbed(history) } else { None };
    is_asked.then(|| held_up(view, exam)).flatten().or_else(of_days)
}

fn is_short(view: &View<'_>) -> bool {
    let window = view.window();
    window.end - window.start < SHORTEST_NS
}

/// Whether a submission takes the machine for itself.
fn is_its_own_doing(view: &View<'_>) -> bool {
    let (used, of) = view.spent().fold((0, 0), |(used, of), spent| (used + spent.used, of + spent.of));
    part(used, of) > OWN_DOING
}

/// What kept the driver or the submission from working, if anything did that is not the submission.
fn held_up(view: &View<'_>, exam: &Exam) -> Option<String> {
    if is_its_own_doing(view) { None } else { punctuality(view, exam).or_else(|| crowded(view)) }
}

/// The count in which others left a submission the least.
fn crowded(view: &View<'_>) -> Option<String> {
    let shares = view.spent().map(|spent| (part(spent.busy, spent.of), part(spent.others, spent.of), spent.most));
    let crowded = shares.filter(|(busy, others, _)| *busy > BUSY && *others > OTHERS);
    if let Some((busy, others, most)) = crowded.max_by(|(_, one, _), (_, other, _)| one.total_cmp(other)) {
        let most = most.map(|most| format!(", above all `{most}`")).unwrap_or_default();
        return Some(format!(
            "the machine was busy {} of the time for seconds, with programs of others for {}{most}",
            percent(busy),
            percent(others)
        ));
    }
    let stolen = view.spent().map(|spent| part(spent.stolen, spent.of)).max_by(f64::total_cmp).filter(|stolen| *stolen > STOLEN)?;
    Some(format!("other machines on the same hardware took {} of the processors' time for seconds", percent(stolen)))
}

/// A share of the processors' time; 0 where nobody counted.
#[allow(clippy::cast_precision_loss, reason = "an exam has far fewer than 2^52 ms")]
fn part(some: u64, of: u64) -> f64 {
    if of == 0 { 0.0 } else { (some as f64 / of as f64).min(1.0) }
}

fn schedule(view: &View<'_>, exam: &Exam) -> Option<String> {
    let window = view.window();
    let wanted = ms(window.end - window.start) / 1e3 * exam.rate_per_second;
    let sent = view.requests().count();
    (share(sent, 1) / wanted.max(1.0) < SENT_SHARE).then(|| format!("the driver sent {sent} of {wanted:.0} requests"))
}

fn punctuality(view: &View<'_>, exam: &Exam) -> Option<String> {
    let late = view.requests().filter(|request| request.sent_ns.saturating_sub(request.intended_ns) > LATE_NS).count();
    let sent = view.requests().count();
    let share_late = share(late, sent);
    (share(late, 1) > (LATE_SHARE * share(sent, 1)).max(HICCUP_SECONDS * exam.rate_per_second))
        .then(|| format!("the driver sent {} of its requests more than 20 ms late", percent(share_late)))
}

/// A recording that is missing although the submission's files load, and for another reason than how much there is of it, is ours to
/// answer for.
fn replayed(history: &History) -> Option<String> {
    let Some(lines) = &history.replay else { return Some("what was recorded of the metrics was not replayed".to_owned()) };
    let is_theirs = lines.iter().any(|line| line.refusal().is_some());
    if !is_theirs && !lines.iter().any(|line| matches!(line, Line::Replay(_))) {
        return Some("what was recorded of the metrics was replayed without a result".to_owned());
    }
    history.events.iter().find_map(|event| match &event.what {
        What::Recorded { missing: Some(Missing { why, too_much: false }), .. } if !is_theirs => {
            Some(format!("the metrics of the submission were not recorded: {why}"))
        }
        _ => None,
    })
}

fn canary(view: &View<'_>) -> Option<String> {
    let window = view.window();
    let looks: Vec<bool> = view.watched("canary").map(|(_, ok, _)| ok).collect();
    let well = looks.iter().filter(|ok| **ok).count();
    // It is looked at five times a second; once a second is enough to say something.
    if ms(window.end - window.start) / 1e3 > 1.0 + share(looks.len(), 1) {
        return Some(format!("the canary was looked at {} times only", looks.len()));
    }
    (share(well, looks.len()) < CANARY_SHARE).then(|| format!("the canary answered {} of the time", percent(share(well, looks.len()))))
}
