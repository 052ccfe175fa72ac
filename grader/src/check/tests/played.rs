//! Checks of the replay: who is told of an incident, and what a cheat or another design makes of it.

use super::replay::{alert, count_of_alerts, count_of_messages, labels, message, page, replayed, ticket, told, with_alerts, with_lines, with_panel};
use super::*;
use crate::exam::QUIET;
use crate::history::{Change, Curve, Ended, Limit, Line, LoadError, Missing, Muted, PanelLine, RuleError, RuleRef};

const PASSED: Verdict = Verdict::Passed { grey: false };
const HALF: Verdict = Verdict::Partial { share: 0.5 };

fn verdict(history: &History, check: &str) -> Verdict {
    verdicts(history).remove(check).expect("it is a check")
}

/// What `burst-paged` makes of the alerts of the burst of errors, which lasts 20 minutes and must wake someone within 10.
fn burst(alerts: &[super::replay::Fires]) -> Verdict {
    verdict(&with_alerts("error-burst", alerts), "burst-paged")
}

#[test]
fn an_incident_is_noticed_in_time_or_counts_half() {
    assert_eq!(burst(&[page("Burn").at(6.0).until(40.0)]), PASSED);
    assert_eq!(burst(&[page("Burn").at(10.0).until(40.0)]), PASSED, "exactly in time");
    assert_eq!(burst(&[page("Burn").at(11.0).until(40.0)]), HALF, "late");
    assert_eq!(burst(&[ticket("Burn").at(6.0).until(40.0)]), HALF, "it can wait, they say");
    assert_eq!(burst(&[ticket("Burn").at(6.0), page("Burn").at(15.0)]), HALF, "each alone is half, and so are both");
    assert_eq!(burst(&[ticket("Burn").at(11.0)]), Verdict::Failed, "late, and not urgent");
    assert_eq!(burst(&[page("Burn").at(21.0)]), Verdict::Failed, "it is over");
    assert_eq!(burst(&[]), Verdict::Failed);
    // Whatever tells the team may also wake someone, where either is asked for.
    assert_eq!(verdict(&with_alerts("slow-burn", &[page("Burn").at(360.0)]), "burn-noticed"), PASSED);
    assert_eq!(verdict(&with_alerts("slow-burn", &[page("Burn").at(361.0)]), "burn-noticed"), HALF);
}

#[test]
fn what_fires_anyway_notices_nothing() {
    assert_eq!(burst(&[page("Burn").at(6.0).also_in_twin()]), Verdict::Failed);
    assert_eq!(burst(&[page("Burn").at(-5.0)]), Verdict::Failed, "it fired before");
    assert_eq!(burst(&[page("Burn").at(-5.0).until(-1.0), page("Other").at(3.0)]), PASSED);
    let judged = judge(&with_alerts("error-burst", &[page("Burn").at(6.0).also_in_twin()])).expect("the rules are right");
    assert_eq!(judged["burst-paged"].observed, "nobody is told because of it; some are told of what happens without it too");
    assert_eq!(judged["burst-paged"].evidence.len(), 1);
    // Of a carpet of thresholds some is crossed in any incident, and others on a quiet day.
    let mut carpet = with_alerts("error-burst", &[page("Above").at(6.0).with(&[("series", "5xx")])]);
    let sent = labels(&[("alertname", "Above"), ("series", "2xx")]);
    let notified = crate::history::NotifiedAlert { labels: sent, status: "firing".to_owned() };
    assert_eq!(verdict(&carpet, "burst-paged"), PASSED);
    carpet.replay.as_mut().expect("there is one").push(message("quiet", false, 90.0, "page", "firing", vec![notified]));
    assert_eq!((verdict(&carpet, "burst-paged"), verdict(&carpet, "quiet-day")), (Verdict::Failed, Verdict::Failed));
    // In a message with one that always fires a genuine one counts.
    let always = page("Always").at(-30.0);
    assert_eq!(burst(&[always.clone(), page("Burn").at(6.0).in_a_message_with(&always)]), PASSED);
    assert_eq!(burst(&[always.clone(), page("Burn").at(6.0).also_in_twin().in_a_message_with(&always)]), Verdict::Failed);
}

#[test]
fn labels_tell_alerts_of_a_rule_apart() {
    let burn = || page("Burn").at(6.0).with(&[("version", "4")]);
    let also = page("Burn").at(-9.0).with(&[("version", "3")]).also_in_twin();
    assert_eq!(burst(&[burn(), also]), PASSED, "beside what fires anyway");
    assert_eq!(burst(&[burn().in_twin_with(&[("version", "3")])]), Verdict::Failed, "in place of what fires anyway");
    assert_eq!(burst(&[burn().in_twin_with(&[("version", "4")])]), Verdict::Failed);
    // What leaves Prometheus may have other labels than the alert.
    for sent in [&[("version", "4"), ("cluster", "eu")][..], &[], &[("version", "four")]] {
        assert_eq!(burst(&[burn().sent_with(sent)]), PASSED, "{sent:?}");
        assert_eq!(burst(&[burn().also_in_twin().sent_with(sent)]), Verdict::Failed, "{sent:?}");
    }
    // A name that no rule has is one that relabelling gave to whatever fires.
    assert_eq!(burst(&[page("Always").at(-30.0).also_in_twin(), page("Always").at(6.0).sent_with(&[("alertname", "Burn")])]), Verdict::Failed);
    assert_eq!(burst(&[page("Always").at(-30.0).with(&[("x", "a")]).sent_with(&[("x", "b")])]), Verdict::Failed);
}

#[test]
fn a_rule_with_noise_in_its_labels_notices_nothing() {
    // It always fires, and the number in its labels is another one wherever the incident is seen at all.
    let noisy = |twins: usize| {
        let twin = |number: usize| alert("error-burst", true, "Rate", &labels(&[("value", &number.to_string())]), share(number, 2), None);
        let own = labels(&[("value", "0.15")]);
        let mut sent = own.clone();
        sent.insert("alertname".to_owned(), "Rate".to_owned());
        let notified = crate::history::NotifiedAlert { labels: sent, status: "firing".to_owned() };
        let mut lines: Vec<Line> = (0..twins).map(twin).collect();
        lines.push(alert("error-burst", false, "Rate", &own, 6.0, None));
        lines.push(message("error-burst", false, 6.0, "page", "firing", vec![notified]));
        verdict(&with_lines("error-burst", lines), "burst-paged")
    };
    assert_eq!((noisy(0), noisy(2), noisy(20)), (PASSED, Verdict::Failed, Verdict::Failed));
}

#[test]
fn what_is_not_listed_helps_nobody() {
    let mut history = with_alerts("error-burst", &[page("Burn").at(6.0)]);
    let counted = |history: &mut History, twin: bool, count: usize| {
        history.replay.as_mut().expect("there is one").push(count_of_alerts("error-burst", twin, "Burn", count));
    };
    // Many replicas have many alerts; the twin has none.
    counted(&mut history, false, 150);
    assert_eq!(verdict(&history, "burst-paged"), PASSED);
    // Whether this one is among those of the twin that are not listed nobody knows.
    counted(&mut history, true, 150);
    assert_eq!(verdict(&history, "burst-paged"), Verdict::Failed);
    // The same where the changes of a twin's alert end before the message.
    let cut = |last: f64| {
        let mut history = with_alerts("error-burst", &[page("Burn").at(6.0)]);
        let mut twin = alert("error-burst", true, "Burn", &labels(&[]), 0.0, None);
        if let Line::Alert(twin) = &mut twin {
            twin.changes = vec![Change { at_s: last * 60.0, state: "pending".to_owned() }];
            twin.changes_total = 201;
        }
        history.replay.as_mut().expect("there is one").push(twin);
        verdict(&history, "burst-paged")
    };
    assert_eq!((cut(5.0), cut(7.0)), (Verdict::Failed, PASSED));
}

#[test]
fn alerts_end_with_their_incident() {
    let judged = |alerts: &[super::replay::Fires]| verdict(&with_alerts("dependency", alerts), "alerts-resolve");
    let five_of_six = Verdict::Partial { share: 5.0 / 6.0 };
    // The fault lasts 60 minutes, and so does what is watched after it.
    assert_eq!(judged(&[ticket("Odd").until(119.0)]), PASSED);
    assert_eq!(judged(&[ticket("Odd")]), five_of_six, "kept firing");
    assert_eq!(judged(&[ticket("Odd").until(70.0), ticket("Budget").at(30.0)]), PASSED, "others may go on");
    assert_eq!(judged(&[]), PASSED, "of what nobody is told nothing could end");
    let burst = |until: f64| verdict(&with_alerts("error-burst", &[page("Burn").until(until)]), "alerts-resolve");
    assert_eq!((burst(80.0), burst(81.0)), (PASSED, five_of_six));
    let both = [page("Burn").with(&[("severity", "page")]).until(70.0), ticket("Burn").with(&[("severity", "ticket")]).at(5.0)];
    assert_eq!(verdict(&with_alerts("error-burst", &both), "alerts-resolve"), PASSED, "one of the same name and another urgency may go on");
    let silent = replayed(|lines| lines.retain(|line| !matches!(line, Line::Notification(_))));
    assert_eq!(verdict(&silent, "alerts-resolve"), Verdict::Failed);
}

#[test]
fn a_quiet_day_is_one_without_pages_and_with_few_tickets() {
    let judged = |line: &dyn Fn() -> Line, times: usize| verdict(&replayed(|lines| lines.extend((0..times).map(|_| line()))), "quiet-day");
    let ticket = || told(QUIET, false, 90.0, "ticket");
    assert_eq!((judged(&ticket, 3), judged(&ticket, 4)), (PASSED, Verdict::Failed));
    assert_eq!(judged(&|| told(QUIET, false, 90.0, "page"), 1), Verdict::Failed);
    assert_eq!(judged(&|| told("drift", true, 90.0, "page"), 1), Verdict::Failed, "in the time of an incident without it");
    assert_eq!(judged(&|| told("drift", true, 90.0, "ticket"), 9), PASSED, "that day is another one");
    assert_eq!(judged(&|| told(QUIET, false, 90.0, "heartbeat"), 700), PASSED);
    assert_eq!(judged(&|| message(QUIET, false, 90.0, "page", "resolved", Vec::new()), 1), PASSED);
    // What is not listed was sent all the same.
    assert_eq!(judged(&|| count_of_messages(QUIET, false, "page", 1), 1), Verdict::Failed);
    let none = replayed(|lines| lines.retain(|line| !matches!(line, Line::Trace(trace) if trace.trace == QUIET)));
    assert_eq!(verdict(&none, "quiet-day"), Verdict::Failed);
}

/// Quiet days are made of healthy stretches of several phases: where others disturbed most of these, nobody can say whose pages theirs are.
#[test]
fn a_quiet_day_of_disturbed_hours_is_held_against_nobody() {
    let paged = replayed(|lines| lines.push(told(QUIET, false, 90.0, "page")));
    let (from, to) = (seconds("pause").start * SECOND, seconds("pause").end * SECOND);
    let counted = |used_ms: u64, others_ms: u64| {
        let mut history = paged.clone();
        let spent = |used_ms, busy_ms, others_ms| What::Spent { used_ms, of_ms: 4_000, busy_ms, others_ms, most: None, stolen_ms: 0 };
        history.events.push(Event { at_ns: from, what: spent(800, 1_200, 0) });
        history.events.push(Event { at_ns: to, what: spent(used_ms, 3_900, others_ms) });
        history.events.push(Event { at_ns: to, what: What::Shown { signature: None, from_ns: from, steady_from_ns: from } });
        history.events.sort_by_key(|event| event.at_ns);
        verdict(&history, "quiet-day")
    };
    let Verdict::NotGraded { control } = counted(1_000, 2_900) else { panic!("it is graded") };
    assert_eq!(control, "others crowded the machine in 100 % of the time of which quiet days are made");
    assert_eq!(counted(3_200, 700), Verdict::Failed, "it keeps the machine busy itself");
    assert_eq!(counted(1_000, 100), Verdict::Failed, "nobody else does");
}

#[test]
fn whoever_is_woken_is_not_flooded() {
    let pages =
        |times: usize, at: f64| verdict(&with_lines("latency", (0..times).map(|_| told("latency", false, at, "page")).collect()), "pages-few");
    assert_eq!((pages(10, 5.0), pages(11, 5.0)), (PASSED, Verdict::Failed));
    assert_eq!(pages(11, 61.0), PASSED, "after it");
    let listed_before = (0..200).map(|_| told("latency", false, -5.0, "page")).chain([count_of_messages("latency", false, "page", 211)]);
    assert_eq!(verdict(&with_lines("latency", listed_before.collect()), "pages-few"), Verdict::Failed, "a flood that hides what comes after it");
}

#[test]
fn a_route_that_sleeps_is_one_that_wakes_nobody() {
    let muted = |urgency: &str, hours_per_year: f64| {
        let line = Muted {
            route: "{}".to_owned(),
            receiver: "night".to_owned(),
            urgencies: vec![urgency.to_owned()],
            intervals: vec!["weekends".to_owned()],
            hours_per_year,
            first: vec!["2026-01-03T00:00:00Z".to_owned()],
        };
        judge(&replayed(|lines| lines.push(Line::Muted(line)))).expect("the rules are right").remove("pages-always").expect("it is a check")
    };
    assert_eq!((muted("ticket", 2_000.0).verdict, muted("page", 0.0).verdict), (PASSED, PASSED));
    let silent = muted("page", 2_496.0);
    assert_eq!(silent.verdict, Verdict::Failed);
    assert_eq!(silent.observed, "`night` is silent 2496 hours a year because of `weekends`, first at 2026-01-03T00:00:00Z");
}

fn rule() -> RuleRef {
    RuleRef { file: "prometheus/rules/a.yml".to_owned(), group: "g".to_owned(), name: "Burn".to_owned(), index: 2 }
}

#[test]
fn rules_load_and_can_be_evaluated_at_a_bearable_cost() {
    let judged = |line: Line| judge(&replayed(|lines| lines.push(line))).expect("the rules are right").remove("rules-sound").expect("it is a check");
    let limit = |rule: Option<RuleRef>, query: &str| Limit { rule, query: query.to_owned(), message: "takes too long".to_owned() };
    let expensive = judged(Line::Limit(limit(Some(rule()), "")));
    assert_eq!(
        (&expensive.verdict, &*expensive.observed),
        (&Verdict::Failed, "rule 3 of group `g` in `prometheus/rules/a.yml`, `Burn`: takes too long")
    );
    assert_eq!(judged(Line::Limit(limit(None, "0"))).verdict, PASSED, "a dashboard's query is no rule");
    let error = RuleError { trace: "drift".to_owned(), twin: false, rule: rule(), message: "many-to-many".to_owned(), count: 9, first_s: 3.0 };
    assert_eq!(judged(Line::RuleError(error)).verdict, Verdict::Failed);
}

/// The checks that the replay is read for.
fn of_the_replay() -> Vec<String> {
    let rubric = model_down_rubric();
    rubric.checks.iter().filter(|check| check.is_replayed()).map(|check| check.id.clone()).collect()
}

/// Asserts what became of all checks of the replay, and that all but the first of them are explained.
fn assert_all_fail(history: &History, observed: &str) {
    let judged = judge(history).expect("the rules are right");
    let checks = of_the_replay();
    assert_eq!(checks.len(), 14);
    for id in &checks {
        let judgement = &judged[id];
        assert_eq!(judgement.verdict, Verdict::Failed, "{id}");
        assert!(judgement.observed.contains(observed), "{id}: {}", judgement.observed);
        assert_eq!(judgement.caused_by.is_none(), id == "rules-sound", "{id}: {:?}", judgement.caused_by);
    }
}

fn refused() -> Line {
    Line::LoadError(LoadError { file: "prometheus/rules/a.yml".to_owned(), line: 7, message: "unknown field".to_owned() })
}

#[test]
fn what_does_not_load_fails_at_its_place() {
    assert_all_fail(&replayed(|lines| lines.push(refused())), "nothing could be replayed: `prometheus/rules/a.yml`:7: unknown field");
    let ended = Line::Ended(Ended { message: "the rules took more than 900 s".to_owned() });
    assert_all_fail(&replayed(|lines| *lines = vec![ended]), "nothing could be replayed: the rules took more than 900 s");
}

fn without_recording(too_much: bool, change: impl FnOnce(&mut Vec<Line>)) -> History {
    let mut history = replayed(change);
    for event in &mut history.events {
        if let What::Recorded { missing, .. } = &mut event.what {
            *missing = Some(Missing { why: "no answer".to_owned(), too_much });
        }
    }
    history
}

#[test]
fn a_replay_that_is_missing_is_ours_unless_there_was_too_much_to_record() {
    let mut never = faultless();
    never.replay = None;
    let without_result = replayed(Vec::clear);
    for history in [&never, &without_result, &without_recording(false, |_| {})] {
        let ungraded: Vec<String> =
            verdicts(history).into_iter().filter(|(_, verdict)| matches!(verdict, Verdict::NotGraded { .. })).map(|(id, _)| id).collect();
        let mut wanted = of_the_replay();
        wanted.sort();
        assert_eq!(ungraded, wanted);
    }
    assert_all_fail(&without_recording(true, |_| {}), "could not be recorded: no answer");
    // Whatever kept us from recording: files that do not load could not have been replayed.
    assert_all_fail(&without_recording(false, |lines| lines.push(refused())), "nothing could be replayed");
}

#[test]
fn a_replay_that_is_missing_is_ours_however_short_a_phase_was() {
    let mut history = faultless();
    history.replay = None;
    let start = seconds("baseline").start * SECOND;
    for event in &mut history.events {
        if matches!(&event.what, What::PhaseLeft { phase, .. } if phase == "baseline") {
            event.at_ns = start + SECOND;
        }
    }
    assert!(is_not_graded(&history, "quiet-day"));
}

#[test]
fn what_was_not_shown_is_not_noticed() {
    let unseen = replayed(|lines| lines.retain(|line| !matches!(line, Line::Trace(trace) if trace.trace == "drift")));
    assert_eq!(verdict(&unseen, "drift-noticed"), Verdict::Failed);
    let mut skipped = faultless();
    skipped.events.retain(|event| !matches!(&event.what, What::PhaseEntered { phase } if phase == "outage"));
    for event in &mut skipped.events {
        if let What::PhaseLeft { phase, end } = &mut event.what
            && phase == "outage"
        {
            *end = PhaseEnd::Skipped { why: "no replica was ready".to_owned() };
        }
    }
    assert_eq!(unmet(&skipped), ["alerts-resolve", "burn-noticed", "burst-paged", "outage-paged", "outage-silent"]);
}

/// What `dashboard-moves`, of six incidents, makes of one whose panel was changed.
fn moves(change: impl FnOnce(&mut PanelLine)) -> bool {
    match verdict(&with_panel("latency", |_, panel| change(panel)), "dashboard-moves") {
        PASSED => true,
        Verdict::Partial { share } if (share - 5.0 / 6.0).abs() < 1e-9 => false,
        other => panic!("{other:?}"),
    }
}

/// The same of a panel whose curve is at 1, and during the fault at something else.
fn moves_to(value: Option<f64>) -> bool {
    let history = with_panel("latency", |trace, panel| *panel = super::replay::panel(trace, |_| value));
    verdict(&history, "dashboard-moves") == PASSED
}

#[test]
fn a_panel_moves_by_its_value_or_by_its_labels() {
    assert!(moves_to(Some(2.0)) && moves_to(Some(0.8)) && moves_to(Some(1.2)), "a fifth is enough");
    assert!(!moves_to(Some(1.0)) && !moves_to(Some(0.81)) && !moves_to(Some(1.19)));
    assert!(moves_to(None), "a curve that ends is seen");
    assert!(moves(|panel| panel.twin.clear()), "and one that begins");
    assert!(!moves(|panel| (panel.incident, panel.twin) = (Vec::new(), Vec::new())));
    assert!(!moves(|panel| {
        let nothing = |curves: &mut Vec<Curve>| curves.iter_mut().for_each(|curve| curve.values.iter_mut().for_each(|value| *value = None));
        nothing(&mut panel.incident);
        nothing(&mut panel.twin);
    }));
    assert!(!moves(|panel| panel.error = "takes too long".to_owned()), "half of a query shows nothing");
    // For less than a third of the time of the fault.
    assert!(!moves(|panel| panel.incident[0].values.iter_mut().skip(9).for_each(|value| *value = Some(1.0))));
    let still = replayed(|lines| lines.retain(|line| !matches!(line, Line::Panel(_))));
    assert_eq!(verdict(&still, "dashboard-moves"), Verdict::Failed);
}

#[test]
fn a_panel_with_more_curves_than_are_listed_moves_by_those_of_both_sides() {
    let renamed = |panel: &mut PanelLine, count: usize| {
        let own = panel.twin[0].clone();
        let pod = |index: usize| Curve { labels: labels(&[("pod", &format!("{index:03}"))]), ..own.clone() };
        (panel.incident, panel.twin) = ((0..count).map(pod).collect(), (1..=count).map(pod).collect());
        panel.series_total = count;
    };
    assert!(moves(|panel| renamed(panel, 3)), "one is new, and one is gone");
    // The same would be seen where a curve too many pushes another from the list.
    assert!(!moves(|panel| renamed(panel, 24)));
    assert!(moves(|panel| {
        renamed(panel, 24);
        panel.incident[5].values.iter_mut().for_each(|value| *value = Some(2.0));
    }));
}
